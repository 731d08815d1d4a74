# SPDX-License-Identifier: LGPL-2.1-or-later
"""The source on a real RabbitMQ while nothing fails: what comes, what is acknowledged, and how much is held."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from glasshub.amqp.settings import AmqpSettings, Binding
from glasshub.config import ConsumerSection
from tools.rabbitmq import Broker

from .brokers import (
    await_hubs,
    channel_of,
    delete_queues,
    depth,
    hub_on_broker,
    publish,
    publish_many,
    settings_file,
    unacknowledged,
)
from .hubs import DEADLINE, HubProcess, wait_until
from .subscribers import subscriber

EVERYTHING = "tests.integration.consumers:Everything"

#: A section of fedora-messaging's file for a queue whose name the broker gives.
ANONYMOUS: dict[str, Any] = {"durable": False, "exclusive": True, "auto_delete": True, "arguments": {}}


class FarFuture(datetime):
    """A time that pika writes and cannot read."""

    def utctimetuple(self) -> time.struct_time:
        """The year 10000: no check of pika's keeps a number of seconds from being one too many."""
        return time.struct_time((9999, 12, 31, 23, 59, 60, 0, 1, 0))


def test_a_message_is_processed_and_acknowledged(broker: Broker, tmp_path: Path) -> None:
    with hub_on_broker(broker, tmp_path, "--consumer", EVERYTHING, queues=["h.Everything"]) as hub:
        publish_many(broker, 10, "org.fedoraproject.test")
        hub.wait_until_finished(10)
        assert hub.stop() == 0
    assert depth(broker, "h.Everything") == (0, 0)
    delete_queues(broker, "h.Everything", "h.Everything.parked")


def test_what_is_done_is_acknowledged_and_nothing_else(broker: Broker) -> None:
    with subscriber(broker, prefetch=10, sections={"Consumer": ConsumerSection(workers=5)}) as found:
        publish_many(broker, 10, found.prefix)
        frames = found.receive(10)

        found.finish(frames[:3] + frames[5:7])

        found.wait_until(lambda state: state.unacknowledged == 5, "5 messages to be acknowledged")
        wait_until(lambda: unacknowledged(broker, found.queues[0]) == 5, "the broker to know")


def test_one_at_a_time_is_not_held_up(broker: Broker) -> None:
    with subscriber(broker, prefetch=1) as found:
        publish_many(broker, 200, found.prefix)

        began = time.monotonic()
        found.work_off(200)
        assert found.state().prefetch == 1

    assert time.monotonic() - began < 5


def test_several_hubs_share_a_queue(broker: Broker, tmp_path: Path) -> None:
    with (
        hub_on_broker(broker, tmp_path, "--consumer", EVERYTHING, name="shared", queues=["shared.Everything"]) as first,
    ):
        other = tmp_path / "other"
        other.mkdir()
        with hub_on_broker(broker, other, "--consumer", EVERYTHING, name="shared") as second:
            await_hubs(broker, "shared.Everything", count=2)
            publish_many(broker, 100, "org.shared")
            wait_until(
                lambda: sum(hub.snapshot().consumers[0].finished for hub in (first, second)) == 100, "100 to be done"
            )
            assert all(hub.snapshot().consumers[0].finished for hub in (first, second))
    delete_queues(broker, "shared.Everything", "shared.Everything.parked")


def test_a_queue_says_what_waits_in_it_and_who_subscribes(broker: Broker) -> None:
    with subscriber(broker) as found:
        publish_many(broker, 10, found.prefix)
        found.receive(2)

        found.wait_until(lambda state: (state.ready, state.hubs) == (8, 1), "the broker to be asked")
        assert (found.state().unacknowledged, found.state().prefetch) == (2, 2)


