# SPDX-License-Identifier: LGPL-2.1-or-later
"""Things for the dashboard to show, made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glasshub.dashboard.model import (
    POINTS,
    SPANS,
    ConsumerView,
    HubView,
    Level,
    Series,
    Span,
    State,
    View,
    sorted_by_need,
)
from glasshub.dashboard.page import Frame

NOW = 1_700_000_000.0
HOUR = SPANS["hour"]

WELL = State(Level.WELL, "keeps up")
BEHIND = State(Level.BAD, "behind")
CATCHING_UP = State(Level.WATCH, "catching up")


def series(peak: float) -> Series:
    """A backlog that was there for a tenth of the time."""
    times = [NOW - HOUR.seconds + (number + 0.5) * HOUR.step for number in range(POINTS)]
    backlog = [peak if POINTS * 0.5 <= number < POINTS * 0.6 else 0.0 for number in range(POINTS)]
    return Series(times, backlog, [2.0] * POINTS, [2.0] * POINTS)


def consumer(name: str = "Badges", state: State = WELL, *, backlog: float = 0.0, **more: float) -> ConsumerView:
    """One that keeps up, unless told otherwise."""
    known = {"received": 2.0, "processed": 2.0, "oldest": 0.0, "catch_up": 0.0, "failed": 0.0, **more}
    return ConsumerView(name, state, backlog=backlog, series=series(max(backlog, 1.0)), **known)


def lagging(name: str = "Badges", *, catch_up: float = math.nan) -> ConsumerView:
    """One that is behind."""
    state = BEHIND if math.isnan(catch_up) else CATCHING_UP
    behind_since = NOW - 1800
    return consumer(
        name, state, backlog=1204, oldest=312.0, received=12.0, catch_up=catch_up, behind_since=behind_since
    )


def hub(*consumers: ConsumerView, name: str = "fedmsg-hub", state: State | None = None) -> HubView:
    """One that runs, unless told otherwise."""
    return HubView(name, state or State(Level.WELL, "running"), NOW - 1, [("pid", "4711")], [], consumers)


def view(*hubs: HubView, span: Span = HOUR, now: float = NOW, problems: Sequence[str] = ()) -> View:
    """All of it."""
    return View(now, span, sorted_by_need(hubs), "The present is from segments.", problems)


def frame(*, is_served: bool = True) -> Frame:
    """What stands around it."""
    links = {name: f"?range={name}" for name in SPANS}
    return Frame("bus01.example.org", links, every=10, stale_after=60.0, is_served=is_served)
