# SPDX-License-Identifier: LGPL-2.1-or-later
"""Any shape, with the backlog on disk: a message is accepted when it is there, and only a window is in memory.

Purpose: a hub that is killed goes on where it was, and a backlog of millions takes no memory. Guarantees: what was
accepted is handled at least once by every consumer that wanted it; of what a consumer has finished no more than
`Shape.window` messages come again after the hub was killed, for so many are handed over before the log has noted what
became of them. Assumptions: whoever finishes with a message tells its `Frame.completion`.

Each consumer has a window: messages that were handed to the inner shape, each in a frame of its own, and have not been
acknowledged. A message that comes while nothing older waits for the consumer, and the window has room, is handed over
as it is; another one is read back from the log when the window is half empty.

The log belongs to the enqueuer's thread. Workers leave in a deque what they have finished, and wake the enqueuer when
there is enough of it; else it comes round a few times a second. Once the enqueuer has ended, the main thread takes its
place: a lock says which of them has the log, and neither waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import itemgetter

from ..config import BLOCK, DROP_NEWEST
from ..errors import SpoolDamagedError, SpoolError, SpoolOversizeError
from ..failure import Failure
from ..logs import Repeats, held_back
from ..message import Frame
from ..overflow import Backlog, Bound
from ..segment import SegmentSlots
from ..spool import Log
from ..spool.log import MAX_BATCH
from ..stats import EnqueuerSlots, unseen_slots
from .base import Routed, Shape, Station
from .lanes import Finished, Handed, Lane, SpooledInlet

logger = logging.getLogger(__name__)

#: Seconds between two attempts to write to a disk that refuses.
_AGAIN = 0.05

#: The state of the spool is published this often, and the log tidied up.
_REFRESH_NS = 250_000_000


class SpooledShape(Shape):
    """Another shape, behind a log on disk."""

    def __init__(
        self,
        kind: type[Shape],
        stations: Sequence[Station],
        segment: SegmentSlots,
        log: Log,
        *,
        full: str = BLOCK,
        memory: int = 0,
        halt: Callable[[int], None] = lambda exit_code: None,
    ) -> None:
        """Count what is in the log, and start nothing.

        Args:
            kind: The other shape.
            stations: The consumers, the first ones of the log, in its order.
            segment: Where everybody counts.
            log: The log; from now on it belongs to the shape, which closes it.
            full: What happens when the disk takes no more: `block` or `drop-newest`.
            memory: Bytes that what is not in the log may take; 0 for no bound.
            halt: See `Shape`.
        """
        self._kind = kind
        self._log = log
        self._memory = memory
        self._is_dropping = full == DROP_NEWEST
        super().__init__(stations, segment, halt=halt, park=self.park)

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        self._enqueuer: EnqueuerSlots = segment.enqueuer
        self._repeats = repeats
        self._lock = threading.Lock()
        self._is_ending = threading.Event()
        self._errors = self._published_ns = 0
        self._is_untidy = False
        self._piece = MAX_BATCH  # so many messages at once the log has taken last
        self._parking: deque[tuple[Handed, Failure]] = deque()
        self._finished = Finished(self._call)
        self._lanes = [
            Lane(index, station, self._log, self._finished, min(self._kind.window, station.capacity or MAX_BATCH))
            for index, station in enumerate(stations)
        ]
        inner = [replace(station, slots=unseen_slots()) for station in stations]
        self._inner = self._kind(inner, segment, memory=self._memory, aftercare=self)
        self._overflow.lock = self._inner._overflow.lock  # both drop messages of the same consumers
        for lane in self._lanes:
            lane.window = self._inner.queue(lane.index)
            self._restore(lane)
        self._bounds = [lane.station.bound(self._overflow, lane) for lane in self._lanes]
        bounded = [(index, bound.policy) for index, bound in enumerate(self._bounds) if bound.capacity]
        self._blocking = {index for index, policy in bounded if policy == BLOCK}
        self._shedding = {index for index, policy in bounded if policy != BLOCK}
        self._publish(time.monotonic_ns())

    def _restore(self, lane: Lane) -> None:
        depth, slots = self._log.depth(lane.index), lane.station.slots
        if depth:
            slots.restored(depth)
            slots.enqueued(depth)
            slots.put(depth, self._log.next_ns(lane.index))

    # Accepting

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`; blocks where the disk, or a consumer's bound, makes it wait.

        Raises:
            SpoolDamagedError: The log is damaged.
        """
        with self._lock:
            try:
                self._settle()  # windows may have room
                while routed:
                    size = min(self._fitting(routed), MAX_BATCH)
                    self._accept(self._admitted(routed[:size]))
                    routed = routed[size:]
            except SpoolDamagedError as error:
                self._lose(routed, error)
                raise

    def _fitting(self, routed: Sequence[Routed]) -> int:
        """How many of them may be accepted at once; waits until the first one may, for consumers that block."""
        if not self._blocking:
            return len(routed)
        wanted: Counter[int] = Counter()
        for number, (_, interested) in enumerate(routed):
            for consumer in self._blocking.intersection(interested):
                wanted[consumer] += 1
                bound = self._bounds[consumer]
                if bound.has_room(wanted[consumer]):
                    continue
                if number:
                    return number
                if not self._overflow.wait(bound, bound.reason, partial(self._has_room, bound)):
                    return len(routed)
        return len(routed)

    def _has_room(self, bound: Bound) -> bool:
        self._serve()
        self._inner.turn()
        return bound.has_room()

    def _admitted(self, routed: Sequence[Routed]) -> Sequence[Routed]:
        """What remains once the consumers that drop have dropped what they have no room for."""
        for consumer in self._shedding:
            frames = [frame for frame, interested in routed if consumer in interested]
            if not self._bounds[consumer].has_room(len(frames)):
                with self._noting():
                    fitting = set(map(id, chain.from_iterable(self._bounds[consumer].fit(frames))))
                    routed = [
                        (frame, interested if id(frame) in fitting else tuple([c for c in interested if c != consumer]))
                        for frame, interested in routed
                    ]
        return routed

    def _accept(self, routed: Sequence[Routed]) -> None:
        wanted = [one for one in routed if one[1]]
        while wanted:
            piece = wanted[: self._piece]
            seqs = self._written(piece)
            if seqs is None:
                continue
            for frame, interested in piece:
                if frame.completion is not None:
                    for _ in interested:
                        frame.completion.one_done()  # the source need not keep what is on disk, or lost
            if seqs:
                self._enqueue(seqs, piece)
            wanted = wanted[len(piece) :]

    def _written(self, batch: Sequence[Routed]) -> Sequence[int] | None:
        """Numbers of messages that are on disk now; none if they are lost; None if fewer at once may find room.

        Waits for the disk where the operator wants it.
        """
        began_ns = 0
        while True:
            try:
                seqs = self._log.append(batch)
                self._piece = min(2 * self._piece, MAX_BATCH)
                break
            except SpoolDamagedError:
                raise
            except SpoolError as error:
                if len(batch) > 1:
                    self._piece = len(batch) // 2
                    return None
                self._note(error)
                if self._is_dropping or self._is_ending.is_set() or isinstance(error, SpoolOversizeError):
                    self._lose(batch, error)
                    seqs = range(0)
                    break
            began_ns = self._wait_for_disk(began_ns)
        if began_ns:
            self._enqueuer.spool_blocking(0)
            logger.warning("the enqueuer has waited %.3f s for the disk", (time.monotonic_ns() - began_ns) / 1e9)
        return seqs

    def _wait_for_disk(self, began_ns: int) -> int:
        """Wait a moment in which consumers may make room; since when it has been so."""
        now_ns = time.monotonic_ns()
        self._enqueuer.spool_blocking(began_ns or now_ns)
        self._enqueuer.beat(now_ns)
        self._is_ending.wait(_AGAIN)
        self._serve()
        self._inner.turn()
        self._log.tidy()
        self._publish(now_ns)
        return began_ns or now_ns

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Go on when the disk does not do something now, which will be tried again."""
        try:
            yield
        except SpoolDamagedError:
            raise
        except SpoolError as error:
            self._note(error)

    def _note(self, error: SpoolError) -> None:
        self._errors += 1
        self._published_ns = 0  # it shows at once
        count = self._repeats.admit(SpoolError)
        if count is not None:
            what = (
                "what comes is dropped" if self._is_dropping else "nobody gets a message that comes, until it goes on"
            )
            logger.error("the spool: %s; %s%s", error, what, held_back(count))

    def _lose(self, batch: Sequence[Routed], reason: SpoolError) -> None:
        lost = Counter(chain.from_iterable(interested for _, interested in batch))
        for consumer, messages in lost.items():
            station = self._lanes[consumer].station
            station.slots.enqueued(messages)
            with self._overflow.lock:
                station.drops.dropped(messages, 0)
        count = self._repeats.admit("lost")
        if count is not None:
            logger.error(
                "%d messages are lost, for the disk did not take them: %s%s", len(batch), reason, held_back(count)
            )

    def _enqueue(self, seqs: Sequence[int], batch: Sequence[Routed]) -> None:
        """Count what is on disk, and hand over what nothing older waits before."""
        arrived = Counter(chain.from_iterable(interested for _, interested in batch))
        for consumer, messages in arrived.items():
            self._lanes[consumer].station.slots.enqueued(messages)
        open_lanes = set() if self._is_ending.is_set() else {c for c, n in arrived.items() if self._lanes[c].is_next(n)}
        handed: list[tuple[int, int, Frame]] = []
        for seq, (frame, interested) in zip(seqs, batch):
            for consumer in interested:
                if consumer not in open_lanes:
                    continue
                lane = self._lanes[consumer]
                if lane.has_room():
                    handed.append((seq, consumer, lane.hand(seq, frame)))
                else:
                    open_lanes.remove(consumer)
        seqs_of: defaultdict[int, list[int]] = defaultdict(list)
        for seq, consumer, _ in handed:
            seqs_of[consumer].append(seq)
        for consumer, own in seqs_of.items():
            self._log.give(consumer, own)
        self._hand_over(handed)
        for consumer in arrived.keys() - seqs_of.keys():
            self._lanes[consumer].grown()

    def _hand_over(self, handed: Sequence[tuple[int, int, Frame]]) -> None:
        """Give the inner shape what is in windows now: number, consumer, frame, in the order of the numbers."""
        first_ns: dict[int, int] = {}
        for _, consumer, frame in handed:
            first_ns.setdefault(consumer, frame.received_ns)
        self._inner.dispatch([(frame, (consumer,)) for _, consumer, frame in handed])
        for consumer, received_ns in first_ns.items():
            self._lanes[consumer].grown(received_ns)

    # Finishing

    def turn(self) -> bool:
        """See `Shape.turn`.

        Raises:
            SpoolDamagedError: The log is damaged.
        """
        with self._lock:
            has_served = self._serve()
            self._publish(time.monotonic_ns())
            if has_served or self._is_ending.is_set():  # there will be time for that
                is_tidying = False
            else:
                is_tidying = self._is_untidy = self._is_untidy and self._log.tidy()
        has_requeued = super().turn()
        return self._inner.turn() or has_requeued or has_served or is_tidying

    def is_done(self, deadline: float) -> bool:
        """See `Shape.is_done`: what is in the log is for the next start."""
        return True

    @property
    def is_stopped(self) -> bool:
        """See `Shape.is_stopped`."""
        return self._inner.is_stopped

    def tend(self) -> None:
        """See `Shape.tend`."""
        self._inner.tend()

    def _serve(self) -> bool:
        """Do for the log what workers have left to be done, and fill the windows; whether that may be so again."""
        self._settle()
        return not self._is_ending.is_set() and self._fill()

    def _settle(self) -> None:
        several_of: defaultdict[Lane, list[Handed]] = defaultdict(list)
        for handed in self._finished.take():
            several_of[handed.lane].append(handed)
        for lane, several in several_of.items():
            lane.acknowledge(several)
        with self._noting():
            while self._parking:
                handed, failure = self._parking[0]
                self._log.park(
                    handed.lane.index,
                    handed.seq,
                    error=failure.error,
                    traceback=failure.traceback,
                    attempts=failure.attempts,
                )
                handed.lane.acknowledge([handed])
                self._parking.popleft()

    def _fill(self) -> bool:
        found: list[tuple[int, int, Frame]] = []
        with self._noting():
            for lane in self._lanes:
                found += [(seq, lane.index, frame) for seq, frame in self._read(lane)]
        # Shape `shared` hands them out in the order in which they came; the others do not mind.
        found.sort(key=itemgetter(0, 1))
        self._hand_over(found)
        return bool(found)

    def _read(self, lane: Lane) -> list[tuple[int, Frame]]:
        """What the log has for a window. What it finds damaged it parks; for the consumer it is dropped."""
        before = self._log.damaged
        try:
            return lane.read()
        finally:
            damaged = self._log.damaged - before
            if damaged:
                with self._overflow.lock:
                    lane.station.drops.dropped(damaged, 0)

    def _publish(self, now_ns: int) -> None:
        """Now and then tell how the log is, and have it tidied up."""
        if now_ns - self._published_ns > _REFRESH_NS:
            self._published_ns = now_ns
            self._is_untidy = True
            with self._noting():
                self._enqueuer.spool(size=self._log.used_bytes(), messages=self._log.span(), errors=self._errors)

    # Aftercare of the inner shape's messages

    def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
        """See `Aftercare.retry`; what is not finished comes again after a restart, too. Threads: any."""
        if isinstance(frame.completion, Handed):
            self._lanes[station].put_off(1)
        self._redelivery.retry(station, frame, after, error)

    def park(self, station: int, frame: Frame, failure: Failure) -> None:
        """See `Aftercare.park`: the log parks it, and then it is finished. Threads: any."""
        if not isinstance(frame.completion, Handed):
            logger.error("%s: what did not come from the bus cannot be parked: it is gone", self._lanes[station].name)
            return
        self._parking.append((frame.completion, failure))
        self._finished.call()

    @property
    def can_park(self) -> bool:
        """See `Aftercare.can_park`."""
        return True

    def halt(self, station: int, reason: str, exit_code: int) -> None:
        """See `Aftercare.halt`. Threads: any."""
        self._redelivery.halt(station, reason, exit_code)

    def requeue(self, station: int, frame: Frame) -> None:
        """See `Shape.requeue`; it has kept its place in the window."""
        lane = self._lanes[station]
        if isinstance(frame.completion, Handed):
            lane.put_off(-1)
        lane.station.slots.requeued(1)
        self._inner.requeue(station, frame)
        lane.grown(frame.received_ns)

    # What else a shape does

    def _call(self) -> None:
        self.wake()

    def queue(self, station: int) -> Backlog:
        """See `Shape.queue`."""
        return self._inner.queue(station)

    def inlet(self, station: int) -> SpooledInlet:
        """See `Shape.inlet`."""
        return SpooledInlet(self._inner.inlet(station), self._lanes[station])

    def end_waits(self) -> None:
        """See `Shape.end_waits`; from now on nothing is handed over: what comes is for the next start."""
        self._is_ending.set()
        super().end_waits()
        self._inner.end_waits()

    def start(self) -> None:
        """See `Shape.start`."""
        self._inner.start()

    def close(self) -> None:
        """See `Shape.close`; workers finish the message at hand, and what is not in the log."""
        self._is_ending.set()
        for lane in self._lanes:
            lane.empty_window()
        self._inner.close()

    def stop(self) -> None:
        """See `Shape.stop`."""
        self._inner.stop()

    def join(self, timeout: float) -> bool:
        """See `Shape.join`; what workers have finished meanwhile is noted, unless the enqueuer is at the log still."""
        has_ended = self._inner.join(timeout)
        self._as_main_thread(self._settle)
        return has_ended

    def kept_until(self) -> float:
        """See `Shape.kept_until`; before the start."""
        return self._log.last_ns() / 1e9

    def kept(self, station: int) -> int:
        """See `Shape.kept`."""
        return self._log.depth(station)

    def end(self) -> None:
        """See `Shape.end`: closes the log."""
        if not self._as_main_thread(self._log.close):
            logger.warning("the spool is not closed, for the enqueuer hangs: messages may come again")

    def _as_main_thread(self, action: Callable[[], None]) -> bool:
        """Do something with the log if the enqueuer is not at it."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            action()
        except SpoolError as error:  # nothing is lost by it, but messages come again
            count = self._repeats.admit("end")
            if count is not None:
                logger.error("what was finished last is not noted in the spool, and comes again: %s", error)
        finally:
            self._lock.release()
        return True

    def dead(self) -> list[str]:
        """See `Shape.dead`."""
        return self._inner.dead()
