# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happened between two snapshots: deltas, rates, percentiles, catch-up time."""

from __future__ import absolute_import

from . import schema
from .histogram import Histogram

MYPY = False
if MYPY:
    from typing import Any, Dict, List, Optional, Tuple

    from .snapshot import ConsumerStats, HubStats, Snapshot

_NAN = float("nan")

#: All that an interval takes of the older snapshot, but for the histograms.
CONSUMER_COUNTERS = tuple(
    m.name
    for m in schema.CONSUMER_FIELDS + schema.WORKER_FIELDS + schema.CONSUMER_DERIVED
    if m.kind == schema.COUNTER and m.unit != "nanoseconds"
)
#: Besides: what the broker said last, and when.
CONSUMER_LEVELS = ("broker_ready", "broker_asked_ns")
HUB_COUNTERS = tuple(m.name for m in schema.HUB_FIELDS if m.kind == schema.COUNTER)


class Interval(object):
    """The difference of two snapshots of one hub. Immutable; safe to share between threads.

    Attributes:
        newer: The snapshot at its end.
        older: The one at its start; None when the hub started in between.
        seconds: Its length.
        hub: A `HubInterval`.
        consumers: A `ConsumerInterval` for each consumer of `newer`.
    """

    def __init__(self, newer, older):
        # type: (Snapshot, Optional[Snapshot]) -> None
        if older is not None and older.generation != newer.generation:
            older = None
        self.newer = newer
        self.older = older
        start_ns = older.taken_ns if older is not None else newer.created_ns
        self.seconds = max(newer.taken_ns - start_ns, 0) / 1e9
        self.hub = HubInterval(newer.hub, older.hub if older is not None else None, self.seconds)
        before = {c.name: c for c in older.consumers} if older is not None else {}  # type: Dict[str, ConsumerStats]
        self.consumers = [ConsumerInterval(c, before.get(c.name), self.seconds) for c in newer.consumers]  # type: List[ConsumerInterval]

    def consumer(self, name):
        # type: (str) -> ConsumerInterval
        """The consumer of that name.

        Raises:
            KeyError: There is none.
        """
        for consumer in self.consumers:
            if consumer.name == name:
                return consumer
        raise KeyError(name)


class HubInterval(object):
    """What the hub counted in an interval: one attribute for each of its counters.

    Attributes:
        receive_rate: `received` per second of the interval; NaN when no time has passed.
    """

    def __init__(self, newer, older, seconds):
        # type: (HubStats, Optional[HubStats], float) -> None
        _subtract(self, newer, older, HUB_COUNTERS)
        self.receive_rate = self.received / seconds if seconds else _NAN

    if MYPY:

        def __getattr__(self, name):
            # type: (str) -> int
            """The other attributes come from the schema."""


class ConsumerInterval(object):
    """What happened to one consumer in an interval; see `INTERVAL_DERIVED` of `glasshub_stats.schema`.

    Attributes:
        name: The consumer's name.
        now: Its `ConsumerStats` at the end of the interval.
        wait, processing: A `Histogram` each, of this interval alone.
    """

    def __init__(self, newer, older, seconds):
        # type: (ConsumerStats, Optional[ConsumerStats], float) -> None
        self.name = newer.name
        self.now = newer
        self._before = older
        _subtract(self, newer, older, CONSUMER_COUNTERS)
        self.put = sum([getattr(self, name) for name in schema.PUT])
        self.finished = sum([getattr(self, name) for name in schema.FINISHED])
        self.attempts = self.finished + self.retried
        self.enqueue_rate = _rate(self.put, seconds)
        self.dequeue_rate = _rate(self.dequeued + self.dropped + self.withdrawn, seconds)
        self.processing_rate = _rate(self.finished, seconds)
        available = seconds * newer.workers
        self.busy = min(self.busy_seconds / available, 1.0) if available else _NAN
        self.net_rate = self.dequeue_rate - self.enqueue_rate + _broker_rate(newer, older)
        self.catch_up = catch_up(newer.total_backlog, self.net_rate)

    @property
    def wait(self):
        # type: () -> Histogram
        """Times in the queue of the messages dequeued in this interval."""
        return self._since("wait", "dequeued")

    @property
    def processing(self):
        # type: () -> Histogram
        """Times in the consumer of the attempts that ended in this interval."""
        return self._since("processing", "attempts")

    def _since(self, name, count):
        # type: (str, str) -> Histogram
        if getattr(self, count) == 0:  # the common case of a quiet consumer costs nothing
            return Histogram.empty()
        newer = getattr(self.now, name)  # type: Histogram
        return newer if self._before is None else newer.since(getattr(self._before, name))

    if MYPY:

        def __getattr__(self, name):
            # type: (str) -> int
            """The other attributes come from the schema."""


def catch_up(backlog, net_rate):
    # type: (float, float) -> float
    """Seconds until the backlog is gone if things go on so.

    Args:
        backlog: Messages waiting.
        net_rate: Messages a second by which the backlog shrinks.

    Returns:
        0 without a backlog; NaN while it does not shrink, or when nothing is known.
    """
    if not backlog:
        return 0.0
    return backlog / net_rate if net_rate > 0 else _NAN


def broker_answer(consumer):
    # type: (ConsumerStats) -> Tuple[float, int]
    """What the broker said last of the consumer's queue: messages ready, and when that was."""
    return consumer.broker_ready, consumer.broker_asked_ns


def fall_rate(older, newer):
    # type: (Tuple[float, int], Tuple[float, int]) -> float
    """Messages a second by which a queue shrank from one answer of the broker to another.

    Answers come at other times than snapshots are taken: by these it would look as if nothing happened, and then all
    at once.

    Returns:
        NaN when the two are one, or one of them is not known.
    """
    (before, earlier_ns), (after, later_ns) = older, newer
    return (before - after) / ((later_ns - earlier_ns) / 1e9) if later_ns > earlier_ns else _NAN


def _subtract(interval, newer, older, counters):
    # type: (object, object, Optional[object], Any) -> None
    for name in counters:
        now = getattr(newer, name)
        setattr(interval, name, now if older is None else max(now - getattr(older, name), 0))


def _rate(count, seconds):
    # type: (int, float) -> float
    return count / seconds if seconds else _NAN


def _broker_rate(newer, older):
    # type: (ConsumerStats, Optional[ConsumerStats]) -> float
    """Messages a second by which the consumer's queue on the broker shrank; 0 without one."""
    if not newer.has_broker:
        return 0.0
    return _NAN if older is None else fall_rate(broker_answer(older), broker_answer(newer))
