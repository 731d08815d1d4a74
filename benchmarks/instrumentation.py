# SPDX-License-Identifier: LGPL-2.1-or-later
"""What it costs to write the stats, as a share of what a message costs altogether, in shape `threads`.

The cost of a message is the processor time that the process takes for it in all its threads: libzmq's, enqueuer,
workers. Two such pipelines take turns in one process, on bursts from a publisher each: one with the real slots of a
segment, one with null objects in their place. The cost of writing is the median of the differences of neighbouring
turns, and the share is its part of the median cost. Processor time is disturbed less than time by what else the machine
does; and since a hub under load is bound by the processor, it stands for throughput.

The null objects leave the clock in place, which is read once for each delivery; its price is given beside.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.compat.moksha import MokshaHub
from glasshub.config import HubSection, ZmqSection
from glasshub.consumer import BoundConsumer, NativeConsumer
from glasshub.dispatch import SHAPES, Station
from glasshub.enqueuer import Enqueuer
from glasshub.routing import Router
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.sources.zmq import ZmqSource
from glasshub.stats import ConsumerSlots, EnqueuerSlots, WorkerSlots

from . import consumers
from .contestants import fedmsg_config, no_fedmsg_hub
from .figures import BenchError, Figure, Target, figure, take_turns
from .processes import Publisher, scratch, wait_for
from .tallies import DIRECTORY, MESSAGES, Tally

_TARGET = Target(5.0)

#: Messages of a turn.
_BURST = 1000

#: The consumers of a pipeline, and their tallies.
Crew = tuple[Sequence[BoundConsumer], Sequence[Tally]]
MakeCrew = Callable[[Path], Crew]


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare."""
    turns = 5 if quick else 200
    interval = sys.getswitchinterval()
    sys.setswitchinterval(HubSection.switch_interval)
    try:
        yield from _compare("1 consumer", partial(_native, 1), turns)
        yield from _compare("3 consumers", partial(_native, 3), turns)
        if not no_fedmsg_hub():
            yield from _compare("3 consumers of fedmsg's", partial(_fedmsg, 3), turns)
    finally:
        sys.setswitchinterval(interval)
    yield figure("in both: reading the clock", [_clock_us() for _ in range(turns)], "µs/delivery")


class NullSlots:
    """Counts nothing, in the place of `WorkerSlots`, `ConsumerSlots` and `EnqueuerSlots`."""

    dequeued = total = 0

    def turned(self, *what: object, **more: object) -> None:
        """Nothing."""

    began = finished = at = enqueued = requeued = restored = put = blocked = unblocked = turned
    received = queued = source = gap = backfilled = beat = broker = spool = spool_blocking = turned


def _compare(name: str, make_crew: MakeCrew, turns: int) -> Iterator[Figure]:
    with scratch() as directory, ExitStack() as stack:
        pipelines = {
            "without": stack.enter_context(_pipeline(directory / "without", make_crew, is_counting=False)),
            "with": stack.enter_context(_pipeline(directory / "with", make_crew, is_counting=True)),
        }
        take_turns(pipelines, 2)  # caches and code get warm
        costs = take_turns(pipelines, turns)
    for kind, turns_of_kind in costs.items():
        yield figure(f"{name}: a message {kind} stats", turns_of_kind, "µs/message")
    writing = median(counted - bare for bare, counted in zip(costs["without"], costs["with"]))
    all_together = median(costs["with"])
    yield Figure(f"{name}: writing stats", writing, "µs/message")
    yield Figure(f"{name}: share of a message's cost", 100 * writing / all_together, "%", _TARGET)
    needed = max(100 * writing / _TARGET.limit - all_together, 0)
    yield Figure(f"{name}: below {_TARGET.limit:g} % where consumers work for", needed, "µs/message")


@contextmanager
def _pipeline(
    directory: Path, make_crew: Callable[[Path], Crew], *, is_counting: bool
) -> Iterator[Callable[[], float]]:
    """Everything of a hub between the socket and the consumers, running; as a function that sends a burst through."""
    nothing = NullSlots()
    directory.mkdir()
    os.environ.update({DIRECTORY: str(directory), MESSAGES: str(1 << 40)})
    crew, tallies = make_crew(directory)
    rows = [ConsumerRow(f"c{number}", workers=1, initialized=True) for number in range(len(crew))]
    segment = SegmentWriter(directory / "bench.stats", rows, name="bench", version="0", shape="threads", source="zmq")
    stations = [
        Station(
            row.name,
            consumer,
            segment.consumers[index] if is_counting else cast(ConsumerSlots, nothing),
            segment.injections[index],
            segment.workers[index] if is_counting else [cast(WorkerSlots, nothing)],
            segment.drops[index],
            segment.books[index],
        )
        for index, (row, consumer) in enumerate(zip(rows, crew))
    ]
    slots = segment.enqueuer if is_counting else cast(EnqueuerSlots, nothing)
    shape = SHAPES["threads"](stations, segment)
    router = Router([consumer.topics for consumer in crew])
    with Publisher(directory) as publisher:
        enqueuer = Enqueuer(ZmqSource(ZmqSection(endpoints=(publisher.endpoint,))), router, shape, slots)
        shape.start()
        enqueuer.start()
        publisher.wait_for_subscription()
        yield partial(_burst, publisher, tallies)
        enqueuer.stop()
        enqueuer.join(10)
        shape.close()
        if not shape.join(10):
            raise BenchError("a worker does not end")
    segment.close()


def _burst(publisher: Publisher, tallies: Sequence[Tally]) -> float:
    """Processor time of a message in microseconds."""
    end = max(tally.left for tally in tallies) - _BURST
    start_ns = time.process_time_ns()
    publisher.publish(_BURST)
    wait_for(lambda: max(tally.left for tally in tallies) == end or None, "burst consumed", pause=0.005)
    return (time.process_time_ns() - start_ns) / 1e3 / _BURST


def _native(number: int, directory: Path) -> Crew:
    users = [getattr(consumers, f"Noop{n}")() for n in range(number)]
    return [NativeConsumer(user) for user in users], [user.tally for user in users]


def _fedmsg(number: int, directory: Path) -> Crew:
    from . import fedmsg_consumers

    hub = MokshaHub(
        FedmsgConfigFiles(fedmsg_config(directory)).hub_config(ZmqSection()), strict=False, stop=lambda: None
    )
    bound: list[Any] = [hub.build(getattr(fedmsg_consumers, f"Noop{n}")) for n in range(number)]
    return bound, [user.tally for user in hub.consumers]


def _clock_us() -> float:
    clock, times = time.monotonic_ns, 10_000
    start_ns = clock()
    for _ in range(times):
        clock()
    return (clock() - start_ns) / 1e3 / times
