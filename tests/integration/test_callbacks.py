# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers written for fedora-messaging, and those written for fedmsg, unmodified, on either bus.

The broker is a real RabbitMQ; what is published with fedora-messaging is published by itself.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tools.rabbitmq import Broker

from ..needs import module
from .brokers import EXCHANGE, HEADERS, channel_of, depth, hub_on_broker, publish, settings_file
from .hubs import DEADLINE, Bus, HubProcess, hub_on, wait_until
from .old_site import ENABLED, noted
from .published.environment import published_python

pytestmark = pytest.mark.slow

CALLBACKS = "tests.integration.callbacks"
OLD_SITE = "tests.integration.old_site"

#: datanommer, and one of fedmsg's that stays disabled: it loads what datanommer expects to be there.
NOMMER = ("datanommer.consumer:Nommer", "fedmsg.consumers.ircbot:IRCBotConsumer")

#: What runs the tests.
HERE = Path(sys.executable)


class Written:
    """What callbacks have written down.

    Attributes:
        settings: Has them do so: a part of fedora-messaging's configuration file.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "written"
        self.settings = f'[consumer_config]\nfile = "{self._path}"\n'

    def __call__(self) -> list[dict[str, Any]]:
        """All of it, in its order."""
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []


@pytest.fixture
def written(tmp_path: Path) -> Written:
    module("fedora_messaging")
    return Written(tmp_path)


def consumers(*names: str) -> list[str]:
    """Options that have these callbacks run."""
    return [option for name in names for option in ("--consumer", f"{CALLBACKS}:{name}")]


@contextmanager
def answers(broker: Broker, queue: str) -> Iterator[Any]:
    """What is published below `answer.`, in a queue; takes out one message, as its topic, body and properties."""
    with channel_of(broker) as channel:
        channel.queue_declare(queue)
        channel.queue_bind(queue, EXCHANGE, "answer.#")

        def take() -> tuple[str, Any, Any]:
            found: list[Any] = []

            def is_there() -> bool:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is not None:
                    found.extend([method.routing_key, json.loads(body), properties])
                return method is not None

            wait_until(is_there, "an answer")
            return found[0], found[1], found[2]

        yield take
        channel.queue_delete(queue)


@contextmanager
def hub_with(
    broker: Broker, directory: Path, name: str, *callbacks: str, settings: str = "", toml: str = ""
) -> Iterator[HubProcess]:
    """A hub of that name with these callbacks, each of which has its queue."""
    queues = [f"{name}.{callback}" for callback in callbacks]
    options = consumers(*callbacks)
    with hub_on_broker(broker, directory, *options, queues=queues, settings=settings, name=name, toml=toml) as hub:
        yield hub


@pytest.mark.parametrize("name", ["function", "coroutine"])
def test_a_callback_finds_what_fedora_messaging_would_have_brought_it(
    tmp_path: Path, broker: Broker, written: Written, name: str
) -> None:
    with hub_with(broker, tmp_path, "found", name, settings=written.settings) as hub:
        id = publish(broker, "org.a.b", {"a": 1})
        publish(broker, "org.a.c", b"{no json")
        publish(broker, "org.a.c", [1])
        publish(broker, "org.a.d", {}, headers={**HEADERS, "fedora_messaging_schema": "unknown"})
        consumer = hub.wait_until_finished(4).consumer(name)
        assert hub.stop() == 0

    first, last = written()
    assert (first["kind"], first["topic"], first["body"], first["id"]) == ("Message", "org.a.b", {"a": 1}, id)
    assert (first["severity"], first["queue"]) == (20, f"found.{name}")
    assert first["headers"].items() >= HEADERS.items()
    assert (last["kind"], last["headers"]["fedora_messaging_schema"]) == ("Message", "unknown")
    assert (consumer.processed, consumer.invalid) == (2, 2)
    assert depth(broker, f"found.{name}").ready == 0


def test_what_a_callback_raises_decides_what_becomes_of_the_message(
    tmp_path: Path, broker: Broker, written: Written
) -> None:
    with hub_with(broker, tmp_path, "moods", "Moody", settings=written.settings) as hub:
        for mood in ("nack", "drop", "fail", "none"):
            publish(broker, "org.a.b", {"mood": mood})
        consumer = hub.wait_until_finished(4).consumer("Moody")
        assert hub.stop() == 0

    assert {told["body"]["mood"]: told["attempts"] for told in written()} == {"none": 1, "nack": 2}
    assert (consumer.processed, consumer.discarded, consumer.failed, consumer.retried) == (2, 1, 1, 1)
    assert depth(broker, "moods.Moody").ready == 0


@pytest.mark.parametrize(("requeue", "left"), [(False, 0), (True, 1)])
def test_a_callback_that_halts_ends_the_hub_with_its_exit_code(
    tmp_path: Path, broker: Broker, written: Written, requeue: bool, left: int
) -> None:
    with hub_with(broker, tmp_path, f"halts-{left}", "Moody", settings=written.settings) as hub:
        publish(broker, "org.a.b", {"mood": "halt", "requeue": requeue})

        assert hub.process.wait(DEADLINE) == 7, hub.said()
        assert hub.snapshot().consumer("Moody").processed == 1 - left
        assert "Moody halts the hub: enough" in hub.said()
    assert depth(broker, f"halts-{left}.Moody").ready == left


def test_what_a_stopped_hub_was_given_and_has_not_finished_is_on_the_broker_and_not_left_undone(
    tmp_path: Path, broker: Broker, written: Written
) -> None:
    with hub_with(broker, tmp_path, "returned", "Moody", settings=written.settings) as hub:
        assert hub.stop() == 0
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    publish(broker, "org.a.b", {"mood": "halt", "requeue": False, "exit_code": 0, "gate": str(fifo)})
    for _ in range(4):
        publish(broker, "org.a.b", {})

    settings = settings_file(tmp_path, broker, written.settings)
    hub = HubProcess(tmp_path, None, ["--fedora-messaging", str(settings), *consumers("Moody")], name="returned")
    try:
        hub.wait_until(lambda snapshot: snapshot.consumer("Moody").broker_unacknowledged > 1, "it to be given others")
        fifo.write_bytes(b"go on")
        assert hub.process.wait(DEADLINE) == 0, hub.said()
    finally:
        hub.close()

    assert depth(broker, "returned.Moody").ready == 4
    assert "kept on the broker: Moody: " in hub.said()
    assert "left undone:" not in hub.said()


def test_the_bindings_of_fedora_messagings_file_say_what_a_callback_gets(
    tmp_path: Path, broker: Broker, written: Written
) -> None:
    binding = (
        f'[[bindings]]\nqueue = "any"\nexchange = "{EXCHANGE}"\nrouting_keys = ["org.*.wanted.#", "org.exactly"]\n'
    )
    with hub_with(broker, tmp_path, "bound", "function", settings=written.settings + binding) as hub:
        for topic in ("org.a.wanted", "org.a.b.wanted", "org.exactly", "org.exactly.not", "org.b.wanted.c.d"):
            publish(broker, topic, {})
        hub.wait_until_finished(3)
        assert hub.stop() == 0

    assert [told["topic"] for told in written()] == ["org.a.wanted", "org.exactly", "org.b.wanted.c.d"]


def test_the_callback_of_the_file_runs_by_itself_on_the_files_queue(
    tmp_path: Path, broker: Broker, written: Written
) -> None:
    """All that fedora-messaging's own `consume` needs is that file."""
    file = f"""callback = "{CALLBACKS}:function"
        [queues.theirs]
        durable = true
        auto_delete = false
        exclusive = false
        arguments = {{}}
        [[bindings]]
        queue = "theirs"
        exchange = "{EXCHANGE}"
        routing_keys = ["org.#"]
    """
    toml = '[fedora-messaging]\nqueues = "hub"\n[hub]\nentry_points = false\n'
    settings = file + written.settings
    with hub_on_broker(broker, tmp_path, queues=["theirs"], settings=settings, name="theirs", toml=toml) as hub:
        publish(broker, "org.a.b", {"a": 1})
        consumer = hub.wait_until_finished(1).consumer("function")
        assert hub.stop() == 0

    assert consumer.processed == 1
    assert [(told["topic"], told["queue"]) for told in written()] == [("org.a.b", "theirs")]


