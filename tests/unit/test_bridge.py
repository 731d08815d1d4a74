# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bridges without buses: what a message looks like on the other side, and which ones do not get there."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from glasshub import cli
from glasshub.amqp.settings import AmqpSettings
from glasshub.amqp.wire import Outgoing, fedmsg_body
from glasshub.bridge import CROSSED, BridgeRoster, Crossing, ToFedmsg, ToFedoraMessaging
from glasshub.cli import bridge as bridge_command
from glasshub.cli.options import Effective
from glasshub.compat.signatures import signer, validator
from glasshub.config import TO_FEDMSG, TO_FEDORA_MESSAGING, Config, ConfigBuilder
from glasshub.errors import ConfigError, MessageError, PublishError
from glasshub.message import Frame, Message, decode
from glasshub.signals import Drop, Retry

from ..integration import signed
from ..integration.hubs import ROOT
from ..pki import Authority

OUTWARD, HOMEWARD = Crossing("fedmsg", "fedora-messaging"), Crossing("fedora-messaging", "fedmsg")

TOPIC = "org.site.shop.sold"


class Sent(NamedTuple):
    """What was published on zeromq."""

    topic: bytes
    document: dict[str, Any]


class FakePublisher:
    """Keeps what is published on zeromq."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def publish(self, topic: bytes, body: bytes) -> None:
        self.sent.append(Sent(topic, json.loads(body)))

    def close(self) -> None:
        """Nothing is open."""


class FakeBroker:
    """Confirms, or refuses, what is published."""

    def __init__(self, reason: str = "") -> None:
        self.took: list[Outgoing] = []
        self._reason = reason

    def submit(self, message: Outgoing) -> Future[None]:
        self.took.append(message)
        future: Future[None] = Future()
        if self._reason:
            future.set_exception(PublishError("no", reason=self._reason))
        else:
            future.set_result(None)
        return future

    def close(self) -> None:
        """Nothing is open."""


def document(**more: Any) -> dict[str, Any]:
    """What fedmsg publishes."""
    return {
        "topic": TOPIC,
        "msg": {"price": 1.5},
        "msg_id": "2014-abc",
        "timestamp": 1400000000,
        "i": 7,
        "username": "shop",
        **more,
    }


def passed_to_broker(body: Any, crossing: Crossing = OUTWARD, **more: Any) -> Outgoing:
    """What a bridge makes of a document."""
    broker = FakeBroker()
    ToFedoraMessaging(crossing, broker, **more).consume(Message(TOPIC, body))  # type: ignore[arg-type]
    assert len(broker.took) == 1
    return broker.took[0]


def passed_to_zeromq(
    body: bytes = b"{}", headers: Mapping[str, Any] = MappingProxyType({}), *, message_id: str | None = "m1"
) -> Sent:
    """What a bridge makes of a message from a broker."""
    publisher = FakePublisher()
    came = fedmsg_body(body, topic=TOPIC, message_id=message_id, headers=headers)
    ToFedmsg(HOMEWARD, publisher).consume(decode(Frame(TOPIC.encode(), came, 0)))  # type: ignore[arg-type]
    assert len(publisher.sent) == 1
    return publisher.sent[0]


def test_a_document_of_fedmsg_becomes_a_message_of_fedora_messaging() -> None:
    outgoing = passed_to_broker(document())

    assert outgoing.topic == TOPIC
    assert json.loads(outgoing.body) == {"price": 1.5}
    assert outgoing.properties == {
        "message_id": "2014-abc",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "priority": None,
        "headers": {
            "fedora_messaging_schema": "base.message",
            "fedora_messaging_severity": 20,
            "priority": 0,
            "sent-at": "2014-05-13T16:53:20+00:00",
            CROSSED: ["fedmsg", "fedora-messaging"],
        },
    }


def test_a_message_of_fedora_messaging_becomes_a_document_of_fedmsg() -> None:
    headers = {"fedora_messaging_schema": "shop.sold", "sent-at": "2014-05-13T16:53:20+00:00"}

    topic, found = passed_to_zeromq(b'{"price": 1.5}', headers)

    assert topic == TOPIC.encode()
    assert found == document(
        msg_id="m1",
        i=1,
        username="amqp-bridge",
        headers={**headers, CROSSED: ["fedora-messaging", "fedmsg"]},
    )


def test_fedmsgs_timestamps_are_whole_seconds() -> None:
    sent = passed_to_zeromq(headers={"sent-at": "2014-05-13T16:53:20.750+00:00"})

    assert repr(sent.document["timestamp"]) == "1400000000"


def test_the_documents_of_a_bridge_are_numbered_without_those_that_are_dropped() -> None:
    publisher = FakePublisher()
    consumer = ToFedmsg(HOMEWARD, publisher)  # type: ignore[arg-type]
    for headers in ({}, {CROSSED: ["fedmsg"]}, {}):
        with suppress(Drop):
            consumer.consume(decode(Frame(b"t", fedmsg_body(b"{}", topic="t", message_id="m", headers=headers), 0)))

    assert [sent.document["i"] for sent in publisher.sent] == [1, 2]


def test_headers_that_have_crossed_to_zeromq_are_the_same_when_they_come_to_another_broker() -> None:
    headers = {"fedora_messaging_schema": "shop.sold", "fedora_messaging_severity": 40, "mine": "yes"}

    crossed = passed_to_zeromq(b'{"price": 1.5}', headers)
    outgoing = passed_to_broker(crossed.document, Crossing("fedmsg", "another"))

    assert outgoing.properties["message_id"] == "m1"
    found = outgoing.properties["headers"]
    assert {key: found[key] for key in headers} == headers
    assert found[CROSSED] == ["fedora-messaging", "fedmsg", "another"]


@pytest.mark.parametrize("timestamp", [None, "today", 1e300, float("nan"), [], {}])
def test_a_timestamp_that_is_none_is_now(timestamp: Any) -> None:
    assert passed_to_broker(document(timestamp=timestamp)).properties["headers"]["sent-at"] > "2026"


def test_a_document_without_a_timestamp_is_from_now() -> None:
    outgoing = passed_to_broker({"msg": {"price": 1.5}, "msg_id": "1"})

    assert json.loads(outgoing.body) == {"price": 1.5}
    assert outgoing.properties["headers"]["sent-at"] > "2026"


@pytest.mark.parametrize(
    ("odd", "complaint"),
    [
        pytest.param("text", "has no msg", id="no object"),
        pytest.param({"topic": TOPIC, "msg_id": "1"}, "has no msg", id="no msg"),
        pytest.param(document(msg_id=None), "has no id", id="no id"),
        pytest.param(document(msg_id=17), "has no id", id="an id that is no text"),
        pytest.param(document(msg_id="x" * 256), "none that AMQP has a form for", id="an id that is too long"),
    ],
)
def test_a_document_that_fedora_messaging_has_no_form_for_is_invalid(odd: Any, complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        passed_to_broker(odd)


def test_a_message_without_an_id_is_none_of_fedmsgs() -> None:
    with pytest.raises(MessageError, match="no id"):
        passed_to_zeromq(message_id=None)


def test_what_the_broker_can_never_take_is_invalid() -> None:
    with pytest.raises(MessageError):
        ToFedoraMessaging(OUTWARD, FakeBroker("invalid")).consume(Message(TOPIC, document()))  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["refused", "forbidden", "closed"])
def test_what_the_broker_does_not_take_now_is_tried_again(reason: str) -> None:
    with pytest.raises(Retry):
        ToFedoraMessaging(OUTWARD, FakeBroker(reason)).consume(Message(TOPIC, document()))  # type: ignore[arg-type]


def test_nothing_goes_back_to_where_it_came_from() -> None:
    there = passed_to_broker(document())
    back = passed_to_zeromq()

    with pytest.raises(Drop, match="been on bus fedmsg"):
        passed_to_zeromq(headers=there.properties["headers"])
    with pytest.raises(Drop, match="been on bus fedora-messaging"):
        passed_to_broker(back.document)


def test_what_fedoras_own_bridge_has_brought_does_not_go_back() -> None:
    with pytest.raises(Drop, match="fedmsg-migration-tools"):
        passed_to_broker(document(username="amqp-bridge"))


@pytest.mark.parametrize("odd", ["fedora-messaging", 17, None, {"fedora-messaging": 1}])
def test_a_marker_that_no_bridge_has_made_means_nothing(odd: Any) -> None:
    outgoing = passed_to_broker(document(headers={CROSSED: odd}))

    assert outgoing.properties["headers"][CROSSED] == ["fedmsg", "fedora-messaging"]


def test_a_msg_that_is_no_object_becomes_one() -> None:
    assert json.loads(passed_to_broker(document(msg="text")).body) == {"msg": "text"}


def test_headers_that_are_none_mean_nothing() -> None:
    assert CROSSED in passed_to_broker(document(headers="text")).properties["headers"]


def flood(crossings: list[Crossing], origin: str) -> Counter[str]:
    """How often a message of one bus comes to each, over bridges that pass on all that may go."""
    came: Counter[str] = Counter()
    on_the_way: deque[tuple[str, dict[str, Any]]] = deque([(origin, {})])
    while on_the_way:
        bus, headers = on_the_way.popleft()
        came[bus] += 1
        assert came[bus] < 100, "it goes round"
        for crossing in crossings:
            if crossing.source == bus:
                try:
                    on_the_way.append((crossing.target, crossing.headers(headers)))
                except Drop:
                    continue
    return came


def both_ways(*pairs: tuple[str, str]) -> list[Crossing]:
    return [Crossing(*ends) for pair in pairs for ends in (pair, pair[::-1])]


@pytest.mark.parametrize("origin", ["A", "B", "C"])
def test_in_a_chain_of_three_buses_a_message_is_on_each_of_them_once(origin: str) -> None:
    assert flood(both_ways(("A", "B"), ("B", "C")), origin) == {"A": 1, "B": 1, "C": 1}


def test_where_every_bus_is_bridged_to_every_other_one_nothing_goes_round() -> None:
    crossings = [Crossing(*ends) for ends in permutations("ABCD", 2)]

    assert flood(crossings, "A")["A"] == 1


def test_two_bridges_of_one_direction_are_no_loop() -> None:
    assert flood([OUTWARD, OUTWARD, HOMEWARD], "fedmsg") == {"fedmsg": 1, "fedora-messaging": 2}


def test_signatures_are_made_and_checked_as_fedmsgs_configuration_says(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    authority.give("shop")
    authority.revocations("crl")
    config = {**signed.config(tmp_path), "sign_messages": True, "name": "bridge", "certnames": {"bridge": "shop"}}
    sign, is_valid = signer(config), validator(config)
    assert sign is not None
    assert is_valid is not None
    publisher = FakePublisher()

    came = fedmsg_body(b"{}", topic=TOPIC, message_id="m1", headers={})
    ToFedmsg(HOMEWARD, publisher, sign).consume(decode(Frame(TOPIC.encode(), came, 0)))  # type: ignore[arg-type]
    found = publisher.sent[0].document

    onward = Crossing("fedmsg", "another")
    assert passed_to_broker(found, onward, is_valid=is_valid).properties["message_id"] == "m1"
    odd = {**document(), "crypto": "x509", "certificate": 17, "signature": ["x"]}
    for forged in ({**found, "msg": {"price": 0}}, {**found, "topic": "org.other"}, document(), odd):
        with pytest.raises(MessageError, match="signed"):
            passed_to_broker(forged, onward, is_valid=is_valid)
    replayed = Message("org.other", found)
    with pytest.raises(MessageError, match="signed"):
        ToFedoraMessaging(onward, FakeBroker(), is_valid).consume(replayed)  # type: ignore[arg-type]


def test_without_fedmsgs_configuration_nothing_is_signed_or_checked() -> None:
    assert signer({}) is None
    assert validator({}) is None
    assert signer({"sign_messages": False}) is None
    assert validator({"validate_signatures": False}) is None


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"certnames": {}, "name": "bridge"}, r"there is no certnames\['bridge'\]"),
        ({"certname": "shop", "ssldir": "/nonexistent"}, "No such file"),
        ({"crypto_backend": "gpg"}, "there is no gpg_keys"),
    ],
)
def test_a_key_that_is_not_there_is_missed_at_the_start(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        signer({"sign_messages": True, **config})


def test_a_bridge_to_the_broker_waits_for_several_messages_at_once() -> None:
    builder = ConfigBuilder()
    builder.set("bridge", "outstanding", 7, origin="test")
    builder.set("bridge", "topics", ["org.a.", "org.b."], origin="test")

    crew = BridgeRoster(TO_FEDORA_MESSAGING, builder.build(), AmqpSettings()).build(lambda: None)

    (member,) = crew.members
    assert (member.name, member.section.workers) == (TO_FEDORA_MESSAGING, 7)
    assert member.consumer is not None
    assert member.consumer.topics == ("org.a.", "org.b.")
    crew.close()


def test_subscribers_have_time_to_find_a_bridge_to_zeromq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    builder = ConfigBuilder()
    builder.set("zmq", "publish_endpoints", [f"ipc://{tmp_path}/out"], origin="test")
    builder.set("bridge", "settling", 3.5, origin="test")

    BridgeRoster(TO_FEDMSG, builder.build(), AmqpSettings()).build(lambda: None).close()

    assert slept == [3.5]


class Started(NamedTuple):
    """What a command line would run."""

    config: Config
    idle: list[tuple[str, str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Started]:
    """Has a bridge's command line read, and nothing started."""
    monkeypatch.setattr(bridge_command, "_DIRECTORY", tmp_path)
    monkeypatch.delenv("FEDORA_MESSAGING_CONF", raising=False)
    kept: list[Started] = []

    def keep(effective: Effective, make: Callable[[], object], *, idle: list[tuple[str, str]]) -> int:
        kept.append(Started(effective.config, idle))
        return 0

    def start(*arguments: str) -> Started:
        assert cli.main(["bridge", *arguments, "--no-discover"]) == 0
        return kept.pop()

    monkeypatch.setattr(bridge_command, "serve", keep)
    return start


