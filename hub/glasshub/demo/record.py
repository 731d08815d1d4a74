# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the demo has seen of a hub and of its bus, from the first message to the last: the truth that the live view,
the picture and the report are made of.

Everything comes from two places: the hub's segment, read with `glasshub_stats`, and the bus's own count of what it has
published. In the shapes that have queues, what waits for a consumer is its backlog. In shape `inline` there is none:
messages wait inside of libzmq, which tells nobody how many they are. There the record takes what was published and not
yet taken, which only this demo can know, because its bus is its own.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from glasshub_stats import Interval, Snapshot

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

    def __init__(self, shape: str, topics: Mapping[str, tuple[str, ...]]) -> None:
        """Begin.

        Args:
            shape: Shape of dispatch.
            topics: What each consumer subscribes to, by its name.
        """
        self.shape = shape
        self.points: dict[str, list[Point]] = {name: [] for name in topics}
        self.published = Published()
        self.unseen = 0
        self._topics = topics
        self._moved = 0.0
        self._counts: dict[str, list[int]] = {name: [] for name in topics}
        self._recent: deque[Snapshot] = deque()

    @property
    def has_queues(self) -> bool:
        """Whether the hub itself knows what waits."""
        return self.shape != "inline"

    @property
    def snapshot(self) -> Snapshot:
        """The latest one."""
        return self._recent[-1]

    @property
    def interval(self) -> Interval:
        """What has happened just now."""
        return self._recent[-1].since(self._recent[0])

    @property
    def caught_up(self) -> bool:
        """Whether the spike is over and nothing that was published is left to do."""
        is_idle = all(points and points[-1].finished >= points[-1].published for points in self.points.values())
        return is_idle and self.published.spike_ended > 0

    @property
    def standstill(self) -> float:
        """Seconds since any consumer was last done with a message."""
        return self.snapshot.taken_ns / 1e9 - self._moved

    def add(self, snapshot: Snapshot, published: Published) -> None:
        """Take one look at both; `published` is what the bus said last before or after the snapshot was taken."""
        now = snapshot.taken_ns / 1e9
        self.published = published
        self.unseen = max(self.unseen, published.total - snapshot.hub.received)
        self._recent.append(snapshot)
        while len(self._recent) > 2 and now - self._recent[1].taken_ns / 1e9 >= _RECENT:
            self._recent.popleft()
        for name, points in self.points.items():
            points.append(self._point(name, now))
            if len(points) == 1 or points[-1].finished > points[-2].finished:
                self._moved = now
            self._counts[name].append(points[-1].published)

    def wanted(self, name: str) -> int:
        """How many messages the consumer should get of those published."""
        return self.published.wanted_by(self._topics[name])

    def caught_up_after(self, name: str) -> float | None:
        """Seconds from the end of the spike until the consumer was done with all of it; None if it never was.

        A hub hands messages on in the order in which they came: all of the spike is done when the consumer has
        finished as many messages as had been published by then.
        """
        end = self.published.spike_ended
        points = self.points[name]
        if not end or not points:
            return None
        by_the_end = max((point.published for point in points if point.time <= end + _SLACK), default=0)
        done = next((p.time for p in points if p.time >= end and p.finished >= by_the_end), None)
        return None if done is None else done - end

    def _point(self, name: str, now: float) -> Point:
        consumer = self.snapshot.consumer(name)
        published = self.wanted(name)
        if self.has_queues:
            waiting, age = consumer.backlog, consumer.oldest_age
        else:
            waiting = max(published - consumer.dequeued, 0)
            age = self._age(name, consumer.dequeued, now) if waiting else 0.0
        return Point(now, published, consumer.dequeued, consumer.finished, waiting, age)

    def _age(self, name: str, taken: int, now: float) -> float:
        """How long ago the first message that is not taken yet was published."""
        first = bisect.bisect_right(self._counts[name], taken)
        points = self.points[name]
        return now - points[first].time if first < len(points) else 0.0


#: The bus reports what it has published 20 times a second, so that the count of the spike may come this much after it.
_SLACK = 0.2
