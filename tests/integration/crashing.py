# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that do to their process what no consumer should."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from glasshub import Consumer, Message

logger = logging.getLogger(__name__)


class Journal(Consumer):
    """Appends each message's id to the file that its settings name, after as many seconds as they say."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Append, in one call, so that whoever dies has written a line or none."""
        time.sleep(self.settings.get("seconds", 0.0))
        with Path(self.settings["file"]).open("ab", buffering=0) as file:
            file.write(f"{message.body['msg_id']}\n".encode())


class SecondJournal(Journal):
    """Another one."""


class ThirdJournal(Journal):
    """And one more."""


class Deadly(Journal):
    """Does what its settings say as `deed` on the message whose id they say as `on`."""

    def consume(self, message: Message) -> None:
        """Do it, or append."""
        if message.body["msg_id"] == self.settings["on"]:
            _DEEDS[self.settings["deed"]]()
        super().consume(message)


def _hold_interpreter() -> None:
    # Of PyDLL, whose calls keep the interpreter lock.
    ctypes.PyDLL(None).sleep(3600)


def _fail() -> None:
    raise RuntimeError("no such badge")


_DEEDS: dict[str, Callable[[], object]] = {
    "raise": _fail,
    "exit": lambda: os._exit(0),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "block": threading.Event().wait,
    "hold": _hold_interpreter,
}


class OnceOnly(Journal):
    """Can be built while the file is there that is its `licence` in its settings; then it does what its `deed` is."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Look."""
        super().__init__(settings)
        if not Path(settings["licence"]).exists():
            if settings["deed"] == "die":
                os._exit(9)
            raise RuntimeError("the database is gone")


class Forking(Journal):
    """Forks a child with the first message, which does nothing for as long as it lives, and logs its process id."""

    _has_forked = False

    def consume(self, message: Message) -> None:
        """Fork."""
        if not self._has_forked:
            self._has_forked = True
            child = os.fork()
            if child == 0:
                time.sleep(3600)
            Path(self.settings["child"]).write_text(str(child), encoding="utf-8")
        super().consume(message)


class Nosy(Consumer):
    """Has a child write what it has open into the file that its settings name."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Leave it open what may be inherited."""
        with Path(self.settings["file"]).open("wb") as file:
            subprocess.run(["ls", "-l", "/proc/self/fd/"], stdout=file, check=True, close_fds=False)


class Talking(Consumer):
    """Logs each message's id."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Log it."""
        logger.warning("handled %s", message.body["msg_id"])
