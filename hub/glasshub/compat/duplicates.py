# SPDX-License-Identifier: LGPL-2.1-or-later
"""Telling messages that the fetch of the backlog has brought from those that the bus brings as well."""

from __future__ import annotations

import threading

from ..message import Frame, decode_json
from .incoming import item_in

#: Seconds after the fetch during which the bus may still bring what the fetch has brought.
_SLACK_NS = 30_000_000_000


class Duplicates:
    """Remembers the msg_id of each message that one consumer has been handed since the fetch began.

    Of bounded use and of bounded size: a message that the bus brings later than half a minute after the fetch ended
    was published after it began. Threads: the workers of the consumer; `end`: any.
    """

    def __init__(self, since_ns: int = 0) -> None:
        """Remember nothing yet; what was received before `since_ns`, monotonic, cannot be fetched as well."""
        self._since_ns = since_ns
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._ended_ns = 0

    def end(self, now_ns: int) -> None:
        """Note that the fetch has ended, monotonic."""
        self._ended_ns = now_ns

    def is_over(self, frame: Frame) -> bool:
        """Whether neither this message nor one behind it can be a duplicate."""
        return bool(self._ended_ns) and frame.received_ns > self._ended_ns + _SLACK_NS

    def has_seen(self, frame: Frame) -> bool:
        """Whether the consumer has been handed the message before; from now on it has."""
        if frame.received_ns < self._since_ns:
            return False
        msg_id = _msg_id(frame)
        if msg_id is None:
            return False
        with self._lock:
            is_known = msg_id in self._seen
            self._seen.add(msg_id)
            return is_known


def _msg_id(frame: Frame) -> str | None:
    """The message's msg_id; None where there is none that could be compared."""
    item = item_in(frame)
    message = _decoded(frame) if item is None else item.item
    body = message.get("body") if item is not None and isinstance(message, dict) else message
    found = body.get("msg_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _decoded(frame: Frame) -> object:
    try:
        return decode_json(frame.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
