# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shapes of dispatch with the backlog on disk: what comes again, what is in memory, and what a disk that refuses does.

What holds for shapes with and without a spool is in `test_dispatch.py`, `test_inlets.py` and `test_overflow.py`.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from glasshub.compat.incoming import Item
from glasshub.config import DROP_NEWEST
from glasshub.dispatch import SHAPES, SpooledShape
from glasshub.dispatch.lanes import Handed
from glasshub.errors import SpoolDamagedError
from glasshub.failure import Failure, RetryPolicy
from glasshub.message import Completion, Frame
from glasshub.spool import View
from glasshub.spool.tables import PAGE_BYTES
from glasshub.stats import Outcome

from ..disks import file_size
from ..fakes import PATIENCE, BlockingConsumer, RaisingConsumer, RecordingConsumer, frame, wait_until
from .rig import IN_PROCESS, SPOOLED, Rig, Seat, running

WINDOW = SHAPES["threads"].window

every_shape = pytest.mark.parametrize("shape", [name + SPOOLED for name in IN_PROCESS])
#: Those that have a queue in memory.
queueing_shape = pytest.mark.parametrize("shape", ["shared" + SPOOLED, "threads" + SPOOLED])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


def bodies(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def numbered(count: int) -> list[Frame]:
    return [frame(number) for number in range(count)]


def spooled(rig: Rig) -> SpooledShape:
    assert isinstance(rig.shape, SpooledShape)
    return rig.shape


def occupied(rig: Rig, consumer: BlockingConsumer) -> None:
    """Have the consumer be at a message."""
    rig.publish(frame("at hand"), to=[0])
    consumer.wait_for(1)


@every_shape
def test_a_message_is_done_for_the_source_when_it_is_on_disk(shape: str, path: Path) -> None:
    done: list[bytes] = []
    messages = numbered(3)
    for one in messages:
        one.completion = Completion(2, lambda one=one: done.append(one.body))  # type: ignore[misc]
    rig = Rig(path, shape, [Seat("a", RecordingConsumer()), Seat("b", RecordingConsumer())])
    rig.shape.end_waits()

    rig.publish(*messages)

    rig.close()
    assert done == bodies(0, 1, 2)
    with View(path.with_suffix(".spool")) as view:
        assert [state.depth for state in view.consumers()] == [3, 3]


@every_shape
def test_what_a_hub_has_left_is_handled_by_the_next_one_in_order(shape: str, path: Path) -> None:
    before = Rig(path, shape, [Seat("a", RecordingConsumer()), Seat("b", RecordingConsumer())])
    before.shape.end_waits()
    before.publish(*numbered(200))
    before.close()
    consumers = [RecordingConsumer(), RecordingConsumer()]

    with running(path, shape, Seat("b", consumers[0]), Seat("a", consumers[1])) as rig:
        found = rig.stats()
        rig.publish(*[frame(number) for number in range(200, 300)])
        rig.finish()
        stats = rig.stats()

    assert (found.restored, found.enqueued, found.backlog, found.watermark) == (200, 200, 200, 200)
    assert found.oldest_age > 0
    assert (stats.restored, stats.enqueued, stats.processed, stats.backlog) == (200, 300, 300, 0)
    assert [consumer.bodies for consumer in consumers] == [bodies(*range(300))] * 2


@every_shape
def test_what_is_finished_does_not_come_again(shape: str, path: Path) -> None:
    with running(path, shape, Seat("a", RecordingConsumer())) as rig:
        rig.publish(*numbered(150))
        rig.finish()

    with running(path, shape, Seat("a", RecordingConsumer())) as rig:
        assert (rig.stats().restored, rig.stats().backlog) == (0, 0)


@queueing_shape
def test_no_more_than_a_window_is_in_memory_and_all_of_it_counts(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(*numbered(1000))
        consumer.wait_for(1)
        rig.shape.turn()

        in_memory, stats, hub = len(rig.shape.queue(0)), rig.stats(), rig.snapshot().hub

        assert in_memory == WINDOW - 1
        assert (stats.backlog, stats.in_flight) == (999, 1)
        assert stats.watermark in (999, 1000)
        assert len(rig.shape.inlet(0)) == hub.backlog == 999


@queueing_shape
def test_consumers_do_not_get_further_than_a_window_ahead_of_the_log(shape: str, path: Path) -> None:
    """So many messages come again when the hub is killed, however long the enqueuer does not come round."""
    consumer = RecordingConsumer()
    with running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(*numbered(1000))
        wait_until(lambda: rig.stats().processed == WINDOW, "the window to be handled")

        with View(path.with_suffix(".spool")) as view:
            (state,) = view.consumers()
            assert (state.cursor, state.depth) == (0, 1000)
        rig.shape.turn()
        with View(path.with_suffix(".spool")) as view:
            (state,) = view.consumers()
            assert (state.cursor, state.depth) == (WINDOW, 1000 - WINDOW)


@queueing_shape
def test_a_window_is_bounded_in_bytes(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        for number in range(10):
            rig.publish(frame(b"%d" % number * 1_500_000))
        consumer.wait_for(1)
        rig.shape.turn()

        assert len(rig.shape.queue(0)) == 2
        consumer.release.set()
        rig.finish()

    assert [body[:1] for body in consumer.bodies] == bodies(*range(10))


@queueing_shape
def test_the_enqueuer_is_woken_when_a_small_window_is_half_empty_and_more_waits(shape: str, path: Path) -> None:
    """Of large messages a window has fewer than are finished before the enqueuer is woken otherwise."""
    calls: list[int] = []
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.shape.wake = lambda: calls.append(1)
        rig.publish(*[frame(b"%d" % number * 1_500_000) for number in range(3)])
        consumer.release.set()
        wait_until(lambda: rig.stats().processed == 3, "all that is in the window to be handled")
        before = len(calls)
        rig.publish(*[frame(b"%d" % number * 1_500_000) for number in range(6)])
        wait_until(lambda: calls, "the enqueuer to be woken")

    assert before == 0, "nothing waits"


@queueing_shape
def test_the_enqueuer_is_woken_when_much_is_finished(shape: str, path: Path) -> None:
    calls: list[int] = []
    with running(path, shape, Seat("a", RecordingConsumer())) as rig:
        rig.shape.wake = lambda: calls.append(1)

        rig.publish(*numbered(31))
        wait_until(lambda: rig.stats().processed == 31, "all to be handled")
        before = len(calls)
        rig.publish(*numbered(WINDOW - 31))
        wait_until(lambda: rig.stats().processed == WINDOW, "all to be handled")

    assert before == 0
    assert calls == [1]


def test_in_shared_messages_go_out_in_the_order_in_which_they_came_to_all_of_them(path: Path) -> None:
    order: list[tuple[str, bytes]] = []

    class Noting(RecordingConsumer):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def handle(self, frame: Frame) -> Outcome:
            order.append((self.name, frame.body))
            return super().handle(frame)

    with running(path, "shared" + SPOOLED, Seat("a", Noting("a")), Seat("b", Noting("b"))) as rig:
        rig.publish(*numbered(3 * WINDOW))
        rig.finish()

    assert order == [(name, body) for body in bodies(*range(3 * WINDOW)) for name in "ab"]


# Ending


@queueing_shape
def test_a_shape_that_is_closed_finishes_what_is_at_hand_and_keeps_the_rest(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(*numbered(10))
        consumer.wait_for(1)

        rig.shape.end_waits()
        rig.shape.turn()
        rig.shape.close()
        consumer.release.set()
        has_ended = rig.shape.join(PATIENCE)
        kept, stats = rig.shape.kept(0), rig.stats()

    assert (has_ended, consumer.bodies) == (True, [b"0"])
    assert (kept, stats.backlog, stats.in_flight, stats.processed) == (9, 9, 0, 1)
    with View(path.with_suffix(".spool")) as view:
        assert [state.depth for state in view.consumers()] == [9]


@queueing_shape
def test_a_shape_that_is_closed_finishes_what_is_not_in_the_log(shape: str, path: Path) -> None:
    """What a consumer puts for itself is an object, and would be lost."""
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer)) as rig:
        rig.publish(*numbered(2))
        consumer.wait_for(1)
        rig.shape.inlet(0).put(Item({"own": 1}))

        rig.shape.end_waits()
        rig.shape.close()
        consumer.release.set()
        assert rig.shape.join(PATIENCE)

    assert consumer.bodies == [b"0", b"1", Item({"own": 1}).body]


@every_shape
def test_what_comes_while_the_hub_stops_is_for_the_next_one(shape: str, path: Path) -> None:
    consumer = RecordingConsumer()
    with running(path, shape, Seat("a", consumer)) as rig:
        rig.shape.end_waits()
        rig.publish(*numbered(5))
        while rig.shape.turn():
            pass
        rig.shape.close()

        assert rig.shape.join(PATIENCE)
        assert (consumer.bodies, rig.shape.kept(0), rig.stats().backlog) == ([], 5, 5)


def test_what_a_consumer_takes_by_itself_does_not_come_again(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "threads" + SPOOLED, Seat("a", consumer)) as rig:
        rig.publish(*numbered(3))
        consumer.wait_for(1)

        taken = rig.shape.inlet(0).take(0)
        rig.shape.turn()

        assert taken is not None
        assert (taken.body, rig.shape.kept(0), rig.stats().withdrawn) == (b"1", 2, 1)


# Giving up


@queueing_shape
def test_a_message_that_is_parked_is_finished_and_can_be_looked_at(shape: str, path: Path) -> None:
    with (
        BlockingConsumer() as consumer,
        running(path, shape, Seat("a", RecordingConsumer()), Seat("b", consumer)) as rig,
    ):
        rig.publish(frame("bad"), to=[1])
        consumer.wait_for(1)
        message = Frame(b"t", b"", 1)
        message.completion = Handed(spooled(rig)._lanes[1], 1, 3)

        for given_up in (message, Item("own")):
            spooled(rig).park(1, given_up, Failure("KeyError: 'user'", "Traceback", 3, 1, 2))
        rig.shape.turn()

        assert rig.shape.kept(1) == 0
        with View(path.with_suffix(".spool")) as view:
            (one,) = view.parked()
    assert (one.consumer, one.body, one.error, one.traceback, one.attempts) == (
        "b",
        b"bad",
        "KeyError: 'user'",
        "Traceback",
        3,
    )


# A disk that refuses


def fill(rig: Rig) -> None:
    """Publish until the disk has taken all that it takes."""
    while True:
        rig.publish(frame(b"x" * 4000))
        if rig.stats().dropped:
            return


@queueing_shape
def test_a_full_disk_that_drops_counts_and_says_what(shape: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seats = [Seat("a", consumer := BlockingConsumer()), Seat("b", consumer)]
    with consumer, running(path, shape, *seats, limit=40 * PAGE_BYTES, full=DROP_NEWEST) as rig:
        fill(rig)
        rig.publish(frame(b"x" * 4000), to=[1])
        rig.shape.turn()
        snapshot = rig.snapshot()
        a, b = snapshot.consumers

    assert (a.dropped, b.dropped) == (1, 2)
    assert a.enqueued == a.backlog + a.in_flight + 1
    assert snapshot.hub.spool_errors == 2
    assert "has reached its limit of 655360 bytes; what comes is dropped" in caplog.text
    assert "1 messages are lost, for the disk did not take them: " in caplog.text


@queueing_shape
def test_a_full_disk_that_blocks_goes_on_when_consumers_have_made_room(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer), limit=40 * PAGE_BYTES) as rig:
        thread = threading.Thread(target=rig.publish, args=[frame(b"x" * 4000) for _ in range(1000)], daemon=True)
        for _ in range(100):
            rig.publish(frame(b"x" * 4000))
        thread.start()
        wait_for_disk(rig)
        consumer.release.set()
        thread.join(PATIENCE)
        rig.finish()
        stats = rig.snapshot()

    assert (stats.hub.spool_blocking_age, stats.consumers[0].dropped) == (0, 0)
    assert stats.consumers[0].processed == 1100


def wait_for_disk(rig: Rig) -> None:
    """Wait until the enqueuer waits for the disk, and shows that it lives nevertheless."""
    wait_until(lambda: rig.snapshot().hub.spool_blocking_age, "the enqueuer waits for the disk")
    before = rig.snapshot().hub.enqueuer_heartbeat_ns
    wait_until(lambda: rig.snapshot().hub.enqueuer_heartbeat_ns > before, "it beats")


@queueing_shape
def test_a_stop_ends_the_wait_for_the_disk_and_what_it_did_not_take_is_counted(
    shape: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer), limit=40 * PAGE_BYTES) as rig:
        thread = threading.Thread(target=rig.publish, args=[frame(b"x" * 4000) for _ in range(300)], daemon=True)
        thread.start()
        wait_for_disk(rig)
        rig.shape.end_waits()
        thread.join(PATIENCE)
        hung, stats = thread.is_alive(), rig.stats()

    assert not hung
    assert stats.enqueued == 300 == stats.backlog + stats.in_flight + stats.dropped
    assert stats.dropped > 100
    assert "messages are lost, for the disk did not take them" in caplog.text


def test_a_message_for_which_there_will_never_be_room_is_dropped_and_holds_nobody_up(path: Path) -> None:
    consumer = RecordingConsumer()
    with running(path, "threads" + SPOOLED, Seat("a", consumer), limit=40 * PAGE_BYTES) as rig:
        rig.publish(frame("1"), frame(b"x" * 600_000), frame("3"))
        rig.finish()
        stats = rig.stats()

    assert consumer.bodies == [b"1", b"3"]
    assert (stats.enqueued, stats.dropped, stats.processed) == (3, 1, 2)


def test_a_log_that_turns_out_to_be_damaged_ends_the_hub_and_the_next_one_recovers_it(path: Path) -> None:
    directory = path.with_suffix(".spool")
    with BlockingConsumer() as consumer, running(path, "threads" + SPOOLED, Seat("a", consumer)) as rig:
        rig.publish(*numbered(200))
        consumer.wait_for(1)
        with closing(sqlite3.connect(directory / "log.sqlite")) as connection, connection:
            connection.execute("DELETE FROM messages WHERE seq BETWEEN 70 AND 90")
        consumer.release.set()
        wait_until(lambda: rig.stats().processed == WINDOW, "the window to be handled")

        rig.shape.turn()  # finds what it reads
        wait_until(lambda: rig.stats().processed > WINDOW, "more to be handled")
        with pytest.raises(SpoolDamagedError, match="is damaged"):
            rig.finish()

    with running(path, "threads" + SPOOLED, Seat("a", RecordingConsumer())) as rig:
        assert 200 - 21 - 2 * WINDOW <= rig.stats().restored <= 200 - 21 - WINDOW
    assert list(directory.glob("*.damaged-*"))


def test_what_comes_when_the_log_turns_out_to_be_damaged_is_counted_and_named(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with BlockingConsumer() as consumer, running(path, "threads" + SPOOLED, Seat("a", consumer)) as rig:
        rig.publish(*numbered(100))
        consumer.wait_for(1)
        with closing(sqlite3.connect(path.with_suffix(".spool") / "log.sqlite")) as connection, connection:
            connection.execute("INSERT INTO messages VALUES (101, 1, 1, 1, x'', x'')")

        with pytest.raises(SpoolDamagedError):
            rig.publish(*numbered(3))
        stats = rig.stats()

    assert (stats.enqueued, stats.dropped) == (103, 3)
    assert "3 messages are lost" in caplog.text


def test_an_io_error_is_waited_out_like_a_full_disk(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "threads" + SPOOLED, Seat("a", consumer)) as rig:
        rig.publish(*numbered(3))
        thread = threading.Thread(target=rig.publish, args=[frame(b"x" * 4000) for _ in range(200)], daemon=True)
        with file_size(100_000):
            thread.start()
            wait_for_disk(rig)
        thread.join(PATIENCE)
        consumer.release.set()
        rig.finish()
        stats = rig.stats()

    assert (stats.enqueued, stats.processed, stats.dropped) == (203, 203, 0)


# Trying again


def test_what_waits_to_be_tried_again_takes_no_room_in_the_window(path: Path) -> None:
    consumer = RaisingConsumer(ValueError, on=bodies(*range(WINDOW)))
    policy = RetryPolicy(retries=3, delay=1e6, delay_max=1e6)
    with running(path, "threads" + SPOOLED, Seat("a", consumer, retry=policy)) as rig:
        rig.publish(*numbered(WINDOW))
        rig.turn_until(lambda: rig.stats().delayed == WINDOW, "all to have failed")
        rig.publish(frame("good"))
        rig.turn_until(lambda: rig.stats().processed == 1, "the next one to be handled")
        rig.turn_until(lambda: rig.shape.kept(0) == WINDOW, "only what is to be tried again to be in the log")

        assert rig.stats().delayed == WINDOW


def test_what_is_tried_again_is_counted_and_finished_once(path: Path) -> None:
    consumer = RaisingConsumer(ValueError)
    with running(path, "threads" + SPOOLED, Seat("a", consumer, retry=RetryPolicy(retries=2, delay=0.0))) as rig:
        rig.publish(frame(1))
        rig.turn_until(lambda: rig.stats().failed == 1, "the last attempt to have failed")
        rig.turn_until(lambda: not rig.shape.kept(0), "the log to know")
        stats = rig.stats()

    assert (stats.retried, stats.requeued, stats.delayed, stats.backlog, stats.in_flight) == (2, 2, 0, 0, 0)
    assert consumer.bodies == bodies(1, 1, 1)


# Damage


def test_a_message_that_comes_back_damaged_is_parked_and_waits_no_longer(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "threads" + SPOOLED, Seat("a", consumer)) as rig:
        rig.publish(*numbered(WINDOW + 10))
        consumer.wait_for(1)
        with closing(sqlite3.connect(path.with_suffix(".spool") / "log.sqlite")) as connection:
            connection.execute("UPDATE messages SET body = x'00' WHERE seq = ?", (WINDOW + 5,))
            connection.commit()
        consumer.release.set()
        rig.turn_until(lambda: rig.stats().processed == WINDOW + 9, "the others to be handled")
        stats = rig.stats()

    assert (stats.dropped, stats.backlog, stats.in_flight) == (1, 0, 0)
