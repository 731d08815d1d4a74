# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tables: which columns there is room for, their headings and rows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

from rich.cells import cell_len

from glasshub_stats.table import duration, printable

from .columns import (
    BROKER,
    CONSUMER,
    EXPENDABLE,
    FIGURES,
    HUB,
    HUB_FIGURES,
    HUB_OF_CONSUMER,
    HUB_OF_PRODUCER,
    HUB_ON_BROKER,
    PRODUCER,
    PRODUCER_FIGURES,
    TREND,
    Column,
    Row,
    state_word,
)
from .glyphs import Glyphs
from .model import REMEMBERED, ConsumerRow, HubRow, Picture, ProducerRow, State

#: A piece of a line, and its style: one of the words in `screen.STYLES`.
Span = tuple[str, str]
Line = list[Span]

#: Columns of the terminal for a name: what it gets before figures go, and at most.
_NAME, _LONGEST_NAME, _LONGEST_HUB = 14, 40, 12

#: For a trend at most; for that of a hub at least, so that there is room for when its figures are of, and for how long
#: they have been, if there is.
_LONGEST_TREND, _HUB_TREND, _SHORTEST_HUB_TREND = 60, 18, len("as of 12:34:56")

#: What says that there is nothing, and can be said softly.
_NOTHING = ("0", "-", "0s")

_DAY = 86400.0


@dataclass(frozen=True)
class Table(Generic[Row]):
    """Columns that fit, and how they are drawn."""

    columns: Sequence[Column[Row]]
    glyphs: Glyphs

    def heading(self, sorted_by: Sequence[str] = (), arrow: str = "") -> list[Line]:
        """Two lines, or one where that is enough.

        Args:
            sorted_by: The heading of the column by which the rows are sorted.
            arrow: What stands beside it.
        """
        return [self._titles(number, sorted_by, arrow) for number in (0, 1) if number or self._has_two_lines()]

    def row(self, row: Row) -> Line:
        """The line of a row."""
        line: Line = []
        for number, column in enumerate(self.columns):
            text = column.text(row)
            cell = self.glyphs.fit(text, column.width, is_left=column.is_left)
            line.append((" " * bool(number) + cell, _style(row.state, number, text)))
        return line

    def _has_two_lines(self) -> bool:
        return any(column.heading[0] for column in self.columns)

    def _titles(self, number: int, sorted_by: Sequence[str], arrow: str) -> Line:
        return [
            self._title(column, number, bool(place), arrow if column.heading == sorted_by else "")
            for place, column in enumerate(self.columns)
        ]

    def _title(self, column: Column[Row], number: int, has_gap: bool, arrow: str) -> Span:
        """The arrow of a column of figures may stand in the gap in front of it."""
        title, arrow = column.heading[number], arrow if number else ""
        style = "sorted" if arrow else "heading" if number else "hint"
        if column.is_left:
            return " " * has_gap + self.glyphs.fit(title + arrow, column.width), style
        return self.glyphs.fit(arrow + title, column.width + has_gap, is_left=False), style


def consumers(picture: Picture, *, width: int, glyphs: Glyphs, every: float) -> Table[ConsumerRow]:
    """The table of consumers."""
    longest = _longest([consumer.name for consumer in picture.consumers], "consumer", _LONGEST_NAME)
    figures = _with_broker(FIGURES, BROKER, picture)
    columns = [replace(CONSUMER, width=min(longest, _NAME)), *_whose(HUB_OF_CONSUMER, picture), *figures]
    chosen = _fitting(columns, width)
    spare = width - _width(chosen)
    name = min(longest, chosen[0].width + max(spare, 0))
    spare -= name - chosen[0].width
    trend = max(min(TREND.width + spare, _LONGEST_TREND), TREND.width)
    return Table([replace(chosen[0], width=name), *_with_trend(chosen[1:], trend, picture, glyphs, every)], glyphs)


def hubs(picture: Picture, *, width: int, glyphs: Glyphs) -> Table[HubRow]:
    """The table of hubs."""
    figures = _with_broker(HUB_FIGURES, HUB_ON_BROKER, picture)
    spare = width - _width(figures) - 1
    longest = _longest([hub.name for hub in picture.hubs], "hub", _LONGEST_NAME)
    least = _HUB_TREND if len(figures) < len(HUB_FIGURES) else _SHORTEST_HUB_TREND
    name = max(min(longest, spare - least - 1), len("hub"))
    trend = max(min(spare - name - 1, _LONGEST_TREND), 0)

    def latest(hub: HubRow) -> str:
        if hub.is_current:
            return glyphs.curve(condensed(hub.trend, trend, picture.looks), trend)
        return _as_of(hub, picture.time, trend)

    last: Column[HubRow] = Column(("", "trend"), trend, latest)
    return Table([replace(HUB, width=name), *figures, last], glyphs)


