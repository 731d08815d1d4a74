# SPDX-License-Identifier: LGPL-2.1-or-later
"""Instants as an operator types them: `90m` ago, or a date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

#: Nothing is as old as this, and rrdtool counts seconds in 32 bits.
_LONGEST = 50 * 366 * 86400


@dataclass(frozen=True)
class Ago:
    """So many seconds before some instant."""

    seconds: float

    def before(self, end: float) -> float:
        """The instant, in unix time as `end` is."""
        return end - self.seconds


def instant(text: str) -> Ago | float:
    """What an operator means by `1d`, `1h30m`, `2026-03-01`, `2026-03-01T08:00`, or `08:00` of today.

    Returns:
        A length of time, or the unix time of a date in the local zone, unless it has one of its own.

    Raises:
        ValueError: It is neither; says what would be.
    """
    if _AGO.match(text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
        if 0 < seconds < _LONGEST:
            return Ago(seconds)
    try:
        return _date(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is neither a length of time (1d, 1h30m) nor a date (2026-03-01T08:00)") from None


def _date(text: str) -> datetime:
    if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        return datetime.fromisoformat(f"{datetime.now():%Y-%m-%d}T{text}")
    return datetime.fromisoformat(text)
