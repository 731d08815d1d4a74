# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is published over AMQP is confirmed once, by its own number, or its publisher hears why not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from glasshub.amqp import publisher as publisher_module
from glasshub.amqp.backoff import Backoff
from glasshub.amqp.publisher import TIMEOUT, AmqpPublisher
from glasshub.amqp.settings import AmqpSettings
from glasshub.amqp.wire import Outgoing
from glasshub.errors import PublishError

from ..fakes import PATIENCE
from ..needs import module

pika = module("pika")


class FakeLink:
    """Calls what is to be called at once, in the thread of the test."""

    def __init__(self, name: str, settings: AmqpSettings, client: AmqpPublisher, backoff: Backoff) -> None:
        self.backoff = backoff
        self.is_connected = self.is_blocked = False
        self.is_stopped = False
        self.delayed: list[Callable[[], None]] = []

    def start(self) -> None: ...

    def is_alive(self) -> bool:
        return not self.is_stopped

    def call(self, function: Callable[[], None]) -> None:
        function()

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        self.delayed.append(function)

    def stop(self, timeout: float) -> None:
        self.is_stopped = True


class FakeConnection:
    """Opens channels, and remembers what was published on each."""

    is_open = True

    def __init__(self) -> None:
        self.channels: list[FakeChannel] = []
        self.unblocked: Callable[..., None] = lambda *_: None

    def add_on_connection_unblocked_callback(self, callback: Callable[..., None]) -> None:
        self.unblocked = callback

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        self.channels.append(FakeChannel())
        on_open_callback(self.channels[-1])


class FakeChannel:
    """Remembers what was published, and answers as it is told to."""

    def __init__(self) -> None:
        self.is_open = True
        self.published: list[str] = []
        self.exchanges: list[str] = []

    def add_on_close_callback(self, callback: Callable[..., None]) -> None:
        self._closed = callback

    def add_on_return_callback(self, callback: Callable[..., None]) -> None:
        self._returned = callback

    def confirm_delivery(self, confirmed: Callable[..., None], callback: Callable[..., None]) -> None:
        self._confirmed = confirmed
        callback(None)

    def basic_publish(self, exchange: str, topic: str, body: bytes, properties: Any, mandatory: bool) -> None:
        self.published.append(properties.message_id)
        self.exchanges.append(exchange)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self._confirmed(SimpleNamespace(method=pika.spec.Basic.Ack(tag, multiple)))

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        self._confirmed(SimpleNamespace(method=pika.spec.Basic.Nack(tag, multiple)))

    def bring_back(self, message_id: str, topic: str = "org.test") -> None:
        method = pika.spec.Basic.Return(312, "NO_ROUTE", "amq.topic", topic)
        self._returned(self, method, pika.BasicProperties(message_id=message_id), b"")

    def close(self, code: int = 404, text: str = "NOT_FOUND") -> None:
        self.is_open = False
        self._closed(self, pika.exceptions.ChannelClosedByBroker(code, text))


class Desk:
    """A publisher, and the connection that it thinks it has."""

    def __init__(self, **more: Any) -> None:
        self.publisher = AmqpPublisher(AmqpSettings(), **more)
        self.connection = FakeConnection()

    @property
    def link(self) -> FakeLink:
        return cast(FakeLink, self.publisher._link)

    @property
    def channel(self) -> FakeChannel:
        return self.connection.channels[-1]

    def connect(self) -> FakeChannel:
        if self.publisher._link is not None:
            self.link.is_connected = True
        self.publisher.connected(self.connection)
        return self.channel

    def submit(self, *names: str, **more: Any) -> list[Any]:
        return [self.publisher.submit(message(name, **more)) for name in names]


def message(name: str, **more: Any) -> Outgoing:
    return Outgoing("org.test", b"{}", {"message_id": name}, **more)


@pytest.fixture(autouse=True)
def _no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "Link", FakeLink)


def done(futures: list[Any]) -> list[bool]:
    return [future.done() for future in futures]


def test_confirms_are_matched_by_number_in_whatever_order_they_come() -> None:
    desk = Desk()
    futures = desk.submit("a", "b", "c", "d")
    channel = desk.connect()
    assert channel.published == ["a", "b", "c", "d"]

    channel.ack(3)
    assert done(futures) == [False, False, True, False]
    channel.ack(2, multiple=True)
    assert done(futures) == [True, True, True, False]
    channel.ack(0, multiple=True)  # all that there are

    assert [future.result(0) for future in futures] == [None] * 4
    assert (desk.publisher.published, desk.publisher.failures) == (4, 0)


def test_a_message_that_the_broker_refuses_fails_and_its_neighbours_do_not() -> None:
    desk = Desk()
    futures = desk.submit("a", "b", "c", "d")
    channel = desk.connect()

    channel.ack(1)
    channel.nack(3, multiple=True)
    channel.ack(4)

    errors = [future.exception(0) for future in futures]
    assert [error and error.reason for error in errors] == [None, "refused", "refused", None]
    assert [(e.topic, e.message_id, e.may_be_there) for e in errors if e] == [
        ("org.test", "b", False),
        ("org.test", "c", False),
    ]
    assert (desk.publisher.published, desk.publisher.failures) == (2, 2)


