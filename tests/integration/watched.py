# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers and producers of fedmsg and Moksha for the tests of Moksha's monitoring socket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api import PollingProducer


class Third(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Fails on every third message."""

    topic: Sequence[str] = "org.fedoraproject.*"
    config_key = "watched.enabled"
    validate_signatures = False
    seen = 0

    def consume(self, message: Any) -> None:
        """Fail or not."""
        self.seen += 1
        if self.seen % 3 == 0:
            raise RuntimeError("a third message")


class Gate(Third):
    """Waits at each message until somebody writes into the FIFO that the configuration names."""

    def consume(self, message: Any) -> None:
        """Wait."""
        Path(self.hub.config["watched.fifo"]).read_bytes()


class Wordy(Third):
    """Wants so many topics that a document about it has 100 KB."""

    topic = tuple(f"org.fedoraproject.dev.{'x' * 100}.{number}" for number in range(800))


class Burner(Third):
    """Needs ten milliseconds of a processor for each message."""

    def consume(self, message: Any) -> None:
        """Burn."""
        sum(range(400_000))


class Broken(PollingProducer):  # type: ignore[misc]
    """Fails each time."""

    frequency = 0.05

    def poll(self) -> None:
        """Fail."""
        raise RuntimeError("nothing to produce")
