# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a snapshot and an interval say: the definitions of `glasshub_stats.schema`, checked with known figures."""

from __future__ import absolute_import

import fcntl
import math
import os
import shutil
import struct
import tempfile
import time
import unittest

from glasshub_stats import SegmentAccessError, SegmentFormatError, SegmentNotFoundError, histogram, layout, read, schema
from glasshub_stats.clock import monotonic_ns
from glasshub_stats.interval import catch_up
from glasshub_stats.snapshot import PHASES, STALE_AFTER

from .segments import Segment

MYPY = False
if MYPY:
    from typing import Any, Dict

    from glasshub_stats import ConsumerInterval, ConsumerStats, Interval, ProducerStats, Snapshot

SECOND = 1000000000

#: Seconds that a reading of the clock may lie from another; /proc/uptime, all that 2.7 has, counts in 10 ms.
NEAR = 5.0


class _WithSegment(unittest.TestCase):
    """A directory to make segments in."""

    def setUp(self):
        # type: () -> None
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "hub.stats")

    def segment(self, **options):
        # type: (**Any) -> Segment
        segment = Segment(self.path, **options)
        self.addCleanup(segment.close)
        return segment

    def first(self):
        # type: () -> ConsumerStats
        return read(self.path).consumers[0]


def interval(newer, older, seconds=10):
    # type: (Snapshot, Snapshot, int) -> Interval
    """The interval between two snapshots, as if they had been taken so many seconds apart."""
    older.taken_ns = newer.taken_ns - seconds * SECOND
    return newer.since(older)


