# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much of their time consumers compute: what their processes have taken of the CPU, against how long they were
busy. The rest they wait, and then others may use the interpreter that all of a process share."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from glasshub_stats import Snapshot

#: Shape in which the consumers are not in the hub's own process.
_PROCESSES = "processes"


class ComputingMeter:
    """Measures from one snapshot of a hub on this host to another."""

    def __init__(self, before: Snapshot | None) -> None:
        """Begin; None measures from the hub's start."""
        self._before = before
        self._cpu_seconds = 0.0 if before is None else _of_hub(before)

    def share(self, now: Snapshot) -> float:
        """The part that was computing, 0 to 1; NaN where nobody can tell, or nothing was done."""
        busy = sum(consumer.processing.total for consumer in now.since(self._before).consumers)
        computed = _of_hub(now) - self._cpu_seconds
        if not busy or computed < 0:  # what processes had computed that have ended meanwhile is not in it any more
            return math.nan
        return min(computed / busy, 1.0)


def _of_hub(snapshot: Snapshot) -> float:
    """Seconds that the processes that run a hub's consumers have computed; NaN where nobody can tell."""
    try:
        is_apart = snapshot.hub.shape == _PROCESSES
        return sum(map(_of_process, _children(snapshot.pid) if is_apart else [snapshot.pid]))
    except (OSError, IndexError, ValueError):
        return math.nan


def _children(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the thread has just ended
            yield from map(int, (thread / "children").read_text(encoding="ascii").split())


def _of_process(pid: int) -> float:
    """User and system time; the name in front of the fields may hold anything (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")
