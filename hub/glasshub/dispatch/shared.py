# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `shared`: two threads, an enqueuer, and a dispatcher that hands a message to each consumer in series and
takes the next one only when the last consumer has finished.

There is one queue for the hub, whose length is the hub's backlog. A consumer's backlog is that part of it which
the consumer is going to get.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..logs import Repeats
from ..message import Frame
from ..queues import Bell, WorkQueue
from ..stats import DispatcherSlots, SegmentWriter
from ..worker import Lane, Runner, WorkerThread
from .base import Routed, Shape, Station


@dataclass(frozen=True)
class Parcel:
    """A message in the hub's one queue, with those who want it."""

    frame: Frame
    interested: tuple[int, ...]
    received_ns: int


class Series:
    """Runs the interested consumers one after another. Threads: dispatcher only."""

    def __init__(self, runners: Sequence[Runner], waiting: Sequence[deque[int]], slots: DispatcherSlots) -> None:
        self._runners = runners
        self._waiting = waiting
        self._slots = slots

    def run(self, parcel: Parcel, head_ns: int) -> None:
        """Have every interested consumer handle the message."""
        self._slots.dequeued()
        for consumer in parcel.interested:
            waiting = self._waiting[consumer]
            waiting.popleft()
            self._runners[consumer].run(parcel.frame, _first(waiting))

    def serve(self, queue: WorkQueue[Parcel], bell: Bell) -> None:
        """Run what is in the queue until it is empty, or the bell says stop."""
        while not bell.is_stopped and (parcel := queue.take()) is not None:
            self.run(parcel, 0)


class SharedInlet:
    """The way into the hub's one queue for one consumer. Threads: any."""

    def __init__(self, shape: SharedShape, station: int) -> None:
        self._shape = shape
        self._station = station

    def put(self, frame: Frame) -> None:
        """See `Inlet.put`."""
        self._shape.inject(self._station, frame)

    def take(self, timeout: float | None) -> Frame | None:
        """None: whatever waits for one consumer waits in the midst of what waits for others."""

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return self._shape.backlog(self._station)


class SharedShape(Shape):
    """One queue, one dispatcher."""

    def _build(self, stations: Sequence[Station], segment: SegmentWriter, repeats: Repeats) -> None:
        bell = Bell()
        self._slots = [station.slots for station in stations]
        self._injections = [station.injections for station in stations]
        self._enqueuer = segment.enqueuer
        self._hub_queue = segment.hub_queue
        self._lock = threading.Lock()  # of the slots of those who inject
        # Of each consumer's part of the queue, when its messages were received.
        self._waiting: list[deque[int]] = [deque() for _ in stations]
        self._queue: WorkQueue[Parcel] = WorkQueue(bell)
        series = Series([station.runner(0, repeats) for station in stations], self._waiting, segment.dispatcher)
        self._bells = [bell]
        self._threads = [WorkerThread("dispatcher", [Lane(self._queue, series)], bell)]

    def inlet(self, station: int) -> SharedInlet:
        """See `Shape.inlet`."""
        return SharedInlet(self, station)

    def inject(self, station: int, frame: Frame) -> None:
        """Put work for one consumer into the queue; never blocks. Threads: any."""
        slots, waiting = self._injections[station], self._waiting[station]
        with self._lock:
            slots.injected(1)
            self._hub_queue.injected(1)
            waiting.append(frame.received_ns)
            self._queue.put([Parcel(frame, (station,), frame.received_ns)])
            head_ns = _first(waiting)
            slots.put(len(waiting), head_ns if head_ns >= frame.received_ns else 0)

    def backlog(self, station: int) -> int:
        """How many messages wait for one consumer. Threads: any."""
        return len(self._waiting[station])

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`; never blocks."""
        for frame, interested in routed:
            if not interested:
                continue
            for consumer in interested:
                self._slots[consumer].enqueued(1)
                self._waiting[consumer].append(frame.received_ns)
            self._enqueuer.queued()
            self._queue.put([Parcel(frame, interested, frame.received_ns)])
            for consumer in interested:
                waiting = self._waiting[consumer]
                head_ns = _first(waiting)
                self._slots[consumer].put(len(waiting), head_ns if head_ns >= frame.received_ns else 0)


def _first(waiting: deque[int]) -> int:
    """The first item; 0 when there is none."""
    try:
        return waiting[0]
    except IndexError:
        return 0
