# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is published through a hub, or by a script, on a real RabbitMQ: it is there, or the publisher knows better."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasshub import Publisher, PublishError
from glasshub.amqp.publisher import AmqpPublisher
from glasshub.amqp.settings import AmqpSettings
from glasshub.amqp.wire import Outgoing
from tools.rabbitmq import Broker

from ..needs import module
from .brokers import EXCHANGE, channel_of, depth, hub_on_broker, publish, publish_many, settings_file
from .hubs import DEADLINE, ROOT, Bus, HubProcess, hub_on, listener, wait_until
from .old_site import ENABLED, noted

HERE = "tests.integration.speakers"

in_both = pytest.mark.parametrize("shape", ["threads", "processes"])


@pytest.fixture
def answers(broker: Broker) -> Iterator[str]:
    """A queue into which goes what is published in a test."""
    with bound(broker, "answers", "org.answer.#") as queue:
        yield queue


@contextmanager
def bound(broker: Broker, queue: str, key: str, **arguments: Any) -> Iterator[str]:
    """A durable queue with a binding, for as long as the context lasts."""
    with channel_of(broker) as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.queue_bind(queue, EXCHANGE, key)
    yield queue
    with channel_of(broker) as channel:
        channel.queue_delete(queue)


def received(broker: Broker, queue: str) -> list[Any]:
    """All that is in a queue, as fedora-messaging's own consumer would get it: it validates each message."""
    get_message = module("fedora_messaging.message").get_message
    found: list[Any] = []
    with channel_of(broker) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(get_message(method.routing_key, properties, body))


def wait_for_depth(broker: Broker, queue: str, count: int) -> None:
    wait_until(lambda: depth(broker, queue).ready == count, f"{count} messages in {queue}")


@contextmanager
def native(broker: Broker, directory: Path, name: str, shape: str, *, more: str = "") -> Iterator[HubProcess]:
    """A hub on the broker with one of `speakers`, which answers."""
    toml = f'[consumers.{name}]\nclass = "{HERE}:{name}"\nsettings = {{topic = "org.answer.native"}}\n{more}'
    arguments = ["--shape", shape, "--consumer", f"{HERE}:{name}"]
    with hub_on_broker(broker, directory, *arguments, queues=[f"{shape}.{name}"], toml=toml, name=shape) as hub:
        yield hub


@contextmanager
def fedmsgs(
    broker: Broker, directory: Path, shape: str, *, producers: Sequence[str] = (), more: str = "", **settings: Any
) -> Iterator[HubProcess]:
    """A hub on the broker with the consumer of fedmsg's, and producers."""
    file = directory / "fedmsg-config.py"
    config = {ENABLED: True, "validate_signatures": False, "environment": "dev", "endpoints": {}}
    file.write_text(f"config = {config!r}\n", encoding="utf-8")
    toml = f'[fedmsg]\nconfig = ["{file}"]\n{more}'
    arguments = ["--shape", shape, "--with-consumers", f"{HERE}:Old"]
    arguments += ["--with-producers", ",".join(f"{HERE}:{producer}" for producer in producers)]
    queues = [f"{shape}.Old"]
    with hub_on_broker(broker, directory, *arguments, queues=queues, toml=toml, name=shape, **settings) as hub:
        yield hub


@pytest.mark.parametrize(("shape", "name"), [("threads", "Native"), ("processes", "Native"), ("processes", "Threaded")])
def test_what_a_native_consumer_publishes_is_there_when_it_has_finished(
    broker: Broker, answers: str, tmp_path: Path, shape: str, name: str
) -> None:
    with native(broker, tmp_path, name, shape) as hub:
        publish_many(broker, 20, "org.ask.x")
        hub.wait_until_finished(20)
        found = received(broker, answers)
        assert hub.stop() == 0

    assert sorted(message.body["number"] for message in found) == list(range(20))
    assert {message.topic for message in found} == {"org.answer.native"}
    assert {(message.severity, message._headers["asked"]) for message in found} == {(30, True)}
    assert len({message.id for message in found}) == 20


