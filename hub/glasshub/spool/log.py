# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log: what was accepted is on disk, and every consumer goes on where it was.

Purpose: a backlog that outlives the hub, is bounded by the disk and not by memory, and can be counted at any moment.

Guarantees, for a disk that does what it says:

* `append` returns when the batch is on disk (with `synchronous` FULL), all of it or nothing;
* each consumer is given what it wants in the order in which it was accepted, at least once: again only what was not
  acknowledged when a process died, and what was given back;
* in memory is one window for each consumer, and the numbers of what it has been given;
* who is not given something is told so: damaged messages are parked.

Assumptions: one process writes (`WriterLock` sees to it), others read through `View`.

One statement for each batch, in autocommit: between two statements another thread may hold the interpreter lock for
milliseconds. Only appending and parking wait for the disk. What acknowledging and trimming write reaches it later, in
the order in which it was written: a power failure may take the last of it back, and then messages come again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..errors import SpoolDamagedError, SpoolError, SpoolFullError, SpoolOversizeError
from ..logs import Repeats, held_back
from ..message import Frame
from .audiences import Audiences, widen
from .files import SpoolDirectory, WriterLock
from .progress import Progress
from .recovery import open_or_recover
from .tables import (
    Place,
    Space,
    checksum,
    depths,
    is_intact,
    placeholders,
    read_audiences,
    read_places,
    space,
    transaction,
    translated,
    waiting_for,
)

logger = logging.getLogger(__name__)

#: Most messages that `append` takes at once.
MAX_BATCH = 1000

#: When the file system has less left, nothing more is accepted: to acknowledge, to trim and to park needs room as well.
RESERVE_BYTES = 16 << 20

#: So many bytes are accepted before it is looked again whether there is room.
_GRANT = 1 << 20

#: What a message takes besides its topic and body.
_ROW_BYTES = 64

#: Most messages that a consumer has been given and has not finished.
REACH = 10_000

#: A window that `take` returns ends with the message that makes it larger.
_WINDOW_BYTES = 4 << 20

#: Finished messages are removed so many at once: less than 2 ms, while 5,000 at once took 40 ms, and longer in all.
_TRIM = 256

#: Free pages are used again, which costs nothing. They are given back to the file system, so many at a time, only
#: when they are more than half of a file that has more than so many.
_FREED_PAGES, _FEW_PAGES = 64, 1024

_COLUMNS = 6


class Entry(NamedTuple):
    """A message that a consumer is given.

    Attributes:
        seq: Its number, by which it is acknowledged.
        frame: The message.
    """

    seq: int
    frame: Frame


