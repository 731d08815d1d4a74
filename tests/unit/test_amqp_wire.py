# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of fedora-messaging in fedmsg's form, and back."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import pika
import pytest
from fedora_messaging.message import get_message
from hypothesis import example, given
from hypothesis import strategies as st

from glasshub.amqp.wire import fedmsg_body, from_fedmsg, routing_key
from glasshub.errors import MessageError

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


def test_document_of_fedmsg_becomes_a_message_that_fedora_messaging_takes() -> None:
    message = {"topic": "org.a", "msg": {"a": 1}, "msg_id": "2026-1", "timestamp": 1795478400, "i": 1, "username": "u"}

    properties, body = from_fedmsg("org.a", json.dumps(message).encode("ascii"), priority=3)
    read = get_message("org.a", pika.BasicProperties(**properties), body)

    assert (read.body, read.id, read.severity, read.priority) == ({"a": 1}, "2026-1", 20, 3)
    assert read._headers == {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": SENT_AT,
        "priority": 3,
    }
    assert (properties["content_type"], properties["content_encoding"]) == ("application/json", "utf-8")
    assert properties["delivery_mode"] == 2


@pytest.mark.parametrize(
    ("published", "body"),
    [
        (b'{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        (b'{"msg": {"a": 1}, "topic": "t"}', {"msg": {"a": 1}, "topic": "t"}),
        (b"[1]", {"msg": [1]}),
        (5, {"msg": 5}),
        (None, {"msg": None}),
        ("héllo".encode(), {"msg": "héllo"}),
        (b'{"topic": "t", "timestamp": 1, "msg": "text"}', {"msg": "text"}),
    ],
)  # fmt: skip
def test_anything_else_is_the_body_and_an_object(published: Any, body: dict[str, Any]) -> None:
    assert json.loads(from_fedmsg("org.a", published)[1]) == body


HEADER_NAMES = st.sampled_from(
    ["fedora_messaging_schema", "fedora_messaging_schema_package", "fedora_messaging_severity", "sent-at", "priority"]
) | st.text(max_size=300)


@given(VALUES | st.fixed_dictionaries(
    {"topic": st.just("t"), "msg": VALUES, "timestamp": VALUES},
    optional={"msg_id": VALUES, "headers": st.dictionaries(HEADER_NAMES, VALUES, max_size=6)},
))  # fmt: skip
@example(
    {"topic": "t", "msg": {}, "timestamp": float("nan"), "headers": {"a" * 256: 1, "": 1, "\ud800": 1, "b": "\ud800"}}
)
@example({"topic": "t", "msg": {}, "timestamp": 1e30, "headers": {"a": 2**63, "b": 1.5, "c": [{"": 1}]}})
def test_whatever_is_published_can_be_sent_and_read(published: Any) -> None:
    properties, body = from_fedmsg("org.a", published)

    sent = b"".join(pika.BasicProperties(**properties).encode())
    read = pika.BasicProperties().decode(sent)

    assert get_message("org.a", read, body).body == json.loads(body)


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

    properties, back = from_fedmsg("org.a", fedmsg_body(body, topic="org.a", message_id=message_id, headers=headers))

    assert (json.loads(back), properties["message_id"], properties["headers"]) == (
        json.loads(body),
        message_id,
        headers,
    )


@pytest.mark.parametrize("name", ["CC", "cc", "BCC", "x-death", "X-Match", "x-delivery-count"])
def test_headers_that_have_the_broker_do_something_are_left_out(name: str) -> None:
    message = {"topic": "t", "msg": {}, "timestamp": 1, "headers": {name: ["org.other"], "mine": 1}}

    headers = from_fedmsg("org.a", message)[0]["headers"]

    assert name not in headers
    assert headers["mine"] == 1


def test_message_without_an_id_gets_one_of_its_own() -> None:
    ids = {from_fedmsg("org.a", b"{}")[0]["message_id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.parametrize(
    ("published", "complaint"),
    [
        (b"\xff", "the body for 'org.a' (1 bytes) is no text: fedora-messaging has JSON"),
        ({"a": object}, "the body for 'org.a' cannot be written as JSON: Object of type type"),
    ],
)
def test_what_is_neither_text_nor_json_is_refused(published: Any, complaint: str) -> None:
    with pytest.raises(MessageError) as error:
        from_fedmsg("org.a", published)

    assert str(error.value).startswith(complaint)


def test_prefix_of_topics_is_joined_by_one_dot() -> None:
    assert [routing_key("a.b", prefix=prefix) for prefix in ("", "org", "org.")] == ["a.b", "org.a.b", "org.a.b"]


@pytest.mark.parametrize(
    ("topic", "complaint"),
    [
        ("é" * 127, "has 258 bytes as a routing key: AMQP allows 255"),
        ("\ud800", "the topic '\\ud800' cannot be written in UTF-8"),
    ],
)
def test_topic_that_amqp_does_not_have_is_refused(topic: str, complaint: str) -> None:
    with pytest.raises(MessageError) as error:
        routing_key(topic, prefix="org")

    assert complaint in str(error.value)
