# SPDX-License-Identifier: LGPL-2.1-or-later
"""What collectd is told of a hub: named values, for the plugin's read callback and for `PUTVAL` lines alike.

Only types of collectd's own types.db. `docs/collectd.md` explains every name to the operator; the counters come
from `glasshub_stats.schema`. collectd cuts a name of more than 127 bytes without a word and makes files of names, so
that every name passes through `clean`.
"""

from __future__ import absolute_import

import hashlib
import math
import re
from collections import namedtuple

from . import schema
from .histogram import EDGES
from .snapshot import STALE_AFTER

MYPY = False
if MYPY:
    from typing import Any, Callable, Iterator, Optional, Sequence, Tuple, Union

    from .histogram import Histogram
    from .interval import ConsumerInterval, HubInterval, Interval
    from .snapshot import ConsumerStats, HubStats, ProducerStats

    Number = Union[int, float]
    IsWanted = Optional[Callable[[str], bool]]

#: One number for collectd. `value` is an int in [0, 2**63) for a DERIVE type; NaN is collectd's "unknown".
Value = namedtuple("Value", "plugin plugin_instance type type_instance value")

#: The ways to name values: our own, and that of Fedora Infrastructure's exec script of 2014.
NAMINGS = ("default", "fedmsg")

#: Percentiles of processing and wait that are dispatched unless the operator wants others.
PERCENTILES = (50, 95, 99)

_NAN = float("nan")
_MOST_BYTES = 127  # DATA_MAX_NAME_LEN of collectd is 128, its final NUL included
_PART_BYTES = _MOST_BYTES // 2  # a hub, a dot, a consumer
_MOST_DERIVE = (1 << 63) - 1

#: In front of a producer's name in its plugin instance; no consumer's begins so.
_PRODUCER_PREFIX = "producer."

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+\Z")
_STRANGE = re.compile(r"[^A-Za-z0-9_.:-]")
_HASHED = re.compile(r"-[0-9a-f]{12}\Z")

_CONSUMER_COUNTERS = tuple(
    m.name
    for m in schema.WORKER_FIELDS + schema.CONSUMER_FIELDS
    if m.kind == schema.COUNTER and m.unit in ("messages", "errors") and not schema.is_of_broker(m)
)
_PRODUCER_COUNTERS = ("runs", "failures")
_HUB_COUNTERS = ("received", "malformed", "unrouted", "disconnects", "gaps", "spool_errors", "worker_restarts") + tuple(
    m.name for m in schema.HUB_FIELDS if m.kind == schema.COUNTER and m.name.startswith("backfill")
)


def of_interval(
    interval,
    hub="",
    naming="default",
    percentiles=PERCENTILES,
    stale_after=STALE_AFTER,
    is_wanted=None,
):
    # type: (Interval, str, str, Sequence[float], float, IsWanted) -> Iterator[Value]
    """The values of one hub over an interval, `up` first.

    A hub that is down or stopped has `up` and nothing else: its last figures are no news. A stuck one has `up` 0 and
    its figures, which are still true.

    Args:
        interval: What happened since the last look; one without length leaves latencies and rates unknown (NaN).
        hub: The name to call the hub by; its own by default.
        naming: One of `NAMINGS`; naming `fedmsg` has no producers.
        percentiles: In percent; naming `fedmsg` has none.
        stale_after: Seconds after which a heartbeat is old, see `Snapshot.status`.
        is_wanted: Says by a consumer's name whether its values are wanted; all are by default.
    """
    snapshot = interval.newer
    hub = hub or snapshot.hub.name
    status = snapshot.status(stale_after)
    yield of_hub_up(hub, snapshot.is_up(stale_after), naming)
    if status in ("down", "stopped"):
        return
    consumers = [c for c in interval.consumers if is_wanted is None or is_wanted(c.name)]
    instance = hub_instance(hub, naming)
    if naming == "fedmsg":
        for consumer in consumers:
            for value in _of_consumer_as_fedmsg(consumer, instance, interval.seconds > 0):
                yield value
        return
    for value in _of_hub(interval, instance):
        yield value
    for consumer in consumers:
        for value in _of_consumer(consumer, instance, percentiles):
            yield value
    for producer in snapshot.producers:
        for value in _of_producer(producer, instance):
            yield value


def of_hub_up(hub, is_up, naming="default"):
    # type: (str, bool, str) -> Value
    """Whether the hub is alive and well: the one value that is there whatever happens."""
    return Value(_plugin(naming), hub_instance(hub, naming), "gauge", "up", int(is_up))


def hub_instance(hub, naming="default"):
    # type: (str, str) -> str
    """The plugin instance of a hub.

    Naming `fedmsg` calls hub `fedmsg-irc` `irc`, and every hub whose name does not begin with `fedmsg-` `hub`, since
    the old graphs are of `fedmsg-hub`. By default it is the hub's name, in which a dot counts as a strange character:
    the first dot in `<hub>.<consumer>` is ours.
    """
    if naming == "fedmsg":
        return clean(hub[len("fedmsg-") :] if hub.startswith("fedmsg-") else "hub")
    return clean(hub, _PART_BYTES, "." in hub)


