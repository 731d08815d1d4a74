# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bridges: hubs whose one consumer passes every message on to a bus of the other kind.

All that a hub does for its consumers it does for a bridge: it counts, keeps what waits, tries again, drains.

Bridges in both directions between the same buses must not pass anything back, whoever else stands between them. So each
message that has crossed a bridge has a header with the names of all buses on which it has been, and no bridge passes it
on to one of those. It ends, however buses are connected; where there is one way between any two of them, a message is
on each bus once. The header is one of AMQP's on one bus, and in the document on the other, as all headers are there.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .amqp.publisher import AmqpPublisher
from .amqp.settings import AmqpSettings
from .amqp.wire import Outgoing, from_document
from .compat.signatures import Sign, Validate, signer, validator
from .config import TO_FEDMSG, Config, ConsumerSection
from .consumer import Consumer, NativeConsumer
from .crew import Crew, Member
from .errors import MessageError, PublishError
from .message import Message
from .publisher import LatePublisher
from .sender import Sender
from .signals import Drop, Retry

#: The header with the names of the buses on which a message has been.
CROSSED = "glasshub-crossed"

#: What the bridges of fedmsg-migration-tools write into what they bring to zeromq, and do not pass back.
FEDORAS_BRIDGE = "amqp-bridge"

#: Seconds before the broker is asked again to take a message that it has refused.
_AGAIN = 1.0

_dumps = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True)
class Crossing:
    """From which bus to which one a bridge goes, by their names."""

    source: str
    target: str

    def headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """The headers that a message with these ones has on the other side.

        Raises:
            Drop: It has been there.
        """
        found = headers.get(CROSSED)
        crossed = [bus for bus in found if isinstance(bus, str)] if isinstance(found, list) else []
        if self.target in crossed:
            raise Drop(f"it has been on bus {self.target}")
        return {**headers, CROSSED: [*crossed, *([] if self.source in crossed else [self.source]), self.target]}


class ToFedmsg(Consumer):
    """Publishes what comes from a broker on a zeromq socket, in fedmsg's form. Threads: one worker."""

    def __init__(self, crossing: Crossing, publisher: Sender, sign: Sign | None = None) -> None:
        """Take what it works with; `sign` where messages are to be signed."""
        super().__init__()
        self._crossing = crossing
        self._publisher = publisher
        self._sign = sign
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """See `Consumer.close`."""
        self._publisher.close()

    def consume(self, message: Message) -> None:
        """See `Consumer.consume`; when it returns, zeromq has the message.

        Raises:
            MessageError: It has no id, without which fedmsg knows no message.
            Drop: See `Crossing.headers`.
        """
        came = message.body
        if not came["msg_id"]:
            raise MessageError(f"a message of topic {message.topic!r} has no id")
        headers = self._crossing.headers(came["headers"])  # first: what is dropped takes no number
        document = {
            "topic": message.topic,
            "msg": came["msg"],
            "msg_id": came["msg_id"],
            "timestamp": int(came["timestamp"]),
            "i": next(self._numbers),
            "username": FEDORAS_BRIDGE,
            "headers": headers,
        }
        if self._sign is not None:
            document = self._sign(document)
        self._publisher.publish(message.topic.encode("utf-8"), _dumps(document).encode("ascii"))


class ToFedoraMessaging(Consumer):
    """Publishes what comes from zeromq on a broker. Threads: any number of workers."""

    def __init__(self, crossing: Crossing, publisher: AmqpPublisher, is_valid: Validate | None = None) -> None:
        """Take what it works with; `is_valid` where signatures are to be checked."""
        super().__init__()
        self._crossing = crossing
        self._publisher = publisher
        self._is_valid = is_valid

    def close(self) -> None:
        """See `Consumer.close`: who waits for the broker is told not to."""
        self._publisher.close()

    def consume(self, message: Message) -> None:
        """See `Consumer.consume`; when it returns, the broker has confirmed the message. Waits as long as that takes.

        Raises:
            MessageError: It is no message of fedmsg's, or not one that AMQP has a form for.
            Drop: See `Crossing.headers`; or a bridge of fedmsg-migration-tools has brought it from there.
            Retry: The broker has refused it, or it is too late to wait.
        """
        outgoing = self._converted(message)
        try:
            self._publisher.submit(outgoing).result()
        except PublishError as error:
            if error.reason == "invalid":
                raise MessageError(str(error)) from None
            raise Retry(_AGAIN, str(error)) from None

    def _converted(self, message: Message) -> Outgoing:
        document = message.body
        if not (isinstance(document, dict) and "msg" in document):
            raise MessageError(f"a message of topic {message.topic!r} has no msg")
        message_id, headers = document.get("msg_id"), self._headers(document)
        if self._is_valid is not None and not self._is_valid(message.topic, document):
            raise MessageError(f"message {message_id!r} of topic {message.topic!r} is not signed as it has to be")
        known = {"timestamp": None, **document, "topic": message.topic, "headers": headers}
        outgoing = from_document(message.topic, known)
        if outgoing.message_id != message_id:  # a new one for each attempt would tell nobody of a duplicate
            raise MessageError(
                f"a message of topic {message.topic!r} has no id, or none that AMQP has a form for: {message_id!r}"
            )
        return outgoing

    def _headers(self, document: Mapping[str, Any]) -> dict[str, Any]:
        found = document.get("headers")
        headers = found if isinstance(found, dict) else {}
        if CROSSED not in headers and document.get("username") == FEDORAS_BRIDGE:
            raise Drop("a bridge of fedmsg-migration-tools has brought it")
        return self._crossing.headers(headers)


class BridgeRoster:
    """Builds the one consumer of a bridge. Threads: main thread only."""

    def __init__(
        self, direction: str, config: Config, broker: AmqpSettings, fedmsg: Mapping[str, Any] | None = None
    ) -> None:
        """Take the configurations: ours, which names endpoints, fedora-messaging's, and fedmsg's where there is one."""
        self._direction = direction
        self._config = config
        self._broker = broker
        self._fedmsg = fedmsg or {}

    def build(self, stop: Callable[[], None]) -> Crew:
        """Build it; blocks for as long as zeromq's subscribers need to find a bridge to fedmsg.

        Raises:
            HubError: An endpoint cannot be bound, or fedmsg's configuration asks for signatures that cannot be.
        """
        if self._direction == TO_FEDMSG:
            consumer, workers = self._to_fedmsg(), 1
        else:
            consumer, workers = self._to_fedora_messaging(), self._config.bridge.outstanding
        bound = NativeConsumer(consumer, self._config.bridge.topics)
        return Crew([Member(self._direction, ConsumerSection(workers=workers), bound)])

    def _to_fedmsg(self) -> Consumer:
        section = self._config.bridge
        sign = signer(self._fedmsg)
        zmq = self._config.zmq
        publisher = LatePublisher(zmq.publish_endpoints, is_one_enough=zmq.publish_at == "first")
        publisher.open()
        time.sleep(section.settling)
        return ToFedmsg(Crossing(section.fedora_messaging_bus, section.fedmsg_bus), publisher, sign)

    def _to_fedora_messaging(self) -> Consumer:
        section = self._config.bridge
        crossing = Crossing(section.fedmsg_bus, section.fedora_messaging_bus)
        is_valid = validator(self._fedmsg)
        publisher = AmqpPublisher(self._broker, most=section.outstanding)
        return ToFedoraMessaging(crossing, publisher, is_valid)
