# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counting: what each thread writes into its slots of the segment (`segment.py`), which `glasshub_stats` defines.

A metric costs its writer one 8-byte store, without a lock: every slot belongs to one thread, named in each
class below. Stores go through a memoryview of unsigned 8-byte items, which never shows a reader half a number
(`struct.pack_into` does: it clears its target first).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from glasshub_stats import layout
from glasshub_stats.histogram import PRECISION_BITS, UNIT_SHIFT, bucket_of


def slots_of(section: str) -> dict[str, int]:
    """Where each metric stands in a row of that section, counted in slots."""
    sections, _ = layout.plan(1, 1)
    return {name: field.offset // layout.SLOT for name, field in sections[section].fields.items()}


_WORKER = slots_of("worker")
_PROCESSED, _FAILED, _INVALID = _WORKER["processed"], _WORKER["failed"], _WORKER["invalid"]
_DUPLICATES = _WORKER["duplicates"]
_DISCARDED, _PARKED, _RETRIED = _WORKER["discarded"], _WORKER["parked"], _WORKER["retried"]
_DEQUEUED, _STARTED, _HEAD = _WORKER["dequeued"], _WORKER["started_ns"], _WORKER["head_ns"]
_WAIT_NS, _PROCESSING_NS = _WORKER["wait_ns"], _WORKER["processing_ns"]
_LAST_SUCCESS, _LAST_FAILURE = _WORKER["last_success_ns"], _WORKER["last_failure_ns"]
_LAST_REFUSAL = _WORKER["last_refusal_ns"]
_MESSAGE = _WORKER["message"]
_WAIT, _PROCESSING = _WORKER["wait"], _WORKER["processing"]

# Buckets of durations, by units, looked up instead of computed. Seven octaves up they are cut in the same way:
# bucket_of(128 x) is bucket_of(x) + 7 * 16 for x of 16 units and more. So the table serves up to 268 ms.
_TABLED = 4096
_OCTAVES = 7
_TABLED_TWICE = _TABLED << _OCTAVES
_FURTHER = _OCTAVES << PRECISION_BITS
_BUCKET_OF_UNITS = tuple(bucket_of(units << UNIT_SHIFT) for units in range(_TABLED))

_CONSUMER = slots_of("consumer")
_BLOCKED, _BLOCKING = _CONSUMER["blocked_ns"], _CONSUMER["blocking_ns"]
_ENQUEUED, _WATERMARK, _PUT_HEAD = _CONSUMER["enqueued"], _CONSUMER["watermark"], _CONSUMER["put_head_ns"]

_HUB = slots_of("hub")
_PRODUCER = slots_of("producer")

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


_INTERRUPTED = _WORKER["interrupted"]
# All that an attempt at a message may end in.
_ENDED = (_PROCESSED, _FAILED, _INVALID, _DUPLICATES, _DISCARDED, _PARKED, _RETRIED, _INTERRUPTED)

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
        # Not from 0, where a worker process takes the place of one that has died.
        self._dequeued, self._processed = slots[_DEQUEUED], slots[_PROCESSED]
        self._wait_ns, self._processing_ns, self._started_ns = slots[_WAIT_NS], slots[_PROCESSING_NS], slots[_STARTED]

    @property
    def dequeued(self) -> int:
        """Messages taken so far. Threads: any."""
        return self._dequeued

    def at(self, number: int) -> None:
        """Note which message the worker is at, by the number that it has in this worker process."""
        self._slots[_MESSAGE] = number

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

    def restored(self, count: int) -> None:
        """Count messages that a hub before this one has left in the spool."""
        self._slots[_CONSUMER["restored"]] = count

    def put(self, depth: int, head_ns: int, put_ns: int = 0) -> None:
        """Note what the queue looks like after a put.

        The head is for the worker to note, unless the queue was empty before, or has become so since: then the head is
        one of those that were put.

        Args:
            depth: Its length now.
            head_ns: When the message was received that is first in it now; 0 for none.
            put_ns: When the first of those was received that were put.
        """
        if head_ns and head_ns >= put_ns:
            self._slots[self._head] = head_ns
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

    def broker(
        self,
        *,
        consuming: bool,
        ready: int,
        asked_ns: int,
        hubs: int,
        unacknowledged: int,
        prefetch: int,
        redelivered: int,
    ) -> None:
        """Publish the state of the consumer's own queue on the broker; `redelivered` is a total."""
        slots = self._slots
        slots[_CONSUMER["broker_queue"]] = 1
        slots[_CONSUMER["broker_consuming"]] = consuming
        slots[_CONSUMER["broker_ready"]] = ready
        slots[_CONSUMER["broker_asked_ns"]] = asked_ns
        slots[_CONSUMER["broker_hubs"]] = hubs
        slots[_CONSUMER["broker_unacknowledged"]] = unacknowledged
        slots[_CONSUMER["broker_prefetch"]] = prefetch
        slots[_CONSUMER["broker_redelivered"]] = redelivered


def unseen_slots() -> ConsumerSlots:
    """Slots that nobody reads."""
    sections, _ = layout.plan(1, 1)
    return ConsumerSlots(memoryview(bytearray(sections["consumer"].row_size)).cast("Q"))


class DropSlots:
    """What is counted of messages that are thrown away. Threads: whoever holds the lock of the hub's `Overflow`."""

    __slots__ = ("_slots", "total")

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots
        #: Messages counted so far.
        self.total = slots[_CONSUMER["dropped"]]

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


class Books:
    """What has been counted of one consumer so far, by whomever, in whatever process. Threads: any."""

    __slots__ = ("_consumer", "_workers")

    def __init__(self, consumer: memoryview, workers: Sequence[memoryview]) -> None:
        self._consumer = consumer
        self._workers = workers

    @property
    def taken(self) -> int:
        """Messages that have left the queue through a worker, or because the consumer took them itself."""
        return sum([worker[_DEQUEUED] for worker in self._workers]) + self._consumer[_CONSUMER["withdrawn"]]

    @property
    def finished(self) -> int:
        """Attempts at messages that have ended."""
        return sum([worker[count] for worker in self._workers for count in _ENDED])

    @property
    def processing_ns(self) -> int:
        """Time that finished messages took, all together."""
        return sum([worker[_PROCESSING_NS] for worker in self._workers])

    @property
    def backlog(self) -> int:
        """Messages that wait; as in `glasshub_stats.schema`."""
        put = sum([self._consumer[_CONSUMER[count]] for count in ("enqueued", "injected", "requeued", "repeated")])
        put += sum([worker[_INTERRUPTED] for worker in self._workers])
        return max(put - self.taken - self._consumer[_CONSUMER["dropped"]], 0)

    def at_hand(self) -> list[tuple[WorkerBooks, int]]:
        """Each worker that is at a message, and the number of that message."""
        found = [(WorkerBooks(worker), worker[_WORKER["message"]]) for worker in self._workers]
        return [(worker, number) for worker, number in found if worker.is_busy]

    @property
    def retried(self) -> int:
        """Attempts after which the message is to be tried again later."""
        return sum([worker[_RETRIED] for worker in self._workers])

    def repeated(self, count: int) -> None:
        """Count messages that come again although they were finished. Threads: one at a time, of a dead process."""
        self._consumer[_CONSUMER["repeated"]] += count

    def recalled(self, count: int) -> None:
        """Count those of them that were not finished, but to be tried again later. Threads: as `repeated`."""
        self._consumer[_CONSUMER["recalled"]] += count

    def initialized(self, is_initialized: bool) -> None:
        """Show whether the consumer could be built in the process that has come up. Threads: as `repeated`."""
        self._consumer[_CONSUMER["initialized"]] = is_initialized


class WorkerBooks:
    """What one worker has counted. Threads: those that read, any; those that count, one at a time, of a dead worker."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    @property
    def is_busy(self) -> bool:
        """Whether it is at a message, or was when it died."""
        ended: int = sum([self._slots[count] for count in _ENDED])
        return self._slots[_DEQUEUED] > ended

    @property
    def started_ns(self) -> int:
        """When it began the message that it began last."""
        return self._slots[_STARTED]

    def interrupted(self) -> None:
        """Count the message that it died of, or with, as one that comes again."""
        self._slots[_INTERRUPTED] += 1

    def failed(self, now_ns: int) -> None:
        """Count that message as failed."""
        self._slots[_FAILED] += 1
        self._slots[_LAST_FAILURE] = now_ns

    def parked(self, now_ns: int) -> None:
        """Count that message as parked."""
        self._slots[_PARKED] += 1
        self._slots[_LAST_FAILURE] = now_ns


class SentSlots(ConsumerSlots):
    """What is counted of a consumer's queue in its worker process. Threads: the one that receives from the hub."""

    __slots__ = ()

    def enqueued(self, count: int) -> None:
        """Nothing: the enqueuer has counted them."""

    def put(self, depth: int, head_ns: int, put_ns: int = 0) -> None:
        """See `ConsumerSlots.put`; of the part of the queue that is in this process."""
        if head_ns and head_ns >= put_ns:
            self._slots[_CONSUMER["sent_head_ns"]] = head_ns


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

    def died(self) -> None:
        """Count a fetch that went on in a process that has died as one that failed."""
        if self._slots[_CONSUMER["fetching"]]:
            self.failed()
            self.ended()


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

    def broker(
        self,
        *,
        queues: int,
        consuming: int,
        ready: int,
        asked_ns: int,
        unacknowledged: int,
        redelivered: int,
        faults: int,
        blocked: bool,
    ) -> None:
        """Publish the state of all queues on the broker together; `redelivered` and `faults` are totals."""
        slots = self._slots
        slots[_HUB["broker_queues"]] = queues
        slots[_HUB["broker_consuming"]] = consuming
        slots[_HUB["broker_ready"]] = ready
        slots[_HUB["broker_asked_ns"]] = asked_ns
        slots[_HUB["broker_unacknowledged"]] = unacknowledged
        slots[_HUB["broker_redelivered"]] = redelivered
        slots[_HUB["broker_faults"]] = faults
        slots[_HUB["broker_blocked"]] = blocked

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

    def spool(self, *, size: int, messages: int, errors: int) -> None:
        """Publish the state of the spool; `errors` is a total."""
        slots = self._slots
        slots[_HUB["spool"]] = 1
        slots[_HUB["spool_bytes"]] = size
        slots[_HUB["spool_messages"]] = messages
        slots[_HUB["spool_errors"]] = errors

    def spool_blocking(self, since_ns: int) -> None:
        """Show since when the enqueuer has been waiting for room in the spool; 0 if it does not."""
        self._slots[_HUB["spool_blocking_ns"]] = since_ns

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


class SupervisorSlots:
    """What is counted of the worker processes. Threads: main thread only."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def running(self, processes: int) -> None:
        """Publish how many worker processes are up."""
        self._slots[_HUB["worker_processes"]] = processes

    def restarted(self) -> None:
        """Count a worker process that was started in the place of another."""
        self._slots[_HUB["worker_restarts"]] += 1


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

    def died(self, now_ns: int) -> None:
        """Count a poll that was running in a process that has died as one that failed."""
        if self._slots[_PRODUCER["started_ns"]]:
            self.ended(now_ns, succeeded=False)

    def frequency(self, seconds: float) -> None:
        """Publish the time from the end of one poll to the beginning of the next; 0 when there is none between them."""
        self._slots[_PRODUCER["frequency_ns"]] = int(min(max(0.0, seconds), _LONGEST) * 1e9)