def test_topics_may_change_while_it_runs(broker: Broker) -> None:
    with subscriber(broker, topics=["org.first.", "org.both."]) as found:
        found.source.subscribe(found.router("org.both.", "org.second."))
        wait_until(lambda: "org.second.#" in _keys(broker, found.queues[0]), "the queue to be bound")

        wait_until(lambda: "org.first.#" not in _keys(broker, found.queues[0]), "the queue to be unbound")
        assert _keys(broker, found.queues[0]) == {"org.both.#", "org.second.#"}


def test_bindings_of_others_are_left_alone(broker: Broker) -> None:
    with subscriber(broker, topics=["org.first."]) as found:
        with channel_of(broker) as channel:
            channel.queue_bind(found.queues[0], "amq.topic", "org.theirs")

        found.source.subscribe(found.router("org.second."))
        wait_until(lambda: "org.first.#" not in _keys(broker, found.queues[0]), "the queue to be unbound")

        assert _keys(broker, found.queues[0]) == {"org.theirs", "org.second.#"}


def test_strict_topics_are_bound_as_they_are(broker: Broker) -> None:
    with subscriber(broker, topics=["org.one", "org.other"], strict=True) as found:
        assert _keys(broker, found.queues[0]) == {"org.one", "org.other"}


def test_a_topic_that_ends_within_a_word_is_told_apart_by_the_hub(broker: Broker, tmp_path: Path) -> None:
    toml = '[consumers.Everything]\nclass = "tests.integration.consumers:Everything"\ntopics = ["org.wo"]\n'
    with hub_on_broker(broker, tmp_path, toml=toml, name="words", queues=["words.Everything"]) as hub:
        for topic in ("org.word", "org.other", "org.wo", "org.word.more"):
            publish(broker, topic, {})
        hub.wait_until(lambda snapshot: snapshot.hub.received == 4, "4 messages")

        assert hub.wait_until_finished(3).consumers[0].enqueued == 3
        wait_until(lambda: unacknowledged(broker, "words.Everything") == 0, "all to be acknowledged")
    delete_queues(broker, "words.Everything", "words.Everything.parked")


def test_the_queues_of_fedora_messagings_own_file(broker: Broker) -> None:
    settings = AmqpSettings(
        exchanges={"a.topic": {"type": "topic", "durable": False, "auto_delete": True, "arguments": {}}},
        queues={"": ANONYMOUS, "a.queue": {**ANONYMOUS, "exclusive": False, "arguments": {"x-max-length": 10}}},
        bindings=[Binding("", "amq.topic", ["org.mine.#"]), Binding("a.queue", "a.topic", ["org.#", "com.#"])],
    )
    with subscriber(broker, "One", "Other", settings=settings, queues="hub") as found:
        publish(broker, "org.mine.x", {})
        (first,) = found.receive(1)
        publish(broker, "com.x", {}, exchange="a.topic")
        (second,) = found.receive(1)

        assert (first.topic, second.topic) == (b"org.mine.x", b"com.x")
        assert first.addressee is second.addressee is None
        assert found.state(0).name.startswith("amq.gen-")
        assert found.state(1).name == "a.queue"


def test_queues_that_others_make_are_only_looked_for(broker: Broker) -> None:
    settings = AmqpSettings(passive_declares=True)
    with subscriber(broker, settings=settings, waits=False) as found:
        wait_until(lambda: found.source.state().faults, "a fault")
        with channel_of(broker) as channel:
            channel.queue_declare(f"{found.queues[0]}.parked", durable=True)
            channel.queue_declare(found.queues[0], durable=True)

        found.wait_until_consuming()


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        pytest.param(b"{}", {"headers": None, "message_id": None, "content_type": None}, id="no properties"),
        pytest.param(b"", {}, id="no body"),
        pytest.param(b"\xff", {}, id="no UTF-8"),
        pytest.param(b"{", {}, id="no JSON"),
        pytest.param(b"{}", {"content_encoding": "gzip"}, id="another encoding"),
        pytest.param(b"{}", {"headers": {"a": "x" * 100_000}}, id="large headers"),
        pytest.param(b"{}", {"headers": {"sent-at": 17, "a": [None, {"b": b"\xff"}]}}, id="odd headers"),
        pytest.param(b"{}", {"headers": {b"\xff": b"\xff"}}, id="headers that are no UTF-8"),
        pytest.param(b"{}", {"headers": {"a": FarFuture.now(timezone.utc)}}, id="headers that pika cannot read"),
    ],
)
def test_no_message_stops_the_others(broker: Broker, body: bytes, properties: dict[str, Any]) -> None:
    with subscriber(broker, prefetch=1) as found:
        publish(broker, found.prefix, body, **properties)
        publish(broker, found.prefix, {"last": True})

        frames = found.receive(1)
        found.finish(frames)
        (last,) = found.receive(1)

        assert json.loads(last.body)["msg"] == {"last": True}
        assert found.source.state().disconnects == found.source.state().faults == 0


