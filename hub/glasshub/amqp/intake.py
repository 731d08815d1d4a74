# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that came through a channel, and what the broker is told of them there.

A channel that is closed takes with it what came through it: the broker brings all of that again. So each message
belongs to the `Intake` of its channel, and an acknowledgement for one that is closed comes to nothing.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ..message import Frame
from .link import Link
from .topology import Queue
from .unacknowledged import Unacknowledged

#: Seconds that an acknowledgement may wait for others.
_ACK_DELAY = 0.005


class Delivery(Frame):
    """A message that the broker wants to be told about.

    Attributes:
        intake: The way that it came.
        tag: Its number there.
        original: Its properties and its body, as they were published.
    """

    __slots__ = ("addressee", "intake", "original", "tag")

    def __init__(
        self, topic: bytes, body: bytes, received_ns: int, intake: Intake, tag: int, original: tuple[Any, bytes]
    ) -> None:
        self.topic = topic  # not by the base class, whose call costs as much as all of this
        self.body = body
        self.received_ns = received_ns
        self.completion = None
        self.addressee = intake.queue.consumer
        self.intake = intake
        self.tag = tag
        self.original = original

    def again(self, now_ns: int) -> Frame:
        """See `Frame.again`."""
        self.intake.put_off(self.tag)
        return super().again(now_ns)


class Intake:
    """What has come through one channel, and is to be acknowledged there.

    Threads: `acknowledge` and `put_off` any; the rest is the link's.

    Attributes:
        queue: The queue that it came from, as it was declared.
        is_open: Whether the channel is.
        batch: Acknowledgements that need not wait for more.
        used: Messages that the present subscriber of this channel was brought, and that are not acknowledged.
    """

    def __init__(self, queue: Queue, link: Link, settle: Callable[[], None]) -> None:
        self.queue = queue
        self.is_open = True
        self.used = 0
        self.batch = 1
        self._link = link
        self._settle = settle
        self._unacknowledged = Unacknowledged()
        self._newest = self._boundary = 0  # the newest tag, and the newest that an earlier subscriber was brought
        self._boundaries: list[int] = []  # all of these
        self._done: deque[int] = deque()
        self._put_off: deque[int] = deque()
        self._delayed: set[int] = set()
        self._is_due = self._is_urgent = False

    def __len__(self) -> int:
        return len(self._unacknowledged)

    @property
    def delayed(self) -> int:
        """Messages that were tried, and are to be tried again."""
        while self._put_off:
            tag = self._put_off.popleft()
            if tag in self._unacknowledged:
                self._delayed.add(tag)
        return len(self._delayed)

    @property
    def clogged(self) -> int:
        """How many of these take the place of others."""
        return sum(tag > self._boundary for tag in self._delayed) if self.delayed else 0

    @property
    def lingering(self) -> int:
        """How many earlier subscribers were brought something that is not acknowledged."""
        old = [tag for tag in self._unacknowledged if tag <= self._boundary]
        return len({bisect.bisect_left(self._boundaries, tag) for tag in old})

    def take(self, tag: int) -> None:
        """Note a message that has come."""
        self._unacknowledged.add(tag)
        self._newest = tag
        self.used += 1

    def begin(self) -> None:
        """Note that another subscriber begins: what was brought so far takes none of its places."""
        self._boundary = self._newest
        self._boundaries.append(self._boundary)
        self.used = 0

    def acknowledge(self, tag: int) -> None:
        """Have the broker told soon that a message is done; together with others, if that costs nothing.

        The flags go up before the link's thread is told and down before it looks: no message is missed.
        """
        if not self.is_open:
            return
        self._done.append(tag)
        if len(self._done) >= self.batch:
            if not self._is_urgent:
                self._is_urgent = True
                self._link.call(self._settle)
        elif not self._is_due:
            self._is_due = True
            self._link.call(partial(self._link.later, _ACK_DELAY, self._settle))

    def put_off(self, tag: int) -> None:
        """Note that a message is to be tried again, and may take its time."""
        self._put_off.append(tag)

    def close(self) -> tuple[int, int, list[int]]:
        """Take out what is done.

        Returns:
            How many these are, the tag up to which all are done, and the others: see `Unacknowledged.close`.
        """
        self._is_due = self._is_urgent = False
        done: list[int] = []
        while self._done:
            done.append(self._done.popleft())
        if self.used:
            self.used -= sum(tag > self._boundary for tag in done)
        if self._put_off or self._delayed:
            self._delayed.difference_update(done)
        return len(done), *self._unacknowledged.close(done)
