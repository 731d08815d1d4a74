# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that were written for fedora-messaging: what is called, what they raise, and which of them run."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasshub import ConsumerSignal, Drop, Halt, Retry
from glasshub.compat.fedora_messages import BareMessage
from glasshub.compat.fedora_messaging import CallableConsumer, name_configuration, signal_of
from glasshub.config import Config, ConsumerSection, FedoraMessagingSection, HubSection
from glasshub.crew import Member
from glasshub.errors import MessageError
from glasshub.roster import NATIVE_GROUP, Roster
from glasshub.stats import Outcome

from ..fakes import frame
from ..needs import module
from . import fedora_callbacks as callbacks
from .fedora_configuration import VARIABLE, configuration, hide

HERE = callbacks.__name__
MESSAGE = frame(json.dumps({"topic": "org.a", "msg": {"a": 1}, "msg_id": "1", "timestamp": 0}), topic=b"org.a")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO, logger="glasshub")
    callbacks.seen.clear()
    with configuration(monkeypatch, tmp_path / "none.toml"):
        yield


def members(
    *only: str, callback: str = "", fedora: FedoraMessagingSection | None = None, **sections: ConsumerSection
) -> Sequence[Member]:
    """The roster of what is named on the command line, in sections, and in fedora-messaging's configuration."""
    config = Config(
        hub=HubSection(entry_points=False),
        fedora_messaging=fedora or FedoraMessagingSection(),
        consumers=sections,
    )
    return Roster(config, only=only, callback=callback).build(lambda: None).members


def built(location: str, **more: Any) -> CallableConsumer:
    (member,) = members(a=ConsumerSection(location=location, **more))
    assert isinstance(member.consumer, CallableConsumer)
    return member.consumer


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "glasshub.roster"]


@pytest.mark.parametrize("name", ["function", "coroutine"])
def test_a_function_gets_messages(name: str) -> None:
    with closing(built(f"{HERE}:{name}")) as consumer:
        assert consumer.handle(MESSAGE) is Outcome.PROCESSED

    (message,) = callbacks.seen
    assert (message.topic, message.body, message.id) == ("org.a", {"a": 1}, "1")


@pytest.mark.parametrize("name", ["Callback", "AsyncCallback"])
def test_a_class_is_built_once_and_its_object_gets_messages(name: str) -> None:
    with closing(built(f"{HERE}:{name}")) as consumer:
        for _ in range(2):
            assert consumer.handle(MESSAGE) is Outcome.PROCESSED

    assert type(consumer.author) is getattr(callbacks, name)
    assert [message.body for message in consumer.author.seen] == [{"a": 1}] * 2


@pytest.mark.parametrize("name", ["callback", "method", "callback.method"])
def test_an_object_that_can_be_called_gets_messages(name: str) -> None:
    callbacks.callback.seen.clear()

    assert built(f"{HERE}:{name}").handle(MESSAGE) is Outcome.PROCESSED

    assert [message.id for message in callbacks.callback.seen] == ["1"]


def test_an_invalid_message_does_not_reach_the_callback() -> None:
    consumer = built(f"{HERE}:function")

    with pytest.raises(MessageError):
        consumer.handle(frame("[1]"))

    assert callbacks.seen == []


def test_without_fedora_messaging_a_callback_that_does_not_need_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch)

    built(f"{HERE}:function").handle(MESSAGE)

    assert isinstance(callbacks.seen[0], BareMessage)


def test_it_gets_all_that_comes_unless_its_section_says_otherwise() -> None:
    assert built(f"{HERE}:function").topics == ("#",)
    assert built(f"{HERE}:function", topics=("org.a", "org.b")).topics == ("org.a", "org.b")


def raising(error: Exception) -> CallableConsumer:
    def callback(message: Any) -> None:
        raise error

    return CallableConsumer(callback, "a")


def signal(name: str, *arguments: Any, **keywords: Any) -> ConsumerSignal:
    """What a callback means that raises that exception of fedora-messaging's."""
    error = getattr(module("fedora_messaging.exceptions"), name)(*arguments, **keywords)
    with pytest.raises(ConsumerSignal) as raised:
        raising(error).handle(MESSAGE)
    assert raised.value.__cause__ is error
    return raised.value


def test_a_nack_has_the_message_come_again_later() -> None:
    retry = signal("Nack", "the database is busy")

    assert isinstance(retry, Retry)
    assert (retry.after, retry.reason) == (None, "fedora_messaging.exceptions.Nack: the database is busy")


def test_a_drop_is_a_drop() -> None:
    drop = signal("Drop")

    assert isinstance(drop, Drop)
    assert drop.reason == "fedora_messaging.exceptions.Drop"


@pytest.mark.parametrize(
    ("keywords", "meant"),
    [
        ({}, ("", 0, True)),
        ({"exit_code": 3, "reason": "no disk"}, ("no disk", 3, True)),
        ({"exit_code": 3, "requeue": True}, ("", 3, False)),
    ],
)
def test_halting_is_halting_with_its_exit_code_and_the_message_done_unless_it_is_to_be_requeued(
    keywords: dict[str, Any], meant: tuple[str, int, bool]
) -> None:
    halt = signal("HaltConsumer", **keywords)

    assert isinstance(halt, Halt)
    assert (halt.reason, halt.exit_code, halt.is_done) == meant