def test_a_message_that_we_fail_on_ourselves_is_left_out(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_fedmsgs_form(body: bytes, **more: Any) -> bytes:
        if body == b"poison":
            raise RuntimeError("nobody has thought of this")
        return body

    monkeypatch.setattr("glasshub.amqp.subscription.fedmsg_body", in_fedmsgs_form)
    with subscriber(broker, prefetch=1) as found:
        publish(broker, found.prefix, b"poison")
        publish(broker, found.prefix, b"fine")

        (frame,) = found.receive(1)

        assert (frame.body, found.malformed) == (b"fine", 1)
        assert (found.state().unacknowledged, found.source.state().disconnects) == (1, 0)


def test_a_topic_that_is_no_utf_8_comes_as_it_is(broker: Broker) -> None:
    with subscriber(broker) as found, channel_of(broker) as channel:
        topic = found.prefix.encode() + b"\xff"
        channel.basic_publish("amq.topic", topic, b"{}")

        (frame,) = found.receive(1)

        assert frame.topic == topic


def test_a_hub_acknowledges_what_it_cannot_read(broker: Broker, tmp_path: Path) -> None:
    with hub_on_broker(broker, tmp_path, "--consumer", EVERYTHING, name="odd", queues=["odd.Everything"]) as hub:
        with channel_of(broker) as channel:
            channel.basic_publish("amq.topic", b"org.\xff", b"{}")
            channel.basic_publish("amq.topic", "org.odd", b"no JSON")
        hub.wait_until(lambda s: (s.hub.malformed, s.consumers[0].invalid) == (1, 1), "both to be counted")

        wait_until(lambda: unacknowledged(broker, "odd.Everything") == 0, "both to be acknowledged")
    delete_queues(broker, "odd.Everything", "odd.Everything.parked")


def test_a_fast_consumer_gets_many_at_a_time(broker: Broker) -> None:
    with subscriber(broker, prefetch=64) as found:
        publish_many(broker, 2000, found.prefix)

        found.work_off(2000)

        assert found.state().prefetch == 64


def test_no_more_is_held_than_may_be_whatever_changes(broker: Broker) -> None:
    with subscriber(broker, prefetch=100, sections={"Consumer": ConsumerSection(workers=2)}) as found:
        publish_many(broker, 2000, found.prefix)
        found.receive(1)  # takes longer than all others
        while found.state().prefetch < 100:
            found.work_off(10)
        found.work_off(found.state().unacknowledged)  # and one more: that comes by the new number

        found.wait_until(lambda state: state.unacknowledged >= 100, "as many to be held as may")
        found.receive(99)
        found.receive_no_more()

        assert found.state().unacknowledged == 100
        assert found.state().redelivered == 0  # nothing was on its way when the number was changed


@pytest.mark.slow
def test_a_consumer_that_gets_slow_holds_few(broker: Broker) -> None:
    with subscriber(broker, prefetch=500) as found:
        publish_many(broker, 3000, found.prefix)
        found.work_off(2000)
        wait_until(lambda: found.state().unacknowledged == found.state().prefetch, "as many to come as may")
        held = found.state().prefetch
        assert held > 8

        deadline = time.monotonic() + DEADLINE
        while found.state().prefetch > 8:
            assert time.monotonic() < deadline, f"{found.state().prefetch} after {DEADLINE} s"
            found.finish(found.receive(1))
            time.sleep(0.2)  # a consumer that takes so long

        found.work_off(held)
        found.wait_until(lambda state: state.unacknowledged == state.prefetch <= 8, "few to be held")


def test_what_is_to_be_tried_again_takes_no_place(broker: Broker) -> None:
    with subscriber(broker, prefetch=4) as found:
        publish_many(broker, 20, found.prefix)
        for _ in range(3):
            for frame in found.receive(2):
                frame.again(time.monotonic_ns())

        frames = found.receive(2)

        found.finish(frames)
        found.wait_until(lambda state: state.unacknowledged >= 6, "what is to be tried again to be held")


def test_what_has_no_room_does_not_come(broker: Broker) -> None:
    with subscriber(broker, sections={"Consumer": ConsumerSection(workers=8, capacity=3)}) as found:
        publish_many(broker, 10, found.prefix)

        found.receive(3)
        found.receive_no_more()

        assert found.state().prefetch == 3


def test_with_a_spool_as_many_come_as_may(broker: Broker) -> None:
    with subscriber(broker, acknowledge="spooled", prefetch=50) as found:
        publish_many(broker, 60, found.prefix)

        found.receive(50)

        assert found.state().prefetch == 50


def test_what_was_not_dispatched_goes_back_at_once(broker: Broker) -> None:
    with subscriber(broker, acknowledge="spooled") as found:
        publish_many(broker, 10, found.prefix)
        found.wait_until(lambda state: state.unacknowledged == 10, "all to be here")
        frames = found.receive(4)

        found.source.finish()
        wait_until(lambda: depth(broker, found.queues[0]).ready == 6, "6 messages to be back")
        found.finish(frames)

        wait_until(lambda: unacknowledged(broker, found.queues[0]) == 0, "the others to be acknowledged")
        assert depth(broker, found.queues[0]) == (6, 0)


def test_a_hub_that_is_told_twice_to_stop_leaves_what_is_at_hand_to_the_broker(broker: Broker, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    toml = f'[consumers.Gate]\nclass = "tests.integration.consumers:Gate"\nsettings = {{fifo = "{fifo}"}}\n'
    with hub_on_broker(broker, tmp_path, toml=toml, name="twice", queues=["twice.Gate"]) as hub:
        publish_many(broker, 3, "org.twice")
        hub.wait_until(lambda snapshot: snapshot.consumers[0].in_flight, "a message to be at hand")

        hub.process.send_signal(signal.SIGTERM)
        hub.wait_until(lambda snapshot: snapshot.status() == "draining", "the hub to drain")
        began = time.monotonic()
        hub.stop()

        assert time.monotonic() - began < 5
        wait_until(lambda: depth(broker, "twice.Gate") == (3, 0), "all messages to be back")
    delete_queues(broker, "twice.Gate", "twice.Gate.parked")


def test_a_hub_that_cannot_start_ends(broker: Broker, tmp_path: Path) -> None:
    path = settings_file(tmp_path, broker)
    with closing(
        HubProcess(
            tmp_path, None, ["--fedora-messaging", str(path), "--consumer", "tests.integration.consumers:Unbuildable"]
        )
    ) as hub:
        assert hub.process.wait(DEADLINE) != 0
        assert "none of the 1 consumers could be started" in hub.said()


def _keys(broker: Broker, queue: str) -> set[str]:
    """The routing keys with which a queue is bound to the topic exchange."""
    rows = broker.control("list_bindings", "--no-table-headers", "source_name", "destination_name", "routing_key")
    bindings = [row.split("\t") for row in rows.splitlines()]
    return {key for source, name, key in bindings if (source, name) == ("amq.topic", queue)}
