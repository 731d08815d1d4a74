# SPDX-License-Identifier: LGPL-2.1-or-later
"""How far a consumer is in the log."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable


class Progress:
    """What of the log a consumer has been given, and what it has finished.

    Purpose: several workers finish in any order, yet all that is kept on disk is one number, the cursor. Guarantee: the
    cursor never passes a message that is not finished. Assumption: messages are given for the first time in
    ascending order, so that the first one in `_open` is the oldest.

    Attributes:
        position: Everything up to here has been given at least once.
        waiting: How many beyond that the consumer wants.
        saved: The cursor on disk.
        dropped: How many the consumer would have got, had there been room.
    """

    __slots__ = ("position", "waiting", "saved", "dropped", "_open", "_returned")

    def __init__(self, cursor: int, waiting: int) -> None:
        self.position = self.saved = cursor
        self.waiting = waiting
        self.dropped = 0
        self._open: dict[int, None] = {}
        self._returned: list[int] = []

    @property
    def depth(self) -> int:
        """How many messages the consumer has not finished, those in flight included."""
        return self.waiting + len(self._open)

    @property
    def given(self) -> int:
        """How many were given and are not finished."""
        return len(self._open)

    def cursor(self, last: int) -> int:
        """Up to where everything is finished, in a log that ends at `last`."""
        if self._open:
            return next(iter(self._open)) - 1
        return self.position if self.waiting else last

    def oldest_given(self) -> int | None:
        """The first that was given and is not finished."""
        return next(iter(self._open), None)

    def returned(self, limit: int) -> list[int]:
        """The first of those that were given back, ascending."""
        return self._returned[:limit]

    def expect(self, messages: int, before: int) -> None:
        """Note that so many more wait, all of them beyond `before`."""
        if not self.waiting:
            self.position = before  # nothing of what was skipped is wanted: do not look through it again
        self.waiting += messages

    def give(self, seqs: Iterable[int]) -> None:
        """Note what the consumer is given: all of it given back before, or all of it new, ascending."""
        for seq in seqs:
            if seq in self._open:
                self._returned.remove(seq)
            else:
                self._open[seq] = None
                self.position = seq
                self.waiting -= 1

    def give_back(self, seqs: Iterable[int]) -> None:
        """Have messages be given again, those that are finished left out."""
        for seq in seqs:
            if seq in self._open and seq not in self._returned:
                insort(self._returned, seq)

    def finish(self, seqs: Iterable[int]) -> int:
        """Note what is finished; how many of them were not yet."""
        before = len(self._open)
        for seq in seqs:
            self._open.pop(seq, None)
            if seq in self._returned:
                self._returned.remove(seq)
        return before - len(self._open)
