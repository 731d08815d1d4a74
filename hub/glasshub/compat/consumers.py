# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unmodified consumers of fedmsg and Moksha, in Moksha's own blocking mode.

With `moksha.blocking_mode` set, the callback that a consumer passes to `hub.subscribe` does the work in the thread
that calls it, and says how it went. So our queue and our worker call their code, and nothing of theirs is patched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..consumer import Inlet
from ..errors import MessageError
from ..failure import ReportedError
from ..message import Frame
from ..stats import Outcome
from .direct import Direct
from .duplicates import Duplicates
from .incoming import Incoming, item_in
from .messages import bus_message, decoded_message
from .subscriptions import Callback, Current, Subscriptions

logger = logging.getLogger(__name__)

Handler = Callable[[Frame], Outcome]

#: From best to worst.
_OUTCOMES = (Outcome.PROCESSED, Outcome.INVALID, Outcome.FAILED)


class MokshaConsumer:
    """Binds a consumer of fedmsg or Moksha to the hub.

    Attributes:
        author: The consumer.
        duplicates: Tells messages that were fetched from those that the bus brings; None while none are fetched.
    """

    def __init__(self, consumer: Any, subscriptions: Subscriptions, current: Current) -> None:
        self.duplicates: Duplicates | None = None
        self.author = consumer
        self._subscriptions = subscriptions
        self._current = current
        self._direct = Direct(consumer) if Direct.suits(consumer) else None
        self._only: Handler | None = None
        self._topics_changed: Callable[[], None] = lambda: None
        self.incoming = Incoming(getattr(consumer, "incoming", None), self._as_message)
        consumer.incoming = self.incoming
        subscriptions.changed = self._resubscribed
        self._resubscribed()

    @property
    def topics(self) -> tuple[str, ...]:
        """See `BoundConsumer.topics`."""
        return self._subscriptions.topics

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """See `BoundConsumer.connect`."""
        self._topics_changed = topics_changed
        self.incoming.connect(inlet)

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        self._current.subscriptions = self._subscriptions
        if self.duplicates is not None and not frame.attempts and self._is_duplicate(frame, self.duplicates):
            return Outcome.DUPLICATE
        item = item_in(frame)
        if item is not None:
            return self._work(item.item)
        if self._only is not None:
            return self._only(frame)
        outcomes = [self._attempt(callback, frame) for callback in self._subscriptions.callbacks(frame.topic)]
        return max(outcomes, key=_OUTCOMES.index, default=Outcome.PROCESSED)

    def wants(self, topic: str) -> bool:
        """Whether it subscribes to a topic. Threads: any."""
        return bool(self._subscriptions.callbacks(topic.encode("utf-8", "replace")))

    def close(self) -> None:
        """See `BoundConsumer.close`."""
        self.author.stop()

    def _resubscribed(self) -> None:
        only = self._subscriptions.only()
        self._only = self._handler(only) if only is not None else None
        self._topics_changed()

    def _handler(self, callback: Callback) -> Handler:
        if self._direct is not None and callback == self._direct.callback:
            return self._direct.handle
        return lambda frame: _outcome(callback(bus_message(frame)))

    def _attempt(self, callback: Callback, frame: Frame) -> Outcome:
        """Call one of several callbacks; what it raises is not the next one's trouble."""
        try:
            return self._handler(callback)(frame)
        except MessageError as error:
            logger.warning("%s: invalid message: %s", type(self.author).__name__, error)
            return Outcome.INVALID
        except ReportedError:
            return Outcome.FAILED
        except Exception:
            logger.exception("%s: %r failed on topic %r", type(self.author).__name__, callback, frame.topic)
            return Outcome.FAILED

    def _work(self, item: Any) -> Outcome:
        """Handle what was put into `incoming`."""
        return self._direct.work(item) if self._direct is not None else _outcome(self.author._do_work(item))

    def _is_duplicate(self, frame: Frame, duplicates: Duplicates) -> bool:
        if duplicates.is_over(frame):
            self.duplicates = None
            return False
        return duplicates.has_seen(frame)

    def _as_message(self, frame: Frame) -> Any:
        """A message as Moksha would have put it into `incoming`; None for one that it would have refused."""
        try:
            message = decoded_message(frame) if self.author.jsonify else bus_message(frame)
            self.author.validate(message)
        except Exception as error:
            logger.warning("%s: invalid message: %s", type(self.author).__name__, error)
            return None
        return message


def _outcome(result: Any) -> Outcome:
    """What the answer of a callback means: True when `consume` returned, None when validation refused the message,
    False when `consume` raised (Moksha has logged it then)."""
    if result is False:
        return Outcome.FAILED
    return Outcome.INVALID if result is None else Outcome.PROCESSED
