# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service manager as far as a hub sees one: the datagram socket that systemd has, and what was said there."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")

#: Seconds after which something that should have been said has not been.
_DEADLINE = 30.0


@dataclass(frozen=True)
class Notice:
    """One datagram: its lines by name, and the process that sent it."""

    lines: dict[str, str]
    pid: int

    def __contains__(self, line: str) -> bool:
        """Whether it has such a line, `NAME=value`, or such a name."""
        name, is_whole, value = line.partition("=")
        return name in self.lines and (not is_whole or self.lines[name] == value)

    @property
    def status(self) -> str:
        """What it says of the status."""
        return self.lines.get("STATUS", "")


class ServiceManager:
    """Listens.

    Attributes:
        address: What it puts into NOTIFY_SOCKET.
        heard: What it has taken from its socket so far.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[Notice] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def hear(self) -> list[Notice]:
        """Take what is there; all that was heard so far."""
        self._socket.settimeout(0)
        try:
            while True:
                self._take()
        except BlockingIOError:
            return self.heard

    def wait_for(self, holds: Callable[[Notice], object], what: str) -> Notice:
        """The next notice of which that holds; those before it are heard, too."""
        end = time.monotonic() + _DEADLINE
        while True:
            self._socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                notice = self._take()
            except socket.timeout:  # TimeoutError is another one before Python 3.10
                raise AssertionError(f"waited {_DEADLINE} s in vain: {what}; heard {self.heard}") from None
            if holds(notice):
                return notice

    def wait_for_line(self, line: str) -> Notice:
        """The next notice that has a line."""
        return self.wait_for(lambda notice: line in notice, line)

    def close(self) -> None:
        """Close the socket; the file goes, too."""
        self._socket.close()
        if not self.address.startswith("@"):
            os.unlink(self.address)

    def _take(self) -> Notice:
        data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        pid = next(_CREDENTIALS.unpack(raw)[0] for _, kind, raw in ancillary if kind == socket.SCM_CREDENTIALS)
        notice = Notice(dict(line.split("=", 1) for line in data.decode().split("\n")), pid)
        self.heard.append(notice)
        return notice


@contextmanager
def manager_at(address: Path | str) -> Iterator[ServiceManager]:
    """A service manager for as long as the context lasts."""
    manager = ServiceManager(str(address))
    try:
        yield manager
    finally:
        manager.close()
