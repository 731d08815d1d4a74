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
    hub = interval.newer.hub
    received = interval.hub.received
    consumers = tuple(_measured(consumer, received) for consumer in interval.consumers if _did_something(consumer))
    if not (consumers and received):
        raise ConfigError("no consumer has handled anything of the bus in this time: there is nothing to go by")
    rate = interval.hub.receive_rate
    return Basis(source, hub.shape, rate, 0.0 if hub.shape in SERIAL else computing, consumers)


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


def _measured(consumer: ConsumerInterval, received: int) -> Measured:
    now, workers = consumer.now, consumer.now.workers
    return Measured(
        consumer.name,
        share=(consumer.enqueued - consumer.injected) / received if received else 0.0,
        service_rate=workers * consumer.finished / consumer.processing.total,
        workers=workers,
        waiting=now.backlog if math.isnan(now.total_backlog) else now.total_backlog,
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
