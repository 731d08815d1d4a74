# SPDX-License-Identifier: LGPL-2.1-or-later
"""The enqueuer: receives, counts, routes; survives its source, and empties it before it ends."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glasshub.backfill import Backfill
from glasshub.consumer import Inlet
from glasshub.dispatch import Routed, Shape, Station
from glasshub.enqueuer import Enqueuer
from glasshub.errors import SourceError
from glasshub.gaps import Gap
from glasshub.logs import Repeats
from glasshub.message import Frame
from glasshub.overflow import Backlog
from glasshub.routing import Router
from glasshub.segment import ConsumerRow, SegmentSlots, SegmentWriter
from glasshub.sources import Batch, QueueState
from glasshub_stats import HubStats, Snapshot, read

from ..fakes import PATIENCE, BlockingConsumer, MemorySource, RaisingConsumer, RecordingConsumer, frame, wait_until
from .rig import Rig, Seat

SECOND = 1_000_000_000

KNOWN_NEW_OTHER = (("1", b"org.git"), ("2", b"org.git"), ("3", b"com.x"))


class Collecting(Shape):
    """A shape that keeps what it is given.

    Attributes:
        routed: That.
        at_once: How much of it each call brought.
        waiting: How many turns it has something to do in.
        due_in: Seconds after which it has something to do.
        has_work: Whether workers are at something.
        is_ended: Whether it was stopped.
        turned_in: The threads that took those turns.
    """

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        self.routed: list[Routed] = []
        self.at_once: list[int] = []
        self.waiting = 0
        self.due_in = PATIENCE
        self.has_work = self.is_ended = False
        self.turned_in: set[threading.Thread] = set()

    def turn(self) -> bool:
        """Do one thing."""
        if not self.waiting:
            return False
        self.waiting -= 1
        self.turned_in.add(threading.current_thread())
        return True

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """Keep it."""
        self.routed.extend(routed)
        self.at_once.append(len(routed))

    def requeue(self, station: int, frame: Frame) -> None:
        """Nothing comes again."""
        raise NotImplementedError

    def rest(self, longest: float) -> float:
        """As the test wants it."""
        return min(longest, self.due_in)

    def queue(self, station: int) -> Backlog:
        """There is none."""
        raise NotImplementedError

    def is_done(self, deadline: float) -> bool:
        """As the test wants it."""
        return not self.has_work

    @property
    def is_stopped(self) -> bool:
        """As the test wants it."""
        return self.is_ended

    def inlet(self, station: int) -> Inlet:
        """There is none."""
        raise NotImplementedError


class Bench:
    """An enqueuer between a bus in memory and a shape that keeps everything."""

    def __init__(
        self, path: Path, source: MemorySource, subscriptions: Sequence[Sequence[str]], *, fills_gaps: bool = False
    ) -> None:
        rows = [ConsumerRow(str(index), 1, True) for index in range(len(subscriptions))]
        self.source = source
        self.segment = SegmentWriter(path, rows, name="bench", version="1", shape="threads", source="memory")
        self.shape = Collecting([], self.segment)
        self.backfill = Backfill(margin=0, wake=source.wake) if fills_gaps else None
        self.enqueuer = Enqueuer(
            source,
            Router(subscriptions),
            self.shape,
            self.segment.enqueuer,
            self.backfill,
            consumers=self.segment.consumers[::-1],  # whose order need not be that of the rows
        )

    def deliver(self, *frames: Frame) -> None:
        """Hand over what was fetched, once that was asked for."""
        assert self.backfill is not None
        assert self.backfill.requests.get(timeout=PATIENCE)
        self.backfill.deliver(frames)

    def hub(self) -> HubStats:
        return self.snapshot().hub

    def snapshot(self) -> Snapshot:
        return read(str(self.segment.path))

    def end(self) -> None:
        self.enqueuer.stop()
        self.enqueuer.join(PATIENCE)
        assert not self.enqueuer.is_alive()


@contextmanager
def running(
    path: Path, source: MemorySource, *subscriptions: Sequence[str], fills_gaps: bool = False
) -> Iterator[Bench]:
    bench = Bench(path, source, subscriptions or [["org."]], fills_gaps=fills_gaps)
    bench.enqueuer.start()
    try:
        assert bench.enqueuer.opened.wait(PATIENCE)
        yield bench
    finally:
        bench.end()
        bench.segment.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bench.stats"


def test_messages_reach_the_shape_in_order_with_those_who_want_them(path: Path) -> None:
    source = MemorySource()
    first, second = frame(1, b"org.git"), frame(2, b"com.x")

    with running(path, source, ["org."], ["org.git", "com."]) as bench:
        source.put(first, second)
        source.wait_until_idle()

        assert bench.shape.routed == [(first, (0, 1)), (second, (1,))]
    assert source.prefixes == [b"com.", b"org."]


def test_the_enqueuer_sleeps_no_longer_than_until_the_shape_has_something_to_do(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.wait_until_idle()
        bench.shape.due_in = 0.0625
        wait_until(lambda: 0.0625 in source.timeouts, "the enqueuer to wait for the shape")

    assert max(source.timeouts) <= 0.2


def test_a_stopped_enqueuer_goes_on_for_the_shape_until_that_is_done(path: Path) -> None:
    with running(path, MemorySource()) as bench:
        bench.shape.has_work = True
        bench.enqueuer.stop(time.monotonic() + 2 * PATIENCE)
        wait_until(lambda: bench.source.calls[-1] == "finish", "the source to be closed")

        bench.shape.waiting = 3
        wait_until(lambda: not bench.shape.waiting, "the shape to have its turns")
        assert bench.enqueuer.is_alive()
        bench.shape.has_work = False
        bench.enqueuer.join(PATIENCE)

        assert not bench.enqueuer.is_alive()


@pytest.mark.parametrize("ends", ["deadline", "stop"])
def test_a_stopped_enqueuer_does_not_go_on_when_it_is_too_late(path: Path, ends: str) -> None:
    with running(path, MemorySource()) as bench:
        bench.shape.has_work = True
        bench.enqueuer.stop(time.monotonic() + (0.05 if ends == "deadline" else 2 * PATIENCE))
        bench.shape.is_ended = ends == "stop"

        bench.enqueuer.join(PATIENCE)

        assert not bench.enqueuer.is_alive()


def test_messages_and_bytes_are_counted(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.put(frame(b"12345", b"org.a"), frame(b"", b"org.b"))
        source.put(frame(b"1", b"org.c"), malformed=2, size=1000)
        source.wait_until_idle()
        hub = bench.hub()

    assert (hub.received, hub.received_bytes, hub.malformed, hub.unrouted) == (5, 1015, 2, 0)


def test_a_topic_that_is_not_utf8_is_malformed_and_nobody_gets_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource()

    with running(path, source, ["*"]) as bench:
        source.put(frame(1, b"\xff"), frame(2, b"org.a"))
        source.wait_until_idle()
        hub = bench.hub()

    assert (hub.received, hub.malformed, hub.unrouted) == (2, 1, 0)
    assert [interested for _, interested in bench.shape.routed if interested] == [(0,)]
    assert [record.getMessage() for record in caplog.records] == [
        "1 malformed messages: not one topic in UTF-8 and one body"
    ]


def test_a_batch_of_nothing_but_malformed_messages_is_counted(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.put(malformed=3, size=30)
        source.wait_until_idle()
        hub = bench.hub()

    assert (hub.received, hub.received_bytes, hub.malformed) == (3, 30, 3)


def test_a_flood_of_malformed_messages_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        for _ in range(50):
            source.put(malformed=1)
        source.wait_until_idle()
        hub = bench.hub()

    assert hub.malformed == 50
    assert len(caplog.records) == 1


def test_a_message_that_nobody_wants_is_unrouted(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.put(frame(1, b"com."), frame(2, b"org.a"), frame(3, b"org"))
        source.wait_until_idle()
        hub = bench.hub()

    assert (hub.received, hub.malformed, hub.unrouted) == (3, 0, 2)


def test_the_source_is_opened_used_and_closed_in_the_enqueuers_thread(path: Path) -> None:
    """A zeromq socket belongs to one thread."""
    source = MemorySource()

    with running(path, source) as bench:
        source.wait_until_idle()

    assert source.calls == ["open", "finish"]
    assert source.threads == {bench.enqueuer}


def test_a_source_that_fails_is_tried_again_and_counted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource()
    source.fail(SourceError("the bus is away"))
    source.put(frame(1))

    with running(path, source) as bench:
        source.wait_until_idle()
        hub = bench.hub()

    assert hub.source_errors == 1
    assert [message.body for message, _ in bench.shape.routed] == [b"1"]
    assert bench.enqueuer.error is None
    assert [record.getMessage() for record in caplog.records] == ["the bus is away: trying again"]


def test_a_source_that_fails_for_ever_is_not_asked_in_a_spin(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource()
    for _ in range(10_000):
        source.fail(SourceError("no"))
    started = time.monotonic()

    with running(path, source) as bench:
        wait_until(lambda: len(source.limits) >= 3, "it is tried again")
        tries, took = len(source.limits), time.monotonic() - started
    hub = bench.hub()

    assert tries <= 2 + took / 0.1
    assert hub.source_errors >= 3
    assert len(caplog.records) == 1


def test_a_stop_is_heard_while_a_failing_source_is_waited_for(path: Path) -> None:
    source = MemorySource()
    source.fail(SourceError("no"))

    with running(path, source) as bench:
        wait_until(lambda: source.limits, "it has failed")

    assert bench.enqueuer.error is None


def test_what_is_in_the_source_at_a_stop_is_received(path: Path) -> None:
    source = MemorySource()
    bench = Bench(path, source, [["org."]])
    bench.enqueuer.stop()
    for number in range(700):
        source.put(frame(number))

    bench.enqueuer.start()
    bench.enqueuer.join(PATIENCE)
    bench.segment.close()

    assert [message.body for message, _ in bench.shape.routed] == [b"%d" % number for number in range(700)]
    assert bench.hub().received == 700
    assert source.calls == ["open", "finish"]


def test_what_is_in_a_source_at_a_stop_that_can_give_it_back_is_left_there(path: Path) -> None:
    source = MemorySource(acknowledges=True)
    bench = Bench(path, source, [["org."]])
    bench.enqueuer.stop()
    source.put(frame(1))

    bench.enqueuer.start()
    bench.enqueuer.join(PATIENCE)
    bench.segment.close()

    assert bench.shape.routed == []
    assert source.calls == ["open", "finish"]


def test_a_bus_that_never_falls_silent_does_not_keep_the_enqueuer_from_ending(path: Path) -> None:
    class Endless(MemorySource):
        def receive(self, timeout: float, limit: int) -> Batch:
            return Batch([frame(1)], 0, 1)

    with running(path, Endless()) as bench:
        wait_until(lambda: bench.hub().received, "messages come")

    assert not bench.enqueuer.is_alive()


def test_no_more_is_received_at_once_than_the_shape_wants(path: Path) -> None:
    source = MemorySource()
    source.put(*[frame(number) for number in range(5)])
    bench = Bench(path, source, [["org."]])
    bench.shape.batch = 2

    bench.enqueuer.start()
    source.wait_until_idle()
    bench.end()
    bench.segment.close()

    assert set(source.limits) == {2}
    assert len(bench.shape.routed) == 5


def test_the_heartbeat_moves_on_a_quiet_bus(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.wait_until_idle()
        first = bench.hub().enqueuer_heartbeat_ns
        wait_until(lambda: bench.hub().enqueuer_heartbeat_ns > first, "it goes round its loop")
        age = bench.hub().enqueuer_age

    assert 0 <= age < PATIENCE


def test_the_state_of_the_source_is_published(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.now = replace(source.now, endpoints=3, connected=2, disconnects=7, lost=1, lost_ns=5)
        wait_until(lambda: bench.hub().disconnects == 7, "the state is published")
        hub = bench.hub()

    assert (hub.endpoints, hub.connected, hub.lost, hub.lost_ns) == (3, 2, 1, 5)


def test_a_gap_is_counted_once_and_logged_in_wall_time(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gap = Gap("tcp://bus:1", 5 * SECOND, 8 * SECOND + SECOND // 2, until=1400000003.5)
    source = MemorySource()

    with running(path, source) as bench:
        source.tell_of(gap)
        wait_until(lambda: bench.hub().gaps, "the gap is counted")
        source.put(frame(1, b"org.git"))
        source.wait_until_idle()
        hub = bench.hub()

    assert (hub.gaps, hub.gap_seconds, hub.gap_since_ns, hub.gap_until_ns) == (1, 3.5, gap.lost_ns, gap.found_ns)
    assert [record.getMessage() for record in caplog.records] == [
        "possible gap: tcp://bus:1 was lost from 2014-05-13 16:53:20 UTC to 2014-05-13 16:53:23 UTC (3.5 s)"
    ]


def test_what_was_fetched_of_a_gap_goes_to_those_who_want_it_and_is_counted(path: Path) -> None:
    source = MemorySource()
    known, new, other = (frame(f'{{"msg_id": "{name}"}}', topic) for name, topic in KNOWN_NEW_OTHER)

    with running(path, source, ["org."], ["com."], fills_gaps=True) as bench:
        source.put(known)
        source.tell_of(Gap("tcp://bus:1", 1, 2, until=3.0))
        bench.deliver(known, new, other)
        wait_until(lambda: bench.hub().backfilled == 2, "they are dispatched")
        hub = bench.hub()

    assert bench.shape.routed == [(known, (0,)), (new, (0,)), (other, (1,))]
    assert (hub.received, hub.backfilled, hub.backfill_duplicates) == (1, 2, 1)


def test_what_the_bus_brings_after_a_fetch_has_is_left_out_and_counted(path: Path) -> None:
    source = MemorySource()
    known, new, other = (frame(f'{{"msg_id": "{name}"}}', topic) for name, topic in KNOWN_NEW_OTHER)

    with running(path, source, ["org."], ["com."], fills_gaps=True) as bench:
        source.tell_of(Gap("tcp://bus:1", 1, 2, until=3.0))
        bench.deliver(known)
        wait_until(lambda: bench.hub().backfilled == 1, "it is dispatched")
        source.put(known, new, other)
        source.wait_until_idle()
        hub = bench.hub()

    assert bench.shape.routed == [(known, (0,)), (new, (0,)), (other, (1,))]
    assert (hub.received, hub.backfilled, hub.backfill_duplicates) == (3, 1, 1)


def test_of_what_was_fetched_no_more_is_dispatched_at_once_than_the_shape_wants(path: Path) -> None:
    source = MemorySource()
    fetched = [frame(f'{{"msg_id": "{number}"}}', b"org.git") for number in range(3000)]

    with running(path, source, fills_gaps=True) as bench:
        bench.shape.batch = 100
        source.tell_of(Gap("tcp://bus:1", 1, 2, until=3.0))
        began = time.monotonic()
        bench.deliver(*fetched)
        wait_until(lambda: bench.hub().backfilled == 3000, "all are dispatched")
        took = time.monotonic() - began

    assert [routed for routed, _ in bench.shape.routed] == fetched
    assert bench.shape.at_once == [100] * 30
    assert took < 3  # it does not wait for the bus in between, which would take twice that


def test_while_an_endpoint_is_lost_what_the_bus_brings_is_remembered(path: Path) -> None:
    """However long that is: the fetch brings it as well."""
    source = MemorySource()
    old, *rest = (frame(f'{{"msg_id": "{number}"}}', b"org.git", (number + 1) * 3600 * SECOND) for number in range(4))

    with running(path, source, fills_gaps=True) as bench:
        source.now = replace(source.now, lost=1)
        wait_until(lambda: bench.hub().lost, "the loss is published")
        for each in (old, *rest):
            source.put(each)
        source.now = replace(source.now, lost=0)
        source.tell_of(Gap("tcp://bus:1", 1, 2, until=3.0))
        bench.deliver(old, *rest)
        wait_until(lambda: bench.hub().backfill_duplicates, "the fetch is looked at")
        hub = bench.hub()

    assert (hub.backfilled, hub.backfill_duplicates) == (0, 4)


def test_a_source_that_cannot_be_opened_ends_the_enqueuer_with_its_error(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = SourceError("no such endpoint")
    source = MemorySource(refuses=refusal)

    with running(path, source) as bench:
        bench.enqueuer.join(PATIENCE)

    assert bench.enqueuer.error is refusal
    assert source.calls == ["open"]
    assert caplog.records == []  # the hub says it, once


def test_an_enqueuer_that_dies_says_so_and_closes_its_source(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource()
    source.fail(ZeroDivisionError())

    with running(path, source) as bench:
        bench.enqueuer.join(PATIENCE)

    assert isinstance(bench.enqueuer.error, ZeroDivisionError)
    assert source.calls == ["open", "finish"]
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


def test_a_stopped_enqueuer_has_no_error(path: Path) -> None:
    with running(path, MemorySource()) as bench:
        pass

    assert bench.enqueuer.error is None
    assert bench.enqueuer.daemon


def test_a_source_that_does_not_acknowledge_costs_no_completion(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.put(frame(1))
        source.wait_until_idle()

    assert [message.completion for message, _ in bench.shape.routed] == [None]


def test_a_message_that_nobody_gets_is_acknowledged_at_once(path: Path) -> None:
    source = MemorySource(acknowledges=True)
    unrouted, malformed, wanted = frame(1, b"com."), frame(2, b"org.\xff"), frame(3, b"org.a")

    with running(path, source):
        source.put(unrouted, malformed, wanted)
        source.wait_until_idle()

    assert source.acknowledged == [unrouted, malformed]


@pytest.mark.parametrize("shape", ["inline", "shared", "threads"])
def test_a_bus_is_told_once_when_the_last_consumer_has_finished(shape: str, path: Path) -> None:
    source = MemorySource(acknowledges=True)
    frames = [frame(number) for number in range(200)]
    consumers = [RecordingConsumer(), RaisingConsumer(ValueError), RecordingConsumer(["com."])]
    rig = Rig(path, shape, [Seat(str(index), consumer) for index, consumer in enumerate(consumers)])
    enqueuer = Enqueuer(source, Router([consumer.topics for consumer in consumers]), rig.shape, rig.segment.enqueuer)
    rig.shape.start()
    enqueuer.start()

    source.put(*frames)
    source.wait_until_idle()
    enqueuer.stop()
    enqueuer.join(PATIENCE)
    rig.finish()
    rig.segment.close()

    assert sorted(source.acknowledged, key=frames.index) == frames
    assert len(source.acknowledged) == 200


def test_a_bus_is_not_told_of_messages_that_a_stop_left(path: Path) -> None:
    source = MemorySource(acknowledges=True)
    frames = [frame(number) for number in range(3)]
    with BlockingConsumer() as consumer:
        rig = Rig(path, "threads", [Seat("slow", consumer), Seat("quick", RecordingConsumer())])
        enqueuer = Enqueuer(source, Router([[""], [""]]), rig.shape, rig.segment.enqueuer)
        rig.shape.start()
        enqueuer.start()
        source.put(*frames)
        consumer.wait_for(1)
        enqueuer.stop()
        enqueuer.join(PATIENCE)
        rig.shape.stop()
    assert rig.shape.join(PATIENCE)
    rig.segment.close()

    assert source.acknowledged == frames[:1]
    assert rig.stats(0).backlog == 2


def test_the_enqueuers_thread_has_a_name(path: Path) -> None:
    with running(path, MemorySource()):
        assert "enqueuer" in [thread.name for thread in threading.enumerate()]


def test_a_stop_wakes_the_enqueuer_out_of_its_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasshub.enqueuer._PATIENCE", PATIENCE)
    source = MemorySource()

    with running(path, source):
        source.wait_until_idle()
        began = time.monotonic()

    assert time.monotonic() - began < PATIENCE / 2


def test_a_new_router_is_used_and_subscribed_to_at_once_in_the_enqueuers_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glasshub.enqueuer._PATIENCE", PATIENCE)
    source, message = MemorySource(), frame(1, b"com.x")
    made_by: list[threading.Thread] = []

    def make_router() -> Router:
        made_by.append(threading.current_thread())
        return Router([["org.", "com."]])

    with running(path, source, ["org."]) as bench:
        source.wait_until_idle()
        bench.enqueuer.reroute(make_router)
        wait_until(lambda: "subscribe" in source.calls, "the enqueuer subscribes")
        source.put(message)
        source.wait_until_idle()

        assert bench.shape.routed == [(message, (0,))]
    assert source.prefixes == [b"com.", b"org."]
    assert made_by == [bench.enqueuer]
    assert source.threads == {bench.enqueuer}


def test_what_waits_for_the_enqueuers_own_thread_is_done_in_each_turn_and_before_its_end(path: Path) -> None:
    source = MemorySource()

    with running(path, source) as bench:
        source.wait_until_idle()
        bench.shape.waiting = 3
        wait_until(lambda: bench.shape.waiting == 0, "the enqueuer comes round")
        bench.shape.waiting = 5

    assert bench.shape.waiting == 0
    assert bench.shape.turned_in == {bench.enqueuer}


# Queues on a broker


def queue(consumer: int | None, **state: Any) -> QueueState:
    return QueueState(consumer, "q", **{"asked_ns": time.monotonic_ns(), "is_consuming": True, **state})


def test_state_of_a_queue_is_published_for_its_consumer_by_index(path: Path) -> None:
    source = MemorySource()
    first = queue(0, ready=900, hubs=2, unacknowledged=12, prefetch=20, redelivered=3)
    source.now = replace(source.now, queues=[first, queue(1, ready=5, is_consuming=False)])

    with running(path, source, ["org."], ["org."]) as bench:
        other, consumer = bench.snapshot().consumers  # the consumers' slots are not in the order of the rows

    told = ("queue", "consuming", "ready", "hubs", "unacknowledged", "prefetch", "redelivered")
    assert [getattr(consumer, f"broker_{name}") for name in told] == [1, 1, 900, 2, 12, 20, 3]
    assert [getattr(other, f"broker_{name}") for name in told] == [1, 0, 5, 0, 0, 0, 0]
    assert consumer.broker_age < PATIENCE


def test_states_of_all_queues_are_added_up_for_the_hub(path: Path) -> None:
    source = MemorySource()
    queues = [
        queue(0, ready=900, unacknowledged=12, redelivered=3),
        queue(1, ready=5, unacknowledged=1, redelivered=1, is_consuming=False),
    ]
    source.now = replace(source.now, queues=queues, faults=4, is_blocked=True)

    with running(path, source, ["org."], ["org."]) as bench:
        hub = bench.hub()

    told = ("queues", "consuming", "ready", "unacknowledged", "redelivered", "faults", "blocked")
    assert [getattr(hub, f"broker_{name}") for name in told] == [2, 1, 905, 13, 4, 4, 1]
    assert hub.broker_asked_ns == min(each.asked_ns for each in queues)


def test_hub_does_not_know_what_waits_if_one_queue_is_not_known(path: Path) -> None:
    source = MemorySource()
    source.now = replace(source.now, queues=[queue(None, ready=900), queue(None, asked_ns=0)])

    with running(path, source) as bench:
        snapshot = bench.snapshot()

    assert math.isnan(snapshot.hub.broker_ready)
    assert not snapshot.consumers[0].has_broker


def test_source_without_queues_has_no_broker(path: Path) -> None:
    source = MemorySource()
    with running(path, source) as bench:
        assert not bench.hub().has_broker
