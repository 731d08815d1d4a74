# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `inline`: as Moksha stood in 2014, the receiving thread hands a message to each consumer in series.

There is no queue of ours: while a consumer works, messages wait in the source's buffer, where nobody counts them.
Only what consumers put into their own queues waits here, until the enqueuer comes round; only that is in bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..logs import Repeats
from ..message import Frame
from ..queues import Bell, WorkQueue
from ..segment import SegmentSlots
from .base import Routed, Shape, Station
from .inlet import QueueInlet


class InlineShape(Shape):
    """The enqueuer's thread runs the consumers."""

    window = 1
    batch = 1  # so that the enqueuer's heartbeat is as old as the consumers took for one message, not for many

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        self._slots = [station.slots for station in stations]
        self._runners = [
            runner for station, care in zip(stations, self._cares) for runner in station.runners(repeats, care)
        ]
        self._bell = Bell()
        self._bells = [self._bell]
        # Of what consumers put for themselves. Their inlets never wait: the thread that waits may be the one that
        # would bring something.
        self._queues: list[WorkQueue[Frame]] = [WorkQueue(self._bell) for _ in stations]
        self._inlets = [
            QueueInlet(queue, station.injections, station.bound(self._overflow, queue))
            for queue, station in zip(self._queues, stations)
        ]

    def reserve(self, size: int) -> None:
        """Nothing: no message of the bus waits here, and the enqueuer would wait for itself."""

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`; returns when every consumer is done."""
        for frame, interested in routed:
            for consumer in interested:
                self._slots[consumer].enqueued(1)
                self._runners[consumer].run(frame, self._queues[consumer].head_ns())

    def queue(self, station: int) -> WorkQueue[Frame]:
        """See `Shape.queue`; of the bus nothing waits."""
        return self._queues[station]

    def inlet(self, station: int) -> QueueInlet:
        """See `Shape.inlet`; the enqueuer comes round within a fraction of a second."""
        return self._inlets[station]

    def requeue(self, station: int, frame: Frame) -> None:
        """See `Shape.requeue`."""
        self._inlets[station].put_again(frame, self._slots[station])

    def turn(self) -> bool:
        """Run what comes again, and what consumers have put for themselves; what comes meanwhile is for the next
        turn."""
        is_any = super().turn()
        for queue, runner in zip(self._queues, self._runners):
            for _ in range(len(queue)):
                frame = None if self._bell.is_stopped else queue.take()
                if frame is not None:
                    runner.run(frame, queue.head_ns())
                    is_any = True
        return is_any

    def is_done(self, deadline: float) -> bool:
        """See `Shape.is_done`."""
        return not any(self._queues) and super().is_done(deadline)
