# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a shape of dispatch is, and what it is given."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..config import DROP_OLDEST
from ..consumer import BoundConsumer, Inlet
from ..failure import Aftercare, Care, Park, RetryPolicy
from ..logs import Repeats
from ..message import Frame
from ..overflow import Backlog, Bound, Overflow, WeighingBound
from ..queues import Bell
from ..segment import SegmentSlots
from ..stats import Books, ConsumerSlots, DropSlots, InjectionSlots, WorkerSlots
from ..worker import Runner, WorkerThread
from .redelivery import Redelivery

#: A message, and the stations that want it, by index.
Routed = tuple[Frame, tuple[int, ...]]


@dataclass(frozen=True)
class Station:
    """One consumer's place on the way of a message.

    Attributes:
        name: The consumer's name.
        consumer: The consumer.
        slots: What the enqueuer counts for it.
        injections: What those count for it who put into its queue besides the enqueuer.
        workers: What each of its workers counts; as many as the configuration gives it.
        drops: What those count for it who drop its messages.
        books: All that is counted of it.
        group: Stations of one group never run at the same time; empty for none.
        capacity: Messages that may wait for it; 0 for no such bound.
        capacity_bytes: Bytes that may wait for it; 0 for no such bound.
        policy: What happens when there is no room for one, see `glasshub.config.POLICIES`.
        retry: What happens to messages on which it fails.
        max_deaths: Worker processes that a message may kill before it is given up.
        patience: Seconds that it may take for a message before its worker process is replaced; 0: for ever.
    """

    name: str
    consumer: BoundConsumer
    slots: ConsumerSlots
    injections: InjectionSlots
    workers: Sequence[WorkerSlots]
    drops: DropSlots
    books: Books
    group: str = ""
    capacity: int = 0
    capacity_bytes: int = 0
    policy: str = DROP_OLDEST
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_deaths: int = 3
    patience: float = 0.0

    def runners(self, repeats: Repeats, care: Care) -> list[Runner]:
        """A runner for each of its workers."""
        return [Runner(self.name, self.consumer, slots, repeats, care) for slots in self.workers]

    def bound(self, overflow: Overflow, backlog: Backlog) -> Bound:
        """Have that backlog, which is this consumer's, kept in bounds."""
        kind = partial(WeighingBound, capacity_bytes=self.capacity_bytes) if self.capacity_bytes else Bound
        return kind(
            overflow,
            backlog,
            name=self.name,
            capacity=self.capacity,
            policy=self.policy,
            slots=self.slots,
            drops=self.drops,
        )


def _nobody() -> None:
    """Wake nobody."""


