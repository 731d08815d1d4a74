# SPDX-License-Identifier: LGPL-2.1-or-later
"""A snapshot as text: JSON, OpenMetrics, and a table for people.

What is shown, its names, units and help texts come from `glasshub_stats.schema`; a metric that is declared
there appears here without another line of code.
"""

from __future__ import absolute_import

import json
import math
from collections import namedtuple

from . import schema
from .histogram import Histogram
from .snapshot import PHASES
from .table import as_text, characters

MYPY = False
if MYPY:
    from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

    from .interval import ConsumerInterval, Interval
    from .snapshot import Snapshot

    Labels = Tuple[Tuple[str, str], ...]

__all__ = ["as_dict", "as_json", "as_openmetrics", "as_text"]

_HUB = schema.attributes(schema.HUB_FIELDS, schema.HUB_DERIVED)
_CONSUMER = schema.attributes(schema.CONSUMER_FIELDS + schema.WORKER_FIELDS, schema.CONSUMER_DERIVED)
_PRODUCER = schema.attributes(schema.PRODUCER_FIELDS, schema.PRODUCER_DERIVED)
_INTERVAL = tuple(metric.name for metric in schema.INTERVAL_DERIVED)
_HUB_TEXTS = tuple(metric.name for metric in schema.HUB_FIELDS if metric.kind == schema.TEXT)
_PERCENTILES = (50, 95, 99)

#: What `Snapshot.status` may say.
_STATUSES = PHASES + ("stuck", "down", "unknown")

#: What OpenMetrics wants at the end of a name; a metric of any other unit is called as in the schema.
_SUFFIXES = {
    "messages": "messages",
    "endpoints": "endpoints",
    "bytes": "bytes",
    "seconds": "seconds",
    "unix time": "timestamp_seconds",
}

_Family = namedtuple("_Family", "name type unit help")


def as_dict(snapshot, interval=None):
    # type: (Snapshot, Optional[Interval]) -> Dict[str, Any]
    """The snapshot as a structure of dicts, lists, texts and numbers that JSON can hold.

    Durations are seconds, times unix time. A histogram is summed up since the hub started: `count`, `sum`, `mean`,
    `p50`, `p95`, `p99`, `upper`. What is not known (NaN) is None; there are figures of a broker where there is one.
    With an interval there is `interval`: its length, and for each consumer rates, and histograms of the interval alone.
    """
    told = {
        "path": _valid(snapshot.path),
        "time": snapshot.time,
        "pid": snapshot.pid,
        "generation": "%016x" % snapshot.generation,  # JavaScript rounds numbers above 2**53
        "alive": snapshot.is_locked,
        "status": snapshot.status(),
        "hub": _texts_and_numbers(snapshot.hub, _HUB_TEXTS, _HUB),
        "consumers": [_texts_and_numbers(consumer, ("name",), _CONSUMER) for consumer in snapshot.consumers],
        "producers": [_texts_and_numbers(producer, ("name",), _PRODUCER) for producer in snapshot.producers],
    }  # type: Dict[str, Any]
    if interval is not None:
        consumers = [_interval(consumer) for consumer in interval.consumers]
        told["interval"] = {"seconds": interval.seconds, "consumers": consumers}
    return told


def as_json(snapshot, interval=None):
    # type: (Snapshot, Optional[Interval]) -> str
    """The structure of `as_dict` as JSON: one line of ASCII, without a line end."""
    return json.dumps(as_dict(snapshot, interval), allow_nan=False)


def as_openmetrics(*snapshots):
    # type: (*Snapshot) -> str
    """A page of OpenMetrics text (version 1.0.0) that shows one hub or several; UTF-8, ends with a line end.

    A family is called `glasshub_hub_<metric>`, `glasshub_consumer_<metric>` or `glasshub_producer_<metric>`, with its
    unit behind it.
    """
    lines = []  # type: List[str]
    hubs = [(_labels(snapshot), snapshot.hub) for snapshot in snapshots]
    lines += _info(snapshots)
    lines += _status(snapshots)
    for metric in _HUB:
        lines += _exposition("hub", metric, hubs)
    consumers = [(_labels(snapshot, consumer=c.name), c) for snapshot in snapshots for c in snapshot.consumers]
    for metric in _CONSUMER:
        lines += _exposition("consumer", metric, consumers)
    producers = [(_labels(snapshot, producer=p.name), p) for snapshot in snapshots for p in snapshot.producers]
    for metric in _PRODUCER:
        lines += _exposition("producer", metric, producers)
    return "\n".join(lines + ["# EOF", ""])


