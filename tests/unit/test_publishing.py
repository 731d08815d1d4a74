# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub.publish` and `glasshub.Publisher`: what they make of a message, and what they say where they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import glasshub
from glasshub import ConfigError, Publisher, PublishError, cli, publishing, sending
from glasshub.compat import moksha
from glasshub.config import Config, ConfigBuilder, HubSection, ZmqSection
from glasshub.publisher import LatePublisher
from glasshub.publishing import install
from glasshub.sending import Relay, sender_of

HUB = Path(cli.__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_other_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may have left a crew that they never closed."""
    monkeypatch.setattr(publishing, "_installed", [])


class Sent:
    """A sender that remembers, or raises."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.confirms = confirms
        self.messages: list[tuple[bytes, bytes]] = []
        self.is_closed = False

    def open(self) -> None: ...

    def publish(self, topic: bytes, body: bytes) -> None:
        self.messages.append((topic, body))

    def close(self) -> None:
        self.is_closed = True

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.messages]


@pytest.fixture
def sent() -> Iterator[Sent]:
    """What is published with `glasshub.publish`."""
    sent = Sent()
    with closing(Publisher(sent)) as publisher:
        install(publisher)
        yield sent


def test_a_message_is_a_document_of_fedmsgs_and_its_id_is_returned(sent: Sent) -> None:
    ids = [glasshub.publish("org.a\xe9", {"b": ["\xe9"]}) for _ in range(2)]

    assert [topic for topic, _ in sent.messages] == ["org.a\xe9".encode()] * 2
    for number, (document, message_id) in enumerate(zip(sent.documents, ids), 1):
        timestamp = document.pop("timestamp")
        assert isinstance(timestamp, int)
        assert document == {"topic": "org.a\xe9", "msg": {"b": ["\xe9"]}, "msg_id": message_id, "i": number}
    assert len(set(ids)) == 2


def test_what_fedora_messaging_knows_besides_is_in_the_headers(sent: Sent) -> None:
    glasshub.publish("org.a", {}, headers={"mine": 1}, severity=40, schema="a.b")

    (document,) = sent.documents
    assert document["headers"] == {"mine": 1, "fedora_messaging_severity": 40, "fedora_messaging_schema": "a.b"}


@pytest.mark.parametrize(
    ("body", "more", "complaint"),
    [
        ({"a": object()}, {}, "JSON cannot say what is in its body"),
        ({"a": float("nan")}, {}, "JSON cannot say what is in its body"),
        ({}, {"severity": 25}, "severity 25 is none of 10, 20, 30, 40"),
        ({}, {"headers": {"a": object()}}, "JSON cannot say"),
    ],
)
def test_what_cannot_be_said_is_an_error_and_nothing_is_published(
    sent: Sent, body: Any, more: Any, complaint: str
) -> None:
    with pytest.raises(PublishError, match=f"cannot publish 'org.a': {complaint}") as caught:
        glasshub.publish("org.a", body, **more)

    assert (caught.value.reason, caught.value.topic) == ("invalid", "org.a")
    assert sent.messages == []


def test_a_topic_that_is_no_text_is_an_error(sent: Sent) -> None:
    with pytest.raises(PublishError, match="its topic cannot be written in UTF-8"):
        glasshub.publish("\udcff", {})


def test_without_a_hub_there_is_nothing_to_publish_with_and_the_error_says_what_to_do() -> None:
    with pytest.raises(PublishError, match=r"there is no hub around.*glasshub.Publisher.from_config\(\)"):
        glasshub.publish("org.a", {})


def test_the_hub_that_began_last_has_it_until_it_ends() -> None:
    """Two hubs in one process are for tests alone; neither takes the other's away."""
    first, second = Sent(), Sent()
    with closing(Publisher(first)) as one:
        install(one)
        with closing(Publisher(second)) as other:
            install(other)
            glasshub.publish("b", {})
        glasshub.publish("a", {})

    assert [topic for topic, _ in first.messages] == [b"a"]
    assert [topic for topic, _ in second.messages] == [b"b"]
    assert first.is_closed
    assert second.is_closed
    assert publishing._installed == []


@pytest.mark.parametrize("config", [Config(), Config(hub=HubSection(shape="threads"))])
def test_where_no_endpoint_is_configured_nothing_publishes(config: Config) -> None:
    assert sender_of(config) is None
    with pytest.raises(PublishError, match=r"there is no place to publish at: set publish_endpoints in \[zmq\]"):
        Publisher(None).publish("org.a", {})
    assert not Publisher(None).confirms


def test_a_worker_process_has_the_hub_publish_at_endpoints_and_publishes_on_a_broker_by_itself(tmp_path: Path) -> None:
    (tmp_path / "fm.toml").write_text('amqp_url = "amqp://"\n', encoding="utf-8")
    on_zeromq = Config(zmq=ZmqSection(publish_endpoints=("ipc:///nowhere/x",)))
    on_a_broker = config_on_a_broker(tmp_path / "fm.toml")

    assert isinstance(sender_of(on_zeromq, lambda topic, body: None), Relay)
    assert isinstance(sender_of(on_zeromq), LatePublisher)
    for relay in (None, lambda topic, body: None):
        sender = sender_of(on_a_broker, relay)
        assert type(sender).__name__ == "AmqpPublisher"
        assert sender is not None
        assert sender.confirms
        sender.close()


