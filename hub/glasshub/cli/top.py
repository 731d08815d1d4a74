# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub top`: hubs and their consumers, live."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from ..looking import Watcher, nothing_found
from .numbers import count, interval
from .terminal import complain

#: The columns of `glasshub.top`, which other commands do not load.
_COLUMNS = (
    "name",
    "hub",
    "state",
    "backlog",
    "broker",
    "oldest",
    "catch-up",
    "enqueued",
    "processed",
    "in-flight",
    "wait-p50",
    "wait-p95",
    "processing-p50",
    "processing-p95",
    "failed",
)

#: Terminals on which the cursor cannot be moved.
_DUMB = ("", "dumb", "unknown")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "top",
        help="watch hubs and their consumers, live",
        description="Watch a hub, or, without PATH or NAME, all hubs: how far behind each consumer is, how fast it "
        "works, and what ails it. Reads segments only, so that it works while a hub is stuck. Where the output is no "
        "terminal, one line for each hub and consumer is printed in each interval. Press h for help.",
    )
    parser.add_argument("segment", nargs="?", metavar="PATH|NAME", help="a segment's file, or the name of a hub")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=interval, default=2.0, help="from look to look, 0.1 at least (default: 2)"
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        choices=_COLUMNS,
        default="state",
        help=f"one of {', '.join(_COLUMNS)} (default: state)",
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument(
        "--filter", metavar="TEXT", default="", help="only consumers and producers with TEXT in the name"
    )
    parser.add_argument("--iterations", metavar="N", type=count, default=0, help="end after N intervals")
    parser.add_argument("--once", action="store_true", help="plain lines for one interval, whatever the output is")
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segments stand")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Watch, until interrupted.

    Args:
        options: As `add_parser` makes them.

    Returns:
        0; 1 when at the beginning no segment can be read; 128 and the number of the signal that ended it.
    """
    # Not at the top: no other command shall pay for loading this.
    from ..top.controls import Controls
    from ..top.run import Plan, blocks, live

    watcher = Watcher(options.segment, options.stats_dir, complain=lambda _: None)  # it is shown, as long as it lasts
    looks = watcher.look()
    if not looks:
        raise nothing_found(options.stats_dir)
    if not any(look.snapshot for look in looks):
        for look in looks:
            complain(look.problem)
        return 1
    controls = Controls(sort=options.sort, is_reversed=options.reverse, filter=options.filter)
    plan = Plan(options.interval, 1 if options.once else options.iterations, controls)
    if sys.stdout.isatty() and not options.once and os.environ.get("TERM", "") not in _DUMB:
        return live(watcher, looks, plan)
    with contextlib.suppress(KeyboardInterrupt):  # the usual end
        for block in blocks(watcher, looks, plan):
            print(block, flush=True)
    return 0
