# SPDX-License-Identifier: LGPL-2.1-or-later
"""Between the log of a spool and the consumers: each has a lane, with a window of what it may be at.

What they have finished goes back through one deque to the enqueuer's thread, which alone has the log.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ..consumer import Inlet
from ..message import Frame
from ..overflow import Backlog
from ..spool import Log
from .base import Station

#: So many finished messages wake the enqueuer.
_ENOUGH = 32

#: What a window holds at the most, in bytes; it ends with the message that makes it larger.
_WINDOW_BYTES = 4 << 20


class Handed:
    """What a spool hears of a frame that it has handed over, see `glasshub.message.Listener`.

    Attributes:
        lane: Whose it is.
        seq: Its number in the log.
        size: Bytes of its body.
    """

    __slots__ = ("lane", "seq", "size")

    def __init__(self, lane: Lane, seq: int, size: int) -> None:
        self.lane = lane
        self.seq = seq
        self.size = size

    def one_done(self) -> None:
        """See `Listener.one_done`."""
        self.lane.finish(self)


class Finished:
    """What workers have finished and the log does not know yet. Threads: any, but `take`: one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._handed: deque[Handed] = deque()
        self._is_called = False

    def put(self, handed: Handed, *, is_urgent: bool) -> None:
        """Leave it for the enqueuer."""
        self._handed.append(handed)
        if (is_urgent or len(self._handed) >= _ENOUGH) and not self._is_called:
            self.call()

    def call(self) -> None:
        """Have the enqueuer come round."""
        self._is_called = True
        self._wake()

    def take(self) -> list[Handed]:
        """All of it."""
        self._is_called = False  # first: whoever puts from now on calls again
        return [self._handed.popleft() for _ in range(len(self._handed))]


class Lane:
    """One consumer's way from the log to its worker. Threads: enqueuer only, except for `finish` and `__len__`: any.

    It is also the consumer's `Backlog`: what is in its window, and what waits in the log.

    Attributes:
        index: Which consumer it is.
        station: Its station.
        window: The queue of the inner shape.
    """

    def __init__(self, index: int, station: Station, log: Log, finished: Finished, most: int) -> None:
        self.index = index
        self.station = station
        self.window: Backlog
        self._log = log
        self._finished = finished
        self._most = most
        self._given = self._held = self._low = 0
        self._put_off = 0
        self._lock = threading.Lock()  # of the latter

    @property
    def name(self) -> str:
        """The consumer's name."""
        return self.station.name

    def put_off(self, count: int) -> None:
        """Count messages that wait for the time at which they are tried again: they take no room in the window.

        Threads: any.
        """
        with self._lock:
            self._put_off += count

    def finish(self, handed: Handed) -> None:
        """Hear that the consumer has finished with a message, or will never get it."""
        self._finished.put(handed, is_urgent=len(self.window) < self._low)

    def is_next(self, arrived: int) -> bool:
        """Whether nothing waits in the log but what has just arrived, so many messages."""
        return self._log.waiting(self.index) == arrived

    def has_room(self) -> bool:
        """Whether another message may be handed over."""
        return self._given - self._put_off < self._most and self._held < _WINDOW_BYTES

    def hand(self, seq: int, frame: Frame) -> Frame:
        """A frame to hand over, which is this consumer's own."""
        size = len(frame.body)
        own = Frame(frame.topic, frame.body, frame.received_ns)
        own.completion = Handed(self, seq, size)
        self._given += 1
        self._held += size
        return own

    def read(self) -> list[tuple[int, Frame]]:
        """What the log has for the window, if half of it is at work or finished."""
        if not self._log.waiting(self.index) or len(self.window) * 2 > self._most or not self.has_room():
            return []
        entries = self._log.take(self.index, self._most - self._given + self._put_off, size=_WINDOW_BYTES - self._held)
        return [(seq, self.hand(seq, frame)) for seq, frame in entries]

    def grown(self, first_ns: int = 0) -> None:
        """Note what the backlog looks like now.

        Args:
            first_ns: When the first message was received that was put into the window; 0 if none was.
        """
        head_ns = (self.window.head_ns() or first_ns) if first_ns else 0
        self._low = (self._most + 1) // 2 if self._log.waiting(self.index) else 0
        self.station.slots.put(len(self), head_ns, first_ns)

    def acknowledge(self, several: Sequence[Handed]) -> None:
        """Have the log note what is finished."""
        self._given -= len(several)
        self._held -= sum([handed.size for handed in several])
        self._log.acknowledge(self.index, [handed.seq for handed in several])

    def empty_window(self) -> None:
        """Leave to the log what no worker has taken; unless something waits there that is not in the log."""
        if all(isinstance(frame.completion, Handed) for frame in self.window.waiting()):
            while self.window.drop(newest=True) is not None:
                pass

    # As a backlog

    def __len__(self) -> int:
        """See `Backlog.__len__`."""
        return self._log.waiting(self.index) + len(self.window)

    def head_ns(self) -> int:
        """See `Backlog.head_ns`."""
        return self.window.head_ns() or self._log.next_ns(self.index)

    def waiting(self) -> Sequence[Frame]:
        """See `Backlog.waiting`; what is in memory of it."""
        return self.window.waiting()

    def drop(self, *, newest: bool) -> Frame | None:
        """See `Backlog.drop`; the oldest always, for one that is new is refused before it comes here."""
        frame = self.window.drop(newest=False)
        if frame is None:
            for seq, oldest in self._log.take(self.index, 1):
                return self.hand(seq, oldest)
        return frame


class SpooledInlet:
    """The way into a consumer's window. What comes this way is an object, not bytes, and is in memory. Threads: any."""

    def __init__(self, inner: Inlet, lane: Lane) -> None:
        self._inner = inner
        self._lane = lane
        self.put = inner.put

    def take(self, timeout: float | None) -> Frame | None:
        """See `Inlet.take`; what the consumer takes by itself it has finished with."""
        frame = self._inner.take(timeout)
        if frame is not None and frame.completion is not None:
            frame.completion.one_done()
        return frame

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return len(self._lane)
