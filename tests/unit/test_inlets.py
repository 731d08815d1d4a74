# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that does not come from the bus takes the same way as work that does, and is counted apart."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasshub.consumer import Inlet
from glasshub.message import Frame
from glasshub.stats import Outcome

from ..fakes import PATIENCE, BlockingConsumer, RecordingConsumer, frame
from .rig import Rig, Seat, every_shape, queueing_shape, running

SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


class FollowingUp(RecordingConsumer):
    """Puts one more for itself with each message, until there have been ten."""

    inlet: Inlet

    def handle(self, message: Frame) -> Outcome:
        """Do so."""
        outcome = super().handle(message)
        if len(self.bodies) < 10:
            self.inlet.put(frame(len(self.bodies)))
        return outcome


class Taking(RecordingConsumer):
    """Takes what it finds in its queue together with the first message that it is handed."""

    inlet: Inlet

    def handle(self, message: Frame) -> Outcome:
        """Do so."""
        outcome = super().handle(message)
        while (more := self.inlet.take(0)) is not None:
            self.bodies.append(more.body)
        return outcome


@every_shape
def test_what_is_put_is_handled_by_that_consumer_alone_and_counted_as_injected(shape: str, path: Path) -> None:
    consumer, other = RecordingConsumer(), RecordingConsumer()

    with running(path, shape, Seat("a", consumer), Seat("b", other)) as rig:
        rig.publish(frame("bus"))
        rig.shape.inlet(0).put(frame("own"))
        rig.finish()
        first, second = rig.snapshot().consumers

    assert (consumer.bodies, other.bodies) == ([b"bus", b"own"], [b"bus"])
    assert (first.enqueued, first.injected, first.processed, first.backlog) == (2, 1, 2, 0)
    assert (second.enqueued, second.injected) == (1, 0)


@every_shape
def test_what_a_consumer_puts_for_itself_is_done_before_the_end(shape: str, path: Path) -> None:
    """A drain finishes the work that work brings."""
    consumer = FollowingUp()

    with running(path, shape, Seat("a", consumer)) as rig:
        consumer.inlet = rig.shape.inlet(0)
        rig.publish(frame(0))
        rig.finish()
        stats = rig.stats()

    assert consumer.bodies == [str(number).encode() for number in range(10)]
    assert (stats.injected, stats.processed, stats.backlog) == (9, 10, 0)


def put_many(inlet: Inlet, who: int) -> None:
    for number in range(300):
        inlet.put(frame(f"{who}-{number}"))


@every_shape
def test_nothing_is_lost_when_several_threads_put_while_the_bus_does(shape: str, path: Path) -> None:
    consumer = RecordingConsumer()

    with running(path, shape, Seat("a", consumer)) as rig:
        putters = [threading.Thread(target=put_many, args=(rig.shape.inlet(0), n)) for n in range(3)]
        for thread in putters:
            thread.start()
        for number in range(300):
            rig.publish(frame(f"bus-{number}"))
            rig.shape.turn()
        for thread in putters:
            thread.join(PATIENCE)
        rig.finish()
        snapshot = rig.snapshot()

    expected = Counter(f"{who}-{i}".encode() for who in ("bus", 0, 1, 2) for i in range(300))
    assert Counter(consumer.bodies) == expected
    (stats,) = snapshot.consumers
    assert (stats.enqueued, stats.injected, stats.processed, stats.backlog) == (1200, 900, 1200, 0)
    assert snapshot.hub.backlog == 0


