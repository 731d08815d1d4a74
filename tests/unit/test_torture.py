# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading a segment as fast as it is written: no reader ever sees what never was.

The writer is a process with an enqueuer, three workers and a producer, each in its thread, that do nothing but count;
they keep the queues almost empty, where a reader that looks in the wrong order sees more messages taken than put. Each
message of the enqueuer follows two that are injected, one of which the consumer takes by itself. Every wait,
every processing and every poll takes the same time, so that the sums give a reading away that mixes two instants. A
thread that is interrupted inside of an update has counted its message and may not have added its time yet: sums may be
that one message behind, and never more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import glasshub_stats
from glasshub.segment import ConsumerRow, ProducerRow, SegmentWriter
from glasshub.stats import Outcome, ProducerSlots, WorkerSlots
from glasshub_stats import ConsumerStats, ProducerStats, Snapshot

from ..fakes import PATIENCE, wait_until

#: Workers of each consumer.
WORKERS = {"alone": 1, "pair": 2}

WAIT_NS, TOOK_NS = 3000, 7000
OUTCOMES = (Outcome.PROCESSED, Outcome.DUPLICATE, Outcome.FAILED, Outcome.INVALID)

#: What never goes back.
COUNTED = ["enqueued", "injected", "withdrawn", "watermark", "dequeued", "wait_ns", "processing_ns"]
COUNTED += ["processed", "failed", "invalid", "duplicates"]

#: Seconds for which each reader reads.
LENGTH = 2.0


def write_in_one_thread(path: str) -> None:
    """Count as fast as it goes, for ever: messages for each worker in turn, and a poll."""
    writer = _segment(path)
    poller = _Poller(writer.producers[0])
    queues = [_Queue(writer, consumer) for consumer in range(len(WORKERS))]
    while True:
        for queue in queues:
            for own in queue.taken:
                queue.put(1)
                own.take()
                own.take()
                own.finish()
        poller.poll()


def write_in_threads(path: str) -> None:
    """Count for ever, in as many threads as a hub has, which take turns as often as Python lets them."""
    writer = _segment(path)
    sys.setswitchinterval(1e-5)
    queues = [_Queue(writer, consumer) for consumer in range(len(WORKERS))]
    for queue in queues:
        for worker in range(len(queue.workers)):
            threading.Thread(target=_work, args=(queue, worker), daemon=True).start()
    threading.Thread(target=_poll, args=(writer.producers[0],), daemon=True).start()
    while True:
        for queue in queues:
            waiting = queue.total - sum(slots.dequeued for slots in queue.workers)
            if waiting < 2 * len(queue.workers):
                queue.put(waiting + 1)


def _segment(path: str) -> SegmentWriter:
    rows = [ConsumerRow(name, workers, True) for name, workers in WORKERS.items()]
    writer = SegmentWriter(
        Path(path),
        rows,
        producers=[ProducerRow("poller", True)],
        name="torture",
        version="1",
        shape="threads",
        source="memory",
    )
    writer.phase("running")
    return writer


class _Queue:
    """One consumer's queue, of which there are but the counts.

    Attributes:
        workers: The slots of its workers.
        taken: What each of them does with its messages.
        total: Messages put that are there for the workers.
    """

    def __init__(self, writer: SegmentWriter, consumer: int) -> None:
        self._bus = writer.consumers[consumer]
        self._inlet = writer.injections[consumer]
        self.workers = writer.workers[consumer]
        self.taken = [_Taken(slots) for slots in self.workers]
        self.total = 0

    def put(self, depth: int) -> None:
        """Put two messages from elsewhere, one of which the consumer takes by itself, and one from the bus."""
        self._inlet.injected(2)
        self._inlet.put(depth, 1)
        self._inlet.withdrew(1)
        self._bus.enqueued(1)
        self._bus.put(depth, 1)
        self.total += 2


def _work(queue: _Queue, worker: int) -> None:
    """Take every message that is this worker's turn."""
    own, slots, colleagues = queue.taken[worker], queue.workers[worker], len(queue.workers)
    while True:
        while slots.dequeued * colleagues + worker < queue.total:
            own.take()
        own.finish()


def _poll(slots: ProducerSlots) -> None:
    poller = _Poller(slots)
    while True:
        poller.poll()


class _Poller:
    """A producer's polls, each of which takes as long as any other."""

    def __init__(self, slots: ProducerSlots) -> None:
        self._slots = slots
        self._now_ns = 10**9

    def poll(self) -> None:
        """Count a poll from its beginning to its end."""
        self._slots.began(self._now_ns)
        self._now_ns += TOOK_NS
        self._slots.ended(self._now_ns, succeeded=self._now_ns % (2 * TOOK_NS) == 0)


class _Taken:
    """A worker's messages, each of which has waited, and takes, for as long as any other."""

    def __init__(self, slots: WorkerSlots) -> None:
        self._slots = slots
        self._now_ns = 10**9
        self._outcome: Outcome | None = None

    def take(self) -> None:
        """Finish the message at hand, if there is one, and take the next, as `Runner.serve` does."""
        self._slots.turned(self._outcome, self._now_ns, self._now_ns - WAIT_NS, 0)
        self._outcome = OUTCOMES[self._slots.dequeued % len(OUTCOMES)]
        self._now_ns += TOOK_NS

    def finish(self) -> None:
        """Finish the message at hand, if there is one."""
        if self._outcome is not None:
            self._slots.finished(self._outcome, self._now_ns)
            self._outcome = None


