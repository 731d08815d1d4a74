# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the enqueuer asks of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..gaps import Gap
from ..message import Frame


@dataclass
class Batch:
    """What one call of `receive` brought.

    Attributes:
        frames: The messages, in the order in which they came.
        malformed: Messages that are not one topic and one body.
        size: Bytes of all of them, of the malformed ones too.
        gaps: Windows in which messages may have been lost, each once, with the first batch after it has closed. A bus
            that keeps what nobody has acknowledged has none.
    """

    frames: list[Frame] = field(default_factory=list)
    malformed: int = 0
    size: int = 0
    gaps: Sequence[Gap] = ()


@dataclass(frozen=True)
class SourceState:
    """How a source is connected.

    Attributes:
        endpoints: How many endpoints it is configured with.
        connected: How many of them it is connected to now.
        disconnects: How often it has lost one since it was opened.
        lost: How many it was connected to once, and is not now.
        lost_ns: Since when that has been so, of the one that it has been so for longest, monotonic; 0 while none is.
    """

    endpoints: int
    connected: int
    disconnects: int
    lost: int = 0
    lost_ns: int = 0


class Source(Protocol):
    """A subscription to a message bus. Threads: enqueuer only, except for `acknowledge` and `wake`: any."""

    @property
    def kind(self) -> str:
        """A word for log and stats: `zmq`, ..."""

    @property
    def acknowledges(self) -> bool:
        """Whether the bus wants to be told when a message is done; if so the enqueuer sees to it that it is."""

    def open(self, prefixes: Sequence[bytes]) -> None:
        """Subscribe to all topics that begin with one of the prefixes.

        Raises:
            SourceError: It cannot be opened as it is configured.
        """

    def subscribe(self, prefixes: Sequence[bytes]) -> None:
        """Subscribe to all topics that begin with one of these prefixes from now on, and to no others."""

    def wake(self) -> None:
        """End a `receive` that waits for a message, or else the next one that would. Threads: any."""

    def receive(self, timeout: float, limit: int) -> Batch:
        """What has come: at least one message, unless `timeout` seconds pass without any or somebody wakes us; at
        most `limit`.

        Raises:
            SourceError: Receiving failed, and may be tried again.
        """

    def acknowledge(self, frame: Frame) -> None:
        """Tell the bus that the message is done: every interested consumer has finished with it."""

    def state(self) -> SourceState:
        """How the source is connected now."""

    def close(self) -> None:
        """End the subscription; what was received and not acknowledged goes back to a bus that can take it."""
