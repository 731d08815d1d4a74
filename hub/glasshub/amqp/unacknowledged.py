# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of a channel that are not acknowledged, by their delivery tags.

A broker can be told that all messages up to one are done, which costs as much as to tell it of one. So what was
finished in order goes out together, and what has overtaken others one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

#: Places in the order that may belong to nobody any more.
_MOST_GAPS = 1000


class Unacknowledged:
    """The tags that are open, in their order. Threads: one, but for `len`: any."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._order: deque[int] = deque()  # all of these, and some behind the first that are closed by now

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[int]:
        return iter(self._open)

    def __contains__(self, tag: int) -> bool:
        return tag in self._open

    def add(self, tag: int) -> None:
        """Note a message; tags ascend."""
        self._open.add(tag)
        self._order.append(tag)

    def close(self, done: Iterable[int]) -> tuple[int, list[int]]:
        """Take out what is done; tags that are not open do not count.

        Returns:
            The tag up to which all are done of which that was not known, 0 for none; and the others, in order.
        """
        closed = self._open.intersection(done)
        self._open -= closed
        last = 0
        while self._order and self._order[0] not in self._open:
            tag = self._order.popleft()
            if tag in closed:
                closed.remove(tag)
                last = tag
        if len(self._order) - len(self._open) > _MOST_GAPS + len(self._open):  # one that waits long has many overtake
            self._order = deque(sorted(self._open))
        return last, sorted(closed)
