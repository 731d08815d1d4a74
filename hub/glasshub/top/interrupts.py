# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals, of which none may end or stop the process while its terminal is not as it was."""

from __future__ import annotations

import os
import signal
from types import FrameType

from ..wakeup import Wakeup

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CAUGHT = (*_ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


class Interrupts:
    """Notes signals for as long as the context lasts.

    The system's own handler ends a sleep: Python's runs between two steps of the program, and a signal that comes when
    these are over and the sleep has not begun would wait for the end of it.

    Threads: main thread only.
    """

    def __init__(self) -> None:
        self._wakeup = Wakeup()
        self._fd_before = -1
        self._came: set[int] = set()
        self._before = {number: signal.getsignal(number) for number in _CAUGHT}

    def __enter__(self) -> Interrupts:
        for number, before in self._before.items():
            if before is not signal.SIG_IGN:  # nohup, or a shell without jobs
                signal.signal(number, self._note)
        self._fd_before = signal.set_wakeup_fd(self._wakeup.ringer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._wakeup.close()

    def fileno(self) -> int:
        """What to sleep on until a signal comes."""
        return self._wakeup.fileno()

    @property
    def ended_by(self) -> int:
        """The signal that wants the process to end; 0 if there is none."""
        return next((number for number in _ENDING if number in self._came), 0)

    @property
    def has_stopped(self) -> bool:
        """Whether the process is to be stopped, or was: then the terminal may be in any state."""
        return signal.SIGTSTP in self._came or signal.SIGCONT in self._came

    def clear(self) -> None:
        """Sleep again until the next signal; whether the process ends, or is to be stopped, is not forgotten."""
        self._wakeup.clear()

    def resume(self) -> None:
        """Stop, if a signal has asked for that, as it would have had the process do; return when it goes on."""
        if signal.SIGTSTP in self._came:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._note)
        self._came -= {signal.SIGTSTP, signal.SIGCONT}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(number)
        self._wakeup.ring()  # once more: what the system's handler has rung may have been cleared before this was noted
