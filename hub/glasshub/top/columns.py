# SPDX-License-Identifier: LGPL-2.1-or-later
"""The columns of top's tables: what stands in each, how consumers are sorted by it, and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from glasshub_stats import STALE_AFTER
from glasshub_stats.table import count, duration, known_count, printable, rate

from .model import PATIENCE, WINDOW, ConsumerRow, HubRow, ProducerRow, State

Row = TypeVar("Row", HubRow, ConsumerRow, ProducerRow)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column that is as wide as it ever may have to be, so that none ever jumps.

    Attributes:
        heading: Two lines.
        width: Characters; the text is never longer. 0 for what takes the room that is left.
        text: What stands in it.
        meaning: One line for the help.
        is_left: Whether its text stands to the left.
    """

    heading: tuple[str, str]
    width: int
    text: Callable[[Row], str]
    meaning: str = ""
    is_left: bool = False


@dataclass(frozen=True)
class Sortable(Column[ConsumerRow]):
    """A column by which consumers can be sorted.

    Attributes:
        key: Its name for `--sort`.
        value: What it is sorted by; NaN when nobody knows.
        is_falling: Whether the largest comes first, unless reversed.
    """

    key: str = ""
    value: Callable[[ConsumerRow], float | str] = lambda _: 0.0
    is_falling: bool = True


def sorted_by(rows: Sequence[ConsumerRow], column: Sortable, *, is_reversed: bool) -> list[ConsumerRow]:
    """The rows in the order of a column; those of which nobody knows stand last, equal ones as they were."""
    valued: list[tuple[Any, ConsumerRow]] = [(column.value(row), row) for row in rows]
    known = [(value, row) for value, row in valued if not _is_unknown(value)]
    known.sort(key=lambda pair: pair[0], reverse=column.is_falling != is_reversed)
    return [row for _, row in known] + [row for value, row in valued if _is_unknown(value)]


def _is_unknown(value: float | str) -> bool:
    return isinstance(value, float) and math.isnan(value)


def named_like(rows: Sequence[Row], wanted: str) -> list[Row]:
    """The rows whose names hold that text, in whatever case."""
    folded = wanted.casefold()
    return [row for row in rows if folded in row.name.casefold()]


def state_word(state: State) -> str:
    """The state; in capitals if somebody should look after it, so that no colour is needed."""
    return state.value.upper() if state.is_bad else state.value


def _state(row: HubRow | ConsumerRow | ProducerRow) -> str:
    return state_word(row.state)


def _rate(per_second: float) -> str:
    """A rate in at most five characters."""
    if per_second < 99999.5 or math.isnan(per_second):
        return rate(per_second)
    if per_second < 9999.5e3:
        return f"{per_second / 1e3:.0f}k"
    return f"{per_second / 1e6:.0f}M" if per_second < 9999.5e6 else ">9G"


def _count(number: float) -> str:
    """A number in at most six characters."""
    return count(number) if number < 999999.5 else f"{number / 1e6:.1f}M" if number < 999.95e6 else ">999M"


def _age(seconds: float) -> str:
    """How long something has lasted; nothing if it does not."""
    return duration(seconds) if seconds else "-"


def _time_left(seconds: float) -> str:
    return "never" if math.isinf(seconds) else _age(seconds)


def _source(hub: HubRow) -> str:
    if hub.snapshot is None:
        return "-"
    endpoints = f"{_few(hub.snapshot.hub.connected)}/{_few(hub.snapshot.hub.endpoints)}"
    return f"{printable(hub.snapshot.hub.source)[: 10 - len(endpoints)].rstrip('-')} {endpoints}"


def _few(number: int) -> str:
    return str(number) if number < 1000 else "999+"


def _took(producer: ProducerRow) -> str:
    return duration(producer.now.last_duration) if producer.now.runs + producer.now.failures else "-"


def _figure(
    key: str,
    heading: tuple[str, str],
    width: int,
    value: Callable[[ConsumerRow], float],
    said: Callable[[float], str],
    meaning: str,
) -> Sortable:
    """A column that is sorted by what stands in it."""
    return Sortable(heading, width, lambda c: said(value(c)), meaning, key=key, value=value)


CONSUMER = Sortable(
    ("", "consumer"), 0, lambda c: printable(c.name), is_left=True, key="name", value=lambda c: c.name, is_falling=False
)
HUB_OF_CONSUMER = Sortable(
    ("", "hub"), 0, lambda c: printable(c.hub), is_left=True, key="hub", value=lambda c: c.hub, is_falling=False
)
STATE = Sortable(
    ("", "state"),
    8,
    _state,
    "how it is; CAPITALS: look after it (see below)",
    is_left=True,
    key="state",
    value=lambda c: c.state.gravity,
    is_falling=False,
)
BACKLOG = replace(
    _figure("backlog", ("", "backlog"), 7, lambda c: c.now.backlog, count, "messages waiting in its queue"),
    value=lambda c: c.now.backlog if math.isnan(c.now.total_backlog) else c.now.total_backlog,
)
BROKER = _figure(
    "broker",
    ("on", "broker"),
    7,
    lambda c: c.now.broker_ready,
    known_count,
    "messages waiting on the broker; --sort backlog: both",
)
OLDEST = _figure("oldest", ("", "oldest"), 6, lambda c: c.now.oldest_age, _age, "age of the oldest message that waits")
CATCH_UP = _figure(
    "catch-up",
    ("catch", "up"),
    6,
    lambda c: c.catch_up,
    _time_left,
    f"until nothing waits, if it goes on as in the last {WINDOW:g} s",
)
ENQUEUED = _figure(
    "enqueued", ("enq.", "/s"), 5, lambda c: c.enqueue_rate, _rate, "messages a second put into its queue"
)
PROCESSED = _figure(
    "processed", ("proc.", "/s"), 5, lambda c: c.processing_rate, _rate, "messages a second that it was done with"
)
IN_FLIGHT = _figure("in-flight", ("in", "flight"), 6, lambda c: c.now.in_flight, _count, "messages that it is at now")
FAILED = _figure(
    "failed", ("", "failed"), 6, lambda c: c.now.failed, _count, "messages on which it failed, since the hub started"
)


