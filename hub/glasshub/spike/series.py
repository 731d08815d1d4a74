# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole spike: one run for each shape, the pictures, and the figures in a file."""

from __future__ import annotations

from collections.abc import Sequence

from ..chart import DASHES, PALETTE, Band, Line, chart
from ..load.live import View
from ..load.outcome import ConsumerOutcome, Outcome
from ..load.output import claimed
from ..load.processes import Interrupt
from ..load.shapes import SERIAL
from . import report
from .plan import Plan
from .private import Brief
from .run import run_against, run_private


def run_series(plan: Plan, brief: Brief, shapes: Sequence[str], *, interrupt: Interrupt, view: View) -> list[Outcome]:
    """Run the spike; blocks until it is over, and leaves nothing but its output directory.

    Args:
        plan: The spike.
        brief: The operator's consumers, for a private hub.
        shapes: Shapes of dispatch, one run each; a hub that runs already has its own.
        interrupt: Looked at wherever the spike waits.
        view: Makes what shows a run while it goes on.

    Raises:
        ConfigError: The output directory is not to be had.
        LoadError: Something does not work, or somebody has interrupted.
    """
    with claimed(plan.output, plan.command):
        outcomes = [_run(plan, brief, shape, interrupt, view) for shape in shapes]
        _draw(plan, outcomes)
        (plan.output / "spike.json").write_text(report.document(plan, outcomes) + "\n", encoding="utf-8")
    return outcomes


def _run(plan: Plan, brief: Brief, shape: str, interrupt: Interrupt, view: View) -> Outcome:
    directory = plan.output / shape
    directory.mkdir()
    with view() as show:
        if plan.target is not None:
            return run_against(plan, plan.target, directory=directory, interrupt=interrupt, show=show)
        return run_private(plan, brief, shape, directory=directory, interrupt=interrupt, show=show)


def _draw(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """A picture of each run, all of them to the same scale."""
    span = min(outcome.span[0] for outcome in outcomes), max(outcome.span[1] for outcome in outcomes)
    top = max(point.waiting for outcome in outcomes for points in outcome.points.values() for point in points)
    for outcome in outcomes:
        path = plan.output / outcome.shape / "backlog.svg"
        path.write_text(picture(plan, outcome, span=span, top=top), encoding="utf-8")
        outcome.pictures.append(path)


def picture(plan: Plan, outcome: Outcome, *, span: tuple[float, float], top: float) -> str:
    """The backlog of each consumer over time, as SVG."""
    lines = [
        Line(_legend(consumer), _points(outcome, consumer), PALETTE[number % len(PALETTE)], _dash(outcome, number))
        for number, consumer in enumerate(outcome.consumers)
    ]
    return chart(
        lines,
        title=f"Backlog of each consumer: {plan.title}, shape {outcome.shape}",
        description="; ".join(line.name for line in lines),
        time_label=lambda seconds: f"{seconds:g} s",
        unit="messages waiting",
        height=340 + 9 * len(lines),
        bands=[Band(0.0, outcome.spike_seconds, f"the {plan.noun}")],
        span=span,
        top=max(top, 1.0),
        standalone=True,
    )


def _legend(consumer: ConsumerOutcome) -> str:
    after = consumer.caught_up_after
    caught_up = "did not catch up" if after is None else f"caught up after {after:.1f} s"
    return f"{consumer.name}: peak {consumer.peak_backlog:,}, {caught_up}"


def _points(outcome: Outcome, consumer: ConsumerOutcome) -> list[tuple[float, float]]:
    return [(point.time - outcome.spike_began, float(point.waiting)) for point in outcome.points[consumer.name]]


def _dash(outcome: Outcome, number: int) -> str:
    """Broken where one line may hide another."""
    return DASHES[number % len(DASHES)] if outcome.shape in SERIAL else ""
