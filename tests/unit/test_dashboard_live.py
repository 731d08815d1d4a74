# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the dashboard makes of segments, and remembers of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glasshub.dashboard.live import Happened, LiveHubs, Memory
from glasshub.dashboard.model import SPANS, ConsumerView, HubView, Level
from glasshub.looking import Watcher
from glasshub_stats.clock import monotonic_ns

from ..contract.segments import Segment

HOUR = SPANS["hour"]
START = 1_700_000_000.0


class Watch:
    """A dashboard's view of one directory, with a clock that we set."""

    def __init__(self, directory: Path) -> None:
        self.now = START
        self.problems: list[str] = []
        watcher = Watcher(None, str(directory), complain=self.problems.append)
        self.hubs = LiveHubs(watcher, behind_after=60.0, clock=lambda: self.now)

    def look(self, seconds: float = 10.0) -> HubView:
        """Look so many seconds later."""
        self.now += seconds
        self.hubs.look()
        (hub,) = self.hubs.hubs(HOUR)
        return hub

    def look_at_consumer(self) -> ConsumerView:
        (consumer,) = self.look().consumers
        return consumer


@contextmanager
def segment_in(directory: Path, *, generation: int = 1) -> Iterator[Segment]:
    with Segment(
        str(directory / "fedmsg-hub.stats"), [("Badges", 1)], hub="fedmsg-hub", generation=generation
    ) as segment:
        yield segment.hub(endpoints=1, connected=1)


def known(numbers: object) -> list[float]:
    assert isinstance(numbers, list)
    return [number for number in numbers if not math.isnan(number)]


def test_hub_that_runs_is_well(tmp_path: Path) -> None:
    with segment_in(tmp_path):
        hub = Watch(tmp_path).look()

    assert (hub.name, hub.level, hub.state.word) == ("fedmsg-hub", Level.WELL, "running")
    assert hub.consumers[0].state.word == "keeps up"


def test_rates_are_those_between_looks_and_unknown_at_the_first(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        watch = Watch(tmp_path)
        first = watch.look_at_consumer()
        segment.consumer(0, enqueued=90).worker(0, dequeued=30, processed=30)
        second = watch.look_at_consumer()

    assert math.isnan(first.received)
    assert second.received > 2 * second.processed > 0
    assert second.backlog == 60


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ({"age": 120.0, "enqueuer_age": 120.0}, "stuck"),
        ({"age": 0.0, "enqueuer_age": 120.0}, "stuck"),
    ],
)
def test_hub_without_heartbeat_is_stuck(tmp_path: Path, what: dict[str, float], word: str) -> None:
    with segment_in(tmp_path) as segment:
        hub = Watch(tmp_path).look() if segment.beat(**what) else None

    assert hub is not None
    assert (hub.state.word, hub.level) == (word, Level.BAD)
    assert hub.consumers[0].state.word == "keeps up"  # worker processes go on without the hub


