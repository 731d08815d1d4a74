# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stands around fedmsg's own services in tests: configuration, commands, publishers, subscribers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from .hubs import DEADLINE

#: What every site of these tests has in fedmsg's configuration.
_CONFIG = {
    "topic_prefix": "org.fedoraproject",
    "environment": "dev",
    "endpoints": {},
    "validate_signatures": False,
    "sign_messages": False,
}


def write_site(directory: Path, **values: Any) -> None:
    """Write fedmsg's configuration where fedmsg's commands and ours find it if they are started in that directory.

    Args:
        directory: The directory.
        values: What the configuration says besides.
    """
    (directory / "fedmsg.d").mkdir()
    text = f"config = { ({**_CONFIG, **values})!r}\n"
    (directory / "fedmsg.d" / "site.py").write_text(text, encoding="utf-8")


def fedmsg_command(directory: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of fedmsg's own commands in that directory."""
    code = f"import sys; from fedmsg.commands.{name} import {name}; sys.exit({name}())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Caller:
    """A publisher that connects to who listens, as an active fedmsg publisher does to its relay."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.connect(endpoint)

    def wait(self) -> None:
        """Wait until somebody has subscribed."""
        assert self._socket.poll(int(DEADLINE * 1000)), "nobody has subscribed"
        self._socket.recv()

    def publish(self, topic: str, body: Any) -> None:
        """Publish one message."""
        self._socket.send_multipart([topic.encode(), json.dumps(body).encode()])

    def close(self) -> None:
        """Close it."""
        self._context.destroy(linger=0)


class Listener:
    """A plain subscriber to everything, who holds so many messages that were not fetched yet; 0 is no bound."""

    def __init__(self, endpoint: str, *, held: int = 0) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, held)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(endpoint)

    def hears(self, within: float) -> bool:
        """Whether a message comes within so many seconds."""
        return bool(self._socket.poll(int(within * 1000)))

    def receive(self, *, within: float = DEADLINE) -> list[bytes]:
        """The parts of the next message."""
        assert self.hears(within), f"no message came within {within} s"
        return self._socket.recv_multipart()

    def close(self) -> None:
        """Close it."""
        self._context.destroy(linger=0)


@contextmanager
def caller_to(endpoint: str) -> Iterator[Caller]:
    """A publisher, for as long as the context lasts."""
    caller = Caller(endpoint)
    try:
        yield caller
    finally:
        caller.close()


@contextmanager
def listener_to(endpoint: str, *, held: int = 0) -> Iterator[Listener]:
    """A subscriber, for as long as the context lasts."""
    listener = Listener(endpoint, held=held)
    try:
        yield listener
    finally:
        listener.close()
