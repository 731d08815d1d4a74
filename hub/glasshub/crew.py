# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everybody who works in a hub: its consumers and producers, and what those of fedmsg need around them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import glasshub_stats

from .compat.monitoring import MonitoringProducer
from .compat.producers import ProducerThread, polls, seconds
from .compat.site import FedmsgSite
from .config import ConsumerSection
from .consumer import BoundConsumer
from .logs import reopen
from .publishing import Publisher
from .segment import ProducerRow, SegmentSlots

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A consumer of the crew.

    Attributes:
        name: Its name.
        section: Its configuration.
        consumer: The consumer; None when it could not be built.
    """

    name: str
    section: ConsumerSection
    consumer: BoundConsumer | None


@dataclass(frozen=True)
class Job:
    """A producer of the crew.

    Attributes:
        name: Its name.
        producer: The producer; None when it could not be built.
    """

    name: str
    producer: Any

    @property
    def is_up(self) -> bool:
        """Whether it was built."""
        return self.producer is not None

    @property
    def row(self) -> ProducerRow:
        """Its row in the segment."""
        frequency = seconds(self.producer.frequency) if self.is_polled else 0.0
        return ProducerRow(self.name, initialized=self.is_up, frequency=frequency)

    @property
    def is_polled(self) -> bool:
        """Whether it has to be polled."""
        return self.is_up and polls(self.producer)


class Background(Protocol):
    """A thread that works beside the way of a message.

    Attributes:
        name: Its name.
        is_awaited: Whether a hub that stops lets it finish what it is at.
    """

    name: str
    is_awaited: bool

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Begin nothing new. Threads: any."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""


class Staff(Protocol):
    """Everybody who works in a hub, wherever they are. Threads: main thread only."""

    @property
    def members(self) -> Sequence[Member]:
        """The consumers, in the order of their rows in the segment."""

    @property
    def producer_rows(self) -> list[ProducerRow]:
        """The rows of the producers."""

    @property
    def disabled(self) -> Sequence[str]:
        """Names of those that their own configuration leaves disabled."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody to do anything."""

    def background(self, segment: SegmentSlots, since: float) -> list[Background]:
        """What works beside the way of a message; not started. `since`: see `Crew.background`."""

    def start(self) -> None:
        """Start what those of fedmsg need around them."""

    def reopen(self) -> None:
        """Open log files anew."""

    def close(self) -> None:
        """Close everybody; messages are no longer handed out."""


@dataclass(frozen=True)
class Crew:
    """The crew that is in this process. Threads: main thread only.

    Attributes:
        members: The consumers, in the order of their rows in the segment.
        jobs: The producers, likewise.
        site: What is around those of fedmsg; None where there are none.
        disabled: Names of those that their own configuration leaves disabled.
        publisher: What they publish with; None where nobody does.
    """

    members: list[Member]
    jobs: list[Job] = field(default_factory=list)
    site: FedmsgSite | None = None
    disabled: list[str] = field(default_factory=list)
    publisher: Publisher | None = None

    @property
    def producer_rows(self) -> list[ProducerRow]:
        """See `Staff.producer_rows`."""
        return [job.row for job in self.jobs]

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody to do anything."""
        return not any(member.consumer for member in self.members) and not any(job.is_up for job in self.jobs)

    def background(self, segment: SegmentSlots, since: float = 0.0, *, is_first: bool = True) -> list[Background]:
        """The threads of the producers, and of what fetches the backlog; not started.

        Args:
            segment: Where they count.
            since: Unix time; what was published before is in the spool, and not to be fetched.
            is_first: Whether the hub has just been started: then its consumers have a backlog to fetch.
        """
        threads: list[Background] = []
        for job, slots in zip(self.jobs, segment.producers):
            if isinstance(job.producer, MonitoringProducer):
                self._connect(job.producer, segment)
            if job.is_polled:
                threads.append(ProducerThread(job.name, job.producer, slots))
        if self.site is not None and is_first:
            threads += self.site.backlog([(m.name, m.consumer) for m in self.members], segment.fetches, since)
        return threads

    def start(self) -> None:
        """Start what those of fedmsg need around them."""
        if self.site is not None:
            self.site.start()

    def reopen(self) -> None:
        """Open log files anew."""
        reopen()

    def close(self) -> None:
        """Close everybody; messages are no longer handed out."""
        for job in self.jobs:
            if job.producer is not None:
                _close(job.name, job.producer.stop)
        for member in self.members:
            if member.consumer is not None:
                _close(member.name, member.consumer.close)
        if self.site is not None:
            self.site.close()
        if self.publisher is not None:
            self.publisher.close()  # last: who is closed may have something to say

    def _connect(self, monitoring: MonitoringProducer, segment: SegmentSlots) -> None:
        authors = [(row, m.consumer.author) for row, m in zip(segment.rows, self.members) if m.consumer is not None]
        assert self.site is not None
        monitoring.connect(lambda: glasshub_stats.read(str(segment.path)), authors, self.site.hub.producers)


def _close(name: str, close: Callable[[], None]) -> None:
    try:
        close()
    except (Exception, SystemExit):
        logger.exception("%s: close() failed", name)
