# SPDX-License-Identifier: LGPL-2.1-or-later
"""A fedmsg bus: zeromq PUB/SUB, each message two parts, topic and JSON body."""

from __future__ import annotations

import logging
import time

import zmq
from zmq.utils.monitor import parse_monitor_message

from ..config import ZmqSection
from ..endpoints import addresses
from ..errors import SourceError
from ..gaps import Gap
from ..message import Frame
from ..routing import Router
from ..wakeup import Wakeup
from .base import Batch, SourceState

logger = logging.getLogger(__name__)


class ZmqSource:
    """Subscribes to any number of publishers. Made anywhere; opened, used and closed by the enqueuer.

    With `method` "bind" publishers connect to us instead, as they do to fedmsg's relay.
    """

    kind = "zmq"
    acknowledges = False  # a PUB socket does not listen
    park = None  # and keeps nothing

    def __init__(self, options: ZmqSection) -> None:
        self._options = options
        self._binds = options.method == "bind"
        # fedmsg's configuration names publishers as they bind, tcp://*:3000; Moksha reads it so too.
        named = [endpoint if self._binds else endpoint.replace("*", "127.0.0.1") for endpoint in options.endpoints]
        # Each once: a second connection to a publisher would bring each of its messages a second time.
        self._endpoints = list(dict.fromkeys(named))
        self._prefixes: set[bytes] = set()
        self._wakeup: Wakeup | None = None
        self._connected: set[str] = set()
        self._lost: dict[str, int] = {}  # when each was last known to be connected, monotonic
        self._gaps: list[Gap] = []
        self._watched_ns = 0  # when there was no news of any connection, monotonic
        self._disconnects = 0

    def open(self, router: Router) -> None:
        """See `Source.open`."""
        self._watched_ns = time.monotonic_ns()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._wakeup = Wakeup()
        try:
            self._configure()
            # Watch before connecting: nothing is missed.
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            self.subscribe(router)
            for endpoint in self._endpoints:
                self._attach(endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            self._wakeup.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._poller.register(self._wakeup.fileno(), zmq.POLLIN)

    def subscribe(self, router: Router) -> None:
        """See `Source.subscribe`."""
        wanted = set(router.prefixes)
        for prefix in wanted - self._prefixes:  # first: what stays covered is never without a subscription
            self._socket.setsockopt(zmq.SUBSCRIBE, prefix)
        for prefix in self._prefixes - wanted:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, prefix)
        self._prefixes = wanted

    def wake(self) -> None:
        """See `Source.wake`."""
        if self._wakeup is not None:
            self._wakeup.ring()

    def receive(self, timeout: float, limit: int) -> Batch:
        """See `Source.receive`."""
        batch = Batch()
        try:
            self._drain(batch, limit)
            if not batch.frames and not batch.malformed:
                self._sleep(timeout)
                self._drain(batch, limit)
        except zmq.ZMQError as error:
            raise SourceError(f"cannot receive from the bus: {error.strerror}") from error
        if self._gaps:
            batch.gaps, self._gaps = self._gaps, []
        return batch

    def acknowledge(self, frame: Frame) -> None:
        """Nothing to do: see `acknowledges`."""

    def state(self) -> SourceState:
        """See `Source.state`."""
        self._watch_connections()
        # Publishers that connect to us come and go as they please: we have all that we asked for.
        connected = len(self._endpoints) if self._binds else len(self._connected)
        return SourceState(
            endpoints=len(self._endpoints),
            connected=connected,
            disconnects=self._disconnects,
            lost=len(self._lost),
            lost_ns=min(self._lost.values(), default=0),
        )

    def finish(self) -> None:
        """See `Source.finish`: a socket is closed by the thread that has used it."""
        self._socket.disable_monitor()
        self._context.destroy(linger=0)
        if self._wakeup is not None:
            self._wakeup.close()

    def close(self) -> None:
        """See `Source.close`: there is nothing left to close."""

    def _configure(self) -> None:
        options = self._options
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, options.receive_high_water_mark),
            (zmq.TCP_KEEPALIVE, options.tcp_keepalive),
            (zmq.TCP_KEEPALIVE_IDLE, options.tcp_keepalive_idle),
            (zmq.TCP_KEEPALIVE_INTVL, options.tcp_keepalive_interval),
            (zmq.TCP_KEEPALIVE_CNT, options.tcp_keepalive_count),
            (zmq.RECONNECT_IVL, round(options.reconnect_interval * 1000)),
            (zmq.RECONNECT_IVL_MAX, round(options.reconnect_interval_max * 1000)),
        ):
            try:
                self._socket.setsockopt(option, value)
            except zmq.ZMQError as error:
                raise SourceError(f"[zmq]: the socket refuses {option.name} = {value}: {error.strerror}") from error

    def _attach(self, endpoint: str) -> None:
        try:
            if self._binds:
                for address in addresses(endpoint):
                    self._socket.bind(address)
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise SourceError(
                f"[zmq] endpoints: cannot {self._options.method} to {endpoint!r}: {error.strerror}: "
                f"an endpoint looks like tcp://host:9940 or ipc:///path"
            ) from error

    def _drain(self, batch: Batch, limit: int) -> None:
        # Not recv_multipart, half of whose time goes into asking for RCVMORE, which a zmq.Frame knows. The bytes are
        # copied out at once: a queued zmq.Frame would hold 10 KB.
        receive, frames, clock = self._socket.recv, batch.frames, time.monotonic_ns
        size = 0
        try:
            for _ in range(limit):
                first = receive(zmq.NOBLOCK, False)
                second = receive(0, False) if first.more else None
                if second is None or second.more:
                    batch.malformed += 1
                    size += len(first) + self._rest(second)
                    continue
                topic, body = first.bytes, second.bytes
                frames.append(Frame(topic, body, clock()))
                size += len(topic) + len(body)
        except zmq.Again:
            pass
        batch.size += size

    def _rest(self, part: zmq.Frame | None) -> int:
        """Take the parts that follow; their size and that of the part given."""
        size = 0
        while part is not None:
            size += len(part)
            part = self._socket.recv(0, False) if part.more else None
        return size

    def _sleep(self, timeout: float) -> None:
        """Wait for a message, or for something to happen to a connection."""
        events = dict(self._poller.poll(round(timeout * 1000)))
        if self._monitor in events:
            self._watch_connections()
        if self._wakeup is not None and self._wakeup.fileno() in events:
            self._wakeup.clear()

    def _watch_connections(self) -> None:
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())
            self._note(event["event"], event["endpoint"].decode("utf-8", "replace"))
        self._watched_ns = time.monotonic_ns()

    def _note(self, event: int, endpoint: str) -> None:
        if self._binds:
            return
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._connected.add(endpoint)
            if endpoint in self._lost:  # libzmq subscribes anew when it is asked for messages next: that is now
                self._gaps.append(Gap(endpoint, self._lost.pop(endpoint), time.monotonic_ns(), time.time()))
            logger.info("connected to %s", endpoint)
        elif event == zmq.EVENT_DISCONNECTED and endpoint in self._connected:
            self._connected.remove(endpoint)
            self._disconnects += 1
            self._lost[endpoint] = self._watched_ns  # it does not say when it happened: at some time after that
            logger.warning("lost the connection to %s: what it publishes from now on does not come", endpoint)
