# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of messages on which a consumer fails, or of which it says what it wants, in all shapes."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glasshub import ConsumerSignal, Drop, Halt, Retry
from glasshub.compat.incoming import Item
from glasshub.config import DROP_NEWEST
from glasshub.dispatch.redelivery import Redelivery
from glasshub.failure import Failure, ReportedError, RetryPolicy, one_line, traceback_of
from glasshub.message import Completion, Frame
from glasshub.stats import Outcome

from ..fakes import PATIENCE, BlockingConsumer, FakeClock, RaisingConsumer, RecordingConsumer, frame
from .aftercare import KeptAftercare
from .rig import IN_PROCESS, Rig, Seat, running

HOUR = 3600.0
SECOND = 1_000_000_000

every_shape = pytest.mark.parametrize("shape", IN_PROCESS)

#: Three attempts, one hard after the other.
THREE = RetryPolicy(retries=2, delay=0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


class FlakyConsumer(RecordingConsumer):
    """Raises on its first `times` attempts at each message whose body is in `on`."""

    def __init__(self, error: Callable[[], BaseException], times: int, *on: bytes) -> None:
        super().__init__()
        self._error = error
        self._times = times
        self._on = on
        self._attempts: Counter[bytes] = Counter()

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        outcome = super().handle(frame)
        self._attempts[frame.body] += 1
        if frame.body in self._on and self._attempts[frame.body] <= self._times:
            raise self._error()
        return outcome


def ended(rig: Rig, consumer: int = 0) -> tuple[int, int, int, int, int]:
    """Processed, failed, discarded, retried, requeued."""
    stats = rig.stats(consumer)
    return stats.processed, stats.failed, stats.discarded, stats.retried, stats.requeued


@every_shape
def test_a_message_that_failed_is_tried_again_behind_the_others(shape: str, path: Path) -> None:
    consumer = FlakyConsumer(ValueError, 2, b"1")

    with running(path, shape, Seat("flaky", consumer, retry=THREE)) as rig:
        rig.publish(*[frame(number) for number in range(4)])
        rig.settle()

        assert ended(rig) == (4, 0, 0, 2, 2)
    assert consumer.bodies == [b"0", b"1", b"2", b"3", b"1", b"1"]


@every_shape
def test_a_message_that_fails_on_its_last_attempt_is_counted_logged_and_gone(
    shape: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = RaisingConsumer(lambda: ValueError("bad row"), on=[b"1"])

    with running(path, shape, Seat("bad", consumer, retry=THREE)) as rig:
        rig.publish(*[frame(number) for number in range(3)])
        rig.settle()
        stats = rig.stats()

        assert ended(rig) == (2, 1, 0, 2, 2)
    assert (stats.backlog, stats.in_flight, stats.delayed, stats.finished) == (0, 0, 0, 3)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.getMessage() == "bad failed on a message of topic b'org.test', attempt 3, the last"
    assert error.exc_text is not None
    assert "ValueError: bad row" in error.exc_text
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1, "one of a kind every ten seconds"
    assert warnings[0].startswith(
        "bad: attempt 1 at a message of topic b'org.test' ended with ValueError: bad row: tried again in 0.0 s"
    )


@every_shape
def test_what_a_consumer_says_that_failed_is_tried_again_like_what_it_raised(shape: str, path: Path) -> None:
    """Consumers of fedmsg: Moksha catches what they raise."""
    consumer = RecordingConsumer(outcome=Outcome.FAILED)

    with running(path, shape, Seat("fedmsg's", consumer, retry=THREE)) as rig:
        rig.publish(frame())
        rig.settle()

        assert ended(rig) == (0, 1, 0, 2, 2)


def test_what_a_consumer_has_logged_itself_is_not_logged_again_unless_it_is_given_up(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def reported() -> ReportedError:
        error = ReportedError()
        error.__cause__ = ValueError("bad row")
        return error

    notes, parking = KeptAftercare(), RetryPolicy(parks=True)
    seats = [Seat("fails", RaisingConsumer(reported)), Seat("parks", RaisingConsumer(reported), retry=parking)]
    with running(path, "threads", *seats, aftercare=notes) as rig:
        rig.publish(frame())
        rig.settle()

        assert (rig.stats(0).failed, rig.stats(1).parked) == (1, 1)
    ((_, _, failure),) = notes.parked
    assert failure.error == "ValueError: bad row"
    assert failure.traceback.endswith("ValueError: bad row\n")
    assert caplog.messages == ["parks failed on a message of topic b'org.test': parked"]


@every_shape
def test_who_fails_beside_it_is_no_consumers_trouble(shape: str, path: Path) -> None:
    good, bad = RecordingConsumer(), RaisingConsumer(ValueError)

    with running(path, shape, Seat("good", good, retry=THREE), Seat("bad", bad, retry=THREE)) as rig:
        rig.publish(frame(1), frame(2))
        rig.settle()

    assert (len(good.bodies), len(bad.bodies)) == (2, 6)


@every_shape
def test_a_message_that_waits_to_be_tried_again_is_delayed_and_keeps_nobody_from_ending(shape: str, path: Path) -> None:
    consumer = FlakyConsumer(lambda: Retry(after=HOUR), 1, b"1")

    with running(path, shape, Seat("later", consumer)) as rig:
        rig.publish(frame(1), frame(2))
        rig.settle()
        stats = rig.stats()

        assert rig.shape.is_done(time.monotonic() + HOUR / 2)
        assert not rig.shape.is_done(time.monotonic() + 2 * HOUR)
    assert (stats.delayed, stats.backlog, stats.in_flight, stats.finished) == (1, 0, 0, 1)


@every_shape
def test_a_dropped_message_is_discarded_and_no_error(shape: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    consumer = RaisingConsumer(lambda: Drop("spam"), on=[b"1"])

    with running(path, shape, Seat("choosy", consumer, retry=THREE)) as rig:
        rig.publish(*[frame(number) for number in range(3)])
        rig.settle()

        assert ended(rig) == (2, 0, 1, 0, 0)
        assert rig.stats().last_failure == 0
    assert not caplog.records


@every_shape
def test_who_asks_for_another_attempt_gets_it_as_often_as_it_asks(shape: str, path: Path) -> None:
    consumer = FlakyConsumer(lambda: Retry(after=0), 20, b"1")

    with running(path, shape, Seat("again", consumer)) as rig:
        rig.publish(frame(1))
        rig.settle()

        assert ended(rig) == (1, 0, 0, 20, 20)


@every_shape
def test_a_configured_number_of_retries_is_for_those_that_a_consumer_asks_for_too(shape: str, path: Path) -> None:
    consumer = RaisingConsumer(lambda: Retry(after=0, reason="locked"))

    with running(path, shape, Seat("again", consumer, retry=THREE)) as rig:
        rig.publish(frame())
        rig.settle()

        assert ended(rig) == (0, 1, 0, 2, 2)


@every_shape
def test_a_halt_stops_the_hub_and_leaves_the_message_at_hand_and_all_behind_it(
    shape: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    halting, neighbour = RaisingConsumer(lambda: Halt("no database"), on=[b"1"]), RecordingConsumer()
    done: list[bytes] = []
    frames = [frame(number) for number in range(4)]
    for each in frames:
        each.completion = Completion(2, lambda body=each.body: done.append(body))  # type: ignore[misc]

    with running(path, shape, Seat("halting", halting), Seat("neighbour", neighbour)) as rig:
        rig.publish(*frames)
        assert rig.is_halted.wait(PATIENCE)
        rig.settle()
        rig.finish()
        stats = rig.stats()

    assert halting.bodies == [b"0", b"1"]
    assert (stats.processed, stats.in_flight) == (1, 1)
    assert stats.enqueued == 4
    assert stats.backlog == 2
    assert len(neighbour.bodies) == 4
    assert done == [b"0"], "the others come again, where the source or a spool can do that"
    assert "halting halts the hub: no database" in caplog.messages


@every_shape
def test_a_halt_may_leave_its_message_finished_and_say_what_to_exit_with(shape: str, path: Path) -> None:
    consumer = RaisingConsumer(lambda: Halt("enough", exit_code=7, is_done=True), on=[b"1"])
    done: list[bytes] = []
    frames = [frame(number) for number in range(3)]
    for each in frames:
        each.completion = Completion(1, lambda body=each.body: done.append(body))  # type: ignore[misc]

    with running(path, shape, Seat("halting", consumer)) as rig:
        rig.publish(*frames)
        assert rig.is_halted.wait(PATIENCE)
        rig.settle()
        rig.finish()
        stats = rig.stats()

    assert rig.exit_code == 7
    assert (stats.processed, stats.in_flight, stats.backlog) == (2, 0, 1)
    assert done == [b"0", b"1"]


@every_shape
def test_a_message_is_done_once_and_only_when_it_is_not_tried_again(shape: str, path: Path) -> None:
    consumer = FlakyConsumer(ValueError, 2, b"1")
    done: list[int] = []
    message = frame(1)
    message.completion = Completion(1, lambda: done.append(len(consumer.bodies)))

    with running(path, shape, Seat("flaky", consumer, retry=THREE)) as rig:
        rig.publish(message)
        rig.settle()

    assert done == [3]


@every_shape
def test_what_is_parked_is_counted_and_handed_over_with_what_is_known_of_it(shape: str, path: Path) -> None:
    notes, before_ns = KeptAftercare(), time.monotonic_ns()
    policy = RetryPolicy(parks=True)
    done: list[None] = []
    message = frame(1).again(before_ns + 1).again(before_ns + 2)
    message.completion = Completion(1, lambda: done.append(None))

    with running(
        path,
        shape,
        Seat("good", RecordingConsumer()),
        Seat("bad", RaisingConsumer(lambda: ValueError("bad\nrow")), retry=policy),
        aftercare=notes,
    ) as rig:
        rig.publish(message, to=[1])
        rig.settle()
        stats = rig.stats(1)

    ((station, parked, failure),) = notes.parked
    assert (station, parked, done) == (1, message, []), "who parks it says when it is done"
    assert (stats.parked, stats.failed, stats.in_flight, stats.finished) == (1, 0, 0, 1)
    assert (failure.error, failure.attempts, failure.first_ns) == ("ValueError: bad row", 3, before_ns + 1)
    assert failure.last_ns > before_ns
    assert "in handle" in failure.traceback


@every_shape
def test_somebody_else_may_take_care_of_messages_and_bring_them_back(shape: str, path: Path) -> None:
    """In a worker process: the queues are here, and who knows when a message is due is somewhere else."""
    consumer, notes = FlakyConsumer(ValueError, 1, b"1"), KeptAftercare()

    with running(path, shape, Seat("flaky", consumer, retry=THREE), aftercare=notes) as rig:
        rig.publish(frame(1))
        rig.settle()
        ((station, message, after, error),) = notes.retried
        rig.shape.requeue(station, message.again(time.monotonic_ns()))
        rig.settle()

        assert ended(rig) == (1, 0, 0, 1, 1)
    assert 0 <= after <= THREE.delay
    assert error == "ValueError"


@every_shape
def test_an_attempt_is_counted_before_anybody_takes_care_of_the_message(shape: str, path: Path) -> None:
    """Else it might be seen to come again before it was seen to go."""

    class Looking(KeptAftercare):
        def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
            seen.append((rig.stats(station).retried, rig.stats(station).in_flight))

        def park(self, station: int, frame: Frame, failure: Failure) -> None:
            seen.append((rig.stats(station).parked, rig.stats(station).in_flight))

    seen: list[tuple[int, int]] = []
    seats = [
        Seat("retries", RaisingConsumer(ValueError), retry=THREE),
        Seat("parks", RaisingConsumer(ValueError), retry=RetryPolicy(parks=True)),
    ]
    with running(path, shape, *seats, aftercare=Looking()) as rig:
        rig.publish(frame())
        rig.settle()

    assert seen == [(1, 0), (1, 0)]


@pytest.mark.parametrize("shape", ["shared", "threads"])
def test_a_shape_is_not_done_while_a_message_waits_or_is_at_hand(shape: str, path: Path) -> None:
    """What is at hand may fail, and be tried again."""
    with BlockingConsumer() as consumer, running(path, shape, Seat("slow", consumer)) as rig:
        assert rig.shape.is_done(time.monotonic())
        rig.publish(frame(1))
        consumer.wait_for(1)
        at_hand = rig.shape.is_done(time.monotonic())
        rig.publish(frame(2))
        waiting = rig.shape.is_done(time.monotonic())
        consumer.release.set()
        rig.settle()

    assert (at_hand, waiting) == (False, False)
    assert len(consumer.bodies) == 2


def test_inline_is_not_done_while_something_waits_that_did_not_come_from_the_bus(path: Path) -> None:
    with running(path, "inline", Seat("a", RecordingConsumer())) as rig:
        rig.shape.inlet(0).put(frame())

        assert not rig.shape.is_done(time.monotonic())
        rig.settle()


@every_shape
def test_a_shape_says_how_long_nothing_is_due(shape: str, path: Path) -> None:
    consumer = RaisingConsumer(lambda: Retry(after=HOUR))

    with running(path, shape, Seat("later", consumer)) as rig:
        before = rig.shape.rest(5.0)
        rig.publish(frame())
        rig.turn_until(lambda: rig.stats().delayed, "the message to be delayed")
        while_delayed = rig.shape.rest(2 * HOUR)

        assert rig.shape.rest(5.0) == 5.0
    assert before == 5.0
    assert HOUR - PATIENCE < while_delayed <= HOUR


@every_shape
def test_what_comes_again_is_bounded_like_what_a_consumer_puts_for_itself(shape: str, path: Path) -> None:
    done: list[None] = []
    message = frame("again").again(1)
    message.completion = Completion(1, lambda: done.append(None))

    with (
        BlockingConsumer() as consumer,
        running(path, shape, Seat("full", consumer, capacity=1, policy=DROP_NEWEST)) as rig,
    ):
        if shape != "inline":
            rig.publish(frame("at hand"))
            consumer.wait_for(1)
        rig.shape.requeue(0, frame("waits").again(1))
        rig.shape.requeue(0, message)
        stats = rig.stats()

    assert (stats.requeued, stats.backlog, stats.dropped, len(done)) == (2, 1, 1, 1)


@every_shape
def test_whatever_a_consumer_does_everything_is_accounted_for(shape: str, path: Path) -> None:
    class Moody(RecordingConsumer):
        def handle(self, frame: Frame) -> Outcome:
            super().handle(frame)
            mood = int(frame.body) % 7
            if mood in (0, 1) and frame.attempts < 2:
                raise Retry(after=0.001) if mood else ValueError
            if mood == 2:
                raise Drop
            return (Outcome.PROCESSED, Outcome.FAILED, Outcome.INVALID)[mood % 3]

    with running(
        path, shape, *[Seat(name, Moody(), workers=workers, retry=THREE) for name, workers in (("a", 1), ("b", 3))]
    ) as rig:
        for start in range(0, 700, 70):
            rig.publish(*[frame(number) for number in range(start, start + 70)])
            rig.shape.turn()
        rig.settle()
        snapshot = rig.snapshot()

    assert snapshot.hub.queue_enqueued == snapshot.hub.queue_dequeued
    for stats in snapshot.consumers:
        assert (stats.enqueued, stats.finished, stats.discarded) == (700, 700, 100)
        assert stats.retried == stats.requeued
        assert stats.retried + 700 == stats.dequeued == stats.processing.count
        assert (stats.backlog, stats.in_flight, stats.delayed) == (0, 0, 0)


def test_messages_of_a_group_come_again_too(path: Path) -> None:
    flaky, other = FlakyConsumer(ValueError, 2, b"1"), RecordingConsumer()
    seats = [Seat("flaky", flaky, group="g", retry=THREE), Seat("other", other, group="g")]

    with running(path, "threads", *seats) as rig:
        rig.publish(frame(1), frame(2))
        rig.settle()

    assert (len(flaky.bodies), len(other.bodies)) == (4, 2)


class TestRedelivery:
    """What waits to be tried again."""

    def test_messages_come_when_they_are_due_those_that_are_due_first_before_the_others(self) -> None:
        clock, care = clocked()
        for number, after in enumerate((3.0, 1.0, 2.0, 1.0)):
            care.retry(7, frame(number), after, "")

        assert care.due() == []
        assert care.next_due_ns() == clock_ns(clock) + SECOND
        clock.advance(2.0)
        found = care.due()

        assert [(station, each.body) for station, each in found] == [(7, b"1"), (7, b"3"), (7, b"2")]
        assert care.next_due_ns() == clock_ns(clock) + SECOND
        clock.advance(1.0)
        assert len(care.due()) == 1
        assert care.next_due_ns() is None

    def test_what_comes_again_knows_its_attempts_and_waits_from_now_on(self) -> None:
        clock, care = clocked()
        first_ns = clock_ns(clock)
        message = frame("x", received_ns=5)
        message.completion = Completion(1, lambda: None)

        for attempts in (1, 2):
            care.retry(0, message, 1.0, "")
            clock.advance(1.0)
            ((_, message),) = care.due()

            assert (message.attempts, message.first_ns, message.received_ns) == (attempts, first_ns, clock_ns(clock))
            assert (message.topic, message.body) == (b"org.test", b"x")
            assert message.completion is not None

    def test_what_was_put_by_the_consumer_itself_comes_again_as_it_is(self) -> None:
        clock, care = clocked()
        item = Item({"topic": "org.old"})
        care.retry(0, item, 0.0, "")

        ((_, again),) = care.due()

        assert isinstance(again, Item)
        assert (again.item, again.attempts, again.topic) == (item.item, 1, b"org.old")
        assert clock_ns(clock) == again.received_ns

    @pytest.mark.parametrize("bounds", [{"most": 3}, {"most_bytes": 3 * 1000}])
    def test_where_too_many_wait_those_that_are_due_first_come_early(self, bounds: dict[str, int]) -> None:
        _, care = clocked(**bounds)
        for after in (5.0, 1.0, 4.0, 2.0, 3.0):
            care.retry(0, frame(f"{after}".ljust(750)), after, "")

        found = care.due()

        assert [each.body.strip() for _, each in found] == [b"1.0", b"2.0"]
        assert care.due() == []

    def test_an_ordinary_frame_takes_no_more_memory_for_it(self) -> None:
        class Four:
            __slots__ = ("body", "completion", "received_ns", "topic")

        message = frame()

        assert sys.getsizeof(message) == sys.getsizeof(Four())
        assert (message.attempts, message.first_ns) == (0, 0)
        assert not hasattr(message, "__dict__")


class TestPolicy:
    """When a message is tried again."""

    @pytest.mark.parametrize(
        ("attempts", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (5, 10.0), (100_000, 10.0)]
    )
    def test_the_back_off_is_drawn_from_a_time_that_doubles_up_to_a_limit(self, attempts: int, longest: float) -> None:
        policy = RetryPolicy(delay=2.0, delay_max=10.0)

        assert policy.backoff(attempts, uniform=lambda low, high: low) == 0.0
        assert policy.backoff(attempts, uniform=lambda low, high: high) == longest

    def test_those_that_failed_together_do_not_come_back_together(self) -> None:
        policy = RetryPolicy(delay=2.0, delay_max=10.0)

        assert len({policy.backoff(1) for _ in range(100)}) > 50


class TestSignals:
    """What a consumer raises."""

    def test_signals_come_through_where_every_exception_is_caught(self) -> None:
        for signal in (Drop(), Retry(), Halt()):
            assert isinstance(signal, ConsumerSignal)
            assert not isinstance(signal, Exception)

    @pytest.mark.parametrize("after", [-1.0, float("nan"), float("inf"), 1e9])
    def test_a_time_that_makes_no_sense_is_an_error_of_the_consumer(self, after: float) -> None:
        with pytest.raises(ValueError, match=r"after must be 0 to 31536000 seconds"):
            Retry(after=after)


class TestWhatIsKept:
    """Of an error."""

    def test_one_line_of_any_error(self) -> None:
        class Hostile(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert one_line(ValueError("a\n  b")) == "ValueError: a b"
        assert "Hostile" in one_line(Hostile())
        assert len(one_line(ValueError("x" * 10_000))) == 500

    def test_of_a_long_traceback_the_end(self) -> None:
        def down(depth: int) -> None:
            if not depth:
                raise ValueError("y" * 30_000 + " the end")
            down(depth - 1)

        with pytest.raises(ValueError, match="the end") as caught:
            down(5)

        text = traceback_of(caught.value)
        assert len(text) == 20_000
        assert text.endswith(" the end\n")


def clocked(**bounds: Any) -> tuple[FakeClock, Redelivery]:
    """A redelivery, and its clock."""
    clock = FakeClock()
    return clock, Redelivery(lambda exit_code: None, clock=lambda: clock_ns(clock), **bounds)


def clock_ns(clock: FakeClock) -> int:
    """Its time in nanoseconds."""
    return int(clock() * SECOND)
