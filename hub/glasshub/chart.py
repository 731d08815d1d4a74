# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lines over time as SVG, with nothing but the standard library: for a page, or a file of their own.

Nobody can measure text here: how wide it is gets estimated, rather too wide than too narrow, and whatever would not
fit beside its neighbour is left out, shortened, or put into another row.

Looks are in `STYLE`, by classes. A chart of its own brings it along and stands on white; a page puts it into its style
sheet once, and sets the custom properties in it as it likes, for light and for dark.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

#: Of Okabe and Ito's colours, which the colour-blind can tell apart as well, those that can be seen on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")

#: How to break lines that should differ by more than their colour: those below show, where several are the same.
DASHES = ("", "8 5", "2 4", "12 4 2 4")

STYLE = (
    ".chart text{font:12px 'DejaVu Sans',Verdana,sans-serif;fill:var(--chart-text,#3d3d3d)}"
    ".chart .chart-title{font-size:16px}"
    ".chart .chart-unit,.chart .chart-mark{font-size:11px}"
    ".chart .chart-grid{stroke:var(--chart-grid,#e3e3e3);fill:none}"
    ".chart .chart-axis{stroke:var(--chart-axis,#8a8a8a);fill:none}"
    ".chart .chart-line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".chart .chart-area{stroke:none;fill-opacity:.14}"
    ".chart .chart-band{fill:var(--chart-band,#f3ebdd)}"
    ".chart .chart-mark{stroke:var(--chart-band,#f3ebdd);stroke-width:3px;paint-order:stroke}"
)

#: For programs other than browsers, of which few know custom properties.
_OWN_STYLE = re.sub(r"var\(.*?,(.*?)\)", r"\1", STYLE)

_SIZE, _SMALL, _LARGE = 12.0, 11.0, 16.0
_ROW = 18.0  # height of a row of legend, of labels of bands, and of the unit
_GAP = 14.0  # between two labels side by side

#: What a time axis is cut by, in seconds; below and above go powers of ten.
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: What the legend says.
        points: Pairs of time and value, in the order of time. A value that is not finite makes a gap.
        colour: As CSS has it.
        dash: Lengths of strokes and gaps, as SVG has them; empty for a line without gaps.
        is_filled: Whether what is below the line is tinted.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dash: str = ""
    is_filled: bool = False


#: Entries of a legend side by side: where each begins, its line, and what it says.
_LegendRow = list[tuple[float, Line, str]]


@dataclass(frozen=True)
class Band:
    """A span of time that is set off.

    Attributes:
        begin, end: When.
        label: What it was.
    """

    begin: float
    end: float
    label: str


def chart(
    lines: Sequence[Line],
    *,
    title: str,
    description: str,
    time_label: Callable[[float], str],
    unit: str,
    width: float = 900,
    height: float = 300,
    bands: Sequence[Band] = (),
    span: tuple[float, float] | None = None,
    top: float | None = None,
    time_origin: float = 0.0,
    standalone: bool,
) -> str:
    """An `<svg>` element.

    Args:
        lines: What to draw; the first lies on top.
        title: What it shows; written above it if it stands alone, and always there for those who do not see it.
        description: What a reader would take from it.
        time_label: What stands below the time axis at a time.
        unit: What values are counted in; stands above their axis, which begins at 0.
        width, height: In pixels, of which the page may make others.
        bands: Spans of time behind the lines.
        span: From when to when; by default as far as the points go.
        top: Up to which value, for charts to the same scale; by default up to the largest.
        time_origin: A time which is round, such as a midnight, from which the labelled times are counted.
        standalone: Whether it is a document of its own, not a part of a page that has `STYLE`.
    """
    legend = list(_legend_rows(lines, width)) if len(lines) > 1 else []
    head = _LARGE * 2 if standalone else 4.0
    plot = _Plot(lines, span=span, top=top, width=width, head=head, foot=height - _ROW * len(legend))
    shown = [band for band in bands if band.end >= plot.begin and band.begin <= plot.end]
    body = [
        *_band_shades(shown, plot),
        *_value_axis(plot, unit),
        *_band_labels(shown, plot),
        *_time_axis(plot, time_label, time_origin),
        *_curves(lines, plot),
        *_legend(legend, plot.bottom + 2 * _ROW),
    ]
    if not plot.has_data:
        body.append(_text(plot.middle, (plot.top + plot.bottom) / 2, "no data", anchor="middle"))
    return "\n".join([*_opening(title, description, width, height, standalone), *body, "</svg>"])


