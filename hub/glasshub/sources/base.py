# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the enqueuer asks of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..failure import Park
from ..gaps import Gap
from ..message import Frame
from ..routing import Router


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
class QueueState:
    """A queue on a broker, as this hub sees it.

    Attributes:
        consumer: Whose it is, by index; None for one of the hub as a whole.
        name: Its name on the broker.
        asked_ns: When the broker last said what waits in it, monotonic; 0 when it has not since it was connected to.
        ready: Messages that waited in it then, and no hub has been given.
        hubs: How many subscribers it had then, of which this hub is one.
        unacknowledged: Messages that this hub has been given and has not acknowledged: waiting here, at hand, to be
            tried again.
        prefetch: How many of these this hub may have at the most, now, besides those that are to be tried again.
        redelivered: Messages that this hub was given, and that it or another had been given before.
        is_consuming: Whether the broker brings its messages to this hub, now.
    """

    consumer: int | None
    name: str
    asked_ns: int = 0
    ready: int = 0
    hubs: int = 0
    unacknowledged: int = 0
    prefetch: int = 0
    redelivered: int = 0
    is_consuming: bool = False


@dataclass(frozen=True)
class SourceState:
    """How a source is connected.

    Attributes:
        endpoints: How many endpoints it is configured with.
        connected: How many of them it is connected to now.
        disconnects: How often it has lost one since it was opened.
        lost: How many it was connected to once, and is not now.
        lost_ns: Since when that has been so, of the one that it has been so for longest, monotonic; 0 while none is.
        faults: How often something went wrong that is no lost endpoint: a queue was deleted, a channel closed.
        is_blocked: Whether the broker takes nothing from us now, for it lacks memory or disk.
        queues: What there is on a broker; nothing where there is none.
    """

    endpoints: int
    connected: int
    disconnects: int
    lost: int = 0
    lost_ns: int = 0
    faults: int = 0
    is_blocked: bool = False
    queues: Sequence[QueueState] = ()


class Source(Protocol):
    """A subscription to a message bus.

    Threads: enqueuer only, except for `acknowledge` and `wake`: any; and `close`, for which see there.
    """

    @property
    def kind(self) -> str:
        """A word for log and stats: `zmq`, ..."""

    @property
    def acknowledges(self) -> bool:
        """Whether the bus wants to be told when a message is done; if so the enqueuer sees to it that it is."""

    @property
    def park(self) -> Park | None:
        """Puts away on the bus what consumers gave up; None where that has no place for it. A consumer is named by its
        index in the router; the message's `completion` is told when it is there."""

    def open(self, router: Router) -> None:
        """Subscribe to all that the router's consumers want.

        Raises:
            SourceError: It cannot be opened as it is configured.
        """

    def subscribe(self, router: Router) -> None:
        """Subscribe to what that router's consumers want from now on, and to nothing else."""

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

    def finish(self) -> None:
        """Receive no more; what was received before may still be acknowledged."""

    def close(self) -> None:
        """End it; what was not acknowledged goes back to a bus that can take it.

        Called at the end, however it comes, and perhaps without `open`. Threads: any, when no other uses it any more.
        """
