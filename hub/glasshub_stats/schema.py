# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every metric of a hub, declared once: name, kind, unit and exact meaning.

The segment's layout, the attributes of a snapshot, the OpenMetrics page, collectd's values and
`docs/metrics.md` are all derived from the tables below. A metric is either *stored*, in one slot with one
writer, or *derived* by the reader from stored ones of the same snapshot.
"""

from __future__ import absolute_import

from collections import namedtuple

MYPY = False
if MYPY:
    from typing import Tuple

# Kinds. The words stand in the segment's field table, so that a stranger can read it.
COUNTER = "counter"  # only grows while the hub lives
GAUGE = "gauge"  # a state, may go up and down
TIMESTAMP = "timestamp"  # CLOCK_MONOTONIC in nanoseconds, 0 for never
HISTOGRAM = "histogram"  # one counter for each bucket of glasshub_stats.histogram
TEXT = "text"  # UTF-8, padded with zero bytes to TEXT_BYTES

#: A longer text is cut.
TEXT_BYTES = 128

# Who writes.
ENQUEUER = "enqueuer"
INLET = "inlet"  # whoever puts into a queue, or takes out of it, past enqueuer and workers; one at a time
OVERFLOW = "overflow"  # whoever drops what finds no room: the enqueuer, or who puts past it; one at a time
FETCHER = "fetcher"  # the thread that fetches a consumer's backlog at start; in the hub's row what fell into a gap
WORKER = "worker"
SUPERVISOR = "supervisor"  # whoever sees to it that worker processes live; in the place of a worker that does not
PRODUCER = "producer"  # its own thread
HUB = "hub"
READER = "reader"  # derived

Metric = namedtuple("Metric", "name kind unit writer help")

#: One row for each worker of each consumer.
WORKER_FIELDS = (
    Metric("processed", COUNTER, "messages", WORKER, "Messages that the consumer handled without an error."),
    Metric(
        "failed",
        COUNTER,
        "messages",
        WORKER,
        "Messages on which the consumer raised an exception, or said that it had.",
    ),
    Metric(
        "invalid",
        COUNTER,
        "messages",
        WORKER,
        "Messages that the consumer's validation refused, or whose body is not what the consumer reads "
        "(not UTF-8; for a native consumer also not JSON).",
    ),
    Metric(
        "duplicates",
        COUNTER,
        "messages",
        WORKER,
        "Messages that a worker skipped because the backlog fetched at start had brought them already.",
    ),
    Metric(
        "discarded",
        COUNTER,
        "messages",
        WORKER,
        "Messages with which the consumer wants nothing to be done: it raised `Drop`.",
    ),
    Metric(
        "parked",
        COUNTER,
        "messages",
        WORKER,
        "Messages put away, into the spool or a queue of the broker, to be looked at: the consumer failed on each "
        "attempt that it has, or the processes died that were at it.",
    ),
    Metric(
        "retried",
        COUNTER,
        "messages",
        WORKER,
        "Attempts after which the message is to be tried again later; the consumer failed, or raised `Retry`.",
    ),
    Metric(
        "interrupted",
        COUNTER,
        "messages",
        SUPERVISOR,
        "Attempts that ended with the death of the worker's process; the message is back in the queue.",
    ),
    Metric("dequeued", COUNTER, "messages", WORKER, "Messages that a worker has taken from the consumer's queue."),
    Metric("wait_ns", COUNTER, "nanoseconds", WORKER, "Sum of the waits of all dequeued messages."),
    Metric("processing_ns", COUNTER, "nanoseconds", WORKER, "Sum of the processing times of all attempts that ended."),
    Metric(
        "started_ns",
        TIMESTAMP,
        "nanoseconds",
        WORKER,
        "When the worker began its latest message; it is at it still while more are dequeued than finished, `retried` "
        "and `interrupted`.",
    ),
    Metric("last_success_ns", TIMESTAMP, "nanoseconds", WORKER, "When a message was last processed."),
    Metric("last_failure_ns", TIMESTAMP, "nanoseconds", WORKER, "When a message last failed."),
    Metric("last_refusal_ns", TIMESTAMP, "nanoseconds", WORKER, "When a message was last found invalid."),
    Metric(
        "head_ns",
        TIMESTAMP,
        "nanoseconds",
        WORKER,
        "When the message was received that stood first in the queue after the worker's latest dequeue; 0 if none did.",
    ),
    Metric(
        "message",
        GAUGE,
        "number",
        WORKER,
        "Shape `processes`: the number, in its worker process, of the message that the worker began last.",
    ),
    Metric("consumer", GAUGE, "row", HUB, "The row of this worker's consumer, counted from 0."),
    Metric(
        "wait",
        HISTOGRAM,
        "seconds",
        WORKER,
        "Time in the queue: from the moment the enqueuer received the message, or put it into the queue again, to the "
        "moment a worker took it for this consumer.",
    ),
    Metric(
        "processing",
        HISTOGRAM,
        "seconds",
        WORKER,
        "Time in the consumer: from the moment a worker took the message to the moment the consumer was done "
        "with it, decoding, validation and failing included.",
    ),
)

#: One row for each consumer: what the enqueuer counts for it, and what is fixed at start.
CONSUMER_FIELDS = (
    Metric("name", TEXT, "", HUB, "The consumer's name."),
    Metric("workers", GAUGE, "workers", HUB, "Workers that may run the consumer at the same time."),
    Metric("max_processing_ns", GAUGE, "nanoseconds", HUB, "The `max_processing` below."),
    Metric(
        "initialized",
        GAUGE,
        "boolean",
        HUB,
        "1 when the consumer was built and runs; 0 when its constructor failed. One that is disabled is not listed.",
    ),
    Metric(
        "enqueued",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages put into the consumer's queue, from wherever they came. The slot has those that the enqueuer put; a "
        "snapshot adds `injected`.",
    ),
    Metric(
        "injected",
        COUNTER,
        "messages",
        INLET,
        "How many of `enqueued` did not come from the bus: put by the consumer itself, by a producer, or fetched "
        "at start.",
    ),
    Metric(
        "requeued",
        COUNTER,
        "messages",
        ENQUEUER,
        "Times that a message was put into the queue again, after it was `retried`.",
    ),
    Metric(
        "repeated",
        COUNTER,
        "messages",
        SUPERVISOR,
        "Messages put into the queue again although they had been finished: the process of their worker died before "
        "the hub knew.",
    ),
    Metric(
        "recalled",
        COUNTER,
        "messages",
        SUPERVISOR,
        "How many of `repeated` had not been finished, but were `retried`, and did not have to wait for their time.",
    ),
    Metric(
        "restored",
        COUNTER,
        "messages",
        ENQUEUER,
        "How many of `enqueued` a hub before this one has left in the spool.",
    ),
    Metric(
        "withdrawn",
        COUNTER,
        "messages",
        INLET,
        "Messages that the consumer took out of its queue by itself, and not through a worker.",
    ),
    Metric(
        "dropped",
        COUNTER,
        "messages",
        OVERFLOW,
        "Messages of `enqueued` thrown away because the queue had no room, the hub no memory, or the disk did not take "
        "them, or gave them back damaged (then they are parked in the spool).",
    ),
    Metric(
        "watermark",
        GAUGE,
        "messages",
        ENQUEUER,
        "Highest backlog since the hub started. The slot has what the enqueuer saw; a snapshot takes the greater of it "
        "and `injected_watermark`.",
    ),
    Metric("injected_watermark", GAUGE, "messages", INLET, "Highest backlog that an injected message made."),
    Metric(
        "put_head_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the message was received that the enqueuer last put into the empty queue.",
    ),
    Metric(
        "injected_head_ns",
        TIMESTAMP,
        "nanoseconds",
        INLET,
        "When the message was received, or made, that was last injected into the empty queue.",
    ),
    Metric(
        "drop_head_ns",
        TIMESTAMP,
        "nanoseconds",
        OVERFLOW,
        "When the message was received that stood first in the queue after messages were last dropped out of it.",
    ),
    Metric("blocked_ns", COUNTER, "nanoseconds", ENQUEUER, "The `blocked_seconds` below."),
    Metric(
        "blocking_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the enqueuer began to wait for room in the queue; 0 while it does not.",
    ),
    Metric(
        "sent_head_ns",
        TIMESTAMP,
        "nanoseconds",
        WORKER,
        "Shape `processes`: when the message was received that last came into the empty queue of the worker process.",
    ),
    Metric("fetching", GAUGE, "boolean", FETCHER, "1 while the backlog that came before the start is being fetched."),
    Metric(
        "fetched",
        COUNTER,
        "messages",
        FETCHER,
        "How many of `injected` are backlog that came before the start, and was fetched.",
    ),
    Metric(
        "fetch_missed",
        COUNTER,
        "messages",
        FETCHER,
        "Messages of that backlog that were not fetched, because it is longer than the configuration allows.",
    ),
    Metric("fetch_errors", COUNTER, "errors", FETCHER, "Times that fetching the backlog failed."),
    Metric(
        "broker_queue",
        GAUGE,
        "boolean",
        ENQUEUER,
        "1 when the consumer has a queue of its own on a broker. Without one it has none of the other figures whose "
        "names begin with `broker_`.",
    ),
    Metric(
        "broker_consuming",
        GAUGE,
        "boolean",
        ENQUEUER,
        "1 while the broker brings the messages of that queue to this hub.",
    ),
    Metric(
        "broker_ready",
        GAUGE,
        "messages",
        ENQUEUER,
        "Messages that wait in that queue and that no hub has been given, when the broker was last asked, see "
        "`broker_age`; all hubs that share the queue see the same ones. NaN when that is not known.",
    ),
    Metric(
        "broker_asked_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the broker last said so; 0 when it has not since it was connected to.",
    ),
    Metric(
        "broker_hubs",
        GAUGE,
        "hubs",
        ENQUEUER,
        "Subscribers of that queue, this hub among them, when the broker was last asked. NaN when that is not known.",
    ),
    Metric(
        "broker_unacknowledged",
        GAUGE,
        "messages",
        ENQUEUER,
        "Messages that this hub has been given from that queue and has not acknowledged: those that it is done with "
        "are not among them, nor those that are in its spool, where it acknowledges these.",
    ),
    Metric(
        "broker_prefetch",
        GAUGE,
        "messages",
        ENQUEUER,
        "How many messages of that queue this hub may have unacknowledged, now.",
    ),
    Metric(
        "broker_redelivered",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages that this hub was given from that queue, and that it or another hub had been given before.",
    ),
)

#: One row for each producer: what is fixed at start, and what its own thread counts.
PRODUCER_FIELDS = (
    Metric("name", TEXT, "", HUB, "The producer's name."),
    Metric(
        "initialized",
        GAUGE,
        "boolean",
        HUB,
        "1 when the producer was built and runs; 0 when its constructor failed. One that is disabled is not listed.",
    ),
    Metric("runs", COUNTER, "polls", PRODUCER, "Polls that returned."),
    Metric("failures", COUNTER, "polls", PRODUCER, "Polls that raised an exception."),
    Metric("running_ns", COUNTER, "nanoseconds", PRODUCER, "Sum of the durations of all finished polls."),
    Metric("last_run_ns", TIMESTAMP, "nanoseconds", PRODUCER, "When the last poll began."),
    Metric("last_success_ns", TIMESTAMP, "nanoseconds", PRODUCER, "When a poll last returned."),
    Metric("last_duration_ns", GAUGE, "nanoseconds", PRODUCER, "Duration of the last finished poll."),
    Metric(
        "started_ns",
        TIMESTAMP,
        "nanoseconds",
        PRODUCER,
        "When the poll began that is running now; 0 while none is.",
    ),
    Metric(
        "frequency_ns",
        GAUGE,
        "nanoseconds",
        PRODUCER,
        "The `frequency` below.",
    ),
)

#: The hub as a whole.
HUB_FIELDS = (
    Metric("name", TEXT, "", HUB, "The hub's name."),
    Metric("version", TEXT, "", HUB, "Version of Glasshub that runs the hub."),
    Metric("shape", TEXT, "", HUB, "Shape of dispatch."),
    Metric("source", TEXT, "", HUB, "Kind of source that the messages come from."),
    Metric("phase", GAUGE, "", HUB, "0 starting, 1 running, 2 draining, 3 stopped."),
    Metric("queue_dequeued", COUNTER, "messages", WORKER, "Shape `shared`: messages that the dispatcher took."),
    Metric(
        "queue_enqueued",
        COUNTER,
        "messages",
        ENQUEUER,
        "Shape `shared`: messages put into the hub's one queue. The slot has those that the enqueuer put; a snapshot "
        "adds `queue_injected`.",
    ),
    Metric(
        "queue_injected",
        COUNTER,
        "messages",
        INLET,
        "Shape `shared`: how many of `queue_enqueued` did not come from the bus.",
    ),
    Metric(
        "queue_dropped",
        COUNTER,
        "messages",
        OVERFLOW,
        "Shape `shared`: messages of `queue_enqueued` that were dropped for each of their consumers.",
    ),
    Metric(
        "received",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages received from the source, malformed and unrouted ones included.",
    ),
    Metric("received_bytes", COUNTER, "bytes", ENQUEUER, "Bytes of all parts of all received messages."),
    Metric(
        "malformed",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages that are not one topic in UTF-8 and one body; nobody gets them.",
    ),
    Metric("unrouted", COUNTER, "messages", ENQUEUER, "Messages whose topic no consumer subscribes to."),
    Metric("source_errors", COUNTER, "errors", ENQUEUER, "Times that receiving failed and was tried again."),
    Metric("worker_processes", GAUGE, "processes", HUB, "Shape `processes`: worker processes that are up."),
    Metric(
        "worker_restarts",
        COUNTER,
        "processes",
        HUB,
        "Shape `processes`: worker processes that took the place of one that had died.",
    ),
    Metric("endpoints", GAUGE, "endpoints", ENQUEUER, "Endpoints that the source is configured with."),
    Metric("connected", GAUGE, "endpoints", ENQUEUER, "Endpoints that the source is connected to now."),
    Metric("disconnects", COUNTER, "events", ENQUEUER, "Times that the source lost an endpoint."),
    Metric(
        "lost",
        GAUGE,
        "endpoints",
        ENQUEUER,
        "Endpoints that the source was connected to, and is not now: what they publish now does not come.",
    ),
    Metric(
        "lost_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the endpoint was last known to be connected that has been lost for longest; 0 while none is lost.",
    ),
    Metric(
        "gaps",
        COUNTER,
        "events",
        ENQUEUER,
        "Possible gaps: times that an endpoint was lost and is back. What it published in between did not come.",
    ),
    Metric("gap_ns", COUNTER, "nanoseconds", ENQUEUER, "Sum of the lengths of all possible gaps."),
    Metric("gap_since_ns", TIMESTAMP, "nanoseconds", ENQUEUER, "When the possible gap began that closed last."),
    Metric("gap_until_ns", TIMESTAMP, "nanoseconds", ENQUEUER, "When a possible gap closed last."),
    Metric(
        "backfilled",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages fetched because of possible gaps that the bus had not brought, and put into the queues of the "
        "consumers that want them. They are in `enqueued` of these, not in `received`.",
    ),
    Metric(
        "backfill_duplicates",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages that both the bus and such a fetch brought: the later one was left out.",
    ),
    Metric(
        "backfill_missed",
        COUNTER,
        "messages",
        FETCHER,
        "Messages around possible gaps that were not fetched, because they are more than the configuration allows. The "
        "bus may have brought some of them.",
    ),
    Metric("backfill_errors", COUNTER, "errors", FETCHER, "Times that such a fetch failed."),
    Metric("backfilling", GAUGE, "boolean", FETCHER, "1 while such a fetch is under way."),
    Metric("spool", GAUGE, "boolean", ENQUEUER, "1 when the backlog is on disk, in a spool."),
    Metric(
        "spool_messages",
        GAUGE,
        "messages",
        ENQUEUER,
        "Messages in the spool, each once: those behind the first one that some consumer has not finished.",
    ),
    Metric("spool_bytes", GAUGE, "bytes", ENQUEUER, "What is in use of the spool's file."),
    Metric(
        "spool_errors",
        COUNTER,
        "errors",
        ENQUEUER,
        "Times that the disk did not do what the spool wanted, because it was full or failed, and was tried again.",
    ),
    Metric(
        "spool_blocking_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the enqueuer began to wait for room in the spool; 0 while it does not.",
    ),
    Metric(
        "enqueuer_heartbeat_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the enqueuer last went round its loop, at least once a second.",
    ),
    Metric(
        "broker_queues",
        GAUGE,
        "queues",
        ENQUEUER,
        "Queues on a broker that the hub has its messages from; 0 where there is no broker, and then none of the other "
        "figures whose names begin with `broker_`.",
    ),
    Metric("broker_consuming", GAUGE, "queues", ENQUEUER, "How many of them the broker brings the messages of now."),
    Metric(
        "broker_ready",
        GAUGE,
        "messages",
        ENQUEUER,
        "Messages that wait in these queues and that no hub has been given, when the broker was last asked, see "
        "`broker_age`. NaN when that is not known of each queue.",
    ),
    Metric(
        "broker_asked_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the broker last said so of the queue of which it is longest ago; 0 when it has not of each of them since "
        "it was connected to.",
    ),
    Metric(
        "broker_unacknowledged",
        GAUGE,
        "messages",
        ENQUEUER,
        "Messages that this hub has been given from these queues and has not acknowledged.",
    ),
    Metric(
        "broker_redelivered",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages that this hub was given from these queues, and that it or another hub had been given before.",
    ),
    Metric(
        "broker_faults",
        COUNTER,
        "events",
        ENQUEUER,
        "Times that something went wrong on the broker that is no lost connection: a queue was deleted, a channel "
        "closed, a connection refused.",
    ),
    Metric(
        "broker_blocked",
        GAUGE,
        "boolean",
        ENQUEUER,
        "1 while the broker takes nothing from this hub, for it lacks memory or disk.",
    ),
)

#: What a snapshot derives for the hub.
HUB_DERIVED = (
    Metric("up", GAUGE, "boolean", READER, "1 when the hub is alive, is not stopped and its heartbeat is fresh."),
    Metric("uptime", GAUGE, "seconds", READER, "Time since the hub made its segment."),
    Metric("heartbeat_age", GAUGE, "seconds", READER, "Time since the hub's main thread last went round its loop."),
    Metric("enqueuer_age", GAUGE, "seconds", READER, "Time since the enqueuer last went round its loop."),
    Metric(
        "lost_since",
        GAUGE,
        "unix time",
        READER,
        "When the endpoint was last known to be connected that has been lost for longest; 0 while none is lost.",
    ),
    Metric("lost_age", GAUGE, "seconds", READER, "Time since then; 0 while none is lost."),
    Metric(
        "gap_seconds",
        COUNTER,
        "seconds",
        READER,
        "Sum of the lengths of all possible gaps. Those of endpoints that were lost at the same time are added up; an "
        "endpoint that is still lost is not in it.",
    ),
    Metric("gap_since", GAUGE, "unix time", READER, "When the possible gap began that closed last; 0 for none."),
    Metric("gap_until", GAUGE, "unix time", READER, "When a possible gap closed last; 0 for never."),
    Metric(
        "spool_blocking_age",
        GAUGE,
        "seconds",
        READER,
        "How long the enqueuer has been waiting for room in the spool by now; 0 while it does not.",
    ),
    Metric(
        "backlog",
        GAUGE,
        "messages",
        READER,
        "Entries waiting in the hub's work queues: of its one queue in shape `shared` (queue_enqueued - "
        "queue_dequeued - queue_dropped), else, and wherever there is a spool, the sum over its consumers, where a "
        "message that waits for three consumers counts three times.",
    ),
    Metric(
        "total_backlog",
        GAUGE,
        "messages",
        READER,
        "All that waits: broker_ready + backlog; NaN while `broker_ready` is not known. Where there is no broker, "
        "backlog.",
    ),
    Metric(
        "broker_age",
        GAUGE,
        "seconds",
        READER,
        "How long ago the broker said what is in the queue of which it is longest ago; NaN when it has not of each of "
        "them since it was connected to.",
    ),
)

#: What a snapshot derives for each consumer.
CONSUMER_DERIVED = (
    Metric(
        "backlog",
        GAUGE,
        "messages",
        READER,
        "Messages waiting: enqueued + requeued + repeated + interrupted - dequeued - dropped - withdrawn, never "
        "below 0. Messages being processed are not in it, nor delayed ones, nor any on a broker.",
    ),
    Metric(
        "total_backlog",
        GAUGE,
        "messages",
        READER,
        "All that waits for the consumer, here and on the broker: broker_ready + backlog; NaN while `broker_ready` is "
        "not known. What other hubs have been given of a queue that they share is not in it. Where the consumer has no "
        "queue of its own on a broker, backlog.",
    ),
    Metric(
        "broker_age",
        GAUGE,
        "seconds",
        READER,
        "How long ago the broker said how many messages wait; NaN when it has not since it was connected to. After 15 "
        "s that is not known any more.",
    ),
    Metric(
        "in_flight",
        GAUGE,
        "messages",
        READER,
        "Messages being processed now: dequeued - processed - failed - invalid - duplicates - discarded - parked - "
        "retried - interrupted.",
    ),
    Metric(
        "delayed",
        GAUGE,
        "messages",
        READER,
        "Messages that wait for the time at which they are tried again: retried - requeued - recalled.",
    ),
    Metric(
        "max_processing",
        GAUGE,
        "seconds",
        READER,
        "Time that the configuration gives the consumer for one message, before it is shown as stuck; 0 for no limit.",
    ),
    Metric(
        "stuck",
        GAUGE,
        "workers",
        READER,
        "Workers that have been at one message for longer than `max_processing`; 0 without such a limit.",
    ),
    Metric(
        "oldest_age",
        GAUGE,
        "seconds",
        READER,
        "Age of the oldest message of `backlog`: how long ago it was received; 0 when none waits.",
    ),
    Metric(
        "current_age",
        GAUGE,
        "seconds",
        READER,
        "How long the consumer has been at the longest-running message that it is processing now; 0 when it is "
        "idle. A stuck worker shows here.",
    ),
    Metric(
        "busy_seconds",
        COUNTER,
        "seconds",
        READER,
        "Time that the consumer's workers have spent in processing, that of the messages in flight included.",
    ),
    Metric(
        "blocked_seconds",
        COUNTER,
        "seconds",
        READER,
        "Time that the enqueuer has waited for room in the consumer's queue, overflow policy `block`.",
    ),
    Metric(
        "blocking_age",
        GAUGE,
        "seconds",
        READER,
        "How long the enqueuer has been waiting for room in the consumer's queue by now; 0 while it does not.",
    ),
    Metric("last_success", GAUGE, "unix time", READER, "When a message was last processed; 0 for never."),
    Metric("last_failure", GAUGE, "unix time", READER, "When a message last failed; 0 for never."),
)

#: What a snapshot derives for each producer.
PRODUCER_DERIVED = (
    Metric("last_run", GAUGE, "unix time", READER, "When the last poll began; 0 for never."),
    Metric("last_success", GAUGE, "unix time", READER, "When a poll last returned; 0 for never."),
    Metric("last_duration", GAUGE, "seconds", READER, "Duration of the last finished poll; 0 before the first."),
    Metric("running_seconds", COUNTER, "seconds", READER, "Time that the producer has spent in finished polls."),
    Metric(
        "frequency",
        GAUGE,
        "seconds",
        READER,
        "Time from the end of one poll to the beginning of the next; 0 when it polls without a pause.",
    ),
    Metric(
        "current_age",
        GAUGE,
        "seconds",
        READER,
        "How long the poll has taken so far that is running now; 0 while none is. A stuck producer shows here.",
    ),
    Metric("since_run", GAUGE, "seconds", READER, "Time since the last poll began; NaN before the first."),
    Metric(
        "overdue",
        GAUGE,
        "seconds",
        READER,
        "For how long the next poll should have begun by now: time since the last one ended, or since the hub started, "
        "less frequency. 0 while a poll is running, for one without a frequency, and for one that is not initialized.",
    ),
)

#: What an interval (the difference of two snapshots) derives for each consumer.
INTERVAL_DERIVED = (
    Metric(
        "enqueue_rate",
        GAUGE,
        "messages/second",
        READER,
        "enqueued + requeued + repeated + interrupted, per second of the interval.",
    ),
    Metric(
        "dequeue_rate", GAUGE, "messages/second", READER, "dequeued + dropped + withdrawn, per second of the interval."
    ),
    Metric(
        "processing_rate",
        GAUGE,
        "messages/second",
        READER,
        "Messages finished (processed + failed + invalid + duplicates + discarded + parked), per second of the "
        "interval.",
    ),
    Metric(
        "busy",
        GAUGE,
        "ratio",
        READER,
        "Busy time of the interval / (its length x workers), between 0 and 1. NaN when no time has passed.",
    ),
    Metric(
        "net_rate",
        GAUGE,
        "messages/second",
        READER,
        "What total_backlog shrinks by per second: dequeue_rate - enqueue_rate, and to that, for a consumer with a "
        "queue of its own on a broker, what `broker_ready` fell by per second from one answer of the broker to "
        "another: that is of all hubs together that share the queue. NaN when none has come within the interval.",
    ),
    Metric(
        "catch_up",
        GAUGE,
        "seconds",
        READER,
        "Catch-up time: total_backlog at the end of the interval / net_rate, so that it is that of all hubs of a queue "
        "together. 0 without a backlog; NaN while it does not shrink, or is not known.",
    ),
)


#: Counters that together are the messages put into a consumer's queue, however they came there.
PUT = ("enqueued", "requeued", "repeated", "interrupted")

#: Counters of a worker that together are the messages with which the consumer is done.
FINISHED = ("processed", "failed", "invalid", "duplicates", "discarded", "parked")

#: Those that are the attempts after which a message comes again.
HANDED_BACK = ("retried", "interrupted")


def attributes(stored, derived):
    # type: (Tuple[Metric, ...], Tuple[Metric, ...]) -> Tuple[Metric, ...]
    """The metrics of a part that a reader is shown: no texts and raw timestamps."""
    shown = (COUNTER, GAUGE, HISTOGRAM)
    return tuple(m for m in stored + derived if m.kind in shown and m.unit not in ("row", "number", "nanoseconds"))


def is_of_broker(metric):
    # type: (Metric) -> bool
    """Whether only that has it which has a queue on a broker."""
    return bool(metric.name.startswith("broker_"))
