# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moksha's monitoring socket: every few seconds a JSON document to whoever is subscribed.

fedmsg-check, Nagios scripts, exporters and collectd scripts read it. The figures are those of the segment; as with
Moksha, counts and times are of the time since the document before.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from glasshub_stats import Histogram, Interval, Snapshot
from glasshub_stats.histogram import EDGES
from glasshub_stats.interval import ConsumerInterval

from .producers import seconds

#: Documents that are held for a subscriber that does not fetch them; each may have some 20 KB for each consumer.
MOST_HELD = 10

#: Moksha remembers the durations of no more messages than these; so many, or a few more, are published.
_MOST_TIMES = 1024


class MonitoringProducer:
    """Publishes the document; a producer among the others, under the name that Moksha's own has.

    Threads: its `ProducerThread`, but for `connect`, which comes before that starts.
    """

    now = False
    die = False

    def __init__(self, publish: Callable[[bytes], None], interval: float) -> None:
        """Take what publishes a document, and how many seconds there are between two of them."""
        self.frequency = interval
        self._publish = publish
        self._initialized = True
        self._last_ran: float | None = None
        self._exception_count = 0
        self._snapshot: Callable[[], Snapshot] | None = None
        self._consumers: Sequence[tuple[int, Any]] = ()
        self._producers: Sequence[Any] = ()
        self._before: Snapshot | None = None

    def connect(
        self, snapshot: Callable[[], Snapshot], consumers: Sequence[tuple[int, Any]], producers: Sequence[Any]
    ) -> None:
        """Say whom to tell of.

        Args:
            snapshot: Reads the hub's segment.
            consumers: The row of each consumer that is up, for its name may be cut there, and the object that its
                author wrote.
            producers: The producers.
        """
        self._snapshot = snapshot
        self._consumers = consumers
        self._producers = producers

    def stop(self) -> None:
        """Publish no more."""
        self.die = True

    def _poll(self) -> None:
        """Publish the document; called as Moksha calls its own."""
        assert self._snapshot is not None
        self._last_ran = time.time()
        interval = Interval(self._snapshot(), self._before)
        self._before = interval.newer
        document = {
            "consumers": [consumer_document(interval.consumers[row], author) for row, author in self._consumers],
            "producers": [producer_document(producer) for producer in self._producers],
        }
        self._publish(json.dumps(document, default=str).encode("utf-8"))


def consumer_document(stats: ConsumerInterval, consumer: Any) -> dict[str, Any]:
    """What Moksha's `Consumer.__json__` says, with our figures."""
    return {
        **_named(consumer),
        "topic": consumer.topic if hasattr(consumer, "topic") else list(consumer.topics),
        "exceptions": stats.failed,
        "jsonify": getattr(consumer, "jsonify", True),
        "backlog": None if math.isnan(stats.now.total_backlog) else stats.now.total_backlog,
        "headcount_out": stats.dequeued,
        "headcount_in": stats.enqueued,
        "times": list(_times(stats.processing)),
    }


def producer_document(producer: Any) -> dict[str, Any]:
    """What Moksha's `Producer.__json__` and `PollingProducer.__json__` say."""
    document = {**_named(producer), "exceptions": producer._exception_count}
    if hasattr(producer, "frequency"):
        document.update(
            frequency=seconds(producer.frequency) if producer.frequency is not None else None,
            now=producer.now,
            last_ran=getattr(producer, "_last_ran", None),
        )
    return document


def _named(thing: Any) -> dict[str, Any]:
    cls = type(thing)
    module = "moksha.hub.monitoring" if cls is MonitoringProducer else cls.__module__
    return {"name": cls.__name__, "module": module, "initialized": bool(getattr(thing, "_initialized", True))}


def _times(histogram: Histogram) -> Iterator[float]:
    """A duration in seconds for each message, within 3.2 % of it for 8.2 us and more; in the right proportions, the
    longest among them, where there are too many."""
    share = min(_MOST_TIMES / max(histogram.count, 1), 1.0)
    for bucket, count in enumerate(histogram.counts):
        if count:
            yield from repeat((EDGES[bucket] + EDGES[bucket + 1]) / 2, max(round(count * share), 1))
