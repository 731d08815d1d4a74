# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of the demo: bus, sinks, hub and collectd, from the first process to the last figure.

The order has its reasons. The hub is up before collectd, so that collectd's first reading has all consumers; both are
before the first message. At the end the bus ends first, and what it says then is the number that everything has to
agree with; collectd is stopped while the hub still runs, so that its graphs do not end with a hub that is down.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from ..load.live import Show
from ..load.outcome import Outcome, outcome_of
from ..load.processes import Child, Interrupt, LoadError, TalkingChild
from ..load.record import Record
from ..load.watch import START, Watch
from ..rrds import RrdError
from . import collectd as collectd_
from . import picture
from .collectd import Collectd
from .plan import CONSUMERS, HUB, Plan, Work, hub_toml

#: Seconds that the hub has to finish what the bus published last, and to stop.
_STOP = 10.0

#: When no consumer has anything to do for so many seconds, what is left will not come any more. The bus, in the quiet
#: after the spike, has the next message after 15.
_STANDSTILL = 8.0


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

    def run(self, show: Show) -> Outcome:
        """Run it; blocks until everybody has caught up and every process has ended.

        Args:
            show: Called some ten times a second with what is going on.

        Raises:
            LoadError: Something does not work, or somebody has interrupted.
        """
        with contextlib.ExitStack() as stack:
            sinks = TalkingChild("the sinks", "glasshub.demo.sinks", [], self._directory / "sinks.log")
            stack.enter_context(sinks)
            plan = self._plan
            arguments = [f"--rate={plan.rate}", f"--seconds={plan.seconds}", f"--quiet={plan.quiet}"]
            bus = TalkingChild("the bus", "glasshub.load.bus", arguments, self._directory / "bus.log")
            stack.enter_context(bus)
            hub = self._start_hub(bus, sinks)
            stack.enter_context(hub)
            watch = self._watch(bus)
            watch.await_hub(hub)
            collectd = self._start_collectd(stack)
            bus.tell("go")
            watch.until_caught_up(self._record, show)
            watch.end_bus(self._record)
            if collectd is not None:
                self._finish(collectd)
            hub.stop(_STOP)
            watch.look_last(self._record)
        outcome = replace(outcome_of(self._record), collectd=collectd is not None, remarks=self._remarks)
        return self._drawn(outcome, collectd) if collectd else outcome

    def _watch(self, bus: TalkingChild) -> Watch:
        return Watch(
            bus,
            self._segment,
            interrupt=self._interrupt,
            kind=self._plan.kind,
            quiet=self._plan.quiet,
            patience=self._plan.patience,
            standstill=_STANDSTILL,
        )

    def _start_hub(self, bus: TalkingChild, sinks: TalkingChild) -> Child:
        bound = bus.expect("bound", START, self._interrupt)
        where = sinks.expect("bound", START, self._interrupt)
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

    def _start_collectd(self, stack: contextlib.ExitStack) -> Collectd | None:
        """collectd, if it is wanted and works; that it does not is no reason to stop."""
        if not self._plan.wants_collectd or collectd_.missing():
            return None
        try:
            collectd = Collectd(self._directory, self._private, self._segment)
            stack.enter_context(collectd)
            collectd.await_first(self._interrupt)
        except LoadError as error:
            self._interrupt.pause(0)
            self._remarks.append(f"{error}\n    The demo goes on without it.")
            return None
        return collectd

    def _finish(self, collectd: Collectd) -> None:
        try:
            collectd.finish()
        except LoadError as error:
            self._remarks.append(str(error))

    def _drawn(self, outcome: Outcome, collectd: Collectd) -> Outcome:
        """The outcome with collectd's picture; in shape `inline` collectd sees no backlog, for there is no queue."""
        files = collectd.rrds()
        if files and self._record.has_queues:
            path = self._directory / "backlog.png"
            try:
                picture.draw(outcome, files, path, title=picture_title(self._plan, self._shape))
                outcome.pictures.append(path)
            except RrdError as error:
                outcome.remarks.append(str(error))
        return outcome


def picture_title(plan: Plan, shape: str) -> str:
    """What stands above a picture."""
    return f"Backlog of each consumer: {plan.rate:g} messages a second for {plan.seconds:g} s, shape {shape}"
