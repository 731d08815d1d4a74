# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many messages of a queue a hub asks for: as many as its consumer finishes in half a second.

More would wait here that another hub could work on, and come again when this one is killed; fewer would have the
consumer wait for the broker. A change costs a round trip in which the broker brings nothing, so it is made rarely: at
once where the consumer could do more, only after a while where it does less, and by factors of two.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds of work to ask for.
_WORK = 0.5

#: Nanoseconds over which a rate is measured at the least, and for which a consumer has to be slow before it gets less.
_SAMPLE_NS, _SLOW_NS = 50_000_000, 2_000_000_000

#: It gets less where it needs no more than this part of what it has.
_PART = 4


class Prefetch:
    """Follows the rate at which a consumer finishes.

    Attributes:
        current: How many messages to ask for.
    """

    def __init__(self, least: int, most: int, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin with the least.

        Args:
            least: What its workers can use whatever they are at.
            most: What may be held here.
            clock: CLOCK_MONOTONIC in nanoseconds.
        """
        self._least = min(least, most)
        self._most = most
        self._clock = clock
        self.current = self._least
        self._since_ns = clock()
        self._finished = 0
        self._slow_since_ns = 0
        self._needed = 0  # at the most, since then

    def note(self, finished: int, *, is_full: bool) -> bool:
        """Count messages that were finished.

        Args:
            finished: How many, since the last call.
            is_full: Whether as many are here as may be: only then does the rate say what the consumer can do.

        Returns:
            Whether `current` has changed.
        """
        self._finished += finished
        now_ns = self._clock()
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns < _SAMPLE_NS:
            return False
        needed = self._within(self._finished * _WORK * 1e9 / elapsed_ns)
        self._since_ns, self._finished = now_ns, 0
        before = self.current
        if not is_full or needed * _PART > before:
            self._slow_since_ns = 0
        if is_full:
            self.current = max(needed, self._after_slowness(needed, now_ns))
        return self.current != before

    def _within(self, count: float) -> int:
        """A power of two, or a bound."""
        return min(max(1 << int(max(count, 1) - 1).bit_length(), self._least), self._most)

    def _after_slowness(self, needed: int, now_ns: int) -> int:
        """What the consumer keeps: what it has, unless it was slow for long enough."""
        if needed * _PART > self.current:
            return self.current
        if not self._slow_since_ns:
            self._slow_since_ns, self._needed = now_ns, needed
        self._needed = max(self._needed, needed)
        if now_ns - self._slow_since_ns < _SLOW_NS:
            return self.current
        self._slow_since_ns = 0
        return self._needed
