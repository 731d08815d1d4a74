# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parts of a subscription that a real broker does not show: who is called when, and what a broker never says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pika import exceptions
from pika.adapters.utils import connection_workflow

from glasshub.amqp import refusals
from glasshub.amqp.intake import Delivery, Intake
from glasshub.amqp.link import Link
from glasshub.amqp.settings import AmqpSettings
from glasshub.amqp.subscription import Subscription
from glasshub.amqp.topology import Queue
from glasshub.config import Config
from glasshub.errors import HubError
from glasshub.sources.fedora_messaging import FedoraMessagingSource


class Timers:
    """Stands for a link: what is to be called soon, and what later."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call(self, function: Callable[[], None]) -> None:
        """Note it."""
        self.soon.append(function)

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Note it."""
        self.timers.append((seconds, function))


class SilentChannel:
    """Stands for a channel of a broker that answers nothing."""

    is_open = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **more: None


class SilentConnection:
    """Opens such a channel."""

    is_open = True

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        """Open it at once."""
        on_open_callback(SilentChannel())


class AgreeableChannel:
    """Stands for a channel of a broker that agrees to everything at once, and brings what the test wants."""

    is_open = True

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self._deliver: Callable[..., None]
        self._tag = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def agree(*arguments: Any, callback: Callable[[Any], None] | None = None, **more: Any) -> None:
            if callback is not None:
                callback(SimpleNamespace(method=SimpleNamespace(queue="q")))

        return agree

    def basic_consume(
        self, queue: str, deliver: Callable[..., None], consumer_tag: str, callback: Callable[[Any], None]
    ) -> None:
        """Note who subscribes."""
        self._deliver = deliver
        callback(None)

    def basic_cancel(self, tag: str, callback: Callable[[Any], None]) -> None:
        """Note it, and leave them without an answer."""
        self.cancelled.append(tag)

    def bring(self, count: int) -> None:
        """Bring messages."""
        properties = SimpleNamespace(message_id=None, headers=None, content_encoding=None)
        for _ in range(count):
            self._tag += 1
            method = SimpleNamespace(delivery_tag=self._tag, redelivered=False, routing_key="a.b")
            self._deliver(self, method, properties, b"{}")


class Finisher:
    """Has finished with each message when it is told of it; see `Receiver`."""

    def received(self, delivery: Delivery) -> None:
        """Finish with it."""
        delivery.intake.acknowledge(delivery.tag)

    def malformed(self, size: int) -> None:
        """There is none."""

    def forgotten(self, intake: Intake) -> None:
        """Nothing is."""


def intake(timers: Timers, *, batch: int) -> Intake:
    found = Intake(Queue("q", 0), cast(Link, timers), lambda: None)
    found.batch = batch
    for tag in range(1, 100):
        found.take(tag)
    return found


def test_what_fills_a_batch_of_acknowledgements_goes_out_at_once() -> None:
    timers = Timers()
    one = intake(timers, batch=1)

    one.acknowledge(1)

    assert timers.soon == [one._settle]


def test_what_fills_none_waits_for_others_and_wakes_the_link_once() -> None:
    timers = Timers()
    one = intake(timers, batch=25)

    for tag in range(1, 25):
        one.acknowledge(tag)
    (arm,) = timers.soon
    arm()
    ((seconds, settle),) = timers.timers
    assert seconds <= 0.005
    assert settle is one._settle

    for tag in range(25, 60):
        one.acknowledge(tag)
    assert timers.soon[1:] == [one._settle]
    assert one.close() == (59, 59, [])


def test_an_acknowledgement_for_a_channel_that_is_closed_comes_to_nothing() -> None:
    timers = Timers()
    one = intake(timers, batch=1)
    one.is_open = False

    one.acknowledge(1)

    assert timers.soon == []


def test_what_is_to_be_tried_again_clogs_the_places_of_its_own_subscriber() -> None:
    one = intake(Timers(), batch=1)
    for tag in (1, 2, 1000):
        one.put_off(tag)
    assert (one.delayed, one.clogged) == (2, 2)

    one.begin()
    one.take(100)
    assert (one.delayed, one.clogged, one.used, one.lingering) == (2, 0, 1, 1)

    one.acknowledge(1)
    one.close()
    assert (one.delayed, one.used) == (1, 1)


