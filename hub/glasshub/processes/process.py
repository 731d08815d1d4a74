# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker process, as the hub sees it: starting it, hearing what it says, and seeing that it ends.

It is started anew and not forked, for a fork of a process with threads takes locks along that nobody gives back. The
hub's main thread starts it, because the kernel ends it when the *thread* that has started it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..compat.fedmsg_config import FedmsgConfigFiles
from ..config import Config, ConsumerSection
from ..errors import ConfigError, HubError
from .wire import Wire, pair

logger = logging.getLogger(__name__)

#: Signals that a terminal and systemd send to all, and on which worker processes wait for what the hub says.
LEFT_TO_THE_HUB = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: What is called with what belongs to a word that a worker process says.
Hear = Callable[..., None]


@dataclass(frozen=True)
class Brief:
    """What a worker process is told before anything else.

    Attributes:
        process: Its name.
        config: The configuration.
        fedmsg: fedmsg's; None if there is none.
        consumers: The names and sections of the consumers to build there.
        producers: Where the classes of the producers are that are to be built there.
        path: Where Python looks for modules.
        is_first: Whether no other process has been in its place before.
    """

    process: str
    config: Config
    fedmsg: FedmsgConfigFiles | None
    consumers: list[tuple[str, ConsumerSection]]
    producers: list[str]
    path: list[str]
    is_first: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody to build."""
        return not (self.consumers or self.producers or self.config.fedmsg.monitoring_socket)


@dataclass(frozen=True)
class Built:
    """What a worker process says of whom it has built.

    Attributes:
        consumers: Name, workers, and topics of each consumer; None instead of topics for one that could not be built.
        producers: Name of each producer, whether it is up, and seconds between its polls.
        disabled: Names of those that their own configuration leaves disabled.
        has_site: Whether one of them is fedmsg's.
    """

    consumers: list[tuple[str, int, list[str] | None]]
    producers: list[tuple[str, bool, float]]
    disabled: list[str]
    has_site: bool


class WorkerProcess:
    """One process, from its start to its end.

    Attributes:
        wire: Our end of what connects us.
        built: What it has built; None before it said so.
        is_ready: Set when it has built everybody, or never will.
        is_up: Whether its workers run.
        came_up: Set when they do, or never will.
        has_stopped: Set when they have ended.
        is_quiet: Set when its producers have ended.
        is_dead: Whether it has ended.
        refusal: Why it cannot be built; None if it can.
        status: Its exit status, negative for a signal; None while it lives.
    """

    def __init__(self, brief: Brief, heard: Mapping[str, Hear], died: Callable[[WorkerProcess], None]) -> None:
        """Start it. Threads: main thread only.

        Args:
            brief: What it is told.
            heard: What is called, besides what this object does itself, with what it says, by word; threads: one of
                its own.
            died: Called when it has ended; threads: the same.

        Raises:
            HubError: It cannot be started.
        """
        self.built: Built | None = None
        self.is_ready = threading.Event()
        self.is_up = False
        self.came_up = threading.Event()
        self.has_stopped = threading.Event()
        self.is_quiet = threading.Event()
        self.is_dead = False
        self.refusal: HubError | None = None
        self.status: int | None = None
        self._own: Mapping[str, Hear] = {
            "built": self._is_built,
            "refused": self._refused,
            "up": self._came_up,
            "stopped": self.has_stopped.set,
            "quiet": self.is_quiet.set,
        }
        self._is_briefed = threading.Event()
        self._name = brief.process
        self._heard = heard
        self._died = died
        try:
            self.wire, self._popen = _start(brief)
        except OSError as error:  # no descriptors, processes or memory left
            raise HubError(f"cannot start worker process {self._name}: {error.strerror}") from error
        self.pid = self._popen.pid
        self._watch = threading.Thread(target=self._await_end, name=f"awaits-{self._name}", daemon=True)
        self._thread = threading.Thread(target=self._listen, args=[brief], name=f"hears-{self._name}", daemon=True)
        try:
            self._watch.start()
            self._thread.start()
        except RuntimeError as error:
            self._abandon()
            raise HubError(f"cannot start worker process {self._name}: {error}") from error

    def send(self, *message: Any) -> None:
        """Tell it something, after its brief; waits while it does not read. Threads: any, main thread rather not.

        Raises:
            OSError: It has ended.
        """
        self._is_briefed.wait()
        self.wire.send(*message)

    def kill(self) -> None:
        """End it at once. Threads: any."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGKILL)

    def join(self, timeout: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _abandon(self) -> None:
        """End what has been started by half."""
        self.kill()
        self._popen.wait()
        if self._watch.ident is not None:
            self._watch.join()
        self.wire.close()

    def _await_end(self) -> None:
        # Not the end of the wire: a process that a consumer has forked may hold that open for as long as it likes.
        self._popen.wait()
        self.wire.hang_up()

    def _listen(self, brief: Brief) -> None:
        try:
            self.wire.send(os.getpid(), brief.path, pickle.dumps(brief))
            self._is_briefed.set()
            while True:
                word, *what = self.wire.receive()
                for hear in (self._own.get(word), self._heard.get(word)):
                    if hear is not None:
                        hear(*what)
        except (EOFError, OSError):
            pass
        except Exception:
            logger.critical("cannot understand worker process %s", brief.process, exc_info=True)
        self.kill()  # who has hung up without ending cannot be worked with
        self._watch.join()
        self.status = self._popen.wait()
        self.is_up = False
        self.wire.close()
        self._is_briefed.set()
        self._died(self)
        self.is_dead = True  # not before: another one may take its place from now on
        for event in (self.is_ready, self.came_up, self.has_stopped, self.is_quiet):
            event.set()

    def _is_built(self, *what: Any) -> None:
        self.built = Built(*what)
        self.is_ready.set()

    def _refused(self, is_config: bool, text: str) -> None:
        self.refusal = ConfigError(text) if is_config else HubError(text)
        self.is_ready.set()

    def _came_up(self) -> None:
        self.is_up = True
        self.came_up.set()


def _start(brief: Brief) -> tuple[Wire, subprocess.Popen[bytes]]:
    wire, theirs = pair()
    command = [sys.executable, "-m", "glasshub.workerprocess", brief.config.hub.name, brief.process]
    try:
        with theirs, _held_back(LEFT_TO_THE_HUB):
            descriptor = theirs.fileno()
            return wire, subprocess.Popen([*command, str(descriptor)], pass_fds=[descriptor], stdin=subprocess.DEVNULL)
    except BaseException:
        wire.close()
        raise


@contextlib.contextmanager
def _held_back(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Block signals, for us and what we start; they come when that lets them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def how_it_ended(status: int | None) -> str:
    """An exit status as `subprocess` has it, in words."""
    if status is None or status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
