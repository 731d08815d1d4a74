# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a segment says at one instant, and what happened between two instants.

The definitions that the code below follows stand in `glasshub_stats.schema`.
"""

from __future__ import absolute_import

import operator
import struct
import time
from collections import namedtuple

import six

from . import layout, schema
from .errors import SegmentFormatError
from .histogram import BUCKETS, Histogram, merged
from .interval import Interval

MYPY = False
if MYPY:
    from typing import Dict, List, Optional, Sequence, Tuple

#: A heartbeat older than this many seconds belongs to a stuck hub, unless the caller has another limit.
STALE_AFTER = 15.0

PHASES = ("starting", "running", "draining", "stopped")

_NAN = float("nan")

_SCALARS = (schema.COUNTER, schema.GAUGE, schema.TIMESTAMP)

#: What counts how attempts ended.
_ENDED = schema.FINISHED + schema.HANDED_BACK


class Snapshot(object):
    """One consistent reading of a segment. Immutable; safe to share between threads.

    Attributes:
        path: Where it was read.
        taken_ns: When, on CLOCK_MONOTONIC in nanoseconds.
        time: When, in unix time.
        pid: Process of the hub.
        generation: Differs between two starts of the hub.
        is_locked: Whether the process of the hub lives.
        hub: A `HubStats`.
        consumers: A list of `ConsumerStats`, in the order of the hub's configuration.
        producers: A list of `ProducerStats`; empty if the hub is of a version that counts nothing for them.
    """

    def __init__(self, path, data, words, header, sections, is_locked, taken_ns):
        # type: (str, bytearray, Sequence[int], layout.Header, Dict[str, layout.Section], bool, int) -> None
        """Interpret what the reader has read.

        Raises:
            SegmentFormatError: A row refers to a row that is not there, or a name is not UTF-8.
        """
        self.path = path
        self.taken_ns = taken_ns
        self.time = time.time()
        self.pid = int(header.pid)
        self.generation = int(header.generation)
        self.created_ns = int(header.created_ns)
        self.is_locked = is_locked
        parts = _Parts(path, data, words, sections)
        clocks = _Clocks(taken_ns, int(header.realtime_offset_ns), self.created_ns)
        self.consumers = _consumers(parts, clocks)  # type: List[ConsumerStats]
        self.producers = _producers(parts, clocks)  # type: List[ProducerStats]
        # Neither refers back: a snapshot is large, and goes when nobody holds it, not when a collector comes round.
        self.hub = HubStats(parts, header, clocks, self.consumers)
        self.hub.up = int(self.is_up())

    def status(self, stale_after=STALE_AFTER):
        # type: (float) -> str
        """What the hub is doing: `down`, `stuck`, or its phase (`starting`, `running`, `draining`, `stopped`).

        Args:
            stale_after: Seconds after which a heartbeat is old. A hub that holds its lock with an old heartbeat, of
                its main thread or of its enqueuer, is stuck; one that does not hold it any more is down.
        """
        if self.hub.phase == "stopped":
            return "stopped"
        if not self.is_locked:
            return "down"
        if max(self.hub.heartbeat_age, self.hub.enqueuer_age) > stale_after:
            return "stuck"
        return self.hub.phase

    def is_up(self, stale_after=STALE_AFTER):
        # type: (float) -> bool
        """Whether the hub is alive and well, see `status`."""
        return self.status(stale_after) not in ("down", "stuck", "stopped")

    def consumer(self, name):
        # type: (str) -> ConsumerStats
        """The consumer of that name.

        Raises:
            KeyError: There is none.
        """
        for consumer in self.consumers:
            if consumer.name == name:
                return consumer
        raise KeyError(name)

    def since(self, older):
        # type: (Optional[Snapshot]) -> Interval
        """What happened between `older` and this snapshot.

        After a restart of the hub (another generation), or when `older` is None, what happened since the hub
        started. Reading resets nothing: any number of readers may keep snapshots of their own.
        """
        return Interval(self, older)


class _Parts(object):
    """The rows of a segment. A field that the file lacks, or has otherwise than we know it, reads as 0."""

    def __init__(self, path, data, words, sections):
        # type: (str, bytearray, Sequence[int], Dict[str, layout.Section]) -> None
        self.path = path
        self.data = data
        self.words = words
        self.sections = sections

    def rows(self, section):
        # type: (str) -> Sequence[int]
        """Offset of each row in slots."""
        found = self.sections.get(section)
        if found is None:
            return ()
        first, step = found.offset // layout.SLOT, found.row_size // layout.SLOT
        return range(first, first + found.rows * step, step) if step else ()

    def slots(self, section, metrics, kinds):
        # type: (str, Tuple[schema.Metric, ...], Tuple[str, ...]) -> List[Tuple[str, int]]
        """Names of the metrics of these kinds that the file has, and their offsets in a row in slots."""
        fields = self.sections[section].fields if section in self.sections else {}
        return [
            (metric.name, fields[metric.name].offset // layout.SLOT)
            for metric in metrics
            if metric.kind in kinds and metric.name in fields and layout.usable(fields[metric.name], metric)
        ]

    def text(self, section, row, name):
        # type: (str, int, str) -> str
        field = self.sections[section].fields.get(name)
        if field is None or field.kind != schema.TEXT:
            return ""
        start = row * layout.SLOT + field.offset
        raw = self.data[start : start + field.size].split(b"\0", 1)[0]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise SegmentFormatError(self.path, "a name in the segment is not UTF-8: %r" % bytes(raw))
        return str(raw) if six.PY2 else text  # collectd takes native strings; EL 7's six has no ensure_str


class _OnBroker(object):
    """What a broker holds, as far as it is known: of a hub's queues, or of a consumer's own.

    A figure is told with its age, and not told at all when it may not be true any more.
    """

    if MYPY:

        def __init__(self, clocks):
            # type: (_Clocks) -> None
            self._clocks = clocks

        @property
        def has_broker(self):
            # type: () -> bool
            """Whether there is a queue on a broker that the others are of."""

        @property
        def backlog(self):
            # type: () -> int
            """Messages that wait here."""

    @property
    def broker_age(self):
        # type: () -> float
        """Seconds since the broker was last heard of what waits there; NaN when it was not."""
        asked_ns = self.__dict__["broker_asked_ns"]
        return self._clocks.since(asked_ns) if asked_ns else _NAN

    @property
    def broker_ready(self):
        # type: () -> float
        """Messages that wait there and no hub has been given; NaN when that is not known."""
        return self._answered("broker_ready")

    @property
    def total_backlog(self):
        # type: () -> float
        """All messages that wait, here and there; NaN when that is not known."""
        return self.broker_ready + self.backlog if self.has_broker else self.backlog

    def _answered(self, name):
        # type: (str) -> float
        is_known = self.has_broker and self.broker_age <= STALE_AFTER
        return self.__dict__[name] if is_known else _NAN


class HubStats(_OnBroker):
    """The hub's own figures; every attribute is described in `glasshub_stats.schema`.

    Attributes:
        name, version, shape, source: Texts.
        phase: One of `PHASES`.
        up: 1 when the hub is alive and well, else 0; for another limit than 15 s see `Snapshot.is_up`.
    """

    up = 0

    def __init__(self, parts, header, clocks, consumers):
        # type: (_Parts, layout.Header, _Clocks, List[ConsumerStats]) -> None
        rows = parts.rows("hub")
        if len(rows) != 1:
            raise SegmentFormatError(parts.path, "the segment has no row for its hub")
        for name in ("name", "version", "shape", "source"):
            setattr(self, name, parts.text("hub", rows[0], name))
        own = self.__dict__
        own.update(_Scalars(parts, "hub", schema.HUB_FIELDS).of(rows[0]))
        own["queue_enqueued"] += own["queue_injected"]
        phase = own["phase"]
        self.phase = PHASES[phase] if phase < len(PHASES) else "unknown"
        self.uptime = clocks.since(header.created_ns)
        self.heartbeat_age = clocks.since(header.heartbeat_ns)
        self.enqueuer_age = clocks.since(max(self.enqueuer_heartbeat_ns, header.created_ns))
        self.lost_since = clocks.unix_time(self.lost_ns)
        self.lost_age = clocks.since(self.lost_ns) if self.lost_ns else 0.0
        self.spool_blocking_age = clocks.since(self.spool_blocking_ns) if self.spool_blocking_ns else 0.0
        self.gap_seconds = self.gap_ns / 1e9
        self.gap_since = clocks.unix_time(self.gap_since_ns)
        self.gap_until = clocks.unix_time(self.gap_until_ns)
        self._clocks = clocks
        self._consumers = consumers

    @property
    def backlog(self):
        # type: () -> int
        """Entries waiting in the hub's work queues."""
        if self.shape == "shared" and not self.spool:
            return max(self.queue_enqueued - self.queue_dequeued - self.queue_dropped, 0)
        return sum(consumer.backlog for consumer in self._consumers)

    @property
    def has_broker(self):
        # type: () -> bool
        """Whether the messages wait on a broker before they come here."""
        return bool(self.broker_queues)

    if MYPY:
        name = version = shape = source = ""

        def __getattr__(self, name):
            # type: (str) -> int
            """The other attributes come from the schema."""


