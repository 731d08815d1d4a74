# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a terminal can show: which characters, and how wide they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

#: A curve is not drawn higher than it deserves: so many messages fill a cell at least.
_LEAST = 8

_UNKNOWN = "?"


@dataclass(frozen=True)
class Glyphs:
    """The characters that are used for drawing.

    Attributes:
        levels: Of a curve, from nothing to a full cell.
        rising, falling: How a column is sorted; no letters, since they stand close to its title.
        is_ascii: Whether nothing else may be shown.
    """

    levels: str
    rising: str
    falling: str
    is_ascii: bool

    def fit(self, text: str, width: int, *, is_left: bool = True) -> str:
        """The text in exactly so many columns of the terminal; what is too long ends in a `~`."""
        if not text.isascii():
            if not self.is_ascii:
                return _fit_wide(text, width, is_left)
            text = text.encode("ascii", "replace").decode("ascii")
        if len(text) > width:
            text = text[: max(width - 1, 0)] + "~"[:width]
        return text.ljust(width) if is_left else text.rjust(width)

    def width(self, text: str) -> int:
        """Columns of the terminal that the text takes."""
        return len(text) if self.is_ascii or text.isascii() else cell_len(text)

    def curve(self, values: Sequence[float], width: int) -> str:
        """The latest values as a line of cells, the last one to the right; the highest of them fills its cell.

        One that is not known (NaN) is a question mark.
        """
        shown = values[-width:]
        highest = max([_LEAST, *(value for value in shown if not math.isnan(value))])
        steps = len(self.levels) - 1
        cells = (_UNKNOWN if math.isnan(value) else self.levels[math.ceil(value / highest * steps)] for value in shown)
        return "".join(cells).rjust(width)


UNICODE = Glyphs(levels=" ▁▂▃▄▅▆▇█", rising="▲", falling="▼", is_ascii=False)
ASCII = Glyphs(levels=" .:-=+*#", rising="<", falling=">", is_ascii=True)


def glyphs_for(environment: Mapping[str, str], encoding: str) -> Glyphs:
    """What the terminal can show, as its locale and TERM say.

    Args:
        environment: The variables of this process.
        encoding: What standard output is encoded in.
    """
    is_utf8 = "utf8" in _locale(environment).lower().replace("-", "") and encoding.lower().replace("-", "") == "utf8"
    # The kernel's console has UTF-8, but a font of 256 characters, without the eighths of a block.
    return UNICODE if is_utf8 and environment.get("TERM") != "linux" else ASCII


def _locale(environment: Mapping[str, str]) -> str:
    """The locale of characters, see locale(7); that of the person, and not the one that Python puts in place of C."""
    chosen = dict(environment)
    if chosen.get("LANG", "C") in ("", "C", "POSIX") and chosen.get("LC_CTYPE") == "C.UTF-8":
        del chosen["LC_CTYPE"]  # PEP 538
    return chosen.get("LC_ALL") or chosen.get("LC_CTYPE") or chosen.get("LANG") or "C"


def _fit_wide(text: str, width: int, is_left: bool) -> str:
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(text, max(width - 1, 0)) + "~"[:width]
    return text + " " * (width - cells) if is_left else " " * (width - cells) + text
