# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hubs as their segments show them, and what has been seen of them since this process began to look."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from glasshub_stats import ConsumerInterval, Interval, Snapshot
from glasshub_stats.table import attention, duration, rate

from ..looking import Look, Watcher
from .model import POINTS, SPANS, ConsumerView, HubView, Level, Series, Span, State, condition
from .words import count

#: Rates are those of the last so many seconds: of one look after another they would jump about.
_LATELY = 60.0

#: A message that takes longer than this is worth a word.
_LONG = 60.0


class Memory:
    """What one consumer did, in steps, for each span. What is older than the span is forgotten."""

    def __init__(self) -> None:
        self._rings = {span.name: _Ring(span.step) for span in SPANS.values()}

    def add(self, now: float, happened: Happened) -> None:
        """Note what was seen at a unix time."""
        for ring in self._rings.values():
            ring.add(now, happened)

    def series(self, span: Span, now: float) -> Series:
        """What is known of a span that ends now."""
        return self._rings[span.name].series(now)

    def failed(self, span: Span, now: float) -> float:
        """How many messages have failed in it, as far as known."""
        return self._rings[span.name].failed(now)


@dataclass(frozen=True)
class Happened:
    """What one look at a consumer has shown: its backlog, and what happened in the seconds since the look before.

    The backlog is NaN when nobody knew it.
    """

    backlog: float
    received: float
    processed: float
    failed: int
    seconds: float


