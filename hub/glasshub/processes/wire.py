# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the hub and a worker process say to each other, over a pair of UNIX sockets.

A message is a word and what belongs to it: numbers, strings, bytes, tuples and lists of them. `marshal` carries nothing
else, so that no code of a consumer ever runs in the hub because of something that its process has sent; both ends are
the same interpreter, which is all that its format asks for.

From the hub, first its process id, where Python looks for modules, and a pickled `Brief`; then:

* `attach` path, rows of consumers, rows of producers, since: count there, and start the workers; what was published
  before that unix time need not be fetched
* `go`: start the producers, and what those of fedmsg need around them
* `batch` consumer, head_ns, [(number, topic, body, received_ns, attempts, first_ns, is_pickled), ...]: handle these;
  head_ns is when the message was received that is next in the hub, 0 for none
* `quiesce`: end the producers
* `stop`: end the workers after the message that each is at
* `close`: close the consumers, and end
* `reopen`: open the log files anew

From the worker process:

* `built` [(name, workers, topics or None), ...], [(name, is_up, frequency), ...], [disabled, ...], has_site
* `refused` is_config, text: its consumers cannot be built, because of the configuration or of something else
* `up`: the workers run
* `done` consumer, [number, ...]: finished with
* `retry` consumer, number, after, error: try it again after so many seconds
* `park` consumer, number, and what makes a `Failure`: put it away
* `put` consumer, topic, body, received_ns: what a consumer has put into its own queue
* `topics` consumer, [topic, ...]: it has subscribed anew
* `publish` topic, body
* `halted` consumer, reason, exit_code: it cannot go on, the hub is to stop
* `halt`: the hub is to stop, because somebody of fedmsg's has called for it
* `quiet`: the producers have ended
* `stopped`: the workers have ended

A consumer is named by its place in `built`.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any


class Wire:
    """One end. Threads: any may send; one receives."""

    def __init__(self, descriptor: int) -> None:
        """Take over a connected socket's descriptor, which no process that is started later gets."""
        os.set_inheritable(descriptor, False)
        self._connection = Connection(descriptor)
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        """Send a word and what belongs to it; waits while the other end does not read.

        Raises:
            OSError: Nobody is at the other end.
        """
        data = marshal.dumps(message)
        with self._lock:
            self._connection.send_bytes(data)

    def receive(self) -> tuple[Any, ...]:
        """The next message; waits for it.

        Raises:
            EOFError, OSError: Nobody is at the other end.
        """
        message: tuple[Any, ...] = marshal.loads(self._connection.recv_bytes())
        return message

    def hang_up(self) -> None:
        """Let nobody wait for the other end any more: what it has sent can be received, and that is all.

        For when the process at the other end has gone, and one that it has started still holds its end. Threads: any,
        before `close`.
        """
        end = socket.socket(fileno=self._connection.fileno())
        with contextlib.suppress(OSError):  # nobody is at the other end
            end.shutdown(socket.SHUT_RDWR)
        end.detach()

    def close(self) -> None:
        """Give the descriptor back. Threads: the one that receives."""
        with self._lock:  # or who sends would write to whatever has the descriptor next
            self._connection.close()


def pair() -> tuple[Wire, socket.socket]:
    """Our end, and a socket for the other one, to be closed once it is handed on."""
    ours, theirs = socket.socketpair()
    return Wire(ours.detach()), theirs
