# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that a consumer, or its process, does not survive, on a real broker: each is parked there, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools.rabbitmq import Broker

from ..needs import module
from .brokers import EXCHANGE, HEADERS, channel_of, depth, hub_on_broker
from .hubs import wait_until

TOPIC = "org.parking"

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

    @property
    def headers(self) -> Mapping[str, Any]:
        """Its headers."""
        headers: Mapping[str, Any] = self.properties.headers
        return headers


def publish_numbered(broker: Broker, count: int, topic: str = TOPIC, **properties: Any) -> list[str]:
    """Publish messages whose ids are known beforehand."""
    ids = [f"m-{number:04}" for number in range(count)]
    with channel_of(broker) as channel:
        for one in ids:
            all_properties = {"message_id": one, "delivery_mode": 2, "headers": HEADERS, **properties}
            channel.basic_publish(EXCHANGE, topic, b'{"id": 1 }', module("pika").BasicProperties(**all_properties))
    return ids


def taken(broker: Broker, queue: str) -> list[Letter]:
    """Take everything out of a queue."""
    letters = []
    with channel_of(broker) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return letters
            letters.append(Letter(method.routing_key, properties, body))


def section(journal: Path, more: str, **settings: Any) -> str:
    """A consumer's section."""
    told = {"file": str(journal), **settings}
    table = ", ".join(f"{key} = {value!r}" for key, value in told.items())
    return f'[consumers.Deadly]\nclass = "tests.integration.crashing:Deadly"\ntopics = ["org."]\n{more}settings = {{{table}}}\n'


@pytest.mark.slow
@pytest.mark.parametrize("deed", POISONS)
def test_of_a_thousand_messages_the_poisonous_one_is_parked_and_the_others_are_handled(
    broker: Broker, tmp_path: Path, deed: str
) -> None:
    journal, queue = tmp_path / "journal", f"{deed}.Deadly"
    toml = section(journal, POISONS[deed], on="m-0500", deed=deed)
    with hub_on_broker(broker, tmp_path, toml=toml, name=deed, queues=[queue]) as hub:
        ids = publish_numbered(broker, 1000)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].parked, "the message to be parked")
        wait_until(lambda: len(set(journal.read_text().split())) == 999, "the others")
        wait_until(lambda: depth(broker, f"{queue}.parked").ready == 1, "the message")
        assert hub.stop() == 0

    assert set(ids) - set(journal.read_text().split()) == {"m-0500"}
    assert depth(broker, queue).ready == 0
    (letter,) = taken(broker, f"{queue}.parked")
    assert (letter.topic, letter.properties.message_id, letter.body) == (TOPIC, "m-0500", b'{"id": 1 }')
    assert letter.headers.items() >= HEADERS.items()
    assert letter.headers["x-glasshub-consumer"] == "Deadly"
