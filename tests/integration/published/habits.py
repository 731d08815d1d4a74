# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers with the habits of published ones that cannot be installed any more, written anew.

Each says whose habits it has. They write what they do into a database of SQLite, which `hub.config` names.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Any

import fedmsg.consumers
import fedmsg.meta
import moksha.hub
import moksha.hub.api
from moksha.hub.reactor import reactor
from twisted.internet.protocol import ClientFactory
from twisted.words.protocols.irc import IRCClient


class Badges(fedmsg.consumers.FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """fedbadges 0.5.3 (Python 2): takes its time as long as little waits; a database connection for each thread."""

    topic = "*"
    config_key = "badges.enabled"
    delay_limit = 10

    def __init__(self, hub: Any) -> None:
        """Use the hub before the parent's constructor has set it, and the database in the main thread."""
        self.hub = hub
        super().__init__(hub)
        self.thread_local = threading.local()
        self._database().execute("create table awards (username text, backlog integer)")

    def consume(self, message: Any) -> None:
        """Award a badge, and note how many messages wait."""
        backlog = self.incoming.qsize()
        if backlog < self.delay_limit:
            time.sleep(0.005)  # so that the database has what the rules will ask for
        with self._database() as database:
            database.execute("insert into awards values (?, ?)", (message["body"]["msg"]["agent"], backlog))

    def _database(self) -> sqlite3.Connection:
        if not hasattr(self.thread_local, "database"):
            self.thread_local.database = sqlite3.connect(self.hub.config["database"])
        return self.thread_local.database  # type: ignore[no-any-return]


class Statistics(fedmsg.consumers.FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """statscache 0.0.4 (Python 2), its consumer: counts, and leaves it to a producer to write that down."""

    topic = "*"
    config_key = "statistics.enabled"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make fedmsg's processors with all of the configuration."""
        super().__init__(*args, **kwargs)
        fedmsg.meta.make_processors(**self.hub.config)
        self.counted: Counter[str] = Counter()

    def consume(self, message: Any) -> None:
        """Count."""
        body = copy.deepcopy(message["body"])
        self.counted[fedmsg.meta.msg2title(body, **self.hub.config)] += 1

    def stop(self) -> None:
        """Say goodbye."""
        _write(self.hub, "insert or replace into counts values ('stopped', 1)")
        super().stop()


class StatisticsProducer(moksha.hub.api.PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """statscache's producer: sets its frequency before its parent is built, and finds the consumer in the hub."""

    def __init__(self, hub: Any) -> None:
        """Find it: it has been built."""
        self.frequency = hub.config["statistics.frequency"]
        super().__init__(hub)
        (self.consumer,) = [consumer for consumer in self.hub.consumers if isinstance(consumer, Statistics)]
        _write(self.hub, "create table counts (title text primary key, count integer)")

    def poll(self) -> None:
        """Write down what has been counted."""
        for title, count in dict(self.consumer.counted).items():
            _write(self.hub, "insert or replace into counts values (?, ?)", title, count)


class Notifications(fedmsg.consumers.FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """fmn.consumer 0.8.1 (Python 2): connects to IRC from its constructor, and writes there from its worker thread."""

    topic = "*"
    config_key = "notifications.enabled"

    def __init__(self, hub: Any) -> None:
        """Connect."""
        super().__init__(hub)
        self.factory = _IrcFactory()
        self.connector = reactor.connectTCP("127.0.0.1", self.hub.config["notifications.port"], self.factory)

    def consume(self, message: Any) -> None:
        """Tell everybody."""
        if not self.factory.clients:
            raise RuntimeError("nobody is connected")
        for client in self.factory.clients:
            client.msg(message["body"]["msg"]["agent"], message["body"]["msg_id"])

    def stop(self) -> None:
        """Disconnect."""
        reactor.callFromThread(self.connector.disconnect)
        super().stop()


class _IrcFactory(ClientFactory):
    """Knows the clients that have signed on."""

    def __init__(self) -> None:
        self.clients: list[Any] = []

    def buildProtocol(self, address: Any) -> Any:
        """Make a client."""
        client = _Irc()
        client.factory = self
        return client


class _Irc(IRCClient):
    """Is of use once it has signed on."""

    nickname = "fmn"

    def signedOn(self) -> None:
        """Tell the consumer, and then the network."""
        self.factory.clients.append(self)
        self.msg("watcher", "here")  # type: ignore[no-untyped-call]  # Twisted has types in part


class Work:
    """What a Builder puts into its own queue: no dict, and nothing that was on the bus."""

    def __init__(self, name: str) -> None:
        self.name = name


class Builder(fedmsg.consumers.FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """module-build-service and freshmaker (they need Koji, Kerberos, libmodulemd): own work in their own queue."""

    config_key = "builder.enabled"

    def __init__(self, hub: Any) -> None:
        """Set the topics, then register, then put what is to be done first; and see whether that all is there."""
        self.topic = [".".join([hub.config["topic_prefix"], hub.config["environment"], "buildsys.build"])]
        super().__init__(hub)
        _write(self.hub, "create table work (name text)")
        for name in hub.config["builder.initial"]:
            self.incoming.put(Work(name))

    def validate(self, message: Any) -> None:
        """Refuse nothing that is its own."""
        if not isinstance(message, Work):
            super().validate(message)

    def consume(self, message: Any) -> None:
        """Do the work; have what comes of a message done after it, and stop the hub at the last."""
        if isinstance(message, Work):
            _write(self.hub, "insert into work values (?)", message.name)
            if message.name == self.hub.config["builder.last"]:
                reactor.callFromThread(self.hub.stop)
                reactor.callFromThread(reactor.stop)
            return
        (consumer,) = [consumer for consumer in moksha.hub._hub.consumers if isinstance(consumer, Builder)]
        consumer.incoming.put(Work(message["body"]["msg"]["name"]))


def _write(hub: Any, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(hub.config["database"])) as database, database:
        database.execute(statement, values)
