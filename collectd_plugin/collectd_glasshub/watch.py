# SPDX-License-Identifier: LGPL-2.1-or-later
"""One hub as collectd sees it: what the last look saw, and what state was last told of."""

from __future__ import absolute_import

from collections import namedtuple

from glasshub_stats import (
    SegmentAccessError,
    SegmentNotFoundError,
    SegmentVersionError,
    StatsError,
    read,
)

from . import config

MYPY = False
if MYPY:
    from typing import Optional

    from glasshub_stats import Interval, Snapshot

#: What one look at a hub saw: its state in a word, a sentence for the operator that says what to do, and what
#: happened since the last look (None when there are no figures).
Sight = namedtuple("Sight", "state sentence interval")

_DEFAULT_INTERVAL = 10.0  # collectd's


class Watch(object):
    """Looks at one segment again and again. Threads: one at a time.

    Attributes:
        path: The segment.
        name: What to call the hub: as the settings say, as its segment says, or the stem of the path.
        told: The state that the operator was last told of; None before the first time.
    """

    def __init__(self, path, settings):
        # type: (str, config.Settings) -> None
        self.path = path
        self.name = settings.instance or config.stem(path)
        self.told = None  # type: Optional[str]
        self._settings = settings
        self._last = None  # type: Optional[Snapshot]

    def look(self):
        # type: () -> Sight
        """What the hub does now. Never blocks."""
        try:
            snapshot = read(self.path)
        except StatsError as error:
            return Sight(_state_of(error), str(error), None)
        self.name = self._settings.instance or snapshot.hub.name or self.name
        sight = self._judge(snapshot)
        self._last = None if sight.interval is None else snapshot
        return sight

    def _judge(self, snapshot):
        # type: (Snapshot) -> Sight
        stale_after = self._settings.stale_after
        status = snapshot.status(stale_after)
        if status == "down":
            return Sight(status, _DOWN % (snapshot.pid, self.path), None)
        if status == "stopped":
            return Sight(status, _STOPPED % self.path, None)
        interval = snapshot.since(self._since(snapshot))
        if snapshot.is_up(stale_after):
            return Sight("up", "its segment is %s" % self.path, interval)
        if status != "stuck":
            return Sight(status, _UNKNOWN % self.path, interval)
        age = max(snapshot.hub.heartbeat_age, snapshot.hub.enqueuer_age)
        return Sight(status, _STUCK % (snapshot.pid, age, stale_after), interval)

    def _since(self, snapshot):
        # type: (Snapshot) -> Optional[Snapshot]
        """Where the interval of this look begins; None for the hub's start.

        When collectd is restarted, the hub may have run for weeks: averages over them would make a spike on the graph.
        The first look at such a hub has an interval without length, that is, counters and levels only.
        """
        period = self._settings.interval or _DEFAULT_INTERVAL
        if self._last is None and snapshot.hub.uptime > 2 * period:
            return snapshot
        return self._last


_DOWN = "its process (pid %d) ended without a goodbye: see the hub's log, and start it again (segment %s)"
_STOPPED = "it was shut down in order: start it again when it shall run (segment %s)"
_STUCK = (
    "its process (pid %d) lives, but has shown no heartbeat for %.1f s (StaleAfter is %g s): "
    "see whether it is suspended, swapped out, or held up by a consumer"
)
_UNKNOWN = "it is newer than this plugin, and in a phase unknown here: install the same version on both sides (%s)"


def _state_of(error):
    # type: (StatsError) -> str
    if isinstance(error, SegmentNotFoundError):
        return "absent"
    if isinstance(error, SegmentAccessError):
        return "not readable"
    if isinstance(error, SegmentVersionError):
        return "of another version"
    return "not intelligible"
