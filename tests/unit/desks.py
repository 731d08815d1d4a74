# SPDX-License-Identifier: LGPL-2.1-or-later
"""A desk with a real segment, and with nothing of a worker process but what it writes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasshub.failure import Aftercare, Care, RetryPolicy
from glasshub.message import Frame
from glasshub.processes import Desk
from glasshub.processes.desk import Parcel
from glasshub.queues import Bell
from glasshub.segment import AttachedSegment, ConsumerRow, ProducerRow, SegmentWriter
from glasshub.stats import Outcome
from glasshub_stats import ConsumerStats, read

from .aftercare import KeptAftercare

WORKERS = 3
MS = 1_000_000


class Bench:
    """A desk, its segment, and as much of a worker process as the two see of it."""

    def __init__(
        self,
        path: Path,
        workers: int = WORKERS,
        patience: float = 0.0,
        *,
        bell: Bell | None = None,
        aftercare: Aftercare | None = None,
    ) -> None:
        rows = [ConsumerRow("badges", workers, True)]
        self.segment = SegmentWriter(
            path, rows, producers=[ProducerRow("p", True)], name="h", version="1", shape="processes", source="memory"
        )
        care = Care(0, RetryPolicy(), aftercare or KeptAftercare())
        self.desk = Desk(bell or Bell(), self.segment.books[0], workers, care, max_deaths=3, patience=patience)
        self.desk.open(True)
        self.made = 0
        self.now_ns = 1
        self.start_process()

    def start_process(self) -> None:
        """Have a process take the place of the one before."""
        self.process = AttachedSegment(self.segment.path, [0], [0])
        self.workers = self.process.workers[0]

    def put(self, count: int) -> list[Frame]:
        """Enqueue messages."""
        frames = [Frame(b"org.test", b"%d" % number, number) for number in range(self.made + 1, self.made + 1 + count)]
        self.made += count
        self.segment.consumers[0].enqueued(count)
        self.desk.put(frames)
        return frames

    def begin(self, worker: int, parcel: Parcel, *, is_noted: bool = True) -> None:
        """Have a worker take a message."""
        self.now_ns += MS
        self.workers[worker].began(parcel[3], self.now_ns, 0)
        if is_noted:
            self.workers[worker].at(parcel[0])

    def finish(self, worker: int, outcome: Outcome = Outcome.PROCESSED, took_ns: int = MS) -> None:
        """Have a worker finish the message at hand."""
        self.now_ns += took_ns
        self.workers[worker].finished(outcome, self.now_ns)

    def stats(self) -> ConsumerStats:
        """What a reader sees."""
        return read(str(self.segment.path)).consumers[0]

    def close(self) -> None:
        """Give the segment back."""
        self.segment.close()


@contextmanager
def bench_in(directory: Path, workers: int = WORKERS, patience: float = 0.0) -> Iterator[Bench]:
    """A bench for as long as the context lasts."""
    bench = Bench(directory / "h.stats", workers, patience)
    try:
        yield bench
    finally:
        bench.close()
