# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub spike`: how far behind the operator's own consumers fall under a load, and when they have caught up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..load.schedule import CONSTANT, KINDS, QUIET_RATE, REPLAY, SPIKE, Schedule
from ..load.shapes import SHAPES
from ..looking import segment_paths
from ..roster import Roster
from .numbers import above_zero, not_below_zero
from .options import Effective, add_options, effective_config
from .terminal import EXIT_INTERRUPTED, complain, is_colourful, to_stderr, to_stdout, view_of

if TYPE_CHECKING:
    from ..spike.plan import Messages, Plan, Target

#: A message is not accounted for.
EXIT_MISMATCH = 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "spike",
        help="measure what a load does to your consumers",
        description="Puts a load on your own consumers, in a private hub or in one that runs, and measures how far "
        "behind each falls and how long it takes to catch up. The consumers really do what they do.",
    )
    _add_load(parser.add_argument_group("the load"))
    _add_target(parser.add_argument_group("the hub"))
    parser.add_argument("--output", metavar="DIR", default="glasshub-spike", help="keeps picture, figures and logs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and nothing else")
    add_options(parser)
    parser.set_defaults(func=run)


def _add_load(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--load", choices=KINDS, default=SPIKE, help=f"default: {SPIKE}; {REPLAY} takes --messages")
    group.add_argument("--rate", type=above_zero, default=120.0, metavar="N", help="messages a second (default: 120)")
    group.add_argument("--seconds", type=above_zero, default=20.0, metavar="N", help="how long (default: 20)")
    group.add_argument(
        "--quiet", type=not_below_zero, default=2.0, metavar="N", help="seconds before the load (default: 2)"
    )
    group.add_argument(
        "--quiet-rate",
        type=not_below_zero,
        metavar="N",
        help="messages a second before and after a spike, and where a ramp begins (default: 4 a minute, or 0)",
    )
    group.add_argument("--messages", metavar="FILE", help="messages out of a recording instead of made up ones")
    group.add_argument("--skip-damaged", action="store_true", help="leave out lines of FILE that are no messages")
    group.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help=f"{REPLAY}: times as fast as recorded; max for as fast as it goes",
    )
    group.add_argument(
        "--patience", type=above_zero, default=120.0, metavar="N", help="seconds to catch up in (default: 120)"
    )


def _add_target(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--to", metavar="ENDPOINT|NAME", help="a hub that runs, instead of a private one; --name says which one"
    )
    group.add_argument(
        "--yes-really", action="store_true", help="put the load on the hub of --to, or on consumers that nobody names"
    )


def run(options: argparse.Namespace) -> int:
    """Run the spike."""
    # Not at the top: no other command shall pay for loading it.
    from ..load.processes import Interrupt, InterruptedLoadError
    from ..load.text import Paint
    from ..spike import report
    from ..spike.private import Brief
    from ..spike.series import run_series

    shapes = _asked_shapes(options)
    effective = effective_config(options)
    plan = _plan(options, effective)
    brief = Brief(effective.config, effective.fedmsg, effective.consumers, effective.producers or [])
    say = to_stderr if options.json else to_stdout
    if plan.target is None:
        shapes = shapes or [effective.config.hub.shape]
        names = _names(effective)
        _refuse_what_nobody_named(options, names)
        say(_introduction(plan, shapes, names))
        for remark in _remarks(plan, effective):
            say(remark)
    else:
        shapes = [_shape_of(plan.target)]
        say(f"{plan.title.capitalize()} to hub {plan.target.hub}, which runs. Ctrl-C ends it.")
    with Interrupt() as interrupt:
        try:
            outcomes = run_series(plan, brief, shapes, interrupt=interrupt, view=view_of(plan, say, options.json))
        except InterruptedLoadError:
            say("Interrupted; every process of the spike has been stopped.")
            return EXIT_INTERRUPTED
    if options.json:
        print(report.document(plan, outcomes))
    else:
        print("\n".join(report.lines(plan, outcomes, Paint(is_colourful()))))
    return 0 if report.is_balanced(plan, outcomes) else EXIT_MISMATCH


def _asked_shapes(options: argparse.Namespace) -> list[str]:
    """The shapes that the command line names, which the configuration must not see: all is none of them."""
    shape, options.shape = options.shape, None
    if shape is None:
        return []
    if options.to is not None:
        raise ConfigError("a hub that runs has its shape: leave the option out", origin="--shape")
    if shape not in (*SHAPES, "all"):
        raise ConfigError(f"{shape!r} must be one of {', '.join([*SHAPES, 'all'])}", origin="--shape")
    return list(SHAPES) if shape == "all" else [shape]


