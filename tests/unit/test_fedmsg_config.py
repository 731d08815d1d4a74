# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's configuration files: run as fedmsg runs them, and every mistake in them a sentence."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.config import Config, ConfigBuilder
from glasshub.errors import ConfigError

Write = Callable[..., Path]

trees = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a file of a directory fedmsg.d and says where that is."""
    directory = tmp_path / "fedmsg.d"
    directory.mkdir()

    def one(name: str, text: str) -> Path:
        (directory / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return directory

    return one


def applied(path: Path) -> Config:
    builder = ConfigBuilder()
    FedmsgConfigFiles(path).apply(builder)
    return builder.build()


def test_the_files_of_a_directory_are_run_in_the_order_of_their_names(write: Write) -> None:
    write("20-b.py", "config = {'who': 'b', 'b': 1}")
    write("10-a.py", "config = {'who': 'a', 'a': 1}")
    directory = write("README.txt", "not a file of fedmsg")

    files = FedmsgConfigFiles(directory)

    assert files.values == {"who": "b", "a": 1, "b": 1}
    assert files.origins == {
        "who": str(directory / "20-b.py"),
        "a": str(directory / "10-a.py"),
        "b": str(directory / "20-b.py"),
    }


def test_dicts_are_merged_key_by_key_and_lists_are_replaced(write: Write) -> None:
    write("1.py", "config = {'endpoints': {'a': ['tcp://a:1'], 'b': ['tcp://b:1']}, 'list': [1, 2]}")
    directory = write("2.py", "config = {'endpoints': {'b': ['tcp://b:2'], 'c': ['tcp://c:1']}, 'list': [3]}")

    values = FedmsgConfigFiles(directory).values

    assert values == {"endpoints": {"a": ["tcp://a:1"], "b": ["tcp://b:2"], "c": ["tcp://c:1"]}, "list": [3]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), trees, max_size=3), min_size=1, max_size=3))
def test_files_are_merged_as_fedmsg_merges_them(write: Write, configs: list[dict[str, object]]) -> None:
    import fedmsg.config

    expected: dict[str, object] = {}
    for number in range(3):
        config = configs[number] if number < len(configs) else {}
        directory = write(f"{number}.py", f"config = {config!r}")
        expected = fedmsg.config._recursive_update(expected, eval(repr(config)))

    assert FedmsgConfigFiles(directory).values == expected


def test_one_file_is_enough(write: Write) -> None:
    directory = write("fedmsg.py", "import socket\nconfig = dict(name=__file__)")

    assert FedmsgConfigFiles(directory / "fedmsg.py").values == {"name": str(directory / "fedmsg.py")}


def test_an_empty_directory_says_nothing(tmp_path: Path) -> None:
    assert FedmsgConfigFiles(tmp_path).values == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("config = {", ":1: this is not Python: "),
        ("if True:\nx = 1", ":2: this is not Python: expected an indented block"),
        ("x = '\0'", ": this "),  # a SyntaxError or a ValueError: each Python has another
        ("x = 1", ': the file defines no dict named "config"'),
        ("config = [1]", ': the file defines no dict named "config"'),
        ("import no_such_module", ": this file cannot be run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", ": this file cannot be run: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", ": this file cannot be run: SystemExit: 3"),
    ],
)
def test_a_file_that_is_no_good_is_named_with_the_reason(write: Write, text: str, complaint: str) -> None:
    directory = write("bad.py", text)

    with pytest.raises(ConfigError) as caught:
        FedmsgConfigFiles(directory)

    assert str(caught.value).startswith(f"{directory / 'bad.py'}{complaint}")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^/.*/nope: there is no such file or directory$"):
        FedmsgConfigFiles(tmp_path / "nope")


def test_a_dangling_link_is_named(write: Write) -> None:
    directory = write("a.py", "config = {}")
    os.symlink("nowhere", directory / "b.py")

    with pytest.raises(ConfigError, match=r"b\.py: cannot read fedmsg's configuration: No such file"):
        FedmsgConfigFiles(directory)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ({}, ()),
        ({"a": ["tcp://a:1", "tcp://a:2"], "b": ["tcp://b:1"]}, ("tcp://a:1", "tcp://a:2", "tcp://b:1")),
        ({"a": ("tcp://a:1",)}, ("tcp://a:1",)),
        ({"a": "tcp://a:1"}, ("tcp://a:1",)),
        ({"a": []}, ()),
    ],
)
def test_endpoints_of_all_services_are_subscribed_to(write: Write, endpoints: object, expected: tuple[str]) -> None:
    directory = write("endpoints.py", f"config = {{'endpoints': {endpoints!r}}}")

    assert applied(directory).zmq.endpoints == expected


@pytest.mark.parametrize("endpoints", [["tcp://a:1"], None, {"a": None}, {"a": 1}, {"a": [1]}, {"a": [None]}])
def test_endpoints_of_another_form_are_refused_with_the_file(write: Write, endpoints: object) -> None:
    directory = write("endpoints.py", f"config = {{'endpoints': {endpoints!r}}}")

    with pytest.raises(ConfigError, match=r"endpoints\.py: .*endpoints must be "):
        applied(directory)


def test_milliseconds_become_seconds(write: Write) -> None:
    config = applied(write("zmq.py", "config = {'zmq_reconnect_ivl': 250, 'zmq_reconnect_ivl_max': 5000}"))

    assert (config.zmq.reconnect_interval, config.zmq.reconnect_interval_max) == (0.25, 5.0)


def test_keepalive_and_strictness_are_taken_over(write: Write) -> None:
    directory = write(
        "zmq.py",
        """
        config = {
            'zmq_strict': True,
            'zmq_tcp_keepalive': 1,
            'zmq_tcp_keepalive_idle': 60,
            'zmq_tcp_keepalive_intvl': 5,
            'zmq_tcp_keepalive_cnt': '3',
        }
        """,
    )

    config = applied(directory)

    assert config.zmq.strict
    assert config.zmq.tcp_keepalive == 1
    assert config.zmq.tcp_keepalive_idle == 60
    assert config.zmq.tcp_keepalive_interval == 5
    assert config.zmq.tcp_keepalive_count == 3
    assert config.origins["zmq.strict"] == str(directory / "zmq.py")


@pytest.mark.parametrize(("mark", "expected"), [(0, 100_000), (None, 100_000), (500, 500)])
def test_a_high_water_mark_of_0_says_nothing(write: Write, mark: object, expected: int) -> None:
    """fedmsg's 0 would be unlimited and invisible for us, and stands in every fedmsg.d."""
    config = applied(write("zmq.py", f"config = {{'high_water_mark': {mark}}}"))

    assert config.zmq.receive_high_water_mark == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("zmq_reconnect_ivl", "soon"),
        ("zmq_tcp_keepalive", None),
        ("zmq_tcp_keepalive_cnt", [1]),
        ("zmq_tcp_keepalive_idle", float("inf")),
        ("high_water_mark", "many"),
    ],
)
def test_a_value_that_is_no_number_is_refused_with_the_file(write: Write, key: str, value: object) -> None:
    shown = "float('inf')" if value == float("inf") else repr(value)
    directory = write("zmq.py", f"config = {{{key!r}: {shown}}}")

    with pytest.raises(ConfigError, match=r"/zmq\.py: .*number, not|/zmq\.py: .* is not a number"):
        applied(directory)


def test_the_path_becomes_that_of_the_consumers_configuration(write: Write) -> None:
    directory = write("a.py", "config = {}")

    assert applied(directory).fedmsg.config == str(directory)


def test_consumers_find_fedmsgs_defaults_and_over_them_the_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDMSG_CONFIG", "elsewhere")
    directory = write("a.py", "config = {'topic_prefix': 'org.example', 'my.consumer.enabled': True}")

    config = FedmsgConfigFiles(directory).hub_config()

    assert config["topic_prefix"] == "org.example"
    assert config["my.consumer.enabled"] is True
    assert "validate_signatures" in config
    assert os.environ["FEDMSG_CONFIG"] == str(directory)


def test_no_files_leave_consumers_fedmsgs_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDMSG_CONFIG", "elsewhere")

    config = FedmsgConfigFiles(tmp_path).hub_config()

    assert config["topic_prefix"]


def test_a_value_that_fedmsg_refuses_is_a_configuration_error(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDMSG_CONFIG", "elsewhere")
    directory = write("a.py", "config = {'zmq_enabled': True, 'io_threads': -3}")

    with pytest.raises(ConfigError, match=f"^{directory}: fedmsg refuses this configuration: "):
        FedmsgConfigFiles(directory).hub_config()
