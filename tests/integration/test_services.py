# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's own services, unmodified, run by `glasshub run --service`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fedmsg.crypto
import pytest

from glasshub.compat.x509 import make_x509_usable
from glasshub.dispatch import SHAPES

from ..pki import Authority
from .hubs import DEADLINE, Bus, HubProcess, hub_on, wait_until
from .irc_network import CHANNEL, Network, irc_network
from .services import Caller, Listener, caller_to, fedmsg_command, free_port, listener_to, write_site

#: What asks whether somebody listens already; the tests look for others.
PROBE = "org.fedoraproject.dev.probe"

TOPIC = "org.fedoraproject.dev.git.receive"
BODY = {"topic": TOPIC, "msg_id": "2014-1", "i": 1, "msg": {"name": "zoë 🐍", "n": 1.50}}


def write_relay(directory: Path, **more: Any) -> list[str]:
    """Configure a relay; the places where it may publish."""
    outbound = [f"tcp://127.0.0.1:{free_port()}", f"tcp://127.0.0.1:{free_port()}"]
    inbound = f"ipc://{directory}/inbound"
    write_site(directory, relay_inbound=[inbound], endpoints={"relay_outbound": outbound}, **more)
    return outbound


@contextmanager
def relay_in(directory: Path, *arguments: str, service: str = "relay", name: str = "h") -> Iterator[HubProcess]:
    """A relay with that configuration."""
    options = ["--service", service, "--fedmsg-config", "fedmsg.d"]
    with hub_on(None, directory, *options, *arguments, name=name) as hub:
        yield hub


@contextmanager
def publisher_through(directory: Path, listener: Listener) -> Iterator[Caller]:
    """A publisher whose messages go through the relay and reach the listener."""
    with caller_to(f"ipc://{directory}/inbound") as caller:
        caller.wait()
        wait_until_heard(caller, listener)
        yield caller


def wait_until_heard(publisher: Bus | Caller, listener: Listener) -> None:
    """Wait until what is published reaches a listener."""

    def is_heard() -> bool:
        publisher.publish(PROBE, {})
        return listener.hears(0.05)

    wait_until(is_heard, "what is published to be heard")


def next_message(listener: Listener) -> list[bytes]:
    """The next one that is no probe."""
    while True:
        parts = listener.receive()
        if parts[0] != PROBE.encode():
            return parts


@pytest.mark.parametrize("shape", SHAPES)
def test_the_relay_publishes_what_it_hears(tmp_path: Path, shape: str) -> None:
    outbound = write_relay(tmp_path)
    with relay_in(tmp_path, "--shape", shape) as hub, listener_to(outbound[0]) as listener:
        with publisher_through(tmp_path, listener) as publisher:
            publisher.publish(TOPIC, BODY)

            topic, body = next_message(listener)
        exit_code = hub.stop()

    assert (topic.decode(), json.loads(body)) == (TOPIC, BODY)
    assert exit_code == 0


def test_what_fedmsg_logger_says_comes_out_of_the_relay(tmp_path: Path) -> None:
    outbound = write_relay(tmp_path)
    with relay_in(tmp_path), listener_to(outbound[0]) as listener, publisher_through(tmp_path, listener):
        done = fedmsg_command(tmp_path, "logger", "--message", "backup done", "--modname", "backup", "--topic", "end")

        topic, body = next_message(listener)

    assert done.returncode == 0, done.stderr
    assert topic == b"org.fedoraproject.dev.backup.end"
    assert json.loads(body)["msg"] == {"log": "backup done"}


def test_a_second_relay_publishes_at_the_second_address(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    outbound = write_relay(first)
    write_site(second, relay_inbound=f"ipc://{second}/inbound", endpoints={"relay_outbound": outbound})
    with relay_in(first), relay_in(second), listener_to(outbound[1]) as listener, publisher_through(second, listener):
        topic, _ = listener.receive()

    assert topic == PROBE.encode()


def test_a_third_relay_says_that_both_addresses_are_taken(tmp_path: Path) -> None:
    outbound = write_relay(tmp_path)
    with others_at(*outbound):
        hub = HubProcess(tmp_path, None, ["--service", "relay", "--fedmsg-config", "fedmsg.d"])
        exit_code = hub.process.wait(DEADLINE)

    assert exit_code == 1
    last = hub.said().splitlines()[-1]
    assert "Traceback" not in hub.said()
    for endpoint in outbound:
        assert f"cannot publish at {endpoint!r}: Address already in use" in last


@contextmanager
def others_at(*endpoints: str) -> Iterator[None]:
    """Others who have these addresses."""
    taken = [socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))) for endpoint in endpoints]
    try:
        yield
    finally:
        for one in taken:
            one.close()


