# SPDX-License-Identifier: LGPL-2.1-or-later
"""Watching one run: from the hub that comes up to the last message that it is done with."""

from __future__ import annotations

import time
from pathlib import Path

import glasshub_stats
from glasshub_stats import Snapshot, StatsError

from .bus import Published
from .live import Show
from .processes import Child, Interrupt, LoadError, TalkingChild
from .record import Record

#: Seconds that a process has to come up.
START = 30.0

#: Seconds between two looks at the hub.
_LOOK = 0.1


class Watch:
    """Looks at a hub and at its bus, and writes the record of it. Threads: one at a time."""

    def __init__(
        self,
        bus: TalkingChild,
        segment: Path,
        *,
        interrupt: Interrupt,
        kind: str,
        quiet: float,
        patience: float,
        standstill: float,
    ) -> None:
        """Prepare.

        Args:
            bus: Publishes the load.
            segment: The hub's.
            interrupt: Looked at wherever the run waits.
            kind: What the load is called.
            quiet: Seconds to go on when everybody has caught up.
            patience: Seconds after the load that the consumers are given to catch up.
            standstill: When nobody has anything to do for so many seconds after the load, what is left will not come
                any more.
        """
        self._bus = bus
        self._segment = segment
        self._interrupt = interrupt
        self._hub: Child | None = None
        self._kind = kind
        self._quiet = quiet
        self._patience = patience
        self._standstill = standstill
        self._generation: int | None = None

    def await_hub(self, hub: Child) -> None:
        """Wait until a hub of ours is up with all of its consumers, and has subscribed; from then on it has to run.

        Raises:
            LoadError: It is not.
        """
        self._hub = hub

        def is_decided() -> bool:
            return not hub.is_running or (self._segment.exists() and self.read().hub.connected > 0)

        if not self._interrupt.wait(is_decided, START) or not hub.is_running:
            raise hub.died()
        self._bus.expect("subscribed", START, self._interrupt)
        idle = [consumer.name for consumer in self.read().consumers if not consumer.initialized]
        if idle:
            raise LoadError(f"{', '.join(idle)} did not start; the hub's log ends with\n{hub.last_words(12)}")

    def read(self) -> Snapshot:
        """What the hub says now.

        Raises:
            LoadError: It cannot be read, or it is another hub than before.
        """
        try:
            snapshot = glasshub_stats.read(str(self._segment))
        except StatsError as error:
            raise LoadError(f"cannot read the hub: {error}") from error
        if self._generation not in (None, snapshot.generation):
            raise LoadError(
                f"the hub {snapshot.hub.name} was started anew meanwhile: what came of the load is not known"
            )
        self._generation = snapshot.generation
        return snapshot

    def until_caught_up(self, record: Record, show: Show) -> None:
        """Look on until everybody has caught up and the bus has been quiet for a while, or until patience ends.

        Args:
            record: Gets what is seen.
            show: Called some ten times a second with what is going on.
        """
        calm_since: float | None = None
        due = time.monotonic()
        while True:
            self._look(record)
            now = time.monotonic()
            show(self._phase(record), record)
            if not record.caught_up:
                calm_since = None
            elif calm_since is None:
                calm_since = now
            if self._is_hopeless(record, now) or (calm_since is not None and now - calm_since >= self._quiet):
                return
            due = max(due + _LOOK, now)
            self._interrupt.pause(due - now)

    def end_bus(self, record: Record) -> None:
        """End the bus, and give the hub a second for what was published last."""
        self._bus.end()
        self._bus.expect("end", START, self._interrupt)

        def has_finished() -> bool:
            self.look_last(record)
            return record.caught_up

        self._interrupt.wait(has_finished, 1.0)

    def look_last(self, record: Record) -> None:
        """Look at the hub once more, when the bus has ended."""
        record.add(self.read(), _published(self._bus, "end"))

    def _look(self, record: Record) -> None:
        if self._hub is not None and not self._hub.is_running:
            raise self._hub.died()
        if not self._bus.is_running:
            raise self._bus.died()
        record.add(self.read(), _published(self._bus, "published"))

    def _phase(self, record: Record) -> str:
        published = record.published
        if not published.spike_began:
            return "quiet"
        if not published.spike_ended:
            return self._kind
        return "quiet again" if record.caught_up else "catching up"

    def _is_hopeless(self, record: Record, now: float) -> bool:
        """Whether waiting any longer is in vain: the consumers are too slow, or messages have been lost."""
        ended = record.published.spike_ended
        is_lost = not record.caught_up and record.is_idle and record.standstill > self._standstill
        return ended > 0 and (now - ended > self._patience or is_lost)


def _published(bus: TalkingChild, event: str) -> Published:
    said = bus.latest(event)
    return Published(**said) if said is not None else Published()
