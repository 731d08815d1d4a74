# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to a broker that is made again whenever it is lost, in a thread of its own.

pika's SelectConnection, for it takes half the time that a BlockingConnection does for a message. Whoever works with the
connection is a `Client`, whose methods are called in the link's thread and must not block.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import pika
from pika import exceptions, frame
from pika.adapters.select_connection import IOLoop

from ..logs import Repeats, held_back
from . import refusals
from .backoff import Backoff
from .parameters import parameters_of
from .settings import AmqpSettings

logger = logging.getLogger(__name__)

#: Seconds that a broker may take to say good-bye.
_FAREWELL = 1.0

#: Seconds in which a broker that cannot be reached is spoken of once.
_SILENCE = 300.0

#: Of a frame: type, channel and size; of one with properties: class, weight and size of the body.
_FRAME, _PROPERTIES = struct.Struct(">BHL"), struct.Struct(">HHQ")


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
        error: What ended the thread although nobody had asked for it; None if nothing did.
    """

    def __init__(self, name: str, settings: AmqpSettings, client: Client, backoff: Backoff | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.is_connected = self.is_blocked = False
        self.disconnects = self.failures = 0
        self.lost_ns = 0
        self.error: BaseException | None = None
        self._client = client
        self._brokers = parameters_of(settings)
        self._attempts = 0
        self._backoff = backoff or Backoff()
        self._ioloop: Any = None
        self._connection: pika.SelectConnection | None = None
        self._calls: deque[Callable[[], None]] = deque()
        self._is_called = self._is_stopping = False
        self._repeats = Repeats(period=_SILENCE)

    def start(self) -> None:
        """Begin to connect."""
        _quieten_pika()
        self._ioloop = IOLoop()  # not before: it has descriptors
        super().start()

    def call(self, function: Callable[[], None]) -> None:
        """Have the link's thread call a function soon, once it is started; all in their order. Threads: any."""
        self._calls.append(function)
        if not self._is_called and self._ioloop is not None:
            self._is_called = True
            self._ioloop.add_callback_threadsafe(self._answer_calls)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Have a function called in so many seconds, unless the link has ended by then.

        With 0 it is when all has been dealt with that has just been read, and costs no system call.
        """
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
            self._ioloop.call_later(0, self._answer_calls)
            self._ioloop.start()
        except BaseException as error:
            self.error = error
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
        self._connection = _Connection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._refused,
            on_close_callback=self._closed,
            custom_ioloop=self._ioloop,
        )

    def _opened(self, connection: pika.SelectConnection) -> None:
        self._backoff.succeeded()
        self.is_connected, self.lost_ns = True, 0
        connection.add_on_connection_blocked_callback(lambda *_: self._block(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(False))
        logger.info("connected to %s", _name(connection.params))
        self._client.connected(connection)

    def _block(self, is_blocked: bool) -> None:
        self.is_blocked = is_blocked
        logger.warning("the broker %s", "takes no messages, for it lacks memory or disk" if is_blocked else "goes on")

    def _refused(self, connection: pika.SelectConnection, error: BaseException | str) -> None:
        if not self._is_stopping:
            self.failures += 1
            name, reason = _name(connection.params), refusals.of_connection(error)
            count = self._repeats.admit((name, reason))
            if count is not None:
                logger.error("cannot connect to %s: %s: trying again%s", name, reason, held_back(count))
        self._again()

    def _closed(self, connection: pika.SelectConnection, error: BaseException) -> None:
        self.is_connected = self.is_blocked = False
        self._client.lost()
        if not self._is_stopping:
            self.disconnects += 1
            self.lost_ns = time.monotonic_ns()
            name, reason = _name(connection.params), refusals.of_connection(error)
            logger.warning("lost the connection to %s: %s: connecting again", name, reason)
        self._again()

    def _again(self) -> None:
        if self._is_stopping:
            self._ioloop.stop()
            return
        is_round_over = self._attempts % len(self._brokers) == 0  # each of them has had its turn
        self._ioloop.call_later(self._backoff.delay() if is_round_over else 0.0, self._connect)

    def _close(self) -> None:
        self._is_stopping = True
        if self._connection is None or self._connection.is_closed:
            self._ioloop.stop()
            return
        self._ioloop.call_later(_FAREWELL, self._ioloop.stop)  # from a broker that hangs
        if not self._connection.is_closing:
            self._connection.close()


class _Connection(pika.SelectConnection):  # type: ignore[misc]  # pika is not typed for us
    """One that outlives a message with properties that pika cannot read: the message has none then.

    pika would end the connection, the broker would bring the message again, and its neighbours with it, for ever.
    """

    def _read_frame(self) -> tuple[int, Any]:
        try:
            read: tuple[int, Any] = super()._read_frame()
        except (ArithmeticError, LookupError, OSError, RecursionError, ValueError, struct.error) as error:
            return self._without_properties(error)
        except exceptions.InvalidFieldTypeException as error:
            return self._without_properties(error)
        return read

    def _without_properties(self, error: Exception) -> tuple[int, Any]:
        kind, channel, size = _FRAME.unpack_from(self._frame_buffer)
        if kind != pika.spec.FRAME_HEADER:
            raise error
        logger.warning("a message has properties that cannot be read (%r): it is taken without them", error)
        _, _, body_size = _PROPERTIES.unpack_from(self._frame_buffer, _FRAME.size)
        return _FRAME.size + size + 1, frame.Header(channel, body_size, pika.BasicProperties())


def _quieten_pika() -> None:
    """Leave out what pika says of a connection, with tracebacks: we say it in fewer words.

    What goes wrong in functions that it calls is said still. An operator may have set its level otherwise.
    """
    for name, level in (("pika", logging.CRITICAL), ("pika.callback", logging.ERROR)):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(level)


def _name(parameters: Any) -> str:
    return f"{parameters.host}:{parameters.port}"
