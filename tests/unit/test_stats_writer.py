# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing the segment: made whole or not at all, and read back as it was counted."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glasshub_stats
from glasshub import stats
from glasshub.errors import HubRunningError, StatsDirectoryError
from glasshub.segment import ConsumerRow, ProducerRow, SegmentWriter, claimed
from glasshub.stats import Outcome, WorkerSlots
from glasshub_stats import Snapshot, layout
from glasshub_stats.histogram import BUCKETS, bucket_of
from glasshub_stats.snapshot import PHASES

from .segments import live_segment

SECOND = 1_000_000_000
ROWS = (ConsumerRow("mailer", 1, True), ConsumerRow("badges", 3, True), ConsumerRow("ircbot", 0, False))
PRODUCERS = (ProducerRow("digests", True, 60.0), ProducerRow("cleaner", False))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.stats"


@pytest.fixture
def writer(path: Path) -> Iterator[SegmentWriter]:
    writer = made(path)
    yield writer
    writer.close()


def made(path: Path, *, mode: int = 0o640, group: str = "") -> SegmentWriter:
    return SegmentWriter(
        path,
        ROWS,
        producers=PRODUCERS,
        name="hub",
        version="1.2",
        shape="threads",
        source="zmq",
        mode=mode,
        group=group,
    )


def seen(writer: SegmentWriter) -> Snapshot:
    return glasshub_stats.read(str(writer.path))


