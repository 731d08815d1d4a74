# SPDX-License-Identifier: LGPL-2.1-or-later
"""The picture of one run or several as SVG, from the demo's own samples: for hosts without collectd, and for shape
`inline`, of which collectd can know nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from ..chart import ticks
from ..load.outcome import ConsumerOutcome, Outcome
from ..load.record import Point
from .picture import SPIKE_COLOUR, colour_of, dashes, legend

_WIDTH = 900
_LEFT, _RIGHT = 76, 24
_HEAD, _PLOT, _TIMES, _LINE = 62, 240, 46, 18

_STYLE = (
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:#333}"
    ".title{font-size:17px}.small{font-size:11px;fill:#666}"
    ".grid{stroke:#000;stroke-opacity:.1}.axis{stroke:#888}.curve{fill:none;stroke-width:2;stroke-linejoin:round}"
)


def svg(outcomes: Sequence[Outcome], *, title: str, captions: Sequence[str]) -> str:
    """A document with one panel for each run, all to the same scale."""
    begin = min(outcome.span[0] for outcome in outcomes)
    end = max(outcome.span[1] for outcome in outcomes)
    most = max(consumer.peak_backlog for outcome in outcomes for consumer in outcome.consumers)
    panels, top = [], 34
    for outcome, caption in zip(outcomes, captions):
        panel = _Panel(outcome, top, (begin, end), max(most, 1))
        panels += list(panel.draw(caption))
        top = panel.bottom
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{top}" fill="#fff"/>',
            _text(_WIDTH / 2, 28, title, kind="title", anchor="middle"),
            *panels,
            "</svg>\n",
        ]
    )


class _Panel:
    """One run: axes, the shaded spike, a curve for each consumer, the legend."""

    def __init__(self, outcome: Outcome, top: float, span: tuple[float, float], most: int) -> None:
        self._outcome = outcome
        self._top = top + _HEAD - 24
        self._begin, self._end = span
        self._most = most * 1.05
        self.bottom = round(self._top + _PLOT + _TIMES + _LINE * len(outcome.consumers) + 16)

    def draw(self, caption: str) -> Iterator[str]:
        """Its elements."""
        yield _text(_LEFT, self._top - 8, caption)
        yield from self._spike()
        yield from self._axes()
        for number, consumer in enumerate(self._outcome.consumers):
            yield self._curve(consumer, dashes(self._outcome, number))
            yield from self._legend(consumer, number)

    def _x(self, seconds: float) -> float:
        return _LEFT + (seconds - self._begin) / (self._end - self._begin) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, messages: float) -> float:
        return self._top + _PLOT * (1 - messages / self._most)

    def _spike(self) -> Iterator[str]:
        x, end = self._x(0), self._x(self._outcome.spike_seconds)
        yield f'<rect x="{x:.1f}" y="{self._top:.1f}" width="{end - x:.1f}" height="{_PLOT}" fill="{SPIKE_COLOUR}"/>'
        yield _text((x + end) / 2, self._top + 14, "the spike", kind="small", anchor="middle")

    def _axes(self) -> Iterator[str]:
        right, bottom = _WIDTH - _RIGHT, self._top + _PLOT
        for messages in ticks(0, self._most, 6):
            y = self._y(messages)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
            yield _text(_LEFT - 8, y + 4, f"{messages:,.0f}", anchor="end")
        for seconds in ticks(self._begin, self._end, 12):
            x = self._x(seconds)
            yield f'<path class="grid" d="M{x:.1f} {self._top:.1f}V{bottom:.1f}"/>'
            yield _text(x, bottom + 17, f"{seconds:g}", anchor="middle")
        yield f'<path class="axis" fill="none" d="M{_LEFT} {self._top:.1f}V{bottom:.1f}H{right}"/>'
        yield _text((_LEFT + right) / 2, bottom + 34, "seconds since the spike began", kind="small", anchor="middle")
        middle = self._top + _PLOT / 2
        yield (
            f'<text class="small" text-anchor="middle" transform="translate(20 {middle:.1f}) rotate(-90)">'
            f"messages waiting</text>"
        )

    def _curve(self, consumer: ConsumerOutcome, dash: str) -> str:
        points = self._outcome.points[consumer.name]
        line = "L".join(self._at(point) for point in points)
        broken = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<path class="curve" stroke="{colour_of(consumer.name)}"{broken} d="M{line}"/>'

    def _at(self, point: Point) -> str:
        return f"{self._x(point.time - self._outcome.spike_began):.1f} {self._y(min(point.waiting, self._most)):.1f}"

    def _legend(self, consumer: ConsumerOutcome, number: int) -> Iterator[str]:
        y = self._top + _PLOT + _TIMES + _LINE * (number + 0.6)
        yield f'<rect x="{_LEFT}" y="{y - 9:.1f}" width="12" height="10" fill="{colour_of(consumer.name)}"/>'
        yield _text(_LEFT + 20, y, consumer.name)
        yield _text(_LEFT + 130, y, legend(consumer))


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    which = f' class="{kind}"' if kind else ""
    return f'<text{which} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
