# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work queues: what the enqueuer and the workers know of each other.

The enqueuer puts (so may anybody who has work for the consumer); a worker takes, and sleeps on a bell when there is
nothing. Several queues may share one bell: then one worker serves them all. A queue has no bound of its own: whoever
puts sees to that first, and takes out what has to go (see `glasshub.overflow`).

Purpose: a queue whose head and length can be seen (the backlog, the age of its oldest message), and a put that
costs no lock while the workers are busy, which is when it matters. Guarantees: first in, first out; every frame
that is put is taken once, or dropped once, or still there at the end. Assumptions: append, pop, popleft, copy and
indexing of a deque are atomic (the documentation of `collections.deque` promises it for append, pop and popleft).

Race worth knowing: a worker that finds its queue empty announces itself under the bell's lock, looks once more,
and only then sleeps; a put appends first and looks for announcements after. So either the worker sees the frame,
or the put sees the worker.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What may wait in a queue."""

    @property
    def received_ns(self) -> int:
        """When the enqueuer received it."""


W = TypeVar("W", bound=Waiting)


class Bell:
    """Wakes who waits for work: rung after the work is there. Threads: any."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sleepers = 0
        self._is_closed = False
        #: Whether workers shall end now, whatever is waiting.
        self.is_stopped = False

    def ring(self) -> None:
        """Wake the workers that sleep; costs next to nothing while none does."""
        if self._sleepers:
            with self._condition:
                self._condition.notify_all()

    def close(self) -> None:
        """Let workers end once nothing waits any more."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def stop(self) -> None:
        """Let workers end after the message that they are at."""
        with self._condition:
            self.is_stopped = self._is_closed = True
            self._condition.notify_all()

    def wait(self, has_work: Callable[[], object], timeout: float | None = None) -> bool:
        """Sleep until there is work.

        Args:
            has_work: Says whether there is; called with the bell's lock held, must not block.
            timeout: Seconds to sleep at the most; None for as long as it takes.

        Returns:
            True when there is work; False when there is none and there will be no more, or when the time is up.
        """
        with self._condition:
            self._sleepers += 1
            try:
                self._condition.wait_for(lambda: has_work() or self._is_closed, timeout)
                return bool(has_work())
            finally:
                self._sleepers -= 1


class WorkQueue(Generic[W]):
    """A backlog in memory."""

    __slots__ = ("_bell", "_frames")

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._frames: deque[W] = deque()

    def put(self, frames: Sequence[W]) -> None:
        """Append frames; never blocks. Threads: any."""
        self._frames.extend(frames)
        self._bell.ring()

    def take(self) -> W | None:
        """The next frame, or None when there is none; never blocks. Threads: workers."""
        try:
            return self._frames.popleft()
        except IndexError:
            return None

    def drop(self, *, newest: bool) -> W | None:
        """Take the newest or the oldest frame out for good; None when there is none. Threads: any."""
        try:
            return self._frames.pop() if newest else self._frames.popleft()
        except IndexError:
            return None

    def waiting(self) -> Sequence[W]:
        """All frames that wait, the oldest first. Threads: any."""
        return self._frames.copy()

    def head_ns(self) -> int:
        """When the first waiting frame was received; 0 when none waits. Threads: any."""
        try:
            return self._frames[0].received_ns
        except IndexError:
            return 0

    def __len__(self) -> int:
        """How many frames wait. Threads: any."""
        return len(self._frames)