def read(path: str, seconds: float) -> None:
    """Read as fast as it goes, and print what was wrong."""
    judge = Judge()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        judge.look(glasshub_stats.read(path))
    sys.stdout.write(json.dumps(vars(judge.report)))


class Report:
    """What a reader has found.

    Attributes:
        reads: Snapshots taken.
        moved: Those between which and the one before something was counted.
        wrong: What was wrong, how often.
    """

    def __init__(self) -> None:
        self.reads = self.moved = 0
        self.wrong: dict[str, int] = {}


class Judge:
    """Looks at one snapshot after the other for what cannot be."""

    def __init__(self) -> None:
        self.report = Report()
        self._before: Snapshot | None = None

    def look(self, snapshot: Snapshot) -> None:
        """Judge one snapshot by itself, and by the one before."""
        before, self._before = self._before, snapshot
        self.report.reads += 1
        for consumer in snapshot.consumers:
            self._judge(consumer)
        for producer in snapshot.producers:
            self._judge_producer(producer)
        if before is not None:
            self.report.moved += self._finished(snapshot) > self._finished(before)
            for old, new in zip(before.consumers, snapshot.consumers):
                self._compare(old, new)
            for poller, later in zip(before.producers, snapshot.producers):
                self._compare_producers(poller, later)
            self._judge_interval(snapshot, before)

    def _judge(self, now: ConsumerStats) -> None:
        self._expect(now.enqueued >= now.dequeued + now.withdrawn, "more taken than put")
        self._expect(0 <= now.dequeued - now.finished <= WORKERS[now.name], "not one message in flight for a worker")
        accounted = now.backlog + now.dropped + now.withdrawn + now.in_flight + now.finished
        self._expect(now.enqueued == accounted, "messages unaccounted for")
        waits, times = now.wait_ns // WAIT_NS, now.processing_ns // TOOK_NS
        self._expect(0 <= now.dequeued - waits <= WORKERS[now.name], "waits that are not those of the messages taken")
        self._expect(0 <= now.finished - times <= WORKERS[now.name], "times that are not those of messages finished")
        self._expect(now.wait_ns % WAIT_NS == now.processing_ns % TOOK_NS == 0, "a part of a message's time")
        self._expect(now.watermark <= 2 * WORKERS[now.name], "a number that was never written")

    def _judge_producer(self, now: ProducerStats) -> None:
        polls = now.runs + now.failures
        self._expect(0 <= now.running_ns // TOOK_NS - polls <= 1, "times that are not those of the polls finished")
        self._expect(now.running_ns % TOOK_NS == 0, "a part of a poll's time")
        self._expect(now.last_duration_ns in (0, TOOK_NS), "a duration that was never written")
        self._expect(now.started_ns in (0, now.last_run_ns), "a poll that never began")

    def _compare_producers(self, old: ProducerStats, new: ProducerStats) -> None:
        for name in ("runs", "failures", "running_ns", "last_run_ns", "last_success_ns"):
            self._expect(getattr(new, name) >= getattr(old, name), f"{name} went back")

    def _compare(self, old: ConsumerStats, new: ConsumerStats) -> None:
        for name in COUNTED:
            self._expect(getattr(new, name) >= getattr(old, name), f"{name} went back")
        # Histograms are not of the same instant: their place is between the readings before and after.
        self._expect(old.dequeued - WORKERS[new.name] <= new.wait.count, "fewer waits than messages taken before")
        self._expect(old.wait.count <= new.dequeued, "more waits than messages taken afterwards")
        self._expect(old.finished - WORKERS[new.name] <= new.processing.count, "fewer times than finished messages")
        self._expect(old.processing.count <= new.finished, "more times than messages finished afterwards")

    def _judge_interval(self, snapshot: Snapshot, before: Snapshot) -> None:
        for part in snapshot.since(before).consumers:
            rates = (part.enqueue_rate, part.dequeue_rate, part.processing_rate, part.busy)
            self._expect(min(rates) >= 0, "a negative rate")
            self._expect(min([*part.wait.counts, *part.processing.counts, 0]) == 0, "a bucket went back")

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.report.wrong[otherwise] = self.report.wrong.get(otherwise, 0) + 1

    @staticmethod
    def _finished(snapshot: Snapshot) -> int:
        return sum(consumer.finished for consumer in snapshot.consumers)


def started(function: str, *arguments: object) -> subprocess.Popen[str]:
    """A function of this module in a process of its own."""
    code = f"import {__name__} as here; here.{function}(*{arguments!r})"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path(__file__).parents[2])]),
    }
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


@contextmanager
def writing(function: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A writer that counts, for as long as the context lasts."""
    writer = started(function, str(path))
    try:
        wait_until(path.exists, "the writer's segment")
        wait_until(lambda: glasshub_stats.read(str(path)).consumer("pair").finished, "the writer's first message")
        yield writer
    finally:
        writer.kill()
        writer.communicate(timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["write_in_one_thread", "write_in_threads"])
def test_no_reader_ever_sees_what_never_was(tmp_path: Path, function: str) -> None:
    path = tmp_path / "torture.stats"
    with writing(function, path):
        readers = [started("read", str(path), LENGTH) for _ in range(3)]
        outputs = [reader.communicate(timeout=60)[0] for reader in readers]

    reports: list[dict[str, Any]] = [json.loads(output) for output in outputs]
    assert [report["wrong"] for report in reports] == [{}] * 3, reports
    assert all(report["moved"] > 20 for report in reports), "nothing moved between the readings: they prove nothing"