def test_the_signing_relay_signs_what_it_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedmsg.crypto, "_implementation", None)  # fedmsg keeps the first that it finds
    monkeypatch.setattr(fedmsg.crypto, "_validate_implementations", None)
    make_x509_usable()
    authority = Authority(tmp_path, "ca")
    authority.give("relay.example.org")
    outbound = write_relay(tmp_path, ssldir=str(tmp_path), certnames={"signing_relay": "relay.example.org"})
    with relay_in(tmp_path, service="signing-relay") as hub, listener_to(outbound[0]) as listener:
        with publisher_through(tmp_path, listener) as publisher:
            publisher.publish(TOPIC, BODY)

            body = json.loads(next_message(listener)[1])
        exit_code = hub.stop()

    checks = {"ca_cert_location": str(authority.path), "crl_location": str(authority.revocations("crl"))}
    policy: dict[str, Any] = {"routing_policy": {}, "routing_nitpicky": False, "ssldir": str(tmp_path)}
    assert exit_code == 0
    assert "signature" not in BODY
    assert fedmsg.crypto.validate(body, **checks, **policy)
    assert not fedmsg.crypto.validate({**body, "i": 2}, **checks, **policy)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gateway_hands_on_what_it_hears_byte_for_byte(tmp_path: Path, bus: Bus, shape: str) -> None:
    port = free_port()
    gateway: dict[str, Any] = {"fedmsg.consumers.gateway.port": port, "fedmsg.consumers.gateway.high_water_mark": 1000}
    write_site(tmp_path, endpoints={"bus": [bus.endpoint]}, **gateway)
    arguments = ["--service", "gateway", "--fedmsg-config", "fedmsg.d", "--shape", shape]
    with hub_on(bus, tmp_path, *arguments) as hub, listener_to(f"tcp://127.0.0.1:{port}") as listener:
        wait_until_heard(bus, listener)
        bus.send(b"org.fedoraproject.dev.x", b'{"b" :  1,"a":"\\u00eb \xc3\xab"}')

        parts = next_message(listener)
        exit_code = hub.stop()

    assert parts == [b"org.fedoraproject.dev.x", b'{"b" :  1,"a":"\\u00eb \xc3\xab"}']
    assert exit_code == 0


COMMIT = {"topic": TOPIC, "msg_id": "2014-1", "msg": {"agent": "zoë"}, "timestamp": 1.4e9}


@contextmanager
def bot_on(
    bus: Bus, network: Network, directory: Path, *arguments: str, method: str = "notice", **form: bool
) -> Iterator[HubProcess]:
    """A bot that has joined the channel."""
    channel = {"network": "127.0.0.1", "port": network.port, "nickname": "fedmsg-bot", "channel": CHANNEL}
    more = {"line_rate": 0.01, "filters": {"topic": ["secret"], "body": []}, **form}
    write_site(directory, endpoints={"bus": [bus.endpoint]}, irc=[{**channel, **more}], irc_method=method)
    with hub_on(bus, directory, "--service", "irc", "--fedmsg-config", "fedmsg.d", *arguments) as hub:
        wait_until_joined(network, hub)
        yield hub


def wait_until_joined(network: Network, hub: HubProcess, *, times: int = 1) -> None:
    """Wait until the bot has joined the channel so many times, and knows it."""
    network.wait_for("join", count=times)
    hub.wait_until(lambda _: hub.said().count(f"Joined {CHANNEL}") >= times, "the bot to know that it has joined")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bot_says_in_its_channel_what_it_hears(tmp_path: Path, bus: Bus, shape: str) -> None:
    with irc_network() as network, bot_on(bus, network, tmp_path, "--shape", shape) as hub:
        bus.publish("org.fedoraproject.dev.secret", COMMIT)
        bus.publish(TOPIC, COMMIT)

        said = network.wait_for("pubnotice")
        hub.wait_until_finished(2)

    assert len(said) == 1
    assert said[0][0] == "fedmsg-bot"
    assert said[0][1].startswith(TOPIC)
    assert "'agent': 'zoë'" in said[0][1]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"make_terse": True}, "git.receive --"),
        ({"make_terse": True, "make_pretty": True}, "\x0315git.receive\x03 --"),
    ],
)
def test_the_bot_says_it_in_the_form_that_the_site_wants(
    tmp_path: Path, bus: Bus, form: dict[str, bool], said: str
) -> None:
    with irc_network() as network, bot_on(bus, network, tmp_path, method="msg", **form):
        bus.publish(TOPIC, COMMIT)

        (nickname, text), *_ = network.wait_for("pubmsg")

    assert nickname == "fedmsg-bot"
    assert text.startswith(said)


def test_the_bot_comes_back_when_the_server_has_lost_it(tmp_path: Path, bus: Bus) -> None:
    with irc_network() as network, bot_on(bus, network, tmp_path) as hub:
        network.drop("fedmsg-bot")
        wait_until_joined(network, hub, times=2)
        bus.publish(TOPIC, COMMIT)

        said = network.wait_for("pubnotice")

    # The server may not have forgotten the lost connection yet; the nickname is taken then, and gets a _ behind it.
    assert [nickname.rstrip("_") for nickname, _ in said] == ["fedmsg-bot"]


def test_the_bot_leaves_when_the_hub_stops(tmp_path: Path, bus: Bus) -> None:
    with irc_network() as network, bot_on(bus, network, tmp_path) as hub:
        exit_code = hub.stop()

        left = network.wait_for("quit")

    assert exit_code == 0
    assert [nickname for nickname, _ in left] == ["fedmsg-bot"]
    assert "Not reconnecting to IRC" in hub.said()
