# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that are tried again: kept until their time has come, and then put into their consumer's queue again.

A message that comes again comes behind those that are in the queue by then: a consumer that retries gets its messages
out of order. What waits here is in no queue; it is bounded all the same, so that a consumer that fails on everything
does not fill the memory: where it is too much, those that are due first come before their time.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from ..failure import Failure, Park
from ..message import Frame

logger = logging.getLogger(__name__)

#: What may wait at the most, of all consumers together.
_MOST, _MOST_BYTES = 10_000, 64 << 20


class Redelivery:
    """The `Aftercare` of a process whose queues are here too."""

    def __init__(
        self,
        halt: Callable[[int], None],
        park: Park | None = None,
        *,
        most: int = _MOST,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Keep nothing yet.

        Args:
            halt: Has the hub stop, with that exit code; threads: any.
            park: Puts a message away; None where nobody's policy parks.
            most: Messages that may wait.
            most_bytes: Bytes that they may take.
            clock: CLOCK_MONOTONIC in nanoseconds.
        """
        self._halt = halt
        self._park = park
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count()  # of two that are due at the same time the one that came first is first
        self._waiting: list[tuple[int, int, int, Frame]] = []
        self._bytes = 0

    def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
        """See `Aftercare.retry`. Threads: any."""
        now_ns = self._clock()
        again = frame.again(now_ns)
        with self._lock:
            heapq.heappush(self._waiting, (now_ns + int(after * 1e9), next(self._numbers), station, again))
            self._bytes += again.weight

    def park(self, station: int, frame: Frame, failure: Failure) -> None:
        """See `Aftercare.park`. Threads: any."""
        assert self._park is not None, "nobody can park, and somebody's policy says so"
        self._park(station, frame, failure)

    @property
    def can_park(self) -> bool:
        """See `Aftercare.can_park`. Threads: any."""
        return self._park is not None

    def halt(self, station: int, reason: str, exit_code: int) -> None:
        """See `Aftercare.halt`. Threads: any."""
        self._halt(exit_code)

    def due(self) -> list[tuple[int, Frame]]:
        """Take out what is to be put into the queues now: whose it is, and the message. Threads: enqueuer only."""
        if not self._waiting:
            return []
        now_ns = self._clock()
        found: list[tuple[int, Frame]] = []
        with self._lock:
            while self._waiting and (self._waiting[0][0] <= now_ns or self._is_too_much()):
                _, _, station, frame = heapq.heappop(self._waiting)
                self._bytes -= frame.weight
                frame.received_ns = now_ns  # what is measured from now on is its wait in the queue
                found.append((station, frame))
        return found

    def next_due_ns(self) -> int | None:
        """When the next one is due, CLOCK_MONOTONIC in nanoseconds; None when nothing waits. Threads: any."""
        with self._lock:
            return self._waiting[0][0] if self._waiting else None

    def _is_too_much(self) -> bool:
        return len(self._waiting) > self._most or self._bytes > self._most_bytes
