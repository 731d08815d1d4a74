# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole demo: one run for each shape, what is said around them, and the pictures that they share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..load.live import View
from ..load.outcome import Outcome
from ..load.output import claimed
from ..load.processes import Interrupt
from ..load.shapes import SHAPES
from . import collectd
from .plan import Plan, Work, measured_work
from .run import Run
from .svg import svg

#: Seconds of a run on top of its quiet times and its spike: to start, to catch up, to stop.
_AROUND = {"inline": 30, "shared": 30, "threads": 18, "processes": 18}


def run_series(plan: Plan, *, interrupt: Interrupt, view: View, say: Callable[[str], None]) -> list[Outcome]:
    """Run the demo; blocks until it is over, and leaves nothing but its output directory.

    Args:
        plan: The demo.
        interrupt: Looked at wherever the demo waits.
        view: Makes what shows a run while it goes on.
        say: Takes a line for the person who watches.

    Raises:
        ConfigError: The output directory is not to be had.
        LoadError: Something does not work, or somebody has interrupted.
    """
    with claimed(plan.output, "demo"):
        say(introduction(plan))
        if plan.wants_collectd and collectd.missing():
            say(collectd.missing())
        work = measured_work()
        outcomes = [_run(plan, shape, interrupt, work=work, view=view) for shape in plan.shapes]
        if not all(outcome.pictures for outcome in outcomes):
            path = _draw(plan, outcomes)
            for outcome in outcomes:
                outcome.pictures.append(path)
    return outcomes


def introduction(plan: Plan) -> str:
    """What is going to happen, and how long it takes."""
    seconds = sum(2 * plan.quiet + plan.seconds + _AROUND[shape] for shape in plan.shapes)
    shapes = f"shape {plan.shapes[0]}" if len(plan.shapes) == 1 else f"shapes {', '.join(plan.shapes)}"
    return (
        f"A quiet bus, then {plan.rate:g} messages a second for {plan.seconds:g} s, to four consumers.\n"
        f"{shapes.capitalize()}; about {round(seconds, -1):.0f} seconds; Ctrl-C ends it."
    )


def _run(plan: Plan, shape: str, interrupt: Interrupt, *, work: Work, view: View) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="glasshub-demo-") as private, view() as show:
        run = Run(plan, shape, work, interrupt=interrupt, directory=plan.output / shape, private=Path(private))
        return run.run(show)


def _draw(plan: Plan, outcomes: Sequence[Outcome]) -> Path:
    """One SVG with a panel for each run."""
    path = plan.output / "backlog.svg"
    captions = [f"shape {outcome.shape}: {SHAPES[outcome.shape]}" for outcome in outcomes]
    title = f"Backlog of each consumer: {plan.rate:g} messages a second for {plan.seconds:g} s"
    path.write_text(svg(outcomes, title=title, captions=captions), encoding="utf-8")
    return path
