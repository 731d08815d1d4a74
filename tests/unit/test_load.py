# SPDX-License-Identifier: LGPL-2.1-or-later
"""Loads: when messages are due, what they look like, and what is reckoned from what was seen of a hub."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import pytest

from glasshub.load.bus import Published
from glasshub.load.messages import PREFIX, Generator
from glasshub.load.outcome import outcome_of, service_rate
from glasshub.load.record import Point, Record
from glasshub.load.schedule import CONSTANT, RAMP, SPIKE, Schedule
from glasshub.load.tables import books
from glasshub.load.text import Paint
from glasshub.segment import ConsumerRow
from glasshub_stats import read

from .segments import live_segment, work

ROWS = [ConsumerRow("mailer", 2, True)]


class TestSchedule:
    def test_a_constant_load_has_so_many_messages_at_even_distances(self) -> None:
        schedule = Schedule(CONSTANT, rate=50.0, seconds=2.0, quiet=1.0, quiet_rate=0.0)

        due = list(schedule.during())

        assert len(due) == 100
        assert due[:3] == pytest.approx([1.0, 1.02, 1.04])
        assert list(schedule.before()) == list(schedule.after()) == []

    def test_a_ramp_begins_at_the_quiet_rate_and_ends_at_the_full_one(self) -> None:
        schedule = Schedule(RAMP, rate=100.0, seconds=10.0, quiet=0.0, quiet_rate=20.0)

        due = list(schedule.during())

        assert len(due) == 600
        assert sum(time < 1.0 for time in due) == pytest.approx(24, abs=1)
        assert sum(9.0 <= time < 10.0 for time in due) == pytest.approx(96, abs=1)
        assert due == sorted(due)

    def test_a_ramp_to_the_rate_that_there_is_already_is_even(self) -> None:
        schedule = Schedule(RAMP, rate=10.0, seconds=2.0, quiet=0.0, quiet_rate=10.0)

        assert list(schedule.during()) == pytest.approx([number / 10 for number in range(20)])

    def test_it_is_quiet_around_a_spike(self) -> None:
        schedule = Schedule(SPIKE, rate=10.0, seconds=1.0, quiet=3.0, quiet_rate=0.5)

        assert list(schedule.before()) == [0.0, 2.0]
        assert list(islice(schedule.after(), 2)) == [6.0, 8.0]


class TestLookalikes:
    @pytest.mark.parametrize(
        ("prefix", "topics"),
        [
            (PREFIX + "git.", {PREFIX + "git.receive"}),
            ("org.example.prod.wiki.article.edit", {"org.example.prod.wiki.article.edit"}),
            ("org.example.prod.mine.", {"org.example.prod.mine.message"}),
        ],
    )
    def test_they_have_topics_that_a_consumer_subscribes_to(self, prefix: str, topics: set[str]) -> None:
        generator = Generator(prefixes=[prefix])

        assert {generator.next_body(0.0)["topic"] for _ in range(50)} == topics

    def test_those_of_another_bus_have_the_topics_of_ours_behind_its_prefix(self) -> None:
        generator = Generator(prefixes=["org.example.stg."])

        topics = {generator.next_body(0.0)["topic"] for _ in range(300)}

        assert "org.example.stg.git.receive" in topics
        assert len(topics) > 8

    def test_nobody_is_left_out_because_another_one_wants_everything(self) -> None:
        generator = Generator(prefixes=["", "org.example.prod.mine."])

        topics = [generator.next_body(0.0)["topic"] for _ in range(300)]

        assert 60 < topics.count("org.example.prod.mine.message") < 240


class TestPublished:
    def test_a_strict_subscription_is_the_whole_topic(self) -> None:
        published = Published(topics={"a.git": 3, "a.git.receive": 4})

        assert published.wanted_by(["a.git"]) == 7
        assert published.wanted_by(["a.git"], strict=True) == 3

    def test_stars_in_a_subscription_stand_for_nothing(self) -> None:
        assert Published(topics={"a.git": 3, "b": 1}).wanted_by(["*"]) == 4


class TestRecordOfAHubThatOthersPublishFor:
    def test_only_what_came_since_the_beginning_counts(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats", ROWS) as writer:
            work(writer, 0, enqueued=50, processed=50)
            record = Record("threads", {}, base=read(str(writer.path)))
            work(writer, 0, enqueued=10, processed=7)
            record.add(read(str(writer.path)), Published(1.0, {"a": 10}, 1.0, 0.0))

        (mailer,) = outcome_of(record).consumers

        assert (mailer.published, mailer.processed, mailer.left, mailer.peak_backlog) == (10, 7, 3, 3)

    def test_it_has_caught_up_when_all_of_the_load_is_done_whatever_others_publish(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats", ROWS) as writer:
            record = Record("threads", {}, base=read(str(writer.path)))
            work(writer, 0, enqueued=10, processed=9)
            end = read(str(writer.path)).taken_ns / 1e9
            published = Published(end, {"a": 10}, end - 1, end)
            record.add(read(str(writer.path)), published)
            was_done = record.caught_up
            work(writer, 0, enqueued=5, processed=2)
            record.add(read(str(writer.path)), published)

        assert not was_done
        assert record.caught_up

    def test_nobody_has_caught_up_with_what_has_not_arrived(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats", ROWS) as writer:
            record = Record("threads", {}, base=read(str(writer.path)))
            work(writer, 0, enqueued=9, processed=9)
            end = read(str(writer.path)).taken_ns / 1e9
            record.add(read(str(writer.path)), Published(end, {"a": 10}, end - 1, end))

        assert not record.caught_up


class TestRecordOfShapeInline:
    @pytest.mark.parametrize(("has_spool", "waiting"), [(True, 6), (False, 8)])
    def test_what_waits_is_the_backlog_where_it_is_on_disk(self, tmp_path: Path, has_spool: bool, waiting: int) -> None:
        record = Record("inline", {"mailer": [""]})
        with live_segment(tmp_path / "h.stats", ROWS) as writer:
            if has_spool:
                writer.enqueuer.spool(size=1, messages=1, errors=0)
            work(writer, 0, enqueued=10, processed=4)
            record.add(read(str(writer.path)), Published(1.0, {"a": 12}, 1.0))

        (mailer,) = outcome_of(record).consumers

        assert record.points["mailer"][-1].waiting == waiting
        assert (mailer.wait is None) is not has_spool


def points(*seen: tuple[float, int, int]) -> list[Point]:
    return [Point(time, 0, 0, finished, waiting, 0.0) for time, finished, waiting in seen]


class TestServiceRate:
    def test_it_counts_while_the_consumer_is_behind(self) -> None:
        seen = points((0.0, 0, 0), (1.0, 5, 100), (2.0, 25, 180), (3.0, 45, 160), (4.0, 60, 0))

        assert service_rate(seen) == pytest.approx(20.0)

    def test_a_consumer_that_keeps_up_shows_only_what_it_is_given(self) -> None:
        """A message may wait at each look although a hundred have been handled between two."""
        assert math.isnan(service_rate(points((0.0, 0, 1), (1.0, 100, 1), (2.0, 200, 1))))


class TestBooks:
    def test_what_is_put_aside_is_in_the_sum_and_what_came_from_elsewhere_is_not(self, tmp_path: Path) -> None:
        record = Record("threads", {"mailer": [""]})
        with live_segment(tmp_path / "h.stats", ROWS) as writer:
            work(writer, 0, enqueued=10, processed=10)
            writer.injections[0].injected(2)
            record.add(read(str(writer.path)), Published(1.0, {"a": 10}, 1.0, 0.0))

        (mailer,) = outcome_of(record).consumers

        assert (mailer.left, mailer.injected) == (2, 2)
        assert mailer.is_balanced
        assert "OK" in "\n".join(books([mailer], Paint(False)))
