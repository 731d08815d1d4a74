# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parking on a broker, without one: when it is tried again, when forgotten, and what a parked message looks like."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from glasshub.amqp.parking import Parking, addressed, reasons
from glasshub.amqp.wire import Outgoing
from glasshub.errors import PublishError
from glasshub.failure import Failure

from ..fakes import PATIENCE, wait_until

MESSAGE = addressed("q.parked", "org.a", b"{}", {}, {})


class Publisher:
    """A broker that answers when the test says so."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Outgoing, Future[None]]] = []
        self.closings = 0

    def submit(self, message: Outgoing) -> Future[None]:
        """See `Submits.submit`."""
        future: Future[None] = Future()
        self.submitted.append((message, future))
        return future

    def close(self) -> None:
        """See `Submits.close`."""
        self.closings += 1

    def confirm(self) -> None:
        """Confirm the last message, if it is still wanted."""
        future = self.submitted[-1][1]
        if future.set_running_or_notify_cancel():
            future.set_result(None)

    def refuse(self) -> None:
        """Refuse the last message."""
        self.submitted[-1][1].set_exception(PublishError("no queue takes it", reason="unroutable"))


@pytest.fixture
def publisher() -> Publisher:
    """The broker."""
    return Publisher()


@pytest.fixture
def parking(publisher: Publisher) -> Iterator[Parking]:
    """What is tried, on a broker that refuses for a moment only."""
    parking = Parking(publisher, delay=0.01)
    yield parking
    parking.close(0.0)


def noting(notes: list[str], note: str) -> Callable[[], None]:
    return lambda: notes.append(note)


def test_a_message_is_done_when_the_broker_has_confirmed_it(parking: Parking, publisher: Publisher) -> None:
    done: list[str] = []
    parking.park(MESSAGE, "channel", noting(done, "a"))
    assert done == []

    publisher.confirm()

    assert done == ["a"]


def test_a_message_that_the_broker_refuses_is_tried_again_and_done_once(
    parking: Parking, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    parking.park(MESSAGE, "channel", noting(done, "a"))
    for submitted in (1, 2):
        wait_until(lambda count=submitted: len(publisher.submitted) == count, "the message")  # type: ignore[misc]
        publisher.refuse()
    wait_until(lambda: len(publisher.submitted) == 3, "the message once more")
    publisher.confirm()

    assert done == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "cannot park a message in q.parked: no queue takes it: it is kept in its own queue, and tried again in 0.01 s"
    ]


def test_what_comes_again_is_not_parked_as_well(
    parking: Parking, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    parking.park(MESSAGE, "channel", noting(done, "a"))

    parking.forget("channel")
    publisher.confirm()

    assert publisher.submitted[0][1].cancelled()
    assert (done, caplog.records) == ([], [])


def test_what_came_another_way_is_not_forgotten(parking: Parking, publisher: Publisher) -> None:
    done: list[str] = []
    parking.park(MESSAGE, "channel", noting(done, "a"))

    parking.forget("another")
    publisher.confirm()

    assert done == ["a"]


def test_what_was_refused_and_comes_again_is_not_tried_again(publisher: Publisher) -> None:
    parking = Parking(publisher, delay=3600.0)
    parking.park(MESSAGE, "channel", noting([], "a"))
    publisher.refuse()

    parking.forget("channel")
    parking.close(0.0)

    assert parking._refused == []
    assert len(publisher.submitted) == 1


def test_closing_waits_for_what_is_on_its_way_and_takes_nothing_more(publisher: Publisher) -> None:
    parking = Parking(publisher)
    parking.park(MESSAGE, "channel", noting([], "a"))
    closing = threading.Thread(target=parking.close, args=(PATIENCE,))

    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    assert publisher.closings == 0
    publisher.confirm()
    closing.join()
    parking.park(MESSAGE, "channel", noting([], "b"))

    assert publisher.closings == 1
    assert len(publisher.submitted) == 1


def test_a_parked_message_is_the_same_but_for_what_would_be_wrong_in_another_queue() -> None:
    properties = {
        "message_id": "1",
        "type": "t",
        "priority": None,
        "user_id": "u",
        "expiration": "1",
        "headers": {"a": 1},
    }

    message = addressed("q.parked", "org.a", b"{}", properties, {"a": 1, "CC": ["elsewhere"], "BCC": ["there"]})

    assert (message.topic, message.body, message.exchange, message.is_mandatory) == ("org.a", b"{}", "", True)
    assert message.properties == {
        "message_id": "1",
        "type": "t",
        "headers": {"a": 1, "BCC": ["q.parked"]},
        "delivery_mode": 2,
    }


def test_of_a_traceback_the_end_is_kept() -> None:
    """All headers have to go into one frame."""
    failure = Failure("E: no", "x" * 20_000 + "the end", 3, 1, 2)

    told = reasons(failure, hub="h", consumer="C")

    assert told["x-glasshub-traceback"].endswith("xthe end")
    assert len(told["x-glasshub-traceback"]) == 4000
    assert (told["x-glasshub-hub"], told["x-glasshub-consumer"], told["x-glasshub-attempts"]) == ("h", "C", 3)
