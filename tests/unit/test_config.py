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
from glasshub.compat.fedmsg_config import Place
from glasshub.config import DEFAULT, SECTIONS, Config, ConfigBuilder, ConsumerSection, HubSection
from glasshub.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", tmp_path / "there-is-none.toml")
    monkeypatch.setattr(options, "find_config", lambda: Place((), "nowhere"))
    monkeypatch.setenv("FEDMSG_CONFIG", "as before")


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


def effective(given: argparse.Namespace) -> Config:
    return options.effective_config(given).config


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
    assert config.fedmsg.config == ("/etc/fedmsg.d",)
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
        ("[stats]\nxyzzy = 1", "unknown key 'stats.xyzzy' (valid ones are: address, directory, group, mode, port, "),
        (
            "[hbu]\n",
            "unknown section 'hbu'; did you mean 'hub'? (valid ones are: bridge, consumers, fedmsg, fedora-messaging, ",
        ),
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

    assert text.endswith(
        "(valid ones are: capacity, capacity_bytes, class, from, group, max_deaths, max_processing, overflow, park, "
        "process, queue, replace, retry, retry_delay, retry_delay_max, settings, topics, workers)"
    )


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
        ("hub", "memory", [-1, 1, 2**20 - 1], [0, 2**20, 2**40]),
        ("spool", "limit", [-1, 1, 2**20 - 1], [0, 2**20, 2**40]),
        ("spool", "full", ["", "drop-oldest"], ["block", "drop-newest"]),
        ("spool", "synchronous", ["", "FULL", "off"], ["full", "normal"]),
        ("zmq", "receive_high_water_mark", [-1, 2**31, 10**12], [0, 1, 2**31 - 1]),
        ("zmq", "reconnect_interval", [-0.1, float("nan"), float("inf"), 1e9], [0, 0.1]),
        ("zmq", "reconnect_interval_max", [-0.1, float("nan"), float("inf"), 1e9], [0, 60]),
        ("zmq", "tcp_keepalive_idle", [2**31], [-1, 60]),
        ("stats", "mode", ["", "rw", "9", "888", "00640", "0o640"], ["640", "0640", "0000"]),
        ("stats", "socket_mode", ["", "66", "06600"], ["666", "0660"]),
        ("stats", "port", [-1, 65536], [0, 8081, 65535]),
        ("stats", "address", ["", "localhost", "*", "127.0.0.1:80"], ["127.0.0.1", "0.0.0.0", "::"]),
        ("stats", "port_pages", ["", "some"], ["health", "all"]),
        ("zmq", "method", ["", "listen", "BIND"], ["bind", "connect"]),
        ("zmq", "publish_at", ["", "last"], ["all", "first"]),
        ("fedmsg", "monitoring_socket", ["/run/x", "ipc://", "x"], ["", "ipc:///run/x", "tcp://127.0.0.1:1"]),
        ("fedmsg", "monitoring_socket_mode", ["rw", "66", "0o660"], ["", "660", "0777"]),
        ("fedmsg", "workers_per_consumer", [0, -1, 1001], [1, 1000]),
        ("fedmsg", "backlog_limit", [-1, 2**31], [0, 2**31 - 1]),
        ("fedmsg", "datagrepper_url", ["x", "ftp://x/raw", "http://"], ["", "http://x/raw", "https://x:1/raw"]),
        ("fedmsg", "gap_margin", [-0.1, 3601.0, float("nan")], [0, 3600]),
        ("fedmsg", "backlog_age", [-0.1, float("nan"), float("inf")], [0, 1e9]),
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

    assert text == f"{file}: consumers.a.workers = {workers} must be 1 to 1000"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("capacity = -1", "capacity = -1 must be 0 to 2147483647"),
        ("capacity = 2147483648", "capacity = 2147483648 must be 0 to 2147483647"),
        ("capacity = '1k'", "capacity must be a whole number, not '1k'"),
        ("capacity_bytes = -1", "capacity_bytes = -1 must be 0, or 1048576 bytes and more"),
        ("capacity_bytes = 100", "capacity_bytes = 100 must be 0, or 1048576 bytes and more"),
        ("overflow = 'drop'", 'overflow = "drop" must be one of block, drop-oldest, drop-newest'),
        ("from = 'start'", 'from = "start" must be end or oldest'),
    ],
)
def test_what_makes_no_sense_for_a_consumers_queue_is_refused(
    load: Load, file: Path, line: str, complaint: str
) -> None:
    assert refusal(load, f"[consumers.a]\nclass = 'a:B'\n{line}") == f"{file}: consumers.a.{complaint}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("retry = -1", "retry = -1 must be 0 to 1000 attempts"),
        ("retry_delay = -0.5", "retry_delay = -0.5 must be 0 to 31536000 seconds"),
        ("retry_delay = nan", "retry_delay = nan must be 0 to 31536000 seconds"),
        ("retry_delay_max = inf", "retry_delay_max = inf must be 0 to 31536000 seconds"),
        ("max_processing = -1", "max_processing = -1.0 must be 0 to 31536000 seconds"),
        ("max_deaths = 0", "max_deaths = 0 must be 1 to 1000"),
        ("process = '../a'", 'process = "../a" must be 1 to 64 of the characters A-Za-z0-9_.:@-'),
    ],
)
def test_what_makes_no_sense_about_failing_is_refused(load: Load, file: Path, line: str, complaint: str) -> None:
    assert refusal(load, f"[consumers.a]\nclass = 'a:B'\n{line}") == f"{file}: consumers.a.{complaint}"


