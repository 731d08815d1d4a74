# SPDX-License-Identifier: LGPL-2.1-or-later
"""The checks: each is a function of what a hub's segment says, what happened lately, and the limits alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from glasshub_stats import HubStats, Interval, ProducerStats, Snapshot
from glasshub_stats.interval import ConsumerInterval
from glasshub_stats.table import duration

from ..errors import HubError
from .plugin import Figure, Finding, Limits, Status
from .ranges import Range

CONSUMERS, PRODUCERS, BOTH, HUB = "consumers", "producers", "consumers and producers", "the hub"

#: What is well where nobody is asked about.
_NOBODY = "the hub has none"

#: Of a consumer with a queue on a broker.
_NOT_TOLD = "the broker does not say how many wait there"

#: Of one whose constructor raised.
NOT_INITIALIZED = "is not initialized: its constructor failed, see the hub's log"


class UnknownNameError(HubError):
    """Somebody was asked about who is not there; the message says who is."""


@dataclass(frozen=True)
class Check:
    """A check, and what it is told of when nobody says so.

    Attributes:
        name: What it is called.
        find: What it does: the interval, the names that it was asked about (none for all), the limits.
        help: What its figure is.
        subject: Whose names it takes.
        limits: -w and -c by default.
        is_of_interval: Whether it is about what happened lately.
        can_begin_at_start: Whether that may be all since the hub's start.
        remark: What an operator has to know besides.
    """

    name: str
    find: Callable[[Interval, Sequence[str], Limits], list[Finding]]
    help: str
    subject: str
    limits: Limits
    is_of_interval: bool = False
    can_begin_at_start: bool = True
    remark: str = ""


def check_backlog(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Messages waiting for each consumer, here and on a broker."""
    hub = interval.newer.hub

    def judge(consumer: ConsumerInterval) -> Finding:
        now = consumer.now
        figure = Figure(consumer.name, now.total_backlog, "", limits)
        if not now.has_broker:
            return judged(consumer.name, figure, f"{_messages(now.backlog)} waiting")
        here, ready = Figure(f"{consumer.name}.here", now.backlog), Figure(f"{consumer.name}.broker", now.broker_ready)
        if math.isnan(now.broker_ready):
            return _judged_by_what_is_here(consumer, limits, figure, here)
        text = f"{_messages(int(now.total_backlog))} waiting, {now.broker_ready:.0f} of them on the broker"
        return judged(consumer.name, figure, text, here, ready)

    found = _of_consumers(interval, names, judge)
    if hub.has_broker and not names and not any(consumer.now.has_broker for consumer in interval.consumers):
        found.append(_judged_queues(hub, limits))
    return found


def _judged_by_what_is_here(consumer: ConsumerInterval, limits: Limits, *figures: Figure) -> Finding:
    """Nobody knows what waits on the broker; what waits here may be too much by itself."""
    backlog = consumer.now.backlog
    here = judged(consumer.name, Figure(consumer.name, backlog, "", limits), f"{_messages(backlog)} waiting here")
    status = max(here.status, Status.UNKNOWN, key=lambda status: status.gravity)
    return Finding(status, consumer.name, f"{here.text}, and {_NOT_TOLD}", figures)


def _judged_queues(hub: HubStats, limits: Limits) -> Finding:
    """What waits on the broker for all consumers of a hub whose queues are none of theirs."""
    figure = Figure("broker", hub.broker_ready, "", limits)
    if math.isnan(hub.broker_ready):
        return Finding(Status.UNKNOWN, "", _NOT_TOLD, [figure])
    return judged("", figure, f"{_messages(int(hub.broker_ready))} waiting on the broker")


