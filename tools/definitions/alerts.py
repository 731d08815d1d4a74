# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts for Prometheus: those of thresholds.conf, and what a rate can tell besides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .figures import COLLECTD, PAGE, Figure, Figures

_WINDOW = "15m"

#: What an alert is about, in its text.
_WHOSE = {
    COLLECTD: dict.fromkeys(("hub", "consumer", "producer"), "{{ $labels.glasshub }}"),
    PAGE: {
        "hub": "hub {{ $labels.hub }}",
        "consumer": "{{ $labels.consumer }} of hub {{ $labels.hub }}",
        "producer": "{{ $labels.producer }} of hub {{ $labels.hub }}",
    },
}

_NOTE = """\
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Alerts for hubs whose numbers come to Prometheus by {source}.
# Written by `make docs` from tools/definitions; better than to edit it is to have a file of your own beside it.
#
#     promtool check rules {file}
"""

_SOURCES = {COLLECTD: "collectd's write_prometheus plugin", PAGE: "Glasshub's own OpenMetrics page"}


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        name: Of the alert.
        severity: warning or critical.
        figure: What is judged.
        condition: When it is bad.
        lasting: For how long it has to be, before anybody is told.
        says: What is bad, behind whom it is about; the value is `{{ $value }}`.
    """

    name: str
    severity: str
    figure: Figure
    condition: str
    lasting: str
    says: str


def alerts() -> Iterator[Alert]:
    """All alerts."""
    f = Figures(is_dashboard=False, window=_WINDOW)
    up = f.gauge("hub", "gauge", "up", "hub_up")
    yield Alert("GlasshubHubDown", "critical", up, "== 0", "1m", "is down, or stuck")
    connected = f.gauge("hub", "gauge", "connected", "hub_connected_endpoints")
    yield Alert("GlasshubBusLost", "critical", connected, "== 0", "1m", "is connected to no endpoint of the bus")
    consuming = f.gauge("consumer", "gauge", "broker_consuming", "consumer_broker_consuming")
    cut_off = "gets nothing: its queue on the broker is not consumed"
    yield Alert("GlasshubQueueNotConsumed", "critical", consuming, "== 0", "2m", cut_off)
    ready = f.gauge("consumer", "queue_length", "broker-ready", "consumer_broker_ready_messages")
    piling_up = "is behind: {{ $value | humanize }} messages have come to the broker for it, and stay there"
    yield Alert("GlasshubBrokerBacklog", "warning", ready, "> 1000", "15m", piling_up)
    silence = f.gauge("hub", "duration", "broker-asked", "hub_broker_age_seconds")
    silent = "has not heard from its broker for {{ $value | humanizeDuration }} how many messages wait there"
    yield Alert("GlasshubBrokerSilent", "warning", silence, "> 15", "2m", silent)
    blocked = f.gauge("hub", "gauge", "broker_blocked", "hub_broker_blocked")
    refuses = "cannot publish: its broker lacks memory or disk"
    yield Alert("GlasshubBrokerBlocked", "warning", blocked, "== 1", "5m", refuses)
    built = f.gauge("consumer", "gauge", "initialized", "consumer_initialized")
    yield Alert("GlasshubConsumerNotBuilt", "warning", built, "== 0", "0m", "failed to start, and does nothing")
    oldest = f.gauge("consumer", "duration", "oldest", "consumer_oldest_age_seconds")
    waiting = "is behind: its oldest message has been waiting for {{ $value | humanizeDuration }}"
    yield Alert("GlasshubConsumerBehind", "warning", oldest, "> 300", "1m", waiting)
    yield Alert("GlasshubConsumerFarBehind", "critical", oldest, "> 1800", "1m", waiting)
    current = f.gauge("consumer", "duration", "current", "consumer_current_age_seconds")
    hangs = "hangs: it has been at one message for {{ $value | humanizeDuration }}"
    yield Alert("GlasshubConsumerHangs", "critical", current, "> 900", "1m", hangs)
    slow = "will need {{ $value | humanizeDuration }} to catch up"
    yield Alert("GlasshubCatchUpSlow", "warning", f.catch_up(), "> 3600", "10m", slow)
    failed = f.rate("consumer", "failed")
    fails = "fails on {{ $value | humanize }} messages a second"
    yield Alert("GlasshubConsumerFails", "warning", failed, "> 0", "15m", fails)
    dropped = f.rate("consumer", "dropped")
    drops = "has lost messages: there was no room for {{ $value | humanize }} a second"
    yield Alert("GlasshubMessagesDropped", "critical", dropped, "> 0", "0m", drops)
    overdue = f.gauge("producer", "duration", "overdue", "producer_overdue_seconds")
    late = "should have polled {{ $value | humanizeDuration }} ago"
    yield Alert("GlasshubProducerOverdue", "warning", overdue, "> 300", "1m", late)


def rules() -> dict[str, str]:
    """The files, by name."""
    names = {PAGE: "glasshub.rules.yml", COLLECTD: "glasshub-collectd.rules.yml"}
    return {file: _file(file, source) for source, file in names.items()}


def _file(file: str, source: str) -> str:
    lines = [_NOTE.format(source=_SOURCES[source], file=file), "groups:", f"  - name: glasshub-{source}", "    rules:"]
    for alert in alerts():
        lines += _rule(alert, source)
    return "\n".join(lines) + "\n"


def _rule(alert: Alert, source: str) -> Iterator[str]:
    """What JSON writes as a text, YAML reads as one."""
    yield f"      - alert: {alert.name}"
    yield f"        expr: {json.dumps(f'{alert.figure.promql(source)} {alert.condition}')}"
    yield f"        for: {alert.lasting}"
    yield f"        labels: {{severity: {alert.severity}}}"
    yield f"        annotations: {{summary: {json.dumps(f'{_WHOSE[source][alert.figure.part]} {alert.says}')}}}"
