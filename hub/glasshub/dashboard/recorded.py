# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hubs as collectd's RRDs remember them: for longer than this process has been looking, and of other hosts as well."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import schema
from glasshub_stats.interval import catch_up
from glasshub_stats.table import duration, rate

from .. import rrds
from .model import ConsumerView, HubView, Level, Series, Span, State, condition

#: Seconds, and as many to a step, of which the last that are known are the present. collectd may keep what it has read
#: in memory for minutes before it writes.
_PRESENT, _STEP = 1800.0, 10.0

#: Seconds without news after which a hub is taken for lost, whatever the last news was.
_SILENCE = 600.0

_BACKLOG, _ON_BROKER, _TOTAL = "queue_length", "queue_length-broker-ready", "queue_length-total"
_CATCH_UP = "duration-catch-up"
_RECEIVED = tuple(f"operations-{name}" for name in schema.PUT)
_PROCESSED = tuple(f"operations-{name}" for name in schema.FINISHED)
_FAILED = "operations-failed"
_PRESENT_VALUES = (
    *(_BACKLOG, _ON_BROKER, _TOTAL, _CATCH_UP, *_RECEIVED, *_PROCESSED),
    *("duration-oldest", "duration-blocking", "gauge-stuck", "gauge-initialized"),
)


@dataclass(frozen=True)
class _Table:
    """Columns of numbers over time; one that was not there is all NaN."""

    times: Sequence[float]
    columns: Mapping[Path, Sequence[float]]

    @property
    def step(self) -> float:
        return self.times[1] - self.times[0] if len(self.times) > 1 else _STEP

    def column(self, path: Path | None) -> Sequence[float]:
        """The numbers of a file."""
        found = self.columns.get(path) if path is not None else None
        return found if found is not None else [math.nan] * len(self.times)

    def total(self, paths: Iterable[Path | None]) -> list[float]:
        """The sums of files; NaN only where none is known."""
        return [_sum(row) for row in zip(*map(self.column, paths))]


