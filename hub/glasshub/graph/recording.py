# SPDX-License-Identifier: LGPL-2.1-or-later
"""RRDs as collectd would have made them, from what `glasshub stats --watch SECONDS --format json` wrote.

What is put into them is decided by `glasshub_stats.values`, as in the plugin: it is given the recorded numbers in the
place of a live interval.
"""

from __future__ import annotations

import json
import math
import statistics
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from glasshub_stats import Interval, values

from .. import rrds
from ..errors import HubError

#: What a recording says of the host that it is from: nothing.
HOST = "recording"

#: Rows that a file may have, so that a clock that jumped does not fill the disk.
_MOST_ROWS = 100_000

#: Numbers that rrdtool is given in one command.
_MOST_UPDATES = 1000


class RecordingError(HubError):
    """The file is not such a recording."""


def recorded(path: Path, directory: Path) -> tuple[float, float]:
    """Make RRDs of a recording.

    Args:
        path: The recording; a last line that is not whole yet is left out.
        directory: Where to, as the DataDir of collectd.

    Returns:
        When it begins and ends, in unix time.

    Raises:
        RecordingError: It cannot be read, or has less than two looks at one hub.
        RrdError: rrdtool does not make the files.
    """
    hubs: dict[str, _Hub] = {}
    for number, line in _lines(path):
        try:
            _take(hubs, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise RecordingError(
                f"{path}, line {number} is not what `glasshub stats --watch 10 --format json` writes: {error!r}"
            ) from error
    long_enough = [hub for hub in hubs.values() if len(hub.times) > 1]
    if not long_enough:
        raise RecordingError(f"{path} has less than two looks at any hub: nothing can be drawn of one")
    for hub in long_enough:
        _make(hub, directory)
    return min(hub.times[0] for hub in long_enough), max(hub.times[-1] for hub in long_enough)


@dataclass
class _Hub:
    """What was recorded of one hub: unix times, and by file as many numbers, NaN where there is none."""

    times: list[int] = field(default_factory=list)
    columns: dict[str, array[float]] = field(default_factory=dict)

    def take(self, when: int, known: Mapping[str, float]) -> None:
        if self.times and when <= self.times[-1]:  # rrdtool takes one number a second
            return
        for name in known.keys() - self.columns.keys():
            self.columns[name] = array("d", [math.nan]) * len(self.times)
        for name, column in self.columns.items():
            column.append(known.get(name, math.nan))
        self.times.append(when)


class _Numbers:
    """The recorded numbers of a hub, of a consumer or of a producer, as attributes: what is not known is NaN.

    One that is not there at all is 0, as in a segment of an older version.
    """

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        self._numbers = numbers

    @property
    def has_broker(self) -> bool:
        """Whether there were figures of a broker."""
        return "broker_ready" in self._numbers

    def __getattr__(self, name: str) -> Any:
        number = self._numbers.get(name, 0)
        return math.nan if number is None else number


class _Times:
    """A histogram of which nothing is left but its percentiles."""

    def __init__(self, summary: Mapping[str, float | None]) -> None:
        self._summary = summary
        self.mean, self.upper = self._known("mean"), self._known("upper")

    def percentile(self, percent: float) -> float:
        return self._known(f"p{percent:g}")

    def _known(self, name: str) -> float:
        number = self._summary.get(name)
        return math.nan if number is None else float(number)


class _Consumer:
    """Stands for a `ConsumerInterval`."""

    def __init__(self, numbers: Mapping[str, Any], rates: Mapping[str, Any]) -> None:
        self.name = numbers["name"]
        self.now = _Numbers(numbers)
        self.wait, self.processing = _Times(rates.get("wait", {})), _Times(rates.get("processing", {}))
        known = _Numbers({"busy": None, "catch_up": None, **rates})
        self.busy, self.catch_up = known.busy, known.catch_up


class _Snapshot:
    """Stands for a `Snapshot`."""

    def __init__(self, look: Mapping[str, Any]) -> None:
        self._status = look["status"]
        self.hub = _Numbers({**look["hub"], "gap_ns": look["hub"].get("gap_seconds", 0) * 1e9})
        self.producers = [_Numbers(numbers) for numbers in look["producers"]]

    def status(self, stale_after: float) -> str:
        return str(self._status)

    def is_up(self, stale_after: float) -> bool:
        return bool(self.hub.up)


class _Interval:
    """Stands for an `Interval`."""

    def __init__(self, look: Mapping[str, Any]) -> None:
        interval = look.get("interval") or {"seconds": 0, "consumers": []}
        rates = {consumer["name"]: consumer for consumer in interval["consumers"]}
        self.seconds = interval["seconds"]
        self.newer = _Snapshot(look)
        self.consumers = [_Consumer(numbers, rates.get(numbers["name"], {})) for numbers in look["consumers"]]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and line.endswith(b"\n"):
                    yield number, line
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def _take(hubs: dict[str, _Hub], look: Mapping[str, Any]) -> None:
    told = values.of_interval(cast(Interval, _Interval(look)))
    known = {f"{values.identifier(value, HOST)}.rrd": float(value.value) for value in told}
    hubs.setdefault(look["hub"]["name"], _Hub()).take(int(look["time"]), known)


def _make(hub: _Hub, directory: Path) -> None:
    step = _step(hub.times)
    commands = [line for name, column in hub.columns.items() for line in _commands(name, hub.times, column, step)]
    for name in hub.columns:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
    rrds.feed(commands, directory)


def _step(times: Sequence[int]) -> int:
    """Seconds between two looks, as a rule."""
    usual = statistics.median(later - earlier for earlier, later in zip(times, times[1:]))
    return max(round(usual), math.ceil((times[-1] - times[0]) / _MOST_ROWS), 1)


def _commands(name: str, times: Sequence[int], column: Sequence[float], step: int) -> Iterator[str]:
    kind = name.rpartition("/")[2].removesuffix(".rrd").partition("-")[0]
    source = f"DS:{rrds.data_source(Path(name))}:{'DERIVE' if kind in rrds.DERIVED else 'GAUGE'}:{2 * step}:0:U"
    rows = (times[-1] - times[0]) // step + 10
    archives = f"RRA:AVERAGE:0.5:1:{rows} RRA:MAX:0.5:1:{rows}"
    yield f"create {name} --start {times[0] - step} --step {step} {source} {archives}"
    form = "{}:{:.0f}" if kind in rrds.DERIVED else "{}:{!r}"
    written = [f"{when}:U" if math.isnan(number) else form.format(when, number) for when, number in zip(times, column)]
    for begin in range(0, len(written), _MOST_UPDATES):
        yield f"update {name} {' '.join(written[begin : begin + _MOST_UPDATES])}"
