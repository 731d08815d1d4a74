# SPDX-License-Identifier: LGPL-2.1-or-later
"""The terminal's other screen, as rich paints it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from .view import Frame

#: What the words mean that lines are styled with. Only the terminal's own colours, which its owner has chosen.
STYLES = {
    "": Style.null(),
    "title": Style(bold=True),
    "hint": Style(dim=True),
    "key": Style(bold=True),
    "heading": Style(dim=True, underline=True),
    "sorted": Style(bold=True, underline=True),
    "name": Style.null(),
    "figure": Style.null(),
    "nothing": Style(dim=True),
    "good": Style(color="green"),
    "warning": Style(color="yellow"),
    "bad": Style(color="red", bold=True),
}


class Screen:
    """Where frames are shown."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows: the terminal's own, whatever COLUMNS and LINES say, since it can be resized."""
        return os.get_terminal_size(self._console.file.fileno())

    def show(self, frame: Frame) -> None:
        """Paint it over what was there."""
        self._console.size = ConsoleDimensions(*self.size)
        self._live.update(_Painted(frame), refresh=True)


class _Painted:
    """A frame as rich wants it: in pieces, of which it interprets nothing."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._frame.lines:
            yield from (Segment(text, STYLES[style]) for text, style in line)
            yield Segment.line()


@contextmanager
def opened(output: TextIO, environment: Mapping[str, str]) -> Iterator[Screen]:
    """The other screen, for as long as the context lasts; then there is the first one again, as it was."""
    console = Console(
        file=output,
        force_terminal=True,
        no_color=bool(environment.get("NO_COLOR")),  # https://no-color.org
        legacy_windows=False,
    )
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield Screen(console, live)