def test_a_shape_that_is_configured_does_nothing_and_is_said_to(
    tmp_path: Path, started: Callable[..., Started]
) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[hub]\nshape = 'processes'\n", encoding="utf-8")

    config, idle = started(TO_FEDMSG, "--zmq", "tcp://*:9941", "--config", str(file))

    assert config.hub.shape == "threads"
    assert idle == [("hub.shape", str(file))]


def test_a_bridge_is_a_hub_of_that_name_on_the_bus_that_it_comes_from(started: Callable[..., Started]) -> None:
    there = started(TO_FEDMSG, "--zmq", "tcp://*:9941", "--fedora-messaging").config
    back = started(TO_FEDORA_MESSAGING, "--zmq", "tcp://a:1", "--zmq", "tcp://b:2", "--name", "mine").config

    assert (there.hub.name, there.hub.source, there.hub.shape) == ("bridge-to-fedmsg", "fedora-messaging", "threads")
    assert (there.zmq.publish_endpoints, there.zmq.endpoints) == (("tcp://*:9941",), ())
    assert (back.hub.name, back.hub.source, back.hub.shape) == ("mine", "zmq", "threads")
    assert (back.zmq.publish_endpoints, back.zmq.endpoints) == ((), ("tcp://a:1", "tcp://b:2"))
    assert there.bridge.topics == back.bridge.topics == ("",)