def test_what_was_not_confirmed_is_published_again_in_its_order_with_its_id() -> None:
    desk = Desk()
    futures = desk.submit("a", "b", "c")
    channel = desk.connect()
    channel.ack(2)
    desk.link.is_blocked = True
    futures += desk.submit("d")

    desk.publisher.lost()
    desk.link.is_blocked = False
    futures += desk.submit("e")
    desk.connection = FakeConnection()
    second = desk.connect()

    assert second.published == ["a", "c", "d", "e"]
    second.ack(4, multiple=True)
    assert all(done(futures))


def test_what_nobody_waits_for_any_more_is_not_published_again() -> None:
    desk = Desk()
    waiting = desk.submit("a", "b")
    desk.connect()
    sent = desk.submit("c")
    desk.publisher.lost()

    waiting[0].cancel()
    sent[0].cancel()
    desk.connection = FakeConnection()

    assert desk.connect().published == ["b"]


def test_a_channel_that_is_closed_costs_the_message_that_it_is_closed_for_and_no_other() -> None:
    """The broker does not say which message that was: each that may be it is alone on the next channel."""
    desk = Desk()
    futures = desk.submit("a", "bad", "c", "d")
    desk.connect()

    desk.channel.close()
    assert desk.channel.published == ["a"]
    desk.channel.ack(1)
    assert desk.channel.published == ["a", "bad"]
    desk.channel.close(403, "ACCESS_REFUSED")
    assert desk.channel.published == ["c"]
    desk.channel.ack(1)
    desk.channel.ack(2)
    futures += desk.submit("e", "f")

    assert desk.channel.published == ["c", "d", "e", "f"]
    desk.channel.ack(4, multiple=True)
    errors = [future.exception(0) for future in futures]
    assert [error and error.reason for error in errors] == [None, "forbidden", None, None, None, None]
    assert "ACCESS_REFUSED (403): have the broker's administrator permit it" in str(errors[1])


def test_nobody_is_blamed_for_a_message_that_nobody_waits_for_any_more() -> None:
    desk = Desk()
    futures = desk.submit("bad", "b")
    desk.connect()
    futures[0].cancel()

    desk.channel.close()
    desk.channel.ack(1)

    assert desk.channel.published == ["b"]
    assert futures[1].result(0) is None


def test_a_suspect_that_nobody_waits_for_any_more_holds_nobody_up() -> None:
    desk = Desk()
    futures = desk.submit("a", "b")
    desk.connect()
    desk.channel.close()

    for future in futures:
        future.cancel()
    desk.submit("c", "d")

    assert desk.channel.published == ["a", "c", "d"]


def test_a_channel_that_is_closed_for_nothing_is_opened_again_after_a_while() -> None:
    desk = Desk()
    desk.submit("a")
    desk.connect().ack(1)

    desk.channel.close(541, "INTERNAL_ERROR")
    futures = desk.submit("b")
    assert len(desk.connection.channels) == 1
    desk.link.delayed.pop()()

    assert desk.channel.published == ["b"]
    desk.channel.ack(1)
    assert done(futures) == [True]


def test_a_message_that_comes_back_has_no_queue() -> None:
    desk = Desk()
    futures = desk.submit("a", "a", "a", "b", is_mandatory=True)
    channel = desk.connect()

    for name in ("a", "a", "b"):
        channel.bring_back(name)
    channel.ack(4, multiple=True)

    reasons = [error and error.reason for error in (future.exception(0) for future in futures)]
    assert reasons == ["unroutable", "unroutable", None, "unroutable"]


def test_a_message_goes_to_its_own_exchange_or_to_the_configured_one() -> None:
    desk = Desk()
    desk.submit("a")
    desk.submit("b", exchange="")

    assert desk.connect().exchanges == ["amq.topic", ""]


def test_nothing_is_sent_to_a_broker_that_takes_nothing_until_it_does() -> None:
    desk = Desk()
    desk.submit("a")
    channel = desk.connect()
    desk.link.is_blocked = True
    desk.submit("b")
    assert channel.published == ["a"]

    desk.link.is_blocked = False
    desk.connection.unblocked()

    assert channel.published == ["a", "b"]


@pytest.mark.parametrize(
    ("state", "reason", "may_be_there", "advice"),
    [
        ({}, "unreachable", False, "no connection to the broker: see amqp_url, and the log"),
        ({"is_connected": True}, "timeout", False, "has not confirmed it"),
        ({"is_connected": True, "is_blocked": True}, "blocked", False, "lacks memory or disk"),
    ],
)
def test_what_takes_too_long_says_why(state: dict[str, bool], reason: str, may_be_there: bool, advice: str) -> None:
    desk = Desk(timeout=0.01)
    desk.submit("first")
    vars(desk.link).update(state)

    with pytest.raises(PublishError, match=advice) as caught:
        desk.publisher.send(message("a"))

    assert (caught.value.reason, caught.value.may_be_there) == (reason, may_be_there)
    assert desk.publisher.failures == 1


