# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dashboards for Grafana, one for each way in which the numbers may come there."""

from __future__ import annotations

import json
from typing import Any

from .figures import COLLECTD, PAGE, Figure, Group, groups
from .names import of_graphite, of_page, of_write_prometheus

_WIDTH, _HEIGHT = 12, 8  # of a panel; Grafana's grid has 24 columns
_GRAPHITE = "graphite"

_TITLES = {
    COLLECTD: "Glasshub (Prometheus, by collectd's write_prometheus)",
    PAGE: "Glasshub (Prometheus, by Glasshub's own metrics)",
    _GRAPHITE: "Glasshub (Graphite, by collectd's write_graphite)",
}


def dashboards() -> dict[str, str]:
    """The files, by name."""
    names = {COLLECTD: "glasshub-collectd.json", PAGE: "glasshub-openmetrics.json", _GRAPHITE: "glasshub-graphite.json"}
    return {file: json.dumps(_dashboard(source), indent=2, ensure_ascii=False) + "\n" for source, file in names.items()}


def _dashboard(source: str) -> dict[str, Any]:
    plugin = "graphite" if source == _GRAPHITE else "prometheus"
    needed = {
        "name": "DS",
        "label": plugin.capitalize(),
        "type": "datasource",
        "pluginId": plugin,
        "pluginName": plugin,
    }
    return {
        "__inputs": [{**needed, "description": ""}],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "8.0.0"},
            {"type": "datasource", "id": plugin, "name": plugin.capitalize(), "version": "1.0.0"},
            {"type": "panel", "id": "timeseries", "name": "Time series", "version": ""},
        ],
        "uid": f"glasshub-{source}",
        "title": _TITLES[source],
        "description": "Backlog, rates and times of the consumers of Glasshub hubs.",
        "tags": ["glasshub"],
        "schemaVersion": 30,
        "editable": True,
        "graphTooltip": 1,  # the time under the mouse is shown in all panels
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables(source, plugin)},
        "panels": [_panel(number, group, source, plugin) for number, group in enumerate(groups())],
    }


def _variables(source: str, plugin: str) -> list[dict[str, Any]]:
    up = of_write_prometheus("hub", "gauge", "up")
    waiting = of_write_prometheus("consumer", "queue_length", more='glasshub=~"($hub)[.].+"')
    if source == COLLECTD:
        return [
            _variable("hub", f"label_values({up}, glasshub)", plugin),
            _variable("consumer", f"label_values({waiting}, glasshub)", plugin),
        ]
    if source == PAGE:
        of_hub = of_page("consumer_backlog_messages", more='hub=~"$hub"')
        return [
            _variable("hub", f"label_values({of_page('hub_up')}, hub)", plugin),
            _variable("consumer", f"label_values({of_hub}, consumer)", plugin),
        ]
    leaf = of_graphite("hub", "gauge", "up")
    return [
        {"name": "prefix", "label": "Prefix", "type": "constant", "query": "collectd", "hide": 0},
        _variable("host", "$prefix.*", plugin, is_multi=False),
        # Without expand() Grafana lists what the last node matches, and that is the same for every hub.
        {
            **_variable("hub", f"expand($prefix.$host.glasshub-*.{leaf})", plugin, is_multi=False),
            "regex": rf"/[.]glasshub-(.*)[.]{leaf}$/",
        },
    ]


def _variable(name: str, query: str, plugin: str, *, is_multi: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": {"type": plugin, "uid": "${DS}"},
        "query": query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": is_multi,
        "includeAll": is_multi,
        "hide": 0,
        **({"current": {"text": "All", "value": "$__all"}} if is_multi else {}),
    }


def _panel(number: int, group: Group, source: str, plugin: str) -> dict[str, Any]:
    datasource = {"type": plugin, "uid": "${DS}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": group.title,
        "description": group.help,
        "datasource": datasource,
        "gridPos": {"x": _WIDTH * (number % 2), "y": _HEIGHT * (number // 2), "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": group.unit,
                "min": 0,
                "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 5, "spanNulls": False},
            },
            "overrides": [],
        },
        "options": {
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max", "mean"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": datasource, **_target(figure, source)}
            for i, figure in enumerate(group.figures)
        ],
    }


def _target(figure: Figure, source: str) -> dict[str, Any]:
    if source == _GRAPHITE:
        return {"target": _graphite(figure), "textEditor": True}
    whose = "{{glasshub}}" if source == COLLECTD else f"{{{{{figure.part}}}}}"
    return {"expr": figure.promql(source), "legendFormat": f"{whose} {figure.name}".strip(), "range": True}


def _graphite(figure: Figure) -> str:
    """write_graphite makes underscores of the dots in HUB.CONSUMER and HUB.producer.PRODUCER."""
    nodes = {"hub": "glasshub-$hub", "consumer": "glasshub-${hub}_*", "producer": "glasshub-${hub}_producer_*"}
    path = f"$prefix.$host.{nodes[figure.part]}.{figure.graphite}"
    named = f"aliasSub(aliasByNode({path}, -2), '^glasshub-(${{hub}}_)?(.*)$', '\\2 {figure.name}')"
    return named.replace(" ')", "')")
