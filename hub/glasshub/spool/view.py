# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looking into a spool from outside, whether a hub writes to it or not; nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .files import SpoolDirectory
from .tables import (
    Place,
    depths,
    is_intact,
    open_for_reading,
    read_audiences,
    read_places,
    space,
    translated,
    waiting_for,
)


@dataclass(frozen=True)
class ConsumerState:
    """How far a consumer is.

    Attributes:
        name: Its name.
        cursor: Whatever it wants up to here is finished, but for a few messages that take longer than those behind.
        depth: How many messages it has not finished. A running hub may be a fraction of a second further.
        oldest_ns: When the first of them was received, in nanoseconds since the epoch; 0 for none.
        parked: How many messages of its are parked.
    """

    name: str
    cursor: int
    depth: int
    oldest_ns: int
    parked: int


@dataclass(frozen=True)
class Stored:
    """A message of the log.

    Attributes:
        seq: Its number.
        topic, body: As they were received.
        received_ns: When, in nanoseconds since the epoch.
        is_intact: Whether it is what was accepted.
        waiting: Consumers that want it and are not past it.
    """

    seq: int
    topic: bytes
    body: bytes
    received_ns: int
    is_intact: bool
    waiting: tuple[str, ...]


@dataclass(frozen=True)
class Parked:
    """A message that a consumer gave up.

    Attributes:
        consumer: Whose.
        seq: The number that it had in the log.
        topic, body: As they were received.
        received_ns, parked_ns: When, in nanoseconds since the epoch.
        error, traceback: Why.
        attempts: How often it was tried.
    """

    consumer: str
    seq: int
    topic: bytes
    body: bytes
    received_ns: int
    parked_ns: int
    error: str
    traceback: str
    attempts: int


class View:
    """What stands in a spool. Threads: one."""

    def __init__(self, directory: Path | str) -> None:
        """Open it.

        Raises:
            SpoolError: There is none, it cannot be read, or a newer version wrote it.
        """
        spool = SpoolDirectory(directory)
        spool.check()
        self._path = spool.log
        self._connection = open_for_reading(self._path)

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def used_bytes(self) -> int:
        """How much of the file is in use."""
        with translated(self._path):
            return space(self._connection).used_bytes

    def consumers(self) -> list[ConsumerState]:
        """All consumers, as they were at one moment, by name."""
        with self._moment() as connection:
            places = read_places(connection)
            audiences = read_audiences(connection)
            waiting = depths(connection, {number: place.cursor for number, place in places.values()}, audiences)
            parked = dict(connection.execute("SELECT consumer, count(*) FROM parked GROUP BY consumer"))
            return [
                ConsumerState(
                    name,
                    place.cursor,
                    waiting[number] + len(place.unfinished),
                    self._oldest_ns(place, [one for one, members in audiences.items() if number in members]),
                    parked.get(number, 0),
                )
                for name, (number, place) in places.items()
            ]

    def _oldest_ns(self, place: Place, audiences: list[int]) -> int:
        for seq in place.unfinished or waiting_for(self._connection, place.cursor, audiences, 1):
            return int(self._connection.execute("SELECT received_ns FROM messages WHERE seq = ?", (seq,)).fetchone()[0])
        return 0

    def message(self, seq: int) -> Stored | None:
        """A message of the log, or None."""
        with self._moment() as connection:
            row = connection.execute(
                "SELECT audience, received_ns, checksum, topic, body FROM messages WHERE seq = ?", (seq,)
            ).fetchone()
            if row is None:
                return None
            audience, received_ns, recorded, topic, body = row
            members = read_audiences(connection).get(audience, ())
            intact = is_intact(seq, received_ns, recorded, topic, body)
            waiting = [
                name
                for name, (number, place) in read_places(connection).items()
                if number in members and (place.cursor < seq or seq in place.unfinished)
            ]
        return Stored(seq, topic, body, received_ns, intact, tuple(waiting))

    def parked(self, consumer: str | None = None, seq: int | None = None) -> Iterator[Parked]:
        """Parked messages, oldest first, of one consumer or of one number if those are given."""
        with translated(self._path):
            for row in self._connection.execute(
                "SELECT name, seq, topic, body, received_ns, parked_ns, error, traceback, attempts "
                "FROM parked JOIN consumers ON consumers.id = parked.consumer "
                "WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR seq = ?2) ORDER BY parked_ns, seq, name",
                (consumer, seq),
            ):
                yield Parked(*row)

    @contextmanager
    def _moment(self) -> Iterator[sqlite3.Connection]:
        """Let several queries see the same."""
        with translated(self._path):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")
