# SPDX-License-Identifier: LGPL-2.1-or-later
"""What another thread has received, on its way to the enqueuer.

A put costs no lock while the enqueuer is busy. Race worth knowing: the enqueuer says that it is about to sleep, looks
once more, and only then sleeps; a put appends first and looks for a sleeper after. So one of them sees the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue with one reader. Threads: `put` and `wake` any, `take` the reader."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._condition = threading.Condition()
        self._is_asleep = self._is_woken = False

    def put(self, items: Sequence[T]) -> None:
        """Append items; never blocks."""
        self._items.extend(items)
        if self._is_asleep:
            with self._condition:
                self._condition.notify()

    def wake(self) -> None:
        """End a `take` that waits, or else the next one that would."""
        with self._condition:
            self._is_woken = True
            self._condition.notify()

    def take(self, timeout: float, limit: int) -> list[T]:
        """Take the oldest items: at least one, unless the time passes without any or somebody wakes us; `limit` at the
        most."""
        if not self._items and timeout > 0:
            self._sleep(timeout)
        return [self._items.popleft() for _ in range(min(limit, len(self._items)))]

    def _sleep(self, timeout: float) -> None:
        with self._condition:
            self._is_asleep = True
            self._condition.wait_for(lambda: self._items or self._is_woken, timeout)
            self._is_asleep = self._is_woken = False
