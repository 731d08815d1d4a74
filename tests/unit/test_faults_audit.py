# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit of the fault suite: it passes what is right, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.audit import (
    Books,
    Counted,
    Diary,
    Life,
    Shared,
    Terms,
    Window,
    audit,
    audit_shared,
    read_diary,
    windows_of,
)
from faults.bus import BOUND, SUBSCRIBED, UNSUBSCRIBED, Event
from faults.messages import body, checksum, number_of

HUNDRED = list(range(100))

#: What is promised of a hub with a spool.
DURABLE = Terms(is_durable=True, repeats=64, in_order=False)

#: What is promised of every hub.
PLAIN = Terms()


def life(count: int = 100, *, since: int = 0, is_whole: bool = True, deaths: int = 0, **counted: int) -> Life:
    """A life that was sent so many messages, and of one consumer counted that it handled them, or what is given."""
    return Life(
        [Window(since, since, since + count)],
        {"A": Counted(**{"enqueued": count, "processed": count, **counted})},
        is_whole=is_whole,
        was_killed=bool(deaths),
        deaths=deaths,
    )


def complaints(
    handled: Sequence[int] = HUNDRED,
    *lives: Life,
    terms: Terms = PLAIN,
    parked: Sequence[int] = (),
    raised: Sequence[int] = (),
    met: Sequence[int] = (),
    garbled: Sequence[str] = (),
) -> str:
    """What is wrong with the books of one consumer; nothing if nothing is."""
    diary = Diary(handled, raised, met, garbled)
    return "; ".join(audit(Books(lives or [life()], {"A": diary}, terms, {"A": frozenset(parked)}))[1])


def test_books_in_which_every_message_was_handled_once_balance() -> None:
    assert complaints() == ""


@given(st.integers(0, 99))
def test_a_message_that_vanished_is_found_whichever_it_was(number: int) -> None:
    handled = [one for one in HUNDRED if one != number]

    told = complaints(handled, life(processed=99))

    assert "1 messages are LOST" in told
    assert f": {number}" in told


def test_a_message_that_vanished_is_found_when_the_hub_counts_it_as_processed() -> None:
    assert "LOST" in complaints(HUNDRED[1:])


@given(st.integers(0, 99))
def test_a_message_that_came_twice_is_found(number: int) -> None:
    assert "1 messages came again" in complaints([*HUNDRED, number], life(processed=101))


def test_messages_may_come_again_after_a_death_and_no_more_than_a_batch() -> None:
    both = [life(deaths=1, is_whole=False), life(0, since=100, restored=64, enqueued=64, processed=64)]

    assert complaints([*HUNDRED, *HUNDRED[:64]], *both, terms=DURABLE) == ""
    more = [both[0], replace(both[1], counted={"A": Counted(enqueued=65, restored=65, processed=65)})]
    assert "65 messages came again, at most 64 may" in complaints([*HUNDRED, *HUNDRED[:65]], *more, terms=DURABLE)


def test_messages_out_of_order_are_found() -> None:
    assert "message 4 came after later ones" in complaints([*HUNDRED[:4], 5, 4, *HUNDRED[6:]])


def test_a_body_that_nobody_published_is_found() -> None:
    assert "bodies that nobody published" in complaints(garbled=["handled 3 0"])


def test_a_message_from_nowhere_is_found() -> None:
    assert "cannot have received" in complaints([*HUNDRED, 100], life(processed=101))


@pytest.mark.parametrize(("left", "dropped"), [(10, 0), (0, 10), (4, 6)])
def test_what_is_missing_and_counted_is_no_loss(left: int, dropped: int) -> None:
    assert complaints(HUNDRED[:90], life(processed=90, left=left, dropped=dropped)) == ""


@pytest.mark.parametrize(
    ("left", "dropped", "words"),
    [
        (9, 0, "1 messages are LOST"),
        (0, 9, "1 messages are LOST"),
        (11, 0, "only 10 are missing"),
        (0, 11, "only 10 are missing"),
    ],
)
def test_what_is_missing_has_to_be_counted_exactly(left: int, dropped: int, words: str) -> None:
    assert words in complaints(HUNDRED[:90], life(processed=90, left=left, dropped=dropped))


def test_what_a_life_left_is_a_loss_where_it_was_promised_to_come_back() -> None:
    lives = [life(processed=90, left=10, deaths=1), life(0, since=100)]

    assert complaints(HUNDRED[:90], *lives, terms=replace(DURABLE, is_durable=False)) == ""
    assert "10 messages are LOST" in complaints(HUNDRED[:90], *lives, terms=DURABLE)


