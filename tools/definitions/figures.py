# SPDX-License-Identifier: LGPL-2.1-or-later
"""What dashboards show and alerts judge, each under the three names that it has.

In the expressions stand `$hub` and `$consumer` of a dashboard, or nothing where everybody is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .names import of_graphite, of_page, of_write_prometheus

#: Ways to expose the numbers to Prometheus: collectd's write_prometheus plugin, and our own page.
COLLECTD, PAGE = "collectd", "page"

#: The interval of a rate in Grafana, which knows how often Prometheus looks.
_GRAFANAS = "$__rate_interval"


@dataclass(frozen=True)
class Figure:
    """One number of a hub, of a consumer or of a producer.

    Attributes:
        name: For people.
        part: hub, consumer or producer.
        unit: As Grafana calls it.
        collectd: PromQL on what write_prometheus exposes.
        page: PromQL on our own page.
        graphite: The last node of its Graphite path.
    """

    name: str
    part: str
    unit: str
    collectd: str
    page: str
    graphite: str


class Figures:
    """All figures, of everybody or of what is chosen in a dashboard."""

    def __init__(self, *, is_dashboard: bool, window: str = _GRAFANAS) -> None:
        """Prepare.

        Args:
            is_dashboard: Leave to the reader of a dashboard whose numbers they are.
            window: The time over which rates are taken.
        """
        self._is_dashboard = is_dashboard
        self._window = window

    def gauge(self, name: str, part: str, unit: str, kind: str, instance: str, page: str) -> Figure:
        """A state."""
        return Figure(
            name, part, unit, self._collectd(part, kind, instance), self._page(page), of_graphite(part, kind, instance)
        )

    def rate(self, name: str, part: str, unit: str, counter: str, page: str) -> Figure:
        """A counter, per second."""
        return Figure(
            name,
            part,
            unit,
            f"rate({self._collectd(part, 'operations', counter)}[{self._window}])",
            f"rate({self._page(page)}[{self._window}])",
            of_graphite(part, "operations", counter),
        )

    def percentile(self, name: str, word: str, percent: int, page: str) -> Figure:
        """A percentile of waiting or processing times."""
        instance = f"{word}-percentile-{percent}"
        buckets = f"rate({self._page(f'consumer_{page}_seconds_bucket')}[{self._window}])"
        return Figure(
            name,
            "consumer",
            "s",
            self._collectd("consumer", "latency", instance),
            f"histogram_quantile({percent / 100:g}, sum by (hub, consumer, le) ({buckets}))",
            of_graphite("consumer", "latency", instance),
        )

    def busy(self) -> Figure:
        """Share of the workers' time."""
        busy = f"rate({self._page('consumer_busy_seconds_total')}[{self._window}])"
        return Figure(
            "busy",
            "consumer",
            "percent",
            self._collectd("consumer", "percent", "busy"),
            f"100 * {busy} / {self._page('consumer_workers')}",
            of_graphite("consumer", "percent", "busy"),
        )

    def catch_up(self) -> Figure:
        """Time until the backlog is gone; the page, which knows no intervals, has none."""
        backlog = self._page("consumer_backlog_messages")
        return Figure(
            "catch-up",
            "consumer",
            "s",
            self._collectd("consumer", "duration", "catch-up"),
            f"{backlog} / (-deriv({backlog}[{self._window}]) > 0)",
            of_graphite("consumer", "duration", "catch-up"),
        )

    def _collectd(self, part: str, kind: str, instance: str) -> str:
        return of_write_prometheus(part, kind, instance, more=self._chosen_of_collectd(part))

    def _chosen_of_collectd(self, part: str) -> str:
        """The label `glasshub` has the plugin instance: HUB, HUB.CONSUMER or HUB.producer.PRODUCER."""
        if self._is_dashboard:
            return {
                "hub": 'glasshub=~"$hub"',
                "consumer": 'glasshub=~"$consumer"',
                "producer": 'glasshub=~"($hub)[.]producer[.].+"',
            }[part]
        # The same type may be of hub, consumer and producer.
        return {
            "hub": 'glasshub!~".+[.].+"',
            "consumer": 'glasshub=~".+[.].+",glasshub!~"[^.]+[.]producer[.].+"',
            "producer": 'glasshub=~"[^.]+[.]producer[.].+"',
        }[part]

    def _page(self, name: str) -> str:
        if not self._is_dashboard:
            return of_page(name)
        is_consumers = name.startswith("consumer_")
        return of_page(name, more='hub=~"$hub"' + ',consumer=~"$consumer"' * is_consumers)


