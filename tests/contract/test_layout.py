# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layout of a segment: what is packed can be parsed, and what cannot be true is refused."""

from __future__ import absolute_import

import os
import random
import shutil
import struct
import tempfile
import unittest

import glasshub_stats
from glasshub_stats import (
    SegmentFormatError,
    SegmentNotFoundError,
    SegmentVersionError,
    StatsError,
    layout,
    read,
    schema,
)

from .segments import Segment

MYPY = False
if MYPY:
    from typing import Any, Callable, Dict, Tuple, Type

#: Offsets of what a header says about its tables, see the table in `glasshub_stats.layout`.
SECTIONS_AT, SECTIONS, FIELDS_AT, FIELDS = 88, 92, 96, 100
SECTION_SIZE, FIELD_SIZE = 32, 80

FIELDS_OF_OURS = sum(len(section.fields) for section in layout.plan(1, 1)[0].values())


class _WithFile(unittest.TestCase):
    """A directory, and a good segment in it."""

    def setUp(self):
        # type: () -> None
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "hub.stats")
        with Segment(self.path, consumers=[("A", 2), ("B", 1)], producers=["P", "Q"]) as segment:
            segment.hub(received=7).consumer(0, enqueued=3, injected=2, withdrawn=1).worker(0, dequeued=2, processed=1)
            segment.producer(0, runs=4, last_run_ns=1, last_duration_ns=1, frequency_ns=1)
            with open(self.path, "rb") as file:
                self.good = file.read()

    def write(self, data):
        # type: (bytes) -> str
        with open(self.path, "wb") as file:
            file.write(data)
        return self.path

    def patched(self, offset, form, *numbers):
        # type: (int, str, *Any) -> str
        """Write the good segment with something else at an offset."""
        raw = struct.pack("=" + form, *numbers)
        return self.write(self.good[:offset] + raw + self.good[offset + len(raw) :])

    def assert_refused(self, path, words, kind=SegmentFormatError):
        # type: (str, str, Type[StatsError]) -> None
        with self.assertRaises(kind) as caught:
            read(path)
        self.assertIn(words, str(caught.exception))
        self.assertEqual(caught.exception.path, path)


class PackingTest(unittest.TestCase):
    def test_what_is_packed_can_be_parsed(self):
        # type: () -> None
        for rows in ((0, 0), (1, 1), (0, 0, 2), (7, 3, 5), (250, 100, 10)):
            sections, size = layout.plan(*rows)
            data = packed(sections).ljust(size, b"\0")

            header = layout.parse_header("x", data)

            self.assertEqual(layout.parse_tables("x", data, header), sections)
            self.assertEqual((header.pid, header.pid_start, header.generation), (11, 12, 14))
            self.assertEqual((header.created_ns, header.heartbeat_ns), (15, 15))
            self.assertEqual(header.boot_id, b"b" * 16)

    def test_rows_and_slots_are_aligned_and_nothing_overlaps(self):
        # type: () -> None
        sections, size = layout.plan(5, 3, 2)

        ends = [len(packed(sections))]
        for name in ("worker", "consumer", "hub", "producer"):
            section = sections[name]
            self.assertEqual((section.offset % 64, section.row_size % 64), (0, 0))
            self.assertGreaterEqual(section.offset, ends[-1])
            ends.append(section.offset + section.row_size * section.rows)
            covered = set()  # type: set[int]
            for field in section.fields.values():
                own = set(range(field.offset, field.offset + field.size))
                self.assertEqual((field.offset % 8, field.size % 8), (0, 0))
                self.assertFalse(own & covered)
                covered |= own
            self.assertLessEqual(max(covered), section.row_size)
        self.assertEqual(ends[-1], size)

    def test_the_sections_stand_against_the_way_of_a_message(self):
        # type: () -> None
        sections, _ = layout.plan(1, 1)

        self.assertLess(sections["worker"].offset, sections["consumer"].offset)
        self.assertLess(sections["consumer"].offset, sections["hub"].offset)

    def test_a_workers_single_slots_stand_before_its_histograms_in_one_page(self):
        # type: () -> None
        fields = layout.plan(1, 1)[0]["worker"].fields.values()
        first = min(field.offset for field in fields if field.kind == schema.HISTOGRAM)

        self.assertTrue(all(field.offset < first for field in fields if field.kind != schema.HISTOGRAM))
        self.assertLess(first, 4096)

    def test_every_stored_metric_has_its_place_and_its_kind(self):
        # type: () -> None
        sections, _ = layout.plan(1, 1)

        for name, metrics in (
            ("worker", schema.WORKER_FIELDS),
            ("consumer", schema.CONSUMER_FIELDS),
            ("hub", schema.HUB_FIELDS),
            ("producer", schema.PRODUCER_FIELDS),
        ):
            fields = sections[name].fields
            self.assertEqual(sorted(fields, key=lambda field: fields[field].offset), [m.name for m in metrics])
            for metric in metrics:
                self.assertTrue(layout.usable(fields[metric.name], metric))

    def test_names_in_the_tables_fit(self):
        # type: () -> None
        for metric in schema.WORKER_FIELDS + schema.CONSUMER_FIELDS + schema.HUB_FIELDS + schema.PRODUCER_FIELDS:
            self.assertLessEqual(len(metric.name), 32)
            self.assertLessEqual(len(metric.kind), 16)
            self.assertLessEqual(len(metric.unit), 16)

    def test_a_segment_of_a_hundred_consumers_fits_into_what_a_reader_takes(self):
        # type: () -> None
        self.assertLess(layout.plan(1000, 100)[1], layout.MAX_BYTES)


