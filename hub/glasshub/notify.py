# SPDX-License-Identifier: LGPL-2.1-or-later
"""Telling the service manager how the hub is: the protocol of sd_notify(3), spoken by systemd and by others.

| told | when |
| --- | --- |
| `READY=1` | the source is open and subscribed, and all workers are up |
| `STATUS=` | every few seconds: how many messages wait, and which consumer is slowest |
| `WATCHDOG=1` | twice in the time that the manager waits for it, while main loop *and* enqueuer go round |
| `RELOADING=1`, `READY=1` | around opening the log files anew |
| `STOPPING=1` | draining begins |
| `EXTEND_TIMEOUT_USEC=` | every few seconds while draining |

A consumer that hangs is no reason for a restart: its neighbours go on, and would lose their backlog. It shows in the
status. An enqueuer that hangs is one: messages get lost then.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from pathlib import Path

import glasshub_stats
from glasshub_stats import ConsumerInterval, ConsumerStats, HubStats, Interval, Snapshot, StatsError
from glasshub_stats.table import count, duration, printable

from .segment import SegmentWriter

logger = logging.getLogger(__name__)

#: Seconds between two lines of status.
_RENEWAL = 5.0

#: What a hub that drains asks for each time; enough for two renewals to be missed.
_EXTENSION = f"EXTEND_TIMEOUT_USEC={3 * _RENEWAL * 1e6:.0f}"

#: A consumer whose queue is empty counts as slow if it has been at one message for longer than so many seconds.
_SLOW = 1.0


class Notifier:
    """Tells nobody: what a hub has that no service manager waits for. Threads: main thread only."""

    def ready(self) -> None:
        """Tell that the hub runs, or runs on after a reload."""

    def reloading(self) -> None:
        """Tell that the hub reloads; `ready` ends that."""

    def stopping(self) -> None:
        """Tell that the hub drains; from now on `beat` asks for the time that it takes."""

    def beat(self, segment: SegmentWriter) -> None:
        """Tell what is due; called each time that the main loop goes round. Never blocks, never raises."""

    def close(self) -> None:
        """Tell no more."""


def from_environment(environment: MutableMapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> Notifier:
    """Whoever wants to be told, as the environment says.

    That is taken out of it: else a program that a consumer starts would inherit it, and might speak for the hub.
    """
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    address, timeout, pid = (environment.pop(name, "") for name in names)
    if not address:
        return Notifier()
    if address[0] not in "/@":
        logger.warning("NOTIFY_SOCKET=%r is neither a path nor @name: the service manager is told nothing", address)
        return Notifier()
    return ManagerNotifier(address, watchdog_timeout=_watchdog_timeout(timeout, pid), clock=clock)


def _watchdog_timeout(microseconds: str, pid: str) -> float:
    """In seconds; infinite where the manager wants no sign of life, or that of another process."""
    if not microseconds or pid not in ("", str(os.getpid())):
        return math.inf
    if not microseconds.isdecimal() or not float(microseconds):
        logger.warning("WATCHDOG_USEC=%r is no number of microseconds: no watchdog", microseconds)
        return math.inf
    return float(microseconds) / 1e6


class ManagerNotifier(Notifier):
    """Tells a service manager."""

    def __init__(
        self,
        address: str,
        *,
        watchdog_timeout: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell nothing yet.

        Args:
            address: The manager's socket: a path, or @ and a name in the abstract namespace.
            watchdog_timeout: Seconds without a sign of life after which the manager restarts the hub.
            clock: What the time is.
        """
        self._manager = _Manager(address)
        self._watchdog = Watchdog(watchdog_timeout, clock=clock)
        self._status = Status()
        self._clock = clock
        self._renewed = -math.inf
        self._is_stopping = False

    def ready(self) -> None:
        """See `Notifier.ready`."""
        self._manager.tell("READY=1")

    def reloading(self) -> None:
        """See `Notifier.reloading`."""
        # The time is for Type=notify-reload: which of two signals is being answered.
        self._manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """See `Notifier.stopping`."""
        self._is_stopping = True
        self._renewed = -math.inf
        self._manager.tell("STOPPING=1", _EXTENSION)

    def beat(self, segment: SegmentWriter) -> None:
        """See `Notifier.beat`."""
        self._manager.settle()
        if not self._is_stopping:  # then the manager waits for the end, and the enqueuer ends first
            self._feed_watchdog(segment.enqueuer_heartbeat_ns)
        if self._clock() - self._renewed >= _RENEWAL:
            self._renewed = self._clock()
            status = f"STATUS={self._status.of(segment.path)}"
            self._manager.mention(status, *([_EXTENSION] if self._is_stopping else []))

    def close(self) -> None:
        """See `Notifier.close`."""
        self._manager.close()

    def _feed_watchdog(self, heartbeat_ns: int) -> None:
        if self._watchdog.is_due(heartbeat_ns) and self._manager.mention("WATCHDOG=1"):
            self._watchdog.fed(heartbeat_ns)