def test_another_number_is_asked_for_only_when_nothing_can_be_on_its_way() -> None:
    """pika would reject what comes for a subscriber that is gone, and the broker count that as a delivery."""
    channel = AgreeableChannel()
    connection = SimpleNamespace(is_open=True, channel=lambda on_open_callback: on_open_callback(channel))
    link = cast(Link, Timers())
    subscription = Subscription(Queue("q", 0), link, Finisher(), passive=False, workers=1, most=1000)
    subscription.open(connection)
    assert subscription.prefetch == 2

    def work(at_once: int) -> None:
        deadline = time.monotonic() + 0.2
        while not channel.cancelled and time.monotonic() < deadline:
            channel.bring(at_once)
            subscription.settle()

    work(1)
    assert channel.cancelled == []
    work(2)
    assert len(channel.cancelled) == 1
    assert subscription.prefetch > 2


def test_a_broker_that_allows_too_few_channels_is_spoken_of_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(on_open_callback: Callable[[Any], None]) -> None:
        raise exceptions.NoFreeChannels

    timers = Timers()
    connection = SimpleNamespace(is_open=True, channel=refuse)
    subscription = Subscription(Queue("q", 0), cast(Link, timers), Finisher(), passive=False, workers=1, most=10)

    subscription.open(connection)
    ((_, reopen),) = timers.timers
    connection.channel = lambda on_open_callback: on_open_callback(AgreeableChannel())
    reopen()

    assert subscription.is_consuming
    assert subscription.faults == 1
    assert "queue q: the broker allows no more channels, and each queue needs one: raise its channel_max" in caplog.text


def test_a_broker_that_does_not_answer_is_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    timers = Timers()
    subscription = Subscription(Queue("q", 0), cast(Link, timers), cast(Any, None), passive=False, workers=1, most=10)

    subscription.open(SilentConnection())
    ((_, overdue),) = timers.timers
    overdue()

    assert subscription.faults == 1
    assert "queue q: the broker does not answer: cannot declare queue q: waiting for it" in caplog.text


def test_a_source_that_was_never_opened_can_be_closed() -> None:
    FedoraMessagingSource(Config(), AmqpSettings()).close()


def test_a_hub_does_not_outlive_the_thread_that_speaks_with_its_broker() -> None:
    source = FedoraMessagingSource(Config(), AmqpSettings())
    source._link.error = RuntimeError("nobody has thought of this")

    with pytest.raises(HubError, match="nobody has thought of this"):
        source.receive(0, 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.StreamLostError("Transport indicated EOF"), "it ended (Transport indicated EOF)"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "it does not answer"),
        (exceptions.AMQPHeartbeatTimeout("No activity"), "no sign of life"),
        (exceptions.ProbableAuthenticationError("(403)"), "check user and password in amqp_url"),
        (exceptions.ProbableAccessDeniedError("(530) vhost x"), "(530) vhost x"),
        (exceptions.IncompatibleProtocolError("HTTP"), "check the port in amqp_url"),
        (exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"), "CONNECTION_FORCED - shutdown"),
        (connection_workflow.AMQPConnectorStackTimeout("Timeout"), "it does not answer"),
        ("why ever", "why ever"),
        (KeyError(), "KeyError()"),
    ],
)
def test_an_operator_reads_what_is_wrong_however_deep_pika_wraps_it(error: Any, words: str) -> None:
    assert words in refusals.of_connection(error)
    wrapped = connection_workflow.AMQPConnectionWorkflowFailed(
        [connection_workflow.AMQPConnectorSocketConnectError(error)]
    )
    assert words in refusals.of_connection(exceptions.AMQPConnectionError(wrapped))


def test_a_message_that_takes_longer_than_the_broker_waits_is_known() -> None:
    error = exceptions.ChannelClosedByBroker(
        406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"
    )

    assert "raise its consumer_timeout" in refusals.of_queue("go on", error)
