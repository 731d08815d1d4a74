# SPDX-License-Identifier: LGPL-2.1-or-later
"""How far a consumer is in the log."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from itertools import takewhile

from .tables import Place


class Progress:
    """What of the log a consumer has been given, and what it has finished.

    Purpose: several workers finish in any order, yet what is kept on disk is one number, the cursor, and the few that
    stand out. Guarantee: the cursor passes no message that is not finished without it being noted. Assumption: messages
    are given for the first time in ascending order, so that `_open` is.

    Attributes:
        position: Everything up to here has been given at least once.
        waiting: How many beyond that the consumer wants.
        saved: What is on disk.
    """

    __slots__ = ("position", "waiting", "saved", "_finished", "_open", "_returned")

    def __init__(self, place: Place, waiting: int) -> None:
        """Begin where a consumer was; `waiting` messages that it wants are beyond its cursor."""
        self.saved = place
        self.position = self._finished = place.cursor
        self.waiting = waiting
        self._open: dict[int, None] = dict.fromkeys(place.unfinished)
        self._returned: list[int] = list(place.unfinished)

    @property
    def depth(self) -> int:
        """How many messages the consumer has not finished, those in flight included."""
        return self.waiting + len(self._open)

    @property
    def given(self) -> int:
        """How many were given and are not finished."""
        return len(self._open)

    @property
    def to_give(self) -> int:
        """How many wait to be given, for the first time or again."""
        return self.waiting + len(self._returned)

    def place(self, last: int) -> Place:
        """How far it is, in a log that ends at `last`."""
        oldest = self.oldest_given()
        if oldest is None:
            return Place(self.position if self.waiting else last)
        cursor = max(self._finished, oldest - 1)
        return Place(cursor, tuple(takewhile(cursor.__gt__, self._open)))

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
            if seq in self._open:
                del self._open[seq]
                self._finished = max(self._finished, seq)
            if seq in self._returned:
                self._returned.remove(seq)
        return before - len(self._open)
