# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recording: what comes is written, what may be missing is said, and it ends when there is enough."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from glasshub.gaps import Gap
from glasshub.load.recording import RecordingWriter
from glasshub.message import Frame
from glasshub.sources import Batch, SourceState
from glasshub.spike.recorder import Recorder, Tally


class CannedSource:
    """A source that has some batches, and then nothing."""

    kind = "canned"
    acknowledges = False

    def __init__(self, *batches: Batch) -> None:
        self._batches = list(batches)
        self.opened_with: Sequence[bytes] = ()
        self.is_closed = False
        self.limits: list[int] = []

    def open(self, prefixes: Sequence[bytes]) -> None:
        self.opened_with = prefixes

    def subscribe(self, prefixes: Sequence[bytes]) -> None:
        raise NotImplementedError

    def receive(self, timeout: float, limit: int) -> Batch:
        self.limits.append(limit)
        return self._batches.pop(0) if self._batches else Batch()

    def wake(self) -> None:
        raise NotImplementedError

    def acknowledge(self, frame: Frame) -> None:
        raise NotImplementedError

    def state(self) -> SourceState:
        return SourceState(endpoints=2, connected=1, disconnects=1)

    def close(self) -> None:
        self.is_closed = True


def frame(topic: bytes, body: bytes = b"{}") -> Frame:
    return Frame(topic, body, time.monotonic_ns())


def recorded(source: CannedSource, *, messages: int = 0, seconds: float = 0.0) -> tuple[list[dict[str, Any]], Tally]:
    file = io.StringIO()
    recorder = Recorder(source, RecordingWriter(file, begun=0.0, endpoints=["a"]))
    tally = recorder.run([b"a."], messages=messages, seconds=seconds, has_to_end=lambda: not source._batches)
    return [json.loads(line) for line in file.getvalue().splitlines()[1:]], tally


def test_messages_are_written_in_the_order_in_which_they_came() -> None:
    source = CannedSource(Batch([frame(b"a.1"), frame(b"a.2")]), Batch([frame(b"a.3")]))

    lines, tally = recorded(source)

    assert [line["topic"] for line in lines] == ["a.1", "a.2", "a.3"]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert (tally.messages, tally.endpoints, tally.connected) == (3, 2, 1)
    assert source.opened_with == [b"a."]
    assert source.is_closed


def test_what_may_be_missing_is_a_line_of_its_own() -> None:
    now_ns = time.monotonic_ns()
    gap = Gap("tcp://127.0.0.1:1", now_ns - 1_500_000_000, now_ns, 0.0)

    lines, tally = recorded(CannedSource(Batch([frame(b"a.1")], gaps=[gap])))

    assert lines[0]["gap"] == {"endpoint": "tcp://127.0.0.1:1", "seconds": 1.5}
    assert tally.gaps == 1


def test_what_is_no_message_is_counted() -> None:
    lines, tally = recorded(CannedSource(Batch([frame(b"\xff"), frame(b"a.1")], malformed=2)))

    assert len(lines) == 1
    assert tally.malformed == 3


@pytest.mark.parametrize(("messages", "limits"), [(0, [1000, 1000]), (2, [2, 1])])
def test_no_more_is_taken_than_is_wanted(messages: int, limits: list[int]) -> None:
    source = CannedSource(Batch([frame(b"a.1")]), Batch([frame(b"a.2")]))

    recorded(source, messages=messages)

    assert source.limits == limits


def test_it_ends_after_its_time() -> None:
    source = CannedSource(*[Batch()] * 10_000_000)

    _, tally = recorded(source, seconds=0.05)

    assert 0.05 <= tally.seconds < 1
