# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `inline`: as Moksha stood in 2014, the receiving thread hands a message to each consumer in series.

There is no queue of ours: while a consumer works, messages wait in the source's buffer, where nobody counts them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..logs import Repeats
from ..stats import SegmentWriter
from .base import Routed, Shape, Station


class InlineShape(Shape):
    """The enqueuer's thread runs the consumers."""

    batch = 1  # so that the enqueuer's heartbeat is as old as the consumers took for one message, not for many

    def _build(self, stations: Sequence[Station], segment: SegmentWriter, repeats: Repeats) -> None:
        self._slots = [station.slots for station in stations]
        self._runners = [station.runner(0, repeats) for station in stations]

    def dispatch(self, routed: Sequence[Routed]) -> None:
        """See `Shape.dispatch`; returns when every consumer is done."""
        for frame, interested in routed:
            for consumer in interested:
                self._slots[consumer].enqueued(1)
                self._runners[consumer].run(frame, 0)