def another_hub(directory: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Another process that has claimed the name `hub`, and then runs the code."""
    program = f"""
import os
from pathlib import Path
from glasshub.segment import claimed
import {__name__} as here
directory = Path({str(directory)!r})
with claimed(directory, "hub"):
    {code}
"""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([*filter(None, sys.path), str(root)])
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_new_segment_says_who_writes_it_and_that_nothing_has_happened(writer: SegmentWriter) -> None:
    snapshot = seen(writer)

    assert (snapshot.hub.name, snapshot.hub.version) == ("hub", "1.2")
    assert (snapshot.hub.shape, snapshot.hub.source) == ("threads", "zmq")
    assert snapshot.pid == os.getpid()
    assert snapshot.status() == "starting"
    assert snapshot.is_locked
    assert [(c.name, c.workers, c.initialized) for c in snapshot.consumers] == [
        ("mailer", 1, 1),
        ("badges", 3, 1),
        ("ircbot", 0, 0),
    ]
    assert all(c.enqueued == c.dequeued == c.finished == c.watermark == 0 for c in snapshot.consumers)
    assert [(p.name, p.initialized, p.frequency) for p in snapshot.producers] == [("digests", 1, 60), ("cleaner", 0, 0)]
    assert all(p.runs == p.failures == p.last_run == p.current_age == 0 for p in snapshot.producers)


def test_what_the_enqueuer_counts_is_read_back(writer: SegmentWriter) -> None:
    slots = writer.enqueuer
    slots.received(10, 1000)
    slots.received(5, 77, malformed=2, unrouted=1)
    slots.source(endpoints=4, connected=3, disconnects=2, errors=1)
    slots.queued()
    slots.queued()
    writer.dispatcher.dequeued()

    hub = seen(writer).hub

    assert (hub.received, hub.received_bytes, hub.malformed, hub.unrouted) == (15, 1077, 2, 1)
    assert (hub.endpoints, hub.connected, hub.disconnects, hub.source_errors) == (4, 3, 2, 1)
    assert (hub.queue_enqueued, hub.queue_dequeued) == (2, 1)


def test_gaps_add_up_and_the_last_one_is_read_back(writer: SegmentWriter) -> None:
    now_ns = time.monotonic_ns()
    slots = writer.enqueuer
    slots.source(endpoints=4, connected=3, disconnects=2, errors=1, lost=1, lost_ns=now_ns)
    slots.gap(now_ns - 9 * SECOND, now_ns - 7 * SECOND)
    slots.gap(now_ns - 3 * SECOND, now_ns - 2 * SECOND)

    hub = seen(writer).hub

    assert (hub.lost, hub.lost_ns) == (1, now_ns)
    assert (hub.gaps, hub.gap_seconds) == (2, 3.0)
    assert (hub.gap_since_ns, hub.gap_until_ns) == (now_ns - 3 * SECOND, now_ns - 2 * SECOND)


def test_what_is_told_of_filling_gaps_is_read_back(writer: SegmentWriter) -> None:
    writer.backfill.began()
    writer.backfill.missed(5)
    writer.backfill.missed(6)
    writer.backfill.failed()
    writer.enqueuer.backfilled(3, duplicates=1)
    writer.enqueuer.backfilled(4, duplicates=0)
    during = seen(writer).hub
    writer.backfill.ended()

    after = seen(writer).hub

    assert (during.backfilled, during.backfill_duplicates) == (7, 1)
    assert (during.backfill_missed, during.backfill_errors) == (11, 1)
    assert (during.backfilling, after.backfilling) == (1, 0)


def test_enqueued_messages_add_up_and_wait(writer: SegmentWriter) -> None:
    writer.consumers[0].enqueued(3)
    writer.consumers[0].enqueued(4)

    mailer, badges, _ = seen(writer).consumers
    assert (mailer.enqueued, mailer.backlog, mailer.in_flight) == (7, 7, 0)
    assert badges.enqueued == 0
    assert writer.consumers[0].total == 7


def test_the_watermark_is_the_highest_depth_and_never_falls(writer: SegmentWriter) -> None:
    watermarks = []
    for depth in (3, 9, 2):
        writer.consumers[1].put(depth, 0)
        watermarks.append(seen(writer).consumer("badges").watermark)

    assert watermarks == [3, 9, 9]


def test_the_oldest_message_is_the_one_put_into_the_empty_queue(writer: SegmentWriter) -> None:
    """The enqueuer knows its age until a worker has taken it, and knows better."""
    first_ns = time.monotonic_ns() - 50 * SECOND
    writer.consumers[0].enqueued(2)
    writer.consumers[0].put(2, first_ns)
    writer.consumers[0].put(2, 0)

    snapshot = seen(writer)

    assert snapshot.consumer("mailer").oldest_age == (snapshot.taken_ns - first_ns) / 1e9


@pytest.mark.parametrize(
    ("put_ns", "noted_ns"), [(6, 0), (5, 5), (4, 5)], ids=["behind others", "first", "since taken"]
)
def test_the_head_of_a_queue_is_noted_when_it_is_one_of_those_that_were_put(
    writer: SegmentWriter, put_ns: int, noted_ns: int
) -> None:
    writer.consumers[0].put(2, 5, put_ns)

    assert seen(writer).consumer("mailer").put_head_ns == noted_ns


def test_what_is_injected_is_enqueued_and_counted_apart_from_the_bus(writer: SegmentWriter) -> None:
    writer.consumers[0].enqueued(3)
    writer.injections[0].injected(4)
    writer.injections[0].injected(1)

    mailer, badges, _ = seen(writer).consumers
    assert (mailer.enqueued, mailer.injected, mailer.backlog) == (8, 5, 8)
    assert (badges.enqueued, badges.injected) == (0, 0)
    assert (writer.consumers[0].total, writer.injections[0].total) == (3, 5)


def test_what_is_injected_raises_the_watermark_which_never_falls(writer: SegmentWriter) -> None:
    watermarks = []
    writer.consumers[1].put(3, 0)
    for depth in (2, 9, 4):
        writer.injections[1].put(depth, 0)
        watermarks.append(seen(writer).consumer("badges").watermark)

    assert watermarks == [3, 9, 9]


def test_the_oldest_message_may_be_one_that_was_injected(writer: SegmentWriter) -> None:
    first_ns = time.monotonic_ns() - 50 * SECOND
    writer.injections[0].injected(1)
    writer.injections[0].put(1, first_ns)
    writer.injections[0].put(2, 0)
    writer.consumers[0].put(1, first_ns - SECOND)

    snapshot = seen(writer)

    assert snapshot.consumer("mailer").oldest_age == (snapshot.taken_ns - first_ns) / 1e9


def test_what_a_consumer_withdraws_waits_no_longer(writer: SegmentWriter) -> None:
    writer.consumers[0].enqueued(3)
    writer.injections[0].injected(4)
    writer.injections[0].withdrew(2)
    writer.injections[0].withdrew(1)

    mailer = seen(writer).consumer("mailer")

    assert (mailer.withdrawn, mailer.backlog, mailer.dequeued) == (3, 4, 0)


def test_what_is_dropped_waits_no_longer(writer: SegmentWriter) -> None:
    writer.consumers[0].enqueued(7)
    writer.drops[0].dropped(2, 0)
    writer.drops[0].dropped(1, 0)

    mailer = seen(writer).consumer("mailer")

    assert (mailer.dropped, mailer.backlog, writer.drops[0].total) == (3, 4, 3)


def test_the_times_that_the_enqueuer_has_waited_add_up(writer: SegmentWriter) -> None:
    for began_ns in (SECOND, 10 * SECOND):
        writer.consumers[0].blocked(began_ns, began_ns + SECOND)
        writer.consumers[0].blocked(began_ns, began_ns + 2 * SECOND)
        writer.consumers[0].unblocked()

    assert seen(writer).consumer("mailer").blocked_seconds == 4


def test_the_hubs_one_queue_has_what_was_injected_too(writer: SegmentWriter) -> None:
    writer.enqueuer.queued()
    writer.hub_queue.injected(2)
    writer.hub_queue.injected(3)

    hub = seen(writer).hub

    assert (hub.queue_enqueued, hub.queue_injected) == (6, 5)


def test_fetching_a_backlog_is_told_from_its_beginning_to_its_end(writer: SegmentWriter) -> None:
    fetch = writer.fetches[1]
    fetch.began()
    fetch.fetched(100)
    fetch.fetched(50)
    fetch.missed(7)
    fetch.failed()
    fetch.failed()
    during = seen(writer)
    fetch.ended()

    mailer, badges, _ = during.consumers
    assert (badges.fetching, badges.fetched, badges.fetch_missed, badges.fetch_errors) == (1, 150, 7, 2)
    assert (mailer.fetching, mailer.fetched, mailer.fetch_missed, mailer.fetch_errors) == (0, 0, 0, 0)
    after = seen(writer).consumer("badges")
    assert (after.fetching, after.fetched) == (0, 150)


def test_a_poll_is_running_from_its_beginning_to_its_end(writer: SegmentWriter) -> None:
    digests, now_ns = writer.producers[0], time.monotonic_ns()
    digests.began(now_ns - 5 * SECOND)
    during = seen(writer)
    digests.ended(now_ns - 3 * SECOND, succeeded=True)

    running, done = during.producers[0], seen(writer).producers[0]
    assert running.current_age == running.since_run == (during.taken_ns - now_ns + 5 * SECOND) / 1e9
    assert (running.runs, running.last_duration) == (0, 0)
    assert (done.runs, done.failures, done.current_age) == (1, 0, 0)
    assert (done.last_duration, done.running_seconds) == (2, 2)
    assert seen(writer).producers[1].last_run == 0


def test_polls_that_return_and_polls_that_raise_are_counted_apart(writer: SegmentWriter) -> None:
    digests, now_ns, now = writer.producers[0], time.monotonic_ns(), time.time()
    for ago, took, succeeded in ((90, 1, True), (60, 2, True), (30, 4, False)):
        digests.began(now_ns - ago * SECOND)
        digests.ended(now_ns - (ago - took) * SECOND, succeeded=succeeded)

    producer = seen(writer).producers[0]

    assert (producer.runs, producer.failures) == (2, 1)
    assert (producer.last_duration, producer.running_seconds) == (4, 7)
    assert producer.last_run == pytest.approx(now - 30, abs=1)
    assert producer.last_success == pytest.approx(now - 58, abs=1)


def test_no_poll_seems_overdue_at_any_store_of_the_one_that_is_in_time(writer: SegmentWriter) -> None:
    """A thread may be interrupted between any two stores, for as long as another one keeps the interpreter lock."""
    now_ns = time.monotonic_ns()
    row = Watched(writer)
    slots = stats.ProducerSlots(row)  # type: ignore[arg-type]  # it has all that is used of a memoryview

    writer.producers[0].began(now_ns - 300 * SECOND)

    slots.ended(now_ns, succeeded=True)
    slots.began(now_ns)

    assert len(row.overdue) > 5
    assert set(row.overdue) == {0}


class Watched:
    """The row of the first producer, which is read behind each store."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._row = writer.producers[0]._slots
        self._writer = writer
        self.overdue: list[float] = []

    def __getitem__(self, slot: int) -> int:
        return self._row[slot]

    def __setitem__(self, slot: int, number: int) -> None:
        self._row[slot] = number
        self.overdue.append(seen(self._writer).producers[0].overdue)


@pytest.mark.parametrize(
    ("seconds", "stored"), [(0.25, 0.25), (0, 0), (-1, 0), (float("nan"), 0), (float("inf"), 100 * 365 * 86400)]
)
def test_a_producers_frequency_can_be_changed_to_any_number(
    writer: SegmentWriter, seconds: float, stored: float
) -> None:
    writer.producers[1].frequency(seconds)

    assert seen(writer).producers[1].frequency == stored


def test_after_a_dequeue_the_oldest_message_is_the_next_one(writer: SegmentWriter) -> None:
    now_ns = time.monotonic_ns()
    writer.consumers[0].enqueued(2)
    writer.consumers[0].put(1, now_ns - 50 * SECOND)
    writer.workers[0][0].began(now_ns - 50 * SECOND, now_ns, now_ns - 20 * SECOND)

    snapshot = seen(writer)

    mailer = snapshot.consumer("mailer")
    assert mailer.oldest_age == pytest.approx((snapshot.taken_ns - now_ns) / 1e9 + 20)
    assert (mailer.backlog, mailer.in_flight) == (1, 1)


def test_a_message_that_began_is_in_flight_and_has_waited(writer: SegmentWriter) -> None:
    now_ns = time.monotonic_ns()
    writer.consumers[0].enqueued(1)

    writer.workers[0][0].began(now_ns - 3 * SECOND, now_ns, 0)

    snapshot = seen(writer)
    mailer = snapshot.consumer("mailer")
    assert (mailer.dequeued, mailer.backlog, mailer.in_flight, mailer.finished) == (1, 0, 1, 0)
    assert (mailer.wait.count, mailer.wait.total) == (1, 3.0)
    assert mailer.processing.count == 0
    assert mailer.started_ns == now_ns
    assert mailer.current_age == mailer.busy_seconds == (snapshot.taken_ns - now_ns) / 1e9


@pytest.mark.parametrize("outcome", Outcome)
def test_a_message_that_finished_is_counted_by_its_outcome(writer: SegmentWriter, outcome: Outcome) -> None:
    slots, now_ns = writer.workers[0][0], time.monotonic_ns()
    slots.began(now_ns, now_ns, 0)

    slots.finished(outcome, now_ns + 2 * SECOND)

    mailer = seen(writer).consumer("mailer")
    counts = {
        Outcome.PROCESSED: mailer.processed,
        Outcome.FAILED: mailer.failed,
        Outcome.INVALID: mailer.invalid,
        Outcome.DUPLICATE: mailer.duplicates,
        Outcome.DISCARDED: mailer.discarded,
        Outcome.PARKED: mailer.parked,
        Outcome.RETRIED: mailer.retried,
    }
    assert counts == {each: int(each is outcome) for each in Outcome}
    assert (mailer.in_flight, mailer.current_age) == (0, 0)
    assert (mailer.processing.count, mailer.processing.total, mailer.busy_seconds) == (1, 2.0, 2.0)


def test_the_last_success_and_the_last_failure_are_kept_apart(writer: SegmentWriter) -> None:
    slots, now_ns, now = writer.workers[0][0], time.monotonic_ns(), time.time()
    for outcome, ended_ns in (
        (Outcome.PROCESSED, now_ns - 30 * SECOND),
        (Outcome.FAILED, now_ns - 20 * SECOND),
        (Outcome.INVALID, now_ns - 10 * SECOND),
        (Outcome.DUPLICATE, now_ns - 5 * SECOND),
    ):
        slots.began(now_ns - 40 * SECOND, now_ns - 40 * SECOND, 0)
        slots.finished(outcome, ended_ns)

    mailer, badges, _ = seen(writer).consumers

    assert mailer.last_success == pytest.approx(now - 30, abs=1)
    assert mailer.last_failure == pytest.approx(now - 20, abs=1)
    assert mailer.last_refusal_ns == now_ns - 10 * SECOND
    assert badges.last_success == badges.last_failure == 0


def test_the_end_of_one_message_and_the_beginning_of_the_next_are_one_turn(writer: SegmentWriter) -> None:
    slots, now_ns = writer.workers[0][0], time.monotonic_ns()
    writer.consumers[0].enqueued(2)
    slots.turned(None, now_ns, now_ns - SECOND, now_ns)
    slots.turned(Outcome.FAILED, now_ns + 3 * SECOND, now_ns - 2 * SECOND, 0)

    mailer = seen(writer).consumer("mailer")

    assert (mailer.dequeued, mailer.failed, mailer.in_flight) == (2, 1, 1)
    assert mailer.started_ns == now_ns + 3 * SECOND
    assert mailer.wait.total == 1.0 + 5.0
    assert mailer.processing.total == 3.0
    assert slots.dequeued == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Outcome),
            st.integers(0, 2000 * SECOND) | st.integers(0, 1000) | st.integers(0, SECOND),
            st.integers(0, 2000 * SECOND) | st.integers(0, 1000) | st.integers(0, SECOND),
        ),
        max_size=20,
    )
)
def test_durations_fall_into_the_buckets_of_the_contract(messages: list[tuple[Outcome, int, int]]) -> None:
    """The writer looks buckets up in a table; the contract computes them."""
    slots, row = worker_slots()
    now_ns = 10_000 * SECOND

    for outcome, waited_ns, took_ns in messages:
        slots.began(now_ns - waited_ns, now_ns, 0)
        slots.finished(outcome, now_ns + took_ns)

    waits, times = [0] * BUCKETS, [0] * BUCKETS
    for _, waited_ns, took_ns in messages:
        waits[bucket_of(waited_ns)] += 1
        times[bucket_of(took_ns)] += 1
    assert list(row[stats._WAIT : stats._WAIT + BUCKETS]) == waits
    assert list(row[stats._PROCESSING : stats._PROCESSING + BUCKETS]) == times
    assert row[stats._WAIT_NS] == sum(waited_ns for _, waited_ns, _ in messages)
    assert row[stats._PROCESSING_NS] == sum(took_ns for _, _, took_ns in messages)


