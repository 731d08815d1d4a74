# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket beside the segment: the same snapshot, for people, other languages and Prometheus-side tools. And a port,
for those that look from elsewhere whether the hub lives and is ready.

    curl --unix-socket /run/glasshub/fedmsg-hub.sock http://hub/stats.json

It reads the segment as every reader does and knows nothing else of the hub. Whoever connects shares a process with the
hub: everything happens in one thread with an event loop of its own, and within the limits of `glasshub.webserver`.
Socket and port have a server each, so that a flood from elsewhere leaves the socket alone.

collectd does not come this way: while consumers burn CPU, an answer takes as long as any other work of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Protocol

import glasshub_stats
from glasshub_stats.render import as_json, as_openmetrics

from .addresses import is_local, url_of
from .config import ALL_PAGES, StatsSection
from .errors import StatsDirectoryError, StatsPortError
from .health import live_page, ready_page
from .segment import set_access
from .webserver import TEXT, Answer, Limits, Request, Service, removal, tcp_listener, unix_listener

logger = logging.getLogger(__name__)

THREAD_NAME = "stats-server"

#: Every page but the list of them, and those that tell nothing but whether the hub is well.
PAGES = ("/stats.json", "/metrics", "/healthz", "/live", "/ready")
HEALTH_PAGES = ("/healthz", "/live", "/ready")

_JSON = "application/json"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_WORDS = {
    "/stats.json": "everything, as JSON",
    "/metrics": "everything, as OpenMetrics text",
    "/healthz": "200 when the hub is up, 503 when it is stuck, down or stopped",
    "/live": "the same, as fedora-messaging says it",
    "/ready": "200 when messages come, 503 when the hub starts, drains or waits for its bus",
}


class Place(Protocol):
    """Where a server listens."""

    def open(self) -> tuple[socket.socket, Callable[[], None]]:
        """A socket that listens there, and what removes all that is left of it but the socket.

        Raises:
            HubError: There is no listening there; nothing was left behind.
        """


@dataclass(frozen=True)
class SocketPlace:
    """A UNIX socket. One that a killed hub left behind is replaced.

    Attributes:
        path: In at most 107 bytes.
        mode: Permissions; to connect takes the one to write.
        group: Its group; empty for that of the process.
    """

    path: Path
    mode: int
    group: str = ""

    def open(self) -> tuple[socket.socket, Callable[[], None]]:
        """See `Place.open`."""
        with _explained(self.path):
            listener = unix_listener(
                self.path,
                allow=lambda path: set_access(path, mode=self.mode, group=self.group),
                what="stats socket",
                elsewhere="--stats-dir or --name",
                error=StatsDirectoryError,
            )
            return listener, removal(self.path)


@dataclass(frozen=True)
class PortPlace:
    """A TCP port.

    Attributes:
        address: An IP address.
        port: The port; 0 for any that is free.
    """

    address: str
    port: int

    def open(self) -> tuple[socket.socket, Callable[[], None]]:
        """See `Place.open`."""
        try:
            listener = tcp_listener(self.address, self.port)
        except OSError as error:
            raise StatsPortError(f"cannot listen at {self}: {_what_to_do(error, self.port)}") from error
        whom = "" if is_local(self.address) else ", for other machines as well"
        logger.info("health checks are answered at %s%s", url_of(self.address, listener.getsockname()[1]), whom)
        return listener, lambda: None

    def __str__(self) -> str:
        return url_of(self.address, self.port)


