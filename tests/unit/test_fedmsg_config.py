# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's configuration files: run as fedmsg runs them, and every mistake in them a sentence."""

from __future__ import annotations

import os
import pickle
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasshub.compat import fedmsg_config
from glasshub.compat.fedmsg_config import FedmsgConfigFiles, as_bool, find_config
from glasshub.config import Config, ConfigBuilder, ZmqSection
from glasshub.errors import ConfigError

pytestmark = pytest.mark.filterwarnings('ignore:Using "load_config" is deprecated')

Write = Callable[..., Path]

trees = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """hub_config sets it."""
    monkeypatch.setenv("FEDMSG_CONFIG", "as before")


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
        ("import no_such_module", ":1: this file cannot be run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('two\\nlines')", ":1: this file cannot be run: ValueError: two lines"),
        ("\n1 / 0", ":2: this file cannot be run: ZeroDivisionError: division by zero"),
        ("import json\n\njson.loads('')", ":3: this file cannot be run: JSONDecodeError: "),
        ("import sys\nsys.exit(3)", ":2: this file cannot be run: SystemExit: 3"),
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


def test_a_file_of_a_directory_that_cannot_be_read_is_left_out_as_fedmsg_leaves_it_out(write: Write) -> None:
    write("a.py", "config = {'a': 1}")
    directory = write("c.py", "config = {'c': 3}")
    os.symlink("nowhere", directory / "b.py")
    (directory / "d.py").mkdir()

    files = FedmsgConfigFiles(directory)

    assert files.values == {"a": 1, "c": 3}
    assert files.warnings == [
        f"{directory / 'b.py'} is left out: No such file or directory",
        f"{directory / 'd.py'} is left out: Is a directory",
    ]


def test_several_places_are_merged_in_their_order(write: Write, tmp_path: Path) -> None:
    directory = write("a.py", "config = {'who': 'directory', 'endpoints': {'a': ['tcp://a:1']}}")
    file = tmp_path / "fedmsg-config.py"
    file.write_text("config = {'who': 'file', 'endpoints': {'b': ['tcp://b:1']}}", encoding="utf-8")

    files = FedmsgConfigFiles(directory, file)

    assert files.values == {"who": "file", "endpoints": {"a": ["tcp://a:1"], "b": ["tcp://b:1"]}}
    assert files.origins == {"who": str(file), "endpoints": str(file)}


def test_a_value_that_is_set_counts_over_the_files(write: Write) -> None:
    files = FedmsgConfigFiles(write("a.py", "config = {'topic_prefix': 'org.example'}"))

    files.set("topic_prefix", "org.other", origin="--topic-prefix")

    assert files.hub_config(ZmqSection())["topic_prefix"] == "org.other"
    assert files.origins == {"topic_prefix": "--topic-prefix"}


@pytest.mark.parametrize("name", ["fedmsg.d", "fedmsg.d/a.py"])
def test_what_anybody_could_have_written_is_not_run(write: Write, tmp_path: Path, name: str) -> None:
    directory = write("a.py", f"open({str(tmp_path / 'ran')!r}, 'w').close()\nconfig = {{}}")
    (tmp_path / name).chmod(0o777)

    with pytest.raises(ConfigError, match=rf"anybody may write to {tmp_path / name} \(mode 0777\): chmod o-w "):
        FedmsgConfigFiles(directory)
    assert not (tmp_path / "ran").exists()

    FedmsgConfigFiles(directory, allow_unsafe=True)
    assert (tmp_path / "ran").exists()


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


@pytest.mark.parametrize(
    ("said", "expected"), [(True, True), (False, False), (1, True), ("False", False), (" no ", False), ("True", True)]
)
def test_strictness_is_read_as_moksha_reads_it(write: Write, said: object, expected: bool) -> None:
    assert applied(write("zmq.py", f"config = {{'zmq_strict': {said!r}}}")).zmq.strict is expected