class ConsumerStats(_OnBroker):
    """One consumer's figures, its workers added up; every attribute is described in `glasshub_stats.schema`.

    Attributes:
        name: The consumer's name.
        wait, processing: A `Histogram` each, cumulative since the hub started.
    """

    def __init__(self, name, scalars, histograms, started, clocks):
        # type: (str, Dict[str, int], _Histograms, List[int], _Clocks) -> None
        """Take the stored numbers, and since when each message in flight is being processed."""
        scalars["enqueued"] += scalars["injected"]
        scalars["watermark"] = max(scalars["watermark"], scalars["injected_watermark"])
        self.__dict__ = scalars
        self.name = name
        self._histograms = histograms
        self._wait = self._processing = None  # type: Optional[Histogram]
        self._started = started
        self._clocks = clocks

    @property
    def finished(self):
        # type: () -> int
        """Messages that the consumer is done with."""
        return sum([self.__dict__[name] for name in schema.FINISHED])

    @property
    def backlog(self):
        # type: () -> int
        """Messages waiting."""
        put = sum([self.__dict__[name] for name in schema.PUT])  # type: int
        return max(put - self.dequeued - self.dropped - self.withdrawn, 0)

    @property
    def has_broker(self):
        # type: () -> bool
        """Whether it has a queue of its own on a broker."""
        return bool(self.broker_queue)

    @property
    def broker_hubs(self):
        # type: () -> float
        """Subscribers of that queue; NaN when that is not known."""
        return self._answered("broker_hubs")

    @property
    def in_flight(self):
        # type: () -> int
        """Messages being processed."""
        return max(self.dequeued - self.finished - self.retried - self.interrupted, 0)

    @property
    def delayed(self):
        # type: () -> int
        """Messages that wait for the time at which they are tried again."""
        return max(self.retried - self.requeued - self.recalled, 0)

    @property
    def oldest_age(self):
        # type: () -> float
        """Age of the oldest waiting message in seconds; 0 when none waits."""
        head_ns = max(self.head_ns, self.put_head_ns, self.injected_head_ns, self.drop_head_ns, self.sent_head_ns)
        return self._clocks.since(head_ns) if self.backlog and head_ns else 0.0

    @property
    def current_age(self):
        # type: () -> float
        """Seconds that the longest-running message in flight has taken so far; 0 when there is none."""
        return self._clocks.since(min(self._started)) if self._started else 0.0

    @property
    def max_processing(self):
        # type: () -> float
        """Seconds that the consumer may take for one message; 0 for no limit."""
        return self.max_processing_ns / 1e9

    @property
    def stuck(self):
        # type: () -> int
        """Workers that have been at one message for longer than that."""
        limit = self.max_processing
        return sum(self._clocks.since(start) > limit for start in self._started) if limit else 0

    @property
    def busy_seconds(self):
        # type: () -> float
        """Seconds that the workers have spent in processing."""
        running = sum(self._clocks.since(start) for start in self._started)
        return self.processing_ns / 1e9 + running

    @property
    def blocked_seconds(self):
        # type: () -> float
        """Seconds that the enqueuer has waited for room in the queue."""
        return self.blocked_ns / 1e9

    @property
    def blocking_age(self):
        # type: () -> float
        """Seconds that the enqueuer has been waiting for room by now; 0 while it does not."""
        return self._clocks.since(self.blocking_ns) if self.blocking_ns else 0.0

    @property
    def last_success(self):
        # type: () -> float
        """Unix time at which a message was last processed; 0 for never."""
        return self._clocks.unix_time(self.last_success_ns)

    @property
    def last_failure(self):
        # type: () -> float
        """Unix time at which a message last failed; 0 for never."""
        return self._clocks.unix_time(self.last_failure_ns)

    @property
    def wait(self):
        # type: () -> Histogram
        """Times in the queue of all messages dequeued since the hub started."""
        if self._wait is None:
            self._wait = self._histograms.of("wait", self.wait_ns)
        return self._wait

    @property
    def processing(self):
        # type: () -> Histogram
        """Times in the consumer of all attempts that ended since the hub started."""
        if self._processing is None:
            self._processing = self._histograms.of("processing", self.processing_ns)
        return self._processing

    if MYPY:

        def __getattr__(self, name):
            # type: (str) -> int
            """The other attributes come from the schema."""


