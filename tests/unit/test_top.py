# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub top` without a terminal: what is known, what is shown of it, what keys change."""

from __future__ import annotations

import math
import os
import re
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from glasshub.cli import main, top
from glasshub.looking import Look, Watcher
from glasshub.segment import ConsumerRow as Row
from glasshub.segment import ProducerRow, SegmentWriter
from glasshub.stats import slots_of
from glasshub.top import controls, model, plain
from glasshub.top.columns import FIGURES, HUB_FIGURES, PRODUCER_FIGURES, SORTABLE, sorted_by, state_word
from glasshub.top.controls import Controls
from glasshub.top.glyphs import ASCII, UNICODE, Glyphs, glyphs_for
from glasshub.top.keys import Decoder
from glasshub.top.layout import condensed
from glasshub.top.model import PATIENCE, REMEMBERED, Board, Picture, State
from glasshub.top.run import Plan, blocks
from glasshub.top.screen import STYLES
from glasshub.top.view import Frame, Terminal, frame
from glasshub_stats.layout import HEARTBEAT_OFFSET

from .segments import MS, ROWS, live_segment, tell, work

SECOND = 1000 * MS

HEADINGS = [*(c.heading for c in FIGURES), *(h.heading for h in HUB_FIGURES), *(p.heading for p in PRODUCER_FIGURES)]


