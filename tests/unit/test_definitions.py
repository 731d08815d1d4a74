# SPDX-License-Identifier: LGPL-2.1-or-later
"""The definitions below `packaging/` are what the code says, and make sense to those who read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tools.definitions import PACKAGING, definitions
from tools.definitions.grafana import dashboards
from tools.definitions.names import of_graphite, of_page, of_write_prometheus

DASHBOARDS = sorted(dashboards())


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PACKAGING / "grafana" / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", definitions(), ids=lambda path: path.name)
def test_a_definition_is_what_the_code_says(path: Any) -> None:
    assert path.read_text(encoding="utf-8") == definitions()[path], "make docs"


@pytest.mark.parametrize(
    "name",
    [
        "consumer_processed_messages",
        "consumer_backlog_messages_total",
        "consumer_wait_seconds",
        "consumer_wait_seconds_total",
        "nobody",
    ],
)
def test_a_sample_that_our_page_has_not_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        of_page(name)


@pytest.mark.parametrize("find", [of_graphite, of_write_prometheus])
def test_a_value_that_the_plugin_does_not_dispatch_is_refused(find: Callable[[str, str, str], str]) -> None:
    with pytest.raises(KeyError):
        find("consumer", "operations", "received")


@pytest.mark.parametrize("name", DASHBOARDS)
class TestDashboard:
    def test_no_two_panels_share_a_number_or_a_place(self, name: str) -> None:
        panels = dashboard(name)["panels"]

        taken = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert len(set(taken)) == len(taken)
        assert max(x for x, _ in taken) < 24

    def test_each_panel_says_what_it_shows_and_asks_the_source_that_is_chosen(self, name: str) -> None:
        told = dashboard(name)

        assert [wanted["name"] for wanted in told["__inputs"]] == ["DS"]
        for panel in told["panels"]:
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["options"]["legend"]["showLegend"] is True  # which since Grafana 9 has to be said
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${DS}"}
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])

    def test_every_variable_in_a_query_is_one_that_the_dashboard_has(self, name: str) -> None:
        told = dashboard(name)

        known = {variable["name"] for variable in told["templating"]["list"]}
        queries = [target.get("expr") or target["target"] for panel in told["panels"] for target in panel["targets"]]
        queries += [variable["query"] for variable in told["templating"]["list"]]
        used = {match for query in queries for match in re.findall(r"\$\{?(\w+)", query)} - {"__rate_interval"}
        assert used == known

    def test_a_variable_is_filled_before_those_that_depend_on_it(self, name: str) -> None:
        seen: set[str] = set()
        for variable in dashboard(name)["templating"]["list"]:
            assert set(re.findall(r"\$(\w+)", variable["query"])) <= seen
            seen.add(variable["name"])


def test_dashboards_have_identifiers_of_their_own() -> None:
    assert len({dashboard(name)["uid"] for name in DASHBOARDS}) == len(DASHBOARDS)