def _percentile(short: str, what: str, name: str, percent: int, meaning: str) -> Sortable:
    def value(consumer: ConsumerRow) -> float:
        times = consumer.wait if name == "wait" else consumer.processing
        return times.percentile(percent)

    return _figure(f"{name}-p{percent}", (short, f"p{percent}"), 6, value, duration, f"{what}: {meaning}")


_HALF, _MOST = "half of the messages took no longer", "95 of 100 messages took no longer"
WAIT_P50 = _percentile("wait", "time in the queue", "wait", 50, _HALF)
WAIT_P95 = _percentile("wait", "time in the queue", "wait", 95, _MOST)
PROCESSING_P50 = _percentile("proc.", "time in the consumer", "processing", 50, _HALF)
PROCESSING_P95 = _percentile("proc.", "time in the consumer", "processing", 95, _MOST)

#: The backlog as a curve, which is drawn where it is known how much room there is.
TREND: Column[ConsumerRow] = Column(("trend", ""), 8, lambda _: "", "all that waits, of late; above it of how long")

#: What stands behind the name.
FIGURES: Sequence[Column[ConsumerRow]] = (
    STATE,
    BACKLOG,
    BROKER,
    TREND,
    OLDEST,
    CATCH_UP,
    ENQUEUED,
    PROCESSED,
    IN_FLIGHT,
    WAIT_P50,
    WAIT_P95,
    PROCESSING_P50,
    PROCESSING_P95,
    FAILED,
)

#: What goes when the terminal is narrow, the first to go first.
EXPENDABLE: Sequence[Column[ConsumerRow]] = (
    PROCESSING_P50,
    WAIT_P50,
    IN_FLIGHT,
    WAIT_P95,
    FAILED,
    PROCESSING_P95,
    TREND,
    PROCESSED,
    ENQUEUED,
    CATCH_UP,
    OLDEST,
)

#: All by which consumers can be sorted, by name, in the order in which they stand.
SORTABLE = {column.key: column for column in (CONSUMER, HUB_OF_CONSUMER, *FIGURES) if isinstance(column, Sortable)}

HUB_ON_BROKER: Column[HubRow] = Column(
    ("", "broker"), 7, lambda h: known_count(h.broker_ready), "messages waiting on the broker besides"
)

HUB: Column[HubRow] = Column(("", "hub"), 0, lambda h: printable(h.name), is_left=True)
HUB_FIGURES: Sequence[Column[HubRow]] = (
    Column(("", "state"), 8, _state, is_left=True),
    Column(("", "uptime"), 6, lambda h: duration(h.uptime), "time since it started"),
    Column(("", "source"), 11, _source, "where messages come from: endpoints connected/configured"),
    Column(("", "received/s"), 10, lambda h: rate(h.receive_rate), "messages a second that the bus brought"),
    Column(("", "backlog"), 7, lambda h: known_count(h.backlog), "messages waiting in all in the hub"),
    HUB_ON_BROKER,
)

PRODUCER: Column[ProducerRow] = Column(("", "producer"), 0, lambda p: printable(p.name), is_left=True)
HUB_OF_PRODUCER: Column[ProducerRow] = Column(("", "hub"), 0, lambda p: printable(p.hub), is_left=True)
PRODUCER_FIGURES: Sequence[Column[ProducerRow]] = (
    Column(("", "state"), 8, _state, is_left=True),
    Column(("", "runs"), 7, lambda p: count(p.now.runs), "polls that returned"),
    Column(("", "failed"), 6, lambda p: _count(p.now.failures), "polls that failed"),
    Column(("", "every"), 6, lambda p: _age(p.now.frequency), "time from one poll to the next"),
    Column(("last", "run"), 6, lambda p: duration(p.now.since_run), "how long ago the last poll began"),
    Column(("last", "took"), 6, _took, "how long the last poll took"),
    Column(("", "overdue"), 7, lambda p: _age(p.now.overdue), "for how long the next poll should have begun"),
)

#: What the states mean.
STATES = (
    (State.STUCK, f"at one message for too long; a hub: no heartbeat for {STALE_AFTER:g} s"),
    (State.BLOCKED, "its queue is full, and everybody waits with the enqueuer"),
    (State.NOT_INITIALIZED, "could not be built: see the hub's log"),
    (State.CUT_OFF, "its queue on the broker is not consumed: nothing comes"),
    (State.DOWN, "the hub's process is gone; these are its last figures"),
    (State.UNREAD, "the segment cannot be read; these are its last figures"),
    (State.UNKNOWN, "its hub is stuck or unread: nobody knows"),
    (State.STOPPED, "the hub was stopped; these are its last figures"),
    (State.FAILING, "producer: the last poll failed"),
    (State.OVERDUE, f"producer: its next poll should have begun {PATIENCE:g} s ago"),
    (State.BEHIND, f"its oldest message, or some on the broker, waits for {PATIENCE:g} s"),
)
