# SPDX-License-Identifier: LGPL-2.1-or-later
"""The desk of a consumer in a worker process keeps its books right, whatever the process does, and whenever it dies."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glasshub.message import Frame
from glasshub.processes.desk import MAX_BATCH, Parcel
from glasshub.stats import Outcome
from glasshub_stats import read

from .desks import MS, WORKERS, Bench, bench_in


class DeskModel(RuleBasedStateMachine):
    """A desk beside lists of messages: the queue, and where each is that the process has been given."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.bench = Bench(Path(self.directory.name) / "h.stats")
        self.queue: list[Frame] = []
        self.given: dict[int, Frame] = {}
        self.sent: list[Parcel] = []  # of these, those that no worker has begun
        self.at_hand: dict[int, int] = {}  # worker -> number
        self.unsaid: dict[int, bool] = {}  # finished, the hub does not know; whether to be tried again
        self.delayed: list[Frame] = []
        self.suspects: list[Frame] = []
        self.processed = self.withdrawn = self.failed = self.retried = 0
        self.repeated = self.recalled = 0

    def teardown(self) -> None:
        self.bench.close()
        self.directory.cleanup()

    @rule(count=st.integers(1, 100))
    def put(self, count: int) -> None:
        self.queue += self.bench.put(count)

    @rule()
    def batch(self) -> None:
        if not self.bench.desk.has_batch():
            return
        head_ns, parcels = self.bench.desk.batch()

        assert parcels
        for parcel in parcels:
            self._give(parcel, self.queue.pop(0))
        assert head_ns == (self.queue[0].received_ns if self.queue else 0)
        assert len(parcels) <= MAX_BATCH
        assert len(self.given) <= 2 * MAX_BATCH

    @precondition(lambda self: self.suspects)
    @rule()
    def try_alone(self) -> None:
        suspect = self.suspects.pop(0)
        self._give(self.bench.desk.alone(suspect), suspect)

    @precondition(lambda self: self.suspects)
    @rule()
    def end_suspicion(self) -> None:
        suspect = self.suspects.pop(0)
        self.bench.desk.put_back(suspect)
        self.queue.insert(0, suspect)

    @precondition(lambda self: self.sent and len(self.at_hand) < WORKERS)
    @rule()
    def begin(self) -> None:
        worker = self._idle_worker()
        parcel = self.sent.pop(0)
        self.bench.begin(worker, parcel)
        self.at_hand[worker] = parcel[0]

    @precondition(lambda self: self.at_hand)
    @rule(is_retried=st.booleans())
    def finish(self, is_retried: bool) -> None:
        worker = min(self.at_hand, key=lambda worker: self.at_hand[worker])
        self.bench.finish(worker, Outcome.RETRIED if is_retried else Outcome.PROCESSED)
        self.unsaid[self.at_hand.pop(worker)] = is_retried
        self.processed += not is_retried
        self.retried += is_retried

    @precondition(lambda self: self.sent)
    @rule()
    def withdraw(self) -> None:
        self.bench.process.injections[0].withdrew(1)
        self.unsaid[self.sent.pop(0)[0]] = False
        self.withdrawn += 1

    @precondition(lambda self: self.unsaid)
    @rule(count=st.integers(1, 20))
    def say(self, count: int) -> None:
        for number in list(self.unsaid)[:count]:
            is_retried, frame = self.unsaid.pop(number), self.given.pop(number)
            assert self.bench.desk.given(number) is frame
            assert self.bench.desk.settle([number], is_retried=is_retried) == [frame]
            assert self.bench.desk.settle([number]) == []
            self.delayed += [frame] * is_retried

    @precondition(lambda self: self.delayed)
    @rule()
    def put_again(self) -> None:
        frame = self.delayed.pop(0)
        self.bench.segment.consumers[0].requeued(1)
        self.bench.desk.put([frame])
        self.queue.append(frame)

    @rule(is_given_up=st.booleans())
    def die(self, is_given_up: bool) -> None:
        buried = self.bench.desk.bury()

        assert [(number, frame) for _, number, frame in buried] == [
            (number, self.given.pop(number)) for _, number in sorted(self.at_hand.items())
        ]
        for worker, _, frame in buried:
            assert frame is not None
            if is_given_up:
                worker.failed(self.bench.now_ns)
                self.failed += 1
            else:
                worker.interrupted()
                self.suspects.append(frame)
        self._take_back()

    @precondition(lambda self: self.sent and len(self.at_hand) < WORKERS)
    @rule()
    def die_before_the_worker_has_noted_what_it_is_at(self) -> None:
        self.bench.begin(self._idle_worker(), self.sent.pop(0), is_noted=False)

        buried = self.bench.desk.bury()

        assert len(buried) == len(self.at_hand) + 1
        for worker, number, frame in buried:
            worker.interrupted()
            if frame is not None:
                assert self.given.pop(number) is frame
                self.suspects.append(frame)
        self._take_back()

    @invariant()
    def the_desk_says_what_waits(self) -> None:
        waiting = [*self.sent, *self.queue]
        head = self.sent[0][3] if self.sent else self.queue[0].received_ns if self.queue else 0

        assert len(self.bench.desk) == len(waiting)
        assert self.bench.desk.head_ns() == head
        assert self.bench.desk.waiting() == [*self.given.values(), *self.queue]
        assert self.bench.desk.is_done == (not self.given and not self.queue)
        assert self.bench.desk.is_out == bool(self.given)

    @invariant()
    def a_reader_says_where_each_message_is(self) -> None:
        stats = self.bench.stats()

        assert stats.backlog == len(self.sent) + len(self.queue) + len(self.suspects)
        assert stats.in_flight == len(self.at_hand)
        assert stats.delayed == len(self.delayed) + sum(self.unsaid.values())
        assert (stats.processed, stats.failed, stats.withdrawn) == (self.processed, self.failed, self.withdrawn)
        assert (stats.repeated, stats.recalled, stats.retried) == (self.repeated, self.recalled, self.retried)
        everything = stats.finished + stats.withdrawn + stats.backlog + stats.in_flight + stats.delayed
        assert everything == stats.enqueued + stats.repeated - stats.recalled

    def _idle_worker(self) -> int:
        return next(worker for worker in range(WORKERS) if worker not in self.at_hand)

    def _give(self, parcel: Parcel, frame: Frame) -> None:
        number, topic, body, received_ns, *noted = parcel
        assert number > max(self.given, default=0)
        assert (topic, body, received_ns, *noted) == (frame.topic, frame.body, frame.received_ns, 0, 0, False)
        self.given[number] = frame
        self.sent.append(parcel)

    def _take_back(self) -> None:
        """Expect what the process had to be in the queue again, before all others, and start another one."""
        self.queue[:0] = self.given.values()
        self.repeated += len(self.unsaid)
        self.recalled += sum(self.unsaid.values())
        self.given, self.sent, self.at_hand, self.unsaid = {}, [], {}, {}
        self.bench.start_process()


