# SPDX-License-Identifier: LGPL-2.1-or-later
"""The end of the demo: answers to the two questions of the post, and a check that no message is missing."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from ..load.outcome import ConsumerOutcome, Outcome
from ..load.shapes import SHAPES
from ..load.tables import books, consumer_as_json, percentiles_as_text, rounded
from ..load.text import Paint, duration, ruled
from .plan import Plan

_QUESTIONS = (
    "“How much does that backlog our consumer processes?  How long does it take them to catch up?”",
    "(Threading Moksha, 2014)",
)

_ANSWERS = (
    ("", "peak", "oldest", "caught up", "wait", "wait", "processing", "processing"),
    ("consumer", "backlog", "waited", "after", "p50", "p95", "p50", "p95"),
)

_INDENT = "  "

_SHOWN = ("p50", "p95")

_NOTES = {
    "inline": (
        "inline: no queue that anybody could measure. Messages wait inside of libzmq, which does not",
        "        say how many; collectd sees a backlog of 0. Peak and oldest are the demo's own count",
        "        of what was published and not yet taken: its bus is its own. The wait is unknown.",
        "        Published and not yet received by the hub were {unseen:,} messages at most.",
    ),
    "shared": ("shared: one queue for all; a consumer's backlog is the part of it that the consumer will get.",),
    "processes": ("processes: a backlog is what waits for the consumer in the hub and in its worker process.",),
}


def lines(plan: Plan, outcomes: Sequence[Outcome], paint: Paint) -> Iterator[str]:
    """The report for people."""
    yield ""
    yield paint(_QUESTIONS[0], "bold")
    yield paint(_QUESTIONS[1], "dim")
    for outcome in outcomes:
        yield ""
        yield from _heading(outcome, paint)
        yield from _answers(outcome, paint)
    yield ""
    yield from _notes(outcomes, paint)
    yield ""
    yield paint("Is every message accounted for?", "bold")
    for outcome in outcomes:
        yield ""
        yield from _check(outcome, paint, with_shape=len(outcomes) > 1)
    yield ""
    yield _verdict(outcomes, paint)
    for remark in dict.fromkeys(remark for outcome in outcomes for remark in outcome.remarks):
        yield ""
        yield paint("Note: ", "bold") + remark
    yield ""
    yield from _files(plan, outcomes)


def document(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """The report for machines: one JSON object, durations in seconds, null for what is not known."""
    answer = {
        "ok": is_balanced(outcomes),
        "rate": plan.rate,
        "seconds": plan.seconds,
        "python": platform.python_version(),
        "output": str(plan.output),
        "shapes": [_as_json(outcome) for outcome in outcomes],
    }
    return json.dumps(answer, indent=2, allow_nan=False)


def is_balanced(outcomes: Sequence[Outcome]) -> bool:
    """Whether every message is accounted for in all runs."""
    return all(outcome.is_balanced for outcome in outcomes)


def _heading(outcome: Outcome, paint: Paint) -> Iterator[str]:
    yield paint(f"Shape {outcome.shape}", "bold") + f": {SHAPES[outcome.shape]}"
    watched = "read by collectd every second" if outcome.collectd else "sampled by the demo"
    yield paint(f"{outcome.published:,} messages, the spike took {outcome.spike_seconds:.1f} s; {watched}", "dim")


def _answers(outcome: Outcome, paint: Paint) -> Iterator[str]:
    yield from ruled([*_ANSWERS, *(_answer(consumer) for consumer in outcome.consumers)], len(_ANSWERS), paint)


def _answer(consumer: ConsumerOutcome) -> tuple[str, ...]:
    return (
        consumer.name,
        f"{consumer.peak_backlog:,}",
        duration(consumer.peak_age),
        "never" if consumer.caught_up_after is None else f"{consumer.caught_up_after:.1f} s",
        *percentiles_as_text(consumer.wait, _SHOWN),
        *percentiles_as_text(consumer.processing, _SHOWN),
    )


def _check(outcome: Outcome, paint: Paint, *, with_shape: bool) -> Iterator[str]:
    if with_shape:
        yield f"Shape {outcome.shape}"
    yield from books(outcome.consumers, paint)


def _notes(outcomes: Sequence[Outcome], paint: Paint) -> Iterator[str]:
    notes = [
        "caught up after: from the end of the spike until the consumer was done with all of it",
    ]
    for outcome in outcomes:
        notes += (note.format(unseen=outcome.unseen) for note in _NOTES.get(outcome.shape, ()))
    for note in notes:
        yield _INDENT + paint(note, "dim")


def _verdict(outcomes: Sequence[Outcome], paint: Paint) -> str:
    if is_balanced(outcomes):
        total = sum(consumer.published for outcome in outcomes for consumer in outcome.consumers)
        return paint("OK", "good") + f": published = processed + failed + invalid + dropped + left, {total:,} times"
    wrong = [f"{c.name} ({o.shape})" for o in outcomes for c in o.consumers if not c.is_balanced]
    return paint("MISMATCH", "bad") + f": messages of {', '.join(wrong)} are not accounted for; see the hub's log"


def _files(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for picture in dict.fromkeys(picture for outcome in outcomes for picture in outcome.pictures):
        yield f"Picture: {picture}"
    yield f"Configuration, logs{', RRDs' if any(o.collectd for o in outcomes) else ''}: {plan.output}/"


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "shape": outcome.shape,
        "ok": outcome.is_balanced,
        "published": outcome.published,
        "spike_seconds": rounded(outcome.spike_seconds),
        "unseen_peak": outcome.unseen,
        "collectd": outcome.collectd,
        "pictures": [str(picture) for picture in outcome.pictures],
        "remarks": outcome.remarks,
        "consumers": [consumer_as_json(consumer) for consumer in outcome.consumers],
    }
