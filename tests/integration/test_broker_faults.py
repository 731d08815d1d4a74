# SPDX-License-Identifier: LGPL-2.1-or-later
"""The source on a real RabbitMQ that fails in each way that it can: said once, counted, seen, and gone afterwards."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from glasshub.amqp.settings import AmqpSettings, Binding
from glasshub.config import ConsumerSection
from glasshub.message import Frame
from tools.rabbitmq import Broker

from .brokers import await_hubs, channel_of, depth, publish, publish_many, settings_file, unacknowledged
from .hubs import hub_on, wait_until
from .subscribers import Subscriber, subscriber

EVERYTHING = "tests.integration.consumers:Everything"

#: What no operator wants to see.
TRACEBACK = "Traceback (most recent call last)"


class Cable:
    """A way to a broker that can be cut: a port of its own, from which all goes to that of the broker."""

    def __init__(self, broker: Broker) -> None:
        self._target = broker.port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = broker.url.replace(str(broker.port), str(self._server.getsockname()[1]))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Cut all connections; another one can be made."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut it, for good."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._carry, args=(one, other))
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def cable(broker: Broker) -> Iterator[Cable]:
    """A cable for as long as the test lasts."""
    with closing(Cable(broker)) as cable:
        yield cable


@contextmanager
def user(broker: Broker, *, configure: str = ".*", write: str = ".*", read: str = ".*") -> Iterator[str]:
    """A user who may do that; the URL with which to log in."""
    broker.control("add_user", "somebody", "secret")
    try:
        broker.control("set_permissions", "somebody", configure, write, read)
        yield broker.url.replace("guest:guest", "somebody:secret")
    finally:
        broker.control("delete_user", "somebody")


def said(caplog: pytest.LogCaptureFixture, *words: str) -> int:
    """How many lines of the log have all these words."""
    return sum(all(word in record.getMessage() for word in words) for record in caplog.records)


def consumes(broker: Broker, found: Subscriber) -> None:
    """See that what is published comes."""
    found.wait_until_consuming()
    msg_id = publish(broker, found.prefix, {"again": True})
    while True:
        (frame,) = found.receive(1)
        found.finish([frame])
        if msg_id.encode() in frame.body:
            return


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_connection_that_is_cut_is_made_again(broker: Broker, cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    with subscriber(broker, urls=[cable.url], prefetch=4, sections={"Consumer": ConsumerSection(workers=2)}) as found:
        publish_many(broker, 4, found.prefix)
        before = found.receive(2)
        found.wait_until(lambda state: state.unacknowledged == 4, "as many to come as may")

        cable.cut()
        wait_until(lambda: found.source.state().disconnects, "the connection to be lost")
        found.finish(before)  # comes to nothing: these messages come again

        after = found.receive(4)
        assert [_number(frame) for frame in after] == [0, 1, 2, 3]
        assert found.state().redelivered == 4
        assert (found.source.state().connected, found.source.state().lost_ns) == (1, 0)
        found.finish(after)
        wait_until(lambda: unacknowledged(broker, found.queues[0]) == 0, "all to be acknowledged")
        assert depth(broker, found.queues[0]).ready == 0
    assert said(caplog, "lost the connection to 127.0.0.1") == 1


def test_what_waits_for_the_enqueuer_is_forgotten_with_its_connection(broker: Broker, cable: Cable) -> None:
    with subscriber(broker, urls=[cable.url], acknowledge="spooled") as found:
        publish_many(broker, 100, found.prefix)
        found.wait_until(lambda state: state.unacknowledged == 100, "all to be here")

        cable.cut()
        wait_until(lambda: found.source.state().disconnects, "the connection to be lost")

        assert len({frame.body for frame in found.receive(100)}) == 100
        found.receive_no_more()


@pytest.mark.slow
def test_a_broker_that_hangs_is_left_and_found_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with subscriber(broker, urls=[broker.url + "?heartbeat=1"]) as found:
        with stopped(broker):
            wait_until(lambda: found.source.state().lost, "the heartbeat to be missed")
            assert found.source.state().connected == 0
            assert not found.state().is_consuming

        consumes(broker, found)
    assert said(caplog, "lost the connection", "heartbeat") == 1


def test_closing_does_not_wait_for_a_broker_that_hangs(broker: Broker) -> None:
    with subscriber(broker) as found, stopped(broker):
        began = time.monotonic()
        found.source.finish()
        found.source.close()
        assert time.monotonic() - began < 4
        assert "amqp" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.slow
def test_a_hub_lives_through_whatever_its_broker_does(broker: Broker, tmp_path: Path) -> None:
    """Not there when the hub starts; stopped in good order; killed."""
    broker.stop()
    settings = settings_file(tmp_path, broker)
    with hub_on(None, tmp_path, "--fedora-messaging", str(settings), "--consumer", EVERYTHING) as hub:
        wait_until(lambda: "cannot connect" in hub.said(), "the hub to say that there is no broker")
        assert hub.snapshot().hub.connected == 0
        for count, end in enumerate((broker.stop, broker.kill), 1):
            broker.start()
            hub.wait_until(lambda snapshot: snapshot.hub.connected, "the hub to find its broker")
            await_hubs(broker, "h.Everything")
            publish(broker, "org.life", {})
            hub.wait_until_finished(count)
            end()
            hub.wait_until(lambda snapshot: not snapshot.hub.connected, "the hub to lose its broker")
            assert hub.snapshot().hub.disconnects == count

        assert hub.stop() == 0
        broker.start()
    assert hub.said().count("cannot connect") == 1
    assert hub.said().count("lost the connection") == 2
    assert "CONNECTION_FORCED" in hub.said() or "shutdown" in hub.said()
    assert TRACEBACK not in hub.said()
    assert "pika" not in hub.said()


def test_brokers_are_tried_in_turn(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    gone = f"amqp://127.0.0.1:{port}/"
    unknown = "amqp://no-such-host.invalid/"
    with subscriber(broker, urls=[gone, unknown, broker.url]) as found:
        consumes(broker, found)
        assert found.source.state().faults == 2
    assert said(caplog, f"cannot connect to 127.0.0.1:{port}", "Connection refused", "trying again") == 1
    assert said(caplog, "cannot connect to no-such-host.invalid", "name is not known") == 1


def test_a_queue_that_is_another_one_is_spoken_of_and_the_others_go_on(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with subscriber(broker, "One", "Other") as found:
        found.source.finish()
        found.source.close()
        with channel_of(broker) as channel:
            channel.queue_delete(found.queues[0])
            channel.queue_declare(found.queues[0], durable=True)

        with again(found) as second:
            wait_until(lambda: second.source.state().queues[1].is_consuming, "the other queue to be consumed")
            wait_until(lambda: second.source.state().faults > 1, "the queue to be tried again")
            publish(broker, found.prefix, {})
            assert [frame.addressee for frame in second.receive(1)] == [1]
            assert not second.state(0).is_consuming
            with channel_of(broker) as channel:
                channel.queue_delete(found.queues[0])

            second.wait_until_consuming()
    words = (f"queue {found.queues[0]}: cannot declare queue", "inequivalent arg", "delete_queue", "trying again")
    assert said(caplog, *words) == 1


def test_a_queue_that_is_deleted_is_made_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with subscriber(broker, acknowledge="spooled") as found:
        publish_many(broker, 10, found.prefix)
        frames = found.receive(4)
        with channel_of(broker) as channel:
            channel.queue_delete(found.queues[0])
        wait_until(lambda: found.source.state().faults, "the hub to hear of it")
        found.wait_until_consuming()

        frames += found.receive(6)  # what had come is not lost
        found.finish(frames)

        consumes(broker, found)
        assert found.source.state().faults == 1
        assert found.source.state().disconnects == 0
        found.wait_until(lambda state: state.unacknowledged == 0, "all to be acknowledged")
    assert said(caplog, "the queue was deleted") == 1


def test_a_login_that_is_refused_is_tried_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    url = broker.url.replace("guest:guest", "somebody:secret")
    with subscriber(broker, urls=[url], waits=False) as found:
        wait_until(lambda: found.source.state().faults, "the login to be refused")

        with user(broker):
            consumes(broker, found)
    assert said(caplog, "refuses the login: check user and password in amqp_url") == 1
    assert said(caplog, "secret") == 0


def test_a_virtual_host_that_is_not_there_is_spoken_of(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with subscriber(broker, urls=[broker.url + "nowhere"], waits=False) as found:
        wait_until(lambda: found.source.state().faults, "the virtual host to be refused")
    assert said(caplog, "refuses the virtual host", "nowhere", "check it in amqp_url") == 1


@pytest.mark.parametrize(
    ("may_not", "words"),
    [
        ("configure", ["cannot declare queue", "access to queue", "set_permissions"]),
        ("write", ["cannot bind queue", "to exchange amq.topic", "set_permissions"]),
        ("read", ["set_permissions"]),
    ],
)
def test_a_permission_that_is_refused_is_of_one_queue(
    broker: Broker, caplog: pytest.LogCaptureFixture, may_not: str, words: Sequence[str]
) -> None:
    with subscriber(broker, "One", "Other") as found:
        found.source.finish()
        found.source.close()
        first = found.queues[0].replace(".", "[.]")
        with user(broker, **{may_not: f"^(?!{first}$).*"}) as url, again(found, url) as second:
            wait_until(lambda: second.source.state().queues[1].is_consuming, "the other queue to be consumed")
            wait_until(lambda: second.source.state().faults, "the first one to be refused")
            publish(broker, found.prefix, {})
            assert [frame.addressee for frame in second.receive(1)] == [1]

            broker.control("set_permissions", "somebody", ".*", ".*", ".*")

            second.wait_until_consuming()
    assert said(caplog, f"queue {found.queues[0]}: ", *words) == 1


def test_an_exchange_that_is_not_there_is_spoken_of(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    settings = AmqpSettings(bindings=[Binding("", "no.exchange", ["#"])])
    with subscriber(broker, settings=settings, waits=False) as found:
        wait_until(lambda: found.source.state().faults, "a fault")
        with channel_of(broker) as channel:
            channel.exchange_declare("no.exchange", "topic", auto_delete=True)

        found.wait_until_consuming()
    assert said(caplog, "cannot bind queue", "no.exchange", "make it on the broker") == 1


def test_an_alarm_of_the_broker_does_not_keep_messages_from_being_finished(broker: Broker) -> None:
    with subscriber(broker) as found:
        publish_many(broker, 20, found.prefix)
        broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            found.work_off(20)

            wait_until(lambda: unacknowledged(broker, found.queues[0]) == 0, "all to be acknowledged")
            assert depth(broker, found.queues[0]).ready == 0
        finally:
            broker.control("set_vm_memory_high_watermark", "0.4")


@contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    """The broker says and hears nothing, for as long as the context lasts."""
    os.killpg(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(broker.pid, signal.SIGCONT)


@contextmanager
def again(found: Subscriber, url: str = "") -> Iterator[Subscriber]:
    """The same one, once more."""
    second = found.another(url)
    try:
        yield second
    finally:
        second.source.finish()
        second.source.close()


def _number(frame: Frame) -> int:
    number: int = json.loads(frame.body)["msg"]["number"]
    return number
