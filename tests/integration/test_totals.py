# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules that add up hubs on several machines, judged by promtool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.definitions import PACKAGING
from tools.definitions.figures import COLLECTD, PAGE
from tools.definitions.totals import totals

from .promtool import judged

_FILES = {PAGE: "glasshub-totals.rules.yml", COLLECTD: "glasshub-collectd-totals.rules.yml"}

#: Labels of the consumer's series, by source, and of what is recorded of it.
_WHOSE = {PAGE: 'hub="prod",consumer="Badges"', COLLECTD: 'glasshub="prod.Badges"'}
_HUBS = {PAGE: 'hub="prod"', COLLECTD: 'glasshub="prod"'}

#: What each of our names is on our page, and what write_prometheus makes of it.
_NAMES = {
    "up": ("glasshub_hub_up", "collectd_glasshub_gauge", "up"),
    "backlog": ("glasshub_consumer_backlog_messages", "collectd_glasshub_queue_length", ""),
    "ready": ("glasshub_consumer_broker_ready_messages", "collectd_glasshub_queue_length", "broker-ready"),
    "unacknowledged": (
        "glasshub_consumer_broker_unacknowledged_messages",
        "collectd_glasshub_queue_length",
        "broker-unacknowledged",
    ),
    "hubs": ("glasshub_consumer_broker_hubs", "collectd_glasshub_count", "hubs"),
    "oldest": ("glasshub_consumer_oldest_age_seconds", "collectd_glasshub_duration_seconds", "oldest"),
    "processed": ("glasshub_consumer_processed_messages_total", "collectd_glasshub_operations_total", "processed"),
}

#: Two machines; and the totals that collectd may have made of them, which are not to be added again.
_MACHINES = {
    "web1": {"up": "1x40", "backlog": "5x40", "ready": "90x40", "unacknowledged": "7x40", "hubs": "2x40"},
    "web2": {"up": "1x40", "backlog": "3x40", "ready": "100x40", "unacknowledged": "4x40", "hubs": "2x40"},
}
_MACHINES["web1"] |= {"oldest": "60x40", "processed": "0+150x40"}
_MACHINES["web2"] |= {"oldest": "20x40", "processed": "0+300x40"}
_OF_COLLECTD = {"all": dict.fromkeys(_NAMES, "1000x40")}

_EXPECTED = {
    "hub:glasshub_up:sum": 2,
    "consumer:glasshub_backlog_messages:sum": 8,
    "consumer:glasshub_broker_ready_messages:max": 100,
    "consumer:glasshub_broker_unacknowledged_messages:sum": 11,
    "consumer:glasshub_total_backlog_messages:sum": 108,
    "consumer:glasshub_broker_hubs:max": 2,
    "consumer:glasshub_oldest_age_seconds:max": 60,
    "consumer:glasshub_processed_messages:rate5m": 30,  # 10 and 20 a second
}


