# SPDX-License-Identifier: LGPL-2.1-or-later
"""Around a gap of the bus each message is handled once: whether the bus brought it, a fetch, or both."""

from __future__ import annotations

import json

import pytest

from glasshub.backfill import Backfill, Ids, Recent, msg_id_of
from glasshub.gaps import Gap
from glasshub.message import Frame

SECOND = 1_000_000_000

#: Of the watches below: seconds on a clock that began at 100.
BEGAN = 100
MARGIN = 5.0


class Watch:
    """A backfill on a clock that stands, and how often it has woken the enqueuer."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.wakes = 0
        self.is_lost = False
        self.backfill = Backfill(margin=MARGIN, wake=self.wake, clock=lambda: self.now * SECOND)

    def wake(self) -> None:
        self.wakes += 1

    def brings(self, *names: str) -> list[str | None]:
        """The bus brings messages; those that are dispatched."""
        self.backfill.watch(is_lost=self.is_lost)
        return ids(self.backfill.sift([message(name, self.now) for name in names], 100 * len(names)))

    def fetches(self, *names: str) -> list[str | None]:
        """A fetch delivers messages; those that are dispatched."""
        self.backfill.deliver([message(name, self.now) for name in names])
        return ids(self.backfill.take(100)[0])

    def gap(self, lost: int) -> Gap:
        """An endpoint that was lost then is back."""
        return Gap("tcp://bus:1", lost * SECOND, self.now * SECOND, until=1400000000.0 + self.now)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def message(name: str, received: int) -> Frame:
    return Frame(b"org.test", json.dumps({"msg_id": name}).encode(), received * SECOND)


def ids(frames: object) -> list[str | None]:
    assert isinstance(frames, list)
    return [msg_id_of(frame) for frame in frames]


def test_what_the_bus_brought_before_the_gap_is_not_handled_again(watch: Watch) -> None:
    watch.brings("1", "2")
    watch.now += 3
    watch.backfill.fill(watch.gap(lost=101))

    assert watch.fetches("1", "2", "3") == ["3"]


def test_what_the_bus_brings_during_a_long_gap_is_not_handled_again(watch: Watch) -> None:
    """From publishers that are not lost."""
    watch.is_lost = True
    for minute in range(60):
        watch.now += 60
        watch.brings(str(minute))
    watch.backfill.fill(watch.gap(lost=100))

    assert watch.fetches("0", "lost", "30", "59") == ["lost"]


def test_what_the_bus_brings_after_the_gap_and_before_the_fetch_is_not_handled_again(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))
    watch.brings("1")
    watch.now += 60
    watch.brings("2")

    assert watch.fetches("1", "2", "3") == ["3"]


def test_what_the_bus_brings_later_than_the_fetch_is_left_out(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))
    watch.fetches("1")

    assert watch.brings("1", "2") == ["2"]


def test_half_a_minute_after_the_fetch_nobody_looks_any_more(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))
    watch.fetches("1")
    watch.backfill.done(1)
    watch.backfill.take(1)

    watch.now += 29
    soon = watch.brings("1")
    watch.now += 2
    late = watch.brings("1")

    assert (soon, late) == ([], ["1"])


def test_what_the_bus_itself_brings_twice_is_not_ours_to_judge(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))

    assert watch.brings("1", "1") == ["1", "1"]


def test_a_second_fetch_of_the_same_time_brings_nothing_twice(watch: Watch) -> None:
    """While a first endpoint is still lost, a second one was lost and is back."""
    watch.backfill.fill(watch.gap(lost=100))
    watch.fetches("1")
    watch.backfill.done(1)
    watch.backfill.take(1)
    watch.is_lost = True
    watch.now += 1000
    watch.brings("other")
    watch.backfill.fill(watch.gap(lost=99))

    assert watch.fetches("1", "2") == ["2"]


def test_messages_without_an_id_are_new(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))
    frames = [Frame(b"org.test", body, 0) for body in (b"{}", b'{"msg_id": 3}', b"[]", b"no json", b"\xff")]
    watch.backfill.sift(frames, 100)
    watch.backfill.deliver(frames)

    assert watch.backfill.take(100) == (frames, 0)


def test_what_is_taken_is_bounded_and_duplicates_are_counted(watch: Watch) -> None:
    watch.backfill.fill(watch.gap(lost=100))
    watch.brings("2")
    watch.now += 7
    watch.backfill.deliver([message(name, 0) for name in "123"])
    watch.backfill.deliver([message(name, 0) for name in "456"])

    first, duplicates = watch.backfill.take(4)
    rest = watch.backfill.take(4)

    assert (ids(first), duplicates) == (["1", "3", "4", "5"], 1)
    assert (ids(rest[0]), rest[1]) == (["6"], 0)
    assert watch.wakes == 2
    assert {frame.received_ns for frame in first} == {107 * SECOND}  # it waits from now on


def test_a_request_says_since_when_the_bus_is_remembered(watch: Watch) -> None:
    watch.now = 108
    watch.backfill.fill(watch.gap(lost=103))
    request = watch.backfill.requests.get_nowait()

    assert request is not None
    assert request.gap == watch.gap(lost=103)
    assert request.since == 1400000000.0 + BEGAN


def test_while_nothing_is_lost_only_the_last_seconds_are_remembered() -> None:
    recent = Recent(10, BEGAN * SECOND)

    for second in range(101, 121):
        recent.note([message(str(second), second)], 100)

    recent.is_watching = True
    assert recent.since_ns == 109 * SECOND
    assert not recent.has("109")
    assert all(recent.has(str(second)) for second in range(110, 121))


def test_while_nothing_is_lost_so_many_bytes_are_remembered_at_the_most() -> None:
    recent = Recent(10, BEGAN * SECOND, most_bytes=1000)

    recent.note([message("1", 101)], 400)
    recent.note([message("2", 102)], 400)
    recent.note([message("3", 103)], 400)

    recent.is_watching = True
    assert recent.since_ns == 101 * SECOND
    assert [recent.has(name) for name in "123"] == [False, True, True]


def test_one_message_that_is_larger_than_all_that_may_be_kept_is_forgotten() -> None:
    recent = Recent(10, BEGAN * SECOND, most_bytes=1000)

    recent.note([message("1", 101)], 2000)

    assert recent.since_ns == 101 * SECOND


def test_around_a_gap_so_many_ids_are_remembered_at_the_most() -> None:
    recent = Recent(10, BEGAN * SECOND, most_ids=3)
    recent.is_watching = True

    recent.note([message(name, 100 + int(name)) for name in "12345"], 500)

    assert [recent.has(name) for name in "12345"] == [False, False, True, True, True]
    assert recent.since_ns == 102 * SECOND


def test_after_a_gap_its_ids_are_forgotten_and_the_last_seconds_are_not() -> None:
    recent = Recent(10, BEGAN * SECOND)
    recent.is_watching = True
    recent.note([message("1", 101)], 100)
    recent.note([message("2", 121)], 100)

    recent.unwatch()

    recent.is_watching = True
    assert recent.since_ns == 101 * SECOND
    assert [recent.has(name) for name in "12"] == [False, True]


def test_ids_forget_the_oldest_and_say_when_it_came() -> None:
    some = Ids(2)

    said = [some.add("1", 10), some.add("2", 20), some.add("1", 30), some.add("3", 40)]

    assert said == [0, 0, 0, 10]
    assert [name in some for name in "123"] == [False, True, True]
