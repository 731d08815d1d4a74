# SPDX-License-Identifier: LGPL-2.1-or-later
"""What dashboards show and alerts judge, each under the three names that it has.

In the expressions stand `$hub` and `$consumer` of a dashboard, or nothing where everybody is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    def promql(self, source: str) -> str:
        """That for `COLLECTD`, or for `PAGE`."""
        return self.collectd if source == COLLECTD else self.page


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

    def gauge(self, part: str, kind: str, instance: str, page: str, *, name: str = "") -> Figure:
        """A state."""
        unit = "s" if kind == "duration" else "short"
        return self._figure(part, kind, instance, self._page(page), name=name, unit=unit)

    def rate(self, part: str, counter: str, *, name: str = "") -> Figure:
        """A counter of messages, per second."""
        figure = self._figure(
            part, "operations", counter, self._rate(f"{part}_{counter}_messages_total"), name=name, unit="cps"
        )
        return replace(figure, collectd=f"rate({figure.collectd}[{self._window}])")

    def percentile(self, word: str, percent: int, page: str) -> Figure:
        """A percentile of waiting or processing times."""
        buckets = self._rate(f"consumer_{page}_seconds_bucket")
        quantile = f"histogram_quantile({percent / 100:g}, sum by (hub, consumer, le) ({buckets}))"
        return self._figure("consumer", "latency", f"{word}-percentile-{percent}", quantile, unit="s")

    def busy(self) -> Figure:
        """Share of the workers' time."""
        share = f"100 * {self._rate('consumer_busy_seconds_total')} / {self._page('consumer_workers')}"
        return self._figure("consumer", "percent", "busy", share, name="busy", unit="percent")

    def backlog(self) -> Figure:
        """All that waits for a consumer; collectd, and with it Graphite, has a sum where there is a broker alone."""
        total = self.gauge("consumer", "queue_length", "total", "consumer_total_backlog_messages")
        here = self.gauge("consumer", "queue_length", "", "consumer_backlog_messages")
        return replace(here, collectd=f"{total.collectd} or ignoring(type) {here.collectd}", page=total.page)

    def catch_up(self) -> Figure:
        """Time until the backlog is gone; the page, which knows no intervals, has none."""
        backlog = self._page("consumer_total_backlog_messages")
        reckoned = f"{backlog} / (-deriv({backlog}[{self._window}]) > 0)"
        return self._figure("consumer", "duration", "catch-up", reckoned, name="catch-up", unit="s")

    def _figure(self, part: str, kind: str, instance: str, page: str, *, name: str = "", unit: str) -> Figure:
        """One that is on our page, or is reckoned there, by the PromQL `page`."""
        collectd = of_write_prometheus(part, kind, instance, more=self._chosen_of_collectd(part))
        return Figure(name, part, unit, collectd, page, of_graphite(part, kind, instance))

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

    def _rate(self, page: str) -> str:
        return f"rate({self._page(page)}[{self._window}])"

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
        (f.gauge("hub", "gauge", "up", "hub_up", name="up"),),
    )
    yield Group(
        "Received",
        "Messages that came from the bus, and those of them that no consumer wants.",
        (
            f.rate("hub", "received", name="received"),
            f.rate("hub", "unrouted", name="unrouted"),
        ),
    )
    yield Group(
        "Backlog",
        "Messages waiting for each consumer; on a broker, too, which Graphite has below.",
        (f.backlog(),),
    )
    yield Group(
        "Age of the oldest message",
        "How far behind each consumer is; it means the same for a fast and for a slow one.",
        (f.gauge("consumer", "duration", "oldest", "consumer_oldest_age_seconds"),),
    )
    yield Group(
        "Enqueued",
        "Messages put into the queue of each consumer.",
        (f.rate("consumer", "enqueued"),),
    )
    yield Group(
        "Processed",
        "Messages that each consumer handled without an error.",
        (f.rate("consumer", "processed"),),
    )
    yield Group(
        "Wait in the queue, 95th percentile",
        "95 of 100 messages waited no longer.",
        (f.percentile("wait", 95, "wait"),),
    )
    yield Group(
        "Processing time, 95th percentile",
        "95 of 100 messages took the consumer no longer.",
        (f.percentile("process", 95, "processing"),),
    )
    yield Group(
        "Catch-up time", "Until the backlog is gone at the present rate; nothing while it grows.", (f.catch_up(),)
    )
    yield Group("Busy workers", "Share of the time of the workers; at 100 they cannot do more.", (f.busy(),))
    yield Group(
        "Failed and dropped",
        "Messages on which the consumer raised, and those thrown away because there was no room.",
        (
            f.rate("consumer", "failed", name="failed"),
            f.rate("consumer", "dropped", name="dropped"),
        ),
    )
    yield Group(
        "At one message for",
        "How long each consumer has been at the message it is at; one that hangs shows here.",
        (f.gauge("consumer", "duration", "current", "consumer_current_age_seconds"),),
    )
    yield Group(
        "Endpoints of the bus",
        "Connected, and lost: what a lost one publishes does not come.",
        (
            f.gauge("hub", "gauge", "connected", "hub_connected_endpoints", name="connected"),
            f.gauge("hub", "gauge", "lost", "hub_lost_endpoints", name="lost"),
        ),
    )
    yield Group(
        "Producers overdue",
        "For how long the next poll of each producer should have begun by now.",
        (f.gauge("producer", "duration", "overdue", "producer_overdue_seconds"),),
    )
    yield Group(
        "On the broker",
        "Where messages come from a broker: those that wait there for each consumer, and that no hub has been given; "
        "those that this hub has been given and has not acknowledged; and all that wait, here and there.",
        (
            f.gauge("consumer", "queue_length", "broker-ready", "consumer_broker_ready_messages", name="ready"),
            f.gauge(
                "consumer",
                "queue_length",
                "broker-unacknowledged",
                "consumer_broker_unacknowledged_messages",
                name="unacknowledged",
            ),
            f.gauge("consumer", "queue_length", "total", "consumer_total_backlog_messages", name="here and there"),
        ),
    )
    yield Group(
        "Hubs and prefetch",
        "Where messages come from a broker: hubs that share the queue of each consumer, and how many messages of it "
        "this hub may have at hand.",
        (
            f.gauge("consumer", "count", "hubs", "consumer_broker_hubs", name="hubs"),
            f.gauge("consumer", "gauge", "prefetch", "consumer_broker_prefetch_messages", name="prefetch"),
        ),
    )
