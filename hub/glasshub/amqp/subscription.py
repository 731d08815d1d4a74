# SPDX-License-Identifier: LGPL-2.1-or-later
"""Subscriptions: a queue each, and a channel: what goes wrong with one leaves the others alone.

A message that kills hub after hub comes back each time, and with it whatever else the hub had of that queue; the broker
counts that for each of them, and parks those that have come back too often (x-delivery-limit). So that this costs no
message but the one that kills, those that have come back half as often as they may are taken one at a time, and each
hub begins with one.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from pika import exceptions

from ..config import QUORUM
from ..logs import Repeats, held_back
from . import refusals
from .backoff import Backoff
from .declaring import Bound, Step, binding, declaring, unbinding
from .intake import Delivery, Intake
from .link import Link
from .prefetch import Prefetch
from .topology import Queue
from .wire import fedmsg_body

logger = logging.getLogger(__name__)

#: Acknowledgements that need not wait, as a part of the messages that may be here, and at the most.
_ACK_PART, _MOST_ACKS = 4, 64

#: Seconds that the broker may take to answer before that is a fault: a queue without a leader does not.
_PATIENCE = 15.0

#: The part of the times that a message may come back in which it may come along with others.
_TRUSTED_PART = 2

#: What is left of what came before, as a part of what may be here, when the broker is asked for another number.
_REST = 8

#: Seconds in which the same fault of a queue is spoken of once.
_SILENCE = 300.0


class Receiver(Protocol):
    """Takes what subscriptions bring. Threads: the link's."""

    def received(self, delivery: Delivery) -> None:
        """Take a message."""

    def malformed(self, size: int) -> None:
        """Count a message that is none; bytes that it has."""

    def forgotten(self, intake: Intake) -> None:
        """Forget what came that way: it comes again."""


