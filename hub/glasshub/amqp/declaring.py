# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a broker is asked for so that a queue is there and gets its messages: one step after another, each with a name.

A step is given what it is to call with the broker's answer; one that the broker refuses closes its channel, and its
name says what was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .topology import PARKED_ARGUMENTS, Queue

Step = tuple[str, Callable[[Callable[[Any], None]], object]]

#: An exchange and a routing key.
Bound = tuple[str, str]


def declaring(channel: Any, queue: Queue, *, passive: bool) -> list[Step]:
    """Declare a queue and what belongs to it; the last answer is the queue's.

    Args:
        channel: Where to ask.
        queue: The queue.
        passive: Whether somebody else makes all of them: they are only looked for.
    """
    steps: list[Step] = []
    for name, section in queue.exchanges.items():
        steps.append((f"declare exchange {name}", partial(_declare_exchange, channel, name, section, passive)))
    if queue.parked:
        parked = Queue(queue.parked, None, arguments=PARKED_ARGUMENTS)
        steps.append((f"declare queue {parked.name}", partial(_declare_queue, channel, parked, passive)))
    steps.append((f"declare queue {queue.name}", partial(_declare_queue, channel, queue, passive)))
    return steps


def binding(channel: Any, queue: str, wanted: Iterable[Bound]) -> list[Step]:
    """Bind a queue."""
    return [
        (
            f"bind queue {queue} to exchange {exchange} with {key}",
            partial(_ask, partial(channel.queue_bind, queue, exchange, key)),
        )
        for exchange, key in sorted(wanted)
    ]


def unbinding(channel: Any, queue: str, unwanted: Iterable[Bound]) -> list[Step]:
    """End bindings of a queue."""
    return [
        (
            f"unbind queue {queue} from exchange {exchange} with {key}",
            partial(_ask, partial(channel.queue_unbind, queue, exchange, key)),
        )
        for exchange, key in sorted(unwanted)
    ]


def _ask(method: Callable[..., Any], done: Callable[[Any], None]) -> None:
    method(callback=done)


def _declare_exchange(
    channel: Any, name: str, section: Mapping[str, Any], passive: bool, done: Callable[[Any], None]
) -> None:
    channel.exchange_declare(
        name,
        section.get("type", "topic"),
        passive=passive,
        durable=section.get("durable", True),
        auto_delete=section.get("auto_delete", False),
        arguments=dict(section.get("arguments", {})),
        callback=done,
    )


def _declare_queue(channel: Any, queue: Queue, passive: bool, done: Callable[[Any], None]) -> None:
    channel.queue_declare(
        queue.name,
        passive=passive and bool(queue.name),  # nobody has made one whose name the broker gives
        durable=queue.durable,
        exclusive=queue.exclusive,
        auto_delete=queue.auto_delete,
        arguments=dict(queue.arguments),
        callback=done,
    )
