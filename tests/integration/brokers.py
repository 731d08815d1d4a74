# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real RabbitMQ for integration tests: one for each test file, what is published on it, and hubs that subscribe.

Tests of one file share the broker, so each of them takes a name of its own for hub and topics.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools.rabbitmq import Broker, why_not

from ..lasting import shared
from ..needs import give_up, module
from .hubs import HubProcess, hub_on, wait_until

EXCHANGE = "amq.topic"

#: Headers of a message that says nothing of its schema.
HEADERS = {"fedora_messaging_schema": "base.message", "fedora_messaging_severity": 20}


class Depth(NamedTuple):
    """What a broker says of a queue: messages that it has given to nobody, and its subscribers."""

    ready: int
    hubs: int


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for as long as the tests of a file last; whoever stops it starts it again."""
    reason = why_not()
    if reason:
        give_up(reason)
    module("pika")
    with Broker(tmp_path_factory.mktemp("broker")) as broker, shared(lambda: {broker.pid}):
        yield broker


@contextmanager
def channel_of(broker: Broker) -> Iterator[Any]:
    """A channel of a pika BlockingConnection, which confirms what is published."""
    pika = module("pika")
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        if connection.is_open:
            connection.close()


def publish(broker: Broker, topic: str, body: Any, *, exchange: str = EXCHANGE, **properties: Any) -> str:
    """Publish one message as fedora-messaging would; its id.

    Args:
        body: Bytes as they are; all else as JSON.
        properties: Of pika's BasicProperties, in place of the usual ones; None for none.
    """
    with channel_of(broker) as channel:
        return _publish(channel, exchange, topic, body, properties)


def publish_many(broker: Broker, count: int, topic: str, *, size: int = 0, exchange: str = EXCHANGE) -> list[str]:
    """Publish messages that differ in their id and in `number`, from 0, and carry `size` bytes besides; the ids.

    All are confirmed, but none is waited for before the next one is published.
    """
    pika = module("pika")
    bodies = [{"number": number, "padding": "x" * size} for number in range(count)]
    ids: list[str] = []
    unconfirmed = set(range(1, count + 1))

    def publish_all(channel: Any) -> None:
        ids.extend(_publish(channel, exchange, topic, body, {}) for body in bodies)

    def confirmed(frame: Any) -> None:
        tag = frame.method.delivery_tag
        unconfirmed.difference_update([one for one in unconfirmed if one <= tag] if frame.method.multiple else [tag])
        if not unconfirmed:
            connection.close()

    def opened(channel: Any) -> None:
        channel.confirm_delivery(confirmed, callback=lambda frame: publish_all(channel))

    connection = pika.SelectConnection(
        pika.URLParameters(broker.url),
        on_open_callback=lambda connection: connection.channel(on_open_callback=opened),
        on_close_callback=lambda connection, error: connection.ioloop.stop(),
    )
    try:
        connection.ioloop.start()
    finally:
        connection.ioloop.close()
    assert not unconfirmed, f"the broker has not confirmed {len(unconfirmed)} of {count} messages"
    return ids


def _publish(channel: Any, exchange: str, topic: str, body: Any, properties: Mapping[str, Any]) -> str:
    all_properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "message_id": str(uuid.uuid4()),
        "headers": {**HEADERS, "sent-at": datetime.now(timezone.utc).isoformat(timespec="seconds")},
        **properties,
    }
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
    channel.basic_publish(exchange, topic, encoded, module("pika").BasicProperties(**all_properties))
    return str(all_properties["message_id"])


def depth(broker: Broker, queue: str) -> Depth:
    """How much waits in a queue, and how many subscribe to it."""
    with channel_of(broker) as channel:
        answer = channel.queue_declare(queue, passive=True).method
        return Depth(answer.message_count, answer.consumer_count)


def unacknowledged(broker: Broker, queue: str) -> int:
    """Messages of a queue that its subscribers have and have not acknowledged: a second of rabbitmqctl's time."""
    rows = broker.control("list_queues", "--no-table-headers", "name", "messages_unacknowledged").splitlines()
    return {name: int(count) for name, count in (row.split("\t") for row in rows)}[queue]


def delete_queues(broker: Broker, *names: str) -> None:
    """Delete queues, whatever is in them, and whoever subscribes."""
    with channel_of(broker) as channel:
        for name in names:
            channel.queue_delete(name)


def settings_file(directory: Path, broker: Broker, more: str = "", *, url: str = "", name: str = "fm.toml") -> Path:
    """fedora-messaging's configuration file, for that broker unless a URL says otherwise; more lines of it."""
    path = directory / name
    path.write_text(f'amqp_url = "{url or broker.url}"\n{more}', encoding="utf-8")
    return path


def await_hubs(broker: Broker, *queues: str, count: int = 1) -> None:
    """Wait until so many hubs subscribe to each of these queues: what is published from now on reaches them."""
    with_too_few = set(queues)

    def are_all_there() -> bool:
        with_too_few.difference_update([name for name in with_too_few if _hubs(broker, name) == count])
        return not with_too_few

    wait_until(are_all_there, f"{count} subscribers of {', '.join(queues)}")


def _hubs(broker: Broker, queue: str) -> int:
    """Subscribers of a queue, which may not be there yet, on a broker that may not be there yet."""
    errors = module("pika.exceptions")
    try:
        return depth(broker, queue).hubs
    except (errors.ChannelClosedByBroker, errors.AMQPConnectionError):
        return 0


@contextmanager
def hub_on_broker(
    broker: Broker, directory: Path, *arguments: str, queues: Sequence[str] = (), settings: str = "", **more: Any
) -> Iterator[HubProcess]:
    """A hub that runs and subscribes to these queues, for as long as the context lasts; see `HubProcess`.

    Args:
        settings: More lines of fedora-messaging's configuration file.
    """
    path = settings_file(directory, broker, settings, name=f"{more.get('name', 'h')}.fm.toml")
    with hub_on(None, directory, "--fedora-messaging", str(path), *arguments, **more) as hub:
        await_hubs(broker, *queues)
        yield hub
