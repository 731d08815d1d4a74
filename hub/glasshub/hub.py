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
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import glasshub_stats
from glasshub_stats import ConsumerStats, Snapshot

from .backfill import Backfill
from .compat.datagrepper import Datagrepper
from .compat.gap_fetcher import GapFetcher, can_fetch
from .config import Config
from .crew import Background, Member, Staff
from .dispatch import SHAPES, Shape, SpooledShape, Station
from .enqueuer import Enqueuer
from .errors import HubError, NoConsumerError
from .failure import RetryPolicy
from .notify import Notifier
from .routing import Router
from .segment import ConsumerRow, SegmentWriter, claimed
from .sources import Source
from .spooling import open_spool
from .statsserver import servers
from .stuck import StuckWatch
from .wakeup import Wakeup

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats.
_BEAT = 0.5

#: A stopped worker may finish the message at hand if that takes no longer than this.
_GRACE = 0.5


@dataclass(frozen=True)
class Left:
    """What a stopped hub left undone for one consumer, and nobody keeps: messages waiting, at hand, and to be tried
    again."""

    consumer: str
    waiting: int
    in_flight: int
    delayed: int = 0


class Builds(Protocol):
    """Who builds a hub's crew."""

    def build(self, stop: Callable[[], None]) -> Staff:
        """Build it.

        Args:
            stop: What one of the crew calls that wants the hub to stop; threads: any.

        Raises:
            HubError: It cannot be built.
        """


class Hub:
    """A hub that runs once, in the thread that calls `run`."""

    def __init__(
        self,
        config: Config,
        roster: Builds,
        source: Source,
        *,
        directory: Path,
        version: str,
        notifier: Notifier,
    ) -> None:
        """Take everything that the hub works with; nothing is started and nothing made."""
        self._config = config
        self._roster = roster
        self._source = source
        self._version = version
        self._notifier = notifier
        self.segment_path = directory / f"{config.hub.name}.stats"
        self.socket_path = directory / f"{config.hub.name}.sock"
        #: What a consumer that cannot go on wants the process to exit with; 0 where nobody says so.
        self.exit_code = 0
        self._members: Sequence[Member] = ()
        self._is_stopping = False
        self._is_aborting = False
        self._is_reopening = False
        self._wakeup = Wakeup()
        self._stuck: StuckWatch | None = None

    @property
    def topics(self) -> dict[str, list[str]]:
        """What each consumer that was built subscribes to, by its name; nothing before the hub is ready."""
        return {member.name: list(member.consumer.topics) for member in self._members if member.consumer is not None}

    def request_stop(self) -> None:
        """Have `run` stop receiving, drain, and return. Threads: any; signal handlers too."""
        self._is_stopping = True
        self._wakeup.ring()

    def halt(self, exit_code: int) -> None:
        """Stop as on request, because a consumer cannot go on; see `exit_code`. Threads: any."""
        self.exit_code = self.exit_code or exit_code
        self.request_stop()

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

    def _run(self, crew: Staff, on_ready: Callable[[], None]) -> list[Left]:
        segment = self._make_segment(crew)
        if any(member.section.max_processing for member in crew.members):
            self._stuck = StuckWatch(self._snapshot)
        serving = ExitStack()
        try:
            for server in servers(self.segment_path.parent, self._config.hub.name, self._config.stats):
                server.start()
                serving.callback(server.close)
            self._members = crew.members
            stations = _stations(crew.members, segment)
            shape = self._make_shape(crew, stations, segment)
            backfill = self._backfill()
            slots = [station.slots for station in stations]
            enqueuer = Enqueuer(
                self._source, self._router(stations), shape, segment.enqueuer, backfill, consumers=slots
            )
            for index, station in enumerate(stations):
                station.consumer.connect(shape.inlet(index), lambda: enqueuer.reroute(lambda: self._router(stations)))
            # What came just before may have been published later, by another clock.
            background = crew.background(segment, shape.kept_until() - self._config.fedmsg.gap_margin)
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
                self._watch(segment, shape, enqueuer, crew)
            finally:
                try:
                    self._wind_down(segment, shape, enqueuer, [thread for thread in background if thread.is_alive()])
                    left = self._left(shape, crew)
                finally:
                    shape.end()
                    self._source.close()
            return left
        finally:
            serving.close()
            segment.phase("stopped")
            segment.close()

    def _make_shape(self, crew: Staff, stations: list[Station], segment: SegmentWriter) -> Shape:
        kind = SHAPES[self._config.hub.shape]
        if self._config.spool.directory:
            log = open_spool(self._config, crew.members)
            full, memory = self._config.spool.full, self._config.hub.memory
            return SpooledShape(kind, stations, segment, log, full=full, memory=memory, halt=self.halt)
        if not self._source.acknowledges:
            logger.info("the backlog is in memory, and gone when the hub is killed: [spool] directory puts it on disk")
        memory, park = self._config.hub.memory, self._source.park
        return kind(stations, segment, memory=memory, halt=self.halt, park=park)

    def _router(self, stations: list[Station]) -> Router:
        return Router(
            [station.consumer.topics for station in stations],
            names=[station.name for station in stations],
            strict=self._config.zmq.strict,
        )

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

    def _make_segment(self, crew: Staff) -> SegmentWriter:
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
            producers=crew.producer_rows,
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

    def _watch(self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer, crew: Staff) -> None:
        """Beat until the hub is to stop, and see to it that everybody is alive."""
        while not self._is_stopping and enqueuer.error is None:
            self._sleep(crew)
            self._beat(segment, shape)
            dead = shape.dead()
            if dead:
                raise HubError(f"worker {', '.join(dead)} died of an error in Glasshub itself, see the log above")
        if isinstance(enqueuer.error, HubError):
            raise enqueuer.error
        if enqueuer.error is not None:
            raise HubError(f"the enqueuer died: {enqueuer.error!r}, see the log above") from enqueuer.error

    def _sleep(self, crew: Staff) -> None:
        """Wait for the next beat, or for a request."""
        if select.select([self._wakeup], [], [], _BEAT)[0]:
            self._wakeup.clear()
        if self._is_reopening:
            self._is_reopening = False
            self._notifier.reloading()
            crew.reopen()
            logger.info("log files reopened")
            self._notifier.ready()

    def _beat(self, segment: SegmentWriter, shape: Shape) -> None:
        """See to the workers, and show everybody who looks that the main loop goes round."""
        shape.tend()
        segment.beat()
        self._notifier.beat(segment)
        if self._stuck is not None:
            self._stuck.look()

    def _wind_down(
        self, segment: SegmentWriter, shape: Shape, enqueuer: Enqueuer, background: list[Background]
    ) -> None:
        segment.phase("draining")
        self._notifier.stopping()
        self._beat(segment, shape)
        deadline = time.monotonic() + self._config.hub.drain_timeout
        for thread in background:
            thread.stop()
        enqueuer.stop(deadline)
        enqueuer.join(0 if self._is_aborting else _GRACE)
        while enqueuer.is_alive() and self._may_wait(deadline):
            enqueuer.join(_BEAT)
            self._beat(segment, shape)
        shape.close()
        while self._may_wait(deadline) and not shape.join(min(_BEAT, max(deadline - time.monotonic(), 0))):
            self._beat(segment, shape)
        for thread in background:
            self._await(thread, segment, shape, deadline)
        shape.stop()
        shape.join(0 if self._is_aborting else _GRACE)
        enqueuer.join(_GRACE)  # it goes by the shape when it is too late to wait for anything
        self._beat(segment, shape)

    def _await(self, thread: Background, segment: SegmentWriter, shape: Shape, deadline: float) -> None:
        thread.join(0 if self._is_aborting else _GRACE)
        while thread.is_alive() and thread.is_awaited and self._may_wait(deadline):
            thread.join(_BEAT)
            self._beat(segment, shape)
        if thread.is_alive():
            logger.warning("left undone: %s is still at work", thread.name)

    def _may_wait(self, deadline: float) -> bool:
        return not self._is_aborting and time.monotonic() < deadline

    def _snapshot(self) -> Snapshot:
        return glasshub_stats.read(str(self.segment_path))

    def _returned(self, index: int, consumer: ConsumerStats) -> int:
        """How many of a consumer's messages a broker has again once the source is closed."""
        if not self._source.acknowledges:
            return 0
        queues = [queue for queue in self._source.state().queues if queue.consumer in (index, None)]
        return min(_unfinished(consumer), sum(queue.unacknowledged for queue in queues))

    def _left(self, shape: Shape, crew: Staff) -> list[Left]:
        """What is left undone, said in the log, and not kept for the next start, which is said as well."""
        running = [row for row, member in enumerate(crew.members) if member.consumer is not None]
        consumers = self._snapshot().consumers
        left: list[Left] = []
        is_kept = False
        for index, row in enumerate(running):
            consumer, kept, where = consumers[row], shape.kept(index), "for the next start"
            if not kept:
                kept, where = self._returned(index, consumer), "on the broker"
            undone = _undone(consumer, kept)
            if undone is not None:
                left.append(undone)
            if kept:
                is_kept = True
                logger.info("kept %s: %s: %d messages", where, consumer.name, kept)
        for item in left:
            logger.warning(
                "left undone: %s: %d messages waiting, %d in flight%s",
                item.consumer,
                item.waiting,
                item.in_flight,
                f", {item.delayed} to be tried again" if item.delayed else "",
            )
        if not left:
            logger.info("stopped; nothing is lost" if is_kept else "stopped; nothing was left undone")
        return left


