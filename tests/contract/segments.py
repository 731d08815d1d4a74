# SPDX-License-Identifier: LGPL-2.1-or-later
"""Segments made by hand, for tests on every Python from 2.7 on, where the hub's own writer does not run.

A `Segment` writes its file as a hub would, and can do what no hub does: be of another version, lack fields, have
unknown ones, have an old heartbeat, or lose its lock.
"""

from __future__ import absolute_import

import fcntl
import os
import struct

from glasshub_stats import layout, schema
from glasshub_stats.clock import monotonic_ns
from glasshub_stats.histogram import BUCKETS, bucket_of
from glasshub_stats.snapshot import PHASES

MYPY = False
if MYPY:
    from typing import Any, Dict, Sequence, Tuple, Union

    Cell = Union[int, bytes, str]

_SECTION = struct.Struct("=16sQII")
_FIELD = struct.Struct("=IIII32s16s16s")
_NAMES = ("worker", "consumer", "hub", "producer")


class Segment(object):
    """A segment file with one row for each worker; a context manager that gives the lock up and removes the file.

    Attributes:
        path: The file.
        generation: As the header has it.
    """

    def __init__(
        self,
        path,  # type: str
        consumers=(("A", 1),),  # type: Sequence[Tuple[str, int]]
        producers=(),  # type: Sequence[str]
        hub="hub",  # type: str
        generation=1,  # type: int
        age=1000.0,  # type: float
        version=(layout.MAJOR, layout.MINOR),  # type: Tuple[int, int]
        without=(),  # type: Sequence[str]
        unknown=(),  # type: Sequence[str]
        is_locked=True,  # type: bool
    ):
        # type: (...) -> None
        """Make the file, with fresh heartbeats and every number 0.

        Args:
            path: Where.
            consumers: Name and number of workers of each.
            producers: Name of each.
            hub: The hub's name.
            generation: Another number stands for another start of the hub.
            age: Seconds since the hub started.
            version: Major and minor version of the layout.
            without: Fields that the file lacks, as "worker.failed", or a whole section, as "producer".
            unknown: Fields that no reader knows, as "hub.colour"; each is one slot.
            is_locked: Whether a process holds the lock.
        """
        self.path = path
        self.generation = generation
        self._version = version
        self._created_ns = max(monotonic_ns(0) - int(age * 1e9), 1)
        rows = (sum(workers for _, workers in consumers), len(consumers), len(producers))
        self._sections, self._size = _planned(rows, without, unknown)
        self._first_worker = [sum(workers for _, workers in consumers[:index]) for index in range(len(consumers))]
        temporary = path + ".new"
        self._file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(self._file, self._head().ljust(self._size, b"\0"))
        self._fill(consumers, producers, hub)
        if is_locked:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(temporary, path)

    def __enter__(self):
        # type: () -> Segment
        return self

    def __exit__(self, *_):
        # type: (*Any) -> None
        self.close()

    def hub(self, **cells):
        # type: (**Cell) -> Segment
        """Set cells of the hub's row by the names of `schema.HUB_FIELDS`; of no effect on a field that is lacking."""
        return self._set("hub", 0, cells)

    def consumer(self, index, **cells):
        # type: (int, **Cell) -> Segment
        """Set cells of a consumer's row."""
        return self._set("consumer", index, cells)

    def worker(self, of, nth=0, **cells):
        # type: (int, int, **Cell) -> Segment
        """Set cells of the row of the `nth` worker of the consumer with index `of`, both counted from 0."""
        return self._set("worker", self._first_worker[of] + nth, cells)

    def producer(self, index, **cells):
        # type: (int, **Cell) -> Segment
        """Set cells of a producer's row; of no effect in a file without them."""
        return self._set("producer", index, cells)

    def durations(self, consumer, histogram, seconds, nth=0):
        # type: (int, str, Sequence[float], int) -> Segment
        """Set a worker's histogram `wait` or `processing`, and its sum, to these durations."""
        counts = [0] * BUCKETS
        for duration in seconds:
            counts[bucket_of(int(duration * 1e9))] += 1
        total = {histogram + "_ns": int(sum(seconds) * 1e9)}
        cells = {histogram: struct.pack("=%dQ" % BUCKETS, *counts)}
        return self._set("worker", self._first_worker[consumer] + nth, dict(total, **cells))

    def beat(self, age=0.0, enqueuer_age=None):
        # type: (float, Any) -> Segment
        """Put the heartbeats of the main thread and of the enqueuer `age` seconds into the past."""
        now_ns = monotonic_ns(0)
        self._write(layout.HEARTBEAT_OFFSET, struct.pack("=Q", max(now_ns - int(age * 1e9), 0)))
        enqueuer_age = age if enqueuer_age is None else enqueuer_age
        return self.hub(enqueuer_heartbeat_ns=max(now_ns - int(enqueuer_age * 1e9), 0))

    def phase(self, phase):
        # type: (str) -> Segment
        """Put the hub into one of `snapshot.PHASES`."""
        return self.hub(phase=PHASES.index(phase))

    def unlock(self):
        # type: () -> Segment
        """Let the lock go, as the death of the process does."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return self

    def close(self):
        # type: () -> None
        """Let the lock go and remove the file if it still is ours."""
        try:
            if os.path.exists(self.path) and os.path.samestat(os.fstat(self._file), os.stat(self.path)):
                os.unlink(self.path)
        finally:
            os.close(self._file)

    def _fill(self, consumers, producers, hub):
        # type: (Sequence[Tuple[str, int]], Sequence[str], str) -> None
        self.hub(name=hub, version="1.0", shape="threads", source="test").phase("running").beat()
        for index, (name, workers) in enumerate(consumers):
            self.consumer(index, name=name, workers=workers, initialized=1)
            for nth in range(workers):
                self.worker(index, nth, consumer=index)
        for index, name in enumerate(producers):
            self.producer(index, name=name, initialized=1)

    def _head(self):
        # type: () -> bytes
        """Header and tables; packed here, because `layout` packs no fields but its own."""
        sections = [(name, self._sections[name]) for name in _NAMES if name in self._sections]
        fields = [
            _FIELD.pack(index, field.offset, field.size, 0, name.encode(), field.kind.encode(), field.unit.encode())
            for index, (_, section) in enumerate(sections)
            for name, field in sorted(section.fields.items(), key=lambda item: item[1].offset)
        ]
        header = layout.pack_header(
            self._sections,
            pid=os.getpid(),
            pid_start=1,
            boot_id=b"\0" * 16,
            generation=self.generation,
            created_ns=self._created_ns,
        )
        return b"".join(
            [header[:12], struct.pack("=HH", *self._version), header[16:].ljust(layout.HEADER_SIZE - 16, b"\0")]
            + [_SECTION.pack(name.encode(), row.offset, row.row_size, row.rows) for name, row in sections]
            + fields
        )

    def _set(self, section, row, cells):
        # type: (str, int, Dict[str, Any]) -> Segment
        where = self._sections.get(section)
        for name, cell in cells.items():
            field = where.fields.get(name) if where is not None else None
            if where is not None and field is not None:
                self._write(where.offset + row * where.row_size + field.offset, _packed(cell, field.size))
        return self

    def _write(self, offset, raw):
        # type: (int, bytes) -> None
        os.lseek(self._file, offset, os.SEEK_SET)
        os.write(self._file, raw)


def _packed(cell, size):
    # type: (Any, int) -> bytes
    if isinstance(cell, bytes):
        return cell.ljust(size, b"\0")
    if hasattr(cell, "encode"):
        return bytes(cell.encode("utf-8")).ljust(size, b"\0")
    return struct.pack("=Q", cell)


def _planned(rows, without, unknown):
    # type: (Tuple[int, int, int], Sequence[str], Sequence[str]) -> Tuple[Dict[str, layout.Section], int]
    """Like `layout.plan`, with sections and fields taken out and strange fields put in front of the others."""
    planned, _ = layout.plan(*rows)
    names = [name for name in _NAMES if name not in without]
    fields = {}  # type: Dict[str, Dict[str, layout.Field]]
    for name in names:
        strange = [word.split(".")[1] for word in unknown if word.split(".")[0] == name]
        kept = {key: field for key, field in planned[name].fields.items() if name + "." + key not in without}
        shift = layout.SLOT * len(strange)
        fields[name] = {key: field._replace(offset=field.offset + shift) for key, field in kept.items()}
        for index, key in enumerate(strange):
            fields[name][key] = layout.Field(index * layout.SLOT, layout.SLOT, schema.GAUGE, "stranger")
    end = _aligned(layout.HEADER_SIZE + len(names) * _SECTION.size + _FIELD.size * sum(map(len, fields.values())))
    sections = {}
    for name in names:
        row_size = _aligned(max(field.offset + field.size for field in fields[name].values()))
        sections[name] = layout.Section(end, row_size, planned[name].rows, fields[name])
        end += row_size * planned[name].rows
    return sections, end


def _aligned(size):
    # type: (int) -> int
    return (size + 63) // 64 * 64
