# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bridges between a real broker and a real zeromq bus: each message once, none goes round, none is lost."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from glasshub.config import TO_FEDMSG, TO_FEDORA_MESSAGING
from tools.rabbitmq import Broker

from .brokers import EXCHANGE, await_hubs, channel_of, depth, publish, publish_many, settings_file
from .hubs import Bus, HubProcess, bus_in, hub_on, wait_until

#: Seconds that bridges to zeromq give the subscribers of these tests to find them.
SETTLING = 2.0

#: What such a bridge holds of the broker's messages at the most, here.
PREFETCH = 50

#: What libzmq may have been handed and not have written when its process is killed, with subscribers that keep up.
UNWRITTEN = 4

#: What a hub with a spool has handed over and not noted as finished, at the most; see docs/delivery.md.
WINDOW = 64


class Ears:
    """Hears what is published on zeromq, in a thread of its own that nothing holds up.

    Attributes:
        ids: The ids of all messages, in the order in which they came.
    """

    def __init__(self, *endpoints: str) -> None:
        self.ids: list[str] = []
        self.topics: set[bytes] = set()
        self._endpoints = endpoints
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="ears")
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._is_closed.set()
        self._thread.join()

    def _listen(self) -> None:
        context = zmq.Context()
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        for endpoint in self._endpoints:
            socket.connect(endpoint)
        while not self._is_closed.is_set():
            if socket.poll(50):
                topic, body = socket.recv_multipart()
                self.topics.add(topic)
                self.ids.append(json.loads(body)["msg_id"])
        context.destroy(linger=0)


class Watch:
    """A queue on the broker with all messages whose topic begins with a word."""

    def __init__(self, broker: Broker, word: str) -> None:
        self._broker = broker
        self._queue = f"watch-{word}"
        with channel_of(broker) as channel:
            channel.queue_declare(self._queue, durable=True)
            channel.queue_bind(self._queue, EXCHANGE, f"{word}.#")

    def count(self) -> int:
        """How many there are."""
        return depth(self._broker, self._queue).ready

    def ids(self) -> list[str]:
        """The ids of them all, in the order in which they came; they are taken out."""
        with channel_of(self._broker) as channel:
            got = iter(lambda: channel.basic_get(self._queue, auto_ack=True), (None, None, None))
            return [properties.message_id for _, properties, _ in got]


@contextmanager
def heard(*endpoints: str) -> Iterator[Ears]:
    """Ears for as long as the context lasts."""
    ears = Ears(*endpoints)
    try:
        yield ears
    finally:
        ears.close()


@contextmanager
def bridge(
    direction: str,
    directory: Path,
    broker: Broker,
    name: str,
    *arguments: str,
    toml: str = "",
    zeromq: str = "fedmsg",
) -> Iterator[HubProcess]:
    """A bridge that runs, for as long as the context lasts; `zeromq` is what it calls the bus there."""
    settings = settings_file(directory, broker, name=f"{name}.fm.toml")
    toml = (
        f"[bridge]\nsettling = {SETTLING}\nfedmsg_bus = '{zeromq}'\n[fedora-messaging]\nprefetch = {PREFETCH}\n{toml}"
    )
    arguments = ("--fedora-messaging", str(settings), *arguments)
    with hub_on(None, directory, *arguments, name=name, toml=toml, command=["bridge", direction]) as hub:
        yield hub


@contextmanager
def to_fedmsg(
    directory: Path, broker: Broker, name: str, endpoint: str, topic: str, **more: str
) -> Iterator[HubProcess]:
    """A bridge to zeromq for topics that begin so, which has its queue when the context begins."""
    arguments = ("--zmq", endpoint, "--topic", topic)
    with bridge(TO_FEDMSG, directory, broker, name, *arguments, **more) as hub:
        await_hubs(broker, f"{name}.{TO_FEDMSG}")
        yield hub


@contextmanager
def to_broker(
    directory: Path, broker: Broker, name: str, bus: Bus, *endpoints: str, topic: str = "", **more: str
) -> Iterator[HubProcess]:
    """A bridge to the broker that subscribes to a bus, and to more endpoints, when the context begins."""
    arguments = [word for endpoint in (bus.endpoint, *endpoints) for word in ("--zmq", endpoint)]
    with bridge(TO_FEDORA_MESSAGING, directory, broker, name, *arguments, "--topic", topic, **more) as hub:
        bus.wait()
        hub.wait_until(lambda snapshot: snapshot.hub.connected == 1 + len(endpoints), "the connections")
        yield hub


def kill(hub: HubProcess) -> None:
    """Kill a bridge, whatever it is at."""
    hub.process.kill()
    hub.process.wait()


def once_each(*ids: Sequence[str]) -> Counter[str]:
    """All of them, once."""
    return Counter(one for several in ids for one in several)


