# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hub: builds, starts, drains and stops everything, and owns every thread.

Stopping goes down the way of a message, so that nothing is put where nobody takes any more: the enqueuer empties
the source's buffer and ends; the workers finish the backlog, for as long as `drain_timeout` allows; then they stop
after the message at hand; then consumers are closed, and last the socket and the segment, so that anybody can
watch the whole of it.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import glasshub_stats

from .config import DEFAULT, Config
from .dispatch import SHAPES, Shape, Station
from .enqueuer import Enqueuer
from .errors import ConfigError, HubError, NoConsumerError
from .logs import reopen
from .roster import Member, Roster
from .routing import Router
from .sources import Source
from .stats import ConsumerRow, SegmentWriter, claimed
from .statsserver import StatsServer

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
_BEAT = 0.5

#: A stopped worker may finish the message at hand if that takes no longer than this.
_GRACE = 0.5


@dataclass(frozen=True)
class Left:
    """What a stopped hub left undone for one consumer: messages waiting, and messages at hand."""

    consumer: str
    waiting: int
    in_flight: int


class Hub:
    """A hub that runs once, in the thread that calls `run`."""

    def __init__(self, config: Config, roster: Roster, source: Source, *, directory: Path, version: str) -> None:
        """Take everything that the hub works with; nothing is started and nothing made.

        Raises:
            ConfigError: There is no such shape of dispatch.
        """
        if config.hub.shape not in SHAPES:
            raise ConfigError(
                f"hub.shape = {config.hub.shape!r} must be one of {', '.join(SHAPES)}",
                origin=config.origins.get("hub.shape", DEFAULT),
            )
        self._config = config
        self._roster = roster
        self._source = source
        self._version = version
        self.segment_path = directory / f"{config.hub.name}.stats"
        self.socket_path = directory / f"{config.hub.name}.sock"
        self._is_stopping = False
        self._is_aborting = False
        self._is_reopening = False
        # A signal handler must not touch a lock that the thread it interrupts may hold, as that of threading.Event:
        # it raises a flag, and a byte in a socket ends the main thread's sleep.
        self._bed, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)

    def request_stop(self) -> None:
        """Have `run` stop receiving, drain, and return. Threads: any; signal handlers too."""
        self._is_stopping = True
        self._wake()

    def request_abort(self) -> None:
        """Have `run` return without draining. Threads: any; signal handlers too."""
        self._is_stopping = self._is_aborting = True
        self._wake()

    def request_reopen(self) -> None:
        """Have the log files opened anew. Threads: any; signal handlers too."""
        self._is_reopening = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it has returned
            self._alarm.send(b"!")

    def run(self, on_ready: Callable[[], None] = lambda: None) -> list[Left]:
        """Run until somebody requests a stop.

        Args:
            on_ready: Called when the source is open and all workers are up.

        Returns:
            What was left undone, for each consumer that something was left of.

        Raises:
            HubError: The hub cannot start, or one of its threads died.
        """
        sys.setswitchinterval(self._config.hub.switch_interval)
        with claimed(self.segment_path.parent, self._config.hub.name):
            members = self._roster.build(self.request_stop)
            running = [member for member in members if member.consumer is not None]
            try:
                if not running:
                    raise NoConsumerError(_no_consumer(members))
                return self._run(members, on_ready)
            finally:
                for member in running:
                    _close(member)
                self._bed.close()
                self._alarm.close()

    def _run(self, members: list[Member], on_ready: Callable[[], None]) -> list[Left]:
        segment = self._make_segment(members)
        server = StatsServer(
            self.socket_path,
            self.segment_path,
            mode=int(self._config.stats.socket_mode, 8),
            group=self._config.stats.group,
        )
        try:
            server.start()
            stations = _stations(members, segment)
            shape = SHAPES[self._config.hub.shape](stations, segment)
            router = Router([station.consumer.topics for station in stations], strict=self._config.zmq.strict)
            enqueuer = Enqueuer(self._source, router, shape, segment.enqueuer)
            shape.start()
            enqueuer.start()
            try:
                self._watch(segment, shape, enqueuer, on_ready)
            finally:
                self._wind_down(segment, shape, enqueuer)
                left = self._left()
            return left
        finally:
            server.close()
            segment.phase("stopped")
            segment.close()

    def _make_segment(self, members: list[Member]) -> SegmentWriter:
        workers_of = SHAPES[self._config.hub.shape].workers_of
        rows = [
            ConsumerRow(
                member.name,
                workers=workers_of(member.section.workers) if member.consumer else 0,
                initialized=member.consumer is not None,
            )
            for member in members
        ]
        return SegmentWriter(
            self.segment_path,
            rows,
            name=self._config.hub.name,
            version=self._version,
            shape=self._config.hub.shape,
            source=self._source.kind,
            mode=int(self._config.stats.mode, 8),
            group=self._config.stats.group,
        )

    def _watch(self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer, on_ready: Callable[[], None]) -> None:
        """Beat until the hub is to stop, and see to it that everybody is alive."""
        enqueuer.opened.wait()
        if enqueuer.error is None:
            segment.phase("running")
            on_ready()
        while not self._is_stopping and enqueuer.error is None:
            self._sleep()
            segment.beat()
            dead = shape.dead()
            if dead:
                raise HubError(f"worker {', '.join(dead)} died of an error in Glasshub itself, see the log above")
        if isinstance(enqueuer.error, HubError):
            raise enqueuer.error
        if enqueuer.error is not None:
            raise HubError(f"the enqueuer died: {enqueuer.error!r}, see the log above") from enqueuer.error

    def _sleep(self) -> None:
        """Wait for the next beat, or for a request."""
        if select.select([self._bed], [], [], _BEAT)[0]:
            self._bed.recv(64)
        if self._is_reopening:
            self._is_reopening = False
            reopen()
            logger.info("log files reopened")

    def _wind_down(self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer) -> None:
        segment.phase("draining")
        segment.beat()
        deadline = time.monotonic() + self._config.hub.drain_timeout
        enqueuer.stop()
        enqueuer.join(_GRACE)
        while enqueuer.is_alive() and self._may_wait(deadline):
            enqueuer.join(_BEAT)
            segment.beat()
        shape.close()
        while self._may_wait(deadline) and not shape.join(min(_BEAT, max(deadline - time.monotonic(), 0))):
            segment.beat()
        shape.stop()
        shape.join(0 if self._is_aborting else _GRACE)
        segment.beat()

    def _may_wait(self, deadline: float) -> bool:
        return not self._is_aborting and time.monotonic() < deadline

    def _left(self) -> list[Left]:
        """What is left undone, said in the log."""
        snapshot = glasshub_stats.read(str(self.segment_path))
        left = [
            Left(consumer.name, consumer.backlog, consumer.in_flight)
            for consumer in snapshot.consumers
            if consumer.backlog or consumer.in_flight
        ]
        for item in left:
            logger.warning(
                "left undone: %s: %d messages waiting, %d in flight", item.consumer, item.waiting, item.in_flight
            )
        if not left:
            logger.info("stopped; nothing was left undone")
        return left


def _stations(members: list[Member], segment: SegmentWriter) -> list[Station]:
    return [
        Station(
            member.name,
            member.consumer,
            segment.consumers[index],
            segment.workers[index],
            group=member.section.group,
        )
        for index, member in enumerate(members)
        if member.consumer is not None
    ]


def _no_consumer(members: list[Member]) -> str:
    if not members:
        return (
            "there is no consumer to run: name one with --consumer module:Class or in a [consumers.NAME] section, "
            "or install a package that declares one"
        )
    return f"none of the {len(members)} consumers could be started, see the log above"


def _close(member: Member) -> None:
    assert member.consumer is not None
    try:
        member.consumer.close()
    except (Exception, SystemExit):
        logger.exception("%s: close() failed", member.name)
