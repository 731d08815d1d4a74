# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub demo`: a spike like that of "Threading Moksha", on a bus of its own, measured and drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..load.shapes import DEFAULT_SHAPE, SHAPES
from .numbers import above_zero
from .terminal import EXIT_INTERRUPTED, is_colourful, to_stderr, to_stdout, view_of

#: A message is not accounted for.
EXIT_MISMATCH = 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="watch four consumers get through a spike",
        description="Replays a spike of fedmsg messages to four consumers, measures how far behind they fall and how "
        "long they take to catch up, and checks that no message is lost. Everything is local and real: zeromq "
        "between processes, a hub, and a collectd with our plugin where one is installed.",
    )
    parser.add_argument("--rate", type=above_zero, default=120.0, help="messages a second in the spike (default: 120)")
    parser.add_argument("--seconds", type=above_zero, default=20.0, help="length of the spike (default: 20)")
    parser.add_argument(
        "--shape",
        choices=[*SHAPES, "all"],
        default=DEFAULT_SHAPE,
        help=f"shape of dispatch (default: {DEFAULT_SHAPE}); all runs one after another",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and nothing else")
    parser.add_argument(
        "--output", metavar="DIR", default="glasshub-demo", help="keeps picture, RRDs, configuration and logs"
    )
    parser.add_argument("--no-collectd", action="store_true", help="do not run collectd, even where it is installed")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    # Not at the top: no other command shall pay for loading the demo.
    from ..demo import report
    from ..demo.plan import Plan
    from ..demo.series import run_series
    from ..load.processes import Interrupt, InterruptedLoadError
    from ..load.text import Paint

    plan = Plan(
        shapes=tuple(SHAPES) if options.shape == "all" else (options.shape,),
        rate=options.rate,
        seconds=options.seconds,
        output=Path(options.output),
        wants_collectd=not options.no_collectd,
    )
    say = to_stderr if options.json else to_stdout
    with Interrupt() as interrupt:
        try:
            outcomes = run_series(plan, interrupt=interrupt, view=view_of(plan, say, options.json), say=say)
        except InterruptedLoadError:
            say("Interrupted; every process of the demo has been stopped.")
            return EXIT_INTERRUPTED
    if options.json:
        print(report.document(plan, outcomes))
    else:
        print("\n".join(report.lines(plan, outcomes, Paint(is_colourful()))))
    return 0 if report.is_balanced(outcomes) else EXIT_MISMATCH
