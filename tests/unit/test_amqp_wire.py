# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of fedora-messaging in fedmsg's form, and back."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import pika
import pytest
from fedora_messaging.message import Message, get_message
from hypothesis import example, given
from hypothesis import strategies as st

from glasshub.amqp.wire import Outgoing, fedmsg_body, from_fedmsg
from glasshub.errors import PublishError

SENT_AT = "2026-11-24T00:00:00+00:00"
HEADERS = {
    "fedora_messaging_schema": "bodhi.update.comment",
    "fedora_messaging_severity": 20,
    "sent-at": SENT_AT,
    "fedora_messaging_user_ralph": True,
}

#: What JSON can hold.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

#: What looks much like JSON.
PIECES = [*'{}[],:"\\1 \n', '"k"', '"msg"', '"topic"', '\\"', "null", "{}", '"}"']


def document(body: bytes, **changes: Any) -> Any:
    """What consumers get."""
    told: dict[str, Any] = {"topic": "org.a", "message_id": "id-1", "headers": HEADERS, "queue": "hub.a", **changes}
    return json.loads(fedmsg_body(body, **told))


def is_command(header: str) -> bool:
    return header.lower() in ("cc", "bcc") or header.lower().startswith("x-")


def is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8"))
    except ValueError:
        return False
    return True


def test_document_is_that_of_fedmsg() -> None:
    assert document(b'{"a": 1}') == {
        "msg": {"a": 1},
        "topic": "org.a",
        "msg_id": "id-1",
        "timestamp": 1795478400.0,
        "queue": "hub.a",
        "headers": HEADERS,
    }


@given(VALUES, st.text(max_size=40), st.text(max_size=40))
def test_whatever_json_can_hold_arrives(value: Any, topic: str, message_id: str) -> None:
    body = json.dumps(value).encode("ascii")

    found = document(body, topic=topic, message_id=message_id)

    assert (found["msg"], found["topic"], found["msg_id"]) == (json.loads(body), topic, message_id)


@given(VALUES, st.sampled_from([None, 1, " ", "\t"]))
def test_notation_of_a_body_is_left_as_it_is(value: Any, indent: int | str | None) -> None:
    body = json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "surrogatepass")

    result = fedmsg_body(body, topic="org.a", message_id="id-1", headers=HEADERS)

    assert not is_json(body) or result.startswith(b'{"msg":' + body + b',"topic":')


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
@example('{}, "msg": {}')
@example('{"a": 1}, "topic": "spoofed", "msg_id": {"a": 1}')
@example('1, "msg": {}')
@example('{"{": 1}, "k": {"}": 1}')
@example('{"\\\\"}, "k": {"a": "\\\\"}')
@example('{"a": "\\\\"}, "k": {"a": ""}')
@example('{"a": "\\""}, "k": {"a": "\\""}')
@example('{"a": "\\"{"}')
@example('{"a\\\\":"{\\\\"},"k":{"b\\\\":"}\\\\"}')
@example("{}}")
@example("")
@example("{" * 17 + "}" * 17)
def test_what_is_no_json_does_not_become_json(text: str) -> None:
    body = text.encode("utf-8")

    result = fedmsg_body(body, topic="org.a", message_id="id-1", headers=HEADERS)

    assert is_json(result) == is_json(body)
    if is_json(body):
        assert json.loads(result) == {**document(b"{}"), "msg": json.loads(body), "queue": ""}


@given(st.binary(max_size=40), st.sampled_from([None, "utf-8", "UTF-16", "latin-1", "gzip", "punycode", "zlib", ""]))
def test_any_bytes_are_a_document_or_none_that_can_be_read(body: bytes, encoding: str | None) -> None:
    result = fedmsg_body(body, topic="org.a", message_id=None, headers=None, content_encoding=encoding)

    if is_json(result):
        found = json.loads(result)
        assert list(found) == ["msg", "topic", "queue", "msg_id", "timestamp", "headers"]
        assert found["msg"] == json.loads(body.decode(encoding or "utf-8"))


