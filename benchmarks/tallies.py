# SPDX-License-Identifier: LGPL-2.1-or-later
"""What consumers write down of a run, whatever hub they are in.

What is asked of them they find in the environment, which reaches consumers in fedmsg-hub as well.
"""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path
from typing import Any

#: Where they write.
DIRECTORY = "GLASSHUB_BENCH_DIRECTORY"

#: How many messages make a run.
MESSAGES = "GLASSHUB_BENCH_MESSAGES"


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


#: By the consumers that keep them.
TALLIES: dict[str, type[Tally]] = {"Noop": Tally, "Late": Delays, "Work": Tally}


def path_of(name: str, directory: Path) -> Path:
    """The file of the consumer of that name: when it finished, and then its delays, all in nanoseconds."""
    return directory / f"{name}.tally"
