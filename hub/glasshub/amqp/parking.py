# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that consumers gave up, on the broker: each in the queue `{queue}.parked`, with headers that say why.

A message is acknowledged in its own queue when the broker has confirmed that it is in the other one. So it is in one of
them at any time, and in both if the hub dies in between. It is published through a connection of its own: a broker that
lacks memory or disk reads nothing more from who publishes, and acknowledgements, which make room, have to get through.

What is published goes through the default exchange, and keeps its routing key, which is its topic: the queue is named
in the header BCC, which the broker takes out (sender-selected distribution). So a message that is given back to its
queue is what it was, whoever reads it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from ..failure import Failure
from ..logs import Repeats, held_back
from .publisher import AmqpPublisher
from .settings import AmqpSettings
from .wire import Outgoing

logger = logging.getLogger(__name__)

#: What we say of a message stands in headers whose names begin so.
PREFIX = "x-glasshub-"

#: Characters of a traceback, its end: all headers together have to fit into one frame of 128 KiB.
_TRACEBACK = 4000

#: Messages that may be on their way to the broker at the same time: more than any hub has unacknowledged.
_MOST = 1_000_000

#: Seconds before what could not be parked is tried again.
_AGAIN = 30.0

#: Headers that are orders to the broker: whom to give copies.
_ORDERS = ("CC", "BCC")

#: Properties that go no further: only their user may say `user_id`, and what waits for somebody must not expire.
_PERSONAL = ("user_id", "expiration")


def addressed(
    queue: str, topic: str, body: bytes, properties: Mapping[str, Any], headers: Mapping[str, Any]
) -> Outgoing:
    """A message for one queue, which it reaches with that topic, to be refused if the queue is not there.

    Args:
        queue: The queue.
        topic: Its topic.
        body: Its body.
        properties: As AMQP has them.
        headers: In the place of those.
    """
    kept = {name: value for name, value in properties.items() if value is not None and name not in _PERSONAL}
    own = {name: value for name, value in headers.items() if name not in _ORDERS}
    return Outgoing(
        topic,
        body,
        {**kept, "headers": {**own, "BCC": [queue]}, "delivery_mode": 2},
        exchange="",
        is_mandatory=True,
    )


def reasons(failure: Failure, *, hub: str, consumer: str) -> dict[str, Any]:
    """The headers that say why a message was given up, and by whom."""
    told = {
        "hub": hub,
        "consumer": consumer,
        "error": failure.error,
        "traceback": failure.traceback[-_TRACEBACK:],
        "attempts": failure.attempts,
        "failed-at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    return {PREFIX + name: value for name, value in told.items()}


class Submits(Protocol):
    """A publisher that waits for nobody. Threads: any."""

    def submit(self, message: Outgoing) -> Future[None]:
        """See `AmqpPublisher.submit`."""

    def close(self) -> None:
        """See `AmqpPublisher.close`."""


def publisher_for(settings: AmqpSettings) -> AmqpPublisher:
    """A publisher that blocks nobody, however much is parked; it connects with the first message."""
    return AmqpPublisher(settings, most=_MOST)


@dataclass(frozen=True)
class _Given:
    """A message that is given up, what it belongs to, and what to call when it is there."""

    message: Outgoing
    origin: Hashable
    done: Callable[[], None]


class Parking:
    """Publishes what is given up, and says when it is there. Threads: any."""

    def __init__(self, publisher: Submits, *, delay: float = _AGAIN) -> None:
        """Take what is to be worked with.

        Args:
            publisher: Publishes; nobody else closes it.
            delay: Seconds before what could not be parked is tried again.
        """
        self._publisher = publisher
        self._delay = delay
        self._lock = threading.Lock()  # of all in this paragraph
        self._pending: dict[Future[None], _Given] = {}
        self._refused: list[_Given] = []
        self._timer: threading.Timer | None = None
        self._is_closed = False
        self._repeats = Repeats()

    def park(self, message: Outgoing, origin: Hashable, done: Callable[[], None]) -> None:
        """Publish a message, however long it takes, and then call `done`; never blocks for long.

        Args:
            message: See `addressed`.
            origin: What `forget` knows it by.
            done: Called once, in any thread, unless the message is forgotten before.
        """
        self._publish(_Given(message, origin, done))

    def forget(self, origin: Hashable) -> None:
        """Give up messages that come again, for the broker has taken back all that it had given there."""
        with self._lock:
            futures = [future for future, given in self._pending.items() if given.origin is origin]
            self._refused = [given for given in self._refused if given.origin is not origin]
        for future in futures:
            future.cancel()

    def close(self, timeout: float) -> None:
        """Wait for what is on its way, so long at the most, and end it; what is not there then is not done."""
        with self._lock:
            pending = list(self._pending)
        wait(pending, timeout)
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._publisher.close()

    def _publish(self, given: _Given) -> None:
        with self._lock:
            if self._is_closed:
                return
            future = self._publisher.submit(given.message)
            self._pending[future] = given
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[None]) -> None:
        with self._lock:
            given = self._pending.pop(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            given.done()
        else:
            self._put_off(given, error)

    def _put_off(self, given: _Given, error: BaseException) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._refused.append(given)
            if self._timer is None:
                self._timer = threading.Timer(self._delay, self._try_again)
                self._timer.daemon = True
                self._timer.start()
        count = self._repeats.admit("refused")
        if count is not None:
            logger.error(
                "cannot park a message in %s: %s: it is kept in its own queue, and tried again in %g s%s",
                *given.message.properties["headers"]["BCC"],
                error,
                self._delay,
                held_back(count),
            )

    def _try_again(self) -> None:
        with self._lock:
            refused, self._refused, self._timer = self._refused, [], None
        for given in refused:
            self._publish(given)
