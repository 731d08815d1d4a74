# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recording rules for Prometheus: hubs of one name on several machines, added up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .figures import COLLECTD, PAGE
from .names import of_page, of_write_prometheus

_WINDOW = "5m"

_NOTE = """\
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Hubs of one name on several machines, added up; for numbers that come to Prometheus by {source}.
# docs/several-machines.md tells what each total means. Written by `make docs` from tools/definitions; better than to
# edit it is to have a file of your own beside it.
#
#     promtool check rules {file}
"""

_SOURCES = {
    PAGE: ("Glasshub's own OpenMetrics page", "glasshub-totals.rules.yml"),
    COLLECTD: ("collectd's write_prometheus plugin", "glasshub-collectd-totals.rules.yml"),
}

#: What stays when machines are added up, by source and by whose number it is.
_LABELS = {
    PAGE: {"hub": "hub", "consumer": "hub, consumer"},
    COLLECTD: {"hub": "glasshub", "consumer": "glasshub"},
}

#: The totals that collectd has made itself, and perhaps exposes beside what they are made of, are left out. The label
#: has the second name where Prometheus does not honour those of collectd.
_NO_TOTALS = 'instance!="all",exported_instance!="all"'


@dataclass(frozen=True)
class Total:
    """One number of all machines.

    Attributes:
        record: The name, without whose number it is.
        part: hub or consumer.
        expressions: PromQL, by source.
    """

    record: str
    part: str
    expressions: dict[str, str]

    @property
    def name(self) -> str:
        """As Prometheus has it."""
        return f"{self.part}:{self.record}"


def totals() -> Iterator[Total]:
    """All totals."""
    yield _total("hub", "up", "sum", "hub_up", "gauge", "up")
    backlog = _total("consumer", "backlog_messages", "sum", "consumer_backlog_messages", "queue_length", "")
    ready = _total(
        "consumer",
        "broker_ready_messages",
        "max",
        "consumer_broker_ready_messages",
        "queue_length",
        "broker-ready",
    )
    yield backlog
    yield ready
    yield _total(
        "consumer",
        "broker_unacknowledged_messages",
        "sum",
        "consumer_broker_unacknowledged_messages",
        "queue_length",
        "broker-unacknowledged",
    )
    # A consumer without a queue on a broker has nothing there.
    whole = f"{backlog.name} + ({ready.name} or 0 * {backlog.name})"
    yield Total("glasshub_total_backlog_messages:sum", "consumer", {PAGE: whole, COLLECTD: whole})
    yield _total("consumer", "broker_hubs", "max", "consumer_broker_hubs", "count", "hubs")
    yield _total("consumer", "oldest_age_seconds", "max", "consumer_oldest_age_seconds", "duration", "oldest")
    for counter in ("enqueued", "processed", "failed", "dropped"):
        yield _rate(counter)
    for word, kind in (("wait", "wait"), ("processing", "process")):
        yield _percentile(word, kind)


def total_rules() -> dict[str, str]:
    """The files, by name."""
    return {file: _file(source) for source, (_, file) in _SOURCES.items()}


def _file(source: str) -> str:
    whence, file = _SOURCES[source]
    lines = [_NOTE.format(source=whence, file=file), "groups:", f"  - name: glasshub-{source}-totals", "    rules:"]
    for total in totals():
        lines += [f"      - record: {total.name}", f"        expr: {json.dumps(total.expressions[source])}"]
    return "\n".join(lines) + "\n"


def _total(part: str, record: str, function: str, page: str, kind: str, instance: str) -> Total:
    selectors = {PAGE: of_page(page), COLLECTD: _of_collectd(part, kind, instance)}
    added = {source: _added(function, source, part, selector) for source, selector in selectors.items()}
    return Total(f"glasshub_{record}:{function}", part, added)


def _rate(counter: str) -> Total:
    counters = {
        PAGE: of_page(f"consumer_{counter}_messages_total"),
        COLLECTD: _of_collectd("consumer", "operations", counter),
    }
    rates = {source: _added("sum", source, "consumer", f"rate({each}[{_WINDOW}])") for source, each in counters.items()}
    return Total(f"glasshub_{counter}_messages:rate{_WINDOW}", "consumer", rates)


def _percentile(word: str, kind: str) -> Total:
    """Of all messages on all machines; by collectd, which has no histograms, of the machine where it is worst."""
    buckets = f"sum by (hub, consumer, le) (rate({of_page(f'consumer_{word}_seconds_bucket')}[{_WINDOW}]))"
    worst = _added("max", COLLECTD, "consumer", _of_collectd("consumer", "latency", f"{kind}-percentile-95"))
    expressions = {PAGE: f"histogram_quantile(0.95, {buckets})", COLLECTD: worst}
    return Total(f"glasshub_{word}_seconds:p95", "consumer", expressions)


def _added(function: str, source: str, part: str, selector: str) -> str:
    return f"{function} by ({_LABELS[source][part]}) ({selector})"


def _of_collectd(part: str, kind: str, instance: str) -> str:
    """The label `glasshub` has the plugin instance: HUB or HUB.CONSUMER, and HUB.producer.PRODUCER."""
    whose = 'glasshub=~".+[.].+",glasshub!~"[^.]+[.]producer[.].+"' if part == "consumer" else 'glasshub!~".+[.].+"'
    return of_write_prometheus(part, kind, instance, more=f"{whose},{_NO_TOTALS}")
