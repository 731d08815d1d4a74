# SPDX-License-Identifier: LGPL-2.1-or-later
"""What dashboards and alerts ask for is what a real collectd, and a real hub, expose."""

from __future__ import annotations

import fnmatch
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from glasshub.segment import ProducerRow
from glasshub_stats import read
from glasshub_stats.render import as_openmetrics
from tools.definitions import PACKAGING
from tools.definitions.alerts import alerts
from tools.definitions.figures import COLLECTD, PAGE

from ..unit.segments import live_segment, tell, work
from .collectd_daemon import Collectd, basic_config, free_port, hub_process, prometheus, until
from .hubs import got
from .promtool import judged

_WRITERS = """
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "{port}"
</Plugin>
LoadPlugin write_graphite
<Plugin write_graphite>
  <Node "carbon">
    Host "127.0.0.1"
    Port "{carbon}"
    Prefix "collectd."
  </Node>
</Plugin>
"""

_RULES = {PAGE: "glasshub.rules.yml", COLLECTD: "glasshub-collectd.rules.yml"}


@dataclass
class Exposed:
    """The names under which the numbers of two hubs are exposed: `hub` is a real one, `other` has a producer."""

    collectd: set[str] = field(default_factory=set)
    page: set[str] = field(default_factory=set)
    graphite: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def exposed(program: str, tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    directory, port, found = tmp_path_factory.mktemp("exposed"), free_port(), Exposed()
    with (
        carbon(found.graphite) as carbon_port,
        hub_process(directory / "hub.stats"),
        live_segment(directory / "other.stats", producers=[ProducerRow("Digest", True, 60.0)], name="other") as writer,
        Collectd(program, directory, basic_config(directory) + _WRITERS.format(port=port, carbon=carbon_port)),
    ):
        work(writer, 0, enqueued=3, processed=2)
        tell(writer, ready=900)
        producers = 'collectd_glasshub_duration_seconds{glasshub="other.producer.Digest",type="overdue"}'
        broker = 'collectd_glasshub_count{glasshub="other.badges",type="hubs"}'
        whole = {producers, broker}
        page = until(lambda: prometheus(port), lambda page: whole <= page.keys() and len(page) > 100, "both hubs")
        found.collectd |= page.keys()
        found.page |= samples(got(directory / "hub.sock", "/metrics")) | samples(
            as_openmetrics(read(str(directory / "other.stats")))
        )
        until(lambda: len(found.graphite), lambda count: count >= len(page), "the lines for Graphite")
    return found


@contextmanager
def carbon(names: set[str]) -> Iterator[int]:
    """A port that takes Graphite's lines, and keeps their names."""

    def take() -> None:
        with listener.accept()[0] as client, client.makefile(encoding="utf-8") as lines:
            for line in lines:
                names.add(line.split()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def samples(page: str) -> set[str]:
    """Names and labels."""
    return set(re.findall(r"^(\w+\{.*\}) \S+$", page, re.MULTILINE))


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PACKAGING / "grafana" / name).read_text(encoding="utf-8"))
    return found


def missing(directory: Path, exposed: set[str], expressions: list[str]) -> str:
    """What promtool says of expressions that have no result, or no meaning, where these series are."""
    # A counter grows, and a backlog that is to be caught up with shrinks.
    series = [
        {"series": name, "values": "0+1x80" if re.search(r"_(total|bucket|sum|count)\{", name) else "1000-1x80"}
        for name in exposed
    ]
    tests = [
        {
            "interval": "15s",
            "input_series": series,
            "promql_expr_test": [
                {"expr": f"count({each}) > bool 0", "eval_time": "18m", "exp_samples": [{"labels": "{}", "value": 1}]}
            ],
        }
        for each in expressions
    ]
    return judged(directory, *tests)


def asked(name: str, **chosen: str) -> list[str]:
    """The expressions of a dashboard, with something chosen for each variable."""
    told = [target["expr"] for panel in dashboard(name)["panels"] for target in panel["targets"]]
    return [
        re.sub(r"\$(hub|consumer)\b", lambda match: chosen[match[1]], each).replace("$__rate_interval", "1m")
        for each in told
    ]


def test_the_dashboard_for_write_prometheus_asks_for_what_collectd_exposes(exposed: Exposed, tmp_path: Path) -> None:
    expressions = asked("glasshub-collectd.json", hub="hub|other", consumer="hub[.]Mailer|other[.]badges")

    assert not missing(tmp_path, exposed.collectd, expressions)


