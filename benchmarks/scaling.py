# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hubs on one queue against one: a consumer that computes for 20 ms, all messages published at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .amqp import Bus, Glasshub, opened_bus
from .figures import Figure, Target, figure, ratio, take_turns
from .processes import Child, scratch, wait_for
from .tallies import COUNTED, DIRECTORY, MESSAGES, path_of

#: Messages of a run: 8 seconds of work.
_MESSAGES = 400

_NAME = "Part0"

#: On two processors, which the broker needs as well.
_TARGET = Target(1.7, is_floor=True)


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare.

    Raises:
        BenchError: There is no RabbitMQ here.
    """
    messages = _MESSAGES // 10 if quick else _MESSAGES
    with opened_bus() as bus:
        runs = {f"{hubs} hub{'s' if hubs > 1 else ''}": partial(_rate, bus, hubs, messages) for hubs in (1, 2)}
        rates = take_turns(runs, 1 if quick else 5)
    for name, turns in rates.items():
        yield figure(name, turns, "messages/s")
    one, two = rates.values()
    yield ratio("2 hubs / 1 hub", two, one, _TARGET if (os.cpu_count() or 1) > 1 else None)


def _rate(bus: Bus, hubs: int, messages: int) -> float:
    """Messages a second, from the first one that a consumer has finished to the last one."""
    with scratch() as directory, contextlib.ExitStack() as stack:
        environment = {DIRECTORY: str(directory), MESSAGES: str(messages), COUNTED: str(messages)}
        children = []
        for number in range(hubs):
            command = Glasshub("processes", _NAME).command(bus.broker, directory / f"hub{number}")
            child = Child(*command, directory=directory, environment=environment)
            children.append(stack.enter_context(child))
        bus.wait_for_subscribers(hubs, children)
        bus.publish(messages)
        path = path_of(_NAME, directory)
        times_ns = wait_for(lambda: _times_ns(path, messages), "all messages consumed")
    bus.empty()
    return (messages - 1) / ((max(times_ns) - min(times_ns)) / 1e9)


def _times_ns(path: Path, messages: int) -> list[int] | None:
    """When each message was finished; None until all are."""
    times = path.read_text(encoding="ascii").split() if path.exists() else []
    return list(map(int, times)) if len(times) >= messages else None
