# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drawing panels with rrdtool, which draws one at a time, into one picture."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .. import rrds
from ..errors import HubError
from ..replacing import replace_file
from .panels import Curve, Panel
from .stacking import stacked_png, stacked_svg

#: What can be written, by the end of a file's name.
FORMATS = (".png", ".svg")

#: Width and height of a panel in pixels, without what stands around it.
SIZE = (800, 180)

_COLOURS = {
    **dict.fromkeys(("BACK", "CANVAS", "SHADEA", "SHADEB", "FRAME"), "#FFFFFF"),
    **{"FONT": "#222222", "AXIS": "#777777", "ARROW": "#777777", "GRID": "#00000010", "MGRID": "#00000030"},
}
_FONTS = ("TITLE:12:DejaVu Sans", "DEFAULT:8:DejaVu Sans", "UNIT:9:DejaVu Sans", "LEGEND:9:DejaVu Sans Mono")

#: Over a time of which not all is known.
_GAP = "#00000030"

#: Pixels that a character of the legend is wide, and characters that its numbers take.
_CHARACTER = 7.3
_COLUMN = 10
_BOX = 2
_COLUMNS = ("last", "highest", "average")

#: Colour of the line around areas.
_TOTAL = "#222222"

#: A picture of less seconds tells them of its begin and end.
_SHORT = 3600.0

#: Units of the vertical axis for durations.
_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0), ("milliseconds", 0.001))


class DrawingError(HubError):
    """The picture cannot be made or written."""


@dataclass(frozen=True)
class Frame:
    """What all panels of a picture have in common.

    Attributes:
        title: Whose numbers they are.
        start, end: The time that is drawn, in unix time.
        size: Of a panel, see `SIZE`.
    """

    title: str
    start: float
    end: float
    size: tuple[int, int] = SIZE

    @property
    def step(self) -> float:
        """Seconds that a pixel stands for."""
        return max((self.end - self.start) / self.size[0], 1.0)

    @property
    def spoken(self) -> str:
        """The time, in the local zone."""
        form = "%Y-%m-%d %H:%M" if self.end - self.start > _SHORT else "%Y-%m-%d %H:%M:%S"
        return f"{_local(self.start, form)} to {_local(self.end, form)} {_local(self.end, '%Z')}"


def draw(drawn: Sequence[Panel], path: Path, frame: Frame) -> None:
    """Write a picture.

    Args:
        drawn: From top to bottom.
        path: Where to; its name ends with one of `FORMATS`.
        frame: What of, and how large.

    Raises:
        DrawingError: It cannot be written, or there is nothing in it.
        RrdError: rrdtool cannot draw it, and says why.
    """
    tables = [_figures(panel, frame) for panel in drawn]
    if all(math.isnan(figures.average) for table in tables for figures in table):
        raise DrawingError(f"nothing is known of {frame.title} from {frame.spoken}")
    with tempfile.TemporaryDirectory(prefix="glasshub-") as directory:
        parts = [Path(directory, f"{number}{path.suffix}") for number in range(len(drawn))]
        for panel, table, part in zip(drawn, tables, parts):
            end = [f"COMMENT:{rrds.escaped(frame.spoken)}\\r"] if part is parts[-1] else []
            rrds.run(["graph", str(part), *_arguments(panel, table, frame, path.suffix), *end])
        _write(path, _stacked(parts, path.suffix))


@dataclass(frozen=True)
class _Figures:
    """What the legend says of a curve; NaN where nothing is known."""

    last: float
    highest: float
    average: float


def _figures(panel: Panel, frame: Frame) -> list[_Figures]:
    averages, maxima = (_columns(panel, frame, consolidation) for consolidation in ("AVERAGE", "MAX"))
    if panel.total:
        total = [_of_known(sum, row) for row in zip(*averages)]
        averages, maxima = [*averages, total], [*maxima, total]
    return [_summed_up(*columns) for columns in zip(averages, maxima)]


def _columns(panel: Panel, frame: Frame, consolidation: str) -> list[list[float]]:
    """The numbers of each curve."""
    paths = [path for curve in panel.curves for path in curve.paths]
    _, columns = rrds.table(paths, frame.start, frame.end, frame.step, consolidation=consolidation)
    left = iter(columns)
    return [[_of_known(max, row) for row in zip(*islice(left, len(curve.paths)))] for curve in panel.curves]


