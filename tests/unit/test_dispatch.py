# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shapes of dispatch: what holds for all of them, and what sets each apart."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasshub.dispatch import SHAPES
from glasshub.errors import MessageError
from glasshub.message import Completion, Frame
from glasshub.stats import Outcome
from glasshub_stats import ConsumerStats

from ..fakes import (
    PATIENCE,
    BlockingConsumer,
    OneAtATime,
    RaisingConsumer,
    RecordingConsumer,
    VisitingConsumer,
    frame,
    wait_until,
)
from .rig import IN_PROCESS, Seat, every_shape, memory_shape, queueing_shape, running

MS = 1_000_000
SECOND = 1000 * MS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


def accounted(stats: ConsumerStats) -> int:
    """Everything that has become of the messages of a consumer."""
    return stats.processed + stats.failed + stats.invalid + stats.dropped + stats.backlog + stats.in_flight


@every_shape
def test_every_consumer_handles_every_message_in_order_with_one_worker(shape: str, path: Path) -> None:
    consumers = [RecordingConsumer() for _ in range(3)]
    bodies = [str(number).encode() for number in range(500)]

    with running(path, shape, *[Seat(str(index), consumer) for index, consumer in enumerate(consumers)]) as rig:
        for start in range(0, 500, 50):
            rig.publish(*[frame(body) for body in bodies[start : start + 50]])
        rig.finish()

    assert [consumer.bodies for consumer in consumers] == [bodies] * 3


@every_shape
def test_every_consumer_handles_the_same_messages_whoever_fails_beside_it(shape: str, path: Path) -> None:
    good, bad, picky = RecordingConsumer(), RaisingConsumer(ValueError), RaisingConsumer(MessageError, on=[b"7"])
    refusing, leaving = RecordingConsumer(outcome=Outcome.INVALID), RaisingConsumer(SystemExit, on=[b"0", b"99"])
    everybody = [good, bad, picky, refusing, leaving]

    with running(path, shape, *[Seat(str(i), consumer) for i, consumer in enumerate(everybody)]) as rig:
        rig.publish(*[frame(number) for number in range(100)])
        rig.finish()
        counts = [(c.processed, c.failed, c.invalid) for c in rig.snapshot().consumers]

    assert len({tuple(consumer.bodies) for consumer in everybody}) == 1
    assert counts == [(100, 0, 0), (0, 100, 0), (99, 0, 1), (0, 0, 100), (98, 2, 0)]


@every_shape
def test_several_workers_share_a_consumers_messages_and_none_is_handled_twice(shape: str, path: Path) -> None:
    consumer = RecordingConsumer()
    bodies = [str(number).encode() for number in range(2000)]

    with running(path, shape, Seat("many", consumer, workers=4)) as rig:
        for body in bodies:
            rig.publish(frame(body))
        rig.finish()
        stats = rig.stats()

    assert Counter(consumer.bodies) == Counter(bodies)
    assert (stats.enqueued, stats.processed, stats.backlog, stats.in_flight) == (2000, 2000, 0, 0)


@every_shape
def test_only_those_who_want_a_message_get_it(shape: str, path: Path) -> None:
    consumers = [RecordingConsumer() for _ in range(3)]

    with running(path, shape, *[Seat(str(i), consumer) for i, consumer in enumerate(consumers)]) as rig:
        rig.publish(frame("first"), to=[0, 2])
        rig.publish(frame("second"), to=[1])
        rig.publish(frame("nobody"), to=[])
        rig.finish()
        snapshot = rig.snapshot()

    assert [consumer.bodies for consumer in consumers] == [[b"first"], [b"second"], [b"first"]]
    assert [stats.enqueued for stats in snapshot.consumers] == [1, 1, 1]
    assert snapshot.hub.backlog == 0


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(IN_PROCESS),
    published=st.lists(st.lists(st.sets(st.integers(0, 2)), max_size=4), max_size=8),
    workers=st.integers(1, 3),
    grouped=st.booleans(),
)
def test_what_was_published_is_accounted_for(
    path: Path, shape: str, published: list[list[set[int]]], workers: int, grouped: bool
) -> None:
    """Whatever the batches, and whoever wants which message."""
    consumers = [RecordingConsumer(), RaisingConsumer(ValueError, on=[b"1"]), RecordingConsumer()]
    group = "g" if grouped else ""
    seats = [
        Seat(str(i), consumer, workers=1 if grouped and i else workers, group=group if i else "")
        for i, consumer in enumerate(consumers)
    ]
    wanted: list[Counter[bytes]] = [Counter() for _ in consumers]
    number = 0

    with running(path, shape, *seats) as rig:
        for batch in published:
            routed = []
            for interested in batch:
                routed.append((frame(number), tuple(sorted(interested))))
                for consumer in interested:
                    wanted[consumer][b"%d" % number] += 1
                number += 1
            rig.shape.dispatch(routed)
        rig.finish()
        snapshot = rig.snapshot()

    assert [Counter(consumer.bodies) for consumer in consumers] == wanted
    for stats, own in zip(snapshot.consumers, wanted):
        assert stats.enqueued == accounted(stats) == stats.finished == sum(own.values())


