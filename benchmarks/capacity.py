# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a rate of messages needs of hubs, cores and broker, reckoned from what one message was measured to take.

First what is measured, of a hub in shape `processes` with one consumer that does nothing; then the plan for one
consumer that computes for so long on each message. docs/scaling.md says what the sums are.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .amqp import Bus, Glasshub, Spent, opened_bus, run_once
from .figures import Figure, figure

_MESSAGES, _TURNS = 20_000, 5

#: Messages a second, and seconds that a consumer computes on each.
_RATES, _SERVICE_TIMES = (100, 10_000, 1_000_000), (0.0001, 0.001, 0.01)

#: So many times what a rate takes is planned for, so that a backlog is worked off in the time in which it came up.
_RESERVE = 2


@dataclass(frozen=True)
class Costs:
    """What one message takes, in seconds.

    Attributes:
        hub: Of processor time in the hub's own process.
        worker: Likewise in the worker process, before and after the consumer.
        published, delivered: Likewise in the broker, to take it into a quorum queue, and to deliver it.
        pace: Of time, in a hub that does nothing else: it cannot go faster.
    """

    hub: float
    worker: float
    published: float
    delivered: float
    pace: float


@dataclass(frozen=True)
class Plan:
    """What a rate needs, with the reserve."""

    hubs: int
    cores: int
    broker_cores: int


def plan(rate: float, service_time: float, costs: Costs) -> Plan:
    """What one consumer needs that gets so many messages a second, and computes for so many seconds on each.

    A hub runs it in one worker process, which has one interpreter lock: it can use one core and no more.
    """
    load = _RESERVE * rate
    return Plan(
        hubs=math.ceil(load * max(costs.pace, service_time + costs.worker)),
        cores=math.ceil(load * (service_time + costs.worker + costs.hub)),
        broker_cores=math.ceil(load * (costs.published + costs.delivered)),
    )


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure, and reckon.

    Raises:
        BenchError: There is no RabbitMQ here.
    """
    messages = _MESSAGES // 10 if quick else _MESSAGES
    with opened_bus() as bus:
        published = [_publish(bus, messages) for _ in range(1 if quick else _TURNS)]
        turns = [run_once(bus, Glasshub("processes"), messages) for _ in range(1 if quick else _TURNS)]
    measured = {
        "the hub": [spent.each(spent.hub) for spent in turns],
        "the worker process": [spent.each(spent.workers) for spent in turns],
        "the broker, to publish": [spent.each(spent.broker) for spent in published],
        "the broker, to deliver": [spent.each(spent.broker) for spent in turns],
    }
    for name, each in measured.items():
        yield figure(f"processor time of {name}", each, "us/message")
    yield figure("one hub goes no faster than", [spent.rate for spent in turns], "messages/s")
    yield figure("one queue takes from one publisher", [spent.rate for spent in published], "messages/s")
    hub, worker, taking, giving = (statistics.median(each) / 1e6 for each in measured.values())
    costs = Costs(hub, worker, taking, giving, pace=1 / statistics.median([spent.rate for spent in turns]))
    for rate in _RATES:
        for service_time in _SERVICE_TIMES:
            yield from _planned(rate, service_time, plan(rate, service_time, costs))


def _planned(rate: int, service_time: float, needs: Plan) -> Sequence[Figure]:
    load = f"{rate:,}/s of {service_time * 1000:g} ms"
    return [
        Figure(f"{load}: hubs", needs.hubs, "hubs"),
        Figure(f"{load}: for these hubs", needs.cores, "cores"),
        Figure(f"{load}: for the broker", needs.broker_cores, "cores"),
    ]


def _publish(bus: Bus, messages: int) -> Spent:
    began = time.monotonic()
    broker = bus.fill(messages)
    seconds = time.monotonic() - began
    bus.empty()
    return Spent(messages, seconds, 0.0, 0.0, broker)
