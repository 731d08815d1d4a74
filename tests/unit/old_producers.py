# SPDX-License-Identifier: LGPL-2.1-or-later
"""Producers as they were written for Moksha, knowing nothing of us."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from moksha.hub.api import PollingProducer, Producer


class Ticking(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Counts its polls, and does what it is told in each.

    Attributes:
        polls: How many there were.
        error: What a poll raises; None for nothing.
        last: The number of the poll in which it sets its own `die`.
        polled: Released with each poll.
        threads: Who polled.
    """

    frequency: Any = 0.001

    def __init__(self, hub: Any) -> None:
        """Begin."""
        self.polls = 0
        self.error: BaseException | None = None
        self.last = 0
        self.polled = threading.Semaphore(0)
        self.threads: set[str] = set()
        super().__init__(hub)

    def poll(self) -> None:
        """Count."""
        self.polls += 1
        self.threads.add(threading.current_thread().name)
        self.die = self.polls == self.last
        self.polled.release()
        if self.error is not None:
            raise self.error


class Hourly(Ticking):
    """Has a timedelta for its frequency."""

    frequency = timedelta(hours=1)


class AtOnce(Hourly):
    """Does not wait for the first poll."""

    now = True


class Restless(Ticking):
    """Never pauses."""

    frequency = None


class OwnLoop(Ticking):
    """Polls itself in its own way."""

    def _work(self) -> None:
        self.worked = True


class Disabled(Ticking):
    """Is switched off by its configuration."""

    def __init__(self, hub: Any) -> None:
        """Do nothing."""


class Unbuildable(Ticking):
    """Cannot be built."""

    def __init__(self, hub: Any) -> None:
        """Fail."""
        raise RuntimeError("no database")


class Stream(Producer):  # type: ignore[misc]  # Moksha has no types
    """A producer that is not polled."""

    def __init__(self, hub: Any) -> None:
        """See what is there already."""
        super().__init__(hub)
        self.found = list(hub.consumers)