class Subscription:
    """One queue. Threads: the link's, but for the attributes: any may read them.

    Attributes:
        queue: The queue.
        name: Its name on the broker, which may have given it.
        asked_ns: When the broker last said how much there is, monotonic; 0 when that is not known any more.
        ready, hubs: What it said then: messages that wait there, and subscribers.
        redelivered: Messages that had been delivered before.
        faults: How often something went wrong with the queue.
        is_consuming: Whether the broker brings its messages now.
    """

    def __init__(self, queue: Queue, link: Link, receiver: Receiver, *, passive: bool, workers: int, most: int) -> None:
        """Take what is to be worked with.

        Args:
            queue: The queue.
            link: The connection.
            receiver: Who takes the messages.
            passive: Whether somebody else makes queues and exchanges.
            workers: How many messages are worked on at the same time; 0 for no matter how many: `most` are held.
            most: Messages that may be held here.
        """
        self.queue = queue
        self.name = queue.name
        self.asked_ns = self.ready = self.hubs = self.redelivered = self.faults = 0
        self.is_consuming = False
        self._link = link
        self._receiver = receiver
        self._passive = passive
        self._workers = workers
        limit = queue.arguments.get("x-delivery-limit", 0)
        self._suspicious = max(limit // _TRUSTED_PART, 1) if limit and workers else 0  # deliveries; 0 for none
        self._is_careful = False  # one message at a time
        self._prefetch = Prefetch(2 * workers if workers else most, most)
        self._connection: Any = None
        self._channel: Any = None
        self._intake: Intake | None = None
        self._consumer_tag = ""
        self._places = 0  # of the present subscriber
        self._is_waiting = False  # for fewer messages to be here before it is subscribed anew
        self._is_finished = False
        self._bound: set[Bound] = set()  # or perhaps so, for all that we know
        self._is_binding = False
        self._doing = ""
        self._steps = 0
        self._backoff = Backoff()
        self._repeats = Repeats(period=_SILENCE)

    @property
    def unacknowledged(self) -> int:
        """Messages that are here and not acknowledged."""
        return 0 if self._intake is None else len(self._intake)

    @property
    def prefetch(self) -> int:
        """How many of these there may be, besides those that are to be tried again."""
        return 1 if self._is_careful else self._prefetch.current

    def open(self, connection: Any) -> None:
        """Subscribe, over a new connection."""
        self._connection = connection
        self._doing = "open a channel"
        try:
            connection.channel(on_open_callback=self._opened)
        except exceptions.NoFreeChannels:
            self._fault("the broker allows no more channels, and each queue needs one: raise its channel_max")
            self._again(partial(self._reopen, connection))

    def lose(self) -> None:
        """Forget the connection."""
        self._connection = None
        self._forget()

    def change(self, queue: Queue) -> None:
        """Have the queue get what is wanted now."""
        self.queue = queue
        if self.is_consuming and not self._is_binding and self._bindings != self._bound:
            self._bind(self._bindings - self._bound, lambda frame: None)

    def settle(self) -> None:
        """Tell the broker what is done, and ask for more or for fewer at a time."""
        intake = self._intake
        if intake is None or not self._is_open:
            return
        is_full = bool(self._consumer_tag) and intake.used >= self._places  # so nothing is on its way
        finished, last, others = intake.close()
        if is_full and self._workers and self._wants_change(intake, finished):
            self._pause()
        elif not is_full:
            self._prefetch.note(finished, is_full=False)
        if last:
            self._channel.basic_ack(last, multiple=True)
        for tag in others:
            self._channel.basic_ack(tag)
        if self._is_waiting:
            self._subscribe_anew(intake)

    def ask(self) -> None:
        """Ask how much waits."""
        if self._is_open and self.is_consuming:
            self._channel.queue_declare(self.name, passive=True, callback=self._answered)

    def finish(self) -> None:
        """Have the broker bring nothing more."""
        self._is_finished = True
        self.is_consuming = self._is_waiting = False
        if self._is_open and self._consumer_tag:
            self._channel.basic_cancel(self._consumer_tag)
            self._consumer_tag = ""

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Have the broker give these to somebody else."""
        for delivery in deliveries:
            if self._is_open and delivery.intake is self._intake:
                self._channel.basic_nack(delivery.tag)

    @property
    def _is_open(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_cancel_callback(self._cancelled)
        self._channel = channel
        self._intake = Intake(self.queue, self._link, self.settle)
        self._is_careful = self._suspicious > 0
        self._declare()

    def _declare(self) -> None:
        self._take(declaring(self._channel, self.queue, passive=self._passive), self._declared)

    def _declared(self, frame: Any) -> None:
        self.name = frame.method.queue  # the broker's word, where it gives the name
        self._bind(self._bindings, lambda frame: self._subscribe(self.prefetch))

    def _subscribe(self, places: int) -> None:
        intake, channel = self._intake, self._channel
        if self._is_finished or intake is None:
            return
        intake.begin()
        intake.batch = max(min(places // _ACK_PART, _MOST_ACKS), 1)
        self._places = places
        tag = f"{self.name}.{threading.get_native_id()}.{time.monotonic_ns()}"[-255:]
        steps: list[Step] = [
            ("set the prefetch", lambda done: channel.basic_qos(prefetch_count=places, callback=done)),
            (
                f"consume queue {self.name}",
                lambda done: channel.basic_consume(self.name, self._delivered, consumer_tag=tag, callback=done),
            ),
        ]
        self._take(steps, lambda frame: self._subscribed(tag))

    def _subscribed(self, tag: str) -> None:
        self._consumer_tag = tag
        self._backoff.succeeded()
        if not self.is_consuming:
            self.is_consuming = True
            logger.info("queue %s: subscribed", self.name)
            self.change(self.queue)  # it may have changed meanwhile
        if self._is_finished:
            self.finish()

    def _wants_change(self, intake: Intake, finished: int) -> bool:
        """Whether to subscribe anew: for another number, or for what is to be tried again takes the place of others."""
        has_changed = not self._is_careful and self._prefetch.note(finished, is_full=True)
        return has_changed or 2 * intake.clogged > self._places

    def _judge(self, headers: Mapping[str, Any]) -> None:
        """Go by how often a message has come back whether the next ones may come along with others."""
        count = headers.get("x-delivery-count")
        is_careful = isinstance(count, int) and count >= self._suspicious > 0
        if is_careful == self._is_careful:
            return
        self._is_careful = is_careful
        if is_careful:
            logger.warning("queue %s: a message has come back so often that it is handled alone", self.name)
        if self._consumer_tag:
            self._pause()

    def _pause(self) -> None:
        tag, self._consumer_tag = self._consumer_tag, ""
        self._channel.basic_cancel(tag, callback=lambda frame: self._paused())

    def _paused(self) -> None:
        self._is_waiting = not self._is_finished
        self.settle()

    def _subscribe_anew(self, intake: Intake) -> None:
        """Subscribe, once few enough are here that the new subscriber makes it no more than there may be."""
        wanted = self.prefetch
        at_work = len(intake) - intake.delayed
        if at_work <= (0 if self._is_careful else max(wanted // _REST, self._workers)):
            self._is_waiting = False
            self._subscribe(max(wanted - at_work, 1))

    def _delivered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        intake, tag = self._intake, method.delivery_tag
        assert intake is not None
        intake.take(tag)
        self.redelivered += method.redelivered
        if self._is_careful or method.redelivered:
            self._judge((properties.headers or {}) if method.redelivered else {})  # else it is a publisher's word
        topic = method.routing_key
        try:
            document = fedmsg_body(
                body,
                topic=topic,
                message_id=properties.message_id,
                headers=properties.headers,
                content_encoding=properties.content_encoding,
                queue=self.name,
            )
        except Exception:  # whatever a message is: it would come again and again, and take the connection with it
            logger.exception("queue %s: a message that nobody can read: left out", self.name)
            self._receiver.malformed(len(body))
            intake.acknowledge(tag)
            return
        raw_topic = topic.encode("utf-8") if isinstance(topic, str) else topic
        self._receiver.received(
            Delivery(raw_topic, document, time.monotonic_ns(), intake, tag, (properties, body)),
        )

    def _answered(self, frame: Any) -> None:
        # A quorum queue counts a subscriber until all is acknowledged that it was brought.
        is_quorum = self.queue.arguments.get("x-queue-type") == QUORUM
        lingering = self._intake.lingering if is_quorum and self._intake is not None else 0
        self.ready, self.hubs = frame.method.message_count, max(frame.method.consumer_count - lingering, 0)
        self.asked_ns = time.monotonic_ns()

    def _cancelled(self, frame: Any) -> None:
        """The queue was deleted, or has no leader: what came of it is not lost, and what is done with it comes to
        nothing."""
        self.is_consuming, self._consumer_tag, self.asked_ns = False, "", 0
        self._fault("the broker has ended the subscription: the queue was deleted, or moves")
        self._again(partial(self._declare_on, self._channel))

    def _declare_on(self, channel: Any) -> None:
        if self._is_open and channel is self._channel:
            self._declare()

    def _closed(self, channel: Any, error: Any) -> None:
        if channel is not self._channel or self._connection is None or not self._connection.is_open:
            return  # the connection goes as well: see `lose`
        self._forget()
        if not self._is_finished:
            self._fault(refusals.of_queue(self._doing or "go on", error))
            self._again(partial(self._reopen, self._connection))

    def _reopen(self, connection: Any) -> None:
        if connection is self._connection and connection.is_open:
            self.open(connection)

    def _again(self, function: Callable[[], None]) -> None:
        self._link.later(self._backoff.delay(), function)

    def _fault(self, what: str, *, then: str = "trying again") -> None:
        self.faults += 1
        count = self._repeats.admit(what)
        if count is not None:
            logger.error("queue %s: %s: %s%s", self.name, what, then, held_back(count))

    def _forget(self) -> None:
        intake, self._intake, self._channel = self._intake, None, None
        self._steps += 1
        self.is_consuming = self._is_waiting = self._is_binding = False
        self._consumer_tag, self.asked_ns = "", 0
        if intake is not None:
            intake.is_open = False
            self._receiver.forgotten(intake)

    def _take(self, steps: Sequence[Step], done: Callable[[Any], None], answer: Any = None) -> None:
        """Take steps one after another, each when the broker has answered the one before; then `done` with the last
        answer. A step that the broker refuses closes the channel."""
        self._steps += 1
        if not steps:
            self._doing = ""
            done(answer)
            return
        (self._doing, ask), *others = steps
        channel = self._channel

        def go_on(frame: Any) -> None:
            if channel is self._channel and channel.is_open:
                self._take(others, done, frame)

        try:
            ask(go_on)
        except (exceptions.AMQPError, ValueError, TypeError, struct.error) as error:  # AMQP has no form for it
            self._fault(refusals.of_queue(self._doing, error))
            self._again(partial(self._declare_on, channel))
        else:
            self._link.later(_PATIENCE, partial(self._miss_answer, self._steps, self._doing))

    def _miss_answer(self, step: int, doing: str) -> None:
        """The broker has not answered, and may do so still: there is nothing to do but to say so."""
        if step == self._steps and self._is_open:
            self._fault(f"the broker does not answer: cannot {doing}", then="waiting for it")

    @property
    def _bindings(self) -> set[Bound]:
        """Those that are wanted: exchange and routing key."""
        return {(one.exchange, key) for one in self.queue.bindings for key in one.routing_keys}

    def _bind(self, missing: set[Bound], done: Callable[[Any], None]) -> None:
        """Make these bindings, then end those that are wanted no more, as far as this run knows of any."""
        channel, name = self._channel, self.name
        superfluous = self._bound - self._bindings
        self._bound |= missing
        self._is_binding = True
        steps = binding(channel, name, missing) + unbinding(channel, name, superfluous)  # nothing is missed meanwhile

        def bound(frame: Any) -> None:
            self._is_binding = False
            self._bound -= superfluous
            done(frame)
            self.change(self.queue)  # it may have changed meanwhile

        self._take(steps, bound)