def test_what_a_killed_hub_was_still_sent_was_not_accepted() -> None:
    killed = life(deaths=1, is_whole=False, enqueued=90, processed=90)

    assert complaints(HUNDRED[:90], killed, terms=DURABLE) == ""


def test_what_a_killed_hub_had_in_its_spool_was_accepted() -> None:
    killed = replace(life(deaths=1, is_whole=False, enqueued=95, processed=90, left=5), stored=frozenset(range(90, 95)))

    assert complaints(HUNDRED[:95], killed, life(0, since=100, processed=5), terms=DURABLE) == ""
    assert "5 messages are LOST" in complaints(HUNDRED[:90], killed, life(0, since=100), terms=DURABLE)


def test_what_a_killed_hub_counted_as_accepted_has_to_be_somewhere() -> None:
    killed = life(deaths=1, is_whole=False, enqueued=95, processed=90)

    assert "counted 95 messages as accepted, but 90 can be found" in complaints(HUNDRED[:90], killed, terms=DURABLE)


def test_a_message_that_is_seen_later_proves_that_those_before_it_were_accepted() -> None:
    killed = life(deaths=1, is_whole=False, enqueued=90, processed=89)

    assert "LOST" in complaints([*HUNDRED[:50], *HUNDRED[51:90]], killed, terms=DURABLE)


def test_what_only_waited_in_the_memory_of_a_killed_hub_was_accepted_by_its_counters() -> None:
    """Nobody has seen it: that much is missing, and that much has to be counted as left."""
    killed = life(deaths=1, is_whole=False, enqueued=90, processed=40, left=50)

    assert complaints(HUNDRED[:40], killed) == ""
    assert "LOST" in complaints(HUNDRED[:40], life(deaths=1, is_whole=False, enqueued=90, processed=40, left=49))


def test_a_message_at_the_beginning_of_a_window_may_not_be_missing() -> None:
    killed = life(deaths=1, is_whole=False, enqueued=90, processed=90)

    assert "LOST" in complaints(HUNDRED[1:91], killed, terms=DURABLE)


def test_messages_that_were_sent_when_nobody_was_subscribed_are_no_loss() -> None:
    lives = [life(50), life(20, since=80)]

    assert "LOST" in complaints([*HUNDRED[:50], *range(80, 99)], *lives)
    assert complaints([*HUNDRED[:50], *range(80, 100)], *lives) == ""


def test_a_counter_of_processed_messages_that_lies_is_found() -> None:
    assert "handled 100 messages, and the hub counted 99" in complaints(HUNDRED, life(processed=99))
    assert "handled 100 messages, and the hub counted 101" in complaints(HUNDRED, life(processed=101))


def test_a_counter_of_failed_messages_that_lies_is_found() -> None:
    right = life(processed=90, failed=10)

    assert complaints(HUNDRED[10:], right, raised=HUNDRED[:10]) == ""
    assert "raised 10 times" in complaints(HUNDRED[10:], life(processed=90, failed=9), raised=HUNDRED[:10])
    assert "raised 10 times" in complaints(HUNDRED[10:], life(processed=90, failed=11), raised=HUNDRED[:10])


def test_a_message_that_is_tried_again_comes_as_often_as_that_is_counted() -> None:
    """Message 0 fails three times, and message 1 once before it is handled."""
    handled, raised, terms = HUNDRED[1:], [0, 0, 0, 1], replace(PLAIN, in_order=False)

    assert complaints(handled, life(processed=99, failed=1, retried=3), raised=raised, terms=terms) == ""
    assert "came again" in complaints(handled, life(processed=99, failed=2, retried=2), raised=raised, terms=terms)
    assert "raised 4 times" in complaints(handled, life(processed=99, failed=1, retried=4), raised=raised, terms=terms)


def test_a_counter_of_enqueued_messages_that_lies_is_found() -> None:
    assert "can be found" in complaints(HUNDRED, life(enqueued=101))
    assert "100 messages were accepted, and the hub counted 99" in complaints(HUNDRED, life(enqueued=99))


def test_a_counter_of_invalid_messages_that_lies_is_found() -> None:
    odd = Terms(unreadable=3)

    assert complaints(HUNDRED, life(enqueued=103, invalid=3), terms=odd) == ""
    assert "3 messages cannot be read" in complaints(HUNDRED, life(enqueued=103, invalid=2), terms=odd)


