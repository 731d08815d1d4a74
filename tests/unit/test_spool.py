# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog: what was accepted is given, in order, until it is finished; and what is counted is true."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from glasshub.errors import SpoolDamagedError, SpoolError, SpoolFullError
from glasshub.message import Frame
from glasshub.spool import Entry, Log, View
from glasshub.spool import log as log_module
from glasshub.spool.tables import PAGE_BYTES

from ..fakes import frame


def put(log: Log, *bodies: int, to: tuple[int, ...] = (0,)) -> range:
    """Append messages of these bodies."""
    return log.append([(frame(body), to) for body in bodies])


def seqs(entries: Sequence[Entry]) -> list[int]:
    """Their numbers."""
    return [entry.seq for entry in entries]


def bodies(entries: Sequence[Entry]) -> list[int]:
    """Their bodies."""
    return [int(entry.frame.body) for entry in entries]


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_consumer_is_given_what_it_wants_in_order(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        log.append([(frame(n), (0, 1) if n % 3 else (1,)) for n in range(10)])

        assert bodies(log.take(0, 4)) == [1, 2, 4, 5]
        assert bodies(log.take(0, 64)) == [7, 8]
        assert log.take(0, 64) == []
        assert bodies(log.take(1, 64)) == list(range(10))


def test_a_message_comes_out_as_it_went_in(tmp_path: Path) -> None:
    message = Frame(b"org.t\xc3\xa9st", bytes(range(256)) * 300, time.monotonic_ns())
    with Log(tmp_path, consumers=["a"]) as log:
        log.append([(message, (0,))])

        (entry,) = log.take(0, 1)

    assert (entry.frame.topic, entry.frame.body) == (message.topic, message.body)
    assert entry.frame.received_ns == message.received_ns


def test_a_message_that_nobody_wants_is_not_kept(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        numbers = log.append([(frame(1), ()), (frame(2), (0,)), (frame(3), ())])

        assert (list(numbers), log.depth(0), bodies(log.take(0, 9))) == ([1], 1, [2])
        assert put(log, 4, to=()) == range(0)


def test_depth_counts_what_is_not_finished_for_that_consumer(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, 1, 2, 3, to=(0, 1))
        put(log, 4, to=(1,))
        before = log.depth(0), log.depth(1)
        log.take(1, 2)
        log.acknowledge(1, [1])

        assert (before, (log.depth(0), log.depth(1))) == ((3, 4), (3, 3))


def test_a_window_ends_when_it_is_large_but_has_one_message(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        log.append([(frame(b"x" * 1000), (0,)) for _ in range(5)])

        windows = [seqs(log.take(0, 9, size=size)) for size in (1500, 1, 10_000)]

    assert windows == [[1, 2], [3], [4, 5]]


def test_what_is_finished_stays_so_whatever_is_not(tmp_path: Path) -> None:
    """Workers finish in any order: only what is not finished comes again after a crash, before what never came."""
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, *range(6))
        log.take(0, 4)
        finished = log.acknowledge(0, [2, 4]), log.acknowledge(0, [1])

    with Log(tmp_path, consumers=["a"]) as log:
        assert (finished, log.depth(0), log.waiting(0)) == ((2, 1), 3, 3)
        assert [seqs(log.take(0, 9)), seqs(log.take(0, 9))] == [[3], [5, 6]]


def test_a_message_that_waits_for_another_try_keeps_nobody_behind_it(tmp_path: Path) -> None:
    """Else all that was finished since would come again, after a day of it."""
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1)
        log.take(0, 1)
        for start in range(0, 5000, 100):
            put(log, *range(start, start + 100))
            log.acknowledge(0, seqs(log.take(0, 100)))

    with Log(tmp_path, consumers=["a"]) as log, View(tmp_path) as view:
        (state,) = view.consumers()
        assert (log.depth(0), state.depth, state.cursor) == (1, 1, 5001)
        assert seqs(log.take(0, 9)) == [1]


def test_what_somebody_absent_has_not_finished_stays_and_can_be_seen(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, *range(600), to=(0, 1))
        log.acknowledge(0, seqs(log.take(0, 600))[1:])
    with Log(tmp_path, consumers=["b"]) as log:
        leftovers = log.leftovers
        log.acknowledge(0, seqs(log.take(0, 600)))
        log.compact()
        with View(tmp_path) as view:
            first, second, (a, b) = view.message(1), view.message(2), view.consumers()

    with Log(tmp_path, consumers=["a"]) as log:
        assert (log.depth(0), bodies(log.take(0, 9)), log.recovery) == (1, [0], "")
    assert leftovers == {"a": 1}
    assert first is not None
    assert second is not None
    assert (first.waiting, second.waiting, a.depth, b.depth) == (("a",), (), 1, 0)
    assert (a.oldest_ns, b.oldest_ns) == (first.received_ns, 0)


def test_a_message_that_damage_took_is_not_waited_for(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "gone"]) as log:
        put(log, 1, 2, 3)
        log.acknowledge(0, seqs(log.take(0, 3))[2:])
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection, connection:
        connection.execute("DELETE FROM messages WHERE seq = 1")

    with Log(tmp_path, consumers=["a"]) as log:
        assert (log.depth(0), seqs(log.take(0, 9)), log.recovery) == (1, [2], "")


