# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which queues there are, and that they get all that their consumers want."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from glasshub.amqp.settings import AmqpSettings, Binding
from glasshub.amqp.topology import queues_of, routing_keys
from glasshub.config import Config, ConsumerSection, FedoraMessagingSection, HubSection
from glasshub.routing import Router

TOPICS = st.text("ab.é", max_size=12)


def matches(key: str, topic: str) -> bool:
    """Whether RabbitMQ's topic exchange has that key take that topic."""
    pattern = "".join(r"(\.[^.]*)*" if word == "#" else r"\." + re.escape(word) for word in key.split("."))
    return re.fullmatch(pattern, "." + topic) is not None


def config(**fedora_messaging: str) -> Config:
    return Config(hub=HubSection(name="h"), fedora_messaging=FedoraMessagingSection(**fedora_messaging))  # type: ignore[arg-type]


@given(st.lists(TOPICS, max_size=4), TOPICS, st.booleans())
def test_a_queue_gets_all_that_its_consumer_wants(wanted: list[str], topic: str, is_strict: bool) -> None:
    router = Router([wanted], strict=is_strict)
    if router.match(topic.encode()):
        assert any(matches(key, topic) for key in routing_keys(wanted, is_strict=is_strict))


def test_keys_are_no_wider_than_they_have_to_be() -> None:
    assert routing_keys(["org.one.", "org.two.*"], is_strict=False) == {"org.one.#", "org.two.#"}
    assert routing_keys(["org.on"], is_strict=False) == {"org.#"}
    assert routing_keys(["org.one", "org.two"], is_strict=True) == {"org.one", "org.two"}
    assert routing_keys(["org.", ""], is_strict=False) == {"#"}


def test_a_topic_that_is_too_long_for_a_key_is_cut_between_words() -> None:
    (key,) = routing_keys([".".join(["word"] * 100) + "."], is_strict=False)

    assert len(key) <= 255
    assert key.endswith("word.#")


def test_only_exchanges_that_are_used_and_may_be_made_are_declared() -> None:
    section = {"type": "topic"}
    settings = AmqpSettings(
        exchanges={"amq.topic": section, "mine": section, "other": section},
        bindings=[Binding("", "mine", ["#"])],
    )

    (queue,) = queues_of(config(), settings, Router([["org."]], names=["C"]))

    assert queue.exchanges == {"mine": section}


def test_a_queue_is_named_by_the_configuration() -> None:
    names = config(queue="{hub}-{consumer}")
    own = {"Own": ConsumerSection(queue="theirs")}
    router = Router([["a."], ["b."]], names=["C", "Own"])

    queues = queues_of(
        Config(hub=names.hub, fedora_messaging=names.fedora_messaging, consumers=own), AmqpSettings(), router
    )

    assert [queue.name for queue in queues] == ["h-C", "theirs"]
    assert [queue.parked for queue in queues] == ["h-C.parked", "theirs.parked"]
