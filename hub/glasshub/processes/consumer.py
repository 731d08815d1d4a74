# SPDX-License-Identifier: LGPL-2.1-or-later
"""A consumer that is in a worker process, as the hub sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..consumer import Inlet
from ..message import Frame, NotedFrame
from ..stats import Outcome
from .keeper import Keeper


class RemoteConsumer:
    """Stands for a consumer in a worker process.

    Attributes:
        author: None: what its author wrote is not here.
        keeper: Keeps its process.
        place: By which number its process knows it.
        topics: See `BoundConsumer.topics`; its process tells when they change.
    """

    author = None

    def __init__(self, keeper: Keeper, place: int, topics: Sequence[str]) -> None:
        self.keeper = keeper
        self.place = place
        self.topics = tuple(topics)
        self._inlet: Inlet | None = None
        self._topics_changed: Callable[[], None] = lambda: None

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """See `BoundConsumer.connect`."""
        self._inlet = inlet
        self._topics_changed = topics_changed

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`; never called."""
        raise NotImplementedError("this consumer is in another process")

    def close(self) -> None:
        """Nothing: its process closes it."""

    def put(self, topic: bytes, body: bytes, received_ns: int) -> None:
        """Put what it has put into its own queue. Threads: any."""
        assert self._inlet is not None, "its process puts nothing before the hub is connected"
        self._inlet.put(NotedFrame(topic, body, received_ns, is_pickled=True))

    def resubscribe(self, topics: Sequence[str]) -> None:
        """Take other topics. Threads: any."""
        if tuple(topics) != self.topics:
            self.topics = tuple(topics)
            self._topics_changed()