def test_a_message_is_finished_once(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2)
        log.take(0, 1)

        assert [log.acknowledge(0, [1]), log.acknowledge(0, [1]), log.acknowledge(0, [2, 77])] == [1, 0, 0]
        assert log.depth(0) == 1


def test_what_was_given_and_not_finished_comes_again_after_a_restart(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2)
        log.take(0, 2)

    with Log(tmp_path, consumers=["a"]) as log:
        assert bodies(log.take(0, 9)) == [1, 2]


def test_what_is_given_back_comes_first_and_what_is_finished_does_not(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, *range(5))
        log.take(0, 3)
        log.acknowledge(0, [2])
        log.give_back(0, [3, 1, 2, 1, 99])

        depth, windows = log.depth(0), [seqs(log.take(0, 9)) for _ in range(3)]

    assert (depth, windows) == (4, [[1, 3], [4, 5], []])


def test_what_is_finished_after_it_was_given_back_does_not_come_again(tmp_path: Path) -> None:
    """The acknowledgement of a worker that died was on its way."""
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2)
        log.take(0, 2)
        log.give_back(0, [1, 2])

        assert log.acknowledge(0, [1]) == 1
        assert seqs(log.take(0, 9)) == [2]


def test_a_stuck_worker_bounds_how_far_its_neighbours_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "REACH", 3)
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, *range(5))
        given = seqs(log.take(0, 9)), seqs(log.take(0, 9))
        log.acknowledge(0, [3])

        assert (given, seqs(log.take(0, 9))) == (([1, 2, 3], []), [4])


def test_a_new_consumer_begins_at_the_end(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1)

    with Log(tmp_path, consumers=["b", "a"]) as log:
        put(log, 2, to=(0, 1))

        assert (bodies(log.take(0, 9)), bodies(log.take(1, 9))) == ([2], [1, 2])


def test_a_new_consumer_may_begin_with_the_oldest_that_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_BATCH", 4)
    with Log(tmp_path, consumers=["a"]) as log:
        for n in range(6):
            log.append([(frame(n, topic=b"odd" if n % 2 else b"even"), (0,))])
    oldest = {"b": b"odd".__eq__, "a": b"even".__eq__}

    with Log(tmp_path, consumers=["a", "b"], oldest=oldest) as log:
        depths = log.depth(0), log.depth(1)

        assert (depths, bodies(log.take(0, 9)), bodies(log.take(1, 9))) == ((6, 3), list(range(6)), [1, 3, 5])


def test_a_consumer_that_is_left_out_is_reported_and_keeps_its_place(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, 1, 2, to=(0, 1))
    with Log(tmp_path, consumers=["b"]) as log:
        leftovers = dict(log.leftovers)
        log.take(0, 9)
        log.acknowledge(0, [1, 2])
        while log.tidy():
            pass

    with Log(tmp_path, consumers=["b", "a"]) as log:
        assert (leftovers, log.leftovers, log.depth(0), bodies(log.take(1, 9))) == ({"a": 2}, {}, 0, [1, 2])


