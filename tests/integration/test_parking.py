# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that a consumer, or its process, does not survive: on a real broker they are parked, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools.rabbitmq import Broker

from ..needs import module
from .brokers import EXCHANGE, HEADERS, channel_of, delete_queues, depth, hub_on_broker, publish_many, settings_file
from .hubs import DEADLINE, ROOT, HubProcess, wait_until
from .subscribers import subscriber

#: JSON, and not as anybody would write it.
BODY = b'{"id": 1 } '

#: What becomes of one message, and how its consumer's section has that ended.
POISONS = {
    "raise": "park = true\nretry = 1\nretry_delay = 0.05\n",
    "exit": "max_deaths = 2\n",
    "block": "max_deaths = 1\nmax_processing = 0.5\nreplace = true\n",
}


class Letter(NamedTuple):
    """A message as it is in a queue."""

    topic: str
    properties: Any
    body: bytes


def publish_numbered(broker: Broker, count: int, topic: str, **properties: Any) -> list[str]:
    """Publish messages whose ids are known beforehand."""
    ids = [f"m-{number:04}" for number in range(count)]
    with channel_of(broker) as channel:
        for one in ids:
            all_properties = {"message_id": one, "delivery_mode": 2, "headers": HEADERS, **properties}
            channel.basic_publish(EXCHANGE, topic, BODY, module("pika").BasicProperties(**all_properties))
    return ids


def taken(broker: Broker, queue: str) -> list[Letter]:
    """Take everything out of a queue."""
    letters: list[Letter] = []
    with channel_of(broker) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return letters
            letters.append(Letter(method.routing_key, properties, body))


def section(name: str, more: str, **settings: Any) -> str:
    """The section of the consumer that does not survive each message; it gets what is published to that name."""
    table = ", ".join(f"{key} = {value!r}" for key, value in settings.items())
    return (
        '[consumers.Deadly]\nclass = "tests.integration.crashing:Deadly"\n'
        f'topics = ["org.{name}."]\nsettings = {{{table}}}\n{more}'
    )


@contextmanager
def failing_hub(broker: Broker, directory: Path, name: str, more: str = "", **settings: Any) -> Iterator[HubProcess]:
    """A hub whose consumer fails on message m-0000, and has it parked; its queue is there."""
    told = {"file": str(directory / "journal"), "on": "m-0000", "deed": "raise", **settings}
    toml = section(name, f"park = true\n{more}", **told)
    with hub_on_broker(broker, directory, toml=toml, name=name) as hub:
        wait_until(lambda: "subscribed" in hub.said(), "the hub to subscribe")
        yield hub


def handled(directory: Path) -> list[str]:
    """What the consumer has handled."""
    journal = directory / "journal"
    return journal.read_text(encoding="ascii").split() if journal.exists() else []


def wait_until_parked(broker: Broker, queue: str, count: int = 1) -> None:
    """Wait until so many messages of a queue are parked."""
    wait_until(lambda: depth(broker, f"{queue}.parked").ready == count, f"{count} messages in {queue}.parked")


