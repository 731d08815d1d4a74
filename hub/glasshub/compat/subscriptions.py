# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which of a consumer's callbacks want which topics; they may change while the hub runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..routing import prefix_of

Callback = Callable[[Any], Any]


class Subscriptions:
    """The subscriptions of one consumer. Threads: any.

    Attributes:
        topics: What is subscribed to.
        changed: Called after each change.
    """

    def __init__(self, *, strict: bool) -> None:
        self._matches: Callable[[bytes, bytes], bool] = bytes.__eq__ if strict else bytes.startswith
        self._lock = threading.Lock()
        self._entries: tuple[tuple[bytes, Callback], ...] = ()
        self.topics: tuple[str, ...] = ()
        self.changed: Callable[[], None] = lambda: None

    def add(self, topic: str, callback: Callback) -> None:
        """Have the callback called with each message of the topic."""
        with self._lock:
            self.topics += (topic,)
            self._entries += ((prefix_of(topic), callback),)
        self.changed()

    def remove(self, callback: Callback) -> None:
        """Forget a callback; one that never was there, too."""
        with self._lock:
            kept = [index for index, (_, one) in enumerate(self._entries) if one != callback]
            if len(kept) == len(self._entries):
                return
            self.topics = tuple(self.topics[index] for index in kept)
            self._entries = tuple(self._entries[index] for index in kept)
        self.changed()

    def only(self) -> Callback | None:
        """The callback, if there is only one, whatever its topics."""
        callbacks = list(dict.fromkeys(callback for _, callback in self._entries))
        return callbacks[0] if len(callbacks) == 1 else None

    def callbacks(self, topic: bytes) -> list[Callback]:
        """Each callback that wants the topic, once."""
        return list(dict.fromkeys(callback for prefix, callback in self._entries if self._matches(topic, prefix)))


class Current(threading.local):
    """Whose code a thread is running: so that whoever subscribes is known.

    Attributes:
        subscriptions: Those of the consumer that is being built, or is at work, in this thread.
    """

    subscriptions: Subscriptions | None = None
