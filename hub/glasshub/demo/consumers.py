# SPDX-License-Identifier: LGPL-2.1-or-later
"""The four consumers of "Threading Moksha", each with work like that of the original.

They are ordinary consumers: `glasshub run --consumer glasshub.demo.consumers:Datanommer` runs one on any bus. What
they find in `settings` is said in each class; all of it may be left out.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..consumer import Consumer
from ..load.messages import PREFIX
from ..message import Message
from .rules import DEPTH, RULES, RuleBook, category_of

logger = logging.getLogger(__name__)

#: Seconds that a consumer waits for a server.
_PATIENCE = 10.0


class Datanommer(Consumer):
    """Fast: stuffs each message in a database, for later analysis.

    Settings:
        database: A file for SQLite; in memory by default.
    """

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any] = {}) -> None:
        """Open the database."""
        super().__init__(settings)
        self._database = _opened(settings)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS messages "
            "(id INTEGER PRIMARY KEY, topic TEXT, category TEXT, timestamp REAL, body TEXT)"
        )

    def consume(self, message: Message) -> None:
        """Write one row, in a transaction of its own."""
        self._database.execute(
            "INSERT INTO messages (topic, category, timestamp, body) VALUES (?, ?, ?, ?)",
            (message.topic, category_of(message.topic), message.body["timestamp"], json.dumps(message.body)),
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class TokenBucket:
    """Holds its caller up so that in the long run it does something no more than `rate` times a second."""

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with `burst` tokens, the most that it holds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._tokens = burst
        self._filled = clock()

    def take(self) -> None:
        """Take a token; blocks until there is one."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._burst)
        self._filled = now
        # Below zero is a promise: who comes next waits for this token, too.
        self._tokens -= 1
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)


class IrcBot(Consumer):
    """Fast, but it throttles itself so as to not get kicked for being spammy.

    Settings:
        server: Where to send lines to, as host:port; by default they go to the log.
        lines_per_second: How many, in the long run; 30 by default.
        burst: How many without a pause; 10 by default.
    """

    topics = tuple(PREFIX + category for category in ("git.", "bodhi.", "wiki.", "copr."))

    def __init__(self, settings: Mapping[str, Any] = {}) -> None:
        """Connect to the server."""
        super().__init__(settings)
        self._bucket = TokenBucket(settings.get("lines_per_second", 30.0), settings.get("burst", 10.0))
        self._server = None
        if "server" in settings:
            self._server = socket.create_connection(_address(settings["server"]), _PATIENCE)

    def consume(self, message: Message) -> None:
        """Say it in the channel."""
        line = self._formatted(message)
        self._bucket.take()
        if self._server is None:
            logger.info("%s", line)
        else:
            self._server.sendall(f"PRIVMSG #fedora-fedmsg :{line}\r\n".encode())

    def close(self) -> None:
        """Leave."""
        if self._server is not None:
            self._server.close()

    def _formatted(self, message: Message) -> str:
        who = _person(message.body["msg"]) or "somebody"
        subject = message.topic[len(PREFIX) :].replace(".", " ")
        return f"\x0303{subject}\x03 -- {who} (https://apps.example.org/datagrepper/id?id={message.body['msg_id']})"


class Badges(Consumer):
    """Slow: a couple of hundred rules, and queries of a database that grows.

    One bug is left in it: it takes for granted that a build has an owner, fails when there is none, and goes on.

    Settings:
        database: A file for SQLite; in memory by default.
        rules, depth: How many rules, and how many conditions each of them has.
    """

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any] = {}) -> None:
        """Open the database and read the rules."""
        super().__init__(settings)
        self._rules = RuleBook(settings.get("rules", RULES), settings.get("depth", DEPTH))
        self._database = _opened(settings)
        self._database.executescript(
            """
            CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, person TEXT, category TEXT);
            CREATE INDEX IF NOT EXISTS by_person ON history (person, category);
            CREATE TABLE IF NOT EXISTS awards (badge TEXT, person TEXT, UNIQUE (badge, person));
            """
        )

    def consume(self, message: Message) -> None:
        """Remember what the person has done, and award the badges that this has earned."""
        category, content = category_of(message.topic), message.body["msg"]
        person = content["owner"].lower() if "owner" in content else _person(content)
        matching = self._rules.matching(category, message.body)
        self._database.execute("INSERT INTO history (person, category) VALUES (?, ?)", (person, category))
        if matching:
            (deeds,) = self._database.execute(
                "SELECT count(*) FROM history WHERE person = ? AND category = ?", (person, category)
            ).fetchone()
            self._award(person, [rule.name for rule in matching if deeds >= rule.needed])

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _award(self, person: str, badges: list[str]) -> None:
        for badge in badges:
            self._database.execute("INSERT OR IGNORE INTO awards (badge, person) VALUES (?, ?)", (badge, person))


class Notifications(Consumer):
    """Slow: as many rules, and then a push service that takes its time, and refuses now and then.

    Settings:
        server: The service, as host:port, which gets a POST; by default the log gets it.
        rules, depth: As for `Badges`.
    """

    topics = ("",)

    def __init__(self, settings: Mapping[str, Any] = {}) -> None:
        """Read the rules; the connection is made when there is something to send."""
        super().__init__(settings)
        self._rules = RuleBook(settings.get("rules", RULES), settings.get("depth", DEPTH), seed=3)
        self._service = None
        if "server" in settings:
            self._service = http.client.HTTPConnection(*_address(settings["server"]), timeout=_PATIENCE)

    def consume(self, message: Message) -> None:
        """Tell everybody who wants to know."""
        matching = self._rules.matching(category_of(message.topic), message.body)
        if matching:
            self._push({"to": [rule.name for rule in matching], "id": message.body["msg_id"], "topic": message.topic})

    def close(self) -> None:
        """Close the connection."""
        if self._service is not None:
            self._service.close()

    def _push(self, note: dict[str, Any]) -> None:
        if self._service is None:
            logger.info("%s", note)
            return
        try:
            self._service.request("POST", "/push", json.dumps(note).encode())
            answer = self._service.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._service.close()  # the next message gets a new connection
            raise
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the push service refused: {answer.status} {answer.reason}")


def _opened(settings: Mapping[str, Any]) -> sqlite3.Connection:
    """The database of the settings; every statement is a transaction."""
    # Built in the main thread and used in the one worker, never at the same time.
    database = sqlite3.connect(settings.get("database", ":memory:"), isolation_level=None, check_same_thread=False)
    with contextlib.closing(database.execute("PRAGMA journal_mode = WAL")):
        database.execute("PRAGMA synchronous = NORMAL")
    return database


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _person(content: Any) -> str:
    """Who did it, as far as the message says so."""
    if not isinstance(content, dict):
        return ""
    for key in ("agent", "username", "author", "user"):
        if isinstance(content.get(key), str):
            return str(content[key]).lower()
    inner = (_person(value) for value in content.values() if isinstance(value, dict))
    return next((person for person in inner if person), "")
