# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stands in the file of a spool, and how it is opened.

| table     | a row is                                                                                               |
| --------- | ------------------------------------------------------------------------------------------------------ |
| messages  | a message that somebody wants, once for all of them; `seq` counts up, without gaps but at the beginning |
| audiences | a set of consumers that want the same message: there are few of them, however many messages            |
| consumers | a consumer's place: whatever it wants up to its `cursor` is finished, but for `unfinished`             |
| parked    | a message that a consumer gave up, with the reason; a copy of its own                                  |

Who wants a message is settled when it is accepted, and stands beside it as the number of an audience. To route again
when reading would be less to store, but a consumer whose topics change would lose what it was promised. The index
`waiting` has seq and audience of every message and nothing else: what waits for a consumer is counted in it without
touching a body (a million in 0.3 s), and a consumer that wants little finds it there.

Several workers finish in any order, and a message that is tried again later may be finished long after those behind
it. The numbers of what is not finished stand beside the cursor, which need not wait for them: else all that is finished
behind such a message would come again with the next start.

The checksum is of the number, the time, the topic and the body: SQLite notices that the structure of a page is broken,
but not that a bit of a text has flipped.

SQL is for SQLite 3.34, which EL 9 has: no RETURNING, no STRICT.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ..errors import SpoolDamagedError, SpoolError, SpoolFullError

#: Counts up when older versions cannot read what newer ones write.
FORMAT = 1

#: A number above this is no version but damage.
_LAST_FORMAT = 999

#: Bodies are 1 to 3 KB: in pages of 4 KB half of the space is lost, and a commit takes twice as long.
PAGE_BYTES = 16384

#: The write-ahead log is copied into the file when it has so many pages, 4 MB: the longest commit stays short.
_CHECKPOINT_PAGES = 250

#: A write-ahead log that became larger, because somebody was reading, is cut to this.
_WAL_BYTES = 16 << 20

#: Statements that are kept prepared: of those that many messages belong to there is one for each power of two.
_STATEMENTS = 128

#: Seconds to wait for another process that holds a lock of SQLite's: a reader that has just opened the file.
_PATIENCE = 10.0

_OBJECTS = {
    "consumers": "CREATE TABLE consumers("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, cursor INTEGER NOT NULL, "
    "unfinished TEXT NOT NULL)",
    "audiences": "CREATE TABLE audiences(id INTEGER PRIMARY KEY, members TEXT NOT NULL)",
    "messages": "CREATE TABLE messages(seq INTEGER PRIMARY KEY, audience INTEGER NOT NULL, "
    "received_ns INTEGER NOT NULL, checksum INTEGER NOT NULL, topic BLOB NOT NULL, body BLOB NOT NULL)",
    "waiting": "CREATE INDEX waiting ON messages(seq, audience)",
    "parked": "CREATE TABLE parked(seq INTEGER NOT NULL, consumer INTEGER NOT NULL, received_ns INTEGER NOT NULL, "
    "topic BLOB NOT NULL, body BLOB NOT NULL, error TEXT NOT NULL, traceback TEXT NOT NULL, "
    "attempts INTEGER NOT NULL, parked_ns INTEGER NOT NULL, PRIMARY KEY(seq, consumer))",
}


def checksum(seq: int, received_ns: int, topic: bytes, body: bytes) -> int:
    """What shows that a message is the one that was accepted under that number."""
    return zlib.crc32(body, zlib.crc32(topic, (seq ^ received_ns) & 0xFFFFFFFF))


def is_message(seq: object, received_ns: object, topic: object, body: object) -> bool:
    """Whether what was read has the types of a message: a flipped bit may turn a number into a text, or nothing."""
    return (
        isinstance(seq, int) and isinstance(received_ns, int) and isinstance(topic, bytes) and isinstance(body, bytes)
    )


def is_intact(seq: int, received_ns: int, recorded: object, topic: bytes, body: bytes) -> bool:
    """Whether a message is as it was written.

    Raises:
        sqlite3.DatabaseError: It is not even one.
    """
    if not is_message(seq, received_ns, topic, body):
        raise sqlite3.DatabaseError(f"message {seq} is none")
    return recorded == checksum(seq, received_ns, topic, body)


