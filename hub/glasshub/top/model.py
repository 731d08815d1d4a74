# SPDX-License-Identifier: LGPL-2.1-or-later
"""What top knows: hubs, consumers and producers as rows of tables, and what each consumer's backlog was before."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from glasshub_stats import ConsumerInterval, ConsumerStats, Histogram, Interval, ProducerStats, Snapshot
from glasshub_stats.interval import broker_answer, catch_up, fall_rate
from glasshub_stats.table import attention, printable

from ..looking import Look

#: How many looks back the backlogs are remembered.
REMEMBERED = 256

#: Catch-up time is reckoned from how the backlog changed in so many seconds: from one look to the next it is noise.
WINDOW = 10.0

#: Whose oldest message has waited for so many seconds is behind; a producer that is later by them is overdue.
PATIENCE = 10.0

_NAN = math.nan


class State(enum.Enum):
    """How a hub, a consumer or a producer is, in a word; the worst first."""

    STUCK = "stuck"
    BLOCKED = "blocked"
    NOT_INITIALIZED = "not init"
    CUT_OFF = "cut off"
    DOWN = "down"
    UNREAD = "unread"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    FAILING = "failing"
    OVERDUE = "overdue"
    BEHIND = "behind"
    STARTING = "starting"
    DRAINING = "draining"
    RUNNING = "running"
    OK = "ok"

    @property
    def gravity(self) -> int:
        """0 for the worst."""
        return _GRAVITIES[self]

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look after it."""
        return self.gravity <= State.STOPPED.gravity

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to."""
        return self.gravity >= State.STARTING.gravity


_GRAVITIES = {state: number for number, state in enumerate(State)}

#: How all consumers and producers of these hubs are, whose figures are the last ones.
_OF_ALL = {State.DOWN: State.DOWN, State.STOPPED: State.STOPPED, State.UNREAD: State.UNKNOWN}

#: Of these hubs the figures are the last ones, or nobody knows whether they still are true.
_LOST = (*_OF_ALL, State.STUCK)


@dataclass(frozen=True)
class HubRow:
    """One hub.

    Attributes:
        name: Its name, or that of its file.
        snapshot: What its segment says, or said last; None if it never could be read.
        state: How it is.
        receive_rate: Messages a second that it received in the last interval; NaN when nobody knows.
        trend: All that waited for it at each look, on a broker too, the latest last; NaN when nobody knew.
    """

    name: str
    snapshot: Snapshot | None
    state: State
    receive_rate: float = _NAN
    trend: Sequence[float] = ()

    @property
    def backlog(self) -> float:
        """Messages waiting in the hub; NaN when nobody knows."""
        return self.snapshot.hub.backlog if self.snapshot is not None else _NAN

    @property
    def broker_ready(self) -> float:
        """Messages waiting on its broker; NaN when nobody knows, or there is none."""
        return self.snapshot.hub.broker_ready if self.snapshot is not None else _NAN

    @property
    def has_broker(self) -> bool:
        """Whether messages wait on a broker before they come to the hub."""
        return self.snapshot is not None and self.snapshot.hub.has_broker

    @property
    def uptime(self) -> float:
        """Seconds; NaN when it is not running."""
        return self.snapshot.hub.uptime if self.snapshot is not None and self.snapshot.is_locked else _NAN

    @property
    def is_current(self) -> bool:
        """Whether the figures are those of now."""
        return self.state not in _LOST

    @property
    def as_of(self) -> float:
        """Unix time of the hub's last sign of life; NaN when there never was one.

        Of its main thread or of its enqueuer, whichever is silent for longer: the figures are whole until then.
        """
        if self.snapshot is None:
            return _NAN
        hub = self.snapshot.hub
        silent = hub.heartbeat_age
        if self.state is State.STUCK:
            silent = max(silent, hub.enqueuer_age)
        return self.snapshot.time - silent


class ConsumerRow:
    """One consumer, with what happened to it in the last interval. The times are reckoned when somebody asks."""

    def __init__(
        self, hub: str, interval: ConsumerInterval, *, state: State, trend: Sequence[float], catch_up: float
    ) -> None:
        """Take what is known.

        Args:
            hub: Name of its hub.
            interval: What happened.
            state: How it is.
            trend: All that waited for it at each look, on a broker too, the latest last; NaN when nobody knew.
            catch_up: Seconds until it has caught up; infinite if it never will, NaN if nobody knows.
        """
        self.hub = hub
        self.name = interval.name
        self.state = state
        self.trend = trend
        self.catch_up = catch_up
        self._interval = interval

    @property
    def now(self) -> ConsumerStats:
        """Its figures."""
        return self._interval.now

    @property
    def enqueue_rate(self) -> float:
        """Messages a second put into its queue; NaN when nobody knows."""
        return self._interval.enqueue_rate

    @property
    def processing_rate(self) -> float:
        """Messages a second that it finished; NaN when nobody knows."""
        return self._interval.processing_rate

    @cached_property
    def wait(self) -> Histogram:
        """Times in the queue, of the last interval."""
        return self._interval.wait

    @cached_property
    def processing(self) -> Histogram:
        """Times in the consumer, of the last interval."""
        return self._interval.processing


@dataclass(frozen=True)
class ProducerRow:
    """One producer."""

    hub: str
    now: ProducerStats
    state: State

    @property
    def name(self) -> str:
        """Its name."""
        return self.now.name


@dataclass(frozen=True)
class Picture:
    """Everything there is to show at one time.

    Attributes:
        time: When, in unix time.
        looks: How many looks there were so far.
        hubs, consumers, producers: A row for each, as the hubs have them.
        attention: Sentences for what an operator should know and might not see in the figures; safe for a terminal.
    """

    time: float
    looks: int = 0
    hubs: Sequence[HubRow] = ()
    consumers: Sequence[ConsumerRow] = ()
    producers: Sequence[ProducerRow] = ()
    attention: Sequence[str] = ()


@dataclass(frozen=True)
class _Waiting:
    """What waited for a consumer at one look.

    Attributes:
        total: All of it; NaN when nobody knew.
        here: What was in the hub.
        answer: What the broker had said last, and when; see `glasshub_stats.interval.fall_rate`.
    """

    total: float
    here: int
    answer: tuple[float, int]


@dataclass
class _Memory:
    """What one hub's backlogs were: the hub's own, and those of its consumers by their place.

    Attributes:
        generation: Of the hub, which is another one after a restart.
        times: When, on the monotonic clock in seconds.
    """

    generation: int
    times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    hub: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    consumers: list[deque[_Waiting]] = field(default_factory=list)

    def note(self, snapshot: Snapshot) -> None:
        """Remember what a snapshot says."""
        while len(self.consumers) < len(snapshot.consumers):
            self.consumers.append(deque(maxlen=REMEMBERED))
        self.times.append(snapshot.taken_ns / 1e9)
        self.hub.append(snapshot.hub.total_backlog)
        for backlogs, consumer in zip(self.consumers, snapshot.consumers):
            backlogs.append(_Waiting(consumer.total_backlog, consumer.backlog, broker_answer(consumer)))

    def trend(self, number: int) -> tuple[float, ...]:
        """All that waited for a consumer at each look."""
        return tuple(waiting.total for waiting in self.consumers[number])

    def catch_up(self, number: int) -> float:
        """Seconds until a consumer has caught up; infinite if it never will, NaN if nobody knows.

        Unlike the `catch_up` of an interval that of up to `WINDOW` seconds, else it jumps at every look.
        """
        now, looks = self.consumers[number][-1], len(self.times)
        if math.isnan(now.total) or (now.total and looks < 2):
            return _NAN
        first = self._first()
        before, seconds = self.consumers[number][first], self.times[-1] - self.times[first]
        rate = (before.here - now.here) / seconds if seconds else 0.0
        if now.answer[1]:
            rate += fall_rate(before.answer, now.answer)
        found = catch_up(now.total, rate)
        return math.inf if math.isnan(found) and not math.isnan(rate) else found

    def is_piling_up(self, number: int) -> bool:
        """Whether the broker has had messages for the consumer at each look for `PATIENCE`: more than are taken."""
        looks = zip(reversed(self.times), reversed(self.consumers[number]))
        for when, waiting in looks:
            if not waiting.answer[0] > 0:
                return False
            if self.times[-1] - when >= PATIENCE:
                return True
        return False

    def _first(self) -> int:
        """The look at which the `WINDOW` begins that ends with the latest one; the one before that at least."""
        last = first = len(self.times) - 1
        while first and (first == last or self.times[-1] - self.times[first - 1] <= WINDOW):
            first -= 1
        return first


class Board:
    """Makes pictures of looks.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._memories: dict[Path, _Memory] = {}
        self._looks = 0

    def picture(self, looks: Iterable[Look], *, time: float) -> Picture:
        """Remember what was seen, and tell what there is.

        Args:
            looks: One for each segment.
            time: Unix time at which they were taken.
        """
        looks = list(looks)
        self._looks += 1
        hubs: list[HubRow] = []
        consumers: list[ConsumerRow] = []
        producers: list[ProducerRow] = []
        for look in looks:
            state, interval = _hub_state(look), _interval(look)
            if interval is None:
                hubs.append(HubRow(look.hub, None, state))
                continue
            memory = self._remembered(look, interval.newer)
            rate = interval.hub.receive_rate
            hubs.append(HubRow(look.hub, interval.newer, state, receive_rate=rate, trend=tuple(memory.hub)))
            consumers += _consumers(look.hub, interval, state, memory)
            producers += _producers(look.hub, interval.newer, state)
        return Picture(
            time=time,
            looks=self._looks,
            hubs=hubs,
            consumers=consumers,
            producers=producers,
            attention=list(_attention(looks)),
        )

    def _remembered(self, look: Look, known: Snapshot) -> _Memory:
        """What is remembered of a hub, this look included."""
        memory = self._memories.get(look.path)
        if memory is None or memory.generation != known.generation:
            memory = self._memories[look.path] = _Memory(known.generation)
        if look.snapshot is not None or not memory.times:
            memory.note(known)
        return memory


