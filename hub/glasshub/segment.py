# SPDX-License-Identifier: LGPL-2.1-or-later
"""The segment: the hub makes it, worker processes map it, and its slots are shared out among those who write them."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import mmap
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import layout, schema
from glasshub_stats.snapshot import PHASES

from .errors import HubRunningError, StatsDirectoryError
from .stats import (
    BackfillSlots,
    Books,
    ConsumerSlots,
    DispatcherSlots,
    DropSlots,
    EnqueuerSlots,
    FetchSlots,
    HubQueueSlots,
    InjectionSlots,
    ProducerSlots,
    SentSlots,
    SupervisorSlots,
    WorkerSlots,
    slots_of,
)

_WORKER, _CONSUMER, _HUB, _PRODUCER = map(slots_of, ("worker", "consumer", "hub", "producer"))


@dataclass(frozen=True)
class ConsumerRow:
    """What the segment says of a consumer from the start: its name, its workers, whether it was built, and the seconds
    that it may take for one message."""

    name: str
    workers: int
    initialized: bool
    max_processing: float = 0.0


@dataclass(frozen=True)
class ProducerRow:
    """What the segment says of a producer from the start: its name, whether it was built, seconds between polls."""

    name: str
    initialized: bool
    frequency: float = 0.0


class SegmentSlots:
    """Everybody's slots in a segment, shared out among those who write them.

    Attributes:
        path: Where the segment stands.
        enqueuer: The hub's slots that the enqueuer writes.
        backfill: The hub's slots that are written by whoever fetches what was published in gaps of the bus.
        dispatcher: The hub's slots that the dispatcher of shape `shared` writes.
        hub_queue: The hub's slots that others write who put into the queue of shape `shared`.
        supervisor: The hub's slots that tell of worker processes.
        rows: The row of each consumer in the segment.
        consumers: The enqueuer's slots of each consumer.
        injections: The slots of each consumer that others write who put into its queue.
        drops: The slots of each consumer that are written by whoever drops its messages.
        fetches: The slots of each consumer that its fetcher writes.
        workers: The slots of each consumer's workers.
        books: What has been counted of each consumer, by whomever.
        producers: The slots of each producer.
    """

    def __init__(
        self,
        path: Path,
        hub: memoryview,
        consumers: Mapping[int, memoryview],
        workers: Sequence[memoryview],
        producers: Sequence[memoryview],
    ) -> None:
        """Share rows out.

        Args:
            path: Where the segment stands.
            hub: The hub's row.
            consumers: Rows of consumers, by their number in the segment.
            workers: All rows of workers.
            producers: Rows of producers.
        """
        self.path = path
        self.enqueuer = EnqueuerSlots(hub)
        self.backfill = BackfillSlots(hub)
        self.dispatcher = DispatcherSlots(hub)
        self.hub_queue = HubQueueSlots(hub)
        self.supervisor = SupervisorSlots(hub)
        self.rows = list(consumers)
        rows = list(consumers.values())
        of_each = [[worker for worker in workers if worker[_WORKER["consumer"]] == number] for number in consumers]
        self.consumers = [ConsumerSlots(row) for row in rows]
        self.injections = [InjectionSlots(row) for row in rows]
        self.drops = [DropSlots(row) for row in rows]
        self.fetches = [FetchSlots(row) for row in rows]
        self.workers = [[WorkerSlots(worker) for worker in ours] for ours in of_each]
        self.books = [Books(row, ours) for row, ours in zip(rows, of_each)]
        self.producers = [ProducerSlots(row) for row in producers]


class SegmentWriter(SegmentSlots):
    """The segment of a running hub.

    Made under a temporary name and renamed when it is whole, so that no reader ever sees half of one; its lock is
    held until `close`, or until the process dies.
    """

    def __init__(
        self,
        path: Path,
        consumers: Sequence[ConsumerRow],
        *,
        producers: Sequence[ProducerRow] = (),
        name: str,
        version: str,
        shape: str,
        source: str,
        mode: int = 0o640,
        group: str = "",
    ) -> None:
        """Make the segment and put it in place of an older one; the caller has `claimed` the name.

        Raises:
            StatsDirectoryError: The directory refuses, is full, or the group does not exist.
        """
        sections, size = layout.plan(sum(c.workers for c in consumers), len(consumers), len(producers))
        # One name, so that what a hub leaves that was killed here is gone with the next start (see `claimed`).
        temporary = path.with_name(f".{path.name}.new")
        with _explained(path.parent):
            temporary.unlink(missing_ok=True)
            self._file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # Reserves the blocks: on a full tmpfs a store into a sparse file kills the hub with SIGBUS.
                os.posix_fallocate(self._file, 0, size)
                self._map = mmap.mmap(self._file, size)
                self._slots = memoryview(self._map).cast("Q")
                rows = {part: list(_rows_of(self._slots, section)) for part, section in sections.items()}
                (self._hub,) = rows["hub"]
                self._describe_hub(name=name, version=version, shape=shape, source=source)
                _describe_consumers(consumers, rows["consumer"], iter(rows["worker"]))
                of_consumers = dict(enumerate(rows["consumer"]))
                super().__init__(path, self._hub, of_consumers, rows["worker"], rows["producer"])
                self._describe_producers(producers, rows["producer"])
                self._finish(sections)
                set_access(self._file, mode=mode, group=group)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rename(temporary, path)
            except BaseException:
                os.close(self._file)
                os.unlink(temporary)
                raise

    def beat(self) -> None:
        """Show that the hub's main thread goes round its loop, and publish how the clocks stand to each other.

        Threads: main thread only.
        """
        slots, now_ns = self._slots, time.monotonic_ns()
        slots[layout.BOOTTIME_OFFSET // layout.SLOT] = max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now_ns, 0)
        slots[layout.REALTIME_OFFSET // layout.SLOT] = max(time.time_ns() - now_ns, 0)
        slots[layout.HEARTBEAT_OFFSET // layout.SLOT] = now_ns

    @property
    def enqueuer_heartbeat_ns(self) -> int:
        """When the enqueuer last went round its loop, on the monotonic clock; 0 before the first time. Threads: any."""
        return self._hub[_HUB["enqueuer_heartbeat_ns"]]

    def phase(self, phase: str) -> None:
        """Publish what the hub is doing, one of `glasshub_stats.snapshot.PHASES`. Threads: main thread only."""
        self._hub[_HUB["phase"]] = PHASES.index(phase)

    def close(self) -> None:
        """Give the lock up. The file stays, with the last figures; the mapping goes with the process.

        Threads: main thread only. A worker that still runs may go on counting: nobody takes its slots away.
        """
        fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough: the mapping holds a copy of the descriptor
        os.close(self._file)

    def _describe_hub(self, **texts: str) -> None:
        for field, text in texts.items():
            _store_text(self._hub, _HUB[field], text)

    def _describe_producers(self, producers: Sequence[ProducerRow], rows: Sequence[memoryview]) -> None:
        for producer, row, slots in zip(producers, rows, self.producers):
            _store_text(row, _PRODUCER["name"], producer.name)
            row[_PRODUCER["initialized"]] = producer.initialized
            slots.frequency(producer.frequency)

    def _finish(self, sections: dict[str, layout.Section]) -> None:
        prefix = layout.pack_header(
            sections,
            pid=os.getpid(),
            pid_start=_start_of_this_process(),
            boot_id=_boot_id(),
            generation=secrets.randbits(63),
            created_ns=time.monotonic_ns(),
        ).ljust(layout.HEADER_SIZE, b"\0") + layout.pack_tables(sections)
        self._map[: len(prefix)] = prefix
        self.beat()


class AttachedSegment(SegmentSlots):
    """Some rows of a segment. Who takes the place of a process that has died counts on from what it finds there.

    Attributes:
        consumers: Not the enqueuer's slots, but what is counted of each consumer's queue in this process.
    """

    def __init__(self, path: Path, consumers: Sequence[int], producers: Sequence[int]) -> None:
        """Map the segment; the mapping goes with the process.

        Args:
            path: Where it stands.
            consumers: The rows of the consumers of this process.
            producers: The rows of its producers.
        """
        # Opened here, not inherited: the hub's lock is held by what the hub has opened, and must go with the hub.
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            mapped = mmap.mmap(file, 0)
        finally:
            os.close(file)
        data = bytearray(mapped[:])
        sections = layout.parse_tables(str(path), data, layout.parse_header(str(path), data))
        slots = memoryview(mapped).cast("Q")
        rows = {part: list(_rows_of(slots, section)) for part, section in sections.items()}
        of_consumers = {row: rows["consumer"][row] for row in consumers}
        of_producers = [rows["producer"][row] for row in producers]
        super().__init__(path, rows["hub"][0], of_consumers, rows["worker"], of_producers)
        self.consumers = [SentSlots(row) for row in of_consumers.values()]
        self._end_what_died()

    def _end_what_died(self) -> None:
        """Note what the process was at beside the way of a message that was here before."""
        for producer in self.producers:
            producer.died(time.monotonic_ns())
        for fetch in self.fetches:
            fetch.died()


@contextlib.contextmanager
def claimed(directory: Path, name: str) -> Iterator[None]:
    """Be the only hub of this name in this directory, for as long as the context lasts.

    Raises:
        HubRunningError: Another process is.
        StatsDirectoryError: The directory refuses.
    """
    path = directory / f"{name}.lock"
    with _explained(directory):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise HubRunningError(
                f"a hub named {name!r} already runs here (pid {pid}, lock {path}): "
                f"stop it, or give this one another name with --name"
            ) from None
        with _explained(directory):
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def set_access(target: int | Path, *, mode: int, group: str) -> None:
    """Give a file its mode and, where one is named, its group.

    Raises:
        StatsDirectoryError: The group does not exist, or we may not give files to it.
    """
    if group:
        try:
            os.chown(target, -1, grp.getgrnam(group).gr_gid)
        except KeyError:
            raise StatsDirectoryError(
                f"[stats] group: there is no group {group!r} on this host: create it, or set another one"
            ) from None
        except PermissionError:
            raise StatsDirectoryError(
                f"[stats] group: this user may not give files to group {group!r}: "
                f"add the hub's user to it, or leave the setting empty and set a mode"
            ) from None
    os.chmod(target, mode)


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turn what the system says of a file in the stats directory into a sentence for the operator."""
    try:
        yield
    except OSError as error:
        raise StatsDirectoryError(
            f"cannot make the stats files in {directory}: {error.strerror}: "
            f"make it a directory that this user may write to, or choose another one with --stats-dir"
        ) from error


