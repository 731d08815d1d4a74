# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message on its way: a frame pair for the hub, a decoded message for a consumer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import MessageError

#: Bytes that a frame takes in a queue besides its topic and its body: objects around them, and its place.
FRAME_WEIGHT = 200


class Frame:
    """A message as it came from the bus. Immutable once it is queued: all consumers share it, none decodes it
    for another.

    Attributes:
        topic: Raw topic.
        body: Raw body.
        received_ns: When the enqueuer received it, CLOCK_MONOTONIC in nanoseconds.
        completion: To be told when a consumer has finished with the message: the enqueuer sets it where the source
            wants to know when all have, and a spool where it wants to know of each; else it is None.
        attempts: How often one consumer has tried it and is to try it again; above 0 it is for that consumer alone.
        first_ns: When the first of these attempts failed; 0 for none.
        addressee: The consumer that alone gets it, by index, because it came through that one's own queue on a broker;
            None where topics say who gets it.
        is_pickled: Whether the body is no message of the bus but what a consumer has put into its own queue, pickled on
            its way to another process. Nothing that comes from outside ever is.
    """

    __slots__ = ("body", "completion", "received_ns", "topic")

    # Of the class, so that ordinary frames pay nothing for them.
    attempts = 0
    first_ns = 0
    is_pickled = False
    addressee: int | None = None

    def __init__(self, topic: bytes, body: bytes, received_ns: int) -> None:
        self.topic = topic
        self.body = body
        self.received_ns = received_ns
        self.completion: Listener | None = None

    @property
    def origin(self) -> Frame:
        """The message as the source made it: itself, unless it is tried again."""
        return self

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        return FRAME_WEIGHT + len(self.topic) + len(self.body)

    def again(self, now_ns: int) -> Frame:
        """The message as one consumer gets it that has tried it once more, by now, and is to try it again."""
        again = NotedFrame(
            self.topic,
            self.body,
            self.received_ns,
            attempts=self.attempts + 1,
            first_ns=self.first_ns or now_ns,
            is_pickled=self.is_pickled,
            origin=self.origin,
        )
        again.completion = self.completion
        return again


class Listener(Protocol):
    """Whoever wants to know when consumers have finished with a message."""

    def one_done(self) -> None:
        """Hear that one consumer has. Threads: any."""


class NotedFrame(Frame):
    """A message of which there is more to say than of others, see `Frame`."""

    __slots__ = ("_origin", "attempts", "first_ns", "is_pickled")

    def __init__(
        self,
        topic: bytes,
        body: bytes,
        received_ns: int,
        *,
        attempts: int = 0,
        first_ns: int = 0,
        is_pickled: bool = False,
        origin: Frame | None = None,
    ) -> None:
        super().__init__(topic, body, received_ns)
        self._origin = origin
        self.attempts = attempts
        self.first_ns = first_ns
        self.is_pickled = is_pickled

    @property
    def origin(self) -> Frame:
        """See `Frame.origin`."""
        return self._origin or self


def _nothing() -> None:
    """Do nothing."""


class Completion:
    """Calls back once, when the last interested consumer has finished with a message.

    Only a source that acknowledges pays for it: zeromq cannot, and its frames carry none.
    """

    __slots__ = ("_callback", "_lock", "_open")

    def __init__(self, consumers: int, callback: Callable[[], None]) -> None:
        """Expect `consumers` calls of `one_done`; with none, call back at once."""
        self._lock = threading.Lock()
        self._open = consumers
        self._callback = callback
        if consumers == 0:
            callback()

    def one_done(self) -> None:
        """Count one consumer as finished; the last one's thread calls back. Threads: any."""
        with self._lock:
            self._open -= 1
            is_last = self._open == 0
        if is_last:
            callback, self._callback = (
                self._callback,
                _nothing,
            )  # it knows the message, which knows us: no circle is left
            callback()


_raw_decode = json.JSONDecoder().raw_decode


@dataclass
class Message:
    """What a native consumer gets; its own copy, which it may change.

    Attributes:
        topic: The topic.
        body: The decoded JSON body: for fedmsg a dict with topic, msg, msg_id, timestamp, ...
    """

    __slots__ = ("body", "topic")

    topic: str
    body: Any


def decode(frame: Frame) -> Message:
    """Decode a frame for one consumer.

    Raises:
        MessageError: The body is not JSON in UTF-8.
    """
    try:
        return Message(frame.topic.decode("utf-8"), decode_json(frame.body.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the body of {frame.topic!r} ({len(frame.body)} bytes) is not JSON: {error}") from None


def decode_json(text: str) -> Any:
    """`json.loads`, a tenth faster for what publishers send: without white space around it."""
    try:
        body, end = _raw_decode(text)
    except json.JSONDecodeError:
        end = -1
    return body if end == len(text) else json.loads(text)