def test_what_was_sent_and_not_confirmed_in_time_may_be_there_and_a_late_confirm_harms_nobody() -> None:
    desk = Desk(timeout=0.01)
    first = desk.submit("first")
    channel = desk.connect()

    with pytest.raises(PublishError, match="may have been published nevertheless") as caught:
        desk.publisher.send(message("a"))
    channel.ack(2, multiple=True)

    assert (caught.value.reason, caught.value.may_be_there) == ("timeout", True)
    assert done(first) == [True]
    assert (desk.publisher.published, desk.publisher.failures) == (1, 1)


def test_a_broker_that_is_back_is_found_before_a_message_runs_out_of_time() -> None:
    desk = Desk()
    desk.submit("a")

    assert max(desk.link.backoff.delay() for _ in range(100)) < TIMEOUT / 4


def test_no_more_than_so_many_are_on_their_way() -> None:
    desk = Desk(most=2, timeout=0.01)
    futures = desk.submit("a", "b")
    channel = desk.connect()

    with pytest.raises(PublishError):
        desk.submit("c")
    channel.ack(1)
    desk.submit("d")
    with pytest.raises(PublishError):
        desk.submit("e")

    assert channel.published == ["a", "b", "d"]
    assert done(futures) == [True, False]


def test_who_waits_for_room_goes_on_when_there_is_some() -> None:
    desk = Desk(most=1)
    desk.submit("a")
    channel = desk.connect()
    thread = threading.Thread(target=lambda: desk.submit("b"))
    thread.start()

    channel.ack(1)
    thread.join(PATIENCE)

    assert channel.published == ["a", "b"]


def test_a_publisher_that_is_closed_tells_everybody_and_takes_nothing_more() -> None:
    desk = Desk()
    futures = desk.submit("sent")
    desk.connect()
    desk.channel.is_open = False
    futures += desk.submit("waiting")

    desk.publisher.close()
    desk.publisher.close()

    errors = [future.exception(0) for future in futures]
    assert [(error.reason, error.may_be_there) for error in errors if error] == [("closed", True), ("closed", False)]
    assert desk.link.is_stopped
    with pytest.raises(PublishError, match="the publisher is closed"):
        desk.publisher.send(message("a"))


def test_a_publisher_whose_thread_has_ended_says_so_at_once() -> None:
    """So it is in a process that a consumer forks, too: it has the publisher, and none of its threads."""
    desk = Desk()
    desk.submit("a")
    desk.link.is_stopped = True

    with pytest.raises(PublishError, match="its thread has ended") as caught:
        desk.publisher.send(message("b"))

    assert (caught.value.reason, caught.value.may_be_there) == ("closed", False)


def test_a_publisher_that_has_published_nothing_has_connected_to_nobody() -> None:
    publisher = AmqpPublisher(AmqpSettings())

    publisher.open()
    publisher.close()

    assert publisher._link is None


@pytest.mark.parametrize(
    ("topic", "body", "complaint"),
    [
        (b"a" * 256, b"{}", "a topic may have 255 bytes on this bus: shorten it"),
        (b"\xff", b"{}", "utf-8"),
        (b"a", b"\xff", "it must be JSON, in UTF-8"),
    ],
)
def test_what_this_bus_has_no_form_for_is_refused_before_anything_is_sent(
    topic: bytes, body: bytes, complaint: str
) -> None:
    desk = Desk()

    with pytest.raises(PublishError, match=complaint) as caught:
        desk.publisher.publish(topic, body)

    assert caught.value.reason == "invalid"
    assert desk.publisher._link is None


def test_the_prefix_and_the_priority_of_the_configuration_are_those_of_fedora_messaging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = AmqpPublisher(AmqpSettings(topic_prefix="org.site", publish_priority=3), timeout=0.01)
    found: list[Outgoing] = []
    monkeypatch.setattr(publisher, "send", found.append)

    publisher.publish(b"a.b", b'{"c": 1}')

    (outgoing,) = found
    assert (outgoing.topic, outgoing.body, outgoing.exchange) == ("org.site.a.b", b'{"c":1}', None)
    assert (outgoing.properties["priority"], outgoing.properties["headers"]["priority"]) == (3, 3)


def test_failures_are_logged_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(timeout=0.001)
    for name in "abc":
        with pytest.raises(PublishError):
            desk.publisher.send(message(name))

    (record,) = caplog.records
    assert "cannot publish 'org.test' (a): there is no connection" in record.getMessage()
    assert desk.publisher.failures == 3
