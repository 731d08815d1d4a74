# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers and tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NOTHING = "-"

_INDENT = "  "

_BLOCKS = " ▁▂▃▄▅▆▇█"

_CODES = {"bold": "1", "dim": "2", "good": "32", "bad": "1;31", "": ""}


@dataclass(frozen=True)
class Paint:
    """Colours for a terminal, or none for a file."""

    is_on: bool

    def __call__(self, text: str, style: str) -> str:
        """The text in that style: bold, dim, good or bad."""
        code = _CODES[style]
        return f"\x1b[{code}m{text}\x1b[0m" if self.is_on and code else text


def duration(seconds: float | None) -> str:
    """A duration to three digits, in a unit that suits it."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:.0f} s"


def rate(per_second: float) -> str:
    """A rate, in four characters up to a million a second."""
    if math.isnan(per_second):
        return NOTHING
    if per_second >= 9999.5:
        return f"{per_second / 1000:.0f}k"
    return f"{per_second:.0f}" if per_second >= 9.95 or per_second == 0 else f"{per_second:.1f}"


def sparkline(values: Sequence[float], width: int, highest: float) -> str:
    """The latest values as blocks, at most `width` of them; a full block is `highest`."""
    top = max(highest, 1.0)
    shown = [min(max(value, 0.0) / top, 1.0) for value in values[-width:]]
    return "".join(_BLOCKS[math.ceil(share * (len(_BLOCKS) - 1))] for share in shown).ljust(width)


def bar(share: float, width: int) -> str:
    """A bar that is filled to the share."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)


def ruled(rows: Sequence[Sequence[str]], headers: int, paint: Paint) -> Iterator[str]:
    """A table, indented, with a rule under the headers."""
    formatted = list(_aligned(rows))
    for line in formatted[:headers]:
        yield _INDENT + paint(line, "dim")
    yield _INDENT + paint("─" * max(map(len, formatted)), "dim")
    for line in formatted[headers:]:
        yield _INDENT + line


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        yield "  ".join([row[0].ljust(widths[0]), *cells])