@pytest.mark.parametrize("name", ["republish", "republish_later"])
def test_a_callback_publishes_with_fedora_messaging_as_it_always_did(
    tmp_path: Path, broker: Broker, written: Written, name: str
) -> None:
    """fedora-messaging has its own connection, and Twisted's reactor in a thread of its own."""
    toml = f'[consumers.{name}]\nclass = "{CALLBACKS}:{name}"\ntopics = "org."\n'
    with (
        answers(broker, f"answers.{name}") as answer,
        hub_with(broker, tmp_path, name, name, settings=written.settings, toml=toml) as hub,
    ):
        ids = [publish(broker, "org.a.b", {}) for _ in range(3)]
        consumer = hub.wait_until_finished(3).consumer(name)
        said = [answer() for _ in ids]
        assert hub.stop() == 0, hub.said()

    assert consumer.processed == 3
    assert [(topic, body) for topic, body, _ in said] == [("answer.org.a.b", {"to": id}) for id in ids]
    assert {properties.headers["fedora_messaging_schema"] for _, _, properties in said} == {"base.message"}


@pytest.mark.parametrize("name", ["Greeting", "republish"])
def test_callbacks_that_publish_and_consumers_of_fedmsg_share_a_process_and_its_reactor(
    tmp_path: Path, broker: Broker, written: Written, name: str
) -> None:
    """Twisted has one reactor for a process: both want it to run. One publishes before ours runs, one afterwards."""
    site = tmp_path / "site.py"
    site.write_text(f"config = {{{ENABLED!r}: True, 'validate_signatures': False}}\n", encoding="utf-8")
    options = ["--fedmsg-config", str(site)]
    hub_name = f"mixed-{name}"
    queues = [f"{hub_name}.{name}", f"{hub_name}.Commanded"]
    toml = f'[consumers.{name}]\nclass = "{CALLBACKS}:{name}"\ntopics = "org.a."\n'
    toml += f'[consumers.Commanded]\nclass = "{OLD_SITE}:Commanded"\n[hub]\nentry_points = false\n'
    with (
        answers(broker, f"answers.{hub_name}") as answer,
        hub_on_broker(
            broker, tmp_path, *options, queues=queues, settings=written.settings, name=hub_name, toml=toml
        ) as hub,
    ):
        if name == "Greeting":
            assert answer()[:2] == ("answer.greeting", {"hello": "world"})
        publish(broker, "org.site.x", "later")
        id = publish(broker, "org.a.b", {})
        assert answer()[:2] == ("answer.org.a.b", {"to": id})
        wait_until(lambda: ["later", True] in noted(tmp_path, "Commanded"), "the reactor to call back")
        assert hub.stop() == 0, hub.said()

    assert "Twisted's reactor died" not in hub.said()