def series(source: str, machines: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Input for promtool, which looks every 15 s."""
    found = []
    for machine, numbers in machines.items():
        for name, values in numbers.items():
            page, collectd, kind = _NAMES[name]
            labels = _HUBS[source] if name == "up" else _WHOSE[source]
            labels += f',type="{kind}"' * (source == COLLECTD and bool(kind))
            metric = page if source == PAGE else collectd
            found.append({"series": f'{metric}{{{labels},instance="{machine}"}}', "values": values})
    return found


def complaints(
    directory: Path, source: str, machines: dict[str, dict[str, str]], expected: dict[str, float | None]
) -> str:
    """What promtool complains about when totals are not what they should be; None for a total that is not there."""
    tests = [_expression(source, name, value) for name, value in expected.items()]
    test = {"interval": "15s", "input_series": series(source, machines), "promql_expr_test": tests}
    return judged(directory, test, rules=PACKAGING / "prometheus" / _FILES[source])


def _expression(source: str, name: str, value: float | None) -> dict[str, Any]:
    labels = _HUBS[source] if name.startswith("hub:") else _WHOSE[source]
    samples = [] if value is None else [{"labels": f"{name}{{{labels}}}", "value": value}]
    return {"expr": name, "eval_time": "8m", "exp_samples": samples}


@pytest.mark.parametrize("source", [PAGE, COLLECTD])
def test_machines_are_added_up_but_what_waits_on_the_broker_counts_once(tmp_path: Path, source: str) -> None:
    machines = {**_MACHINES, **(_OF_COLLECTD if source == COLLECTD else {})}

    assert complaints(tmp_path, source, machines, {**_EXPECTED}) == ""


@pytest.mark.parametrize("source", [PAGE, COLLECTD])
def test_a_machine_that_is_gone_is_not_in_the_totals(tmp_path: Path, source: str) -> None:
    gone = {name: f"{values.removesuffix('x40')}x10 stale" for name, values in _MACHINES["web1"].items()}

    expected: dict[str, float | None] = {
        "hub:glasshub_up:sum": 1,
        "consumer:glasshub_backlog_messages:sum": 3,
        "consumer:glasshub_total_backlog_messages:sum": 103,
        "consumer:glasshub_oldest_age_seconds:max": 20,
    }
    assert complaints(tmp_path, source, {**_MACHINES, "web1": gone}, expected) == ""


@pytest.mark.parametrize("source", [PAGE, COLLECTD])
def test_what_is_not_known_of_the_broker_on_one_machine_is_known_on_the_other(tmp_path: Path, source: str) -> None:
    machines = {**_MACHINES, "web2": {**_MACHINES["web2"], "ready": " ".join(["NaN"] * 40)}}

    expected: dict[str, float | None] = {"consumer:glasshub_total_backlog_messages:sum": 98}
    assert complaints(tmp_path, source, machines, expected) == ""


@pytest.mark.parametrize("source", [PAGE, COLLECTD])
def test_without_a_queue_on_a_broker_all_that_waits_is_what_waits_in_the_hubs(tmp_path: Path, source: str) -> None:
    machines = {machine: {"backlog": numbers["backlog"]} for machine, numbers in _MACHINES.items()}

    expected: dict[str, float | None] = {
        "consumer:glasshub_total_backlog_messages:sum": 8,
        "consumer:glasshub_broker_ready_messages:max": None,
    }
    assert complaints(tmp_path, source, machines, expected) == ""


def test_every_total_but_those_that_need_histograms_is_tried_here() -> None:
    others = {f"consumer:glasshub_{word}_messages:rate5m" for word in ("enqueued", "failed", "dropped")}
    others |= {"consumer:glasshub_wait_seconds:p95", "consumer:glasshub_processing_seconds:p95"}

    assert {total.name for total in totals()} == {*_EXPECTED, *others}


def test_percentile_is_of_the_messages_of_all_machines(tmp_path: Path) -> None:
    """98 of 100 messages are done within 0.1 s, all on one machine; the others, on another, take 10 s."""
    buckets = [
        {
            "series": f'glasshub_consumer_processing_seconds_bucket{{{_WHOSE[PAGE]},instance="{host}",le="{le}"}}',
            "values": v,
        }
        for host, le, v in (
            ("web1", "0.1", "0+98x40"),
            ("web1", "10", "0+98x40"),
            ("web1", "+Inf", "0+98x40"),
            ("web2", "0.1", "0x40"),
            ("web2", "10", "0+2x40"),
            ("web2", "+Inf", "0+2x40"),
        )
    ]
    check = {"expr": "consumer:glasshub_processing_seconds:p95", "eval_time": "8m"}
    name = f"consumer:glasshub_processing_seconds:p95{{{_WHOSE[PAGE]}}}"
    samples = [{"labels": name, "value": 0.1 * 95 / 98}]
    test = {"interval": "15s", "input_series": buckets, "promql_expr_test": [{**check, "exp_samples": samples}]}

    assert judged(tmp_path, test, rules=PACKAGING / "prometheus" / _FILES[PAGE]) == ""
