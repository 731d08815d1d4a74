# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hub on fedora-messaging's bus, as its configuration asks for it: what makes no sense is refused, what counts for
nothing is said."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glasshub import cli, daemon
from glasshub.amqp import settings
from glasshub.amqp.settings import AmqpSettings
from glasshub.amqp.topology import queue_names
from glasshub.cli import options
from glasshub.compat.fedmsg_config import Place
from glasshub.config import Config, ConfigBuilder, without_effect
from glasshub.errors import ConfigError, MissingLibraryError
from glasshub.spike.private import Brief, private

Load = Callable[[str], Config]

ON_BROKER = "[hub]\nsource = 'fedora-messaging'\n"


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "DEFAULT_FILE", tmp_path / "there-is-none.toml")
    monkeypatch.setattr(settings, "DEFAULT_FILE", tmp_path / "there-is-none-either.toml")
    monkeypatch.setattr(options, "find_config", lambda: Place((), "nowhere"))
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    monkeypatch.setenv("FEDMSG_CONFIG", "as before")


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str) -> Config:
        path = tmp_path / "glasshub.toml"
        path.write_text(text, encoding="utf-8")
        builder = ConfigBuilder()
        builder.read_toml(path)
        return builder.build()

    return from_text


@pytest.fixture
def broker(tmp_path: Path) -> Path:
    """fedora-messaging's configuration."""
    path = tmp_path / "fm.toml"
    path.write_text("amqp_url = 'amqp://me:secret@a,b:1/v'\nqos = {}\ntopic_prefix = 'org'", encoding="utf-8")
    return path


