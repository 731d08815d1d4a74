# SPDX-License-Identifier: LGPL-2.1-or-later
"""A terminal with a process in it: keys go in, what is painted comes out, and its modes can be compared."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .hubs import DEADLINE

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_HOME = "\x1b[H"
_OTHER_SCREEN, _FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
_NO_CURSOR, _CURSOR = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """The master's side of a pseudo terminal, and the process that the terminal controls."""

    def __init__(
        self, command: Sequence[str], *, columns: int = 80, rows: int = 24, environment: Mapping[str, str] | None = None
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(columns, rows)
        self.modes_before = self.modes()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.output = ""
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", "TZ": "UTC", **(environment or {})},
            start_new_session=True,
            preexec_fn=_control,  # noqa: PLW1509  # the child only execs
        )

    def resize(self, columns: int, rows: int) -> None:
        """Change its size; the kernel tells the process in the foreground."""
        self._rows, self._columns = rows, columns
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """As stty(1) shows them."""
        return termios.tcgetattr(self._slave)

    def set_modes(self, modes: list[Any]) -> None:
        """As stty(1) sets them."""
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    @property
    def frame(self) -> str:
        """The latest whole picture of the terminal's size, without colours; nothing if there is none yet."""
        for painted in reversed(self.output.split(_HOME)):
            lines = _COLOURS.sub("", painted.replace("\r", "")).split("\n")
            if len(lines) == self._rows and all(len(line) == self._columns for line in lines):
                return "\n".join(line.rstrip() for line in lines)
        return ""

    def is_on_first_screen(self) -> bool:
        """Whether the cursor can be seen, on the screen where it was when the process began."""
        return self._is_latest(_FIRST_SCREEN, _OTHER_SCREEN) and self._is_latest(_CURSOR, _NO_CURSOR)

    def wait_for(self, holds: Callable[[str], object], what: str, *, deadline: float = DEADLINE) -> str:
        """The first frame of which that holds."""
        end = time.monotonic() + deadline
        while not holds(self.frame):
            assert time.monotonic() < end, f"waited {deadline} s in vain for {what}; there is:\n{self.output[-4000:]}"
            self._read(0.05)
        return self.frame

    def wait_for_text(self, text: str) -> str:
        """The first frame with that text in it."""
        return self.wait_for(lambda frame: text in frame, repr(text))

    def wait(self) -> int:
        """The exit code of the process, when it ends; then all of its output is there."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it has not ended; there is:\n{self.output[-4000:]}"
            self._read(0.05)
        while self._read(0.0):
            pass
        return self.process.returncode

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def close(self) -> None:
        """See to it that the process is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()

    def _is_latest(self, one: str, other: str) -> bool:
        return self.output.rfind(one) >= self.output.rfind(other)

    def _read(self, patience: float) -> bool:
        """Take what has come in that many seconds."""
        if not select.select([self._master], [], [], patience)[0]:
            return False
        with suppress(OSError):
            self.output += self._decoder.decode(os.read(self._master, 65536))
        return True


def _control() -> None:
    """Become what a login makes: nothing is ignored because those who started the tests ignore it, as nohup does."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
