# SPDX-License-Identifier: LGPL-2.1-or-later
"""What came out of one run: the figures of the report, and nothing that needs the run any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glasshub_stats import ConsumerInterval, Histogram

from .record import Point, Record


@dataclass(frozen=True)
class Times:
    """A distribution of durations, in seconds; NaN when there is none."""

    p50: float
    p95: float
    p99: float = math.nan


@dataclass(frozen=True)
class ConsumerOutcome:
    """One consumer in one run.

    Attributes:
        name: The consumer.
        published: Messages that it should get.
        processed, failed, invalid, dropped: What the hub counted.
        left: What the hub had, and had not done when it stopped, or was looked at last.
        aside: What the hub counted otherwise: duplicates, discarded, parked, withdrawn by the consumer itself.
        injected: What came to the consumer otherwise than from the bus.
        service_rate: Messages a second that it was done with while others waited; NaN if none ever did.
        mean: Mean time in the consumer.
        workers: How many it has.
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
    aside: int = 0
    injected: int = 0
    service_rate: float = math.nan
    mean: float = math.nan
    workers: int = 1

    @property
    def accounted_for(self) -> int:
        """Messages of the bus of which we know what became of them."""
        counted = self.processed + self.failed + self.invalid + self.dropped + self.left + self.aside
        return counted - self.injected

    @property
    def is_balanced(self) -> bool:
        """Whether that is all of them, and none twice."""
        return self.published == self.accounted_for


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        shape: Shape of dispatch.
        published: Messages on the bus that somebody wants.
        received: Messages that the hub got.
        unwanted: Messages that were published as well, and nobody subscribes to.
        spike_began: When, on CLOCK_MONOTONIC.
        spike_seconds: How long it took to publish; longer than planned if the machine could not keep up.
        unseen: Most messages at a time that were published and that the hub had not received yet; to a few, for the
            bus reports 20 times a second.
        consumers: Each consumer.
        points: What they looked like over time.
        collectd: Whether a collectd watched.
        computing: Part of the consumers' time that was computing; NaN where nobody measured it.
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
    received: int = 0
    unwanted: int = 0
    collectd: bool = False
    computing: float = math.nan
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
    whole = record.whole
    return Outcome(
        shape=record.shape,
        published=published.total,
        spike_began=published.spike_began,
        spike_seconds=published.spike_ended - published.spike_began,
        unseen=record.unseen,
        consumers=tuple(_outcome_of(record, consumer) for consumer in whole.consumers if consumer.now.initialized),
        points={name: _thinned(points) for name, points in record.points.items()},
        received=whole.hub.received,
        unwanted=published.unwanted,
    )


def _outcome_of(record: Record, consumer: ConsumerInterval) -> ConsumerOutcome:
    points, now = record.points[consumer.name], consumer.now
    return ConsumerOutcome(
        name=consumer.name,
        published=record.wanted(consumer),
        processed=consumer.processed,
        failed=consumer.failed,
        invalid=consumer.invalid,
        dropped=consumer.dropped,
        left=now.backlog + now.in_flight + now.delayed,
        peak_backlog=record.peak(consumer.name),
        peak_age=max((point.age for point in points), default=0.0),
        caught_up_after=record.caught_up_after(consumer.name),
        wait=_times(consumer.wait) if record.has_queues else None,
        processing=_times(consumer.processing),
        aside=consumer.duplicates + consumer.discarded + consumer.parked + consumer.withdrawn,
        injected=consumer.injected,
        service_rate=service_rate(points),
        mean=consumer.processing.mean,
        workers=now.workers,
    )


def service_rate(points: Sequence[Point], fewest: int = 10) -> float:
    """Messages a second that a consumer is done with while it is behind; NaN where that were too few to tell.

    It was behind between two looks if no more was done in between than had waited at the first.
    """
    done, seconds = 0, 0.0
    for before, after in zip(points, points[1:]):
        finished = after.finished - before.finished
        if 0 < finished <= before.waiting and after.waiting:
            done += finished
            seconds += after.time - before.time
    return done / seconds if done >= fewest else math.nan


def _times(histogram: Histogram) -> Times:
    return Times(*(histogram.percentile(percent) for percent in (50, 95, 99)))


def _thinned(points: Sequence[Point], most: int = 600) -> Sequence[Point]:
    """So many points are enough for a picture; of those that go together the one with most waiting stays."""
    size = max(math.ceil(len(points) / most), 1)
    return [max(points[i : i + size], key=lambda point: point.waiting) for i in range(0, len(points), size)]