@every_shape
def test_closing_a_shape_finishes_the_backlog(shape: str, path: Path) -> None:
    with running(path, shape, Seat("a", RecordingConsumer()), Seat("b", RecordingConsumer())) as rig:
        rig.publish(*[frame(number) for number in range(1000)])

        rig.finish()

        assert [stats.processed for stats in rig.snapshot().consumers] == [1000, 1000]
        assert rig.shape.dead() == []


@queueing_shape
def test_stopping_a_shape_leaves_the_rest_counted(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("slow", consumer)) as rig:
        rig.publish(*[frame(number) for number in range(10)])
        consumer.wait_for(1)

        rig.shape.stop()
        in_flight = rig.stats()
        consumer.release.set()
        assert rig.shape.join(PATIENCE)
        left = rig.stats()

    assert (in_flight.backlog, in_flight.in_flight, in_flight.finished) == (9, 1, 0)
    assert (left.backlog, left.in_flight, left.processed) == (9, 0, 1)
    assert accounted(in_flight) == accounted(left) == left.enqueued == 10


@queueing_shape
def test_join_says_whether_everybody_has_ended(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("slow", consumer)) as rig:
        rig.publish(frame())
        consumer.wait_for(1)
        rig.shape.close()

        ended = [rig.shape.join(0)]
        consumer.release.set()
        ended.append(rig.shape.join(PATIENCE))

    assert ended == [False, True]


@queueing_shape
def test_dispatching_never_waits_for_a_consumer(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("stuck", consumer)) as rig:
        rig.publish(*[frame(number) for number in range(5000)])

        assert rig.stats().enqueued == 5000


def test_inline_dispatching_returns_when_the_last_consumer_is_done(path: Path) -> None:
    consumers = [RecordingConsumer(), RecordingConsumer()]

    with running(path, "inline", Seat("a", consumers[0]), Seat("b", consumers[1])) as rig:
        rig.publish(frame("1"))

        assert [consumer.bodies for consumer in consumers] == [[b"1"], [b"1"]]
        assert consumers[0].threads == {threading.current_thread().name}


def test_inline_takes_one_message_at_a_time_from_the_source() -> None:
    """A batch would count as received what still waits behind a slow consumer."""
    assert SHAPES["inline"].batch == 1


def test_in_shared_all_consumers_run_in_one_thread_that_is_not_the_enqueuers(path: Path) -> None:
    consumers = [RecordingConsumer(), RecordingConsumer()]

    with running(path, "shared", Seat("a", consumers[0]), Seat("b", consumers[1])) as rig:
        rig.publish(frame("1"), frame("2"))
        rig.finish()

    assert [consumer.threads for consumer in consumers] == [{"dispatcher"}, {"dispatcher"}]


def test_in_shared_a_slow_consumer_holds_up_the_others(path: Path) -> None:
    quick = RecordingConsumer()
    with BlockingConsumer() as slow, running(path, "shared", Seat("slow", slow), Seat("quick", quick)) as rig:
        rig.publish(frame("1"), frame("2"))
        slow.wait_for(1)

        snapshot = rig.snapshot()

        assert quick.bodies == []
        assert snapshot.consumer("slow").backlog == 1
        assert snapshot.consumer("quick").backlog == 2
        assert snapshot.hub.backlog == 1


def test_in_threads_a_slow_consumer_holds_up_nobody(path: Path) -> None:
    quick = RecordingConsumer()
    with BlockingConsumer() as slow, running(path, "threads", Seat("slow", slow), Seat("quick", quick)) as rig:
        rig.publish(*[frame(number) for number in range(10)])
        slow.wait_for(1)
        quick.wait_for(10)
        wait_until(lambda: rig.stats(1).processed == 10, "the quick one has finished")

        snapshot = rig.snapshot()

        assert snapshot.consumer("slow").backlog == 9
        assert snapshot.consumer("quick").backlog == 0
        assert snapshot.hub.backlog == 9


