# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers of fedmsg's kind, ten of each: the same classes run in fedmsg-hub and in Glasshub."""

from __future__ import annotations

from typing import Any

from fedmsg.consumers import FedmsgConsumer

from .consumers import compute
from .letters import TOPIC
from .tallies import TALLIES

#: Enables them in fedmsg's configuration.
KEY = "glasshub.benchmarks"


class _Tallying(FedmsgConsumer):  # type: ignore[misc] # fedmsg has no types
    """Does nothing with a message but put it on its tally."""

    topic = f"{TOPIC}.*"
    config_key = KEY

    def __init__(self, hub: Any) -> None:
        name = type(self).__name__
        self.tally = TALLIES[name[:4]](name)
        super().__init__(hub)

    def consume(self, message: Any) -> None:
        """Put it on the tally."""
        self.tally.note(message["body"])


class _Working(_Tallying):
    """Computes, and then puts the message on its tally."""

    def consume(self, message: Any) -> None:
        """Do both."""
        compute()
        super().consume(message)


for _number in range(10):
    for _kind, _base in (("Noop", _Tallying), ("Late", _Tallying), ("Work", _Working)):
        globals()[f"{_kind}{_number}"] = type(f"{_kind}{_number}", (_base,), {})
