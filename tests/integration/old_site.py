# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers and producers with the habits of those that were written for fedmsg-hub over ten years.

Each writes down what happened to it, one JSON value a line, in a file of its name where the hub was started.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import fedmsg
import fedmsg.config
import moksha.hub
from fedmsg.consumers import FedmsgConsumer
from moksha.hub.api import PollingProducer
from moksha.hub.reactor import reactor

#: Enables them all.
ENABLED = "old.site.enabled"


def note(who: object, what: Any) -> None:
    """Write down what happened."""
    with Path(type(who).__name__).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(what)}\n")


def noted(directory: Path, name: str) -> list[Any]:
    """What one of them has written down."""
    file = directory / name
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def envelope(text: str, topic: str = "org.site.put") -> dict[str, Any]:
    """A message as it waits in `incoming`."""
    return {"topic": topic, "body": {"topic": topic, "msg": text}}


class Site(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Notes each message."""

    config_key = ENABLED
    topic = "org.site.*"

    def consume(self, message: Any) -> None:
        """Note it."""
        note(self, message["body"]["msg"])


class Whole(Site):
    """Notes all of a message."""

    def consume(self, message: Any) -> None:
        """Note it."""
        note(self, message)


class Commanded(Site):
    """Does what a message says."""

    def consume(self, message: Any) -> None:
        """Do it."""
        command, _, argument = str(message["body"]["msg"]).partition(" ")
        note(self, command)
        getattr(self, f"do_{command}", lambda argument: None)(argument)

    def do_put(self, count: str) -> None:
        """Put a chain of work for itself."""
        if int(count):
            self.incoming.put(envelope(f"put {int(count) - 1}"))

    def do_later(self, text: str) -> None:
        """Have the reactor call back; from a thread that is not the reactor's, as they do."""
        reactor.callLater(0.01, note, self, ["later", threading.current_thread().name != "MainThread"])

    def do_thread(self, text: str) -> None:
        """Work in a thread of Twisted's."""
        reactor.callInThread(note, self, "in thread")

    def do_subscribe(self, topic: str) -> None:
        """Want more."""
        self.hub.subscribe(topic, self.other)

    def do_unsubscribe(self, text: str) -> None:
        """Want less."""
        self.hub.unsubscribe(self.other)

    def do_send(self, topic: str) -> None:
        """Send through the hub, found as some find it."""
        moksha.hub._hub.send_message(topic, {"from": "the hub"})

    def do_publish(self, text: str) -> None:
        """Publish as fedmsg has it, out of a worker."""
        fedmsg.publish(topic="answer", modname="site", msg={"text": text})

    def do_list(self, text: str) -> None:
        """Note who else is there."""
        note(self, sorted(type(consumer).__name__ for consumer in self.hub.consumers))

    def do_config(self, key: str) -> None:
        """Note what three ways to the configuration say of a key."""
        loaded = fedmsg.config.load_config([], None)
        note(self, [self.hub.config[key], loaded[key], fedmsg.config.conf[key]])

    def do_stop(self, how: str) -> None:
        """Have the hub stop, once somebody has written into the FIFO."""
        Path("fifo").read_bytes()
        if how == "reactor":
            reactor.callFromThread(reactor.stop)
        elif how == "later":
            reactor.callFromThread(self.hub.stop)
        else:
            getattr(self.hub, how)()

    def do_linger(self, text: str) -> None:
        """Leave a thread of Twisted's behind that does not end."""
        reactor.callInThread(threading.Event().wait)

    def other(self, message: Any) -> bool:
        """A second callback."""
        note(self, ["other", message.topic])
        return True


class Unsigned(Commanded):
    """Takes messages without a signature, whatever the configuration says."""

    validate_signatures = False


class FromConstructor(Site):
    """Puts work into its own queue before anything runs."""

    topic = "com.nobody"

    def __init__(self, hub: Any) -> None:
        """Do so."""
        super().__init__(hub)
        self.incoming.put(envelope("from the constructor"))
        hub.config["from.constructor"] = True


class Broken(Site):
    """Fails when it has subscribed already."""

    def __init__(self, hub: Any) -> None:
        """Do so."""
        super().__init__(hub)
        raise RuntimeError("no database")


class Disabled(Site):
    """Is constructed, and that matters to others, but not enabled."""

    config_key = "old.site.disabled"

    def __init__(self, hub: Any) -> None:
        """Note that."""
        note(self, "constructed")
        super().__init__(hub)


class SignalTaking(Site):
    """Wants signals for itself, as if the process were its own."""

    def __init__(self, hub: Any) -> None:
        """Take them."""
        super().__init__(hub)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


class Together(Site):
    """Notes how many of its workers were at it at the same time, once two were, or after a while."""

    both = threading.Barrier(2)

    def consume(self, message: Any) -> None:
        """Wait for the other one."""
        self.both.wait(20)
        note(self, "together")


class Stopping(Site):
    """Has something to do at the end."""

    def stop(self) -> None:
        """Note it."""
        note(self, "stopped")
        super().stop()


class Feeding(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Puts work into the first consumer's queue."""

    frequency = 0.05

    def poll(self) -> None:
        """Do so, a few times."""
        note(self, time.time())
        self.hub.consumers[0].incoming.put(envelope("fed"))
        self.die = len(noted(Path(), "Feeding")) == 3


class Slow(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Takes as long as somebody wants it to."""

    frequency = 0.01
    now = True

    def poll(self) -> None:
        """Wait for somebody to write into the FIFO."""
        note(self, "began")
        Path("fifo").read_bytes()
        note(self, "ended")


class Raising(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Always raises."""

    frequency = 0.01

    def poll(self) -> None:
        """Do so."""
        raise RuntimeError("no such table")
