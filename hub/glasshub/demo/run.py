# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of the demo: bus, sinks, hub and collectd, from the first process to the last figure.

The order has its reasons. The hub is up before collectd, so that collectd's first reading has all consumers; both are
before the first message. At the end the bus ends first, and what it says then is the number that everything has to
agree with; collectd is stopped while the hub still runs, so that its graphs do not end with a hub that is down.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import glasshub_stats
from glasshub_stats import Snapshot, StatsError

from . import collectd as collectd_
from . import picture
from .bus import Published
from .collectd import Collectd
from .outcome import Outcome, outcome_of
from .plan import CONSUMERS, HUB, Plan, Work, hub_toml
from .processes import Child, DemoError, Interrupt, TalkingChild
from .record import Record

#: Seconds that a process has to come up.
_START = 30.0

#: Seconds that the hub has to finish what the bus published last, and to stop.
_STOP = 10.0

#: When no consumer finishes anything for so many seconds, what is left will not come any more. A consumer of ours
#: takes a fraction of a second, and the bus, in the quiet after the spike, has the next message after 15.
_STANDSTILL = 8.0

#: Seconds between two looks at the hub.
_LOOK = 0.1


class Run:
    """One shape, run once."""

    def __init__(
        self, plan: Plan, shape: str, work: Work, *, interrupt: Interrupt, directory: Path, private: Path
    ) -> None:
        """Prepare.

        Args:
            plan: The demo.
            shape: Shape of dispatch.
            work: How much the consumers have to do.
            interrupt: Looked at wherever the run waits.
            directory: Keeps what the run leaves; made here.
            private: A directory with a short path, for the segment and the socket.
        """
        self._plan = plan
        self._shape = shape
        self._work = work
        self._interrupt = interrupt
        self._directory = directory
        self._private = private
        self._segment = private / f"{HUB}.stats"
        self._remarks: list[str] = []
        self._record = Record(shape, {consumer.__name__: consumer.topics for consumer in CONSUMERS})
        directory.mkdir()

    def run(self, show: Callable[[str, Record], None]) -> Outcome:
        """Run it; blocks until everybody has caught up and every process has ended.

        Args:
            show: Called some ten times a second with what is going on.

        Raises:
            DemoError: Something does not work, or somebody has interrupted.
        """
        with contextlib.ExitStack() as stack:
            sinks = TalkingChild("the sinks", "glasshub.demo.sinks", [], self._directory / "sinks.log")
            stack.enter_context(sinks)
            plan = self._plan
            arguments = [f"--rate={plan.rate}", f"--seconds={plan.seconds}", f"--quiet={plan.quiet}"]
            bus = TalkingChild("the bus", "glasshub.demo.bus", arguments, self._directory / "bus.log")
            stack.enter_context(bus)
            hub = self._start_hub(bus, sinks)
            stack.enter_context(hub)
            self._await_hub(hub, bus)
            collectd = self._start_collectd(stack)
            bus.tell("go")
            self._watch(hub, bus, show)
            self._end(hub, bus, collectd)
        outcome = replace(outcome_of(self._record), collectd=collectd is not None, remarks=self._remarks)
        return self._drawn(outcome, collectd) if collectd else outcome

    def _start_hub(self, bus: TalkingChild, sinks: TalkingChild) -> Child:
        bound = bus.expect("bound", _START, self._interrupt)
        where = sinks.expect("bound", _START, self._interrupt)
        log = self._directory / "hub.log"
        config = self._directory / "demo.toml"
        text = hub_toml(
            shape=self._shape,
            endpoint=bound["endpoint"],
            stats=self._private,
            databases=self._directory,
            log=log,
            irc=where["irc"],
            push=where["push"],
            work=self._work,
        )
        config.write_text(text, encoding="utf-8")
        return Child("the hub", [sys.executable, "-m", "glasshub", "run", "--config", str(config)], log)

    def _await_hub(self, hub: Child, bus: TalkingChild) -> None:
        def is_decided() -> bool:
            return not hub.is_running or (self._segment.exists() and self._read().hub.connected > 0)

        if not self._interrupt.wait(is_decided, _START) or not hub.is_running:
            raise hub.died()
        bus.expect("subscribed", _START, self._interrupt)
        idle = [consumer.name for consumer in self._read().consumers if not consumer.initialized]
        if idle:
            raise DemoError(f"{', '.join(idle)} did not start; the hub's log ends with\n{hub.last_words(12)}")

    def _start_collectd(self, stack: contextlib.ExitStack) -> Collectd | None:
        """collectd, if it is wanted and works; that it does not is no reason to stop."""
        if not self._plan.wants_collectd or collectd_.missing():
            return None
        try:
            collectd = Collectd(self._directory, self._private, self._segment)
            stack.enter_context(collectd)
            collectd.await_first(self._interrupt)
        except DemoError as error:
            self._interrupt.pause(0)
            self._remarks.append(f"{error}\n    The demo goes on without it.")
            return None
        return collectd

    def _watch(self, hub: Child, bus: TalkingChild, show: Callable[[str, Record], None]) -> None:
        """Look on until everybody has caught up and the bus has been quiet for a while, or until patience ends."""
        calm_since: float | None = None
        due = time.monotonic()
        while True:
            self._look(hub, bus)
            now = time.monotonic()
            show(self._phase(), self._record)
            if not self._record.caught_up:
                calm_since = None
            elif calm_since is None:
                calm_since = now
            if self._is_hopeless(now) or (calm_since is not None and now - calm_since >= self._plan.quiet):
                return
            due = max(due + _LOOK, now)
            self._interrupt.pause(due - now)

    def _is_hopeless(self, now: float) -> bool:
        """Whether waiting any longer is in vain: the consumers are too slow, or messages have been lost."""
        ended = self._record.published.spike_ended
        is_lost = not self._record.caught_up and self._record.standstill > _STANDSTILL
        return ended > 0 and (now - ended > self._plan.patience or is_lost)

    def _look(self, hub: Child, bus: TalkingChild) -> None:
        if not (hub.is_running and bus.is_running):
            raise (bus if hub.is_running else hub).died()
        self._record.add(self._read(), _published(bus, "published"))

    def _phase(self) -> str:
        published = self._record.published
        if not published.spike_began:
            return "quiet"
        if not published.spike_ended:
            return "spike"
        return "quiet again" if self._record.caught_up else "catching up"

    def _end(self, hub: Child, bus: TalkingChild, collectd: Collectd | None) -> None:
        bus.end()
        bus.expect("end", _START, self._interrupt)
        published = _published(bus, "end")

        def has_finished() -> bool:
            self._record.add(self._read(), published)
            return self._record.caught_up

        self._interrupt.wait(has_finished, 1.0)
        if collectd is not None:
            self._finish(collectd)
        hub.stop(_STOP)
        self._record.add(self._read(), published)

    def _finish(self, collectd: Collectd) -> None:
        try:
            collectd.finish()
        except DemoError as error:
            self._remarks.append(str(error))

    def _drawn(self, outcome: Outcome, collectd: Collectd) -> Outcome:
        """The outcome with collectd's picture; in shape `inline` collectd sees no backlog, for there is no queue."""
        rrds = collectd.rrds()
        if rrds and self._record.has_queues:
            path = self._directory / "backlog.png"
            try:
                picture.draw(outcome, rrds, path, title=picture_title(self._plan, self._shape))
                outcome.pictures.append(path)
            except DemoError as error:
                outcome.remarks.append(str(error))
        return outcome

    def _read(self) -> Snapshot:
        try:
            return glasshub_stats.read(str(self._segment))
        except StatsError as error:
            raise DemoError(f"cannot read the hub: {error}") from error


def picture_title(plan: Plan, shape: str) -> str:
    """What stands above a picture."""
    return f"Backlog of each consumer: {plan.rate:g} messages a second for {plan.seconds:g} s, shape {shape}"


def _published(bus: TalkingChild, event: str) -> Published:
    said = bus.latest(event)
    return Published(**said) if said is not None else Published()
