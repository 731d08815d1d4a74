# SPDX-License-Identifier: LGPL-2.1-or-later
"""A publisher in a process of its own, whose memory outlives it: `python -m faults.bus DIRECTORY ENDPOINT`.

Messages are numbered from 0. The next number stands in a file before the message is sent, and another file has a line
for each thing that happened, with the next number at that moment: that the publisher was bound, that somebody
subscribed, that nobody was subscribed any more. So it is known what was sent to whom, whoever is killed when.

Orders come on standard input: `publish COUNT RATE` (RATE 0: as fast as possible), `pause`, and `odd`, which sends what
is listed in `faults.messages`. Each is answered with `done` when it is carried out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import zmq

from benchmarks.processes import Child

from .messages import MALFORMED, TOPIC, UNREADABLE, UNUSUAL, body

BOUND, SUBSCRIBED, UNSUBSCRIBED = "bound", "subscribed", "unsubscribed"

_EVENTS, _NEXT = "bus.events", "bus.next"

#: More than anybody waits for: the order is ended by `pause`.
_ENDLESS = 1 << 40


class Event(NamedTuple):
    """Something that happened to the bus.

    Attributes:
        what: BOUND, SUBSCRIBED or UNSUBSCRIBED.
        number: That of the first message that was not sent yet.
    """

    what: str
    number: int


class Bus:
    """The publisher, as seen by whoever orders; they have to `kill` it."""

    def __init__(self, directory: Path) -> None:
        """Start it; it binds to a port that is free."""
        self._directory = directory
        self._child = Child("faults.bus", str(directory), "tcp://127.0.0.1:*", directory=directory)
        self.endpoint = self._child.line()

    @property
    def next(self) -> int:
        """The number of the first message that was not sent yet."""
        return int((self._directory / _NEXT).read_bytes())

    def events(self) -> Sequence[Event]:
        """What has happened so far."""
        lines = (self._directory / _EVENTS).read_text(encoding="ascii").splitlines()
        return [Event(what, int(number)) for what, number in map(str.split, lines)]

    def publish(self, count: int, rate: float = 0) -> None:
        """Publish so many messages, so many a second; blocks until libzmq has them all."""
        self._child.say(f"publish {count} {rate}")
        self._expect_done()

    def begin(self, rate: float) -> None:
        """Publish so many messages a second until `pause`."""
        self._child.say(f"publish {_ENDLESS} {rate}")

    def pause(self) -> None:
        """End what `begin` has begun."""
        self._child.say("pause")
        self._expect_done()

    def send_odd_things(self) -> None:
        """Send what is malformed, what cannot be read, and messages that are unusual."""
        self._child.say("odd")
        self._expect_done()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._child.__exit__(None, None, None)

    def restart(self) -> None:
        """Start a successor at the same address, which goes on with the next number."""
        self._child = Child("faults.bus", str(self._directory), self.endpoint, directory=self._directory)
        self._child.line()

    def _expect_done(self) -> None:
        assert self._child.line() == "done"


class _Publisher:
    """The publisher itself."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._next_file = os.open(directory / _NEXT, flags, 0o600)
        self._events = os.open(directory / _EVENTS, flags | os.O_APPEND, 0o600)
        self._number = int(os.pread(self._next_file, 20, 0) or 0)
        self._end = self._number
        self._rate = 0.0
        self._started, self._first = 0.0, self._number
        self._unread = b""
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # nothing is lost here while somebody is subscribed
        self._socket.bind(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(0, zmq.POLLIN)
        self._set_next(self._number)
        self._note(BOUND)
        _say(self._socket.get_string(zmq.LAST_ENDPOINT))

    def run(self) -> None:
        """Carry out orders until there are no more."""
        while True:
            ready = dict(self._poller.poll(self._pause()))
            if self._socket in ready:
                self._note(SUBSCRIBED if self._socket.recv()[0] else UNSUBSCRIBED)
            elif 0 in ready:
                piece = os.read(0, 4096)
                if not piece:
                    return
                self._obey(piece)
            elif self._number < self._end:
                self._send()
                if self._number == self._end:
                    _say("done")

    def _pause(self) -> int | None:
        """Milliseconds until something is to be done; None for never."""
        if self._number >= self._end:
            return None
        if not self._rate:
            return 0
        due = self._started + (self._number - self._first) / self._rate
        return max(int((due - time.monotonic()) * 1000), 0)

    def _obey(self, piece: bytes) -> None:
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for line in lines:
            what, *arguments = line.decode("ascii").split()
            if what == "publish":
                self._end = self._number + int(arguments[0])
                self._rate = float(arguments[1])
                self._started, self._first = time.monotonic(), self._number
                continue
            if what == "odd":
                self._send_odd_things()
            self._end = self._number
            _say("done")

    def _send(self, number_body: bytes | None = None) -> None:
        number = self._number
        self._set_next(number + 1)
        self._socket.send_multipart([TOPIC.encode("ascii"), number_body or body(number)])

    def _send_odd_things(self) -> None:
        for parts in MALFORMED + UNREADABLE:
            self._socket.send_multipart(parts)
        for more in UNUSUAL:
            self._send(body(self._number, **more))

    def _set_next(self, number: int) -> None:
        self._number = number
        os.pwrite(self._next_file, b"%020d" % number, 0)

    def _note(self, what: str) -> None:
        os.write(self._events, f"{what} {self._number}\n".encode("ascii"))


def _say(line: str) -> None:
    os.write(1, line.encode("ascii") + b"\n")


def main() -> None:
    """Publish until standard input ends."""
    _Publisher(Path(sys.argv[1]), sys.argv[2]).run()
    zmq.Context.instance().destroy(linger=0)


if __name__ == "__main__":
    main()