def worker_slots() -> tuple[WorkerSlots, memoryview]:
    """The slots of a worker, in memory."""
    sections, _ = layout.plan(1, 1)
    row = memoryview(bytearray(sections["worker"].row_size)).cast("Q")
    return WorkerSlots(row), row


def test_the_workers_of_a_consumer_are_added_up(writer: SegmentWriter) -> None:
    now_ns = time.monotonic_ns()
    writer.consumers[1].enqueued(6)
    for number, slots in enumerate(writer.workers[1]):
        slots.began(now_ns - 9 * SECOND, now_ns - number * SECOND, 0)
    writer.workers[1][0].finished(Outcome.PROCESSED, now_ns)

    snapshot = seen(writer)

    badges = snapshot.consumer("badges")
    assert (badges.dequeued, badges.processed, badges.in_flight, badges.backlog) == (3, 1, 2, 3)
    assert badges.current_age == (snapshot.taken_ns - now_ns + 2 * SECOND) / 1e9
    assert snapshot.consumer("mailer").dequeued == 0
    assert snapshot.hub.backlog == 3


def test_a_beat_renews_the_heartbeat(writer: SegmentWriter) -> None:
    before_ns = time.monotonic_ns()

    writer.beat()

    snapshot = seen(writer)
    assert snapshot.hub.heartbeat_age <= (snapshot.taken_ns - before_ns) / 1e9


