# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `threads`: each consumer has a queue of its own, and its own worker thread or threads.

Consumers of one group share a worker thread, which serves their queues in the order in which the messages came:
they never run at the same time, and none of them starves another.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..logs import Repeats
from ..message import Frame
from ..queues import Bell, WorkQueue
from ..segment import SegmentSlots
from ..worker import Lane, WorkerThread
from .base import Station
from .queued import QueuedShape


class ThreadsShape(QueuedShape):
    """A worker thread, or several, for each queue."""

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        grouped: dict[str, tuple[Bell, list[Lane[Frame]]]] = {}
        for station, care in zip(stations, self._cares):
            bell, lanes = grouped.setdefault(station.group, (Bell(), [])) if station.group else (Bell(), [])
            queue = self._queue(bell)
            self._add_queue(station, queue, bell)
            self._bells.append(bell)
            own = [Lane(queue, runner) for runner in station.runners(repeats, care)]
            if station.group:
                lanes += own
                continue
            self._threads += [WorkerThread(f"{station.name}-{n}", [lane], bell) for n, lane in enumerate(own)]
        for group, (bell, lanes) in grouped.items():
            self._threads.append(WorkerThread(f"group-{group}", lanes, bell))

    def _queue(self, bell: Bell) -> WorkQueue[Frame]:
        return WorkQueue(bell)
