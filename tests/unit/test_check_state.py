# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a check keeps until it runs next, and what it makes of a file that is not what it left."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import glasshub_stats
from glasshub.check.checks import CHECKS
from glasshub.check.examine import Request, examine
from glasshub.check.plugin import Limits, Result, Status
from glasshub.check.ranges import Range
from glasshub.check.state import StateError, StateFile, own_place
from glasshub.errors import ConfigError
from glasshub_stats.clock import monotonic_ns

from ..contract.segments import Segment

CONSUMERS = (("Mailer", 1), ("Badges", 1))
LIMITS = Limits(Range.parse("0"), Range.parse("10"))


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    """The segment of a hub of which a consumer and a producer have failed before."""
    with Segment(str(tmp_path / "h.stats"), CONSUMERS, ["Digest"], hub="h") as segment:
        yield segment.worker(0, failed=100).producer(0, failures=100)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def look(segment: Segment, state: Path, *names: str, check: str = "failures") -> Result:
    return examine(Request(CHECKS[check], hub=segment.path, names=names, limits=LIMITS, state=state))


def test_first_look_is_judged_since_the_hubs_start(segment: Segment, state: Path) -> None:
    result = look(segment, state)

    assert result.status == Status.CRITICAL
    assert "since the hub's start 16m40s ago: nothing to compare with" in result.text


def test_later_look_is_judged_by_what_happened_since(segment: Segment, state: Path) -> None:
    look(segment, state)
    segment.worker(0, failed=103)

    result = look(segment, state)

    assert result.status == Status.WARNING
    assert result.text.startswith("Mailer: 3 messages failed (outside range 0:0); in the last ")
    assert [str(figure).split(";")[0] for figure in result.figures] == [
        "'Mailer'=3",
        "'Badges'=0",
        "'producer.Digest'=0",
    ]


def test_each_look_begins_where_the_one_before_ended(segment: Segment, state: Path) -> None:
    look(segment, state)
    segment.worker(0, failed=103)
    look(segment, state)

    assert look(segment, state).status == Status.OK


def test_two_callers_do_not_take_failures_from_each_other(segment: Segment, tmp_path: Path) -> None:
    states = [tmp_path / "a", tmp_path / "b"]
    for state in states:
        look(segment, state)
    segment.worker(0, failed=103).producer(0, failures=101)

    results = [look(segment, state) for state in states]

    assert [result.status for result in results] == [Status.WARNING, Status.WARNING]


def test_nothing_but_its_owner_may_read_the_file(segment: Segment, state: Path) -> None:
    old = os.umask(0)
    try:
        look(segment, state)
    finally:
        os.umask(old)

    assert stat.S_IMODE(state.stat().st_mode) == 0o600


def test_file_is_replaced_and_never_rewritten(segment: Segment, state: Path, tmp_path: Path) -> None:
    look(segment, state)
    os.link(state, tmp_path / "before")

    look(segment, state)

    assert not state.samefile(tmp_path / "before")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "h.stats", "state"]


def test_restart_of_the_hub_is_said_and_judged_since_then(segment: Segment, state: Path) -> None:
    look(segment, state)
    with Segment(segment.path, CONSUMERS, hub="h", generation=2, age=30) as again:
        again.worker(0, failed=2)

        result = look(again, state)

    assert result.status == Status.WARNING
    assert result.text == (
        "Mailer: 2 messages failed (outside range 0:0); since the hub's start 30.0s ago: the hub was restarted"
    )


@pytest.mark.parametrize("future", [1 << 62, math.inf])
def test_reading_from_the_future_is_none(segment: Segment, state: Path, future: float) -> None:
    look(segment, state)
    magic, kept = state.read_text().split("\n")
    state.write_text(magic + "\n" + json.dumps({**json.loads(kept), "taken_ns": future}))

    assert "since the hub's start" in look(segment, state).text


