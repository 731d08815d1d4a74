# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that the hubs of the integration tests run."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from glasshub import Consumer, Drop, Halt, Message, Retry

from ..lines import whole_line


class Recorder(Consumer):
    """Appends each message's id to the file that its settings name."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Append."""
        with Path(self.settings["file"]).open("ab", buffering=0) as file:
            file.write(whole_line(message.body["msg_id"]))


class SecondRecorder(Recorder):
    """Another one."""


class ThirdRecorder(Recorder):
    """And one more."""


class Everything(Consumer):
    """Takes whatever comes."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Do nothing."""


class Gate(Consumer):
    """Waits at each message until somebody writes into the FIFO that its settings name."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Wait."""
        Path(self.settings["fifo"]).read_bytes()


class Unbuildable(Consumer):
    """Cannot be built."""

    topics = ("",)

    def __init__(self, settings: object = None) -> None:
        """Fail."""
        raise RuntimeError("the database is gone")


class SlowToBuild(Consumer):
    """Its constructor waits until somebody writes into the FIFO that its settings name."""

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Wait."""
        super().__init__(settings)
        Path(settings["fifo"]).read_bytes()

    def consume(self, message: Message) -> None:
        """Do nothing."""


class Clinging(Consumer):
    """Does not close before somebody writes into the FIFO that its settings name."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Wait."""
        Path(self.settings["fifo"]).read_bytes()


class Parent(Consumer):
    """Has a child write its environment into the file that its settings name."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Wait for the child."""
        with Path(self.settings["file"]).open("wb") as file:
            subprocess.run(["env"], stdout=file, check=True)


class Failing(Consumer):
    """Raises on every message."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Fail."""
        raise RuntimeError("no such rule")


class Lonely(Consumer):
    """Notices when two of its kind are at work at the same time."""

    topics = ("",)
    at_work: ClassVar[threading.Lock] = threading.Lock()

    def consume(self, message: Message) -> None:
        """Fail if another one is at it."""
        if not self.at_work.acquire(blocking=False):
            raise RuntimeError("another one of the group is at work")
        try:
            sum(range(2000))
        finally:
            self.at_work.release()


class Lonelier(Lonely):
    """Of the same group."""


class Moody(Consumer):
    """Fails, or says something else, on the first attempts at each message; writes down each one that it finishes.

    Its settings: `times` says how many attempts, `mood` what happens on these: fail, later, drop or halt; `after` are
    the seconds of `later`, `file` is where to write.
    """

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Count from 0."""
        super().__init__(settings)
        self._attempts: Counter[str] = Counter()

    def consume(self, message: Message) -> None:
        """Fail, or write the message down."""
        msg_id = message.body["msg_id"]
        self._attempts[msg_id] += 1
        if self._attempts[msg_id] <= self.settings.get("times", 1):
            raise self._signal()
        with Path(self.settings["file"]).open("ab", buffering=0) as file:
            file.write(whole_line(msg_id))

    def _signal(self) -> BaseException:
        mood = self.settings["mood"]
        if mood == "later":
            return Retry(after=self.settings["after"])
        return {"fail": RuntimeError("no such rule"), "drop": Drop("spam"), "halt": Halt("the database is gone")}[mood]
