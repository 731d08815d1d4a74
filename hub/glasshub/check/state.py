# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a hub's segment said when a check looked last, kept in a file of its caller.

Nagios runs a plugin anew for each look. So that a check can judge what happened since the last one, and two callers
do not take it from each other, each has a file: a line that says what it is, and the counters as JSON.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from glasshub_stats import Interval, Snapshot
from glasshub_stats.interval import CONSUMER_COUNTERS, CONSUMER_LEVELS, HUB_COUNTERS

from ..errors import HubError
from ..paths import private_directory, temporary_directory
from ..replacing import replace_file

#: The first line. A file without it is none of ours, and stays as it is.
_MAGIC = "glasshub check state 1\n"

_OF_CONSUMER = CONSUMER_COUNTERS + CONSUMER_LEVELS
_OF_PRODUCER = ("failures",)

#: No hub has so many consumers.
_MOST_BYTES = 16 << 20


class StateError(HubError):
    """The file cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a snapshot: as much as an interval that begins with it, and any check, takes of it."""

    generation: int
    taken_ns: int
    hub: Any
    consumers: list[Any]
    producers: list[Any]

    def until(self, newer: Snapshot) -> Interval | None:
        """What happened since; None if the hub was started in between."""
        if self.generation != newer.generation or self.taken_ns > newer.taken_ns:
            return None
        return newer.since(cast(Snapshot, self))  # it has all that is asked of it


def own_place(owner: str) -> Path:
    """Where a user keeps what nobody has named a file for: below the directory for temporary files.

    Raises:
        ConfigError: There is none, or somebody else could put files of theirs there.
    """
    directory = temporary_directory("glasshub-check")
    private_directory(directory, "the directory for the state of checks", "--state")
    return directory / hashlib.sha256(os.fsencode(owner)).hexdigest()[:32]


class StateFile:
    """The file. Threads: one at a time."""

    def __init__(self, path: Path, owner: str) -> None:
        """Name it.

        Args:
            path: Where it is, or will be.
            owner: What is checked. A file that was kept for something else is refused: two that share one would each
                miss what happened between the other's looks.
        """
        self._path = path
        self._owner = owner

    def read(self) -> Kept | None:
        """What was kept last; None if that is nothing, or damaged.

        Raises:
            StateError: The file cannot be read, is not ours, or is not this owner's.
        """
        text = self._text()
        if not text:
            return None
        if not text.startswith(_MAGIC):
            raise self._error("this is no state of a check: name another file")
        try:
            found = json.loads(text[len(_MAGIC) :])
            owner = found["owner"]
            kept = _kept(found)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        if owner != self._owner:
            raise self._error(f"it is kept for {owner!r}, not for {self._owner!r}: give each check a file of its own")
        return kept

    def write(self, snapshot: Snapshot) -> None:
        """Keep this one; whoever reads meanwhile finds the one before.

        Raises:
            StateError: It cannot be written.
        """
        text = _MAGIC + json.dumps({"owner": self._owner, **_contents(snapshot)})
        try:
            replace_file(self._path, text.encode("ascii"), mode=0o600)
        except OSError as error:
            raise self._error(f"cannot keep the reading: {error.strerror}") from error

    def _text(self) -> str:
        try:
            # A FIFO must not hang the check, and a link not lead it to the file of somebody else.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        except OSError as error:
            why = "this is a symbolic link" if error.errno == errno.ELOOP else f"cannot read it: {error.strerror}"
            raise self._error(f"{why}: name another file") from error
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise self._error("this is no state of a check: name another file")
            if status.st_uid != os.geteuid():
                raise self._error(f"it belongs to another user (uid {status.st_uid}): name another file")
            return file.read(_MOST_BYTES).decode("utf-8", "replace")

    def _error(self, reason: str) -> StateError:
        return StateError(f"--state {self._path}: {reason}")


def _contents(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "generation": snapshot.generation,
        "taken_ns": snapshot.taken_ns,
        "hub": _picked(snapshot.hub, HUB_COUNTERS),
        "consumers": {each.name: _picked(each, _OF_CONSUMER) for each in snapshot.consumers},
        "producers": {each.name: _picked(each, _OF_PRODUCER) for each in snapshot.producers},
    }


def _picked(stats: object, counters: Iterable[str]) -> dict[str, float]:
    return {name: getattr(stats, name) for name in counters}


def _kept(found: Mapping[str, Any]) -> Kept:
    """What `_contents` has made; whatever else it is raises."""
    return Kept(
        int(found["generation"]),
        int(found["taken_ns"]),
        _counted("", found["hub"], HUB_COUNTERS),
        [_counted(name, each, _OF_CONSUMER) for name, each in found["consumers"].items()],
        [_counted(name, each, _OF_PRODUCER) for name, each in found["producers"].items()],
    )


def _counted(name: str, found: Mapping[str, Any], counters: Iterable[str]) -> SimpleNamespace:
    """A field that is lacking raises: another version has kept it, and nothing can be compared with it."""
    return SimpleNamespace(name=name, **{counter: found[counter] + 0 for counter in counters})