class Watchdog:
    """When to give a sign of life: twice in the manager's time, but not before the enqueuer's heartbeat has moved.

    The heartbeat is compared with what it was at the last sign, never with a clock. So an enqueuer that hangs ends the
    hub after the manager's time at the earliest and half as much again at the latest, give or take a turn of each loop.
    """

    def __init__(self, timeout: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Count from now: the manager does from `READY=1`, which is later."""
        self._pause = timeout / 2
        self._clock = clock
        self._next = clock() + self._pause
        self._heartbeat_ns = 0

    def is_due(self, heartbeat_ns: int) -> bool:
        """Whether to give one now."""
        return heartbeat_ns != self._heartbeat_ns and self._clock() >= self._next

    def fed(self, heartbeat_ns: int) -> None:
        """Note that one has been given."""
        self._next = self._clock() + self._pause
        self._heartbeat_ns = heartbeat_ns


class Status:
    """How far behind the hub is, on one line, made of what anybody can read in its segment."""

    def __init__(self) -> None:
        self._before: Snapshot | None = None

    def of(self, segment: Path) -> str:
        """The line for now; its rates are those since the one before."""
        try:
            snapshot = glasshub_stats.read(str(segment))
        except StatsError as error:
            return printable(f"nothing is known of the backlog: {error}")
        interval = snapshot.since(self._before)
        self._before = snapshot
        return printable(_line(interval))


def _line(interval: Interval) -> str:
    hub = interval.newer.hub
    total = f"{hub.phase}: {_waiting(hub)}"
    slowest = max(interval.consumers, key=_behind, default=None)
    if slowest is None or not (slowest.now.backlog or slowest.now.current_age > _SLOW):
        return total
    return f"{total}; slowest is {slowest.name}: {', '.join(_lags(slowest))}"


def _waiting(stats: ConsumerStats | HubStats) -> str:
    """How many messages wait, on a broker too."""
    here = f"{count(stats.backlog)} messages waiting"
    if not stats.has_broker:
        return here
    if math.isnan(stats.broker_ready):
        return f"{here}, and nobody knows how many on the broker"
    return f"{count(stats.total_backlog)} messages waiting, {count(stats.broker_ready)} of them on the broker"


def _behind(consumer: ConsumerInterval) -> float:
    """Seconds that a consumer is behind: its oldest message waits for so long, or it has been at one for longer.

    Not its catch-up time, which is unknown as long as the backlog grows: just when it matters most.
    """
    return max(consumer.now.oldest_age, consumer.now.current_age)


def _lags(consumer: ConsumerInterval) -> list[str]:
    now, lags = consumer.now, []
    if now.backlog:
        lags += [_waiting(now).replace(" messages", ""), f"the oldest for {duration(now.oldest_age)}"]
        if not math.isnan(consumer.catch_up):
            lags.append(f"catches up in {duration(consumer.catch_up)}")
        elif not math.isnan(consumer.net_rate):
            lags.append("does not catch up")
    if now.current_age > _SLOW:
        lags.append(f"at one message for {duration(now.current_age)}")
    return lags


class _Manager:
    """The manager's end of the socket.

    Nothing blocks: what must arrive, and does not at the moment, is owed.
    """

    def __init__(self, address: str) -> None:
        # Made now and kept: a hub that is out of descriptors has to be heard, too.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._name = address
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._owed: deque[str] = deque()
        self._is_broken = False

    def tell(self, *lines: str) -> None:
        """Send what must arrive, now or with the next `settle` for which there is room."""
        self._owed.append("\n".join(lines))
        self.settle()

    def mention(self, *lines: str) -> bool:
        """Send what will be said again; whether that worked."""
        return self._send("\n".join(lines))

    def settle(self) -> None:
        """Send what is owed, in order."""
        while self._owed and self._send(self._owed[0]):
            self._owed.popleft()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _send(self, text: str) -> bool:
        try:
            self._socket.sendto(text.encode(), self._address)
        except BlockingIOError:  # a manager that is busy
            return False
        except OSError as error:
            if not self._is_broken:
                logger.warning("cannot tell the service manager at %s: %s", self._name, error.strerror or error)
            self._is_broken = True
            return False
        self._is_broken = False
        return True
