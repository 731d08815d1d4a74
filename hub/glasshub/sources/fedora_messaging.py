# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's bus: queues on a RabbitMQ, each message acknowledged when it is done.

A thread of its own (`glasshub.amqp.link`) receives; the enqueuer takes from it what has come. Acknowledgements come
from any thread, and are sent by that one, as many at a time as there are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..amqp.intake import Delivery, Intake
from ..amqp.link import Link
from ..amqp.parking import Parking, addressed, publisher_for, reasons
from ..amqp.settings import AmqpSettings
from ..amqp.subscription import Subscription
from ..amqp.topology import Queue, queues_of
from ..config import EACH, SPOOLED, Config, ConsumerSection
from ..errors import HubError
from ..failure import Failure, Park
from ..message import Frame
from ..routing import Router
from .base import Batch, QueueState, SourceState
from .inbox import Inbox

logger = logging.getLogger(__name__)

#: Seconds between two looks at how many messages each consumer needs.
_TICK = 0.5

#: Ticks between two questions to the broker of how much waits, for so many queues; for more of them it is less often.
_ASK_TICKS, _ASKED_QUEUES = 4, 50

#: Seconds that closing may take.
_CLOSING = 2.0


class FedoraMessagingSource:
    """Subscribes to queues on a broker. See `Source`."""

    kind = "fedora-messaging"
    acknowledges = True

    def __init__(self, config: Config, settings: AmqpSettings) -> None:
        self._config = config
        self._settings = settings
        self._names: Sequence[str] = ()
        self._subscriptions: list[Subscription] = []
        self._inbox: Inbox[Delivery] = Inbox()
        self._malformed: Inbox[int] = Inbox()  # sizes of those
        self._link = Link("amqp", settings, self)
        self._parking = Parking(publisher_for(settings))
        # These belong to the link's thread.
        self._arrived: list[Delivery] = []
        self._is_finished = False
        self._ticks = 0

    @property
    def park(self) -> Park | None:
        """See `Source.park`: beside the queue of each consumer is one for that."""
        return self._park if self._config.fedora_messaging.queues == EACH else None

    def open(self, router: Router) -> None:
        """See `Source.open`: whoever is not there now is connected to later."""
        self._names = router.names
        queues = queues_of(self._config, self._settings, router)
        self._subscriptions = [self._subscription(queue) for queue in queues]
        self._link.call(self._tick)
        self._link.start()

    def subscribe(self, router: Router) -> None:
        """See `Source.subscribe`."""
        queues = queues_of(self._config, self._settings, router)
        for subscription, queue in zip(self._subscriptions, queues):
            self._link.call(partial(subscription.change, queue))

    def wake(self) -> None:
        """See `Source.wake`."""
        self._inbox.wake()

    def receive(self, timeout: float, limit: int) -> Batch:
        """See `Source.receive`."""
        if self._link.error is not None:
            raise HubError(f"the thread that speaks with the broker died: {self._link.error!r}, see the log above")
        batch = Batch()
        size = 0
        for frame in self._inbox.take(timeout, limit):
            if frame.intake.is_open:
                batch.frames.append(frame)
                size += len(frame.topic) + len(frame.body)
        malformed = self._malformed.take(0, limit)
        batch.malformed, batch.size = len(malformed), size + sum(malformed)
        return batch

    def acknowledge(self, frame: Frame) -> None:
        """See `Source.acknowledge`."""
        assert isinstance(frame, Delivery)
        frame.intake.acknowledge(frame.tag)

    def state(self) -> SourceState:
        """See `Source.state`."""
        link = self._link
        return SourceState(
            endpoints=1,  # the brokers of a cluster are one: whichever of them is there
            connected=int(link.is_connected),
            disconnects=link.disconnects,
            lost=int(bool(link.lost_ns)),
            lost_ns=link.lost_ns,
            faults=link.failures + sum([subscription.faults for subscription in self._subscriptions]),
            is_blocked=link.is_blocked,
            queues=[_state_of(subscription) for subscription in self._subscriptions],
        )

    def finish(self) -> None:
        """See `Source.finish`; what has come and was not taken goes back at once."""
        self._link.call(self._finish)

    def close(self) -> None:
        """See `Source.close`."""
        self._parking.close(_CLOSING)
        self._link.call(self._settle)
        self._link.stop(_CLOSING)

    def received(self, delivery: Delivery) -> None:
        """See `Receiver.received`: the enqueuer gets at once what has come at once."""
        if not self._arrived:
            self._link.later(0, self._hand_over)
        self._arrived.append(delivery)

    def malformed(self, size: int) -> None:
        """See `Receiver.malformed`."""
        self._malformed.put([size])
        self._inbox.wake()

    def forgotten(self, intake: Intake) -> None:
        """See `Receiver.forgotten`: what of it waits for the enqueuer is left out there."""
        self._parking.forget(intake)

    def connected(self, connection: Any) -> None:
        """See `Client.connected`."""
        if not self._is_finished:
            for subscription in self._subscriptions:
                subscription.open(connection)

    def lost(self) -> None:
        """See `Client.lost`."""
        for subscription in self._subscriptions:
            subscription.lose()

    def _subscription(self, queue: Queue) -> Subscription:
        config = self._config
        names = self._names if queue.consumer is None else [self._names[queue.consumer]]
        consumers = [config.consumers.get(name, ConsumerSection()) for name in names]
        # A queue that goes with its last subscriber must never be without one.
        adapts = config.fedora_messaging.acknowledge != SPOOLED and not queue.auto_delete
        workers = sum(max(consumer.workers, config.fedmsg.workers_per_consumer) for consumer in consumers)
        # Within the capacity of each: what finds no room would be dropped, which the broker takes for done.
        capacities = [consumer.capacity for consumer in consumers if consumer.capacity]
        return Subscription(
            queue,
            self._link,
            self,
            passive=self._settings.passive_declares,
            workers=workers if adapts else 0,
            most=min([config.fedora_messaging.prefetch, *capacities]),
        )

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
                delivery.intake.queue.parked,
                frame.topic.decode("utf-8"),
                body,
                vars(properties),
                {**(properties.headers or {}), **why},
            ),
            delivery.intake,
            frame.completion.one_done,
        )

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        self._inbox.put(arrived)

    def _settle(self) -> None:
        for subscription in self._subscriptions:
            subscription.settle()

    def _tick(self) -> None:
        self._settle()
        self._ticks += 1
        if self._ticks % (_ASK_TICKS * (1 + len(self._subscriptions) // _ASKED_QUEUES)) == 1:
            for subscription in self._subscriptions:
                subscription.ask()
        self._link.later(_TICK, self._tick)

    def _finish(self) -> None:
        self._is_finished = True
        self._hand_over()
        waiting = self._inbox.take(0, 1 << 30)
        for subscription in self._subscriptions:
            subscription.finish()
            subscription.give_back(waiting)


def _state_of(subscription: Subscription) -> QueueState:
    return QueueState(
        subscription.queue.consumer,
        subscription.name,
        asked_ns=subscription.asked_ns,
        ready=subscription.ready,
        hubs=subscription.hubs,
        unacknowledged=subscription.unacknowledged,
        prefetch=subscription.prefetch,
        redelivered=subscription.redelivered,
        is_consuming=subscription.is_consuming,
    )