def packed(sections):
    # type: (Dict[str, layout.Section]) -> bytes
    header = layout.pack_header(sections, pid=11, pid_start=12, boot_id=b"b" * 16, generation=14, created_ns=15)
    return header.ljust(layout.HEADER_SIZE, b"\0") + layout.pack_tables(sections)


class DamageTest(_WithFile):
    def test_a_file_that_is_not_there(self):
        # type: () -> None
        self.assert_refused(self.path, "no such segment", SegmentNotFoundError)

    def test_an_empty_file(self):
        # type: () -> None
        self.assert_refused(self.write(b""), "not a Glasshub segment")

    def test_another_magic(self):
        # type: () -> None
        self.assert_refused(self.patched(0, "8s", b"GLASSHUT"), "not a Glasshub segment")

    def test_the_other_byte_order(self):
        # type: () -> None
        self.assert_refused(self.patched(8, "I", 0x04030201), "other byte order")

    def test_another_major_version(self):
        # type: () -> None
        for major in (0, layout.MAJOR + 1, 65535):
            path = self.patched(12, "H", major)

            self.assert_refused(
                path, "layout version %d.%d, this reader knows 1.x" % (major, layout.MINOR), SegmentVersionError
            )

    def test_a_newer_minor_version_is_read(self):
        # type: () -> None
        self.assertEqual(read(self.patched(14, "H", 999)).hub.received, 7)

    def test_nothing_behind_the_magic(self):
        # type: () -> None
        self.assert_refused(self.write(b"GLASSHUB"), "8 bytes are not even a header")

    def test_tables_that_lie_outside(self):
        # type: () -> None
        for offset, count in ((SECTIONS_AT, SECTIONS), (FIELDS_AT, FIELDS)):
            for wrong in (len(self.good) - 8, len(self.good), 2**31, 2**32 - 1):
                self.assert_refused(self.patched(offset, "I", wrong), "does not fit into the file")
            for wrong in (5000, 2**31, 2**32 - 1):
                self.assert_refused(self.patched(count, "I", wrong), "does not fit into the file")

    def test_rows_that_lie_outside(self):
        # type: () -> None
        for index in range(4):
            at = layout.HEADER_SIZE + SECTION_SIZE * index
            for offset, form, wrong in (
                (16, "Q", len(self.good)),
                (16, "Q", 2**64 - 8),
                (16, "Q", 4),
                (24, "I", 0),
                (24, "I", 12),
                (24, "I", 2**32 - 8),
                (28, "I", 2**32 - 1),
                (28, "I", 1000),
            ):
                path = self.patched(at + offset, form, wrong)

                self.assert_refused(path, "do not fit into the file")

    def test_a_field_that_lies_outside_of_its_row(self):
        # type: () -> None
        at = self.fields_at()
        for offset, wrong in ((0, 4), (0, 2**32 - 1), (4, 4), (4, 2**20), (4, 2**32 - 8), (8, 2**20), (8, 12)):
            self.assert_refused(self.patched(at + offset, "I", wrong), "does not fit into its row")

    def test_a_field_of_no_size_at_the_end_of_its_row(self):
        # type: () -> None
        """It would be looked for behind the last row."""
        worker = layout.plan(1, 1)[0]["worker"]

        self.assert_refused(self.patched(self.fields_at() + 4, "II", worker.row_size, 0), "does not fit into its row")

    def test_more_rows_than_any_hub_has(self):
        # type: () -> None
        """Each row costs its reader far more memory than the file says."""
        rows = 1000000
        at = layout.HEADER_SIZE + SECTION_SIZE
        data = self.good[: at + 16] + struct.pack("=QII", 0, 8, rows) + self.good[at + SECTION_SIZE :]
        data = data[:FIELDS] + struct.pack("=I", 0) + data[FIELDS + 4 :]

        self.assert_refused(self.write(data.ljust(8 * rows, b"\0")), "has 1000000 rows, more than any hub writes")

    def test_a_name_that_is_not_ascii(self):
        # type: () -> None
        self.assert_refused(self.patched(layout.HEADER_SIZE, "16s", b"w\xc3\xb6rker"), "not ASCII")
        self.assert_refused(self.patched(self.fields_at() + 16, "32s", b"\xff"), "not ASCII")

    def test_a_text_that_is_not_utf8(self):
        # type: () -> None
        for section, row in (("consumer", 1), ("hub", 0), ("producer", 1)):
            found = self.sections()[section]
            at = found.offset + row * found.row_size + found.fields["name"].offset

            self.assert_refused(self.patched(at, "3s", b"a\xff\0"), "not UTF-8")

    def test_a_worker_of_a_consumer_that_is_not_there(self):
        # type: () -> None
        worker = self.sections()["worker"]
        for wrong in (2, 2**63, 2**64 - 1):
            path = self.patched(worker.offset + worker.fields["consumer"].offset, "Q", wrong)

            self.assert_refused(path, "names consumer %d, which is not there" % wrong)

    def test_no_row_for_the_hub(self):
        # type: () -> None
        at = layout.HEADER_SIZE + 2 * SECTION_SIZE

        self.assert_refused(self.patched(at + 28, "I", 0), "no row for its hub")
        self.assert_refused(self.patched(at, "16s", b"stranger"), "no row for its hub")

    def test_a_segment_without_any_section(self):
        # type: () -> None
        path = self.patched(SECTIONS, "IIII", 0, self.fields_at(), 0, 0)

        self.assert_refused(path, "no row for its hub")

    def fields_at(self):
        # type: () -> int
        return int(struct.unpack_from("=I", self.good, FIELDS_AT)[0])

    def sections(self):
        # type: () -> Dict[str, layout.Section]
        return layout.parse_tables("x", self.good, layout.parse_header("x", self.good))