def command(directory: Path, name: str, *arguments: str, code: int = 0) -> str:
    """What `glasshub parked` says for the hub of that name; on standard error, if it is to fail."""
    place = ["--config", f"{name}.toml", "--name", name, "--fedora-messaging", f"{name}.fm.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "glasshub", "parked", *arguments, *place],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("deed", POISONS)
def test_of_a_thousand_messages_the_poisonous_one_is_parked_and_the_others_are_handled(
    broker: Broker, tmp_path: Path, deed: str
) -> None:
    queue = f"{deed}.Deadly"
    toml = section(deed, POISONS[deed], on="m-0500", deed=deed, file=str(tmp_path / "journal"))
    with hub_on_broker(broker, tmp_path, toml=toml, name=deed, queues=[queue]) as hub:
        ids = publish_numbered(broker, 1000, f"org.{deed}.x")
        wait_until(lambda: len(set(handled(tmp_path))) == 999, "the others")
        wait_until_parked(broker, queue)
        assert hub.snapshot().consumers[0].parked == 1
        assert hub.stop() == 0

    assert set(ids) - set(handled(tmp_path)) == {"m-0500"}
    assert depth(broker, queue).ready == 0, "a message was handled or parked, and not acknowledged"
    assert [letter.properties.message_id for letter in taken(broker, f"{queue}.parked")] == ["m-0500"]


def test_a_parked_message_is_as_it_was_and_says_why(broker: Broker, tmp_path: Path) -> None:
    headers = {**HEADERS, "CC": ["nowhere"], "table": {"a": [1]}, "x-delivery-count": "many"}
    own = {"type": "x", "correlation_id": "17", "priority": 3, "expiration": "600000", "user_id": "guest"}
    with failing_hub(broker, tmp_path, "why", "retry = 2\nretry_delay = 0.01\n"):
        publish_numbered(broker, 1, "org.why.x", **own, headers=headers)
        wait_until_parked(broker, "why.Deadly")

    (letter,) = taken(broker, "why.Deadly.parked")
    properties = letter.properties
    assert (letter.topic, letter.body, properties.message_id) == ("org.why.x", BODY, "m-0000")
    assert (properties.type, properties.correlation_id, properties.priority) == ("x", "17", 3)
    assert properties.delivery_mode == 2
    assert properties.expiration is None, "it would not be there for long"
    told = dict(properties.headers)
    assert told.pop("x-glasshub-failed-at")[:2] == "20"
    assert told.pop("x-glasshub-traceback").endswith("RuntimeError: no such badge\n")
    told.pop("x-delivery-count")
    assert told == {
        **HEADERS,
        "table": {"a": [1]},
        "x-glasshub-hub": "why",
        "x-glasshub-consumer": "Deadly",
        "x-glasshub-error": "RuntimeError: no such badge",
        "x-glasshub-attempts": 3,
    }


def test_what_cannot_be_parked_is_kept_in_its_own_queue(broker: Broker, tmp_path: Path) -> None:
    with failing_hub(broker, tmp_path, "lost") as hub:
        delete_queues(broker, "lost.Deadly.parked")
        publish_numbered(broker, 2, "org.lost.x")
        wait_until(lambda: "cannot park a message in lost.Deadly.parked" in hub.said(), "the hub to say so")
        wait_until(lambda: handled(tmp_path) == ["m-0001"], "the other message")
        hub.stop()

    assert [letter.properties.message_id for letter in taken(broker, "lost.Deadly")] == ["m-0000"]


def test_what_waits_to_be_tried_again_is_given_back_by_a_hub_that_dies(broker: Broker, tmp_path: Path) -> None:
    """Its attempts begin anew: of the two that there are, none is the last."""
    more = "retry = 1\nretry_delay = 86400.0\nretry_delay_max = 86400.0\n"
    for _ in range(3):
        with failing_hub(broker, tmp_path, "anew", more) as hub:
            if not handled(tmp_path):
                publish_numbered(broker, 2, "org.anew.x")
            hub.wait_until(lambda snapshot: snapshot.consumers[0].delayed, "the message to wait")
            wait_until(lambda: "m-0001" in handled(tmp_path), "the other one")

    wait_until(lambda: depth(broker, "anew.Deadly").ready >= 1, "the broker to have the message back")
    assert "m-0000" in [letter.properties.message_id for letter in taken(broker, "anew.Deadly")]
    assert depth(broker, "anew.Deadly.parked").ready == 0


def test_what_is_parked_is_listed_shown_and_forgotten_while_the_hub_runs(broker: Broker, tmp_path: Path) -> None:
    with failing_hub(broker, tmp_path, "look"):
        publish_numbered(broker, 1, "org.look.x")
        wait_until_parked(broker, "look.Deadly")

        head, row = command(tmp_path, "look", "list").splitlines()
        shown = command(tmp_path, "look", "show", "m-0000")
        complaint = command(tmp_path, "look", "discard", "m-0001", code=1)
        again = command(tmp_path, "look", "list", "--queue", "look.Deadly").splitlines()[1]
        forgotten = command(tmp_path, "look", "discard", "m-0000", "--consumer", "Deadly")

    assert head.split() == ["ID", "QUEUE", "PARKED", "ATTEMPTS", "TOPIC", "ERROR"]
    assert row.split()[:2] == ["m-0000", "look.Deadly"]
    assert row.split()[4:] == ["1", "org.look.x", "RuntimeError:", "no", "such", "badge"]
    assert again == row, "a look changes nothing"
    assert shown.startswith("message m-0000, 11 bytes\ntopic: org.look.x\n")
    assert "parked by Deadly of hub look after 1 attempts, " in shown
    assert "    RuntimeError: no such badge" in shown
    assert complaint == "glasshub: no message m-0001 is parked: see `glasshub parked list`\n"
    assert forgotten == "look.Deadly: message m-0000 is forgotten\n"
    assert depth(broker, "look.Deadly.parked").ready == 0


def test_what_is_parked_is_given_back_as_it_was(broker: Broker, tmp_path: Path) -> None:
    """To the consumer alone, with its topic, and without what we have said of it."""
    with failing_hub(broker, tmp_path, "back"):
        publish_numbered(broker, 2, "org.back.x")
        wait_until_parked(broker, "back.Deadly")

        said = command(tmp_path, "back", "retry", "--all")
        wait_until_parked(broker, "back.Deadly")  # it has failed again
    command(tmp_path, "back", "retry", "m-0000")

    (letter,) = taken(broker, "back.Deadly")
    assert said == "back.Deadly: message m-0000 waits again\n"
    assert (letter.topic, letter.properties.message_id, letter.body) == ("org.back.x", "m-0000", BODY)
    assert letter.properties.headers == {**HEADERS, "x-delivery-count": 0}
    assert handled(tmp_path) == ["m-0001"]
    assert depth(broker, "back.Deadly.parked").ready == 0


def test_a_broker_that_is_not_there_or_refuses_is_one_line(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "away.toml").write_text("", encoding="ascii")
    settings_file(tmp_path, broker, url="amqp://guest:guest@127.0.0.1:1/", name="away.fm.toml")
    away = command(tmp_path, "away", "list", "--queue", "q", code=1)
    settings_file(tmp_path, broker, name="away.fm.toml")
    unknown = command(tmp_path, "away", "list", "--queue", "no-such-queue", code=1)
    settings_file(tmp_path, broker, url=broker.url.replace("guest:guest", "guest:guess"), name="away.fm.toml")
    refused = command(tmp_path, "away", "list", "--queue", "q", code=1)
    with channel_of(broker) as channel:
        channel.queue_declare("q.parked")
        channel.basic_publish("", "q.parked", BODY)
    broker.control("add_user", "guest2", "guest")
    broker.control("set_permissions", "guest2", "^$", "^$", "^$")
    settings_file(tmp_path, broker, url=broker.url.replace("guest:guest", "guest2:guest"), name="away.fm.toml")
    forbidden = command(tmp_path, "away", "list", "--queue", "q", code=1)

    assert (
        away == "glasshub: cannot connect to 127.0.0.1:1: [Errno 111] Connection refused: "
        f"see amqp_url in {tmp_path}/away.fm.toml\n"
    )
    assert "no queue 'no-such-queue.parked'" in unknown
    assert "ACCESS_REFUSED - Login was refused" in refused
    assert "ACCESS_REFUSED - access to queue 'q.parked' in vhost '/' refused for user 'guest2'" in forbidden, forbidden
    assert forbidden.count("\n") == 1


@pytest.mark.slow
def test_a_message_that_kills_hub_after_hub_is_parked_by_the_broker_and_its_neighbours_are_not(
    broker: Broker, tmp_path: Path
) -> None:
    """In one process, where it is the hub that dies. The first message kills, and others come along with it."""
    toml = "[fedora-messaging]\ndelivery_limit = 4\n[hub]\nshape = 'threads'\n"
    toml += section("again", "", on="m-0000", deed="exit", file=str(tmp_path / "journal"))
    with hub_on_broker(broker, tmp_path, toml=toml, name="again", queues=["again.Deadly"]) as hub:
        hub.stop()
    publish_numbered(broker, 4, "org.again.x")
    for _ in range(5):
        with hub_on_broker(broker, tmp_path, toml=toml, name="again") as hub:
            hub.process.wait(DEADLINE)
    wait_until_parked(broker, "again.Deadly")
    with failing_hub(broker, tmp_path, "again", "[fedora-messaging]\ndelivery_limit = 4\n"):
        wait_until(lambda: len(set(handled(tmp_path))) == 3, "the others")
        row = command(tmp_path, "again", "list").splitlines()[1]
        command(tmp_path, "again", "retry", "m-0000")
        wait_until(lambda: "RuntimeError" in command(tmp_path, "again", "list"), "the consumer to have failed on it")

    assert row.split()[:2] == ["m-0000", "again.Deadly"]
    assert row.endswith("-         org.again.x  parked by the broker: delivery_limit")
    assert [letter.properties.message_id for letter in taken(broker, "again.Deadly.parked")] == ["m-0000"]
    assert depth(broker, "again.Deadly").ready == 0


def test_what_has_come_back_often_comes_one_at_a_time(broker: Broker) -> None:
    """And what of it is to be tried again later keeps nobody waiting."""
    with subscriber(broker, delivery_limit=2) as found:
        publish_many(broker, 3, found.prefix)
        found.receive(2)
        broker.control("close_all_connections", "for a test")  # so both have come back once

        (first,) = found.receive(1)
        found.receive_no_more()
        first.again(0)
        (second,) = found.receive(1)
        found.receive_no_more()
        found.finish([second])
        found.finish(found.receive(1))
