# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers whose speed is known, for the tests of `glasshub spike`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glasshub import Consumer, Message

#: Seconds that `Slow` takes for a message.
COST = 0.02


class Slow(Consumer):
    """Takes its time."""

    topics = ("org.example.prod.",)

    def consume(self, message: Message) -> None:
        """Take the time."""
        time.sleep(COST)


class Noting(Consumer):
    """Notes what came when: the monotonic time and the number in the message."""

    topics = ("org.example.prod.",)

    def __init__(self, settings: Mapping[str, Any] = {}) -> None:
        """Take the path of the file."""
        super().__init__(settings)
        self._path = Path(settings["file"])

    def consume(self, message: Message) -> None:
        """Note it."""
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{time.monotonic()} {message.body['msg']['number']}\n")


class Chatty(Consumer):
    """Prints to standard output, and reads standard input, which are none of its business."""

    topics = ("org.example.prod.",)

    def consume(self, message: Message) -> None:
        """Print, and read."""
        print("a line of", message.topic)  # noqa: T201
        assert not Path("/dev/stdin").read_text(encoding="ascii")