class _Ring:
    """Steps of one length; the newest takes the place of the oldest."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._numbers = array("q", [-1] * POINTS)  # which step is in each place
        self._sums = [array("d", [0.0] * POINTS) for _ in range(5)]

    def add(self, now: float, happened: Happened) -> None:
        backlogs, received, processed, failed, seconds = self._sums
        place = self._place_of(int(now // self._step))
        if math.isnan(backlogs[place]) or happened.backlog > backlogs[place]:
            backlogs[place] = happened.backlog
        received[place] += happened.received
        processed[place] += happened.processed
        failed[place] += happened.failed
        seconds[place] += happened.seconds

    def series(self, now: float) -> Series:
        backlogs, received, processed, _, seconds = self._sums
        last = int(now // self._step)
        numbers = range(last - POINTS + 1, last + 1)
        places = [number % POINTS if self._numbers[number % POINTS] == number else None for number in numbers]
        return Series(
            times=[(number + 0.5) * self._step for number in numbers],
            backlog=[math.nan if place is None else backlogs[place] for place in places],
            received=[math.nan if place is None else _ratio(received[place], seconds[place]) for place in places],
            processed=[math.nan if place is None else _ratio(processed[place], seconds[place]) for place in places],
        )

    def failed(self, now: float) -> float:
        oldest = int(now // self._step) - POINTS
        return sum(failed for number, failed in zip(self._numbers, self._sums[3]) if number > oldest)

    def _place_of(self, number: int) -> int:
        """Where a step is; what was there before goes."""
        place = number % POINTS
        if self._numbers[place] != number:
            self._numbers[place] = number
            for sums in self._sums:
                sums[place] = 0.0
            self._sums[0][place] = math.nan
        return place


@dataclass
class _Hub:
    """What is remembered of a hub."""

    look: Look
    lately: deque[Snapshot] = field(default_factory=deque)
    consumers: dict[str, Memory] = field(default_factory=dict)
    behind_since: dict[str, float] = field(default_factory=dict)
    on_broker_since: dict[str, float] = field(default_factory=dict)


class LiveHubs:
    """The hubs whose segments can be read. Threads: one at a time."""

    def __init__(self, watcher: Watcher, *, behind_after: float, clock: Callable[[], float] = time.time) -> None:
        """Look at nothing yet.

        Args:
            watcher: Finds and reads segments.
            behind_after: Seconds that a message may wait before its consumer is behind.
            clock: Unix time.
        """
        self._watcher = watcher
        self._behind_after = behind_after
        self._clock = clock
        self._hubs: dict[Path, _Hub] = {}

    def look(self) -> None:
        """Look once, and remember it."""
        now = self._clock()
        for look in self._watcher.look():
            hub = self._hubs.setdefault(look.path, _Hub(look))
            hub.look = look
            if look.snapshot is not None:
                _remember(hub, look.snapshot, look.interval, now)

    def hubs(self, span: Span) -> list[HubView]:
        """All hubs that have been seen."""
        return [self._view(hub, span) for hub in self._hubs.values()]

    def _view(self, hub: _Hub, span: Span) -> HubView:
        if not hub.lately:
            return HubView(hub.look.hub, _unreadable(hub.look))
        snapshot = hub.lately[-1]
        interval = snapshot.since(hub.lately[0] if len(hub.lately) > 1 else None)
        state = _unreadable(hub.look) if hub.look.snapshot is None else _state_of_hub(snapshot)
        return HubView(
            name=snapshot.hub.name,
            state=state,
            time=snapshot.time,
            facts=list(_facts(interval, is_live=snapshot.is_locked)),
            notes=list(attention(snapshot)),
            consumers=[self._consumer(hub, consumer, span) for consumer in interval.consumers],
        )

    def _consumer(self, hub: _Hub, consumer: ConsumerInterval, span: Span) -> ConsumerView:
        now, memory = consumer.now, hub.consumers[consumer.name]
        is_live = hub.look.snapshot is not None and hub.look.snapshot.is_locked  # also if it is stuck
        is_moving = is_live and len(hub.lately) > 1
        since = self._clock() - hub.on_broker_since.get(consumer.name, math.inf)
        state = _state(consumer, self._behind_after, since) if is_live else State(Level.UNKNOWN, "last known")
        return ConsumerView(
            name=consumer.name,
            state=state,
            backlog=now.total_backlog,
            on_broker=now.broker_ready,
            received=consumer.enqueue_rate if is_moving else math.nan,
            processed=consumer.processing_rate if is_moving else math.nan,
            oldest=now.oldest_age,
            catch_up=consumer.catch_up if is_moving else math.nan,
            failed=memory.failed(span, self._clock()),
            behind_since=hub.behind_since.get(consumer.name, math.nan),
            series=memory.series(span, self._clock()),
        )


def _remember(hub: _Hub, snapshot: Snapshot, interval: Interval | None, now: float) -> None:
    if hub.lately and hub.lately[-1].generation != snapshot.generation:
        hub.lately.clear()
    hub.lately.append(snapshot)
    while len(hub.lately) > 2 and snapshot.taken_ns - hub.lately[0].taken_ns > _LATELY * 1e9:
        hub.lately.popleft()
    is_alive = snapshot.is_locked
    for consumer in (interval or snapshot.since(snapshot)).consumers:
        memory = hub.consumers.setdefault(consumer.name, Memory())
        if is_alive:
            seconds = interval.seconds if interval is not None else 0.0
            backlog = consumer.now.total_backlog
            memory.add(now, Happened(backlog, consumer.put, consumer.finished, consumer.failed, seconds))
            _note_waiting(hub, consumer, now)


def _note_waiting(hub: _Hub, consumer: ConsumerInterval, now: float) -> None:
    """Remember since when messages have been waiting without a pause, at all and on a broker."""
    if not consumer.now.total_backlog:
        hub.behind_since.pop(consumer.name, None)
    else:
        hub.behind_since.setdefault(consumer.name, now - consumer.now.oldest_age)
    if consumer.now.broker_ready > 0:
        hub.on_broker_since.setdefault(consumer.name, now)
    else:
        hub.on_broker_since.pop(consumer.name, None)


def _unreadable(look: Look) -> State:
    return State(Level.BAD, "unreadable", f"cannot be read: {look.problem}")


def _state_of_hub(snapshot: Snapshot) -> State:
    status, hub = snapshot.status(), snapshot.hub
    if status == "stuck":
        silence = duration(max(hub.heartbeat_age, hub.enqueuer_age))
        return State(Level.BAD, "stuck", f"is stuck: it lives, but has given no sign of it for {silence}")
    if status in {"down", "stopped"}:
        what = "is down: its process is gone" if status == "down" else "was stopped"
        return State(Level.BAD, status, f"{what}, the last sign of life was {duration(hub.heartbeat_age)} ago")
    if hub.connected < hub.endpoints:
        text = f"is connected to {hub.connected} of {hub.endpoints} endpoints of its bus"
        return State(Level.WATCH, "partly disconnected" if hub.connected else "disconnected", text)
    if hub.spool_blocking_age:
        return State(Level.BAD, "held up", f"takes nothing for {duration(hub.spool_blocking_age)}: its spool refuses")
    return State(Level.WELL if status == "running" else Level.WATCH, status)


def _state(consumer: ConsumerInterval, behind_after: float, on_broker: float) -> State:
    """How a consumer is, for which messages have been on a broker at each look for so many seconds."""
    now = consumer.now
    if not now.initialized:
        return State(Level.BAD, "not started", "is not initialized and gets no messages: see the hub's log")
    if now.stuck:
        text = f"is stuck: {now.stuck} of {now.workers} workers at one message for up to {duration(now.current_age)}"
        return State(Level.BAD, "stuck", text)
    if now.blocking_age:
        text = f"has no room, and everybody waits for it, for {duration(now.blocking_age)} now"
        return State(Level.BAD, "full", text)
    if now.has_broker and not now.broker_consuming:
        return State(Level.BAD, "cut off", "gets nothing: its queue on the broker is not consumed, see the hub's log")
    state = condition(
        oldest=max(now.oldest_age, on_broker),
        backlog=now.total_backlog,
        net_rate=consumer.net_rate,
        behind_after=behind_after,
    )
    if state.level is Level.WELL and now.current_age >= _LONG:
        return State(Level.WATCH, "slow", f"has been at one message for {duration(now.current_age)}")
    return state


def _facts(interval: Interval, *, is_live: bool) -> Iterator[tuple[str, str]]:
    hub = interval.newer.hub
    yield "backlog", count(hub.total_backlog)
    if hub.has_broker:
        yield "of these on the broker", count(hub.broker_ready)
    if is_live and interval.older is not None:
        yield "received", f"{rate(interval.hub.receive_rate)}/s"
    yield "source", f"{hub.source} {hub.connected}/{hub.endpoints}"
    yield ("up for", duration(hub.uptime)) if is_live else ("last sign", f"{duration(hub.heartbeat_age)} ago")
    yield "shape", hub.shape
    yield "version", hub.version
    yield "pid", str(interval.newer.pid)


def _ratio(messages: float, seconds: float) -> float:
    return messages / seconds if seconds else math.nan
