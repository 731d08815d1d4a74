# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's parts: messages, consumers, the record of a run, and what is made of it."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from glasshub.chart import ticks
from glasshub.cli import demo
from glasshub.config import ConfigBuilder, HubSection
from glasshub.demo import collectd, report
from glasshub.demo.consumers import Badges, Datanommer, IrcBot, Notifications, TokenBucket
from glasshub.demo.plan import CONSUMERS, Plan, Work, hub_toml
from glasshub.demo.rules import RuleBook, category_of
from glasshub.demo.svg import svg
from glasshub.errors import ConfigError
from glasshub.load import live, output, text
from glasshub.load.bus import Published
from glasshub.load.messages import KINDS, PREFIX, Generator
from glasshub.load.outcome import ConsumerOutcome, Outcome, Times, outcome_of
from glasshub.load.record import Point, Record
from glasshub.load.schedule import SPIKE, Schedule
from glasshub.load.shapes import DEFAULT_SHAPE, SHAPES
from glasshub.message import Message
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub_stats import read

from .segments import live_segment, work

MANY = 2000
TOPIC = PREFIX + "git.receive"


def messages(count: int, seed: int = 1) -> list[Message]:
    generator = Generator(seed)
    made = (generator.next(1395900000.0) for _ in range(count))
    return [Message(topic, json.loads(body)) for topic, body in made]


class TestGenerator:
    def test_same_seed_makes_the_same_messages(self) -> None:
        first, second, other = Generator(7), Generator(7), Generator(8)

        made = [generator.next(1.0) for generator in (first, second, other)]

        assert made[0] == made[1]
        assert made[0] != made[2]

    def test_bodies_have_about_a_kilobyte_and_some_have_several(self) -> None:
        generator = Generator()

        sizes = sorted(len(generator.next(1.0)[1]) for _ in range(MANY))

        assert 700 < statistics.mean(sizes) < 1300
        assert 0.01 < sum(size > 3000 for size in sizes) / MANY < 0.15
        assert 5000 < sizes[-1] < 12_000

    def test_a_body_has_what_fedmsg_puts_around_a_message(self) -> None:
        for message in messages(100):
            assert set(message.body) == {"i", "msg", "msg_id", "timestamp", "topic", "username"}
            assert message.body["topic"] == message.topic
            assert message.topic.startswith(PREFIX)

    def test_every_kind_comes_about_as_often_as_it_says(self) -> None:
        topics = [message.topic for message in messages(MANY)]

        for kind in KINDS:
            assert topics.count(PREFIX + kind.topic) / MANY == pytest.approx(kind.share / 100, abs=0.03)
        assert sum(kind.share for kind in KINDS) == 100

    def test_nobody_real_is_in_a_message(self) -> None:
        """Addresses and links lead to the names that RFC 2606 keeps free for examples."""
        everything = json.dumps([message.body for message in messages(MANY)])

        assert set(re.findall(r"@([\w.-]+\.\w+)", everything)) <= {"example.org", "lists.example.org"}
        assert all(host.endswith(".example.org") for host in re.findall(r"https?://([^/\"]+)", everything))


class TestBus:
    def test_it_is_quiet_before_the_spike_and_after_it(self) -> None:
        schedule = Schedule(SPIKE, rate=120.0, seconds=20.0, quiet=4.0)

        due = [*schedule.before(), *schedule.during(), *islice(schedule.after(), 2)]

        assert due[0] == 0.0
        assert due[1:3] == pytest.approx([4.0, 4.0 + 1 / 120])
        assert due[2400] < 24.0
        assert due[2401:] == [39.0, 54.0]

    def test_a_consumer_should_get_what_its_prefixes_match(self) -> None:
        published = Published(topics={"a.git.receive": 3, "a.git.branch": 2, "a.wiki.edit": 5})

        assert published.total == 10
        assert published.wanted_by(("a.git.",)) == 5
        assert published.wanted_by(("",)) == 10


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class TestTokenBucket:
    def test_a_burst_is_free_and_the_rest_comes_at_the_rate(self) -> None:
        time = FakeTime()
        bucket = TokenBucket(30.0, 10.0, clock=time.clock, sleep=time.sleep)
        taken = []

        for _ in range(40):
            bucket.take()
            taken.append(time.now - 100.0)

        assert taken[:10] == [0.0] * 10
        assert taken[10:] == pytest.approx([number / 30.0 for number in range(1, 31)])

    def test_idle_time_saves_no_more_than_the_burst(self) -> None:
        time = FakeTime()
        bucket = TokenBucket(30.0, 10.0, clock=time.clock, sleep=time.sleep)
        time.now += 3600.0
        start = time.now

        for _ in range(11):
            bucket.take()

        assert time.now - start == pytest.approx(1 / 30.0)


