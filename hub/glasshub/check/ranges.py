# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ranges of the Monitoring Plugins: `[@][start:][end]`, which is how -w and -c say what is still well.

Read as by the library `nagiosplugin`, from which we differ where it takes more than the guidelines define (an empty
range, `1_000`, ` 5`, `1.5e3`), where it finds what is not a number inside of any range, and where it says of a value
that it is outside of an inverted range, when it is inside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

_NUMBER = r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})"
_RANGE = re.compile(rf"(?P<inverted>@?)(?:(?P<start>~|{_NUMBER}|):)?(?P<end>{_NUMBER}|)")


class RangeError(ValueError):
    """The text is no range; the message says what one looks like."""


@dataclass(frozen=True)
class Range:
    """The values that are well: from start to end, both included; all others if it is inverted.

    Attributes:
        start, end: May be infinite.
        is_inverted: Whether an `@` stands before them.
    """

    start: float
    end: float
    is_inverted: bool = False

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read `[@][start:][end]`: start is 0 unless it is said, `~` for none; end is infinite unless it is said.

        Raises:
            RangeError: It is not a range.
        """
        found = _RANGE.fullmatch(text)
        if found is None or not (found["start"] or found["end"]):
            raise RangeError(
                f"{text!r} is not a range: [@][start:][end], such as 10 (0 to 10), 5: (5 or more), ~:10, @5:10"
            )
        start = -math.inf if found["start"] == "~" else _number(found["start"] or "0")
        end = _number(found["end"]) if found["end"] else math.inf
        if start > end:
            raise RangeError(f"{text!r} is not a range: it begins at {_text(start)}, above its end")
        return cls(start, end, found["inverted"] == "@")

    def holds(self, value: float) -> bool:
        """Whether the value is well. What is not a number is inside of no range."""
        return (self.start <= value <= self.end) != self.is_inverted

    @property
    def violation(self) -> str:
        """What to say of a value that is not well."""
        where = "inside" if self.is_inverted else "outside"
        return f"{where} range {self._start() or '0:'}{self._end()}"

    def __str__(self) -> str:
        return ("@" if self.is_inverted else "") + self._start() + self._end()

    def _start(self) -> str:
        if not self.start and not math.isinf(self.end):
            return ""  # may be left out
        return f"{_text(self.start)}:"

    def _end(self) -> str:
        return "" if math.isinf(self.end) else _text(self.end)


def plain(number: float) -> str:
    """The shortest text that reads back as the same number, without an exponent."""
    return f"{Decimal(repr(number)):f}".removesuffix(".0")


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _text(number: float) -> str:
    return "~" if math.isinf(number) else plain(number)