TestDeskModel = DeskModel.TestCase
TestDeskModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_process_is_given_as_much_as_it_does_in_a_twentieth_of_a_second(tmp_path: Path) -> None:
    with bench_in(tmp_path, workers=1) as bench:
        bench.put(200)
        sizes = []
        for took_ns in [5 * MS] * 20 + [MS // 10] * 200 + [500 * MS] * 40:
            _, parcels = bench.desk.batch()
            sizes.append(len(parcels))
            for parcel in parcels:
                bench.begin(0, parcel)
                bench.finish(0, took_ns=took_ns)
                bench.desk.settle([parcel[0]])
            bench.put(len(parcels))

    assert sizes[0] == 1, "as many as it has workers, until it is known how long they take"
    assert sizes[15] == 10
    assert sizes[200] == MAX_BATCH
    assert sizes[-1] == 1


def test_nothing_is_given_where_there_is_no_consumer_and_it_is_shown(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        bench.put(3)

        bench.desk.open(False)
        closed, shown = bench.desk.has_batch(), bench.stats().initialized
        bench.desk.open(True)

        assert (closed, shown) == (False, 0)
        assert (bench.desk.has_batch(), bench.stats().initialized) == (True, 1)


def test_a_message_is_overdue_when_its_worker_has_been_at_it_for_longer_than_it_may(tmp_path: Path) -> None:
    with bench_in(tmp_path, patience=2.0) as bench:
        bench.put(2)
        first, second = bench.desk.batch()[1]
        bench.begin(0, first)
        bench.now_ns += 1000 * MS
        bench.begin(1, second)
        began_ns = bench.now_ns

        found = [bench.desk.overdue(began_ns + after * MS) for after in (0, 900, 1100, 2100)]

    assert found == [[], [], [first[0]], [first[0], second[0]]]


def test_without_patience_nothing_is_overdue(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        bench.put(1)
        bench.begin(0, bench.desk.batch()[1][0])

        assert bench.desk.overdue(10**18) == []


def test_a_message_that_is_finished_has_nothing_to_answer_for(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        guilty, other = bench.put(2)
        bench.desk.deaths.update({guilty: 2, other: 1})
        first, _ = bench.desk.batch()[1]

        bench.desk.settle([first[0]])

    assert bench.desk.deaths == {other: 1}


def test_a_batch_of_large_messages_is_small(tmp_path: Path) -> None:
    with bench_in(tmp_path, workers=10) as bench:
        bench.desk.put([Frame(b"t", b"x" * (3 << 20), 1) for _ in range(10)])

        _, parcels = bench.desk.batch()

    assert len(parcels) == 2


@pytest.mark.parametrize("is_running", [True, False])
def test_a_poll_and_a_fetch_that_died_with_their_process_count_as_failed(tmp_path: Path, is_running: bool) -> None:
    with bench_in(tmp_path) as bench:
        producer, fetch = bench.process.producers[0], bench.process.fetches[0]
        producer.began(5)
        fetch.began()
        if not is_running:
            producer.ended(6, succeeded=True)
            fetch.ended()

        bench.start_process()

        snapshot = read(str(bench.segment.path))
    polls, fetches = snapshot.producers[0], snapshot.consumers[0]
    assert (polls.failures, polls.runs, polls.current_age) == (int(is_running), int(not is_running), 0)
    assert (fetches.fetch_errors, fetches.fetching) == (int(is_running), 0)


def test_a_process_notes_the_head_of_what_it_has_and_leaves_it_to_the_hub_to_count(tmp_path: Path) -> None:
    with bench_in(tmp_path) as bench:
        bench.put(2)
        bench.process.consumers[0].enqueued(2)
        bench.process.consumers[0].put(2, 77)
        bench.process.consumers[0].put(3, 0)

        assert (bench.stats().enqueued, bench.stats().sent_head_ns) == (2, 77)