class Shape(abc.ABC):
    """Takes messages from the enqueuer and has the consumers handle them.

    A shape makes its queues and workers in `_build` and lists them in `_bells` and `_threads`; how they are
    started and ended is the same for all.
    """

    #: Most messages that the enqueuer may receive before it dispatches them.
    batch = 256

    #: Most messages that a spool hands over for one consumer and has not heard of again: so many come again at the most
    #: when the hub is killed.
    window = 64

    def __init__(
        self,
        stations: Sequence[Station],
        segment: SegmentSlots,
        *,
        memory: int = 0,
        halt: Callable[[int], None] = lambda exit_code: None,
        park: Park | None = None,
        aftercare: Aftercare | None = None,
    ) -> None:
        """Make everything that the shape needs, and start nothing.

        Args:
            stations: The consumers.
            segment: Where everybody counts.
            memory: Bytes that the messages in all queues may take; 0 for no bound.
            halt: Has the hub stop, because a consumer cannot go on, and exit with that code, or as it would anyway if
                it is 0; threads: any.
            park: Puts away messages that are given up; None where nobody can.
            aftercare: Who takes care of messages that do not go well, and brings those back with `requeue` that are
                to be tried again; None for the shape itself.
        """
        #: Has the enqueuer come round; whoever has an enqueuer sets it.
        self.wake: Callable[[], None] = _nobody
        self._bells: list[Bell] = []
        self._threads: list[WorkerThread] = []
        repeats = Repeats()
        self._redelivery = Redelivery(halt, park)
        care = aftercare or self._redelivery
        self._cares = [Care(index, station.retry, care) for index, station in enumerate(stations)]
        #: Keeps the queues within their bounds: a shape asks it before it puts.
        self._overflow = Overflow(memory, segment.enqueuer, repeats)
        self._build(stations, segment, repeats)

    @abc.abstractmethod
    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        """Make queues and workers."""

    def kept_until(self) -> float:
        """When the last message came that a hub before this one has kept, Unix time; 0 if none did."""
        return 0.0

    @classmethod
    def workers_of(cls, configured: int) -> int:
        """How many workers a consumer has in this shape, when the configuration gives it so many."""
        return 1

    def reserve(self, size: int) -> None:
        """Make room for messages of that weight; may block. Threads: enqueuer only."""
        self._overflow.reserve(size)

    @abc.abstractmethod
    def dispatch(self, routed: Sequence[Routed]) -> None:
        """Bring messages on their way to their consumers; may block where a queue is full. Threads: enqueuer only."""

    def end_waits(self) -> None:
        """Have `reserve` and `dispatch` wait for no room in a queue any more, for the hub stops. Threads: any."""
        self._overflow.end_waits()

    @abc.abstractmethod
    def queue(self, station: int) -> Backlog:
        """What waits in memory for one station."""

    @abc.abstractmethod
    def inlet(self, station: int) -> Inlet:
        """The way into one station's queue for work that does not come from the bus."""

    @abc.abstractmethod
    def requeue(self, station: int, frame: Frame) -> None:
        """Put a message that comes again into one station's queue, behind what is there; never blocks.

        It is counted, and bounded as what a consumer puts for itself: with `block` it goes in beyond the capacity.
        Threads: enqueuer only.
        """

    def turn(self) -> bool:
        """Do what waits for the enqueuer's own thread, which comes round in each of its turns.

        Returns:
            Whether there was anything. Threads: enqueuer only.
        """
        due = self._redelivery.due()
        for station, frame in due:
            self.requeue(station, frame)
        return bool(due)

    def rest(self, longest: float) -> float:
        """Seconds after which `turn` has something to do, `longest` at the most. Threads: enqueuer only."""
        due_ns = self._redelivery.next_due_ns()
        return longest if due_ns is None else min(max((due_ns - time.monotonic_ns()) / 1e9, 0.0), longest)

    def is_done(self, deadline: float) -> bool:
        """Whether all that was dispatched is done, but for what is to be tried again after the deadline.

        Args:
            deadline: On the monotonic clock.

        Threads: enqueuer only.
        """
        if not all(thread.is_idle for thread in self._threads):
            return False
        due_ns = self._redelivery.next_due_ns()  # last: the workers are where it comes from
        return due_ns is None or due_ns > deadline * 1e9

    @property
    def is_stopped(self) -> bool:
        """Whether the workers have been told to end. Threads: any."""
        return all(bell.is_stopped for bell in self._bells)

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def tend(self) -> None:
        """See to what may have happened to the workers; never blocks, and is called about twice a second.

        Threads: main thread only.
        """
        return

    def close(self) -> None:
        """Say that no more messages will come: workers finish the backlog and end."""
        for bell in self._bells:
            bell.close()

    def stop(self) -> None:
        """Have the workers end after the message that each is at."""
        for bell in self._bells:
            bell.stop()

    def join(self, timeout: float) -> bool:
        """Wait for the workers to end, for at most `timeout` seconds; True when they all have."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def kept(self, station: int) -> int:
        """How many messages of one station, waiting or at hand, the next start of the hub will have."""
        return 0

    def end(self) -> None:  # noqa: B027 - most shapes hold nothing
        """Give back what is held besides threads; nobody dispatches any more, and what still works is left alone."""

    def dead(self) -> list[str]:
        """Names of workers that ended for a reason that is not theirs to end for."""
        return [thread.name for thread in self._threads if thread.error is not None]