class TestRules:
    def test_a_rule_book_is_the_same_each_time(self) -> None:
        assert RuleBook(20, 3).rules == RuleBook(20, 3).rules

    def test_only_rules_of_the_category_match(self) -> None:
        book = RuleBook(200, 5)

        matching = [(m, rule) for m in messages(50) for rule in book.matching(category_of(m.topic), m.body)]

        assert matching
        assert all(rule.category == category_of(message.topic) for message, rule in matching)


class TestConsumers:
    def test_datanommer_writes_a_row_for_each_message(self, tmp_path: Path) -> None:
        path = tmp_path / "datanommer.sqlite"
        datanommer = Datanommer({"database": str(path)})
        published = messages(20)

        for message in published:
            datanommer.consume(message)
        datanommer.close()

        with sqlite3.connect(path) as database:
            rows = database.execute("SELECT topic, body FROM messages ORDER BY id").fetchall()
        database.close()
        assert rows == [(message.topic, json.dumps(message.body)) for message in published]

    def test_badges_fails_on_a_build_without_an_owner_and_on_nothing_else(self) -> None:
        badges = Badges({"rules": 5, "depth": 1})
        failed = []

        for message in messages(MANY):
            try:
                badges.consume(message)
            except AttributeError:
                failed.append(message.body["msg"]["owner"])
        badges.close()

        assert failed == [None] * len(failed)
        assert 1 / 1000 < len(failed) / MANY < 1 / 100

    def test_without_a_server_ircbot_and_notifications_write_to_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        consumers = IrcBot({"burst": 1000}), Notifications({"depth": 3})

        for message in messages(20):
            for consumer in consumers:
                consumer.consume(message)
        for consumer in consumers:
            consumer.close()

        assert "bodhi update" in caplog.text
        assert "rule-" in caplog.text


class TestPlan:
    def test_the_hub_understands_its_configuration(self, tmp_path: Path) -> None:
        file = tmp_path / "demo.toml"
        file.write_text(
            hub_toml(
                shape="threads",
                endpoint="tcp://127.0.0.1:1",
                stats=tmp_path,
                databases=tmp_path / 'a "quoted" name',
                log=tmp_path / "log",
                irc="127.0.0.1:2",
                push="127.0.0.1:3",
                work=Work(4, 5),
            ),
            encoding="utf-8",
        )
        builder = ConfigBuilder()

        builder.read_toml(file)

        consumers = builder.build().consumers
        assert list(consumers) == ["Datanommer", "IrcBot", "Badges", "Notifications"]
        assert consumers["Badges"].settings["depth"] == 4
        assert consumers["Datanommer"].settings["database"] == str(tmp_path / 'a "quoted" name' / "datanommer.sqlite")


ROWS = [ConsumerRow(consumer.__name__, 1, True) for consumer in CONSUMERS]
TOPICS = {consumer.__name__: consumer.topics for consumer in CONSUMERS}


def work_all(writer: SegmentWriter, *, enqueued: int, processed: int) -> None:
    """A hub that has put so many more messages in every queue, of which so many more were processed."""
    for consumer in range(len(ROWS)):
        work(writer, consumer, enqueued=enqueued, processed=processed)


def published(count: int, time: float, *, ended: float = 0.0) -> Published:
    return Published(time, {TOPIC: count}, spike_began=1.0, spike_ended=ended)