def test_over_bridges_in_both_directions_each_message_comes_once_and_none_goes_round(
    tmp_path: Path, broker: Broker, bus: Bus
) -> None:
    count, endpoint = 200, f"ipc://{tmp_path}/out"
    watch = Watch(broker, "round")
    with (
        heard(endpoint, bus.endpoint) as ears,
        to_fedmsg(tmp_path, broker, "there", endpoint, "round.") as there,
        to_broker(tmp_path, broker, "back", bus, endpoint, topic="round.") as back,
    ):
        bus.wait()  # for the ears
        from_zeromq = bus.publish_many(count, "round.zeromq")
        from_broker = publish_many(broker, count, "round.broker")

        for hub in (there, back):  # each gets what it is to pass on, and what the other one has passed on
            snapshot = hub.wait_until_finished(2 * count)
            (passing,) = snapshot.consumers
            assert (passing.processed, passing.discarded, snapshot.hub.received) == (count, count, 2 * count)

        wait_until(lambda: len(ears.ids) >= 2 * count, "all on zeromq")
        assert Counter(ears.ids) == Counter(watch.ids()) == once_each(from_zeromq, from_broker)
        assert ears.topics == {b"round.zeromq", b"round.broker"}
        assert there.stop() == back.stop() == 0


@pytest.mark.slow
def test_in_a_chain_of_three_buses_each_message_is_on_each_of_them_once(tmp_path: Path, broker: Broker) -> None:
    """Two of them are zeromq, each of which the same broker is bridged to in both directions."""
    count, watch = 50, Watch(broker, "chain")
    with ExitStack() as stack:
        buses = {name: stack.enter_context(bus_in(tmp_path, name)) for name in ("east", "west")}
        ends = {name: f"ipc://{tmp_path}/out-{name}" for name in buses}
        ears = {name: stack.enter_context(heard(buses[name].endpoint, ends[name])) for name in buses}
        bridges = []
        for name, bus in buses.items():
            there = to_fedmsg(tmp_path, broker, f"to-{name}", ends[name], "chain.", zeromq=name)
            back = to_broker(tmp_path, broker, f"from-{name}", bus, ends[name], topic="chain.", zeromq=name)
            bridges += [stack.enter_context(there), stack.enter_context(back)]
            bus.wait()  # for the ears
        ids = [f"{name}-{number}" for name in buses for number in range(count)]
        for msg_id in ids:
            buses[msg_id.partition("-")[0]].publish("chain.zeromq", {"msg": {}, "msg_id": msg_id})
        ids += publish_many(broker, count, "chain.broker")

        for hub in bridges:
            hub.wait_until_finished(3 * count)
        wait_until(lambda: all(len(one.ids) >= 3 * count for one in ears.values()), "all on zeromq")
        assert [hub.snapshot().hub.received for hub in bridges] == [3 * count] * len(bridges)
        assert Counter(ears["east"].ids) == Counter(ears["west"].ids) == Counter(watch.ids()) == once_each(ids)


def test_what_is_no_message_is_counted_and_stops_nothing(tmp_path: Path, broker: Broker, bus: Bus) -> None:
    endpoint = f"ipc://{tmp_path}/out"
    watch = Watch(broker, "odd")
    with (
        heard(endpoint) as ears,
        to_fedmsg(tmp_path, broker, "there", endpoint, "odd.") as there,
        to_broker(tmp_path, broker, "back", bus, topic="odd.") as back,
    ):
        bus.send(b"odd.zeromq", b"\xff not JSON")
        bus.publish("odd.zeromq", {"msg_id": "no msg"})
        bus.publish(f"odd.{'x' * 300}", {"msg": {}, "msg_id": "a topic that is too long"})
        bus.publish("odd.zeromq", {"msg": {}, "msg_id": "good", "headers": {"x" * 300: "a name that is too long"}})
        publish(broker, "odd.broker", b"\xff not JSON")
        publish(broker, "odd.broker", {}, message_id=None)
        good = publish(broker, "odd.broker", {})
        fine = bus.publish_many(1, "odd.zeromq")

        (passing,) = back.wait_until_finished(5).consumers
        assert (passing.invalid, passing.processed, passing.failed) == (3, 2, 0)
        (passing,) = there.wait_until_finished(5).consumers
        assert (passing.invalid, passing.processed, passing.failed, passing.discarded) == (2, 1, 0, 2)
        wait_until(lambda: ears.ids, "a message on zeromq")
    assert ears.ids == [good]
    assert fine[0] in watch.ids()


def test_bridges_that_share_a_queue_pass_each_message_on_once(tmp_path: Path, broker: Broker) -> None:
    count, directories = 200, [tmp_path / "one", tmp_path / "two"]
    for directory in directories:
        directory.mkdir()
    endpoints = [f"ipc://{directory}/out" for directory in directories]
    with (
        heard(*endpoints) as ears,
        bridge(TO_FEDMSG, directories[0], broker, "share", "--zmq", endpoints[0], "--topic", "share.") as one,
        bridge(TO_FEDMSG, directories[1], broker, "share", "--zmq", endpoints[1], "--topic", "share.") as two,
    ):
        await_hubs(broker, f"share.{TO_FEDMSG}", count=2)
        ids = publish_many(broker, count, "share.x")

        wait_until(lambda: len(ears.ids) >= count, "all on zeromq")
        passed = [hub.snapshot().consumers[0].processed for hub in (one, two)]
    assert Counter(ears.ids) == once_each(ids)
    assert sum(passed) == count
    assert min(passed) > 0


