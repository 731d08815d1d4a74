# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket beside the segment: the same snapshot, for people, other languages and Prometheus-side tools.

    curl --unix-socket /run/glasshub/fedmsg-hub.sock http://hub/stats.json

It reads the segment as every reader does and knows nothing else of the hub. Whoever connects shares a process with the
hub: everything happens in one thread with an event loop of its own, and within the limits of `glasshub.webserver`.

collectd does not come this way: while consumers burn CPU, an answer takes as long as any other work of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import glasshub_stats
from glasshub_stats.render import as_json, as_openmetrics

from .errors import StatsDirectoryError
from .segment import set_access
from .webserver import TEXT, Answer, Limits, Request, Service, removal, unix_listener

logger = logging.getLogger(__name__)

THREAD_NAME = "stats-server"

_JSON = "application/json"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_INDEX = """\
What the segment beside this socket says, now:

    /stats.json   everything, as JSON
    /metrics      everything, as OpenMetrics text
    /healthz      200 when the hub is up, 503 when it is stuck, down or stopped
"""


class StatsServer:
    """Serves the snapshot of one hub on a UNIX socket, from `start` to `close`.

    Threads: the one that owns the server, for both methods. All else happens in a thread of the server's own, which
    owns the listening socket and the clients and shares nothing with the hub but the segment.
    """

    def __init__(
        self, socket_path: Path, segment_path: Path, *, mode: int, group: str, limits: Limits | None = None
    ) -> None:
        """Take what `start` needs.

        Args:
            socket_path: Where to listen, in at most 107 bytes.
            segment_path: What to serve.
            mode: Permissions of the socket; to connect takes the one to write.
            group: Its group; empty for that of the process.
            limits: What clients may ask for.
        """
        self._path = socket_path
        self._segment = segment_path
        self._mode = mode
        self._group = group
        self._limits = limits or Limits()
        self._running: _Running | None = None

    def start(self) -> None:
        """Listen. A socket that a killed hub left behind is replaced.

        Raises:
            StatsDirectoryError: The socket cannot be made; nothing of it was left behind.
        """
        with _explained(self._path):
            loop = asyncio.new_event_loop()
            try:
                listener = unix_listener(
                    self._path,
                    allow=self._allow,
                    what="stats socket",
                    elsewhere="--stats-dir or --name",
                    error=StatsDirectoryError,
                )
            except BaseException:
                loop.close()
                raise
            service = Service(
                listener, _Pages(self._segment).answer, self._limits, name="the stats server", logger=logger
            )
            thread = threading.Thread(target=_run, args=(loop, service), name=THREAD_NAME, daemon=True)
            self._running = _Running(thread, loop, service, removal(self._path))
            thread.start()

    def close(self, *, timeout: float = 2.0) -> None:
        """Stop listening, end all clients and remove the socket. Does nothing the second time.

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

    def _allow(self, path: Path) -> None:
        set_access(path, mode=self._mode, group=self._group)


class _Running(NamedTuple):
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    service: Service
    remove: Callable[[], None]


def _run(loop: asyncio.AbstractEventLoop, service: Service) -> None:
    try:
        loop.run_until_complete(service.run())
    except Exception:  # the hub goes on without its socket, and collectd reads the segment
        logger.critical("the stats server has died; the segment can be read all the same", exc_info=True)
    finally:
        loop.close()


class _Pages:
    """What there is to see."""

    def __init__(self, segment: Path) -> None:
        self._segment = str(segment)
        self._by_path = {
            "/": lambda: Answer(HTTPStatus.OK, TEXT, _INDEX),
            "/stats.json": lambda: Answer(HTTPStatus.OK, _JSON, as_json(self._read()) + "\n"),
            "/metrics": lambda: Answer(HTTPStatus.OK, _OPENMETRICS, as_openmetrics(self._read())),
            "/healthz": self._health,
        }

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
