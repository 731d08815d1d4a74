# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whoever is at one message for too long is named in the log once, and once more when that is over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import glasshub_stats
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.stats import Outcome
from glasshub.stuck import StuckWatch

from .segments import live_segment

SECOND = 1_000_000_000

ROWS = (ConsumerRow("limited", 2, True, max_processing=30.0), ConsumerRow("free", 1, True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.stats"


def begin(writer: SegmentWriter, consumer: int, age: int, worker: int = 0) -> None:
    """Have a worker be at a message for so many seconds."""
    then_ns = time.monotonic_ns() - age * SECOND
    writer.workers[consumer][worker].began(then_ns, then_ns, 0)


def watch(writer: SegmentWriter) -> StuckWatch:
    return StuckWatch(lambda: glasshub_stats.read(str(writer.path)))


def test_a_consumer_that_gets_stuck_is_named_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with live_segment(path, ROWS) as writer:
        stuck = watch(writer)
        begin(writer, 0, age=40)

        for _ in range(3):
            stuck.look()

    assert caplog.messages == [
        "limited is stuck: 1 of its 2 workers at one message for longer than max_processing = 30 s"
    ]


def test_the_end_of_it_is_named_once_and_the_next_time_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with live_segment(path, ROWS) as writer:
        stuck = watch(writer)
        begin(writer, 0, age=40)
        stuck.look()
        writer.workers[0][0].finished(Outcome.PROCESSED, time.monotonic_ns())
        stuck.look()
        stuck.look()
        begin(writer, 0, age=50)
        stuck.look()

    assert [message.split(":")[0] for message in caplog.messages] == [
        "limited is stuck",
        "limited is not stuck any more",
        "limited is stuck",
    ]
    assert "it was at one message for 40." in caplog.messages[1]


def test_who_has_no_limit_or_is_within_it_is_not_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with live_segment(path, ROWS) as writer:
        begin(writer, 0, age=20)
        begin(writer, 1, age=10_000)

        watch(writer).look()

    assert not caplog.messages
