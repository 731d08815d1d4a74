# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures with targets, and how they come about on a machine that is noisy.

Nothing is compared with a figure of another run: contestants take turns (A B, B A, A B ...), a figure is the median of
its turns, and a target is a ratio where that is possible.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class BenchError(Exception):
    """A benchmark could not be run, or its figures would mean nothing."""


@dataclass(frozen=True)
class Target:
    """What a figure ought to be: at most the limit, or at least."""

    limit: float
    is_floor: bool = False

    def is_met(self, value: float) -> bool:
        """Whether it is."""
        return value >= self.limit if self.is_floor else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.is_floor else '≤'} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One result.

    Attributes:
        name: What was measured.
        value: The median of the turns, or the only value.
        unit: Its unit.
        target: What it ought to be, if anybody said.
        lowest, highest: Of the turns; None if there was one value only.
    """

    name: str
    value: float
    unit: str
    target: Target | None = None
    lowest: float | None = None
    highest: float | None = None


def figure(name: str, turns: Sequence[float], unit: str, target: Target | None = None) -> Figure:
    """The figure that the turns come to."""
    return Figure(name, statistics.median(turns), unit, target, min(turns), max(turns))


def ratio(name: str, above: Sequence[float], below: Sequence[float], target: Target | None = None) -> Figure:
    """How many times as much `above` is; each turn is compared with its neighbour."""
    return figure(name, [a / b for a, b in zip(above, below)], "x", target)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def take_turns(contestants: Mapping[str, Callable[[], T]], turns: int) -> dict[str, list[T]]:
    """What each contestant came to in each turn; every other turn goes in the opposite order."""
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for turn in range(turns):
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            results[name].append(contestants[name]())
    return results
