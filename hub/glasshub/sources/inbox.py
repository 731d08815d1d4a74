# SPDX-License-Identifier: LGPL-2.1-or-later
"""What another thread has received, on its way to the enqueuer: a put costs no lock while the enqueuer is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from ..queues import Bell

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue with one reader. Threads: `put` and `wake` any, `take` the reader."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._items: deque[T] = deque()
        self._is_woken = False

    def put(self, items: Sequence[T]) -> None:
        """Append items; never blocks."""
        self._items.extend(items)
        self._bell.ring()

    def wake(self) -> None:
        """End a `take` that waits, or else the next one that would."""
        self._is_woken = True
        self._bell.ring()

    def take(self, timeout: float, limit: int) -> list[T]:
        """Take the oldest items: at least one, unless the time passes without any or somebody wakes us; `limit` at the
        most."""
        if not self._items and timeout > 0:
            self._bell.wait(lambda: self._items or self._is_woken, timeout)
            self._is_woken = False
        return [self._items.popleft() for _ in range(min(limit, len(self._items)))]
