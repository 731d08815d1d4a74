# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time to read a segment of 100 consumers, both histograms of each included, as collectd does every ten seconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import glasshub_stats
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.stats import Outcome

from .figures import Figure, Target, figure
from .processes import scratch

_CONSUMERS = 100
_TARGET = Target(1.0)


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure."""
    times = 50 if quick else 1000
    with scratch() as directory:
        path = _segment(directory)
        _milliseconds(_read, path, times)  # memory gets allocated
        yield figure("read, and take both histograms of each", _milliseconds(_read, path, times), "ms", _TARGET)
        taken = _milliseconds(_read_percentiles, path, times // 5)
        yield figure("the same, and compute six percentiles of each", taken, "ms")


def _read(path: str) -> None:
    for consumer in glasshub_stats.read(path).consumers:
        assert consumer.wait.counts
        assert consumer.processing.counts


def _read_percentiles(path: str) -> None:
    for consumer in glasshub_stats.read(path).consumers:
        for histogram in (consumer.wait, consumer.processing):
            for percent in (50, 95, 99):
                histogram.percentile(percent)


def _milliseconds(function: Callable[[str], None], path: str, times: int) -> list[float]:
    taken = []
    for _ in range(times):
        start_ns = time.perf_counter_ns()
        function(path)
        taken.append((time.perf_counter_ns() - start_ns) / 1e6)
    return taken


def _segment(directory: Path) -> str:
    """A segment whose consumers have all handled some messages. It stays locked, as that of a hub that runs."""
    rows = [ConsumerRow(f"consumer-{n}", workers=1, initialized=True) for n in range(_CONSUMERS)]
    path = directory / "reading.stats"
    writer = SegmentWriter(path, rows, name="reading", version="0", shape="threads", source="zmq")
    chance = random.Random(100)
    for (slots,) in writer.workers:
        for _ in range(200):
            now_ns = time.monotonic_ns()
            began_ns = now_ns + int(chance.lognormvariate(15, 2))
            slots.began(now_ns, began_ns, 0)
            slots.finished(Outcome.PROCESSED, began_ns + int(chance.lognormvariate(17, 2)))
    return str(path)