def _interval(look: Look) -> Interval | None:
    """What happened since the look before; nothing happened if there is but one snapshot, None if there is none."""
    known = look.snapshot or look.older
    return look.interval or (known.since(known) if known is not None else None)


def _hub_state(look: Look) -> State:
    if look.snapshot is None:
        return State.UNREAD
    try:
        return State(look.snapshot.status())
    except ValueError:  # a segment of a version to come may say more than we know
        return State.UNKNOWN


def _consumers(hub: str, interval: Interval, state: State, memory: _Memory) -> Iterator[ConsumerRow]:
    for number, consumer in enumerate(interval.consumers):
        yield ConsumerRow(
            hub,
            consumer,
            state=_consumer_state(consumer.now, state, is_piling_up=memory.is_piling_up(number)),
            trend=memory.trend(number),
            catch_up=memory.catch_up(number) if state not in _LOST else _NAN,
        )


def _consumer_state(consumer: ConsumerStats, hub: State, *, is_piling_up: bool) -> State:
    if hub in _OF_ALL:
        return _OF_ALL[hub]
    if not consumer.initialized:
        return State.NOT_INITIALIZED
    if consumer.stuck:
        return State.STUCK
    if hub is State.STUCK:  # what it shows may not be true any more
        return State.UNKNOWN
    return _supply(consumer, is_piling_up=is_piling_up)


def _supply(consumer: ConsumerStats, *, is_piling_up: bool) -> State:
    """How it gets its messages."""
    if consumer.blocking_age:
        return State.BLOCKED
    if consumer.has_broker and not consumer.broker_consuming:
        return State.CUT_OFF
    return State.BEHIND if is_piling_up or consumer.oldest_age > PATIENCE else State.OK


def _producers(hub: str, snapshot: Snapshot, state: State) -> Iterator[ProducerRow]:
    for producer in snapshot.producers:
        yield ProducerRow(hub, producer, _producer_state(producer, state))


def _producer_state(producer: ProducerStats, hub: State) -> State:
    if hub in _OF_ALL:
        return _OF_ALL[hub]
    if not producer.initialized:
        return State.NOT_INITIALIZED
    if producer.overdue > PATIENCE:
        return State.OVERDUE
    return State.FAILING if producer.has_failed_last else State.OK


def _attention(looks: Sequence[Look]) -> Iterator[str]:
    for look in looks:
        whose = f"{look.hub}: " if len(looks) > 1 else ""
        for what in [look.problem] if look.snapshot is None else attention(look.snapshot):
            yield printable(whose + what)
