# SPDX-License-Identifier: LGPL-2.1-or-later
"""What consumers write down of a run, whatever hub they are in.

What is asked of them they find in the environment, which reaches consumers in fedmsg-hub as well.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Where they write.
DIRECTORY = "GLASSHUB_BENCH_DIRECTORY"

#: How many messages make a run, and how many of them, the last ones, count where a tally goes by its own clock.
MESSAGES, COUNTED = "GLASSHUB_BENCH_MESSAGES", "GLASSHUB_BENCH_COUNTED"


class Tally:
    """Counts messages, and writes down when the last one came. Threads: one.

    Attributes:
        left: How many messages are to come.
    """

    def __init__(self, name: str) -> None:
        self.left = int(os.environ[MESSAGES])
        self._path = path_of(name, Path(os.environ[DIRECTORY]))

    def note(self, body: Any) -> None:
        """Count one."""
        self.left -= 1
        if not self.left:
            self.finish(f"{time.monotonic_ns()}")

    def finish(self, text: str) -> None:
        """Have the file appear, whole."""
        temporary = self._path.with_suffix(".part")
        temporary.write_text(text, encoding="ascii")
        temporary.rename(self._path)


class Delays(Tally):
    """Collects how long ago each message was published, in nanoseconds, and writes that down too."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._delays = array("q")

    def note(self, body: Any) -> None:
        """Collect one."""
        self._delays.append(time.monotonic_ns() - body["published_ns"])
        super().note(body)

    def finish(self, text: str) -> None:
        """See `Tally.finish`."""
        super().finish(" ".join([text, *map(str, self._delays)]))


class Span(Tally):
    """Writes down, too, when the first message came that counts; those before it warm the consumer up."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._first = self.left - int(os.environ[COUNTED])
        self._began_ns = 0

    def note(self, body: Any) -> None:
        """Count one."""
        if not self._first:
            self._began_ns = time.monotonic_ns()
            began_at(self._path).touch()
        self._first -= 1
        super().note(body)

    def finish(self, text: str) -> None:
        """See `Tally.finish`."""
        super().finish(f"{text} {self._began_ns}")


class Share:
    """Writes down when each message came, in a file that several processes append to. Threads: any."""

    def __init__(self, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path_of(name, Path(os.environ[DIRECTORY])), flags, 0o600)

    def note(self, body: Any) -> None:
        """Write a line, in one go, so that lines of several processes do not mix."""
        os.write(self._file, b"%d\n" % time.monotonic_ns())


#: By the consumers that keep them.
TALLIES: dict[str, Callable[[str], Tally | Share]] = {
    "Noop": Tally,
    "Late": Delays,
    "Work": Tally,
    "Span": Span,
    "Part": Share,
}


def began_at(path: Path) -> Path:
    """What appears beside a tally when its first message has come that counts."""
    return path.with_suffix(".began")


def path_of(name: str, directory: Path) -> Path:
    """The file of the consumer of that name: when it finished, and then its delays, all in nanoseconds."""
    return directory / f"{name}.tally"
