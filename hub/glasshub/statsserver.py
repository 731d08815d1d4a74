# SPDX-License-Identifier: LGPL-2.1-or-later
"""The socket beside the segment: the same snapshot, for people, other languages and Prometheus-side tools.

    curl --unix-socket /run/glasshub/fedmsg-hub.sock http://hub/stats.json

It reads the segment as every reader does and knows nothing else of the hub. It speaks the part of HTTP/1.1 that a
GET takes. Whoever connects may be slow, silent or hostile, and shares a process with the hub; therefore:

- everything happens in one thread with an event loop of its own, and nothing in it waits for a client;
- connections and requests have an upper rate, so that a flood of them leaves the hub its processor time;
- the number of clients, the size and the time of a request and of taking our answer have limits (`Limits`).

collectd does not come this way: while consumers burn CPU, an answer takes as long as any other work of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import errno
import logging
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import glasshub_stats
from glasshub_stats.render import as_json, as_openmetrics

from .errors import StatsDirectoryError
from .logs import Repeats, held_back
from .segment import set_access

logger = logging.getLogger(__name__)

THREAD_NAME = "stats-server"

_LONGEST_PATH = 107  # sockaddr_un has 108 bytes for it, the NUL behind it included (unix(7))
_ACCEPT_QUEUE = 1024  # clients with a time limit of their own get EAGAIN from connect(2) when it is full
_METHODS = ("GET", "HEAD")
_REQUEST_LINE = re.compile(r"([A-Za-z]{1,20}) (\S+) HTTP/1\.([01])")
_ORIGIN = re.compile(r"https?://[^/?]*", re.IGNORECASE)  # a request may name the whole URL (RFC 9112, 3.2.2)

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_INDEX = """\
What the segment beside this socket says, now:

    /stats.json   everything, as JSON
    /metrics      everything, as OpenMetrics text
    /healthz      200 when the hub is up, 503 when it is stuck, down or stopped