class ProducerStats(object):
    """One producer's figures; every attribute is described in `glasshub_stats.schema`.

    Attributes:
        name: The producer's name.
        has_failed_last: Whether the poll that ended last failed; while one is running that is not known.
    """

    def __init__(self, name, scalars, clocks):
        # type: (str, Dict[str, int], _Clocks) -> None
        """Take the stored numbers."""
        self.__dict__ = scalars
        self.name = name
        self._clocks = clocks

    @property
    def last_run(self):
        # type: () -> float
        """Unix time at which the last poll began; 0 for never."""
        return self._clocks.unix_time(self.last_run_ns)

    @property
    def last_success(self):
        # type: () -> float
        """Unix time at which a poll last returned; 0 for never."""
        return self._clocks.unix_time(self.last_success_ns)

    @property
    def last_duration(self):
        # type: () -> float
        """Seconds that the last finished poll took."""
        return self.last_duration_ns / 1e9

    @property
    def running_seconds(self):
        # type: () -> float
        """Seconds that all finished polls took."""
        return self.running_ns / 1e9

    @property
    def frequency(self):
        # type: () -> float
        """Seconds from the end of one poll to the beginning of the next; 0 when it polls without a pause."""
        return self.frequency_ns / 1e9

    @property
    def current_age(self):
        # type: () -> float
        """Seconds that the running poll has taken so far; 0 while none is running."""
        return self._clocks.since(self.started_ns) if self.started_ns else 0.0

    @property
    def since_run(self):
        # type: () -> float
        """Seconds since the last poll began; NaN before the first."""
        return self._clocks.since(self.last_run_ns) if self.last_run_ns else _NAN

    @property
    def overdue(self):
        # type: () -> float
        """Seconds for which the next poll should have begun by now; 0 while one is running."""
        if self.started_ns or not (self.initialized and self.frequency_ns):
            return 0.0
        ended_ns = self.last_run_ns + self.last_duration_ns if self.last_run_ns else self._clocks.created_ns
        return self._clocks.since(ended_ns + self.frequency_ns)

    @property
    def has_failed_last(self):
        # type: () -> bool
        """See above."""
        return bool(self.failures) and not self.started_ns and self.last_run_ns > self.last_success_ns

    if MYPY:

        def __getattr__(self, name):
            # type: (str) -> int
            """The other attributes come from the schema."""


