# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a consumer is: to the person who writes one, and to the hub that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from .message import Frame, Message, decode
from .stats import Outcome

_PROCESSED = Outcome.PROCESSED
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


class Consumer:
    """Base class of native consumers: set `topics`, write `consume`.

    The hub builds one object of the class and calls `consume` from its worker threads: from one thread, unless the
    configuration says `workers = N`.

    Attributes:
        topics: Topic prefixes that it wants; `""` is everything. Every `*` in one is ignored, as in Moksha.
        settings: The `settings` table of its section in the configuration.
    """

    topics: tuple[str, ...] = ()

    def __init__(self, settings: Mapping[str, Any] = _NO_SETTINGS) -> None:
        """Prepare for work; an exception here stops this consumer only."""
        self.settings = settings

    def consume(self, message: Message) -> None:
        """Handle one message; may block for as long as it takes.

        Raises:
            MessageError: This consumer cannot read the message, which then counts as invalid.
            Drop: Nothing is to be done with it.
            Retry: It is to be tried again later.
            Halt: The hub is to stop, for this consumer cannot go on.
            Exception: Anything else is logged; the message is tried again if the configuration says so, and counts as
                failed otherwise. The worker goes on with the next message.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to consume a message")

    def close(self) -> None:
        """Give resources back; called once, after the last message, in the hub's main thread."""


class Inlet(Protocol):
    """A consumer's own queue, for work that does not come from the bus. Threads: any."""

    def put(self, frame: Frame) -> None:
        """Append to the queue, or drop the frame or others, as its overflow policy says; never blocks."""

    def take(self, timeout: float | None) -> Frame | None:
        """Take the next frame out of the queue, past the workers.

        Args:
            timeout: Seconds to wait for one; None for as long as it takes.

        Returns:
            None when there is none in that time, when there will be no more, or when the shape of dispatch has no
            queue that one consumer could take from.
        """

    def __len__(self) -> int:
        """How many messages wait."""


class BoundConsumer(Protocol):
    """A consumer that has been built, as the hub sees it: whatever its kind."""

    @property
    def author(self) -> object:
        """The object that its author wrote."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Topic prefixes that it wants; they may change once it is connected."""

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """Be shown its queue, and what to call when `topics` has changed; once, before the first message."""

    def handle(self, frame: Frame) -> Outcome:
        """Have the consumer handle a message, in the calling thread.

        Raises:
            MessageError: The consumer cannot read it.
            ConsumerSignal: The consumer says what becomes of it.
            Exception: The consumer raised it.
        """

    def close(self) -> None:
        """Have the consumer give its resources back."""


class NativeConsumer:
    """Binds a `Consumer` to the hub."""

    def __init__(self, consumer: Consumer, topics: tuple[str, ...] = ()) -> None:
        """Take the consumer, and topics that the configuration sets instead of its own."""
        self.author = consumer
        self._consume = consumer.consume
        self.topics = topics or _topics_of(consumer)
        self.close = consumer.close

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """See `BoundConsumer.connect`; a native consumer needs neither."""

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        self._consume(decode(frame))
        return _PROCESSED


def _topics_of(consumer: Consumer) -> tuple[str, ...]:
    """Its topics; a lone string, which is easily written by mistake, is one topic and not one for each letter."""
    found: Any = consumer.topics
    topics = (found,) if isinstance(found, str) else tuple(found)
    if not all(isinstance(topic, str) for topic in topics):
        raise TypeError(f"topics must be strings, not {found!r}")
    return topics
