# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers as they were written for fedmsg and Moksha, knowing nothing of us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api import Consumer as MokshaConsumer

#: What enables them, with fedmsg's own key for its dummy.
CONFIG = {
    "old.enabled": True,
    "validate_signatures": False,
    "topic_prefix": "org.fedoraproject",
    "fedmsg.consumers.dummy.enabled": True,
}


class Old(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Remembers what it was given."""

    topic: Sequence[str] = "org.old"
    config_key: ClassVar[Any] = "old.enabled"
    validate_signatures = False

    def __init__(self, hub: Any) -> None:
        """Register, as all of them do."""
        self.seen: list[Any] = []
        super().__init__(hub)

    def consume(self, message: Any) -> None:
        """Remember."""
        self.seen.append(message)


class OldTwin(Old):
    """Enabled by another key."""

    config_key = "twin.enabled"


class Topicless(Old):
    """Wants nothing."""

    topic: Sequence[str] = ()


class Several(Old):
    """Wants topics of which one covers another."""

    topic: Sequence[str] = ("org.a.*", "org.a.b", "com.c")


class Failing(Old):
    """Raises on every message."""

    def consume(self, message: Any) -> None:
        """Raise."""
        raise RuntimeError("no such rule")


class Undecoded(Old):
    """Wants messages as they are."""

    jsonify = False


class Signed(Old):
    """Wants messages whose signature is right."""

    validate_signatures = True


class Keyless(Old):
    """Has forgotten its key: fedmsg refuses it."""

    config_key = None


class HalfBuilt(Old):
    """Fails after it has subscribed."""

    def __init__(self, hub: Any) -> None:
        """Register, then fail."""
        super().__init__(hub)
        raise RuntimeError("the database is gone")


class HalfBuiltExit(Old):
    """Ends the program after it has subscribed."""

    def __init__(self, hub: Any) -> None:
        """Register, then leave."""
        super().__init__(hub)
        raise SystemExit("no database")


class TwoCallbacks(Old):
    """Subscribes by hand, too, and not always with success.

    Attributes:
        answer: What its second callback says, or raises.
    """

    answer: ClassVar[Any] = True

    def __init__(self, hub: Any) -> None:
        """Register twice."""
        super().__init__(hub)
        self.calls: list[Any] = []
        hub.subscribe("org.", self.also)

    def also(self, message: Any) -> Any:
        """The second callback."""
        self.calls.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Plain(MokshaConsumer):  # type: ignore[misc]  # Moksha has no types
    """Of Moksha's, without fedmsg."""

    topic = "org.plain"

    def __init__(self, hub: Any) -> None:
        """Register."""
        self.seen: list[Any] = []
        self.stopped = 0
        super().__init__(hub)

    def consume(self, message: Any) -> None:
        """Remember."""
        self.seen.append(message)

    def stop(self) -> None:
        """Count, and do what Moksha does."""
        self.stopped += 1
        super().stop()


class Unfinished(Plain):
    """Does not call its parent's constructor."""

    def __init__(self, hub: Any) -> None:
        """Do nothing, as some do that are disabled by their own rules."""


class Counting(Old):
    """Counts what Moksha calls, and raises where it is told to.

    Attributes:
        raises: Names of its methods that raise.
    """

    raises: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, hub: Any) -> None:
        """Register."""
        self.called: list[str] = []
        super().__init__(hub)

    def _note(self, name: str) -> None:
        self.called.append(name)
        if name in self.raises:
            raise RuntimeError(f"{name} has failed")

    def validate(self, message: Any) -> None:
        """Count."""
        self._note("validate")
        super().validate(message)

    def pre_consume(self, message: Any) -> None:
        """Count."""
        self._note("pre_consume")

    def consume(self, message: Any) -> None:
        """Count."""
        self._note("consume")

    def post_consume(self, message: Any) -> None:
        """Count."""
        self._note("post_consume")


class OwnConsume(Old):
    """Has a way of its own with what it is handed, as the consumers in fedmsg's tests have."""

    def _consume(self, message: Any) -> bool:
        self.seen.append(("own way", message["body"]["msg"]))
        return True


class OwnWork(Old):
    """Has a way of its own to work."""

    def _do_work(self, message: Any) -> bool:
        self.seen.append(("own way", message))
        return True


class ByMoksha(Old):
    """Does as Moksha does, in a method of its own."""

    def _do_work(self, message: Any) -> Any:
        return super()._do_work(message)


class Replaying(Old):
    """Wants fedmsg to ask for what was missed."""

    replay_name = "old.example"


class Picky(Plain):
    """Refuses what it does not like, as Moksha means it."""

    def validate(self, message: Any) -> None:
        """Refuse all but lists."""
        if not isinstance(message["body"], list):
            raise ValueError("not a list")  # noqa: TRY004  # as they do


class LateTopic(Old):
    """Sets its topic after it has registered."""

    topic = "org.early"

    def __init__(self, hub: Any) -> None:
        """Register, then change its mind."""
        super().__init__(hub)
        self.topic = "org.late"


class Asking(Old):
    """Does with the hub what the message says."""

    def __init__(self, hub: Any) -> None:
        """Register."""
        self.others: list[Any] = []
        super().__init__(hub)

    def consume(self, message: Any) -> None:
        """Do it."""
        command = message["body"]["msg"]
        if command == "subscribe":
            self.hub.subscribe("com.", self.other)
        elif command == "subscribe a closure":

            def closure(one: Any) -> bool:
                return self.other(one)

            self.hub.subscribe("com.", closure)
        elif command == "unsubscribe":
            self.hub.unsubscribe(self.other)
        elif command == "stop":
            self.hub.stop()

    def other(self, message: Any) -> bool:
        """Remember."""
        self.others.append(message)
        return True