def test_the_enqueuer_has_a_heartbeat_of_its_own(writer: SegmentWriter) -> None:
    writer.phase("running")
    now_ns = time.monotonic_ns()
    writer.enqueuer.beat(now_ns)

    snapshot = seen(writer)

    assert snapshot.hub.enqueuer_age == (snapshot.taken_ns - now_ns) / 1e9
    assert snapshot.status() == "running"


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_is_shown(writer: SegmentWriter, phase: str) -> None:
    writer.phase(phase)

    assert seen(writer).status() == phase


def test_a_long_name_is_cut_between_two_characters(path: Path) -> None:
    row = ConsumerRow("é" * 100, 1, True)
    with live_segment(path, [row, ConsumerRow("a" + "🐍" * 40, 1, True)]):
        names = [consumer.name for consumer in glasshub_stats.read(str(path)).consumers]

    assert names == ["é" * 64, "a" + "🐍" * 31]


def test_a_segment_may_have_no_consumer(path: Path) -> None:
    with live_segment(path, []):
        assert glasshub_stats.read(str(path)).consumers == []


def test_a_segment_may_have_producers_and_no_consumer(path: Path) -> None:
    with live_segment(path, [], producers=PRODUCERS) as writer:
        writer.producers[1].began(time.monotonic_ns())
        snapshot = glasshub_stats.read(str(path))

    assert [producer.name for producer in snapshot.producers if producer.started_ns] == ["cleaner"]
    assert (snapshot.consumers, snapshot.hub.backlog) == ([], 0)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_segment_has_the_mode_that_was_asked_for_whatever_the_umask(path: Path, mode: int) -> None:
    umask = os.umask(0o077)
    try:
        writer = made(path, mode=mode)
    finally:
        os.umask(umask)
    writer.close()

    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_segment_belongs_to_the_group_that_was_asked_for(path: Path) -> None:
    group = grp.getgrgid(os.getgroups()[-1] if os.geteuid() else grp.getgrall()[-1].gr_gid)

    made(path, group=group.gr_name).close()

    assert path.stat().st_gid == group.gr_gid


