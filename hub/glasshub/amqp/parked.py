# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is in the queues of parked messages: looking at it, giving it back, forgetting it; for commands.

A queue has no way to be read but to take messages out. They are taken and not acknowledged, and the broker has them
back, in their places, when the connection is closed, however that comes. Whoever looks meanwhile does not see them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from ..errors import BrokerError
from .parameters import parameters_of
from .parking import PREFIX, addressed
from .settings import AmqpSettings
from .topology import PARKED

#: Headers that the broker adds to what it parks, or counts in.
_BROKERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")

_NOT_FOUND = 404


@dataclass(frozen=True)
class ParkedMessage:
    """A message that was given up.

    Attributes:
        queue: The queue that it was in, and goes back to.
        tag: Its number in the channel that it was taken from.
        topic: Its topic.
        message_id: Its id; empty if it has none.
        hub, consumer: Who gave it up; empty if that was the broker.
        error: Why, in one line.
        traceback: Where the consumer failed; empty if nobody knows.
        attempts: How often it was tried; 0 if nobody knows.
        failed_at: When it was given up, ISO 8601.
        properties: As it was published.
        headers: Likewise.
        body: Likewise.
    """

    queue: str
    tag: int
    topic: str
    message_id: str
    hub: str
    consumer: str
    error: str
    traceback: str
    attempts: int
    failed_at: str
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    body: bytes


class ParkedQueues:
    """Queues of parked messages. A context manager, in which they are there for nobody else."""

    def __init__(self, settings: AmqpSettings, names: Sequence[str], *, must_exist: bool) -> None:
        """Connect to the first broker that can be reached.

        Args:
            settings: Where the brokers are.
            names: Queues, beside each of which there may be one of parked messages.
            must_exist: Whether there has to be.

        Raises:
            BrokerError: None can.
        """
        self._names = names
        self._must_exist = must_exist
        self._connection = _connected(settings)
        self._channel: BlockingChannel = self._connection.channel()
        self._channel.confirm_delivery()

    def __enter__(self) -> ParkedQueues:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    def messages(self) -> Iterator[ParkedMessage]:
        """The parked messages that are there now, of each queue the oldest first.

        Raises:
            BrokerError: The broker does not give them.
        """
        for queue in self._names:
            for _ in range(self._count(queue)):  # no more: some may be parked while we look
                with _translated():
                    method, properties, body = self._channel.basic_get(queue + PARKED)
                if method is None:  # somebody else looks at it
                    break
                yield _parked(queue, method, properties, body)

    def retry(self, message: ParkedMessage) -> None:
        """Give a message back to its queue, as it was, behind what waits there.

        Raises:
            BrokerError: The broker does not take it; the message stays parked.
        """
        outgoing = addressed(message.queue, message.topic, message.body, message.properties, message.headers)
        with _translated():
            try:
                self._channel.basic_publish(
                    "", outgoing.topic, outgoing.body, pika.BasicProperties(**outgoing.properties), mandatory=True
                )
            except pika.exceptions.UnroutableError:
                raise BrokerError(
                    f"there is no queue {message.queue} any more: start the hub that makes it, and try again"
                ) from None
            except pika.exceptions.NackError:
                raise BrokerError(f"the broker refuses to put a message into queue {message.queue}") from None
            self._channel.basic_ack(message.tag)

    def discard(self, message: ParkedMessage) -> None:
        """Forget a message.

        Raises:
            BrokerError: The broker is gone.
        """
        with _translated():
            self._channel.basic_ack(message.tag)

    def _count(self, queue: str) -> int:
        with _translated():
            channel = self._connection.channel()  # which the broker closes if there is no such queue
            try:
                found = int(channel.queue_declare(queue + PARKED, passive=True).method.message_count)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != _NOT_FOUND or self._must_exist:
                    raise
                return 0
            channel.close()
            return found


def _connected(settings: AmqpSettings) -> pika.BlockingConnection:
    parameters = parameters_of(settings)
    try:
        return pika.BlockingConnection(parameters)
    except (pika.exceptions.AMQPError, OSError) as error:
        brokers = ", ".join(f"{one.host}:{one.port}" for one in parameters)
        where = f" in {settings.path}" if settings.path else ""
        raise BrokerError(f"cannot connect to {brokers}: {_reason(error)}: see amqp_url{where}") from None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What pika raises as what an operator reads."""
    try:
        yield
    except (pika.exceptions.AMQPError, OSError) as error:
        raise BrokerError(f"the broker: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """Why, in one line; pika's errors contain each other, and some say nothing."""
    if isinstance(error, (pika.exceptions.ChannelClosed, pika.exceptions.ConnectionClosed)):
        return f"{error.reply_text} ({error.reply_code})"
    inner = getattr(error, "exception", None) or next((one for one in error.args if isinstance(one, Exception)), None)
    return _reason(inner) if inner is not None else str(error) or type(error).__name__


def _parked(queue: str, method: Any, properties: Any, body: bytes) -> ParkedMessage:
    headers = dict(properties.headers or {})
    told = {name[len(PREFIX) :]: headers.pop(name) for name in list(headers) if name.startswith(PREFIX)}
    by_broker = None if told else _by_broker(headers)
    topic = method.routing_key if by_broker is None else next(iter(by_broker["routing-keys"]), "")
    return ParkedMessage(
        queue,
        method.delivery_tag,
        topic,
        properties.message_id or "",
        hub=told.get("hub", ""),
        consumer=told.get("consumer", ""),
        error=told.get("error") or f"parked by the broker: {by_broker['reason'] if by_broker else 'nobody says why'}",
        traceback=told.get("traceback", ""),
        attempts=told.get("attempts", 0),
        failed_at=told.get("failed-at") or (by_broker["time"].isoformat() if by_broker else ""),
        properties=vars(properties),
        headers={name: value for name, value in headers.items() if not name.startswith(_BROKERS)},
        body=body,
    )


def _by_broker(headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the broker says of a message that it has parked itself; None for others."""
    deaths = headers.get("x-death") or [None]
    death: Mapping[str, Any] | None = deaths[0]
    return death
