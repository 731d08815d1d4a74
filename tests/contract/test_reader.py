# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading a segment while it is written, step by step: the writer moves between two reads, and nowhere else."""

from __future__ import absolute_import

import os
import shutil
import tempfile
import unittest

from glasshub_stats import SegmentFormatError, read, reader

from .segments import Segment

MYPY = False
if MYPY:
    from typing import Any, Callable

    from glasshub_stats import Snapshot


class WhileItIsWrittenTest(unittest.TestCase):
    """One worker and one producer, which count between two reads."""

    def setUp(self):
        # type: () -> None
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.segment = Segment(os.path.join(directory, "hub.stats"), producers=["P"])
        self.addCleanup(self.segment.close)
        self.segment.consumer(0, enqueued=7).worker(0, dequeued=7, processed=6)

    def read(self, writer=lambda count: None):
        # type: (Callable[[int], object]) -> Snapshot
        """A snapshot, read while the writer does something behind each read, counted from 1."""
        self.reads = 0

        def meddled(function):
            # type: (Callable[..., Any]) -> Callable[..., Any]
            def call(*arguments):
                # type: (*Any) -> Any
                found = function(*arguments)
                self.reads += 1
                writer(self.reads)
                return found

            return call

        functions = {name: vars(reader)[name] for name in ("_contents", "_read_at")}
        vars(reader).update({name: meddled(function) for name, function in functions.items()})
        try:
            return read(self.segment.path)
        finally:
            vars(reader).update(functions)

    def test_a_worker_that_rests_is_read_twice(self):
        # type: () -> None
        self.assertEqual(self.read().consumers[0].dequeued, 7)
        self.assertEqual(self.reads, 4, "all, the worker's row, what stands behind it, and the producer's row")

    def test_a_row_that_changed_is_read_until_two_readings_agree(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count < 5:
                self.segment.worker(0, processed=6 + count, dequeued=7 + count)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.processed, consumer.dequeued), (10, 11))
        self.assertEqual(self.reads, 8, "all, five times the worker's row, what is behind it, and the producer's row")

    def test_half_an_update_is_not_taken_for_one_when_it_goes_on(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 1:
                self.segment.worker(0, processed=7)
            if count == 2:
                self.segment.worker(0, dequeued=8)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.processed, consumer.dequeued), (7, 8))

    def test_who_sees_a_message_taken_sees_that_it_was_put(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 2:
                self.segment.consumer(0, enqueued=9).worker(0, dequeued=9, processed=8)
            if count == 1:
                self.segment.worker(0, processed=7)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.enqueued, consumer.dequeued, consumer.backlog, consumer.in_flight), (9, 9, 0, 1))

    def test_what_the_enqueuer_counts_is_later_than_what_the_workers_do(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 1:
                self.segment.consumer(0, enqueued=8)

        self.assertEqual(self.read(writer).consumers[0].backlog, 1)

    def test_who_sees_a_message_taken_sees_that_it_was_injected(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 1:
                self.segment.consumer(0, injected=1).worker(0, dequeued=8, processed=8)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.enqueued, consumer.dequeued, consumer.backlog), (8, 8, 0))

    def test_what_was_withdrawn_meanwhile_is_not_seen_before_it_was_put(self):
        # type: () -> None
        """Put and withdrawn stand in one row, and nobody knows which of them a reading copies first."""

        def writer(count):
            # type: (int) -> None
            if count == 1:
                self.segment.consumer(0, withdrawn=3)
            if count == 3:
                self.segment.consumer(0, injected=3)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.enqueued, consumer.withdrawn, consumer.dequeued, consumer.backlog), (7, 0, 7, 0))

    def test_what_was_dropped_meanwhile_is_not_seen_before_it_was_put(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 1:
                self.segment.consumer(0, dropped=3)

        consumer = self.read(writer).consumers[0]

        self.assertEqual((consumer.enqueued, consumer.dropped, consumer.dequeued, consumer.backlog), (7, 0, 7, 0))

    def test_what_was_withdrawn_before_is_seen(self):
        # type: () -> None
        self.segment.consumer(0, injected=5, withdrawn=3)

        consumer = self.read().consumers[0]

        self.assertEqual((consumer.enqueued, consumer.withdrawn, consumer.backlog), (12, 3, 2))

    def test_a_producers_row_is_read_until_two_readings_agree(self):
        # type: () -> None
        """Otherwise the end of a poll may be seen without its duration, and the next one as long overdue."""

        def writer(count):
            # type: (int) -> None
            if 2 < count < 6:
                self.segment.producer(0, runs=count, last_duration_ns=count, running_ns=10 * count)

        producer = self.read(writer).producers[0]

        self.assertEqual((producer.runs, producer.last_duration_ns, producer.running_ns), (5, 5, 50))
        self.assertEqual(self.reads, 7, "all, the worker's row, what is behind it, and four times the producer's row")

    def test_a_worker_that_never_rests_delays_nobody(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            self.segment.consumer(0, enqueued=count + 8).worker(0, dequeued=count + 7, processed=count + 6)

        consumer = self.read(writer).consumers[0]

        self.assertGreater(consumer.dequeued, 7)
        self.assertLess(self.reads, 1000)
        self.assertEqual(consumer.enqueued, consumer.backlog + consumer.in_flight + consumer.finished)

    def test_a_file_that_becomes_shorter_meanwhile(self):
        # type: () -> None
        def writer(count):
            # type: (int) -> None
            if count == 1:
                with open(self.segment.path, "r+b") as file:
                    file.truncate(64)

        with self.assertRaises(SegmentFormatError):
            self.read(writer)


if __name__ == "__main__":
    unittest.main()