def test_a_dropped_consumer_is_forgotten_and_holds_nothing_back(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, 1, 2, 3, to=(0, 1))
        log.take(0, 9)
        log.park(0, 1, error="bad")
    with Log(tmp_path, consumers=["b"]) as log:
        log.take(0, 9)
        log.acknowledge(0, [1, 2, 3])
        log.drop_consumer("a")
        log.tidy()

    with View(tmp_path) as view:
        assert [state.name for state in view.consumers()] == ["b"]
        assert list(view.parked()) == []
        assert view.message(2) is None
    with Log(tmp_path, consumers=["a", "b"]) as log:
        assert log.depth(0) == 0


def test_a_consumer_that_runs_is_not_dropped(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        with pytest.raises(SpoolError, match="consumer a is not left over: it runs"):
            log.drop_consumer("a")
        with pytest.raises(SpoolError, match="knows no consumer b"):
            log.drop_consumer("b")


def test_what_everybody_has_finished_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_TRIM", 2)
    with Log(tmp_path, consumers=["a", "b", "c"]) as log:
        put(log, *range(10), to=(0, 1))
        for consumer in (0, 1):
            log.take(consumer, 9)
            log.acknowledge(consumer, range(1, 8 - consumer))
        with View(tmp_path) as view:
            before = view.message(1)
        while log.tidy():
            pass

        with View(tmp_path) as view:
            assert [view.message(seq) is None for seq in (1, 6, 7)] == [True, True, False]
    assert before is None, "acknowledging alone removes what has become a piece"


def test_a_consumer_that_wants_nothing_holds_nothing_back(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "idle"]) as log:
        put(log, 1, 2, 3)
        log.take(0, 9)
        log.acknowledge(0, [1, 2, 3])
        log.tidy()

        with View(tmp_path) as view:
            assert [view.message(seq) is None for seq in (1, 2, 3)] == [True, True, False]


def test_a_message_that_waits_holds_back_nothing_before_it(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "rare"]) as log:
        put(log, 1, 2, 3)
        put(log, 4, to=(1,))
        log.take(0, 9)
        log.acknowledge(0, [1, 2, 3])
        log.tidy()

        with View(tmp_path) as view:
            assert [view.message(seq) is None for seq in (1, 2, 3, 4)] == [True, True, True, False]


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2, 3)
        log.take(0, 9)
        log.acknowledge(0, [1, 2, 3])
        log.compact()

    with Log(tmp_path, consumers=["a"]) as log:
        assert put(log, 4) == range(4, 5)


def test_removed_messages_make_room_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog that has been large does not keep the disk, without anybody's doing."""
    monkeypatch.setattr(log_module, "_FEW_PAGES", 20)
    with Log(tmp_path, consumers=["a"]) as log:
        for _ in range(10):
            log.append([(frame(b"x" * 8000), (0,)) for _ in range(100)])
        before = pages(tmp_path)
        log.acknowledge(0, seqs(log.take(0, 1000, size=1 << 30)))
        while log.tidy():
            pass

        assert pages(tmp_path) < before / 2


def pages(directory: Path) -> int:
    """How many pages the file has, those of the write-ahead log included."""
    connection = sqlite3.connect(directory / "log.sqlite")
    try:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])
    finally:
        connection.close()


