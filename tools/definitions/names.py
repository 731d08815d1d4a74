# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every name under which a number of ours can be found, as the code writes it; a wrong one is an error."""

from __future__ import annotations

import re
import tempfile
import time
from functools import cache
from pathlib import Path

from glasshub import rrds
from glasshub.segment import ConsumerRow, ProducerRow, SegmentWriter
from glasshub_stats import Snapshot, read, values
from glasshub_stats.render import as_openmetrics


@cache
def collectd_names() -> dict[str, frozenset[tuple[str, str]]]:
    """Type and type instance of each value that the plugin dispatches, for `hub`, `consumer` and `producer`."""
    told = values.of_interval(_snapshot().since(None), hub="hub")
    found: dict[str, set[tuple[str, str]]] = {"hub": set(), "consumer": set(), "producer": set()}
    parts = {"hub": "hub", "hub.consumer": "consumer", "hub.producer.producer": "producer"}
    for value in told:
        found[parts[value.plugin_instance]].add((value.type, value.type_instance))
    return {part: frozenset(names) for part, names in found.items()}


@cache
def families() -> dict[str, str]:
    """The kind of each family of the OpenMetrics page, by its name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", as_openmetrics(_snapshot()), re.MULTILINE))


def checked(part: str, kind: str, instance: str = "") -> tuple[str, str]:
    """Type and type instance, if the plugin dispatches such a value for the hub, a consumer or a producer.

    Raises:
        KeyError: It does not.
    """
    if (kind, instance) not in collectd_names()[part]:
        raise KeyError(f"the plugin dispatches no {kind}-{instance} for a {part}")
    return kind, instance


def of_write_prometheus(part: str, kind: str, instance: str = "", *, more: str = "") -> str:
    """A selector for what collectd's write_prometheus plugin makes of such a value."""
    checked(part, kind, instance)
    source = rrds.data_source(Path(kind)).replace("value", "")  # which is left out of the name
    name = "_".join(filter(None, ["collectd_glasshub", kind, source, "total" * (kind in rrds.DERIVED)]))
    is_one_of_several = len([name for name in collectd_names()[part] if name[0] == kind]) > 1
    labels = ",".join(filter(None, [more, f'type="{instance}"' if instance or is_one_of_several else ""]))
    return f"{name}{{{labels}}}" if labels else name


def of_page(name: str, *, more: str = "") -> str:
    """A selector for a sample of our own OpenMetrics page: `consumer_processed_messages_total`.

    Raises:
        KeyError: There is no such sample.
    """
    full = f"glasshub_{name}"
    family = re.sub(r"_(total|bucket|sum|count)$", "", full) if full not in families() else full
    expected = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
        families().get(family, ""), ("",)
    )
    if family not in families() or full.removeprefix(family) not in expected:
        raise KeyError(f"the page has no {full}")
    return f"{full}{{{more}}}" if more else full


def of_graphite(part: str, kind: str, instance: str = "") -> str:
    """The last node of what collectd's write_graphite plugin makes of such a value."""
    checked(part, kind, instance)
    return f"{kind}-{instance}".rstrip("-").replace(".", "_")


def _snapshot() -> Snapshot:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "hub.stats")
        consumers, producers = [ConsumerRow("consumer", 1, True)], [ProducerRow("producer", True)]
        writer = SegmentWriter(
            path, consumers, producers=producers, name="hub", version="0", shape="threads", source="zmq"
        )
        try:
            _tell_of_broker(writer)
            return read(str(path))
        finally:
            writer.close()


def _tell_of_broker(writer: SegmentWriter) -> None:
    """What a hub without a broker has no names for."""
    asked = {"ready": 0, "asked_ns": time.monotonic_ns(), "unacknowledged": 0, "redelivered": 0}
    writer.consumers[0].broker(consuming=True, hubs=1, prefetch=1, **asked)
    writer.enqueuer.broker(queues=1, consuming=1, faults=0, blocked=False, **asked)
