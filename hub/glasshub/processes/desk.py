# SPDX-License-Identifier: LGPL-2.1-or-later
"""What waits for one consumer, and what its worker process has been given of it and has not finished.

The process is given no more at once than it can do in a twentieth of a second, and another batch as large, so that it
need not wait for us: so long does a message wait behind others where nobody can take it away any more.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..failure import Care
from ..message import Frame
from ..queues import Bell, WorkQueue
from ..stats import Books, WorkerBooks

#: Nanoseconds of work that a batch has, and messages at the most.
_WORK_NS, MAX_BATCH = 50_000_000, 64

#: Bytes that a batch has at the most, unless a single message has more.
_BATCH_BYTES = 4 << 20

#: Messages that must have been finished before they tell how long the next ones take.
_SAMPLE = 8

#: A message on its way to a worker process: number, topic, body, received_ns, attempts, first_ns, is_pickled.
Parcel = tuple[int, bytes, bytes, int, int, int, bool]


class Suspect(NamedTuple):
    """A message that was at hand when its worker process died, and the worker that had it."""

    desk: Desk
    frame: Frame
    worker: WorkerBooks


class Desk(WorkQueue[Frame]):
    """The queue of a consumer that is in a worker process, and what is out for it.

    Threads: see `WorkQueue`; the methods of its own: any.

    Attributes:
        care: See `__init__`.
        deaths: How many processes each message has to answer for that was at hand when one died.
        is_open: Whether there is a consumer in the process to give anything to.
        max_deaths: See `__init__`.
        patience_ns: Likewise, in nanoseconds.
    """

    __slots__ = (
        "_books",
        "_given",
        "_lock",
        "_numbers",
        "_retried",
        "_returned",
        "_sample",
        "_settled",
        "_size",
        "_taken",
        "_workers",
        "care",
        "deaths",
        "is_open",
        "max_deaths",
        "patience_ns",
    )

    def __init__(
        self, bell: Bell, books: Books, workers: int, care: Care, *, max_deaths: int, patience: float = 0.0
    ) -> None:
        """Begin with nothing.

        Args:
            bell: Rings when something is put.
            books: What is counted of the consumer.
            workers: How many workers it has.
            care: What is done about messages that do not go well.
            max_deaths: Processes that a message may kill before it is given up.
            patience: Seconds that a message may take before its process is replaced; 0 for as long as it likes.
        """
        super().__init__(bell)
        self.deaths: dict[Frame, int] = {}
        self.care = care
        self.is_open = False
        self.max_deaths = max_deaths
        self.patience_ns = int(patience * 1e9)
        self._books = books
        self._workers = workers
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._returned: deque[Frame] = deque()  # what comes again, before anything that is in the queue
        self._given: dict[int, Frame] = {}
        self._settled = 0  # of what the process was given, what it has finished, or never will
        self._taken = books.taken  # by then
        self._retried = books.retried  # as far as the hub knows
        self._size = workers
        self._sample = books.finished, books.processing_ns

    def __len__(self) -> int:
        """How many messages wait: those that no worker has begun, wherever they are."""
        with self._lock:
            return len(self._frames) + len(self._returned) + self._untaken()

    def head_ns(self) -> int:
        """See `WorkQueue.head_ns`."""
        with self._lock:
            untaken = self._untaken()
            if untaken:
                return next(itertools.islice(reversed(self._given.values()), untaken - 1, None)).received_ns
            return self._next_ns()

    def waiting(self) -> Sequence[Frame]:
        """See `WorkQueue.waiting`; those that are out are among them."""
        with self._lock:
            return [*self._given.values(), *self._returned, *self._frames.copy()]

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and nothing is out; or the consumer has halted the hub, and gets nothing more."""
        with self._lock:
            return self.care.is_halted or not (self._frames or self._returned or self._given)

    @property
    def is_out(self) -> bool:
        """Whether its process has been given anything that will be finished."""
        return bool(self._given) and not self.care.is_halted

    def has_batch(self) -> bool:
        """Whether there is something to give, and enough of what was given before is finished."""
        return (
            self.is_open
            and not self.care.is_halted
            and bool(self._frames or self._returned)
            and len(self._given) <= self._size
        )

    def batch(self) -> tuple[int, list[Parcel]]:
        """Take what the process is to be given now.

        Returns:
            When the message was received that is next after them, 0 for none; and the messages, none if it has enough.
        """
        with self._lock:
            parcels: list[Parcel] = []
            size = 0
            while len(parcels) < self._size and size < _BATCH_BYTES:
                frame = self._returned.popleft() if self._returned else self.take()
                if frame is None:
                    break
                parcels.append(self._give(frame))
                size += len(frame.body)
            return self._next_ns(), parcels

    def alone(self, frame: Frame) -> Parcel:
        """Take a message, which is in no queue, to be given by itself."""
        with self._lock:
            return self._give(frame)

    def given(self, number: int) -> Frame | None:
        """The message of that number; None if the process was not given it."""
        with self._lock:
            return self._given.get(number)

    def open(self, is_open: bool) -> None:
        """Note whether there is a consumer in the process that has come up, and show it."""
        self.is_open = is_open
        self._books.initialized(is_open)

    def settle(self, numbers: Iterable[int], *, is_retried: bool = False) -> list[Frame]:
        """Note that the process has done with messages, or that they are to be tried again later.

        Returns:
            These messages, but for those that it was not given.
        """
        with self._lock:
            frames = [self._given.pop(number) for number in numbers if number in self._given]
            self._settled += len(frames)
            self._retried += len(frames) if is_retried else 0
            for frame in frames if self.deaths else ():
                self.deaths.pop(frame, None)
            self._measure()
            return frames

    def bury(self) -> list[tuple[WorkerBooks, int, Frame | None]]:
        """Take everything back from a process that has died.

        What it had finished without having said so is counted as repeated, and what was to be tried again later, as
        recalled too.

        Returns:
            Each of its busy workers, and what it was at: the number, and the message, which the caller counts and puts.
            None for a message that cannot be told from the others, and is taken back with them.
        """
        with self._lock:
            busy = [(worker, number, self._given.pop(number, None)) for worker, number in self._books.at_hand()]
            self._books.repeated(max(self._books.taken - self._taken - self._settled - len(busy), 0))
            self._books.recalled(self._books.retried - self._retried)
            self._retried = self._books.retried
            self._returned.extendleft(reversed(self._given.values()))
            self._given.clear()
            self._settled, self._taken = 0, self._books.taken
            self._size = self._workers
            return busy

    def overdue(self, now_ns: int) -> list[int]:
        """The numbers of the messages that have taken longer than they may."""
        if not self.patience_ns:
            return []
        return [number for worker, number in self._books.at_hand() if now_ns - worker.started_ns > self.patience_ns]

    def put_back(self, frame: Frame) -> None:
        """Put a message before all others."""
        with self._lock:
            self._returned.appendleft(frame)

    def _give(self, frame: Frame) -> Parcel:
        number = next(self._numbers)
        self._given[number] = frame
        noted = frame.attempts, frame.first_ns, frame.is_pickled
        return (number, frame.topic, frame.body, frame.received_ns, *noted)

    def _untaken(self) -> int:
        """How many messages the process has and no worker has begun."""
        begun = self._books.taken - self._taken - self._settled
        return min(max(len(self._given) - begun, 0), len(self._given))

    def _next_ns(self) -> int:
        return self._returned[0].received_ns if self._returned else super().head_ns()

    def _measure(self) -> None:
        """Adapt what is given at once to how long messages take now."""
        finished, processing_ns = self._books.finished, self._books.processing_ns
        count = finished - self._sample[0]
        if count < min(_SAMPLE, self._size):
            return
        each_ns = max((processing_ns - self._sample[1]) // count, 1)
        self._size = min(max(_WORK_NS * self._workers // each_ns, self._workers), MAX_BATCH)
        self._sample = finished, processing_ns
