# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hubs on a real RabbitMQ: what is published there is processed, acknowledged, and seen."""

from __future__ import annotations

from pathlib import Path

from tools.rabbitmq import Broker

from .brokers import depth, hub_on_broker, publish_many

EVERYTHING = "tests.integration.consumers:Everything"


def test_a_message_is_processed_and_acknowledged(broker: Broker, tmp_path: Path) -> None:
    with hub_on_broker(broker, tmp_path, "--consumer", EVERYTHING, queues=["h.Everything"]) as hub:
        publish_many(broker, 10, "org.fedoraproject.test")
        hub.wait_until_finished(10)
        assert hub.stop() == 0
    assert depth(broker, "h.Everything") == (0, 0)
