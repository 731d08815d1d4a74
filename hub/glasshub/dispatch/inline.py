# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `inline`: as Moksha stood in 2014, the receiving thread hands a message to each consumer in series.

There is no queue of ours: while a consumer works, messages wait in the source's buffer, where nobody counts them.
Only what consumers put into their own queues waits here, until the enqueuer comes round.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from ..logs import Repeats
from ..message import Frame
from ..queues import Bell
from ..stats import InjectionSlots, SegmentWriter
from .base import Routed, Shape, Station


class InlineInlet:
    """What one consumer has put for itself. Threads: any."""

    def __init__(self, slots: InjectionSlots) -> None:
        self._slots = slots
        self._lock = threading.Lock()  # of the slots: several threads may put
        self._frames: deque[Frame] = deque()

    def put(self, frame: Frame) -> None:
        """See `Inlet.put`; the enqueuer comes round within a fraction of a second."""
        with self._lock:
            self._slots.injected(1)
            self._frames.append(frame)
            self._slots.put(len(self._frames), frame.received_ns if len(self._frames) == 1 else 0)

    def take(self, timeout: float | None) -> Frame | None:
        """See `Inlet.take`; never waits, for the thread that waits may be the one that would bring something."""
        frame = self.next()
        if frame is not None:
            with self._lock:
                self._slots.withdrew(1)
                self._slots.put(len(self._frames), self.head_ns())
        return frame

    def next(self) -> Frame | None:
        """The next frame, or None when there is none."""
        try:
            return self._frames.popleft()
        except IndexError:
            return None

    def head_ns(self) -> int:
        """When the first waiting frame was put; 0 when none waits."""
        try:
            return self._frames[0].received_ns
        except IndexError:
            return 0

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return len(self._frames)


class InlineShape(Shape):
    """The enqueuer's thread runs the consumers."""

    batch = 1  # so that the enqueuer's heartbeat is as old as the consumers took for one message, not for many

    def _build(self, stations: Sequence[Station], segment: SegmentWriter, repeats: Repeats) -> None:
        self._slots = [station.slots for station in stations]
        self._runners = [station.runner(0, repeats) for station in stations]
        self._inlets = [InlineInlet(station.injections) for station in stations]
        self._bell = Bell()
        self._bells = [self._bell]

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`; returns when every consumer is done."""
        for frame, interested in routed:
            for consumer in interested:
                self._slots[consumer].enqueued(1)
                self._runners[consumer].run(frame, self._inlets[consumer].head_ns())

    def inlet(self, station: int) -> InlineInlet:
        """See `Shape.inlet`."""
        return self._inlets[station]

    def turn(self) -> bool:
        """Run what consumers have put for themselves; what they put meanwhile is for the next turn."""
        is_any = False
        for consumer, inlet in enumerate(self._inlets):
            for _ in range(len(inlet)):
                frame = None if self._bell.is_stopped else inlet.next()
                if frame is not None:
                    self._runners[consumer].run(frame, inlet.head_ns())
                    is_any = True
        return is_any