def test_a_parked_message_is_no_loss() -> None:
    assert complaints(HUNDRED[1:], life(processed=99, parked=1), parked=[0], met=[0]) == ""


def test_a_message_that_is_counted_as_parked_has_to_be_in_the_spool() -> None:
    counted = life(processed=99, parked=1)

    assert complaints(HUNDRED[1:], counted, raised=[0], parked=[0]) == ""
    assert "0 messages are parked in the spool" in complaints(HUNDRED[1:], counted, raised=[0])
    assert "1 messages are parked" in complaints(HUNDRED[1:], life(processed=99, failed=1), raised=[0], parked=[0])


def test_a_message_that_killed_its_worker_and_counts_as_failed_is_no_loss() -> None:
    convicted = life(processed=99, failed=1, deaths=3)

    assert complaints(HUNDRED[1:], convicted, met=[0, 0, 0], terms=DURABLE) == ""
    assert "LOST" in complaints(HUNDRED[1:], life(processed=99, deaths=3), met=[0, 0, 0], terms=DURABLE)
    assert "LOST" in complaints(HUNDRED[1:], convicted, terms=DURABLE)


def test_damage_excuses_what_it_may_have_taken_and_no_more() -> None:
    spoiled = replace(DURABLE, damage=5)

    assert complaints(HUNDRED[5:], life(processed=95), terms=spoiled) == ""
    assert "LOST" in complaints(HUNDRED[6:], life(processed=94), terms=spoiled)


def test_books_without_a_message_prove_nothing() -> None:
    assert "nothing was tried" in complaints([], life(0))


def shared_complaints(confirmed: Sequence[int] = HUNDRED, doubtful: Sequence[int] = (), **known: Any) -> str:
    """What is wrong with the books of a consumer in two hubs that has handled a hundred messages, or what is given."""
    consumer = Shared("A", **{"diary": Diary(HUNDRED), **known})
    return "; ".join(audit_shared({*confirmed}, {*doubtful}, [consumer])[1])


def test_shared_books_in_which_every_confirmed_message_was_handled_or_parked_balance() -> None:
    assert shared_complaints() == ""
    assert shared_complaints(diary=Diary(HUNDRED[1:], [0]), parked=[0]) == ""


@given(st.integers(0, 99))
def test_a_confirmed_message_that_no_hub_handled_is_found(number: int) -> None:
    handled = [one for one in HUNDRED if one != number]

    assert f"1 messages are LOST: {number}" in shared_complaints(diary=Diary(handled))
    assert "1 messages are LOST" in shared_complaints(diary=Diary(handled, [number])), "raising is no excuse"


def test_what_is_in_doubt_may_be_handled_and_need_not() -> None:
    assert shared_complaints(doubtful=[100]) == ""
    assert shared_complaints(doubtful=[100], diary=Diary([*HUNDRED, 100])) == ""


def test_what_comes_again_in_two_hubs_is_counted_and_bounded() -> None:
    again = Diary([*HUNDRED, 7, 8])

    assert shared_complaints(diary=again, may_repeat=2) == ""
    assert "2 messages came again, at most 1 may" in shared_complaints(diary=again, may_repeat=1)


def test_what_two_hubs_leave_in_their_queue_or_make_up_is_found() -> None:
    assert "3 messages are still in the queue" in shared_complaints(left=3)
    assert "was given what nobody published: 100" in shared_complaints(diary=Diary([*HUNDRED, 100]))
    assert "nothing was tried" in shared_complaints([], diary=Diary())


def test_windows_are_what_lies_between_subscription_and_its_end() -> None:
    events = [
        Event(BOUND, 0),
        Event(SUBSCRIBED, 3),
        Event(UNSUBSCRIBED, 10),
        Event(SUBSCRIBED, 15),
        Event(BOUND, 20),
        Event(SUBSCRIBED, 22),
    ]

    assert windows_of(events, 30) == [Window(0, 3, 10), Window(10, 15, 20), Window(20, 22, 30)]


def test_a_diary_tells_what_became_of_messages_and_which_were_not_as_published(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    lines = [f"handled 7 {checksum(7)}", f"raised 8 {checksum(8)}", f"met 9 {checksum(9)}", f"handled 6 {checksum(7)}"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")

    diary = read_diary(path)

    assert diary == Diary([7, 6], [8], [9], [lines[-1]])
    assert read_diary(tmp_path / "none") == Diary([], [], [], [])


def test_the_number_of_a_message_is_in_its_body() -> None:
    assert number_of(body(12, more="x")) == 12
