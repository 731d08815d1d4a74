# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sleeper is woken once by whoever rings, before it sleeps, while it does, and never after it is gone."""

from __future__ import annotations

import select
import signal
import threading
from collections.abc import Iterator

import pytest

from glasshub.wakeup import Wakeup

from ..fakes import PATIENCE


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    one = Wakeup()
    yield one
    one.close()


def is_rung(wakeup: Wakeup, timeout: float = 0) -> bool:
    return bool(select.select([wakeup], [], [], timeout)[0])


def test_a_sleeper_is_woken_by_another_thread(wakeup: Wakeup) -> None:
    thread = threading.Thread(target=wakeup.ring)
    thread.start()

    assert is_rung(wakeup, PATIENCE)
    thread.join()


def test_a_ring_before_the_sleep_ends_it_and_all_rings_end_one(wakeup: Wakeup) -> None:
    for _ in range(1000):
        wakeup.ring()

    assert is_rung(wakeup)
    wakeup.clear()
    assert not is_rung(wakeup)


def test_more_rings_than_the_sockets_hold_neither_block_nor_raise(wakeup: Wakeup) -> None:
    for _ in range(100_000):
        wakeup.ring()

    while is_rung(wakeup):
        wakeup.clear()
    wakeup.clear()


def test_a_signal_handler_may_ring(wakeup: Wakeup) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, where: wakeup.ring())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert is_rung(wakeup)


def test_to_ring_after_the_end_does_nothing() -> None:
    wakeup = Wakeup()
    wakeup.close()

    wakeup.ring()
