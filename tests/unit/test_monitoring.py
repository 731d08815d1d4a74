# SPDX-License-Identifier: LGPL-2.1-or-later
"""The document of Moksha's monitoring socket says what Moksha's own would say."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import glasshub_stats
from glasshub.compat import producers
from glasshub.compat.moksha import MokshaHub
from glasshub.compat.monitoring import MonitoringProducer
from glasshub.consumer import NativeConsumer
from glasshub.segment import ConsumerRow

from ..fakes import frame
from ..integration.consumers import Everything
from . import old_consumers as old
from . import old_producers
from .rig import Seat, running
from .segments import MS, live_segment, tell, work


class Monitor:
    """A producer whose documents are kept."""

    def __init__(self, segment: Path, consumers: list[Any], jobs: list[Any] | None = None) -> None:
        self._published: list[bytes] = []
        self.producer = MonitoringProducer(self._published.append, 5.0)
        self.producer.connect(lambda: glasshub_stats.read(str(segment)), list(enumerate(consumers)), jobs or [])

    def document(self) -> dict[str, Any]:
        """The next one."""
        self.producer._poll()
        found: dict[str, Any] = json.loads(self._published.pop())
        return found

    def times(self) -> list[float]:
        """The durations in the next one, of the first consumer."""
        found: list[float] = self.document()["consumers"][0]["times"]
        return found


def moksha_hub() -> MokshaHub:
    return MokshaHub(dict(old.CONFIG), strict=False, stop=lambda: None)


def forms(document: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in document.items()}


@pytest.mark.parametrize("shape", ["inline", "shared", "threads"])
@pytest.mark.parametrize("cls", [old.Old, old.Several, old.Failing, old.Undecoded, old.Plain])
def test_of_a_consumer_it_says_what_moksha_says(tmp_path: Path, shape: str, cls: type) -> None:
    bound = moksha_hub().build(cls)
    assert bound is not None
    with running(tmp_path / "h.stats", shape, Seat("old", bound)) as rig:
        monitor = Monitor(rig.segment.path, [bound.author])
        rig.publish(*[frame(topic=b"org.old")] * 7)
        rig.finish()

        ours = monitor.document()["consumers"][0]

    # Through JSON, as both go: a tuple of topics comes out as a list.
    mokshas = json.loads(json.dumps(bound.author.__json__()))
    assert forms(ours) == forms(mokshas)
    assert len(ours.pop("times")) == len(mokshas.pop("times")) == 7
    assert ours == mokshas


def test_what_waits_is_the_backlog(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        work(writer, 0, enqueued=10, processed=4, in_flight=1)

        found = Monitor(writer.path, [Everything()]).document()["consumers"][0]

    assert (found["backlog"], found["headcount_in"], found["headcount_out"]) == (5, 10, 5)


def test_what_waits_on_a_broker_is_in_the_backlog(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        work(writer, 0, enqueued=10, processed=4)
        tell(writer, ready=900)
        monitor = Monitor(writer.path, [Everything()])
        known = monitor.document()["consumers"][0]
        tell(writer, asked_ns=0)
        lost = monitor.document()["consumers"][0]

    assert (known["backlog"], lost["backlog"]) == (906, None)


def test_counts_and_times_begin_anew_with_each_document(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        monitor = Monitor(writer.path, [Everything()])
        work(writer, 0, enqueued=10, processed=7, failed=3)
        before = monitor.document()["consumers"][0]
        work(writer, 0, enqueued=4, processed=1, failed=1)

        after, idle = monitor.document()["consumers"][0], monitor.document()["consumers"][0]

    keys = ("headcount_in", "headcount_out", "exceptions", "backlog")
    assert [before[key] for key in keys] == [10, 10, 3, 0]
    assert [after[key] for key in keys] == [4, 2, 1, 2]
    assert [idle[key] for key in keys] == [0, 0, 0, 2]
    assert [len(found["times"]) for found in (before, after, idle)] == [10, 2, 0]


def test_a_few_messages_have_a_time_each(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        work(writer, 0, enqueued=3, processed=3, took_ns=2 * MS)
        work(writer, 0, enqueued=1, processed=1, took_ns=50 * MS)

        times = Monitor(writer.path, [Everything()]).times()

    assert times == [pytest.approx(each, rel=0.032) for each in (0.002, 0.002, 0.002, 0.05)]


def test_of_many_messages_times_are_in_proportion_and_the_longest_is_among_them(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        for count, took_ms in ((6000, 1), (2000, 8), (1, 2000)):
            work(writer, 0, enqueued=count, processed=count, took_ns=took_ms * MS)

        times = Monitor(writer.path, [Everything()]).times()

    counted = Counter(times)
    short, medium, long = sorted(counted)
    assert [short, medium, long] == [pytest.approx(each, rel=0.032) for each in (0.001, 0.008, 2.0)]
    assert counted[short] / counted[medium] == pytest.approx(3, rel=0.01)
    assert counted[long] == 1
    assert 1000 < len(times) <= 1024 + len(counted)


def test_a_consumer_whose_name_is_cut_in_the_segment_is_in_it(tmp_path: Path) -> None:
    rows = [ConsumerRow("x" * 300, 1, True), ConsumerRow("y", 1, True)]
    with live_segment(tmp_path / "h.stats", rows) as writer:
        work(writer, 0, enqueued=3, processed=3)
        work(writer, 1, enqueued=5, processed=5)

        found = Monitor(writer.path, [Everything(), Everything()]).document()["consumers"]

    assert [consumer["headcount_in"] for consumer in found] == [3, 5]


def test_a_consumer_of_our_own_has_the_same_keys(tmp_path: Path) -> None:
    bound = moksha_hub().build(old.Old)
    assert bound is not None
    native = NativeConsumer(Everything(), ())
    with live_segment(tmp_path / "h.stats") as writer:
        found = Monitor(writer.path, [native.author]).document()["consumers"][0]

    assert found.keys() == bound.author.__json__().keys()
    assert (found["name"], found["module"]) == ("Everything", "tests.integration.consumers")
    assert (found["topic"], found["initialized"], found["jsonify"]) == ([""], True, True)


class Fortnightly(old_producers.Ticking):
    """Has a timedelta."""

    frequency = timedelta(days=14)


class Ceaseless(old_producers.Ticking):
    """Is polled without a pause."""

    frequency = None


@pytest.mark.parametrize("cls", [old_producers.Ticking, Fortnightly, Ceaseless, old_producers.Stream])
def test_of_a_producer_it_says_what_moksha_says(tmp_path: Path, cls: type) -> None:
    producer = producers.build(cls, moksha_hub())
    with live_segment(tmp_path / "h.stats") as writer:
        found = Monitor(writer.path, [], [producer]).document()["producers"]

    assert found == [producer.__json__()]


def test_of_a_producer_that_failed_it_says_when_it_ran_and_how_often_it_failed_in_a_row(tmp_path: Path) -> None:
    producer = producers.build(old_producers.Ticking, moksha_hub())
    producer.error = RuntimeError("no such rule")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            producer._poll()
    with live_segment(tmp_path / "h.stats") as writer:
        found = Monitor(writer.path, [], [producer]).document()["producers"][0]

    assert found == producer.__json__()
    assert found["exceptions"] == 2
    assert found["last_ran"] > 0


def test_of_itself_it_says_what_mokshas_own_says(tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        monitor = Monitor(writer.path, [])
        monitor.producer.connect(lambda: glasshub_stats.read(str(writer.path)), [], [monitor.producer])

        (found,) = monitor.document()["producers"]

    assert found.pop("last_ran") > 0
    assert found == {
        "name": "MonitoringProducer",
        "module": "moksha.hub.monitoring",
        "initialized": True,
        "exceptions": 0,
        "frequency": 5.0,
        "now": False,
    }