@settings(max_examples=50)
@given(st.text(max_size=6) | st.sampled_from(["yes", "No", "ON", "off", "y", "t", "F", "0", "1"]) | st.integers())
def test_truth_is_read_as_moksha_reads_it(said: object) -> None:
    from moksha.common.lib.converters import asbool

    def read(function: Callable[[object], bool]) -> object:
        try:
            return function(said)
        except ValueError:
            return "neither"

    assert read(as_bool) == read(asbool)


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
        ("moksha.workers_per_consumer", "many"),
    ],
)
def test_a_value_that_is_no_number_is_refused_with_the_file(write: Write, key: str, value: object) -> None:
    shown = "float('inf')" if value == float("inf") else repr(value)
    directory = write("zmq.py", f"config = {{{key!r}: {shown}}}")

    with pytest.raises(ConfigError, match=r"/zmq\.py: .*number, not|/zmq\.py: .* is not a number"):
        applied(directory)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("'zmq_strict': 'perhaps'", "zmq_strict = 'perhaps' is not true or false"),
        ("'zmq_subscribe_method': 3", "zmq_subscribe_method = 3 is not a string"),
        (
            "'zmq_publish_endpoints': ['tcp://a:1']",
            "zmq_publish_endpoints = ['tcp://a:1'] is not a string of endpoints ",
        ),
        (
            "'zmq_subscribe_endpoints': 3",
            "zmq_subscribe_endpoints = 3 is not a string of endpoints with commas between",
        ),
        ("'moksha.monitoring.socket': 3", "moksha.monitoring.socket = 3 is not a string"),
        (
            "'moksha.monitoring.socket': '/run/x'",
            "fedmsg.monitoring_socket = '/run/x' must be an endpoint such as ipc:",
        ),
        ("'moksha.monitoring.socket.mode': 'rw'", "fedmsg.monitoring_socket_mode = 'rw' must be an octal mode such as"),
        ("'datagrepper_url': 'example.org'", "fedmsg.datagrepper_url = 'example.org' must be a URL such as https:"),
        ("'moksha.workers_per_consumer': 0", "fedmsg.workers_per_consumer = 0 must be 1 to 1000"),
        ("'zmq_subscribe_method': 'listen'", "zmq.method = 'listen' must be connect or bind"),
        ("'zmq_enabled': 'perhaps'", "zmq_enabled = 'perhaps' is not true or false"),
        (
            "'zmq_enabled': False, 'stomp_uri': 'a:1'",
            "zmq_enabled = False asks for another bus, but this hub subscribes ",
        ),
        ("'zmq_enabled': 'no'", "zmq_enabled = 'no' asks for another bus"),
        ("'srv_endpoints': 'example.org'", "srv_endpoints must be a list of domain names, not 'example.org'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_the_file(write: Write, said: str, complaint: str) -> None:
    directory = write("a.py", f"config = {{{said}}}")

    with pytest.raises(ConfigError) as caught:
        applied(directory)

    assert str(caught.value).startswith(f"{directory / 'a.py'}: {complaint}")


def test_mokshas_own_keys_are_taken_over(write: Write) -> None:
    directory = write(
        "moksha.py",
        """
        config = {
            'zmq_subscribe_endpoints': 'tcp://a:1,tcp://b:2',
            'zmq_subscribe_method': 'bind',
            'zmq_publish_endpoints': 'tcp://*:3, tcp://*:4,',
            'moksha.monitoring.socket': 'ipc:///run/fedmsg/hub',
            'moksha.monitoring.socket.mode': '777',
            'moksha.workers_per_consumer': '3',
            'datagrepper_url': 'https://datagrepper.example.org/raw',
        }
        """,
    )

    config = applied(directory)

    assert (config.zmq.endpoints, config.zmq.method) == (("tcp://a:1", "tcp://b:2"), "bind")
    assert (config.zmq.publish_endpoints, config.zmq.publish_at) == (("tcp://*:3", "tcp://*:4"), "all")
    assert config.fedmsg.monitoring_socket == "ipc:///run/fedmsg/hub"
    assert config.fedmsg.monitoring_socket_mode == "777"
    assert config.fedmsg.workers_per_consumer == 3
    assert config.fedmsg.datagrepper_url == "https://datagrepper.example.org/raw"
    assert config.origins["fedmsg.workers_per_consumer"] == str(directory / "moksha.py")


def test_a_mode_may_be_a_number(write: Write) -> None:
    config = applied(write("moksha.py", "config = {'moksha.monitoring.socket.mode': 0o770}"))

    assert config.fedmsg.monitoring_socket_mode == "0770"


def test_none_says_nothing_of_sockets(write: Write) -> None:
    config = applied(write("a.py", "config = {'moksha.monitoring.socket': None, 'zmq_publish_endpoints': None}"))

    assert (config.fedmsg.monitoring_socket, config.zmq.publish_endpoints) == ("", ())


def test_endpoints_count_over_mokshas_list_as_in_fedmsg_hub(write: Write) -> None:
    config = applied(
        write("a.py", "config = {'endpoints': {'a': 'tcp://a:1'}, 'zmq_subscribe_endpoints': 'tcp://b:1'}")
    )

    assert config.zmq.endpoints == ("tcp://a:1",)


def test_keys_that_change_nothing_are_listed_with_their_files(write: Write) -> None:
    directory = write(
        "a.py",
        """
        config = {
            'moksha.livesocket.websocket.port': 9938, 'moksha.threadpool_size': 30, 'moksha.blocking_mode': False,
            'stomp_uri': 'a:1', 'stomp_pass': None, 'amqp_broker': 'a', 'print_config': False,
            'endpoints': {}, 'zmq_subscribe_endpoints': 'tcp://a:1',
            'topic_prefix': 'org.example', 'zmq_strict': True, 'logging': {}, 'mine.enabled': True,
        }
        """,
    )

    files = FedmsgConfigFiles(directory)

    file = str(directory / "a.py")
    assert files.without_effect() == [
        ("moksha.livesocket.websocket.port", file),
        ("moksha.threadpool_size", file),
        ("stomp_uri", file),
        ("amqp_broker", file),
        ("print_config", file),
        ("zmq_subscribe_endpoints", file),
    ]
    assert files.effect("stomp_uri") == "no effect here"


@pytest.mark.parametrize(
    ("mode", "shape"), [(True, "shared"), ("yes", "shared"), (False, "processes"), ("no", "processes")]
)
def test_consumers_that_never_ran_at_the_same_time_do_not_do_so_here(write: Write, mode: object, shape: str) -> None:
    """Moksha's blocking mode hands a message to one consumer after the other."""
    assert applied(write("a.py", f"config = {{'moksha.blocking_mode': {mode!r}}}")).hub.shape == shape


def test_a_key_with_an_effect_is_not_listed(write: Write) -> None:
    files = FedmsgConfigFiles(
        write("a.py", "config = {'moksha.blocking_mode': True, 'zmq_subscribe_endpoints': 'tcp://a:1'}")
    )

    assert files.without_effect() == []


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("endpoints", "-> [zmq] endpoints"),
        ("zmq_tcp_keepalive_cnt", "-> [zmq] tcp_keepalive_count"),
        ("moksha.monitoring.socket", "-> [fedmsg] monitoring_socket"),
        ("validate_signatures", "for fedmsg"),
        ("fedmsg.consumers.gateway.port", "for fedmsg"),
        ("nameless", "for consumers"),
        ("fedmsg_notifications.enabled", "for consumers"),
    ],
)
def test_each_key_says_what_it_does(write: Write, key: str, effect: str) -> None:
    assert FedmsgConfigFiles(write("a.py", f"config = {{{key!r}: 1}}")).effect(key) == effect