class _Clocks(namedtuple("_Clocks", "now_ns wall_ns created_ns")):
    """The monotonic clock at the reading, what unix time is ahead of it, and when the hub started."""

    __slots__ = ()

    def since(self, instant_ns):
        # type: (int) -> float
        return _seconds(self.now_ns - instant_ns)

    def unix_time(self, instant_ns):
        # type: (int) -> float
        return (instant_ns + self.wall_ns) / 1e9 if instant_ns else 0.0


class _Histograms(object):
    """Where a consumer's histograms stand: they are cut out of the words only when somebody asks."""

    __slots__ = ("_words", "_rows", "_slots")

    def __init__(self, words, rows, slots):
        # type: (Sequence[int], List[int], Dict[str, int]) -> None
        self._words = words
        self._rows = rows
        self._slots = slots

    def of(self, name, total_ns):
        # type: (str, int) -> Histogram
        slot = self._slots.get(name)
        if slot is None:
            return Histogram.empty()
        return merged([self._words[row + slot : row + slot + BUCKETS] for row in self._rows], total_ns)


def _consumers(parts, clocks):
    # type: (_Parts, _Clocks) -> List[ConsumerStats]
    rows = parts.rows("consumer")
    histogram_slots = dict(parts.slots("worker", schema.WORKER_FIELDS, (schema.HISTOGRAM,)))
    own = _Scalars(parts, "consumer", schema.CONSUMER_FIELDS)
    worker = _Scalars(parts, "worker", schema.WORKER_FIELDS)
    worker_rows = _workers_of(parts, len(rows))
    consumers = []
    for row, own_workers in zip(rows, worker_rows):
        each = [worker.of(worker_row) for worker_row in own_workers]
        scalars = own.put_into(worker.added_up(each), row)
        started = [
            numbers["started_ns"] for numbers in each if numbers["dequeued"] > sum([numbers[name] for name in _ENDED])
        ]
        histograms = _Histograms(parts.words, own_workers, histogram_slots)
        name = parts.text("consumer", row, "name")
        consumers.append(ConsumerStats(name, scalars, histograms, started, clocks))
    return consumers


