# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unmodified consumers of fedmsg and Moksha, in Moksha's own blocking mode.

With `moksha.blocking_mode` set, the callback that a consumer passes to `hub.subscribe` does the work in the thread
that calls it, and says how it went. So our queue and our worker call their code, and nothing of theirs is patched.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..errors import HubError, MessageError
from ..message import Frame
from ..routing import prefix_of
from ..stats import Outcome

logger = logging.getLogger(__name__)

Callback = Callable[[Any], Any]


def is_moksha_consumer(cls: type) -> bool:
    """Whether a class is a consumer of Moksha, as those of fedmsg are."""
    return any(base.__module__ == "moksha.hub.api.consumer" for base in cls.__mro__)


class BusMessage:
    """A message as Moksha's zeromq backend hands it to a callback: undecoded, for each consumer decodes its own."""

    def __init__(self, topic: str, body: str) -> None:
        self.topic = topic
        self.body = body

    def __json__(self) -> dict[str, str]:
        """What `FedmsgConsumer.validate` asks of it."""
        return {"topic": self.topic, "body": self.body}

    def __repr__(self) -> str:
        """Topic and body, for the consumer's log."""
        return f"<BusMessage topic={self.topic!r} body={self.body!r}>"


class MokshaHub:
    """The hub as such a consumer sees it.

    Attributes:
        config: fedmsg's configuration, a dict that consumers may write to.
        topics: Callbacks by topic.
        consumers: The consumers that are up.
    """

    def __init__(self, config: dict[str, Any], *, strict: bool, stop: Callable[[], None]) -> None:
        """Take fedmsg's configuration, and what to call when a consumer wants the hub to stop."""
        self.config = config
        self._strict = strict
        self.config["moksha.blocking_mode"] = True
        self.topics: dict[str, list[Callback]] = defaultdict(list)
        self.consumers: list[Any] = []
        self.stop = stop

    def subscribe(self, topic: str, callback: Callback) -> None:
        """Have the callback called with each message of the topic."""
        self.topics[topic].append(callback)

    def unsubscribe(self, callback: Callback) -> None:
        """Forget a callback."""
        for callbacks in self.topics.values():
            if callback in callbacks:
                callbacks.remove(callback)

    def close(self) -> None:
        """Nothing: Moksha's consumers close the hub whenever one of them stops, but ours owns its connections."""

    def build(self, cls: type) -> MokshaConsumer | None:
        """Build a consumer.

        Returns:
            None when the consumer's configuration leaves it disabled.

        Raises:
            Exception: Its constructor did. What it had subscribed to by then is forgotten.
        """
        before = {topic: list(callbacks) for topic, callbacks in self.topics.items()}
        try:
            consumer = cls(self)
        except BaseException:
            self.topics.clear()
            self.topics.update(before)
            raise
        if not getattr(consumer, "_initialized", False):
            return None
        subscriptions = [
            (topic, callback)
            for topic, callbacks in self.topics.items()
            for callback in callbacks[len(before.get(topic, ())) :]
        ]
        bound = MokshaConsumer(consumer, subscriptions, strict=self._strict)
        self.consumers.append(consumer)
        return bound


class MokshaConsumer:
    """Binds a consumer of fedmsg or Moksha to the hub."""

    def __init__(self, consumer: Any, subscriptions: list[tuple[str, Callback]], *, strict: bool) -> None:
        self._consumer = consumer
        self._matches: Callable[[bytes, bytes], bool] = bytes.__eq__ if strict else bytes.startswith
        self._subscriptions = [(prefix_of(topic), callback) for topic, callback in subscriptions]
        self.topics = tuple(topic for topic, _ in subscriptions)

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`.

        The callback returns True when `consume` returned, False when it raised (Moksha has logged it then), None
        when validation refused the message.
        """
        try:
            message = BusMessage(frame.topic.decode("utf-8"), frame.body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise MessageError(f"the body of {frame.topic!r} is not UTF-8: {error}") from None
        results = [callback(message) for callback in self._callbacks(frame.topic)]
        if any(result is False for result in results):
            return Outcome.FAILED
        return Outcome.INVALID if None in results else Outcome.PROCESSED

    def close(self) -> None:
        """See `BoundConsumer.close`."""
        self._consumer.stop()

    def _callbacks(self, topic: bytes) -> list[Callback]:
        """Each callback that wants the topic, once."""
        return list(dict.fromkeys(callback for prefix, callback in self._subscriptions if self._matches(topic, prefix)))


def require_moksha() -> None:
    """See that what fedmsg's consumers import can be imported.

    Raises:
        HubError: Something is missing; it says what to install.
    """
    try:
        import fedmsg.consumers  # noqa: F401
    except ImportError as error:
        raise HubError(
            f"consumers of fedmsg cannot be loaded: {error}: install fedmsg[consumers], and setuptools < 81, "
            f"the last one with the pkg_resources that Moksha imports"
        ) from error