def create(path: Path) -> None:
    """Make an empty log of an empty file.

    Raises:
        SpoolFullError: There is no room.
        SpoolError: It cannot be written.
    """
    connection = connect(path, "rw")
    try:
        with translated(path):
            # Both are settled when the first page is written, which journal_mode does.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {'; '.join(_OBJECTS.values())}; PRAGMA user_version = {FORMAT}; COMMIT")
            # Else it is in another file until the connection is closed, which reports no error.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open a log, which has to be there.

    Raises:
        SpoolDamagedError: It cannot be read.
        SpoolError: It is of a newer version, or cannot be opened.
    """
    connection = connect(path, "rw")
    try:
        with translated(path):
            _set_up(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a log beside whoever writes to it.

    Raises:
        SpoolDamagedError: It cannot be read.
        SpoolError: It is not there, is of a newer version, or cannot be opened.
    """
    refuse_missing(path)
    connection = connect(path, "ro")
    try:
        with translated(path):
            _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_missing(path: Path) -> None:
    """See that there is a log.

    Raises:
        SpoolError: There is none, or that is not for us to know.
    """
    try:
        path.stat()
    except FileNotFoundError as error:
        raise SpoolError(f"there is no spool in {path.parent}: no {path.name}") from error
    except OSError as error:
        raise SpoolError(f"cannot look into {path.parent}: {error.strerror}: be root, or the hub's user") from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file without looking into it; `mode` is `ro` or `rw`."""
    with translated(path):
        return sqlite3.connect(
            f"file:{quote(os.path.abspath(path))}?mode={mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,  # no transaction but those that we begin
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    _check(connection, path)
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = _number(connection, "user_version")
    if FORMAT < version <= _LAST_FORMAT:
        raise SpoolError(
            f"{path} was written by a newer Glasshub (format {version}, this one reads {FORMAT}): "
            "run that version, or move the file away"
        )
    if version != FORMAT or _objects(connection) != _OBJECTS:
        raise SpoolDamagedError(f"{path} is damaged: its tables are not those of a spool")


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: sql for name, sql in rows if not name.startswith("sqlite_")}


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


class Space(NamedTuple):
    """The room in the file.

    Attributes:
        pages: How many pages it has.
        free: How many of them are free, and used again before it grows.
    """

    pages: int
    free: int

    @property
    def used_bytes(self) -> int:
        """How much is in use."""
        return (self.pages - self.free) * PAGE_BYTES

    @property
    def free_bytes(self) -> int:
        """How much goes in before the file grows."""
        return self.free * PAGE_BYTES


def space(connection: sqlite3.Connection) -> Space:
    """The room in the file of a log."""
    return Space(_number(connection, "page_count"), _number(connection, "freelist_count"))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite, and of the file system, into ours.

    Raises:
        SpoolFullError: The disk is full.
        SpoolDamagedError: The file is damaged.
        SpoolError: Anything else that is wrong with it.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "is full" in str(error):  # Python 3.9 and 3.10 do not tell SQLite's error codes
            raise SpoolFullError(f"there is no room for {path}: {error}: make some") from error
        if "decode" in str(error):  # what was written as text is none any more
            raise SpoolDamagedError(f"{path} is damaged: {error}") from error
        raise SpoolError(f"{path}: {error}{_hint(path)}") from error
    except sqlite3.DatabaseError as error:
        raise SpoolDamagedError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SpoolFullError(f"there is no room for {path}: {error.strerror}: make some") from error
        raise SpoolError(f"{path}: {error.strerror}{_hint(path)}") from error


def _hint(path: Path) -> str:
    if os.path.exists(path) and os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        return ""
    return f": uid {os.geteuid()} may not write there"


class Place(NamedTuple):
    """How far a consumer is.

    Attributes:
        cursor: Whatever it wants up to here is finished, but for `unfinished`.
        unfinished: Numbers of messages before it, ascending.
    """

    cursor: int
    unfinished: tuple[int, ...] = ()

    @property
    def end_of_finished(self) -> int:
        """Up to where everything is finished."""
        return self.unfinished[0] - 1 if self.unfinished else self.cursor


def read_places(connection: sqlite3.Connection) -> dict[str, tuple[int, Place]]:
    """Identity and place of every consumer, by name."""
    rows = connection.execute("SELECT name, id, cursor, unfinished FROM consumers ORDER BY name").fetchall()
    return {name: (number, Place(cursor, _present(connection, text))) for name, number, cursor, text in rows}


def _present(connection: sqlite3.Connection, text: str) -> tuple[int, ...]:
    """Those of some numbers of messages that are there: damage may have taken others."""
    seqs = numbers_of(text) if text else ()
    query = f"SELECT seq FROM messages WHERE seq IN ({placeholders(len(seqs))}) ORDER BY seq"
    return tuple([seq for (seq,) in connection.execute(query, seqs)]) if seqs else ()


def read_audiences(connection: sqlite3.Connection) -> dict[int, tuple[int, ...]]:
    """The consumers of every audience."""
    return {number: numbers_of(members) for number, members in connection.execute("SELECT id, members FROM audiences")}


def numbers_of(text: str) -> tuple[int, ...]:
    """Numbers from a text of them: consumers of an audience, or messages.

    Raises:
        sqlite3.DatabaseError: It is not what was written.
    """
    try:
        return tuple(map(int, text.split(",")))
    except (ValueError, AttributeError):
        raise sqlite3.DatabaseError(f"{text!r} are no numbers") from None


def depths(
    connection: sqlite3.Connection, cursors: Mapping[int, int], audiences: Mapping[int, Sequence[int]]
) -> Counter[int]:
    """How many messages beyond its cursor each consumer wants; looks at every message once.

    Between two neighbouring cursors, all messages of an audience wait for the same consumers.
    """
    steps = sorted(set(cursors.values()))
    waiting: Counter[int] = Counter()
    for start, end in zip(steps, [*steps[1:], None]):
        for audience, messages in _counted(connection, start, end):
            for consumer in audiences.get(audience, ()):
                if cursors.get(consumer, start + 1) <= start:
                    waiting[consumer] += messages
    return waiting


def _counted(connection: sqlite3.Connection, start: int, end: int | None) -> Iterable[tuple[int, int]]:
    bound = "" if end is None else f" AND seq <= {end:d}"
    return connection.execute(
        f"SELECT audience, count(*) FROM messages INDEXED BY waiting WHERE seq > ?{bound} GROUP BY audience", (start,)
    )


def placeholders(count: int) -> str:
    """So many question marks."""
    return ",".join("?" * count)


def waiting_for(connection: sqlite3.Connection, cursor: int, audiences: Iterable[int], limit: int) -> list[int]:
    """Numbers of the first messages beyond a cursor for some audiences, ascending."""
    wanted = ",".join(map(str, audiences))
    rows: Iterable[tuple[Any]] = connection.execute(
        f"SELECT seq FROM messages INDEXED BY waiting WHERE seq > ? AND audience IN ({wanted}) ORDER BY seq LIMIT ?",
        (cursor, limit),
    )
    return [seq for (seq,) in rows]
