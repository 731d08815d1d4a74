# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sets of consumers that want the same messages, each with the number that stands beside its messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence

from .progress import Progress
from .tables import read_audiences

#: Messages that are looked at at once.
_PIECE = 1000


class Audiences:
    """Knows the number of every audience, and makes new ones.

    There are as many as there are combinations of consumers that some topic brings together: tens, not thousands.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        known: Mapping[int, tuple[int, ...]],
        consumers: Mapping[int, Progress],
    ) -> None:
        """Take the known ones.

        Args:
            connection: Where new ones are written.
            known: Their members, by number.
            consumers: Those that are present, by identity, in the order in which the hub has them.
        """
        self._connection = connection
        self._identities = list(consumers)
        self._consumers = consumers
        self._numbers: dict[tuple[int, ...], int] = {}
        self._of_indices: dict[tuple[int, ...], int] = {}
        self._present: dict[int, list[Progress]] = {}
        self._wanted_by: dict[Progress, list[int]] = {progress: [] for progress in consumers.values()}
        for number, members in known.items():
            self._remember(number, members)

    def of_indices(self, interested: tuple[int, ...]) -> int:
        """The number of an audience whose members are told as the router tells them."""
        number = self._of_indices.get(interested)
        if number is None:
            number = self.of_members(tuple(sorted(self._identities[index] for index in interested)))
            self._of_indices[interested] = number
        return number

    def of_members(self, members: tuple[int, ...]) -> int:
        """The number of an audience whose members are told by their identities, ascending."""
        number = self._numbers.get(members)
        if number is None:
            number = write_audience(self._connection, members)
            self._remember(number, members)
        return number

    def present(self, number: int) -> Sequence[Progress]:
        """The members that are present."""
        return self._present[number]

    def wanted_by(self, consumer: Progress) -> Sequence[int]:
        """The audiences that a consumer belongs to."""
        return self._wanted_by[consumer]

    def _remember(self, number: int, members: tuple[int, ...]) -> None:
        self._numbers[members] = number
        self._present[number] = [self._consumers[one] for one in members if one in self._consumers]
        for progress in self._present[number]:
            self._wanted_by[progress].append(number)


def write_audience(connection: sqlite3.Connection, members: tuple[int, ...]) -> int:
    """Write a new audience; its number."""
    text = ",".join(map(str, members))
    number = connection.execute("INSERT INTO audiences(members) VALUES (?)", (text,)).lastrowid
    assert number is not None
    return number


def widen(connection: sqlite3.Connection, identity: int, wants: Callable[[bytes], bool], seqs: range) -> None:
    """Have a new consumer want what is in the log already, as far as its topics satisfy `wants`."""
    members = read_audiences(connection)
    numbers = {ids: number for number, ids in members.items()}
    for seq, audience, topic in _topics(connection, seqs):
        if wants(topic):
            wider = tuple(sorted({*members.get(audience, ()), identity}))
            if wider not in numbers:
                numbers[wider] = write_audience(connection, wider)
            connection.execute("UPDATE messages SET audience = ? WHERE seq = ?", (numbers[wider], seq))


def _topics(connection: sqlite3.Connection, seqs: range) -> Iterator[tuple[int, int, bytes]]:
    """Number, audience and topic of messages; read in pieces, for they are changed meanwhile."""
    query = "SELECT seq, audience, topic FROM messages WHERE seq BETWEEN ? AND ?"
    for start in range(seqs.start, seqs.stop, _PIECE):
        yield from connection.execute(query, (start, start + _PIECE - 1)).fetchall()
