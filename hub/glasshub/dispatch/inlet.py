# SPDX-License-Identifier: LGPL-2.1-or-later
"""The way into a queue that one consumer has for itself."""

from __future__ import annotations

import threading

from ..message import Frame
from ..overflow import Bound
from ..queues import Bell, WorkQueue
from ..stats import ConsumerSlots, InjectionSlots


class QueueInlet:
    """Puts into a queue what does not come from the bus, and counts it. Threads: any."""

    def __init__(
        self, queue: WorkQueue[Frame], slots: InjectionSlots, bound: Bound, *, bell: Bell | None = None
    ) -> None:
        """Take the queue.

        Args:
            queue: The consumer's queue.
            slots: What is counted of it.
            bound: What may be in it.
            bell: What rings when something is put; without it `take` never waits.
        """
        self._queue = queue
        self._slots = slots
        self._bound = bound
        self._bell = bell
        self._lock = threading.Lock()  # of the slots: several threads may put

    def put(self, frame: Frame) -> None:
        """See `Inlet.put`."""
        objection = self._bound.objection(frame)
        with self._lock:
            self._slots.injected(1)
            if not objection:
                self._queue.put([frame])
                self._slots.put(len(self._queue), self._queue.head_ns(), frame.received_ns)
        if objection:
            self._bound.refuse([frame], objection)

    def put_again(self, frame: Frame, slots: ConsumerSlots) -> None:
        """Put a message that is tried again, and count it there. Threads: enqueuer only."""
        objection = self._bound.objection(frame)
        slots.requeued(1)
        if objection:
            self._bound.refuse([frame], objection)
            return
        self._queue.put([frame])
        slots.put(len(self._queue), self._queue.head_ns(), frame.received_ns)

    def take(self, timeout: float | None) -> Frame | None:
        """See `Inlet.take`."""
        frame = self._queue.take()
        while frame is None and self._bell is not None and self._bell.wait(self._queue.__len__, timeout):
            frame = self._queue.take()
        if frame is not None:
            with self._lock:
                self._slots.withdrew(1)
                self._slots.put(len(self._queue), self._queue.head_ns())
        return frame

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return len(self._queue)