class TestRecord:
    def test_what_waits_is_the_backlog_where_there_are_queues(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=10, processed=4)

            record.add(read(str(writer.path)), published(12, 1.0))

        assert [points[-1].waiting for points in record.points.values()] == [6, 6, 6, 6]

    def test_what_was_published_and_not_received_is_unseen(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            for count, received in ((10, 0), (12, 12)):
                writer.enqueuer.received(received, 100)
                record.add(read(str(writer.path)), published(count, 1.0))

        assert record.unseen == 10

    def test_what_waits_is_what_was_published_and_not_taken_in_shape_inline(self, tmp_path: Path) -> None:
        record = Record("inline", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=4, processed=4)

            record.add(read(str(writer.path)), published(12, 1.0))

        assert [points[-1].waiting for points in record.points.values()] == [8, 8, 8, 8]

    def test_the_oldest_in_shape_inline_waits_since_it_was_published(self, tmp_path: Path) -> None:
        record = Record("inline", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            snapshots = []
            for count in (5, 10, 10):
                record.add(read(str(writer.path)), published(count, 1.0))
                snapshots.append(record.snapshot)
                if count == 5:
                    work_all(writer, enqueued=5, processed=5)

        since_the_second_look = (snapshots[2].taken_ns - snapshots[1].taken_ns) / 1e9
        assert record.points["Badges"][-1].age == pytest.approx(since_the_second_look)

    def test_a_consumer_has_caught_up_when_the_whole_spike_is_done(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=10, processed=9)
            end = read(str(writer.path)).taken_ns / 1e9
            record.add(read(str(writer.path)), published(10, end, ended=end))
            is_caught_up_before = record.caught_up
            work_all(writer, enqueued=0, processed=1)
            record.add(read(str(writer.path)), published(10, end, ended=end))

        assert not is_caught_up_before
        assert record.caught_up
        assert record.caught_up_after("Badges") == pytest.approx(record.snapshot.taken_ns / 1e9 - end)

    def test_one_that_never_caught_up_is_said_to(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=10, processed=0)
            end = read(str(writer.path)).taken_ns / 1e9
            record.add(read(str(writer.path)), published(10, end, ended=end))

        assert record.caught_up_after("Badges") is None

    def test_nothing_moves_while_no_consumer_finishes_anything(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=10, processed=5)
            record.add(read(str(writer.path)), published(10, 1.0))
            moved_ns = record.snapshot.taken_ns
            record.add(read(str(writer.path)), published(10, 1.0))
            standstill, expected = record.standstill, (record.snapshot.taken_ns - moved_ns) / 1e9
            work(writer, 0, enqueued=0, processed=1)
            record.add(read(str(writer.path)), published(10, 1.0))

        assert standstill == pytest.approx(expected)
        assert standstill > 0
        assert record.standstill == 0

    def test_an_outcome_has_the_figures_of_the_hub(self, tmp_path: Path) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=10, processed=7)
            record.add(read(str(writer.path)), published(10, 1.0))

        outcome = outcome_of(record)

        badges = outcome.consumers[2]
        assert (badges.published, badges.processed, badges.left, badges.peak_backlog) == (10, 7, 3, 10)
        assert badges.processing.p50 == pytest.approx(0.002, rel=0.04)
        assert outcome.is_balanced


BADGES = ConsumerOutcome(
    name="Badges",
    published=100,
    processed=90,
    failed=4,
    invalid=3,
    dropped=2,
    left=1,
    peak_backlog=1234,
    peak_age=12.5,
    caught_up_after=17.25,
    wait=Times(0.0012, 3.4),
    processing=Times(0.01, float("nan")),
)
PLAN = Plan(("threads",), 120.0, 20.0, Path("demo"))


def outcome(*consumers: ConsumerOutcome, shape: str = "threads") -> Outcome:
    points: dict[str, Sequence[Point]] = {
        consumer.name: [Point(50.0 + t, 0, 0, 0, 30 * t, 0.0) for t in range(40)] for consumer in consumers
    }
    return Outcome(shape, 100, 54.0, 20.0, 7, consumers, points)


class TestReport:
    def test_a_consumer_whose_messages_are_all_accounted_for_is_balanced(self) -> None:
        assert BADGES.is_balanced

    @pytest.mark.parametrize("part", ["processed", "failed", "invalid", "dropped", "left"])
    @pytest.mark.parametrize("difference", [-1, 1])
    def test_one_message_more_or_less_is_a_mismatch(self, part: str, difference: int) -> None:
        consumer = replace(BADGES, **{part: getattr(BADGES, part) + difference})

        lines = "\n".join(report.lines(PLAN, [outcome(consumer)], text.Paint(False)))

        assert not report.is_balanced([outcome(BADGES), outcome(consumer)])
        assert ("1 are missing" if difference < 0 else "1 too many") in lines
        assert "MISMATCH: messages of Badges (threads)" in lines

    def test_it_answers_both_questions_and_shows_the_sum(self) -> None:
        lines = list(report.lines(PLAN, [outcome(BADGES)], text.Paint(False)))

        rows = [line.split() for line in lines if line.startswith("  Badges")]
        assert rows[0] == ["Badges", "1,234", "12.5", "s", "17.2", "s", "1.2", "ms", "3.4", "s", "10", "ms", "-"]
        assert rows[1] == ["Badges", "100", "=", "90", "+", "4", "+", "3", "+", "2", "+", "1", "OK"]
        assert max(map(len, lines)) <= 100

    def test_it_is_honest_about_shape_inline(self) -> None:
        consumer = replace(BADGES, wait=None, caught_up_after=None)

        lines = "\n".join(report.lines(PLAN, [outcome(consumer, shape="inline")], text.Paint(False)))

        assert "never" in lines
        assert "libzmq, which does not" in lines

    @pytest.mark.parametrize("shape", SHAPES)
    def test_it_says_of_every_shape_what_it_is(self, shape: str) -> None:
        lines = list(report.lines(PLAN, [outcome(BADGES, shape=shape)], text.Paint(False)))

        assert f"Shape {shape}: {SHAPES[shape]}" in lines
        assert max(map(len, lines)) <= 100

    def test_machines_get_the_same_figures(self) -> None:
        document = json.loads(report.document(PLAN, [outcome(BADGES)]))

        (shape,) = document["shapes"]
        (consumer,) = shape["consumers"]
        assert document["ok"] is shape["ok"] is consumer["ok"] is True
        assert consumer["peak_backlog"] == 1234
        assert consumer["caught_up_after"] == 17.25
        assert consumer["processing"] == {"p50": 0.01, "p95": None}

    def test_machines_are_told_of_a_mismatch(self) -> None:
        document = json.loads(report.document(PLAN, [outcome(replace(BADGES, left=0))]))

        assert document["ok"] is document["shapes"][0]["consumers"][0]["ok"] is False


class TestPicture:
    def test_it_is_well_formed_and_has_a_panel_for_each_run_and_a_curve_for_each_consumer(self) -> None:
        consumers = BADGES, replace(BADGES, name="Irc<&Bot", caught_up_after=None)

        drawn = svg([outcome(*consumers), outcome(*consumers)], title="a < b & c", captions=["one", "two"])

        root = ElementTree.fromstring(drawn)
        space = "{http://www.w3.org/2000/svg}"
        said = [element.text for element in root.iter(f"{space}text")]
        curves = [element for element in root.iter(f"{space}path") if element.get("class") == "curve"]
        assert len(curves) == 4
        assert {"a < b & c", "one", "two", "Irc<&Bot", "messages waiting", "the spike"} <= set(said)
        assert "peak 1,234, caught up 17.2 s after the spike" in said
        assert "peak 1,234, did not catch up" in said

    @pytest.mark.parametrize("shape", SHAPES)
    def test_lines_are_broken_only_where_one_may_hide_another(self, shape: str) -> None:
        drawn = svg([outcome(*[BADGES] * 4, shape=shape)], title="", captions=["shape"])

        assert drawn.count("stroke-dasharray") == (2 if shape in ("inline", "shared") else 0)

    def test_a_curve_stays_within_the_picture(self) -> None:
        drawn = svg([outcome(replace(BADGES, peak_backlog=1))], title="", captions=["shape"])

        (curve,) = re.findall(r'class="curve"[^>]* d="M([^"]+)"', drawn)
        points = [tuple(map(float, point.split())) for point in curve.split("L")]
        assert all(76 <= x <= 876 and 72 <= y <= 312 for x, y in points)

    @pytest.mark.parametrize(("begin", "end"), [(-4, 47), (0, 3), (0, 1400), (0, 1)])
    def test_ticks_are_round_and_few(self, begin: float, end: float) -> None:
        marks = ticks(begin, end, 12)

        assert 2 <= len(marks) <= 13
        assert 0 in marks
        assert all(begin <= mark <= end for mark in marks)


class TestLive:
    @pytest.mark.parametrize("width", [80, 100])
    @pytest.mark.parametrize("phase", ["quiet", "spike", "catching up"])
    def test_the_table_fits_the_terminal(self, tmp_path: Path, width: int, phase: str) -> None:
        record = Record("threads", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            for count in (0, 1234):
                work_all(writer, enqueued=count, processed=count // 2)
                record.add(read(str(writer.path)), published(count, 1.0))
            console = Console(width=width, record=True, file=(tmp_path / "screen").open("w", encoding="utf-8"))

            console.print(live.picture(PLAN, phase, record, width))

        console.file.close()
        screen = console.export_text()
        assert "Notifications     617" in screen
        assert "…" not in screen
        assert max(map(len, screen.splitlines())) == width

    def test_a_line_says_how_much_waits_for_whom(self, tmp_path: Path) -> None:
        record = Record("shared", TOPICS)
        with live_segment(tmp_path / "demo.stats", ROWS) as writer:
            work_all(writer, enqueued=5, processed=0)
            record.add(read(str(writer.path)), published(5, 1.0))

        line = live.line("spike", record)

        assert "5 published" in line
        assert "Badges 5, Notifications 5" in line


class TestText:
    @pytest.mark.parametrize(
        ("seconds", "written"),
        [(0.0, "0.0 ms"), (0.0042, "4.2 ms"), (0.042, "42 ms"), (0.9996, "1.0 s"), (12.34, "12.3 s"), (123.4, "123 s")],
    )
    def test_a_duration_has_a_unit_that_suits_it(self, seconds: float, written: str) -> None:
        assert text.duration(seconds) == written

    def test_what_is_not_known_is_a_dash(self) -> None:
        assert text.duration(None) == text.duration(float("nan")) == text.rate(float("nan")) == "-"

    @pytest.mark.parametrize(("rate", "written"), [(0, "0"), (0.42, "0.4"), (67.2, "67"), (1e5, "100k")])
    def test_a_rate_has_four_characters_at_most(self, rate: float, written: str) -> None:
        assert text.rate(rate) == written

    def test_a_sparkline_shows_the_latest_values(self) -> None:
        assert text.sparkline([9, 0, 1, 4, 8], 4, highest=8) == " ▁▄█"
        assert text.sparkline([8], 3, highest=8) == "█  "


class TestOutput:
    def test_what_an_earlier_demo_left_is_replaced(self, tmp_path: Path) -> None:
        directory = tmp_path / "demo"
        with output.claimed(directory, "demo"):
            (directory / "threads").mkdir()
            (directory / "threads" / "hub.log").touch()
            (directory / "backlog.svg").touch()

        with output.claimed(directory, "demo"):
            left = [path.name for path in directory.iterdir()]

        assert left == [".glasshub-demo"]

    def test_a_directory_that_is_not_ours_is_left_alone(self, tmp_path: Path) -> None:
        precious = tmp_path / "thesis.tex"
        precious.touch()

        with pytest.raises(ConfigError, match="was not made by a demo"), output.claimed(tmp_path, "demo"):
            pass

        assert precious.exists()

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "demo")

        with pytest.raises(ConfigError, match="symbolic link"), output.claimed(tmp_path / "link", "demo"):
            pass

    def test_two_demos_do_not_share_a_directory(self, tmp_path: Path) -> None:
        with (
            output.claimed(tmp_path / "demo", "demo"),
            pytest.raises(ConfigError, match="another demo"),
            output.claimed(tmp_path / "demo", "demo"),
        ):
            pass

    def test_a_directory_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(ConfigError, match="cannot write to"), output.claimed(tmp_path / "file" / "demo", "demo"):
            pass


class TestCommand:
    def test_options_have_the_figures_of_the_post(self) -> None:
        parser = argparse.ArgumentParser()
        demo.add_parser(parser.add_subparsers())

        options = parser.parse_args(["demo"])

        assert (options.rate, options.seconds, options.shape) == (120.0, 20.0, "processes")

    @pytest.mark.parametrize("wrong", ["0", "-1", "inf", "nan", "many"])
    def test_a_rate_is_a_number_above_zero(self, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
        parser = argparse.ArgumentParser()
        demo.add_parser(parser.add_subparsers())

        with pytest.raises(SystemExit):
            parser.parse_args(["demo", f"--rate={wrong}"])

        assert "--rate" in capsys.readouterr().err

    def test_its_shapes_are_those_of_the_hub(self) -> None:
        from glasshub.dispatch import SHAPES as OF_THE_HUB

        assert set(SHAPES) == set(OF_THE_HUB)

    def test_its_shape_is_that_of_the_hub(self) -> None:
        assert HubSection().shape == DEFAULT_SHAPE

    def test_a_host_without_collectd_is_told_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(collectd, "_program", lambda name: None)

        assert "collectd and rrdtool not found" in collectd.missing()
        assert "apt-get install" in collectd.missing()