def test_deeply_nested_body_that_python_cannot_decode_is_no_document() -> None:
    result = fedmsg_body(b"[" * 100_000 + b"]" * 100_000, topic="org.a", message_id=None, headers=None)

    assert not is_json(result)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "ascii", "latin-1", "ISO-8859-1", "utf-16", "utf-32"])
def test_body_in_another_character_set_is_read(encoding: str) -> None:
    text = '{"a": "b"}' if encoding == "ascii" else '{"a": "é"}'

    assert document(text.encode(encoding), content_encoding=encoding)["msg"] == json.loads(text)


@pytest.mark.parametrize("encoding", ["gzip", "punycode", "unicode_escape", "rot13", "zlib", "no-such", "utf-7"])
def test_body_in_an_encoding_that_is_no_character_set_is_no_document(encoding: str) -> None:
    assert not is_json(fedmsg_body(b"{}", topic="a", message_id=None, headers=None, content_encoding=encoding))


def test_names_and_headers_that_are_not_utf_8_are_shown_with_backslashes() -> None:
    found = document(
        b"{}", topic=b"org.\xff", message_id=b"\xff", headers={b"\xff": 1, "b": b"\xfe\x00", "c": bytearray(b"d")}
    )

    assert (found["topic"], found["msg_id"]) == ("org.\\xff", "\\xff")
    assert found["headers"] == {"\\xff": 1, "b": "\\xfe\x00", "c": "d"}


def test_headers_of_every_type_that_amqp_has_are_told() -> None:
    noon = datetime.datetime(2026, 11, 24, 12)
    death = {"count": 3, "time": noon, "routing-keys": ["org.a", b"\xff"], "inner": {b"\xff": None}}
    headers = {"x-death": [death], "price": decimal.Decimal("1.50"), "at": noon, "on": True, "one": 1, "none": None}

    told = document(b"{}", headers=headers)["headers"]

    assert told == {
        "x-death": [
            {
                "count": 3,
                "time": "2026-11-24T12:00:00+00:00",
                "routing-keys": ["org.a", "\\xff"],
                "inner": {"\\xff": None},
            }
        ],
        "price": "1.50",
        "at": "2026-11-24T12:00:00+00:00",
        "on": True,
        "one": 1,
        "none": None,
    }


def test_headers_that_are_equal_and_not_the_same_are_told_apart() -> None:
    for value in (1, True, 0, False):
        assert document(b"{}", headers={"a": value})["headers"]["a"] is value


@pytest.mark.parametrize(
    "sent_at", [SENT_AT, "2026-11-24T01:00:00+01:00", "2026-11-24T00:00:00Z", "2026-11-24T00:00:00"]
)
def test_timestamp_is_when_it_was_sent(sent_at: str) -> None:
    assert document(b"{}", headers={"sent-at": sent_at})["timestamp"] == 1795478400.0


@pytest.mark.parametrize("headers", [None, {}, {"sent-at": "yesterday"}, {"sent-at": 1}, {"sent-at": []}])
def test_timestamp_is_now_where_nothing_says_when_it_was_sent(
    headers: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glasshub.amqp.wire.time.time", iter([7.0, 8.0]).__next__)

    assert [document(b"{}", headers=headers)["timestamp"] for _ in range(2)] == [7.0, 8.0]


def test_message_without_an_id_has_none_in_its_document() -> None:
    assert document(b"{}", message_id=None)["msg_id"] is None


def read(message: Outgoing) -> Message:
    """The message as fedora-messaging reads it from the broker, by way of pika."""
    properties = pika.BasicProperties().decode(b"".join(pika.BasicProperties(**message.properties).encode()))
    return get_message(message.topic, properties, message.body)


def published(document: Any, **options: Any) -> Outgoing:
    return from_fedmsg(b"org.a", json.dumps(document).encode("ascii"), **options)


def test_document_of_fedmsg_becomes_a_message_that_fedora_messaging_takes() -> None:
    document = {"topic": "org.a", "msg": {"a": 1}, "msg_id": "2026-1", "timestamp": 1795478400, "i": 1, "username": "u"}

    outgoing = published(document, priority=3, prefix="prod.")
    message = read(outgoing)

    assert (message.topic, message.body, message.id) == ("prod.org.a", {"a": 1}, "2026-1")
    assert (message.severity, message.priority) == (20, 3)
    assert message._headers == {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": SENT_AT,
        "priority": 3,
    }
    assert (outgoing.properties["content_type"], outgoing.properties["content_encoding"]) == (
        "application/json",
        "utf-8",
    )
    assert outgoing.properties["delivery_mode"] == 2


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"msg": {"a": 1}, "topic": "t"}', {"msg": {"a": 1}, "topic": "t"}),
        ("[1]", {"msg": [1]}),
        ("null", {"msg": None}),
        ("héllo", {"msg": "héllo"}),
        ('{"topic": "t", "timestamp": 1, "msg": "text"}', {"msg": "text"}),
        ("[" * 10_000, {"msg": "[" * 10_000}),
    ],
)
def test_anything_else_is_the_body_and_an_object(text: str, body: dict[str, Any]) -> None:
    assert read(from_fedmsg(b"org.a", text.encode("utf-8"))).body == body


