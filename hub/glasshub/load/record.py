# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has been seen of a hub and of its bus, from the first message to the last: the truth that the live view, the
picture and the report are made of.

Everything comes from two places: the hub's segment, read with `glasshub_stats`, and the bus's own count of what it has
published. In the shapes that have queues, what waits for a consumer is its backlog. In shape `inline` there is none:
messages wait inside of libzmq, which tells nobody how many they are. There the record takes what was published and not
yet taken, which only who has a bus of his own can know.

What a consumer should get is known for sure where it is known what the consumer subscribes to. Of a hub that others
publish for as well, and whose consumers' topics nobody tells, it is what the hub has put into its queue.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glasshub_stats import ConsumerInterval, Interval, Snapshot

from .bus import Published

#: Seconds over which rates and percentiles of the live view are taken.
_RECENT = 2.0


@dataclass(frozen=True)
class Point:
    """One consumer at one time.

    Attributes:
        time: On CLOCK_MONOTONIC.
        published: Messages that it should get, published so far.
        taken: Messages that it has begun with.
        finished: Messages that it is done with.
        waiting: Messages that wait for it.
        age: Seconds that the oldest of them has been waiting.
    """

    time: float
    published: int
    taken: int
    finished: int
    waiting: int
    age: float


class Record:
    """The points of every consumer, and the latest snapshots.

    Attributes:
        shape: Shape of dispatch.
        points: For each consumer, oldest first.
        published: What the bus last said.
        unseen: Most messages at a time that the bus had published and the hub had not received.
    """

    def __init__(
        self,
        shape: str,
        topics: Mapping[str, Sequence[str]],
        *,
        base: Snapshot | None = None,
        strict: bool = False,
    ) -> None:
        """Begin.

        Args:
            shape: Shape of dispatch.
            topics: What each consumer subscribes to, by its name; none where that is not known.
            base: What the hub had counted before, where others publish for it as well.
            strict: Whether a subscription is the whole topic.
        """
        self.shape = shape
        names = topics if base is None else [consumer.name for consumer in base.consumers]
        self.points: dict[str, list[Point]] = {name: [] for name in names}
        self.published = Published()
        self.unseen = 0
        self._topics = topics
        self._base = base
        self._strict = strict
        self._moved = 0.0
        self._arrived = 0.0
        self._counts: dict[str, list[int]] = {name: [] for name in names}
        self._recent: deque[Snapshot] = deque()

    @property
    def has_queues(self) -> bool:
        """Whether the hub itself knows what waits; shape `inline` does where it has a spool."""
        return self.shape != "inline" or any(snapshot.hub.spool for snapshot in self._recent)

    @property
    def snapshot(self) -> Snapshot:
        """The latest one."""
        return self._recent[-1]

    @property
    def interval(self) -> Interval:
        """What has happened just now."""
        return self._recent[-1].since(self._recent[0])

    @property
    def whole(self) -> Interval:
        """What has happened since the beginning."""
        return self.snapshot.since(self._base)

    @property
    def caught_up(self) -> bool:
        """Whether the load is over and nothing that was published is left to do.

        A hub that others publish for need not be without work at any moment: that all of the load is done is enough.
        """
        if not self.published.spike_ended:
            return False
        if self._base is not None:
            return self._arrived > 0 and all(self.caught_up_after(name) is not None for name in self.points)
        return all(points and points[-1].finished >= points[-1].published for points in self.points.values())

    @property
    def is_idle(self) -> bool:
        """Whether the hub has nothing to do for any consumer."""
        return not any(c.backlog + c.in_flight + c.delayed for c in self.snapshot.consumers)

    @property
    def standstill(self) -> float:
        """Seconds since any consumer was last done with a message."""
        return self.snapshot.taken_ns / 1e9 - self._moved

    def add(self, snapshot: Snapshot, published: Published) -> None:
        """Take one look at both; `published` is what the bus said last before or after the snapshot was taken."""
        now = snapshot.taken_ns / 1e9
        self.published = published
        self._recent.append(snapshot)
        while len(self._recent) > 2 and now - self._recent[1].taken_ns / 1e9 >= _RECENT:
            self._recent.popleft()
        whole = self.whole
        self.unseen = max(self.unseen, published.total - whole.hub.received)
        if published.spike_ended and not self._arrived and whole.hub.received >= published.total:
            self._arrived = now
        for name, points in self.points.items():
            points.append(self._point(whole.consumer(name), now))
            if len(points) == 1 or points[-1].finished > points[-2].finished:
                self._moved = now
            self._counts[name].append(points[-1].published)

    def wanted(self, consumer: ConsumerInterval) -> int:
        """How many messages the consumer should get of those published, by what has happened since the beginning."""
        if self._base is not None:
            return consumer.enqueued
        return self.published.wanted_by(self._topics[consumer.name], strict=self._strict)

    def peak(self, name: str) -> int:
        """Most messages that waited for the consumer at a time: what the hub saw, where that is not older than us."""
        sampled = max((point.waiting for point in self.points[name]), default=0)
        is_ours = self.has_queues and self._base is None
        return self.snapshot.consumer(name).watermark if is_ours else sampled

    def caught_up_after(self, name: str) -> float | None:
        """Seconds from the end of the load until the consumer was done with all of it; None if it never was.

        A hub hands messages on in the order in which they came: all of the load is done when the consumer has
        finished as many messages as had been published by then.
        """
        end = self.published.spike_ended
        points = self.points[name]
        if not end or not points:
            return None
        counted = end + _SLACK if self._base is None else self._arrived
        by_the_end = max((point.published for point in points if point.time <= counted), default=0)
        done = next((p.time for p in points if p.time >= end and p.finished >= by_the_end), None)
        return None if done is None else done - end

    def _point(self, consumer: ConsumerInterval, now: float) -> Point:
        published = self.wanted(consumer)
        if self.has_queues:
            waiting, age = consumer.now.backlog, consumer.now.oldest_age
        else:
            waiting = max(published - consumer.dequeued, 0)
            age = self._age(consumer.name, consumer.dequeued, now) if waiting else 0.0
        return Point(now, published, consumer.dequeued, consumer.finished, waiting, age)

    def _age(self, name: str, taken: int, now: float) -> float:
        """How long ago the first message that is not taken yet was published."""
        first = bisect.bisect_right(self._counts[name], taken)
        points = self.points[name]
        return now - points[first].time if first < len(points) else 0.0


#: The bus reports what it has published 20 times a second, so that the count of the load may come this much after it.
_SLACK = 0.2
