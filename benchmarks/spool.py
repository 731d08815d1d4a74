# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog: how fast messages are accepted, what it costs a hub, and how one starts with a large one.

It is the disk of the directory for temporary files that is measured; `TMPDIR` names another one. On a file system in
memory nothing waits for a disk, and the figures mean nothing.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import glasshub_stats
from glasshub.message import Frame
from glasshub.spool import Log
from glasshub_stats import Snapshot, StatsError

from .contestants import Glasshub, run_once
from .figures import Figure, Target, figure, percentile, ratio, take_turns
from .letters import letters
from .processes import Child, scratch, wait_for
from .tallies import DIRECTORY, MESSAGES

#: A message for one of these costs as much as one for all: it is stored once.
_CONSUMERS = ("badges", "notifications", "irc")

_ACCEPTED = Target(20_000, is_floor=True)
_STARTED, _FIRST, _RESIDENT = Target(5.0), Target(1.0), Target(150.0)

#: What a worker is given at once.
_WINDOW = 64

#: Messages a second at which a hub with a spool shall be as fast as one without, and by how much slower it may be.
_RATE, _SLOWER = 2000, Target(1.1)

_MEMORY, _SPOOL = "in memory", "with a spool"


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure."""
    seconds, turns, queued = (0.2, 1, 20_000) if quick else (3.0, 5, 1_000_000)
    batches = (12, 64, 200)
    results = take_turns({str(size): partial(_accepted, size, seconds) for size in batches}, turns)
    for size in batches:
        yield figure(f"accepted, synchronous FULL, batches of {size}", results[str(size)], "messages/s", _ACCEPTED)
    yield from _hubs(quick=quick)
    yield from _large(queued)
    yield from _large_hub(queued)


def _accepted(size: int, seconds: float) -> float:
    """Messages a second that one thread appends, with nobody taking any."""
    batches = _batches(size)
    with scratch(on_disk=True) as directory, Log(directory / "spool", consumers=_CONSUMERS) as log:
        log.append(next(batches))
        accepted, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            accepted += len(log.append(next(batches)))
        return accepted / (time.perf_counter() - began)


def _hubs(*, quick: bool) -> Iterator[Figure]:
    """Hubs with one consumer, at a rate and as fast as possible."""
    contestants = {
        _MEMORY: Glasshub(["Late0"], shape="processes"),
        _SPOOL: Glasshub(["Late0"], shape="processes", has_spool=True),
    }
    for what, rate, messages in ((f"{_RATE}/s", _RATE, 5 * _RATE), ("as fast as possible", 0, 30_000)):
        number = messages // 20 if quick else messages
        runs = {name: partial(run_once, one, number, rate, on_disk=True) for name, one in contestants.items()}
        results = take_turns(runs, 1 if quick else 3)
        seconds = {name: [run.seconds for run in turns] for name, turns in results.items()}
        for name, turns in results.items():
            yield figure(f"hub, {what}: {name}", [number / run.seconds for run in turns], "messages/s")
            delays = [percentile(run.delays, 99) * 1e3 for run in turns]
            yield figure(f"hub, {what}: {name}, publish to consume, p99", delays, "ms")
        target = _SLOWER if rate else None
        yield ratio(f"hub, {what}: time {_SPOOL} / {_MEMORY}", seconds[_SPOOL], seconds[_MEMORY], target)


def _large(queued: int) -> Iterator[Figure]:
    with scratch(on_disk=True) as directory:
        _fill(directory / "spool", _CONSUMERS, queued)
        with Child("benchmarks.spool", directory=directory) as child:
            opened, first, delivered, resident = map(float, child.line().split())
    waiting = f"{queued:,} messages waiting"
    yield Figure(f"{waiting}: open the log", opened, "s", _STARTED)
    yield Figure(f"{waiting}: first message after that", first, "s", _FIRST)
    yield Figure(f"{waiting}: given and acknowledged, windows of {_WINDOW}", delivered, "messages/s")
    yield Figure(f"{waiting}: resident memory of the process, at its highest", resident, "MB", _RESIDENT)


def _large_hub(queued: int) -> Iterator[Figure]:
    """A hub that finds so many messages."""
    names = [f"Noop{number}" for number in range(len(_CONSUMERS))]
    with scratch(on_disk=True) as directory:
        (directory / "spool").mkdir(mode=0o700)
        _fill(directory / "spool" / "glasshub", names, queued)
        command = Glasshub(names, shape="processes", has_spool=True).command(f"ipc://{directory}/nobody", directory)
        environment = {DIRECTORY: str(directory), MESSAGES: str(queued)}
        began = time.monotonic()
        with Child(*command, directory=directory, environment=environment) as child:
            segment = f"{directory}/glasshub.stats"
            started = wait_for(partial(_when, segment, child, _is_running), "a hub that runs") - began
            first = wait_for(partial(_when, segment, child, _has_processed), "a message processed") - began
            time.sleep(3.0)  # of work
            resident = resident_mb(child.pid)
    waiting = f"{queued:,} messages waiting"
    yield Figure(f"{waiting}: start of a hub", started, "s", _STARTED)
    yield Figure(f"{waiting}: first message after that", max(first - started, 0), "s", _FIRST)
    yield Figure(f"{waiting}: resident memory of the hub, at its highest", resident, "MB", _RESIDENT)


def _when(segment: str, child: Child, holds: Callable[[Snapshot], bool]) -> float | None:
    """Now, if the hub shows that."""
    child.check()
    try:
        return time.monotonic() if holds(glasshub_stats.read(segment)) else None
    except StatsError:
        return None


def _is_running(snapshot: Snapshot) -> bool:
    return snapshot.status() == "running"


def _has_processed(snapshot: Snapshot) -> bool:
    return all(consumer.processed for consumer in snapshot.consumers)


def _fill(directory: Path, consumers: Sequence[str], queued: int) -> None:
    with Log(directory, consumers=consumers) as log:
        for batch in itertools.islice(_batches(200), queued // 200):
            log.append(batch)


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
        print(opened - began, first - opened, given / (ended - first), resident_mb(os.getpid()), flush=True)
        sys.stdin.read()


def resident_mb(pid: int) -> float:
    """The peak of a process, as the system noted it."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{pid}/status tells no VmHWM")


if __name__ == "__main__":
    main()
