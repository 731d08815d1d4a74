# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recordings give back what was recorded, and say where they are damaged."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.errors import ConfigError
from glasshub.load.recording import Recorded, Recording, RecordingWriter, summary

BODIES = [
    b'{"msg": {"a": [1, 2.5, null]}, "topic": "a.b"}',
    b'{"msg":{}}',
    b'{"name": "\\u00e9"}',
    '{"name": "é"}'.encode(),
    b'{"a": 1, "a": 2}',
    b"NaN",
    b"no JSON",
    b"",
    b"\xff\xfe\x00",
    b"[" * 5000,
]


def written(*messages: tuple[float, str, bytes]) -> str:
    file = io.StringIO()
    writer = RecordingWriter(file, begun=1395900000.0, endpoints=["tcp://127.0.0.1:9940"])
    for message in messages:
        writer.message(*message)
    return file.getvalue()


def read(tmp_path: Path, text: str) -> list[Recorded]:
    path = tmp_path / "recording.jsonl"
    path.write_text(text, encoding="utf-8")
    return list(Recording(path))


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_comes_back_byte_for_byte(tmp_path: Path, body: bytes) -> None:
    (message,) = read(tmp_path, written((0.0, "a.b", body)))

    assert message == Recorded(0.0, "a.b", body)


@given(body=st.binary(max_size=40), topic=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_body_and_topic_come_back(tmp_path_factory: pytest.TempPathFactory, body: bytes, topic: str) -> None:
    (message,) = read(tmp_path_factory.mktemp("any"), written((0.0, topic, body)))

    assert (message.topic, message.body) == (topic, body)


def test_a_body_as_fedmsg_writes_it_can_be_read_by_people() -> None:
    line = written((0.0, "a.b", BODIES[0])).splitlines()[1]

    assert json.loads(line) == {"at": 0.0, "topic": "a.b", "body": json.loads(BODIES[0])}


def test_times_count_from_the_first_message(tmp_path: Path) -> None:
    messages = read(tmp_path, written((7.5, "a", b"1"), (7.75, "a", b"2"), (10.0, "a", b"3")))

    assert [message.at for message in messages] == [0.0, 0.25, 2.5]


def test_times_never_go_back(tmp_path: Path) -> None:
    lines = [json.dumps({"topic": "a", "msg": {}, "timestamp": time}) for time in (100, 103, 101, 105)]

    messages = read(tmp_path, "\n".join(lines))

    assert [message.at for message in messages] == [0, 3, 3, 5]


def test_messages_of_fedmsg_are_read_with_their_own_time(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"topic": "a.git", "msg": {"x": 1}, "timestamp": 1344344050.5, "i": 1},
        {"topic": "a.wiki", "msg": {"x": 2}},
        {"topic": "a.git", "msg": {"x": 3}, "timestamp": 1344344051},
    ]

    messages = read(tmp_path, "\n".join(map(json.dumps, lines)))

    assert [(message.at, message.topic) for message in messages] == [(0.0, "a.git"), (0.0, "a.wiki"), (0.5, "a.git")]
    assert [json.loads(message.body) for message in messages] == lines


def test_a_gap_is_no_message(tmp_path: Path) -> None:
    file = io.StringIO()
    writer = RecordingWriter(file, begun=0.0, endpoints=[])
    writer.gap(2.0, "tcp://127.0.0.1:9940", 1.5)
    writer.message(3.0, "a", b"1")

    messages = read(tmp_path, file.getvalue())

    assert [message.topic for message in messages] == ["a"]
    assert '"gap": {"endpoint": "tcp://127.0.0.1:9940", "seconds": 1.5}' in file.getvalue()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"at": 1, "topic": "a", "bo', "not a message"),
        ("[1]", "no JSON object"),
        ('{"at": 1, "body": {}}', "no topic"),
        ('{"at": "soon", "topic": "a", "body": {}}', "at is not a number"),
        ('{"at": NaN, "topic": "a", "body": {}}', "at is not a number"),
        ('{"at": 1, "topic": "a"}', "no body"),
        ('{"at": 1, "topic": "a", "body_base64": "?"}', "no base64"),
        ('{"topic": "a"}', 'nor "msg"'),
        ('{"topic": "a", "msg": {}, "timestamp": true}', "timestamp is not a number"),
        ('{"topic": "\\ud800", "msg": {}}', "not a message"),
        ('{"glasshub_recording": 2}', "version 2"),
        ("[" * 100_000, "not a message"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    text = f'{{"topic": "a", "msg": {{}}}}\n\n{line}\n'

    with pytest.raises(ConfigError, match=complaint) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'recording.jsonl'}:3: ")
    assert "--skip-damaged" in str(caught.value)


def test_damaged_lines_are_counted_when_they_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b'{"topic": "a", "msg": {}}\nnonsense\n\xff\n{"topic": "b", "msg": {}}\n')

    found = summary(Recording(path, skips_damaged=True))

    assert (found.messages, found.damaged) == (2, 2)


@pytest.mark.parametrize("text", ["", "\n", '{"glasshub_recording": 1}\n'])
def test_a_recording_without_messages_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match="no message in the recording"):
        summary(Recording(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.jsonl: cannot read the recording: No such file"):
        list(Recording(tmp_path / "nowhere.jsonl"))