def _rows_of(slots: memoryview, section: layout.Section) -> Iterator[memoryview]:
    """The rows of a section, each as slots."""
    first, size = section.offset // layout.SLOT, section.row_size // layout.SLOT
    for row in range(section.rows):
        yield slots[first + row * size : first + (row + 1) * size]


def _describe_consumers(
    consumers: Sequence[ConsumerRow], rows: Sequence[memoryview], worker_rows: Iterator[memoryview]
) -> None:
    for number, (consumer, row) in enumerate(zip(consumers, rows)):
        _store_text(row, _CONSUMER["name"], consumer.name)
        row[_CONSUMER["workers"]] = consumer.workers
        row[_CONSUMER["initialized"]] = consumer.initialized
        row[_CONSUMER["max_processing_ns"]] = int(consumer.max_processing * 1e9)
        for _ in range(consumer.workers):
            next(worker_rows)[_WORKER["consumer"]] = number


def _store_text(row: memoryview, slot: int, text: str) -> None:
    raw = text.encode("utf-8")[: schema.TEXT_BYTES].decode("utf-8", "ignore").encode("utf-8")
    size = schema.TEXT_BYTES // layout.SLOT
    row[slot : slot + size] = memoryview(raw.ljust(schema.TEXT_BYTES, b"\0")).cast("Q")


def _boot_id() -> bytes:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return bytes(16)
    return bytes.fromhex(text.strip().replace("-", ""))


def _start_of_this_process() -> int:
    """Clock ticks after boot, field 22 of /proc/self/stat (proc(5)); 0 where there is no /proc."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])
