# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers and producers of the hub that NRPE is asked about."""

from __future__ import annotations

from pathlib import Path

from moksha.hub.api import PollingProducer

from glasshub import Consumer, Message


class Mailer(Consumer):
    """Waits at its first message until somebody writes into the FIFO that its settings name."""

    topics = ("org.",)

    def consume(self, message: Message) -> None:
        """Wait."""
        Path(self.settings["fifo"]).read_bytes()


class Badges(Consumer):
    """Fails on what is meant for it."""

    topics = ("org.fedoraproject.prod.badges",)

    def consume(self, message: Message) -> None:
        """Fail."""
        raise RuntimeError("no such badge")


class DigestProducer(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Polls at once, and then once an hour."""

    frequency = 3600
    now = True

    def poll(self) -> None:
        """Do nothing."""
