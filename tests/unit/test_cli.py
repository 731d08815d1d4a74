# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: what is wrong is one line on standard error, and what it prints can be read back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import glasshub
from glasshub import cli
from glasshub.cli import config as config_command
from glasshub.cli import options
from glasshub.compat import fedmsg_config
from glasshub.config import SECTIONS, Config, ConfigBuilder
from glasshub.dispatch import SHAPES
from glasshub.errors import ConfigError, HubError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HUB = Path(cli.__file__).parents[2]

Write = Callable[[str], Path]

#: Whatever a TOML file may hold in a string.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.sampled_from("abAB09_.:@-"), min_size=1, max_size=20).filter(lambda name: not name.startswith("."))

STRANGE = [
    'a "quoted" one',
    "back\\slash \\n \\u0041",
    "'single' '''three'''",
    '"""',
    "\x00\x01\x08\x1f\x7f\x80\x9f",
    "line\nline\r\n\ttab",
    "\U0001f40d",
    "\U0010ffff",
    "\u2028\ufeff\ufffe",
    "# no comment",
    " = [x]",
    "",
]


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", tmp_path / "there-is-none.toml")
    monkeypatch.setattr(fedmsg_config, "_ETC", tmp_path / "no-etc")
    for name in ("FEDMSG_CONFIG", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file."""

    def to_file(text: str) -> Path:
        file = tmp_path / "glasshub.toml"
        file.write_bytes(text.encode("utf-8"))
        return file

    return to_file


def run(*arguments: object, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m glasshub` in a process of its own, which sees nothing of this machine's configuration."""
    if arguments[0] in {"run", "config"}:
        arguments = (*arguments, "--no-discover")
    path = os.pathsep.join(filter(None, [str(HUB), *sys.path]))
    return subprocess.run(
        [sys.executable, "-m", "glasshub", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What `glasshub config` prints."""
    capsys.readouterr()
    assert cli.main(["config", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def effective(file: Path) -> Config:
    """The configuration that a file makes, wherever its values come from."""
    builder = ConfigBuilder()
    builder.read_toml(file)
    return replace(builder.build(), origins={})


def quoted(text: str) -> str:
    """A string as TOML has it, every character escaped: another way than the one that is tested."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"glasshub {glasshub.__version__}\n"


def test_the_module_is_the_command() -> None:
    ran = run("--version")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"glasshub {glasshub.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["config", "--nope"], "unrecognized arguments: --nope"),
        (["--nope", "config"], "--nope"),
        (["config", "--name"], "--name: expected one argument"),
        (["config", "--with-consumers", "a:B", "--consumer", "c:D"], "--consumer: not allowed with argument --with-c"),
        (["config", "--service", "relay", "--consumer", "c:D"], "--consumer: not allowed with argument --service"),
        (["config", "--service", "hub"], "argument --service: invalid choice: 'hub'"),
        (["config", "--config-filename", "a", "--fedmsg-config", "b"], "not allowed with argument --config-filename"),
        (["config", "--io-threads", "many"], "argument --io-threads: invalid int value: 'many'"),
        (["config", "there"], "unrecognized arguments: there"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_with_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)

    captured = capsys.readouterr()
    assert caught.value.code == cli.EXIT_USAGE
    assert captured.out == ""
    assert captured.err.startswith("usage: glasshub")
    assert complaint in captured.err


@pytest.mark.parametrize("command", ["stats", "top", "check", "graph", "dashboard", "record", "forecast", "demo"])
def test_a_command_that_needs_no_hub_loads_none(command: str) -> None:
    """Nagios and collectd start some of them again and again."""
    code = (
        "import atexit, sys; from glasshub.cli import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.exit(main(sys.argv[1:]))"
    )
    path = os.pathsep.join(filter(None, [str(HUB), *sys.path]))
    ran = subprocess.run(
        [sys.executable, "-c", code, command, "--help"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert ran.stdout.startswith("usage: ")
    assert {"glasshub.cli", "glasshub.hub", "glasshub.spool", "zmq"} & set(ran.stderr.split()) == {"glasshub.cli"}


@pytest.mark.parametrize("command", ["run", "config", "stats", "demo"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: glasshub {command}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--config", "/nowhere/x.toml"], "--config: there is no configuration file '/nowhere/x.toml'"),
        (["--fedmsg-config", "/nowhere"], "/nowhere: there is no such file or directory"),
        (["--name", "a/b"], "--name: hub.name = 'a/b' must be 1 to 64 of the characters A-Za-z0-9_.:@-"),
        (["--name", ""], "--name: hub.name = '' must be 1 to 64 of the characters A-Za-z0-9_.:@-"),
    ],
)
@pytest.mark.parametrize("command", ["config", "run"])
def test_a_configuration_that_makes_no_sense_is_one_line_and_a_wrong_usage(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], complaint: str
) -> None:
    code = cli.main([command, *arguments])

    captured = capsys.readouterr()
    assert (code, captured.out, captured.err) == (cli.EXIT_USAGE, "", f"glasshub: {complaint}\n")


def test_an_unknown_key_in_the_file_is_one_line_that_names_the_file(
    capsys: pytest.CaptureFixture[str], write: Write
) -> None:
    file = write("[hub]\nnam = 'x'\n")

    assert cli.main(["config", "--config", str(file)]) == cli.EXIT_USAGE
    assert capsys.readouterr().err.startswith(f"glasshub: {file}: unknown key 'hub.nam'; did you mean 'name'?")


def test_a_hub_without_a_bus_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["run", "--consumer", "a:B"])

    captured = capsys.readouterr()
    assert code == cli.EXIT_USAGE
    assert re.fullmatch(r"glasshub: there is no bus to subscribe to: name a publisher with --zmq .*\n", captured.err)


@pytest.mark.parametrize(
    ("error", "code"),
    [(HubError("it is broken: mend it"), cli.EXIT_ERROR), (ConfigError("mend it", origin="here"), cli.EXIT_USAGE)],
)
def test_an_error_of_ours_is_one_line_and_its_kind_makes_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: HubError, code: int
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(config_command, "effective_config", fail)

    assert cli.main(["config"]) == code
    assert capsys.readouterr() == ("", f"glasshub: {error}\n")


@pytest.mark.parametrize("command", ["run", "config"])
def test_a_shape_that_is_not_there_is_refused_with_those_that_are(command: str, tmp_path: Path) -> None:
    ran = run(command, "--shape", "round", "--zmq", f"ipc://{tmp_path}/b", "--stats-dir", tmp_path, "--consumer", "a:B")

    assert ran.returncode == cli.EXIT_USAGE
    assert ran.stderr == "glasshub: --shape: hub.shape = 'round' must be one of inline, shared, threads, processes\n"


def test_a_hub_without_a_consumer_that_could_be_built_ends_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    ran = run("run", "--zmq", f"ipc://{tmp_path}/b", "--stats-dir", tmp_path, "--with-consumers", "no_such:A, no:B")

    assert ran.returncode == cli.EXIT_ERROR
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert "A: cannot load no_such:A: No module named 'no_such'" in ran.stderr
    assert ran.stderr.endswith("glasshub: none of the 2 consumers could be started, see the log above\n")


def test_a_stats_directory_that_is_none_ends_the_hub_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    ran = run("run", "--zmq", f"ipc://{tmp_path}/b", "--stats-dir", file, "--consumer", "json:JSONEncoder")

    assert ran.returncode == cli.EXIT_ERROR
    assert ran.stderr.startswith(f"glasshub: cannot make the stats files in {file}: ")


def test_an_endpoint_that_is_none_ends_the_hub_with_an_error_and_no_traceback(tmp_path: Path) -> None:
    consumer = "tests.integration.consumers:Everything"

    ran = run("run", "--zmq", "nonsense", "--stats-dir", tmp_path, "--consumer", consumer)

    assert ran.returncode == cli.EXIT_ERROR
    assert "Traceback" not in ran.stderr
    assert "nonsense" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], []),
        (["--consumer", "a:B"], ["a:B"]),
        (["--consumer", "a:B", "--consumer", "c:D"], ["a:B", "c:D"]),
        (["--with-consumers", "a:B"], ["a:B"]),
        (["--with-consumers", "a:B,c:D"], ["a:B", "c:D"]),
        (["--with-consumers", " a:B , c:D ,"], ["a:B", "c:D"]),
        (["--with-consumers", ""], []),
    ],
)
def test_consumers_are_named_one_by_one_or_in_a_list(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: list[str]
) -> None:
    out = printed(capsys, *arguments)

    assert re.findall(r"# Of all consumers only these run: (.*)", out) == [", ".join(named)] * bool(named)