@dataclass(frozen=True)
class Group:
    """Figures in one panel.

    Attributes:
        title: Of the panel.
        help: What it shows, for whoever does not know.
    """

    title: str
    help: str
    figures: tuple[Figure, ...]

    @property
    def unit(self) -> str:
        """As Grafana calls it."""
        return self.figures[0].unit


def groups() -> Iterator[Group]:
    """The panels of a dashboard, from top to bottom, two beside each other."""
    f = Figures(is_dashboard=True)
    yield Group(
        "Hub up",
        "1 while the hub is alive and well; 0 when it is down, stopped or stuck.",
        (f.gauge("up", "hub", "short", "gauge", "up", "hub_up"),),
    )
    yield Group(
        "Received",
        "Messages that came from the bus, and those of them that no consumer wants.",
        (
            f.rate("received", "hub", "cps", "received", "hub_received_messages_total"),
            f.rate("unrouted", "hub", "cps", "unrouted", "hub_unrouted_messages_total"),
        ),
    )
    yield Group(
        "Backlog",
        "Messages waiting for each consumer.",
        (f.gauge("", "consumer", "short", "queue_length", "", "consumer_backlog_messages"),),
    )
    yield Group(
        "Age of the oldest message",
        "How far behind each consumer is; it means the same for a fast and for a slow one.",
        (f.gauge("", "consumer", "s", "duration", "oldest", "consumer_oldest_age_seconds"),),
    )
    yield Group(
        "Enqueued",
        "Messages put into the queue of each consumer.",
        (f.rate("", "consumer", "cps", "enqueued", "consumer_enqueued_messages_total"),),
    )
    yield Group(
        "Processed",
        "Messages that each consumer handled without an error.",
        (f.rate("", "consumer", "cps", "processed", "consumer_processed_messages_total"),),
    )
    yield Group(
        "Wait in the queue, 95th percentile",
        "95 of 100 messages waited no longer.",
        (f.percentile("", "wait", 95, "wait"),),
    )
    yield Group(
        "Processing time, 95th percentile",
        "95 of 100 messages took the consumer no longer.",
        (f.percentile("", "process", 95, "processing"),),
    )
    yield Group(
        "Catch-up time", "Until the backlog is gone at the present rate; nothing while it grows.", (f.catch_up(),)
    )
    yield Group("Busy workers", "Share of the time of the workers; at 100 they cannot do more.", (f.busy(),))
    yield Group(
        "Failed and dropped",
        "Messages on which the consumer raised, and those thrown away because there was no room.",
        (
            f.rate("failed", "consumer", "cps", "failed", "consumer_failed_messages_total"),
            f.rate("dropped", "consumer", "cps", "dropped", "consumer_dropped_messages_total"),
        ),
    )
    yield Group(
        "At one message for",
        "How long each consumer has been at the message it is at; one that hangs shows here.",
        (f.gauge("", "consumer", "s", "duration", "current", "consumer_current_age_seconds"),),
    )
    yield Group(
        "Endpoints of the bus",
        "Connected, and lost: what a lost one publishes does not come.",
        (
            f.gauge("connected", "hub", "short", "gauge", "connected", "hub_connected_endpoints"),
            f.gauge("lost", "hub", "short", "gauge", "lost", "hub_lost_endpoints"),
        ),
    )
    yield Group(
        "Producers overdue",
        "For how long the next poll of each producer should have begun by now.",
        (f.gauge("", "producer", "s", "duration", "overdue", "producer_overdue_seconds"),),
    )
