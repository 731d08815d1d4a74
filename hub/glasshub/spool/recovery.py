# SPDX-License-Identifier: LGPL-2.1-or-later
"""A damaged log: set aside, never deleted; what can be read of it goes into a new one, row by row.

The new one is made whole under another name, and only then takes the place of the damaged one, in steps that the next
start completes if the power fails between them:

1. `log.sqlite.new` is filled, and called `log.sqlite.recovered`; from now on the damaged one is not needed any more;
2. the damaged one gets a dated name;
3. the recovered one becomes `log.sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import SpoolDamagedError, SpoolFullError
from .files import SpoolDirectory
from .tables import connect, create, is_message, numbers_of, open_for_writing, placeholders, transaction, translated

#: Rows that are asked for at once; one by one where that fails.
_STEP = 64

#: Rows that are written at once.
_BATCH = 2000

#: No row takes less room in the file, so that its size bounds the numbers of rows when nothing else does.
_SMALLEST_ROW = 16

_Row = tuple[object, ...]


@dataclass
class _Outcome:
    """What was recovered, and how many messages could not be."""

    messages: int = 0
    consumers: int = 0
    parked: int = 0
    unread: int = 0


def open_or_recover(directory: SpoolDirectory) -> tuple[sqlite3.Connection, str]:
    """Open the log for writing, or make it, or recover it.

    Returns:
        The open log; and what was found and done when it was damaged, else nothing.

    Raises:
        SpoolFullError: There is no room to recover it.
        SpoolError: It is of a newer version, or cannot be opened.
    """
    with translated(directory.log):
        _complete(directory)
        try:
            return _opened(directory), ""
        except SpoolDamagedError as error:
            story = _recover(directory, str(error))
        return open_for_writing(directory.log), story


def _opened(directory: SpoolDirectory) -> sqlite3.Connection:
    damage = directory.noted_damage()
    if damage:
        raise SpoolDamagedError(damage)
    if directory.is_without_log():
        _make(directory)
        directory.new.rename(directory.log)
        directory.sync()
    return open_for_writing(directory.log)


def _make(directory: SpoolDirectory) -> None:
    directory.remove(directory.new)
    directory.make_file(directory.new)
    create(directory.new)


def _complete(directory: SpoolDirectory) -> None:
    """Go through the last steps of a recovery that was interrupted."""
    if directory.recovered.exists():
        _put_in_place(directory)


def _put_in_place(directory: SpoolDirectory) -> str:
    directory.damaged.unlink(missing_ok=True)
    aside = directory.set_aside()
    directory.recovered.rename(directory.log)
    directory.sync()
    return aside.name


def _recover(directory: SpoolDirectory, reason: str) -> str:
    try:
        with translated(directory.new):
            _make(directory)
            outcome = _copy(directory)
    except SpoolFullError as error:
        directory.remove(directory.new)
        raise SpoolFullError(f"{reason}; what can be read is not recovered yet: {error}") from error
    directory.new.rename(directory.recovered)
    directory.sync()
    aside = _put_in_place(directory)
    story = (
        f"{reason}; it is kept as {aside}; recovered: {outcome.messages} messages, {outcome.consumers} consumers, "
        f"{outcome.parked} parked"
    )
    return f"{story}; up to {outcome.unread} messages are lost" if outcome.unread else story


def _copy(directory: SpoolDirectory) -> _Outcome:
    outcome = _Outcome()
    target = open_for_writing(directory.new)
    try:
        # The last checkpoint waits for the disk; nothing before it has to.
        target.execute("PRAGMA synchronous = NORMAL")
        source = _source(directory)
        if source is not None:
            try:
                _Salvage(source, target, directory.log.stat().st_size, outcome).run()
            finally:
                source.close()
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        target.close()
    return outcome


def _source(directory: SpoolDirectory) -> sqlite3.Connection | None:
    """The damaged log; None if there is nothing that could be read."""
    if not directory.log.exists():
        return None
    source = connect(directory.log, "ro")
    source.execute("PRAGMA writable_schema = ON")  # else SQLite opens nothing of a file that lacks its end
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return source


class _Salvage:
    """Copies what can be read."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection, size: int, outcome: _Outcome) -> None:
        self._source = source
        self._target = target
        self._most_rows = size // _SMALLEST_ROW
        self._outcome = outcome

    def run(self) -> None:
        """Copy all tables."""
        consumers = (row for row in self._rows("consumers") if row is not None and _is_consumer(row))
        self._outcome.consumers = self._write("consumers", 4, consumers)
        audiences = [row for row in self._rows("audiences") if row is not None and _is_audience(row)]
        self._write("audiences", 2, audiences)
        self._outcome.messages = self._write("messages", 6, self._messages({row[0] for row in audiences}))
        self._outcome.parked = self._write("parked", 9, (row for row in self._rows("parked") if row is not None))

    def _messages(self, audiences: set[object]) -> Iterator[_Row]:
        for row in self._rows("messages"):
            if row is None or row[1] not in audiences or not is_message(row[0], row[2], row[4], row[5]):
                self._outcome.unread += 1
            else:
                yield row

    def _rows(self, table: str) -> Iterator[_Row | None]:
        """Every row of a table; None in the place of one that cannot be read."""
        first, last = self._extent(table)
        for start in range(first, last + 1, _STEP):
            yield from self._step(table, start, min(start + _STEP - 1, last))

    def _step(self, table: str, start: int, end: int) -> Iterator[_Row | None]:
        query = f"SELECT * FROM {table} WHERE rowid BETWEEN ? AND ?"
        try:
            yield from self._source.execute(query, (start, end)).fetchall()
        except sqlite3.Error:
            if start == end:
                yield None
                return
            for rowid in range(start, end + 1):
                yield from self._step(table, rowid, rowid)

    def _extent(self, table: str) -> tuple[int, int]:
        """The first and the last rowid."""
        first = self._number(f"SELECT min(rowid) FROM {table} NOT INDEXED", f"SELECT min(rowid) FROM {table}")
        last = self._number(f"SELECT max(rowid) FROM {table} NOT INDEXED", f"SELECT max(rowid) FROM {table}")
        if first is None:
            first = 1 if table != "messages" else self._number("SELECT min(cursor) FROM consumers") or 1
        most = first + self._most_rows
        return first, most if last is None else min(last, most)

    def _number(self, *queries: str) -> int | None:
        """The first answer that is a number."""
        for query in queries:
            try:
                (number,) = self._source.execute(query).fetchone()
            except sqlite3.Error:
                continue
            if isinstance(number, int):
                return number
        return None

    def _write(self, table: str, columns: int, rows: Iterable[_Row]) -> int:
        written = 0
        supply = iter(rows)
        while batch := list(islice(supply, _BATCH)):
            written += self._write_batch(table, columns, batch)
        return written

    def _write_batch(self, table: str, columns: int, batch: list[_Row]) -> int:
        with transaction(self._target):
            # A damaged page may tell a row twice, or one that breaks a rule.
            insert = f"INSERT OR IGNORE INTO {table} VALUES ({placeholders(columns)})"
            return max(self._target.executemany(insert, batch).rowcount, 0)


def _is_consumer(row: _Row) -> bool:
    return isinstance(row[1], str) and isinstance(row[2], int) and _are_numbers(row[3])


def _is_audience(row: _Row) -> bool:
    return row[1] != "" and _are_numbers(row[1])


def _are_numbers(text: object) -> bool:
    try:
        return isinstance(text, str) and (not text or bool(numbers_of(text)))
    except sqlite3.DatabaseError:
        return False
