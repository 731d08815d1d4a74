# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the dashboard makes of collectd's RRDs; real ones, written by rrdtool."""

from __future__ import annotations

import functools
import math
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from glasshub.dashboard.live import LiveHubs
from glasshub.dashboard.model import SPANS, Level, View
from glasshub.dashboard.recorded import RecordedHubs
from glasshub.dashboard.sources import Sources
from glasshub.looking import Watcher

from ..contract.segments import Segment
from ..needs import program

HOUR = SPANS["hour"]
NOW = 1_700_000_000.0


class Archive:
    """A DataDir of collectd, in which each value changes every ten seconds for an hour."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rrdtool = program("rrdtool")

    def write(
        self,
        part: str,
        value: str,
        number: float | Callable[[float], float],
        *,
        host: str = "bus01",
        until: float = NOW,
    ) -> None:
        """Write one file: a number, or what it is by the seconds before now."""
        path = self.directory / host / f"glasshub-{part}" / f"{value}.rrd"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = "seconds" if value.startswith("duration") else "value"
        start = int(NOW - HOUR.seconds)
        create = ["create", str(path), "--start", str(start), "--step", "10", f"DS:{source}:GAUGE:20:U:U"]
        archives = [f"RRA:{kind}:0.1:1:400" for kind in ("AVERAGE", "MAX")]
        self._run([*create, *archives])
        times = range(start + 10, int(until) + 1, 10)
        updates = [f"{when}:{number(NOW - when) if callable(number) else number}" for when in times]
        self._run(["update", str(path), *updates])

    def write_hub(self, part: str = "fedmsg-hub", *, up: float = 1.0, host: str = "bus01", until: float = NOW) -> None:
        self.write(part, "gauge-up", up, host=host, until=until)
        self.write(part, "operations-received", 12.0, host=host, until=until)

    def write_consumer(
        self, part: str, *, backlog: Callable[[float], float], oldest: float, host: str = "bus01"
    ) -> None:
        """One that receives 5, processes 3 and fails 0.5 messages a second."""
        self.write(part, "queue_length", backlog, host=host)
        self.write(part, "duration-oldest", oldest, host=host)
        for name, rate in (("enqueued", 5.0), ("processed", 3.0), ("failed", 0.5)):
            self.write(part, f"operations-{name}", rate, host=host)

    def _run(self, arguments: Sequence[str]) -> None:
        subprocess.run([self._rrdtool, *arguments], check=True, capture_output=True)


def _hills(ago: float) -> float:
    """A backlog for the last twenty minutes, none before, an earlier one, and a peak of a single reading."""
    if ago == 2000:
        return 4000
    return 500 if ago < 1200 or ago > 3000 else 0


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "rrd")


def shown(archive: Archive, segments: Path, *, host: str | None = None) -> View:
    live = LiveHubs(Watcher(None, str(segments), complain=print), behind_after=60, clock=lambda: NOW)
    recorded = RecordedHubs(archive.directory, host, behind_after=60, clock=lambda: NOW)
    sources = Sources(live, recorded, source="", clock=lambda: NOW)
    sources.look()
    return sources.view(HOUR)


def test_present_and_past_are_read(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=_hills, oldest=300)

    (hub,) = shown(archive, tmp_path).hubs
    (badges,) = hub.consumers

    assert (hub.name, hub.state.level) == ("fedmsg-hub", Level.WELL)
    assert (badges.name, badges.state.word) == ("Badges", "behind")
    assert badges.backlog == pytest.approx(500)
    assert badges.received == pytest.approx(5)
    assert badges.processed == pytest.approx(3.5)
    assert badges.failed == pytest.approx(0.5 * HOUR.seconds, rel=0.02)
    assert NOW - badges.behind_since == pytest.approx(1200, abs=30)
    assert max(badges.series.backlog) == pytest.approx(4000)
    assert [rate for rate in badges.series.processed if not math.isnan(rate)][50] == pytest.approx(3.5)


def test_consumer_that_has_ceased_to_catch_up_is_not_told_when_it_would_have(archive: Archive, tmp_path: Path) -> None:
    """collectd has no catch-up time while a backlog grows, and the last one that it had is no news."""
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=lambda ago: 500, oldest=300)
    archive.write("fedmsg-hub.Badges", "duration-catch-up", lambda ago: math.nan if ago < 600 else 60.0)

    (hub,) = shown(archive, tmp_path).hubs

    assert math.isnan(hub.consumers[0].catch_up)


def test_consumer_that_catches_up_is_told_when_it_will_have(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=lambda ago: 500, oldest=300)
    archive.write("fedmsg-hub.Badges", "operations-processed", 9.5)

    (hub,) = shown(archive, tmp_path).hubs

    assert hub.consumers[0].state.word == "catching up"
    assert hub.consumers[0].catch_up == pytest.approx(100)


def test_hub_that_is_not_up_is_down(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub(up=0)

    (hub,) = shown(archive, tmp_path).hubs

    assert (hub.state.word, hub.level) == ("down", Level.BAD)


def test_hub_of_which_collectd_says_nothing_any_more_is_silent(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub(until=NOW - 900)

    (hub,) = shown(archive, tmp_path).hubs

    assert (hub.state.word, hub.level) == ("silent", Level.BAD)
    assert "not been heard of for 15m" in hub.state.sentence


def test_segment_tells_the_present_and_the_rrds_the_past(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=lambda ago: 500, oldest=300)

    with Segment(str(tmp_path / "h.stats"), [("Badges", 1)], hub="fedmsg-hub") as segment:
        segment.consumer(0, enqueued=7)
        (hub,) = shown(archive, tmp_path).hubs

    assert hub.consumers[0].backlog == 7
    assert max(hub.consumers[0].series.backlog) == pytest.approx(500)


def test_hubs_of_other_hosts_are_told_apart(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_hub(host="bus02")

    assert [hub.name for hub in shown(archive, tmp_path).hubs] == ["fedmsg-hub on bus01", "fedmsg-hub on bus02"]
    assert [hub.name for hub in shown(archive, tmp_path, host="bus02").hubs] == ["fedmsg-hub"]


def test_rrds_that_cannot_be_read_are_a_problem_on_the_page(archive: Archive, tmp_path: Path) -> None:
    (problem,) = shown(archive, tmp_path).problems

    assert "is that the DataDir of collectd's rrdtool plugin?" in problem


def test_backlog_has_what_waits_on_a_broker(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=lambda ago: 20, oldest=300)
    archive.write("fedmsg-hub.Badges", "queue_length-broker-ready", 480)
    archive.write("fedmsg-hub.Badges", "queue_length-total", 500)
    archive.write("fedmsg-hub.Badges", "duration-catch-up", 250)

    (badges,) = shown(archive, tmp_path).hubs[0].consumers

    assert (badges.backlog, badges.on_broker, badges.state.word) == (500, 480, "catching up")
    assert badges.catch_up == pytest.approx(250)
    assert max(badges.series.backlog) == pytest.approx(500)


def test_what_a_broker_said_once_is_not_shown_as_what_it_says(archive: Archive, tmp_path: Path) -> None:
    archive.write_hub()
    archive.write_consumer("fedmsg-hub.Badges", backlog=lambda ago: 20, oldest=300)
    for part, number in (("broker-ready", 480), ("total", 500)):
        until_lately = functools.partial(lambda known, ago: math.nan if ago < 600 else known, number)
        archive.write("fedmsg-hub.Badges", f"queue_length-{part}", until_lately)

    (badges,) = shown(archive, tmp_path).hubs[0].consumers

    assert math.isnan(badges.backlog)
    assert math.isnan(badges.on_broker)
    assert badges.state.word == "unknown"
