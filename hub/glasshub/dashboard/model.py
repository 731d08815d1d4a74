# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the page shows, wherever it comes from, and what is to be said of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

#: Numbers in a series: a chart on a phone has room for no more.
POINTS = 180


@dataclass(frozen=True)
class Span:
    """A stretch of time that the page can show.

    Attributes:
        name: Its word in links.
        words: What it is called.
        seconds: How long it is.
    """

    name: str
    words: str
    seconds: int

    @property
    def step(self) -> int:
        """Seconds from one number of a series to the next."""
        return math.ceil(self.seconds / POINTS)


SPANS = {
    span.name: span
    for span in (
        Span("hour", "last hour", 3600),
        Span("day", "last day", 86400),
        Span("week", "last week", 7 * 86400),
    )
}


class Level(IntEnum):
    """How much something asks for attention."""

    WELL = 0
    UNKNOWN = 1
    WATCH = 2
    BAD = 3


@dataclass(frozen=True)
class State:
    """How a hub or a consumer is.

    Attributes:
        level: How much it asks for attention.
        word: In a word or two that make sense behind "is".
        sentence: What an operator should know, to be read behind the name; empty if there is nothing.
    """

    level: Level
    word: str
    sentence: str = ""


@dataclass(frozen=True)
class Series:
    """How a consumer was, in steps of equal length; NaN where nothing is known.

    Attributes:
        times: Unix times of the steps' middles.
        backlog: The largest backlog.
        received, processed: Messages a second.
    """

    times: Sequence[float] = ()
    backlog: Sequence[float] = ()
    received: Sequence[float] = ()
    processed: Sequence[float] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return all(map(math.isnan, self.backlog))


@dataclass(frozen=True)
class ConsumerView:
    """A consumer, now and lately. Numbers that are not known are NaN.

    Attributes:
        name: Its name.
        state: How it is.
        backlog: Messages waiting, those on a broker among them.
        on_broker: How many of them wait on a broker; NaN where there is none, too.
        received, processed: Messages a second, of late.
        oldest: Age of the oldest waiting message, in seconds.
        catch_up: Seconds until nothing waits, if things go on so.
        failed: Messages that failed in the span.
        behind_since: Unix time since which messages have been waiting without a pause; NaN for not at all.
        series: How it was in the span.
    """

    name: str
    state: State
    backlog: float = math.nan
    on_broker: float = math.nan
    received: float = math.nan
    processed: float = math.nan
    oldest: float = math.nan
    catch_up: float = math.nan
    failed: float = math.nan
    behind_since: float = math.nan
    series: Series = field(default_factory=Series)


@dataclass(frozen=True)
class HubView:
    """A hub and its consumers.

    Attributes:
        name: Its name.
        state: How it is.
        time: Unix time of what is shown of it; NaN if nothing is known.
        facts: What else there is to know: what it is called, and what it is.
        notes: Sentences on what an operator should know and might not see in the figures.
        consumers: Its consumers, in the hub's order.
    """

    name: str
    state: State
    time: float = math.nan
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    consumers: Sequence[ConsumerView] = ()

    @property
    def level(self) -> Level:
        """How much it or any of its consumers asks for attention."""
        return max([self.state.level, *(consumer.state.level for consumer in self.consumers)])


@dataclass(frozen=True)
class View:
    """Everything that the page shows.

    Attributes:
        now: Unix time at which it was put together.
        span: What the series are of.
        hubs: The hubs; those that ask for attention first.
        source: Where it comes from, for the foot of the page.
        problems: Why something could not be read.
    """

    now: float
    span: Span
    hubs: Sequence[HubView]
    source: str
    problems: Sequence[str] = ()

    @property
    def time(self) -> float:
        """Unix time of what is shown as the present; NaN if there is nothing. A hub without news says so itself."""
        known = [hub.time for hub in self.hubs if not math.isnan(hub.time)]
        return max(known, default=math.nan)


def condition(
    *,
    oldest: float,
    backlog: float,
    net_rate: float,
    behind_after: float,
) -> State:
    """How a consumer is that runs, by its figures.

    Args:
        oldest: Age of its oldest waiting message.
        backlog: Messages waiting.
        net_rate: Messages a second by which the backlog shrinks.
        behind_after: How old the oldest may be.
    """
    if math.isnan(backlog):
        return State(Level.UNKNOWN, "unknown", "there are no figures")
    if not oldest >= behind_after:
        return State(Level.WELL, "keeps up")
    if net_rate > 0:
        return State(Level.WATCH, "catching up")
    return State(Level.BAD, "behind")


def sorted_by_need(hubs: Iterable[HubView]) -> list[HubView]:
    """Hubs that ask for attention first, and so their consumers; else by name, and in the order that they have."""
    ordered = [
        replace(hub, consumers=sorted(hub.consumers, key=lambda consumer: -consumer.state.level)) for hub in hubs
    ]
    return sorted(ordered, key=lambda hub: (-hub.level, hub.name))
