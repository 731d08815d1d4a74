# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's bus: queues on a RabbitMQ, each message acknowledged when it is done.

A thread of its own (`glasshub.amqp.link`) receives; the enqueuer takes from it what has come. Acknowledgements come
from any thread, and are sent by that one, as many at a time as there are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..amqp.link import Link, in_turn
from ..amqp.parking import Parking, addressed, reasons
from ..amqp.settings import AmqpSettings
from ..amqp.topology import Queue, queues_of
from ..amqp.wire import fedmsg_body
from ..config import EACH, Config
from ..failure import Failure, Park
from ..message import Frame
from ..routing import Router
from .base import Batch, QueueState, SourceState

logger = logging.getLogger(__name__)

#: Seconds that an acknowledgement may wait for others.
_ACK_DELAY = 0.005

#: Seconds between two questions to the broker of how much waits, and before a queue that is gone is tried again.
_ASK, _AGAIN = 2.0, 1.0

#: Seconds that closing may take.
_CLOSING = 5.0


class Delivery(Frame):
    """A message that the broker wants to be told about.

    Attributes:
        subscription: Where it came from.
        tag: Its number there.
        original: Its properties and its body, as they were published.
    """

    __slots__ = ("addressee", "original", "subscription", "tag")

    def __init__(
        self,
        topic: bytes,
        body: bytes,
        received_ns: int,
        subscription: Subscription,
        tag: int,
        original: tuple[Any, bytes],
    ) -> None:
        super().__init__(topic, body, received_ns)
        self.addressee = subscription.queue.consumer
        self.subscription = subscription
        self.tag = tag
        self.original = original


