# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration: every mistake is an error that says where it was made and what would be right."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from glasshub.cli import options
from glasshub.config import DEFAULT, SECTIONS, Config, ConfigBuilder, ConsumerSection, HubSection
from glasshub.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "glasshub.toml"


@pytest.fixture
def load(file: Path) -> Load:
    """What a configuration file makes."""

    def from_text(text: str) -> Config:
        file.write_text(text, encoding="utf-8")
        builder = ConfigBuilder()
        builder.read_toml(file)
        return builder.build()

    return from_text


def refusal(load: Load, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(arguments)


def test_an_empty_file_is_the_defaults(load: Load) -> None:
    assert load("") == Config()


def test_every_section_is_read(load: Load) -> None:
    config = load(
        """
        [hub]
        name = "bus"
        shape = "inline"
        drain_timeout = 5
        entry_points = false
        [zmq]
        endpoints = ["tcp://a:1", "tcp://b:2"]
        [stats]
        directory = "/run/x"
        mode = "0644"
        [logging]
        level = "DEBUG"
        [fedmsg]
        config = "/etc/fedmsg.d"
        [consumers.mailer]
        class = "mailer:Mailer"
        topics = ["org.a", "org.b"]
        workers = 3
        settings = {server = "localhost", ports = [25]}
        """
    )

    assert (config.hub.name, config.hub.shape, config.hub.entry_points) == ("bus", "inline", False)
    assert config.zmq.endpoints == ("tcp://a:1", "tcp://b:2")
    assert (config.stats.directory, config.stats.mode, config.logging.level) == ("/run/x", "0644", "DEBUG")
    assert config.fedmsg.config == "/etc/fedmsg.d"
    mailer = config.consumers["mailer"]
    assert (mailer.location, mailer.topics, mailer.workers) == ("mailer:Mailer", ("org.a", "org.b"), 3)
    assert mailer.settings == {"server": "localhost", "ports": [25]}


def test_a_whole_number_of_seconds_is_a_number_of_seconds(load: Load) -> None:
    drain_timeout = load("[hub]\ndrain_timeout = 5").hub.drain_timeout

    assert isinstance(drain_timeout, float)
    assert drain_timeout == 5.0


def test_one_string_is_a_list_of_one(load: Load) -> None:
    assert load('[zmq]\nendpoints = "tcp://a:1"').zmq.endpoints == ("tcp://a:1",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[hub]\nnam = 'x'", "unknown key 'hub.nam'; did you mean 'name'? (valid ones are: drain_timeout, "),
        ("[zmq]\nendpoint = 'x'", "unknown key 'zmq.endpoint'; did you mean 'endpoints'? (valid ones are: "),
        ("[stats]\nxyzzy = 1", "unknown key 'stats.xyzzy' (valid ones are: directory, group, mode, socket_mode)"),
        ("[hbu]\n", "unknown section 'hbu'; did you mean 'hub'? (valid ones are: consumers, fedmsg, hub, "),
        ("name = 'x'", "unknown section 'name'"),
        ("[consumers.a]\nclass = 'a:B'\nworker = 2", "unknown key 'consumers.a.worker'; did you mean 'workers'?"),
        ("[consumers.a]\nclass = 'a:B'\nlocation = 'c:D'", "unknown key 'consumers.a.location' ("),
        ("[consumer.a]\nclass = 'a:B'", "unknown section 'consumer'; did you mean 'consumers'?"),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest_one_and_all_valid_ones(
    load: Load, file: Path, text: str, complaint: str
) -> None:
    assert refusal(load, text).startswith(f"{file}: {complaint}")


def test_the_valid_keys_of_a_consumer_are_those_of_the_file(load: Load) -> None:
    text = refusal(load, "[consumers.a]\nclass = 'a:B'\nnope = 1")

    assert text.endswith("(valid ones are: class, group, settings, topics, workers)")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[hub]\nname = 3", "hub.name must be a string, not 3"),
        ("[hub]\ndrain_timeout = '3'", "hub.drain_timeout must be a number, not '3'"),
        ("[hub]\ndrain_timeout = true", "hub.drain_timeout must be a number, not True"),
        ("[hub]\nentry_points = 1", "hub.entry_points must be true or false, not 1"),
        ("[zmq]\nreceive_high_water_mark = 1.5", "zmq.receive_high_water_mark must be a whole number, not 1.5"),
        ("[zmq]\nreceive_high_water_mark = true", "zmq.receive_high_water_mark must be a whole number, not True"),
        ("[zmq]\nendpoints = [1]", "zmq.endpoints must be a list of strings, not [1]"),
        ("[zmq]\nendpoints = 1", "zmq.endpoints must be a list of strings, not 1"),
        ("[consumers.a]\nclass = 'a:B'\nsettings = 1", "consumers.a.settings must be a table, not 1"),
        ("hub = 3", "[hub] must be a table, not 3"),
        ("consumers = 3", "[consumers] must be a table, not 3"),
        ("[consumers]\na = 3", "[consumers.a] must be a table, not 3"),
        ("[consumers.a]\nworkers = 3", '[consumers.a] lacks class = "module:Class"'),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(load: Load, file: Path, text: str, complaint: str) -> None:
    assert refusal(load, text) == f"{file}: {complaint}"


@pytest.mark.parametrize(
    ("section", "key", "bad", "good"),
    [
        ("hub", "name", ["", "a/b", "..", ".a", "a b", "a\n", "ü", "x" * 65], ["a", "x" * 64, "fedmsg-hub@1:2.3_"]),
        ("hub", "drain_timeout", [-1, -0.1, float("nan")], [0, 1e6]),
        ("hub", "switch_interval", [0, -1, 1e-7, 2, float("inf"), float("nan")], [1e-6, 1]),
        ("zmq", "receive_high_water_mark", [-1, 2**31, 10**12], [0, 1, 2**31 - 1]),
        ("zmq", "reconnect_interval", [-0.1, float("nan"), float("inf"), 1e9], [0, 0.1]),
        ("zmq", "reconnect_interval_max", [-0.1, float("nan"), float("inf"), 1e9], [0, 60]),
        ("zmq", "tcp_keepalive_idle", [2**31], [-1, 60]),
        ("stats", "mode", ["", "rw", "9", "888", "00640", "0o640"], ["640", "0640", "0000"]),
        ("stats", "socket_mode", ["", "66", "06600"], ["666", "0660"]),
        ("logging", "level", ["info", "LOUD", ""], ["DEBUG", "CRITICAL"]),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(section: str, key: str, bad: list[Any], good: list[Any]) -> None:
    for value in good:
        builder = ConfigBuilder()
        builder.set(section, key, value, origin="test")
        assert getattr(getattr(builder.build(), section), key) == value

    for value in bad:
        builder = ConfigBuilder()
        builder.set(section, key, value, origin="the test")
        with pytest.raises(ConfigError, match=rf"^the test: {section}\.{key} = .* must be ") as caught:
            builder.build()
        assert caught.value.origin == "the test"


@pytest.mark.parametrize("workers", [0, -1, 1001])
def test_a_consumer_has_1_to_1000_workers(load: Load, file: Path, workers: int) -> None:
    text = refusal(load, f"[consumers.a]\nclass = 'a:B'\nworkers = {workers}")

    assert text == f"{file}: consumers.a.workers must be 1 to 1000"


def test_a_consumer_of_a_group_has_one_worker(load: Load, file: Path) -> None:
    text = refusal(load, "[consumers.a]\nclass = 'a:B'\nworkers = 2\ngroup = 'irc'")

    assert text.startswith(f"{file}: consumers.a is in group 'irc', whose consumers never run at the same time")


@pytest.mark.parametrize("text", ["[hub", "[hub]\nname = ", "[hub]\nname = 'a'\nname = 'b'"])
def test_what_is_no_toml_is_refused_with_the_place(load: Load, file: Path, text: str) -> None:
    assert refusal(load, text).startswith(f"{file}: this is not TOML: ")


def test_a_file_that_is_not_utf8_is_refused(file: Path) -> None:
    file.write_bytes(b"[hub]\nname = '\xff'")

    with pytest.raises(ConfigError, match="this is not TOML"):
        ConfigBuilder().read_toml(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot read the configuration: Is a directory$"):
        ConfigBuilder().read_toml(tmp_path)


def test_each_value_has_its_origin_and_the_others_are_defaults(load: Load, file: Path) -> None:
    config = load("[hub]\nname = 'x'\n[consumers.a]\nclass = 'a:B'\nworkers = 2")

    assert config.origins == {
        "hub.name": str(file),
        "consumers.a.class": str(file),
        "consumers.a.workers": str(file),
    }


def test_defaults_lie_under_fedmsg_under_toml_under_the_command_line(tmp_path: Path, file: Path) -> None:
    fedmsg = tmp_path / "fedmsg.py"
    fedmsg.write_text(
        "config = {'endpoints': {'a': ['tcp://fedmsg:1']}, 'zmq_strict': True, 'zmq_tcp_keepalive': 1,"
        " 'high_water_mark': 7}"
    )
    file.write_text("[zmq]\nendpoints = ['tcp://toml:1']\ntcp_keepalive = 0\n[hub]\nname = 'toml'\nshape = 'shared'")

    config = options.effective_config(
        parsed("--config", str(file), "--fedmsg-config", str(fedmsg), "--zmq", "tcp://line:1", "--name", "line")
    )

    assert (config.zmq.endpoints, config.origins["zmq.endpoints"]) == (("tcp://line:1",), "--zmq")
    assert (config.zmq.tcp_keepalive, config.origins["zmq.tcp_keepalive"]) == (0, str(file))
    assert (config.zmq.receive_high_water_mark, config.origins["zmq.receive_high_water_mark"]) == (7, str(fedmsg))
    assert (config.zmq.strict, config.origins["zmq.strict"]) == (True, str(fedmsg))
    assert (config.hub.name, config.origins["hub.name"]) == ("line", "--name")
    assert (config.hub.shape, config.origins["hub.shape"]) == ("shared", str(file))
    assert (config.fedmsg.config, config.origins["fedmsg.config"]) == (str(fedmsg), "--fedmsg-config")
    assert "hub.drain_timeout" not in config.origins


def test_the_file_may_name_fedmsgs_configuration_and_still_stands_above_it(tmp_path: Path, file: Path) -> None:
    fedmsg = tmp_path / "fedmsg.py"
    fedmsg.write_text("config = {'zmq_tcp_keepalive': 1, 'zmq_tcp_keepalive_cnt': 3}")
    file.write_text(f"[fedmsg]\nconfig = '{fedmsg}'\n[zmq]\ntcp_keepalive = 0")

    config = options.effective_config(parsed("--config", str(file)))

    assert (config.zmq.tcp_keepalive, config.zmq.tcp_keepalive_count) == (0, 3)
    assert config.origins["fedmsg.config"] == str(file)


def test_an_option_that_is_not_given_changes_nothing(file: Path) -> None:
    file.write_text("[zmq]\nendpoints = ['tcp://toml:1']\n[stats]\ndirectory = '/run/x'")

    config = options.effective_config(parsed("--config", str(file)))

    assert config.zmq.endpoints == ("tcp://toml:1",)
    assert config.stats.directory == "/run/x"


def test_a_bad_value_of_the_command_line_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--name: hub\.name = 'a/b' must be "):
        options.effective_config(parsed("--name", "a/b"))


def test_a_configuration_that_is_not_there_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--config: there is no configuration file '.*nope'"):
        options.effective_config(parsed("--config", str(tmp_path / "nope")))


def test_the_default_file_is_read_if_it_is_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", file)

    without = options.effective_config(parsed())
    file.write_text("[hub]\nname = 'found'")
    found = options.effective_config(parsed())

    assert (without.hub.name, found.hub.name) == (HubSection.name, "found")


def test_named_consumers_come_from_either_option() -> None:
    listed = options.named_consumers(parsed("--with-consumers", "a:B, c:D,,"))
    repeated = options.named_consumers(parsed("--consumer", "a:B", "--consumer", "c:D"))

    assert listed == repeated == ["a:B", "c:D"]


@pytest.mark.parametrize("section", [*SECTIONS.values(), ConsumerSection, Config])
def test_a_section_cannot_be_changed(section: type[Any]) -> None:
    made = section()

    for field in fields(section):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, None)


@pytest.mark.parametrize("section", [*SECTIONS.values(), ConsumerSection])
def test_every_setting_has_an_explanation(section: type[Any]) -> None:
    for field in fields(section):
        assert field.metadata["help"].endswith(".")


def test_defaults_are_what_the_builder_says_before_anything_is_set() -> None:
    builder = ConfigBuilder()

    assert builder.get("hub", "name") == HubSection.name
    assert builder.origin("hub", "name") == DEFAULT
