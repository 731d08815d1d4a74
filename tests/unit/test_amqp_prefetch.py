# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many messages a consumer is given at a time: what it finishes in half a second."""

from __future__ import annotations

import pytest

from glasshub.amqp.backoff import Backoff
from glasshub.amqp.prefetch import Prefetch


class Clock:
    """One that is set by hand."""

    def __init__(self) -> None:
        self.ns = 10**12

    def __call__(self) -> int:
        """Nanoseconds."""
        return self.ns


class Consumed:
    """A prefetch, and a consumer that is never without work."""

    def __init__(self, least: int = 2, most: int = 1000) -> None:
        self._clock = Clock()
        self.prefetch = Prefetch(least, most, clock=self._clock)
        self.changes: list[int] = []

    def work(self, seconds: float, *, rate: float, is_full: bool = True, step: float = 0.1) -> None:
        """Finish so many messages a second."""
        for _ in range(round(seconds / step)):
            self._clock.ns += int(step * 1e9)
            if self.prefetch.note(round(rate * step), is_full=is_full):
                self.changes.append(self.prefetch.current)


def test_it_begins_with_what_its_workers_can_use() -> None:
    assert Prefetch(8, 1000).current == 8


@pytest.mark.parametrize(("rate", "prefetch"), [(10, 8), (100, 64), (1000, 512), (100_000, 1000)])
def test_it_is_half_a_second_of_work(rate: float, prefetch: int) -> None:
    consumed = Consumed()

    consumed.work(1, rate=rate)

    assert consumed.prefetch.current == prefetch


def test_a_consumer_that_could_do_more_gets_more_at_once() -> None:
    consumed = Consumed()

    consumed.work(0.1, rate=1000)

    assert consumed.changes == [512]


def test_a_consumer_that_is_slow_for_a_while_keeps_what_it_has() -> None:
    consumed = Consumed()
    consumed.work(1, rate=1000)

    for _ in range(5):
        consumed.work(1.5, rate=0)
        consumed.work(0.5, rate=1000)

    assert consumed.changes == [512]


def test_a_consumer_that_has_become_slow_gets_less_in_one_step() -> None:
    consumed = Consumed()
    consumed.work(1, rate=1000)

    consumed.work(4, rate=20)

    assert consumed.changes == [512, 16]


def test_a_rate_between_two_steps_changes_nothing() -> None:
    consumed = Consumed()
    consumed.work(1, rate=260)

    for rate in (250, 260) * 10:
        consumed.work(3, rate=rate)

    assert consumed.changes == [256]


def test_a_consumer_that_has_little_to_do_keeps_what_it_has() -> None:
    consumed = Consumed()
    consumed.work(1, rate=1000)

    consumed.work(60, rate=1, is_full=False)

    assert consumed.changes == [512]


def test_the_bounds_hold() -> None:
    consumed = Consumed(least=8, most=40)

    consumed.work(1, rate=10_000)
    consumed.work(10, rate=0)

    assert consumed.changes == [40, 8]
    assert Prefetch(8, 3).current == 3


def test_who_fails_again_waits_longer_each_time_up_to_a_bound() -> None:
    backoff = Backoff()

    delays = [backoff.delay() for _ in range(12)]

    assert 0.05 <= delays[0] <= 0.1
    assert all(delay <= 0.1 * 2**number for number, delay in enumerate(delays))
    assert 15 <= delays[-1] <= 30


def test_what_has_worked_for_a_moment_only_is_not_trusted() -> None:
    now = [0.0]
    backoff = Backoff(clock=lambda: now[0])
    for _ in range(8):
        backoff.delay()

    backoff.succeeded()
    now[0] += 1
    assert backoff.delay() > 5

    backoff.succeeded()
    now[0] += 11
    assert backoff.delay() <= 0.1