class FedoraMessagingSource:
    """Subscribes to queues on a broker. See `Source`."""

    kind = "fedora-messaging"
    acknowledges = True

    def __init__(self, config: Config, settings: AmqpSettings) -> None:
        self._config = config
        self._settings = settings
        self._received: deque[Delivery] = deque()
        self._sign = threading.Condition()
        self._is_woken = self._is_finished = False
        self._subscriptions: list[Subscription] = []
        self._connection: Any = None
        self._done: deque[Delivery] = deque()
        self.faults = 0
        self._link = Link("amqp", settings, self)
        self._parking = Parking(settings)
        self._names: Sequence[str] = ()

    @property
    def park(self) -> Park | None:
        """See `Source.park`: beside the queue of each consumer is one for that."""
        return self._park if self._config.fedora_messaging.queues == EACH else None

    def open(self, router: Router) -> None:
        """See `Source.open`: whoever is not there now is connected to later."""
        self._names = router.names
        self._subscriptions = [Subscription(self, queue) for queue in queues_of(self._config, self._settings, router)]
        self._link.start()

    def subscribe(self, router: Router) -> None:
        """See `Source.subscribe`."""
        queues = queues_of(self._config, self._settings, router)
        for subscription, queue in zip(self._subscriptions, queues):
            self._link.call(partial(subscription.bind, queue))

    def wake(self) -> None:
        """See `Source.wake`."""
        with self._sign:
            self._is_woken = True
            self._sign.notify()

    def receive(self, timeout: float, limit: int) -> Batch:
        """See `Source.receive`."""
        batch = Batch()
        if not self._received and timeout:
            with self._sign:
                self._sign.wait_for(lambda: self._received or self._is_woken, timeout)
                self._is_woken = False
        frames = batch.frames
        while self._received and len(frames) < limit:
            frame = self._received.popleft()
            frames.append(frame)
            batch.size += len(frame.topic) + len(frame.body)
        return batch

    def acknowledge(self, frame: Frame) -> None:
        """See `Source.acknowledge`."""
        assert isinstance(frame, Delivery)
        self._done.append(frame)
        if len(self._done) == 1:
            self._link.call(lambda: self._link.later(_ACK_DELAY, self._settle))

    def state(self) -> SourceState:
        """See `Source.state`."""
        link = self._link
        return SourceState(
            endpoints=1,
            connected=int(link.is_connected),
            disconnects=link.disconnects,
            lost=int(bool(link.lost_ns)),
            lost_ns=link.lost_ns,
            faults=self.faults + link.failures,
            is_blocked=link.is_blocked,
            queues=[subscription.state() for subscription in self._subscriptions],
        )

    def finish(self) -> None:
        """See `Source.finish`; what has come and was not taken goes back when it is closed."""
        self._is_finished = True
        self._link.call(self._cancel)

    def close(self) -> None:
        """See `Source.close`."""
        self._parking.close(_CLOSING)
        self._link.call(self._settle)
        self._link.stop(_CLOSING)

    def _park(self, station: int, frame: Frame, failure: Failure) -> None:
        delivery, name = frame.origin, self._names[station]
        if not isinstance(delivery, Delivery):
            logger.error("%s: what did not come from the bus cannot be parked: it is gone", name)
            return
        assert frame.completion is not None
        properties, body = delivery.original
        why = reasons(failure, hub=self._config.hub.name, consumer=name)
        self._parking.park(
            addressed(
                delivery.subscription.queue.parked,
                frame.topic.decode("utf-8"),
                body,
                vars(properties),
                {**(properties.headers or {}), **why},
            ),
            delivery.subscription,
            frame.completion.one_done,
        )

    def take_in(self, frame: Delivery) -> None:
        """Have the enqueuer get a message. Threads: the link's."""
        self._received.append(frame)
        if len(self._received) == 1:
            with self._sign:
                self._sign.notify()

    def connected(self, connection: Any) -> None:
        """See `Client.connected`."""
        self._connection = connection
        for subscription in self._subscriptions:
            self._subscribe(subscription)
        self._link.later(_ASK, partial(self._ask, connection))

    def lost(self) -> None:
        """See `Client.lost`."""
        self._connection = None
        for subscription in self._subscriptions:
            self._forget(subscription)

    def _subscribe(self, subscription: Subscription) -> None:
        if self._connection is None or self._is_finished:
            return

        def opened(channel: Any) -> None:
            channel.add_on_close_callback(closed)
            subscription.begin(channel, passive=self._settings.passive_declares)

        def closed(channel: Any, reason: Any) -> None:
            if self._connection is None or self._is_finished or not self._connection.is_open:
                return
            self.faults += 1
            logger.error("queue %s: %s: trying again", subscription.queue.name, reason)
            self._forget(subscription)
            self._link.later(_AGAIN, partial(self._subscribe, subscription))

        self._connection.channel(on_open_callback=opened)

    def _forget(self, subscription: Subscription) -> None:
        """What came through a channel that is gone comes again, and is not to be acknowledged."""
        subscription.end()
        self._parking.forget(subscription)
        for frame in list(self._received):
            if frame.subscription is subscription:
                self._received.remove(frame)
        fresh = Subscription(self, subscription.queue)
        self._subscriptions[self._subscriptions.index(subscription)] = fresh

    def _cancel(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()

    def _settle(self) -> None:
        while self._done:
            frame = self._done.popleft()
            frame.subscription.acknowledge(frame.tag)
        for subscription in self._subscriptions:
            subscription.settle()

    def _ask(self, connection: Any) -> None:
        if connection is self._connection and connection.is_open:
            for subscription in self._subscriptions:
                subscription.ask()
            self._link.later(_ASK, partial(self._ask, connection))


class Subscription:
    """One queue, through one channel. Threads: the link's, but for `state`: any."""

    def __init__(self, source: FedoraMessagingSource, queue: Queue) -> None:
        self.queue = queue
        self._source = source
        self._channel: Any = None
        self._consumer_tag = ""
        self._out: deque[int] = deque()
        self._done: set[int] = set()
        self._ready = self._hubs = self._redelivered = 0
        self._prefetch = 100

    def begin(self, channel: Any, *, passive: bool) -> None:
        """Declare the queue, and consume."""
        self._channel = channel
        queue = self.queue
        steps: list[Any] = []
        if queue.parked:
            steps.append(
                lambda done: channel.queue_declare(
                    queue.parked, passive=passive, durable=True, arguments={"x-queue-type": "quorum"}, callback=done
                )
            )
        steps.append(
            lambda done: channel.queue_declare(
                queue.name,
                passive=passive,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=dict(queue.arguments),
                callback=done,
            )
        )
        steps += [] if passive else self._binding_steps(queue)
        steps.append(lambda done: channel.basic_qos(prefetch_count=self._prefetch, callback=done))
        in_turn(steps, lambda frame: self._consume())

    def bind(self, queue: Queue) -> None:
        """Have the queue get what is wanted now."""
        self.queue = queue
        if self._channel is not None:
            in_turn(self._binding_steps(queue))

    def cancel(self) -> None:
        """Have the broker bring nothing more."""
        if self._channel is not None and self._channel.is_open and self._consumer_tag:
            self._channel.basic_cancel(self._consumer_tag)

    def end(self) -> None:
        """Forget the channel."""
        self._channel = None
        self._out.clear()
        self._done.clear()

    def acknowledge(self, tag: int) -> None:
        """Note that a message is done."""
        if self._channel is not None:
            self._done.add(tag)

    def settle(self) -> None:
        """Tell the broker what is done."""
        if self._channel is None or not self._done:
            return
        last = 0
        while self._out and self._out[0] in self._done:
            last = self._out.popleft()
            self._done.remove(last)
        if last:
            self._channel.basic_ack(last, multiple=True)
        for tag in sorted(self._done):
            self._channel.basic_ack(tag)
            self._out.remove(tag)
        self._done.clear()

    def ask(self) -> None:
        """Ask how much waits."""
        if self._channel is not None and self._channel.is_open:
            self._channel.queue_declare(self.queue.name, passive=True, callback=self._answered)

    def state(self) -> QueueState:
        """See `QueueState`."""
        return QueueState(
            self.queue.consumer,
            self.queue.name,
            ready=self._ready,
            hubs=self._hubs,
            unacknowledged=len(self._out),
            prefetch=self._prefetch,
            redelivered=self._redelivered,
            is_consuming=bool(self._consumer_tag),
        )

    def _binding_steps(self, queue: Queue) -> Sequence[Any]:
        def step(exchange: str, key: str) -> Any:
            return lambda done: self._channel.queue_bind(queue.name, exchange, key, callback=done)

        return [step(binding.exchange, key) for binding in queue.bindings for key in binding.routing_keys]

    def _consume(self) -> None:
        self._consumer_tag = self._channel.basic_consume(self.queue.name, self._delivered)

    def _answered(self, frame: Any) -> None:
        self._ready, self._hubs = frame.method.message_count, frame.method.consumer_count

    def _delivered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        topic = method.routing_key
        self._out.append(method.delivery_tag)
        self._redelivered += method.redelivered
        document = fedmsg_body(
            body,
            topic=topic,
            message_id=properties.message_id,
            headers=properties.headers,
            content_encoding=properties.content_encoding,
            queue=self.queue.name,
        )
        original = properties, body
        frame = Delivery(topic.encode("utf-8"), document, time.monotonic_ns(), self, method.delivery_tag, original)
        self._source.take_in(frame)
