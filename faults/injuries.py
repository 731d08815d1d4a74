# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done to a hub. Each leaves the machine as it was."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .rig import ImpossibleError

_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n"


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process is stopped (SIGSTOP) as long as the context lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """A process can open nothing as long as the context lasts."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


class Crowd:
    """Clients of the stats socket that are no good. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._clients: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    @property
    def size(self) -> int:
        """How many are connected, or think so."""
        return len(self._clients)

    def join(self, count: int, says: bytes = b"") -> None:
        """Have so many clients connect, and say something; they read nothing.

        Raises:
            ImpossibleError: This process has no descriptors for them.
        """
        _allow_descriptors(count + 200)
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            try:
                client.connect(self._path)
                client.send(says) if says else None
            except (BlockingIOError, ConnectionError):
                client.close()  # the system keeps no more of them waiting
            else:
                self._clients.append(client)

    def join_as_slow_ones(self, count: int) -> None:
        """Have so many clients that never finish their request."""
        self.join(count, _REQUEST[:9])

    def join_as_half_readers(self, count: int) -> None:
        """Have so many clients that ask for much, and read nothing of it."""
        self.join(count, _REQUEST * 20)

    def trickle(self, seconds: float) -> None:
        """Have the slow ones send a byte each, again and again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.send(b"x")
            time.sleep(0.1)


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ImpossibleError(f"{count} descriptors are needed, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def answers(path: Path) -> bool:
    """Whether the stats socket answers a request within a second."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def cut(path: Path, chance: random.Random) -> None:
    """Cut a file short, somewhere."""
    size = path.stat().st_size
    os.truncate(path, chance.randrange(size))


def flip_bits(path: Path, chance: random.Random, count: int = 8) -> None:
    """Turn some bits of a file over."""
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
