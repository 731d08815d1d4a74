# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes into a consumer's queue on the broker where fedora-messaging's configuration has bindings."""

from __future__ import annotations

import pytest

from glasshub.amqp.settings import AmqpSettings, Binding
from glasshub.amqp.topology import queues_of
from glasshub.config import Config
from glasshub.routing import BINDINGS, Router

THEIRS = (Binding("q", "amq.topic", ["org.*.bodhi.#", "org.koji"]), Binding("r", "zmq.topic", ["#"]))


def bindings(
    topic: str, theirs: tuple[Binding, ...] = THEIRS, *, strict: bool = False
) -> list[tuple[str, str, list[str]]]:
    (queue,) = queues_of(Config(), AmqpSettings(bindings=theirs), Router([(topic,)], names=["a"], strict=strict))
    assert {binding.queue for binding in queue.bindings} == {"glasshub.a"}
    return [(binding.queue, binding.exchange, list(binding.routing_keys)) for binding in queue.bindings]


@pytest.mark.parametrize("strict", [False, True])
def test_a_consumer_of_all_that_they_bring_has_them_as_they_stand(strict: bool) -> None:
    assert bindings(BINDINGS, strict=strict) == [
        ("glasshub.a", "amq.topic", ["org.*.bodhi.#", "org.koji"]),
        ("glasshub.a", "zmq.topic", ["#"]),
    ]


def test_a_consumer_with_topics_of_its_own_has_those() -> None:
    assert bindings("org.fedoraproject.") == [("glasshub.a", "amq.topic", ["org.fedoraproject.#"])]


@pytest.mark.parametrize("strict", [False, True])
def test_without_bindings_it_is_everything(strict: bool) -> None:
    assert bindings(BINDINGS, (), strict=strict) == [("glasshub.a", "amq.topic", ["#"])]
