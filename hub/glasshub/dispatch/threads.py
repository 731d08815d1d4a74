# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `threads`: each consumer has a queue of its own, and its own worker thread or threads.

Consumers of one group share a worker thread, which serves their queues in the order in which the messages came:
they never run at the same time, and none of them starves another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..logs import Repeats
from ..message import Frame
from ..overflow import Bound
from ..queues import Bell, WorkQueue
from ..stats import SegmentWriter
from ..worker import Lane, WorkerThread
from .base import Routed, Shape, Station
from .inlet import QueueInlet


class ThreadsShape(Shape):
    """A queue for each consumer."""

    def _build(self, stations: Sequence[Station], segment: SegmentWriter, repeats: Repeats) -> None:
        self._bounds: list[Bound] = []
        self._queues: list[WorkQueue[Frame]] = []
        self._inlets: list[QueueInlet] = []
        grouped: dict[str, tuple[Bell, list[Lane[Frame]]]] = {}
        for station, care in zip(stations, self._cares):
            bell, lanes = grouped.setdefault(station.group, (Bell(), [])) if station.group else (Bell(), [])
            queue: WorkQueue[Frame] = WorkQueue(bell)
            bound = station.bound(self._overflow, queue)
            self._queues.append(queue)
            self._bounds.append(bound)
            self._inlets.append(QueueInlet(queue, station.injections, bound, bell=bell))
            self._bells.append(bell)
            own = [Lane(queue, runner) for runner in station.runners(repeats, care)]
            if station.group:
                lanes += own
                continue
            self._threads += [WorkerThread(f"{station.name}-{n}", [lane], bell) for n, lane in enumerate(own)]
        for group, (bell, lanes) in grouped.items():
            self._threads.append(WorkerThread(f"group-{group}", lanes, bell))

    @classmethod
    def workers_of(cls, configured: int) -> int:
        """See `Shape.workers_of`."""
        return configured

    def inlet(self, station: int) -> QueueInlet:
        """See `Shape.inlet`."""
        return self._inlets[station]

    def requeue(self, station: int, frame: Frame) -> None:
        """See `Shape.requeue`."""
        self._inlets[station].put_again(frame, self._bounds[station].slots)

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`."""
        frames_of: dict[int, list[Frame]] = defaultdict(list)
        for frame, interested in routed:
            for consumer in interested:
                frames_of[consumer].append(frame)
        for consumer, frames in frames_of.items():
            bound = self._bounds[consumer]
            if not bound.capacity or bound.has_room(len(frames)):
                self._put(consumer, frames)
                continue
            for fitting in bound.fit(frames):
                self._put(consumer, fitting)

    def _put(self, consumer: int, frames: Sequence[Frame]) -> None:
        slots, queue = self._bounds[consumer].slots, self._queues[consumer]
        slots.enqueued(len(frames))
        queue.put(frames)
        head_ns = queue.head_ns()
        # The queue was empty before, or has become so since: its head is one of ours.
        slots.put(len(queue), head_ns if head_ns >= frames[0].received_ns else 0)
