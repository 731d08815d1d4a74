# SPDX-License-Identifier: LGPL-2.1-or-later
"""A snapshot as a table for a terminal, to be read by a tired person.

First the hub in some lines, then a row for each consumer and for each producer, then a line for whatever needs
attention.
"""

from __future__ import absolute_import

import math
import sys
import unicodedata
from collections import namedtuple

MYPY = False
if MYPY:
    from typing import Iterator, List, Optional, Sequence, Tuple

    from .interval import Interval
    from .snapshot import ConsumerStats, HubStats, ProducerStats, Snapshot

    Mark = Tuple[str, int]

#: The widest table, in columns.
WIDTH = 100

#: A message or a poll that takes, or is late by, more than this many seconds gets a line of its own.
_LONG = 60.0

#: Names are not cut below this.
_SHORTEST_NAME = 10

#: Columns of zeros do not go for the sake of a name longer than this.
_LONGEST_NAME = 24

#: Unicode's categories of control, format, surrogate, private and unassigned characters and line separators.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")

#: A column: two lines of title; whether only an interval can fill it; whether it may go when it shows nothing
#: but zeros and the terminal is narrow; its text of a ConsumerInterval, or of a ProducerStats.
_Column = namedtuple("_Column", "top title moving optional text")

_ON_BROKER = _Column("on", "broker", False, False, lambda c: known_count(c.now.broker_ready))

_COLUMNS = (
    _Column("", "backlog", False, False, lambda c: count(c.now.backlog)),
    _ON_BROKER,
    _Column("in", "flight", False, False, lambda c: count(c.now.in_flight)),
    _Column("", "oldest", False, False, lambda c: duration(c.now.oldest_age)),
    _Column("enq.", "/s", True, False, lambda c: rate(c.enqueue_rate)),
    _Column("proc.", "/s", True, False, lambda c: rate(c.processing_rate)),
    _Column("", "failed", False, True, lambda c: count(c.now.failed)),
    _Column("", "invalid", False, True, lambda c: count(c.now.invalid)),
    _Column("", "dropped", False, True, lambda c: count(c.now.dropped)),
    _Column("proc.", "p50", False, False, lambda c: duration(c.processing.percentile(50))),
    _Column("proc.", "p95", False, False, lambda c: duration(c.processing.percentile(95))),
    _Column("wait", "p95", False, False, lambda c: duration(c.wait.percentile(95))),
    _Column("catch", "up", True, False, lambda c: _catch_up(c.catch_up, c.net_rate)),
)

_PRODUCER_COLUMNS = (
    _Column("", "runs", False, False, lambda p: count(p.runs)),
    _Column("", "failures", False, False, lambda p: count(p.failures)),
    _Column("", "every", False, False, lambda p: duration(p.frequency)),
    _Column("last run", "ago", False, False, lambda p: duration(p.since_run)),
    _Column("last", "took", False, False, lambda p: duration(p.last_duration)),
    _Column("running", "for", False, False, lambda p: duration(p.current_age)),
    _Column("", "overdue", False, False, lambda p: duration(p.overdue)),
)


def as_text(snapshot, interval=None, width=WIDTH):
    # type: (Snapshot, Optional[Interval], int) -> str
    """The snapshot as lines of at most `width` columns, without a line end behind the last.

    Args:
        snapshot: What to show.
        interval: What happened lately: adds rates and catch-up times, and the percentiles are its own. Without it
            they are those since the hub started.
        width: Columns of the terminal, 80 to 100. Names are cut to fit, to ten characters at the least.
    """
    since = interval if interval is not None else snapshot.since(None)
    lines = _hub_lines(snapshot, interval) + [_caption(interval)]
    if since.consumers:
        has_broker = any(consumer.now.has_broker for consumer in since.consumers)
        columns = [
            column
            for column in _COLUMNS
            if (interval is not None or not column.moving) and (has_broker or column is not _ON_BROKER)
        ]
        marks = [(consumer.name, consumer.now.initialized) for consumer in since.consumers]
        lines += [""] + _table("consumer", marks, since.consumers, columns, width)
    else:
        lines += ["", "no consumers"]
    if snapshot.producers:
        marks = [(producer.name, producer.initialized) for producer in snapshot.producers]
        lines += [""] + _table("producer", marks, snapshot.producers, _PRODUCER_COLUMNS, width)
    remarks = list(attention(snapshot))
    if remarks:
        lines += [""] + ["! " + line for line in remarks]
    return "\n".join(_cut(line, width).rstrip() for line in lines)


