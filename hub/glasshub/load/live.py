# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is shown while a run goes on: a table that moves, given a terminal; else a line now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from glasshub_stats import ConsumerInterval

from .record import Point, Record
from .text import NOTHING, bar, duration, rate, sparkline

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

#: Shows what goes on: which phase it is, and what has been seen.
Show = Callable[[str, Record], None]

#: Makes what shows a run while it goes on.
View = Callable[[], AbstractContextManager[Show]]


class Plan(Protocol):
    """What there is to know of a run beforehand."""

    @property
    def command(self) -> str:
        """Which command runs it."""

    @property
    def kind(self) -> str:
        """What the load is called."""

    @property
    def load(self) -> str:
        """How much it is, in a few words."""

    @property
    def quietly(self) -> str:
        """How much there is before and after it."""

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 if nobody knows."""


#: Seconds between two lines, and between two pictures of the table.
_LINE_EVERY = 2.0
_DRAW_EVERY = 0.25

_BAR = 30

#: Columns of the terminal that the panel takes at most, and what it takes without the curves.
_WIDEST = 100
_TEXT = 75

_COLUMNS = (
    ("consumer", "left"),
    ("waiting", "right"),
    ("trend", "left"),
    ("in/s", "right"),
    ("out/s", "right"),
    ("p50", "right"),
    ("p95", "right"),
    ("oldest", "right"),
    ("catch-up", "right"),
    ("failed", "right"),
)


@contextmanager
def table(plan: Plan) -> Iterator[Show]:
    """Shows a run as a table in the terminal, until the context ends."""
    from rich.live import Live

    drawn = 0.0
    with Live(auto_refresh=False, transient=True) as live:

        def show(phase: str, record: Record) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= _DRAW_EVERY:
                drawn = now
                live.update(picture(plan, phase, record, live.console.width), refresh=True)

        yield show


@contextmanager
def progress(plan: Plan, say: Callable[[str], None]) -> Iterator[Show]:
    """Shows a run as a line every two seconds, and one at the end."""
    said, phase_said = 0.0, ""

    def show(phase: str, record: Record) -> None:
        nonlocal said, phase_said
        now = time.monotonic()
        if now - said >= _LINE_EVERY or phase != phase_said:
            said, phase_said = now, phase
            say(line(phase, record))

    yield show


def line(phase: str, record: Record) -> str:
    """One line of progress."""
    waiting = ", ".join(f"{name} {points[-1].waiting:,}" for name, points in record.points.items())
    return f"{record.shape:<9} {phase:<12} {record.published.total:>6,} published   waiting: {waiting}"


def picture(plan: Plan, phase: str, record: Record, width: int) -> RenderableType:
    """The table, with what goes on above it, in so many columns of the terminal."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    headline = Text(_headline(plan, phase, record), style="bold yellow" if phase == plan.kind else "bold")
    hint = Text("rates, processing p50 and p95, catch-up: of the last two seconds", style="dim")
    body = Group(headline, Text(""), _table(record, max(min(width, _WIDEST) - _TEXT, 4)), Text(""), hint)
    return Panel(
        body, title=f"glasshub {plan.command} · shape {record.shape}", width=min(width, _WIDEST), padding=(1, 1)
    )


def _headline(plan: Plan, phase: str, record: Record) -> str:
    published = record.published
    if phase == plan.kind:
        passed = time.monotonic() - published.spike_began
        what = f"{plan.load}, {passed:.0f} s"
        if plan.seconds:
            passed = min(passed, plan.seconds)
            what = f"{bar(passed / plan.seconds, _BAR)}  {plan.load}, {passed:.0f} of {plan.seconds:g} s"
    elif phase == "catching up":
        left = sum(points[-1].published - points[-1].finished for points in record.points.values())
        what = f"{time.monotonic() - published.spike_ended:.0f} s since the {plan.kind}, {left:,} to do"
    else:
        what = plan.quietly
    return f"{phase:<12} {what}   {published.total:,} published"


def _table(record: Record, cells: int) -> Table:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for header, side in _COLUMNS:
        grid.add_column(header, justify="right" if side == "right" else "left", no_wrap=True)
    highest = max((point.waiting for points in record.points.values() for point in points), default=0)
    for consumer in record.interval.consumers:
        points = record.points[consumer.name]
        grid.add_row(*_cells(consumer, points, max(highest, 20), cells), style=_style(points[-1]))
    return grid


def _cells(consumer: ConsumerInterval, points: list[Point], highest: int, cells: int) -> list[str]:
    processing = consumer.processing
    return [
        consumer.name,
        f"{points[-1].waiting:,}",
        sparkline(_columns(points), cells, highest),
        rate(consumer.enqueue_rate),
        rate(consumer.processing_rate),
        duration(processing.percentile(50)),
        duration(processing.percentile(95)),
        duration(points[-1].age) if points[-1].waiting else NOTHING,
        _catch_up(points),
        f"{consumer.now.failed:,}",
    ]


def _columns(points: list[Point], seconds: float = 2.0) -> list[float]:
    """What waited, as one number for each column of the sparkline."""
    columns: dict[int, int] = {}
    for point in points:
        column = int((point.time - points[0].time) / seconds)
        columns[column] = max(columns.get(column, 0), point.waiting)
    return list(map(float, columns.values()))


def _catch_up(points: list[Point], seconds: float = 2.0) -> str:
    """In how many seconds nothing will wait, if it goes on as in the last two."""
    now = points[-1]
    if not now.waiting:
        return NOTHING
    before = next((point for point in points if now.time - point.time <= seconds), now)
    shrunk = before.waiting - now.waiting
    if shrunk <= 0:
        return "growing" if shrunk < 0 else NOTHING
    return duration(math.ceil(now.waiting * (now.time - before.time) / shrunk))


def _style(point: Point) -> str:
    return "green" if point.waiting < 10 else "yellow" if point.age < 5 else "red"
