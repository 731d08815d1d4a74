# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks, and shows what was seen: live in a terminal, or as lines for whatever else reads them."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice

from ..looking import Look, Watcher
from . import plain, screen
from .controls import Controls
from .glyphs import glyphs_for
from .interrupts import Interrupts
from .keys import Decoder, unbuffered
from .model import Board
from .view import Frame, Terminal, frame

#: Seconds after which an ESC that nothing has followed is the key of that name.
_ESCAPE_PAUSE = 0.05


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        every: Seconds from look to look.
        iterations: After how many intervals to end; 0 for never.
        controls: What is wanted at first.
    """

    every: float
    iterations: int
    controls: Controls


def blocks(
    watcher: Watcher, looks: Sequence[Look], plan: Plan, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """A block of lines for each interval, when it is over.

    Args:
        watcher: Looks.
        looks: What it has seen first.
        plan: What to do.
        sleep: Waits for so many seconds.
    """
    board = Board()
    board.picture(looks, time=time.time())
    for seen in islice(watcher.look_every(plan.every, sleep=sleep), plan.iterations or None):
        yield "\n".join(plain.lines(board.picture(seen, time=time.time()), plan.controls))


def live(watcher: Watcher, looks: Sequence[Look], plan: Plan) -> int:
    """Show a picture in the terminal that keys change, until somebody has had enough.

    Args:
        watcher: Looks.
        looks: What it has seen first.
        plan: What to do.

    Returns:
        The exit code.
    """
    with Interrupts() as interrupts:
        viewer = _Viewer(watcher, looks, plan, interrupts)
        try:
            while viewer.goes_on:
                with _own_terminal() as (keyboard, shown):
                    viewer.watch(keyboard, shown)
                interrupts.resume()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return _hung_up()
        return 128 + interrupts.ended_by if interrupts.ended_by not in (0, signal.SIGINT) else 0


@contextmanager
def _own_terminal() -> Iterator[tuple[int | None, screen.Screen]]:
    """The terminal's keys, if there are any, and its other screen."""
    keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    with nullcontext() if keyboard is None else unbuffered(keyboard), screen.opened(sys.stdout, os.environ) as shown:
        yield keyboard, shown


def _hung_up() -> int:
    """The terminal is gone: what is still to be written would be an error once more when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGHUP


class _Viewer:
    """The person in front of the terminal, so to say: what is wanted, what there is to see, and when to look anew."""

    def __init__(self, watcher: Watcher, looks: Sequence[Look], plan: Plan, interrupts: Interrupts) -> None:
        self._watcher = watcher
        self._plan = plan
        self._interrupts = interrupts
        self._glyphs = glyphs_for(os.environ, sys.stdout.encoding)
        self._controls = plan.controls
        self._board = Board()
        self._decoder = Decoder()
        self._intervals = 0
        self._due = time.monotonic() + plan.every
        self._picture = self._board.picture(looks, time=time.time())
        self._frame = Frame([], 0, 0)

    @property
    def goes_on(self) -> bool:
        """Whether there is more to be shown."""
        is_done = self._plan.iterations and self._intervals >= self._plan.iterations
        return not (is_done or self._controls.is_over or self._interrupts.ended_by)

    def watch(self, keyboard: int | None, shown: screen.Screen) -> None:
        """Show what there is until that is enough, or the terminal has to be given back for a while."""
        while self.goes_on and not self._interrupts.has_stopped:
            self._interrupts.clear()
            self._look()
            self._show(shown)
            self._wait(keyboard)

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = max(self._due + self._plan.every, now)
        self._intervals += 1
        picture = self._board.picture(self._watcher.look(), time=time.time())
        if not self._controls.is_paused:
            self._picture = picture

    def _show(self, shown: screen.Screen) -> None:
        width, height = shown.size
        terminal = Terminal(width, height, self._glyphs)
        self._frame = frame(self._picture, self._controls, terminal, every=self._plan.every)
        # Who scrolls up shall not first have to take back what was scrolled below the end.
        self._controls = replace(self._controls, offset=min(self._controls.offset, self._frame.last))
        shown.show(self._frame)

    def _wait(self, keyboard: int | None) -> None:
        """Until it is time for the next look, a key is pressed, or a signal comes."""
        sources = [self._interrupts.fileno()] + ([keyboard] if keyboard is not None else [])
        left = max(self._due - time.monotonic(), 0.0)
        patience = min(left, _ESCAPE_PAUSE) if self._decoder.is_waiting else left
        ready, _, _ = select.select(sources, [], [], patience)
        if keyboard in ready:
            self._read(keyboard)
        elif not ready:
            self._press(self._decoder.flush())

    def _read(self, keyboard: int) -> None:
        data = os.read(keyboard, 1024)
        if not data:  # it has hung up
            self._controls = replace(self._controls, is_over=True)
        self._press(self._decoder.feed(data))

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            self._controls = self._controls.pressed(key, page=max(self._frame.page, 1))
