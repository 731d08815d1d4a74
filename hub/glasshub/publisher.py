# SPDX-License-Identifier: LGPL-2.1-or-later
"""Publishing: what consumers send through the hub, and what the hub says of itself to those who subscribe."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import zmq

from .endpoints import addresses
from .errors import PublishError

#: Messages of the bus that libzmq holds for a subscriber that does not keep up, before it drops.
_HIGH_WATER_MARK = 100_000

#: Seconds that closing waits for what has not been sent yet.
_LINGER = 1.0


class Publisher:
    """A PUB socket that is bound to endpoints. Threads: any.

    A zeromq socket may pass from thread to thread if a full memory barrier is between them, as the lock is.
    """

    def __init__(
        self, endpoints: Sequence[str], *, mode: int | None = None, high_water_mark: int = _HIGH_WATER_MARK
    ) -> None:
        """Bind it.

        Args:
            endpoints: Where.
            mode: Mode of the sockets of those that are ipc://; None leaves them to the umask.
            high_water_mark: Messages that are held for a subscriber that does not keep up; what comes then is dropped.

        Raises:
            PublishError: An endpoint is taken, or is none.
        """
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, high_water_mark)
        try:
            for endpoint in endpoints:
                self._bind(endpoint, mode)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def publish(self, *parts: bytes) -> None:
        """Send a message to whoever is subscribed; never blocks, does nothing once closed."""
        with self._lock:
            if not self._socket.closed:
                self._socket.send_multipart(parts)

    def close(self) -> None:
        """Give the endpoints back, once what was published has been sent or a second has passed."""
        with self._lock:
            self._context.destroy(linger=round(_LINGER * 1000))

    def _bind(self, endpoint: str, mode: int | None) -> None:
        path = endpoint.partition("ipc://")[2]
        try:
            for address in addresses(endpoint):
                self._socket.bind(address)
            if path and mode is not None:
                os.chmod(path, mode)
        except (zmq.ZMQError, OSError) as error:
            raise PublishError(f"cannot publish at {endpoint!r}: {error.strerror}") from error


class LatePublisher:
    """A `Publisher` that binds its endpoints when it is first needed. See `Sender`. Threads: any."""

    confirms = False  # a PUB socket knows nobody

    def __init__(self, endpoints: Sequence[str], *, is_one_enough: bool) -> None:
        """Take the endpoints; nothing is bound.

        Args:
            endpoints: Where to publish.
            is_one_enough: Whether only the first one is bound that can be.
        """
        self._endpoints = endpoints
        self._is_one_enough = is_one_enough
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None
        self._is_closed = False

    def open(self) -> None:
        """Bind them, unless they are, or it is closed.

        Raises:
            PublishError: An endpoint cannot be bound; or none of them, where one is enough.
        """
        with self._lock:
            if self._publisher is None and not self._is_closed:
                self._publisher = _first_of(self._endpoints) if self._is_one_enough else Publisher(self._endpoints)

    def publish(self, topic: bytes, body: bytes) -> None:
        """See `Publisher.publish`.

        Raises:
            PublishError: See `open`.
        """
        self.open()
        if self._publisher is not None:
            self._publisher.publish(topic, body)

    def close(self) -> None:
        """See `Publisher.close`."""
        with self._lock:
            self._is_closed = True
            if self._publisher is not None:
                self._publisher.close()


def _first_of(endpoints: Sequence[str]) -> Publisher:
    errors = []
    for endpoint in endpoints:
        try:
            return Publisher([endpoint])
        except PublishError as error:
            errors.append(str(error))
    raise PublishError("; ".join(errors))