def test_the_bytes_of_a_queue_have_no_bound_with_a_spool(load: Load, file: Path) -> None:
    text = refusal(load, "[spool]\ndirectory = '/tmp'\n[consumers.a]\nclass = 'a:B'\ncapacity_bytes = 2000000")

    assert text == (
        f"{file}: consumers.a.capacity_bytes = 2000000 must be 0 with a spool, which counts what waits in messages: "
        "set capacity, or limit in [spool]"
    )


def test_nothing_can_be_parked_without_a_spool(load: Load, file: Path) -> None:
    text = refusal(load, "[consumers.a]\nclass = 'a:B'\npark = true")

    assert text == (
        f"{file}: consumers.a.park = true must be false without a spool, or a queue of its own on a broker: "
        "set directory in [spool] to have one"
    )


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

    config = effective(
        parsed("--config", str(file), "--fedmsg-config", str(fedmsg), "--zmq", "tcp://line:1", "--name", "line")
    )

    assert (config.zmq.endpoints, config.origins["zmq.endpoints"]) == (("tcp://line:1",), "--zmq")
    assert (config.zmq.tcp_keepalive, config.origins["zmq.tcp_keepalive"]) == (0, str(file))
    assert (config.zmq.receive_high_water_mark, config.origins["zmq.receive_high_water_mark"]) == (7, str(fedmsg))
    assert (config.zmq.strict, config.origins["zmq.strict"]) == (True, str(fedmsg))
    assert (config.hub.name, config.origins["hub.name"]) == ("line", "--name")
    assert (config.hub.shape, config.origins["hub.shape"]) == ("shared", str(file))
    assert (config.fedmsg.config, config.origins["fedmsg.config"]) == ((str(fedmsg),), "--fedmsg-config")
    assert "hub.drain_timeout" not in config.origins


def test_the_file_may_name_fedmsgs_configuration_and_still_stands_above_it(tmp_path: Path, file: Path) -> None:
    fedmsg = tmp_path / "fedmsg.py"
    fedmsg.write_text("config = {'zmq_tcp_keepalive': 1, 'zmq_tcp_keepalive_cnt': 3}")
    file.write_text(f"[fedmsg]\nconfig = '{fedmsg}'\n[zmq]\ntcp_keepalive = 0")

    config = effective(parsed("--config", str(file)))

    assert (config.zmq.tcp_keepalive, config.zmq.tcp_keepalive_count) == (0, 3)
    assert config.origins["fedmsg.config"] == str(file)


def test_an_option_that_is_not_given_changes_nothing(file: Path) -> None:
    file.write_text("[zmq]\nendpoints = ['tcp://toml:1']\n[stats]\ndirectory = '/run/x'")

    config = effective(parsed("--config", str(file)))

    assert config.zmq.endpoints == ("tcp://toml:1",)
    assert config.stats.directory == "/run/x"


def test_a_bad_value_of_the_command_line_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--name: hub\.name = 'a/b' must be "):
        effective(parsed("--name", "a/b"))


def test_a_configuration_that_is_not_there_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--config: there is no configuration file '.*nope'"):
        effective(parsed("--config", str(tmp_path / "nope")))


def test_the_default_file_is_read_if_it_is_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", file)

    without = effective(parsed())
    file.write_text("[hub]\nname = 'found'")
    found = effective(parsed())

    assert (without.hub.name, found.hub.name) == (HubSection.name, "found")


def test_named_consumers_come_from_either_option() -> None:
    listed = options.named_consumers(parsed("--with-consumers", "a:B, c:D,,"))
    repeated = options.named_consumers(parsed("--consumer", "a:B", "--consumer", "c:D"))

    assert listed == repeated == ["a:B", "c:D"]


