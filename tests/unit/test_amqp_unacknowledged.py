# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a broker is told of what is done: all of it, once, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glasshub.amqp.unacknowledged import Unacknowledged


def opened(count: int) -> Unacknowledged:
    unacknowledged = Unacknowledged()
    for tag in range(1, count + 1):
        unacknowledged.add(tag)
    return unacknowledged


@given(st.lists(st.lists(st.integers(min_value=1, max_value=40), max_size=10), max_size=20))
def test_a_broker_that_is_told_of_it_has_the_same_open(batches: list[list[int]]) -> None:
    unacknowledged = opened(30)
    of_broker = set(range(1, 31))
    wanted = set(of_broker)

    for batch in batches:
        last, others = unacknowledged.close(batch)
        wanted -= set(batch)
        assert {last, *others} - {0} <= of_broker  # RabbitMQ closes the channel on a tag that it does not know
        of_broker = {tag for tag in of_broker if tag > last} - set(others)
        assert of_broker == wanted == set(unacknowledged)
        assert len(unacknowledged) == len(wanted)


def test_what_is_done_in_order_is_told_at_once() -> None:
    assert opened(10).close([3, 1, 2]) == (3, [])


def test_what_has_overtaken_others_is_told_by_itself() -> None:
    assert opened(10).close([1, 5, 4]) == (1, [4, 5])


def test_a_tag_counts_once() -> None:
    unacknowledged = opened(3)
    unacknowledged.close([2])

    assert unacknowledged.close([2, 99]) == (0, [])
    assert unacknowledged.close([1]) == (1, [])


def test_a_message_that_waits_long_costs_no_memory_for_those_that_overtake_it() -> None:
    unacknowledged = opened(1)
    for tag in range(2, 10_000):
        unacknowledged.add(tag)
        unacknowledged.close([tag])

    assert len(unacknowledged._order) < 2_000
    assert unacknowledged.close([1]) == (1, [])
