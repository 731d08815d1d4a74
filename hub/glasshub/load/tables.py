# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tables of what came out of a run, and the same for machines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from .outcome import ConsumerOutcome, Times
from .text import NOTHING, Paint, duration, ruled

_BOOKS = ("consumer", "published", "= processed", "+ failed", "+ invalid", "+ dropped", "+ left")
_ASIDE = "+ other"


def books(consumers: Sequence[ConsumerOutcome], paint: Paint) -> Iterator[str]:
    """The sum of what became of the messages of each consumer, and whether it is right."""
    has_aside = any(consumer.aside for consumer in consumers)
    rows = [_BOOKS + ((_ASIDE,) if has_aside else ()), *(_sum(consumer, has_aside) for consumer in consumers)]
    lines = ruled(rows, 1, paint)
    yield from itertools.islice(lines, 2)
    for line, consumer in zip(lines, consumers):
        verdict = "OK" if consumer.is_balanced else f"MISMATCH ({_difference(consumer)})"
        yield f"{line}  {paint(verdict, 'good' if consumer.is_balanced else 'bad')}"


def consumer_as_json(consumer: ConsumerOutcome) -> dict[str, Any]:
    """What there is to say of a consumer; durations in seconds, null for what is not known."""
    return {
        "name": consumer.name,
        "ok": consumer.is_balanced,
        "published": consumer.published,
        "processed": consumer.processed,
        "failed": consumer.failed,
        "invalid": consumer.invalid,
        "dropped": consumer.dropped,
        "left": consumer.left,
        "peak_backlog": consumer.peak_backlog,
        "peak_age": rounded(consumer.peak_age),
        "caught_up_after": rounded(consumer.caught_up_after),
        "wait": times_as_json(consumer.wait, ("p50", "p95")),
        "processing": times_as_json(consumer.processing, ("p50", "p95")),
    }


def times_as_json(times: Times | None, percentiles: Sequence[str]) -> dict[str, float | None]:
    """Some percentiles by name."""
    return {name: rounded(getattr(times, name) if times else None) for name in percentiles}


def percentiles_as_text(times: Times | None, percentiles: Sequence[str]) -> tuple[str, ...]:
    """The same for people."""
    return tuple(duration(getattr(times, name)) if times else NOTHING for name in percentiles)


def rounded(number: float | None) -> float | None:
    """To a microsecond; what is not known is null, for JSON has no NaN."""
    return None if number is None or math.isnan(number) else round(number, 6)


def _sum(consumer: ConsumerOutcome, has_aside: bool) -> tuple[str, ...]:
    parts = (consumer.processed, consumer.failed, consumer.invalid, consumer.dropped, consumer.left)
    row = (consumer.name, f"{consumer.published:,}", *(f"{s} {n:,}" for s, n in zip("=++++", parts)))
    return (*row, f"+ {consumer.aside:,}") if has_aside else row


def _difference(consumer: ConsumerOutcome) -> str:
    missing = consumer.published - consumer.accounted_for
    return f"{missing:,} are missing" if missing > 0 else f"{-missing:,} too many"