@pytest.mark.slow
def test_a_bridge_to_zeromq_that_is_killed_loses_no_more_than_zeromq_had_not_written(
    tmp_path: Path, broker: Broker
) -> None:
    """Mostly that is nothing; nobody can ask libzmq."""
    count, kills, endpoint = 2000, 3, f"ipc://{tmp_path}/out"
    with heard(endpoint) as ears:
        with to_fedmsg(tmp_path, broker, "killed", endpoint, "killed."):
            pass  # its queue is there from now on

        def waiting() -> int:
            return depth(broker, f"killed.{TO_FEDMSG}").ready

        ids = publish_many(broker, count, "killed.x")
        for passed in (count // 5, 2 * count // 5, 3 * count // 5):
            with to_fedmsg(tmp_path, broker, "killed", endpoint, "killed.") as hub:
                wait_until(lambda passed=passed: len(ears.ids) > passed, "some on zeromq")  # type: ignore[misc]
                kill(hub)
            assert len(set(ears.ids)) < count, "it was killed too late to tell"
        with to_fedmsg(tmp_path, broker, "killed", endpoint, "killed.") as hub:
            hub.wait_until(lambda snapshot: snapshot.consumers[0].broker_unacknowledged == 0 == waiting(), "the end")
            assert hub.stop() == 0
            assert waiting() == 0
        wait_until(lambda: len(set(ears.ids)) >= count - kills * UNWRITTEN, "all that was written")

    assert set(ears.ids) <= set(ids)
    assert len(ears.ids) - len(set(ears.ids)) <= kills * PREFETCH


@pytest.mark.slow
def test_a_bridge_to_the_broker_that_is_killed_loses_nothing_that_is_in_its_spool(
    tmp_path: Path, broker: Broker, bus: Bus
) -> None:
    count, kills, watch = 2000, 3, Watch(broker, "spooled")
    options = {"toml": f'[spool]\ndirectory = "{tmp_path}/spool"\n', "topic": "spooled."}
    with to_broker(tmp_path, broker, "spooled", bus, **options) as hub:
        ids = bus.publish_many(count, "spooled.x")
        hub.wait_until(lambda snapshot: snapshot.consumers[0].enqueued == count, "all on disk")
        kill(hub)
    for passed in (count // 3, 2 * count // 3):
        assert watch.count() < passed, "it was killed too late to tell"
        with to_broker(tmp_path, broker, "spooled", bus, **options) as hub:
            wait_until(lambda passed=passed: watch.count() >= passed, "some on the broker")  # type: ignore[misc]
            kill(hub)
    assert watch.count() < count, "it was killed too late to tell"
    with to_broker(tmp_path, broker, "spooled", bus, **options) as hub:
        hub.wait_until(lambda snapshot: snapshot.consumers[0].backlog + snapshot.consumers[0].in_flight == 0, "the end")

    found = watch.ids()
    assert set(found) == set(ids)
    assert len(found) - count <= kills * WINDOW


@pytest.mark.slow
def test_while_the_broker_is_away_messages_wait_and_over_a_restart_in_the_spool(
    tmp_path: Path, broker: Broker, bus: Bus
) -> None:
    count, watch = 300, Watch(broker, "away")
    toml = f'[hub]\ndrain_timeout = 0.5\n[spool]\ndirectory = "{tmp_path}/spool"\n'
    broker.stop()
    try:
        with to_broker(tmp_path, broker, "away", bus, toml=toml) as hub:
            ids = bus.publish_many(count, "away.x")
            hub.wait_until(lambda snapshot: snapshot.consumers[0].enqueued == count, "all on disk")
            code, said = hub.stop(), hub.said()
    finally:
        broker.start()
    with to_broker(tmp_path, broker, "away", bus, toml=toml) as hub:
        hub.wait_until(lambda snapshot: snapshot.consumers[0].processed == count, "all on the broker")

    assert code == 0
    assert f"kept for the next start: {TO_FEDORA_MESSAGING}: {count} messages" in said
    assert Counter(watch.ids()) == once_each(ids)


@pytest.mark.slow
def test_a_bridge_goes_on_when_a_broker_that_was_killed_is_back(tmp_path: Path, broker: Broker, bus: Bus) -> None:
    count, watch = 300, Watch(broker, "back")
    with to_broker(tmp_path, broker, "back", bus) as hub:
        before = bus.publish_many(count, "back.x")
        hub.wait_until_finished(count)
        broker.kill()
        try:
            meanwhile = [f"{msg_id}-again" for msg_id in before]
            for msg_id in meanwhile:
                bus.publish("back.y", {"topic": "back.y", "msg_id": msg_id, "msg": {}})
            hub.wait_until(lambda snapshot: snapshot.consumers[0].enqueued == 2 * count, "them to wait")
        finally:
            broker.start()
        (passing,) = hub.wait_until_finished(2 * count).consumers
    assert (passing.processed, passing.failed, passing.dropped) == (2 * count, 0, 0)
    assert set(watch.ids()) == {*before, *meanwhile}
