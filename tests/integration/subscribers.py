# SPDX-License-Identifier: LGPL-2.1-or-later
"""A source on a real broker, without a hub around it: the test is its enqueuer, and its consumers."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from glasshub.amqp.settings import AmqpSettings
from glasshub.config import FEDORA_MESSAGING, Config, ConsumerSection, FedoraMessagingSection, HubSection
from glasshub.message import Completion, Frame
from glasshub.routing import Router
from glasshub.sources.base import QueueState
from glasshub.sources.fedora_messaging import FedoraMessagingSource
from tools.rabbitmq import Broker

from .brokers import delete_queues
from .hubs import DEADLINE, wait_until

#: Milliseconds are enough for whatever a broker on this machine does that is not to happen.
_MOMENT = 0.3


class Subscriber:
    """A source of its own name, with consumers of that many names.

    Attributes:
        source: The source.
        prefix: What its consumers want: topics that begin so.
        queues: Names of its queues.
        malformed: What it has counted as such.
    """

    def __init__(
        self, settings: AmqpSettings, consumers: Sequence[str], config: Config, *, topics: Sequence[str], strict: bool
    ) -> None:
        name = config.hub.name
        self.prefix = f"org.{name}."
        self.queues = [f"{name}.{consumer}" for consumer in consumers]
        self.malformed = 0
        self.source = FedoraMessagingSource(config, settings)
        self._settings, self._config = settings, config
        self._topics, self._is_strict = topics or (self.prefix,), strict
        self._consumers = consumers
        self.source.open(self.router(*self._topics))

    def another(self, url: str = "") -> Subscriber:
        """One of the same name and with the same consumers, perhaps on another broker."""
        settings = dataclasses.replace(self._settings, urls=[url] if url else self._settings.urls)
        return Subscriber(settings, self._consumers, self._config, topics=self._topics, strict=self._is_strict)

    def router(self, *topics: str) -> Router:
        """A router whose consumers all want these topics, or what begins with the prefix."""
        return Router(
            [topics or (self.prefix,) for _ in self._consumers], names=self._consumers, strict=self._is_strict
        )

    def receive(self, count: int) -> list[Frame]:
        """The next messages, so many, as the enqueuer gets them."""
        frames: list[Frame] = []
        deadline = time.monotonic() + DEADLINE
        while len(frames) < count:
            assert time.monotonic() < deadline, f"{len(frames)} messages have come, not {count}"
            frames += self._receive(0.1, count - len(frames))
        return frames

    def receive_no_more(self) -> None:
        """See that nothing comes for a moment."""
        assert self._receive(_MOMENT, 1) == []

    def finish(self, frames: Sequence[Frame]) -> None:
        """Have consumers finish with messages."""
        for frame in frames:
            assert frame.completion is not None
            frame.completion.one_done()

    def work_off(self, count: int) -> None:
        """Receive so many messages, and finish each batch of them at once."""
        deadline = time.monotonic() + DEADLINE
        while count:
            assert time.monotonic() < deadline, f"{count} messages have not come"
            frames = self._receive(0.1, count)
            self.finish(frames)
            count -= len(frames)

    def state(self, queue: int = 0) -> QueueState:
        """Of one of its queues."""
        return self.source.state().queues[queue]

    def wait_until(self, holds: Callable[[QueueState], object], what: str, queue: int = 0) -> None:
        """Wait until that holds of one of its queues."""
        wait_until(lambda: holds(self.state(queue)), what)

    def wait_until_consuming(self) -> None:
        """Wait until all its queues bring their messages."""
        wait_until(lambda: all(queue.is_consuming for queue in self.source.state().queues), "the queues to be consumed")

    def _receive(self, timeout: float, limit: int) -> list[Frame]:
        batch = self.source.receive(timeout, limit)
        self.malformed += batch.malformed
        for frame in batch.frames:
            frame.completion = Completion(1, lambda frame=frame: self.source.acknowledge(frame))  # type: ignore[misc]
        return batch.frames


@contextmanager
def subscriber(
    broker: Broker,
    *consumers: str,
    topics: Sequence[str] = (),
    strict: bool = False,
    sections: Mapping[str, ConsumerSection] | None = None,
    urls: Sequence[str] = (),
    waits: bool = True,
    settings: AmqpSettings | None = None,
    **options: object,
) -> Iterator[Subscriber]:
    """A source with these consumers, or one, until the context ends; its queues are gone then.

    Args:
        topics: What its consumers want instead of all that begins with the prefix.
        strict: Whether these are whole topics.
        sections: Sections of consumers.
        urls: Of brokers, if not of that one.
        waits: Whether to wait until it consumes.
        settings: fedora-messaging's own; the URLs count nevertheless.
        options: Of the section [fedora-messaging].
    """
    section = FedoraMessagingSection(**options)  # type: ignore[arg-type]  # any of its fields
    hub = HubSection(name=f"t{uuid.uuid4().hex[:8]}", source=FEDORA_MESSAGING)
    config = Config(hub=hub, fedora_messaging=section, consumers=sections or {})
    settings = dataclasses.replace(settings or AmqpSettings(), urls=list(urls) or [broker.url])
    found = Subscriber(settings, consumers or ("Consumer",), config, topics=topics, strict=strict)
    try:
        if waits:
            found.wait_until_consuming()
        yield found
    finally:
        found.source.finish()
        found.source.close()
        delete_queues(broker, *found.queues, *(f"{queue}.parked" for queue in found.queues))