@queueing_shape
def test_length_backlog_watermark_and_age_are_those_of_the_whole_queue(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(frame("at hand"))
        consumer.wait_for(1)
        rig.publish(frame("first"))
        inlet = rig.shape.inlet(0)
        for number in range(4):
            inlet.put(frame(number))
        snapshot = rig.snapshot()

        assert len(inlet) == 5
        (stats,) = snapshot.consumers
        assert (stats.backlog, stats.watermark, snapshot.hub.backlog) == (5, 5, 5)


@queueing_shape
def test_the_age_of_what_was_put_into_an_empty_queue_is_seen(shape: str, path: Path) -> None:
    """The enqueuer has put nothing, and no worker has taken anything since."""
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(frame("at hand"))
        consumer.wait_for(1)
        put_at = time.monotonic_ns()
        rig.shape.inlet(0).put(frame("own"))
        age = rig.stats().oldest_age
        most = (time.monotonic_ns() - put_at) / 1e9

        assert 0 < age <= most


@pytest.mark.parametrize("shape", ["inline", "threads"])
def test_what_a_consumer_takes_by_itself_is_withdrawn_and_not_handled(shape: str, path: Path) -> None:
    consumer = Taking()

    with running(path, shape, Seat("a", consumer)) as rig:
        consumer.inlet = rig.shape.inlet(0)
        for number in range(5):
            rig.shape.inlet(0).put(frame(number))
        rig.finish()
        stats = rig.stats()

    assert Counter(consumer.bodies) == Counter(str(number).encode() for number in range(5))
    assert stats.processed + stats.withdrawn == 5
    assert stats.backlog == stats.in_flight == 0


@pytest.fixture
def at_rest(path: Path) -> Iterator[Rig]:
    """Its workers are not started: what is put stays."""
    rig = Rig(path, "threads", [Seat("a", RecordingConsumer())])
    yield rig
    rig.segment.close()


def test_nothing_can_be_taken_for_one_consumer_out_of_the_queue_of_all(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "shared", Seat("a", consumer)) as rig:
        rig.publish(frame("at hand"))
        consumer.wait_for(1)
        rig.shape.inlet(0).put(frame("own"))

        assert rig.shape.inlet(0).take(None) is None
        assert (rig.stats().withdrawn, rig.stats().backlog) == (0, 1)


def test_whoever_takes_from_an_empty_queue_waits_until_something_is_put(at_rest: Rig) -> None:
    taken: list[Frame | None] = []
    thread = threading.Thread(target=lambda: taken.append(at_rest.shape.inlet(0).take(PATIENCE)))
    thread.start()

    at_rest.publish(frame("came"))
    thread.join(PATIENCE)

    assert [one and one.body for one in taken] == [b"came"]
    assert (at_rest.stats().withdrawn, at_rest.stats().backlog) == (1, 0)


def test_what_was_taken_is_no_longer_the_oldest_that_waits(at_rest: Rig) -> None:
    inlet = at_rest.shape.inlet(0)
    inlet.put(frame("old", received_ns=time.monotonic_ns() - 1000 * SECOND))
    inlet.put(frame("young"))
    before = at_rest.stats().oldest_age

    inlet.take(0)

    assert at_rest.stats().oldest_age < 1000 <= before


def test_whoever_takes_from_an_empty_queue_waits_no_longer_than_it_wants_to(at_rest: Rig) -> None:
    began = time.monotonic()

    assert at_rest.shape.inlet(0).take(0.05) is None
    assert 0.05 <= time.monotonic() - began < PATIENCE


def test_whoever_waits_for_ever_is_sent_home_when_there_will_be_no_more(at_rest: Rig) -> None:
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(at_rest.shape.inlet(0).take(None)))
    thread.start()

    at_rest.shape.close()
    thread.join(PATIENCE)

    assert taken == [None]


def test_inline_what_was_put_waits_for_the_enqueuers_turn_and_new_work_for_the_next(path: Path) -> None:
    consumer = FollowingUp()

    with running(path, "inline", Seat("a", consumer)) as rig:
        consumer.inlet = rig.shape.inlet(0)
        consumer.inlet.put(frame("own"))
        before = rig.stats()
        turns = [rig.shape.turn(), len(consumer.bodies)]

        assert (before.backlog, turns) == (1, [True, 1])
        assert len(consumer.inlet) == 1


def test_inline_a_stop_ends_work_that_brings_work_for_ever(path: Path) -> None:
    consumer = FollowingUp()

    with running(path, "inline", Seat("a", consumer)) as rig:
        consumer.inlet = rig.shape.inlet(0)
        consumer.inlet.put(frame("own"))
        rig.shape.stop()

        assert not rig.shape.turn()
        assert rig.stats().backlog == 1
