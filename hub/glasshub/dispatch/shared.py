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

from ..logs import Repeats
from ..message import Frame
from ..queues import Bell, WorkQueue
from ..segment import SegmentSlots
from ..stats import DispatcherSlots, HubQueueSlots
from ..worker import Lane, Runner, WorkerThread
from .base import Routed, Shape, Station

#: Parcels that nobody wants any more which may stand in the queue, if they are not more than the others.
_MOST_ABANDONED = 1000


class Parcel:
    """A message in the hub's one queue, with those who want it.

    Attributes:
        frame: The message; not there once it has been dropped for all of them.
        wanted: For how many of them it has not been dropped.
        is_taken: Whether the dispatcher has it at hand.
    """

    __slots__ = ("frame", "interested", "is_taken", "received_ns", "wanted")

    def __init__(self, frame: Frame, interested: tuple[int, ...]) -> None:
        self.frame = frame
        self.interested = interested
        self.received_ns = frame.received_ns
        self.wanted = len(interested)
        self.is_taken = False


class HubQueue(WorkQueue[Parcel]):
    """The hub's one queue. A parcel that nobody wants any more stays in it until its turn, or until many are there.

    Attributes:
        lock: Held by whoever puts, takes or drops: a queue and its parts have the same order, and a parcel is either
            taken or given up.
    """

    __slots__ = ("_abandoned", "_hub_slots", "lock")

    def __init__(self, bell: Bell, hub_slots: HubQueueSlots) -> None:
        super().__init__(bell)
        self.lock = threading.Lock()
        self._hub_slots = hub_slots
        self._abandoned = 0

    def take(self) -> Parcel | None:
        """The next parcel that somebody wants, or None. Threads: dispatcher only."""
        with self.lock:
            while self._frames:
                parcel = self._frames.popleft()
                if parcel.wanted:
                    parcel.is_taken = True
                    return parcel
                self._abandoned -= 1
        return None

    def give_up(self, parcel: Parcel) -> None:
        """Note that one consumer less wants it. Threads: lock held by caller."""
        parcel.wanted -= 1
        if parcel.wanted or parcel.is_taken:
            return
        del parcel.frame  # which may be large; nobody asks for it any more
        self._hub_slots.dropped()
        self._abandoned += 1
        if self._abandoned > max(_MOST_ABANDONED, len(self._frames) // 2):
            self._frames = deque([parcel for parcel in self._frames if parcel.wanted])
            self._abandoned = 0


class Part:
    """One consumer's part of the hub's queue. Threads: any.

    Attributes:
        parcels: What is in it; appended to with the lock of the queue held.
    """

    __slots__ = ("_queue", "parcels")

    def __init__(self, queue: HubQueue) -> None:
        self._queue = queue
        self.parcels: deque[Parcel] = deque()

    def claim(self, parcel: Parcel) -> bool:
        """Take that parcel for its consumer, unless it was dropped for it. Threads: dispatcher only.

        Without the lock, for parcels stand here in the order of the queue: either it is the first, or it is not there.
        """
        parcels = self.parcels
        try:
            if parcels[0] is not parcel:
                return False
            first = parcels.popleft()
        except IndexError:
            return False
        if first is parcel:
            return True
        parcels.appendleft(first)  # the parcel was dropped between the look and the grasp
        return False

    def drop(self, *, newest: bool) -> Frame | None:
        """See `Backlog.drop`; for the other consumers the message stays."""
        with self._queue.lock:
            try:
                parcel = self.parcels.pop() if newest else self.parcels.popleft()
            except IndexError:
                return None
            frame = parcel.frame
            self._queue.give_up(parcel)
        return frame

    def waiting(self) -> Sequence[Frame]:
        """See `Backlog.waiting`."""
        return [parcel.frame for parcel in self.parcels.copy()]

    def head_ns(self) -> int:
        """See `Backlog.head_ns`."""
        try:
            return self.parcels[0].received_ns
        except IndexError:
            return 0

    def __len__(self) -> int:
        """See `Backlog.__len__`."""
        return len(self.parcels)


class Series:
    """Runs the interested consumers one after another. Threads: dispatcher only."""

    def __init__(self, runners: Sequence[Runner], parts: Sequence[Part], slots: DispatcherSlots) -> None:
        self._runners = runners
        self._parts = parts
        self._slots = slots

    def run(self, parcel: Parcel, head_ns: int) -> None:
        """Have every interested consumer handle the message."""
        self._slots.dequeued()
        for consumer in parcel.interested:
            part = self._parts[consumer]
            if part.claim(parcel):
                self._runners[consumer].run(parcel.frame, part.head_ns())

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

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        bell = Bell()
        self._slots = [station.slots for station in stations]
        self._injections = [station.injections for station in stations]
        self._enqueuer = segment.enqueuer
        self._hub_queue = segment.hub_queue
        self._queue = HubQueue(bell, segment.hub_queue)
        self._parts = [Part(self._queue) for _ in stations]
        self._bounds = [station.bound(self._overflow, part) for station, part in zip(stations, self._parts)]
        self._is_bounded = any(bound.is_bounded for bound in self._bounds)
        runners = [runner for s, care in zip(stations, self._cares) for runner in s.runners(repeats, care)]
        series = Series(runners, self._parts, segment.dispatcher)
        self._bells = [bell]
        self._threads = [WorkerThread("dispatcher", [Lane(self._queue, series)], bell)]

    def queue(self, station: int) -> Part:
        """See `Shape.queue`."""
        return self._parts[station]

    def inlet(self, station: int) -> SharedInlet:
        """See `Shape.inlet`."""
        return SharedInlet(self, station)

    def inject(self, station: int, frame: Frame) -> None:
        """Put work for one consumer into the queue, or drop it, see `Inlet.put`. Threads: any."""
        slots, part, bound = self._injections[station], self._parts[station], self._bounds[station]
        objection = bound.objection(frame)
        with self._queue.lock:
            slots.injected(1)
            if not objection:
                self._hub_queue.injected(1)
                self._put(Parcel(frame, (station,)))
                slots.put(len(part.parcels), part.head_ns(), frame.received_ns)
        if objection:
            bound.refuse([frame], objection)

    def requeue(self, station: int, frame: Frame) -> None:
        """See `Shape.requeue`."""
        slots, part, bound = self._slots[station], self._parts[station], self._bounds[station]
        objection = bound.objection(frame)
        slots.requeued(1)
        if objection:
            bound.refuse([frame], objection)
            return
        self._enqueuer.queued()
        with self._queue.lock:
            self._put(Parcel(frame, (station,)))
        slots.put(len(part.parcels), part.head_ns(), frame.received_ns)

    def backlog(self, station: int) -> int:
        """How many messages wait for one consumer. Threads: any."""
        return len(self._parts[station].parcels)

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`."""
        slots, parts = self._slots, self._parts
        for frame, interested in routed:
            admitted = self._admitted(frame, interested) if self._is_bounded else interested
            if not admitted:
                continue
            for consumer in admitted:
                slots[consumer].enqueued(1)
            self._enqueuer.queued()
            with self._queue.lock:
                self._put(Parcel(frame, admitted))
            for consumer in admitted:
                part = parts[consumer]
                slots[consumer].put(len(part.parcels), part.head_ns(), frame.received_ns)

    def _admitted(self, frame: Frame, interested: tuple[int, ...]) -> tuple[int, ...]:
        """Those for whom the message may be put, once their overflow policies have done their work."""
        bounds, frames = self._bounds, (frame,)
        return tuple(
            [
                c
                for c in interested
                if not bounds[c].is_bounded or bounds[c].admits(frames) or any(bounds[c].fit(frames))
            ]
        )

    def _put(self, parcel: Parcel) -> None:
        for consumer in parcel.interested:
            self._parts[consumer].parcels.append(parcel)
        self._queue.put([parcel])
