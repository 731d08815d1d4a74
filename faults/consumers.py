# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that write down what they handle in a way that no `kill -9` undoes, and that misbehave.

A line for each message, one write to a file that is opened for appending: the system has it whole or not at all,
whatever becomes of the process. `handled` and `raised` say how it ended; `met` is written before something that the
process may not survive.
"""

from __future__ import annotations

import ctypes
import os
import resource
import threading
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.consumers import compute
from glasshub import Consumer, Message
from tests.lines import whole_line

from .messages import checksum_of

HANDLED, RAISED, MET = "handled", "raised", "met"

#: Bytes that a leak loses with each message.
_LEAK_BYTES = 50_000


class Witness(Consumer):
    """Handles everything, and keeps a diary of it, which is closed by the end of the process: a message may be at hand.

    Its settings: `diary`, the file; `at`, the numbers at which it misbehaves, or `every`, so that it does at those that
    can be divided by it; `seconds`, where misbehaving takes time.
    """

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._diary = os.open(settings["diary"], flags, 0o600)
        self._at = frozenset(settings.get("at", ()))
        self._every = settings.get("every", 0)
        self.seconds: float = settings.get("seconds", 0.0)

    def consume(self, message: Message) -> None:
        """Handle it, or misbehave."""
        body = message.body.get("msg", message.body)  # what a broker brings is in an envelope
        number = body["number"]
        entry = f"{number} {checksum_of(body)}"
        if number in self._at or (self._every and number % self._every == 0):
            self.misbehave(entry)
        self.note(HANDLED, entry)

    def misbehave(self, entry: str) -> None:
        """Do what is special about it."""

    def note(self, what: str, entry: str) -> None:
        """Write down what became of the message of which the entry is."""
        os.write(self._diary, whole_line(f"{what} {entry}"))


class Quick(Witness):
    """Does nothing else."""


class Slow(Witness):
    """Takes its time."""

    def misbehave(self, entry: str) -> None:
        """Sleep."""
        time.sleep(self.seconds)


class Burning(Witness):
    """Burns processor time."""

    def misbehave(self, entry: str) -> None:
        """Compute."""
        compute(self.seconds)


class Raising(Witness):
    """Raises an exception."""

    def misbehave(self, entry: str) -> None:
        """Raise."""
        self.note(RAISED, entry)
        raise RuntimeError("no such badge")


class Exiting(Witness):
    """Ends the process that it runs in."""

    def misbehave(self, entry: str) -> None:
        """End it, and nothing is cleaned up."""
        self.note(MET, entry)
        os._exit(70)


class Crashing(Witness):
    """Crashes the process that it runs in, as a library in C may."""

    def misbehave(self, entry: str) -> None:
        """Read what is not there."""
        self.note(MET, entry)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        ctypes.string_at(0)


class Blocking(Witness):
    """Never returns."""

    def misbehave(self, entry: str) -> None:
        """Wait for ever."""
        self.note(MET, entry)
        threading.Event().wait()


class Forking(Witness):
    """Has children that stay for a while, with everything that they inherit."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._children: list[int] = []

    def misbehave(self, entry: str) -> None:
        """Have one."""
        child = os.fork()
        if not child:
            time.sleep(self.seconds)
            os._exit(0)
        self._children.append(child)
        self._children = [child for child in self._children if not os.waitpid(child, os.WNOHANG)[0]]


class Leaking(Witness):
    """Never gives memory back."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._leak: list[bytes] = []

    def misbehave(self, entry: str) -> None:
        """Keep some more."""
        self._leak.append(os.urandom(_LEAK_BYTES))
