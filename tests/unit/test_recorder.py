# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recording: what comes is written, what may be missing is said, and it ends when there is enough."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from glasshub.gaps import Gap
from glasshub.load.recording import RecordingWriter
from glasshub.sources import SourceState
from glasshub.spike.recorder import Recorder, Tally

from ..fakes import MemorySource, frame


def recorded(
    source: MemorySource, *, looks: int = 1, messages: int = 0, seconds: float = 0.0
) -> tuple[list[dict[str, Any]], Tally]:
    """What is written after so many looks at the bus, and how much it was."""
    file = io.StringIO()
    recorder = Recorder(source, RecordingWriter(file, begun=0.0, endpoints=["a"]))
    tally = recorder.run(["a."], messages=messages, seconds=seconds, has_to_end=lambda: len(source.limits) >= looks)
    return [json.loads(line) for line in file.getvalue().splitlines()[1:]], tally


def test_messages_are_written_in_the_order_in_which_they_came() -> None:
    source = MemorySource()
    source.now = SourceState(endpoints=2, connected=1, disconnects=1)
    source.put(frame(topic=b"a.1"), frame(topic=b"a.2"))
    source.put(frame(topic=b"a.3"))

    lines, tally = recorded(source, looks=2)

    assert [line["topic"] for line in lines] == ["a.1", "a.2", "a.3"]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert (tally.messages, tally.endpoints, tally.connected) == (3, 2, 1)
    assert source.prefixes == [b"a."]
    assert source.calls == ["open", "finish", "close"]


def test_what_may_be_missing_is_a_line_of_its_own() -> None:
    now_ns = time.monotonic_ns()
    source = MemorySource()
    source.put(frame(topic=b"a.1"), gaps=[Gap("tcp://127.0.0.1:1", now_ns - 1_500_000_000, now_ns, 0.0)])

    lines, tally = recorded(source)

    assert lines[0]["gap"] == {"endpoint": "tcp://127.0.0.1:1", "seconds": 1.5}
    assert tally.gaps == 1


def test_what_is_no_message_is_counted() -> None:
    source = MemorySource()
    source.put(frame(topic=b"\xff"), frame(topic=b"a.1"), malformed=2)

    lines, tally = recorded(source)

    assert len(lines) == 1
    assert tally.malformed == 3


@pytest.mark.parametrize(("messages", "limits"), [(0, [1000, 1000]), (2, [2, 1])])
def test_no_more_is_taken_than_is_wanted(messages: int, limits: list[int]) -> None:
    source = MemorySource()
    source.put(frame(topic=b"a.1"))
    source.put(frame(topic=b"a.2"))

    recorded(source, looks=2, messages=messages)

    assert source.limits == limits


def test_it_ends_after_its_time() -> None:
    _, tally = recorded(MemorySource(), looks=10, seconds=0.05)

    assert 0.05 <= tally.seconds < 1