def test_consumers_of_a_hub_that_is_down_are_shown_as_they_were_last(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        watch = Watch(tmp_path)
        segment.consumer(0, enqueued=90)
        watch.look()
        hub = watch.look() if segment.unlock() else None

    assert hub is not None
    assert (hub.state.word, hub.level) == ("down", Level.BAD)
    assert (hub.consumers[0].state.word, hub.consumers[0].backlog) == ("last known", 90)
    assert math.isnan(hub.consumers[0].received)


def test_hub_whose_segment_has_gone_is_not_forgotten(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    with segment_in(tmp_path):
        watch.look()

    hub = watch.look()

    assert (hub.name, hub.state.word, hub.level) == ("fedmsg-hub", "unreadable", Level.BAD)
    assert "no such segment" in hub.state.sentence


def test_file_that_is_no_segment_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.stats").write_text("nonsense")

    hub = Watch(tmp_path).look()

    assert (hub.name, hub.state.word) == ("broken", "unreadable")


def test_hub_that_hears_only_some_of_its_bus_is_watched(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        segment.hub(endpoints=3, connected=1)
        hub = Watch(tmp_path).look()

    assert (hub.state.word, hub.level) == ("partly disconnected", Level.WATCH)


@pytest.mark.parametrize(
    ("cells", "word"),
    [({"initialized": 0}, "not started"), ({"blocking_ns": 1}, "full")],
)
def test_consumer_that_does_not_work_is_told(tmp_path: Path, cells: dict[str, int], word: str) -> None:
    with segment_in(tmp_path) as segment:
        segment.consumer(0, **cells)
        consumer = Watch(tmp_path).look_at_consumer()

    assert (consumer.state.word, consumer.state.level) == (word, Level.BAD)


def test_consumer_waits_since_its_backlog_was_last_empty(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        watch = Watch(tmp_path)
        watch.look()
        segment.consumer(0, enqueued=90)
        began = watch.now + 10
        sinces = [watch.look_at_consumer().behind_since for _ in range(3)]
        segment.worker(0, dequeued=90, processed=90)
        after = watch.look_at_consumer().behind_since

    assert sinces == [began] * 3
    assert math.isnan(after)


def test_what_happened_is_remembered_over_a_restart_of_the_hub(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    with segment_in(tmp_path) as segment:
        watch.look()
        segment.worker(0, dequeued=5, failed=5)
        watch.look()

    with segment_in(tmp_path, generation=2) as segment:
        segment.worker(0, dequeued=2, failed=2)
        consumer = watch.look_at_consumer()

    assert consumer.failed == 7


def test_first_look_counts_nothing_of_before(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        segment.worker(0, dequeued=500, failed=500)
        consumer = Watch(tmp_path).look_at_consumer()

    assert consumer.failed == 0
    assert known(list(consumer.series.received)) == []


# Memory


def remembered(*backlogs: int, every: float = 20.0) -> Memory:
    memory = Memory()
    for number, backlog in enumerate(backlogs):
        memory.add(START + number * every, Happened(backlog, received=40, processed=20, failed=1, seconds=every))
    return memory


def test_memory_has_the_largest_backlog_and_the_mean_rates_of_each_step() -> None:
    series = remembered(1, 7, 3, every=5.0).series(HOUR, START + 10)

    assert known(list(series.backlog)) == [7]
    assert known(list(series.received)) == [8.0]
    assert known(list(series.processed)) == [4.0]


def test_memory_has_gaps_where_nobody_looked() -> None:
    memory = remembered(1)
    memory.add(START + 100, Happened(2, 0, 0, 0, 20))

    series = memory.series(HOUR, START + 100)

    assert [b if not math.isnan(b) else None for b in series.backlog[-6:]] == [1, None, None, None, None, 2]


def test_memory_forgets_what_is_older_than_its_span() -> None:
    memory = remembered(1, 2, 3)

    later = START + HOUR.seconds + 30

    assert known(list(memory.series(HOUR, later).backlog)) == [3]
    assert memory.failed(HOUR, later) == 1
    assert memory.failed(SPANS["day"], later) == 3


def test_each_span_has_its_own_steps() -> None:
    memory = remembered(*range(100))

    assert len(known(list(memory.series(HOUR, START + 1980).backlog))) == 100
    assert len(known(list(memory.series(SPANS["week"], START + 1980).backlog))) in (1, 2)


# A broker


def on_broker(segment: Segment, *, ready: int, asked_ns: int | None = None, is_consuming: bool = True) -> None:
    """Have the broker say how many wait there; now, unless something else is said."""
    asked = {"broker_ready": ready, "broker_asked_ns": monotonic_ns(0) if asked_ns is None else asked_ns}
    segment.hub(broker_queues=1, broker_consuming=is_consuming, **asked)
    segment.consumer(
        0, enqueued=12, put_head_ns=monotonic_ns(0), broker_queue=1, broker_consuming=is_consuming, **asked
    )


def test_backlog_has_what_waits_on_a_broker(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        on_broker(segment, ready=900)

        hub = Watch(tmp_path).look()

    (badges,) = hub.consumers
    assert (badges.backlog, badges.on_broker, badges.state.word) == (912, 900, "keeps up")
    assert hub.facts[:2] == [("backlog", "912"), ("of these on the broker", "900")]
    assert known(badges.series.backlog) == [912]


def test_consumer_with_messages_on_the_broker_for_long_is_behind(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        watch = Watch(tmp_path)
        words = []
        for _ in range(8):
            on_broker(segment, ready=900)
            words.append(watch.look_at_consumer().state.word)
        on_broker(segment, ready=0)
        words.append(watch.look_at_consumer().state.word)

    assert words == ["keeps up"] * 6 + ["behind"] * 2 + ["keeps up"]


def test_backlog_is_unknown_while_the_broker_does_not_tell(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        watch = Watch(tmp_path)
        on_broker(segment, ready=900)
        watch.look()
        on_broker(segment, ready=900, asked_ns=0)
        hub = watch.look(60)

    (badges,) = hub.consumers
    assert (badges.state.word, badges.state.level) == ("unknown", Level.UNKNOWN)
    assert math.isnan(badges.backlog)
    assert known(badges.series.backlog) == [912]


def test_consumer_whose_queue_is_not_consumed_is_cut_off(tmp_path: Path) -> None:
    with segment_in(tmp_path) as segment:
        on_broker(segment, ready=900, is_consuming=False)

        state = Watch(tmp_path).look_at_consumer().state

    assert (state.word, state.level) == ("cut off", Level.BAD)
