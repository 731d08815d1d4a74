# SPDX-License-Identifier: LGPL-2.1-or-later
"""A picture as lines for a terminal of some size. Nothing here knows what a terminal is."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glasshub_stats.table import printable

from . import layout
from .columns import (
    FIGURES,
    HUB_FIGURES,
    PRODUCER_FIGURES,
    SORTABLE,
    STATES,
    Column,
    Row,
    named_like,
    sorted_by,
    state_word,
)
from .controls import KEYS, Controls
from .glyphs import Glyphs
from .layout import Line
from .model import HubRow, Picture

#: Rows of the terminal for each of which one may be taken by a hub.
_ROWS_PER_HUB = 4

#: Sentences that are shown even where consumers want all the room.
_SENTENCES = 4


@dataclass(frozen=True)
class Frame:
    """A screen.

    Attributes:
        lines: From the top, as many as the terminal has, each as wide as it at most.
        page: How many of them scroll.
        last: The offset from which the end is seen.
    """

    lines: Sequence[Line]
    page: int
    last: int

    @property
    def text(self) -> str:
        """Without the styles."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines)


@dataclass(frozen=True)
class Terminal:
    """Where it is shown: columns, rows, and the characters that can be shown there."""

    width: int
    height: int
    glyphs: Glyphs


def frame(picture: Picture, controls: Controls, terminal: Terminal, *, every: float) -> Frame:
    """What to show.

    Args:
        picture: What there is.
        controls: What is wanted of it.
        terminal: Where.
        every: Seconds from look to look.
    """
    if controls.has_help:
        return _composed([[("glasshub top: help", "title")], []], _help(), [], controls, terminal)
    table = layout.consumers(picture, width=terminal.width, glyphs=terminal.glyphs, every=every)
    column = SORTABLE[controls.sort]
    rows = sorted_by(named_like(picture.consumers, controls.filter), column, is_reversed=controls.is_reversed)
    arrow = terminal.glyphs.falling if column.is_falling != controls.is_reversed else terminal.glyphs.rising
    head = [_title(picture, controls, every), *_hubs(picture, terminal), [], *table.heading(column.heading, arrow)]
    body = [_later(table, row) for row in rows] or [_line(_nobody(controls))]
    body += _producers(picture, controls, terminal)
    return _composed(head, body, picture.attention, controls, terminal)


