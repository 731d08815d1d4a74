# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing the segment: the other half of `glasshub_stats`, which defines it.

A metric costs its writer one 8-byte store, without a lock: every slot belongs to one thread, named in each
class below. Stores go through a memoryview of unsigned 8-byte items, which never shows a reader half a number
(`struct.pack_into` does: it clears its target first).
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import grp
import mmap
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import layout, schema
from glasshub_stats.histogram import PRECISION_BITS, UNIT_SHIFT, bucket_of
from glasshub_stats.snapshot import PHASES

from .errors import HubRunningError, StatsDirectoryError


def _slots_of(section: str) -> dict[str, int]:
    sections, _ = layout.plan(1, 1)
    return {name: field.offset // layout.SLOT for name, field in sections[section].fields.items()}


_WORKER = _slots_of("worker")
_PROCESSED, _FAILED, _INVALID = _WORKER["processed"], _WORKER["failed"], _WORKER["invalid"]
_DUPLICATES = _WORKER["duplicates"]
_DISCARDED, _PARKED, _RETRIED = _WORKER["discarded"], _WORKER["parked"], _WORKER["retried"]
_DEQUEUED, _STARTED, _HEAD = _WORKER["dequeued"], _WORKER["started_ns"], _WORKER["head_ns"]
_WAIT_NS, _PROCESSING_NS = _WORKER["wait_ns"], _WORKER["processing_ns"]
_LAST_SUCCESS, _LAST_FAILURE = _WORKER["last_success_ns"], _WORKER["last_failure_ns"]
_LAST_REFUSAL = _WORKER["last_refusal_ns"]
_WAIT, _PROCESSING = _WORKER["wait"], _WORKER["processing"]

# Buckets of durations, by units, looked up instead of computed. Seven octaves up they are cut in the same way:
# bucket_of(128 x) is bucket_of(x) + 7 * 16 for x of 16 units and more. So the table serves up to 268 ms.
_TABLED = 4096
_OCTAVES = 7
_TABLED_TWICE = _TABLED << _OCTAVES
_FURTHER = _OCTAVES << PRECISION_BITS
_BUCKET_OF_UNITS = tuple(bucket_of(units << UNIT_SHIFT) for units in range(_TABLED))

_CONSUMER = _slots_of("consumer")
_BLOCKED, _BLOCKING = _CONSUMER["blocked_ns"], _CONSUMER["blocking_ns"]
_ENQUEUED, _WATERMARK, _PUT_HEAD = _CONSUMER["enqueued"], _CONSUMER["watermark"], _CONSUMER["put_head_ns"]

_HUB = _slots_of("hub")
_PRODUCER = _slots_of("producer")

# A frequency of more seconds than this, a hundred years, would not fit into its slot some day.
_LONGEST = 100 * 365 * 86400.0


class Outcome(enum.Enum):
    """How a consumer finished with a message, or, for `RETRIED`, an attempt at one."""

    PROCESSED = "processed"
    FAILED = "failed"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    DISCARDED = "discarded"
    PARKED = "parked"
    RETRIED = "retried"


# Looked up once: an attribute of an Enum class costs as much as three slots.
_PROCESSED_OUTCOME = Outcome.PROCESSED
_COUNTED_IN = {
    Outcome.FAILED: (_FAILED, _LAST_FAILURE),
    Outcome.INVALID: (_INVALID, _LAST_REFUSAL),
    Outcome.DUPLICATE: (_DUPLICATES, None),
    Outcome.DISCARDED: (_DISCARDED, None),
    Outcome.PARKED: (_PARKED, _LAST_FAILURE),
    Outcome.RETRIED: (_RETRIED, _LAST_FAILURE),
}


class WorkerSlots:
    """What one worker counts for one consumer. Threads: that worker only.

    The hottest code of the hub, written for few bytecodes: the counts are kept as attributes too, because to store a
    number costs half of what adding to a slot does, and the bucket of a duration is looked up where it can be.
    """

    __slots__ = ("_dequeued", "_processed", "_processing_ns", "_slots", "_started_ns", "_wait_ns")

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots
        self._dequeued = self._processed = self._wait_ns = self._processing_ns = self._started_ns = 0

    @property
    def dequeued(self) -> int:
        """Messages taken so far. Threads: any."""
        return self._dequeued

    def began(self, received_ns: int, now_ns: int, head_ns: int) -> None:
        """Count a message taken from the queue, see `turned`."""
        self.turned(None, now_ns, received_ns, head_ns)

    def finished(self, outcome: Outcome, now_ns: int) -> None:
        """Count the message at hand as finished, see `turned`."""
        self.turned(outcome, now_ns, 0, 0)

    def turned(self, outcome: Outcome | None, now_ns: int, received_ns: int, head_ns: int) -> None:
        """Count that the worker finished a message, or took one, or both.

        Args:
            outcome: How the message at hand ended; None if there was none.
            now_ns: When.
            received_ns: When the enqueuer received the message that was taken; 0 if none was.
            head_ns: When the message was received that is first in the queue now; 0 for none.
        """
        slots = self._slots
        if outcome is not None:
            if outcome is _PROCESSED_OUTCOME:
                self._processed = slots[_PROCESSED] = self._processed + 1
                slots[_LAST_SUCCESS] = now_ns
            else:
                count, last = _COUNTED_IN[outcome]
                slots[count] += 1
                if last is not None:
                    slots[last] = now_ns
            took_ns = now_ns - self._started_ns
            self._processing_ns = slots[_PROCESSING_NS] = self._processing_ns + took_ns
            units = took_ns >> UNIT_SHIFT
            if units < _TABLED:
                slots[_PROCESSING + _BUCKET_OF_UNITS[units]] += 1
            elif units < _TABLED_TWICE:
                slots[_PROCESSING + _FURTHER + _BUCKET_OF_UNITS[units >> _OCTAVES]] += 1
            else:
                slots[_PROCESSING + bucket_of(took_ns)] += 1
        if received_ns:
            # Before it shows as taken: a worker may be interrupted anywhere, and a message is never older than it is.
            self._started_ns = slots[_STARTED] = now_ns
            self._dequeued = slots[_DEQUEUED] = self._dequeued + 1
            slots[_HEAD] = head_ns
            waited_ns = now_ns - received_ns
            self._wait_ns = slots[_WAIT_NS] = self._wait_ns + waited_ns
            units = waited_ns >> UNIT_SHIFT
            if units < _TABLED:
                slots[_WAIT + _BUCKET_OF_UNITS[units]] += 1
            elif units < _TABLED_TWICE:
                slots[_WAIT + _FURTHER + _BUCKET_OF_UNITS[units >> _OCTAVES]] += 1
            else:
                slots[_WAIT + bucket_of(waited_ns)] += 1


class ConsumerSlots:
    """What the enqueuer counts for one consumer. Threads: enqueuer only."""

    __slots__ = ("_blocked_ns", "_count", "_head", "_highest", "_slots", "_watermark", "total")

    def __init__(
        self, slots: memoryview, *, count: int = _ENQUEUED, watermark: int = _WATERMARK, head: int = _PUT_HEAD
    ) -> None:
        self._slots = slots
        self._count = count
        self._watermark = watermark
        self._head = head
        self._highest = self._blocked_ns = 0
        #: Messages counted so far.
        self.total = 0

    def enqueued(self, count: int) -> None:
        """Count messages; before they are put, so that no worker can be ahead of the count."""
        self.total = self._slots[self._count] = self.total + count

    def requeued(self, count: int) -> None:
        """Count messages that are put again to be tried once more; before they are put."""
        self._slots[_CONSUMER["requeued"]] += count

    def put(self, depth: int, first_ns: int) -> None:
        """Note what the queue looks like after a put.

        Args:
            depth: Its length now.
            first_ns: When its first message was received if it had been empty, else 0.
        """
        if first_ns:
            self._slots[self._head] = first_ns
        if depth > self._highest:
            self._slots[self._watermark] = self._highest = depth

    def blocked(self, began_ns: int, now_ns: int) -> None:
        """Show that the enqueuer has been waiting for room since `began_ns`, and still is."""
        self._slots[_BLOCKED] = self._blocked_ns + now_ns - began_ns
        self._slots[_BLOCKING] = began_ns

    def unblocked(self) -> None:
        """Show that it does not wait any more."""
        self._slots[_BLOCKING] = 0
        self._blocked_ns = self._slots[_BLOCKED]


class DropSlots:
    """What is counted of messages that are thrown away. Threads: whoever holds the lock of the hub's `Overflow`."""

    __slots__ = ("_slots", "total")

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots
        #: Messages counted so far.
        self.total = 0

    def dropped(self, count: int, head_ns: int) -> None:
        """Count messages; after they are out of the queue, so that none counts as taken before.

        Args:
            count: How many.
            head_ns: When the message was received that is first in the queue now; 0 for none, or as before.
        """
        if head_ns:
            self._slots[_CONSUMER["drop_head_ns"]] = head_ns
        self.total = self._slots[_CONSUMER["dropped"]] = self.total + count


class InjectionSlots(ConsumerSlots):
    """What is counted of one consumer's queue besides what the enqueuer puts and the workers take.

    Threads: whoever holds the inlet's lock.
    """

    __slots__ = ()

    def __init__(self, slots: memoryview) -> None:
        super().__init__(
            slots,
            count=_CONSUMER["injected"],
            watermark=_CONSUMER["injected_watermark"],
            head=_CONSUMER["injected_head_ns"],
        )

    injected = ConsumerSlots.enqueued

    def withdrew(self, count: int) -> None:
        """Count messages that the consumer took by itself; after it has them, so that none counts as taken before."""
        self._slots[_CONSUMER["withdrawn"]] += count


class FetchSlots:
    """What is told of fetching the backlog that came before the start. Threads: the one that fetches only."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def began(self) -> None:
        """Show that fetching goes on."""
        self._slots[_CONSUMER["fetching"]] = 1

    def fetched(self, count: int) -> None:
        """Count messages fetched and put; whoever puts them counts them as injected."""
        self._slots[_CONSUMER["fetched"]] += count

    def missed(self, count: int) -> None:
        """Count messages that lie beyond the configured bound."""
        self._slots[_CONSUMER["fetch_missed"]] += count

    def failed(self) -> None:
        """Count an attempt that failed."""
        self._slots[_CONSUMER["fetch_errors"]] += 1

    def ended(self) -> None:
        """Show that fetching is over."""
        self._slots[_CONSUMER["fetching"]] = 0


class EnqueuerSlots:
    """What the enqueuer counts for the hub. Threads: enqueuer only."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def received(self, messages: int, size: int, *, malformed: int = 0, unrouted: int = 0) -> None:
        """Count messages received, their bytes, and how many of them nobody gets, and why."""
        slots = self._slots
        slots[_HUB["received"]] += messages
        slots[_HUB["received_bytes"]] += size
        if malformed:
            slots[_HUB["malformed"]] += malformed
        if unrouted:
            slots[_HUB["unrouted"]] += unrouted

    def queued(self) -> None:
        """Count a message put into the hub's one queue (shape `shared`)."""
        self._slots[_HUB["queue_enqueued"]] += 1

    def source(
        self, *, endpoints: int, connected: int, disconnects: int, errors: int, lost: int = 0, lost_ns: int = 0
    ) -> None:
        """Publish the state of the source; `disconnects` and `errors` are totals."""
        slots = self._slots
        slots[_HUB["endpoints"]] = endpoints
        slots[_HUB["connected"]] = connected
        slots[_HUB["disconnects"]] = disconnects
        slots[_HUB["source_errors"]] = errors
        slots[_HUB["lost"]] = lost
        slots[_HUB["lost_ns"]] = lost_ns

    def gap(self, since_ns: int, until_ns: int) -> None:
        """Count a possible gap that has closed."""
        slots = self._slots
        slots[_HUB["gaps"]] += 1
        slots[_HUB["gap_ns"]] += until_ns - since_ns
        slots[_HUB["gap_since_ns"]] = since_ns
        slots[_HUB["gap_until_ns"]] = until_ns

    def backfilled(self, messages: int, *, duplicates: int) -> None:
        """Count messages that were fetched to fill gaps, and those that both the fetch and the bus brought."""
        self._slots[_HUB["backfilled"]] += messages
        self._slots[_HUB["backfill_duplicates"]] += duplicates

    def beat(self, now_ns: int) -> None:
        """Show that the enqueuer goes round its loop."""
        self._slots[_HUB["enqueuer_heartbeat_ns"]] = now_ns


class BackfillSlots:
    """What is told of fetching what was published in gaps of the bus. Threads: the one that fetches only."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def began(self) -> None:
        """Show that fetching goes on."""
        self._slots[_HUB["backfilling"]] = 1

    def missed(self, count: int) -> None:
        """Count messages that lie beyond the configured bound."""
        self._slots[_HUB["backfill_missed"]] += count

    def failed(self) -> None:
        """Count an attempt that failed."""
        self._slots[_HUB["backfill_errors"]] += 1

    def ended(self) -> None:
        """Show that fetching is over."""
        self._slots[_HUB["backfilling"]] = 0


class DispatcherSlots:
    """What the dispatcher of shape `shared` counts for the hub's one queue. Threads: dispatcher only."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def dequeued(self) -> None:
        """Count a message taken from the hub's one queue."""
        self._slots[_HUB["queue_dequeued"]] += 1


class HubQueueSlots:
    """What others than the enqueuer put into the one queue of shape `shared`, and what is dropped out of it.

    Threads: whoever holds the lock of that queue.
    """

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def injected(self, count: int) -> None:
        """Count messages; before they are put."""
        self._slots[_HUB["queue_injected"]] += count

    def dropped(self) -> None:
        """Count a message that was dropped for all its consumers."""
        self._slots[_HUB["queue_dropped"]] += 1


class ProducerSlots:
    """What one producer's thread tells of its polls. Threads: that thread only.

    The order of the stores is for a reader that sees an update half done, as it may when the thread is interrupted in
    it: a poll is running from the last store of `began` to the last of `ended`, and whatever tells when the next one
    is due is complete while none is.
    """

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def began(self, now_ns: int) -> None:
        """Note that a poll begins."""
        self._slots[_PRODUCER["last_run_ns"]] = now_ns
        self._slots[_PRODUCER["started_ns"]] = now_ns

    def ended(self, now_ns: int, *, succeeded: bool) -> None:
        """Count the poll that began last.

        Args:
            now_ns: When it ended.
            succeeded: Whether it returned; it raised an exception otherwise.
        """
        slots = self._slots
        took_ns = now_ns - slots[_PRODUCER["started_ns"]]
        slots[_PRODUCER["last_duration_ns"]] = took_ns
        slots[_PRODUCER["running_ns"]] += took_ns
        if succeeded:
            slots[_PRODUCER["runs"]] += 1
            slots[_PRODUCER["last_success_ns"]] = now_ns
        else:
            slots[_PRODUCER["failures"]] += 1
        slots[_PRODUCER["started_ns"]] = 0

    def frequency(self, seconds: float) -> None:
        """Publish the time from the end of one poll to the beginning of the next; 0 when there is none between them."""
        self._slots[_PRODUCER["frequency_ns"]] = int(min(max(0.0, seconds), _LONGEST) * 1e9)


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


class SegmentWriter:
    """The segment of a running hub.

    Made under a temporary name and renamed when it is whole, so that no reader ever sees half of one; its lock is
    held until `close`, or until the process dies.

    Attributes:
        path: Where it stands.
        enqueuer: The hub's slots that the enqueuer writes.
        backfill: The hub's slots that are written by whoever fetches what was published in gaps of the bus.
        dispatcher: The hub's slots that the dispatcher of shape `shared` writes.
        hub_queue: The hub's slots that others write who put into the queue of shape `shared`.
        consumers: The enqueuer's slots of each consumer.
        injections: The slots of each consumer that others write who put into its queue.
        drops: The slots of each consumer that are written by whoever drops its messages.
        fetches: The slots of each consumer that its fetcher writes.
        workers: The slots of each consumer's workers.
        producers: The slots of each producer.
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
        self.path = path
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
                rows = {part: _rows(self._slots, section) for part, section in sections.items()}
                self._add_hub(next(rows["hub"]), name=name, version=version, shape=shape, source=source)
                self._add_consumers(consumers, rows["consumer"], rows["worker"])
                self._add_producers(producers, rows["producer"])
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

    def _add_hub(self, row: memoryview, *, name: str, version: str, shape: str, source: str) -> None:
        self._hub = row
        for field, value in (("name", name), ("version", version), ("shape", shape), ("source", source)):
            _store_text(row, _HUB[field], value)
        self.enqueuer = EnqueuerSlots(row)
        self.backfill = BackfillSlots(row)
        self.dispatcher = DispatcherSlots(row)
        self.hub_queue = HubQueueSlots(row)

    def _add_consumers(
        self, consumers: Sequence[ConsumerRow], rows: Iterator[memoryview], worker_rows: Iterator[memoryview]
    ) -> None:
        self.consumers: list[ConsumerSlots] = []
        self.injections: list[InjectionSlots] = []
        self.drops: list[DropSlots] = []
        self.fetches: list[FetchSlots] = []
        self.workers: list[list[WorkerSlots]] = []
        for index, (consumer, row) in enumerate(zip(consumers, rows)):
            _store_text(row, _CONSUMER["name"], consumer.name)
            row[_CONSUMER["workers"]] = consumer.workers
            row[_CONSUMER["initialized"]] = consumer.initialized
            row[_CONSUMER["max_processing_ns"]] = int(consumer.max_processing * 1e9)
            self.consumers.append(ConsumerSlots(row))
            self.injections.append(InjectionSlots(row))
            self.drops.append(DropSlots(row))
            self.fetches.append(FetchSlots(row))
            workers = [next(worker_rows) for _ in range(consumer.workers)]
            for worker in workers:
                worker[_WORKER["consumer"]] = index
            self.workers.append([WorkerSlots(worker) for worker in workers])

    def _add_producers(self, producers: Sequence[ProducerRow], rows: Iterator[memoryview]) -> None:
        self.producers: list[ProducerSlots] = []
        for producer, row in zip(producers, rows):
            _store_text(row, _PRODUCER["name"], producer.name)
            row[_PRODUCER["initialized"]] = producer.initialized
            slots = ProducerSlots(row)
            slots.frequency(producer.frequency)
            self.producers.append(slots)

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


def _rows(slots: memoryview, section: layout.Section) -> Iterator[memoryview]:
    first, size = section.offset // layout.SLOT, section.row_size // layout.SLOT
    for row in range(section.rows):
        yield slots[first + row * size : first + (row + 1) * size]


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
