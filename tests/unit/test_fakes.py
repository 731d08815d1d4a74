# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fakes do what they are taken for, or the tests with them would prove nothing."""

from __future__ import annotations

import threading

import pytest

from glasshub.errors import SourceError
from glasshub.routing import Router
from glasshub.sources import Source

from ..fakes import BlockingConsumer, FakeClock, MemorySource, OneAtATime, VisitingConsumer, frame


def test_memory_source_hands_out_batches_in_order_and_never_more_than_the_limit() -> None:
    source = MemorySource()
    frames = [frame(number) for number in range(5)]
    source.put(*frames[:4], malformed=2, size=77)
    source.put(frames[4])

    batches = [source.receive(0, 3) for _ in range(4)]

    assert [batch.frames for batch in batches] == [frames[:3], frames[3:4], frames[4:], []]
    assert sum(batch.malformed for batch in batches) == 2
    assert batches[0].size == 77
    assert source.limits == [3] * 4


def test_memory_source_raises_once_what_came_before_is_received() -> None:
    source = MemorySource()
    source.put(frame(1))
    source.fail(SourceError("gone"))
    source.put(frame(2))

    assert len(source.receive(0, 9).frames) == 1
    with pytest.raises(SourceError, match="gone"):
        source.receive(0, 9)
    assert len(source.receive(0, 9).frames) == 1


def test_memory_source_wakes_a_waiting_receiver_and_says_when_it_is_idle() -> None:
    source = MemorySource()
    received: list[int] = []
    receiver = threading.Thread(target=lambda: received.append(len(source.receive(20, 9).frames)))
    receiver.start()
    source.wait_until_idle()

    source.put(frame(1), frame(2))
    receiver.join(20)

    assert received == [2]
    assert receiver in source.threads


def test_memory_source_refuses_to_open_and_remembers_what_was_called() -> None:
    source: Source = MemorySource(refuses=SourceError("no such bus"))

    with pytest.raises(SourceError, match="no such bus"):
        source.open(Router([["org."]]))
    source.close()

    assert isinstance(source, MemorySource)
    assert source.calls == ["open", "close"]
    assert source.prefixes == [b"org."]
    assert source.threads == {threading.current_thread()}


def test_overlap_is_noticed() -> None:
    place = OneAtATime()
    consumer = VisitingConsumer(place)

    place._inside.acquire()
    consumer.handle(frame())

    assert place.overlaps == 1


def test_visits_one_after_another_do_not_overlap() -> None:
    place = OneAtATime()
    consumer = VisitingConsumer(place)

    consumer.handle(frame())
    consumer.handle(frame())

    assert place.overlaps == 0


def test_a_blocking_consumer_goes_on_when_it_is_released() -> None:
    with BlockingConsumer() as consumer:
        worker = threading.Thread(target=consumer.handle, args=(frame(),))
        worker.start()
        consumer.wait_for(1)
        was_alive = worker.is_alive()

    worker.join(20)

    assert was_alive
    assert not worker.is_alive()


def test_a_fake_clock_stands_still() -> None:
    clock = FakeClock(5.0)

    before = clock()
    clock.advance(1.5)

    assert (before, clock()) == (5.0, 6.5)
