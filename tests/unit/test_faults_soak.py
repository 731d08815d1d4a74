# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the soak calls flat."""

from __future__ import annotations

import pytest

from faults.soak import Key, Sample, trends

MEMORY, THREADS = Key("memory (KB)", "hub"), Key("threads", "hub")


def samples(key: Key, *quarters: float) -> list[Sample]:
    """Ten samples of a figure in each quarter."""
    return [{key: figure} for figure in quarters for _ in range(10)]


def is_flat(found: list[Sample]) -> bool:
    (trend,) = trends(found)
    return trend.is_flat


@pytest.mark.parametrize(
    ("key", "quarters"),
    [
        (MEMORY, (30_000, 50_000, 50_000, 50_000)),  # caches fill up in the first quarter
        (MEMORY, (50_000, 50_000, 50_000, 53_000)),
        (THREADS, (9, 9, 9, 9)),
    ],
)
def test_what_stays_is_flat(key: Key, quarters: tuple[float, ...]) -> None:
    assert is_flat(samples(key, *quarters))


@pytest.mark.parametrize(
    ("key", "quarters"),
    [
        (MEMORY, (50_000, 50_000, 52_000, 54_000)),
        (THREADS, (9, 9, 10, 11)),
        (Key("descriptors", "hub"), (20, 20, 21, 22)),
        (Key("size (KB)", "log.sqlite"), (1000, 1000, 2000, 3000)),
        (Key("descriptors", "worker 1"), (0, 0, 0, 5)),
    ],
)
def test_what_grows_is_not_flat(key: Key, quarters: tuple[float, ...]) -> None:
    assert not is_flat(samples(key, *quarters))


def test_one_spike_is_no_growth() -> None:
    found = samples(MEMORY, 50_000, 50_000, 50_000, 50_000)
    found[-3] = {MEMORY: 500_000}

    (trend,) = trends(found)

    assert trend.is_flat
    assert trend.most == 500_000


def test_what_was_not_there_before_has_grown() -> None:
    found = [*samples(MEMORY, 1, 1, 1), *samples(Key("threads", "worker 0"), 3)]

    assert [str(trend)[:5] for trend in trends(found)] == ["flat ", "GROWS"]
