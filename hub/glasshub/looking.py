# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looking at hubs from outside: which segments there are, and what each says now and said before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import Interval, Snapshot, StatsError, read

from .errors import HubError
from .paths import SYSTEM_DIRECTORY, stats_directories

#: How the file of a segment ends; in front of it stands the hub's name.
SUFFIX = ".stats"


class NoSegmentError(HubError):
    """There is no hub to look at."""


@dataclass(frozen=True)
class Look:
    """What one look at a segment has shown.

    Attributes:
        path: The segment.
        snapshot: What it says; None when it cannot be read.
        older: What it said when it could be read last before; None at the first.
        problem: Why it cannot be read; one sentence.
    """

    path: Path
    snapshot: Snapshot | None
    older: Snapshot | None
    problem: str = ""

    @property
    def hub(self) -> str:
        """The hub's name: its own, the one it had, or that of the file."""
        known = self.snapshot or self.older
        return known.hub.name if known is not None else self.path.name.removesuffix(SUFFIX)

    @property
    def interval(self) -> Interval | None:
        """What happened since the look before; None when one of the two did not come off."""
        if self.snapshot is None or self.older is None:
            return None
        return self.snapshot.since(self.older)


def segment_paths(segment: str | None, directory: str | None) -> list[Path]:
    """The segments that an operator means.

    Args:
        segment: A file, or the name of a hub; None for every hub.
        directory: Where segments stand; None for where hubs put them by themselves.

    Returns:
        Every segment found; for a name or a file one path, whether something is there or not.
    """
    directories = _directories(directory)
    if segment is None:
        return sorted(path for each in directories for path in each.glob(f"*{SUFFIX}"))
    if "/" in segment or (segment.endswith(SUFFIX) and os.path.exists(segment)):
        return [Path(segment)]
    paths = [each / (segment.removesuffix(SUFFIX) + SUFFIX) for each in directories]
    return [path for path in paths if os.path.exists(path)][:1] or paths[:1]


def nothing_found(directory: str | None) -> NoSegmentError:
    """What to say when there is no segment at all."""
    searched = ", ".join(map(_described, _directories(directory)))
    return NoSegmentError(
        f"there is no segment (*{SUFFIX}) in {searched}: does a hub run, or has it another --stats-dir?"
    )


class Watcher:
    """Looks at segments again and again, and remembers what each said last.

    Threads: one at a time.
    """

    def __init__(self, segment: str | None, directory: str | None, *, complain: Callable[[str], None]) -> None:
        """Prepare; see `segment_paths`.

        Args:
            segment, directory: What to look at; hubs that come later are seen, and those that go are not forgotten.
            complain: Told each new problem of a segment, once.
        """
        self._segment = segment
        self._directory = directory
        self._complain = complain
        self._snapshots: dict[Path, Snapshot] = {}
        self._problems: dict[Path, str] = {}

    def look(self) -> list[Look]:
        """Read every segment."""
        found = segment_paths(self._segment, self._directory)
        return [self._look(path) for path in dict.fromkeys([*found, *self._problems, *self._snapshots])]

    def look_every(self, interval: float, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[list[Look]]:
        """Read every segment again and again; what was missed, as nobody asked for it in time, is not made up for.

        Args:
            interval: Seconds from look to look; the first is that long after the first `next`.
            sleep: Waits for so many seconds.
        """
        due = time.monotonic()
        while True:
            now = time.monotonic()
            due = max(due + interval, now)
            sleep(due - now)
            yield self.look()

    def _look(self, path: Path) -> Look:
        older = self._snapshots.get(path)
        try:
            snapshot = self._snapshots[path] = read(str(path))
        except StatsError as error:
            if self._problems.get(path) != str(error):
                self._complain(str(error))
            self._problems[path] = str(error)
            return Look(path, None, older, str(error))
        self._problems.pop(path, None)
        return Look(path, snapshot, older)


def _described(directory: Path) -> str:
    """The directory, and whether it was looked into at all."""
    is_closed = os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK, effective_ids=True)
    return f"{directory}, which this user may not read" if is_closed else str(directory)


def _directories(directory: str | None) -> list[Path]:
    return [Path(directory)] if directory else stats_directories() or [SYSTEM_DIRECTORY]