class AnyDamageTest(_WithFile):
    """Whatever the file holds: an answer, or a `StatsError`."""

    def test_a_segment_cut_short_at_any_length(self):
        # type: () -> None
        tables = struct.unpack_from("=I", self.good, FIELDS_AT)[0] + FIELD_SIZE * FIELDS_OF_OURS
        lengths = list(range(0, tables)) + list(range(tables, len(self.good), 181)) + [len(self.good) - 1]

        for length in lengths:
            self.write(self.good[:length])
            with self.assertRaises(StatsError):
                read(self.path)

    def test_a_segment_with_something_behind_it(self):
        # type: () -> None
        for more in (1, 7, 8, 4096):
            self.assertEqual(read(self.write(self.good + b"\xff" * more)).hub.received, 7)

    def test_a_few_wrong_bytes_anywhere(self):
        # type: () -> None
        generator = random.Random(20141)
        head = struct.unpack_from("=I", self.good, FIELDS_AT)[0] + FIELD_SIZE * FIELDS_OF_OURS
        refused = self._damage(1000, lambda: self._few_bytes(generator, head))

        self.assertGreater(refused, 100)

    def test_wrong_numbers_in_the_tables(self):
        # type: () -> None
        generator = random.Random(20142)
        head = struct.unpack_from("=I", self.good, FIELDS_AT)[0] + FIELD_SIZE * FIELDS_OF_OURS
        refused = self._damage(1000, lambda: self._numbers(generator, head))

        self.assertGreater(refused, 250)

    def test_numbers_of_any_size_in_the_rows(self):
        # type: () -> None
        generator = random.Random(20143)
        head = layout.parse_tables("x", self.good, layout.parse_header("x", self.good))["worker"].offset

        self._damage(300, lambda: self._slots(generator, head))

    def test_random_bytes_behind_a_good_start(self):
        # type: () -> None
        generator = random.Random(20144)

        def damage():
            # type: () -> bytes
            kept = generator.choice([8, 12, 16, 88, 128, 224, 1000])
            noise = bytearray(generator.getrandbits(8) for _ in range(generator.randrange(600)))
            return self.good[:kept] + bytes(noise) + generator.choice([b"", self.good[kept + len(noise) :]])

        self._damage(300, damage)

    def _few_bytes(self, generator, head):
        # type: (random.Random, int) -> bytes
        data = bytearray(self.good)
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(generator.choice([128, 224, head, len(data)]))] = generator.choice(
                [0, 1, 8, 0x7F, 0x80, 0xFF, generator.getrandbits(8)]
            )
        return bytes(data)

    def _numbers(self, generator, head):
        # type: (random.Random, int) -> bytes
        """Words of the header and of the tables replaced by plausible and by absurd ones."""
        data = bytearray(self.good)
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(16, generator.choice([128, 224, head])) // 4 * 4
            number = generator.choice(
                [0, 1, 2, 3, 4, 7, 8, 16, 64, 80, 128, 224, 4096, len(data), len(data) - 8, 2**31, 2**32 - 8]
                + [2**32 - 1, generator.getrandbits(32), generator.randrange(len(data))]
            )
            data[at : at + 4] = struct.pack("=I", number)
        return bytes(data)

    def _slots(self, generator, head):
        # type: (random.Random, int) -> bytes
        data = bytearray(self.good)
        for _ in range(generator.randint(1, 20)):
            at = generator.randrange(head, len(data)) // 8 * 8
            number = generator.choice([0, 1, 2**31, 2**53, 2**63, 2**64 - 1, generator.getrandbits(64)])
            data[at : at + 8] = struct.pack("=Q", number)
        return bytes(data)

    def _damage(self, times, damage):
        # type: (int, Callable[[], bytes]) -> int
        """Read damaged segments and use what comes out; how many were refused."""
        refused = 0
        self.write(self.good)
        older = read(self.path)
        for number in range(times):
            data = damage()
            self.write(data)
            try:
                snapshot = read(self.path)
            except StatsError as error:
                refused += 1
                self.assertEqual(error.path, self.path)
                self.assertTrue(error.reason)
            except Exception as error:
                self.fail("damage %d of %s: %r" % (number, self.id(), error))
            else:
                use(snapshot, older)
        return refused


