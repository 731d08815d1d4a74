# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of fedora-messaging in fedmsg's form, in which all that is behind the source knows them, and back.

A message of fedora-messaging is a routing key (the topic), properties, and a JSON body; fedmsg's is a topic and one
JSON document that holds all of it. The body is put into that document as it is: nothing is decoded.

    {"msg": BODY, "topic": ..., "msg_id": ..., "timestamp": ..., "queue": ..., "headers": {...}}

What we say stands behind the body, so that nothing in a body can take its place: of two keys of one name the later one
counts (RFC 8259 leaves it open; Python's json and all that consumers use does it so).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..errors import PublishError

_dumps = json.JSONEncoder(separators=(",", ":"), default=str, ensure_ascii=True).encode


def fedmsg_body(
    body: bytes, *, topic: str, message_id: str | None, headers: Mapping[str, Any] | None, queue: str = ""
) -> bytes:
    """The document that fedmsg would have published.

    Args:
        body: The body, JSON in UTF-8.
        topic: The routing key.
        message_id: The property of that name.
        headers: Likewise.
        queue: The queue through which it came.
    """
    told = {
        "topic": topic,
        "msg_id": message_id,
        "timestamp": _timestamp((headers or {}).get("sent-at")),
        "queue": queue,
        "headers": headers or {},
    }
    return b'{"msg":' + body + b"," + _dumps(told)[1:].encode("ascii")


def _timestamp(sent_at: Any) -> float:
    """Unix time of the header `sent-at`, ISO 8601; now, where there is none that can be read."""
    try:
        return datetime.fromisoformat(sent_at).timestamp()
    except (TypeError, ValueError, OverflowError):
        return time.time()


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

    Args:
        topic: Its topic.
        body: The document; or any JSON object that is to be the body.
        prefix: What is put before the topic.
        priority: The property of that name.

    Raises:
        PublishError: The body is no JSON object.
    """
    name = prefix + topic.decode("utf-8")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise PublishError(f"cannot publish {name!r}: its body is not JSON: {error}", reason="invalid") from None
    if not isinstance(document, dict):
        raise PublishError(f"cannot publish {name!r}: its body must be a JSON object", reason="invalid", topic=name)
    is_fedmsgs = isinstance(document.get("msg"), dict) and "topic" in document
    told = document if is_fedmsgs else {}
    headers = {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": datetime.fromtimestamp(told.get("timestamp") or time.time(), timezone.utc).isoformat(
            timespec="seconds"
        ),
        "priority": priority or 0,
        **(told.get("headers") or {}),
    }
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "headers": headers,
        "message_id": told.get("msg_id") or str(uuid.uuid4()),
        "priority": priority,
    }
    return Outgoing(name, _dumps(document["msg"] if is_fedmsgs else document).encode("ascii"), properties)
