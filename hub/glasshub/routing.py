# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers want a message: Moksha's rules, at a price that hundreds of consumers do not raise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Topics repeat: a bus has some hundreds of them. A bus that does not repeat its topics, or whose topics are long,
#: must not fill the memory.
_REMEMBERED = 10_000
_LONGEST_REMEMBERED = 256  # bytes


#: A subscription to everything; on a broker, to what the bindings of fedora-messaging's configuration bring.
BINDINGS = "#"


class Router:
    """Finds the consumers of a topic.

    A subscription is a prefix, with every `*` taken out; with `strict` it is the whole topic; `BINDINGS` is everything.
    A consumer gets a message once, however many of its subscriptions match.

    Threads: enqueuer only, but for the attributes, which nobody changes.

    Attributes:
        names: The consumers, in their order; empty where nobody asks for them.
        topics: The subscriptions of each, in the same order.
        is_strict: Whether a subscription is the whole topic.
    """

    def __init__(
        self, subscriptions: Sequence[Iterable[str]], *, names: Sequence[str] = (), strict: bool = False
    ) -> None:
        """Take the subscriptions of each consumer, and their names, in the consumers' order."""
        self.names = names
        self.topics = [tuple(topics) for topics in subscriptions]
        self.is_strict = strict
        self._consumers_of: dict[bytes, list[int]] = {}
        for consumer, topics in enumerate(self.topics):
            for prefix in {prefix_of(topic) for topic in topics}:
                self._consumers_of.setdefault(prefix, []).append(consumer)
        self._of_everything = [consumer for consumer, topics in enumerate(self.topics) if BINDINGS in topics]
        self._lengths = sorted({len(prefix) for prefix in self._consumers_of})
        self._remembered: dict[bytes, tuple[int, ...]] = {}

    @property
    def prefixes(self) -> list[bytes]:
        """What the source has to subscribe to, none of them covered by another."""
        kept: list[bytes] = []
        for prefix in sorted(self._consumers_of):
            if not (kept and prefix.startswith(kept[-1])):
                kept.append(prefix)
        return kept

    def match(self, topic: bytes) -> tuple[int, ...]:
        """The consumers that want the topic, as indices in ascending order; none if nobody does.

        Raises:
            UnicodeDecodeError: The topic is not UTF-8.
        """
        found = self._remembered.get(topic)
        if found is None:
            topic.decode("utf-8")
            found = self._search(topic)
            if len(topic) <= _LONGEST_REMEMBERED:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[topic] = found
        return found

    def _search(self, topic: bytes) -> tuple[int, ...]:
        if self.is_strict:
            return tuple(sorted({*self._consumers_of.get(topic, ()), *self._of_everything}))
        matches = (self._consumers_of.get(topic[:length], ()) for length in self._lengths if length <= len(topic))
        return tuple(sorted({consumer for consumers in matches for consumer in consumers}))


def prefix_of(topic: str) -> bytes:
    """The prefix that a subscription stands for."""
    return b"" if topic == BINDINGS else topic.replace("*", "").encode("utf-8")
