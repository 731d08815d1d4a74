# SPDX-License-Identifier: LGPL-2.1-or-later
"""`consumer.incoming` has the methods of a queue, and leads into the consumer's own work queue."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from glasshub.compat.incoming import Incoming, Item

from ..fakes import PATIENCE, frame
from .inlets import ListInlet


def incoming(*already: Any, refused: bytes = b"refused") -> Incoming:
    """One that takes over a queue with something in it; messages are their bodies, but for one that is refused."""
    original: queue.Queue[Any] = queue.Queue()
    for item in already:
        original.put(item)
    return Incoming(original, lambda one: None if one.body == refused else one.body)


def test_what_was_put_before_the_consumer_was_connected_is_kept_and_comes_first() -> None:
    one, inlet = incoming("in the constructor"), ListInlet()
    one.put("before")
    sizes = [one.qsize()]

    one.connect(inlet)
    one.put("after")

    assert inlet.items == ["in the constructor", "before", "after"]
    assert [*sizes, one.qsize()] == [2, 3]


@pytest.mark.parametrize("item", [{"topic": "org.a", "body": {}}, ["anything"], 3, None, "text", {"topic": 3}])
def test_anything_can_be_put(item: Any) -> None:
    one, inlet = incoming(), ListInlet()
    one.connect(inlet)

    one.put(item)
    one.put_nowait(item)
    one.put(item, True, 3.0)

    assert inlet.items == [item] * 3


def test_an_item_has_the_topic_of_its_message_for_the_log() -> None:
    assert [Item({"topic": "org.a"}).topic, Item("text").topic, Item({"topic": None}).topic] == [b"org.a", b"", b""]


def test_moksha_telling_its_workers_to_quit_is_not_work() -> None:
    one, inlet = incoming(StopIteration), ListInlet()
    one.connect(inlet)

    one.put(StopIteration)

    assert inlet.items == []


@pytest.mark.parametrize("original", [None, [], "what a test has put there"])
def test_a_consumer_may_have_put_something_else_in_the_place_of_its_queue(original: Any) -> None:
    assert Incoming(original, lambda one: one).empty()


def test_size_and_emptiness_are_those_of_the_whole_queue() -> None:
    one = incoming()
    states = [(one.qsize(), one.empty(), one.full())]

    one.connect(ListInlet(frame(1), frame(2)))

    assert [*states, (one.qsize(), one.empty(), one.full())] == [(0, True, False), (2, False, False)]


def test_a_message_of_the_bus_is_got_as_the_consumer_would_see_it_and_what_was_put_as_it_was() -> None:
    one, item = incoming(), {"topic": "org.a"}
    one.connect(ListInlet(frame(b"from the bus"), Item(item)))

    assert one.get() == b"from the bus"
    assert one.get_nowait() is item


def test_a_message_that_the_consumer_would_refuse_is_not_got() -> None:
    one = incoming()
    one.connect(ListInlet(frame(b"refused"), frame(b"good")))

    assert one.get() == b"good"


@pytest.mark.parametrize(("arguments", "timeout"), [((), None), ((False,), 0.0), ((False, 7.0), 0.0)])
def test_an_empty_queue_is_waited_for_as_long_as_was_asked(arguments: Any, timeout: float | None) -> None:
    one, inlet = incoming(), ListInlet()
    one.connect(inlet)

    with pytest.raises(queue.Empty):
        one.get(*arguments)

    assert inlet.timeouts == [timeout]


def test_a_timeout_is_for_all_messages_together() -> None:
    """Those that are refused do not begin it anew."""
    one, inlet = incoming(), ListInlet(*[frame(b"refused") for _ in range(3)])
    one.connect(inlet)

    with pytest.raises(queue.Empty):
        one.get(True, 5.0)

    assert all(timeout is not None and 0 < timeout <= 5.0 for timeout in inlet.timeouts)
    assert inlet.timeouts == sorted(inlet.timeouts, key=lambda timeout: -(timeout or 0))


def test_before_the_consumer_is_connected_only_what_it_has_put_can_be_got() -> None:
    one = incoming("mine")

    assert one.get() == "mine"
    with pytest.raises(queue.Empty):
        one.get()


def test_nothing_is_lost_by_those_who_put_while_it_is_being_connected() -> None:
    one, inlet = incoming(), ListInlet()

    def put() -> None:
        for number in range(20_000):
            one.put(number)

    putter = threading.Thread(target=put)
    putter.start()

    one.connect(inlet)
    putter.join(PATIENCE)

    assert inlet.items == list(range(20_000))
