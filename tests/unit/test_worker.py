# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a consumer: every outcome counted, and nothing that a consumer does ends its worker."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import glasshub_stats
from glasshub.consumer import BoundConsumer, Consumer, NativeConsumer
from glasshub.dispatch.redelivery import Redelivery
from glasshub.errors import MessageError
from glasshub.failure import Care, RetryPolicy
from glasshub.logs import Repeats
from glasshub.message import Completion, Frame, Message
from glasshub.queues import Bell, WorkQueue
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.stats import Outcome
from glasshub.worker import Lane, Runner, WorkerThread
from glasshub_stats import ConsumerStats

from ..fakes import (
    PATIENCE,
    BlockingConsumer,
    FakeClock,
    OneAtATime,
    RaisingConsumer,
    RecordingConsumer,
    VisitingConsumer,
    frame,
)


class Bench:
    """Consumers with a queue, a runner and counters each."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.repeats = Repeats(period=10.0, clock=self.clock)
        self.policy = RetryPolicy()
        self.redelivery = Redelivery(lambda exit_code: None)
        rows = [ConsumerRow(name, 1, True) for name in ("a", "b", "c")]
        self.segment = SegmentWriter(path, rows, name="bench", version="1", shape="threads", source="memory")

    def runner(self, consumer: BoundConsumer, index: int = 0) -> Runner:
        care = Care(index, self.policy, self.redelivery)
        return Runner("abc"[index], consumer, self.segment.workers[index][0], self.repeats, care)

    def stats(self, index: int = 0) -> ConsumerStats:
        return glasshub_stats.read(str(self.segment.path)).consumers[index]

    def counts(self, index: int = 0) -> tuple[int, int, int, int]:
        """Dequeued, processed, failed, invalid."""
        stats = self.stats(index)
        return stats.dequeued, stats.processed, stats.failed, stats.invalid

    def worker(self, consumers: Sequence[BoundConsumer], bell: Bell) -> tuple[WorkerThread, list[WorkQueue[Frame]]]:
        queues: list[WorkQueue[Frame]] = [WorkQueue(bell) for _ in consumers]
        lanes = [
            Lane(queue, self.runner(consumer, index)) for index, (queue, consumer) in enumerate(zip(queues, consumers))
        ]
        return WorkerThread("worker", lanes, bell), queues


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "bench.stats")
    yield bench
    bench.segment.close()


class Unprintable(Exception):
    """An error that cannot even be logged."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Reader(Consumer):
    """Reads a message as it should not be read."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        if message.body == "secret":
            raise MessageError("not for me")


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [(Outcome.PROCESSED, (1, 1, 0, 0)), (Outcome.FAILED, (1, 0, 1, 0)), (Outcome.INVALID, (1, 0, 0, 1))],
)
def test_what_the_consumer_says_is_counted(bench: Bench, outcome: Outcome, counts: tuple[int, ...]) -> None:
    bench.runner(RecordingConsumer(outcome=outcome)).run(frame(), 0)

    assert bench.counts() == counts


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        MemoryError,
        RecursionError,
        StopIteration,
        SystemExit,
        Unprintable,
        asyncio.CancelledError,
        KeyboardInterrupt,
        GeneratorExit,
    ],
)
def test_whatever_a_consumer_raises_counts_as_failed_and_goes_no_further(
    bench: Bench, error: type[BaseException]
) -> None:
    """In a worker thread no signal raises KeyboardInterrupt: if one comes, the consumer has raised it."""
    bench.runner(RaisingConsumer(error)).run(frame(), 0)

    assert bench.counts() == (1, 0, 1, 0)


def test_a_message_error_counts_as_invalid(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.runner(RaisingConsumer(lambda: MessageError("no topic in it"))).run(frame(), 0)

    assert bench.counts() == (1, 0, 0, 1)
    assert [record.getMessage() for record in caplog.records] == ["a: invalid message: no topic in it"]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_native_consumer_decides_for_itself_what_is_invalid(bench: Bench) -> None:
    runner = bench.runner(NativeConsumer(Reader()))

    for body in (b'"secret"', b"not json", b'"open"'):
        runner.run(frame(body), 0)

    assert bench.counts() == (3, 1, 0, 2)


def test_a_failure_is_logged_with_consumer_topic_and_traceback(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.runner(RaisingConsumer(lambda: ValueError("bad row"))).run(frame(topic=b"org.\x1b[31m"), 0)

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "a failed on a message of topic b'org.\\x1b[31m'"
    assert record.exc_text is not None
    assert "ValueError: bad row" in record.exc_text
    assert "in handle" in record.exc_text


def test_repeated_failures_are_counted_all_and_logged_once_in_a_while(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    runner = bench.runner(RaisingConsumer(ValueError))

    for _ in range(5):
        runner.run(frame(), 0)
    bench.clock.advance(10.0)
    runner.run(frame(), 0)

    assert bench.counts() == (6, 0, 6, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "a failed on a message of topic b'org.test'",
        "a failed on a message of topic b'org.test' (4 more like this since the last one)",
    ]


def test_another_kind_of_failure_and_another_consumer_are_logged_at_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for index, error in ((0, ValueError), (0, KeyError), (0, MessageError), (1, ValueError)):
        bench.runner(RaisingConsumer(error), index).run(frame(), 0)

    assert len(caplog.records) == 4


@pytest.mark.parametrize("error", [None, ValueError, MessageError, SystemExit])
def test_a_message_is_done_after_it_is_counted_whatever_the_outcome(
    bench: Bench, error: type[BaseException] | None
) -> None:
    """Who is told that a message is done may look at the figures."""
    finished: list[int] = []
    message = frame()
    message.completion = Completion(1, lambda: finished.append(bench.stats().finished))

    bench.runner(RaisingConsumer(error) if error else RecordingConsumer()).run(message, 0)

    assert finished == [1]


def test_while_the_consumer_works_the_message_is_in_flight_and_ages(bench: Bench) -> None:
    seen: list[ConsumerStats] = []

    class Looking(RecordingConsumer):
        def handle(self, frame: Frame) -> Outcome:
            seen.append(bench.stats())
            return super().handle(frame)

    before = bench.stats()
    bench.runner(Looking()).run(frame(), 0)
    after = bench.stats()

    assert [stats.in_flight for stats in (before, seen[0], after)] == [0, 1, 0]
    assert seen[0].current_age > 0
    assert before.current_age == after.current_age == 0


def test_wait_and_processing_are_measured(bench: Bench) -> None:
    second = 1_000_000_000
    received_ns = time.monotonic_ns() - 2 * second

    bench.runner(RecordingConsumer()).run(frame(received_ns=received_ns), 0)

    stats = bench.stats()
    assert stats.wait.count == stats.processing.count == 1
    assert 2.0 <= stats.wait.total < 2.0 + PATIENCE
    assert stats.processing.total < PATIENCE
    assert stats.wait.percentile(50) == pytest.approx(stats.wait.total, rel=0.032)


@pytest.mark.parametrize("error", [ValueError, SystemExit, MessageError, KeyboardInterrupt])
def test_a_worker_goes_on_after_its_consumer_raised(bench: Bench, error: type[BaseException]) -> None:
    bell = Bell()
    consumer = RaisingConsumer(error, on=[b"1", b"2"])
    worker, (queue,) = bench.worker([consumer], bell)
    worker.start()

    queue.put([frame(number) for number in range(5)])
    bell.close()
    worker.join(PATIENCE)

    assert worker.error is None
    assert consumer.bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert bench.stats().processed == 3


def test_a_stopped_worker_finishes_the_message_at_hand_and_leaves_the_rest(bench: Bench) -> None:
    bell = Bell()
    with BlockingConsumer() as consumer:
        worker, (queue,) = bench.worker([consumer], bell)
        queue.put([frame(number) for number in range(5)])
        worker.start()
        consumer.wait_for(1)

        bell.stop()
    worker.join(PATIENCE)

    assert not worker.is_alive()
    assert bench.counts() == (1, 1, 0, 0)
    assert len(queue) == 4


def test_a_worker_that_dies_of_our_own_error_says_so(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bell = Bell()
    worker, (queue,) = bench.worker([RecordingConsumer()], bell)
    message = frame()
    message.completion = Completion(1, lambda: dict[str, None]()["ours"])
    worker.start()

    queue.put([message, frame(), frame()])
    worker.join(PATIENCE)

    assert isinstance(worker.error, KeyError)
    assert queue
    assert worker.is_idle, "nobody waits for what it has left"
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]


def test_the_lanes_of_a_group_are_served_in_the_order_in_which_messages_were_received(bench: Bench) -> None:
    order: list[bytes] = []

    class Noting(RecordingConsumer):
        def handle(self, frame: Frame) -> Outcome:
            order.append(frame.body)
            return super().handle(frame)

    bell = Bell()
    worker, (first, second, third) = bench.worker([Noting(), Noting(), Noting()], bell)
    first.put([frame("a1", received_ns=1), frame("a5", received_ns=5), frame("a6", received_ns=6)])
    second.put([frame("b2", received_ns=2), frame("b7", received_ns=7)])
    third.put([frame("c3", received_ns=3), frame("c4", received_ns=4)])

    bell.close()
    worker.start()
    worker.join(PATIENCE)

    assert order == [b"a1", b"b2", b"c3", b"c4", b"a5", b"a6", b"b7"]


def test_the_lanes_of_a_group_never_run_at_the_same_time(bench: Bench) -> None:
    place, bell = OneAtATime(), Bell()
    consumers = [VisitingConsumer(place) for _ in range(3)]
    worker, queues = bench.worker(consumers, bell)
    worker.start()

    for number in range(100):
        for queue in queues:
            queue.put([frame(number)])
    bell.close()
    worker.join(PATIENCE)

    assert place.overlaps == 0
    assert [len(consumer.bodies) for consumer in consumers] == [100] * 3


def test_a_group_sleeps_and_is_woken_by_any_of_its_lanes(bench: Bench) -> None:
    bell = Bell()
    consumers = [RecordingConsumer() for _ in range(3)]
    worker, queues = bench.worker(consumers, bell)
    worker.start()

    for queue, consumer in zip(queues, consumers):
        queue.put([frame()])
        consumer.wait_for(1)
    bell.close()
    worker.join(PATIENCE)

    assert not worker.is_alive()


def test_a_stopped_group_leaves_the_rest(bench: Bench) -> None:
    bell = Bell()
    with BlockingConsumer() as consumer:
        worker, queues = bench.worker([consumer, RecordingConsumer()], bell)
        queues[0].put([frame("a", received_ns=1)])
        queues[1].put([frame("b", received_ns=2)])
        worker.start()
        consumer.wait_for(1)
        bell.stop()
    worker.join(PATIENCE)

    assert [len(queue) for queue in queues] == [0, 1]
    assert bench.counts(1) == (0, 0, 0, 0)


def test_a_worker_carries_its_name_and_keeps_no_process_alive(bench: Bench) -> None:
    worker, _ = bench.worker([RecordingConsumer()], Bell())

    assert worker.name == "worker"
    assert worker.daemon
    assert threading.main_thread() is not worker
