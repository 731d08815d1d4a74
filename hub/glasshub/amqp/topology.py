# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which queues there are on the broker, and what goes into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..config import DEFAULT, EACH, QUORUM, Config
from ..errors import ConfigError
from ..routing import BINDINGS, Router, prefix_of
from .settings import TOPIC_EXCHANGE, AmqpSettings, Binding
from .wire import LONGEST_NAME

#: Behind a queue's name: the queue of messages that were given up, to be looked at.
PARKED = ".parked"

#: How such a queue is made. Each look counts as a delivery; without a limit of its own, RabbitMQ 4 has 20, and drops.
PARKED_ARGUMENTS = MappingProxyType({"x-queue-type": QUORUM, "x-delivery-limit": 2**31 - 1})


@dataclass(frozen=True)
class Queue:
    """A queue that a hub subscribes to.

    Attributes:
        name: Its name on the broker.
        consumer: Whose it is, by index; None for all.
        bindings: What goes into it.
        durable, exclusive, auto_delete, arguments: As AMQP has them.
        exchanges: Those that it is bound to and that are to be declared: type, durable, auto_delete and arguments.
        parked: Name of the queue for messages that were given up; empty for none.
    """

    name: str
    consumer: int | None
    bindings: Sequence[Binding] = ()
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    exchanges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parked: str = ""


def queues_of(config: Config, settings: AmqpSettings, router: Router) -> list[Queue]:
    """The queues of a hub whose consumers want that."""
    if config.fedora_messaging.queues == EACH:
        names = queue_names(config, router.names)
        return [_queue_of(config, settings, router, index, name) for index, name in enumerate(names)]
    return [_queue_of_file(settings, name) for name in settings.queues]


def _queue_of_file(settings: AmqpSettings, name: str) -> Queue:
    section = settings.queues[name]
    bindings = [binding for binding in settings.bindings if binding.queue == name]
    return Queue(
        name,
        None,
        bindings,
        durable=section["durable"],
        exclusive=section["exclusive"],
        auto_delete=section["auto_delete"],
        arguments=section["arguments"],
        exchanges=_exchanges_of(settings, bindings),
    )


def queue_name(config: Config, consumer: str) -> str:
    """The name of a consumer's queue, where each has one of its own."""
    own = config.consumers[consumer].queue if consumer in config.consumers else ""
    return own or config.fedora_messaging.queue.format(hub=config.hub.name, consumer=consumer)


def queue_names(config: Config, consumers: Sequence[str]) -> list[str]:
    """The names of the queues that these consumers have, each its own.

    Raises:
        ConfigError: Two have the same, or one has a name that a broker does not take.
    """
    names: dict[str, str] = {}
    for consumer in consumers:
        name = queue_name(config, consumer)
        general = config.origins.get("fedora-messaging.queue", DEFAULT)
        origin = config.origins.get(f"consumers.{consumer}.queue", general)
        if name in names:
            raise ConfigError(
                f"{consumer} and {names[name]} would share queue {name}, and each get some of its messages: "
                f"give one of them another with queue in [consumers.{consumer}]",
                origin=origin,
            )
        if len((name + PARKED).encode("utf-8")) > LONGEST_NAME or name.startswith("amq."):
            raise ConfigError(
                f"queue {name!r} of {consumer}: a broker takes names of 1 to {LONGEST_NAME} bytes, {PARKED} behind "
                f"them included, that do not begin with amq.: give it another with queue in [consumers.{consumer}]",
                origin=origin,
            )
        names[name] = consumer
    return list(names)


def _queue_of(config: Config, settings: AmqpSettings, router: Router, index: int, name: str) -> Queue:
    section = config.fedora_messaging
    arguments: dict[str, Any] = {"x-queue-type": section.queue_type}
    if section.queue_type == QUORUM and section.delivery_limit:
        arguments["x-delivery-limit"] = section.delivery_limit
    arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name + PARKED}
    bindings = _bindings(name, router.topics[index], settings, is_strict=router.is_strict)
    exchanges = _exchanges_of(settings, bindings)
    return Queue(name, index, bindings, arguments=arguments, exchanges=exchanges, parked=name + PARKED)


def _bindings(queue: str, topics: Sequence[str], settings: AmqpSettings, *, is_strict: bool) -> list[Binding]:
    """What goes into the queue of a consumer that wants these topics."""
    if BINDINGS in topics and settings.bindings:
        return [Binding(queue, binding.exchange, binding.routing_keys) for binding in settings.bindings]
    exchange = settings.bindings[0].exchange if settings.bindings else TOPIC_EXCHANGE
    return [Binding(queue, exchange, sorted(routing_keys(topics, is_strict=is_strict)))]


def _exchanges_of(settings: AmqpSettings, bindings: Iterable[Binding]) -> dict[str, Mapping[str, Any]]:
    """Those to be declared. Each broker has those whose names begin with `amq.`, and few users may declare them."""
    names = {binding.exchange for binding in bindings}
    return {n: s for n, s in settings.exchanges.items() if n in names and n and not n.startswith("amq.")}


def routing_keys(topics: Iterable[str], *, is_strict: bool) -> set[str]:
    """Keys to bind a queue with that gets all messages of these topics, and perhaps more.

    A topic is a prefix of any length here, and a whole number of words for the broker.
    """
    keys = set()
    for topic in topics:
        prefix = prefix_of(topic).decode("utf-8")
        if is_strict and topic != BINDINGS:
            keys.add(prefix)
            continue
        words = prefix.split(".")[:-1]
        while len(".".join([*words, "#"]).encode("utf-8")) > LONGEST_NAME:
            words.pop()
        keys.add(".".join([*words, "#"]))
    return {"#"} if "#" in keys else keys
