# SPDX-License-Identifier: LGPL-2.1-or-later
"""How far behind consumers would fall in a spike, and how long they would take to catch up, by what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..load.shapes import SERIAL

EXPLANATION = """\
Messages are taken for a stream that flows evenly, not for single ones. A consumer
that gets a messages a second in the spike, and handles c a second, falls behind by
a - c each second; afterwards it gets q a second, and its backlog shrinks by c - q:

    peak backlog      B = what waits now + (a - c) * seconds
    caught up after   B / c         it is done with every message of the spike
    no backlog after  B / (c - q)   nothing waits for it any more
    worst wait        B / c         of the message that comes last in the spike

a and q are the rates of the bus times the consumer's share of its messages so far.

In the shapes inline and shared consumers are served one after the other, at the pace
of the whole row: it takes 1 / (sum of share / rate alone) messages of the bus a second.

In threads and processes each consumer has its own workers, and the rate
workers / (mean time for a message), as long as nobody is in its way. But the consumers
of one process share one interpreter, which computes for one at a time. Of their time
the part k is computing: CPU time of the process, divided by the time its workers were
busy. When that adds up to more than one interpreter, computing takes f times as long
for all of them, and c = workers / (mean * (k * f + 1 - k)), with the f that has the
interpreter just busy. By a spike in which somebody fell behind, k is 0, and the rate is
what was measured then: that has it in it already, and holds for loads like that one.

It is taken for granted that the messages of the spike cost what those cost that were
measured, that each consumer's share of them is the same, that consumers do not wait for
each other (a database, a lock, a throttle), and that all are in one process.

