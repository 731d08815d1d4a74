# SPDX-License-Identifier: LGPL-2.1-or-later
"""A shape of dispatch with fake consumers, a real segment behind it, and nothing in front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import glasshub_stats
from glasshub.config import DROP_OLDEST
from glasshub.consumer import BoundConsumer
from glasshub.dispatch import SHAPES, Shape, Station
from glasshub.message import Frame
from glasshub.stats import ConsumerRow, SegmentWriter
from glasshub_stats import ConsumerStats, Snapshot

from ..fakes import PATIENCE, BlockingConsumer


@dataclass
class Seat:
    """A consumer, and what the configuration says of it."""

    name: str
    consumer: BoundConsumer
    workers: int = 1
    group: str = ""
    capacity: int = 0
    policy: str = DROP_OLDEST


class Rig:
    """The shape, and what the segment says of it.

    Attributes:
        shape: The shape.
        segment: Its segment.
    """

    def __init__(self, path: Path, shape: str, seats: Sequence[Seat], *, memory: int = 0) -> None:
        kind = SHAPES[shape]
        rows = [ConsumerRow(seat.name, kind.workers_of(seat.workers), True) for seat in seats]
        self.segment = SegmentWriter(path, rows, name="rig", version="1", shape=shape, source="memory")
        self.stations = [
            Station(
                seat.name,
                seat.consumer,
                self.segment.consumers[i],
                self.segment.injections[i],
                self.segment.workers[i],
                self.segment.drops[i],
                group=seat.group,
                capacity=seat.capacity,
                policy=seat.policy,
            )
            for i, seat in enumerate(seats)
        ]
        self.shape: Shape = kind(self.stations, self.segment, memory=memory)
        self._everybody = tuple(range(len(seats)))

    def publish(self, *frames: Frame, to: Sequence[int] | None = None) -> None:
        """Dispatch messages to all consumers, or to some of them."""
        interested = self._everybody if to is None else tuple(to)
        self.shape.dispatch([(frame, interested) for frame in frames])

    def finish(self) -> None:
        """Let the workers finish the backlog, and wait for them; and do what the enqueuer would have to do."""
        while self.shape.turn():
            pass
        self.shape.close()
        assert self.shape.join(PATIENCE), "workers do not end"

    def snapshot(self) -> Snapshot:
        """What a reader of the segment sees now."""
        return glasshub_stats.read(str(self.segment.path))

    def stats(self, consumer: int = 0) -> ConsumerStats:
        """What a reader of the segment sees of one consumer now."""
        return self.snapshot().consumers[consumer]


@contextmanager
def running(path: Path, shape: str, *seats: Seat, memory: int = 0) -> Iterator[Rig]:
    """A rig whose workers run, and have ended at the end of the context; who blocks is released then."""
    rig = Rig(path, shape, seats, memory=memory)
    rig.shape.start()
    try:
        yield rig
    finally:
        rig.shape.end_waits()
        rig.shape.stop()
        for seat in seats:
            if isinstance(seat.consumer, BlockingConsumer):
                seat.consumer.release.set()
        rig.shape.join(PATIENCE)
        rig.segment.close()