def test_a_callback_runs_on_fedmsgs_bus_too(tmp_path: Path, bus: Bus, written: Written) -> None:
    (tmp_path / "fm.toml").write_text(written.settings, encoding="utf-8")
    toml = f'[fedora-messaging]\nconfig = "{tmp_path}/fm.toml"\n'
    with hub_on(bus, tmp_path, *consumers("function"), toml=toml) as hub:
        ids = bus.publish_many(3)
        hub.wait_until_finished(3)
        assert hub.stop() == 0

    assert [told["id"] for told in written()] == ids
    assert written()[0]["body"] == {"agent": "somebody"}
    assert written()[0]["headers"] == {**HEADERS, "sent-at": "2014-03-28T09:46:40+00:00", "priority": 0}


# Consumers of fedmsg on fedora-messaging's bus


@contextmanager
def fedmsgs_hub(
    broker: Broker, directory: Path, name: str, config: dict[str, Any], *consumers: str, python: Path = HERE
) -> Iterator[HubProcess]:
    """A hub with consumers of fedmsg, of which the first one is enabled by fedmsg's configuration."""
    site = directory / "site.py"
    config = {"validate_signatures": False, "environment": "prod", ENABLED: True, **config}
    site.write_text(f"config = {config!r}\n", encoding="utf-8")
    queues = [f"{name}.{consumers[0].rpartition(':')[2]}"]
    options = ["--fedmsg-config", str(site), "--with-consumers", ",".join(consumers), "--with-producers", ""]
    with hub_on_broker(broker, directory, *options, queues=queues, name=name, python=python) as hub:
        yield hub


