# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answering a few kinds of GET on a socket, in an event loop, with nothing but the standard library.

It speaks the part of HTTP/1.1 that a GET takes. Whoever connects may be slow, silent or hostile; therefore:

- nothing waits for a client but what serves that client;
- connections and requests have an upper rate, so that a flood of them leaves the machine its processor time;
- the number of clients, the size and the time of a request and of taking our answer have limits (`Limits`).
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
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from .errors import HubError
from .logs import Repeats, held_back

METHODS = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"

_LONGEST_PATH = 107  # sockaddr_un has 108 bytes for it, the NUL behind it included (unix(7))
_ACCEPT_QUEUE = 1024  # clients with a time limit of their own get EAGAIN from connect(2) when it is full
_REQUEST_LINE = re.compile(r"([A-Za-z]{1,20}) (\S+) HTTP/1\.([01])")
_ORIGIN = re.compile(r"https?://[^/?]*", re.IGNORECASE)  # a request may name the whole URL (RFC 9112, 3.2.2)


@dataclass(frozen=True)
class Limits:
    """What clients may ask of the process. Times are seconds.

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


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        method: As it stands there: nobody has looked whether we know it.
        path, query: Of the URL, as they stand there.
        headers: By names in lower case; of several of one name the last.
        is_last: Whether the connection ends with the answer.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    is_last: bool


@dataclass(frozen=True)
class Answer:
    """What a client gets.

    Attributes:
        status, content_type, text: Its parts.
        headers: What else stands in its head.
    """

    status: HTTPStatus
    content_type: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

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
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*head, "", ""]).encode("ascii") + (body if has_body else b"")


#: Makes the answer to a request with one of `METHODS`.
Pages = Callable[[Request], Awaitable[Answer]]


class Service:
    """The clients of one listening socket. Threads: the one of its event loop, for everything."""

    def __init__(
        self,
        listener: socket.socket,
        pages: Pages,
        limits: Limits,
        *,
        name: str,
        logger: logging.Logger,
    ) -> None:
        """Take what `run` needs.

        Args:
            listener: A socket that listens and does not block; `run` closes it.
            pages: Makes the answers.
            limits: What clients may ask for.
            name: What the log calls it.
            logger: Where it complains.
        """
        self._listener = listener
        self._pages = pages
        self._limits = limits
        self._name = name
        self._logger = logger
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
            self._warn(error.errno, "%s cannot accept a client: %s", self._name, error.strerror)
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
            return await asyncio.open_connection(sock=connection, limit=self._limits.request_bytes)
        except BaseException:
            connection.close()
            raise

    def _evict(self) -> None:
        """Drop the client that has been here longest."""
        oldest = next(iter(self._clients))
        self._clients.pop(oldest).drop()
        self._warn("evict", "%s has more than %d clients: the oldest goes", self._name, self._limits.clients)

    def _departed(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._warn(type(error), "%s could not serve a client: %r", self._name, error, error=error)

    def _warn(self, kind: object, text: str, *values: object, error: BaseException | None = None) -> None:
        more = self._repeats.admit(kind)
        if more is not None:
            self._logger.warning(text + "%s", *values, held_back(more), exc_info=error)


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
        pages: Pages,
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
            pass  # it has gone, or has used up its time
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
            await self._send(Answer(HTTPStatus.BAD_REQUEST, TEXT, f"{error}\n"), is_last=True)
            return False
        with self._pace.charged():
            answer = await self._answer(request)
        await self._send(answer, is_last=request.is_last, has_body=request.method != "HEAD")
        if not request.is_last:
            await self._pace.turn()
        return not request.is_last

    async def _answer(self, request: Request) -> Answer:
        if request.method in METHODS:
            return await self._pages(request)
        text = f"{request.method} is not possible here, only GET and HEAD\n"
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, text, {"Allow": ", ".join(METHODS)})

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

    async def _send(self, answer: Answer, *, is_last: bool, has_body: bool = True) -> None:
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


def unix_listener(
    path: Path, *, allow: Callable[[Path], None], what: str, elsewhere: str, error: type[HubError]
) -> socket.socket:
    """A UNIX socket that listens at `path`, or nothing at all. One on which nobody listens any more is replaced.

    Args:
        path: Where, in at most 107 bytes.
        allow: Gives the file its group and mode.
        what: What the operator calls it.
        elsewhere: The options that choose another place.
        error: What to raise, if another process listens there, or the path is too long, or not one of a socket.

    Raises:
        OSError: The system says no.
    """
    size = len(os.fsencode(path))
    if size > _LONGEST_PATH:
        raise error(
            f"the path of the {what} has {size} bytes, and the system allows {_LONGEST_PATH}: {path}: "
            f"choose a shorter {elsewhere}"
        )
    _remove_stale(path, what=what, elsewhere=elsewhere, error=error)
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        # Linux makes the file with the mode of the socket: it is never more open than it shall be, not even for a
        # moment, and the umask, which belongs to all threads, stays as it is.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        undo.callback(path.unlink)
        allow(path)
        _listen(listener)
        undo.pop_all()
    return listener


def tcp_listener(host: str, port: int) -> socket.socket:
    """A socket that listens at an address, or at the name of one.

    Args:
        host: The address.
        port: The port; 0 for any that is free.

    Raises:
        OSError: The system says no.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        _listen(listener)
        undo.pop_all()
    return listener


def removal(path: Path) -> Callable[[], None]:
    """What removes the file that is there now; not one that another process has put in its place meanwhile."""
    mine = os.lstat(path)

    def remove() -> None:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(path), mine):
                path.unlink()

    return remove


def _listen(listener: socket.socket) -> None:
    """Have a bound socket listen as `Service` wants it to."""
    listener.setblocking(False)
    listener.listen(_ACCEPT_QUEUE)


def _remove_stale(path: Path, *, what: str, elsewhere: str, error: type[HubError]) -> None:
    """Remove a socket that nobody listens on; it is an error if somebody does, or if it is no socket."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise error(f"{path} is in the way of the {what} and is not a socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(str(path))
    if result in (0, errno.EAGAIN):
        raise error(f"another process listens on the {what} {path}: stop it, or use another {elsewhere}")
    path.unlink()


class _BadRequestError(Exception):
    """What arrived is not a request of HTTP/1."""


def _matched(line: str) -> re.Match[str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _BadRequestError("this is not a request of HTTP/1.1; try: GET / HTTP/1.1")
    return match


def _parsed(lines: Sequence[str]) -> Request:
    """A request of its lines.

    Raises:
        _BadRequestError: It is none.
    """
    match = _matched(lines[0])
    headers = {name.strip().lower(): value.strip().lower() for name, _, value in (x.partition(":") for x in lines[1:])}
    is_last = match[3] == "0" or "close" in headers.get("connection", "")
    # A body is not read, so that what follows it cannot be told from it.
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    path, _, query = _ORIGIN.sub("", match[2], count=1).partition("?")
    return Request(match[1], path or "/", query, headers, is_last or has_body)