def producers(picture: Picture, *, width: int, glyphs: Glyphs) -> Table[ProducerRow]:
    """The table of producers."""
    longest = _longest([producer.name for producer in picture.producers], "producer", _LONGEST_NAME)
    columns = [replace(PRODUCER, width=longest), *_whose(HUB_OF_PRODUCER, picture), *PRODUCER_FIGURES]
    name = max(longest - max(_width(columns) - width, 0), len("producer"))
    return Table([replace(PRODUCER, width=name), *columns[1:]], glyphs)


def condensed(values: Sequence[float], cells: int, looks: int) -> Sequence[float]:
    """The values, so few that all that is remembered can be seen in so many cells: the highest of each group.

    A group, once whole, stays what it is while new ones come. How many are in one doubles when there is no room for
    more of them.

    Args:
        values: One for each look, the latest last.
        cells: How many there is room for.
        looks: How many looks there were.
    """
    size = group_size(cells, looks)
    if size == 1:
        return values
    newest = looks % size or size
    ends = range(len(values) - newest, 0, -size)
    groups = [values[max(end - size, 0) : end] for end in reversed(ends)]
    return [_highest(group) for group in (*groups, values[max(len(values) - newest, 0) :]) if group]


def _highest(values: Sequence[float]) -> float:
    """NaN if none is known."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def group_size(cells: int, looks: int) -> int:
    """How many looks stand in one cell."""
    size = 1
    while size * cells < min(looks, REMEMBERED) and size < REMEMBERED:
        size *= 2
    return size


def _whose(column: Column[Row], picture: Picture) -> list[Column[Row]]:
    """The column that says of which hub a row is, where there are several."""
    if len(picture.hubs) < 2:
        return []
    return [replace(column, width=_longest([hub.name for hub in picture.hubs], "hub", _LONGEST_HUB))]


def _with_broker(columns: Sequence[Column[Row]], broker: Column[Row], picture: Picture) -> list[Column[Row]]:
    """Without the column of what is on a broker where no hub has one."""
    has_broker = any(hub.has_broker for hub in picture.hubs)
    return [column for column in columns if has_broker or column is not broker]


def _fitting(columns: Sequence[Column[ConsumerRow]], width: int) -> list[Column[ConsumerRow]]:
    """Those for which there is room."""
    chosen = list(columns)
    for column in EXPENDABLE:
        if _width(chosen) <= width:
            break
        chosen.remove(column)
    return chosen


def _with_trend(
    columns: Sequence[Column[ConsumerRow]], width: int, picture: Picture, glyphs: Glyphs, every: float
) -> list[Column[ConsumerRow]]:
    def curve(consumer: ConsumerRow) -> str:
        return glyphs.curve(condensed(consumer.trend, width, picture.looks), width)

    of_late = duration(group_size(width, picture.looks) * width * every).replace(".0s", "s")
    trend = replace(TREND, width=width, heading=("trend", of_late), text=curve)
    return [trend if column is TREND else column for column in columns]


def _as_of(hub: HubRow, now: float, width: int) -> str:
    """Since when the figures are as they are; and for how long now, if there is room."""
    if math.isnan(hub.as_of):
        return ""
    age = max(now - hub.as_of, 0.0)
    when = time.strftime("as of %H:%M:%S" if age < _DAY else "as of %m-%d %H:%M", time.localtime(hub.as_of))
    whole = f"{when}, {duration(age)} ago"
    return whole if len(whole) <= width else when


def _longest(names: Sequence[str], title: str, most: int) -> int:
    """The width of a column of names, of its title and an arrow."""
    return min(max([len(title) + 1, *(cell_len(printable(name)) for name in names)]), most)


def _width(columns: Sequence[Column[Row]]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def _style(state: State, number: int, text: str) -> str:
    if number == 0 or text == state_word(state):
        return "bad" if state.is_bad else "warning" if not state.is_well else "good" if number else "name"
    is_current = state not in (State.UNKNOWN, State.UNREAD, State.DOWN, State.STOPPED)
    return "figure" if is_current and text not in _NOTHING else "nothing"
