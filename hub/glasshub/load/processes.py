# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that are started in sessions of their own, so that Ctrl-C reaches the one who started them alone, and that
are stopped by it in order, each within a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ..errors import HubError

#: Where `glasshub` is imported from: a process of ours shall run the same one.
_ROOT = Path(__file__).parents[2]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds between two looks at something that is waited for.
_GLANCE = 0.05


class LoadError(HubError):
    """The run cannot go on; the message says why."""


class InterruptedLoadError(LoadError):
    """Somebody pressed Ctrl-C, or ended the run otherwise."""


class Interrupt:
    """Ctrl-C and its like, as a flag that is looked at where it is safe to stop. A context manager.

    Attributes:
        is_requested: Whether somebody wants an end.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep, for short times only.

        Raises:
            InterruptedLoadError: Somebody wants the run to end.
        """
        time.sleep(max(seconds, 0.0))
        if self.is_requested:
            raise InterruptedLoadError("stopped")

    def wait(self, is_done: Callable[[], bool], seconds: float) -> bool:
        """Wait for something for so many seconds at most; whether it came.

        Raises:
            InterruptedLoadError: Somebody wants the run to end.
        """
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() >= deadline:
                return False
            self.pause(_GLANCE)
        return True

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True


class Child:
    """A process of ours; a context manager that stops it, at once, if nobody has stopped it before.

    Attributes:
        log: File that its standard error, and its output where nobody reads that, is appended to.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, talks: bool = False, directory: Path | None = None
    ) -> None:
        """Start it.

        Args:
            name: What to call it when something is wrong.
            command: Program and arguments.
            log: See above.
            talks: Whether it takes lines and answers in JSON, see `TalkingChild`.
            directory: Where it runs; by default here.

        Raises:
            LoadError: It cannot be started.
        """
        self.name = name
        self.log = log
        pipe = subprocess.PIPE if talks else None
        with log.open("ab") as file:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=pipe or subprocess.DEVNULL,
                    stdout=pipe or file,
                    stderr=file,
                    env=_environment(),
                    cwd=directory,
                    start_new_session=True,
                )
            except OSError as error:
                raise LoadError(f"cannot start {name}: {error.strerror}") from error

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(2.0, signals=2)

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def stop(self, timeout: float, *, signals: int = 1) -> None:
        """End it with so many SIGTERM; with SIGKILL after the timeout."""
        try:
            for _ in range(signals):
                if self.is_running:
                    self._process.terminate()
                    time.sleep(_GLANCE)  # two at once are one
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self.is_running:
                self._process.kill()
            self._process.wait()

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for the one who has to find out."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(encoding="utf-8", errors="replace")
            return "\n".join("    " + line for line in text.splitlines()[-lines:])
        return ""

    def died(self) -> LoadError:
        """What to raise when it has ended, or does not answer."""
        return LoadError(f"{self.name} failed; its log {self.log} ends with\n{self.last_words()}")


class TalkingChild(Child):
    """A module of ours that reports what happens in JSON, a line each, and ends with its input.

    So it ends with the one who started it, however that comes to an end.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        """Start it."""
        #: The latest report of each kind.
        self._said: dict[str, Mapping[str, Any]] = {}
        super().__init__(name, [sys.executable, "-m", module, *arguments], log, talks=True)
        self._listener = threading.Thread(target=self._listen, name=f"listen-{name}", daemon=True)
        self._listener.start()

    def latest(self, event: str) -> Mapping[str, Any] | None:
        """The latest report of the kind."""
        return self._said.get(event)

    def expect(self, event: str, seconds: float, interrupt: Interrupt) -> Mapping[str, Any]:
        """The first report of the kind.

        Raises:
            LoadError: It does not come, the process refuses to go on, or ends.
        """
        interrupt.wait(lambda: event in self._said or "refused" in self._said or not self.is_running, seconds)
        if event not in self._said:
            self._listener.join(0.0 if self.is_running else 1.0)  # it may have said it and ended
        if event in self._said:
            return self._said[event]
        if "refused" in self._said:
            raise LoadError(str(self._said["refused"]["why"]))
        raise self.died()

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Close its input."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def stop(self, timeout: float, *, signals: int = 1) -> None:
        """See `Child.stop`."""
        self.end()
        super().stop(timeout, signals=signals)
        self._listener.join(timeout)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._said[said.pop("event")] = said


def _environment() -> dict[str, str]:
    """The environment for a process that runs a module of ours."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
