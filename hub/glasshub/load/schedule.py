# SPDX-License-Identifier: LGPL-2.1-or-later
"""When each message of a load is due."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

CONSTANT, RAMP, SPIKE, REPLAY = KINDS = ("constant", "ramp", "spike", "replay")

#: "That averages about 4 messages per minute (quite low)."
QUIET_RATE = 4 / 60


@dataclass(frozen=True)
class Schedule:
    """A load: before it and after it the bus is quiet.

    Attributes:
        kind: One of `KINDS`. Constant: so many messages a second. Ramp: from the quiet rate up to so many. Spike: the
            same as constant, out of the quiet. Replay: each message has a time of its own.
        rate: Messages a second.
        seconds: How long it lasts.
        quiet: Seconds before it.
        quiet_rate: Messages a second before and after it; 0 for none.
    """

    kind: str = SPIKE
    rate: float = 120.0
    seconds: float = 20.0
    quiet: float = 4.0
    quiet_rate: float = QUIET_RATE

    def before(self) -> Iterator[float]:
        """When each message of the quiet before the load is due, in seconds from the start."""
        return itertools.takewhile(lambda due: due < self.quiet, self._quietly())

    def during(self) -> Iterator[float]:
        """When each message of the load is due; of a replay only the recording knows."""
        rise = (self.rate - self.quiet_rate) / self.seconds
        if self.kind != RAMP or not rise:
            return (self.quiet + number / self.rate for number in range(round(self.rate * self.seconds)))
        count = round((self.quiet_rate + self.rate) / 2 * self.seconds)
        return (self.quiet + _risen(number, self.quiet_rate, rise) for number in range(count))

    def after(self) -> Iterator[float]:
        """When each message of the quiet after it is due, for ever."""
        end = self.quiet + self.seconds
        return (end + due for due in itertools.islice(self._quietly(), 1, None))

    def _quietly(self) -> Iterator[float]:
        return (number / self.quiet_rate for number in itertools.count()) if self.quiet_rate else iter(())


def _risen(number: int, begin: float, rise: float) -> float:
    """Seconds until so many messages have come at a rate that grows by `rise` each second."""
    return (math.sqrt(begin * begin + 2 * rise * number) - begin) / rise
