# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to a broker that is made again whenever it is lost, in a thread of its own.

pika's SelectConnection, for it takes half the time that a BlockingConnection does for a message. Whoever works with the
connection is a `Client`, whose methods are called in the link's thread and must not block.
"""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop

from ..logs import Repeats, held_back
from .settings import AmqpSettings

logger = logging.getLogger(__name__)

#: Seconds before the brokers are tried again when none of them could be reached: at first, and at the most.
_DELAY, _LONGEST_DELAY = 0.1, 30.0

#: Seconds that a broker may take to answer.
_PATIENCE = 15.0


class Client(Protocol):
    """Works with a connection. Threads: the link's."""

    def connected(self, connection: pika.SelectConnection) -> None:
        """Begin, with a new connection."""

    def lost(self) -> None:
        """Forget all that belongs to the connection: it is gone."""


class Link(threading.Thread):
    """Connects, and connects again.

    Threads: `start`, `call` and `stop` any; the rest is the thread's own. The attributes are written by it and may be
    read by any.

    Attributes:
        is_connected: Whether there is a connection now.
        is_blocked: Whether the broker takes nothing from us, for it lacks memory or disk.
        disconnects: How often a connection was lost.
        failures: How often one could not be made.
        lost_ns: Since when there is none although there was one, monotonic; 0 otherwise.
    """

    def __init__(self, name: str, settings: AmqpSettings, client: Client) -> None:
        super().__init__(name=name, daemon=True)
        self.is_connected = self.is_blocked = False
        self.disconnects = self.failures = 0
        self.lost_ns = 0
        self._client = client
        self._brokers = [_parameters(url, settings) for url in settings.urls]
        self._attempts = 0
        self._delay = _DELAY
        self._ioloop = IOLoop()
        self._connection: pika.SelectConnection | None = None
        self._calls: deque[Callable[[], None]] = deque()
        self._is_called = self._is_stopping = False
        self._repeats = Repeats()

    def call(self, function: Callable[[], None]) -> None:
        """Have the link's thread call a function soon; a few at a time, in their order. Threads: any."""
        self._calls.append(function)
        if not self._is_called:
            self._is_called = True
            self._ioloop.add_callback_threadsafe(self._answer_calls)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Have a function called in so many seconds, unless the link has ended by then."""
        self._ioloop.call_later(seconds, function)

    def stop(self, timeout: float) -> None:
        """Close the connection and end the thread, whatever it takes. Threads: any but its own."""
        if self.is_alive():
            self.call(self._close)
            self.join(timeout)

    def run(self) -> None:
        """Connect, until it is told to stop."""
        try:
            self._ioloop.call_later(0, self._connect)
            self._ioloop.start()
        except BaseException:
            logger.critical("the connection to the broker cannot go on", exc_info=True)
        finally:
            self.is_connected = False
            self._ioloop.close()

    def _answer_calls(self) -> None:
        self._is_called = False  # first: what is appended from now on may be missed below
        while self._calls:
            self._calls.popleft()()

    def _connect(self) -> None:
        if self._is_stopping:
            return
        parameters = self._brokers[self._attempts % len(self._brokers)]
        self._attempts += 1
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._refused,
            on_close_callback=self._closed,
            custom_ioloop=self._ioloop,
        )

    def _opened(self, connection: pika.SelectConnection) -> None:
        self._delay = _DELAY
        self.is_connected, self.lost_ns = True, 0
        connection.add_on_connection_blocked_callback(lambda *_: self._block(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(False))
        logger.info("connected to %s", _name(connection.params))
        self._client.connected(connection)

    def _block(self, is_blocked: bool) -> None:
        self.is_blocked = is_blocked
        logger.warning("the broker %s", "takes no messages, for it lacks memory or disk" if is_blocked else "goes on")

    def _refused(self, connection: pika.SelectConnection, error: BaseException | str) -> None:
        self.failures += 1
        count = self._repeats.admit("refused")
        if count is not None:
            logger.error("cannot connect to %s: %r: trying again%s", _name(connection.params), error, held_back(count))
        self._again()

    def _closed(self, connection: pika.SelectConnection, error: BaseException) -> None:
        self.is_connected = self.is_blocked = False
        self._client.lost()
        if self._is_stopping:
            self._ioloop.stop()
            return
        self.disconnects += 1
        self.lost_ns = time.monotonic_ns()
        logger.warning("lost the connection to %s: %r: connecting again", _name(connection.params), error)
        self._again()

    def _again(self) -> None:
        if self._is_stopping:
            self._ioloop.stop()
            return
        delay = 0.0
        if self._attempts % len(self._brokers) == 0:  # each of them has had its turn
            delay = random.uniform(self._delay / 2, self._delay)
            self._delay = min(2 * self._delay, _LONGEST_DELAY)
        self._ioloop.call_later(delay, self._connect)

    def _close(self) -> None:
        self._is_stopping = True
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
        else:
            self._ioloop.stop()


def in_turn(
    steps: Sequence[Callable[[Callable[[Any], None]], object]], done: Callable[[Any], None] = lambda frame: None
) -> None:
    """Take steps one after another, each when the broker has answered the one before; then call `done` with the last
    answer. A step is given what it is to call with the answer; one that the broker refuses closes its channel."""
    if not steps:
        done(None)
        return
    first, *others = steps
    first(lambda frame: in_turn(others, done) if others else done(frame))


def _parameters(url: str, settings: AmqpSettings) -> pika.URLParameters:
    parameters = pika.URLParameters(url)
    parameters.client_properties = {**settings.client_properties, "product": "Glasshub"}
    parameters.connection_attempts = 1  # we have our own way
    parameters.socket_timeout = parameters.stack_timeout = _PATIENCE
    if parameters.ssl_options is not None:
        tls = settings.tls
        context = ssl.create_default_context(cafile=tls.get("ca_cert"))
        if tls.get("certfile"):
            context.load_cert_chain(str(tls["certfile"]), tls.get("keyfile"))
            parameters.credentials = pika.credentials.ExternalCredentials()
        parameters.ssl_options = pika.SSLOptions(context, server_hostname=parameters.host)
    return parameters


def _name(parameters: Any) -> str:
    return f"{parameters.host}:{parameters.port}"
