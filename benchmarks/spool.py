# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog: how fast messages are accepted on disk, and how a process starts with a large one.

It is the disk of the directory for temporary files that is measured; `TMPDIR` names another one. On a file system in
memory nothing waits for a disk, and the figures mean nothing.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from glasshub.message import Frame
from glasshub.spool import Log

from .figures import Figure, Target, figure, take_turns
from .letters import letters
from .processes import Child

#: A message for one of these costs as much as one for all: it is stored once.
_CONSUMERS = ("badges", "notifications", "irc")

_ACCEPTED = Target(20_000, is_floor=True)
_STARTED, _FIRST, _RESIDENT = Target(5.0), Target(1.0), Target(150.0)

#: What a worker is given at once.
_WINDOW = 64


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure."""
    seconds, turns, queued = (0.2, 1, 20_000) if quick else (3.0, 5, 1_000_000)
    batches = (12, 64, 200)
    results = take_turns({str(size): partial(_accepted, size, seconds) for size in batches}, turns)
    for size in batches:
        yield figure(f"accepted, synchronous FULL, batches of {size}", results[str(size)], "messages/s", _ACCEPTED)
    yield from _large(queued)


def _accepted(size: int, seconds: float) -> float:
    """Messages a second that one thread appends, with nobody taking any."""
    batches = _batches(size)
    with _scratch() as directory, Log(Path(directory, "spool"), consumers=_CONSUMERS) as log:
        log.append(next(batches))
        accepted, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            accepted += len(log.append(next(batches)))
        return accepted / (time.perf_counter() - began)


def _large(queued: int) -> Iterator[Figure]:
    with _scratch() as directory:
        with Log(Path(directory, "spool"), consumers=_CONSUMERS) as log:
            for batch in itertools.islice(_batches(200), queued // 200):
                log.append(batch)
        with Child("benchmarks.spool", directory=Path(directory)) as child:
            opened, first, delivered, resident = map(float, child.line().split())
    waiting = f"{queued:,} messages waiting"
    yield Figure(f"{waiting}: open the log", opened, "s", _STARTED)
    yield Figure(f"{waiting}: first message after that", first, "s", _FIRST)
    yield Figure(f"{waiting}: given and acknowledged, windows of {_WINDOW}", delivered, "messages/s")
    yield Figure(f"{waiting}: resident memory of the process, at its highest", resident, "MB", _RESIDENT)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="glasshub-bench-spool-")


def _batches(size: int) -> Iterator[Sequence[tuple[Frame, tuple[int, ...]]]]:
    supply = itertools.cycle(letters())
    everybody = tuple(range(len(_CONSUMERS)))
    while True:
        yield [
            (Frame(letter.topic, letter.stamped(time.monotonic_ns()), time.monotonic_ns()), everybody)
            for letter in itertools.islice(supply, size)
        ]


def main() -> None:
    """Open the log in this directory, and have consumers work on it for a while."""
    began = time.perf_counter()
    with Log("spool", consumers=_CONSUMERS) as log:
        opened = time.perf_counter()
        entries = log.take(0, _WINDOW)
        first = time.perf_counter()
        given = 0
        while entries and time.perf_counter() < first + 3.0:
            log.acknowledge(given % len(_CONSUMERS), [entry.seq for entry in entries])
            given += len(entries)
            entries = log.take(given % len(_CONSUMERS), _WINDOW)
        ended = time.perf_counter()
        print(opened - began, first - opened, given / (ended - first), _resident_mb(), flush=True)
        sys.stdin.read()


def _resident_mb() -> float:
    """The peak, as the system noted it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{os.getpid()}/status tells no VmHWM")


if __name__ == "__main__":
    main()
