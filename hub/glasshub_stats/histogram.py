# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixed log-linear buckets for durations, and the percentiles that one may ask of them.

Durations are counted in units of 512 ns. The first 16 buckets are one unit wide; after them every
octave (a doubling of the duration) is cut into 16 buckets of equal width, so that the middle of a
bucket is never further than 1/32 (3.2 %) from any duration of 8.2 us or more that fell into it. The last
bucket takes everything from 1065 s up. It is the scheme of HdrHistogram with 4 bits of precision.

A histogram only ever grows. The distribution over an interval is the difference of two of them.
"""

from __future__ import absolute_import

import operator

MYPY = False
if MYPY:
    from typing import Iterator, Optional, Sequence, Tuple

UNIT_SHIFT = 9  # one unit is 2**9 ns
PRECISION_BITS = 4  # 2**4 buckets to an octave
_SUB_BUCKETS = 1 << PRECISION_BITS
_TOP_OCTAVE = 26  # the 27th octave of units ends at 1100 s
BUCKETS = (_TOP_OCTAVE + 2) * _SUB_BUCKETS


def bucket_of(duration_ns):
    # type: (int) -> int
    """The bucket that counts a duration.

    Args:
        duration_ns: Nanoseconds; below 0 counts as 0, above the range as the last bucket.
    """
    units = duration_ns >> UNIT_SHIFT
    if units < 2 * _SUB_BUCKETS:
        return units if units > 0 else 0
    octave = units.bit_length() - PRECISION_BITS - 1
    if octave > _TOP_OCTAVE:
        return BUCKETS - 1
    return (octave << PRECISION_BITS) + (units >> octave)


def _edge_ns(bucket):
    # type: (int) -> int
    """The shortest duration, in nanoseconds, that falls into the bucket."""
    octave = (bucket >> PRECISION_BITS) - 1
    if octave <= 0:
        return bucket << UNIT_SHIFT
    return (bucket - (octave << PRECISION_BITS)) << (octave + UNIT_SHIFT)


def _bounds():
    # type: () -> Tuple[float, ...]
    return tuple(_edge_ns(bucket) / 1e9 for bucket in range(BUCKETS + 1))


#: Lower edge of every bucket in seconds, and behind them the upper edge of the last.
EDGES = _bounds()


class Histogram(object):
    """Counts of durations, cumulative since the hub started or over one interval.

    Immutable; safe to share between threads.
    """

    __slots__ = ("_counts", "_total_ns", "_count")

    def __init__(self, counts, total_ns):
        # type: (Sequence[int], int) -> None
        """Take the counts of all buckets, and the exact sum of the durations in nanoseconds."""
        self._counts = counts
        self._total_ns = total_ns
        self._count = None  # type: Optional[int]

    @classmethod
    def empty(cls):
        # type: () -> Histogram
        """A histogram that has counted nothing."""
        return cls((), 0)

    @property
    def counts(self):
        # type: () -> Sequence[int]
        """How many durations fell into each bucket: `BUCKETS` numbers, or none when nothing is known."""
        return self._counts

    @property
    def count(self):
        # type: () -> int
        """How many durations were counted."""
        if self._count is None:
            self._count = sum(self._counts)
        return self._count

    @property
    def total(self):
        # type: () -> float
        """Sum of the durations in seconds, exact."""
        return self._total_ns / 1e9

    @property
    def mean(self):
        # type: () -> float
        """Mean duration in seconds; NaN when nothing was counted."""
        return self.total / self.count if self.count else float("nan")

    @property
    def upper(self):
        # type: () -> float
        """No duration was longer, in seconds (at most 6.3 % above the longest); NaN when nothing was counted."""
        for bucket in range(len(self._counts) - 1, -1, -1):
            if self._counts[bucket]:
                return EDGES[bucket + 1]
        return float("nan")

    def percentile(self, percent):
        # type: (float) -> float
        """The duration in seconds that `percent` of the counted durations do not exceed.

        The middle of the bucket that holds it: within 3.2 % for 8.2 us and more. NaN when nothing was counted.
        """
        rank = self.count * percent / 100.0
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return (EDGES[bucket] + EDGES[bucket + 1]) / 2.0
        return float("nan")

    def octaves(self):
        # type: () -> Iterator[Tuple[float, int]]
        """Pairs of (upper edge in seconds, durations below it), one for every second octave, 16 us to 275 s."""
        below = 0
        start = 0
        for edge in range(2 * _SUB_BUCKETS, BUCKETS, 2 * _SUB_BUCKETS):
            below += sum(self._counts[start:edge])
            start = edge
            yield EDGES[edge], below

    def since(self, older):
        # type: (Histogram) -> Histogram
        """What was counted after `older` was taken; `older` must be an earlier state of the same histogram."""
        if not older.counts:
            return self
        if self.count <= older.count:
            return Histogram.empty()
        counts = list(map(operator.sub, self._counts, older.counts))
        return Histogram(counts, max(self._total_ns - older._total_ns, 0))


def merged(counts, total_ns):
    # type: (Sequence[Sequence[int]], int) -> Histogram
    """One histogram of the counts of several workers, whose durations sum up to `total_ns`."""
    if len(counts) == 1:
        return Histogram(counts[0], total_ns)
    added_up = []  # type: Sequence[int]
    for more in counts:
        added_up = list(map(operator.add, added_up, more)) if added_up else more
    return Histogram(added_up, total_ns)