def test_reading_that_cannot_be_put_in_its_place_leaves_nothing_behind(segment: Segment, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    state = StateFile(tmp_path / "directory", "somebody")

    with pytest.raises(StateError, match="cannot keep the reading: Is a directory"):
        state.write(glasshub_stats.read(segment.path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "h.stats"]


def test_hub_that_is_down_leaves_the_reading_as_it_is(segment: Segment, state: Path) -> None:
    look(segment, state)
    before = state.read_bytes()
    segment.unlock()

    assert look(segment, state).status == Status.CRITICAL
    assert state.read_bytes() == before


@given(st.integers(0), st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_reading_counts_as_none_and_is_replaced(
    segment: Segment, state: Path, place: int, rubbish: bytes
) -> None:
    look(segment, state)
    contents = state.read_bytes()
    place = len(b"glasshub check state 1\n") + place % (len(contents) - 30)
    state.write_bytes(contents[:place] + rubbish)

    assert look(segment, state).status == Status.CRITICAL
    assert look(segment, state).status == Status.OK


@pytest.mark.parametrize("damage", ["null", "[]", "{}", '{"taken_ns": Infinity}', "[" * 100_000, '{"hub": {}}'])
def test_reading_of_another_form_counts_as_none(segment: Segment, state: Path, damage: str) -> None:
    state.write_text("glasshub check state 1\n" + damage)

    assert "nothing to compare with" in look(segment, state).text


def test_reading_without_a_counter_that_is_needed_counts_as_none(segment: Segment, state: Path) -> None:
    """A version that lacked it has kept it."""
    look(segment, state)
    state.write_text(state.read_text().replace('"parked"', '"porked"'))

    assert "nothing to compare with" in look(segment, state).text


def test_empty_file_is_used(segment: Segment, state: Path) -> None:
    """As mktemp makes them."""
    state.touch()
    look(segment, state)

    assert look(segment, state).status == Status.OK


@pytest.mark.parametrize("contents", [b"root:x:0:0:\n", b"\xff\xfe\x00"])
def test_file_that_is_no_state_is_refused_and_stays(segment: Segment, state: Path, contents: bytes) -> None:
    state.write_bytes(contents)

    with pytest.raises(StateError, match="no state of a check: name another file"):
        look(segment, state)
    assert state.read_bytes() == contents


@pytest.mark.parametrize("names", [("Badges",), ()])
def test_file_of_another_check_is_refused(segment: Segment, state: Path, names: tuple[str, ...]) -> None:
    look(segment, state, "Mailer")

    with pytest.raises(StateError, match=r"it is kept for 'failures \S+ Mailer', not for"):
        look(segment, state, *names)


def test_order_of_names_does_not_matter(segment: Segment, state: Path) -> None:
    look(segment, state, "Mailer", "Badges")

    assert look(segment, state, "Badges", "Mailer").status == Status.OK


def test_link_is_not_followed(segment: Segment, state: Path, tmp_path: Path) -> None:
    state.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateError, match="this is a symbolic link"):
        look(segment, state)


def test_fifo_hangs_nothing(segment: Segment, state: Path) -> None:
    os.mkfifo(state)

    with pytest.raises(StateError, match="no state of a check"):
        look(segment, state)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of somebody else")
def test_file_of_another_user_is_refused(segment: Segment, state: Path) -> None:
    look(segment, state)
    os.chown(state, 12345, -1)

    with pytest.raises(StateError, match="belongs to another user"):
        look(segment, state)


def test_reading_that_cannot_be_kept_is_unknown_and_hides_no_trouble(segment: Segment, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "where"

    trouble = look(segment, nowhere)
    fine = look(segment, nowhere, "Badges")

    assert (trouble.status, fine.status) == (Status.CRITICAL, Status.UNKNOWN)
    assert fine.text.startswith(f"--state {nowhere}: cannot keep the reading: No such file or directory; Badges: 0")


def test_where_there_is_no_place_for_temporary_files_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)

    with pytest.raises(ConfigError, match=r"no place for temporary files: .*: set TMPDIR"):
        own_place("failures")


def test_catch_up_knows_a_backlog_that_shrinks_from_what_was_kept(segment: Segment, state: Path) -> None:
    segment.consumer(0, enqueued=1000)
    examine(Request(CHECKS["catch-up"], hub=segment.path, state=state), sleep=lambda _: None)
    segment.worker(0, dequeued=990, processed=990)
    slept: list[float] = []

    result = examine(Request(CHECKS["catch-up"], hub=segment.path, state=state), sleep=slept.append)

    assert not slept
    assert result.text.startswith("Mailer: 10 messages waiting, caught up in ")
    assert "in the last" in result.text


def test_catch_up_knows_a_queue_on_a_broker_that_shrinks_from_what_was_kept(segment: Segment, state: Path) -> None:
    slept: list[float] = []
    now_ns = monotonic_ns(0)
    segment.consumer(0, broker_queue=1, broker_ready=900, broker_asked_ns=now_ns - 10 * 10**9)
    examine(Request(CHECKS["catch-up"], hub=segment.path, state=state), sleep=lambda _: None)
    segment.consumer(0, broker_ready=800, broker_asked_ns=now_ns)

    result = examine(Request(CHECKS["catch-up"], hub=segment.path, state=state), sleep=slept.append)

    assert not slept
    assert "800 messages waiting, caught up in 1m20s" in result.text