@in_both
def test_what_a_consumer_and_a_producer_of_fedmsgs_send_is_there(
    broker: Broker, answers: str, tmp_path: Path, shape: str
) -> None:
    with fedmsgs(broker, tmp_path, shape, producers=["Polled"]) as hub:
        publish_many(broker, 20, "org.ask.x")
        hub.wait_until_finished(20)
        wait_until((tmp_path / "polled").exists, "the producer to have published")
        found = received(broker, answers)
        assert hub.stop() == 0

    old = [message.body["number"] for message in found if message.topic == "org.answer.old"]
    assert sorted(old) == list(range(20))
    polled = [message.body for message in found if message.topic == "org.answer.producer"]
    assert polled == [{"how": "send_message"}, {"how": "publish"}]


def test_a_message_that_cannot_be_published_fails_for_the_consumer_and_is_tried_again(
    broker: Broker, tmp_path: Path
) -> None:
    """A queue that is full and says so: the broker refuses what is published."""
    full = {"x-max-length": 0, "x-overflow": "reject-publish"}
    retried = native(broker, tmp_path, "Stubborn", "threads", more="retry = 2\nretry_delay = 0.01\n")
    with bound(broker, "full", "org.answer.#", **full), retried as hub:
        publish(broker, "org.ask.x", {"number": 1})
        snapshot = hub.wait_until(lambda s: s.consumers[0].failed == 1, "the last attempt to fail")
        assert hub.stop() == 0

    assert snapshot.consumers[0].retried == 2
    assert noted(tmp_path, "Stubborn") == [["refused", "org.answer.native"]] * 3
    assert "cannot publish 'org.answer.native'" in hub.said()


def test_a_script_publishes_with_a_configuration_and_knows_that_it_is_there(
    broker: Broker, answers: str, tmp_path: Path
) -> None:
    theirs = settings_file(tmp_path, broker, 'topic_prefix = "org.answer"\n[client_properties]\napp = "script"\n')
    (tmp_path / "glasshub.toml").write_text(
        f'[hub]\nsource = "fedora-messaging"\n[fedora-messaging]\nconfig = "{theirs}"\n', encoding="utf-8"
    )

    with Publisher.from_config(tmp_path / "glasshub.toml") as publisher:
        ids = [publisher.publish("script", {"number": number}) for number in range(3)]
        found = received(broker, answers)

    assert publisher.confirms
    assert [(m.id, m.topic, m.body) for m in found] == [(ids[n], "org.answer.script", {"number": n}) for n in range(3)]


def glasshub(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "glasshub", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
        env={"PYTHONPATH": str(ROOT / "hub"), "PATH": ""},
    )


def test_a_message_is_published_from_a_shell(broker: Broker, answers: str, tmp_path: Path) -> None:
    settings = str(settings_file(tmp_path, broker))
    more = ["--severity", "40", "--schema", "base.message", "--header", "who=me"]

    done = glasshub("publish", "org.answer.shell", "--fedora-messaging", settings, *more, text='{"a": [1]}')
    found = received(broker, answers)

    assert (done.returncode, done.stderr) == (0, "")
    (message,) = found
    assert (f"{message.id}\n", message.body, message.severity) == (done.stdout, {"a": [1]}, 40)
    assert message._headers["who"] == "me"