def test_each_direction_has_a_file_of_its_own_which_the_command_line_goes_over(
    tmp_path: Path, started: Callable[..., Started]
) -> None:
    file = tmp_path / "bridge-to-fedmsg.toml"
    file.write_text(
        "[hub]\nname = 'theirs'\n[zmq]\npublish_endpoints = ['tcp://*:1']\n[bridge]\ntopics = ['a.']\n",
        encoding="utf-8",
    )

    from_file = started(TO_FEDMSG).config
    over_it = started(TO_FEDMSG, "--topic", "b.", "--topic", "c.", "--zmq", "tcp://*:2").config

    assert (from_file.hub.name, from_file.zmq.publish_endpoints) == ("theirs", ("tcp://*:1",))
    assert from_file.bridge.topics == ("a.",)
    assert (over_it.bridge.topics, over_it.zmq.publish_endpoints) == (("b.", "c."), ("tcp://*:2",))


def test_the_drop_ins_of_the_guide_run_bridges_under_the_names_of_their_instances(
    started: Callable[..., Started],
) -> None:
    guide = (ROOT / "docs" / "bridge.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    ExecStart=/usr/bin/glasshub bridge (.+)$", guide, re.MULTILINE)
    (instance,) = set(re.findall(r"glasshub@(bridge-[\w-]+)", guide))

    assert started(line, "--zmq", "tcp://*:1").config.hub.name == instance


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["to-fedmsg"], "there is nowhere to publish: name an endpoint to bind with --zmq"),
        (["to-fedora-messaging"], "there is no bus to subscribe to: name a publisher with --zmq"),
        (
            ["to-fedmsg", "--zmq", "tcp://127.0.0.1:1", "--fedora-messaging", "/nonexistent.toml"],
            "/nonexistent.toml: cannot read",
        ),
        (["to-fedmsg", "--config", "/nonexistent.toml"], "there is no configuration file"),
    ],
)
def test_what_a_bridge_lacks_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    code = cli.main(["bridge", *arguments, "--no-discover", "--stats-dir", str(tmp_path)])

    assert code in (cli.EXIT_ERROR, cli.EXIT_USAGE)
    assert f"glasshub: {said}" in capsys.readouterr().err.replace("--config: ", "")


