# SPDX-License-Identifier: LGPL-2.1-or-later
"""`consumer.incoming`: the queue that Moksha's consumers know, told apart from our own only by what it tells.

In blocking mode nothing drains Moksha's own. This one leads into the consumer's work queue: what is put there is
handled by its workers and counted, and `qsize` is the backlog that everybody else sees.
"""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..consumer import Inlet
from ..message import Frame

#: Bytes: a dict of a message of some kilobytes.
_ITEM_WEIGHT = 6000


class Item(Frame):
    """Something that was put into `incoming`: a message in the form that consumers see, or anything else.

    Attributes:
        item: What was put.
    """

    __slots__ = ("item",)

    is_pickled = True

    def __init__(self, item: Any) -> None:
        topic = item.get("topic") if isinstance(item, dict) else None
        self.topic = str(topic or "").encode("utf-8", "replace")
        self.received_ns = time.monotonic_ns()
        self.completion = None
        self.item = item

    @property
    def body(self) -> bytes:  # type: ignore[override]
        """What it is on its way to another process, or on disk.

        Raises:
            TypeError: It cannot go there.
        """
        try:
            return pickle.dumps(self.item)
        except Exception as error:
            raise TypeError(f"{self.item!r} cannot be put into a queue that is not in this process: {error}") from error

    @property
    def weight(self) -> int:
        """As much as a decoded message of the bus takes: nobody knows what an object takes."""
        return _ITEM_WEIGHT

    def again(self, now_ns: int) -> Item:
        """See `Frame.again`."""
        return RepeatedItem(self, now_ns)


class RepeatedItem(Item):
    """Something out of `incoming` that the consumer gets again."""

    __slots__ = ("attempts", "first_ns")

    def __init__(self, item: Item, now_ns: int) -> None:
        super().__init__(item.item)
        self.completion = item.completion
        self.attempts = item.attempts + 1
        self.first_ns = item.first_ns or now_ns


def item_in(frame: Frame) -> Item | None:
    """The item that a frame is, or was before it went to another process; None for a message of the bus."""
    if isinstance(frame, Item):
        return frame
    return Item(pickle.loads(frame.body)) if frame.is_pickled else None


class Incoming:
    """Takes the place of `consumer.incoming`, with the methods of `queue.Queue`. Threads: any.

    Until the consumer is connected, what is put is kept.
    """

    def __init__(self, original: Any, as_message: Callable[[Frame], Any]) -> None:
        """Take over what the constructor of the consumer has put.

        Args:
            original: The consumer's own queue.
            as_message: Makes of a frame what `get` returns; None for one that the consumer would refuse.
        """
        self._as_message = as_message
        self._lock = threading.Lock()
        self._kept: deque[Frame] = deque(Item(item) for item in _contents(original))
        self._inlet: Inlet | None = None

    def connect(self, inlet: Inlet) -> None:
        """Lead into that queue from now on, and bring there what was kept."""
        with self._lock:
            while self._kept:
                inlet.put(self._kept.popleft())
            self._inlet = inlet

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append; never blocks, see `glasshub.overflow`. Moksha's sign to quit is not for our workers."""
        if item is not StopIteration:
            self.append(Item(item))

    def put_nowait(self, item: Any) -> None:
        """See `put`."""
        self.put(item)

    def append(self, frame: Frame) -> None:
        """Put a frame."""
        with self._lock:
            if self._inlet is None:
                self._kept.append(frame)
                return
        self._inlet.put(frame)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next message out of the queue, past the workers.

        Raises:
            queue.Empty: There is none, or none of which the shape of dispatch could tell whose it is.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 0.0 if not block else None if deadline is None else max(deadline - time.monotonic(), 0.0)
            frame = self._take(left)
            if frame is None:
                raise queue.Empty
            item = item_in(frame)
            message = item.item if item is not None else self._as_message(frame)
            if message is not None:
                return message

    def get_nowait(self) -> Any:
        """See `get`."""
        return self.get(block=False)

    def qsize(self) -> int:
        """The consumer's backlog."""
        with self._lock:
            return len(self._kept) + (len(self._inlet) if self._inlet is not None else 0)

    def empty(self) -> bool:
        """Whether nothing waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Never: who puts is not to wait."""
        return False

    def task_done(self) -> None:
        """Nothing: whoever handles a message counts it."""

    def _take(self, timeout: float | None) -> Frame | None:
        with self._lock:
            if self._inlet is None:
                return self._kept.popleft() if self._kept else None
        return self._inlet.take(timeout)


def _contents(original: Any) -> list[Any]:
    """What is in a queue, or whatever else a consumer has set there."""
    found = []
    try:
        while True:
            found.append(original.get_nowait())
    except (queue.Empty, AttributeError):
        return [item for item in found if item is not StopIteration]
