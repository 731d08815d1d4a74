# SPDX-License-Identifier: LGPL-2.1-or-later
"""A live segment with known figures, for the tests of those who read one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glasshub.segment import ConsumerRow, ProducerRow, SegmentWriter
from glasshub.stats import Outcome

ROWS = (
    ConsumerRow("datanommer", 1, True),
    ConsumerRow("badges", 2, True),
    ConsumerRow("ircbot", 1, False),
)
MS = 1_000_000


@contextmanager
def live_segment(
    path: Path,
    consumers: Sequence[ConsumerRow] = ROWS,
    *,
    producers: Sequence[ProducerRow] = (),
    name: str = "fedmsg-hub",
    phase: str = "running",
    shape: str = "threads",
) -> Iterator[SegmentWriter]:
    """The segment of a hub that lives for as long as the context lasts."""
    writer = SegmentWriter(path, consumers, producers=producers, name=name, version="1.2", shape=shape, source="zmq")
    try:
        writer.phase(phase)
        writer.enqueuer.source(endpoints=2, connected=2, disconnects=0, errors=0)
        writer.enqueuer.beat(time.monotonic_ns())
        yield writer
    finally:
        writer.close()


def work(
    writer: SegmentWriter,
    consumer: int,
    *,
    enqueued: int,
    processed: int,
    failed: int = 0,
    in_flight: int = 0,
    wait_ns: int = 5 * MS,
    took_ns: int = 2 * MS,
) -> None:
    """Let a consumer's first worker go through some messages; the rest of `enqueued` stays in its queue."""
    slots, queue = writer.workers[consumer][0], writer.consumers[consumer]
    now_ns = time.monotonic_ns()
    writer.enqueuer.received(enqueued, 100 * enqueued)
    queue.enqueued(enqueued)
    queue.put(enqueued, now_ns - 3000 * MS)
    for number in range(processed + failed):
        slots.began(now_ns - wait_ns, now_ns, now_ns - 3000 * MS)
        slots.finished(Outcome.PROCESSED if number < processed else Outcome.FAILED, now_ns + took_ns)
    for slots in writer.workers[consumer][:in_flight]:
        slots.began(now_ns - wait_ns, now_ns, now_ns - 3000 * MS)


def tell(
    writer: SegmentWriter,
    *,
    ready: int = 0,
    asked_ns: int | None = None,
    unacknowledged: int = 12,
    is_consuming: bool = True,
) -> None:
    """Write what a broker says of the queues of the first two consumers: so much waits in that of the first one.

    Args:
        writer: The segment.
        ready: How much.
        asked_ns: When it was asked; now if nobody says so.
        unacknowledged: What the hub has of each.
        is_consuming: Whether the first one is consumed.
    """
    asked_ns = time.monotonic_ns() if asked_ns is None else asked_ns
    for number, waiting in ((0, ready), (1, 0)):
        writer.consumers[number].broker(
            consuming=is_consuming or number == 1,
            ready=waiting,
            asked_ns=asked_ns,
            hubs=2,
            unacknowledged=unacknowledged,
            prefetch=20,
            redelivered=3,
        )
    writer.enqueuer.broker(
        queues=2,
        consuming=1 + is_consuming,
        ready=ready,
        asked_ns=asked_ns,
        unacknowledged=2 * unacknowledged,
        redelivered=6,
        faults=1,
        blocked=False,
    )