HEADER_NAMES = st.sampled_from(
    ["fedora_messaging_schema", "fedora_messaging_schema_package", "fedora_messaging_severity", "sent-at", "priority"]
)


@given(
    VALUES
    | st.fixed_dictionaries(
        {"topic": st.just("t"), "msg": VALUES, "timestamp": VALUES},
        optional={"msg_id": VALUES, "headers": st.dictionaries(HEADER_NAMES | st.text(max_size=300), VALUES)},
    )
)
@example({"topic": "t", "msg": {}, "timestamp": float("nan"), "headers": {"a" * 256: 1, "": 1, "\ud800": 1}})
@example({"topic": "t", "msg": {}, "timestamp": 1e30, "headers": {"a": 2**63, "b": 1.5, "c": [{"": 1}], "d": "\ud800"}})
@example({"topic": "t", "msg": {}, "timestamp": 1, "headers": {"fedora_messaging_severity": []}})
def test_whatever_is_published_can_be_sent_and_read(document: Any) -> None:
    outgoing = published(document)

    assert read(outgoing).body == json.loads(outgoing.body)


@given(
    st.dictionaries(st.text(), VALUES, max_size=4),
    st.text(min_size=1, max_size=60),
    st.dictionaries(st.text(min_size=1, max_size=20), st.none() | st.booleans() | st.text(max_size=20), max_size=4),
)
def test_message_that_went_to_fedmsg_and_back_is_the_same(
    content: dict[str, Any], message_id: str, headers: dict[str, Any]
) -> None:
    headers = {**HEADERS, **{name: value for name, value in headers.items() if not is_command(name)}, "priority": 0}
    body = json.dumps(content).encode("ascii")

    back = from_fedmsg(b"org.a", fedmsg_body(body, topic="org.a", message_id=message_id, headers=headers))

    assert (json.loads(back.body), back.message_id, back.properties["headers"]) == (
        json.loads(body),
        message_id,
        headers,
    )


@pytest.mark.parametrize("name", ["CC", "cc", "BCC", "x-death", "X-Match", "x-delivery-count"])
def test_headers_that_have_the_broker_do_something_are_left_out(name: str) -> None:
    document = {"topic": "t", "msg": {}, "timestamp": 1, "headers": {name: ["org.other"], "mine": 1}}

    headers = published(document).properties["headers"]

    assert name not in headers
    assert headers["mine"] == 1


def test_message_without_an_id_gets_one_of_its_own() -> None:
    assert published({}).message_id != published({}).message_id


@pytest.mark.parametrize(("topic", "body"), [(b"org.a", b"\xff"), (b"\xff", b"{}")])
def test_what_is_no_text_is_refused(topic: bytes, body: bytes) -> None:
    with pytest.raises(PublishError, match=r"^cannot publish b'.*': it must be JSON, in UTF-8: ") as error:
        from_fedmsg(topic, body)

    assert error.value.reason == "invalid"
