# SPDX-License-Identifier: LGPL-2.1-or-later
"""When messages come for which there is no room: in the queue of their consumer, or in the hub's memory.

A consumer may have a capacity, in messages, in bytes or both, and says by its overflow policy what happens at it: its
oldest message is dropped, or the newest, or the enqueuer waits, and with it everybody. All queues together are bounded
by memory. At that limit the longest queue is the one to blame, and its policy says what happens.

What memory costs: nobody counts bytes as messages come and go, which would cost each worker at each message. The
enqueuer takes what it has received since the last count off the room that was left then, once for each batch. Only
when that is used up are the queues counted, each frame once, however many of them hold it; and if they are too large
indeed, so that less than a sixteenth of the limit is free, an eighth is freed at once: the next count is as far away.
Between two counts the estimate is too high, never too low: the limit holds, and only a count has messages dropped.

The bytes of one queue are kept in bounds in the same way, but that a sixteenth is freed. Where what waits must not be
dropped for what comes, a full queue is not counted again until as many of its oldest messages are gone as it takes to
have that free.

Who puts into a queue besides the enqueuer, a consumer for itself above all, never waits: it might be the one who would
have to make the room. With `block` its message goes in beyond the capacity; only where the memory is used up by a
queue that blocks, is it dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from .config import BLOCK, DROP_NEWEST, DROP_OLDEST
from .logs import Repeats, held_back
from .message import Frame
from .stats import ConsumerSlots, DropSlots, EnqueuerSlots

logger = logging.getLogger(__name__)

#: Seconds between two looks of a waiting enqueuer at the queue that it waits for. A worker could wake it, but would
#: have to ask with each message whether to.
_LOOK = 0.002

#: The part of a bound in bytes that must be free after a count, and the part that is freed where it is not.
_LEAST, _FREED = 16, 8

#: The part of the longest queue that is dropped before the next longest is looked for.
_SHARE = 64


class Backlog(Protocol):
    """What waits for one consumer. Threads: any."""

    def __len__(self) -> int:
        """How many messages wait."""

    def head_ns(self) -> int:
        """When the first of them was received; 0 when none waits."""

    def waiting(self) -> Sequence[Frame]:
        """All of them."""

    def drop(self, *, newest: bool) -> Frame | None:
        """Take the newest or the oldest one out; None when none waits."""


class Bound:
    """The backlog of one consumer, and what may be in it.

    Attributes:
        name: The consumer's name.
        backlog: The backlog.
        capacity: Messages that may wait; 0 for no such bound.
        is_bounded: Whether it has a bound besides the memory of the hub: whoever puts need not ask one that has none.
        policy: What happens when there are more.
        reason: How this bound is named in the log.
        slots: What the enqueuer counts for the consumer.
    """

    def __init__(
        self,
        overflow: Overflow,
        backlog: Backlog,
        *,
        name: str,
        capacity: int,
        policy: str,
        slots: ConsumerSlots,
        drops: DropSlots,
    ) -> None:
        self.name = name
        self.backlog = backlog
        self.capacity = capacity
        self.is_bounded = bool(capacity)
        self.policy = policy
        self.reason = f"capacity = {capacity}"
        self.slots = slots
        self._overflow = overflow
        self._drops = drops
        overflow.watch(self)

    def has_room(self, count: int = 1) -> bool:
        """Whether so many messages more may wait. Threads: any."""
        return not self.capacity or len(self.backlog) + count <= self.capacity

    def admits(self, frames: Sequence[Frame]) -> bool:
        """Whether all of the messages may be put without more ado; else `fit` says which. Threads: enqueuer only."""
        return self.has_room(len(frames))

    def fit(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        """Those of the messages that may be put now, then those that may be put when these have been; blocks in
        between if the policy says so, and counts and drops what it says.

        Threads: enqueuer only.
        """
        if self.policy == BLOCK:
            yield from self._as_there_is_room(frames)
            return
        if self.policy == DROP_NEWEST:
            room = max(self.capacity - len(self.backlog), 0)
            fitting, refused = frames[:room], frames[room:]
        else:
            self._shed(max(self.capacity - len(frames), 0))
            room = max(self.capacity - len(self.backlog), 0)  # a worker process may have some that cannot be dropped
            refused, fitting = frames[: max(len(frames) - room, 0)], frames[max(len(frames) - room, 0) :]
        if refused:
            self.slots.enqueued(len(refused))
            self.refuse(refused, self.reason)
        if fitting:
            yield fitting

    def objection(self, frame: Frame) -> str:
        """Why a message that does not come from the bus may not be put; "" if it may, once others have been dropped
        for it where the policy says so.

        Whoever asks counts it as injected in any case, and hands it to `refuse` if it may not. Never blocks.
        Threads: any.
        """
        if not self._overflow.take(frame.weight):
            return self._overflow.reason
        if self.policy == BLOCK or self.has_room():
            return ""
        if self.policy == DROP_NEWEST:
            return self.reason
        self._shed(self.capacity - 1)
        return ""

    def refuse(self, frames: Sequence[Frame], reason: str) -> None:
        """Count messages as dropped that were never put, and say so. Threads: any."""
        with self._overflow.lock:
            self._drops.dropped(len(frames), 0)
        self.tell(frames, reason)

    def drop_to(self, most: int) -> list[Frame]:
        """Drop messages until no more than `most` wait, and count them; `tell` is for later.

        Threads: lock of the `Overflow` held by caller.
        """
        backlog, is_newest = self.backlog, self.policy == DROP_NEWEST
        dropped: list[Frame] = []
        while len(backlog) > most and (frame := backlog.drop(newest=is_newest)) is not None:
            dropped.append(frame)
        self._drops.dropped(len(dropped), backlog.head_ns())
        return dropped

    def tell(self, dropped: Sequence[Frame], reason: str) -> None:
        """Have it known that messages were dropped: in the log, and by whoever waits for them to be done."""
        for frame in dropped:
            if frame.completion is not None:
                frame.completion.one_done()
        self._overflow.log_dropped(self, reason, len(dropped), self._drops.total)

    def _shed(self, most: int) -> None:
        """Drop messages until no more than `most` wait."""
        with self._overflow.lock:
            dropped = self.drop_to(most)
        if dropped:
            self.tell(dropped, self.reason)

    def _as_there_is_room(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        while frames and self._overflow.wait(self, self.reason, self.has_room):
            room = max(self.capacity - len(self.backlog), 1)  # others may have put something, too
            yield frames[:room]
            frames = frames[room:]
        if frames:  # a stop has ended the wait: what has been received is drained like the rest, or reported as left
            yield frames


class WeighingBound(Bound):
    """The backlog of one consumer, and how many bytes may be in it, besides how many messages.

    A message that finds nothing waiting may always be put, however large it is: else it would block for ever.
    """

    def __init__(self, overflow: Overflow, backlog: Backlog, *, capacity_bytes: int, **more: Any) -> None:
        """See `Bound`.

        Args:
            overflow: Keeps the queues of the hub within their bounds.
            backlog: The backlog.
            capacity_bytes: Bytes that may wait: topics, bodies, and `glasshub.message.FRAME_WEIGHT` for each message.
            more: As for any bound.
        """
        super().__init__(overflow, backlog, **more)
        self.is_bounded = True
        self._reason_bytes = f"capacity_bytes = {capacity_bytes}"
        self._limit = self._free = capacity_bytes
        self._wall: int | None = None  # while more than so many wait, a count would find too much

    def admits(self, frames: Sequence[Frame]) -> bool:
        """See `Bound.admits`."""
        return super().admits(frames) and self._take(frames)

    def fit(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        """See `Bound.fit`."""
        for several in [frames] if self.has_room(len(frames)) else super().fit(frames):
            yield from self._weighed(several)

    def objection(self, frame: Frame) -> str:
        """See `Bound.objection`."""
        objection = super().objection(frame)
        if objection or self._take([frame], is_put_anyway=self.policy == BLOCK) or self._count(frame.weight):
            return objection
        return self._reason_bytes

    def _weighed(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        """Those for which there are bytes; before each count what has been let in so far is put, and counts."""
        start = 0
        refused: list[Frame] = []
        for number, frame in enumerate(frames):
            if self._take([frame]):
                continue
            if start < number:
                yield frames[start:number]
            start = number
            if not self._has_made_room(frame.weight):
                refused.append(frame)
                start += 1
        if refused:
            self.slots.enqueued(len(refused))
            self.refuse(refused, self._reason_bytes)
        if start < len(frames):
            yield frames[start:]

    def _take(self, frames: Sequence[Frame], *, is_put_anyway: bool = False) -> bool:
        """Take room for the messages if there surely is enough, or if they are put anyway; whether it was taken."""
        size = sum([frame.weight for frame in frames])
        with self._overflow.lock:
            if size > self._free and not is_put_anyway:
                return False
            self._free -= size
            if self._wall is not None:
                self._wall += len(frames)  # they stand behind those that have to go
            return True

    def _has_made_room(self, size: int) -> bool:
        """Count, and do what the policy says; whether the message may be put. Threads: enqueuer only."""
        if self.policy != BLOCK:
            return self._count(size)
        while not self._count(size) and self._overflow.wait(self, self._reason_bytes, self._has_shrunk):
            pass
        return True  # if a stop has ended the wait, too: see `Bound.fit`

    def _has_shrunk(self) -> bool:
        return self._wall is None or len(self.backlog) <= self._wall

    def _count(self, size: int) -> bool:
        """Count what waits, unless it is known to be too much still, and drop the oldest where that is the policy.

        Returns:
            Whether there is room for a message of that size, which has been taken.
        """
        with self._overflow.lock:
            if not self._has_shrunk():
                return False
            weights = self._weights()
            held = sum(weights)
            dropped = self._drop_down(held + size) if self.policy == DROP_OLDEST else []
            held -= sum([frame.weight for frame in dropped])
            has_room = not len(self.backlog) or held + size <= self._limit
            if has_room:
                weights.append(size)
                held += size
            self._free = self._limit - held
            # Who waits needs room for this very message; one that is refused must not keep smaller ones out.
            is_waiting = self.policy == BLOCK and not has_room
            self._wall = self._next_wall(weights, held + size if is_waiting else held)
        if dropped:
            self.tell(dropped, self._reason_bytes)
        return has_room

    def _is_full(self, size: int) -> bool:
        """Whether there is less free than there must be after a count, when so much waits."""
        return size > self._limit - self._limit // _LEAST

    def _weights(self) -> list[int]:
        """What each message weighs that waits: the last ones, for a worker process may have begun with the first."""
        frames = self.backlog.waiting()
        return [frame.weight for frame in islice(frames, max(len(frames) - len(self.backlog), 0), None)]

    def _drop_down(self, size: int) -> list[Frame]:
        """Drop the oldest messages, and count them, until enough is free; all and the new one have that size."""
        dropped: list[Frame] = []
        while self._is_full(size):
            frame = self.backlog.drop(newest=False)
            if frame is None:  # a worker process has the rest
                break
            dropped.append(frame)
            size -= frame.weight
        if dropped:
            self._drops.dropped(len(dropped), self.backlog.head_ns())
        return dropped

    def _next_wall(self, weights: Sequence[int], size: int) -> int | None:
        """How many messages may wait when it makes sense to count again; None for any number."""
        if self.policy == DROP_OLDEST:  # what cannot be dropped is not much
            return None
        for number, weight in enumerate(weights):
            if not self._is_full(size):
                return len(weights) - number
            size -= weight
        return 0


class Overflow:
    """Keeps the queues of a hub within their bounds.

    Attributes:
        lock: Held by whoever drops: what is dropped is counted by one thread at a time.
        reason: How the bound of them all is named in the log.
    """

    def __init__(self, memory: int, enqueuer: EnqueuerSlots, repeats: Repeats) -> None:
        """Bound all queues together.

        Args:
            memory: Bytes that they may hold; 0 for no bound.
            enqueuer: Where the enqueuer shows that it lives, while it waits as well.
            repeats: Keeps the log short.
        """
        self.lock = threading.Lock()
        self.reason = f"[hub] memory = {memory}"
        self._limit = self._room = memory
        self._wall: tuple[Bound, int] | None = None
        self._enqueuer = enqueuer
        self._repeats = repeats
        self._bounds: list[Bound] = []
        self._is_ended = threading.Event()

    def watch(self, bound: Bound) -> None:
        """Count what waits there, too; before the first message comes."""
        self._bounds.append(bound)

    def end_waits(self) -> None:
        """Let the enqueuer wait for nobody any more. Threads: any."""
        self._is_ended.set()

    def reserve(self, size: int) -> None:
        """Take memory for messages of the bus: drops others if there is none, or blocks until there is.

        Threads: enqueuer only.
        """
        while not self.take(size):
            wall = self._wall
            if wall is not None and not self.wait(wall[0], self.reason, partial(_is_down_to, *wall)):
                return

    def take(self, size: int) -> bool:
        """Take memory, after dropping if need be; never blocks.

        Returns:
            False when a queue that blocks is in the way.

        Threads: any.
        """
        if not self._limit:
            return True
        with self.lock:
            self._room -= size
            if self._room >= 0 and self._wall is None:
                return True
            if self._is_walled():
                return False
            shed = self._make_room(size)
            is_taken = self._wall is None
        for bound, dropped in shed:
            bound.tell(dropped, self.reason)
        return is_taken

    def wait(self, bound: Bound, reason: str, until: Callable[[], bool]) -> bool:
        """Block until that holds.

        Args:
            bound: Whom the enqueuer waits for.
            reason: What is used up, for the log.
            until: Says whether there is room again.

        Returns:
            False if a stop came before.

        Threads: enqueuer only.
        """
        if self._is_ended.is_set() or until():
            return not self._is_ended.is_set()
        began_ns = now_ns = time.monotonic_ns()
        is_logged = self._log_wait(bound, reason)
        while not until() and not self._is_ended.wait(_LOOK):
            now_ns = time.monotonic_ns()
            bound.slots.blocked(began_ns, now_ns)
            self._enqueuer.beat(now_ns)
        bound.slots.unblocked()
        if is_logged:
            logger.warning("the enqueuer has waited %.3f s for %s", (now_ns - began_ns) / 1e9, bound.name)
        return not self._is_ended.is_set()

    def log_dropped(self, bound: Bound, reason: str, count: int, total: int) -> None:
        """Say that messages were dropped, unless it was said just now. Threads: any."""
        held = self._repeats.admit(("dropped", bound.name))
        if held is not None:
            logger.warning(
                "%s: no room (%s): %d messages dropped (%s), %d since the start%s",
                bound.name,
                reason,
                count,
                bound.policy,
                total,
                held_back(held),
            )

    def _log_wait(self, bound: Bound, reason: str) -> bool:
        held = self._repeats.admit(("blocks", bound.name))
        if held is not None:
            logger.warning(
                "%s: no room (%s): the enqueuer waits for it, and every other consumer with it%s",
                bound.name,
                reason,
                held_back(held),
            )
        return held is not None

    def _is_walled(self) -> bool:
        """Whether the queue that was in the way still is, as far as can be told without counting."""
        if self._wall is not None and not _is_down_to(*self._wall):
            return True
        self._wall = None
        return False

    def _make_room(self, size: int) -> list[tuple[Bound, list[Frame]]]:
        """Count, and drop if there is too much, besides `size` that is not in the queues yet.

        Returns:
            What was dropped, and whose it was.
        """
        held = _Held(self._bounds)
        shed: dict[str, tuple[Bound, list[Frame]]] = {}
        if held.size + size > self._limit - self._limit // _LEAST:
            while held.size + size > self._limit - self._limit // _FREED:
                bound = max(self._bounds, key=lambda bound: len(bound.backlog))
                length = len(bound.backlog)
                if bound.policy == BLOCK and length:
                    self._wall = bound, length - max(length // _FREED, 1)
                dropped = [] if self._wall else bound.drop_to(length - max(length // _SHARE, 1))
                if not dropped:
                    break
                held.let_go(dropped)
                shed.setdefault(bound.name, (bound, []))[1].extend(dropped)
        self._room = self._limit - held.size - size
        return list(shed.values())


def _is_down_to(bound: Bound, length: int) -> bool:
    return len(bound.backlog) <= length


class _Held:
    """What a number of queues hold at one time.

    Attributes:
        size: Bytes of all messages, each counted once.
    """

    def __init__(self, bounds: Iterable[Bound]) -> None:
        self._holders: Counter[Frame] = Counter()
        for bound in bounds:
            self._holders.update(bound.backlog.waiting())
        self.size = sum([frame.weight for frame in self._holders])

    def let_go(self, dropped: Iterable[Frame]) -> None:
        """Count off what one queue does not hold any more."""
        for frame in dropped:
            self._holders[frame] -= 1
            if self._holders[frame] == 0:  # not one that has come since: that is at -1
                self.size -= frame.weight
