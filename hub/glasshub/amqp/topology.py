# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which queues there are on the broker, and what goes into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import EACH, QUORUM, Config
from ..routing import Router, prefix_of
from .settings import TOPIC_EXCHANGE, AmqpSettings, Binding

#: Behind a queue's name: the queue of messages that were given up, to be looked at.
PARKED = ".parked"


@dataclass(frozen=True)
class Queue:
    """A queue that a hub subscribes to.

    Attributes:
        name: Its name on the broker.
        consumer: Whose it is, by index; None for all.
        bindings: What goes into it.
        durable, exclusive, auto_delete, arguments: As AMQP has them.
        parked: Name of the queue for messages that were given up; empty for none.
    """

    name: str
    consumer: int | None
    bindings: Sequence[Binding] = ()
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parked: str = ""


def queues_of(config: Config, settings: AmqpSettings, router: Router) -> list[Queue]:
    """The queues of a hub whose consumers want that."""
    if config.fedora_messaging.queues == EACH:
        return [_queue_of(config, settings, router, index) for index in range(len(router.names))]
    return [
        Queue(
            name,
            None,
            [binding for binding in settings.bindings if binding.queue == name],
            durable=section["durable"],
            exclusive=section["exclusive"],
            auto_delete=section["auto_delete"],
            arguments=section["arguments"],
        )
        for name, section in settings.queues.items()
    ]


def _queue_of(config: Config, settings: AmqpSettings, router: Router, index: int) -> Queue:
    consumer, section = router.names[index], config.fedora_messaging
    own = config.consumers[consumer].queue if consumer in config.consumers else ""
    name = own or section.queue.format(hub=config.hub.name, consumer=consumer)
    exchange = settings.bindings[0].exchange if settings.bindings else TOPIC_EXCHANGE
    keys = sorted(routing_keys(router.topics[index], is_strict=router.is_strict))
    arguments: dict[str, Any] = {"x-queue-type": section.queue_type}
    if section.queue_type == QUORUM and section.delivery_limit:
        arguments["x-delivery-limit"] = section.delivery_limit
    arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name + PARKED}
    return Queue(name, index, [Binding(name, exchange, keys)], arguments=arguments, parked=name + PARKED)


def routing_keys(topics: Iterable[str], *, is_strict: bool) -> set[str]:
    """Keys to bind a queue with that gets all messages of these topics, and perhaps more.

    A topic is a prefix of any length here, and a whole number of words for the broker.
    """
    keys = set()
    for topic in topics:
        prefix = prefix_of(topic).decode("utf-8")
        if is_strict:
            keys.add(prefix)
            continue
        words = prefix.split(".")[:-1]
        keys.add(".".join([*words, "#"]))
    return {"#"} if "#" in keys else keys