def _composed(
    head: Sequence[Line],
    body: Sequence[Callable[[], Line]],
    sentences: Sequence[str],
    controls: Controls,
    terminal: Terminal,
) -> Frame:
    """Head, as much of the body as there is room for, sentences below it, and what keys there are."""
    room = max(terminal.height - len(head) - 1, 0)
    below = _attention(sentences, terminal.width, max(room - len(body), min(_SENTENCES, room // 3)))
    page = room - len(below)
    last = max(len(body) - page, 0)
    first = min(controls.offset, last)
    shown = [line() for line in body[first : first + page]]
    shown += [[]] * (page - len(shown))
    position = f"{first + 1}-{min(first + page, len(body))} of {len(body)}" if last else ""
    above = [*head, *shown, *below][: max(terminal.height - 1, 0)]
    return Frame([_clipped(line, terminal) for line in (*above, _footer(controls, position))], page, last)


def _later(table: layout.Table[Row], row: Row) -> Callable[[], Line]:
    """Rows out of sight are not drawn."""
    return lambda: table.row(row)


def _nobody(controls: Controls) -> Line:
    if controls.filter:
        return [(f"no consumer has {printable(controls.filter)!r} in its name", "hint")]
    return [("no consumers", "hint")]


def _title(picture: Picture, controls: Controls, every: float) -> Line:
    column = SORTABLE[controls.sort]
    clock = time.strftime("%H:%M:%S", time.localtime(picture.time))
    line = [("glasshub top", "title"), (f"   {clock}   every {every:g} s   sorted by {column.key}", "hint")]
    if controls.is_reversed:
        line.append((", reversed", "hint"))
    if controls.filter and not controls.is_typing:
        line.append((f"   only *{printable(controls.filter)}*", "warning"))
    if controls.is_paused:
        line.append(("   PAUSED", "warning"))
    return line


def _hubs(picture: Picture, terminal: Terminal) -> list[Line]:
    """The hubs, in their order; where there are too many of them, the worst, and how many more there are."""
    table = layout.hubs(picture, width=terminal.width, glyphs=terminal.glyphs)
    most = max(terminal.height // _ROWS_PER_HUB, 1)
    shown: Sequence[HubRow] = picture.hubs
    more: list[Line] = []
    if len(shown) > most:
        worst = sorted(shown, key=lambda hub: hub.state.gravity)
        shown, rest = worst[: most - 1], worst[most - 1 :]
        unwell = sum(not hub.state.is_well for hub in rest)
        more = [[(f"and {len(rest)} more, {unwell or 'none'} of them not ok", "warning" if unwell else "hint")]]
    return [*table.heading(), *map(table.row, shown), *more]


def _producers(picture: Picture, controls: Controls, terminal: Terminal) -> list[Callable[[], Line]]:
    """Producers stand behind the consumers, under a heading of their own."""
    rows = named_like(picture.producers, controls.filter)
    if not rows:
        return []
    table = layout.producers(picture, width=terminal.width, glyphs=terminal.glyphs)
    head = [_line(line) for line in ([], *table.heading())]
    return head + [_later(table, row) for row in rows]


def _line(line: Line) -> Callable[[], Line]:
    return lambda: line


def _attention(sentences: Sequence[str], width: int, room: int) -> list[Line]:
    """The sentences, whole and under an empty line if there is room; or the first, and how many more there are."""
    marked = [f"! {sentence}" for sentence in sentences]
    whole = [line for sentence in marked for line in textwrap.wrap(sentence, width, subsequent_indent="  ")]
    if len(whole) < room:
        return [[(line, "warning")] for line in ["", *whole] if whole]
    if len(marked) > room:
        kept = max(room - 1, 0)
        marked = [*marked[:kept], f"! and {len(marked) - kept} more, see glasshub stats"][:room]
    return [[(line, "warning")] for line in marked]


def _footer(controls: Controls, position: str) -> Line:
    if controls.is_typing:
        return [("filter: ", "key"), (printable(controls.filter) + "_", ""), ("   Enter keep   Esc clear", "hint")]
    line: Line = []
    for key, what in _HELP_HINTS if controls.has_help else _HINTS:
        line += [(key, "key"), (f" {what}   ", "hint")]
    return [*line, (position, "hint")]


_HINTS = (("q", "quit"), ("h", "help"), ("s", "sort"), ("r", "reverse"), ("/", "filter"), ("space", "pause"))
_HELP_HINTS = (("h", "back"), ("up down", "scroll"), ("q", "quit"))


_NOTES = (
    "Rates, wait and processing are those of the last interval. Durations have",
    "their unit: us and ms are millionths and thousandths of a second, s m h d.",
)


def _help() -> list[Callable[[], Line]]:
    lines: list[Line] = [[("keys", "heading")], *_explained(KEYS, 17)]
    lines += [[], [("hubs", "heading")], *_explained(_meanings(HUB_FIGURES), 17)]
    lines += [[], [("consumers", "heading")], *_explained(_meanings(FIGURES), 17)]
    lines += [[], [("producers", "heading")], *_explained(_meanings(PRODUCER_FIGURES), 17)]
    states = [(state_word(state), meaning) for state, meaning in STATES]
    lines += [[], [("states", "heading")], *_explained(states, 17)]
    lines += [[], *([(note, "hint")] for note in _NOTES)]
    return [_line(line) for line in lines]


def _meanings(columns: Sequence[Column[Row]]) -> list[tuple[str, str]]:
    return [(" ".join(column.heading).strip(), column.meaning) for column in columns if column.meaning]


def _explained(pairs: Sequence[tuple[str, str]], width: int) -> list[Line]:
    return [[(f"  {what:<{width}} ", "name"), (meaning, "figure")] for what, meaning in pairs]


def _clipped(line: Line, terminal: Terminal) -> Line:
    """As much of the line as the terminal is wide, in characters that it can show."""
    clipped: Line = []
    left = terminal.width
    for text, style in line:
        width = terminal.glyphs.width(text)
        if width > left:
            return [*clipped, (terminal.glyphs.fit(text, left), style)]
        clipped.append((terminal.glyphs.fit(text, width), style))
        left -= width
    return clipped