class Log:
    """The durable backlog of a hub.

    Consumers are known by their index in `consumers`, as the router has them.

    Threads: any, but one at a time; every method may wait for the disk.

    Attributes:
        leftovers: Consumers that the log knows and nobody named, with the number of messages that wait for them. What
            waits stays until they come back or `drop_consumer` is called.
        damaged: Messages that were found damaged, and parked, since the log was opened.
        recovery: What was found and done when the file was damaged, for the operator; empty if it was not.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        consumers: Sequence[str] = (),
        oldest: Mapping[str, Callable[[bytes], bool]] | None = None,
        limit_bytes: int = 0,
        synchronous: str = "FULL",
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Open the log, or make it; recover what can be read when it is damaged.

        Args:
            directory: Where it stands; made if it is not there.
            consumers: Names of the consumers. One that the log does not know yet gets what comes from now on.
            oldest: Of these consumers, a new one gets what is in the log already, if its topic satisfies the
                function. It costs reading the whole log, once.
            limit_bytes: Size of the file from which on nothing more is accepted; 0 for none. Some megabytes of
                write-ahead log come on top.
            synchronous: `FULL`: accepted is on disk; `NORMAL`: the last of it may be lost when the power fails.
            reserve_bytes: The file does not grow when the file system has less left; 0 to let it.

        Raises:
            SpoolError: The directory is not ours alone, another process writes to it, or the log is of a newer version.
            SpoolFullError: There is no room to recover a damaged log.
        """
        assert synchronous in ("FULL", "NORMAL"), synchronous
        self._directory = SpoolDirectory(directory)
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._synchronous = synchronous
        self._repeats = Repeats()
        self.damaged = 0
        self.recovery = ""
        self._last = self._trimmed = 0
        self._granted = 0
        self._untidied = 0
        self._directory.make()
        self._lock = WriterLock(self._directory)
        try:
            self._open(consumers, oldest or {})
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Everything that was given and not acknowledged comes again."""
        try:
            for identity, progress in zip(self._ids, self._progress):
                self._save(identity, progress)
        finally:
            self._connection.close()  # copies the write-ahead log into the file, when nobody reads
            self._lock.release()

    # Accepting

    def append(self, batch: Sequence[tuple[Frame, tuple[int, ...]]]) -> range:
        """Accept messages, with the consumers that want each, all of them or none.

        Args:
            batch: At most `MAX_BATCH` messages. One that nobody wants is left out.

        Returns:
            The numbers that the others got, in their order.

        Raises:
            SpoolFullError: There is no room. Try again.
            SpoolError: The disk did not take it.
        """
        assert len(batch) <= MAX_BATCH, len(batch)
        wanted = [(frame, interested) for frame, interested in batch if interested]
        if not wanted:
            return range(0)
        with self._guarded():
            self._find_room(wanted)
            audiences = [self._audiences.of_indices(interested) for _, interested in wanted]
            first = self._insert([frame for frame, _ in wanted], audiences)
        for audience, messages in Counter(audiences).items():
            for progress in self._audiences.present(audience):
                progress.expect(messages, first - 1)
        return range(first, self._last + 1)

    def _insert(self, frames: Sequence[Frame], audiences: Iterable[int]) -> int:
        first = seq = self._last + 1
        values: list[object] = []
        for seq, (frame, audience) in enumerate(zip(frames, audiences), first):
            received_ns = frame.received_ns + self._offset_ns
            values += (
                seq,
                audience,
                received_ns,
                checksum(seq, received_ns, frame.topic, frame.body),
                frame.topic,
                frame.body,
            )
        self._connection.execute(*_insert_of(len(frames), values))
        self._last = seq
        return first

    def _find_room(self, batch: Sequence[tuple[Frame, tuple[int, ...]]]) -> None:
        """See that there is room; not each time, but each time that a megabyte has been accepted."""
        size = sum(len(frame.topic) + len(frame.body) + _ROW_BYTES for frame, _ in batch)
        if size > self._granted:
            room = space(self._connection)
            left = min(self._left_of_limit(room, size), self._left_on_disk(room, size))
            self._granted = max(size, min(left, _GRANT))
        self._granted -= size

    def _left_of_limit(self, room: Space, size: int) -> int:
        if not self._limit_bytes:
            return _GRANT
        left = self._limit_bytes - room.used_bytes
        if size > self._limit_bytes // 2:
            raise SpoolOversizeError(f"{size} bytes are more than half of the spool's limit of {self._limit_bytes}")
        if left < size:
            raise SpoolFullError(f"the spool {self._directory.path} has reached its limit of {self._limit_bytes} bytes")
        return left

    def _left_on_disk(self, room: Space, size: int) -> int:
        if not self._reserve_bytes or room.free_bytes > 2 * _GRANT + 2 * size:  # then the file does not grow
            return _GRANT
        system = os.statvfs(self._directory.path)
        available = system.f_bavail * system.f_frsize
        left = (available - self._reserve_bytes) // 2  # once in the write-ahead log, and once in the file
        if left < size:
            raise SpoolFullError(
                f"the file system of {self._directory.path} has {available} bytes left, and {self._reserve_bytes} are "
                "kept for finishing what is there: make room"
            )
        return left

    # Delivering

    def give(self, consumer: int, seqs: Iterable[int]) -> None:
        """Note that a consumer has been given messages as they were appended, which saves reading them.

        Args:
            consumer: Which.
            seqs: Their numbers, ascending; nothing that waits for the consumer is older.
        """
        self._progress[consumer].give(seqs)

    def take(self, consumer: int, limit: int, *, size: int = _WINDOW_BYTES) -> list[Entry]:
        """Give a consumer its next messages: those that were given back first, then new ones.

        Args:
            consumer: Which.
            limit: How many at the most.
            size: The last of them is the one with which they have so many bytes.

        Returns:
            Some of them; none when nothing waits, or when `REACH` of them are not finished.

        Raises:
            SpoolDamagedError: The file is damaged. It will be recovered when it is opened again.
            SpoolFullError: A damaged message cannot be parked. Try again.
        """
        progress = self._progress[consumer]
        with self._guarded():
            while True:
                seqs = progress.returned(limit) or self._new(progress, limit)
                if not seqs:
                    return []
                entries, unreadable, read = self._read(seqs, size)
                progress.give(read)
                try:
                    for seq in unreadable:
                        self._park_damaged(consumer, seq)
                except SpoolError:
                    progress.give_back(read)  # or nobody would ever get the others
                    raise
                if entries:
                    return entries

    def _new(self, progress: Progress, limit: int) -> list[int]:
        limit = min(limit, REACH - progress.given, progress.waiting)
        if limit <= 0:
            return []
        seqs = waiting_for(self._connection, progress.position, self._audiences.wanted_by(progress), limit)
        if len(seqs) < limit:
            raise sqlite3.DatabaseError(f"{limit} messages wait, {len(seqs)} are found")
        return seqs

    def _read(self, seqs: Sequence[int], size: int) -> tuple[list[Entry], list[int], list[int]]:
        """Messages in ascending order, the numbers of damaged ones, and the numbers of all that were read."""
        length = _rounded(len(seqs))
        rows = self._connection.execute(
            f"SELECT seq, received_ns, checksum, topic, body FROM messages WHERE seq IN ({placeholders(length)}) "
            "ORDER BY seq",
            [*seqs, *[seqs[-1]] * (length - len(seqs))],
        )
        now_ns = time.monotonic_ns()
        entries: list[Entry] = []
        unreadable: list[int] = []
        read: list[int] = []
        for seq, received_ns, recorded, topic, body in rows:
            read.append(seq)
            if not is_intact(seq, received_ns, recorded, topic, body):
                unreadable.append(seq)
                continue
            # A clock that was set while the hub was down must not make a message come from the future.
            entries.append(Entry(seq, Frame(topic, body, min(max(received_ns - self._offset_ns, 1), now_ns))))
            size -= len(body)
            if size <= 0:
                break
        rows.close()
        if read != seqs[: len(read)] or (size > 0 and len(read) < len(seqs)):
            raise sqlite3.DatabaseError("a message is in the index and not in the table")
        return entries, unreadable, read

    def _park_damaged(self, consumer: int, seq: int) -> None:
        self.park(consumer, seq, error="damaged on disk: not the bytes that were accepted")
        self.damaged += 1
        logger.error("message %d in the spool %s is damaged: parked", seq, self._directory.path)

    def give_back(self, consumer: int, seqs: Iterable[int]) -> None:
        """Have messages be given again, before any other, because their worker died; finished ones are left out."""
        self._progress[consumer].give_back(seqs)

    # Finishing

    def acknowledge(self, consumer: int, seqs: Iterable[int]) -> int:
        """Note that a consumer has finished with messages, in any order; one that it was not given is ignored.

        Returns:
            How many of them were not finished before.
        """
        progress = self._progress[consumer]
        finished = progress.finish(seqs)
        self._save(self._ids[consumer], progress)
        self._untidied += finished
        if self._untidied >= _TRIM:
            self._untidied -= _TRIM
            self.tidy()
        return finished

    def park(self, consumer: int, seq: int, *, error: str, traceback: str = "", attempts: int = 1) -> None:
        """Put a message that was given away from the backlog, to be looked at; then it is finished.

        Args:
            consumer: Whose.
            seq: Its number.
            error: What is wrong with it, in one line.
            traceback: Where that was noticed.
            attempts: How often it was tried.

        Raises:
            SpoolFullError: There is no room; the message is as it was.
        """
        with self._guarded():
            self._connection.execute(
                "INSERT OR REPLACE INTO parked SELECT seq, ?, received_ns, topic, body, ?, ?, ?, ? "
                "FROM messages WHERE seq = ?",
                (self._ids[consumer], error, traceback, attempts, time.time_ns(), seq),
            )
        self.acknowledge(consumer, [seq])

    def retry(self, name: str, seq: int) -> int:
        """Put a parked message at the end of its consumer's backlog, and of nobody else's.

        Returns:
            Its new number.

        Raises:
            SpoolError: No such message is parked.
        """
        identity = self._identity(name)
        with self._guarded():
            row = self._connection.execute(
                "SELECT received_ns, topic, body FROM parked WHERE consumer = ? AND seq = ?", (identity, seq)
            ).fetchone()
            if row is None:
                raise SpoolError(f"no message {seq} of {name} is parked")
            received_ns, topic, body = row
            audience = self._audiences.of_members((identity,))
            new = self._last + 1
            with transaction(self._connection):
                self._connection.execute(
                    *_insert_of(1, [new, audience, received_ns, checksum(new, received_ns, topic, body), topic, body])
                )
                self._remove_parked(identity, seq)
            self._last = new
        for progress in self._audiences.present(audience):
            progress.expect(1, new - 1)
        if name in self.leftovers:
            self.leftovers[name] += 1
        return new

    def discard(self, name: str, seq: int) -> None:
        """Forget a parked message.

        Raises:
            SpoolError: No such message is parked.
        """
        with self._guarded():
            if not self._remove_parked(self._identity(name), seq):
                raise SpoolError(f"no message {seq} of {name} is parked")

    def _remove_parked(self, identity: int, seq: int) -> int:
        return self._connection.execute("DELETE FROM parked WHERE consumer = ? AND seq = ?", (identity, seq)).rowcount

    def drop_consumer(self, name: str) -> None:
        """Forget a leftover consumer, what waits for it, and what it parked.

        Raises:
            SpoolError: It is none: it runs, or is unknown.
        """
        identity = self._identity(name)
        if identity in self._ids:
            raise SpoolError(f"the consumer {name} is not left over: it runs")
        with self._guarded(), transaction(self._connection):
            self._connection.execute("DELETE FROM parked WHERE consumer = ?", (identity,))
            self._connection.execute("DELETE FROM consumers WHERE id = ?", (identity,))
        del self.leftovers[name]
        del self._left_places[identity]

    def _identity(self, name: str) -> int:
        with self._guarded():
            known = read_places(self._connection)
        if name in known:
            return known[name][0]
        raise SpoolError(f"the spool {self._directory.path} knows no consumer {name}")

    # Looking

    def depth(self, consumer: int) -> int:
        """How many messages a consumer has not finished, those in flight included; costs nothing."""
        return self._progress[consumer].depth

    def waiting(self, consumer: int) -> int:
        """How many messages a consumer has not been given, or has given back; costs nothing."""
        return self._progress[consumer].to_give

    def used_bytes(self) -> int:
        """How much of the file is in use."""
        with self._guarded():
            return space(self._connection).used_bytes

    def span(self) -> int:
        """How many messages there are behind those that everybody has finished."""
        return self._last - self._end_of_finished()

    def next_ns(self, consumer: int) -> int:
        """When the message was received that a consumer is given next, as in `Frame`; 0 for none."""
        progress = self._progress[consumer]
        with self._guarded():
            seqs = progress.returned(1) or self._new(progress, 1)
        return max(self._received_ns(seqs[0]) - self._offset_ns, 1) if seqs else 0

    def last_ns(self) -> int:
        """When the last message was received, in nanoseconds since the epoch; 0 if there never was one."""
        return self._received_ns(self._last)

    def _received_ns(self, seq: int) -> int:
        with self._guarded():
            row = self._connection.execute("SELECT received_ns FROM messages WHERE seq = ?", (seq,)).fetchone()
        return int(row[0]) if row else 0

    # Tidying up

    def tidy(self) -> bool:
        """Remove some of what everybody has finished, and give some of what is free back; takes a few milliseconds.

        `acknowledge` does it now and then. Call it when there is nothing else to do.

        Returns:
            Whether there may be more to do.
        """
        return self._unhurried("remove what is finished", lambda: self._trim() or self._shrink())

    def _trim(self) -> bool:
        # The last message stays: numbers are counted on from it.
        end = min(self._end_of_finished(), self._last - 1, self._trimmed + _TRIM)
        if end <= self._trimmed:
            return False
        self._connection.execute("DELETE FROM messages WHERE seq <= ?", (end,))
        self._trimmed = end
        return True

    def _shrink(self) -> bool:
        room = space(self._connection)
        if room.pages <= _FEW_PAGES or room.free * 2 <= room.pages:
            return False
        self._connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")
        return True

    def compact(self) -> None:
        """Give all that is free back to the file system. It may take long, and needs some room.

        Raises:
            SpoolError: It did not work.
        """
        while self.tidy():
            pass
        with self._guarded():
            self._connection.executescript("PRAGMA incremental_vacuum")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _end_of_finished(self) -> int:
        """Up to where nobody needs anything."""
        places = [progress.place(self._last) for progress in self._progress]
        return min([place.end_of_finished for place in [*places, *self._left_places.values()]], default=self._last)

    def _save(self, identity: int, progress: Progress) -> None:
        """Write down how far a consumer is; what cannot be written now is written with the next."""
        place = progress.place(self._last)
        if place != progress.saved:
            self._unhurried("note how far a consumer is", lambda: self._move(identity, progress, place))

    def _move(self, identity: int, progress: Progress, place: Place) -> bool:
        unfinished = ",".join(map(str, place.unfinished))
        update = "UPDATE consumers SET cursor = ?, unfinished = ? WHERE id = ?"
        self._connection.execute(update, (place.cursor, unfinished, identity))
        progress.saved = place
        return True

    # Loading

    def _open(self, consumers: Sequence[str], oldest: Mapping[str, Callable[[bytes], bool]]) -> None:
        """Open and load the log; recover it when either shows that it is damaged."""
        while True:
            self._connection, story = open_or_recover(self._directory)
            self.recovery = self.recovery or story
            try:
                with self._guarded():
                    self._load(consumers, oldest)
            except SpoolDamagedError:
                self._connection.close()
                if story:
                    raise
            except BaseException:
                self._connection.close()
                raise
            else:
                return

    def _load(self, consumers: Sequence[str], oldest: Mapping[str, Callable[[bytes], bool]]) -> None:
        #: What to add to a time of CLOCK_MONOTONIC, which means nothing after the next boot, to get one that does.
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        self._last, self._trimmed = self._ends()
        known = read_places(self._connection)
        self._join([name for name in consumers if name not in known], oldest)
        known = read_places(self._connection)
        self._ids = [known[name][0] for name in consumers]
        left = {name: place for name, place in known.items() if name not in consumers}
        self._left_places = dict(left.values())
        audiences = read_audiences(self._connection)
        waiting = depths(self._connection, {number: place.cursor for number, place in known.values()}, audiences)
        self._progress = [Progress(known[name][1], waiting[known[name][0]]) for name in consumers]
        self.leftovers = {name: waiting[number] + len(place.unfinished) for name, (number, place) in left.items()}
        self._audiences = Audiences(self._connection, audiences, dict(zip(self._ids, self._progress)))

    def _ends(self) -> tuple[int, int]:
        """The last number that was ever given to a message, and the last that is not there any more."""
        (first,) = self._connection.execute("SELECT min(seq) FROM messages").fetchone()
        # After damage a cursor may be beyond the messages that are left: what comes next is not what it has passed.
        used = (
            "SELECT max(seq) FROM messages UNION ALL SELECT max(cursor) FROM consumers "
            "UNION ALL SELECT max(seq) FROM parked"
        )
        last = max(number or 0 for (number,) in self._connection.execute(used))
        return last, last if first is None else first - 1

    def _join(self, names: Sequence[str], oldest: Mapping[str, Callable[[bytes], bool]]) -> None:
        if not names:
            return
        with transaction(self._connection):
            for name in names:
                # What is in the log is not for it, but for what `widen` gives it.
                row = (name, self._trimmed)
                added = self._connection.execute(
                    "INSERT INTO consumers(name, cursor, unfinished) VALUES (?, ?, '')", row
                )
                if name in oldest:
                    assert added.lastrowid is not None
                    widen(self._connection, added.lastrowid, oldest[name], range(self._trimmed + 1, self._last + 1))

    # Errors

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn errors of SQLite into ours, and leave a note for the next start when the file is damaged."""
        try:
            with translated(self._directory.log):
                yield
        except SpoolDamagedError as error:
            self._directory.note_damage(str(error))
            raise SpoolDamagedError(f"{error}: the next start of the hub recovers what can be read") from error

    def _unhurried(self, what: str, action: Callable[[], bool]) -> bool:
        """Do what the disk may take whenever it likes, and not at all for now: it will be tried again.

        It reaches the disk with whatever is written next for good.

        Returns:
            What the action does; False when the disk did not take it.
        """
        try:
            with self._guarded():
                self._connection.execute("PRAGMA synchronous = NORMAL")
                try:
                    return action()
                finally:
                    self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        except SpoolDamagedError:
            raise
        except SpoolError as error:
            count = self._repeats.admit(what)
            if count is not None:
                logger.warning("cannot %s now: %s%s", what, error, held_back(count))
        return False


def _rounded(count: int) -> int:
    """The next power of two: statements are of few lengths, for each that is kept prepared takes some kilobytes for
    each of its rows. One for each size of a batch came to 70 MB."""
    return 1 << (count - 1).bit_length()


def _insert_of(rows: int, values: list[object]) -> tuple[str, list[object]]:
    """The statement that inserts so many rows, and what belongs to it.

    What is too much of it is left out by the LIMIT.
    """
    length = _rounded(rows)
    return _statement(length), [*values, *[None] * ((length - rows) * _COLUMNS), rows]


@cache
def _statement(length: int) -> str:
    rows = ",".join([f"({placeholders(_COLUMNS)})"] * length)
    return f"INSERT INTO messages SELECT * FROM (VALUES {rows}) LIMIT ?"
