# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long to wait before what has failed is tried again: longer each time, and not everybody at the same moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

#: Seconds of wait at first, and at the most.
_FIRST, _LONGEST = 0.1, 30.0

#: Seconds for which something has to have worked before it is trusted again.
_TRUSTED = 10.0


class Backoff:
    """Seconds to wait, doubled each time. Threads: one."""

    def __init__(self, *, longest: float = _LONGEST, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the shortest; none is longer than `longest` seconds."""
        self._longest = longest
        self._clock = clock
        self._delay = _FIRST
        self._works_since: float | None = None

    def succeeded(self) -> None:
        """Note that it works, from now on."""
        self._works_since = self._clock()

    def delay(self) -> float:
        """Note that it does not, and say how long to wait."""
        if self._works_since is not None and self._clock() - self._works_since >= _TRUSTED:
            self._delay = _FIRST
        self._works_since = None
        delay = random.uniform(self._delay / 2, self._delay)
        self._delay = min(2 * self._delay, self._longest)
        return delay