def ticks(begin: float, end: float, most: int) -> list[float]:
    """Round numbers from `begin` to `end`, not more than `most` of them, 0 among them if it is in between."""
    step = 10.0 ** math.floor(math.log10(max((end - begin) / most, 1e-9)))
    step = next(step * factor for factor in (1, 2, 5, 10) if (end - begin) / (step * factor) < most - 1e-6)
    return _multiples(begin, end, step)


class _Plot:
    """Where things are."""

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        span: tuple[float, float] | None,
        top: float | None,
        width: float,
        head: float,
        foot: float,
    ) -> None:
        points = [point for line in lines for point in line.points]
        finite = [value for _, value in points if math.isfinite(value)]
        self.has_data = bool(finite)
        self.begin, self.end = span or _ends([time for time, _ in points])
        self.most = (top or max(finite, default=0.0) or 1.0) * 1.05
        self.width = width
        self.top = head + _ROW
        self.bottom = foot - _ROW - 6
        self.levels = ticks(0, self.most, max(3, int((self.bottom - self.top) / 30)))
        self.left = max(_width(text) for text in map(self.level, self.levels)) + 12
        self.right = width - 12

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def x(self, time: float) -> float:
        share = (time - self.begin) / ((self.end - self.begin) or 1)
        return self.left + min(max(share, 0), 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - min(max(value / self.most, 0), 1) * (self.bottom - self.top)

    def level(self, value: float) -> str:
        """What stands beside the axis at a value."""
        if not value:
            return "0"
        step = self.levels[1]
        if self.most >= 1e6:
            return f"{value / 1e6:,.{_decimals(step / 1e6)}f} M"
        return f"{value:,.{_decimals(step)}f}"


def _opening(title: str, description: str, width: float, height: float, standalone: bool) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
    )
    yield f"<title>{_escaped(title)}</title>"
    yield f"<desc>{_escaped(description)}</desc>"
    if standalone:
        yield f"<style>{_OWN_STYLE}</style>"
        yield f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>'
        yield _text(width / 2, _LARGE * 1.6, _shortened(title, width - 24, _LARGE), kind="title", anchor="middle")


def _value_axis(plot: _Plot, unit: str) -> Iterator[str]:
    for value in plot.levels:
        y = plot.y(value)
        yield f'<path class="chart-grid" d="M{plot.left:.1f} {y:.1f}H{plot.right:.1f}"/>'
        yield _text(plot.left - 7, y + 4, plot.level(value), anchor="end")
    yield _text(2, plot.top - 8, _shortened(unit, plot.width - 4, _SMALL), kind="unit")


def _time_axis(plot: _Plot, label: Callable[[float], str], origin: float) -> Iterator[str]:
    for time in _times(plot, label, origin):
        x, text = plot.x(time), label(time)
        at = min(max(x, _width(text) / 2), plot.width - _width(text) / 2)
        yield f'<path class="chart-axis" d="M{x:.1f} {plot.bottom:.1f}v4"/>'
        yield _text(at, plot.bottom + _ROW, text, anchor="middle")
    yield f'<path class="chart-axis" d="M{plot.left:.1f} {plot.bottom:.1f}H{plot.right:.1f}"/>'


def _times(plot: _Plot, label: Callable[[float], str], origin: float) -> list[float]:
    """Those that are labelled: as many as there is room for."""
    if not plot.end > plot.begin:
        return [plot.begin]
    widest = max(_width(label(time)) for time in (plot.begin, (plot.begin + plot.end) / 2, plot.end))
    room = max((plot.right - plot.left) / (widest + _GAP), 1)
    step = next(step for step in _time_steps(plot.end - plot.begin) if (plot.end - plot.begin) / step <= room)
    return [origin + time for time in _multiples(plot.begin - origin, plot.end - origin, step)]


def _time_steps(seconds: float) -> Iterator[float]:
    """Steps to cut a time by, from small ones to larger ones."""
    if seconds < 10:
        smallest = 10.0 ** math.floor(math.log10(seconds / 100))
        yield from (smallest * factor for factor in (1, 2, 5, 10, 20, 50))
    yield from _TIME_STEPS
    yield from (86400 * factor * 10.0**power for power in itertools.count() for factor in (5, 10, 20))


def _band_shades(bands: Iterable[Band], plot: _Plot) -> Iterator[str]:
    for band in bands:
        left, right = plot.x(band.begin), plot.x(band.end)
        yield (
            f'<rect class="chart-band" x="{left:.1f}" y="{plot.top:.1f}" '
            f'width="{max(right - left, 1):.1f}" height="{plot.bottom - plot.top:.1f}"/>'
        )