def _plan(options: argparse.Namespace, effective: Effective) -> Plan:
    from ..spike.plan import Plan

    if options.zmq:
        raise ConfigError("a spike has a bus of its own: name a hub that runs with --to", origin="--zmq")
    messages, recorded_seconds = _messages(options)
    seconds = options.seconds
    if options.load == REPLAY:
        seconds = recorded_seconds / options.speed if options.speed else 0.0
    quiet_rate = options.quiet_rate
    if quiet_rate is None:
        quiet_rate = QUIET_RATE if options.load == SPIKE else 0.0
    elif options.load in (CONSTANT, REPLAY):
        raise ConfigError(f"a load of kind {options.load} has no quiet around it: leave it out", origin="--quiet-rate")
    return Plan(
        Schedule(options.load, options.rate, seconds, options.quiet, quiet_rate),
        Path(options.output),
        messages=messages,
        speed=options.speed,
        patience=options.patience,
        target=None if options.to is None else _target(options, effective),
    )


def _messages(options: argparse.Namespace) -> tuple[Messages | None, float]:
    """The recording, once read through, and how long it is."""
    from ..load.recording import Recording, summary
    from ..spike.plan import Messages

    if options.messages is None:
        if options.load == REPLAY:
            raise ConfigError("a replay needs a recording: name it with --messages FILE", origin="--load")
        return None, 0.0
    path = Path(options.messages)
    found = summary(Recording(path, skips_damaged=options.skip_damaged))
    if found.damaged:
        complain(f"{path}: {found.damaged:,} damaged lines are left out")
    return Messages(path, found.messages, options.skip_damaged), found.seconds


def _target(options: argparse.Namespace, effective: Effective) -> Target:
    from ..spike.plan import Target

    endpoint, config = options.to, effective.config
    if "://" not in endpoint:
        if config.hub.name != endpoint:
            raise ConfigError(
                f"the configuration here is that of hub {config.hub.name!r}: name that of {endpoint!r} with --config, "
                f"or where it takes messages, with --to tcp://host:port --name {endpoint}",
                origin="--to",
            )
        if config.zmq.method != "bind" or not config.zmq.endpoints:
            raise ConfigError(
                f"hub {endpoint!r} listens nowhere, it connects to its publishers: name an endpoint of its "
                f"configuration at which nobody publishes now",
                origin="--to",
            )
        endpoint = config.zmq.endpoints[0].replace("*", "127.0.0.1")
    if not options.yes_really:
        raise ConfigError(
            f"hub {config.hub.name!r} runs, and its consumers will really handle these messages: add --yes-really",
            origin="--to",
        )
    (segment,) = segment_paths(config.hub.name, options.stats_dir or config.stats.directory or None)
    return Target(config.hub.name, segment, endpoint)


def _shape_of(target: Target) -> str:
    from glasshub_stats import StatsError, read

    try:
        return read(str(target.segment)).hub.shape
    except StatsError as error:
        raise ConfigError(f"hub {target.hub!r} does not run here: {error}", origin="--to") from error


def _names(effective: Effective) -> list[str]:
    roster = Roster(effective.config, effective.fedmsg, only=effective.consumers, producers=effective.producers)
    names = [name for name, _ in roster.wanted()]
    if not names:
        raise ConfigError(
            "there is no consumer to put a load on: name one with --consumer module:Class, or a configuration"
        )
    return names


def _refuse_what_nobody_named(options: argparse.Namespace, names: list[str]) -> None:
    """Consumers of this host's own configuration send mail to its own users: that wants more than a bare command."""
    given = (options.consumer, options.with_consumers, options.config, options.fedmsg_config, options.config_filename)
    if not (any(given) or options.service or options.yes_really):
        raise ConfigError(
            f"nobody named them, and these consumers would really do what they do: {', '.join(names)}: "
            f"name those that shall run, or a configuration, or add --yes-really"
        )


def _introduction(plan: Plan, shapes: list[str], names: list[str]) -> str:
    about = f", for about {plan.seconds * len(shapes):.0f} s and the time to catch up" if plan.seconds else ""
    return (
        f"{plan.title.capitalize()}, to a private hub in shape {', '.join(shapes)}{about}. Ctrl-C ends it.\n"
        f"These consumers run, and really do what they do: they write, send and delete: {', '.join(names)}"
    )


def _remarks(plan: Plan, effective: Effective) -> list[str]:
    remarks = []
    if effective.fedmsg is not None and plan.messages is None:
        remarks.append("Signatures are not validated: nobody has signed messages that are made up.")
    if effective.fedmsg is not None and effective.producers is None:
        remarks.append("Producers do not run: --with-producers names those that shall.")
    return remarks


def _speed(text: str) -> float:
    try:
        return 0.0 if text == "max" else not_below_zero(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of 0 or more nor max") from None