class StatsServer:
    """Serves the snapshot of one hub at a place, from `start` to `close`.

    Threads: the one that owns the server, for both methods. All else happens in a thread of the server's own, which
    owns the listening socket and the clients and shares nothing with the hub but the segment.
    """

    def __init__(
        self, place: Place, segment_path: Path, *, pages: Collection[str] = PAGES, limits: Limits | None = None
    ) -> None:
        """Take what `start` needs.

        Args:
            place: Where to listen.
            segment_path: What to serve.
            pages: Which of `PAGES`.
            limits: What clients may ask for.
        """
        self._place = place
        self._pages = _Pages(segment_path, pages)
        self._limits = limits or Limits()
        self._running: _Running | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            HubError: See `Place.open`.
        """
        loop = asyncio.new_event_loop()
        try:
            listener, remove = self._place.open()
        except BaseException:
            loop.close()
            raise
        service = Service(listener, self._pages.answer, self._limits, name="the stats server", logger=logger)
        thread = threading.Thread(target=_run, args=(loop, service), name=THREAD_NAME, daemon=True)
        self._running = _Running(thread, loop, service, remove)
        thread.start()

    def close(self, *, timeout: float = 2.0) -> None:
        """Stop listening, end all clients and leave the place. Does nothing the second time.

        Args:
            timeout: Seconds to wait for the thread. One that takes longer is left to the end of the process.
        """
        if self._running is None:
            return
        thread, loop, service, remove = self._running
        self._running = None
        remove()
        with contextlib.suppress(RuntimeError):  # the thread has died, and its loop is closed
            loop.call_soon_threadsafe(service.stop)
        thread.join(timeout)
        if thread.is_alive():
            logger.warning("the stats server did not end within %s s", timeout)


class _Running(NamedTuple):
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    service: Service
    remove: Callable[[], None]


def servers(directory: Path, name: str, stats: StatsSection) -> list[StatsServer]:
    """What serves the snapshot of a hub, as configured.

    Args:
        directory: Where segment and socket stand.
        name: Of the hub.
        stats: What is configured.
    """
    segment = directory / f"{name}.stats"
    socket_place = SocketPlace(directory / f"{name}.sock", int(stats.socket_mode, 8), stats.group)
    made = [StatsServer(socket_place, segment)]
    if stats.port:
        pages = PAGES if stats.port_pages == ALL_PAGES else HEALTH_PAGES
        made.append(StatsServer(PortPlace(stats.address, stats.port), segment, pages=pages))
    return made


def _run(loop: asyncio.AbstractEventLoop, service: Service) -> None:
    try:
        loop.run_until_complete(service.run())
    except Exception:  # the hub goes on without its socket, and collectd reads the segment
        logger.critical("the stats server has died; the segment can be read all the same", exc_info=True)
    finally:
        loop.close()


class _Pages:
    """What there is to see."""

    def __init__(self, segment: Path, names: Collection[str]) -> None:
        self._segment = str(segment)
        made: dict[str, Callable[[], Answer]] = {
            "/stats.json": lambda: Answer(HTTPStatus.OK, _JSON, as_json(self._read()) + "\n"),
            "/metrics": lambda: Answer(HTTPStatus.OK, _OPENMETRICS, as_openmetrics(self._read())),
            "/healthz": self._health,
            "/live": lambda: live_page(self._read),
            "/ready": lambda: ready_page(self._read),
        }
        self._by_path = {name: made[name] for name in names}
        self._by_path["/"] = self._index

    async def answer(self, request: Request) -> Answer:
        """The page that the request asks for, or a sentence why not."""
        page = self._by_path.get(request.path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, TEXT, f"there is no such page here, only {', '.join(self._by_path)}\n")
        try:
            return page()
        except glasshub_stats.StatsError as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{error}\n")

    def _read(self) -> glasshub_stats.Snapshot:
        return glasshub_stats.read(self._segment)

    def _index(self) -> Answer:
        lines = [f"    {name:<13} {words}" for name, words in _WORDS.items() if name in self._by_path]
        return Answer(HTTPStatus.OK, TEXT, "\n".join(["What the hub's segment says, now:", "", *lines, ""]))

    def _health(self) -> Answer:
        snapshot = self._read()
        status = HTTPStatus.OK if snapshot.is_up() else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status, TEXT, f"{snapshot.status()}\n")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the system says into a sentence for the operator."""
    try:
        yield
    except OSError as error:
        raise StatsDirectoryError(
            f"cannot make the stats socket {path}: {error.strerror}: "
            f"make its directory writable for this user, or choose another one with --stats-dir"
        ) from error


def _what_to_do(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program does: stop it, or choose another port in [stats]"
    if error.errno == errno.EACCES:
        if port < 1024:
            return "this user may not: choose a port above 1023 in [stats]"
        return "this user may not, or SELinux knows another use for the port: choose another one in [stats]"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address: choose one that it has as address in [stats]"
    return f"{error.strerror or error}: choose another address or port in [stats]"
