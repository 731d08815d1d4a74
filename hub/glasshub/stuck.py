# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that are at one message for longer than they may be: said in the log when it begins, and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from glasshub_stats import ConsumerStats, Snapshot

logger = logging.getLogger(__name__)


class StuckWatch:
    """Tells of consumers that get stuck. Threads: main thread only."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        """Take what reads the segment."""
        self._read = read
        self._longest: dict[str, float] = {}

    def look(self) -> None:
        """See who has got stuck since the last look, and who goes on."""
        for consumer in self._read().consumers:
            if consumer.stuck:
                self._note(consumer)
            elif consumer.name in self._longest:
                longest = self._longest.pop(consumer.name)
                logger.warning("%s is not stuck any more: it was at one message for %.1f s", consumer.name, longest)

    def _note(self, consumer: ConsumerStats) -> None:
        if consumer.name not in self._longest:
            logger.warning(
                "%s is stuck: %d of its %d workers at one message for longer than max_processing = %g s",
                consumer.name,
                consumer.stuck,
                consumer.workers,
                consumer.max_processing,
            )
        self._longest[consumer.name] = consumer.current_age
