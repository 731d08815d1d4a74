# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of fedora-messaging in fedmsg's form, in which all that is behind the source knows them, and back.

A message of fedora-messaging is a routing key (the topic), properties, and a JSON body; fedmsg's is a topic and one
JSON document that holds all of it. The body is put into that document as it is: nothing is decoded.

    {"msg": BODY, "topic": ..., "msg_id": ..., "timestamp": ..., "queue": ..., "headers": {...}}

What we say stands behind the body, so that nothing in a body can take its place: of two keys of one name the later one
counts (RFC 8259 leaves it open; Python's json and all that consumers use does it so). A body that is no JSON must not
become JSON by that: `{}, "msg": {}` would. It makes a document that nobody can read, as such a body is one that nobody
can read on fedora-messaging's bus.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from ..errors import PublishError
from ..message import decode_json

#: The schema of messages that have none of their own, and the severity of those that do not say.
BASE_SCHEMA, INFO = "base.message", 20

#: What fedora-messaging knows: DEBUG, INFO, WARNING, ERROR.
SEVERITIES = (10, INFO, 30, 40)

#: Bytes that AMQP has for a topic, or the name of anything.
LONGEST_NAME = 255

#: Content encodings in which a body may come: fedora-messaging means the character set by it, and takes any codec of
#: Python's, of which some take their time.
_CHARACTER_SETS = ("utf-8", "utf8", "utf-16", "utf-32", "ascii", "us-ascii", "iso-8859-1", "iso-8859-15", "latin-1")

#: Headers that fedora-messaging gives a meaning.
SCHEMA, _PACKAGE = "fedora_messaging_schema", "fedora_messaging_schema_package"
SEVERITY, _SENT = "fedora_messaging_severity", "sent-at"

#: Before a body that nobody can read: it is no JSON then, whatever follows.
_UNREADABLE = b"not JSON: "

#: All bytes but braces and quotes.
_NO_STRUCTURE = bytes(set(range(256)) - set(b'{}"'))

#: Braces in braces that are followed; what is deeper is decoded.
_DEEPEST = 16


def fedmsg_body(
    body: bytes,
    *,
    topic: str | bytes,
    message_id: str | bytes | None,
    headers: Mapping[str, Any] | None,
    content_encoding: str | bytes | None = None,
    queue: str = "",
) -> bytes:
    """The document that fedmsg would have published.

    What JSON lacks becomes text: times in ISO 8601, bytes with backslashes for what is not UTF-8.

    Args:
        body: The body.
        topic: The routing key; pika has bytes for what is not UTF-8.
        message_id: The property of that name; likewise. None becomes null.
        headers: The property of that name. `sent-at` becomes the timestamp, if it can be read; else that is now.
        content_encoding: The property of that name; None is UTF-8.
        queue: The queue through which it came.
    """
    readable = body if content_encoding in (None, "utf-8") else _in_utf_8(body, _text(content_encoding))
    if not _is_one_value(readable):
        return _UNREADABLE + body
    timestamp = _sent((headers or {}).get("sent-at"))
    return b"".join(
        (
            b'{"msg":',
            readable,
            _place(_text(topic), queue),
            _dumps(message_id).encode("ascii"),
            b',"timestamp":%r,"headers":' % (time.time() if timestamp is None else timestamp),
            _encoded(headers or {}).encode("ascii"),
            b"}",
        )
    )


@dataclass(frozen=True)
class Outgoing:
    """A message to be published on this bus.

    Attributes:
        topic: The routing key.
        body: The body, encoded.
        properties: As AMQP calls them: message_id, headers and others.
        exchange: Where to publish it; None for where the configuration says.
        is_mandatory: Whether to be told if there is no queue for it.
    """

    topic: str
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict)
    exchange: str | None = None
    is_mandatory: bool = False

    @property
    def message_id(self) -> str:
        """The id by which consumers know it."""
        return self.properties.get("message_id") or ""


def from_fedmsg(topic: bytes, body: bytes, *, prefix: str = "", priority: int | None = None) -> Outgoing:
    """A message of fedmsg's, in fedora-messaging's form.

    A document of fedmsg becomes a message of its own: its `msg` is the body, its `msg_id` the message id, its
    `timestamp` is `sent-at`, and `headers` are as it has them, where it came from that bus. Anything else is the body;
    what is no object is put into one, {"msg": ...}, for fedora-messaging has nothing else.

    Args:
        topic: Its topic.
        body: What was published: JSON, or other text.
        prefix: What is put before the topic.
        priority: The property of that name; None for none.

    Raises:
        PublishError: It is no text.
    """
    try:
        name, text = prefix + topic.decode("utf-8"), body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PublishError(f"cannot publish {topic!r}: it must be JSON, in UTF-8: {error}", reason="invalid") from None
    return from_document(name, _document(text), priority=priority)


def from_document(topic: str, document: Any, *, priority: int | None = None) -> Outgoing:
    """As `from_fedmsg`, of a document that has been decoded, or anything else that JSON can hold."""
    envelope: Mapping[str, Any] = document if _is_fedmsgs(document) else {}
    content = envelope["msg"] if envelope else document
    message_id = envelope.get("msg_id")
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "headers": headers_of(envelope, priority),
        "message_id": message_id if _is_name(message_id) else str(uuid.uuid4()),
        "priority": priority,
    }
    return Outgoing(
        topic, _dumps(content if isinstance(content, dict) else {"msg": content}).encode("ascii"), properties
    )


