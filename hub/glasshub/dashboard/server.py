# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page over HTTP, made by a process of its own: hubs have nothing to do with it, and do not notice it.

It asks nobody for a password, so that it is for this machine alone unless the operator says otherwise, and for a proxy
in front of it. A browser on this machine may have been led here by somebody else's page. Such a page sees nothing:

- a name of somebody else's that leads to this address (DNS rebinding) stands in the request, and is refused;
- the page may neither be framed nor read by another one, and loads and runs nothing but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from ..addresses import is_address, is_local, url_of
from ..errors import HubError
from ..webserver import TEXT, Answer, Limits, Request, Service, removal, tcp_listener, unix_listener
from .model import SPANS, Span
from .page import POLICY, Frame, page
from .sources import Sources

logger = logging.getLogger(__name__)

_HTML = "text/html; charset=utf-8"

#: More than the stats socket has: here is no hub to be kept from its work.
LIMITS = Limits(share=0.5)

_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_ADDRESS = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})")
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[^:\[\]]+))(?::[0-9]{1,5})?")


class ListenError(HubError):
    """The page cannot be served where it should be."""


@dataclass(frozen=True)
class Place:
    """Where the page is served: at a path, or at a host and a port."""

    path: Path | None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return url_of(self.host, self.port)


def place(text: str, *, allow_remote: bool) -> Place:
    """What an operator means by `unix:/run/glasshub/dashboard.sock` or `127.0.0.1:8080`.

    Raises:
        ListenError: It is neither, or can be reached from other machines, which `allow_remote` does not grant.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ListenError(f"--listen {text}: behind unix: stands the whole path of a socket, which begins with /")
        return Place(Path(path))
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ListenError(f"--listen {text}: give unix:/PATH, or ADDRESS:PORT as in 127.0.0.1:8080 or [::1]:8080")
    host = match["six"] or match["host"] or "127.0.0.1"
    if not allow_remote and not is_local(host):
        raise ListenError(
            f"--listen {text}: other machines could reach this, and the page asks nobody for a password: put a web "
            f"server in front of it that does (docs/dashboard.md), or add --allow-remote if all who can may see it"
        )
    return Place(None, host, int(match["port"]))


class Dashboard:
    """Makes the answers. Threads: the one of its event loop; what takes long happens in another one meanwhile."""

    def __init__(
        self,
        sources: Sources,
        *,
        every: float,
        stale_after: float,
        hosts: Collection[str] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make nothing yet.

        Args:
            sources: What the page is made of.
            every: Seconds from look to look.
            stale_after: Seconds after which figures are to be called old.
            hosts: Names by which it may be asked for besides addresses; None for any: nobody comes by a name.
            clock: Seconds.
        """
        self._sources = sources
        self._every = every
        self._hosts = hosts
        self._clock = clock
        self._frame = Frame(
            host=socket.gethostname(),
            links={name: f"?range={name}" for name in SPANS},
            every=every,
            stale_after=stale_after,
            is_served=True,
        )
        self._pages: dict[str, tuple[float, str]] = {}

    @functools.cached_property
    def _turn(self) -> asyncio.Lock:
        return asyncio.Lock()  # not before the event loop runs: Python 3.9 binds it to the one that is there

    async def answer(self, request: Request) -> Answer:
        """The page that is asked for, or a sentence why not."""
        if self._hosts is not None and not is_trusted(request.headers.get("host", ""), self._hosts):
            text = "this page is not known by the name that you ask for it by: see --server-name in docs/dashboard.md\n"
            return Answer(HTTPStatus.MISDIRECTED_REQUEST, TEXT, text, _HEADERS)
        if request.path != "/":
            return Answer(HTTPStatus.NOT_FOUND, TEXT, "there is one page here, and it is /\n", _HEADERS)
        name = parse_qs(request.query, max_num_fields=8).get("range", ["hour"])[-1]
        if name not in SPANS:
            return Answer(HTTPStatus.BAD_REQUEST, TEXT, f"the range is one of {', '.join(SPANS)}\n", _HEADERS)
        return Answer(HTTPStatus.OK, _HTML, await self._page(SPANS[name]), _HEADERS)

    async def look_for_ever(self) -> None:
        """Look each `every` seconds."""
        while True:
            start = self._clock()
            async with self._turn:
                await asyncio.get_running_loop().run_in_executor(None, self._sources.look)
            await asyncio.sleep(max(start + self._every - self._clock(), 0.1))

    async def _page(self, span: Span) -> str:
        """The page of a span, at most a second old: a hundred who ask cost as much as one."""
        async with self._turn:
            made, text = self._pages.get(span.name, (float("-inf"), ""))
            if self._clock() - made > 1.0:
                text = await asyncio.get_running_loop().run_in_executor(None, self._make, span)
                self._pages[span.name] = self._clock(), text
            return text

    def _make(self, span: Span) -> str:
        return page(self._sources.view(span), self._frame)


def is_trusted(host: str, hosts: Collection[str]) -> bool:
    """Whether a request that names that host came by a way that we know.

    An address has not been made up by somebody who owns a name; a name has to be one of `hosts`.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    return bool(match["six"]) or match["host"] in hosts or is_address(match["host"])


def serve(where: Place, dashboard: Dashboard, *, mode: int, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        where: Where to listen; a socket left behind there by a process that was killed is replaced.
        dashboard: Makes the answers.
        mode: Permissions of the socket at a path.
        tell: Told where, once it listens.

    Raises:
        ListenError: It cannot listen there.
    """
    with _listening(where, mode) as listener:
        tell(str(where if where.path or where.port else Place(None, where.host, listener.getsockname()[1])))
        asyncio.run(_serve(listener, dashboard))


async def _serve(listener: socket.socket, dashboard: Dashboard) -> None:
    service = Service(listener, dashboard.answer, LIMITS, name="the dashboard", logger=logger)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    looking = asyncio.create_task(dashboard.look_for_ever())
    # If nobody looks any more, that is an error, and must be heard.
    looking.add_done_callback(lambda task: None if task.cancelled() else service.stop())
    await service.run()
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


@contextlib.contextmanager
def _listening(where: Place, mode: int) -> Iterator[socket.socket]:
    try:
        listener = _listener(where, mode)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {where}: {error.strerror or error}: choose another place with --listen"
        ) from error
    if where.path is None:
        with listener:
            yield listener
        return
    remove = removal(where.path)
    try:
        with listener:
            yield listener
    finally:
        remove()


def _listener(where: Place, mode: int) -> socket.socket:
    if where.path is not None:
        return unix_listener(
            where.path,
            allow=lambda path: os.chmod(path, mode),
            what="dashboard's socket",
            elsewhere="--listen",
            error=ListenError,
        )
    return tcp_listener(where.host, where.port)
