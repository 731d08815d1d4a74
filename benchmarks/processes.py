# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that the benchmarks start, talk to over pipes, and are sure to end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from .figures import BenchError

T = TypeVar("T")
C = TypeVar("C", bound="Child")

_ROOT = Path(__file__).resolve().parent.parent

#: Seconds after which anything that should have happened will not happen any more.
_DEADLINE = 120.0

#: Messages that come before those that count: libraries get loaded, connections made, caches warm.
WARM_UP = 200


class Child:
    """A Python process that runs a module, and is gone when the context is left."""

    def __init__(self, *arguments: str, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start `python -m ARGUMENTS` in the directory, where its standard error goes into a file."""
        self._name = " ".join(arguments)
        self._unread = b""
        descriptor, log = tempfile.mkstemp(prefix="log-", dir=directory)
        self._log = Path(log)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": _search_path(), **(environment or {})},
            )
        finally:
            os.close(descriptor)

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, line: str) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def line(self, *, watch: Child | None = None) -> str:
        """The next line of its standard output; blocks until there is one.

        Args:
            watch: Another process, which has to live for it.

        Raises:
            BenchError: There is none in time, or a process has ended.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + _DEADLINE
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], 0.2)
            piece = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            self._unread += piece
            if piece:
                continue
            self.check()
            if watch is not None:
                watch.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{self._name} says nothing\n{self._end_of_log()}")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def check(self) -> None:
        """See that it still runs.

        Raises:
            BenchError: It does not.
        """
        if self._process.poll() is not None:
            raise BenchError(f"{self._name} ended with {self._process.returncode}\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]


class Publisher(Child):
    """See `benchmarks.publisher`."""

    def __init__(self, directory: Path, *, send_high_water_mark: int = 0) -> None:
        """Start it; `send_high_water_mark` is in messages, 0 for no limit."""
        super().__init__("benchmarks.publisher", str(send_high_water_mark), directory=directory)
        self.endpoint = self.line()

    def wait_for_subscription(self, subscriber: Child | None = None) -> None:
        """Return when somebody has subscribed; nothing that is published from then on is lost to them.

        Raises:
            BenchError: Nobody does, or the subscriber has ended.
        """
        assert self.line(watch=subscriber) == "subscribed"

    def warm_up(self, messages: int = WARM_UP) -> None:
        """Have messages published that do not count, and give whoever gets them the time to finish with them."""
        self.publish(messages, 1000)
        time.sleep(0.5)

    def publish(self, messages: int, rate: float = 0) -> int:
        """Publish so many a second, 0 for as fast as possible; blocks until all are with libzmq.

        Returns:
            When the first was published, CLOCK_MONOTONIC in nanoseconds.
        """
        self.say(f"{messages} {rate}")
        return int(self.line())


def wait_for(condition: Callable[[], T | None], what: str, *, pause: float = 0.02) -> T:
    """What the condition comes to, as soon as that is something; it is looked at every `pause` seconds.

    Raises:
        BenchError: It comes to nothing in time.
    """
    deadline = time.monotonic() + _DEADLINE
    while True:
        found = condition()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {_DEADLINE:g} s")
        time.sleep(pause)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process.

    Raises:
        OSError: There is no such process any more.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def scratch(*, on_disk: bool = False) -> Iterator[Path]:
    """A directory that is gone afterwards; in memory where that is possible, as /run is, unless it is to be on disk."""
    parent = "/dev/shm" if not on_disk and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="glasshub-bench-", dir=parent) as directory:
        yield Path(directory)


def _search_path() -> str:
    parts = [str(_ROOT / "hub"), str(_ROOT / "collectd_plugin"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, parts))
