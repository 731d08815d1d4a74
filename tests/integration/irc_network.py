# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real IRC server and a real client beside the bot, both of the `irc` package on PyPI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..needs import module
from .hubs import DEADLINE, wait_until

CHANNEL = "#fedmsg"

_WATCHER = "watcher"
_KINDS = ("join", "quit", "pubmsg", "pubnotice")


class Network:
    """A server, and a client in the channel that writes down what it sees.

    Attributes:
        port: Where the server listens.
        seen: Kind, nickname of the sender and text of everything seen in the channel.
    """

    def __init__(self) -> None:
        client, server = module("irc.client"), module("irc.server")
        self.seen: list[tuple[str, str, str]] = []
        self._server = server.IRCServer(("127.0.0.1", 0), server.IRCClient)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self._reactor = client.Reactor()
        self._client = self._reactor.server().connect("127.0.0.1", self.port, _WATCHER)
        for kind in _KINDS:
            self._client.add_global_handler(kind, self._note)
        self._client.join(CHANNEL)

    def wait_for(self, kind: str, *, count: int = 1) -> list[tuple[str, str]]:
        """Nickname and text of everything of that kind, once there is so much of it."""
        wait_until(lambda: len(self._seen_of(kind)) >= count, f"{count} times {kind} in the channel")
        return self._seen_of(kind)

    def drop(self, nickname: str) -> None:
        """Have the server lose the connection of a client."""
        self._server.clients[nickname].request.shutdown(2)

    def close(self) -> None:
        """End both."""
        self._client.disconnect()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)

    def _seen_of(self, kind: str) -> list[tuple[str, str]]:
        self._reactor.process_once(0.01)
        return [(nickname, text) for of_kind, nickname, text in self.seen if of_kind == kind]

    def _note(self, connection: Any, event: Any) -> None:
        if event.source.nick != _WATCHER:
            self.seen.append((event.type, event.source.nick, " ".join(event.arguments)))


@contextmanager
def irc_network() -> Iterator[Network]:
    """A network, for as long as the context lasts."""
    network = Network()
    try:
        yield network
    finally:
        network.close()
