# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unmodified consumers of fedmsg and Moksha, in Moksha's own blocking mode.

With `moksha.blocking_mode` set, the callback that a consumer passes to `hub.subscribe` does the work in the thread
that calls it, and says how it went. So our queue and our worker call their code, and nothing of theirs is patched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ..consumer import Inlet
from ..errors import MessageError
from ..message import Frame, decode_json
from ..stats import Outcome
from .duplicates import Duplicates
from .incoming import Incoming, Item
from .subscriptions import Callback, Current, Subscriptions

logger = logging.getLogger(__name__)

Handler = Callable[[Frame], Outcome]

_now = time.time
_PROCESSED = Outcome.PROCESSED  # looked up once: an attribute of an Enum class costs as much as three slots

#: From best to worst.
_OUTCOMES = (Outcome.PROCESSED, Outcome.INVALID, Outcome.FAILED)


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
        if self.duplicates is not None and self._is_duplicate(frame, self.duplicates):
            return Outcome.DUPLICATE
        if isinstance(frame, Item):
            return self._work(frame.item)
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
        return lambda frame: _outcome(callback(_bus_message(frame)))

    def _attempt(self, callback: Callback, frame: Frame) -> Outcome:
        """Call one of several callbacks; what it raises is not the next one's trouble."""
        try:
            return self._handler(callback)(frame)
        except MessageError as error:
            logger.warning("%s: invalid message: %s", type(self.author).__name__, error)
            return Outcome.INVALID
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
            message = _message(frame) if self.author.jsonify else _bus_message(frame)
            self.author.validate(message)
        except Exception as error:
            logger.warning("%s: invalid message: %s", type(self.author).__name__, error)
            return None
        return message


class Direct:
    """Does what Moksha does with a message between its callback and `consume`, for a consumer that leaves it so.

    That is `_consume_json`, `_consume` and `_do_work`: validate, pre_consume, consume, post_consume, and Moksha's own
    counts. They take half of the time that a short message costs: they validate twice, raise and
    catch an exception or two, and format lines for a log that nobody reads. And they do not tell a message that
    `validate` refused from one that `consume` failed on. Threads: any; a message is handled in the calling one.
    """

    @staticmethod
    def suits(consumer: Any) -> bool:
        """Whether the consumer has these methods from Moksha and fedmsg, and none of its own."""
        from fedmsg.consumers import FedmsgConsumer
        from moksha.hub.api.consumer import Consumer

        cls = type(consumer)
        return (
            isinstance(consumer, Consumer)
            and cls._consume in (Consumer._consume, FedmsgConsumer._consume)
            and cls._consume_json is Consumer._consume_json
            and cls._do_work is Consumer._do_work
            and not hasattr(consumer, "replay_name")  # fedmsg asks the publisher again, between the two
            and not vars(consumer).keys() & {"_consume", "_consume_json", "_do_work"}
        )

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._form = _message if consumer.jsonify else _bus_message
        self.callback: Callback = consumer._consume_json if consumer.jsonify else consumer._consume
        self._is_accepted = _accepted_by(consumer)
        self._is_noted = _noted_by(consumer)

    def handle(self, frame: Frame) -> Outcome:
        """Handle a message from the bus.

        Raises:
            MessageError: The consumer's validation refuses it.
        """
        return self.work(self._form(frame))

    def work(self, message: Any) -> Outcome:
        """Handle a message in the form that the consumer wants.

        Raises:
            MessageError: The consumer's validation refuses it.
        """
        consumer = self._consumer
        consumer.headcount_in += 1
        consumer.headcount_out += 1
        began = _now()
        if not self._is_accepted(message):
            self._validate(message)
        is_noted = self._is_noted()
        if is_noted:
            self._note(consumer.pre_consume, message)
        outcome = _PROCESSED
        try:
            consumer.consume(message)
        except Exception:
            outcome = Outcome.FAILED
            consumer.log.exception(message)
            consumer._exception_count += 1
        if is_noted:
            self._note(consumer.post_consume, message)
        consumer._times.append(_now() - began)
        return outcome

    def _validate(self, message: Any) -> None:
        try:
            self._consumer.validate(message)
        except Exception as error:
            raise MessageError(f"its validation refuses it: {error!r}") from None

    def _note(self, note: Callable[[Any], None], message: Any) -> None:
        try:
            note(message)
        except Exception:
            self._consumer.log.exception(message)


def _accepted_by(consumer: Any) -> Callable[[Any], object]:
    """What tells that the consumer's validation has nothing to say against a message, nor to change in it.

    The common case of a site that does not check signatures, told at a fifth of the price of asking fedmsg.
    """
    from fedmsg.consumers import FedmsgConsumer
    from moksha.hub.api.consumer import Consumer

    if "validate" in vars(consumer) or type(consumer).validate not in (FedmsgConsumer.validate, Consumer.validate):
        return _never
    if type(consumer).validate is Consumer.validate:
        return _always

    def is_accepted(message: Any) -> bool:
        if consumer.validate_signatures or type(message) is not dict:
            return False
        body = message.get("body")
        return type(body) is dict and "topic" in body

    return is_accepted


def _noted_by(consumer: Any) -> Callable[[], object]:
    """What tells whether the consumer notes anything before and after a message: fedmsg's base does where there is a
    status file, Moksha's never."""
    from fedmsg.consumers import FedmsgConsumer
    from moksha.hub.api.consumer import Consumer

    notes = type(consumer).pre_consume, type(consumer).post_consume
    if vars(consumer).keys() & {"pre_consume", "post_consume", "save_status"}:
        return _always
    if notes == (Consumer.pre_consume, Consumer.post_consume):
        return _never
    is_fedmsgs = notes == (FedmsgConsumer.pre_consume, FedmsgConsumer.post_consume)
    if is_fedmsgs and type(consumer).save_status is FedmsgConsumer.save_status:
        return lambda: consumer.status_filename
    return _always


def _always(message: Any = None) -> bool:
    return True


def _never(message: Any = None) -> bool:
    return False


def _text(frame: Frame) -> tuple[str, str]:
    try:
        return frame.topic.decode("utf-8"), frame.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(f"the body of {frame.topic!r} is not UTF-8: {error}") from None


def _bus_message(frame: Frame) -> BusMessage:
    return BusMessage(*_text(frame))


def _message(frame: Frame) -> dict[str, Any]:
    """The message decoded; a body that is not JSON stays a string, as with Moksha."""
    topic, body = _text(frame)
    try:
        return {"body": decode_json(body), "topic": topic}
    except (ValueError, RecursionError):
        return {"body": body, "topic": topic}


def _outcome(result: Any) -> Outcome:
    """What the answer of a callback means: True when `consume` returned, None when validation refused the message,
    False when `consume` raised (Moksha has logged it then)."""
    if result is False:
        return Outcome.FAILED
    return Outcome.INVALID if result is None else Outcome.PROCESSED
