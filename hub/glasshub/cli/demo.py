# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub demo`: a spike like that of "Threading Moksha", on a bus of its own, measured and drawn."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo.shapes import DEFAULT_SHAPE, SHAPES

if TYPE_CHECKING:
    from ..demo.live import Show
    from ..demo.plan import Plan

#: A message is not accounted for.
EXIT_MISMATCH = 1

#: As a shell reports Ctrl-C.
EXIT_INTERRUPTED = 130


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="watch four consumers get through a spike",
        description="Replays a spike of fedmsg messages to four consumers, measures how far behind they fall and how "
        "long they take to catch up, and checks that no message is lost. Everything is local and real: zeromq "
        "between processes, a hub, and a collectd with our plugin where one is installed.",
    )
    parser.add_argument("--rate", type=_above_zero, default=120.0, help="messages a second in the spike (default: 120)")
    parser.add_argument("--seconds", type=_above_zero, default=20.0, help="length of the spike (default: 20)")
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
    from ..demo.processes import Interrupt, InterruptedDemoError
    from ..demo.series import run_series
    from ..demo.text import Paint

    plan = Plan(
        shapes=tuple(SHAPES) if options.shape == "all" else (options.shape,),
        rate=options.rate,
        seconds=options.seconds,
        output=Path(options.output),
        wants_collectd=not options.no_collectd,
    )
    say = _to_stderr if options.json else _to_stdout
    with Interrupt() as interrupt:
        try:
            outcomes = run_series(plan, interrupt=interrupt, view=_view(plan, say, options.json), say=say)
        except InterruptedDemoError:
            say("Interrupted; every process of the demo has been stopped.")
            return EXIT_INTERRUPTED
    if options.json:
        print(report.document(plan, outcomes))
    else:
        print("\n".join(report.lines(plan, outcomes, Paint(_is_colourful()))))
    return 0 if report.is_balanced(outcomes) else EXIT_MISMATCH


def _view(plan: Plan, say: Callable[[str], None], is_for_machines: bool) -> Callable[[], AbstractContextManager[Show]]:
    """The live table, where somebody can see it."""
    from ..demo import live

    if not is_for_machines and sys.stdout.isatty():
        if live.is_rich_installed():
            return lambda: live.table(plan)
        say("rich is not installed: plain lines instead of a live table (pip install rich)")
    return lambda: live.progress(plan, say)


def _is_colourful() -> bool:
    """See https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _to_stdout(text: str) -> None:
    print(text, flush=True)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number
