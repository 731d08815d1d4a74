# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg-relay and its like, as fedmsg's own commands set them up."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.compat.services import SERVICES
from glasshub.config import Config, ConfigBuilder
from glasshub.errors import ConfigError

#: What all services need between them.
CONFIG: dict[str, Any] = {
    "endpoints": {"a": ["tcp://a:1"], "relay_outbound": ["tcp://*:4001", "tcp://*:4002"]},
    "relay_inbound": ["tcp://127.0.0.1:2001"],
    "certnames": {"signing_relay": "relay.example.org"},
    "fedmsg.consumers.gateway.port": 9940,
    "fedmsg.consumers.gateway.high_water_mark": 0,
    "irc": [{"network": "irc.example.org"}],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fedmsg.py"


def applied(name: str, file: Path, values: dict[str, Any]) -> tuple[FedmsgConfigFiles, Config]:
    file.write_text(f"config = {values!r}", encoding="utf-8")
    files, builder = FedmsgConfigFiles(file), ConfigBuilder()
    files.apply(builder)
    SERVICES[name].apply(files, builder, origin=f"--service {name}")
    return files, builder.build()


@pytest.mark.parametrize("name", SERVICES)
def test_the_consumer_is_fedmsgs_own_and_switched_on(name: str, file: Path) -> None:
    files, config = applied(name, file, {**CONFIG, SERVICES[name].config_key: False})

    module, _, attribute = SERVICES[name].consumer.partition(":")
    consumer = getattr(importlib.import_module(module), attribute)
    assert consumer.config_key == SERVICES[name].config_key
    assert files.values[consumer.config_key] is True
    assert files.origins[consumer.config_key] == f"--service {name}"
    assert config.hub.name == f"fedmsg-{name}"


@pytest.mark.parametrize("name", ["relay", "signing-relay"])
@pytest.mark.parametrize("inbound", ["tcp://127.0.0.1:2001", ["tcp://127.0.0.1:2001"]])
def test_a_relay_binds_to_inbound_and_publishes_at_the_first_of_outbound(
    name: str, file: Path, inbound: object
) -> None:
    _, config = applied(name, file, {**CONFIG, "relay_inbound": inbound})

    assert (config.zmq.method, config.zmq.endpoints) == ("bind", ("tcp://127.0.0.1:2001",))
    assert (config.zmq.publish_at, config.zmq.publish_endpoints) == ("first", ("tcp://*:4001", "tcp://*:4002"))
    assert config.origins["zmq.endpoints"] == config.origins["zmq.publish_endpoints"] == str(file)
    assert SERVICES[name].producers == ()


@pytest.mark.parametrize("name", ["gateway", "irc"])
def test_the_others_subscribe_as_the_hub_does_and_run_its_producers(name: str, file: Path) -> None:
    _, config = applied(name, file, CONFIG)

    assert config.zmq.method == "connect"
    assert config.zmq.endpoints == ("tcp://a:1", "tcp://*:4001", "tcp://*:4002")
    assert config.zmq.publish_endpoints == ()
    assert SERVICES[name].producers is None


@pytest.mark.parametrize(
    ("name", "missing", "written"),
    [
        ("relay", "relay_inbound", "relay_inbound"),
        ("relay", "endpoints", "endpoints['relay_outbound']"),
        ("signing-relay", "relay_inbound", "relay_inbound"),
        ("signing-relay", "certnames", "certnames['signing_relay']"),
        ("gateway", "fedmsg.consumers.gateway.port", "fedmsg.consumers.gateway.port"),
        ("gateway", "fedmsg.consumers.gateway.high_water_mark", "fedmsg.consumers.gateway.high_water_mark"),
        ("irc", "irc", "irc"),
    ],
)
def test_what_is_missing_is_named(name: str, missing: str, written: str, file: Path) -> None:
    values = {key: value for key, value in CONFIG.items() if key != missing}

    with pytest.raises(ConfigError) as caught:
        applied(name, file, values)

    assert str(caught.value) == f"--service {name}: fedmsg-{name} needs {written} in fedmsg's configuration"


@pytest.mark.parametrize("endpoints", [{}, {"relay_outbound": []}, {"relay_outbound": ""}])
def test_a_relay_that_has_nowhere_to_publish_is_refused(endpoints: dict[str, Any], file: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs endpoints\['relay_outbound'\] in fedmsg's configuration$"):
        applied("relay", file, {**CONFIG, "endpoints": endpoints})


def test_an_inbound_of_another_form_is_refused_with_the_file(file: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{file}: relay_inbound must be a list of strings, not 3$"):
        applied("relay", file, {**CONFIG, "relay_inbound": 3})
