# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waking a thread that sleeps on file descriptors, from any thread and from a signal handler."""

from __future__ import annotations

import contextlib
import socket


class Wakeup:
    """One sleeper, who puts `fileno` among the descriptors that it sleeps on, and any number who ring.

    A pair of sockets, and no lock: a signal handler must not touch one that the thread it interrupts may hold, as
    that of threading.Event.
    """

    def __init__(self) -> None:
        self._sleeper, self._ringer = socket.socketpair()
        self._sleeper.setblocking(False)
        self._ringer.setblocking(False)

    @property
    def ringer(self) -> int:
        """A descriptor: whatever is written there rings. For `signal.set_wakeup_fd`."""
        return self._ringer.fileno()

    def ring(self) -> None:
        """End the sleep, or the next one if nobody sleeps. Threads: any; signal handlers too."""
        with contextlib.suppress(OSError):  # full: somebody rang already; closed: nobody will sleep again
            self._ringer.send(b"!")

    def fileno(self) -> int:
        """What to sleep on until it can be read. Threads: the sleeper."""
        return self._sleeper.fileno()

    def clear(self) -> None:
        """Forget who has rung so far. Threads: the sleeper."""
        with contextlib.suppress(BlockingIOError):
            self._sleeper.recv(4096)

    def close(self) -> None:
        """Give the sockets back; to ring afterwards does nothing. Threads: the sleeper."""
        self._sleeper.close()
        self._ringer.close()
