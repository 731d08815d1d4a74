# SPDX-License-Identifier: LGPL-2.1-or-later
"""A picture as lines of `name=value`, of which each says whose and when it is: for files, pipes and grep."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence

from glasshub_stats.table import printable

from .columns import SORTABLE, named_like, sorted_by
from .controls import Controls
from .model import ConsumerRow, HubRow, Picture, ProducerRow

#: What can stand without quotes.
_PLAIN = re.compile(r"[^\s\"=\\]+\Z")

Pair = tuple[str, object]


def lines(picture: Picture, controls: Controls) -> Iterator[str]:
    """A line for each hub, consumer and producer, and for what needs attention. Times are in seconds."""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(picture.time))
    column = SORTABLE[controls.sort]
    consumers = sorted_by(named_like(picture.consumers, controls.filter), column, is_reversed=controls.is_reversed)
    for hub in picture.hubs:
        yield _line(when, "hub", hub.name, _hub(hub))
    for consumer in consumers:
        yield _line(when, "consumer", consumer.hub, _consumer(consumer))
    for producer in named_like(picture.producers, controls.filter):
        yield _line(when, "producer", producer.hub, _producer(producer))
    for sentence in picture.attention:
        yield f"{when} attention {sentence}"


def _line(when: str, kind: str, hub: str, pairs: Sequence[Pair]) -> str:
    return " ".join([when, kind, *(f"{name}={_value(value)}" for name, value in [("hub", hub), *pairs])])


def _hub(hub: HubRow) -> list[Pair]:
    pairs: list[Pair] = [("state", hub.state.value)]
    if hub.snapshot is None:
        return pairs
    if not hub.is_current:
        pairs.append(("as_of", time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(hub.as_of))))
    figures = hub.snapshot.hub
    return [
        *pairs,
        ("uptime", hub.uptime),
        ("source", figures.source),
        ("connected", figures.connected),
        ("endpoints", figures.endpoints),
        ("receive_rate", hub.receive_rate),
        ("backlog", hub.backlog),
        *([("broker_ready", hub.broker_ready), ("broker_age", figures.broker_age)] if hub.has_broker else []),
    ]


def _consumer(consumer: ConsumerRow) -> list[Pair]:
    now, wait, processing = consumer.now, consumer.wait, consumer.processing
    return [
        ("consumer", consumer.name),
        ("state", consumer.state.value),
        ("backlog", now.backlog),
        *([("broker_ready", now.broker_ready), ("total_backlog", now.total_backlog)] if now.has_broker else []),
        ("in_flight", now.in_flight),
        ("oldest_age", now.oldest_age),
        ("catch_up", consumer.catch_up),
        ("enqueue_rate", consumer.enqueue_rate),
        ("processing_rate", consumer.processing_rate),
        ("wait_p50", wait.percentile(50)),
        ("wait_p95", wait.percentile(95)),
        ("processing_p50", processing.percentile(50)),
        ("processing_p95", processing.percentile(95)),
        ("failed", now.failed),
    ]


def _producer(producer: ProducerRow) -> list[Pair]:
    now = producer.now
    return [
        ("producer", producer.name),
        ("state", producer.state.value),
        ("runs", now.runs),
        ("failures", now.failures),
        ("frequency", now.frequency),
        ("since_run", now.since_run),
        ("last_duration", now.last_duration),
        ("overdue", now.overdue),
    ]


def _value(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else "never" if math.isinf(value) else f"{value:.6g}"
    text = printable(str(value))
    if _PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
