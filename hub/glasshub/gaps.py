# SPDX-License-Identifier: LGPL-2.1-or-later
"""Windows in which a bus may have lost messages, because nobody was connected to take them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True)
class Gap:
    """A window that has closed: an endpoint was lost, and is back.

    Attributes:
        endpoint: The endpoint.
        lost_ns: The last moment at which the connection was known to be good, monotonic.
        found_ns: When it was there again and subscribed, monotonic.
        until: The same, as Unix time.
    """

    endpoint: str
    lost_ns: int
    found_ns: int
    until: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.found_ns - self.lost_ns) / 1e9

    @property
    def since(self) -> float:
        """When it began, Unix time: reckoned from its end, for a clock that was set in between has not been right."""
        return self.until - self.seconds

    def __str__(self) -> str:
        """For the log."""
        return f"{self.endpoint} was lost from {utc(self.since)} to {utc(self.until)} ({self.seconds:.1f} s)"


def utc(time: float) -> str:
    """A Unix time for people; the log may be compared with that of a publisher that is somewhere else."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