def test_in_threads_each_worker_is_a_thread_of_its_own(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "threads", Seat("many", consumer, workers=3)) as rig:
        rig.publish(*[frame(number) for number in range(4)])
        consumer.wait_for(3)

        stats = rig.stats()

        assert consumer.threads == {"many-0", "many-1", "many-2"}
        assert (stats.workers, stats.in_flight, stats.backlog) == (3, 3, 1)


@every_shape
def test_consumers_of_a_group_never_run_at_the_same_time(shape: str, path: Path) -> None:
    place = OneAtATime()
    grouped = [VisitingConsumer(place) for _ in range(3)]
    others = [RecordingConsumer() for _ in range(2)]
    seats = [Seat(f"g{i}", consumer, group="irc") for i, consumer in enumerate(grouped)]
    seats += [Seat(f"o{i}", consumer, workers=2) for i, consumer in enumerate(others)]

    with running(path, shape, *seats) as rig:
        for number in range(200):
            rig.publish(frame(number))
        rig.finish()

    assert place.overlaps == 0
    assert [len(consumer.bodies) for consumer in [*grouped, *others]] == [200] * 5


def test_two_groups_do_not_wait_for_each_other(path: Path) -> None:
    other = RecordingConsumer()
    with BlockingConsumer() as stuck:
        seats = [Seat("stuck", stuck, group="a"), Seat("beside", RecordingConsumer(), group="a")]
        with running(path, "threads", *seats, Seat("other", other, group="b")) as rig:
            rig.publish(frame("1"), to=[0])
            stuck.wait_for(1)
            rig.publish(frame("2"), to=[1, 2])
            other.wait_for(1)

            assert rig.stats(1).backlog == 1


def test_a_group_is_served_in_order_of_arrival_and_nobody_in_it_starves(path: Path) -> None:
    order: list[bytes] = []

    class Noting(BlockingConsumer):
        def handle(self, frame: Frame) -> Outcome:
            order.append(frame.body)
            return super().handle(frame)

    with Noting() as first, Noting() as second:
        seats = Seat("first", first, group="g"), Seat("second", second, group="g")
        with running(path, "threads", *seats) as rig:
            rig.publish(frame("0"), to=[0])
            first.wait_for(1)
            for number in range(1, 7):
                rig.publish(frame(number), to=[number % 2])
            for consumer in (first, second):
                consumer.release.set()
            rig.finish()

    assert order == [b"%d" % number for number in range(7)]