def config_on_a_broker(file: Path) -> Config:
    builder = ConfigBuilder()
    builder.set("hub", "source", "fedora-messaging", origin="test")
    builder.set("fedora-messaging", "config", str(file), origin="test")
    return builder.build()


def test_an_endpoint_is_bound_once_it_is_needed_and_not_after_the_end(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/out"
    publisher = LatePublisher([endpoint], is_one_enough=False)
    assert not (tmp_path / "out").exists()
    publisher.publish(b"a", b"{}")
    assert (tmp_path / "out").exists()
    publisher.close()

    late = LatePublisher([endpoint.replace("out", "late")], is_one_enough=False)
    late.close()
    late.publish(b"a", b"{}")

    assert not (tmp_path / "late").exists()


def test_of_several_endpoints_the_first_that_can_be_bound_is_enough_where_that_is_said(tmp_path: Path) -> None:
    bad, good = f"ipc://{tmp_path}/no/such/directory", f"ipc://{tmp_path}/good"
    with closing(LatePublisher([bad, good], is_one_enough=True)) as publisher:
        publisher.open()
        assert (tmp_path / "good").exists()

    for is_one_enough, endpoints in ((True, [bad]), (False, [good, bad])):
        with pytest.raises(PublishError, match="cannot publish at"):
            LatePublisher(endpoints, is_one_enough=is_one_enough).open()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a glasshub.toml, the only one of this machine."""
    monkeypatch.setattr(sending, "DEFAULT_FILE", tmp_path / "glasshub.toml")

    def one(text: str) -> Path:
        (tmp_path / "glasshub.toml").write_text(text, encoding="utf-8")
        return tmp_path / "glasshub.toml"

    return one


def test_a_script_finds_the_configuration_of_the_machine(tmp_path: Path, write: Callable[[str], Path]) -> None:
    write(f'[zmq]\npublish_endpoints = ["ipc://{tmp_path}/out"]\n')

    with Publisher.from_config() as publisher:
        assert (tmp_path / "out").exists()
        assert not publisher.confirms
        assert len(publisher.publish("org.a", {})) > 36


def test_a_script_on_a_machine_without_any_is_told_what_to_configure(write: Callable[[str], Path]) -> None:
    with Publisher.from_config() as publisher, pytest.raises(PublishError, match="set publish_endpoints"):
        publisher.publish("org.a", {})


def test_a_configuration_that_anybody_may_write_is_refused(write: Callable[[str], Path]) -> None:
    file = write("")
    file.chmod(0o666)

    with pytest.raises(ConfigError, match="write"):
        Publisher.from_config(file)


@pytest.mark.parametrize(
    ("arguments", "text", "complaint"),
    [
        (["org.a"], "{", "-: the body is not JSON in UTF-8: "),
        (["org.a"], "[]", '-: the body must be a JSON object, such as {"thing": 1}'),
        (["org.a", "/no/such/file"], "", "/no/such/file: cannot read the body: No such file or directory"),
        (["org.a", "--header", "x"], "{}", "--header: 'x' is no NAME=TEXT"),
        (["org.a", "--fedora-messaging", "/no/such"], "{}", "/no/such: cannot read fedora-messaging's configuration"),
        (["org.a", "--config", "/no/such"], "{}", "/no/such: cannot read the configuration: "),
    ],
)
def test_a_shell_is_told_what_is_wrong_on_one_line(arguments: list[str], text: str, complaint: str) -> None:
    done = run("publish", *arguments, text=text)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"glasshub: {complaint}")
    assert done.stderr.count("\n") == 1


def test_a_shell_is_told_that_a_message_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("", encoding="utf-8")

    done = run("publish", "org.a", "--config", str(tmp_path / "g.toml"), "--settle", "0", text="{}")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("glasshub: cannot publish 'org.a': there is no place to publish at: set ")


def run(*arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glasshub", *arguments]
    environment = {"PYTHONPATH": str(HUB)}
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)


def test_who_publishes_nothing_loads_no_library_of_any_bus() -> None:
    code = "import sys, glasshub; print(*sorted({'zmq', 'pika', 'fedmsg'} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(HUB)}, check=True
    )

    assert done.stdout == "\n"


def test_a_consumer_of_fedmsgs_is_told_that_its_message_is_not_there() -> None:
    def refuse(topic: bytes, body: bytes) -> None:
        raise PublishError("no")

    hub = moksha.MokshaHub({}, strict=False, stop=lambda: None, send=refuse)

    with pytest.raises(PublishError, match="no"):
        hub.send_message("org.a", {})