class ConsumerTest(_WithSegment):
    def test_a_new_segment_is_all_zeros(self):
        # type: () -> None
        self.segment(consumers=[("A", 2)])

        consumer = self.first()

        self.assertEqual((consumer.name, consumer.workers, consumer.initialized), ("A", 2, 1))
        for metric in schema.attributes(schema.CONSUMER_FIELDS + schema.WORKER_FIELDS, schema.CONSUMER_DERIVED):
            if metric.name in ("broker_ready", "broker_hubs", "broker_age"):
                self.assertTrue(math.isnan(getattr(consumer, metric.name)), metric.name)
            elif metric.kind != schema.HISTOGRAM and metric.name not in ("workers", "initialized"):
                self.assertEqual(getattr(consumer, metric.name), 0, metric.name)
        self.assertEqual((consumer.wait.count, consumer.processing.count), (0, 0))

    def test_backlog_is_what_was_enqueued_and_neither_dequeued_nor_dropped(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=100, dropped=5).worker(0, dequeued=60)

        self.assertEqual(self.first().backlog, 35)

    def test_backlog_is_of_everything_put_less_everything_taken(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=100, injected=20, dropped=5, withdrawn=7).worker(0, dequeued=60)

        consumer = self.first()

        self.assertEqual((consumer.enqueued, consumer.injected, consumer.withdrawn), (120, 20, 7))
        self.assertEqual(consumer.backlog, 48)

    def test_the_watermark_is_the_highest_that_anybody_saw(self):
        # type: () -> None
        for own, injected in ((9, 4), (4, 9)):
            self.segment().consumer(0, watermark=own, injected_watermark=injected)

            self.assertEqual(self.first().watermark, 9)

    def test_a_backlog_that_is_fetched_is_shown_as_it_is_told(self):
        # type: () -> None
        self.segment().consumer(0, fetching=1, fetched=3, fetch_missed=4, fetch_errors=5)

        consumer = self.first()

        self.assertEqual((consumer.fetching, consumer.fetched), (1, 3))
        self.assertEqual((consumer.fetch_missed, consumer.fetch_errors), (4, 5))

    def test_backlog_is_never_below_0(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=1).worker(0, dequeued=2)

        self.assertEqual(self.first().backlog, 0)

    def test_in_flight_is_what_was_dequeued_and_is_not_finished(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=10).worker(0, dequeued=10, processed=4, failed=3, invalid=2)

        consumer = self.first()

        self.assertEqual((consumer.in_flight, consumer.finished, consumer.backlog), (1, 9, 0))

    def test_a_duplicate_is_finished_and_not_in_flight(self):
        # type: () -> None
        long_ago = monotonic_ns(0) - 100 * SECOND
        self.segment().worker(0, dequeued=10, processed=4, duplicates=6, started_ns=long_ago)

        consumer = self.first()

        self.assertEqual((consumer.finished, consumer.in_flight, consumer.current_age), (10, 0, 0))

    def test_what_is_discarded_or_parked_is_finished(self):
        # type: () -> None
        self.segment().worker(0, dequeued=10, processed=4, discarded=3, parked=2)

        consumer = self.first()

        self.assertEqual((consumer.finished, consumer.in_flight), (9, 1))

    def test_what_is_to_be_tried_again_is_delayed_and_what_was_interrupted_waits(self):
        # type: () -> None
        long_ago = monotonic_ns(0) - 100 * SECOND
        self.segment().consumer(0, enqueued=10).worker(
            0, dequeued=10, processed=4, retried=5, interrupted=1, started_ns=long_ago
        )

        consumer = self.first()

        self.assertEqual((consumer.finished, consumer.in_flight, consumer.backlog, consumer.delayed), (4, 0, 1, 5))
        self.assertEqual((consumer.current_age, consumer.stuck), (0, 0))

    def test_what_comes_again_waits_and_is_not_delayed_any_more(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=10, requeued=2).worker(0, dequeued=10, processed=6, retried=4)

        consumer = self.first()

        self.assertEqual((consumer.backlog, consumer.in_flight, consumer.delayed), (2, 0, 2))

    def test_delayed_is_never_below_0(self):
        # type: () -> None
        """The row of a consumer is read after those of its workers."""
        self.segment().consumer(0, requeued=2).worker(0, retried=1)

        self.assertEqual(self.first().delayed, 0)

    def test_what_is_put_again_because_nobody_knew_that_it_was_finished_waits(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=10, repeated=3).worker(0, dequeued=10, processed=10)

        self.assertEqual(self.first().backlog, 3)

    def test_workers_at_one_message_for_longer_than_the_limit_are_stuck(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment(consumers=[("A", 3)]).consumer(0, max_processing_ns=60 * SECOND)
        segment.worker(0, 0, dequeued=1, started_ns=now_ns - 70 * SECOND)
        segment.worker(0, 1, dequeued=1, started_ns=now_ns - 50 * SECOND)
        segment.worker(0, 2, dequeued=1, processed=1, started_ns=now_ns - 70 * SECOND)

        consumer = self.first()

        self.assertEqual((consumer.stuck, consumer.max_processing), (1, 60.0))

    def test_nobody_is_stuck_without_a_limit(self):
        # type: () -> None
        self.segment().worker(0, dequeued=1, started_ns=monotonic_ns(0) - 10000 * SECOND)

        self.assertEqual(self.first().stuck, 0)

    def test_workers_are_added_up(self):
        # type: () -> None
        segment = self.segment(consumers=[("A", 3), ("B", 1)])
        segment.consumer(0, enqueued=100)
        segment.worker(0, 0, dequeued=10, processed=9, wait_ns=5).worker(0, 1, dequeued=20, failed=19, wait_ns=7)
        segment.worker(0, 2, dequeued=3, invalid=3, wait_ns=9).worker(1, dequeued=1000)

        consumer = self.first()

        self.assertEqual((consumer.dequeued, consumer.processed, consumer.failed, consumer.invalid), (33, 9, 19, 3))
        self.assertEqual((consumer.backlog, consumer.in_flight, consumer.wait_ns), (67, 2, 21))

    def test_oldest_age_is_0_without_a_backlog(self):
        # type: () -> None
        long_ago = monotonic_ns(0) - 100 * SECOND
        self.segment().consumer(0, enqueued=3, put_head_ns=long_ago).worker(0, dequeued=3, head_ns=long_ago)

        self.assertEqual(self.first().oldest_age, 0)

    def test_oldest_age_is_that_of_the_head_which_the_worker_saw_last(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment().consumer(0, enqueued=3, put_head_ns=now_ns - 90 * SECOND)
        segment.worker(0, dequeued=1, head_ns=now_ns - 60 * SECOND)

        self.assertAlmostEqual(self.first().oldest_age, 60, delta=NEAR)

    def test_oldest_age_is_that_of_what_was_put_into_the_empty_queue_since(self):
        # type: () -> None
        """The worker saw an empty queue last, or never took anything."""
        now_ns = monotonic_ns(0)
        segment = self.segment().consumer(0, enqueued=3, put_head_ns=now_ns - 30 * SECOND)
        for head_ns in (0, now_ns - 60 * SECOND):
            segment.worker(0, dequeued=1, head_ns=head_ns)

            self.assertAlmostEqual(self.first().oldest_age, 30, delta=NEAR)

    def test_oldest_age_is_that_of_what_was_injected_into_the_empty_queue_since(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment().consumer(0, injected=3, injected_head_ns=now_ns - 30 * SECOND)
        segment.consumer(0, put_head_ns=now_ns - 90 * SECOND).worker(0, dequeued=1, head_ns=now_ns - 60 * SECOND)

        self.assertAlmostEqual(self.first().oldest_age, 30, delta=NEAR)

    def test_oldest_age_is_that_of_what_was_first_after_a_drop(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment().consumer(0, enqueued=5, dropped=2, put_head_ns=now_ns - 60 * SECOND)

        segment.consumer(0, drop_head_ns=now_ns - 30 * SECOND)

        self.assertAlmostEqual(self.first().oldest_age, 30, delta=NEAR)

    def test_a_wait_for_room_is_shown_with_its_length_so_far_and_all_others(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        self.segment().consumer(0, blocked_ns=5 * SECOND // 2)
        self.assertEqual((self.first().blocked_seconds, self.first().blocking_age), (2.5, 0))

        self.segment().consumer(0, blocking_ns=now_ns - 30 * SECOND)

        self.assertAlmostEqual(self.first().blocking_age, 30, delta=NEAR)

    def test_the_hubs_one_queue_is_without_what_was_dropped(self):
        # type: () -> None
        self.segment().hub(shape="shared", queue_enqueued=9, queue_dequeued=2, queue_dropped=3)

        self.assertEqual(read(self.path).hub.backlog, 4)

    def test_oldest_age_with_several_workers_is_that_of_the_latest_head(self):
        # type: () -> None
        """The head moves on: who saw the later one saw it last."""
        now_ns = monotonic_ns(0)
        segment = self.segment(consumers=[("A", 3)]).consumer(0, enqueued=9)
        segment.worker(0, 0, dequeued=1, head_ns=now_ns - 60 * SECOND).worker(0, 1, dequeued=1, head_ns=0)
        segment.worker(0, 2, dequeued=1, head_ns=now_ns - 20 * SECOND)

        self.assertAlmostEqual(self.first().oldest_age, 20, delta=NEAR)

    def test_current_age_is_that_of_the_longest_running_message(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment(consumers=[("A", 3)])
        segment.worker(0, 0, dequeued=5, processed=4, started_ns=now_ns - 40 * SECOND)
        segment.worker(0, 1, dequeued=5, failed=4, started_ns=now_ns - 70 * SECOND)
        segment.worker(0, 2, dequeued=5, invalid=5, started_ns=now_ns - 500 * SECOND)

        self.assertAlmostEqual(self.first().current_age, 70, delta=NEAR)

    def test_current_age_is_0_when_nobody_works(self):
        # type: () -> None
        self.segment().worker(0, dequeued=5, processed=5, started_ns=monotonic_ns(0) - 70 * SECOND)

        self.assertEqual(self.first().current_age, 0)

    def test_busy_seconds_count_the_messages_in_flight(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment(consumers=[("A", 2)])
        segment.worker(0, 0, dequeued=2, processed=1, processing_ns=3 * SECOND, started_ns=now_ns - 40 * SECOND)
        segment.worker(0, 1, dequeued=1, processed=1, processing_ns=2 * SECOND, started_ns=now_ns - 99 * SECOND)

        self.assertAlmostEqual(self.first().busy_seconds, 45, delta=NEAR)

    def test_last_success_and_last_failure_are_unix_times_of_the_latest_worker(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        segment = self.segment(consumers=[("A", 2)])
        set_realtime(segment)
        segment.worker(0, 0, last_success_ns=now_ns - 50 * SECOND, last_failure_ns=now_ns - 20 * SECOND)
        segment.worker(0, 1, last_success_ns=now_ns - 30 * SECOND)

        consumer = self.first()

        self.assertAlmostEqual(consumer.last_success, time.time() - 30, delta=NEAR)
        self.assertAlmostEqual(consumer.last_failure, time.time() - 20, delta=NEAR)

    def test_never_is_0(self):
        # type: () -> None
        set_realtime(self.segment())

        self.assertEqual((self.first().last_success, self.first().last_failure), (0, 0))

    def test_histograms_are_those_of_all_workers(self):
        # type: () -> None
        segment = self.segment(consumers=[("A", 2), ("B", 1)])
        segment.durations(0, "wait", [0.001, 0.002]).durations(0, "wait", [5.0], nth=1)
        segment.durations(0, "processing", [0.25]).durations(1, "wait", [100.0])

        consumer = self.first()

        self.assertEqual((consumer.wait.count, consumer.processing.count), (3, 1))
        self.assertAlmostEqual(consumer.wait.total, 5.003)
        self.assertAlmostEqual(consumer.wait.percentile(100), 5.0, delta=5.0 / 32)
        self.assertAlmostEqual(consumer.processing.percentile(50), 0.25, delta=0.25 / 32)

    def test_a_consumer_that_was_not_built_has_no_workers_and_is_there(self):
        # type: () -> None
        self.segment(consumers=[("A", 0), ("B", 1)]).consumer(0, initialized=0)

        consumer = self.first()

        self.assertEqual((consumer.initialized, consumer.workers, consumer.dequeued, consumer.backlog), (0, 0, 0, 0))
        self.assertEqual(consumer.wait.count, 0)

    def test_consumers_are_found_by_name(self):
        # type: () -> None
        self.segment(consumers=[("A", 1), ("B", 1)]).worker(1, processed=4)
        snapshot = read(self.path)

        self.assertEqual(snapshot.consumer("B").processed, 4)
        self.assertEqual(snapshot.since(None).consumer("B").processed, 4)
        for who in (snapshot, snapshot.since(None)):
            with self.assertRaises(KeyError):
                who.consumer("C")


class HubTest(_WithSegment):
    def test_the_hub_has_its_texts_and_counters(self):
        # type: () -> None
        self.segment(hub="bus").hub(received=5, received_bytes=500, malformed=1, unrouted=2, endpoints=3, connected=2)
        snapshot = read(self.path)

        hub = snapshot.hub

        self.assertEqual((hub.name, hub.version, hub.shape, hub.source), ("bus", "1.0", "threads", "test"))
        self.assertEqual((hub.received, hub.received_bytes, hub.malformed, hub.unrouted), (5, 500, 1, 2))
        self.assertEqual((hub.endpoints, hub.connected, hub.up), (3, 2, 1))
        self.assertEqual((snapshot.path, snapshot.pid, snapshot.generation), (self.path, os.getpid(), 1))
        self.assertAlmostEqual(snapshot.time, time.time(), delta=NEAR)

    def test_texts_are_native_strings(self):
        # type: () -> None
        """collectd's Python 2 takes no unicode."""
        self.segment(hub=b"b\xc3\xbcs".decode("utf-8"), consumers=[(b"\xc3\xa9".decode("utf-8"), 1)])
        snapshot = read(self.path)

        for text in (snapshot.hub.name, snapshot.hub.version, snapshot.consumers[0].name):
            self.assertIsInstance(text, str)

    def test_a_text_that_fills_its_field_is_whole(self):
        # type: () -> None
        self.segment(hub="x" * schema.TEXT_BYTES)

        self.assertEqual(read(self.path).hub.name, "x" * 128)

    def test_backlog_is_the_sum_over_the_consumers(self):
        # type: () -> None
        segment = self.segment(consumers=[("A", 1), ("B", 1)])
        segment.consumer(0, enqueued=5).consumer(1, enqueued=7).worker(1, dequeued=1)
        segment.hub(queue_enqueued=100)

        self.assertEqual(read(self.path).hub.backlog, 11)

    def test_backlog_of_shape_shared_is_its_one_queue(self):
        # type: () -> None
        segment = self.segment(consumers=[("A", 1), ("B", 1)]).consumer(0, enqueued=5).consumer(1, enqueued=5)
        segment.hub(shape="shared", queue_enqueued=5, queue_dequeued=2)
        self.assertEqual(read(self.path).hub.backlog, 3)

        segment.hub(queue_dequeued=6)
        self.assertEqual(read(self.path).hub.backlog, 0)

    def test_backlog_of_shape_shared_has_what_was_injected_too(self):
        # type: () -> None
        self.segment().hub(shape="shared", queue_enqueued=5, queue_injected=4, queue_dequeued=2)

        hub = read(self.path).hub

        self.assertEqual((hub.queue_enqueued, hub.queue_injected, hub.backlog), (9, 4, 7))

    def test_ages_are_measured_from_now(self):
        # type: () -> None
        self.segment(age=300.0).beat(age=20.0, enqueuer_age=30.0)

        hub = read(self.path).hub

        self.assertAlmostEqual(hub.uptime, 300, delta=NEAR)
        self.assertAlmostEqual(hub.heartbeat_age, 20, delta=NEAR)
        self.assertAlmostEqual(hub.enqueuer_age, 30, delta=NEAR)

    def test_gaps_have_a_length_and_unix_times(self):
        # type: () -> None
        segment = self.segment()
        set_realtime(segment)
        now_ns = monotonic_ns(0)
        segment.hub(gaps=2, gap_ns=9500000000, gap_since_ns=now_ns - 60 * SECOND, gap_until_ns=now_ns - 50 * SECOND)
        snapshot = read(self.path)

        hub = snapshot.hub

        self.assertEqual((hub.gaps, hub.gap_seconds), (2, 9.5))
        self.assertAlmostEqual(snapshot.time - hub.gap_since, 60, delta=NEAR)
        self.assertAlmostEqual(snapshot.time - hub.gap_until, 50, delta=NEAR)
        self.assertEqual((hub.lost, hub.lost_since, hub.lost_age), (0, 0, 0))

    def test_a_lost_endpoint_has_an_age_and_a_unix_time(self):
        # type: () -> None
        segment = self.segment()
        set_realtime(segment)
        segment.hub(lost=1, lost_ns=monotonic_ns(0) - 70 * SECOND)
        snapshot = read(self.path)

        hub = snapshot.hub

        self.assertEqual((hub.lost, hub.gaps, hub.gap_since, hub.gap_until), (1, 0, 0, 0))
        self.assertAlmostEqual(hub.lost_age, 70, delta=NEAR)
        self.assertAlmostEqual(snapshot.time - hub.lost_since, 70, delta=NEAR)

    def test_an_enqueuer_that_never_beat_is_as_old_as_the_hub(self):
        # type: () -> None
        self.segment(age=100.0).hub(enqueuer_heartbeat_ns=0)

        self.assertAlmostEqual(read(self.path).hub.enqueuer_age, 100, delta=NEAR)

    def test_what_lies_in_the_future_is_0_old(self):
        # type: () -> None
        self.segment().beat(age=-1000.0)

        self.assertEqual(read(self.path).hub.heartbeat_age, 0)


class ProducerTest(_WithSegment):
    def polled(self, **cells):
        # type: (**Any) -> ProducerStats
        """A producer of a hub that started 1000 s ago, with these cells; those in nanoseconds are ages in seconds."""
        now_ns = monotonic_ns(0)
        ages = {name: now_ns - age * SECOND for name, age in cells.items() if name in self.INSTANTS and age}
        segment = self.segment(consumers=(), producers=["P"], age=1000.0)
        set_realtime(segment)
        segment.producer(0, **dict(cells, **ages))
        return read(self.path).producers[0]

    INSTANTS = ("last_run_ns", "last_success_ns", "started_ns")

    def test_a_new_producer_has_done_nothing_yet(self):
        # type: () -> None
        producer = self.polled()

        self.assertEqual((producer.name, producer.initialized), ("P", 1))
        for metric in schema.attributes(schema.PRODUCER_FIELDS, schema.PRODUCER_DERIVED):
            if metric.name not in ("initialized", "since_run"):
                self.assertEqual(getattr(producer, metric.name), 0, metric.name)
        self.assertTrue(math.isnan(producer.since_run))

    def test_polls_are_counted_and_timed(self):
        # type: () -> None
        producer = self.polled(
            runs=7, failures=2, last_duration_ns=SECOND // 4, running_ns=9 * SECOND, frequency_ns=60 * SECOND
        )

        self.assertEqual((producer.runs, producer.failures), (7, 2))
        self.assertEqual((producer.last_duration, producer.running_seconds, producer.frequency), (0.25, 9.0, 60.0))

    def test_the_last_run_and_the_last_success_are_unix_times(self):
        # type: () -> None
        producer = self.polled(last_run_ns=20, last_success_ns=50)

        self.assertAlmostEqual(producer.last_run, time.time() - 20, delta=NEAR)
        self.assertAlmostEqual(producer.last_success, time.time() - 50, delta=NEAR)
        self.assertAlmostEqual(producer.since_run, 20, delta=NEAR)

    def test_a_poll_that_is_running_has_an_age(self):
        # type: () -> None
        producer = self.polled(started_ns=70, last_run_ns=70)

        self.assertAlmostEqual(producer.current_age, 70, delta=NEAR)

    def test_the_last_poll_has_failed_when_the_last_success_is_older_and_none_is_running(self):
        # type: () -> None
        self.assertTrue(self.polled(last_run_ns=20, last_success_ns=50, failures=1).has_failed_last)
        self.assertTrue(self.polled(last_run_ns=20, failures=1).has_failed_last)
        for cells in (
            {},
            {"last_run_ns": 50, "last_success_ns": 20, "failures": 1},
            {"last_run_ns": 20, "last_success_ns": 50, "failures": 1, "started_ns": 20},
            {"last_run_ns": 20, "last_success_ns": 50},  # seen between the two stores that begin a poll
        ):
            self.assertFalse(self.polled(**cells).has_failed_last, cells)

    def test_a_poll_is_overdue_when_the_last_one_ended_longer_ago_than_the_frequency(self):
        # type: () -> None
        producer = self.polled(last_run_ns=500, last_duration_ns=100 * SECOND, frequency_ns=60 * SECOND)

        self.assertAlmostEqual(producer.overdue, 340, delta=NEAR)

    def test_the_first_poll_is_overdue_when_the_hub_is_older_than_the_frequency(self):
        # type: () -> None
        self.assertAlmostEqual(self.polled(frequency_ns=60 * SECOND).overdue, 940, delta=NEAR)

    def test_no_poll_is_overdue_before_its_time(self):
        # type: () -> None
        for cells in (
            {"last_run_ns": 500, "last_duration_ns": 100 * SECOND, "frequency_ns": 600 * SECOND},
            {"last_run_ns": 500, "last_duration_ns": 490 * SECOND, "frequency_ns": 60 * SECOND},
            {"frequency_ns": 2000 * SECOND},
        ):
            self.assertEqual(self.polled(**cells).overdue, 0, cells)

    def test_no_poll_is_overdue_while_one_is_running_or_without_a_frequency_or_a_producer(self):
        # type: () -> None
        for cells in (
            {"last_run_ns": 500, "started_ns": 500, "frequency_ns": SECOND},
            {"last_run_ns": 500, "frequency_ns": 0},
            {"last_run_ns": 500, "frequency_ns": SECOND, "initialized": 0},
        ):
            self.assertEqual(self.polled(**cells).overdue, 0, cells)

    def test_a_hub_may_have_producers_alone(self):
        # type: () -> None
        self.segment(consumers=(), producers=["P", "Q"]).producer(1, runs=3)
        snapshot = read(self.path)

        self.assertEqual(snapshot.consumers, [])
        self.assertEqual([(producer.name, producer.runs) for producer in snapshot.producers], [("P", 0), ("Q", 3)])

    def test_a_hub_may_have_no_producers(self):
        # type: () -> None
        self.segment()

        self.assertEqual(read(self.path).producers, [])


class StatusTest(_WithSegment):
    def test_a_living_hub_is_in_its_phase(self):
        # type: () -> None
        segment = self.segment()
        for phase in PHASES:
            segment.phase(phase)
            snapshot = read(self.path)

            self.assertEqual((snapshot.status(), snapshot.hub.phase), (phase, phase))
            self.assertEqual(snapshot.is_up(), phase != "stopped")
            self.assertEqual(snapshot.hub.up, int(phase != "stopped"))

    def test_a_hub_that_lost_its_lock_is_down_whatever_its_heartbeat(self):
        # type: () -> None
        segment = self.segment().unlock()
        for age in (0.0, 1000.0):
            segment.beat(age=age)
            snapshot = read(self.path)

            self.assertEqual((snapshot.status(), snapshot.is_locked, snapshot.hub.up), ("down", False, 0))

    def test_a_hub_that_stopped_is_stopped_and_not_down(self):
        # type: () -> None
        self.segment().phase("stopped").unlock().beat(age=1000.0)

        self.assertEqual(read(self.path).status(), "stopped")

    def test_an_old_heartbeat_of_either_thread_means_stuck(self):
        # type: () -> None
        segment = self.segment()
        for age, enqueuer_age, status in ((0, 0, "running"), (20, 0, "stuck"), (0, 20, "stuck"), (10, 10, "running")):
            segment.beat(age=age, enqueuer_age=enqueuer_age)
            snapshot = read(self.path)

            self.assertEqual(snapshot.status(), status)
            self.assertEqual(snapshot.status(stale_after=100.0), "running")
            self.assertEqual(snapshot.status(stale_after=-1.0), "stuck")

    def test_a_reader_leaves_no_lock_and_is_taken_for_no_hub(self):
        # type: () -> None
        segment = self.segment().unlock()

        first, second = read(self.path), read(self.path)

        self.assertFalse(first.is_locked or second.is_locked)
        fcntl.flock(segment._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertTrue(read(self.path).is_locked)

    def test_readers_at_the_same_time_are_taken_for_no_hub(self):
        # type: () -> None
        segment = self.segment().unlock()
        with open(self.path, "rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)

            self.assertFalse(read(segment.path).is_locked)

    def test_a_newer_hub_in_a_phase_that_this_reader_does_not_know_is_up(self):
        # type: () -> None
        self.segment().hub(phase=99)
        snapshot = read(self.path)

        self.assertEqual((snapshot.hub.phase, snapshot.status(), snapshot.is_up()), ("unknown", "unknown", True))


class BrokerTest(_WithSegment):
    def asked(self, age=1.0):
        # type: (float) -> int
        """When the broker was asked that many seconds ago."""
        return monotonic_ns(0) - int(age * SECOND)

    def test_what_waits_on_the_broker_is_in_the_total_and_not_in_the_backlog(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=100, broker_queue=1, broker_ready=900, broker_hubs=2)
        segment.consumer(0, broker_asked_ns=self.asked(1.5)).worker(0, dequeued=10)

        consumer = self.first()

        self.assertEqual((consumer.backlog, consumer.broker_ready, consumer.total_backlog), (90, 900, 990))
        self.assertEqual(consumer.broker_hubs, 2)
        self.assertAlmostEqual(consumer.broker_age, 1.5, delta=0.5)

    def test_a_figure_is_unknown_before_the_broker_was_asked_and_when_that_is_too_long_ago(self):
        # type: () -> None
        for asked_ns in (0, self.asked(STALE_AFTER + 1)):
            segment = self.segment().consumer(0, enqueued=10, broker_queue=1, broker_ready=900, broker_hubs=2)
            segment.consumer(0, broker_asked_ns=asked_ns, broker_unacknowledged=10, broker_prefetch=20)
            segment.hub(broker_queues=1, broker_ready=900, broker_asked_ns=asked_ns)

            snapshot = read(self.path)

            (consumer,) = snapshot.consumers
            for unknown in (consumer.broker_ready, consumer.broker_hubs, consumer.total_backlog):
                self.assertTrue(math.isnan(unknown))
            for unknown in (snapshot.hub.broker_ready, snapshot.hub.total_backlog):
                self.assertTrue(math.isnan(unknown))
            self.assertEqual(math.isnan(consumer.broker_age), not asked_ns)
            self.assertEqual((consumer.backlog, consumer.broker_unacknowledged, consumer.broker_prefetch), (10, 10, 20))

    def test_without_a_queue_of_its_own_all_that_waits_waits_here(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=10)

        snapshot = read(self.path)

        self.assertEqual((snapshot.consumers[0].total_backlog, snapshot.hub.total_backlog), (10, 10))
        self.assertTrue(math.isnan(snapshot.consumers[0].broker_ready))
        self.assertFalse(snapshot.hub.has_broker or snapshot.consumers[0].has_broker)

    def test_a_hub_of_which_all_consumers_share_a_queue_has_its_total(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=10).hub(broker_queues=1, broker_ready=500, broker_asked_ns=self.asked())

        snapshot = read(self.path)

        self.assertEqual((snapshot.hub.broker_ready, snapshot.hub.total_backlog), (500, 510))
        self.assertEqual(snapshot.consumers[0].total_backlog, 10)

    def drained(self, older, newer, **local):
        # type: (Dict[str, int], Dict[str, int], **int) -> ConsumerInterval
        """Ten seconds from one answer of the broker to another, and what happened here meanwhile."""
        segment = self.segment().consumer(0, enqueued=50, broker_queue=1, **older)
        before = read(self.path)
        segment.consumer(0, enqueued=50 + local.get("enqueued", 0), **newer).worker(
            0, dequeued=local.get("dequeued", 0)
        )
        return interval(read(self.path), before).consumers[0]

    def test_catch_up_is_that_of_the_total_from_answer_to_answer_of_the_broker(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        older = {"broker_ready": 1000, "broker_asked_ns": now_ns - 9 * SECOND}
        newer = {"broker_ready": 600, "broker_asked_ns": now_ns - SECOND}

        consumer = self.drained(older, newer, enqueued=200, dequeued=210)

        self.assertAlmostEqual(consumer.catch_up, 640 / (400 / 8.0 + 10 / 10.0))

    def test_a_total_that_grows_is_never_caught_up_although_the_backlog_here_shrinks(self):
        # type: () -> None
        now_ns = monotonic_ns(0)
        older = {"broker_ready": 1000, "broker_asked_ns": now_ns - 9 * SECOND}
        newer = {"broker_ready": 1400, "broker_asked_ns": now_ns - SECOND}

        consumer = self.drained(older, newer, enqueued=0, dequeued=40)

        self.assertTrue(math.isnan(consumer.catch_up))

    def test_catch_up_is_unknown_without_two_answers_of_the_broker(self):
        # type: () -> None
        answer = {"broker_ready": 600, "broker_asked_ns": monotonic_ns(0)}
        unknown = {"broker_ready": 0, "broker_asked_ns": 0}

        for older, newer in ((answer, answer), (unknown, answer), (answer, unknown)):
            self.assertTrue(math.isnan(self.drained(older, newer, enqueued=0, dequeued=40).catch_up))

    def test_nothing_that_waits_anywhere_is_caught_up(self):
        # type: () -> None
        answer = {"broker_ready": 0, "broker_asked_ns": monotonic_ns(0)}

        self.assertEqual(self.drained(answer, answer, dequeued=50).catch_up, 0)

    def test_a_hub_of_a_version_that_knows_of_no_broker_has_none(self):
        # type: () -> None
        fields = [
            "%s.%s" % (section, metric.name)
            for section, metrics in (("consumer", schema.CONSUMER_FIELDS), ("hub", schema.HUB_FIELDS))
            for metric in metrics
            if schema.is_of_broker(metric)
        ]
        self.segment(without=fields, version=(1, 1)).consumer(0, enqueued=10)

        snapshot = read(self.path)

        self.assertEqual((snapshot.consumers[0].total_backlog, snapshot.hub.total_backlog), (10, 10))
        self.assertFalse(snapshot.hub.has_broker)
        self.assertTrue(math.isnan(snapshot.since(None).consumers[0].catch_up))


class IntervalTest(_WithSegment):
    def moved(self):
        # type: () -> Interval
        """Ten seconds in which 40 messages came and 30 were taken, of which 20 are processed, 5 bad and 3 refused."""
        segment = self.segment(consumers=[("A", 2)]).hub(received=100, malformed=1)
        segment.consumer(0, enqueued=100).worker(0, 0, dequeued=50, processed=50, processing_ns=SECOND)
        segment.durations(0, "wait", [0.001]).durations(0, "processing", [0.001, 0.001])
        before = read(self.path)
        segment.hub(received=150, malformed=3)
        segment.consumer(0, enqueued=140)
        segment.worker(0, 0, dequeued=70, processed=70)
        segment.worker(0, 1, dequeued=10, failed=5, invalid=3)
        segment.durations(0, "wait", [0.001] + [1.0] * 3).durations(0, "processing", [0.001, 0.001, 4.0])
        return interval(read(self.path), before)

    def test_counters_are_differences(self):
        # type: () -> None
        moved = self.moved()
        consumer = moved.consumers[0]

        self.assertEqual((consumer.enqueued, consumer.dequeued, consumer.dropped), (40, 30, 0))
        self.assertEqual((consumer.processed, consumer.failed, consumer.invalid, consumer.finished), (20, 5, 3, 28))
        self.assertEqual((moved.hub.received, moved.hub.malformed, moved.hub.unrouted), (50, 2, 0))

    def test_rates_are_per_second(self):
        # type: () -> None
        moved = self.moved()
        consumer = moved.consumers[0]

        self.assertEqual(moved.seconds, 10)
        self.assertAlmostEqual(moved.hub.receive_rate, 5.0)
        self.assertAlmostEqual(consumer.enqueue_rate, 4.0)
        self.assertAlmostEqual(consumer.dequeue_rate, 3.0)
        self.assertAlmostEqual(consumer.processing_rate, 2.8)

    def test_dropped_messages_shrink_the_backlog_too(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=100)
        before = read(self.path)
        segment.consumer(0, enqueued=110, dropped=40).worker(0, dequeued=20)

        consumer = interval(read(self.path), before).consumers[0]

        self.assertAlmostEqual(consumer.dequeue_rate, 6.0)
        self.assertAlmostEqual(consumer.catch_up, 50 / 5.0)

    def test_injected_and_withdrawn_messages_are_in_the_rates(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=100, injected=100)
        before = read(self.path)
        segment.consumer(0, enqueued=110, injected=130, withdrawn=50).worker(0, dequeued=20)

        consumer = interval(read(self.path), before).consumers[0]

        self.assertEqual((consumer.enqueued, consumer.injected, consumer.withdrawn), (40, 30, 50))
        self.assertAlmostEqual(consumer.enqueue_rate, 4.0)
        self.assertAlmostEqual(consumer.dequeue_rate, 7.0)
        self.assertAlmostEqual(consumer.catch_up, 170 / 3.0)

    def test_duplicates_are_finished_in_the_interval(self):
        # type: () -> None
        segment = self.segment().worker(0, dequeued=5, duplicates=5)
        before = read(self.path)
        segment.worker(0, dequeued=25, duplicates=15, processed=10)

        consumer = interval(read(self.path), before).consumers[0]

        self.assertEqual((consumer.duplicates, consumer.finished), (10, 20))
        self.assertAlmostEqual(consumer.processing_rate, 2.0)

    def test_what_comes_again_is_in_the_rate_and_in_the_times_but_not_finished(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=5).worker(0, dequeued=5, processed=5)
        before = read(self.path)
        segment.consumer(0, requeued=20, repeated=10).worker(0, dequeued=25, retried=20)
        segment.durations(0, "processing", [1.0])

        consumer = interval(read(self.path), before).consumers[0]

        self.assertEqual((consumer.finished, consumer.processing.count), (0, 1))
        self.assertAlmostEqual(consumer.enqueue_rate, 3.0)

    def test_histograms_are_those_of_the_interval(self):
        # type: () -> None
        consumer = self.moved().consumers[0]

        self.assertEqual((consumer.wait.count, consumer.processing.count), (3, 1))
        self.assertAlmostEqual(consumer.wait.percentile(1), 1.0, delta=1 / 32.0)
        self.assertAlmostEqual(consumer.processing.percentile(50), 4.0, delta=4 / 32.0)
        self.assertAlmostEqual(consumer.processing.total, 4.0)

    def test_a_quiet_interval_has_empty_histograms(self):
        # type: () -> None
        self.segment().durations(0, "wait", [1.0]).worker(0, dequeued=1, processed=1)
        before = read(self.path)

        consumer = interval(read(self.path), before).consumers[0]

        self.assertEqual((consumer.wait.count, consumer.processing.count), (0, 0))
        self.assertTrue(math.isnan(consumer.wait.percentile(50)))

    def test_busy_is_the_part_of_the_workers_time(self):
        # type: () -> None
        segment = self.segment(consumers=[("A", 2)]).worker(0, 0, processing_ns=SECOND)
        before = read(self.path)
        segment.worker(0, 0, processing_ns=5 * SECOND).worker(0, 1, processing_ns=SECOND)

        consumer = interval(read(self.path), before).consumers[0]

        self.assertAlmostEqual(consumer.busy_seconds, 5.0)
        self.assertAlmostEqual(consumer.busy, 5 / 20.0)

    def test_busy_is_1_at_the_most(self):
        # type: () -> None
        segment = self.segment()
        before = read(self.path)
        segment.worker(0, processing_ns=11 * SECOND)

        self.assertEqual(interval(read(self.path), before).consumers[0].busy, 1.0)

    def test_a_stuck_worker_is_busy_all_the_time(self):
        # type: () -> None
        """The message in flight counts although it has not been finished."""
        self.segment().worker(0, dequeued=1, started_ns=monotonic_ns(0) - 100 * SECOND)
        before = read(self.path)
        after = read(self.path)
        after.consumers[0]._clocks = after.consumers[0]._clocks._replace(now_ns=before.taken_ns + 10 * SECOND)

        self.assertAlmostEqual(interval(after, before).consumers[0].busy, 1.0, places=3)

    def test_no_time_has_no_rates(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=5)
        snapshot = read(self.path)

        same = snapshot.since(snapshot)

        consumer = same.consumers[0]
        for unknown in (consumer.enqueue_rate, consumer.processing_rate, consumer.busy, consumer.catch_up):
            self.assertTrue(math.isnan(unknown))
        self.assertTrue(math.isnan(same.hub.receive_rate))

    def test_a_consumer_without_workers_is_not_busy(self):
        # type: () -> None
        self.segment(consumers=[("A", 0)])

        self.assertTrue(math.isnan(read(self.path).since(None).consumers[0].busy))

    def test_without_an_older_snapshot_it_is_everything_since_the_start(self):
        # type: () -> None
        segment = self.segment(age=100.0).consumer(0, enqueued=500).worker(0, dequeued=300)
        segment.durations(0, "wait", [1.0, 2.0])

        whole = read(self.path).since(None)

        self.assertIsNone(whole.older)
        self.assertAlmostEqual(whole.seconds, 100, delta=NEAR)
        self.assertEqual((whole.consumers[0].enqueued, whole.consumers[0].wait.count), (500, 2))

    def test_a_restart_in_between_is_everything_since_the_start(self):
        # type: () -> None
        with Segment(self.path, generation=1) as first:
            first.consumer(0, enqueued=1000).hub(received=1000)
            before = read(self.path)
        self.segment(generation=2, age=3.0).consumer(0, enqueued=7).hub(received=8)

        since = read(self.path).since(before)

        self.assertIsNone(since.older)
        self.assertEqual((since.consumers[0].enqueued, since.hub.received), (7, 8))
        self.assertAlmostEqual(since.seconds, 3, delta=NEAR)

    def test_a_consumer_that_was_not_there_before_starts_at_0(self):
        # type: () -> None
        with Segment(self.path, consumers=[("A", 1)]) as first:
            first.worker(0, processed=5)
            before = read(self.path)
        segment = self.segment(consumers=[("B", 1), ("A", 1)])
        segment.worker(0, processed=3).worker(1, processed=6)

        since = interval(read(self.path), before)

        self.assertEqual([(c.name, c.processed) for c in since.consumers], [("B", 3), ("A", 1)])

    def test_nothing_is_below_0_when_the_snapshots_are_the_wrong_way_round(self):
        # type: () -> None
        segment = self.segment()
        before = read(self.path)
        segment.consumer(0, enqueued=5).hub(received=5)

        backwards = before.since(read(self.path))

        self.assertEqual((backwards.seconds, backwards.consumers[0].enqueued, backwards.hub.received), (0, 0, 0))

    def test_reading_resets_nothing(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=5).worker(0, processed=3)

        first, second = read(self.path), read(self.path)

        self.assertEqual(first.consumers[0].enqueued, second.consumers[0].enqueued)
        self.assertEqual(second.since(None).consumers[0].processed, 3)


class CatchUpTest(unittest.TestCase):
    def test_catch_up_is_backlog_divided_by_net_rate(self):
        # type: () -> None
        self.assertEqual(catch_up(100, 4.0), 25.0)

    def test_no_backlog_is_caught_up(self):
        # type: () -> None
        for net_rate in (-5.0, 0.0, 5.0, float("nan")):
            self.assertEqual(catch_up(0, net_rate), 0.0)

    def test_a_backlog_that_does_not_shrink_is_never_caught_up(self):
        # type: () -> None
        for net_rate in (-5.0, 0.0, float("nan")):
            self.assertTrue(math.isnan(catch_up(10, net_rate)))


class OtherVersionTest(_WithSegment):
    def test_a_field_that_is_missing_reads_as_0(self):
        # type: () -> None
        missing = ["worker.failed", "worker.invalid", "consumer.dropped", "hub.unrouted", "hub.disconnects"]
        self.segment(without=missing).worker(0, dequeued=5, processed=4).consumer(0, enqueued=9)
        snapshot = read(self.path)

        consumer = snapshot.consumers[0]

        self.assertEqual((consumer.failed, consumer.invalid, consumer.dropped), (0, 0, 0))
        self.assertEqual((consumer.backlog, consumer.in_flight), (4, 1))
        self.assertEqual((snapshot.hub.unrouted, snapshot.hub.disconnects), (0, 0))

    def test_a_hub_of_version_1_0_has_no_producers_and_counts_nothing_past_the_bus(self):
        # type: () -> None
        missing = ["worker.duplicates", "hub.queue_injected", "producer"]
        missing += ["consumer." + name for name in ("injected", "withdrawn", "injected_watermark", "injected_head_ns")]
        missing += ["consumer." + name for name in ("drop_head_ns", "blocked_ns", "blocking_ns")] + [
            "hub.queue_dropped"
        ]
        missing += ["consumer." + name for name in ("fetching", "fetched", "fetch_missed", "fetch_errors")]
        segment = self.segment(without=missing, version=(1, 0))
        segment.consumer(0, enqueued=9, watermark=8).worker(0, dequeued=5, processed=4)
        snapshot = read(self.path)

        consumer = snapshot.consumers[0]

        self.assertEqual((consumer.enqueued, consumer.injected, consumer.withdrawn), (9, 0, 0))
        self.assertEqual((consumer.backlog, consumer.in_flight, consumer.watermark), (4, 1, 8))
        self.assertEqual((snapshot.producers, snapshot.hub.backlog), ([], 4))

    def test_a_section_that_no_reader_knows_is_skipped(self):
        # type: () -> None
        self.segment(producers=["P"]).consumer(0, enqueued=9)
        with open(self.path, "rb") as file:
            data = file.read()
        name = b"producer".ljust(16, b"\0")
        self.assertEqual(data.count(name), 1)
        with open(self.path + "2", "wb") as file:
            file.write(data.replace(name, b"stranger".ljust(16, b"\0")))

        snapshot = read(self.path + "2")

        self.assertEqual((snapshot.producers, snapshot.consumers[0].enqueued), ([], 9))

    def test_any_field_may_be_missing(self):
        # type: () -> None
        for section, metrics in (
            ("worker", schema.WORKER_FIELDS),
            ("consumer", schema.CONSUMER_FIELDS),
            ("hub", schema.HUB_FIELDS),
            ("producer", schema.PRODUCER_FIELDS),
        ):
            for metric in metrics:
                without = ["%s.%s" % (section, metric.name)]
                with Segment(self.path, producers=["P"], without=without) as segment:
                    segment.consumer(0, enqueued=9).worker(0, dequeued=5).hub(received=3)
                    snapshot = read(segment.path)

                whole = snapshot.since(None)
                shown = schema.attributes(schema.CONSUMER_FIELDS + schema.WORKER_FIELDS, schema.CONSUMER_DERIVED)
                for name in [attribute.name for attribute in shown]:
                    getattr(snapshot.consumers[0], name)
                for attribute in schema.attributes(schema.HUB_FIELDS, schema.HUB_DERIVED):
                    getattr(snapshot.hub, attribute.name)
                for attribute in schema.attributes(schema.PRODUCER_FIELDS, schema.PRODUCER_DERIVED):
                    getattr(snapshot.producers[0], attribute.name)
                self.assertEqual(whole.consumers[0].wait.count, 0)
                if metric.name != "received":
                    self.assertEqual(snapshot.hub.received, 3)

    def test_all_fields_may_be_missing(self):
        # type: () -> None
        everything = [
            "%s.%s" % (section, metric.name)
            for section, metrics in (
                ("worker", schema.WORKER_FIELDS[1:]),
                ("consumer", schema.CONSUMER_FIELDS[1:]),
                ("hub", schema.HUB_FIELDS[1:]),
                ("producer", schema.PRODUCER_FIELDS[1:]),
            )
            for metric in metrics
        ]
        self.segment(producers=["P"], without=everything)
        snapshot = read(self.path)

        self.assertEqual((snapshot.consumers[0].name, snapshot.consumers[0].backlog), ("A", 0))
        self.assertEqual(snapshot.since(None).consumers[0].processed, 0)
        self.assertEqual((snapshot.producers[0].name, snapshot.producers[0].overdue), ("P", 0))

    def test_fields_that_no_reader_knows_are_skipped(self):
        # type: () -> None
        unknown = ["worker.colour", "worker.taste", "consumer.colour", "hub.colour"]
        segment = self.segment(unknown=unknown, version=(layout.MAJOR, layout.MINOR + 7), consumers=[("A", 2)])
        segment.consumer(0, enqueued=9).worker(0, 1, dequeued=5, processed=4).hub(received=3)
        segment.worker(0, 0, colour=12345).hub(colour=99)
        segment.durations(0, "wait", [1.0])
        snapshot = read(self.path)

        consumer = snapshot.consumers[0]

        self.assertEqual((consumer.name, consumer.backlog, consumer.in_flight, snapshot.hub.received), ("A", 4, 1, 3))
        self.assertEqual(consumer.wait.count, 1)

    def test_a_field_of_another_kind_or_size_is_not_misread(self):
        # type: () -> None
        self.segment().consumer(0, enqueued=9)
        with open(self.path, "rb") as file:
            data = file.read()
        for old, new in (
            (b"enqueued".ljust(32, b"\0") + b"counter".ljust(16, b"\0"), b"enqueued".ljust(32, b"\0") + b"text" * 4),
            (
                b"wait".ljust(32, b"\0") + b"histogram".ljust(16, b"\0"),
                b"wait".ljust(32, b"\0") + b"counter" + 9 * b"\0",
            ),
        ):
            self.assertEqual(data.count(old), 1)
            data = data.replace(old, new)
        with open(self.path + "2", "wb") as file:
            file.write(data)

        consumer = read(self.path + "2").consumers[0]

        self.assertEqual((consumer.enqueued, consumer.wait.count), (0, 0))


class WhereTest(_WithSegment):
    def test_a_hub_that_is_not_there(self):
        # type: () -> None
        with self.assertRaises(SegmentNotFoundError) as caught:
            read(self.path)

        self.assertIn(self.path, str(caught.exception))

    def test_a_file_in_the_place_of_a_directory(self):
        # type: () -> None
        self.segment()

        with self.assertRaises(SegmentAccessError):
            read(self.path + "/hub.stats")

    def test_a_directory_in_the_place_of_the_file(self):
        # type: () -> None
        with self.assertRaises(SegmentFormatError):
            read(self.directory)

    def test_a_path_that_is_none(self):
        # type: () -> None
        for path in ("a\0b", None, 3.5):
            with self.assertRaises(SegmentAccessError):
                read(path)  # type: ignore[arg-type]

    def test_a_reader_leaves_no_descriptor_behind(self):
        # type: () -> None
        self.segment()
        with open(self.path + ".bad", "wb") as file:
            file.write(b"GLASSHUB but not really")
        before = len(os.listdir("/proc/self/fd"))

        for _ in range(10):
            read(self.path)
            with self.assertRaises(SegmentFormatError):
                read(self.path + ".bad")

        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_a_snapshot_outlives_its_segment(self):
        # type: () -> None
        with Segment(self.path) as segment:
            segment.durations(0, "wait", [1.0]).worker(0, processed=3)
            snapshot = read(self.path)

        self.assertEqual((snapshot.consumers[0].processed, snapshot.consumers[0].wait.count), (3, 1))
        self.assertEqual(len(snapshot.consumers[0].wait.counts), histogram.BUCKETS)


def set_realtime(segment):
    # type: (Segment) -> None
    """Publish how far unix time is ahead of the monotonic clock, as the hub's heartbeat does."""
    segment._write(layout.REALTIME_OFFSET, struct.pack("=Q", int(time.time() * 1e9) - monotonic_ns(0)))


if __name__ == "__main__":
    unittest.main()
