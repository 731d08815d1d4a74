# SPDX-License-Identifier: LGPL-2.1-or-later
"""A check from beginning to end: find the hub, see that it is alive, compare it with before, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from glasshub_stats import STALE_AFTER, Interval, SegmentNotFoundError, Snapshot, StatsError, read
from glasshub_stats.table import duration

from ..errors import HubError
from ..looking import SUFFIX, nothing_found, segment_paths
from .checks import Check
from .plugin import Limits, Result, Status, concluded
from .state import Kept, StateError, StateFile, own_place

#: Seconds between the two readings of a check that cannot do with one, when nobody says how many.
_DEFAULT_INTERVAL = 5.0


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        check: What to check.
        hub: A hub's name, or the file of its segment; None for the only one there is.
        names: Consumers or producers; empty for all.
        limits: What is well.
        stats_dir: Where segments stand; None for where hubs put them by themselves.
        stale_after: Seconds after which a heartbeat is old.
        absent: What it means that there is no hub, or that it was stopped in order.
        interval: Seconds between two readings; 0 for a single one.
        state: Where the reading is kept until the next time; None for nowhere, unless
        is_since_last: Keep it where this user finds it the next time.
        timeout: Seconds that all of it may take.
        is_verbose: Whether somebody wants more than one line.
    """

    check: Check
    hub: str | None = None
    names: Sequence[str] = ()
    limits: Limits | None = None
    stats_dir: str | None = None
    stale_after: float = STALE_AFTER
    absent: Status = Status.CRITICAL
    interval: float = 0.0
    state: Path | None = None
    is_since_last: bool = False
    timeout: float = 10.0
    is_verbose: bool = False


@dataclass(frozen=True)
class _Basis:
    """An interval to judge by, and what to say of it."""

    interval: Interval
    words: str = ""


class _HubTrouble(Exception):
    """The hub is in no state in which its figures mean anything; why it is not, and what that means."""

    def __init__(self, text: str, status: Status = Status.CRITICAL) -> None:
        super().__init__(text)
        self.status = status


def examine(request: Request, *, sleep: Callable[[float], None] = time.sleep) -> Result:
    """Do what is asked.

    Raises:
        HubError: It cannot be done; the message says why.
    """
    try:
        path = _segment(request)
        snapshot = _alive(request, path)
        state = _state(request, path)
        basis = _basis(request, path, snapshot, state.read() if state is not None else None, sleep)
    except _HubTrouble as trouble:
        return Result(trouble.status, str(trouble))
    limits = request.limits or request.check.limits
    findings = request.check.find(basis.interval, request.names, limits)
    result = concluded(
        findings, nothing=f"{basis.interval.newer.hub.name} has no {request.check.subject}", basis=basis.words
    )
    return result if state is None else _kept(state, basis.interval.newer, result)


def _segment(request: Request) -> Path:
    paths = segment_paths(request.hub, request.stats_dir)
    if not paths:
        raise _HubTrouble(str(nothing_found(request.stats_dir)), request.absent)
    if len(paths) > 1:
        raise HubError(f"there are several hubs, name one: {_names(paths)}")
    return paths[0]


def _alive(request: Request, path: Path) -> Snapshot:
    """What the segment says, of a hub that is up."""
    try:
        snapshot = read(str(path))
    except SegmentNotFoundError as error:
        others = _names(segment_paths(None, request.stats_dir)) or "none"
        raise _HubTrouble(f"there is no hub at {path}, is it running? Hubs there: {others}", request.absent) from error
    except StatsError as error:
        raise _HubTrouble(str(error)) from error
    status = snapshot.status(request.stale_after)
    if status == "stopped":
        raise _HubTrouble(f"{snapshot.hub.name} was stopped in order: start it again when it shall run", request.absent)
    if not snapshot.is_up(request.stale_after):
        _say_what_is_wrong(snapshot, status)
    return snapshot


def _say_what_is_wrong(snapshot: Snapshot, status: str) -> NoReturn:
    hub = snapshot.hub
    if status == "down":
        raise _HubTrouble(
            f"{hub.name} is down: its process (pid {snapshot.pid}) ended without a goodbye: see its log, and start it "
            f"again"
        )
    age = duration(max(hub.heartbeat_age, hub.enqueuer_age))
    raise _HubTrouble(
        f"{hub.name} is stuck: its process (pid {snapshot.pid}) lives, but has shown no heartbeat for {age}: "
        f"see whether it is suspended, swapped out, or held up by a consumer"
    )


def _basis(
    request: Request, path: Path, snapshot: Snapshot, kept: Kept | None, sleep: Callable[[float], None]
) -> _Basis:
    """What to compare the snapshot with."""
    if not request.check.is_of_interval:
        return _Basis(snapshot.since(None))
    interval = kept.until(snapshot) if kept is not None else None
    if interval is not None:
        return _Basis(interval, f"in the last {duration(interval.seconds)}")
    seconds = request.interval or (0.0 if request.check.can_begin_at_start else _default_interval(request))
    if not seconds:
        return _since_start(snapshot, "the hub was restarted" if kept is not None else "nothing to compare with")
    sleep(seconds)
    interval = _alive(request, path).since(snapshot)
    if interval.older is None:
        return _since_start(interval.newer, "the hub was restarted")
    return _Basis(interval, f"in {duration(interval.seconds)}")


def _default_interval(request: Request) -> float:
    return min(_DEFAULT_INTERVAL, request.timeout / 2)


def _since_start(snapshot: Snapshot, why: str) -> _Basis:
    return _Basis(snapshot.since(None), f"since the hub's start {duration(snapshot.hub.uptime)} ago: {why}")


def _state(request: Request, segment: Path) -> StateFile | None:
    owner = " ".join([request.check.name, str(segment), *sorted(request.names)])
    if request.state is not None:
        return StateFile(request.state, owner)
    return StateFile(own_place(owner), owner) if request.is_since_last else None


def _kept(state: StateFile, snapshot: Snapshot, result: Result) -> Result:
    """The result, after the snapshot has been kept for the next time."""
    try:
        state.write(snapshot)
    except StateError as error:
        status = max(result.status, Status.UNKNOWN, key=lambda status: status.gravity)
        return replace(result, status=status, text=f"{error}; {result.text}")
    return result


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name.removesuffix(SUFFIX) for path in paths)