def test_every_key_of_fedmsgs_is_known(write: Write) -> None:
    """None of those that fedmsg documents may pass for a consumer's own."""
    import fedmsg.config

    known = {**fedmsg.config.defaults, **fedmsg.config.FedmsgConfig._defaults}
    files = FedmsgConfigFiles(write("a.py", f"config = dict.fromkeys({sorted(known)!r}, 1)"))

    assert [key for key in known if files.effect(key) == "for consumers"] == []


@pytest.mark.parametrize(("said", "named"), [(None, []), ("", []), ("a:B", ["a:B"]), ("a:B, c:D,", ["a:B", "c:D"])])
def test_the_files_may_name_the_consumers_that_run_as_for_fedmsg_hub(
    write: Write, said: str | None, named: list[str]
) -> None:
    assert FedmsgConfigFiles(write("a.py", f"config = {{'explicit_hub_consumers': {said!r}}}")).consumers() == named


def test_the_path_becomes_that_of_the_consumers_configuration(write: Write) -> None:
    directory = write("a.py", "config = {}")

    assert applied(directory).fedmsg.config == (str(directory),)


def test_consumers_find_what_fedmsg_hub_would_have_given_to_moksha(write: Write) -> None:
    import fedmsg.config

    directory = write(
        "a.py",
        """
        config = {
            'topic_prefix': 'org.example', 'my.consumer.enabled': True, 'zmq_enabled': True, 'logging': {'version': 1},
            'endpoints': {'a': 'tcp://a:1', 'b': ('tcp://b:1', 'tcp://b:2')}, 'validate_signatures': False,
        }
        """,
    )
    expected = fedmsg.config.load_config([], None, filenames=[str(directory / "a.py")], invalidate_cache=True)
    # fedmsg-hub's own command line, and what it works out for Moksha.
    expected.update({"config_filename": None, "explicit_hub_consumers": None, "print_config": False})
    expected.update({"moksha.livesocket.websocket.port": None})
    expected.update(zmq_subscribe_endpoints="tcp://a:1,tcp://b:1,tcp://b:2", zmq_subscribe_method="connect")

    config = FedmsgConfigFiles(directory).hub_config(applied(directory).zmq)

    assert config == expected
    assert config["endpoints"] == {"a": ["tcp://a:1"], "b": ["tcp://b:1", "tcp://b:2"]}
    assert config["topic_prefix_re"] == r"org\.example\.[^\W\d_]+"


