# SPDX-License-Identifier: LGPL-2.1-or-later
"""The way from a thread that receives to the one that takes."""

from __future__ import annotations

import threading
import time

from glasshub.sources.inbox import Inbox

from ..fakes import PATIENCE


def test_what_is_put_is_taken_in_order_and_no_more_than_asked_for() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put([1, 2])
    inbox.put([3])

    assert inbox.take(0, 2) == [1, 2]
    assert inbox.take(PATIENCE, 2) == [3]


def test_it_waits_no_longer_than_it_is_told_to() -> None:
    assert Inbox[int]().take(0.01, 1) == []


def test_who_wakes_before_anybody_waits_ends_the_next_wait() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.wake()
    began = time.monotonic()

    assert inbox.take(PATIENCE, 1) == []
    assert time.monotonic() - began < PATIENCE / 2


def test_nothing_that_is_put_is_slept_through() -> None:
    inbox: Inbox[int] = Inbox()
    count = 20_000

    def put() -> None:
        for number in range(count):
            inbox.put([number])

    putter = threading.Thread(target=put)
    putter.start()

    taken: list[int] = []
    while len(taken) < count:
        found = inbox.take(PATIENCE, 7)
        assert found, f"slept through what was put after {len(taken)}"
        taken += found
    putter.join()

    assert taken == list(range(count))