def test_compacting_leaves_no_free_page_and_no_write_ahead_log(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        log.append([(frame(b"x" * 8000), (0,)) for _ in range(100)])
        log.acknowledge(0, seqs(log.take(0, 1000, size=1 << 30)))
        log.compact()

        assert (tmp_path / "log.sqlite").stat().st_size < 12 * PAGE_BYTES
        assert (tmp_path / "log.sqlite-wal").stat().st_size == 0


def test_a_full_spool_that_blocks_accepts_nothing_until_there_is_room(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"], limit_bytes=40 * PAGE_BYTES, synchronous="NORMAL") as log:
        accepted = fill(log)
        with pytest.raises(SpoolFullError, match="reached its limit of 655360 bytes"):
            put(log, 1)
        depth = log.depth(0)
        log.acknowledge(0, seqs(log.take(0, 1000, size=1 << 30)))
        log.tidy()

        assert depth == accepted
        assert put(log, 1) == range(accepted + 1, accepted + 2)


def fill(log: Log) -> int:
    """How many messages went in until it was full, even for a short one."""
    accepted = 0
    for body in (b"x" * 4000, b"x"):
        with suppress(SpoolFullError):
            while True:
                accepted += len(log.append([(frame(body), (0,))]))
    return accepted


def test_short_messages_do_not_get_past_the_limit(tmp_path: Path) -> None:
    """What they take is mostly not their own bytes, and it is not looked each time how much is left."""
    with Log(tmp_path, consumers=["a"], limit_bytes=40 * PAGE_BYTES, synchronous="NORMAL") as log:
        with suppress(SpoolFullError):
            while True:
                log.append([(frame(b"x"), (0,))] * 100)

        assert log.depth(0) > 5_000
    with View(tmp_path) as view:
        assert view.used_bytes() <= 40 * PAGE_BYTES


def test_a_full_spool_acknowledges_and_parks(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"], limit_bytes=40 * PAGE_BYTES, synchronous="NORMAL") as log:
        accepted = fill(log)
        for seq in seqs(log.take(0, 100)):
            log.park(0, seq, error="bad")

        assert log.depth(0) == accepted - 100


def test_nothing_is_accepted_when_the_file_system_is_nearly_full(tmp_path: Path) -> None:
    with (
        Log(tmp_path, consumers=["a"], reserve_bytes=1 << 62) as log,
        pytest.raises(SpoolFullError, match=r"has \d+ bytes left, and \d+ are kept for finishing"),
    ):
        put(log, 1)


def test_a_parked_message_is_finished_and_can_be_looked_at(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        log.append([(frame(b"{}", topic=b"org.bad"), (0,))])
        log.take(0, 1)
        log.park(0, 1, error="ValueError: no", traceback="Traceback:\n  x", attempts=3)
        depth = log.depth(0)

    with View(tmp_path) as view:
        (parked,) = view.parked()
        assert (depth, view.consumers()[0].parked) == (0, 1)
    assert (parked.consumer, parked.seq, parked.topic, parked.body) == ("a", 1, b"org.bad", b"{}")
    assert (parked.error, parked.traceback, parked.attempts) == ("ValueError: no", "Traceback:\n  x", 3)
    assert 0 < parked.received_ns <= parked.parked_ns <= time.time_ns()


def test_a_parked_message_that_is_retried_comes_again_for_its_consumer_alone(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, 5, to=(0, 1))
        log.take(0, 1)
        log.park(0, 1, error="bad")

        new = log.retry("a", 1)

        assert (new, log.depth(0), log.depth(1)) == (2, 1, 1)
        assert ([(e.seq, e.frame.body) for e in log.take(0, 9)], seqs(log.take(1, 9))) == ([(2, b"5")], [1])
        with View(tmp_path) as view:
            assert list(view.parked()) == []


def test_a_parked_message_that_is_discarded_is_gone(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 5, 6)
        log.take(0, 2)
        log.park(0, 1, error="bad")
        log.park(0, 2, error="bad")

        log.discard("a", 1)

        with View(tmp_path) as view:
            assert [one.seq for one in view.parked()] == [2]


@pytest.mark.parametrize("action", [Log.retry, Log.discard])
def test_what_is_not_parked_is_neither_retried_nor_discarded(tmp_path: Path, action: Callable[..., object]) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 5)
        with pytest.raises(SpoolError, match="no message 1 of a is parked"):
            action(log, "a", 1)


def test_next_is_when_the_message_was_received_that_is_given_next(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        found = [log.next_ns(0)]
        log.append([(frame(n, received_ns=n * 1000), (0,)) for n in (1, 2)])
        found.append(log.next_ns(0))
        log.take(0, 1)
        found.append(log.next_ns(0))
        log.give_back(0, [1])
        found.append(log.next_ns(0))

    assert found == [0, 1000, 2000, 1000]


def test_last_is_when_the_last_message_was_received_even_if_it_is_finished(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        first = log.last_ns()
        put(log, 1, 2)
        log.acknowledge(0, seqs(log.take(0, 2)))
        log.compact()

    with Log(tmp_path, consumers=["a"]) as log:
        assert (first, 0 < time.time_ns() - log.last_ns() < 60 * 10**9) == (0, True)


def test_a_message_is_never_from_the_future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was set back by a day while the hub was down."""
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1)
    a_day_ago = time.time_ns() - 86_400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: a_day_ago)

    with Log(tmp_path, consumers=["a"]) as log:
        (entry,) = log.take(0, 1)

    assert 0 < entry.frame.received_ns <= time.monotonic_ns()


def test_a_message_whose_bytes_changed_on_disk_is_parked_and_not_given(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1111, 2222, 3333)
    file = tmp_path / "log.sqlite"
    file.write_bytes(file.read_bytes().replace(b"2222", b"2232"))

    with Log(tmp_path, consumers=["a"]) as log:
        given, damaged, depth = bodies(log.take(0, 9)), log.damaged, log.depth(0)

    with View(tmp_path) as view:
        (parked,) = view.parked()
    assert (given, damaged, depth) == ([1111, 3333], 1, 2)
    assert (parked.seq, parked.body, parked.error[:15]) == (2, b"2232", "damaged on disk")


def test_nothing_is_forgotten_when_there_is_no_room_to_park_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1111, 2222, 3333)
    file = tmp_path / "log.sqlite"
    file.write_bytes(file.read_bytes().replace(b"2222", b"2232"))

    def no_room(*_: object, **__: object) -> None:
        raise SpoolFullError("no room")

    with Log(tmp_path, consumers=["a"]) as log:
        with monkeypatch.context() as patch:
            patch.setattr(log, "park", no_room)
            with pytest.raises(SpoolFullError):
                log.take(0, 9)

        assert (bodies(log.take(0, 9)), log.damaged) == ([1111, 3333], 1)


def test_only_one_process_writes(tmp_path: Path) -> None:
    code = f"from glasshub.spool import Log; Log({str(tmp_path)!r})"
    with Log(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert f"another process writes to the spool {tmp_path}: stop the hub first" in other.stderr


def test_another_one_may_write_when_the_first_has_closed_or_failed(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]):
        pass
    with pytest.raises(UnicodeEncodeError), Log(tmp_path, consumers=["\udc80"]):
        pass

    with Log(tmp_path, consumers=["a"]) as log:
        assert log.leftovers == {}


def test_readers_see_what_was_accepted_while_the_log_is_open(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a", "b"]) as log:
        put(log, 1, 2, 3, to=(0, 1))
        put(log, 4, to=(1,))
        log.take(0, 9)
        log.acknowledge(0, [1, 2])

        with View(tmp_path) as view:
            states = view.consumers()
            stored = view.message(3), view.message(2)

    assert [(s.name, s.cursor, s.depth, s.parked) for s in states] == [("a", 2, 1, 0), ("b", 0, 4, 0)]
    assert [one and one.waiting for one in stored] == [("a", "b"), ("b",)]
    assert 0 < states[0].oldest_ns <= time.time_ns()


def test_a_reader_holds_no_writer_up(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1)
        log.take(0, 1)
        log.park(0, 1, error="bad")
        with View(tmp_path) as view:
            reading = view.parked()
            next(reading)

            put(log, 2)
            log.acknowledge(0, seqs(log.take(0, 9)))
            log.compact()

            assert list(reading) == []


def test_a_reader_holds_no_start_up(tmp_path: Path) -> None:
    """SQLite would wait for it for ten seconds."""
    log = Log(tmp_path, consumers=["a"])
    put(log, 1, 2)
    for entry in log.take(0, 2):
        log.park(0, entry.seq, error="bad")
    with View(tmp_path) as view:
        reading = view.parked()
        next(reading)
        put(log, 3)
        log.close()  # and what it wrote last stays in the write-ahead log
        began = time.monotonic()

        Log(tmp_path, consumers=["a"]).close()

        assert (time.monotonic() - began < 5.0, len(list(reading))) == (True, 1)


def test_depths_of_many_consumers_are_what_counting_each_would_tell(tmp_path: Path) -> None:
    """They are counted in one pass."""
    names = [f"c{n}" for n in range(5)]
    with Log(tmp_path, consumers=names) as log:
        for n in range(60):
            log.append([(frame(n), tuple(c for c in range(5) if n % (c + 1) == 0))])
        for consumer in range(5):
            log.acknowledge(consumer, seqs(log.take(consumer, consumer * 3)))
        expected = [log.depth(consumer) for consumer in range(5)]

        with View(tmp_path) as view:
            assert [state.depth for state in view.consumers()] == expected
    with Log(tmp_path, consumers=names) as log:
        assert [log.depth(consumer) for consumer in range(5)] == expected


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    old = os.umask(0)
    try:
        with Log(directory, consumers=["a"]) as log:
            put(log, 1)
            modes = {file.name: mode(file) for file in directory.iterdir()}
    finally:
        os.umask(old)

    assert mode(directory) == 0o700
    assert modes == {"log.sqlite": 0o600, "log.sqlite-wal": 0o600, "log.sqlite-shm": 0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_what_root_does_stays_with_the_owner_of_the_directory(tmp_path: Path) -> None:
    """An administrator's look must not lock the hub out."""
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    with Log(directory, consumers=["a"]) as log:
        put(log, 1)

    with View(directory) as view:
        view.consumers()
        owners = {file.stat().st_uid for file in directory.iterdir()}

    assert owners == {12345}


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)

    with pytest.raises(SpoolError, match=r"others may write to the spool directory .* \(mode 0770\): chmod 700"):
        Log(tmp_path)


def test_a_directory_that_is_a_file_or_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match=r"cannot make the spool directory .*: File exists"):
        Log(tmp_path / "file")
    with pytest.raises(SpoolError, match=r"cannot make the spool directory .*: No such file"):
        Log(tmp_path / "none" / "spool")
    with pytest.raises(SpoolError, match="is a file: name a directory"):
        View(tmp_path / "file")
    with pytest.raises(SpoolError, match="there is no spool in"):
        View(tmp_path)


def test_a_log_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1)
    connection = sqlite3.connect(tmp_path / "log.sqlite")
    connection.execute("PRAGMA user_version = 2")
    connection.close()

    for opens in (Log, View):
        with pytest.raises(SpoolError, match=r"written by a newer Glasshub \(format 2, this one reads 1\)"):
            opens(tmp_path)
    assert not list(tmp_path.glob("*damaged*"))


def test_only_appending_and_parking_wait_for_the_disk(tmp_path: Path) -> None:
    """What acknowledging writes may be lost with the power: then a message comes twice, and none is lost."""
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2)
        given = log.take(0, 2)
        statements: list[str] = []
        log._connection.set_trace_callback(statements.append)
        log.acknowledge(0, seqs(given))
        put(log, 3)

        settings = [at for at, statement in enumerate(statements) if "synchronous =" in statement]
        update, insert = (
            next(at for at, statement in enumerate(statements) if statement.startswith(word))
            for word in ("UPDATE", "INSERT")
        )
    assert [statements[at].split()[-1] for at in settings] == ["NORMAL", "FULL"]
    assert settings[0] < update < settings[1] < insert


def test_a_damaged_index_is_noticed_and_noted(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        put(log, 1, 2)
        log._connection.execute("DELETE FROM messages WHERE seq = 2")

        with pytest.raises(SpoolDamagedError, match="2 messages wait, 1 are found"):
            log.take(0, 9)
        assert (tmp_path / "log.sqlite.is-damaged").exists()