@pytest.mark.parametrize(
    ("arguments", "producers"),
    [
        ((), None),
        (("--with-consumers", "a:B"), None),
        (("--consumer", "a:B"), []),
        (("--consumer", "a:B", "--with-producers", "c:D"), ["c:D"]),
        (("--with-producers", "a:B, c:D,,"), ["a:B", "c:D"]),
        (("--with-producers", ""), []),
        (("--service", "relay"), []),
        (("--service", "irc"), None),
    ],
)
def test_installed_producers_run_as_in_fedmsg_hub_unless_the_command_line_says_what_runs(
    arguments: tuple[str, ...], producers: list[str] | None
) -> None:
    assert options.named_producers(parsed(*arguments)) == producers


@pytest.fixture
def fedmsg(tmp_path: Path) -> Path:
    """fedmsg's configuration."""
    path = tmp_path / "fedmsg.py"
    path.write_text("config = {'endpoints': {'a': 'tcp://fedmsg:1'}, 'high_water_mark': 5}", encoding="utf-8")
    return path


@pytest.fixture
def found(fedmsg: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """fedmsg's configuration, where fedmsg looks for it."""
    monkeypatch.setattr(options, "find_config", lambda: Place((fedmsg,), "found"))
    return fedmsg


def test_fedmsgs_configuration_is_found_when_nobody_names_it(found: Path) -> None:
    made = options.effective_config(parsed())

    assert made.fedmsg is not None
    assert made.config.zmq.endpoints == ("tcp://fedmsg:1",)
    assert (made.config.fedmsg.config, made.config.origins["fedmsg.config"]) == ((str(found),), "found")


def test_without_fedmsgs_configuration_there_is_none() -> None:
    made = options.effective_config(parsed())

    assert made.fedmsg is None
    assert made.config.fedmsg.config == ()


@pytest.mark.parametrize("arguments", [["--fedmsg-config"], ["--config-filename"]])
def test_what_is_named_is_taken_instead_of_what_is_found(found: Path, tmp_path: Path, arguments: list[str]) -> None:
    named = tmp_path / "named.py"
    named.write_text("config = {'endpoints': {'a': 'tcp://named:1'}}", encoding="utf-8")

    config = effective(parsed(*arguments, str(named)))

    assert config.zmq.endpoints == ("tcp://named:1",)
    assert (config.fedmsg.config, config.origins["fedmsg.config"]) == ((str(named),), arguments[0])


def test_several_places_of_the_file_are_taken_instead_of_what_is_found(found: Path, tmp_path: Path, file: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(f"config = {{'endpoints': {{{name!r}: 'tcp://{name}:1'}}}}")
    file.write_text(f"[fedmsg]\nconfig = ['{tmp_path}/a.py', '{tmp_path}/b.py']")

    assert effective(parsed("--config", str(file))).zmq.endpoints == ("tcp://a:1", "tcp://b:1")


def test_nothing_is_looked_for_if_the_operator_does_not_want_it(found: Path, file: Path) -> None:
    file.write_text("[fedmsg]\ndiscover = false")

    by_option, by_file = effective(parsed("--no-discover")), effective(parsed("--config", str(file)))

    assert by_option.fedmsg.config == by_file.fedmsg.config == ()
    assert (by_option.fedmsg.discover, by_option.origins["fedmsg.discover"]) == (False, "--no-discover")


def test_not_looking_does_not_hide_what_is_named(fedmsg: Path) -> None:
    config = effective(parsed("--no-discover", "--fedmsg-config", str(fedmsg)))

    assert config.fedmsg.config == (str(fedmsg),)


def test_a_configuration_filename_is_that_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^--config-filename: there is no file '{tmp_path}'$"):
        effective(parsed("--config-filename", str(tmp_path)))


@pytest.mark.parametrize(
    ("option", "word", "key", "value"),
    [
        ("--topic-prefix", "org.example", "topic_prefix", "org.example"),
        ("--io-threads", "2", "io_threads", 2),
        ("--post-init-sleep", "0.25", "post_init_sleep", 0.25),
        ("--timeout", "1.5", "timeout", 1.5),
        ("--high-water-mark", "7", "high_water_mark", 7),
        ("--linger", "0", "zmq_linger", 0),
    ],
)
def test_options_of_fedmsg_hub_set_keys_of_fedmsgs_configuration(
    found: Path, option: str, word: str, key: str, value: object
) -> None:
    files = options.effective_config(parsed(option, word)).fedmsg

    assert files is not None
    assert (files.values[key], files.origins[key]) == (value, option)


@pytest.mark.parametrize("arguments", [["--topic-prefix", "a"], ["--linger", "0"], ["--service", "irc"]])
def test_what_belongs_to_fedmsgs_configuration_is_refused_without_one(arguments: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=f"^{arguments[0]}: this belongs to fedmsg's configuration, and there is none"
    ):
        effective(parsed(*arguments))


@pytest.mark.parametrize(
    ("arguments", "mark", "origin"),
    [(["--high-water-mark", "7"], 7, "--high-water-mark"), (["--high-water-mark", "0"], 6, "file"), ([], 6, "file")],
)
def test_a_high_water_mark_of_the_command_line_counts_over_the_file(
    found: Path, file: Path, arguments: list[str], mark: int, origin: str
) -> None:
    file.write_text("[zmq]\nreceive_high_water_mark = 6")

    config = effective(parsed("--config", str(file), *arguments))

    assert config.zmq.receive_high_water_mark == mark
    assert config.origins["zmq.receive_high_water_mark"] == (str(file) if origin == "file" else origin)


def test_a_server_for_websockets_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--websocket-server-port: this hub has no server for websockets: leave"):
        effective(parsed("--websocket-server-port", "9938"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], None),
        (["--with-producers", ""], []),
        (["--with-producers", "a:B"], ["a:B"]),
        (["--with-producers", "a:B, c:D,"], ["a:B", "c:D"]),
        (["--service", "relay"], []),
        (["--service", "gateway"], None),
    ],
)
def test_producers_are_named_all_or_none_or_not_at_all(arguments: list[str], named: list[str] | None) -> None:
    assert options.named_producers(parsed(*arguments)) == named


