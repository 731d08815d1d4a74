# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of a spike, from the first process to the last figure: against a private hub, or one that runs already."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..load.live import Show
from ..load.outcome import Outcome, outcome_of
from ..load.processes import Interrupt, LoadError, TalkingChild
from ..load.record import Record
from ..load.watch import START, Watch
from .computing import ComputingMeter
from .plan import Plan, Target
from .private import HUB, Brief, private

#: Seconds that a private hub has to finish what was published last, and to stop.
_STOP = 10.0

#: When nobody has anything to do for so many seconds after the load, what is left will not come any more.
_STANDSTILL = 5.0

#: Seconds that are looked on when everybody has caught up, so that a picture does not end with the last message.
_QUIET_AFTER = 1.0

#: Seconds that a running hub has to subscribe, and to receive the first message.
_ANSWER = 5.0


def run_private(plan: Plan, brief: Brief, shape: str, *, directory: Path, interrupt: Interrupt, show: Show) -> Outcome:
    """Put the load on a hub that is started for it, and stopped after it.

    Args:
        plan: The spike.
        brief: The operator's consumers.
        shape: Shape of dispatch.
        directory: Keeps the logs.
        interrupt: Looked at wherever the run waits.
        show: Called some ten times a second with what is going on.

    Raises:
        LoadError: Something does not work, or somebody has interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="glasshub-spike-") as name, ExitStack() as stack:
        own = Path(name)
        bus = _bus(plan, [], directory)
        stack.enter_context(bus)
        endpoint = bus.expect("bound", START, interrupt)["endpoint"]
        what = private(brief, shape=shape, directory=own, endpoint=endpoint, is_made_up=plan.messages is None)
        hub = TalkingChild("the hub", "glasshub.spike.hub", [], directory / "hub.log")
        stack.enter_context(hub)
        hub.tell(what.as_line())
        topics = hub.expect("ready", START, interrupt)["topics"]
        watch = _watch(plan, bus, own / f"{HUB}.stats", interrupt, quiet=_QUIET_AFTER)
        watch.await_hub(hub)
        record = Record(shape, topics, strict=what.config.zmq.strict)
        bus.tell("topics " + json.dumps([topic for listed in topics.values() for topic in listed]))
        meter = ComputingMeter(watch.read())
        bus.tell("go")
        watch.until_caught_up(record, show)
        watch.end_bus(record)
        computing = meter.share(record.snapshot)
        hub.stop(_STOP)
        watch.look_last(record)
    return replace(outcome_of(record), computing=computing)


def run_against(plan: Plan, target: Target, *, directory: Path, interrupt: Interrupt, show: Show) -> Outcome:
    """Put the load on a hub that runs already, and leave it as it is.

    Args:
        plan: The spike.
        target: The hub.
        directory: Keeps the publisher's log.
        interrupt: Looked at wherever the run waits.
        show: Called some ten times a second with what is going on.

    Raises:
        LoadError: Something does not work, or somebody has interrupted; nothing was published if the hub is not
            subscribed there, and one message if it is another hub.
    """
    with ExitStack() as stack:
        bus = _bus(plan, [f"--to={target.endpoint}", f"--patience={_ANSWER}"], directory)
        stack.enter_context(bus)
        watch = _watch(plan, bus, target.segment, interrupt, quiet=0.0)
        before = watch.read()
        if before.status() != "running":
            raise LoadError(f"hub {target.hub} is {before.status()}: name one that runs with --name")
        bus.tell("probe")
        bus.expect("probed", START, interrupt)
        if not interrupt.wait(lambda: watch.read().hub.received > before.hub.received, _ANSWER):
            raise LoadError(
                f"somebody subscribes at {target.endpoint}, but not hub {target.hub}, whose segment is "
                f"{target.segment}: name the right one with --name"
            )
        record = Record(before.hub.shape, {}, base=before)
        meter = ComputingMeter(before)
        bus.tell("go")
        watch.until_caught_up(record, show)
        watch.end_bus(record)
    return replace(outcome_of(record), computing=meter.share(record.snapshot))


def _bus(plan: Plan, more: list[str], directory: Path) -> TalkingChild:
    return TalkingChild("the bus", "glasshub.load.bus", [*plan.bus_arguments, *more], directory / "bus.log")


def _watch(plan: Plan, bus: TalkingChild, segment: Path, interrupt: Interrupt, *, quiet: float) -> Watch:
    return Watch(
        bus,
        segment,
        interrupt=interrupt,
        kind=plan.kind,
        quiet=quiet,
        patience=plan.patience,
        standstill=_STANDSTILL,
    )
