# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers of our own kind. A hub runs a class once, so that there are ten of each: `Noop0` to `Noop9`.

And one for fedora-messaging.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from glasshub import Consumer, Message

from .letters import TOPIC
from .tallies import TALLIES

#: Seconds of pure Python that a `Busy` takes for a message.
_BUSY = 0.02


def compute(seconds: float = _BUSY) -> None:
    """Hold the interpreter's lock whenever it is to be had, until this thread has used so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(number * number for number in range(200))


class _Tallying(Consumer):
    """Does nothing with a message but put it on its tally."""

    topics = (TOPIC,)

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings or {})
        name = type(self).__name__
        self.tally = TALLIES[name[:4]](name)

    def consume(self, message: Message) -> None:
        """Put it on the tally."""
        self.tally.note(message.body)


class _Computing(Consumer):
    """Computes, holding the interpreter's lock whenever it has it."""

    topics = (TOPIC,)

    def consume(self, message: Message) -> None:
        """Compute."""
        compute()


class _Working(_Tallying):
    """Computes, and then puts the message on its tally."""

    def consume(self, message: Message) -> None:
        """Do both."""
        compute()
        super().consume(message)


class Callback:
    """As fedora-messaging has its consumers: does nothing with a message but put it on its tally."""

    def __init__(self) -> None:
        self._tally = TALLIES["Span"]("Callback")

    def __call__(self, message: Any) -> None:
        """Put it on the tally."""
        self._tally.note(message.body)


for _number in range(10):
    for _kind, _base in (
        ("Noop", _Tallying),
        ("Late", _Tallying),
        ("Span", _Tallying),
        ("Busy", _Computing),
        ("Work", _Working),
        ("Part", _Working),
    ):
        globals()[f"{_kind}{_number}"] = type(f"{_kind}{_number}", (_base,), {})