"""


@dataclass(frozen=True)
class Limits:
    """What clients may ask of the hub's process. Times are seconds.

    Attributes:
        clients: Connections at one time; one more, and the oldest goes.
        request_bytes: Size of request line and headers.
        request_time: From the connection, or from the answer before, to the end of the request.
        answer_time: For taking an answer.
        rate: Connections and further requests a second, of all clients together, in the long run.
        burst: How many of them may come at once.
        share: How much of one processor answering may take in the long run.
        pause: Before the next connection is accepted after that has failed.
    """

    clients: int = 64
    request_bytes: int = 8192
    request_time: float = 5.0
    answer_time: float = 10.0
    rate: float = 100.0
    burst: int = 200
    share: float = 0.1
    pause: float = 1.0


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
                listener = _listener(self._path, mode=self._mode, group=self._group)
            except BaseException:
                loop.close()
                raise
            service = _Service(listener, _Pages(self._segment), self._limits)
            thread = threading.Thread(target=_run, args=(loop, service), name=THREAD_NAME, daemon=True)
            self._running = _Running(thread, loop, service, _identity(self._path))
            thread.start()

    def close(self, *, timeout: float = 2.0) -> None:
        """Stop listening, end all clients and remove the socket. Does nothing the second time.

        Args:
            timeout: Seconds to wait for the thread. One that takes longer is left to the end of the process.
        """
        if self._running is None:
            return
        thread, loop, service, identity = self._running
        self._running = None
        with contextlib.suppress(OSError):
            if _identity(self._path) == identity:  # else another hub has come after us
                self._path.unlink()
        with contextlib.suppress(RuntimeError):  # the thread has died, and its loop is closed
            loop.call_soon_threadsafe(service.stop)
        thread.join(timeout)
        if thread.is_alive():
            logger.warning("the stats server did not end within %s s", timeout)


class _Running(NamedTuple):
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    service: _Service
    identity: tuple[int, int]


def _run(loop: asyncio.AbstractEventLoop, service: _Service) -> None:
    try:
        loop.run_until_complete(service.run())
    except Exception:  # the hub goes on without its socket, and collectd reads the segment
        logger.critical("the stats server has died; the segment can be read all the same", exc_info=True)
    finally:
        loop.close()


class _Service:
    """The clients of one listening socket. Threads: the server's only."""

    def __init__(self, listener: socket.socket, pages: _Pages, limits: Limits) -> None:
        self._listener = listener
        self._pages = pages
        self._limits = limits
        self._pace = _Pace(limits)
        self._clients: dict[asyncio.Task[None], _Client] = {}
        self._repeats = Repeats()
        self._main: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Accept clients until `stop`, then end them."""
        self._main = asyncio.current_task()
        with self._listener, contextlib.suppress(asyncio.CancelledError):
            while not self._is_stopping:
                await self._accept()
        left = asyncio.all_tasks() - {self._main}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def stop(self) -> None:
        """Let `run` end."""
        self._is_stopping = True
        if self._main is not None:
            self._main.cancel()

    async def _accept(self) -> None:
        await self._pace.turn()
        try:
            reader, writer = await self._connection()
        except OSError as error:
            # asyncio's own servers log a traceback here, each second, for as long as the process has no descriptor.
            self._warn(error.errno, "the stats server cannot accept a client: %s", error.strerror)
            await asyncio.sleep(self._limits.pause)
            return
        if len(self._clients) >= self._limits.clients:
            self._evict()
        client = _Client(reader, writer, self._pages, self._pace, self._limits)
        task = asyncio.create_task(client.serve())
        self._clients[task] = client
        task.add_done_callback(self._departed)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        try:
            return await asyncio.open_unix_connection(sock=connection, limit=self._limits.request_bytes)
        except BaseException:
            connection.close()
            raise

    def _evict(self) -> None:
        """Drop the client that has been here longest."""
        oldest = next(iter(self._clients))
        self._clients.pop(oldest).drop()
        self._warn("evict", "the stats server has more than %d clients: the oldest goes", self._limits.clients)

    def _departed(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._warn(type(error), "the stats server could not serve a client: %r", error, error=error)

    def _warn(self, kind: object, text: str, *values: object, error: BaseException | None = None) -> None:
        more = self._repeats.admit(kind)
        if more is not None:
            logger.warning(text + "%s", *values, held_back(more), exc_info=error)


class _Client:
    """One connection, from its first request to its end. Threads: the server's only.

    Whoever ends it before its time - a limit, the server - aborts the transport: the client then finds the end of the
    connection wherever it waits. Cancelling it would do too, if asyncio.wait_for never lost a cancellation (it does
    up to Python 3.11).
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pages: _Pages,
        pace: _Pace,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._pages = pages
        self._pace = pace
        self._limits = limits

    async def serve(self) -> None:
        """Answer requests until one side has enough."""
        self._writer.transport.set_write_buffer_limits(high=0)  # `drain` waits for the last byte
        try:
            while await self._exchange():
                pass
        except (OSError, EOFError):
            logger.debug("a client of the stats server has gone, or has used up its time")
        finally:
            self._writer.transport.abort()

    def drop(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()

    async def _exchange(self) -> bool:
        """Read one request and answer it; tells whether another may follow."""
        try:
            with self._within(self._limits.request_time):
                request = _parsed(await self._lines())
        except _BadRequestError as error:
            await self._send(_Answer(HTTPStatus.BAD_REQUEST, _TEXT, f"{error}\n"), is_last=True)
            return False
        with self._pace.charged():
            answer = self._pages.answer(request)
        await self._send(answer, is_last=request.is_last, has_body=request.method != "HEAD")
        if not request.is_last:
            await self._pace.turn()
        return not request.is_last

    async def _lines(self) -> list[str]:
        """The lines of a request up to the empty one."""
        lines: list[str] = []
        left = self._limits.request_bytes
        try:
            while True:
                line = await self._reader.readuntil(b"\n")
                left -= len(line)
                if left < 0:
                    raise self._too_long()
                text = line.decode("latin-1").rstrip("\r\n")
                if not text and lines:
                    return lines
                if text:
                    lines.append(text)
                    _matched(lines[0])  # whoever types `hello` is told at once
        except asyncio.LimitOverrunError:
            raise self._too_long() from None
        except asyncio.IncompleteReadError as error:
            if (lines or error.partial) and not self._writer.transport.is_closing():
                raise _BadRequestError("the request ends before its empty line") from None
            raise

    def _too_long(self) -> _BadRequestError:
        return _BadRequestError(f"the request is longer than {self._limits.request_bytes} bytes")

    async def _send(self, answer: _Answer, *, is_last: bool, has_body: bool = True) -> None:
        with self._within(self._limits.answer_time):
            self._writer.write(answer.encoded(is_last=is_last, has_body=has_body))
            await self._writer.drain()

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        timer = asyncio.get_running_loop().call_later(seconds, self.drop)
        try:
            yield
        finally:
            timer.cancel()


class _Pace:
    """Keeps the work for all clients together below a rate, by letting them wait for their turn."""

    def __init__(self, limits: Limits) -> None:
        self._gap = 1.0 / limits.rate
        self._ahead = limits.burst / limits.rate
        self._share = limits.share
        self._due = float("-inf")

    async def turn(self) -> None:
        """Wait until it is one's turn."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - self._ahead) + self._gap
        await asyncio.sleep(max(self._due - now, 0))

    @contextlib.contextmanager
    def charged(self) -> Iterator[None]:
        """Put the next turns off by what the work of this context costs."""
        start = time.thread_time()
        yield
        self._due += (time.thread_time() - start) / self._share


class _Pages:
    """What there is to see."""

    def __init__(self, segment: Path) -> None:
        self._segment = str(segment)
        self._by_path = {
            "/": lambda: _Answer(HTTPStatus.OK, _TEXT, _INDEX),
            "/stats.json": lambda: _Answer(HTTPStatus.OK, _JSON, as_json(self._read()) + "\n"),
            "/metrics": lambda: _Answer(HTTPStatus.OK, _OPENMETRICS, as_openmetrics(self._read())),
            "/healthz": self._health,
        }

    def answer(self, request: _Request) -> _Answer:
        """The page that the request asks for, or a sentence why not."""
        if request.method not in _METHODS:
            text = f"{request.method} is not possible here, only GET and HEAD\n"
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, text)
        page = self._by_path.get(request.path)
        if page is None:
            return _Answer(
                HTTPStatus.NOT_FOUND, _TEXT, f"there is no such page here, only {', '.join(self._by_path)}\n"
            )
        try:
            return page()
        except glasshub_stats.StatsError as error:
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{error}\n")

    def _read(self) -> glasshub_stats.Snapshot:
        return glasshub_stats.read(self._segment)

    def _health(self) -> _Answer:
        snapshot = self._read()
        status = HTTPStatus.OK if snapshot.is_up() else HTTPStatus.SERVICE_UNAVAILABLE
        return _Answer(status, _TEXT, f"{snapshot.status()}\n")


class _BadRequestError(Exception):
    """What arrived is not a request of HTTP/1."""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    is_last: bool


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    content_type: str
    text: str

    def encoded(self, *, is_last: bool, has_body: bool) -> bytes:
        """The bytes to send."""
        body = self.text.encode("utf-8", "replace")
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Date: {email.utils.formatdate(usegmt=True)}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            f"Connection: {'close' if is_last else 'keep-alive'}",
        ]
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            head.append(f"Allow: {', '.join(_METHODS)}")
        return "\r\n".join([*head, "", ""]).encode("ascii") + (body if has_body else b"")


def _matched(line: str) -> re.Match[str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _BadRequestError("this is not a request of HTTP/1.1; try: GET / HTTP/1.1")
    return match


def _parsed(lines: Sequence[str]) -> _Request:
    """A request of its lines.

    Raises:
        _BadRequestError: It is none.
    """
    match = _matched(lines[0])
    headers = {name.strip().lower(): value.strip().lower() for name, _, value in (x.partition(":") for x in lines[1:])}
    is_last = match[3] == "0" or "close" in headers.get("connection", "")
    # A body is not read, so that what follows it cannot be told from it.
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    path = _ORIGIN.sub("", match[2], count=1).partition("?")[0] or "/"
    return _Request(match[1], path, is_last or has_body)


def _listener(path: Path, *, mode: int, group: str) -> socket.socket:
    """A socket that listens at `path`, or nothing at all."""
    size = len(os.fsencode(path))
    if size > _LONGEST_PATH:
        raise StatsDirectoryError(
            f"the path of the stats socket has {size} bytes, and the system allows {_LONGEST_PATH}: {path}: "
            f"choose a shorter --stats-dir or --name"
        )
    _remove_stale(path)
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        # Linux makes the file with the mode of the socket: it is never more open than it shall be, not even for a
        # moment, and the umask, which belongs to all threads, stays as it is.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        undo.callback(path.unlink)
        set_access(path, mode=mode, group=group)
        listener.setblocking(False)
        listener.listen(_ACCEPT_QUEUE)
        undo.pop_all()
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on.

    Raises:
        StatsDirectoryError: Somebody does, or it is no socket.
    """
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise StatsDirectoryError(f"{path} is in the way of the stats socket and is not a socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(str(path))
    if result in (0, errno.EAGAIN):
        raise StatsDirectoryError(f"another process listens on the stats socket {path}: stop it, or use another --name")
    path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


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