def _in_utf_8(body: bytes, encoding: str) -> bytes:
    """The body in UTF-8; nothing, if it is in no encoding that we know, or not in that one."""
    try:
        return body.decode(encoding).encode("utf-8") if encoding.lower() in _CHARACTER_SETS else b""
    except UnicodeDecodeError:
        return b""


def _is_one_value(body: bytes) -> bool:
    """Whether a body that is JSON inside of an object, where a value stands, is JSON by itself.

    What is not has a comma at its top, and members of the object around it: `{}, "msg": {}`. A body that begins with a
    brace which is closed by its last one has no room for that. Whether it is so can be seen from the braces alone, in a
    quarter of the time that decoding takes: quotes without braces between them are empty strings once all else is gone,
    and come in pairs. Where a quote is left, a string has braces in it; it is decoded then, as are all other bodies.
    """
    if body[:1] == b"{" and body[-1:] == b"}":
        without_escapes = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
        inner = without_escapes.translate(None, _NO_STRUCTURE).replace(b'""', b"")[1:-1]
        for _ in range(_DEEPEST):
            if not inner:
                return True
            shorter = inner.replace(b"{}", b"")
            if shorter == inner:
                break
            inner = shorter
    try:
        decode_json(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _document(text: str) -> Any:
    """What it says as JSON; else it is a string."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return text


def _is_fedmsgs(document: Any) -> bool:
    return isinstance(document, dict) and {"topic", "msg", "timestamp"} <= document.keys()


def headers_of(envelope: Mapping[str, Any], priority: int | None = None) -> dict[str, Any]:
    """Headers with which fedora-messaging takes a message of fedmsg's, that document."""
    found = envelope.get("headers")
    headers = {
        name: value
        for name, value in (found.items() if isinstance(found, Mapping) else ())
        if _is_name(name) and not _is_command(name) and _is_field(value)
    }
    if not isinstance(headers.setdefault(SCHEMA, BASE_SCHEMA), str):
        headers[SCHEMA] = BASE_SCHEMA
    if not isinstance(headers.get(_PACKAGE, ""), str):
        del headers[_PACKAGE]
    if headers.get(SEVERITY) not in SEVERITIES:
        headers[SEVERITY] = INFO
    if not isinstance(headers.get(_SENT), str):
        headers[_SENT] = _iso(envelope.get("timestamp"))
    headers["priority"] = priority or 0
    return headers


def _iso(timestamp: Any) -> str:
    """When it was sent, with the time zone; now, where there is no telling."""
    try:
        return datetime.fromtimestamp(timestamp, timezone.utc).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.now(timezone.utc).replace(microsecond=0).isoformat()


def _is_command(name: str) -> bool:
    """Whether a header has RabbitMQ do something: deliver to further queues, or count dead letters."""
    return name.lower() in ("cc", "bcc") or name.lower().startswith("x-")


def _is_field(value: Any) -> bool:
    """Whether AMQP has it, and pika can write it."""
    if isinstance(value, Mapping):
        return all(_is_name(name) and _is_field(item) for name, item in value.items())
    if isinstance(value, list):
        return all(map(_is_field, value))
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, str) and _size(value) is not None)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < (_size(value) or 0) <= LONGEST_NAME


def _size(text: str) -> int | None:
    """Its bytes in UTF-8; None where it has none."""
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return None


def _as_text(value: Any) -> str:
    """What JSON has no notation for, of what AMQP has."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, (bytes, bytearray)) else str(value)


_dumps = json.JSONEncoder(separators=(",", ":"), default=_as_text).encode


def _encoded(headers: Mapping[Any, Any]) -> str:
    try:
        return "{" + ",".join(map(_member, headers, headers.values())) + "}"
    except TypeError:  # a list or a table; or a name that is not UTF-8, which pika leaves in bytes
        return _dumps(_with_text_names(headers))


@lru_cache(maxsize=512, typed=True)  # few values, for most messages; typed, for 1 == True
def _member(name: str, value: Any) -> str:
    return _dumps({name: value})[1:-1]


def _with_text_names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_text(name): _with_text_names(item) for name, item in value.items()}
    return [_with_text_names(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _as_text(value)


@lru_cache(maxsize=4096)
def _place(topic: str, queue: str) -> bytes:
    """What many messages share."""
    return f',"topic":{_dumps(topic)},"queue":{_dumps(queue)},"msg_id":'.encode("ascii")


def _sent(sent_at: Any) -> float | None:
    """Unix time of the header `sent-at`; None where it cannot be read."""
    return _unix_time(sent_at) if isinstance(sent_at, str) else None


@lru_cache(maxsize=1024)  # its resolution is a second
def _unix_time(iso: str) -> float | None:
    try:
        time_ = datetime.fromisoformat(iso.replace("Z", "+00:00"))  # Python 3.10 does not know Z
        return (time_ if time_.tzinfo else time_.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