def _texts_and_numbers(stats, texts, metrics):
    # type: (object, Iterable[str], Iterable[schema.Metric]) -> Dict[str, Any]
    plain = {name: getattr(stats, name) for name in texts}  # type: Dict[str, Any]
    plain.update((metric.name, _plain(getattr(stats, metric.name))) for metric in metrics if _has(stats, metric))
    return plain


def _has(stats, metric):
    # type: (Any, schema.Metric) -> bool
    """Whether there is anything to say: what has no queue on a broker has nothing to say of one."""
    return not schema.is_of_broker(metric) or bool(stats.has_broker)


def _interval(consumer):
    # type: (ConsumerInterval) -> Dict[str, Any]
    told = {"name": consumer.name}  # type: Dict[str, Any]
    told.update((name, _plain(getattr(consumer, name))) for name in _INTERVAL + ("wait", "processing"))
    return told


def _plain(value):
    # type: (Any) -> Any
    if isinstance(value, Histogram):
        return _summary(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _summary(histogram):
    # type: (Histogram) -> Dict[str, Any]
    summary = {"count": histogram.count, "sum": histogram.total}  # type: Dict[str, Any]
    summary["mean"] = _plain(histogram.mean)
    for percent in _PERCENTILES:
        summary["p%d" % percent] = _plain(histogram.percentile(percent))
    summary["upper"] = _plain(histogram.upper)
    return summary


def _valid(path):
    # type: (str) -> str
    """A path that UTF-8 can hold: file names are bytes, JSON and its readers want characters."""
    return characters(path).encode("utf-8", "replace").decode("utf-8")


def _exposition(part, metric, stats):
    # type: (str, schema.Metric, Iterable[Tuple[Labels, object]]) -> Iterator[str]
    """All lines of a metric of the schema."""
    family = _family(part, metric)
    for line in _head(family):
        yield line
    for labels, owner in stats:
        if not _has(owner, metric):
            continue
        value = getattr(owner, metric.name)
        if family.type == "histogram":
            for line in _buckets(family.name, labels, value):
                yield line
        else:
            yield _sample(family.name + ("_total" if family.type == "counter" else ""), labels, value)


def _family(part, metric):
    # type: (str, schema.Metric) -> _Family
    name = "glasshub_%s_%s" % (part, metric.name)
    suffix = _SUFFIXES.get(metric.unit, "")
    if suffix and not name.endswith("_" + suffix):
        name = "%s_%s" % (name, suffix)
    return _Family(name, metric.kind, suffix.split("_")[-1], metric.help)


def _head(family):
    # type: (_Family) -> Iterator[str]
    yield "# TYPE %s %s" % (family.name, family.type)
    if family.unit:
        yield "# UNIT %s %s" % (family.name, family.unit)
    yield "# HELP %s %s" % (family.name, _escaped(family.help))


def _buckets(name, labels, histogram):
    # type: (str, Labels, Histogram) -> Iterator[str]
    for edge, below in histogram.octaves():
        yield _sample(name + "_bucket", labels + (("le", _number(edge)),), below)
    yield _sample(name + "_bucket", labels + (("le", "+Inf"),), histogram.count)
    yield _sample(name + "_sum", labels, histogram.total)
    yield _sample(name + "_count", labels, histogram.count)


def _info(snapshots):
    # type: (Sequence[Snapshot]) -> Iterator[str]
    """The hubs' texts, as the labels of a sample that is always 1."""
    for line in _head(_Family("glasshub_hub", "info", "", "What the hub is.")):
        yield line
    for snapshot in snapshots:
        texts = tuple((name, getattr(snapshot.hub, name)) for name in _HUB_TEXTS if name != "name")
        yield _sample("glasshub_hub_info", _labels(snapshot) + texts, 1)


def _status(snapshots):
    # type: (Sequence[Snapshot]) -> Iterator[str]
    name = "glasshub_hub_status"
    for line in _head(_Family(name, "stateset", "", "What the hub is doing, seen from outside.")):
        yield line
    for snapshot in snapshots:
        now = snapshot.status()
        for status in _STATUSES:
            yield _sample(name, _labels(snapshot) + ((name, status),), int(status == now))


def _labels(snapshot, **part):
    # type: (Snapshot, **str) -> Labels
    return (("hub", snapshot.hub.name),) + tuple(part.items())


def _sample(name, labels, value):
    # type: (str, Labels, Any) -> str
    written = ",".join('%s="%s"' % (label, _escaped(text)) for label, text in labels)
    return "%s{%s} %s" % (name, written, _number(value))


def _escaped(text):
    # type: (str) -> str
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value):
    # type: (Any) -> str
    if isinstance(value, str):  # the phase: a word in a snapshot, its number here
        return str(PHASES.index(value)) if value in PHASES else "NaN"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    return "%d" % value