def _of_known(function: Callable[[list[float]], float], numbers: Sequence[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return function(known) if known else math.nan


def _summed_up(averages: Sequence[float], maxima: Sequence[float]) -> _Figures:
    known = [number for number in averages if not math.isnan(number)] or [math.nan]
    highest = max((number for number in maxima if not math.isnan(number)), default=math.nan)
    return _Figures(known[-1], highest, sum(known) / len(known))


def _arguments(panel: Panel, table: Sequence[_Figures], frame: Frame, suffix: str) -> Iterator[str]:
    width, height = frame.size
    yield from ("--imgformat", suffix.removeprefix(".").upper(), "--width", str(width), "--height", str(height))
    yield from ("--start", f"{frame.start:.0f}", "--end", f"{frame.end:.0f}", "--lower-limit", "0")
    unit, seconds = _unit(panel, table)
    yield from ("--title", f"{panel.title} · {frame.title}", "--vertical-label", unit)
    yield from ("--alt-autoscale-max", "--units-length", "7", "--border", "0", "--disable-rrdtool-tag")
    if not panel.total:  # slopes would leave slits between areas
        yield "--slope-mode"
    if panel.unit == "seconds":
        yield from ("--units-exponent", "0")
    if panel.highest is not None:
        yield from ("--upper-limit", f"{panel.highest:g}", "--rigid")
    for name, colour in _COLOURS.items():
        yield from ("--color", f"{name}{colour}")
    for font in _FONTS:
        yield from ("--font", font)
    for number, curve in enumerate(panel.curves):
        yield from _definitions(number, curve, panel.consolidation, seconds)
    yield from _legend(panel, table, width)


def _definitions(number: int, curve: Curve, consolidation: str, seconds: float) -> Iterator[str]:
    """What defines `c` and its number."""
    for other, path in enumerate(curve.paths):
        yield rrds.definition(f"d{number}_{other}", path, consolidation)
    names = [f"d{number}_{other}" for other in range(len(curve.paths))]
    yield f"CDEF:c{number}={','.join(names)}{',MAXNAN' * len(curve.others)},{seconds:g},/"


def _unit(panel: Panel, table: Sequence[_Figures]) -> tuple[str, float]:
    """What stands at the vertical axis, and how much of the panel's own unit it is: nobody knows what 20 ks are."""
    if panel.unit != "seconds":
        return panel.unit, 1.0
    highest = max((figures.highest for figures in table if figures.highest > 0), default=math.inf)
    if math.isinf(highest):
        return panel.unit, 1.0
    return next((unit for unit in _UNITS if highest >= 2 * unit[1]), _UNITS[-1])


def _legend(panel: Panel, table: Sequence[_Figures], width: int) -> Iterator[str]:
    """The curves, and with them one line of text for each: its numbers in columns."""
    room = max(int(width / _CHARACTER) - _COLUMN * len(_COLUMNS), _COLUMN)
    labels = [_short(label, room) for label in [*(curve.label for curve in panel.curves), panel.total] if label]
    longest = max(map(len, labels))
    yield "COMMENT:" + " " * (longest + _BOX) + "".join(f"{column:>{_COLUMN}}" for column in _COLUMNS) + "\\l"
    lines = [_line(panel, label.ljust(longest), figures) for label, figures in zip(labels, table)]
    if panel.total:
        yield from _whole(panel.curves, lines)
    elif panel.is_stacked:
        yield from _areas(panel.curves, lines)
        yield from _unknown(len(panel.curves))
    else:
        yield from _lines(panel.curves, lines)


def _line(panel: Panel, label: str, figures: _Figures) -> str:
    columns = (f"{_known(panel, figure):>{_COLUMN}}" for figure in (figures.last, figures.highest, figures.average))
    return rrds.escaped(label + "".join(columns)) + "\\l"


def _lines(curves: Sequence[Curve], lines: Sequence[str]) -> Iterator[str]:
    for number, (curve, line) in enumerate(zip(curves, lines)):
        dash = f":dashes={curve.dash}" if curve.dash else ""
        yield f"LINE{curve.width}:c{number}{curve.colour}:{line}{dash}"


def _areas(curves: Sequence[Curve], lines: Sequence[str]) -> Iterator[str]:
    for number, (curve, line) in enumerate(zip(curves, lines)):
        yield f"AREA:c{number}{curve.colour}:{line}{':STACK' * bool(number)}"


def _unknown(curves: int) -> Iterator[str]:
    """A band wherever some part of the whole is known and another is not: what is drawn there is too low."""
    known = ",".join(f"c{number},UN,0,1,IF" for number in range(curves)) + ",+" * (curves - 1)
    yield f"CDEF:gap={known},1,{curves - 1},LIMIT,UN,UNKN,INF,IF"
    yield f"AREA:gap{_GAP}:{rrds.escaped('not all is known')}\\l"


def _whole(curves: Sequence[Curve], lines: Sequence[str]) -> Iterator[str]:
    """Areas, and a line around them. What is not known of one is nothing; where nothing is known of any is no line."""
    names = ",".join(f"c{number}" for number in range(len(curves)))
    yield f"CDEF:total={names}{',ADDNAN' * (len(curves) - 1)}"
    yield from _areas(curves, lines)
    yield f"LINE1:total{_TOTAL}:{lines[-1]}"


def _known(panel: Panel, figure: float) -> str:
    return "-" if math.isnan(figure) else panel.written(figure)


def _short(label: str, length: int) -> str:
    """The label, or its beginning and its end: what differs may be in either."""
    if len(label) <= length:
        return label
    end = (length - 1) // 2
    return f"{label[: length - 1 - end]}…{label[-end:]}"


def _local(instant: float, form: str) -> str:
    return time.strftime(form, time.localtime(instant))


def _stacked(parts: Sequence[Path], suffix: str) -> bytes:
    try:
        if suffix == ".svg":
            return stacked_svg([part.read_text(encoding="utf-8") for part in parts]).encode("utf-8")
        return stacked_png([part.read_bytes() for part in parts])
    except ValueError as error:  # of an rrdtool that writes other files than those that we know
        raise DrawingError(f"cannot put the panels together: {error}: draw one at a time with --what") from error


def _write(path: Path, picture: bytes) -> None:
    try:
        replace_file(path, picture, mode=0o666 & ~_umask())
    except OSError as error:
        raise DrawingError(f"cannot write {path}: {error.strerror}") from error


def _umask() -> int:
    """There is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
