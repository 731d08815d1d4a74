# SPDX-License-Identifier: LGPL-2.1-or-later
"""The short way of a message through the code of fedmsg and Moksha, for consumers that leave that as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import MessageError
from ..failure import ReportedError
from ..message import Frame
from ..stats import Outcome
from .messages import bus_message, decoded_message
from .subscriptions import Callback

_now = time.time
_PROCESSED = Outcome.PROCESSED  # looked up once: an attribute of an Enum class costs as much as three slots


class Direct:
    """Does what Moksha does with a message between its callback and `consume`, for a consumer that leaves it so.

    That is `_consume_json`, `_consume` and `_do_work`: validate, pre_consume, consume, post_consume, and Moksha's own
    counts. They take half of the time that a short message costs: they validate twice, raise and catch an exception or
    two, and format lines for a log that nobody reads. And they do not tell a message that `validate` refused from one
    that `consume` failed on. Threads: any; a message is handled in the calling one.
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
        self._form = decoded_message if consumer.jsonify else bus_message
        self.callback: Callback = consumer._consume_json if consumer.jsonify else consumer._consume
        self._is_accepted = _accepted_by(consumer)
        self._is_noted = _noted_by(consumer)

    def handle(self, frame: Frame) -> Outcome:
        """Handle a message from the bus.

        Raises:
            MessageError: The consumer's validation refuses it.
            ReportedError: The consumer raised an exception.
        """
        return self.work(self._form(frame))

    def work(self, message: Any) -> Outcome:
        """Handle a message in the form that the consumer wants.

        Raises:
            MessageError: The consumer's validation refuses it.
            ReportedError: The consumer raised an exception.
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
        failure = None
        try:
            consumer.consume(message)
        except Exception as error:
            failure = error
            consumer.log.exception(message)
            consumer._exception_count += 1
        if is_noted:
            self._note(consumer.post_consume, message)
        consumer._times.append(_now() - began)
        if failure is not None:
            try:
                raise ReportedError from failure
            finally:
                del failure  # its traceback knows this frame, which would know it
        return _PROCESSED

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
