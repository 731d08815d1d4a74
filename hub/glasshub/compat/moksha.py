# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hub as consumers and producers of fedmsg and Moksha see it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import DisabledError
from ..logs import Repeats, held_back
from .consumers import MokshaConsumer
from .status_files import leave_out_fetch
from .subscriptions import Callback, Current, Subscriptions

logger = logging.getLogger(__name__)

Send = Callable[[bytes, bytes], None]


def is_moksha_consumer(cls: type) -> bool:
    """Whether a class is a consumer of Moksha, as those of fedmsg are."""
    return _descends_from(cls, "moksha.hub.api.consumer")


def is_moksha_producer(cls: type) -> bool:
    """Whether a class is a producer of Moksha."""
    return _descends_from(cls, "moksha.hub.api.producer")


class MokshaHub:
    """What they find as `self.hub`, and in `moksha.hub._hub`.

    Attributes:
        config: fedmsg's configuration, a dict that they may write to.
        topics: Callbacks by topic.
        consumers: The consumers that are up; complete before the first producer is built.
        producers: The producers.
    """

    def __init__(
        self, config: dict[str, Any], *, strict: bool, stop: Callable[[], None], send: Send | None = None
    ) -> None:
        """Be the hub of this process.

        Args:
            config: fedmsg's configuration.
            strict: Whether a subscription is the whole topic.
            stop: Called when one of them wants the hub to stop; threads: any.
            send: Publishes a topic and a body; None where the configuration names no endpoint for that. Threads: any.
        """
        self.config = config
        self.config["moksha.blocking_mode"] = True
        self.topics: dict[str, list[Callback]] = defaultdict(list)
        self.consumers: list[Any] = []
        self.producers: list[Any] = []
        # Each of Moksha's consumers closes the hub when it stops; to have one stop is to have all stop.
        self.stop = self.close = stop
        self._strict = strict
        self._send = send
        self._current = Current()
        self._subscriptions: dict[int, Subscriptions] = {}
        self._repeats = Repeats()

    @property
    def num_consumers(self) -> int:
        """How many consumers are up."""
        return len(self.consumers)

    @property
    def num_producers(self) -> int:
        """How many producers are up."""
        return sum(bool(getattr(producer, "_initialized", False)) for producer in self.producers)

    def subscribe(self, topic: str, callback: Callback) -> None:
        """Have the callback called with each message of the topic, by the worker of the consumer that it belongs to.

        Raises:
            RuntimeError: It is no method of a consumer, nor is it a consumer who subscribes.
        """
        self._owner(callback).add(topic, callback)
        self.topics[topic].append(callback)

    def unsubscribe(self, callback: Callback) -> None:
        """Forget a callback, whoever's it is."""
        for subscriptions in list(self._subscriptions.values()):
            subscriptions.remove(callback)
        for callbacks in list(self.topics.values()):
            while callback in callbacks:
                callbacks.remove(callback)

    def send_message(self, topic: Any, message: Any, jsonify: bool = True) -> None:
        """Publish a message.

        Args:
            topic: One topic, or a list of them.
            message: The body.
            jsonify: Whether the body is to be encoded; else it is text or bytes.

        Raises:
            PublishError: The bus is one that confirms what is published, and has not. Of several topics, those before
                are published.
        """
        if self._send is None:
            count = self._repeats.admit("send_message")
            if count is not None:
                logger.warning(
                    "a message that a consumer sends reaches nobody: set zmq_publish_endpoints in fedmsg's "
                    "configuration, or publish_endpoints in [zmq]%s",
                    held_back(count),
                )
            return
        body = _as_bytes(json.dumps(message) if jsonify else message)
        for one in topic if isinstance(topic, list) else [topic]:
            self._send(_as_bytes(one), body)

    def build(self, cls: type) -> MokshaConsumer:
        """Build a consumer.

        Raises:
            DisabledError: Its configuration leaves it disabled.
            Exception: Its constructor did. What it had subscribed to by then is forgotten.
        """
        before = {topic: list(callbacks) for topic, callbacks in self.topics.items()}
        # Its subscriptions can be told from others', by who owns the callback, before its constructor has begun.
        consumer = cls.__new__(cls, self)
        leave_out_fetch(consumer)
        subscriptions = self._subscriptions[id(consumer)] = Subscriptions(strict=self._strict)
        try:
            with self._working_on(subscriptions):
                consumer.__init__(self)  # type: ignore[misc]
            refuse_disabled(consumer)
            self.consumers.append(consumer)
            self._note_topics(consumer)
            return MokshaConsumer(consumer, subscriptions, self._current)
        except BaseException:
            self._forget(consumer, before)
            raise

    def _owner(self, callback: Callback) -> Subscriptions:
        found = self._subscriptions.get(id(getattr(callback, "__self__", None)), self._current.subscriptions)
        if found is None:
            raise RuntimeError(
                f"{callback!r} cannot be subscribed: it is no method of a consumer, and no consumer is at work here, "
                f"so that there is no queue for its messages"
            )
        return found

    @contextlib.contextmanager
    def _working_on(self, subscriptions: Subscriptions) -> Iterator[None]:
        self._current.subscriptions = subscriptions
        try:
            yield
        finally:
            self._current.subscriptions = None

    def _note_topics(self, consumer: Any) -> None:
        """A consumer may have set its topics after it subscribed; Moksha notes them, and nothing more."""
        for topic in _each(consumer.topic):
            if not self.topics[topic]:
                self.topics[topic].append(consumer._consume)

    def _forget(self, consumer: Any, topics: dict[str, list[Callback]]) -> None:
        del self._subscriptions[id(consumer)]
        self.topics.clear()
        self.topics.update(topics)


def refuse_disabled(thing: Any) -> None:
    """See that a consumer or producer has come to the end of Moksha's own constructor.

    Raises:
        DisabledError: It has not: so those are built that are switched off.
    """
    if not getattr(thing, "_initialized", False):
        raise DisabledError(f"{type(thing).__name__} is disabled by its own configuration")


def install(hub: MokshaHub) -> None:
    """Be the hub that consumers find where Moksha's own would be: `moksha.hub._hub`."""
    import moksha.hub
    import moksha.hub.hub

    moksha.hub._hub = moksha.hub.hub._hub = hub


def _descends_from(cls: type, module: str) -> bool:
    return any(base.__module__ == module for base in cls.__mro__)


def _each(topic: Any) -> Sequence[Any]:
    return [topic] if isinstance(topic, (str, bytes)) else list(topic)


def _as_bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("utf-8")