@pytest.mark.parametrize(
    ("direction", "toml", "said"),
    [
        (TO_FEDMSG, "[hub]\nsource = 'zmq'", "hub.source = 'zmq' is not for a bridge to-fedmsg, which has "),
        (TO_FEDORA_MESSAGING, "[hub]\nsource = 'fedora-messaging'", "hub.source = 'fedora-messaging' is not for"),
        (TO_FEDMSG, "[bridge]\ntopics = []", "bridge.topics = () must be one topic at the least"),
        (TO_FEDMSG, "[bridge]\noutstanding = 0", "bridge.outstanding = 0 must be 1 to 1000"),
        (TO_FEDMSG, "[bridge]\nsettling = -1", "bridge.settling = -1.0 must be 0 to 3600 seconds"),
        (TO_FEDMSG, "[bridge]\nfedmsg_bus = ''", "bridge.fedmsg_bus = '' must be 1 to 64"),
        (TO_FEDMSG, "[bridge]\nfedmsg_bus = 'fedora-messaging'", "must be another name than bridge.fedmsg_bus"),
    ],
)
def test_what_makes_no_bridge_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, direction: str, toml: str, said: str
) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text(toml, encoding="utf-8")

    code = cli.main(["bridge", direction, "--config", str(config), "--no-discover", "--zmq", "tcp://127.0.0.1:1"])

    assert code == cli.EXIT_USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--consumer=a:B", "--shape=threads", "--service=relay"])
def test_options_of_run_that_are_none_of_a_bridge_are_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["bridge", TO_FEDMSG, option])

    assert left.value.code == cli.EXIT_USAGE
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err