def check_age(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Age of the oldest message that waits for each consumer in the hub."""

    def judge(consumer: ConsumerInterval) -> Finding:
        now = consumer.now
        said = f"the oldest of {_messages(now.backlog)} waits for {duration(now.oldest_age)}"
        text = said if now.backlog else "no messages waiting"
        if now.broker_ready > 0:
            text += f", and {now.broker_ready:.0f} on the broker, whose age it does not tell"
        return judged(consumer.name, Figure(consumer.name, now.oldest_age, "s", limits), text)

    return _of_consumers(interval, names, judge)


def check_catch_up(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Time until each consumer has finished its backlog, if things go on as in the interval.

    A backlog that does not shrink is beyond any limit; unless all of it came within the interval: a consumer that has
    handled everything that there was at its beginning keeps up, and has a backlog only because messages never cease.
    How old a message on a broker is it does not tell: there a consumer keeps up that took as many in the interval as
    wait at its end, so that whoever is last in the queue waits no longer than that.
    """

    def judge(consumer: ConsumerInterval) -> Finding:
        now, seconds, keeps_up = consumer.now, consumer.catch_up, _keeps_up(consumer, interval.seconds)
        is_told = not math.isnan(now.total_backlog)
        waiting = (
            f"{_messages(int(now.total_backlog))} waiting" if is_told else f"{_messages(now.backlog)} waiting here"
        )
        if not math.isnan(seconds):
            text = f"{waiting}, caught up in {duration(seconds)}"
        elif keeps_up:
            seconds, text = 0.0, f"{waiting}, {keeps_up}: keeps up"
        elif now.has_broker and math.isnan(consumer.net_rate):
            why = "the broker has not told twice how many" if is_told else _NOT_TOLD
            return Finding(Status.UNKNOWN, consumer.name, f"{waiting}, and {why}", [Figure(consumer.name, seconds)])
        else:
            seconds, text = math.inf, f"{waiting}, and the backlog does not shrink"
        return judged(consumer.name, Figure(consumer.name, seconds, "s", limits), text)

    return _of_consumers(interval, names, judge)


def _keeps_up(consumer: ConsumerInterval, seconds: float) -> str:
    """Why nobody who waits now waits longer than the interval is; empty if that is not so."""
    now = consumer.now
    if now.has_broker:
        return f"no more than it took in {duration(seconds)}" if now.total_backlog <= consumer.dequeued else ""
    return f"all of the last {duration(seconds)}" if now.oldest_age < seconds else ""


def check_failures(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Messages on which each consumer failed for good, and polls on which each producer failed."""
    before = {producer.name: producer.failures for producer in interval.older.producers} if interval.older else {}

    def judge(consumer: ConsumerInterval) -> Finding:
        failures = consumer.failed + consumer.parked
        return judged(consumer.name, Figure(consumer.name, failures, "", limits), f"{_messages(failures)} failed")

    def judge_producer(producer: ProducerStats) -> Finding:
        failures = max(producer.failures - before.get(producer.name, 0), 0)
        figure = Figure(_label(producer), failures, "", limits)
        return judged(producer.name, figure, f"{failures} {'poll' if failures == 1 else 'polls'} failed")

    return _of_both(interval, names, judge, judge_producer)


def check_stuck(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """How long each consumer has been at one message, and each producer at one poll."""

    def judge(consumer: ConsumerInterval) -> Finding:
        now = consumer.now
        figure = Figure(consumer.name, now.current_age, "s", limits)
        text = f"at one message for {duration(now.current_age)}" if now.in_flight else "at no message"
        if now.stuck:  # the operator has said for this one what is too long
            limit = f"more than its max_processing of {duration(now.max_processing)}"
            return Finding(Status.CRITICAL, consumer.name, f"{text}, {limit}", [figure])
        return judged(consumer.name, figure, text)

    def judge_producer(producer: ProducerStats) -> Finding:
        age = producer.current_age
        text = f"at one poll for {duration(age)}" if age else "at no poll"
        return judged(producer.name, Figure(_label(producer), age, "s", limits), text)

    return _of_both(interval, names, judge, judge_producer)


def check_up(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Endpoints of the bus that the hub has lost, and queues on a broker of which nothing comes. That the hub is alive
    is seen to before any check."""
    hub = interval.newer.hub
    lost = Figure("lost", hub.lost, "", limits)
    text = (
        f"{hub.name} is {hub.phase} for {duration(hub.uptime)}, {hub.connected} of {hub.endpoints} endpoints connected"
    )
    if hub.lost:
        text += f", {hub.lost} lost for {duration(hub.lost_age)}"
    found = judged("", lost, text, Figure("connected", hub.connected), Figure("uptime", hub.uptime, "s"))
    if not hub.has_broker:
        return [found]
    status, trouble = _trouble_with_broker(interval.newer)
    status = max(status, found.status, key=lambda status: status.gravity)
    queues = Figure("consumed", hub.broker_consuming), Figure("queues", hub.broker_queues)
    return [Finding(status, "", "; ".join([*trouble, found.text]), [*found.figures, *queues])]


def _trouble_with_broker(snapshot: Snapshot) -> tuple[Status, list[str]]:
    """What is amiss with the broker, and how bad that is: whatever the limits are, without it nothing comes."""
    hub = snapshot.hub
    if not hub.connected:
        return Status.CRITICAL, ["not connected to the broker: nothing comes, see the hub's log"]
    status, trouble = Status.OK, []
    if hub.broker_consuming < hub.broker_queues:
        idle = [each.name for each in snapshot.consumers if each.broker_queue and not each.broker_consuming]
        whose = f" ({_listed(idle)})" if idle else ""
        queues = hub.broker_queues - hub.broker_consuming
        status = Status.CRITICAL
        trouble.append(f"{queues} of {hub.broker_queues} queues are not consumed{whose}, see the hub's log")
    if hub.broker_blocked:
        status = status or Status.WARNING
        trouble.append("the broker lacks memory or disk, and takes nothing from the hub: see its alarms")
    return status, trouble


def check_consumers(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Consumers that were not built."""
    asked = chosen(interval.consumers, names, "consumer")
    failed = [consumer.name for consumer in asked if not consumer.now.initialized]
    if failed:
        text = f"{_listed(failed)} {NOT_INITIALIZED}"
    else:
        text = f"{_listed([consumer.name for consumer in asked])} initialized" if asked else _NOBODY
    return [judged("", Figure("uninitialized", len(failed), "", limits), text)]


def check_producers(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """For how long each producer's next poll is overdue, and whether its last one failed."""

    def judge(producer: ProducerStats) -> Finding:
        figure = Figure(_label(producer), producer.overdue, "s", limits)
        if not producer.initialized:
            return Finding(Status.CRITICAL, producer.name, NOT_INITIALIZED, [figure])
        if producer.overdue:
            text = f"its next poll is overdue for {duration(producer.overdue)}"
        else:
            text = f"last polled {duration(producer.since_run)} ago" if producer.last_run_ns else "has not polled yet"
        found = judged(producer.name, figure, text)
        if producer.has_failed_last and found.status == Status.OK:
            return Finding(Status.WARNING, producer.name, f"{text}, and failed", [figure])
        return found

    return [judge(producer) for producer in chosen(interval.newer.producers, names, "producer")]


def _limits(warning: str, critical: str) -> Limits:
    return Limits(Range.parse(warning), Range.parse(critical))


_ALL = (
    Check(
        "backlog",
        check_backlog,
        "messages waiting for a consumer",
        CONSUMERS,
        _limits("1000", "5000"),
        remark="Those on a broker are among them; while it does not say how many there are, the answer is UNKNOWN.",
    ),
    Check("age", check_age, "seconds that the oldest message has waited", CONSUMERS, _limits("300", "1800")),
    Check(
        "catch-up",
        check_catch_up,
        "seconds until the backlog is finished",
        CONSUMERS,
        _limits("600", "3600"),
        is_of_interval=True,
        can_begin_at_start=False,  # a hub begins without a backlog: since then, none has ever shrunk
        remark="A backlog that does not shrink is beyond any limit, unless all of it came within the interval. Without "
        "a reading to compare with it takes two, 5 s apart, or half the timeout.",
    ),
    Check(
        "failures",
        check_failures,
        "messages or polls that failed",
        BOTH,
        _limits("0", "10"),
        is_of_interval=True,
        remark="Without a reading to compare with they are those since the hub's start.",
    ),
    Check(
        "stuck",
        check_stuck,
        "seconds spent at one message or poll",
        BOTH,
        _limits("300", "900"),
        remark="A consumer that takes longer than its own max_processing is CRITICAL whatever the ranges are.",
    ),
    Check(
        "up",
        check_up,
        "endpoints of the bus that are lost",
        HUB,
        _limits("0", "~:"),
        remark="Whatever the ranges are, a hub that is not connected to its broker, or does not consume one of its "
        "queues, is CRITICAL, and one that the broker takes nothing from WARNING.",
    ),
    Check("consumers", check_consumers, "consumers that were not built", CONSUMERS, _limits("0", "0")),
    Check(
        "producers",
        check_producers,
        "seconds that a poll is overdue",
        PRODUCERS,
        _limits("300", "900"),
        remark="Whatever the ranges are, one whose last poll failed is WARNING, and one that was not built CRITICAL.",
    ),
)

#: By name.
CHECKS = {check.name: check for check in _ALL}


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def chosen(things: Sequence[T], names: Sequence[str], kind: str) -> list[T]:
    """Those whom the names mean, in the order of the hub; all when there are none.

    A name means whoever is called so, or else, as a glob, all whom it matches.

    Raises:
        UnknownNameError: A name means nobody.
    """
    if not names:
        return list(things)
    there = [thing.name for thing in things]
    meant = {name: {name} if name in there else {each for each in there if fnmatchcase(each, name)} for name in names}
    missing = [name for name, found in meant.items() if not found]
    if missing:
        raise UnknownNameError(f"there is no {kind} {_listed(missing)} in the hub, only {_listed(there)}")
    return [thing for thing in things if any(thing.name in found for found in meant.values())]


def judged(name: str, figure: Figure, text: str, *others: Figure) -> Finding:
    """A finding as the limits of the figure have it; the others are to be drawn beside it."""
    assert figure.limits is not None
    status, why = figure.limits.judge(figure.value)
    return Finding(status, name, f"{text} ({why})" if why else text, [figure, *others])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none at all"


def _of_consumers(
    interval: Interval, names: Sequence[str], judge: Callable[[ConsumerInterval], Finding]
) -> list[Finding]:
    return list(_measured(chosen(interval.consumers, names, "consumer"), names, judge))


def _measured(
    consumers: Sequence[ConsumerInterval], names: Sequence[str], judge: Callable[[ConsumerInterval], Finding]
) -> Iterator[Finding]:
    """One that was not built has nothing to be judged by: who asks for it by its name is told so."""
    for consumer in consumers:
        if consumer.now.initialized:
            yield judge(consumer)
        elif names:
            yield Finding(Status.UNKNOWN, consumer.name, NOT_INITIALIZED)


def _of_both(
    interval: Interval,
    names: Sequence[str],
    judge: Callable[[ConsumerInterval], Finding],
    judge_producer: Callable[[ProducerStats], Finding],
) -> list[Finding]:
    everybody: list[ConsumerInterval | ProducerStats] = [*interval.consumers, *interval.newer.producers]
    asked = chosen(everybody, names, "consumer or producer")
    consumers = [each for each in asked if isinstance(each, ConsumerInterval)]
    producers = [each for each in asked if isinstance(each, ProducerStats)]
    return [*_measured(consumers, names, judge), *map(judge_producer, producers)]


def _label(producer: ProducerStats) -> str:
    """A consumer may have the same name."""
    return f"producer.{producer.name}"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