class Speakers:
    """Threads that publish numbers until they are told to end, or of an error.

    Attributes:
        count: How many they are.
        returned: What they have published, as far as they know.
        errors: What they were told.
    """

    def __init__(self, publisher: AmqpPublisher, count: int) -> None:
        self.count = count
        self.returned: list[int] = []
        self.errors: list[PublishError] = []
        self._publisher = publisher
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._say, args=[first]) for first in range(count)]
        for thread in self._threads:
            thread.start()

    def _say(self, first: int) -> None:
        for number in itertools.count(first, self.count):
            if self._is_over.is_set():
                return
            try:
                self._publisher.publish(b"org.answer.x", b'{"number": %d}' % number)
            except PublishError as error:
                self.errors.append(error)
                return
            self.returned.append(number)

    def wait_for(self, more: int) -> None:
        """Wait until so many more are published."""
        wanted = len(self.returned) + more
        wait_until(lambda: len(self.returned) >= wanted, f"{more} more to be published")

    def end(self) -> None:
        """Have them end, and wait for it."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(DEADLINE)


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back_while_it_is_published_to_loses_nothing(broker: Broker, answers: str) -> None:
    with out(broker, timeout=2 * DEADLINE) as publisher:
        speakers = Speakers(publisher, 4)
        for go in (broker.kill, broker.stop):
            speakers.wait_for(250)
            go()
            broker.start()
        speakers.wait_for(500)
        speakers.end()

    found = received(broker, answers)
    ids = {(message.id, message.body["number"]) for message in found}
    assert speakers.errors == []
    assert {number for _, number in ids} == set(speakers.returned)  # 0 lost
    assert len(ids) == len(speakers.returned)  # who comes again has the same id
    assert len(found) - len(ids) <= 2 * speakers.count  # those that were on their way, each time


def out(broker: Broker, *, timeout: float = DEADLINE, user: str = "", **settings: Any) -> Any:
    """A publisher, to be closed."""
    url = broker.url.replace("guest:guest", f"{user}:secret") if user else broker.url
    return closing(AmqpPublisher(AmqpSettings(urls=[url], **settings), timeout=timeout))


def test_what_no_queue_takes_is_published_as_fedora_messaging_does_unless_one_must(broker: Broker) -> None:
    with out(broker) as publisher:
        publisher.publish(b"org.nobody", b"{}")
        with pytest.raises(PublishError, match=r"NO_ROUTE \(312\)") as caught:
            publisher.send(Outgoing("org.nobody", b"{}", {"message_id": "7"}, is_mandatory=True))

    assert (caught.value.reason, caught.value.message_id) == ("unroutable", "7")


def test_an_exchange_that_is_not_there_harms_no_message_for_another(broker: Broker, answers: str) -> None:
    with out(broker) as publisher:
        good = [publisher.submit(Outgoing("org.answer.a", b"{}")) for _ in range(50)]
        bad = publisher.submit(Outgoing("org.answer.a", b"{}", exchange="nowhere"))
        good += [publisher.submit(Outgoing("org.answer.a", b"{}")) for _ in range(50)]
        error = bad.exception(DEADLINE)

        assert [future.result(DEADLINE) for future in good] == [None] * 100
    assert isinstance(error, PublishError)
    assert error.reason == "refused"
    assert "no exchange 'nowhere' in vhost '/' (404): see publish_exchange" in str(error)
    assert depth(broker, answers).ready >= 100


def test_who_may_not_publish_is_told_so(broker: Broker) -> None:
    broker.control("add_user", "reader", "secret")
    broker.control("set_permissions", "reader", ".*", "", ".*")
    with out(broker, user="reader") as publisher, pytest.raises(PublishError, match="ACCESS_REFUSED") as caught:
        publisher.publish(b"org.answer.a", b"{}")

    assert caught.value.reason == "forbidden"
    assert "have the broker's administrator permit it" in str(caught.value)


@contextmanager
def without_memory(broker: Broker) -> Iterator[None]:
    """The broker takes nothing that is published, for as long as the context lasts."""
    broker.control("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        broker.control("set_vm_memory_high_watermark", "0.6")


def test_a_broker_that_takes_nothing_is_an_error_in_time_and_what_waits_is_published_when_it_does(
    broker: Broker, answers: str
) -> None:
    with out(broker, timeout=1.0) as publisher:
        publisher.publish(b"org.answer.a", b'{"number": 0}')
        with without_memory(broker):
            began = time.monotonic()
            with pytest.raises(PublishError, match="takes no messages, for it lacks memory or disk") as caught:
                publisher.publish(b"org.answer.a", b'{"number": 1}')
            took = time.monotonic() - began
            waiting = publisher.submit(Outgoing("org.answer.a", b"{}"))
            assert not waiting.done()

        assert waiting.result(DEADLINE) is None
    assert (caught.value.reason, caught.value.may_be_there) == ("blocked", True)
    assert 0.9 < took < 3.0


@in_both
def test_a_hub_stops_in_time_though_a_consumer_waits_for_a_confirm_and_its_message_comes_again(
    broker: Broker, tmp_path: Path, shape: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with native(broker, tmp_path, "Waiting", shape, more="[hub]\ndrain_timeout = 0.5\n") as hub:
        publish(broker, "org.ask.x", {"number": 1})
        hub.wait_until(lambda snapshot: snapshot.consumers[0].in_flight == 1, "it to be at hand")
        with without_memory(broker):
            (tmp_path / "fifo").write_bytes(b"")
            began = time.monotonic()
            hub.stop()
            took = time.monotonic() - began
        snapshot = hub.snapshot()

    assert took < 10.0
    assert snapshot.consumers[0].processed == 0
    wait_for_depth(broker, f"{shape}.Waiting", 1)


def test_a_broker_that_is_not_there_is_an_error_in_time() -> None:
    settings = AmqpSettings(urls=["amqp://127.0.0.1:1/"])
    complaint = "there is no connection to the broker: see amqp_url"
    with (
        closing(AmqpPublisher(settings, timeout=0.5)) as publisher,
        pytest.raises(PublishError, match=complaint) as caught,
    ):
        publisher.publish(b"org.answer.a", b"{}")

    assert (caught.value.reason, caught.value.may_be_there) == ("unreachable", False)


def test_headers_that_amqp_has_no_form_for_harm_no_other_message(broker: Broker, answers: str) -> None:
    with out(broker) as publisher:
        bad = publisher.submit(Outgoing("org.answer.a", b"{}", {"headers": {"a" * 300: 1}}))
        good = publisher.submit(Outgoing("org.answer.a", b"{}"))

        assert good.result(DEADLINE) is None
        error = bad.exception(0)
    assert isinstance(error, PublishError)
    assert error.reason == "invalid"
    assert depth(broker, answers).ready == 1


def test_what_is_published_has_the_form_of_fedora_messagings_own(broker: Broker, answers: str) -> None:
    """Field by field: properties and headers are those of a message that fedora_messaging has made."""
    theirs = module("fedora_messaging.message").Message(topic="org.answer.a", body={"a": 1})
    with out(broker) as publisher:
        publisher.publish(b"org.answer.a", json.dumps({"a": 1}).encode())
    (ours,) = received(broker, answers)

    assert ours._headers.keys() >= theirs._headers.keys() - {"fedora_messaging_schema_package"}
    for name in ("content_type", "content_encoding", "delivery_mode", "priority"):
        assert getattr(ours._properties, name) == getattr(theirs._properties, name), name
    assert (type(ours), ours.body, ours.topic) == (type(theirs), theirs.body, theirs.topic)


# On zeromq.


@contextmanager
def on_zeromq(directory: Path, bus: Bus, shape: str, toml: str = "") -> Iterator[HubProcess]:
    toml += f'\n[consumers.Stubborn]\nclass = "{HERE}:Stubborn"\nsettings = {{topic = "org.answer.native"}}\n'
    with hub_on(bus, directory, "--shape", shape, "--consumer", f"{HERE}:Stubborn", toml=toml) as hub:
        yield hub


def ask(bus: Bus) -> None:
    bus.publish("org.ask.x", {"topic": "org.ask.x", "msg": {"number": 1}})


@in_both
def test_on_zeromq_a_consumer_publishes_in_fedmsgs_form(tmp_path: Path, bus: Bus, shape: str) -> None:
    endpoint = f"ipc://{tmp_path}/out"
    with (
        listener(endpoint) as ears,
        on_zeromq(tmp_path, bus, shape, f'[zmq]\npublish_endpoints = ["{endpoint}"]') as hub,
    ):
        while not ears.poll(100):  # it is bound with the first message, and then heard
            ask(bus)
        topic, body = ears.recv_multipart()
        assert hub.stop() == 0

    document = json.loads(body)
    assert (topic, document["topic"], document["msg"]) == (b"org.answer.native", "org.answer.native", {"number": 1})
    assert document.keys() == {"topic", "msg", "msg_id", "timestamp", "i", "headers"}
    assert abs(time.time() - document["timestamp"]) < DEADLINE


@in_both
def test_on_zeromq_without_an_endpoint_the_consumer_is_told(tmp_path: Path, bus: Bus, shape: str) -> None:
    with on_zeromq(tmp_path, bus, shape) as hub:
        ask(bus)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].failed == 1, "it to fail")
        assert hub.stop() == 0

    assert noted(tmp_path, "Stubborn") == [["endpoint", "org.answer.native"]]
    assert "cannot publish 'org.answer.native': there is no place to publish at: set publish_endpoints" in hub.said()


def test_on_zeromq_a_shell_waits_for_subscribers_before_it_publishes(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/out"
    (tmp_path / "g.toml").write_text(f'[zmq]\npublish_endpoints = ["{endpoint}"]\n', encoding="utf-8")
    with listener(endpoint) as ears:
        done = glasshub("publish", "org.answer.shell", "--config", str(tmp_path / "g.toml"), text='{"a": 1}')

        assert (done.returncode, done.stderr) == (0, "")
        assert ears.poll(round(DEADLINE * 1000))
        topic, body = ears.recv_multipart()
    assert (topic, json.loads(body)["msg"]) == (b"org.answer.shell", {"a": 1})