def test_a_subclass_of_theirs_means_the_same() -> None:
    class NotYet(module("fedora_messaging.exceptions").Nack):  # type: ignore[misc]  # it has no types
        pass

    assert isinstance(signal_of(NotYet()), Retry)


def test_a_coroutine_raises_what_a_function_does() -> None:
    nack = module("fedora_messaging.exceptions").Nack

    async def callback(message: Any) -> None:
        raise nack

    with closing(CallableConsumer(callback, "a")) as consumer, pytest.raises(Retry):
        consumer.handle(MESSAGE)


@pytest.mark.parametrize("name", ["ConsumeException", "ValidationError", "PublishTimeout"])
def test_anything_else_of_fedora_messagings_is_a_failure_as_there(name: str) -> None:
    """That a message which it publishes is invalid does not make the one that it got invalid."""
    error = getattr(module("fedora_messaging.exceptions"), name)("no")

    with pytest.raises(type(error)):
        raising(error).handle(MESSAGE)


def test_an_exception_of_that_name_of_somebody_elses_is_a_failure() -> None:
    class Nack(Exception):
        pass

    with pytest.raises(Nack):
        raising(Nack()).handle(MESSAGE)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gone", f"a: cannot load {HERE}:gone: module '{HERE}' has no 'gone'"),
        (
            "number",
            "a: 42 is no glasshub.Consumer, no consumer of fedmsg or Moksha, and cannot be called with a message",
        ),
        (
            "Uncallable",
            f"a: {callbacks.Uncallable!r} is no glasshub.Consumer, no consumer of fedmsg or Moksha, and cannot ",
        ),
        (
            "Demanding",
            "a: its class is built without arguments, and that is not possible: missing a required argument: ",
        ),
    ],
)
def test_what_cannot_be_a_callback_is_said_in_one_line(
    caplog: pytest.LogCaptureFixture, name: str, complaint: str
) -> None:
    (member,) = members(a=ConsumerSection(location=f"{HERE}:{name}"))

    assert member.consumer is None
    (line,) = said(caplog)
    assert line.startswith(complaint)
    assert caplog.records[-1].exc_info is None


def test_who_imports_fedora_messaging_where_it_is_missing_is_told_what_to_install(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide(monkeypatch)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imports_it.py").write_text("from fedora_messaging.api import Message\n", encoding="utf-8")

    members("imports_it:callback")

    (line,) = said(caplog)
    assert "pip install 'fedora-messaging' (on Fedora and EPEL python3-fedora-messaging)" in line


def test_the_callback_of_fedora_messagings_configuration_runs_where_nobody_names_a_consumer() -> None:
    location = f"{HERE}:function"

    (member,) = members(callback=location)

    assert (member.name, member.section) == ("function", ConsumerSection(location=location))


def test_it_does_not_run_where_somebody_names_one() -> None:
    callback, other = f"{HERE}:function", f"{HERE}:Callback"

    assert [member.name for member in members(other, callback=callback)] == ["Callback"]
    assert [m.name for m in members(callback=callback, mine=ConsumerSection(location=other))] == ["mine"]
    assert [m.name for m in members(callback=callback, mine=ConsumerSection(location=callback))] == ["mine"]


def test_it_runs_beside_those_that_packages_declare_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "fake-1.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1\n", encoding="utf-8")
    declared = f"[{NATIVE_GROUP}]\na = {HERE}:Callback\nb = {HERE}:function\n"
    (directory / "entry_points.txt").write_text(declared, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    wanted = Roster(Config(), callback=f"{HERE}:function").wanted()

    assert [name for name, _ in wanted] == ["function", "Callback"]


def test_consumers_find_the_configuration_that_the_hub_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[consumer_config]\npath = '/srv'\n", encoding="utf-8")
    (tmp_path / "reads_it.py").write_text(
        "from fedora_messaging.config import conf\nPATH = conf['consumer_config']['path']\n"
        "def callback(message): pass\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)

    (member,) = members("reads_it:callback", fedora=FedoraMessagingSection(config="mine.toml"))

    assert member.consumer is not None
    assert sys.modules.pop("reads_it").PATH == "/srv"
    assert os.environ[VARIABLE] == str(tmp_path / "mine.toml"), "wherever a consumer may change to"


def test_a_configuration_that_nobody_names_is_left_to_fedora_messaging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/theirs.toml")

    name_configuration(Config())

    assert os.environ[VARIABLE] == "/theirs.toml"


def test_neither_fedora_messaging_nor_pika_is_loaded_before_there_is_a_callback() -> None:
    code = (
        "import sys; from glasshub.roster import Roster; from glasshub.config import Config, HubSection\n"
        "Roster(Config(hub=HubSection(entry_points=False))).build(lambda: None)\n"
        "print(sorted({'fedora_messaging', 'pika', 'asyncio', 'jsonschema'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
