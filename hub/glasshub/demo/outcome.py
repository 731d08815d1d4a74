# SPDX-License-Identifier: LGPL-2.1-or-later
"""What came out of one run: the figures of the report, and nothing that needs the run any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glasshub_stats import ConsumerStats, Histogram

from .record import Point, Record


@dataclass(frozen=True)
class Times:
    """A distribution of durations, in seconds; NaN when there is none."""

    p50: float
    p95: float


@dataclass(frozen=True)
class ConsumerOutcome:
    """One consumer in one run.

    Attributes:
        name: The consumer.
        published: Messages that it should get.
        processed, failed, invalid, dropped: What the hub counted.
        left: What the hub had, and had not done when it stopped.
        peak_backlog: Most messages that waited for it.
        peak_age: Longest that the oldest waiting message had waited, in seconds.
        caught_up_after: Seconds from the end of the spike; None if it did not catch up.
        wait: Time in the queue; None in shape `inline`, which has none.
        processing: Time in the consumer.
    """

    name: str
    published: int
    processed: int
    failed: int
    invalid: int
    dropped: int
    left: int
    peak_backlog: int
    peak_age: float
    caught_up_after: float | None
    wait: Times | None
    processing: Times

    @property
    def accounted_for(self) -> int:
        """Messages of which we know what became of them."""
        return self.processed + self.failed + self.invalid + self.dropped + self.left

    @property
    def is_balanced(self) -> bool:
        """Whether that is all of them, and none twice."""
        return self.published == self.accounted_for


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        shape: Shape of dispatch.
        published: Messages on the bus.
        spike_began: When, on CLOCK_MONOTONIC.
        spike_seconds: How long it took to publish; longer than planned if the machine could not keep up.
        unseen: Most messages at a time that were published and that the hub had not received yet; to a few, for the
            bus reports 20 times a second.
        consumers: Each consumer.
        points: What they looked like over time.
        collectd: Whether a collectd watched.
        remarks: What did not go as it might have.
        pictures: Files.
    """

    shape: str
    published: int
    spike_began: float
    spike_seconds: float
    unseen: int
    consumers: tuple[ConsumerOutcome, ...]
    points: dict[str, Sequence[Point]]
    collectd: bool = False
    remarks: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        """Beginning and end of the record, in seconds from the beginning of the spike."""
        begun = min(points[0].time for points in self.points.values())
        ended = max(points[-1].time for points in self.points.values())
        return begun - self.spike_began, ended - self.spike_began

    @property
    def is_balanced(self) -> bool:
        """Whether every message is accounted for at every consumer."""
        return all(consumer.is_balanced for consumer in self.consumers)


def outcome_of(record: Record) -> Outcome:
    """What came out of a run that is over: its last snapshot is of a hub that has stopped."""
    published = record.published
    return Outcome(
        shape=record.shape,
        published=published.total,
        spike_began=published.spike_began,
        spike_seconds=published.spike_ended - published.spike_began,
        unseen=record.unseen,
        consumers=tuple(_outcome_of(record, consumer) for consumer in record.snapshot.consumers),
        points={name: _thinned(points) for name, points in record.points.items()},
    )


def _outcome_of(record: Record, consumer: ConsumerStats) -> ConsumerOutcome:
    points = record.points[consumer.name]
    sampled = max((point.waiting for point in points), default=0)
    return ConsumerOutcome(
        name=consumer.name,
        published=record.wanted(consumer.name),
        processed=consumer.processed,
        failed=consumer.failed,
        invalid=consumer.invalid,
        dropped=consumer.dropped,
        left=consumer.backlog + consumer.in_flight,
        peak_backlog=consumer.watermark if record.has_queues else sampled,
        peak_age=max((point.age for point in points), default=0.0),
        caught_up_after=record.caught_up_after(consumer.name),
        wait=_times(consumer.wait) if record.has_queues else None,
        processing=_times(consumer.processing),
    )


def _times(histogram: Histogram) -> Times:
    return Times(histogram.percentile(50), histogram.percentile(95))


def _thinned(points: Sequence[Point], most: int = 600) -> Sequence[Point]:
    """So many points are enough for a picture; of those that go together the one with most waiting stays."""
    size = max(math.ceil(len(points) / most), 1)
    return [max(points[i : i + size], key=lambda point: point.waiting) for i in range(0, len(points), size)]