def use(snapshot, older):
    # type: (glasshub_stats.Snapshot, glasshub_stats.Snapshot) -> None
    """Ask a snapshot for everything that it has."""
    snapshot.status()
    for interval in (snapshot.since(None), snapshot.since(older), older.since(snapshot)):
        for part in [interval.hub, interval.newer.hub]:
            for metric in schema.attributes(schema.HUB_FIELDS, schema.HUB_DERIVED):
                getattr(part, metric.name, None)
        for consumer in interval.consumers:
            for metric in schema.INTERVAL_DERIVED:
                number = getattr(consumer, metric.name)
                if metric.name != "net_rate":  # a backlog that grows shrinks by less than nothing
                    check(number)
            for histogram in (consumer.wait, consumer.processing, consumer.now.wait, consumer.now.processing):
                histogram.percentile(50), histogram.mean, histogram.upper, list(histogram.octaves())
            for metric in schema.attributes(schema.CONSUMER_FIELDS + schema.WORKER_FIELDS, schema.CONSUMER_DERIVED):
                if metric.kind != schema.HISTOGRAM:
                    check(getattr(consumer.now, metric.name))
        for producer in interval.newer.producers:
            for metric in schema.attributes(schema.PRODUCER_FIELDS, schema.PRODUCER_DERIVED):
                check(getattr(producer, metric.name))


def check(number):
    # type: (float) -> None
    """No figure is ever below zero (NaN is none)."""
    assert not number < 0, number


if __name__ == "__main__":
    unittest.main()