def test_a_group_that_does_not_exist_is_named_and_nothing_is_left(path: Path) -> None:
    with pytest.raises(StatsDirectoryError, match="there is no group 'nobody-knows-it' on this host: create it"):
        made(path, group="nobody-knows-it")

    assert os.listdir(path.parent) == []


def test_a_group_that_refuses_the_file_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    group = grp.getgrgid(os.getgid()).gr_name

    with pytest.raises(StatsDirectoryError, match=f"this user may not give files to group '{group}': add the hub's"):
        made(path, group=group)

    assert os.listdir(path.parent) == []


def test_nobody_sees_half_of_a_segment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the rename it is whole, locked, and has its mode; before that nothing stands in its place."""
    found: list[object] = []
    rename = os.rename

    def watched(old: Path, new: Path) -> None:
        snapshot = glasshub_stats.read(str(old))
        found.extend([path.exists(), snapshot.is_locked, len(snapshot.consumers), stat.S_IMODE(old.stat().st_mode)])
        rename(old, new)

    monkeypatch.setattr(os, "rename", watched)
    made(path).close()

    assert found == [False, True, 3, 0o640]
    assert os.listdir(path.parent) == ["hub.stats"]


def test_the_segment_of_a_dead_hub_is_replaced_and_not_written_over(path: Path) -> None:
    """A reader that holds the old file goes on to see the old hub."""
    ended = another_hub(path.parent, "here.made(directory / 'hub.stats').consumers[0].enqueued(5); os._exit(9)")
    old = glasshub_stats.read(str(path))
    with path.open("rb") as file:
        before = file.read()

        writer = made(path)

        file.seek(0)
        assert file.read() == before
    new = seen(writer)
    writer.close()
    assert ended.returncode == 9, ended.stderr
    assert (old.status(), old.consumer("mailer").enqueued) == ("down", 5)
    assert (new.status(), new.consumer("mailer").enqueued) == ("starting", 0)
    assert new.generation != old.generation
    assert new.pid != old.pid


def test_whatever_stands_in_the_place_of_the_segment_is_replaced(path: Path) -> None:
    path.write_bytes(b"no segment")

    with live_segment(path):
        assert glasshub_stats.read(str(path)).hub.name == "fedmsg-hub"


def test_what_a_hub_left_that_was_killed_while_it_made_its_segment_is_in_nobodys_way(path: Path) -> None:
    ended = another_hub(path.parent, "os.rename = lambda *_: os._exit(9); here.made(directory / 'hub.stats')")
    left = os.listdir(path.parent)

    made(path).close()

    assert ended.returncode == 9, ended.stderr
    assert len(left) == 2, left
    assert sorted(os.listdir(path.parent)) == ["hub.lock", "hub.stats"]


@pytest.mark.parametrize("pid", [1, os.getpid(), 99999], ids=["init", "ours", "nobody"])
def test_a_leftover_under_the_name_of_a_process_does_not_keep_the_hub_from_starting(path: Path, pid: int) -> None:
    path.with_name(f".{path.name}.{pid}").write_bytes(b"half")

    made(path).close()

    assert glasshub_stats.read(str(path)).hub.name == "hub"


def test_a_segment_that_is_closed_stays_without_its_lock(path: Path) -> None:
    writer = made(path)
    writer.consumers[0].enqueued(3)
    writer.phase("stopped")

    writer.close()

    snapshot = glasshub_stats.read(str(path))
    assert not snapshot.is_locked
    assert snapshot.status() == "stopped"
    assert snapshot.consumer("mailer").backlog == 3


def test_a_hub_that_closed_without_having_stopped_is_down(path: Path) -> None:
    made(path).close()

    assert glasshub_stats.read(str(path)).status() == "down"


def test_a_worker_that_still_runs_may_go_on_counting_after_the_close(path: Path) -> None:
    writer = made(path)
    writer.close()

    writer.workers[0][0].began(1, 2, 0)

    assert seen(writer).consumer("mailer").dequeued == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_directory_that_cannot_be_written_to_is_named_with_what_to_do(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / kind
    if kind == "file":
        directory.touch()

    sentence = rf"^cannot make the stats files in {directory}: .*: make it a directory .* --stats-dir$"
    with pytest.raises(StatsDirectoryError, match=sentence):
        made(directory / "hub.stats")
    with pytest.raises(StatsDirectoryError, match=sentence), claimed(directory, "hub"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(StatsDirectoryError, match="Permission denied"):
        made(tmp_path / "hub.stats")


def test_a_full_disk_is_an_error_before_anything_is_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(StatsDirectoryError, match="No space left on device: make it a directory"):
        made(path)

    assert os.listdir(path.parent) == []


def test_every_block_of_the_segment_is_reserved(writer: SegmentWriter) -> None:
    """A store into a hole of a full tmpfs kills the hub with SIGBUS."""
    status = writer.path.stat()

    assert status.st_blocks * 512 >= status.st_size


def test_a_second_hub_of_the_name_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    with claimed(tmp_path, "hub"), pytest.raises(HubRunningError) as caught, claimed(tmp_path, "hub"):
        pass

    assert str(caught.value) == (
        f"a hub named 'hub' already runs here (pid {os.getpid()}, lock {tmp_path}/hub.lock): "
        f"stop it, or give this one another name with --name"
    )


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with claimed(tmp_path, "hub"):
        refused = another_hub(tmp_path, "os._exit(9)")

    assert refused.returncode == 1
    assert f"HubRunningError: a hub named 'hub' already runs here (pid {os.getpid()}" in refused.stderr


def test_hubs_of_other_names_may_run_in_the_same_directory(tmp_path: Path) -> None:
    with claimed(tmp_path, "hub"), claimed(tmp_path, "hub2"):
        found = sorted(os.listdir(tmp_path))

    assert found == ["hub.lock", "hub2.lock"]


def test_a_name_is_free_again_when_its_hub_has_ended_or_died(tmp_path: Path) -> None:
    with claimed(tmp_path, "hub"):
        pass
    died = another_hub(tmp_path, "os._exit(9)")

    with claimed(tmp_path, "hub"):
        holder = (tmp_path / "hub.lock").read_text(encoding="ascii")

    assert died.returncode == 9, died.stderr
    assert holder == f"{os.getpid()}\n"


def test_a_reader_that_looks_at_the_moment_of_the_start_is_in_nobodys_way(path: Path) -> None:
    """Readers try a shared lock on the segment; the one that says that a hub runs stands on another file."""
    made(path).close()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)

        with live_segment(path):
            assert glasshub_stats.read(str(path)).is_locked
    finally:
        os.close(descriptor)


def test_a_failed_start_leaves_the_older_segment_as_it_was(path: Path) -> None:
    made(path).close()
    before = path.read_bytes()

    with pytest.raises(StatsDirectoryError):
        made(path, group="nobody-knows-it")

    assert path.read_bytes() == before


def test_the_last_of_a_thousand_consumers_is_found_at_its_place(path: Path) -> None:
    with live_segment(path, [ConsumerRow(f"c{number}", 1, True) for number in range(1000)]) as writer:
        writer.consumers[999].enqueued(7)

        assert glasshub_stats.read(str(path)).consumer("c999").enqueued == 7
