# SPDX-License-Identifier: LGPL-2.1-or-later
"""Buckets and percentiles: how far off they may be, checked with durations of every size."""

from __future__ import absolute_import

import math
import random
import unittest

from glasshub_stats.histogram import BUCKETS, EDGES, UNIT_SHIFT, Histogram, bucket_of, merged

MYPY = False
if MYPY:
    from typing import List, Sequence

US = 1000
MS = 1000 * US
SECOND = 1000 * MS

#: What percentiles promise from 8.2 us up.
ACCURACY = 1 / 32.0


def histogram(durations_ns):
    # type: (Sequence[int]) -> Histogram
    counts = [0] * BUCKETS
    for duration_ns in durations_ns:
        counts[bucket_of(duration_ns)] += 1
    return Histogram(counts, sum(durations_ns))


class BucketTest(unittest.TestCase):
    def test_buckets_meet_without_gap_and_grow(self):
        # type: () -> None
        self.assertEqual(len(EDGES), BUCKETS + 1)
        self.assertEqual(EDGES[0], 0)
        self.assertTrue(all(low < high for low, high in zip(EDGES, EDGES[1:])))

    def test_a_duration_falls_between_the_edges_of_its_bucket(self):
        # type: () -> None
        generator = random.Random(1)
        for _ in range(20000):
            duration_ns = int(10 ** generator.uniform(0, 12))

            bucket = bucket_of(duration_ns)

            self.assertLessEqual(EDGES[bucket], duration_ns / 1e9)
            self.assertLess(duration_ns / 1e9, EDGES[bucket + 1])

    def test_each_edge_is_the_first_of_its_bucket(self):
        # type: () -> None
        for bucket in range(BUCKETS):
            edge_ns = int(EDGES[bucket] * 1e9 + 0.5)

            self.assertEqual(bucket_of(edge_ns), bucket)
            if bucket:
                self.assertEqual(bucket_of(edge_ns - 1), bucket - 1)

    def test_no_bucket_is_wider_than_a_sixteenth_of_its_durations(self):
        # type: () -> None
        for bucket in range(16, BUCKETS):
            self.assertLessEqual((EDGES[bucket + 1] - EDGES[bucket]) / EDGES[bucket], 1 / 16.0 + 1e-9)

    def test_the_range_reaches_from_less_than_10_us_to_more_than_1000_s(self):
        # type: () -> None
        self.assertLess(EDGES[16], 10e-6)
        self.assertGreater(EDGES[BUCKETS - 1], 1000)

    def test_durations_out_of_range_count_in_the_first_and_in_the_last_bucket(self):
        # type: () -> None
        for duration_ns, bucket in (
            (-1, 0),
            (-(2**70), 0),
            (0, 0),
            ((1 << UNIT_SHIFT) - 1, 0),
            (1066 * SECOND, BUCKETS - 1),
            (86400 * SECOND, BUCKETS - 1),
            (2**64 - 1, BUCKETS - 1),
            (2**70, BUCKETS - 1),
        ):
            self.assertEqual(bucket_of(duration_ns), bucket, duration_ns)


class PercentileTest(unittest.TestCase):
    def test_every_percentile_is_within_3_2_percent(self):
        # type: () -> None
        generator = random.Random(2)
        for _ in range(300):
            spread = generator.choice([0.01, 1, 3])
            middle = generator.uniform(math.log10(8200) + spread, 12 - spread)
            durations = sorted(
                int(10 ** generator.uniform(middle - spread, middle + spread))
                for _ in range(generator.choice([1, 2, 3, 10, 101]))
            )
            counted = histogram(durations)
            for percent in (0, 1, 25, 50, 75, 90, 95, 99, 99.9, 100):
                exact = durations[max(int(len(durations) * percent / 100.0 + 1 - 1e-9), 1) - 1] / 1e9

                found = counted.percentile(percent)

                self.assertLessEqual(abs(found - exact), exact * ACCURACY + 1e-9, (percent, found, exact))

    def test_percentiles_never_fall(self):
        # type: () -> None
        generator = random.Random(3)
        counted = histogram([int(10 ** generator.uniform(3, 12)) for _ in range(100)])

        found = [counted.percentile(percent) for percent in range(101)]

        self.assertEqual(found, sorted(found))

    def test_the_smallest_and_the_largest_count(self):
        # type: () -> None
        counted = histogram([1 * MS] + [2 * MS] * 98 + [1 * SECOND])

        self.assertAlmostEqual(counted.percentile(1), 0.001, delta=0.001 * ACCURACY)
        self.assertAlmostEqual(counted.percentile(2), 0.002, delta=0.002 * ACCURACY)
        self.assertAlmostEqual(counted.percentile(99), 0.002, delta=0.002 * ACCURACY)
        self.assertAlmostEqual(counted.percentile(100), 1.0, delta=ACCURACY)

    def test_an_empty_histogram_knows_nothing(self):
        # type: () -> None
        for empty in (Histogram.empty(), histogram([])):
            self.assertEqual((empty.count, empty.total), (0, 0))
            for unknown in (empty.percentile(50), empty.mean, empty.upper):
                self.assertTrue(math.isnan(unknown))


