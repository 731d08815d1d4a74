# SPDX-License-Identifier: LGPL-2.1-or-later
"""What callbacks of fedora-messaging find in a message, with fedora-messaging and without, from either bus."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glasshub.amqp.wire import fedmsg_body
from glasshub.compat.fedora_messages import BareMessage, message_reader
from glasshub.errors import MessageError, UnusableError
from glasshub.message import Frame

from ..fakes import frame
from ..needs import module
from .fedora_configuration import configuration, hide, unload

TOPIC = "org.fedoraproject.prod.bodhi.update.request"
SENT = "2026-11-24T03:00:00+00:00"
HEADERS = {"fedora_messaging_schema": "base.message", "fedora_messaging_severity": 20, "sent-at": SENT}
BODY = {"update": {"title": "bash-5.3-1.fc45", "karma": -1}}

Reader = Callable[[Frame], Any]


def of_amqp(body: Any = BODY, headers: Any = HEADERS, *, message_id: str = "id-1") -> Frame:
    """A message as it comes from a broker."""
    document = fedmsg_body(
        json.dumps(body).encode(), topic=TOPIC, message_id=message_id, headers=headers, queue="h.callback"
    )
    return frame(document, topic=TOPIC.encode())


def of_zmq(**document: Any) -> Frame:
    """A message as it comes from fedmsg's bus."""
    return frame(json.dumps(document), topic=TOPIC.encode())


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    """Messages where fedora-messaging is installed."""
    with configuration(monkeypatch, tmp_path / "none.toml"):
        yield message_reader()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Messages where it is not."""
    hide(monkeypatch)
    return message_reader()


@pytest.fixture(params=["full", "bare"])
def read(request: pytest.FixtureRequest) -> Reader:
    """Both."""
    reader: Reader = request.getfixturevalue(request.param)
    return reader


@pytest.fixture
def register(full: Reader, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, type], None]:
    """Installs a package with a schema of that name."""

    def install(name: str, cls: type) -> None:
        message = module("fedora_messaging.message")
        monkeypatch.setitem(message._schema_name_to_class, name, cls)
        monkeypatch.setitem(message._class_to_schema_name, cls, name)

    return install


def test_a_message_of_a_broker_has_all_that_a_callback_looks_at(read: Reader) -> None:
    message = read(of_amqp(headers={**HEADERS, "priority": 3, "fedora_messaging_user_bowlofeggs": True}))

    assert (message.topic, message.body, message.id) == (TOPIC, BODY, "id-1")
    assert (message.severity, message.queue, message.priority) == (20, "h.callback", 3)
    assert message._headers == {**HEADERS, "priority": 3, "fedora_messaging_user_bowlofeggs": True}
    assert message._properties.headers is message._headers
    assert message._properties.message_id == "id-1"
    assert message._properties.content_type == "application/json"
    assert message._properties.content_encoding == "utf-8"
    assert message._properties.delivery_mode == 2
    assert (message.summary, message.usernames, message.url, message.app_name) == (TOPIC, [], None, None)
    assert str(message).startswith(f"Id: id-1\nTopic: {TOPIC}\nHeaders: {{\n")


def test_both_kinds_of_messages_are_printed_alike(full: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = str(full(of_amqp()))
    hide(monkeypatch)

    assert str(message_reader()(of_amqp())) == printed


def test_a_message_of_fedmsgs_bus_is_what_fedora_messaging_would_have_published_of_it(read: Reader) -> None:
    message = read(of_zmq(topic=TOPIC, msg=BODY, msg_id="2026-1", timestamp=1395158400.5, i=1))

    assert (message.topic, message.body, message.id) == (TOPIC, BODY, "2026-1")
    assert (message.severity, message.queue) == (20, None)
    assert message._headers == {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": "2014-03-18T16:00:00.500000+00:00",
        "priority": 0,
    }


@pytest.mark.parametrize("timestamp", [None, "yesterday", 1e300, [], True])
def test_whatever_a_publisher_calls_a_timestamp_a_callback_gets_the_message(read: Reader, timestamp: Any) -> None:
    message = read(of_zmq(topic=TOPIC, msg=BODY, timestamp=timestamp))

    assert message.body == BODY
    assert message._headers["sent-at"]


@pytest.mark.parametrize("headers", [{}, "text", [1], None])
def test_whatever_a_publisher_calls_headers_a_callback_gets_the_message(read: Reader, headers: Any) -> None:
    message = read(of_zmq(topic=TOPIC, msg=BODY, timestamp=0, queue=1, headers=headers))

    assert message.body == BODY


def test_an_object_that_is_no_document_of_fedmsgs_is_the_body(read: Reader) -> None:
    assert read(of_zmq(anything=1)).body == {"anything": 1}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ([1], HEADERS),
        ("text", HEADERS),
        (BODY, {**HEADERS, "fedora_messaging_severity": 25}),
        (BODY, {**HEADERS, "fedora_messaging_severity": "high"}),
    ],
)
def test_what_fedora_messaging_refuses_is_invalid_be_it_the_first_or_not(read: Reader, body: Any, headers: Any) -> None:
    for _ in range(2):
        with pytest.raises(MessageError, match=f"{TOPIC} id-1: "):
            read(of_amqp(body, headers))
        assert read(of_amqp()).body == BODY


def test_nothing_is_an_empty_object_as_fedora_messaging_has_it(read: Reader) -> None:
    assert read(of_amqp(None)).body == {}


def test_what_is_no_json_is_invalid(read: Reader) -> None:
    with pytest.raises(MessageError, match="is not JSON"):
        read(frame(b'{"msg":{,"topic":"org.test"}'))


def test_a_message_without_headers_is_taken_as_fedora_messaging_takes_it(
    full: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    message = full(of_amqp(headers=None))

    assert (message.body, message.severity, message._headers) == (BODY, 20, {})
    assert "arrived without a schema header. A publisher is misbehaving!" in caplog.text


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("fedora_messaging_schema", "arrived without a schema header. A publisher is misbehaving!"),
        ("fedora_messaging_severity", "arrived without a severity. A publisher is misbehaving!"),
    ],
)
def test_each_message_without_a_header_that_it_should_have_is_named_as_fedora_messaging_does(
    full: Reader, caplog: pytest.LogCaptureFixture, missing: str, complaint: str
) -> None:
    full(of_amqp())

    for _ in range(2):
        message = full(of_amqp(headers={name: value for name, value in HEADERS.items() if name != missing}))
        assert (message.body, message.severity) == (BODY, 20)
    assert caplog.text.count(complaint) == 2


def test_an_unknown_schema_passes_and_is_named_in_the_log_once(full: Reader, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        message = full(of_amqp(headers={**HEADERS, "fedora_messaging_schema": "bodhi.update"}))

        assert type(message) is module("fedora_messaging.message").Message
        assert message._headers["fedora_messaging_schema"] == "bodhi.update"
    assert caplog.text.count('The schema "bodhi.update" is not in the schema registry') == 1


def test_a_message_is_of_the_class_of_its_schema_and_has_to_be_as_that_says(
    full: Reader, register: Callable[[str, type], None]
) -> None:
    class Update(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        body_schema = {"type": "object", "required": ["update"]}  # noqa: RUF012 - as schemas are written

        @property
        def summary(self) -> str:
            return f"{self.body['update']['title']} is there"

    register("bodhi.update", Update)
    headers = {**HEADERS, "fedora_messaging_schema": "bodhi.update"}

    for _ in range(2):
        message = full(of_amqp(headers=headers))
        assert type(message) is Update
        assert message.summary == "bash-5.3-1.fc45 is there"
        with pytest.raises(MessageError, match="'update' is a required property"):
            full(of_amqp({}, headers))


def test_a_schema_of_headers_counts_as_well(full: Reader, register: Callable[[str, type], None]) -> None:
    class Strict(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        headers_schema = {"type": "object", "required": ["x-who"]}  # noqa: RUF012 - as schemas are written

    register("strict", Strict)
    headers = {**HEADERS, "fedora_messaging_schema": "strict"}

    assert type(full(of_amqp(headers={**headers, "x-who": "me"}))) is Strict
    with pytest.raises(MessageError, match="'x-who' is a required property"):
        full(of_amqp(headers=headers))


def test_a_class_that_makes_its_schema_for_each_message_is_asked_for_each(
    full: Reader, register: Callable[[str, type], None]
) -> None:
    class Dynamic(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        @property
        def body_schema(self) -> Any:
            return {"type": "object", "required": [self.topic]}

    register("dynamic", Dynamic)
    headers = {**HEADERS, "fedora_messaging_schema": "dynamic"}

    assert type(full(of_amqp({TOPIC: 1}, headers))) is Dynamic
    with pytest.raises(MessageError, match="is a required property"):
        full(of_amqp({}, headers))


def test_a_class_that_sets_its_schema_for_each_message_is_asked_for_each(
    full: Reader, register: Callable[[str, type], None]
) -> None:
    class Setting(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        def __init__(self, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.body_schema = {"type": "object", "required": ["update"]}

    register("setting", Setting)
    headers = {**HEADERS, "fedora_messaging_schema": "setting"}

    assert type(full(of_amqp(headers=headers))) is Setting
    with pytest.raises(MessageError, match="'update' is a required property"):
        full(of_amqp({"a": 1}, headers))


def test_a_class_that_validates_in_its_own_way_is_asked_for_each(
    full: Reader, register: Callable[[str, type], None]
) -> None:
    class Own(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        def validate(self) -> None:
            if "update" not in self.body:
                raise module("jsonschema").ValidationError("it lacks an update")

    register("own", Own)
    headers = {**HEADERS, "fedora_messaging_schema": "own"}

    assert type(full(of_amqp(headers=headers))) is Own
    with pytest.raises(MessageError, match="it lacks an update"):
        full(of_amqp({"a": 1}, headers))


def test_every_message_of_a_deprecated_schema_is_named_as_fedora_messaging_does(
    full: Reader, register: Callable[[str, type], None], caplog: pytest.LogCaptureFixture
) -> None:
    class Old(module("fedora_messaging.message").Message):  # type: ignore[misc]  # it has no types
        deprecated = True

    register("old", Old)

    for _ in range(2):
        full(of_amqp(headers={**HEADERS, "fedora_messaging_schema": "old"}))
    assert caplog.text.count("A message with a deprecated schema") == 2


def test_a_message_can_be_published_again_as_it_is(full: Reader) -> None:
    """By pika, which knows its own properties alone."""
    message = full(of_amqp())

    assert b"".join(message._properties.encode())


def test_no_message_knows_another_ones_headers(read: Reader) -> None:
    first, second = read(of_amqp(message_id="1")), read(of_amqp(message_id="2"))
    first._headers["mine"] = True

    assert (first.id, second.id) == ("1", "2")
    assert "mine" not in second._headers


def test_without_fedora_messaging_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hide(monkeypatch)

    assert isinstance(message_reader()(of_amqp()), BareMessage)
    assert "fedora-messaging is not installed: callbacks get messages without schemas" in caplog.text


def test_a_fedora_messaging_that_does_not_work_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module("fedora_messaging.message")
    unload(monkeypatch)
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(UnusableError, match=r"^fedora-messaging is installed and cannot be loaded: .*jsonschema"):
        message_reader()


def test_a_configuration_that_fedora_messaging_refuses_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fm.toml").write_text("colour = 1\n", encoding="utf-8")

    with (
        configuration(monkeypatch, tmp_path / "fm.toml"),
        pytest.raises(UnusableError, match=r"^fedora-messaging refuses its configuration: Unknown .*colour"),
    ):
        message_reader()


def test_a_package_whose_schemas_cannot_be_loaded_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'bodhi'")

    monkeypatch.setattr(module("fedora_messaging.message"), "get_class", fail)

    with (
        configuration(monkeypatch, tmp_path / "none.toml"),
        pytest.raises(
            UnusableError, match=r"schemas .* cannot be loaded: ModuleNotFoundError: No module named 'bodhi'"
        ),
    ):
        message_reader()


def test_no_worker_process_answers_for_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever publishes with fedora-messaging would listen on its port; of two that do one would fail."""
    if "monitoring" not in module("fedora_messaging.config").DEFAULTS:
        pytest.skip("this version listens nowhere")
    (tmp_path / "fm.toml").write_text('[monitoring]\naddress = "127.0.0.1"\nport = 8008\n', encoding="utf-8")

    with configuration(monkeypatch, tmp_path / "fm.toml"):
        message_reader()

        assert module("fedora_messaging.config").conf["monitoring"] == {}
