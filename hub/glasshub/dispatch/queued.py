# SPDX-License-Identifier: LGPL-2.1-or-later
"""What shapes have in common in which each consumer has a queue of its own: how messages come into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..message import Frame
from ..overflow import Bound
from ..queues import Bell, WorkQueue
from ..segment import SegmentSlots
from .base import Routed, Shape, Station
from .inlet import QueueInlet


class QueuedShape(Shape):
    """A queue for each consumer; who empties it is said elsewhere."""

    def __init__(self, stations: Sequence[Station], segment: SegmentSlots, **more: Any) -> None:
        """See `Shape`."""
        self._bounds: list[Bound] = []
        self._queues: list[WorkQueue[Frame]] = []
        self._inlets: list[QueueInlet] = []
        super().__init__(stations, segment, **more)

    @classmethod
    def workers_of(cls, configured: int) -> int:
        """See `Shape.workers_of`."""
        return configured

    def queue(self, station: int) -> WorkQueue[Frame]:
        """See `Shape.queue`."""
        return self._queues[station]

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
            if not bound.is_bounded or bound.admits(frames):
                self._put(consumer, frames)
                continue
            for fitting in bound.fit(frames):
                self._put(consumer, fitting)

    def _add_queue(self, station: Station, queue: WorkQueue[Frame], bell: Bell | None) -> None:
        """Have messages for a station put there; stations in their order."""
        bound = station.bound(self._overflow, queue)
        self._queues.append(queue)
        self._bounds.append(bound)
        self._inlets.append(QueueInlet(queue, station.injections, bound, bell=bell))

    def _put(self, consumer: int, frames: Sequence[Frame]) -> None:
        slots, queue = self._bounds[consumer].slots, self._queues[consumer]
        slots.enqueued(len(frames))
        queue.put(frames)
        slots.put(len(queue), queue.head_ns(), frames[0].received_ns)
