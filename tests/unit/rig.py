# SPDX-License-Identifier: LGPL-2.1-or-later
"""A shape of dispatch with fake consumers, a real segment behind it, and nothing in front."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import glasshub_stats
from glasshub.config import BLOCK, DROP_OLDEST
from glasshub.consumer import BoundConsumer
from glasshub.dispatch import PROCESSES, SHAPES, Shape, SpooledShape, Station
from glasshub.failure import Aftercare, RetryPolicy
from glasshub.message import Frame
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.spool import Log
from glasshub_stats import ConsumerStats, Snapshot

from ..fakes import PATIENCE, BlockingConsumer, wait_until


@dataclass
class Seat:
    """A consumer, and what the configuration says of it."""

    name: str
    consumer: BoundConsumer
    workers: int = 1
    group: str = ""
    capacity: int = 0
    policy: str = DROP_OLDEST
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    capacity_bytes: int = 0


#: The shapes that have their consumers where the hub is, as those of a test are.
IN_PROCESS = tuple(shape for shape in SHAPES if shape != PROCESSES)

#: What makes a spooled shape of a shape's name.
SPOOLED = "+spool"

every_shape = pytest.mark.parametrize("shape", [*IN_PROCESS, *[name + SPOOLED for name in IN_PROCESS]])
#: Those that have a queue of ours.
queueing_shape = pytest.mark.parametrize("shape", ["shared", "threads", "shared" + SPOOLED, "threads" + SPOOLED])
#: Those of which the messages of the bus are in memory.
memory_shape = pytest.mark.parametrize("shape", ["shared", "threads"])


class Rig:
    """The shape, and what the segment says of it.

    Attributes:
        shape: The shape.
        segment: Its segment.
        is_halted: Whether a consumer wanted the hub to stop.
        exit_code: What it wanted the hub to exit with.
    """

    def __init__(
        self,
        path: Path,
        shape: str,
        seats: Sequence[Seat],
        *,
        memory: int = 0,
        limit: int = 0,
        full: str = BLOCK,
        aftercare: Aftercare | None = None,
    ) -> None:
        self.is_halted = threading.Event()
        self.exit_code = 0
        shape, _, spool = shape.partition(SPOOLED[0])
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
                self.segment.books[i],
                group=seat.group,
                capacity=seat.capacity,
                capacity_bytes=seat.capacity_bytes,
                policy=seat.policy,
                retry=seat.retry,
            )
            for i, seat in enumerate(seats)
        ]
        self.shape: Shape
        if spool:
            names = [seat.name for seat in seats]
            log = Log(path.with_suffix(".spool"), consumers=names, synchronous="NORMAL", limit_bytes=limit)
            self.shape = SpooledShape(
                kind, self.stations, self.segment, log, memory=memory, full=full, halt=self._halted
            )
        else:
            self.shape = kind(self.stations, self.segment, memory=memory, halt=self._halted, aftercare=aftercare)
        self._everybody = tuple(range(len(seats)))

    def _halted(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.is_halted.set()

    def publish(self, *frames: Frame, to: Sequence[int] | None = None) -> None:
        """Dispatch messages to all consumers, or to some of them."""
        interested = self._everybody if to is None else tuple(to)
        self.shape.dispatch([(frame, interested) for frame in frames])

    def turn_until(self, holds: Callable[[], object], what: str) -> None:
        """Do what the enqueuer does between two messages until that holds."""

        def look() -> object:
            self.shape.turn()
            return holds()

        wait_until(look, what)

    def settle(self) -> None:
        """Do what the enqueuer does, until all is done that may come again."""
        self.turn_until(lambda: self.shape.is_done(time.monotonic() + PATIENCE), "everything to be done")

    def finish(self) -> None:
        """Let the workers finish the backlog, and wait for them; and do what the enqueuer would have to do."""
        wait_until(self._is_handed_out, "nothing waits any more")
        self.shape.close()
        assert self.shape.join(PATIENCE), "workers do not end"

    def _is_handed_out(self) -> bool:
        is_busy = self.shape.turn()
        return not is_busy and not any(self.shape.kept(station) for station in self._everybody)

    def close(self) -> None:
        """Give back what has no thread."""
        self.shape.end()
        self.segment.close()

    def snapshot(self) -> Snapshot:
        """What a reader of the segment sees now."""
        return glasshub_stats.read(str(self.segment.path))

    def stats(self, consumer: int = 0) -> ConsumerStats:
        """What a reader of the segment sees of one consumer now."""
        return self.snapshot().consumers[consumer]


@contextmanager
def running(path: Path, shape: str, *seats: Seat, **more: Any) -> Iterator[Rig]:
    """A rig whose workers run, and have ended at the end of the context; who blocks is released then."""
    rig = Rig(path, shape, seats, **more)
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
        rig.close()