def test_a_consumer_of_fedmsg_sees_messages_in_fedmsgs_form(tmp_path: Path, broker: Broker) -> None:
    headers = {**HEADERS, "sent-at": "2014-03-28T09:46:40+00:00", "mine": [1]}
    with fedmsgs_hub(broker, tmp_path, "form", {}, f"{OLD_SITE}:Whole") as hub:
        publish(broker, "org.other", {})
        id = publish(broker, "org.site.x", {"agent": "somebody"}, headers=headers)
        consumer = hub.wait_until_finished(1).consumer("Whole")
        assert hub.stop() == 0

    assert consumer.processed == 1
    body = {
        "topic": "org.site.x",
        "msg": {"agent": "somebody"},
        "msg_id": id,
        "timestamp": 1396000000.0,
        "headers": headers,
        "queue": "form.Whole",
    }
    assert noted(tmp_path, "Whole") == [{"topic": "org.site.x", "body": body}]


@pytest.mark.timeout(300)  # what it needs may have to be installed
def test_datanommer_stores_every_message_of_this_bus_in_order(tmp_path: Path, broker: Broker) -> None:
    python, database = published_python(), tmp_path / "datanommer.db"
    code = f"import datanommer.models; datanommer.models.init('sqlite:///{database}', create=True)"
    subprocess.run([python, "-c", code], check=True)
    config = {"datanommer.enabled": True, "datanommer.sqlalchemy.url": f"sqlite:///{database}"}
    with fedmsgs_hub(broker, tmp_path, "store", config, *NOMMER, python=python) as hub:
        topic = "org.fedoraproject.prod.git.receive"
        ids = [publish(broker, topic, {"number": number}) for number in range(20)]
        consumer = hub.wait_until_finished(20).consumer("Nommer")
        assert hub.stop() == 0, hub.said()

    assert (consumer.processed, consumer.failed) == (20, 0)
    with closing(sqlite3.connect(database)) as connection:
        stored = connection.execute("select msg_id, topic, _msg from messages order by id").fetchall()
    assert [(id, where, json.loads(what)) for id, where, what in stored] == [
        (id, topic, {"number": number}) for number, id in enumerate(ids)
    ]


def test_who_checks_signatures_on_this_bus_is_told_that_there_are_none(tmp_path: Path, broker: Broker) -> None:
    with (
        pytest.raises(AssertionError, match="the hub has ended"),
        fedmsgs_hub(broker, tmp_path, "signed", {"validate_signatures": True}, f"{OLD_SITE}:Site"),
    ):
        pass

    said = (tmp_path / "signed.log").read_text(encoding="utf-8")
    assert "Site: it checks signatures, and messages of fedora-messaging have none" in said
    assert "set validate_signatures = False in fedmsg's configuration" in said
    assert "Traceback" not in said


def test_nothing_is_fetched_of_what_the_broker_has_kept(tmp_path: Path, broker: Broker) -> None:
    status = tmp_path / "status" / "kept"
    status.mkdir(parents=True)
    (status / "Site").write_text('{"message": {"body": {"msg_id": "1", "timestamp": 1}}}', encoding="utf-8")
    config = {"status_directory": str(tmp_path / "status"), "datagrepper_url": "http://127.0.0.1:1/raw"}
    with fedmsgs_hub(broker, tmp_path, "kept", config, f"{OLD_SITE}:Site") as hub:
        publish(broker, "org.site.x", "a")
        snapshot = hub.wait_until_finished(1)
        assert hub.stop() == 0

    assert snapshot.consumer("Site").processed == 1
    assert "datagrepper" not in hub.said()