def test_a_hub_that_binds_and_publishes_says_so_to_consumers(tmp_path: Path) -> None:
    zmq = ZmqSection(endpoints=("tcp://a:1",), method="bind", publish_endpoints=("tcp://*:2", "tcp://*:3"))

    config = FedmsgConfigFiles(tmp_path).hub_config(zmq)

    assert config["zmq_subscribe_endpoints"] == "tcp://a:1"
    assert config["zmq_subscribe_method"] == "bind"
    assert config["zmq_publish_endpoints"] == "tcp://*:2,tcp://*:3"


def test_fedmsg_itself_goes_by_the_hubs_configuration(write: Write) -> None:
    import fedmsg
    import fedmsg.config

    directory = write("a.py", "config = {'topic_prefix': 'org.example', 'post_init_sleep': 0, 'mute': True}")

    FedmsgConfigFiles(directory).hub_config(ZmqSection(endpoints=("tcp://a:1",)))

    loaded = fedmsg.config.load_config([], None)
    context = fedmsg.init(name="test")
    fedmsg.destroy()
    assert loaded["topic_prefix"] == fedmsg.config.conf["topic_prefix"] == context.c["topic_prefix"] == "org.example"
    assert loaded["zmq_subscribe_endpoints"] == fedmsg.config.conf["zmq_subscribe_endpoints"] == "tcp://a:1"
    assert os.environ["FEDMSG_CONFIG"] == str(directory)


def test_several_places_are_not_told_in_a_variable_that_holds_one(write: Write, tmp_path: Path) -> None:
    FedmsgConfigFiles(write("a.py", "config = {}"), tmp_path).hub_config(ZmqSection())

    assert os.environ["FEDMSG_CONFIG"] == "as before"


def test_fedmsg_does_not_see_a_high_water_mark_that_it_would_fail_with(write: Write) -> None:
    """It sets an option of zeromq that is gone."""
    import fedmsg.config

    files = FedmsgConfigFiles(write("a.py", "config = {'high_water_mark': 5}"))
    config = files.hub_config(ZmqSection())

    assert (config["high_water_mark"], fedmsg.config.load_config([], None)["high_water_mark"]) == (0, 0)
    assert files.values["high_water_mark"] == 5


def test_what_a_consumer_sets_in_hub_config_is_not_set_for_fedmsg(write: Write) -> None:
    import fedmsg.config

    config = FedmsgConfigFiles(write("a.py", "config = {}")).hub_config(ZmqSection())

    config["moksha.blocking_mode"] = True

    assert "moksha.blocking_mode" not in fedmsg.config.load_config([], None)


