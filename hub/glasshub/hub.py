# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hub: builds, starts, drains and stops everything, and owns every thread.

Stopping goes down the way of a message, so that nothing is put where nobody takes any more: producers begin nothing
new; the enqueuer empties the source's buffer and ends; the workers finish the backlog, and producers what they are at,
for as long as `drain_timeout` allows; then workers stop after the message at hand; then the socket and the segment are
closed, so that anybody can watch the whole of it, and last the consumers.
"""

from __future__ import annotations

import logging
import select
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import glasshub_stats
from glasshub_stats import Snapshot

from .backfill import Backfill
from .compat.datagrepper import Datagrepper
from .compat.gap_fetcher import GapFetcher, can_fetch
from .config import DEFAULT, Config
from .crew import Background, Crew, Member
from .dispatch import SHAPES, Shape, Station
from .enqueuer import Enqueuer
from .errors import ConfigError, HubError, NoConsumerError
from .failure import RetryPolicy
from .logs import reopen
from .notify import Notifier
from .roster import Roster
from .routing import Router
from .sources import Source
from .stats import ConsumerRow, SegmentWriter, claimed
from .statsserver import StatsServer
from .stuck import StuckWatch
from .wakeup import Wakeup

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
_BEAT = 0.5

#: A stopped worker may finish the message at hand if that takes no longer than this.
_GRACE = 0.5


@dataclass(frozen=True)
class Left:
    """What a stopped hub left undone for one consumer: messages waiting, at hand, and waiting to be tried again."""

    consumer: str
    waiting: int
    in_flight: int
    delayed: int = 0


class Hub:
    """A hub that runs once, in the thread that calls `run`."""

    def __init__(
        self, config: Config, roster: Roster, source: Source, *, directory: Path, version: str, notifier: Notifier
    ) -> None:
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
        self._notifier = notifier
        self.segment_path = directory / f"{config.hub.name}.stats"
        self.socket_path = directory / f"{config.hub.name}.sock"
        self._is_stopping = False
        self._is_aborting = False
        self._is_reopening = False
        self._wakeup = Wakeup()
        self._stuck: StuckWatch | None = None

    def request_stop(self) -> None:
        """Have `run` stop receiving, drain, and return. Threads: any; signal handlers too."""
        self._is_stopping = True
        self._wakeup.ring()

    def request_abort(self) -> None:
        """Have `run` return without draining. Threads: any; signal handlers too."""
        self._is_stopping = self._is_aborting = True
        self._wakeup.ring()

    def request_reopen(self) -> None:
        """Have the log files opened anew. Threads: any; signal handlers too."""
        self._is_reopening = True
        self._wakeup.ring()

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
        with closing(self._notifier), closing(self._wakeup), claimed(self.segment_path.parent, self._config.hub.name):
            crew = self._roster.build(self.request_stop)
            try:
                if crew.is_idle:
                    raise NoConsumerError(_no_consumer(crew))
                return self._run(crew, on_ready)
            finally:
                crew.close()

    def _run(self, crew: Crew, on_ready: Callable[[], None]) -> list[Left]:
        segment = self._make_segment(crew)
        if any(member.section.max_processing for member in crew.members):
            self._stuck = StuckWatch(self._snapshot)
        server = StatsServer(
            self.socket_path,
            self.segment_path,
            mode=int(self._config.stats.socket_mode, 8),
            group=self._config.stats.group,
        )
        try:
            server.start()
            stations = _stations(crew.members, segment)
            kind = SHAPES[self._config.hub.shape]
            shape = kind(stations, segment, memory=self._config.hub.memory, stop=self.request_stop)
            backfill = self._backfill()
            enqueuer = Enqueuer(self._source, self._router(stations), shape, segment.enqueuer, backfill)
            for index, station in enumerate(stations):
                station.consumer.connect(shape.inlet(index), lambda: enqueuer.reroute(lambda: self._router(stations)))
            background = crew.background(segment)
            if backfill is not None:
                background.append(self._gap_fetcher(backfill, stations, segment))
            shape.start()
            enqueuer.start()
            try:
                if self._is_open(enqueuer):
                    crew.start()
                    for thread in background:
                        thread.start()
                    segment.phase("running")
                    on_ready()
                    self._notifier.ready()
                self._watch(segment, shape, enqueuer)
            finally:
                self._wind_down(segment, shape, enqueuer, [thread for thread in background if thread.is_alive()])
                left = self._left()
            return left
        finally:
            server.close()
            segment.phase("stopped")
            segment.close()

    def _router(self, stations: list[Station]) -> Router:
        return Router([station.consumer.topics for station in stations], strict=self._config.zmq.strict)

    def _backfill(self) -> Backfill | None:
        """What the enqueuer needs to have gaps of the bus filled; None where they are not."""
        section = self._config.fedmsg
        if self._source.acknowledges or not (section.datagrepper_url and section.backlog_limit and can_fetch()):
            return None
        return Backfill(margin=section.gap_margin, wake=self._source.wake)

    def _gap_fetcher(self, backfill: Backfill, stations: list[Station], segment: SegmentWriter) -> GapFetcher:
        section = self._config.fedmsg
        return GapFetcher(
            Datagrepper(section.datagrepper_url),
            backfill,
            segment.backfill,
            lambda: self._router(stations),
            margin=section.gap_margin,
            age=section.backlog_age,
            limit=section.backlog_limit,
        )

    def _make_segment(self, crew: Crew) -> SegmentWriter:
        workers_of = SHAPES[self._config.hub.shape].workers_of
        rows = [
            ConsumerRow(
                member.name,
                workers=workers_of(member.section.workers) if member.consumer else 0,
                initialized=member.consumer is not None,
                max_processing=member.section.max_processing,
            )
            for member in crew.members
        ]
        return SegmentWriter(
            self.segment_path,
            rows,
            producers=[job.row for job in crew.jobs],
            name=self._config.hub.name,
            version=self._version,
            shape=self._config.hub.shape,
            source=self._source.kind,
            mode=int(self._config.stats.mode, 8),
            group=self._config.stats.group,
        )

    @staticmethod
    def _is_open(enqueuer: Enqueuer) -> bool:
        """Wait until the source is open; False when it could not be opened."""
        enqueuer.opened.wait()
        return enqueuer.error is None

    def _watch(self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer) -> None:
        """Beat until the hub is to stop, and see to it that everybody is alive."""
        while not self._is_stopping and enqueuer.error is None:
            self._sleep()
            self._beat(segment)
            dead = shape.dead()
            if dead:
                raise HubError(f"worker {', '.join(dead)} died of an error in Glasshub itself, see the log above")
        if isinstance(enqueuer.error, HubError):
            raise enqueuer.error
        if enqueuer.error is not None:
            raise HubError(f"the enqueuer died: {enqueuer.error!r}, see the log above") from enqueuer.error

    def _sleep(self) -> None:
        """Wait for the next beat, or for a request."""
        if select.select([self._wakeup], [], [], _BEAT)[0]:
            self._wakeup.clear()
        if self._is_reopening:
            self._is_reopening = False
            self._notifier.reloading()
            reopen()
            logger.info("log files reopened")
            self._notifier.ready()

    def _beat(self, segment: SegmentWriter) -> None:
        """Show everybody who looks that the main loop goes round."""
        segment.beat()
        self._notifier.beat(segment)
        if self._stuck is not None:
            self._stuck.look()

    def _wind_down(
        self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer, background: list[Background]
    ) -> None:
        segment.phase("draining")
        self._notifier.stopping()
        self._beat(segment)
        deadline = time.monotonic() + self._config.hub.drain_timeout
        for thread in background:
            thread.stop()
        enqueuer.stop(deadline)
        enqueuer.join(0 if self._is_aborting else _GRACE)
        while enqueuer.is_alive() and self._may_wait(deadline):
            enqueuer.join(_BEAT)
            self._beat(segment)
        shape.close()
        while self._may_wait(deadline) and not shape.join(min(_BEAT, max(deadline - time.monotonic(), 0))):
            self._beat(segment)
        for thread in background:
            self._await(thread, segment, deadline)
        shape.stop()
        shape.join(0 if self._is_aborting else _GRACE)
        enqueuer.join(_GRACE)  # it goes by the shape when it is too late to wait for anything
        self._beat(segment)

    def _await(self, thread: Background, segment: SegmentWriter, deadline: float) -> None:
        thread.join(0 if self._is_aborting else _GRACE)
        while thread.is_alive() and thread.is_awaited and self._may_wait(deadline):
            thread.join(_BEAT)
            self._beat(segment)
        if thread.is_alive():
            logger.warning("left undone: %s is still at work", thread.name)

    def _may_wait(self, deadline: float) -> bool:
        return not self._is_aborting and time.monotonic() < deadline

    def _snapshot(self) -> Snapshot:
        return glasshub_stats.read(str(self.segment_path))

    def _left(self) -> list[Left]:
        """What is left undone, said in the log."""
        snapshot = self._snapshot()
        left = [
            Left(consumer.name, consumer.backlog, consumer.in_flight, consumer.delayed)
            for consumer in snapshot.consumers
            if consumer.backlog or consumer.in_flight or consumer.delayed
        ]
        for item in left:
            logger.warning(
                "left undone: %s: %d messages waiting, %d in flight%s",
                item.consumer,
                item.waiting,
                item.in_flight,
                f", {item.delayed} to be tried again" if item.delayed else "",
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
            segment.injections[index],
            segment.workers[index],
            segment.drops[index],
            group=member.section.group,
            capacity=member.section.capacity,
            policy=member.section.overflow,
            retry=RetryPolicy.of(member.section),
        )
        for index, member in enumerate(members)
        if member.consumer is not None
    ]


def _no_consumer(crew: Crew) -> str:
    if crew.members:
        return f"none of the {len(crew.members)} consumers could be started, see the log above"
    if crew.disabled:
        return f"fedmsg's configuration leaves all consumers disabled ({', '.join(crew.disabled)}): enable one there"
    return (
        "there is no consumer to run: name one with --consumer module:Class or in a [consumers.NAME] section, "
        "or install a package that declares one"
    )
