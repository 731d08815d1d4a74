# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory of a queued message, beyond the bytes of its topic and body, for all its consumers together.

A process of its own dispatches messages to the queues of consumers that never take any, and looks how much larger it
has become (resident set): so everything counts, objects, queues, and what the allocator wastes.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from glasshub.consumer import Consumer, NativeConsumer
from glasshub.dispatch import SHAPES, Shape, Station
from glasshub.message import Frame
from glasshub.segment import ConsumerRow, SegmentWriter

from .figures import Figure, Target, figure
from .letters import Letter, letters
from .processes import Child, resident_bytes, scratch

_TARGET = Target(300)

#: As many messages as the enqueuer receives at once.
_BATCH = 256


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure."""
    batches = 80 if quick else 400
    for consumers in (1, 3):
        turns = [_growth(batches, consumers) for _ in range(1 if quick else 3)]
        name = f"{batches * _BATCH:,} messages queued for {consumers} consumer{'s' if consumers > 1 else ''}"
        yield figure(name, turns, "bytes/message", _TARGET)


def _growth(batches: int, consumers: int) -> float:
    arguments = ["benchmarks.memory", str(batches), str(consumers)]
    with scratch() as directory, Child(*arguments, directory=directory) as child:
        return float(child.line())


def main() -> None:
    """Say how many bytes a message takes beyond its own: BATCHES CONSUMERS."""
    batches, consumers = map(int, sys.argv[1:])
    shape = _shape(consumers)
    everybody = tuple(range(consumers))
    supply = itertools.cycle(letters())

    def queue_batch() -> int:
        frames = _frames(supply)
        shape.dispatch([(frame, everybody) for frame in frames])
        return sum(len(frame.topic) + len(frame.body) for frame in frames)

    queue_batch()  # what is made once is no cost of a message
    before = resident_bytes(os.getpid())
    own = sum(queue_batch() for _ in range(batches))
    print((resident_bytes(os.getpid()) - before - own) / (batches * _BATCH), flush=True)


def _shape(consumers: int) -> Shape:
    """Queues whose workers are not started."""
    rows = [ConsumerRow(f"c{n}", workers=1, initialized=True) for n in range(consumers)]
    segment = SegmentWriter(Path("memory.stats"), rows, name="memory", version="0", shape="threads", source="zmq")
    stations = [
        Station(
            row.name,
            NativeConsumer(Consumer()),
            segment.consumers[index],
            segment.injections[index],
            segment.workers[index],
            segment.drops[index],
            segment.books[index],
        )
        for index, row in enumerate(rows)
    ]
    return SHAPES["threads"](stations, segment)


def _frames(supply: Iterator[Letter]) -> list[Frame]:
    """Frames as a source makes them: topic and body of each are objects of their own."""
    return [
        Frame(bytes(bytearray(letter.topic)), letter.stamped(time.monotonic_ns()), time.monotonic_ns())
        for letter in itertools.islice(supply, _BATCH)
    ]


if __name__ == "__main__":
    main()