def test_a_file_is_run_once_however_often_its_values_are_used(write: Write, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    directory = write("a.py", f"open({str(ran)!r}, 'a').write('x')\nconfig = {{'endpoints': {{'a': 'tcp://a:1'}}}}")

    files = FedmsgConfigFiles(directory)
    builder = ConfigBuilder()
    files.apply(builder)
    files.hub_config(builder.build().zmq)

    assert ran.read_text() == "x"


def test_values_are_handed_on_as_they_are(write: Write) -> None:
    config = FedmsgConfigFiles(write("a.py", "config = {'shorten': lambda url: url[:3]}")).hub_config(ZmqSection())

    assert config["shorten"]("https://example.org") == "htt"


def test_no_files_leave_consumers_fedmsgs_defaults(tmp_path: Path) -> None:
    config = FedmsgConfigFiles(tmp_path).hub_config(ZmqSection())

    assert config["topic_prefix"] == "org.fedoraproject"
    assert config["validate_signatures"] is True


def test_asking_for_a_print_of_the_configuration_does_not_end_the_hub(write: Write) -> None:
    assert FedmsgConfigFiles(write("a.py", "config = {'print_config': True}")).hub_config(ZmqSection())


def test_what_only_fedmsgs_newer_loader_refuses_is_a_warning(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """fedmsg's own relay_inbound is a list in many an installation, and fedmsg-hub runs with it."""
    import fedmsg.config

    directory = write("a.py", "config = {'relay_inbound': ['tcp://a:1'], 'io_threads': -3}")

    config = FedmsgConfigFiles(directory).hub_config(ZmqSection())

    (record,) = caplog.records
    assert record.getMessage().startswith(f"fedmsg.config.conf finds fault with {directory}: ")
    assert "io_threads: " in record.getMessage()
    assert "\n" not in record.getMessage()
    assert config["relay_inbound"] == fedmsg.config.conf["relay_inbound"] == ["tcp://a:1"]


def test_what_fedmsg_cannot_load_is_a_configuration_error(write: Write) -> None:
    directory = write("a.py", "config = {'topic_prefix': 3}")

    with pytest.raises(ConfigError, match=f"^{directory}: fedmsg cannot load this configuration: AttributeError: "):
        FedmsgConfigFiles(directory).hub_config(ZmqSection())


@pytest.fixture
def resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A dnspython that answers and notes what it was asked; not the real one, which asks the network."""
    package = tmp_path / "packages" / "dns"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    asked = tmp_path / "asked"
    (package / "resolver.py").write_text(
        textwrap.dedent(
            f"""
            from types import SimpleNamespace

            class NXDOMAIN(Exception): pass
            class Timeout(Exception): pass
            class NoNameservers(Exception): pass

            def query(name, kind):
                with open({str(asked)!r}, "a") as file:
                    print(kind, name, file=file)
                if "nowhere" in name:
                    raise NXDOMAIN
                if "broken" in name:
                    raise RuntimeError("it is broken")
                return [SimpleNamespace(target=SimpleNamespace(to_text=lambda: "host.example.org."), port=9940)]
            """
        )
    )
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "dns", raising=False)
    monkeypatch.delitem(sys.modules, "dns.resolver", raising=False)
    yield asked
    for name in ("dns", "dns.resolver"):
        sys.modules.pop(name, None)


def test_endpoints_that_dns_names_are_subscribed_to_and_asked_for_once(write: Write, resolver: Path) -> None:
    files = FedmsgConfigFiles(
        write("a.py", "config = {'endpoints': {'a': 'tcp://a:1'}, 'srv_endpoints': ['example.org']}")
    )
    builder = ConfigBuilder()

    files.apply(builder)
    config = files.hub_config(builder.build().zmq)

    assert builder.build().zmq.endpoints == ("tcp://a:1", "tcp://host.example.org.:9940")
    assert config["endpoints"] == {"a": ["tcp://a:1"], "example.org": ["tcp://host.example.org.:9940"]}
    assert config["srv_endpoints"] == ["example.org"]
    assert resolver.read_text() == "SRV _fedmsg._tcp.example.org\n"


def test_a_domain_without_endpoints_is_a_warning(write: Write, resolver: Path) -> None:
    files = FedmsgConfigFiles(write("a.py", "config = {'endpoints': {}, 'srv_endpoints': ['nowhere', 'example.org']}"))
    builder = ConfigBuilder()

    files.apply(builder)

    assert files.warnings == ["There is no appropriate SRV records for nowhere"]
    assert builder.build().zmq.endpoints == ("tcp://host.example.org.:9940",)


def test_a_resolver_that_fails_is_a_configuration_error(write: Write, resolver: Path) -> None:
    with pytest.raises(ConfigError, match="fedmsg cannot load this configuration: RuntimeError: it is broken"):
        applied(write("a.py", "config = {'srv_endpoints': ['broken']}"))


def test_without_dnspython_it_is_said_what_to_install(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    directory = write("a.py", "config = {'srv_endpoints': ['example.org']}")

    with pytest.raises(ConfigError, match=rf"^{directory}/a\.py: fedmsg looks srv_endpoints up .*: install dnspython$"):
        applied(directory)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no configuration of fedmsg's yet: etc, home, here and venv."""
    for name in ("etc", "home", "here", "venv/etc"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(fedmsg_config, "_ETC", tmp_path / "etc")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("FEDMSG_CONFIG")
    return tmp_path


def place(path: Path) -> Path:
    """Put a configuration there: a file, or a directory with one."""
    file = path if path.suffix == ".py" else path / "a.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text("config = {}", encoding="utf-8")
    return path


def test_nothing_is_found_where_nothing_is(machine: Path) -> None:
    (machine / "etc" / "fedmsg.d").mkdir()

    assert find_config().paths == ()


def test_configuration_is_found_in_all_places_of_fedmsg_hub_in_its_order(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(machine / "venv"))
    places = [
        place(machine / name)
        for name in (
            "etc/fedmsg.d",
            "home/.fedmsg.d",
            "here/fedmsg.d",
            "venv/etc/fedmsg.d",
            "etc/fedmsg-config.py",
            "home/.fedmsg-config.py",
            "here/fedmsg-config.py",
        )
    ]

    assert find_config() == (tuple(places), "found")


def test_the_order_of_the_places_is_that_of_fedmsgs_loader(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own search, in all places but /etc, which it does not let us choose."""
    import fedmsg.config

    monkeypatch.setenv("VIRTUAL_ENV", str(machine / "venv"))
    names = ["home/.fedmsg.d", "here/fedmsg.d", "venv/etc/fedmsg.d", "home/.fedmsg-config.py", "here/fedmsg-config.py"]
    for number, name in enumerate(names):
        path = place(machine / name)
        file = path if path.is_file() else path / "a.py"
        file.write_text(f"config = {{'endpoints': {{}}, 'last': {name!r}, 'of.{number}': {number}}}", encoding="utf-8")

    files = FedmsgConfigFiles(*find_config().paths)

    loaded = fedmsg.config.load_config([], None, invalidate_cache=True, disable_defaults=True)
    assert files.values.items() <= loaded.items()
    assert len(files.values) == len(names) + 2


def test_the_variable_names_the_only_place(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(machine / "etc" / "fedmsg.d")
    named = place(machine / "named.py")
    monkeypatch.setenv("FEDMSG_CONFIG", str(named))

    assert find_config() == ((named,), "FEDMSG_CONFIG")


def test_a_variable_that_names_nothing_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDMSG_CONFIG", "/nowhere")

    with pytest.raises(
        ConfigError, match=r"^FEDMSG_CONFIG: there is no file or directory '/nowhere': correct or unset"
    ):
        find_config()


def test_an_empty_variable_says_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDMSG_CONFIG", "")

    assert find_config().paths == ()


def test_what_cannot_be_pickled_is_in_another_process_all_the_same(write: Write) -> None:
    directory = write(
        "a.py",
        """
        import threading, os
        class Rule: pass
        config = {"plain": {"a": [1, (2.0, None)]}, "call": lambda: 3, "lock": threading.Lock(), "module": os,
                  "nested": {"rules": [Rule()]}, "kind": Rule}
        """,
    )
    files = FedmsgConfigFiles(directory)
    files.set("plain", "from the command line", origin="--option")

    there = pickle.loads(pickle.dumps(files))

    assert list(there.values) == list(files.values)
    assert there.values["plain"] == "from the command line"
    assert there.values["call"]() == 3
    assert there.values["lock"].acquire(blocking=False)
    assert there.values["module"] is os
    assert type(there.values["nested"]["rules"][0]).__name__ == "Rule"
    assert (there.origins, there.paths, there.warnings) == (files.origins, files.paths, files.warnings)


def test_files_with_nothing_but_plain_values_are_not_run_again_for_another_process(write: Write) -> None:
    directory = write("a.py", "config = {'endpoints': {'hub': ['tcp://127.0.0.1:9940']}, 'timeout': 2, 'irc': [{}]}")
    files = FedmsgConfigFiles(directory)
    (directory / "a.py").write_text("raise SystemExit('run again')", encoding="utf-8")

    there = pickle.loads(pickle.dumps(files))

    assert there.values == files.values


def test_a_file_that_has_gone_bad_is_an_error_where_it_has_to_be_run_again(write: Write) -> None:
    directory = write("a.py", "config = {'call': lambda: 3}")
    pickled = pickle.dumps(FedmsgConfigFiles(directory))
    (directory / "a.py").write_text("config = 1/0", encoding="utf-8")

    with pytest.raises(ConfigError, match="this file cannot be run: ZeroDivisionError"):
        pickle.loads(pickled)


def test_a_value_that_the_files_say_no_more_is_left_out_in_another_process(write: Write) -> None:
    directory = write("a.py", "config = {'call': lambda: 3, 'plain': 1}")
    pickled = pickle.dumps(FedmsgConfigFiles(directory))
    (directory / "a.py").write_text("config = {}", encoding="utf-8")

    assert pickle.loads(pickled).values == {"plain": 1}