def _unfinished(consumer: ConsumerStats) -> int:
    return consumer.backlog + consumer.in_flight + consumer.delayed


def _stations(members: Sequence[Member], segment: SegmentWriter) -> list[Station]:
    return [
        Station(
            member.name,
            member.consumer,
            segment.consumers[index],
            segment.injections[index],
            segment.workers[index],
            segment.drops[index],
            segment.books[index],
            group=member.section.group,
            capacity=member.section.capacity,
            capacity_bytes=member.section.capacity_bytes,
            policy=member.section.overflow,
            retry=RetryPolicy.of(member.section),
            max_deaths=member.section.max_deaths,
            patience=member.section.max_processing if member.section.replace else 0.0,
        )
        for index, member in enumerate(members)
        if member.consumer is not None
    ]


def _no_consumer(crew: Staff) -> str:
    if crew.members:
        return f"none of the {len(crew.members)} consumers could be started, see the log above"
    if crew.disabled:
        return f"fedmsg's configuration leaves all consumers disabled ({', '.join(crew.disabled)}): enable one there"
    return (
        "there is no consumer to run: name one with --consumer module:Class or in a [consumers.NAME] section, "
        "or install a package that declares one"
    )


def _undone(consumer: ConsumerStats, kept: int) -> Left | None:
    """What nobody keeps of a consumer's messages; what is kept is what came last."""
    lost = _unfinished(consumer) - kept
    if lost <= 0:
        return None
    in_flight = min(lost, consumer.in_flight)
    delayed = min(lost - in_flight, consumer.delayed)
    return Left(consumer.name, lost - in_flight - delayed, in_flight, delayed)