def consumer_part(name):
    # type: (str) -> str
    """What stands behind the hub's name and a dot in the plugin instance of a consumer, naming `default`."""
    return clean(name, _PART_BYTES, name.startswith(_PRODUCER_PREFIX))


def clean(name, most_bytes=_MOST_BYTES, is_strange=False):
    # type: (str, int, bool) -> str
    """A name that collectd takes as it is; two different names never become the same one.

    A name is kept when it has at most `most_bytes` of `[A-Za-z0-9_.:-]` alone. Of any other one, strange characters
    become underscores, it is cut, and 12 hexadecimal digits of its SHA-256 follow, as they do on a name that looks as
    if it had been through this already.

    Args:
        name: Any text.
        most_bytes: How long the answer may be; 14 at least.
        is_strange: Treat the name, and the dots in it, as strange.
    """
    if _PLAIN.match(name) and len(name) <= most_bytes and not is_strange and not _HASHED.search(name):
        return str(name)
    raw = _raw(name)
    suffix = "-" + hashlib.sha256(raw).hexdigest()[:12]
    ascii_name = _STRANGE.sub("_", str(raw.decode("utf-8", "replace").encode("ascii", "replace").decode("ascii")))
    if is_strange:
        ascii_name = ascii_name.replace(".", "_")
    return ascii_name[: most_bytes - len(suffix)] + suffix


def _raw(name):
    # type: (Any) -> bytes
    if isinstance(name, bytes):  # a native string of Python 2
        return name
    # A name that was decoded from bytes that are no UTF-8 has lone surrogates on Python 3.
    return bytes(name.encode("utf-8", "surrogatepass"))


def putval(value, host, interval, time=None):
    # type: (Value, str, float, Optional[float]) -> str
    """One line of collectd's exec and unixsock protocol, without its newline.

    Args:
        value: What to put.
        host: The host's name; a character that would end or split the identifier becomes an underscore.
        interval: Seconds between two such lines for the same value, above 0.
        time: Unix time; collectd takes its own clock when it is None.
    """
    host = re.sub(r"[\x00-\x20/\x7f]", "_", host)
    quoted = identifier(value, host).replace("\\", "\\\\").replace('"', '\\"')
    when = "N" if time is None else "%.3f" % time
    return 'PUTVAL "%s" interval=%s %s:%s' % (quoted, _written(interval), when, _written(value.value))


def identifier(value, host):
    # type: (Value, str) -> str
    """What collectd calls a value: HOST/PLUGIN-INSTANCE/TYPE-INSTANCE; its rrdtool plugin calls files so."""
    source, kind = _joined(value.plugin, value.plugin_instance), _joined(value.type, value.type_instance)
    return "/".join([host, source, kind])


