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
from collections.abc import Mapping
from datetime import datetime
from typing import Any

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
