# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everybody in a hub is started, measured and closed, whoever fails at it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from glasshub.compat.moksha import MokshaHub
from glasshub.compat.producers import build
from glasshub.config import ConsumerSection
from glasshub.crew import Crew, Job, Member
from glasshub.segment import SegmentWriter

from ..fakes import RecordingConsumer
from . import old_consumers, old_producers


class Unclosable(RecordingConsumer):
    """Raises when it is closed."""

    def close(self) -> None:
        """Raise."""
        raise SystemExit("I do not want to go")


class Stopped:
    """A producer that notes its end.

    Attributes:
        stops: How often it was stopped.
    """

    _initialized = True

    def __init__(self) -> None:
        self.stops = 0

    def stop(self) -> None:
        """Note it, and do not want to."""
        self.stops += 1
        raise RuntimeError("I do not want to go")


def member(name: str, consumer: RecordingConsumer | None) -> Member:
    return Member(name, ConsumerSection(location=name), consumer)


def producer(cls: type) -> Any:
    return build(cls, MokshaHub(dict(old_consumers.CONFIG), strict=False, stop=lambda: None))


@pytest.mark.parametrize(
    ("members", "jobs", "is_idle"),
    [
        ([], [], True),
        ([member("a", None)], [Job("p", None)], True),
        ([member("a", RecordingConsumer())], [], False),
        ([member("a", None)], [Job("p", Stopped())], False),
    ],
)
def test_a_crew_of_which_nobody_is_up_is_idle(members: list[Member], jobs: list[Job], is_idle: bool) -> None:
    assert Crew(members, jobs).is_idle is is_idle


def test_those_that_have_to_be_polled_have_a_thread_each(tmp_path: Path) -> None:
    classes = [old_producers.Hourly, old_producers.Stream, old_producers.OwnLoop]
    crew = Crew([], [Job("gone", None), *[Job(cls.__name__, producer(cls)) for cls in classes]])
    rows = [job.row for job in crew.jobs]
    segment = SegmentWriter(tmp_path / "s", [], producers=rows, name="x", version="1", shape="threads", source="memory")

    threads = crew.background(segment)
    segment.close()

    assert [thread.name for thread in threads] == ["producer-Hourly"]
    assert [(row.name, row.initialized, row.frequency) for row in rows] == [
        ("gone", False, 0.0),
        ("Hourly", True, 3600.0),
        ("Stream", True, 0.0),
        ("OwnLoop", True, 0.0),
    ]


def test_everybody_is_closed_whoever_does_not_want_to(caplog: pytest.LogCaptureFixture) -> None:
    stopped, closed = Stopped(), RecordingConsumer()

    Crew(
        [member("gone", None), member("stubborn", Unclosable()), member("good", closed)],
        [Job("gone", None), Job("reluctant", stopped)],
    ).close()

    assert (stopped.stops, closed.is_closed) == (1, True)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "reluctant: close() failed",
        "stubborn: close() failed",
    ]