def _of_hub(interval, instance):
    # type: (Interval, str) -> Iterator[Value]
    hub = interval.newer.hub
    yield Value("glasshub", instance, "uptime", "", hub.uptime)
    yield Value("glasshub", instance, "queue_length", "", hub.backlog)
    yield Value("glasshub", instance, "gauge", "connected", hub.connected)
    yield Value("glasshub", instance, "gauge", "lost", hub.lost)
    yield Value("glasshub", instance, "gauge", "backfilling", hub.backfilling)
    yield Value("glasshub", instance, "gauge", "worker_processes", hub.worker_processes)
    yield Value("glasshub", instance, "duration", "lost", hub.lost_age)
    yield Value("glasshub", instance, "gauge", "spool_messages", hub.spool_messages)
    yield Value("glasshub", instance, "bytes", "spool", hub.spool_bytes)
    yield Value("glasshub", instance, "duration", "spool-blocking", hub.spool_blocking_age)
    yield Value("glasshub", instance, "total_time_in_ms", "gaps", _derive(hub.gap_ns // 1000000))
    if hub.has_broker:
        for value in _of_broker(hub, instance):
            yield value
        yield Value("glasshub", instance, "gauge", "broker_queues", hub.broker_queues)
        yield Value("glasshub", instance, "gauge", "broker_consuming", hub.broker_consuming)
        yield Value("glasshub", instance, "gauge", "broker_blocked", hub.broker_blocked)
        yield Value("glasshub", instance, "operations", "broker_faults", _derive(hub.broker_faults))
    for name in _HUB_COUNTERS:
        yield Value("glasshub", instance, "operations", name, _derive(getattr(hub, name)))


def _of_consumer(consumer, hub, percentiles):
    # type: (ConsumerInterval, str, Sequence[float]) -> Iterator[Value]
    now = consumer.now
    instance = "%s.%s" % (hub, consumer_part(consumer.name))
    yield Value("glasshub", instance, "queue_length", "", now.backlog)
    for name in _CONSUMER_COUNTERS:
        yield Value("glasshub", instance, "operations", name, _derive(getattr(now, name)))
    for word, histogram in (("process", consumer.processing), ("wait", consumer.wait)):
        for statistic, seconds in _statistics(histogram, percentiles):
            yield Value("glasshub", instance, "latency", "%s-%s" % (word, statistic), seconds)
    yield Value("glasshub", instance, "duration", "oldest", now.oldest_age)
    yield Value("glasshub", instance, "duration", "current", now.current_age)
    yield Value("glasshub", instance, "duration", "blocking", now.blocking_age)
    yield Value("glasshub", instance, "duration", "catch-up", consumer.catch_up)
    yield Value("glasshub", instance, "percent", "busy", 100.0 * consumer.busy)
    yield Value("glasshub", instance, "threads", "", now.workers)
    yield Value("glasshub", instance, "gauge", "initialized", now.initialized)
    yield Value("glasshub", instance, "gauge", "fetching", now.fetching)
    yield Value("glasshub", instance, "gauge", "delayed", now.delayed)
    yield Value("glasshub", instance, "gauge", "stuck", now.stuck)
    if now.has_broker:
        for value in _of_broker(now, instance):
            yield value
        yield Value("glasshub", instance, "gauge", "broker_consuming", now.broker_consuming)
        yield Value("glasshub", instance, "gauge", "prefetch", now.broker_prefetch)
        yield Value("glasshub", instance, "count", "hubs", now.broker_hubs)


def _of_broker(stats, instance):
    # type: (Union[ConsumerStats, HubStats], str) -> Iterator[Value]
    """What waits on a broker for a consumer, or for the hub."""
    yield Value("glasshub", instance, "queue_length", "broker-ready", stats.broker_ready)
    yield Value("glasshub", instance, "queue_length", "broker-unacknowledged", stats.broker_unacknowledged)
    yield Value("glasshub", instance, "queue_length", "total", stats.total_backlog)
    yield Value("glasshub", instance, "duration", "broker-asked", stats.broker_age)
    yield Value("glasshub", instance, "operations", "redelivered", _derive(stats.broker_redelivered))


def _of_producer(producer, hub):
    # type: (ProducerStats, str) -> Iterator[Value]
    name = _PRODUCER_PREFIX + clean(producer.name, _PART_BYTES - len(_PRODUCER_PREFIX))
    instance = "%s.%s" % (hub, name)
    for counter in _PRODUCER_COUNTERS:
        yield Value("glasshub", instance, "operations", counter, _derive(getattr(producer, counter)))
    yield Value("glasshub", instance, "duration", "last", producer.last_duration)
    yield Value("glasshub", instance, "duration", "current", producer.current_age)
    yield Value("glasshub", instance, "duration", "since-run", producer.since_run)
    yield Value("glasshub", instance, "duration", "overdue", producer.overdue)
    yield Value("glasshub", instance, "gauge", "initialized", producer.initialized)


def _statistics(histogram, percentiles):
    # type: (Histogram, Sequence[float]) -> Iterator[Tuple[str, float]]
    yield "average", histogram.mean
    for percent in percentiles:
        yield "percentile-%s" % _written(percent), histogram.percentile(percent)
    yield "upper", histogram.upper


def _of_consumer_as_fedmsg(consumer, instance, is_known):
    # type: (ConsumerInterval, str, bool) -> Iterator[Value]
    """Moksha's numbers: its headcounts, which it reset at each look, were counts of one interval.

    Moksha counts a message `in` when it comes and `out` when a worker takes it, whatever becomes of it. Its backlog was
    all that waited: here it is that on a broker, too.
    """
    name = clean(consumer.name, _MOST_BYTES - len("_exceptions"))
    yield Value("fedmsg", instance, "queue_length", name + "_backlog", consumer.now.total_backlog)
    for word, count in (("exceptions", consumer.failed), ("in", consumer.enqueued), ("out", consumer.dequeued)):
        yield Value("fedmsg", instance, "gauge", "%s_%s" % (name, word), count if is_known else _NAN)
    times = consumer.processing
    for word, seconds in (("min", _shortest(times)), ("max", times.upper), ("avg", times.mean)):
        yield Value("fedmsg", instance, "response_time", "%s_%s" % (name, word), 1000.0 * seconds)


def _shortest(histogram):
    # type: (Histogram) -> float
    """No duration was shorter, in seconds; NaN when nothing was counted."""
    for bucket, count in enumerate(histogram.counts):
        if count:
            return EDGES[bucket]
    return _NAN


def _plugin(naming):
    # type: (str) -> str
    return "fedmsg" if naming == "fedmsg" else "glasshub"


def _derive(count):
    # type: (int) -> int
    """Within the range of DERIVE, beyond which collectd's Python plugin raises."""
    return min(max(int(count), 0), _MOST_DERIVE)


def _joined(word, instance):
    # type: (str, str) -> str
    return "%s-%s" % (word, instance) if instance else word


def _written(number):
    # type: (Number) -> str
    """The shortest form that reads back as the same number; `U` for an unknown one."""
    if math.isnan(number) or math.isinf(number):
        return "U"
    return "%d" % number if number == int(number) else repr(float(number))
