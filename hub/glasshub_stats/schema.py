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
WORKER = "worker"
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
    Metric("dequeued", COUNTER, "messages", WORKER, "Messages that a worker has taken from the consumer's queue."),
    Metric("wait_ns", COUNTER, "nanoseconds", WORKER, "Sum of the waits of all dequeued messages."),
    Metric("processing_ns", COUNTER, "nanoseconds", WORKER, "Sum of the processing times of all finished messages."),
    Metric(
        "started_ns",
        TIMESTAMP,
        "nanoseconds",
        WORKER,
        "When the worker began its latest message; it is at it still while more are dequeued than finished.",
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
    Metric("consumer", GAUGE, "row", HUB, "The row of this worker's consumer, counted from 0."),
    Metric(
        "wait",
        HISTOGRAM,
        "seconds",
        WORKER,
        "Time in the queue: from the moment the enqueuer received the message to the moment a worker took it "
        "for this consumer.",
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
    Metric(
        "initialized",
        GAUGE,
        "boolean",
        HUB,
        "1 when the consumer was built and runs; 0 when its constructor failed or left it disabled.",
    ),
    Metric("enqueued", COUNTER, "messages", ENQUEUER, "Messages that the enqueuer put into the consumer's queue."),
    Metric(
        "dropped",
        COUNTER,
        "messages",
        ENQUEUER,
        "Messages thrown away after being enqueued, by an overflow policy. No policy exists yet, so nothing is "
        "ever dropped: queues are as long as memory allows.",
    ),
    Metric("watermark", GAUGE, "messages", ENQUEUER, "Highest backlog since the hub started."),
    Metric(
        "put_head_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the message was received that the enqueuer last put into the empty queue.",
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
    Metric("queue_enqueued", COUNTER, "messages", ENQUEUER, "Shape `shared`: messages put into the hub's one queue."),
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
    Metric("endpoints", GAUGE, "endpoints", ENQUEUER, "Endpoints that the source is configured with."),
    Metric("connected", GAUGE, "endpoints", ENQUEUER, "Endpoints that the source is connected to now."),
    Metric("disconnects", COUNTER, "events", ENQUEUER, "Times that the source lost an endpoint."),
    Metric(
        "enqueuer_heartbeat_ns",
        TIMESTAMP,
        "nanoseconds",
        ENQUEUER,
        "When the enqueuer last went round its loop, at least once a second.",
    ),
)

#: What a snapshot derives for the hub.
HUB_DERIVED = (
    Metric("up", GAUGE, "boolean", READER, "1 when the hub is alive, is not stopped and its heartbeat is fresh."),
    Metric("uptime", GAUGE, "seconds", READER, "Time since the hub made its segment."),
    Metric("heartbeat_age", GAUGE, "seconds", READER, "Time since the hub's main thread last went round its loop."),
    Metric("enqueuer_age", GAUGE, "seconds", READER, "Time since the enqueuer last went round its loop."),
    Metric(
        "backlog",
        GAUGE,
        "messages",
        READER,
        "Entries waiting in the hub's work queues: of its one queue in shape `shared` (queue_enqueued - "
        "queue_dequeued), else the sum over its consumers, where a message that waits for three consumers "
        "counts three times.",
    ),
)

#: What a snapshot derives for each consumer.
CONSUMER_DERIVED = (
    Metric(
        "backlog",
        GAUGE,
        "messages",
        READER,
        "Messages waiting: enqueued - dequeued - dropped, of one snapshot, never below 0. Messages being processed "
        "are not in it.",
    ),
    Metric(
        "in_flight",
        GAUGE,
        "messages",
        READER,
        "Messages being processed now: dequeued - processed - failed - invalid.",
    ),
    Metric(
        "oldest_age",
        GAUGE,
        "seconds",
        READER,
        "Age of the oldest waiting message: how long ago it was received; 0 when none waits.",
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
    Metric("last_success", GAUGE, "unix time", READER, "When a message was last processed; 0 for never."),
    Metric("last_failure", GAUGE, "unix time", READER, "When a message last failed; 0 for never."),
)

#: What an interval (the difference of two snapshots) derives for each consumer.
INTERVAL_DERIVED = (
    Metric("enqueue_rate", GAUGE, "messages/second", READER, "enqueued, per second of the interval."),
    Metric("dequeue_rate", GAUGE, "messages/second", READER, "dequeued + dropped, per second of the interval."),
    Metric(
        "processing_rate",
        GAUGE,
        "messages/second",
        READER,
        "Messages finished (processed + failed + invalid), per second of the interval.",
    ),
    Metric(
        "busy",
        GAUGE,
        "ratio",
        READER,
        "Busy time of the interval / (its length x workers), between 0 and 1. NaN when no time has passed.",
    ),
    Metric(
        "catch_up",
        GAUGE,
        "seconds",
        READER,
        "Catch-up time: backlog at the end of the interval / net service rate, the net service rate being "
        "dequeue_rate - enqueue_rate. 0 without a backlog; NaN while the backlog does not shrink.",
    ),
)


def attributes(stored, derived):
    # type: (Tuple[Metric, ...], Tuple[Metric, ...]) -> Tuple[Metric, ...]
    """The metrics of a part that a reader is shown: no texts and raw timestamps."""
    shown = (COUNTER, GAUGE, HISTOGRAM)
    return tuple(m for m in stored + derived if m.kind in shown and m.unit not in ("row", "nanoseconds"))