def _producers(parts, clocks):
    # type: (_Parts, _Clocks) -> List[ProducerStats]
    own = _Scalars(parts, "producer", schema.PRODUCER_FIELDS)
    return [ProducerStats(parts.text("producer", row, "name"), own.of(row), clocks) for row in parts.rows("producer")]


class _Scalars(object):
    """The numbers of the rows of a section, by name; those that the file lacks are 0."""

    def __init__(self, parts, section, metrics):
        # type: (_Parts, str, Tuple[schema.Metric, ...]) -> None
        offsets = dict(parts.slots(section, metrics, _SCALARS))
        self._data = parts.data
        self._missing = {m.name: 0 for m in metrics if m.kind in _SCALARS and m.name not in offsets}
        self._names = list(offsets)
        slots = list(offsets.values()) or [0]
        self._first = min(slots)
        self._unpack = struct.Struct("=%dQ" % (max(slots) + 1 - self._first)).unpack_from
        # The 0 behind: asked for one item alone, itemgetter would not answer with a tuple.
        self._pick = operator.itemgetter(*([slot - self._first for slot in slots] + [0]))
        self._latest = frozenset(metric.name for metric in metrics if metric.kind == schema.TIMESTAMP)

    def of(self, row):
        # type: (int) -> Dict[str, int]
        """The numbers of one row."""
        return self.put_into({}, row)

    def put_into(self, numbers, row):
        # type: (Dict[str, int], int) -> Dict[str, int]
        """Add the numbers of one row to others, which saves a dict for each consumer."""
        if self._names:
            numbers.update(zip(self._names, self._pick(self._unpack(self._data, (row + self._first) * layout.SLOT))))
        if self._missing:
            numbers.update(self._missing)
        return numbers

    def added_up(self, each):
        # type: (List[Dict[str, int]]) -> Dict[str, int]
        """One for all rows: counters summed up, timestamps the latest."""
        if len(each) == 1:
            return each[0]
        names = self._names + list(self._missing)
        return {
            name: (max if name in self._latest else sum)([numbers[name] for numbers in each] or [0]) for name in names
        }


def _workers_of(parts, consumers):
    # type: (_Parts, int) -> List[List[int]]
    """The rows of each consumer's workers."""
    found = [[] for _ in range(consumers)]  # type: List[List[int]]
    slot = dict(parts.slots("worker", schema.WORKER_FIELDS, _SCALARS)).get("consumer")
    if slot is None:
        return found
    for row in parts.rows("worker"):
        consumer = parts.words[row + slot]
        if consumer >= consumers:
            raise SegmentFormatError(parts.path, "a worker's row names consumer %d, which is not there" % consumer)
        found[consumer].append(row)
    return found


def _seconds(duration_ns):
    # type: (int) -> float
    return max(duration_ns, 0) / 1e9
