# SPDX-License-Identifier: LGPL-2.1-or-later
"""Publishing on fedora-messaging's bus: what the broker has confirmed is there, of all else who published is told.

Any number of threads publish at once, over one connection and one channel that the link's thread works with. The
broker counts the messages of a channel, and confirms them by number, in any order, one by one or all up to one. What it
has not confirmed when the connection is lost is published again over the next one, under the same id: at least once.

A broker that refuses a message outright (there is no such exchange; it may not be written to) closes the channel,
without a word of which message that was. What had not been confirmed is then published anew one by one, so that the
message on which the channel is closed again is known, and nobody else has to suffer.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any

import pika

from ..errors import PublishError
from ..logs import Repeats, held_back
from .backoff import Backoff
from .link import Link
from .settings import AmqpSettings
from .wire import LONGEST_NAME, Outgoing, from_fedmsg

logger = logging.getLogger(__name__)

#: Seconds that a message may take until it is confirmed.
TIMEOUT = 30.0

#: Messages that may be on their way, or wait for a connection; who publishes more has to wait.
MOST_OUTSTANDING = 1000

#: Seconds that closing may take, and before a channel is tried again that the broker does not want to open.
_CLOSING, _AGAIN = 5.0, 1.0

#: Seconds before a broker is tried again that cannot be reached, at the most: well below the time that a message has,
#: or who publishes when the broker is back might wait for the next attempt until that is up.
_LONGEST_DELAY = 5.0

#: Why nothing can be published any more.
_CLOSED = "the publisher is closed: publish before the hub or the script ends"
_ENDED = "its thread has ended: see the log; in a process that was forked there is none, publish where it was forked"


class _Parcel:
    """A message that is to be published, and what its publisher waits for."""

    __slots__ = ("future", "is_sent", "message", "returned")

    def __init__(self, message: Outgoing) -> None:
        self.message = message
        self.future: Future[None] = Future()
        self.is_sent = False
        self.returned = ""  # why the broker has brought it back


class AmqpPublisher:
    """Publishes on a broker; connects with the first message. See `Sender`. Threads: any.

    Attributes:
        published: Messages that the broker has confirmed.
        failures: Messages of which their publishers were told that they could not be published.
    """

    confirms = True

    def __init__(self, settings: AmqpSettings, *, timeout: float = TIMEOUT, most: int = MOST_OUTSTANDING) -> None:
        """Take what is to be worked with; nothing is started.

        Args:
            settings: Where the broker is, and how to publish there.
            timeout: Seconds that a message may take until it is confirmed.
            most: Messages that may be on their way at the same time.
        """
        self.published = self.failures = 0
        self._repeats = Repeats()
        self._settings = settings
        self._timeout = timeout
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()  # of all in this paragraph
        self._link: Link | None = None
        self._is_closed = False
        self._waiting: deque[_Parcel] = deque()
        # These belong to the link's thread.
        self._connection: Any = None
        self._channel: Any = None  # None until it confirms
        self._tag = 0
        self._sent: dict[int, _Parcel] = {}  # by delivery tag, in their order
        self._suspects: set[_Parcel] = set()  # one of them has had the channel closed

    def open(self) -> None:
        """See `Sender.open`: there is no endpoint to take."""

    def publish(self, topic: bytes, body: bytes) -> None:
        """See `Sender.publish`: a message of fedmsg's form, which becomes one of fedora-messaging's.

        Blocks until the broker has confirmed it. What was not confirmed in time may be there nevertheless; the error
        says whether.

        Raises:
            PublishError: The broker has not confirmed it.
        """
        settings = self._settings
        prefix = f"{settings.topic_prefix.rstrip('.')}." if settings.topic_prefix else ""
        self.send(from_fedmsg(topic, body, prefix=prefix, priority=settings.publish_priority))

    def send(self, message: Outgoing) -> None:
        """Publish a message as it is, and wait until the broker has confirmed it.

        Raises:
            PublishError: The broker has not.
        """
        deadline = time.monotonic() + self._timeout
        parcel = self._take_in(message)
        try:
            parcel.future.result(max(deadline - time.monotonic(), 0.0))
        except concurrent.futures.TimeoutError:
            if parcel.future.cancel():
                raise self._overdue(parcel) from None
            parcel.future.result()  # it has come this moment

    def submit(self, message: Outgoing) -> Future[None]:
        """Publish a message as it is, however long it takes; blocks for as long as too many are on their way.

        What is returned is done when the broker has confirmed the message, and has a `PublishError` when it never will.
        It may be cancelled. What is called when it is done must not block: that would hold up all others.

        Raises:
            PublishError: The publisher is closed, the message is none, or too many were on their way for too long.
        """
        return self._take_in(message).future

    def close(self) -> None:
        """End it. Who still waits for a message to be confirmed is told that it was not."""
        with self._lock:
            self._is_closed = True
            link = self._link
        if link is not None:
            link.stop(_CLOSING)
        self._take_back()
        while self._waiting:
            parcel = self._waiting.popleft()
            self._fail(parcel, "closed", "the publisher was closed before the broker had confirmed it")

    def connected(self, connection: Any) -> None:
        """See `Client.connected`."""
        self._connection = connection
        connection.add_on_connection_unblocked_callback(lambda *_: self._flush())
        self._open_channel(connection)

    def lost(self) -> None:
        """See `Client.lost`."""
        self._connection = None
        self._take_back()

    def _take_in(self, message: Outgoing) -> _Parcel:
        if len(message.topic.encode("utf-8")) > LONGEST_NAME:
            raise self._error(message, "invalid", f"a topic may have {LONGEST_NAME} bytes on this bus: shorten it")
        parcel = _Parcel(message)
        if not self._places.acquire(timeout=self._timeout):
            raise self._overdue(parcel)
        parcel.future.add_done_callback(partial(self._forget, parcel))
        with self._lock:
            link = None if self._is_closed else self._started_link()
            is_open = link is not None and link.is_alive()
            if is_open:
                self._waiting.append(parcel)
        if link is None or not is_open:
            parcel.future.cancel()
            raise self._error(message, "closed", _CLOSED if link is None else _ENDED)
        link.call(self._flush)
        return parcel

    def _started_link(self) -> Link:
        if self._link is None:
            self._link = Link("amqp-publisher", self._settings, self, Backoff(longest=_LONGEST_DELAY))
            self._link.start()
        return self._link

    def _forget(self, parcel: _Parcel, future: Future[None]) -> None:
        """Make room for others. Threads: any."""
        if future.cancelled():
            with self._lock:
                if parcel in self._waiting:
                    self._waiting.remove(parcel)
        self._places.release()

    def _open_channel(self, connection: Any) -> None:
        if connection is self._connection and connection.is_open:
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda frame: self._begin(channel))

    def _begin(self, channel: Any) -> None:
        self._channel, self._tag = channel, 0
        self._flush()

    def _flush(self) -> None:
        """Send what waits, as far as that can be."""
        link = self._link
        while self._channel is not None and self._channel.is_open and link is not None and not link.is_blocked:
            self._suspects = {parcel for parcel in self._suspects if not parcel.future.done()}
            if self._suspects and self._sent:
                return
            with self._lock:
                if not self._waiting:
                    return
                parcel = self._waiting.popleft()
            parcel.is_sent = True  # before it is looked whether anybody still waits: who then gives up is to know of it
            if not parcel.future.cancelled():
                self._send(parcel)

    def _send(self, parcel: _Parcel) -> None:
        message = parcel.message
        exchange = self._settings.publish_exchange if message.exchange is None else message.exchange
        try:
            self._channel.basic_publish(
                exchange,
                message.topic,
                message.body,
                pika.BasicProperties(**message.properties),
                mandatory=message.is_mandatory,
            )
        except Exception as error:  # pika says so of what AMQP has no form for, before it sends anything
            self._fail(parcel, "invalid", f"AMQP has no form for it: {error!r}")
            return
        self._tag += 1
        self._sent[self._tag] = parcel

    def _confirmed(self, frame: Any) -> None:
        """The broker has dealt with a message, or with all up to one."""
        method = frame.method
        for tag in self._up_to(method.delivery_tag) if method.multiple else [method.delivery_tag]:
            parcel = self._sent.pop(tag)
            if isinstance(method, pika.spec.Basic.Nack):
                self._fail(parcel, "refused", "the broker refuses it: a queue is full, or fails: see there")
            elif parcel.returned:
                self._fail(parcel, "unroutable", f"{parcel.returned}: no queue of the broker takes it: bind one")
            elif parcel.future.set_running_or_notify_cancel():
                self.published += 1
                parcel.future.set_result(None)
        self._flush()

    def _up_to(self, last: int) -> list[int]:
        return list(itertools.takewhile(lambda tag: tag <= last or not last, self._sent))  # 0: all that there are

    def _returned(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """The broker has no use for a message, which it will confirm nevertheless."""
        for parcel in self._sent.values():
            message = parcel.message
            is_it = message.topic == method.routing_key and message.message_id == properties.message_id
            if is_it and message.is_mandatory and not parcel.returned:
                parcel.returned = f"{method.reply_text} ({method.reply_code})"
                return

    def _channel_closed(self, channel: Any, error: BaseException) -> None:
        if not isinstance(error, pika.exceptions.ChannelClosedByBroker) or self._connection is None:
            return  # the connection goes as well: see `lost`
        suspects = list(self._sent.values())
        if len(suspects) == 1:
            self._sent.clear()
            self._refuse(suspects[0], error)
        self._take_back()
        self._suspects.update(suspects)
        reopen = partial(self._open_channel, self._connection)
        if suspects:
            reopen()
        else:
            assert self._link is not None
            logger.warning("the broker has closed the channel for publishing: %r: opening another one", error)
            self._link.later(_AGAIN, reopen)

    def _refuse(self, parcel: _Parcel, error: Any) -> None:
        if error.reply_code == 403:  # ACCESS_REFUSED
            reason, advice = "forbidden", "have the broker's administrator permit it"
        else:
            reason, advice = "refused", "see publish_exchange in fedora-messaging's configuration"
        self._fail(parcel, reason, f"{error.reply_text} ({error.reply_code}): {advice}")

    def _take_back(self) -> None:
        """Have what was not confirmed wait for another channel, before all else."""
        self._channel = None
        with self._lock:
            self._waiting.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    def _overdue(self, parcel: _Parcel) -> PublishError:
        link = self._link
        if link is not None and link.is_blocked:
            reason, why = "blocked", "the broker takes no messages, for it lacks memory or disk: see to it there"
        elif link is None or not link.is_connected:
            where = f" of {self._settings.path}" if self._settings.path else ""
            reason, why = "unreachable", f"there is no connection to the broker: see amqp_url{where}, and the log"
        else:
            reason, why = "timeout", "the broker has not confirmed it: see its log"
        return self._error(
            parcel.message, reason, f"{why} (after {self._timeout:g} seconds)", may_be_there=parcel.is_sent
        )

    def _fail(self, parcel: _Parcel, reason: str, text: str) -> None:
        if parcel.future.set_running_or_notify_cancel():
            may_be_there = parcel.is_sent and reason == "closed"
            parcel.future.set_exception(self._error(parcel.message, reason, text, may_be_there=may_be_there))

    def _error(self, message: Outgoing, reason: str, text: str, *, may_be_there: bool = False) -> PublishError:
        if may_be_there:
            text = f"{text}; it may have been published nevertheless"
        text = f"cannot publish {message.topic!r} ({message.message_id}): {text}"
        with self._lock:
            self.failures += 1
        count = self._repeats.admit(reason)
        if count is not None:
            logger.warning("%s%s", text, held_back(count))
        return PublishError(
            text,
            reason=reason,
            topic=message.topic,
            message_id=message.message_id,
            may_be_there=may_be_there,
        )
