# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that others published for fedmsg, as they are on PyPI, under `glasshub run` on a live zeromq bus.

Those that cannot be installed any more are there with their habits: `published/habits.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq

from glasshub.dispatch import SHAPES
from glasshub_stats import ConsumerStats

from .hubs import DEADLINE, Bus, HubProcess, bus_in, wait_until
from .published.environment import published_python
from .published.services import AccountSystem, IrcServer, Koji, WebServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first of them installs what all need

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "fedmsg-messages.jsonl"
HABITS = "tests.integration.published.habits"
GIT = "org.fedoraproject.prod.git.receive"

#: What message-tagging-service reads when it is imported.
MTS_CONFIG = """
class BaseConfiguration:
    dry_run = False
    mbs_api_url = "{url}/mbs/"
    rules_file_url = "{url}/rules.yaml"
    koji_profile = "test"
    koji_cert = keytab = principal = None
    consumer_topics = ["org.fedoraproject.prod.mbs.module.state.change"]
    messaging_backend = "fedmsg"
    messaging_backends = {{"fedmsg": {{"service": "mts"}}}}
    log_level = "INFO"
"""


@dataclass
class Site:
    """A machine with all of them installed, where fedmsg.d says which of them is enabled.

    Attributes:
        config: What its fedmsg.d says.
        environment: Variables of the hub's process.
    """

    directory: Path
    python: Path
    bus: Bus
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set what all need. Nothing is read from, or written to, the home of who runs the tests."""
        self.relay = f"ipc://{self.directory}/relay"
        self.config.update(
            topic_prefix="org.fedoraproject",
            environment="prod",
            zmq_enabled=True,
            validate_signatures=False,
            endpoints={"bus": [self.bus.endpoint]},
            active=True,  # what consumers publish goes to the relay
            relay_inbound=[self.relay],  # fedmsg documents a string; sites have lists
        )
        self.environment["HOME"] = str(self.directory)
        # Two read a file of their own when they are imported, enabled or not.
        (self.directory / "anitya.toml").write_text(f'db_url = "sqlite:///{self.directory}/anitya.db"\n')
        self.environment["ANITYA_WEB_CONFIG"] = str(self.directory / "anitya.toml")
        (self.directory / "mts.py").write_text(MTS_CONFIG.format(url="http://127.0.0.1:1"))
        self.environment["MTS_CONFIG_FILE"] = str(self.directory / "mts.py")

    @contextmanager
    def hub(self, shape: str, *arguments: str) -> Iterator[HubProcess]:
        """A hub that runs whatever is installed and enabled, unless the arguments say otherwise."""
        (self.directory / "fedmsg.d").mkdir()
        (self.directory / "fedmsg.d" / "site.py").write_text(f"config = {self.config!r}\n")
        options = ["--shape", shape, "--fedmsg-config", "fedmsg.d", *arguments]
        hub = HubProcess(self.directory, None, options, python=self.python, environment=self.environment)
        try:
            hub.wait_until_running()
            self.bus.wait()
            yield hub
        finally:
            hub.close()

    @contextmanager
    def relayed(self) -> Iterator[zmq.Socket[bytes]]:
        """What arrives at the relay."""
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
            socket.bind(self.relay)
            yield socket

    def run(self, code: str) -> None:
        """Have Python code run among the installed packages."""
        subprocess.run(
            [self.python, "-c", code], cwd=self.directory, env={**os.environ, **self.environment}, check=True
        )


@pytest.fixture(scope="session")
def python() -> Path:
    return published_python()


@pytest.fixture
def site(tmp_path: Path, python: Path) -> Iterator[Site]:
    with bus_in(tmp_path) as bus:
        yield Site(tmp_path, python, bus)


@pytest.fixture
def server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """What a database of SQLite answers."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def finished(hub: HubProcess, count: int) -> ConsumerStats:
    """The one consumer that is enabled, once it has finished so many messages; the hub has ended well then."""
    snapshot = hub.wait_until_finished(count)
    (consumer,) = [consumer for consumer in snapshot.consumers if consumer.initialized]
    assert hub.stop() == 0, hub.said()
    return consumer


def counts(consumer: ConsumerStats) -> tuple[str, int, int, int, int]:
    """Which it is, and how its messages ended."""
    return (consumer.name, consumer.processed, consumer.failed, consumer.invalid, consumer.dropped)


def received(socket: zmq.Socket[bytes], count: int) -> list[dict[str, Any]]:
    """So many messages that arrived at the relay."""
    found: list[dict[str, Any]] = []
    for _ in range(count):
        assert socket.poll(int(DEADLINE * 1000)), f"nothing more arrived at the relay after {found}"
        found.append(json.loads(socket.recv_multipart()[1]))
    return found


# datanommer: a row for each message


@pytest.fixture(scope="session")
def empty_datanommer(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Path:
    """A database with datanommer's tables."""
    database = tmp_path_factory.mktemp("datanommer") / "empty.db"
    code = f"import datanommer.models; datanommer.models.init('sqlite:///{database}', create=True)"
    subprocess.run([python, "-c", code], check=True)
    return database


@pytest.fixture
def datanommer(site: Site, empty_datanommer: Path) -> Path:
    """Have datanommer enabled; its database."""
    database = site.directory / "datanommer.db"
    shutil.copy(empty_datanommer, database)
    site.config.update({"datanommer.enabled": True, "datanommer.sqlalchemy.url": f"sqlite:///{database}"})
    return database


@pytest.mark.parametrize("shape", SHAPES)
def test_datanommer_stores_every_message_in_order(site: Site, datanommer: Path, shape: str) -> None:
    with site.hub(shape) as hub:
        published = site.bus.publish_many(100)
        consumer = finished(hub, 100)

    assert counts(consumer) == ("Nommer", 100, 0, 0, 0)
    assert rows(datanommer, "select msg_id, topic from messages order by id") == [(msg_id, GIT) for msg_id in published]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded messages are not here")
def test_datanommer_stores_the_recorded_messages_of_the_real_bus_in_order(site: Site, datanommer: Path) -> None:
    recorded = [json.loads(line) for line in RECORDED.read_bytes().splitlines()]
    for number, body in enumerate(recorded):  # some share an id, and datanommer stores each id once
        body["msg_id"] = f"{body.get('msg_id')}-{number}"
    with site.hub("threads") as hub:
        for body in recorded:
            site.bus.publish(body["topic"], body)
        consumer = finished(hub, len(recorded))

    assert counts(consumer) == ("Nommer", len(recorded), 0, 0, 0)
    stored = rows(datanommer, "select msg_id, topic, _msg from messages order by id")
    assert [(msg_id, topic, json.loads(msg)) for msg_id, topic, msg in stored] == [
        (body["msg_id"], body["topic"], body["msg"]) for body in recorded
    ]


# fedmsg_genacls: a file, written by Twisted's reactor a while after the last message


@pytest.mark.parametrize("shape", SHAPES)
def test_gitoliteprefix_writes_its_file_when_the_bus_is_quiet_again(site: Site, server: WebServer, shape: str) -> None:
    file = site.directory / "prefix.txt"
    accounts = AccountSystem(server, ["lmacken"])
    key = "gitoliteprefix.consumer"
    site.config.update({f"{key}.enabled": True, f"{key}.delay": 0.3, f"{key}.filename": str(file)})
    site.config.update({f"{key}.fasurl": accounts.url, f"{key}.username": "hub", f"{key}.password": "secret"})
    topic = "org.fedoraproject.prod.fas.group.member.sponsor"
    with site.hub(shape) as hub:
        assert "@admins = lmacken\n" in file.read_text()
        accounts.members.append("ralph")

        for number in range(20):
            site.bus.publish(topic, {"topic": topic, "msg_id": f"2014-{number}", "msg": {"group": "releng-team"}})
        wait_until(lambda: "@admins = lmacken ralph\n" in file.read_text(), "the file to be written anew")
        consumer = finished(hub, 20)

    assert counts(consumer) == ("GitolitePrefixConsumer", 20, 0, 0, 0)


# message-tagging-service: asks one service, tells another, and publishes

MTS_RULES = """
- id: all platforms
  type: module
  rule: {dependencies: {requires: {platform: '(?P<platform>.+)'}}}
  destinations: modular-\\g<platform>
"""

MODULEMD = "data: {dependencies: [{requires: {platform: [f29]}}]}"


@pytest.mark.parametrize("shape", SHAPES)
def test_message_tagging_service_tags_each_module_in_order_and_says_so_on_the_bus(
    site: Site, server: WebServer, shape: str
) -> None:
    koji = Koji(server)
    server.serve("/rules.yaml", MTS_RULES)
    (site.directory / "mts.py").write_text(MTS_CONFIG.format(url=server.url))
    (site.directory / ".koji").mkdir()
    (site.directory / ".koji" / "config").write_text(f"[test]\nserver = {koji.url}\nauthtype = noauth\n")
    site.config["mts-consumer"] = True
    topic = "org.fedoraproject.prod.mbs.module.state.change"
    with site.relayed() as relay, site.hub(shape) as hub:
        for number in range(5):
            server.serve(f"/mbs/module-builds/{number}", json.dumps({"modulemd": MODULEMD}))
            build = {"id": number, "name": f"module{number}", "stream": "1", "version": "2", "context": "c0ffee"}
            for state in ("build", "ready"):
                site.bus.publish(topic, {"topic": topic, "msg_id": f"{number}", "msg": {**build, "state_name": state}})
        said = received(relay, 10)
        consumer = finished(hub, 10)

    builds = [f"module{number}{suffix}-1-2.c0ffee" for number in range(5) for suffix in ("", "-devel")]
    assert counts(consumer) == ("MTSConsumer", 10, 0, 0, 0)
    assert koji.tagged == [("modular-f29", build) for build in builds]
    assert [message["msg"]["nvr"] for message in said] == builds


# anitya: sets its topic itself, asks a website, writes to a database, and publishes


#: Makes a database of projects, each with a page of its own.
ANITYA_DATABASE = """
import anitya.config, anitya.db
engine = anitya.db.initialize(anitya.config.config)
anitya.db.Base.metadata.create_all(engine)
session = anitya.db.Session()
for number in range(10):
    session.add(anitya.db.models.Project(
        name=f"project{{number}}", homepage=f"https://example.com/{{number}}", ecosystem_name="npm",
        backend="custom", version_url=f"{url}/{{number}}", regex="release-([0-9.]+)"))
session.commit()
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="anitya finds its plugins with the module imp")
@pytest.mark.parametrize("shape", SHAPES)
def test_anitya_finds_each_new_version_in_order_and_says_so_on_the_bus(
    site: Site, server: WebServer, shape: str
) -> None:
    site.run(ANITYA_DATABASE.format(url=server.url))
    site.config["anitya.libraryio.enabled"] = True
    topic = "org.fedoraproject.prod.sse2fedmsg.librariesio"
    numbers = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    with site.relayed() as relay, site.hub(shape) as hub:
        for number in numbers:
            server.serve(f"/{number}", f"release-1.{number}")
            data = {"name": f"project{number}", "platform": "NPM", "version": "1", "package_manager_url": "https://x"}
            site.bus.publish(topic, {"topic": topic, "msg_id": f"{number}", "msg": {"data": data}})
        said = received(relay, 10)
        consumer = finished(hub, 10)

    versions = [f"1.{number}" for number in numbers]
    assert counts(consumer) == ("LibrariesioConsumer", 10, 0, 0, 0)
    assert [message["msg"]["message"]["upstream_version"] for message in said] == versions
    query = "select version from projects_versions order by rowid"
    assert rows(site.directory / "anitya.db", query) == [(version,) for version in versions]


# What cannot be installed any more


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Site]:
    """A site that needs nothing installed, with a database for what its consumers do."""
    with bus_in(tmp_path) as bus:
        site = Site(tmp_path, Path(sys.executable), bus)
        site.config["database"] = str(tmp_path / "done.db")
        yield site


@pytest.fixture
def irc() -> Iterator[IrcServer]:
    server = IrcServer()
    yield server
    server.close()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_consumer_that_looks_at_its_backlog_sees_it(old: Site, shape: str) -> None:
    old.config["badges.enabled"] = True
    with old.hub(shape, "--with-consumers", f"{HABITS}:Badges") as hub:
        old.bus.publish_many(50)
        consumer = finished(hub, 50)

    awards = rows(old.directory / "done.db", "select username, backlog from awards order by rowid")
    assert counts(consumer) == ("Badges", 50, 0, 0, 0)
    assert [username for username, _ in awards] == ["somebody"] * 50
    assert awards[-1][1] == 0
    assert any(backlog for _, backlog in awards) is (shape != "inline")  # there it waits in zeromq, unseen


@pytest.mark.parametrize("shape", SHAPES)
def test_a_producer_finds_its_consumer_and_writes_down_what_that_has_counted(old: Site, shape: str) -> None:
    old.config.update({"statistics.enabled": True, "statistics.frequency": 0.1})
    done = old.directory / "done.db"
    arguments = [f"--with-consumers={HABITS}:Statistics", f"--with-producers={HABITS}:StatisticsProducer"]
    with old.hub(shape, *arguments) as hub:
        old.bus.publish_many(30)
        wait_until(
            lambda: rows(done, "select * from counts") == [("git.receive", 30)], "30 messages to be written down"
        )
        consumer = finished(hub, 30)

    assert counts(consumer) == ("Statistics", 30, 0, 0, 0)
    assert rows(done, "select * from counts order by title") == [("git.receive", 30), ("stopped", 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_consumer_that_shares_its_irc_connection_with_the_reactor_is_heard_in_order(
    old: Site, irc: IrcServer, shape: str
) -> None:
    old.config.update({"notifications.enabled": True, "notifications.port": irc.port})
    with old.hub(shape, "--with-consumers", f"{HABITS}:Notifications") as hub:
        wait_until(lambda: irc.said, "the client to have signed on")
        published = []
        for heard in range(2, 12):  # one by one: a transport that two threads write to at once may lose something
            published += old.bus.publish_many(1)
            wait_until(lambda: len(irc.said) == heard, "the line to be heard")  # noqa: B023
        consumer = finished(hub, 10)

    assert counts(consumer) == ("Notifications", 10, 0, 0, 0)
    assert irc.said == [("watcher", "here"), *(("somebody", msg_id) for msg_id in published)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_consumer_does_what_it_puts_into_its_own_queue_and_stops_the_hub_after_the_last(
    old: Site, shape: str
) -> None:
    old.config.update({"builder.enabled": True, "builder.initial": ["first", "second"], "builder.last": "package-9"})
    topic = "org.fedoraproject.prod.buildsys.build"
    with old.hub(shape, "--with-consumers", f"{HABITS}:Builder") as hub:
        for number in range(10):
            old.bus.publish(topic, {"topic": topic, "msg_id": f"{number}", "msg": {"name": f"package-{number}"}})
        exit_code = hub.process.wait(DEADLINE)

    assert exit_code == 0, hub.said()
    built = [name for (name,) in rows(old.directory / "done.db", "select name from work order by rowid")]
    assert built == ["first", "second", *(f"package-{number}" for number in range(10))]
