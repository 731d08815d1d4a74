# SPDX-License-Identifier: LGPL-2.1-or-later
"""What came out of a spike, for people and for machines."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from ..load.outcome import ConsumerOutcome, Outcome
from ..load.schedule import REPLAY
from ..load.shapes import SHAPES
from ..load.tables import books, consumer_as_json, percentiles_as_text, rounded, times_as_json
from ..load.text import Paint, rate, ruled
from .plan import Plan

_SHOWN = ("p50", "p95", "p99")

_ANSWERS = (
    ("", "", "peak", "caught up", "serves", "wait", "", "", "processing", "", ""),
    ("consumer", "wanted", "backlog", "after", "a second", *_SHOWN, *_SHOWN),
)

_NOTES = {
    "inline": (
        "inline: messages wait inside of libzmq, which does not say how many; the backlog is the spike's own count of",
        "        what was published and not yet taken. The wait is unknown.",
    ),
    "shared": ("shared: one queue for all; a consumer's backlog is the part of it that the consumer will get.",),
}


def lines(plan: Plan, outcomes: Sequence[Outcome], paint: Paint) -> Iterator[str]:
    """The report for people."""
    for outcome in outcomes:
        yield ""
        yield paint(f"Shape {outcome.shape}", "bold") + f": {SHAPES[outcome.shape]}"
        yield paint(_headline(plan, outcome), "dim")
        yield from ruled([*_ANSWERS, *(_answer(consumer) for consumer in outcome.consumers)], len(_ANSWERS), paint)
    yield ""
    yield from (f"  {paint(note, 'dim')}" for note in _notes(plan, outcomes))
    yield ""
    yield paint("Is every message accounted for?", "bold")
    for outcome in outcomes:
        yield from _check(plan, outcome, paint, with_shape=len(outcomes) > 1)
    yield ""
    for remark in dict.fromkeys(remark for outcome in outcomes for remark in outcome.remarks):
        yield paint("Note: ", "bold") + remark
    yield from (f"Picture: {picture}" for outcome in outcomes for picture in outcome.pictures)
    yield f"Figures and logs: {plan.output}/"


def document(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """The report for machines: one JSON object, durations in seconds, null for what is not known."""
    schedule = plan.schedule
    answer = {
        "ok": is_balanced(plan, outcomes),
        "load": plan.kind,
        "rate": None if plan.kind == REPLAY else schedule.rate,
        "seconds": rounded(schedule.seconds),
        "quiet_rate": schedule.quiet_rate,
        "speed": plan.speed if plan.kind == REPLAY else None,
        "messages": str(plan.messages.path) if plan.messages else None,
        "hub": plan.target.hub if plan.target else None,
        "python": platform.python_version(),
        "output": str(plan.output),
        "shapes": [_as_json(plan, outcome) for outcome in outcomes],
    }
    return json.dumps(answer, indent=2, allow_nan=False)


def is_balanced(plan: Plan, outcomes: Sequence[Outcome]) -> bool:
    """Whether every message is accounted for in all runs."""
    return all(_is_balanced(plan, outcome) for outcome in outcomes)


def _is_balanced(plan: Plan, outcome: Outcome) -> bool:
    """Of a hub that others publish for as well nobody can tell what a consumer should have got."""
    has_all = outcome.received >= outcome.published
    return has_all and (plan.target is not None or outcome.is_balanced)


def _headline(plan: Plan, outcome: Outcome) -> str:
    of_hub = f"hub {plan.target.hub}" if plan.target else "a private hub"
    more = f", and {outcome.unwanted:,} that nobody subscribes to" if outcome.unwanted else ""
    return f"{outcome.published:,} messages to {of_hub}{more}; the {plan.noun} took {outcome.spike_seconds:.1f} s"


def _answer(consumer: ConsumerOutcome) -> tuple[str, ...]:
    return (
        consumer.name,
        f"{consumer.published:,}",
        f"{consumer.peak_backlog:,}",
        "never" if consumer.caught_up_after is None else f"{consumer.caught_up_after:.1f} s",
        rate(consumer.service_rate),
        *percentiles_as_text(consumer.wait, _SHOWN),
        *percentiles_as_text(consumer.processing, _SHOWN),
    )


def _notes(plan: Plan, outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"caught up after: from the end of the {plan.noun} until the consumer was done with all of it"
    yield "serves a second: what it was done with while others waited; - if it never fell behind"
    for outcome in outcomes:
        if outcome.shape != "inline" or any(consumer.wait is None for consumer in outcome.consumers):
            yield from _NOTES.get(outcome.shape, ())


def _check(plan: Plan, outcome: Outcome, paint: Paint, *, with_shape: bool) -> Iterator[str]:
    yield ""
    if with_shape:
        yield f"Shape {outcome.shape}"
    if plan.target is None:
        yield from books(outcome.consumers, paint)
    else:
        yield from ruled([_FATES, *(_fates(consumer) for consumer in outcome.consumers)], 1, paint)
        yield paint("  others publish as well: what a consumer should have got is what the hub gave it", "dim")
    missing = outcome.published - outcome.received
    if missing > 0:
        what = f"the hub got {outcome.received:,} of {outcome.published:,} messages, {missing:,} are missing"
        yield f"  {paint('MISMATCH', 'bad')}: {what}"
    else:
        yield f"  {paint('OK', 'good')}: the hub got all of {outcome.published:,} messages"


_FATES = ("consumer", "wanted", "processed", "failed", "invalid", "dropped", "other", "left")


def _fates(consumer: ConsumerOutcome) -> tuple[str, ...]:
    numbers = (consumer.published, consumer.processed, consumer.failed, consumer.invalid, consumer.dropped)
    return (consumer.name, *(f"{number:,}" for number in (*numbers, consumer.aside, consumer.left)))


def _as_json(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    return {
        "shape": outcome.shape,
        "ok": _is_balanced(plan, outcome),
        "published": outcome.published,
        "received": outcome.received,
        "unwanted": outcome.unwanted,
        "seconds": rounded(outcome.spike_seconds),
        "unseen_peak": outcome.unseen,
        "computing": rounded(outcome.computing),
        "pictures": [str(picture) for picture in outcome.pictures],
        "remarks": outcome.remarks,
        "consumers": [_consumer_as_json(plan, consumer) for consumer in outcome.consumers],
    }


def _consumer_as_json(plan: Plan, consumer: ConsumerOutcome) -> dict[str, Any]:
    return {
        **consumer_as_json(consumer),
        "ok": consumer.is_balanced if plan.target is None else None,
        "other": consumer.aside,
        "injected": consumer.injected,
        "workers": consumer.workers,
        "service_rate": rounded(consumer.service_rate),
        "wait": times_as_json(consumer.wait, _SHOWN),
        "processing": {**times_as_json(consumer.processing, _SHOWN), "mean": rounded(consumer.mean)},
    }