def effective(*arguments: str) -> options.Effective:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return options.effective_config(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[spool]\ndirectory = '/s'",
            "fedora-messaging.acknowledge = 'processed' must be 'spooled' with a spool, which keeps a message until "
            "the consumer has finished with it: set it so, or leave directory in [spool] out",
        ),
        (
            "[fedora-messaging]\nacknowledge = 'spooled'",
            "fedora-messaging.acknowledge = 'spooled' needs a spool: set directory in [spool], or leave it out",
        ),
        *(
            (
                f"[fedora-messaging]\nqueue = '{queue}'",
                f"fedora-messaging.queue = '{queue}' must have {{consumer}} in it, may have {{hub}}, and no other "
                f"braces: a name for one consumer is queue in its own section",
            )
            for queue in ("mine", "{hub}", "{consumer", "{consumer}{0}", "{consumer!r}", "{consumer:>9}", "{name}", "")
        ),
    ],
)
def test_what_makes_no_sense_on_a_broker_is_refused(load: Load, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(ON_BROKER + text)

    assert str(error.value).endswith(f"glasshub.toml: {complaint}")


@pytest.mark.parametrize(
    "text",
    [
        "[spool]\ndirectory = '/s'\n[fedora-messaging]\nacknowledge = 'spooled'",
        "[fedora-messaging]\nqueue = '{consumer}-of-{hub}'",
        "[fedora-messaging]\nqueue = 'x{{{consumer}'",
    ],
)
def test_what_makes_sense_on_a_broker_is_taken(load: Load, text: str) -> None:
    assert load(ON_BROKER + text).hub.source == "fedora-messaging"


def test_spool_of_a_hub_on_zeromq_asks_for_nothing_of_a_broker(load: Load) -> None:
    assert load("[spool]\ndirectory = '/s'").fedora_messaging.acknowledge == "processed"


def test_queues_are_named_after_hub_and_consumer_or_as_their_sections_say(load: Load) -> None:
    config = load(
        ON_BROKER + "name = 'h'\n[fedora-messaging]\nqueue = '{consumer}@{hub}'\n"
        "[consumers.b]\nclass = 'b:B'\nqueue = 'mine'"
    )

    assert queue_names(config, ["a", "b"]) == ["a@h", "mine"]


def test_two_consumers_with_one_queue_are_refused(load: Load) -> None:
    config = load(
        ON_BROKER + "[consumers.a]\nclass = 'a:A'\nqueue = 'q'\n[consumers.b]\nclass = 'b:B'\nqueue = 'glasshub.c'"
    )

    with pytest.raises(ConfigError) as error:
        queue_names(config, ["a", "c", "b"])

    assert str(error.value).endswith(
        "glasshub.toml: b and c would share queue glasshub.c, and each get some of its messages: "
        "give one of them another with queue in [consumers.b]"
    )


@pytest.mark.parametrize("name", ["q" * 249, "é" * 125, "amq.mine"])
def test_queue_with_a_name_that_no_broker_takes_is_refused(load: Load, name: str) -> None:
    config = load(ON_BROKER + f"[consumers.a]\nclass = 'a:A'\nqueue = '{name}'")

    with pytest.raises(ConfigError) as error:
        queue_names(config, ["a"])

    assert str(error.value).endswith(
        f"glasshub.toml: queue {name!r} of a: a broker takes names of 1 to 255 bytes, .parked behind them included, "
        f"that do not begin with amq.: give it another with queue in [consumers.a]"
    )
    assert queue_names(load(ON_BROKER), ["q" * 239]) == ["glasshub." + "q" * 239]


BOTH = """
[zmq]
endpoints = ["tcp://a:1"]
strict = true
[fedora-messaging]
prefetch = 5
{more}
[consumers.a]
class = "a:A"
queue = "q"
workers = 2
"""


@pytest.mark.parametrize(
    ("hub", "more", "idle"),
    [
        ("", "", ["fedora-messaging.prefetch", "consumers.a.queue"]),
        (ON_BROKER, "", ["zmq.endpoints"]),
        (ON_BROKER, "queues = 'hub'", ["zmq.endpoints", "consumers.a.queue"]),
    ],
)
def test_keys_about_a_bus_that_is_not_in_use_are_known(load: Load, hub: str, more: str, idle: list[str]) -> None:
    found = without_effect(load(hub + BOTH.format(more=more)))

    assert [key for key, _ in found] == idle
    assert all(origin.endswith("glasshub.toml") for _, origin in found)


def test_file_of_the_command_line_counts_over_that_of_the_environment(
    broker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.VARIABLE, str(broker))

    named = broker.with_name("named.toml")
    named.touch()

    by_environment, by_line = effective("--fedora-messaging"), effective("--fedora-messaging", str(named))

    assert [
        (made.config.fedora_messaging.config, made.config.origins["fedora-messaging.config"])
        for made in (by_environment, by_line)
    ] == [(str(broker), "FEDORA_MESSAGING_CONF"), (str(named), "--fedora-messaging")]
    assert by_environment.broker == settings.read(broker)


def test_file_that_is_named_from_here_is_found_from_elsewhere(broker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(broker.parent)

    assert effective("--fedora-messaging", broker.name).config.fedora_messaging.config == str(broker)


def test_without_a_file_the_broker_is_that_of_this_machine() -> None:
    made = effective("--fedora-messaging")

    assert made.broker == AmqpSettings()
    assert made.config.fedora_messaging.config == ""


def test_hub_on_zeromq_reads_nothing_of_fedora_messaging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.VARIABLE, "/there/is/none")

    assert effective("--zmq", "tcp://a:1").broker is None


def test_file_that_anybody_could_have_written_is_refused_unless_allowed(broker: Path) -> None:
    broker.chmod(0o666)

    with pytest.raises(ConfigError, match=rf"^{broker}: anybody may write to {broker} \(mode 0666\): chmod o-w "):
        effective("--fedora-messaging", str(broker))
    assert effective("--fedora-messaging", str(broker), "--allow-unsafe-config").broker is not None


FEDMSGS = """config = {
    'endpoints': {'a': 'tcp://a:1'}, 'high_water_mark': 5, 'zmq_enabled': False, 'zmq_tcp_keepalive': 1,
    'zmq_strict': True, 'moksha.workers_per_consumer': 3,
}"""


def test_fedmsgs_configuration_beside_it_counts_for_consumers_and_not_for_the_bus(tmp_path: Path, broker: Path) -> None:
    path = tmp_path / "fedmsg.py"
    path.write_text(FEDMSGS, encoding="utf-8")

    made = effective("--fedora-messaging", str(broker), "--fedmsg-config", str(path))

    assert (made.config.zmq.endpoints, made.config.zmq.strict) == ((), True)
    assert made.config.fedmsg.workers_per_consumer == 3
    assert made.fedmsg is not None
    assert [key for key, _ in made.fedmsg.without_effect()] == [
        "endpoints",
        "high_water_mark",
        "zmq_enabled",
        "zmq_tcp_keepalive",
    ]
    assert without_effect(made.config) == []


def test_printed_configuration_says_what_of_it_counts_and_no_password(
    broker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(
        ["config", "--fedora-messaging", str(broker), "--consumer", "a:A", "--zmq", "tcp://a:1", "--no-discover"]
    )

    printed = capsys.readouterr().out
    assert code == 0
    assert "secret" not in printed
    assert f"# fedora-messaging's configuration: {broker} (--fedora-messaging): a:5672, b:1\n" in printed
    assert "\n# topic_prefix = 'org'\n" in printed
    assert re.search(r"\n# qos = \.\.\. +no effect here: see prefetch in \[fedora-messaging\]\n", printed)
    assert "\n# queue glasshub.A, for A\n" in printed
    assert "\n# Note: zmq.endpoints (--zmq) has no effect on this bus\n" in printed
    assert "there is no bus" not in printed


def test_printed_configuration_names_the_queues_of_the_whole_hub(
    tmp_path: Path, broker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[fedora-messaging]\nqueues = 'hub'", encoding="utf-8")

    cli.main(["config", "--config", str(file), "--fedora-messaging", str(broker), "--no-discover"])

    assert "\n# queue that the broker names, for all consumers\n" in capsys.readouterr().out


def test_printed_configuration_names_the_callback_that_the_file_has_run(
    broker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.write_text(f'callback = "shop:sold"\n{broker.read_text(encoding="utf-8")}', encoding="utf-8")

    cli.main(["config", "--fedora-messaging", str(broker), "--no-discover"])

    printed = capsys.readouterr().out
    assert "\n# consumer sold = shop:sold\n" in printed
    assert "\n# queue glasshub.sold, for sold\n" in printed


def test_without_pika_there_is_a_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, load: Load, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    monkeypatch.setattr(daemon, "_raise_descriptor_limit", lambda: None)
    config = load(ON_BROKER + f"[stats]\ndirectory = '{tmp_path}'")

    with pytest.raises(MissingLibraryError) as error:
        daemon.made(config, None, consumers=[], producers=None)

    assert str(error.value) == (
        "fedora-messaging's bus needs pika: import of pika halted; None in sys.modules: "
        "pip install 'glasshub[fedora-messaging]' (on Fedora, EPEL and Debian python3-pika)"
    )


def test_private_hub_of_a_spike_leaves_the_broker_alone(load: Load, tmp_path: Path) -> None:
    brief = Brief(load(ON_BROKER), None, [], [])

    own = private(brief, shape="threads", directory=tmp_path, endpoint="ipc://x", is_made_up=True)

    assert own.config.hub.source == "zmq"