def test_the_dashboard_for_our_page_asks_for_what_a_hub_exposes(exposed: Exposed, tmp_path: Path) -> None:
    expressions = asked("glasshub-openmetrics.json", hub="hub|other", consumer="Mailer|badges")

    assert not missing(tmp_path, exposed.page, expressions)


def test_alerts_judge_what_is_exposed(exposed: Exposed, tmp_path: Path) -> None:
    assert not missing(tmp_path, exposed.collectd, [alert.figure.promql(COLLECTD) for alert in alerts()])
    assert not missing(tmp_path, exposed.page, [alert.figure.promql(PAGE) for alert in alerts()])


def test_a_name_that_nobody_exposes_is_found_out(exposed: Exposed, tmp_path: Path) -> None:
    for wrong in ('collectd_glasshub_gauge{type="nothing"}', "collectd_glasshub_backlog", "rate(collectd_glasshub_"):
        assert missing(tmp_path, exposed.collectd, [wrong])


@pytest.mark.parametrize("name", ["glasshub-collectd.json", "glasshub-openmetrics.json"])
def test_variables_and_legends_name_labels_that_are_there(exposed: Exposed, name: str) -> None:
    names = exposed.collectd if "collectd" in name else exposed.page
    told = dashboard(name)

    for variable in told["templating"]["list"]:
        metric, label = re.findall(r"label_values\((\w+).*, (\w+)\)", variable["query"])[0]
        assert any(each.startswith(metric + "{") and f'{label}="' in each for each in names), variable["query"]
    for panel in told["panels"]:
        for target in panel["targets"]:
            (metric,) = set(re.findall(r"\b(?:collectd_)?glasshub_\w+(?=[{\[ ])", target["expr"])[:1])
            (label,) = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert any(each.startswith(metric + "{") and f'{label}="' in each for each in names), target


def test_the_dashboard_for_graphite_asks_for_what_collectd_sends(exposed: Exposed) -> None:
    told = dashboard("glasshub-graphite.json")
    targets = [target["target"] for panel in told["panels"] for target in panel["targets"]]
    paths = [re.findall(r"aliasByNode\((.*?), -2\)", target)[0] for target in targets]

    for path in paths:
        assert any(fnmatch.filter(exposed.graphite, filled(path, hub)) for hub in ("hub", "other")), path


def test_the_hubs_of_graphite_are_those_that_collectd_sends(exposed: Exposed) -> None:
    (variable,) = (each for each in dashboard("glasshub-graphite.json")["templating"]["list"] if each["name"] == "hub")
    path = re.fullmatch(r"expand\((.*)\)", variable["query"])
    assert path

    found = fnmatch.filter(exposed.graphite, filled(path[1], ""))

    assert {re.findall(variable["regex"].strip("/"), name)[0] for name in found} == {"hub", "other"}


def filled(path: str, hub: str) -> str:
    """A path of Graphite's with something for each variable."""
    chosen = {"prefix": "collectd", "host": "testhost", "hub": hub}
    return re.sub(r"\$\{?(\w+)\}?", lambda match: chosen[match[1]], path)