@queueing_shape
def test_the_watermark_is_the_highest_backlog_and_stays(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(frame("0"))
        consumer.wait_for(1)
        rig.publish(*[frame(number) for number in range(1, 8)])
        high = rig.stats()
        consumer.release.set()
        rig.finish()
        after = rig.stats()

    assert (high.backlog, high.watermark) == (7, 7)
    assert (after.backlog, after.watermark) == (0, 7)


@queueing_shape
def test_the_oldest_age_is_that_of_the_first_waiting_message(shape: str, path: Path) -> None:
    now_ns = time.monotonic_ns()
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        ages = [rig.stats().oldest_age]
        rig.publish(frame("0", received_ns=now_ns - 50 * SECOND))
        consumer.wait_for(1)
        ages.append(rig.stats().oldest_age)
        rig.publish(frame("1", received_ns=now_ns - 40 * SECOND))
        rig.publish(frame("2", received_ns=now_ns - 30 * SECOND), frame("3", received_ns=now_ns - 20 * SECOND))
        ages.append(rig.stats().oldest_age)
        consumer.release.set()
        rig.finish()
        ages.append(rig.stats().oldest_age)

    assert ages[:2] == [0, 0]
    assert ages[2] == pytest.approx(40, abs=PATIENCE / 2)
    assert ages[3] == 0


@queueing_shape
def test_the_oldest_age_moves_on_with_each_message_that_is_taken(shape: str, path: Path) -> None:
    now_ns = time.monotonic_ns()

    class StepByStep(RecordingConsumer):
        def __init__(self) -> None:
            super().__init__()
            self.steps = threading.Semaphore(0)

        def handle(self, frame: Frame) -> Outcome:
            outcome = super().handle(frame)
            assert self.steps.acquire(timeout=PATIENCE)
            return outcome

    consumer = StepByStep()
    ages = []
    with running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(*[frame(n, received_ns=now_ns - (400 - 100 * n) * SECOND) for n in range(4)])
        for taken in range(1, 5):
            consumer.wait_for(taken)
            ages.append(rig.stats().oldest_age)
            consumer.steps.release()
        rig.finish()

    assert ages == [pytest.approx(age, abs=PATIENCE) for age in (300, 200, 100)] + [0]


@queueing_shape
def test_the_oldest_age_of_one_consumer_is_not_that_of_anothers_message(shape: str, path: Path) -> None:
    """In `shared` they wait in one queue: who wants one message of it must not be charged for those before it."""
    now_ns = time.monotonic_ns()
    rare = RecordingConsumer()
    with BlockingConsumer() as busy, running(path, shape, Seat("busy", busy), Seat("rare", rare)) as rig:
        busy.release.set()
        rig.publish(frame("long ago", received_ns=now_ns - 900 * SECOND), to=[1])
        rare.wait_for(1)
        wait_until(lambda: rig.stats(1).processed == 1, "it is counted")
        busy.release.clear()
        rig.publish(frame("1", received_ns=now_ns - 600 * SECOND), to=[0])
        busy.wait_for(1)
        rig.publish(frame("2", received_ns=now_ns - 500 * SECOND), to=[0])
        rig.publish(frame("3", received_ns=now_ns - 400 * SECOND), to=[0, 1])
        rig.publish(frame("4", received_ns=now_ns - 300 * SECOND), to=[1])
        if shape.startswith("threads"):
            wait_until(lambda: rig.stats(1).processed == 3, "the rare one has nothing to wait for")
        stats = rig.snapshot().consumers

    assert stats[0].backlog == 2
    assert stats[0].oldest_age == pytest.approx(500, abs=PATIENCE)
    assert (stats[1].backlog, stats[1].watermark) == ((2, 2) if shape.startswith("shared") else (0, stats[1].watermark))
    assert stats[1].oldest_age == (pytest.approx(400, abs=PATIENCE) if shape.startswith("shared") else 0)


@pytest.mark.parametrize("shape", IN_PROCESS)
def test_a_message_is_acknowledged_once_after_its_last_consumer(shape: str, path: Path) -> None:
    consumers = [RecordingConsumer(), RaisingConsumer(ValueError), RecordingConsumer(outcome=Outcome.INVALID)]
    handled_by_then: dict[bytes, list[int]] = {}
    frames = [frame(number) for number in range(50)]

    def acknowledge(message: Frame) -> None:
        seen = sum(consumer.bodies.count(message.body) for consumer in consumers)
        handled_by_then.setdefault(message.body, []).append(seen)

    for message in frames:
        message.completion = Completion(3, lambda message=message: acknowledge(message))  # type: ignore[misc]
    with running(path, shape, *[Seat(str(i), consumer) for i, consumer in enumerate(consumers)]) as rig:
        rig.publish(*frames)
        rig.finish()

    assert handled_by_then == {message.body: [3] for message in frames}


@memory_shape
def test_a_message_that_is_left_is_not_acknowledged(shape: str, path: Path) -> None:
    acknowledged: list[bytes] = []
    frames = [frame(number) for number in range(3)]
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        for message in frames:
            message.completion = Completion(1, lambda message=message: acknowledged.append(message.body))  # type: ignore[misc]
        rig.publish(*frames)
        consumer.wait_for(1)
        rig.shape.stop()
        consumer.release.set()
        assert rig.shape.join(PATIENCE)

    assert acknowledged == [b"0"]


@pytest.mark.parametrize(("shape", "workers"), [("inline", 1), ("shared", 1), ("threads", 5), ("processes", 5)])
def test_more_workers_than_one_are_for_shapes_in_which_consumers_have_their_own(shape: str, workers: int) -> None:
    assert SHAPES[shape].workers_of(5) == workers


@memory_shape
def test_a_worker_that_died_is_named(shape: str, path: Path) -> None:
    with running(path, shape, Seat("a", RecordingConsumer())) as rig:
        message = frame()
        message.completion = Completion(1, lambda: dict[str, None]()["ours"])

        rig.publish(message)
        wait_until(rig.shape.dead, "the worker has died")

        assert rig.shape.dead() == ["dispatcher" if shape == "shared" else "a-0"]