def _band_labels(bands: Iterable[Band], plot: _Plot) -> Iterator[str]:
    taken: list[tuple[float, float, int]] = []
    for band in bands:
        text = _shortened(band.label, plot.right - plot.left, _SMALL)
        half = _width(text, _SMALL) / 2
        at = min(max((plot.x(band.begin) + plot.x(band.end)) / 2, plot.left + half), plot.right - half)
        row = next(row for row in itertools.count() if not any(_meets(at, half, row, other) for other in taken))
        taken.append((at, half, row))
        yield _text(at, plot.top + 14 + _ROW * row, text, kind="mark", anchor="middle")


def _meets(at: float, half: float, row: int, other: tuple[float, float, int]) -> bool:
    return row == other[2] and abs(at - other[0]) < half + other[1] + _GAP / 2


def _curves(lines: Sequence[Line], plot: _Plot) -> Iterator[str]:
    """The lines, the first one last, so that it lies on top."""
    for line in reversed(lines):
        runs = [[(plot.x(time), plot.y(value)) for time, value in run] for run in _runs(line.points, plot)]
        if line.is_filled:
            area = "".join(f"M{run[0][0]:.1f} {plot.bottom:.1f}L{_joined(run)}V{plot.bottom:.1f}Z" for run in runs)
            yield f'<path class="chart-area" fill={quoteattr(line.colour)} d="{area}"/>'
        # A line of no length has round ends, and shows as a dot.
        yield _stroke(line, "".join(f"M{_joined(run)}" if len(run) > 1 else f"M{_joined(run)}h0" for run in runs))


def _runs(points: Sequence[tuple[float, float]], plot: _Plot) -> Iterator[list[tuple[float, float]]]:
    """The points of a line between two gaps."""
    shown = (point for point in points if plot.begin <= point[0] <= plot.end)
    for is_there, run in itertools.groupby(shown, key=lambda point: math.isfinite(point[1])):
        if is_there:
            yield list(run)


def _joined(run: Sequence[tuple[float, float]]) -> str:
    """The points of a path, but those inside of a level stretch: most lines are level for most of the time."""
    texts = [(f"{x:.1f}", f"{y:.1f}") for x, y in run]
    inner = (
        point for before, point, after in zip(texts, texts[1:], texts[2:]) if not before[1] == point[1] == after[1]
    )
    return "L".join(f"{x} {y}" for x, y in [*texts[:1], *inner, *texts[1:][-1:]])


def _legend(rows: Iterable[_LegendRow], top: float) -> Iterator[str]:
    for number, row in enumerate(rows):
        for x, line, text in row:
            yield _stroke(line, f"M{x + 1:.1f} {top + _ROW * number - 4:.1f}h24")
            yield _text(x + 32, top + _ROW * number, text)


def _legend_rows(lines: Sequence[Line], width: float) -> Iterator[_LegendRow]:
    row: _LegendRow = []
    x = 2.0
    for line in lines:
        text = _shortened(line.name, width - 40, _SIZE)
        room = 32 + _width(text)
        if row and x + room > width:
            yield row
            row, x = [], 2.0
        row.append((x, line, text))
        x += room + _GAP
    yield row


def _stroke(line: Line, path: str) -> str:
    broken = f" stroke-dasharray={quoteattr(line.dash)}" if line.dash else ""
    return f'<path class="chart-line" stroke={quoteattr(line.colour)}{broken} d="{path}"/>'


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "") -> str:
    attributes = f' class="chart-{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{attributes} x="{x:.1f}" y="{y:.1f}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """As XML has it, which knows no control characters, nor halves of surrogate pairs."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _shortened(text: str, room: float, size: float) -> str:
    if _width(text, size) <= room:
        return text
    while text and _width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def _width(text: str, size: float = _SIZE) -> float:
    return sum(map(_em, text)) * size


def _em(character: str) -> float:
    """How wide a character is, in parts of its size; of DejaVu Sans, which is among the wide ones."""
    if character in "iIjlt.,:;|'!()[] -/":
        return 0.42
    if character in "mwMW%@" or unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.76 if character.isupper() else 0.65


def _ends(times: Sequence[float]) -> tuple[float, float]:
    return (min(times), max(times)) if times else (0.0, 1.0)


def _multiples(begin: float, end: float, step: float) -> list[float]:
    return [number * step for number in range(math.ceil(begin / step), math.floor(end / step) + 1)]


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