@pytest.mark.parametrize("source", [PAGE, COLLECTD])
class TestAlerts:
    """Each fires when it should, with a sentence that says whom it is about, and does not when it should not."""

    #: What the sentence says, and by source the series that make it so: with bad values, and with good ones.
    CASES = (
        ("GlasshubHubDown", "hub", {PAGE: "hub_up", COLLECTD: "gauge up"}, "0x80", "1x80", "is down, or stuck"),
        (
            "GlasshubBusLost",
            "hub",
            {PAGE: "hub_connected_endpoints", COLLECTD: "gauge connected"},
            "0x80",
            "1x80",
            "is connected to no endpoint of the bus",
        ),
        (
            "GlasshubQueueNotConsumed",
            "consumer",
            {PAGE: "consumer_broker_consuming", COLLECTD: "gauge broker_consuming"},
            "0x80",
            "1x80",
            "gets nothing: its queue on the broker is not consumed",
        ),
        (
            "GlasshubBrokerBacklog",
            "consumer",
            {PAGE: "consumer_broker_ready_messages", COLLECTD: "queue_length broker-ready"},
            "2000x200",
            "900x200",
            "is behind: 2k messages have come to the broker for it, and stay there",
        ),
        (
            "GlasshubBrokerSilent",
            "hub",
            {PAGE: "hub_broker_age_seconds", COLLECTD: "duration_seconds broker-asked"},
            "70x80",
            "2x80",
            "has not heard from its broker for 1m 10s how many messages wait there",
        ),
        (
            "GlasshubBrokerBlocked",
            "hub",
            {PAGE: "hub_broker_blocked", COLLECTD: "gauge broker_blocked"},
            "1x80",
            "0x80",
            "cannot publish: its broker lacks memory or disk",
        ),
        (
            "GlasshubConsumerNotBuilt",
            "consumer",
            {PAGE: "consumer_initialized", COLLECTD: "gauge initialized"},
            "0x80",
            "1x80",
            "failed to start, and does nothing",
        ),
        (
            "GlasshubConsumerBehind",
            "consumer",
            {PAGE: "consumer_oldest_age_seconds", COLLECTD: "duration_seconds oldest"},
            "400x80",
            "200x80",
            "is behind: its oldest message has been waiting for 6m 40s",
        ),
        (
            "GlasshubConsumerFarBehind",
            "consumer",
            {PAGE: "consumer_oldest_age_seconds", COLLECTD: "duration_seconds oldest"},
            "3600x80",
            "400x80",
            "is behind: its oldest message has been waiting for 1h 0m 0s",
        ),
        (
            "GlasshubConsumerHangs",
            "consumer",
            {PAGE: "consumer_current_age_seconds", COLLECTD: "duration_seconds current"},
            "901x80",
            "899x80",
            "hangs: it has been at one message for 15m 1s",
        ),
        (
            "GlasshubConsumerFails",
            "consumer",
            {PAGE: "consumer_failed_messages_total", COLLECTD: "operations_total failed"},
            "0+15x200",
            "7x200",
            "fails on 1 messages a second",
        ),
        (
            "GlasshubMessagesDropped",
            "consumer",
            {PAGE: "consumer_dropped_messages_total", COLLECTD: "operations_total dropped"},
            "0+30x200",
            "7x200",
            "has lost messages: there was no room for 2 a second",
        ),
        (
            "GlasshubProducerOverdue",
            "producer",
            {PAGE: "producer_overdue_seconds", COLLECTD: "duration_seconds overdue"},
            "320x80",
            "5x80",
            "should have polled 5m 20s ago",
        ),
    )

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
    def test_it_fires_when_it_should_alone(self, tmp_path: Path, source: str, case: Any) -> None:
        alert, part, names, bad, good, says = case
        series, labels, whose = self.series(source, part, names[source])
        severity = next(each.severity for each in alerts() if each.name == alert)
        expected = {"exp_labels": {**labels, "severity": severity}, "exp_annotations": {"summary": f"{whose} {says}"}}

        when = "40m" if bad.endswith("x200") else "18m"  # rates are those of a while

        def tried(values: str, *firing: Any) -> dict[str, Any]:
            return {
                "interval": "15s",
                "input_series": [{"series": series, "values": values}],
                "alert_rule_test": [{"eval_time": when, "alertname": alert, "exp_alerts": firing}],
            }

        assert not judged(tmp_path, tried(bad, expected), tried(good), rules=PACKAGING / "prometheus" / _RULES[source])

    def test_a_backlog_that_goes_slowly_is_told(self, tmp_path: Path, source: str) -> None:
        """100000 messages that become fewer by one in a second."""
        if source == PAGE:
            series, labels, whose = self.series(source, "consumer", "consumer_total_backlog_messages")
            values = "100000-15x200"
            value = "1d 3h 6m 40s"
        else:
            series, labels, whose = self.series(source, "consumer", "duration_seconds catch-up")
            values, value = "4000x200", "1h 6m 40s"
        summary = f"{whose} will need {value} to catch up"
        expected = {"exp_labels": {**labels, "severity": "warning"}, "exp_annotations": {"summary": summary}}
        test = {
            "interval": "15s",
            "input_series": [{"series": series, "values": values}],
            "alert_rule_test": [{"eval_time": "40m", "alertname": "GlasshubCatchUpSlow", "exp_alerts": [expected]}],
        }

        assert not judged(tmp_path, test, rules=PACKAGING / "prometheus" / _RULES[source])

    @staticmethod
    def series(source: str, part: str, name: str) -> tuple[str, dict[str, str], str]:
        """A series of hub `h`, or of `X` there; its labels; and how people call it."""
        if source == PAGE:
            labels = {"hub": "h", **({part: "X"} if part != "hub" else {})}
            metric, whose = f"glasshub_{name}", "X of hub h" if part != "hub" else "hub h"
        else:
            metric, _, instance = name.partition(" ")
            metric = f"collectd_glasshub_{metric}"
            whose = {"hub": "h", "consumer": "h.X", "producer": "h.producer.X"}[part]
            labels = {"glasshub": whose, "type": instance, "instance": "web1"}
        written = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return f"{metric}{{{written}}}", labels, whose
