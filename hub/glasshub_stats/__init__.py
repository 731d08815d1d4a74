# SPDX-License-Identifier: LGPL-2.1-or-later
"""The contract between a hub and whoever looks into it: the segment's layout, its metrics, and reading it.

Python 2.7 and 3.6 or newer, the standard library and six only: collectd loads this package.
"""

from __future__ import absolute_import

from .errors import (
    SegmentAccessError,
    SegmentFormatError,
    SegmentNotFoundError,
    SegmentVersionError,
    StatsError,
)
from .histogram import Histogram
from .interval import ConsumerInterval, HubInterval, Interval
from .reader import read
from .snapshot import STALE_AFTER, ConsumerStats, HubStats, ProducerStats, Snapshot

__all__ = [
    # reading
    "read",
    "Snapshot",
    "HubStats",
    "ConsumerStats",
    "ProducerStats",
    "Histogram",
    "STALE_AFTER",
    # comparing
    "Interval",
    "HubInterval",
    "ConsumerInterval",
    # errors
    "StatsError",
    "SegmentNotFoundError",
    "SegmentAccessError",
    "SegmentFormatError",
    "SegmentVersionError",
]