class Seen:
    """Looks at the segments of a directory, and at pictures of what was seen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.watcher = Watcher(None, str(directory), complain=lambda _: None)
        self._board = Board()

    def picture(self) -> Picture:
        """Look once more."""
        return self._board.picture(self.watcher.look(), time=time.time())

    def looks(self) -> Sequence[Look]:
        """Look, without a picture."""
        return self.watcher.look()


def halt(segment: Path) -> None:
    """Have the heart of a hub have stopped twenty seconds ago."""
    with segment.open("r+b") as file:
        file.seek(HEARTBEAT_OFFSET)
        file.write(struct.pack("=Q", time.monotonic_ns() - 20 * SECOND))


def hold(writer: SegmentWriter, consumer: int) -> None:
    """Have a consumer be at one message for a second."""
    now = time.monotonic_ns()
    writer.consumers[consumer].enqueued(1)
    writer.workers[consumer][0].began(now - SECOND, now - SECOND, 0)


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(tmp_path)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SegmentWriter]:
    """The segment of a hub with three consumers, of which one was not built."""
    with live_segment(tmp_path / "fedmsg-hub.stats") as writer:
        yield writer


def states(picture: Picture) -> dict[str, State]:
    return {consumer.name: consumer.state for consumer in picture.consumers}


def shown(
    picture: Picture, controls: Controls | None = None, *, width: int = 80, height: int = 24, glyphs: Glyphs = UNICODE
) -> Frame:
    return frame(picture, controls or Controls(), Terminal(width, height, glyphs), every=2.0)


def words(text: str, name: str) -> list[str]:
    """What stands in the line that begins with that name, behind it."""
    (line,) = [line for line in text.split("\n") if line.startswith(name)]
    return line[len(name) :].split()


# What is known


def test_first_look_knows_levels_and_no_rates(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 0, enqueued=7, processed=2)

    consumer = seen.picture().consumers[0]

    assert consumer.now.backlog == 5
    assert math.isnan(consumer.enqueue_rate)
    assert math.isnan(consumer.catch_up)
    assert math.isnan(consumer.processing.percentile(50))


def test_rates_and_times_are_of_the_last_interval(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 0, enqueued=100, processed=100, took_ns=900 * MS)
    seen.picture()
    work(writer, 0, enqueued=9, processed=8, failed=1, wait_ns=50 * MS, took_ns=2 * MS)

    consumer = seen.picture().consumers[0]

    assert consumer.enqueue_rate == consumer.processing_rate > 0
    assert consumer.processing.percentile(95) == pytest.approx(0.002, rel=0.04)
    assert consumer.wait.percentile(50) == pytest.approx(0.050, rel=0.04)
    assert consumer.now.failed == 1


def test_states_of_consumers(seen: Seen, tmp_path: Path) -> None:
    rows = [Row(name, 1, name != "unbuilt", 0.001) for name in ("well", "unbuilt", "stuck", "blocked", "behind")]
    with live_segment(tmp_path / "h.stats", rows) as writer:
        now = time.monotonic_ns()
        hold(writer, 2)
        writer.consumers[3].blocked(now - MS, now)
        writer.consumers[4].enqueued(1)
        writer.consumers[4].put(1, now - int((PATIENCE + 1) * SECOND))

        picture = seen.picture()

    assert states(picture) == {
        "well": State.OK,
        "unbuilt": State.NOT_INITIALIZED,
        "stuck": State.STUCK,
        "blocked": State.BLOCKED,
        "behind": State.BEHIND,
    }


@pytest.mark.parametrize(
    ("phase", "state"),
    [("starting", "starting"), ("running", "running"), ("draining", "draining"), ("stopped", "stopped")],
)
def test_state_of_a_hub_is_its_phase(seen: Seen, tmp_path: Path, phase: str, state: str) -> None:
    with live_segment(tmp_path / "h.stats", phase=phase):
        (hub,) = seen.picture().hubs

    assert hub.state is State(state)
    assert hub.is_current == (state != "stopped")


def test_hub_that_is_gone_is_down_with_its_last_figures(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats") as writer:
        work(writer, 0, enqueued=7, processed=2)

    picture = seen.picture()

    assert (picture.hubs[0].state, picture.hubs[0].backlog) == (State.DOWN, 5)
    assert set(states(picture).values()) == {State.DOWN}
    assert math.isnan(picture.hubs[0].uptime)
    assert picture.hubs[0].as_of == pytest.approx(time.time(), abs=5)
    assert all(math.isnan(consumer.catch_up) for consumer in picture.consumers)


def test_of_a_stuck_hub_only_stuck_consumers_are_known(seen: Seen, tmp_path: Path) -> None:
    rows = [Row("holds", 1, True, 0.001), Row("waits", 1, True), Row("unbuilt", 1, False)]
    with live_segment(tmp_path / "h.stats", rows) as writer:
        hold(writer, 0)
        halt(tmp_path / "h.stats")

        picture = seen.picture()

    assert states(picture) == {"holds": State.STUCK, "waits": State.UNKNOWN, "unbuilt": State.NOT_INITIALIZED}
    assert picture.hubs[0].state is State.STUCK
    assert picture.hubs[0].as_of == pytest.approx(time.time() - 20, abs=5)


def test_hub_is_stuck_since_the_more_silent_of_its_threads_was_heard(seen: Seen, writer: SegmentWriter) -> None:
    (look,) = seen.looks()
    assert look.snapshot is not None
    look.snapshot.hub.heartbeat_age, look.snapshot.hub.enqueuer_age = 1.0, 40.0

    (hub,) = Board().picture([look], time=time.time()).hubs

    assert (hub.state, hub.as_of) == (State.STUCK, look.snapshot.time - 40)


def test_segment_that_cannot_be_read_any_more_leaves_what_was_read_last(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 0, enqueued=7, processed=2)
    seen.picture()
    writer.path.write_bytes(b"rubbish")

    picture = seen.picture()

    assert (picture.hubs[0].state, picture.hubs[0].backlog) == (State.UNREAD, 5)
    assert set(states(picture).values()) == {State.UNKNOWN}
    assert picture.attention == [f"{writer.path}: this is not a Glasshub segment (the magic number is missing)"]


def test_segment_that_never_could_be_read_is_a_hub_of_which_nothing_is_known(seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "h.stats").write_bytes(b"rubbish")

    picture = seen.picture()

    (hub,) = picture.hubs
    assert (hub.name, hub.state, hub.is_current) == ("h", State.UNREAD, False)
    assert words(shown(picture).text, "h ") == ["UNREAD", "-", "-", "-", "-"]


def test_states_of_producers(seen: Seen, tmp_path: Path) -> None:
    rows = [ProducerRow(name, name != "unbuilt", 1.0) for name in ("well", "unbuilt", "failing", "polling", "late")]
    with live_segment(tmp_path / "h.stats", producers=rows) as writer:
        now = time.monotonic_ns()
        for number, succeeded in ((0, True), (2, False), (3, False)):
            writer.producers[number].began(now - MS)
            writer.producers[number].ended(now, succeeded=succeeded)
        writer.producers[3].began(now)
        writer.producers[4].began(now - 30 * SECOND)
        writer.producers[4].ended(now - 29 * SECOND, succeeded=True)

        picture = seen.picture()

    assert {producer.name: producer.state for producer in picture.producers} == {
        "well": State.OK,
        "unbuilt": State.NOT_INITIALIZED,
        "failing": State.FAILING,
        "polling": State.OK,
        "late": State.OVERDUE,
    }


def test_attention_names_the_hub_where_there_are_several(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "a.stats", name="a"), live_segment(tmp_path / "b.stats", ROWS[:1], name="b"):
        picture = seen.picture()

    assert picture.attention == ["a: ircbot is not initialized and gets no messages: see the hub's log"]


def test_attention_does_nothing_to_a_terminal_whatever_hubs_and_files_are_called(seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "b\x1b[2J.stats").write_bytes(b"rubbish")
    with live_segment(tmp_path / "a.stats", name="a\x1b[2J\n"):
        picture = seen.picture()

    assert [sentence.partition(" ")[0] for sentence in picture.attention] == ["a?[2J?:", "b?[2J:"]
    assert all(sentence.isprintable() for sentence in picture.attention)


def at_times(seen: Seen, writer: SegmentWriter, steps: Sequence[tuple[float, int]]) -> Picture:
    """The last picture of looks at these seconds, of a backlog of so many messages each."""
    board, before = Board(), 0
    for seconds, backlog in steps:
        writer.consumers[0].enqueued(max(backlog - before, 0))
        writer.drops[0].dropped(max(before - backlog, 0), 0)
        before = backlog
        (look,) = seen.looks()
        assert look.snapshot is not None
        look.snapshot.taken_ns = int(seconds * SECOND)
        picture = board.picture([look], time=time.time())
    return picture


@pytest.mark.parametrize(
    ("steps", "catch_up"),
    [
        ([(0, 0)], 0.0),
        ([(0, 100), (1, 80)], 4.0),
        ([(0, 100), (1, 100)], math.inf),
        ([(0, 100), (1, 110)], math.inf),
        ([(0, 900), (1, 100), (5, 100), (11, 50)], 10.0),  # not from the 900 of more than 10 s ago
        ([(0, 100), (60, 50)], 60.0),  # looks are further apart than the window
        ([(0, 100), (1, 0)], 0.0),
    ],
)
def test_catch_up_is_reckoned_from_the_last_ten_seconds(
    seen: Seen, writer: SegmentWriter, steps: Sequence[tuple[float, int]], catch_up: float
) -> None:
    assert at_times(seen, writer, steps).consumers[0].catch_up == catch_up


def test_trend_is_the_backlog_at_each_look_and_no_longer_than_is_remembered(seen: Seen, writer: SegmentWriter) -> None:
    picture = at_times(seen, writer, [(number, number) for number in range(REMEMBERED + 5)])

    assert picture.consumers[0].trend == tuple(range(5, REMEMBERED + 5))
    assert picture.hubs[0].trend == picture.consumers[0].trend


def test_hub_that_was_started_anew_has_no_trend_from_before(seen: Seen, tmp_path: Path) -> None:
    for backlog in (7, 3):
        with live_segment(tmp_path / "h.stats") as writer:
            writer.consumers[0].enqueued(backlog)
            picture = seen.picture()

    assert picture.consumers[0].trend == (3,)


def test_state_of_a_version_to_come_is_unknown(seen: Seen, writer: SegmentWriter) -> None:
    writer._hub[slots_of("hub")["phase"]] = 9

    assert seen.picture().hubs[0].state is State.UNKNOWN


# Sorting and filtering


def consumers_with(seen: Seen, writer: SegmentWriter, backlogs: Sequence[int]) -> Sequence[model.ConsumerRow]:
    for queue, backlog in zip(writer.consumers, backlogs):
        queue.enqueued(backlog)
    return seen.picture().consumers


@pytest.mark.parametrize(("is_reversed", "order"), [(False, [1, 0, 2]), (True, [2, 0, 1])])
def test_sorting_by_a_figure_has_the_largest_first_unless_reversed(
    seen: Seen, writer: SegmentWriter, is_reversed: bool, order: list[int]
) -> None:
    rows = consumers_with(seen, writer, [5, 9, 1])

    assert sorted_by(rows, SORTABLE["backlog"], is_reversed=is_reversed) == [rows[number] for number in order]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_equal_ones_stay_as_the_hub_has_them_and_unknown_ones_are_last(
    seen: Seen, writer: SegmentWriter, is_reversed: bool
) -> None:
    seen.picture()
    work(writer, 1, enqueued=1, processed=1)
    rows = seen.picture().consumers

    by_time = sorted_by(rows, SORTABLE["processing-p95"], is_reversed=is_reversed)
    by_backlog = sorted_by(rows, SORTABLE["backlog"], is_reversed=is_reversed)

    assert [row.name for row in by_time] == ["badges", "datanommer", "ircbot"]
    assert by_backlog == list(rows)


def test_sorting_by_state_has_the_worst_first(seen: Seen, writer: SegmentWriter) -> None:
    rows = seen.picture().consumers

    assert [row.name for row in sorted_by(rows, SORTABLE["state"], is_reversed=False)] == [
        "ircbot",
        "datanommer",
        "badges",
    ]


@pytest.mark.parametrize("key", SORTABLE)
def test_every_column_sorts(seen: Seen, writer: SegmentWriter, key: str) -> None:
    rows = seen.picture().consumers

    assert set(sorted_by(rows, SORTABLE[key], is_reversed=False)) == set(rows)


def test_filter_goes_for_consumers_and_producers_in_whatever_case(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats", producers=[ProducerRow("BadgeCounter", True), ProducerRow("Other", True)]):
        text = shown(seen.picture(), Controls(filter="bADGE")).text

    assert "badges" in text
    assert "BadgeCounter" in text
    assert "datanommer" not in text
    assert "Other" not in text
    assert "only *bADGE*" in text


# What is shown


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (80, "consumer state▲ backlog oldest up /s /s p95 failed"),
        (120, "consumer state▲ backlog oldest up /s /s flight p50 p95 p50 p95 failed"),
        (200, "consumer state▲ backlog oldest up /s /s flight p50 p95 p50 p95 failed"),
        (60, "consumer state▲ backlog oldest up /s /s"),
        (40, "consumer state▲ backlog oldest"),
        (30, "consumer state▲ backlog"),
    ],
)
def test_columns_go_in_an_order_as_the_terminal_is_narrower(
    seen: Seen, writer: SegmentWriter, width: int, titles: str
) -> None:
    text = shown(seen.picture(), width=width).text

    (found,) = [line for line in text.split("\n") if line.startswith("consumer")]
    assert [word for word in found.split() if not re.fullmatch(r"\d+m?\d*s", word)] == titles.split()


def test_figures_stand_under_their_titles(seen: Seen, writer: SegmentWriter) -> None:
    seen.picture()
    work(writer, 0, enqueued=1200, processed=8, failed=1)

    lines = shown(seen.picture()).text.split("\n")

    (title,) = [line for line in lines if line.startswith("consumer")]
    (row,) = [line for line in lines if line.startswith("datanommer")]
    assert row[title.index("backlog") : title.index("backlog") + 7] == "   1191"
    assert row[title.index("failed") :] == "     1"
    assert row[title.index("oldest") : title.index("oldest") + 6].strip() == "3.0s"
    assert row[title.index("state") : title.index("state") + 3] == "ok "


def test_wait_and_processing_are_told_apart(seen: Seen, writer: SegmentWriter) -> None:
    seen.picture()
    work(writer, 0, enqueued=1, processed=1, wait_ns=500 * MS, took_ns=20 * MS)
    row = seen.picture().consumers[0]

    texts = {key: SORTABLE[key].text(row) for key in SORTABLE if "-p" in key}

    assert texts["wait-p50"] == texts["wait-p95"] != texts["processing-p50"] == texts["processing-p95"]
    assert (SORTABLE["wait-p50"].value(row), SORTABLE["processing-p50"].value(row)) == pytest.approx(
        (0.5, 0.02), rel=0.04
    )


def test_long_name_is_cut_only_where_there_is_no_room(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats", [Row("a" * 30, 1, True)]):
        narrow, wide = (shown(seen.picture(), width=width).text for width in (80, 200))

    assert re.search(r"^a{13,20}~ ok ", narrow, re.MULTILINE)
    assert re.search(r"^a{30} ok ", wide, re.MULTILINE)


def test_bad_states_are_words_in_capitals(seen: Seen, writer: SegmentWriter) -> None:
    text = shown(seen.picture()).text

    assert "ircbot     NOT INIT " in text
    assert "! ircbot is not initialized and gets no messages: see the hub's log" in text


def test_column_does_not_move_while_its_figures_grow(seen: Seen, writer: SegmentWriter) -> None:
    def places() -> list[int]:
        (titles,) = [line for line in shown(seen.picture()).text.split("\n") if line.startswith("consumer")]
        return [titles.index(title) for title in ("backlog", "oldest", "failed")]

    work(writer, 0, enqueued=1, processed=0)
    before = places()
    writer.consumers[0].enqueued(10**9)
    writer.consumers[0].put(1, 1)  # as old as the machine is up

    assert places() == before


def test_widest_figures_fit_into_their_columns(seen: Seen, tmp_path: Path) -> None:
    """Whatever a slot can hold."""
    with live_segment(tmp_path / "h.stats", producers=[ProducerRow("p", True, 1e9)]) as writer:
        for number in range(2):
            work(writer, number, enqueued=10**12, processed=3, failed=1)
        for name in ("connected", "endpoints"):
            writer._hub[slots_of("hub")[name]] = (1 << 64) - 1
        writer.workers[0][0]._slots[slots_of("worker")["failed"]] = 10**15
        seen.picture()
        writer.consumers[0].enqueued(10**15)
        writer.enqueuer.received(10**15, 1)
        picture = seen.picture()

    for consumer in picture.consumers:
        assert [column.heading for column in FIGURES if len(column.text(consumer)) > column.width] == []
    for hub in picture.hubs:
        assert [column.heading for column in HUB_FIGURES if len(column.text(hub)) > column.width] == []
    for producer in picture.producers:
        assert [column.heading for column in PRODUCER_FIGURES if len(column.text(producer)) > column.width] == []


def test_several_hubs_have_a_line_each_and_consumers_say_whose_they_are(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "a.stats", name="first"), live_segment(tmp_path / "b.stats", ROWS[:1], name="second"):
        text = shown(seen.picture(), width=120).text

    assert words(text, "first ")[0] == words(text, "second ")[0] == "running"
    assert re.findall(r"^datanommer +(\S+) +ok", text, re.MULTILINE) == ["first", "second"]


def test_of_too_many_hubs_the_worst_are_shown_and_the_others_counted(seen: Seen, tmp_path: Path) -> None:
    for number in range(8):
        with live_segment(tmp_path / f"{number}.stats", ROWS[:1], name=f"hub{number}", phase="stopped"):
            pass
    with live_segment(tmp_path / "8.stats", ROWS[:1], name="hub8"):
        halt(tmp_path / "8.stats")
        text = shown(seen.picture()).text

    assert [line.split()[:2] for line in text.split("\n")[2:4]] == [["hub8", "STUCK"], ["hub0", "STOPPED"]]
    assert "and 4 more, 4 of them not ok" in text


def test_hub_that_is_not_current_says_since_when(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats"):
        halt(tmp_path / "h.stats")
        narrow, wide = (shown(seen.picture(), width=width).text for width in (80, 120))

    assert re.search(r"^fedmsg-hub STUCK .* as of \d\d:\d\d:\d\d$", narrow, re.MULTILINE)
    assert re.search(r"^fedmsg-hub STUCK .* as of \d\d:\d\d:\d\d, 20.\ds ago$", wide, re.MULTILINE)


def test_figures_of_more_than_a_day_ago_say_the_day(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats"):
        pass
    picture = seen.picture()

    text = shown(Picture(time=picture.time + 90000, hubs=picture.hubs)).text

    assert re.search(r" as of \d\d-\d\d \d\d:\d\d$", text, re.MULTILINE)


def many(seen: Seen, tmp_path: Path, count: int = 40) -> Picture:
    with live_segment(tmp_path / "h.stats", [Row(f"consumer{number:02}", 1, True) for number in range(count)]):
        return seen.picture()


def names(frame: Frame) -> list[str]:
    return re.findall(r"^(consumer\d\d)", frame.text, re.MULTILINE)


def test_what_does_not_fit_can_be_scrolled_to(seen: Seen, tmp_path: Path) -> None:
    picture = many(seen, tmp_path)
    wanted = Controls(sort="name")

    top = shown(picture, wanted)
    page = shown(picture, wanted.pressed("page down", page=top.page))
    end = shown(picture, wanted.pressed("end", page=top.page))

    assert names(top)[0] == "consumer00"
    assert f"1-{top.page} of 40" in top.text
    assert names(page) == [f"consumer{number:02}" for number in range(top.page, 2 * top.page)]
    assert names(end)[-1] == "consumer39"
    assert len(names(end)) == end.page
    assert end.last == 40 - end.page


def test_sentences_leave_the_consumers_most_of_the_room(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats", [Row(f"consumer{number:02}", 1, False) for number in range(40)]):
        text = shown(seen.picture()).text

    assert text.count("\n! ") == 4
    assert "! and 37 more, see glasshub stats" in text
    assert text.count("NOT INIT") > 10


def test_sentence_is_wrapped_where_there_is_room(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats"):
        halt(tmp_path / "h.stats")
        text = shown(seen.picture(), width=60).text

    assert re.search(r"^! the hub is stuck: no heartbeat of its main thread for\n  20\.\ds, of its", text, re.MULTILINE)


def test_filter_that_nobody_matches_is_said(seen: Seen, writer: SegmentWriter) -> None:
    assert "no consumer has 'zzz' in its name" in shown(seen.picture(), Controls(filter="zzz")).text


def test_help_explains_every_column_key_and_state(seen: Seen, writer: SegmentWriter) -> None:
    text = shown(seen.picture(), Controls(has_help=True), height=80).text

    for heading in HEADINGS:
        assert re.search(rf"^  {re.escape(' '.join(heading).strip())} +\S", text, re.MULTILINE)
    for keys, _ in controls.KEYS:
        assert f"  {keys} " in text
    words_of_states = {state.value for state in State} - {"starting", "running", "draining", "ok"}
    assert {
        word for word in words_of_states if re.search(rf"^  {word} ", text, re.MULTILINE | re.IGNORECASE)
    } == words_of_states


def test_help_fits_into_80_columns(seen: Seen, writer: SegmentWriter) -> None:
    assert "~" not in shown(seen.picture(), Controls(has_help=True), height=80).text


def test_manual_explains_every_column_and_state() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "top.md").read_text(encoding="utf-8")
    explained = {
        word.strip() for cell in re.findall(r"^\| ([^|]+) \|", manual, re.MULTILINE) for word in cell.split(",")
    }

    assert {" ".join(heading).strip() for heading in HEADINGS} <= explained
    assert {state_word(state) for state in State} <= explained


#: Texts that a terminal, or rich, might take for more than texts.
hostile = st.text(
    st.sampled_from("a\x1b[]31mZ\x9b\x07\r\n\u202e/:smile\u4e2d\u0301é\U0001f40d"), min_size=1, max_size=60
)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(hostile, min_size=1, max_size=4),
    width=st.integers(1, 250),
    height=st.integers(1, 60),
    glyphs=st.sampled_from([ASCII, UNICODE]),
    wanted=hostile,
    has_help=st.booleans(),
)
def test_whatever_names_hold_the_picture_is_of_the_terminals_size_and_harmless(
    names: list[str], width: int, height: int, glyphs: Glyphs, wanted: str, has_help: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        rows, producers = [Row(name, 1, False) for name in names], [ProducerRow(names[0], True, 1.0)]
        with live_segment(Path(directory, "h.stats"), rows, name=names[0], producers=producers):
            picture = Seen(Path(directory)).picture()
    for filtered in (Controls(has_help=has_help), Controls(filter=wanted), Controls(filter=wanted, is_typing=True)):
        painted = shown(picture, filtered, width=width, height=height, glyphs=glyphs)

        assert len(painted.lines) == height
        for line in painted.lines:
            text = "".join(text for text, _ in line)
            assert cell_len(text) <= width
            assert text.isprintable()
            assert text.isascii() or glyphs is UNICODE
            assert {style for _, style in line} <= set(STYLES)
    assert all(line.isprintable() for line in plain.lines(picture, Controls()))


# Curves


def test_every_look_counts_however_many_are_remembered(seen: Seen, writer: SegmentWriter) -> None:
    """A curve whose groups began anew at each look would flicker."""
    assert at_times(seen, writer, [(number, 0) for number in range(REMEMBERED + 5)]).looks == REMEMBERED + 5


@pytest.mark.parametrize(
    ("values", "curve"),
    [
        ([], "    "),
        ([0, 0], "    "),
        ([8], "   █"),
        ([1, 4, 8], " ▁▄█"),
        ([1, 2], "  ▁▂"),
        ([9, 9, 0, 100, 50, 1], " █▄▁"),
    ],
)
def test_curve_has_the_latest_value_to_the_right_and_the_highest_full(values: list[int], curve: str) -> None:
    assert UNICODE.curve(values, 4) == curve


def test_curve_without_unicode_is_of_ascii(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 0, enqueued=9, processed=0)

    text = shown(seen.picture(), Controls(sort="backlog"), glyphs=ASCII).text

    assert text.isascii()
    assert re.search(r"^datanommer +ok +9 +# ", text, re.MULTILINE)
    assert ">backlog" in text


def test_few_values_stand_in_a_cell_each() -> None:
    assert condensed([3, 1, 2], 4, 3) == [3, 1, 2]


def test_more_values_than_cells_are_the_highest_of_each_group() -> None:
    assert condensed([1, 9, 2, 3, 4], 4, 5) == [9, 3, 4]


@given(values=st.lists(st.integers(0, 100), min_size=1, max_size=600), cells=st.integers(1, 60))
def test_everything_that_is_remembered_is_in_the_curve(values: list[int], cells: int) -> None:
    groups = condensed(values[-REMEMBERED:], cells, len(values))

    assert len(groups) <= cells + 1  # the oldest group may be going
    assert max(groups) == max(values[-REMEMBERED:])


def test_whole_groups_stay_what_they_are_while_values_come() -> None:
    values = [number * 7 % 100 for number in range(2000)]
    drawn = [condensed(values[:looks][-REMEMBERED:], 10, looks)[-7:-1] for looks in range(993, 1025)]

    assert all(later == drawn[0] for later in drawn)


# Terminals


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({"LANG": "en_US.UTF-8"}, UNICODE),
        ({"LANG": "C.utf8", "TERM": "xterm"}, UNICODE),
        ({"LC_CTYPE": "UTF-8"}, UNICODE),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, ASCII),
        ({"LANG": "de_DE.ISO-8859-1"}, ASCII),
        ({}, ASCII),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII),  # Python's own doing
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, ASCII),
    ],
)
def test_locale_and_terminal_say_what_can_be_shown(environment: dict[str, str], glyphs: Glyphs) -> None:
    assert glyphs_for(environment, "utf-8") is glyphs


def test_output_that_is_not_utf8_gets_ascii() -> None:
    assert glyphs_for({"LANG": "en_US.UTF-8"}, "ascii") is ASCII


# Keys

SENT = {
    b"a": ["a"],
    b"\x1b[A\x1b[B\x1b[C\x1b[D": ["up", "down", "right", "left"],
    b"\x1bOA\x1bOH": ["up", "home"],
    b"\x1b[5~\x1b[6~\x1b[1~\x1b[4~": ["page up", "page down", "home", "end"],
    b"\x1b[H\x1b[F": ["home", "end"],
    b"\r\n\x7f\b": ["enter", "enter", "backspace", "backspace"],
    "é中".encode(): ["é", "中"],
    b"\x1b[15~\x1b[1;5Aq": ["q"],  # F5 and Ctrl-up mean nothing
    b"\x00\x01": [],
}


@pytest.mark.parametrize(("data", "keys"), SENT.items())
def test_keys_of_what_terminals_send(data: bytes, keys: list[str]) -> None:
    assert Decoder().feed(data) == keys


@pytest.mark.parametrize(("data", "keys"), SENT.items())
def test_keys_are_the_same_when_they_come_byte_by_byte(data: bytes, keys: list[str]) -> None:
    decoder = Decoder()

    assert [key for byte in data for key in decoder.feed(bytes([byte]))] == keys
    assert not decoder.is_waiting


def test_escape_is_a_key_when_nothing_follows() -> None:
    decoder = Decoder()

    assert decoder.feed(b"\x1b") == []
    assert decoder.is_waiting
    assert decoder.flush() == ["escape"]
    assert not decoder.is_waiting


@given(data=st.binary(max_size=40))
def test_no_bytes_are_too_strange_for_it(data: bytes) -> None:
    decoder = Decoder()

    keys = decoder.feed(data) + decoder.flush()

    assert all(keys)
    assert not decoder.is_waiting


def pressed(*keys: str, wanted: Controls | None = None) -> Controls:
    found = wanted or Controls()
    for key in keys:
        found = found.pressed(key, page=10)
    return found


def test_keys_step_through_all_columns_and_begin_again() -> None:
    found = [pressed(*["s"] * number).sort for number in range(len(SORTABLE) + 1)]

    assert set(found) == set(SORTABLE)
    assert found[0] == found[-1] == "state"
    assert pressed("right", "right", "left").sort == pressed("s", "s", "S").sort == found[1]


def test_another_column_begins_in_its_own_order() -> None:
    assert pressed("r").is_reversed
    assert not pressed("r", "s").is_reversed


def test_filter_is_typed_and_kept_by_enter() -> None:
    found = pressed("/", *"bax", "backspace", "q", " ", "enter")

    assert (found.filter, found.is_typing, found.is_over, found.is_paused) == ("baq ", False, False, False)


def test_escape_clears_the_filter_while_and_after_typing() -> None:
    assert pressed("/", "a", "escape") == Controls()
    assert pressed("/", "a", "enter", "escape") == Controls()


def test_scrolling_keys_move_by_a_line_a_page_or_to_an_end() -> None:
    assert pressed("down", "j", "up").offset == 1
    assert pressed("page down", "page down", "page up", "k").offset == 9
    assert pressed("page down", "home").offset == 0
    assert pressed("up").offset == 0


def test_what_was_filtered_anew_is_seen_from_its_beginning() -> None:
    assert pressed("page down", "/", "a").offset == 0


def test_escape_leaves_the_help_and_keeps_the_filter() -> None:
    found = pressed("h", "down", "escape", wanted=Controls(filter="a"))

    assert (found.has_help, found.offset, found.filter) == (False, 0, "a")


def test_unknown_key_changes_nothing() -> None:
    assert pressed("x", "enter", "backspace") == Controls()


# Lines


def test_block_of_lines_says_whose_and_when_in_each(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats", producers=[ProducerRow("digests", True, 60.0)]) as writer:
        seen.picture()
        work(writer, 1, enqueued=7, processed=2)
        lines = list(plain.lines(seen.picture(), Controls(sort="name", filter="d")))

    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
    assert [re.sub(rf"^{when} ", "", line).split(" state=")[0] for line in lines] == [
        "hub hub=fedmsg-hub",
        "consumer hub=fedmsg-hub consumer=badges",
        "consumer hub=fedmsg-hub consumer=datanommer",
        "producer hub=fedmsg-hub producer=digests",
        "attention ircbot is not initialized and gets no messages: see the hub's log",
    ]
    assert " backlog=5 in_flight=0 oldest_age=3.00" in lines[1]
    assert " wait_p50=0.00" in lines[1]
    assert " processing_p95=- failed=0" in lines[2]


def test_line_of_a_hub_that_is_not_current_says_since_when(seen: Seen, writer: SegmentWriter) -> None:
    halt(writer.path)

    line = next(iter(plain.lines(seen.picture(), Controls())))

    assert re.search(r" state=stuck as_of=\d{4}-\d\d-\d\dT\S+ uptime=", line)


def test_value_that_is_more_than_a_word_is_quoted(seen: Seen, tmp_path: Path) -> None:
    with live_segment(tmp_path / "h.stats", [Row('a "b" \\c', 1, True)]):
        lines = list(plain.lines(seen.picture(), Controls()))

    assert ' consumer="a \\"b\\" \\\\c" state=ok ' in lines[1]


def test_there_is_a_block_for_each_interval(seen: Seen, writer: SegmentWriter) -> None:
    waits: list[float] = []
    plan = Plan(every=5.0, iterations=3, controls=Controls())

    found = list(blocks(seen.watcher, seen.looks(), plan, sleep=waits.append))

    assert len(found) == len(waits) == 3
    assert waits[0] == pytest.approx(5.0, abs=0.5)
    assert all("catch_up=0 enqueue_rate=0 " in block for block in found)


# The command


def test_columns_of_the_command_line_are_those_that_sort() -> None:
    assert tuple(SORTABLE) == top._COLUMNS


@pytest.mark.parametrize(
    "arguments",
    [["--interval", "0"], ["--interval", "nan"], ["--sort", "colour"], ["--iterations", "0"], ["--iterations", "x"]],
)
def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["top", *arguments])

    assert caught.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_without_any_hub_it_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--stats-dir", str(tmp_path)]) == 1

    assert f"there is no segment (*.stats) in {tmp_path}" in capsys.readouterr().err


def test_hub_that_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "h", "--stats-dir", str(tmp_path)]) == 1

    assert re.fullmatch(rf"glasshub: {tmp_path}/h\.stats: no such segment: .*\n", capsys.readouterr().err)


def test_output_that_is_no_terminal_gets_lines(writer: SegmentWriter, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--stats-dir", str(writer.path.parent), "--interval", "0.1", "--sort", "name", "--reverse"]

    assert main(["top", *arguments, "--iterations", "1"]) == 0

    assert re.findall(r" consumer=(\w+)", capsys.readouterr().out) == ["ircbot", "datanommer", "badges"]


def test_reading_leaves_the_segment_as_it_is(writer: SegmentWriter) -> None:
    before = writer.path.read_bytes()

    assert main(["top", "--stats-dir", os.fspath(writer.path.parent), "--once", "--interval", "0.1"]) == 0

    assert writer.path.read_bytes() == before


# A broker


def broken_off(writer: SegmentWriter) -> None:
    """Have the hub lose its broker."""
    writer.enqueuer.source(endpoints=1, connected=0, disconnects=1, errors=0)
    tell(writer, asked_ns=0, is_consuming=False)


def test_column_of_the_broker_is_there_where_a_hub_has_one(seen: Seen, writer: SegmentWriter) -> None:
    without = shown(seen.picture()).text
    work(writer, 0, enqueued=12, processed=0)
    tell(writer, ready=900)
    text = shown(seen.picture()).text

    assert "broker" not in without
    assert words(text, "datanommer")[:3] == ["ok", "12", "900"]
    assert words(text, "ircbot")[:4] == ["NOT", "INIT", "0", "-"]
    assert words(text, "fedmsg-hub")[5:7] == ["12", "900"]
    assert max(map(len, text.split("\n"))) <= 80


def test_figure_of_a_broker_that_is_gone_is_not_shown(seen: Seen, writer: SegmentWriter) -> None:
    tell(writer, ready=900)
    seen.picture()
    broken_off(writer)
    text = shown(seen.picture()).text

    assert words(text, "datanommer")[:4] == ["CUT", "OFF", "0", "-"]
    assert words(text, "fedmsg-hub")[6] == "-"
    assert "900" not in text
    assert "! how much waits on the broker is not known: the hub is not connected to it" in text


def test_sorting_by_backlog_goes_by_all_that_waits(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 1, enqueued=50, processed=0)
    tell(writer, ready=900)
    rows = seen.picture().consumers

    assert [row.name for row in sorted_by(rows, SORTABLE["backlog"], is_reversed=False)][:2] == ["datanommer", "badges"]
    assert sorted_by(rows, SORTABLE["broker"], is_reversed=False)[0].name == "datanommer"


def answers(seen: Seen, writer: SegmentWriter, steps: Sequence[tuple[float, int | None]]) -> Sequence[Picture]:
    """Pictures of looks at these seconds, at each of which the broker has just said so much; None: it is lost."""
    board, pictures, start_ns = Board(), [], time.monotonic_ns() - SECOND
    for seconds, ready in steps:
        asked_ns = 0 if ready is None else start_ns + int(seconds * MS)  # a thousand times as fast
        tell(writer, ready=ready or 0, asked_ns=asked_ns)
        (look,) = seen.looks()
        assert look.snapshot is not None
        look.snapshot.taken_ns = start_ns + int(seconds * SECOND)
        pictures.append(board.picture([look], time=time.time()))
    return pictures


def test_catch_up_is_reckoned_from_what_the_broker_answered(seen: Seen, writer: SegmentWriter) -> None:
    assert answers(seen, writer, [(0, 100), (5, 50)])[-1].consumers[0].catch_up == pytest.approx(0.005)
    assert answers(seen, writer, [(0, 100), (5, 100)])[-1].consumers[0].catch_up == math.inf
    assert answers(seen, writer, [(0, 100), (5, 0)])[-1].consumers[0].catch_up == 0


def test_catch_up_is_not_known_without_an_answer(seen: Seen, writer: SegmentWriter) -> None:
    assert math.isnan(answers(seen, writer, [(0, 100), (5, None)])[-1].consumers[0].catch_up)
    assert math.isnan(answers(seen, writer, [(0, None), (5, 100)])[-1].consumers[0].catch_up)


def test_trend_has_all_that_waited_and_a_question_mark_where_nobody_knew(seen: Seen, writer: SegmentWriter) -> None:
    picture = answers(seen, writer, [(0, 40), (1, None), (2, 80)])[-1]

    trend = picture.consumers[0].trend
    assert (trend[0], trend[2]) == (40, 80)
    assert math.isnan(trend[1])
    assert UNICODE.curve(trend, 5) == "  ▄?█"
    assert picture.hubs[0].trend[2] == 80


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([(0, 5), (2, 5), (PATIENCE, 5)], State.BEHIND),
        ([(0, 5), (2, 0), (PATIENCE, 5)], State.OK),
        ([(0, 5), (PATIENCE - 1, 5)], State.OK),
        ([(0, 5), (2, None), (PATIENCE, 5)], State.OK),
    ],
)
def test_consumer_is_behind_when_messages_stay_on_the_broker(
    seen: Seen, writer: SegmentWriter, steps: Sequence[tuple[float, int | None]], state: State
) -> None:
    assert answers(seen, writer, steps)[-1].consumers[0].state is state


def test_lines_have_what_is_on_the_broker(seen: Seen, writer: SegmentWriter) -> None:
    work(writer, 0, enqueued=12, processed=0)
    tell(writer, ready=900)

    lines = list(plain.lines(seen.picture(), Controls()))

    assert any(
        "consumer=datanommer" in line and "backlog=12 broker_ready=900 total_backlog=912" in line for line in lines
    )
    assert any(" hub hub=fedmsg-hub" in line and "backlog=12 broker_ready=900 broker_age=" in line for line in lines)
    assert not any("consumer=ircbot" in line and "broker" in line for line in lines)