def duration(seconds):
    # type: (float) -> str
    """Seconds as a person says them, in at most six characters: 85us, 1.2ms, 3.4s, 2m10s, 5h03m, 2d07h; NaN is `-`."""
    if math.isnan(seconds):
        return "-"
    if seconds <= 0:
        return "0s"
    for unit, scale in (("us", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return "%.*f%s" % (0 if seconds * scale >= 9.95 else 1, seconds * scale, unit)
    if seconds < 59.95:
        return "%.1fs" % seconds
    return _long_duration(int(seconds + 0.5))


def _long_duration(seconds):
    # type: (int) -> str
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return "%dm%02ds" % (minutes, seconds % 60)
    if hours < 24:
        return "%dh%02dm" % (hours, minutes % 60)
    if days < 100:
        return "%dd%02dh" % (days, hours % 24)
    return "%dd" % days if days < 10000 else ">9999d"


def count(number):
    # type: (float) -> str
    """A number in at most seven characters, exact up to 9999999, then 12.3M."""
    if number < 1e7:
        return "%.0f" % number
    for unit in "MGTPE":
        number /= 1e6 if unit == "M" else 1e3
        if number < 9999.5:
            break
    return "%.*f%s" % (1 if number < 999.95 else 0, number, unit)


def known_count(number):
    # type: (float) -> str
    """The same; NaN is `-`."""
    return "-" if math.isnan(number) else count(number)


def rate(per_second):
    # type: (float) -> str
    """Events per second in at most seven characters; NaN is `-`."""
    if math.isnan(per_second):
        return "-"
    if 0 < per_second < 0.995:
        return "%.2f" % per_second
    return "%.1f" % per_second if 0 < per_second < 99.95 else count(per_second)


def printable(text):
    # type: (str) -> str
    """The text with a `?` for each character that would do something to a terminal: names may be hostile."""
    return _native("".join("?" if unicodedata.category(c) in _UNPRINTABLE else c for c in characters(text)))


if sys.version_info[0] == 2:

    def characters(text):
        # type: (str) -> str
        """The characters of a text of the program, which Python 2 holds in bytes (six.ensure_text wants six 1.12)."""
        return text.decode("utf-8", "replace")  # type: ignore[attr-defined]

    def _native(text):
        # type: (str) -> str
        return text.encode("utf-8")  # type: ignore[return-value]

else:

    def characters(text):
        # type: (str) -> str
        """As above, for Python 3."""
        return text

    def _native(text):
        # type: (str) -> str
        return text


def _catch_up(seconds, net_rate):
    # type: (float, float) -> str
    """Catch-up time; `never` while the backlog does not shrink."""
    return "never" if math.isnan(seconds) and not math.isnan(net_rate) else duration(seconds)


def _hub_lines(snapshot, interval):
    # type: (Snapshot, Optional[Interval]) -> List[str]
    """What the hub is, where its messages come from, and how much there is of them."""
    hub = snapshot.hub
    status = snapshot.status() if snapshot.is_up() else snapshot.status().upper()
    life = "up %s" if snapshot.is_locked else "last sign of life %s ago"
    age = hub.uptime if snapshot.is_locked else hub.heartbeat_age
    about = (_short(hub.name, 40), status, life % duration(age), snapshot.pid, _short(hub.shape, 10))
    source = (_short(hub.source, 16), hub.connected, hub.endpoints, count(hub.malformed), count(hub.unrouted))
    pace = "" if interval is None else " (%s/s)" % rate(interval.hub.receive_rate)
    return [
        "%s: %s, %s, pid %d, shape %s, glasshub %s" % (about + (_short(hub.version, 16),)),
        "  source %s %d/%d connected, malformed %s, unrouted %s" % source,
        "  received %s%s, backlog %s%s" % (count(hub.received), pace, count(hub.backlog), _on_broker(hub)),
    ]


def _on_broker(hub):
    # type: (HubStats) -> str
    """How much more there is, and as of when."""
    if not hub.has_broker:
        return ""
    if math.isnan(hub.broker_ready):
        return " here, and nobody knows what waits on the broker"
    return " here and %s on the broker, %s ago" % (count(hub.broker_ready), duration(hub.broker_age))


def _caption(interval):
    # type: (Optional[Interval]) -> str
    if interval is None or interval.older is None:
        return "all figures since the start:"
    last = duration(interval.seconds)
    return "rates and times of the last %s; failed, invalid, dropped since the start:" % last


def _table(title, marks, rows, shown, width):
    # type: (str, Sequence[Mark], Sequence[object], Sequence[_Column], int) -> List[str]
    """Lines of a table with a row for each of `rows`, whose names and marks are in `marks`."""
    columns = [[column.top, column.title] + [column.text(row) for row in rows] for column in shown]
    names = _names(title, marks)
    if _width(columns) + min(max(_length(name) for name in names), _LONGEST_NAME) > width:
        optional = [column.optional for column in shown]
        columns = [cells for cells, may_go in zip(columns, optional) if not (may_go and set(cells[2:]) == {"0"})]
    left = max(width - _width(columns), _SHORTEST_NAME)
    return _aligned([_cut(name, left) for name in names], columns)


def _names(title, marks):
    # type: (str, Sequence[Mark]) -> List[str]
    """The first column: a mark in front of what does not run."""
    return ["", "  " + title] + ["%s %s" % (" " if is_well else "!", printable(name)) for name, is_well in marks]


def _aligned(names, columns):
    # type: (List[str], List[List[str]]) -> List[str]
    """The rows: names to the left, figures to the right."""
    widths = [max(len(cell) for cell in cells) for cells in columns]
    longest = max(_length(name) for name in names)
    rows = []
    for index, name in enumerate(names):
        figures = ["%*s" % (width, cells[index]) for width, cells in zip(widths, columns)]
        rows.append(" ".join([name + " " * (longest - _length(name))] + figures))
    return rows


def _width(columns):
    # type: (List[List[str]]) -> int
    """Columns of the terminal that the figures take, the blanks between them included."""
    return sum(max(len(cell) for cell in cells) + 1 for cells in columns)


def attention(snapshot):
    # type: (Snapshot) -> Iterator[str]
    """A sentence for whatever an operator should know and might not see in the figures; safe for a terminal."""
    hub, status = snapshot.hub, snapshot.status()
    if status == "down":
        yield "the hub's process is gone; these are its last figures"
    elif status == "stopped":
        yield "the hub was stopped; these are its last figures"
    elif status == "stuck":
        silent = (duration(hub.heartbeat_age), duration(hub.enqueuer_age))
        yield "the hub is stuck: no heartbeat of its main thread for %s, of its enqueuer for %s" % silent
    elif hub.connected < hub.endpoints:
        yield "the source is connected to %d of its %d endpoints%s" % (hub.connected, hub.endpoints, _lost(snapshot))
    for what in _of_broker(snapshot):
        yield what
    if hub.spool_blocking_age:
        yield "the disk of the spool refuses: nobody has got a new message for %s" % duration(hub.spool_blocking_age)
    for what in _of_gaps(snapshot):
        yield what
    for what in _of_processes(hub, status == "running"):
        yield what
    for consumer in snapshot.consumers:
        for what in _of_consumer(consumer, snapshot.is_locked):
            yield "%s %s" % (_short(consumer.name, 40), what)
    for producer in snapshot.producers:
        for what in _of_producer(producer, snapshot.is_locked):
            yield "%s %s" % (_short(producer.name, 40), what)


def _of_broker(snapshot):
    # type: (Snapshot) -> Iterator[str]
    """What is amiss between a hub that is up and its broker; how it is connected has been said."""
    hub = snapshot.hub
    if not (hub.has_broker and snapshot.is_up()):
        return
    if math.isnan(hub.broker_ready):
        yield "how much waits on the broker is not known: %s" % _silence(hub)
    if hub.broker_blocked:
        yield "the broker lacks memory or disk, and takes nothing from this hub: see its alarms"
    if not hub.connected:
        return
    idle = [consumer for consumer in snapshot.consumers if consumer.broker_queue and not consumer.broker_consuming]
    for consumer in idle:
        yield "%s gets nothing: its queue on the broker is not consumed, see the hub's log" % _short(consumer.name, 40)
    if not idle and hub.broker_consuming < hub.broker_queues:
        idle_queues = (hub.broker_queues - hub.broker_consuming, hub.broker_queues)
        yield "%d of %d queues on the broker are not consumed: see the hub's log" % idle_queues


def _silence(hub):
    # type: (HubStats) -> str
    """Why a broker has not said how much waits."""
    if not hub.connected:
        return "the hub is not connected to it"
    if math.isnan(hub.broker_age):
        return "it has not said so yet"
    return "it last said so %s ago" % duration(hub.broker_age)


def _of_gaps(snapshot):
    # type: (Snapshot) -> Iterator[str]
    hub = snapshot.hub
    if hub.gaps:
        ended = duration(max(snapshot.time - hub.gap_until, 0))
        gaps = (count(hub.gaps), duration(hub.gap_seconds), ended)
        yield "the bus may have lost messages in %s gaps of %s in all, the last one ended %s ago" % gaps
        if hub.backfilled or hub.backfill_missed or hub.backfill_errors:
            filled = (count(hub.backfilled), count(hub.backfill_missed), count(hub.backfill_errors))
            yield "of these gaps %s messages were fetched, up to %s missed, %s fetches failed" % filled


def _of_processes(hub, is_running):
    # type: (HubStats, bool) -> Iterator[str]
    if is_running and hub.shape == "processes" and not hub.worker_processes:
        yield "no worker process is up, and messages wait: see the hub's log"
    if hub.worker_restarts:
        restarts = count(hub.worker_restarts)
        yield "worker processes have died and were started anew: %s times, see the hub's log" % restarts


def _lost(snapshot):
    # type: (Snapshot) -> str
    """Since when endpoints that were connected are not any more."""
    hub = snapshot.hub
    return "; %d of them lost, for up to %s now" % (hub.lost, duration(hub.lost_age)) if hub.lost else ""


def _of_consumer(consumer, is_alive):
    # type: (ConsumerStats, bool) -> Iterator[str]
    if not consumer.initialized:
        yield "is not initialized and gets no messages: see the hub's log"
    elif is_alive and consumer.stuck:
        stuck = (consumer.stuck, consumer.workers, duration(consumer.current_age), duration(consumer.max_processing))
        yield "is stuck: %d of %d workers at one message for up to %s, the limit is %s" % stuck
    elif is_alive and consumer.current_age >= _LONG:
        yield "has been at one message for %s" % duration(consumer.current_age)
    if is_alive and consumer.blocking_age:
        yield "has no room: the enqueuer has been waiting for it, and with it everybody, for %s" % duration(
            consumer.blocking_age
        )
    if consumer.delayed:
        yield "has %s messages waiting to be tried again" % count(consumer.delayed)
    if consumer.parked:
        yield "has given up %s messages, which are parked: see glasshub spool" % count(consumer.parked)
    if consumer.interrupted or consumer.repeated:
        again = (count(consumer.interrupted), count(consumer.repeated))
        yield "has lost its process: %s messages at hand and %s that were finished came again" % again
    if consumer.dropped:
        yield "has lost %s messages for which there was no room" % count(consumer.dropped)
    if is_alive and consumer.fetching:
        yield "is being given its backlog of before the start: %s messages so far" % count(consumer.fetched)
    if consumer.fetch_missed:
        yield "has not got the oldest %s messages of its backlog of before the start" % count(consumer.fetch_missed)
    if consumer.fetch_errors:
        yield "could not be given its backlog of before the start: %s errors, see the hub's log" % count(
            consumer.fetch_errors
        )


def _of_producer(producer, is_alive):
    # type: (ProducerStats, bool) -> Iterator[str]
    if not producer.initialized:
        yield "is not initialized and does not poll: see the hub's log"
    elif is_alive and producer.current_age >= _LONG:
        yield "has been at one poll for %s" % duration(producer.current_age)
    elif is_alive and producer.overdue >= _LONG:
        yield "should have polled %s ago" % duration(producer.overdue)


def _short(text, length):
    # type: (str, int) -> str
    return _cut(printable(text), length)


def _length(text):
    # type: (str) -> int
    return len(characters(text))


def _cut(text, width):
    # type: (str, int) -> str
    """The text, its end replaced by `~` where it is longer than `width` characters."""
    whole = characters(text)
    return text if len(whole) <= width else _native(whole[: width - 1] + "~")
