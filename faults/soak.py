# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does a hub stay as large as it is? `python -m faults.soak --minutes 30`

Messages come quietly, with spikes: four in each quarter of the time, so that quarters can be compared. Every two
seconds it is written down how much memory, how many descriptors and threads each process of the hub has, and how large
its files are. A thing is flat when its median in the last quarter is no more than its tolerance above that in the
second quarter; the first one belongs to caches that fill up. In the end the books are audited, as always.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import resident_bytes
from glasshub.dispatch import PROCESSES, SHAPES

from .rig import ImpossibleError, Rig, Setting, children_of
from .runner import FAILURES

_EVERY = 2.0

#: Spikes in the whole time; a quarter of it is spike.
_SPIKES = 16
_SPIKE_RATE, _QUIET_RATE = 1000.0, 20.0

_SETTING = Setting(
    {
        "Quick": ("Quick", {}),
        "Slow": ("Slow", {"settings": {"every": 1, "seconds": 0.0015}}),
        "Forking": ("Forking", {"settings": {"every": 500, "seconds": 0.1}}),
    },
)


class Key(NamedTuple):
    """What is measured: which figure, and of what: a process, told by its role, or a file."""

    figure: str
    of: str


Sample = Mapping[Key, float]


@dataclass(frozen=True)
class Tolerance:
    """How much a figure may grow from the second to the last quarter: a share of itself, and so much more."""

    share: float
    more: float


#: By figure. Allocators do not give everything back, and a write-ahead log is as long as the longest transaction was.
TOLERANCES: Mapping[str, Tolerance] = {
    "memory (KB)": Tolerance(0.03, 2048),
    "descriptors": Tolerance(0.0, 1),
    "threads": Tolerance(0.0, 1),
    "size (KB)": Tolerance(0.10, 1024),
}


@dataclass(frozen=True)
class Trend:
    """How a figure went.

    Attributes:
        key: Which.
        before, after: The median of the second and of the last quarter.
        most: The highest of all.
    """

    key: Key
    before: float
    after: float
    most: float

    @property
    def is_flat(self) -> bool:
        """Whether it stays within its tolerance."""
        tolerance = TOLERANCES[self.key.figure]
        return self.after <= self.before * (1 + tolerance.share) + tolerance.more

    def __str__(self) -> str:
        word = "flat" if self.is_flat else "GROWS"
        figures = f"{self.before:11.0f} {self.after:11.0f} {self.most:11.0f}"
        return f"{word:<6} {self.key.figure:<12} {self.key.of:<28} {figures}"


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """How each figure went.

    Something that was there in one of the two quarters only counts as 0 in the other: what appears late has grown.
    """
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    keys = sorted({key for sample in samples for key in sample})
    return [
        Trend(key, _median(second, key), _median(last, key), max(sample.get(key, 0) for sample in samples))
        for key in keys
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak a hub.

    Returns:
        The exit code: 1 when something grows, or messages are lost.
    """
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="glasshub-soak-") as directory:
        try:
            with Rig(Path(directory), _SETTING, options.shape, has_spool=options.spool) as rig:
                samples = list(_soak(rig, options.minutes * 60))
                accounts, complaints = rig.audit()
        except ImpossibleError as error:
            print(f"not possible here: {error}", file=sys.stderr)
            return 1
        except FAILURES as error:
            print(f"broken: {error}", file=sys.stderr)
            return 1
    found = trends(samples)
    print(f"{'':<6} {'median':<12} {'of':<28} {'2nd quarter':>11} {'last':>11} {'highest':>11}")
    for line in (*found, *accounts, *complaints):
        print(line)
    return int(bool(complaints) or not all(trend.is_flat for trend in found))


def _soak(rig: Rig, seconds: float) -> Iterator[Sample]:
    rig.start()
    start = time.monotonic()
    rig.bus.begin(_QUIET_RATE)
    is_spike = False
    for number in range(int(seconds / _EVERY)):
        time.sleep(max(start + number * _EVERY - time.monotonic(), 0))
        yield measure(rig)
        period = number * _EVERY / seconds * _SPIKES % 1
        if is_spike != (period >= 0.75):
            is_spike = not is_spike
            rig.bus.pause()
            rig.bus.begin(_SPIKE_RATE if is_spike else _QUIET_RATE)
    rig.bus.pause()
    rig.settle()
    rig.stop()


def measure(rig: Rig) -> Sample:
    """All figures of a hub at this moment, but for its log and the diaries of its consumers, which have to grow."""
    sample: dict[Key, float] = {}
    for role, pid in _processes(rig.hub.process.pid):
        try:
            sample[Key("memory (KB)", role)] = resident_bytes(pid) / 1024
            sample[Key("descriptors", role)] = len(os.listdir(f"/proc/{pid}/fd"))
            sample[Key("threads", role)] = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue  # a child of a consumer that has just ended
    for path in (rig.hub.segment, *sorted(rig.spool.glob("*"))):
        sample[Key("size (KB)", path.name)] = path.stat().st_size / 1024
    return sample


def _processes(pid: int) -> Iterator[tuple[str, int]]:
    """The hub's processes that stay: not what a consumer has forked, which has the name of its parent."""
    yield "hub", pid
    own = _command(pid)
    for number, child in enumerate(child for child in sorted(children_of(pid)) if _command(child) not in (b"", own)):
        yield f"child {number}", child


def _command(pid: int) -> bytes:
    """How a process was called; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _median(samples: Sequence[Sample], key: Key) -> float:
    return statistics.median([sample.get(key, 0) for sample in samples] or [0])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--shape", default=PROCESSES, choices=list(SHAPES), help="shape of dispatch")
    parser.add_argument("--no-spool", dest="spool", action="store_false", help="without one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the hub ends as well
    sys.exit(main())