def test_the_defaults_are_printed_as_toml_with_all_sections(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)

    assert list(tomllib.loads(out)) == list(SECTIONS)
    assert all(line.endswith("# default") for line in out.splitlines() if "=" in line)


def test_every_value_says_where_it_comes_from(capsys: pytest.CaptureFixture[str], write: Write, tmp_path: Path) -> None:
    file = write("[hub]\nname = 'from-file'\ndrain_timeout = 3\n[consumers.a]\nclass = 'x:Y'\n")
    fedmsg = tmp_path / "fedmsg.py"
    fedmsg.write_text("config = {'zmq_strict': True}", encoding="utf-8")

    out = printed(capsys, "--config", file, "--fedmsg-config", fedmsg, "--name", "from-line")

    origins = dict(re.findall(r"^(\w+) = .*\S +# (.*)$", out, re.MULTILINE))
    assert origins["name"] == "--name"
    assert origins["drain_timeout"] == origins["class"] == str(file)
    assert origins["strict"] == str(fedmsg)
    assert origins["workers"] == "default"


@pytest.fixture
def fedmsg(tmp_path: Path) -> Write:
    """Writes fedmsg's configuration."""

    def to_file(text: str) -> Path:
        file = tmp_path / "fedmsg.py"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def said_of(out: str, key: str) -> str:
    """What is printed of a key of fedmsg's."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"# {key} = ")]
    return " ".join(line.split())


def test_every_key_of_fedmsgs_says_what_it_does_and_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], fedmsg: Write
) -> None:
    file = fedmsg("config = {'zmq_strict': True, 'validate_signatures': False, 'mine': 'x', 'stomp_uri': 'a:1'}")

    out = printed(capsys, "--fedmsg-config", file, "--topic-prefix", "org.example")

    assert said_of(out, "zmq_strict") == f"# zmq_strict = True -> [zmq] strict # {file}"
    assert said_of(out, "validate_signatures") == f"# validate_signatures = False for fedmsg # {file}"
    assert said_of(out, "mine") == f"# mine = 'x' for consumers # {file}"
    assert said_of(out, "stomp_uri") == f"# stomp_uri = 'a:1' no effect here # {file}"
    assert said_of(out, "topic_prefix") == "# topic_prefix = 'org.example' for fedmsg # --topic-prefix"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"db_password": "hush"}, "db_password = '***'"),
        ({"stomp_pass": "hush"}, "stomp_pass = '***'"),
        ({"API_KEY": "hush"}, "API_KEY = '***'"),
        ({"oidc_Token": ["hush"]}, "oidc_Token = '***'"),
        ({"client_secret": None}, "client_secret = None"),
        ({"db_url": "postgresql://me:hush@db/x"}, "db_url = 'postgresql://me:***@db/x'"),
        ({"fas": {"username": "me", "password": "hush"}}, "fas = {'password': '***', 'username': 'me'}"),
        ({"irc": [{"password": "hush"}]}, "irc = [{'password': '***'}]"),
        ({"urls": ("amqp://me:hush@a", "tcp://a:1")}, "urls = ['amqp://me:***@a', 'tcp://a:1']"),
    ],
)
def test_secrets_are_not_printed(
    capsys: pytest.CaptureFixture[str], fedmsg: Write, value: Mapping[str, object], shown: str
) -> None:
    out = printed(capsys, "--fedmsg-config", fedmsg(f"config = {value!r}"))

    assert "hush" not in out
    assert f"# {shown} " in out


def test_fedmsgs_values_are_short_and_leave_what_is_printed_toml(
    capsys: pytest.CaptureFixture[str], fedmsg: Write
) -> None:
    file = fedmsg("config = {'long': 'x' * 10000, 'many': list(range(10000)), 'a\\nb = 3': 1, 'odd': object(), 7: 8}")

    out = printed(capsys, "--fedmsg-config", file)

    assert list(tomllib.loads(out)) == list(SECTIONS)
    assert max(map(len, out.splitlines())) < 300


def test_what_fedmsg_leaves_out_is_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = tmp_path / "fedmsg.d"
    directory.mkdir()
    (directory / "a.py").symlink_to("nowhere")

    out = printed(capsys, "--fedmsg-config", directory)

    assert f"# Note: {directory}/a.py is left out: No such file or directory" in out.splitlines()


@pytest.mark.parametrize(("named", "said"), [("", "none"), ("a:B,c:D", "a:B, c:D")])
def test_the_producers_that_the_command_line_names_are_printed(
    capsys: pytest.CaptureFixture[str], named: str, said: str
) -> None:
    out = printed(capsys, "--with-producers", named)

    assert f"# Of all producers only these run: {said}" in out.splitlines()


def test_configuration_of_fedmsgs_is_found_where_the_operator_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = Path.cwd() / "fedmsg-config.py"
    file.write_text("config = {'endpoints': {'a': 'tcp://a:1'}}", encoding="utf-8")

    out = printed(capsys)

    assert tomllib.loads(out)["zmq"]["endpoints"] == ["tcp://a:1"]
    assert tomllib.loads(out)["fedmsg"]["config"] == [str(file)]


def test_a_hub_says_which_configuration_of_fedmsgs_it_has_and_what_of_it_has_no_effect(
    tmp_path: Path, fedmsg: Write
) -> None:
    file = fedmsg("config = {'moksha.threadpool_size': 3, 'stomp_uri': 'a:1', 'mine': 1}")
    arguments = ["--zmq", f"ipc://{tmp_path}/b", "--stats-dir", tmp_path, "--consumer", "no:A"]

    ran = run("run", *arguments, "--fedmsg-config", file)

    assert f"fedmsg's configuration: {file} (--fedmsg-config)\n" in ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if "no effect here" in line]
    assert line.endswith(f": moksha.threadpool_size ({file}), stomp_uri ({file})")


def test_a_hub_logs_as_fedmsgs_configuration_says(tmp_path: Path, fedmsg: Write, write: Write) -> None:
    log, own = tmp_path / "theirs.log", tmp_path / "ours.log"
    handlers = {"file": {"class": "logging.FileHandler", "filename": str(log)}}
    said = {"version": 1, "handlers": handlers, "root": {"handlers": ["file"], "level": "INFO"}}
    file = fedmsg(f"config = {{'logging': {said!r}}}")
    arguments = ["--zmq", f"ipc://{tmp_path}/b", "--stats-dir", tmp_path, "--consumer", "no:A", "--fedmsg-config", file]

    first = run("run", *arguments)
    before = log.read_text()
    second = run("run", *arguments, "--config", write(f"[logging]\nfile = '{own}'\nlevel = 'ERROR'"))

    assert f"fedmsg's configuration: {file}" in before
    assert log.read_text() == before
    assert "cannot load no:A" in own.read_text()
    assert "fedmsg's configuration" not in own.read_text()
    assert "no:A" not in first.stderr + second.stderr


def test_logging_that_is_no_good_is_one_line(tmp_path: Path, fedmsg: Write) -> None:
    file = fedmsg("config = {'logging': {'version': 7}}")

    ran = run("run", "--zmq", f"ipc://{tmp_path}/b", "--consumer", "no:A", "--fedmsg-config", file)

    assert (ran.returncode, ran.stderr) == (cli.EXIT_USAGE, f"glasshub: {file}: logging: Unsupported version: 7\n")


def test_the_default_file_is_read_if_it_is_there_and_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", write("[hub]\nname = 'everybodys'\n"))

    assert tomllib.loads(printed(capsys))["hub"]["name"] == "everybodys"


def test_the_file_goes_over_fedmsgs_and_the_command_line_over_both(
    capsys: pytest.CaptureFixture[str], write: Write, tmp_path: Path
) -> None:
    fedmsg = tmp_path / "fedmsg.py"
    fedmsg.write_text("config = {'zmq_strict': True, 'high_water_mark': 5}", encoding="utf-8")
    file = write(f"[fedmsg]\nconfig = '{fedmsg}'\n[zmq]\nreceive_high_water_mark = 7\nendpoints = ['tcp://a:1']\n")

    found = tomllib.loads(printed(capsys, "--config", file, "--zmq", "tcp://b:1", "--zmq", "tcp://c:1"))

    assert found["zmq"]["strict"] is True
    assert found["zmq"]["receive_high_water_mark"] == 7
    assert found["zmq"]["endpoints"] == ["tcp://b:1", "tcp://c:1"]


@pytest.mark.parametrize(
    ("ours", "monitoring", "expected"),
    [
        ("", "port = 8081", (8081, "0.0.0.0")),
        ("", 'port = 8081\naddress = ""', (8081, "0.0.0.0")),
        ("", 'port = 8081\naddress = "127.0.0.2"', (8081, "127.0.0.2")),
        ("[stats]\nport = 8082", "port = 8081", (8082, "127.0.0.1")),
        ("[stats]\nport = 0", "port = 8081", (0, "127.0.0.1")),
        ('[stats]\naddress = "127.0.0.3"', "port = 8081", (8081, "127.0.0.3")),
        ("", "", (0, "127.0.0.1")),
    ],
)
def test_port_for_health_checks_is_fedora_messagings_where_ours_is_not_said(
    capsys: pytest.CaptureFixture[str], write: Write, tmp_path: Path, ours: str, monitoring: str, expected: object
) -> None:
    theirs = tmp_path / "fm.toml"
    theirs.write_text(f"[monitoring]\n{monitoring}\n", encoding="utf-8")

    out = printed(capsys, "--config", write(ours), "--fedora-messaging", theirs)

    stats = effective(write(out)).stats
    assert (stats.port, stats.address) == expected
    assert (f"[monitoring] in {theirs}" in out) == (stats.port == 8081)


def test_monitoring_of_fedora_messagings_counts_on_its_bus_alone(
    capsys: pytest.CaptureFixture[str], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "fm.toml"
    theirs.write_text("[monitoring]\nport = 8081\n", encoding="utf-8")
    monkeypatch.setenv("FEDORA_MESSAGING_CONF", str(theirs))

    assert effective(write(printed(capsys, "--zmq", "ipc:///x"))).stats.port == 0


@pytest.mark.parametrize(
    ("monitoring", "complaint"),
    [
        ('address = ""', "lacks port"),
        ("port = 'http'", "port must be a whole number"),
        ("port = 65536", "port = 65536 must be 0 to 65535"),
        ('port = 1\naddress = "here"', "stats.address = 'here' must be an IP address"),
    ],
)
def test_monitoring_that_makes_no_sense_is_refused_with_its_file(
    tmp_path: Path, monitoring: str, complaint: str
) -> None:
    theirs = tmp_path / "fm.toml"
    theirs.write_text(f"[monitoring]\n{monitoring}\n", encoding="utf-8")

    done = run("config", "--fedora-messaging", theirs)

    assert done.returncode == 2
    assert complaint in done.stderr
    assert str(theirs) in done.stderr


def assert_round_trip(capsys: pytest.CaptureFixture[str], write: Write, text: str) -> Config:
    """What is printed of a file makes the same configuration as the file."""
    before = effective(write(text))

    out = printed(capsys, "--config", write(text))

    after = effective(write(out))
    assert after == before
    return after


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_a_strange_string_is_read_back_as_it_was(capsys: pytest.CaptureFixture[str], write: Write, text: str) -> None:
    config = assert_round_trip(
        capsys,
        write,
        f"stats.group = {quoted(text)}\nlogging.file = {quoted(text)}\nzmq.endpoints = [{quoted(text)}]\n"
        f"[consumers.{quoted(text)}]\nclass = {quoted(text)}\nsettings = {{{quoted(text)} = [{quoted(text)}]}}\n",
    )

    assert config.stats.group == text
    assert config.consumers[text].location == text
    assert config.consumers[text].settings == {text: [text]}


@pytest.mark.parametrize(
    "toml",
    [
        "true",
        "-3",
        "9223372036854775807",
        "1e300",
        "1e-7",
        "3.0",
        "-0.0",
        "inf",
        "-inf",
        "1979-05-27T07:32:00Z",
        "1979-05-27T00:32:00.999999-07:00",
        "1979-05-27T07:32:00",
        "1979-05-27",
        "07:32:00.5",
        "[[1, 2], [], ['x']]",
        "{a = {b = {}}, 'c d' = [{e = 1}], '' = 1, 'é' = 2, '-' = 3, '1' = 4}",
    ],
)
def test_every_kind_of_value_in_a_consumers_settings_is_read_back_as_it_was(
    capsys: pytest.CaptureFixture[str], write: Write, toml: str
) -> None:
    config = assert_round_trip(capsys, write, f"[consumers.a]\nclass = 'x:Y'\nsettings = {{value = {toml}}}\n")

    expected = tomllib.loads(f"value = {toml}")["value"]
    assert repr(config.consumers["a"].settings["value"]) == repr(expected)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hub=st.fixed_dictionaries(
        {},
        optional={
            "name": names,
            "shape": st.sampled_from(sorted(SHAPES)),
            "drain_timeout": st.floats(0, allow_nan=False),
            "switch_interval": st.floats(1e-6, 1),
            "entry_points": st.booleans(),
        },
    ),
    endpoints=st.lists(texts, max_size=3),
    consumers=st.dictionaries(texts, st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1), max_size=3)),
)
def test_what_is_printed_makes_the_configuration_that_it_was_printed_from(
    capsys: pytest.CaptureFixture[str],
    write: Write,
    hub: Mapping[str, Any],
    endpoints: list[str],
    consumers: Mapping[str, Mapping[str, Any]],
) -> None:
    def toml(value: Any) -> str:
        return quoted(value) if isinstance(value, str) else str(value).lower()

    lines = ["[hub]", *(f"{key} = {toml(value)}" for key, value in hub.items())]
    lines += ["[zmq]", f"endpoints = [{', '.join(map(quoted, endpoints))}]"]
    for name, own in consumers.items():
        table = ", ".join(f"{quoted(key)} = {toml(value)}" for key, value in own.items())
        lines += [f"[consumers.{quoted(name)}]", "class = 'x:Y'", f"settings = {{{table}}}"]

    assert_round_trip(capsys, write, "\n".join(lines))


def test_a_file_of_a_strange_name_does_not_break_what_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / 'a "b" # é\U0001f40d.toml'
    file.write_text("[hub]\nname = 'x'\n", encoding="utf-8")

    assert tomllib.loads(printed(capsys, "--config", file))["hub"]["name"] == "x"


@pytest.mark.parametrize("name", ["a\nb.toml", "a\rb.toml", "a\x07b.toml"])
def test_a_file_with_a_control_character_in_its_name_does_not_either(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text("[hub]\nname = 'x'\n", encoding="utf-8")

    assert tomllib.loads(printed(capsys, "--config", file))["hub"]["name"] == "x"


def test_a_path_that_is_not_utf8_is_refused_and_does_not_end_in_a_traceback(tmp_path: Path) -> None:
    """Standard output is strict in every locale but C."""
    directory = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")

    ran = run("config", "--stats-dir", directory, PYTHONIOENCODING="utf-8:strict")

    assert ran.returncode == cli.EXIT_USAGE
    assert ran.stderr.startswith("glasshub: --stats-dir: stats.directory must be UTF-8, not '")
    assert len(ran.stderr.splitlines()) == 1


def test_a_file_whose_name_is_not_utf8_does_not_end_in_a_traceback(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml"))
    file.write_text("[hub]\nname = 'x'\n", encoding="utf-8")

    ran = run("config", "--config", file, PYTHONIOENCODING="utf-8:strict")

    assert "Traceback" not in ran.stderr


def test_nobody_reading_what_is_printed_does_not_end_in_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = run("config", stdout=writer)
    finally:
        os.close(writer)

    assert "Traceback" not in ran.stderr
