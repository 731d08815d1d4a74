# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers and producers that publish, each in its way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api import PollingProducer

import glasshub
from glasshub import Consumer, Message

from .old_site import ENABLED, note


class Native(Consumer):
    """Publishes once more what it gets, under the topic that its settings name."""

    topics = ("org.ask.",)

    def consume(self, message: Message) -> None:
        """Do so."""
        glasshub.publish(self.settings["topic"], message.body["msg"], severity=30, headers={"asked": True})


class Threaded(Native):
    """Publishes from a thread of its own."""

    def consume(self, message: Message) -> None:
        """Do so."""
        thread = threading.Thread(target=super().consume, args=[message])
        thread.start()
        thread.join()


class Waiting(Native):
    """Publishes once somebody has written into the FIFO."""

    def consume(self, message: Message) -> None:
        """Do so."""
        Path("fifo").read_bytes()
        super().consume(message)


class Stubborn(Native):
    """Notes what it is told when it cannot publish."""

    def consume(self, message: Message) -> None:
        """Do so."""
        try:
            super().consume(message)
        except glasshub.PublishError as error:
            note(self, [error.reason, error.topic])
            raise


class Old(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Sends through the hub, as fedmsg's own consumers do."""

    config_key = ENABLED
    topic = "org.ask.*"

    def consume(self, message: Any) -> None:
        """Do so."""
        self.hub.send_message("org.answer.old", message["body"]["msg"])


class Polled(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Publishes once by itself, in both ways."""

    frequency = 0.01

    def poll(self) -> None:
        """Do so."""
        self.hub.send_message("org.answer.producer", {"how": "send_message"})
        glasshub.publish("org.answer.producer", {"how": "publish"})
        Path("polled").touch()
        self.die = True
