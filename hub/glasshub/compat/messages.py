# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message of the bus in the forms in which consumers of fedmsg and Moksha see it."""

from __future__ import annotations

from typing import Any

from ..errors import MessageError
from ..message import Frame, decode_json


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


def bus_message(frame: Frame) -> BusMessage:
    """The message for a consumer that decodes for itself.

    Raises:
        MessageError: It is not UTF-8.
    """
    return BusMessage(*_text(frame))


def decoded_message(frame: Frame) -> dict[str, Any]:
    """The message decoded; a body that is not JSON stays a string, as with Moksha.

    Raises:
        MessageError: It is not UTF-8.
    """
    topic, body = _text(frame)
    try:
        return {"body": decode_json(body), "topic": topic}
    except (ValueError, RecursionError):
        return {"body": body, "topic": topic}


def _text(frame: Frame) -> tuple[str, str]:
    try:
        return frame.topic.decode("utf-8"), frame.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(f"the body of {frame.topic!r} is not UTF-8: {error}") from None