class RecordedHubs:
    """The hubs of which collectd keeps RRDs. Threads: one at a time."""

    def __init__(
        self,
        data_dir: Path,
        host: str | None,
        *,
        behind_after: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read nothing yet.

        Args:
            data_dir: The DataDir of collectd's rrdtool plugin.
            host: Leave out what is of other hosts.
            behind_after: Seconds that a message may wait before its consumer is behind.
            clock: Unix time.
        """
        self._data_dir = data_dir
        self._host = host
        self._behind_after = behind_after
        self._clock = clock

    def hubs(self, span: Span) -> list[tuple[rrds.HubFiles, HubView]]:
        """All hubs, with the files that they were read from.

        Raises:
            RrdError: They cannot be read.
        """
        found = rrds.find(self._data_dir, self._host)
        now = self._clock()
        consumers = [files for hub in found for files in hub.consumers.values()]
        up = [path for hub in found for path in _picked(hub.files, ["gauge-up", "operations-received"])]
        present = _table([*_all(consumers, _PRESENT_VALUES), *up], now - _PRESENT, now, _STEP)
        peaks = _table(_all(consumers, [_BACKLOG, _TOTAL]), now - span.seconds, now, span.step, consolidation="MAX")
        rates = _table(_all(consumers, _RECEIVED + _PROCESSED), now - span.seconds, now, span.step)
        has_hosts = len({hub.host for hub in found}) > 1
        return [(hub, self._hub(hub, present, peaks, rates, now, has_hosts=has_hosts)) for hub in found]

    def _hub(
        self, hub: rrds.HubFiles, present: _Table, peaks: _Table, rates: _Table, now: float, *, has_hosts: bool
    ) -> HubView:
        when, is_up = _last(present, hub.files.get("gauge-up"))
        state = _state_of_hub(is_up, now - when)
        consumers = [
            self._consumer(name, files, state, present, peaks, rates) for name, files in sorted(hub.consumers.items())
        ]
        return HubView(
            name=f"{hub.hub} on {hub.host}" if has_hosts else hub.hub,
            state=state,
            time=when,
            facts=list(_facts(hub, consumers, present)),
            consumers=consumers,
        )

    def _consumer(
        self,
        name: str,
        files: Mapping[str, Path],
        hub_state: State,
        present: _Table,
        peaks: _Table,
        rates: _Table,
    ) -> ConsumerView:
        now = {value: _last(present, files.get(value))[1] for value in _PRESENT_VALUES}
        series = _series(files, peaks, rates)
        received, processed = _sum([now[value] for value in _RECEIVED]), _sum([now[value] for value in _PROCESSED])
        net_rate = processed - received
        if _TOTAL in files:
            now.update({value: _current(present, files, value) for value in (_ON_BROKER, _TOTAL, _CATCH_UP)})
            now[_BACKLOG] = now[_TOTAL]
            # How much comes to the broker nobody writes down: collectd's own catch-up time tells, while it has one.
            net_rate = now[_BACKLOG] / now[_CATCH_UP] if now[_CATCH_UP] > 0 else 0.0
        is_live = hub_state.level is Level.WELL
        return ConsumerView(
            name=name,
            state=self._state(now, net_rate) if is_live else State(Level.UNKNOWN, "last known"),
            backlog=now[_BACKLOG],
            on_broker=now[_ON_BROKER],
            received=received if is_live else math.nan,
            processed=processed if is_live else math.nan,
            oldest=now["duration-oldest"],
            # Not collectd's own, which has none while the backlog grows: the last one known is of before.
            catch_up=catch_up(now[_BACKLOG], net_rate) if is_live else math.nan,
            failed=_sum(rates.column(files.get(_FAILED))) * rates.step,
            behind_since=_waiting_since(series),
            series=series,
        )

    def _state(self, now: Mapping[str, float], net_rate: float) -> State:
        if now["gauge-initialized"] == 0:
            return State(Level.BAD, "not started", "is not initialized and gets no messages: see the hub's log")
        if now["gauge-stuck"] > 0:
            return State(Level.BAD, "stuck", f"is stuck: {now['gauge-stuck']:.0f} workers at one message for too long")
        if now["duration-blocking"] > 0:
            text = f"has no room, and everybody waits for it, for {duration(now['duration-blocking'])} now"
            return State(Level.BAD, "full", text)
        return condition(
            oldest=now["duration-oldest"],
            backlog=now[_BACKLOG],
            net_rate=net_rate,
            behind_after=self._behind_after,
        )


def _state_of_hub(is_up: float, age: float) -> State:
    if math.isnan(is_up) or age > _SILENCE:
        known = "for more than half an hour" if math.isnan(is_up) else f"for {duration(age)}"
        return State(Level.BAD, "silent", f"has not been heard of {known}: does collectd run, and write its RRDs?")
    if not is_up:
        return State(Level.BAD, "down", "is down, stuck or stopped: what collectd tells is that it is not up")
    return State(Level.WELL, "up")


def _facts(hub: rrds.HubFiles, consumers: Sequence[ConsumerView], present: _Table) -> Iterator[tuple[str, str]]:
    backlog = _sum([consumer.backlog for consumer in consumers])
    yield "backlog", "-" if math.isnan(backlog) else f"{backlog:,.0f}"
    yield "received", f"{rate(_last(present, hub.files.get('operations-received'))[1])}/s"
    yield "host", hub.host


def _series(files: Mapping[str, Path], peaks: _Table, rates: _Table) -> Series:
    received = rates.total(map(files.get, _RECEIVED))
    processed = rates.total(map(files.get, _PROCESSED))
    backlog = peaks.column(files.get(_TOTAL, files.get(_BACKLOG)))
    length = min(len(received), len(backlog))  # the two are read one after the other
    return Series(
        times=[when - peaks.step / 2 for when in peaks.times[:length]],
        backlog=backlog[:length],
        received=received[:length],
        processed=processed[:length],
    )


def _waiting_since(series: Series) -> float:
    """The time since which there was always a backlog, as far as the series goes; NaN for none."""
    since = math.nan
    for when, backlog in reversed(list(zip(series.times, series.backlog))):
        if backlog <= 0:
            break
        if backlog > 0:  # else it is NaN, and says nothing
            since = when
    return since


def _table(paths: Sequence[Path], start: float, end: float, step: float, *, consolidation: str = "AVERAGE") -> _Table:
    if not paths:
        return _Table([], {})
    times, columns = rrds.table(paths, start, end, step, consolidation=consolidation)
    return _Table(times, dict(zip(paths, columns)))


def _last(table: _Table, path: Path | None) -> tuple[float, float]:
    """When something was last known, and what."""
    known = ((when, value) for when, value in zip(reversed(table.times), reversed(table.column(path))))
    return next(((when, value) for when, value in known if not math.isnan(value)), (math.nan, math.nan))


def _current(table: _Table, files: Mapping[str, Path], value: str) -> float:
    """What was known when the backlog of the hub was last known: NaN is news, of a broker."""
    when, number = _last(table, files.get(value))
    return number if when >= _last(table, files.get(_BACKLOG))[0] else math.nan


def _all(consumers: Iterable[Mapping[str, Path]], names: Sequence[str]) -> list[Path]:
    return [path for files in consumers for path in _picked(files, names)]


def _picked(files: Mapping[str, Path], names: Iterable[str]) -> list[Path]:
    return [files[name] for name in names if name in files]


def _sum(numbers: Iterable[float]) -> float:
    """The sum of those that are known; NaN for none."""
    known = [number for number in numbers if not math.isnan(number)]
    return sum(known) if known else math.nan