Where consumers have queues of their own on a broker, what the consumer got that got
most is taken for all that was on the bus. Hubs that share a queue are taken to be like
this one: each gets as much of it, and does as much. What is printed is of them together.
"""

#: Steps of the search for `f`, each of which halves what it may be wrong by.
_STEPS = 60

#: Times that the rates may change before everybody has caught up: once for each consumer that does, and at the end.
_MOST_PHASES = 1000


@dataclass(frozen=True)
class Measured:
    """What was measured of a consumer.

    Attributes:
        name: The consumer.
        share: Messages that it gets of each message on the bus.
        service_rate: Messages a second that it handles, with all its workers, if nobody is in its way.
        workers: How many.
        waiting: Messages that wait for it now.
        hubs: How many hubs have such a consumer, which share the work; all else is of one of them.
    """

    name: str
    share: float
    service_rate: float
    workers: int = 1
    waiting: float = 0.0
    hubs: int = 1


@dataclass(frozen=True)
class Basis:
    """What a forecast is made from.

    Attributes:
        source: Where it was measured.
        shape: Shape of dispatch.
        bus_rate: Messages a second on the bus without the spike.
        computing: Part of the time in the consumers that is computing, of one interpreter that all share; 0 where what
            was measured was measured under such a load, and has it in it.
        consumers: Each consumer.
    """

    source: str
    shape: str
    bus_rate: float
    computing: float
    consumers: tuple[Measured, ...]


@dataclass(frozen=True)
class Forecast:
    """What to expect of a consumer, in all hubs that share its work.

    Attributes:
        name: The consumer.
        arrival_rate: Messages a second that it gets in the spike.
        service_rate: Messages a second that it handles in the spike while it is behind.
        peak_backlog: Most messages that wait for it.
        caught_up_after: Seconds from the end of the spike until it is done with all of it.
        no_backlog_after: Seconds from the end until nothing waits for it any more; infinite if that never comes.
        worst_wait: Longest that a message waits, in seconds.
    """

    name: str
    arrival_rate: float
    service_rate: float
    peak_backlog: float
    caught_up_after: float
    no_backlog_after: float
    worst_wait: float


def forecast(basis: Basis, *, rate: float, seconds: float) -> list[Forecast]:
    """What a spike would do.

    Args:
        basis: What was measured.
        rate: Messages a second on the bus, besides what there is without it.
        seconds: How long.
    """
    flow = _Flow(basis)
    arrivals = [(rate + basis.bus_rate) * c.share for c in basis.consumers]
    rates = flow.run(arrivals, seconds)
    peaks = flow.waiting
    ends = flow.run_out([basis.bus_rate * c.share for c in basis.consumers], peaks)
    return [
        Forecast(
            name=consumer.name,
            arrival_rate=arrival * consumer.hubs,
            service_rate=handled * consumer.hubs,
            peak_backlog=max(peak, consumer.waiting) * consumer.hubs,
            caught_up_after=done,
            no_backlog_after=empty,
            worst_wait=max(done, consumer.waiting / handled if handled else 0.0),
        )
        for consumer, arrival, handled, peak, (done, empty) in zip(basis.consumers, arrivals, rates, peaks, ends)
    ]


class _Flow:
    """The backlogs, as they rise and fall."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self.waiting = [consumer.waiting for consumer in basis.consumers]

    def run(self, arrivals: Sequence[float], seconds: float) -> list[float]:
        """Let so much time pass; the rates of service that a backlog is, or would be, worked off with, at its end."""
        for _ in range(_MOST_PHASES):
            rates = self._rates(arrivals)
            length = min([seconds, *self._empties(arrivals, rates)])
            self._pass(arrivals, rates, length)
            seconds -= length
            if seconds <= 1e-9:
                break
        return self._rates(arrivals)

    def run_out(self, arrivals: Sequence[float], owed: Sequence[float]) -> list[tuple[float, float]]:
        """Let time pass until nothing changes any more.

        Args:
            arrivals: Messages a second of each consumer.
            owed: How many of those that wait first it is asked for.

        Returns:
            For each consumer the seconds until these are done, and until nothing waits.
        """
        left, now = list(owed), 0.0
        done, empty = [0.0 if many <= 1e-9 else math.inf for many in left], [math.inf] * len(left)
        for _ in range(_MOST_PHASES):
            empty = [min(when, now) if waits <= 1e-9 else when for when, waits in zip(empty, self.waiting)]
            rates = self._rates(arrivals)
            finishes = [many / rate if many > 1e-9 and rate else math.inf for many, rate in zip(left, rates)]
            length = min([*finishes, *self._empties(arrivals, rates)], default=math.inf)
            if math.isinf(length):
                break
            now += length
            self._pass(arrivals, rates, length)
            left = [max(many - rate * length, 0.0) for many, rate in zip(left, rates)]
            done = [min(when, now) if many <= 1e-9 else when for when, many in zip(done, left)]
        return list(zip(done, empty))

    def _pass(self, arrivals: Sequence[float], rates: Sequence[float], length: float) -> None:
        moved = [waits + (arrival - rate) * length for waits, arrival, rate in zip(self.waiting, arrivals, rates)]
        self.waiting = [many if many > 1e-9 else 0.0 for many in moved]

    def _empties(self, arrivals: Sequence[float], rates: Sequence[float]) -> list[float]:
        """Seconds after which each backlog is gone that shrinks."""
        return [
            waits / (rate - arrival)
            for waits, arrival, rate in zip(self.waiting, arrivals, rates)
            if waits and rate > arrival + 1e-12
        ]

    def _rates(self, arrivals: Sequence[float]) -> list[float]:
        """Messages a second that each consumer could handle now."""
        consumers = self._basis.consumers
        if self._basis.shape in SERIAL:
            cost = sum(consumer.share / consumer.service_rate for consumer in consumers)
            # Where nothing comes for anybody, nobody is in the way of who works off what waits.
            return [consumer.share / cost if cost else consumer.service_rate for consumer in consumers]
        factor = self._contention(arrivals)
        return [self._slowed(consumer, factor) for consumer in consumers]

    def _slowed(self, consumer: Measured, factor: float) -> float:
        """Its rate when computing takes so many times as long."""
        computing = self._basis.computing
        return consumer.service_rate / (computing * factor + 1 - computing)

    def _contention(self, arrivals: Sequence[float]) -> float:
        """How many times as long computing takes because others compute as well."""
        if self._computed(arrivals, 1.0) <= 1:
            return 1.0
        low, high = 1.0, 1.0 + sum(consumer.workers for consumer in self._basis.consumers)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._computed(arrivals, middle) > 1 else (low, middle)
        return high

    def _computed(self, arrivals: Sequence[float], factor: float) -> float:
        """How many interpreters would be busy."""
        return sum(
            min(arrival if not waits else math.inf, self._slowed(consumer, factor))
            * self._basis.computing
            * consumer.workers
            / consumer.service_rate
            for consumer, arrival, waits in zip(self._basis.consumers, arrivals, self.waiting)
        )
