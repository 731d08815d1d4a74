# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a forecast is made from: the segment of a hub that runs, or the figures of a spike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glasshub_stats import ConsumerInterval, Interval

from ..errors import ConfigError
from ..load.shapes import SERIAL
from .forecast import Basis, Measured


def of_interval(interval: Interval, computing: float, *, source: str) -> Basis:
    """By what a hub has counted.

    Args:
        interval: Its figures.
        computing: See `Basis`.
        source: Where they are from.

    Raises:
        ConfigError: No consumer has done anything.
    """
    shape = interval.newer.hub.shape
    on_bus = _on_bus(interval)
    consumers = tuple(
        _measured(consumer, on_bus, interval.seconds) for consumer in interval.consumers if _did_something(consumer)
    )
    if not (consumers and on_bus):
        raise ConfigError("no consumer has handled anything of the bus in this time: there is nothing to go by")
    rate = on_bus / interval.seconds if interval.seconds else 0.0
    return Basis(source, shape, rate, 0.0 if shape in SERIAL else computing, consumers)


def idle_in(interval: Interval) -> list[str]:
    """Consumers of whom nothing can be said."""
    return [consumer.name for consumer in interval.consumers if not _did_something(consumer)]


def of_spike(path: Path, shape: str | None) -> Basis:
    """By the file that a spike left.

    Args:
        path: The file.
        shape: Which of its shapes; None for the only one.

    Raises:
        ConfigError: It is no such file, or has no such shape.
    """
    document = _document(path)
    try:
        runs = {str(run["shape"]): run for run in document["shapes"]}
        if shape is None and len(runs) > 1:
            raise ConfigError(f"it has the shapes {', '.join(runs)}: say which with --shape", origin=str(path))
        run = runs.get(shape) if shape else next(iter(runs.values()))
        if run is None:
            raise ConfigError(f"it has no shape {shape!r}, only {', '.join(runs)}", origin=str(path))
        listed = [consumer for consumer in run["consumers"] if consumer["processing"]["mean"]]
        consumers = tuple(_spiked(consumer, run) for consumer in listed)
        return Basis(str(path), run["shape"], float(document["quiet_rate"]), _spiked_computing(run, listed), consumers)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, ZeroDivisionError) as error:
        raise ConfigError("this is not what `glasshub spike` left, or not all of it", origin=str(path)) from error


def _did_something(consumer: ConsumerInterval) -> bool:
    return bool(consumer.finished and consumer.processing.total)


def _on_bus(interval: Interval) -> float:
    """Messages that the bus had.

    Where consumers have queues of their own on a broker, a hub is brought a copy for each of them, and never sees the
    bus: what the consumer got that got most is taken for all of it.
    """
    queued = [_arrived(consumer, interval.seconds) for consumer in interval.consumers if consumer.now.has_broker]
    return max(queued) if queued else interval.hub.received


def _arrived(consumer: ConsumerInterval, seconds: float) -> float:
    """Messages that came for the consumer: to this hub, or to its queue on a broker, for all hubs that share it."""
    if not consumer.now.has_broker:
        return consumer.enqueued - consumer.injected
    fell = consumer.net_rate - (consumer.dequeue_rate - consumer.enqueue_rate)  # messages ready there, per second
    grown = 0.0 if math.isnan(fell) else -fell * seconds
    return max(_hubs(consumer) * (consumer.enqueued - consumer.injected) + grown, 0.0)


def _hubs(consumer: ConsumerInterval) -> int:
    """How many share the consumer's work, as far as that is known."""
    hubs = consumer.now.broker_hubs if consumer.now.has_broker else 1
    return 1 if math.isnan(hubs) else max(int(hubs), 1)


def _measured(consumer: ConsumerInterval, on_bus: float, seconds: float) -> Measured:
    now, workers, hubs = consumer.now, consumer.now.workers, _hubs(consumer)
    waiting = now.backlog if math.isnan(now.total_backlog) else now.total_backlog
    return Measured(
        consumer.name,
        share=_arrived(consumer, seconds) / on_bus / hubs if on_bus else 0.0,
        service_rate=workers * consumer.finished / consumer.processing.total,
        workers=workers,
        waiting=waiting / hubs,
        hubs=hubs,
    )


def _spiked(consumer: Mapping[str, Any], run: Mapping[str, Any]) -> Measured:
    alone = consumer["workers"] / consumer["processing"]["mean"]
    under_load = None if run["shape"] in SERIAL else consumer["service_rate"]
    share = consumer["published"] / run["published"]
    return Measured(str(consumer["name"]), float(share), float(under_load or alone), int(consumer["workers"]))


def _spiked_computing(run: Mapping[str, Any], consumers: Sequence[Mapping[str, Any]]) -> float:
    """What was measured while somebody was behind has in it that the interpreter is shared."""
    is_under_load = run["shape"] in SERIAL or any(consumer["service_rate"] for consumer in consumers)
    return 0.0 if is_under_load else float(run["computing"] or 0.0)


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", origin=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"this is not JSON: {error}", origin=str(path)) from error
    if not isinstance(document, dict):
        raise ConfigError("this is not what `glasshub spike` left", origin=str(path))
    return document