class FiguresTest(unittest.TestCase):
    def test_count_total_and_mean_are_exact(self):
        # type: () -> None
        counted = histogram([1 * MS, 2 * MS, 6 * MS])

        self.assertEqual(counted.count, 3)
        self.assertEqual(counted.total, 0.009)
        self.assertAlmostEqual(counted.mean, 0.003)

    def test_no_duration_was_longer_than_upper(self):
        # type: () -> None
        generator = random.Random(4)
        for _ in range(500):
            longest = int(10 ** generator.uniform(4, 12))

            upper = histogram([longest // 2, longest]).upper

            self.assertLess(longest / 1e9, upper)
            self.assertLessEqual(upper, longest / 1e9 * 1.063)

    def test_octaves_count_what_lies_below_their_edge(self):
        # type: () -> None
        generator = random.Random(5)
        durations = [int(10 ** generator.uniform(3, 12)) for _ in range(300)]

        octaves = list(histogram(durations).octaves())

        self.assertEqual(octaves, [(edge, sum(d / 1e9 < edge for d in durations)) for edge, _ in octaves])
        edges = [edge for edge, _ in octaves]
        self.assertEqual(edges, sorted(set(edges)))
        self.assertLess(edges[0], 20e-6)
        self.assertGreater(edges[-1], 250)

    def test_an_empty_histogram_has_octaves_of_nothing(self):
        # type: () -> None
        self.assertEqual({below for _, below in Histogram.empty().octaves()}, {0})

    def test_since_is_what_was_counted_in_between(self):
        # type: () -> None
        generator = random.Random(6)
        first = [int(10 ** generator.uniform(4, 11)) for _ in range(100)]
        second = [int(10 ** generator.uniform(4, 11)) for _ in range(50)]

        since = histogram(first + second).since(histogram(first))

        self.assertEqual(list(since.counts), list(histogram(second).counts))
        self.assertEqual(since.count, 50)
        self.assertAlmostEqual(since.total, sum(second) / 1e9)

    def test_since_nothing_is_everything_and_since_itself_is_nothing(self):
        # type: () -> None
        counted = histogram([MS, 5 * MS])

        self.assertEqual(counted.since(Histogram.empty()).count, 2)
        self.assertEqual(counted.since(counted).count, 0)

    def test_since_a_later_state_is_nothing(self):
        # type: () -> None
        since = histogram([MS]).since(histogram([5 * MS, 5 * MS]))

        self.assertEqual((since.count, since.total), (0, 0))

    def test_the_histograms_of_several_workers_add_up(self):
        # type: () -> None
        rows = [[MS, 2 * MS], [], [3 * SECOND]]  # type: List[List[int]]
        together = [duration for row in rows for duration in row]

        both = merged([histogram(row).counts for row in rows], sum(together))

        self.assertEqual(list(both.counts), list(histogram(together).counts))
        self.assertEqual((both.count, both.total), (3, 3.003))

    def test_the_histogram_of_one_worker_and_of_none(self):
        # type: () -> None
        self.assertEqual(merged([histogram([MS]).counts], MS).count, 1)
        self.assertEqual(merged([], 0).count, 0)


if __name__ == "__main__":
    unittest.main()