def test_consumers_of_fedmsgs_files_run_unless_the_command_line_names_others(fedmsg: Path) -> None:
    fedmsg.write_text("config = {'explicit_hub_consumers': 'a:B,c:D'}", encoding="utf-8")

    by_files = options.effective_config(parsed("--fedmsg-config", str(fedmsg)))
    by_line = options.effective_config(parsed("--fedmsg-config", str(fedmsg), "--consumer", "e:F"))

    assert (by_files.consumers, by_line.consumers) == (["a:B", "c:D"], ["e:F"])


@pytest.fixture
def relay(fedmsg: Path) -> list[str]:
    """The arguments of a relay."""
    fedmsg.write_text(
        "config = {'endpoints': {'relay_outbound': ['tcp://*:4001']}, 'relay_inbound': 'tcp://127.0.0.1:2001'}",
        encoding="utf-8",
    )
    return ["--fedmsg-config", str(fedmsg), "--service", "relay"]


def test_a_service_counts_over_the_files(relay: list[str], file: Path) -> None:
    file.write_text("[hub]\nname = 'hub'\n[zmq]\nendpoints = ['tcp://toml:1']\nmethod = 'connect'")

    made = options.effective_config(parsed(*relay, "--config", str(file)))

    assert made.config.hub.name == "fedmsg-relay"
    assert (made.config.zmq.method, made.config.zmq.endpoints) == ("bind", ("tcp://127.0.0.1:2001",))
    assert (made.consumers, made.producers) == (["fedmsg.consumers.relay:RelayConsumer"], [])
    assert made.fedmsg is not None
    assert made.fedmsg.hub_config(made.config.zmq)["fedmsg.consumers.relay.enabled"] is True


def test_the_command_line_counts_over_a_service(relay: list[str]) -> None:
    config = effective(parsed(*relay, "--name", "mine", "--zmq", "tcp://line:1"))

    assert (config.hub.name, config.zmq.endpoints) == ("mine", ("tcp://line:1",))


def test_a_service_takes_no_producers(relay: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^--with-producers: --service relay has producers of its own$"):
        effective(parsed(*relay, "--with-producers", ""))


def test_a_file_that_anybody_could_have_written_is_refused_unless_allowed(file: Path) -> None:
    file.write_text("[hub]\nname = 'evil'")
    file.chmod(0o666)

    with pytest.raises(ConfigError, match=rf"^{file}: anybody may write to {file} \(mode 0666\): chmod o-w "):
        effective(parsed("--config", str(file)))
    assert effective(parsed("--config", str(file), "--allow-unsafe-config")).hub.name == "evil"


def test_fedmsgs_configuration_that_anybody_could_have_written_is_refused_unless_allowed(found: Path) -> None:
    found.chmod(0o666)

    with pytest.raises(ConfigError, match=rf"^{found}: anybody may write to {found} "):
        effective(parsed())
    assert effective(parsed("--allow-unsafe-config")).fedmsg.config == (str(found),)


def test_a_file_cannot_allow_itself(file: Path) -> None:
    file.write_text("[hub]\nallow_unsafe_config = true")

    with pytest.raises(ConfigError, match=r"unknown key 'hub\.allow_unsafe_config'"):
        effective(parsed("--config", str(file)))


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
