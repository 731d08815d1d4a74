# SPDX-License-Identifier: LGPL-2.1-or-later
"""When there is no room: what each overflow policy does in each shape, and that everything is accounted for."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import SupportsIndex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasshub.compat.incoming import Item
from glasshub.config import BLOCK, DROP_NEWEST, DROP_OLDEST, POLICIES
from glasshub.consumer import Inlet
from glasshub.dispatch.shared import Parcel, SharedShape
from glasshub.message import FRAME_WEIGHT, Completion, Frame
from glasshub.stats import Outcome
from glasshub_stats import ConsumerStats

from ..fakes import PATIENCE, BlockingConsumer, RecordingConsumer, frame, wait_until
from .rig import IN_PROCESS, Rig, Seat, every_shape, memory_shape, queueing_shape, running

SECOND = 1_000_000_000
KB = 1000
MB = 1000 * KB

#: Messages that the enqueuer dispatches at a time.
any_batch = pytest.mark.parametrize("batch", [1, 3, 20])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


def accounted(stats: ConsumerStats) -> int:
    """Everything that has become of the messages of a consumer."""
    return stats.finished + stats.dropped + stats.withdrawn + stats.backlog + stats.in_flight


def bodies(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def occupied(rig: Rig, consumer: BlockingConsumer, station: int = 0) -> None:
    """Have the consumer be at a message, so that everything that comes later stays in its queue."""
    rig.publish(frame("at hand"), to=[station])
    consumer.wait_for(1)


def publish(rig: Rig, numbers: Sequence[int], batch: int, to: Sequence[int] | None = None) -> None:
    """Publish numbered messages, so many at a time."""
    for start in range(0, len(numbers), batch):
        rig.publish(*[frame(number) for number in numbers[start : start + batch]], to=to)


@contextmanager
def dispatching(rig: Rig, *frames: Frame, to: Sequence[int] | None = None) -> Iterator[threading.Thread]:
    """An enqueuer that is about to dispatch messages, and has at the end of the context."""
    thread = threading.Thread(target=rig.publish, args=frames, kwargs={"to": to}, daemon=True)
    thread.start()
    yield thread
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the enqueuer waits for ever"


@any_batch
@queueing_shape
def test_drop_oldest_keeps_the_newest_messages(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, capacity=5)) as rig:
        occupied(rig, consumer)

        publish(rig, range(12), batch)
        full = rig.stats()
        consumer.release.set()
        rig.finish()

    assert (full.dropped, full.backlog, full.watermark, full.enqueued) == (7, 5, 5, 13)
    assert consumer.bodies[1:] == bodies(7, 8, 9, 10, 11)
    assert accounted(rig.stats()) == rig.stats().processed + 7 == 13


@any_batch
@queueing_shape
def test_drop_newest_keeps_the_oldest_messages(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, 1, "", 5, DROP_NEWEST)) as rig:
        occupied(rig, consumer)

        publish(rig, range(12), batch)
        full = rig.stats()
        consumer.release.set()
        rig.finish()

    assert (full.dropped, full.backlog, full.watermark, full.enqueued) == (7, 5, 5, 13)
    assert consumer.bodies[1:] == bodies(0, 1, 2, 3, 4)
    assert accounted(rig.stats()) == rig.stats().processed + 7 == 13


@any_batch
@queueing_shape
def test_block_has_the_enqueuer_wait_and_loses_nothing(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, capacity=5, policy=BLOCK)) as rig:
        occupied(rig, consumer)
        publish(rig, range(5), batch if batch < 5 else 5)

        with dispatching(rig, *[frame(number) for number in range(5, 30)]):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            waiting = rig.stats()
            consumer.release.set()
        rig.finish()
        stats = rig.stats()

    assert (waiting.backlog, waiting.enqueued) == (5, 6)
    assert consumer.bodies[1:] == bodies(*range(30))
    assert (stats.dropped, stats.watermark, stats.blocking_age) == (0, 5, 0)
    assert stats.blocked_seconds > 0


@queueing_shape
def test_a_consumer_that_keeps_up_with_its_capacity_is_never_in_the_way(shape: str, path: Path) -> None:
    consumer = RecordingConsumer()
    with running(path, shape, Seat("a", consumer, capacity=20)) as rig:
        for number in range(500):
            rig.publish(*[frame(number)] * 20)
            wait_until(lambda number=number: rig.stats().processed == 20 * (number + 1), "they are processed")  # type: ignore[misc]

        assert (rig.stats().dropped, rig.stats().blocked_seconds) == (0, 0)


@queueing_shape
def test_a_waiting_enqueuer_shows_that_it_lives(shape: str, path: Path) -> None:
    """Else the hub would count as stuck, and be restarted by whoever watches it."""
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, capacity=1, policy=BLOCK)) as rig:
        occupied(rig, consumer)

        with dispatching(rig, frame(), frame()):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            first = rig.snapshot().hub.enqueuer_heartbeat_ns
            wait_until(lambda: rig.snapshot().hub.enqueuer_heartbeat_ns > first, "another heartbeat")
            consumer.release.set()


@queueing_shape
def test_a_stop_ends_the_wait_and_what_has_come_is_in_the_queue(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, capacity=2, policy=BLOCK)) as rig:
        occupied(rig, consumer)

        with dispatching(rig, *[frame(number) for number in range(10)]):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            rig.shape.end_waits()
        rig.publish(frame(10))
        stats = rig.stats()

        assert (stats.backlog, stats.dropped, stats.blocking_age) == (11, 0, 0)


@queueing_shape
def test_a_wait_is_logged_with_its_beginning_its_end_and_its_length(
    shape: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("mailer", consumer, 1, "", 1, BLOCK)) as rig:
        occupied(rig, consumer)
        with dispatching(rig, frame(), frame()):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            began = [record.getMessage() for record in caplog.records]
            consumer.release.set()
        rig.finish()

    assert began == ["mailer: no room (capacity = 1): the enqueuer waits for it, and every other consumer with it"]
    ended = caplog.records[1].getMessage()
    assert ended.startswith("the enqueuer has waited 0.")
    assert ended.endswith(" s for mailer")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


@queueing_shape
def test_drops_are_logged_with_numbers_and_once(shape: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("mailer", consumer, capacity=5)) as rig:
        occupied(rig, consumer)
        publish(rig, range(100), 1)

    assert [record.getMessage() for record in caplog.records] == [
        "mailer: no room (capacity = 5): 1 messages dropped (drop-oldest), 1 since the start"
    ]


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
@queueing_shape
def test_what_is_dropped_for_one_consumer_reaches_the_others(shape: str, path: Path, policy: str) -> None:
    other = RecordingConsumer()
    with BlockingConsumer() as full:
        seats = [Seat("full", full, capacity=3, policy=policy), Seat("other", other)]
        with running(path, shape, *seats) as rig:
            occupied(rig, full)

            publish(rig, range(50), 4)
            before = rig.snapshot()
            full.release.set()
            rig.finish()
            after = rig.snapshot()

    assert other.bodies == bodies(*range(50))
    assert full.bodies[1:] == bodies(*(range(47, 50) if policy == DROP_OLDEST else range(3)))
    assert (before.consumer("full").dropped, before.consumer("other").dropped) == (47, 0)
    assert before.hub.backlog == (50 if shape == "shared" else before.consumer("other").backlog + 3)
    assert after.hub.backlog == 0


def test_in_shared_the_backlog_of_the_hub_is_what_somebody_is_still_to_get(path: Path) -> None:
    with BlockingConsumer() as consumer:
        seats = [Seat("a", consumer, capacity=3), Seat("b", RecordingConsumer(), capacity=2)]
        with running(path, "shared", *seats) as rig:
            occupied(rig, consumer)

            publish(rig, range(10), 1)

            assert rig.snapshot().hub.backlog == 3
            consumer.release.set()
            wait_until(lambda: rig.snapshot().hub.backlog == rig.stats().in_flight == 0, "all that is left is done")
            consumer.release.clear()
            rig.publish(frame("at hand again"), frame("waiting"))
            consumer.wait_for(5)
            assert rig.snapshot().hub.backlog == 1


def test_in_shared_what_is_dropped_at_the_dispatchers_hand_is_taken_and_not_dropped_for_the_hub(path: Path) -> None:
    """It is dropped after the dispatcher took it, and before it could hand it to the first consumer."""
    rig = Rig(path, "shared", [Seat("a", RecordingConsumer())])
    assert isinstance(rig.shape, SharedShape)
    rig.publish(frame())
    parcel = rig.shape._queue.take()
    assert parcel is not None

    dropped = rig.shape._parts[0].drop(newest=False)
    rig.close()

    assert dropped is not None
    assert not rig.shape._parts[0].claim(parcel)
    assert rig.snapshot().hub.queue_dropped == 0


def test_in_shared_what_is_dropped_between_the_dispatchers_look_and_its_grasp_is_not_mistaken(path: Path) -> None:
    rig = Rig(path, "shared", [Seat("a", RecordingConsumer())])
    assert isinstance(rig.shape, SharedShape)
    rig.publish(frame(0), frame(1))
    parcel = rig.shape._queue.take()
    (part,) = rig.shape._parts
    assert parcel is not None

    class Slow(deque[Parcel]):
        def __getitem__(self, index: SupportsIndex) -> Parcel:  # type: ignore[override]
            found = super().__getitem__(index)
            part.drop(newest=False)
            return found

    part.parcels = Slow(part.parcels)
    is_claimed = part.claim(parcel)
    rig.close()

    assert not is_claimed
    assert [one.body for one in part.waiting()] == [b"1"]


def test_in_shared_what_nobody_wants_any_more_does_not_fill_the_memory(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "shared", Seat("a", consumer, capacity=2)) as rig:
        occupied(rig, consumer)

        publish(rig, range(10_000), 100)
        assert isinstance(rig.shape, SharedShape)

        assert len(rig.shape._queue) <= 1002
        consumer.release.set()
        rig.finish()

    assert consumer.bodies[1:] == bodies(9998, 9999)


@queueing_shape
def test_after_a_drop_the_oldest_age_is_that_of_the_message_which_is_first_now(shape: str, path: Path) -> None:
    now_ns = time.monotonic_ns()
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, capacity=2)) as rig:
        occupied(rig, consumer)

        for number in range(5):
            rig.publish(frame(number, received_ns=now_ns - (500 - 100 * number) * SECOND))
        age = rig.stats().oldest_age

    assert age == pytest.approx(200, abs=PATIENCE)


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
@memory_shape
def test_what_is_dropped_is_done_for_a_source_that_wants_to_know(shape: str, path: Path, policy: str) -> None:
    done: list[bytes] = []
    frames = [frame(number) for number in range(6)]
    for one in frames:
        one.completion = Completion(1, lambda one=one: done.append(one.body))  # type: ignore[misc]
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, 1, "", 2, policy)) as rig:
        occupied(rig, consumer)

        rig.publish(*frames)

        assert sorted(done) == (bodies(0, 1, 2, 3) if policy == DROP_OLDEST else bodies(2, 3, 4, 5))


@every_shape
@pytest.mark.parametrize(
    ("policy", "left", "dropped"), [(DROP_OLDEST, (2, 3), 2), (DROP_NEWEST, (0, 1), 2), (BLOCK, (0, 1, 2, 3), 0)]
)
def test_who_puts_past_the_enqueuer_never_waits(
    shape: str, path: Path, policy: str, left: tuple[int, ...], dropped: int
) -> None:
    """Its own worker might be the one to make room: with `block` its message goes in beyond the capacity."""
    consumer = RecordingConsumer()
    rig = Rig(path, shape, [Seat("a", consumer, capacity=2, policy=policy)])

    for number in range(4):
        rig.shape.inlet(0).put(frame(number))
    full = rig.stats()
    rig.shape.start()
    rig.finish()
    rig.close()

    assert (full.backlog, full.dropped, full.injected, full.enqueued) == (len(left), dropped, 4, 4)
    assert consumer.bodies == bodies(*left)


class FollowingUp(RecordingConsumer):
    """Puts two more for itself with each message, until there have been ten."""

    inlet: Inlet

    def handle(self, message: Frame) -> Outcome:
        """Do so."""
        outcome = super().handle(message)
        if len(self.bodies) < 10:
            self.inlet.put(frame("own"))
            self.inlet.put(frame("own"))
        return outcome


@pytest.mark.parametrize("policy", POLICIES)
@every_shape
def test_a_consumer_that_puts_for_itself_does_not_wait_for_itself(shape: str, path: Path, policy: str) -> None:
    consumer = FollowingUp()
    with running(path, shape, Seat("a", consumer, capacity=1, policy=policy)) as rig:
        consumer.inlet = rig.shape.inlet(0)

        with dispatching(rig, *[frame(number) for number in range(5)]):
            pass
        rig.finish()
        stats = rig.stats()

    assert (stats.backlog, stats.in_flight, stats.dropped > 0) == (0, 0, policy != BLOCK)
    assert accounted(stats) == stats.enqueued == len(consumer.bodies) + stats.dropped


def weighing(size: int, number: int = 0) -> Frame:
    """A message that takes so many bytes of memory."""
    return frame((b"%d " % number).ljust(size - FRAME_WEIGHT - len(b"org.test")))


def reserved(rig: Rig, *frames: Frame, to: Sequence[int] | None = None) -> None:
    """What the enqueuer does with a batch."""
    rig.shape.reserve(sum(one.weight for one in frames))
    rig.publish(*frames, to=to)


def reserved_singly(rig: Rig, count: int) -> None:
    """So many batches of one message of 10 KB each."""
    for number in range(count):
        reserved(rig, weighing(10 * KB, number))


def held(rig: Rig) -> int:
    """Bytes that the queues hold, each message counted once."""
    distinct = {id(one): one for bound in rig.shape._overflow._bounds for one in bound.backlog.waiting()}
    return sum(one.weight for one in distinct.values())


@queueing_shape
def test_a_message_in_three_queues_is_counted_once(shape: str, path: Path) -> None:
    with BlockingConsumer() as a, BlockingConsumer() as b, BlockingConsumer() as c:
        seats = [Seat(name, consumer) for name, consumer in (("a", a), ("b", b), ("c", c))]
        with running(path, shape, *seats, Seat("d", RecordingConsumer()), memory=MB) as rig:
            for number in range(40):
                reserved(rig, weighing(10 * KB, number), to=[3])
            wait_until(lambda: rig.stats(3).processed == 40, "there is reason to count")
            for number in range(80):
                reserved(rig, weighing(10 * KB, number), to=[0, 1, 2])

            assert [stats.dropped for stats in rig.snapshot().consumers] == [0, 0, 0, 0]


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
@memory_shape
def test_all_queues_together_never_hold_more_than_the_memory(shape: str, path: Path, policy: str) -> None:
    with BlockingConsumer() as a, BlockingConsumer() as b:
        seats = Seat("a", a, policy=policy), Seat("b", b, policy=policy)
        with running(path, shape, *seats, memory=MB) as rig:
            occupied(rig, a)
            most = 0
            for number in range(1000):
                reserved(rig, weighing(10 * KB, number), to=[number % 2] if number % 3 else [0, 1])
                most = max(most, held(rig))
            snapshot = rig.snapshot()

    assert 0.8 * MB < most <= MB
    for stats in snapshot.consumers:
        assert stats.dropped > 0
        assert accounted(stats) == stats.enqueued


@memory_shape
def test_at_the_end_of_the_memory_the_longest_queue_pays(shape: str, path: Path) -> None:
    with BlockingConsumer() as a, BlockingConsumer() as b:
        seats = Seat("long", a), Seat("short", b)
        with running(path, shape, *seats, memory=MB) as rig:
            occupied(rig, a)
            for number in range(20):
                reserved(rig, weighing(10 * KB, number), to=[1])
            for number in range(200):
                reserved(rig, weighing(10 * KB, number), to=[0])

            assert rig.stats(0).dropped > 100
            assert rig.stats(1).dropped == 0


def test_what_has_been_handled_does_not_count(path: Path) -> None:
    """The estimate reaches the limit with every hundred messages; the count then finds nothing."""
    consumer = RecordingConsumer()
    with running(path, "threads", Seat("a", consumer), memory=MB) as rig:
        for number in range(1000):
            reserved(rig, weighing(10 * KB, number))
            consumer.wait_for(number + 1)

        assert rig.stats().dropped == 0


@memory_shape
def test_at_the_end_of_the_memory_a_queue_that_blocks_has_the_enqueuer_wait(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, policy=BLOCK), memory=MB) as rig:
        occupied(rig, consumer)
        enqueuer = threading.Thread(target=reserved_singly, args=[rig, 300])
        enqueuer.start()

        wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
        size = held(rig)
        consumer.release.set()
        enqueuer.join(PATIENCE)
        rig.finish()

    assert 0.8 * MB < size <= MB
    assert len(consumer.bodies) == 301
    assert rig.stats().dropped == 0


@memory_shape
def test_a_stop_ends_the_wait_for_memory(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, Seat("a", consumer, policy=BLOCK), memory=MB) as rig:
        occupied(rig, consumer)
        enqueuer = threading.Thread(target=reserved_singly, args=[rig, 200])
        enqueuer.start()
        wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")

        rig.shape.end_waits()
        enqueuer.join(PATIENCE)

        assert (rig.stats().backlog, rig.stats().dropped) == (200, 0)


@every_shape
def test_at_the_end_of_the_memory_own_work_of_a_consumer_that_blocks_is_dropped(shape: str, path: Path) -> None:
    """Nobody who puts past the enqueuer waits, and the memory is at its end: there is nothing else left to do."""
    rig = Rig(path, shape, [Seat("a", RecordingConsumer(), policy=BLOCK)], memory=MB)
    for number in range(300):
        rig.shape.inlet(0).put(weighing(10 * KB, number))
    stats = rig.stats()
    size = held(rig)
    rig.close()

    assert 0.8 * MB < size <= MB
    assert stats.dropped > 190
    assert accounted(stats) == stats.enqueued == 300


def test_inline_the_enqueuer_does_not_wait_for_itself(path: Path) -> None:
    """It alone would make room, in its next turn."""
    consumer = RecordingConsumer()
    with running(path, "inline", Seat("a", consumer, policy=BLOCK), memory=MB) as rig:
        for number in range(150):
            rig.shape.inlet(0).put(weighing(10 * KB, number))
        enqueuer = threading.Thread(target=reserved_singly, args=[rig, 10])
        enqueuer.start()
        enqueuer.join(PATIENCE)

        assert len(consumer.bodies) == 10


def test_once_a_queue_that_blocked_has_shrunk_there_is_room_again(path: Path) -> None:
    consumer = RecordingConsumer()
    rig = Rig(path, "threads", [Seat("a", consumer, policy=BLOCK)], memory=MB)
    for number in range(200):
        rig.shape.inlet(0).put(weighing(10 * KB, number))
    before = rig.stats().dropped
    rig.shape.start()
    wait_until(lambda: rig.stats().backlog == 0, "everything is handled")

    rig.shape.inlet(0).put(frame("again"))
    rig.finish()
    rig.close()

    assert consumer.bodies[-1] == b"again"
    assert rig.stats().dropped == before


@queueing_shape
@pytest.mark.parametrize("policy", POLICIES)
def test_a_message_larger_than_the_memory_goes_in_alone(shape: str, path: Path, policy: str) -> None:
    consumer = RecordingConsumer()
    with running(path, shape, Seat("a", consumer, policy=policy), memory=MB) as rig:
        reserved(rig, weighing(5 * MB))
        rig.finish()

    assert rig.stats().processed == 1


def test_an_object_that_was_put_counts_like_a_decoded_message(path: Path) -> None:
    rig = Rig(path, "threads", [Seat("a", RecordingConsumer())], memory=MB)
    for _ in range(1000):
        rig.shape.inlet(0).put(Item(object()))
    stats = rig.stats()
    rig.close()

    assert 100 < stats.backlog <= 167


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("policy", POLICIES)
@queueing_shape
def test_dropping_while_workers_take_loses_and_repeats_nothing(
    shape: str, path: Path, policy: str, workers: int
) -> None:
    consumer, other = RecordingConsumer(), RecordingConsumer()
    seats = [Seat("a", consumer, workers=workers, capacity=7, policy=policy), Seat("b", other)]
    with running(path, shape, *seats) as rig:
        for start in range(0, 6000, 12):
            rig.publish(*[frame(number) for number in range(start, start + 12)])
        rig.finish()
        stats = rig.stats()

    assert max(Counter(consumer.bodies).values()) == 1
    assert stats.enqueued == accounted(stats) == stats.processed + stats.dropped == 6000
    assert len(consumer.bodies) == stats.processed
    assert stats.watermark <= 7
    assert other.bodies == bodies(*range(6000))
    if workers == 1 or shape == "shared":
        assert consumer.bodies == sorted(consumer.bodies, key=int)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(IN_PROCESS),
    steps=st.lists(
        st.one_of(st.integers(0, 2), st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=12)), max_size=12
    ),
    bounds=st.tuples(
        *[st.tuples(st.integers(0, 4), st.sampled_from([0, KB, 3 * KB]), st.sampled_from(POLICIES)) for _ in range(3)]
    ),
    workers=st.integers(1, 3),
    memory=st.sampled_from([0, 2 * KB, 20 * KB]),
)
def test_whatever_happens_everything_is_accounted_for(
    path: Path,
    shape: str,
    steps: list[int | list[set[int]]],
    bounds: tuple[tuple[int, int, str], ...],
    workers: int,
    memory: int,
) -> None:
    """A number puts one message for the consumer of that number; a list is a batch, and who wants which message."""
    consumers = [RecordingConsumer() for _ in range(3)]
    seats = [
        Seat(str(index), consumer, workers=workers, capacity=capacity, policy=policy, capacity_bytes=size)
        for index, (consumer, (capacity, size, policy)) in enumerate(zip(consumers, bounds))
    ]
    wanted = [0, 0, 0]
    done: list[int] = []
    number = 0
    with running(path, shape, *seats, memory=memory) as rig:
        for step in steps:
            if isinstance(step, int):
                rig.shape.inlet(step).put(frame(number))
                wanted[step] += 1
                number += 1
                continue
            routed = []
            for interested in step:
                one = frame(number)
                one.completion = Completion(len(interested), lambda number=number: done.append(number))  # type: ignore[misc]
                routed.append((one, tuple(sorted(interested))))
                for index in interested:
                    wanted[index] += 1
                number += 1
            rig.shape.reserve(sum(one.weight for one, _ in routed))
            rig.shape.dispatch(routed)
        rig.finish()
        snapshot = rig.snapshot()

    for stats, consumer, count, (capacity, size, policy) in zip(snapshot.consumers, consumers, wanted, bounds):
        assert stats.enqueued == accounted(stats) == stats.processed + stats.dropped == count
        assert len(set(consumer.bodies)) == len(consumer.bodies) == stats.processed
        assert not capacity or policy == BLOCK or stats.watermark <= capacity
        assert stats.dropped == 0 or ((capacity or size) and policy != BLOCK) or memory
    assert len(done) == len(set(done)) == sum(len(step) for step in steps if not isinstance(step, int))
    assert snapshot.hub.backlog == 0


@pytest.mark.parametrize(("policy", "reason"), [(DROP_NEWEST, "capacity = 1"), (BLOCK, f"[hub] memory = {MB}")])
@every_shape
def test_the_log_names_the_bound_that_own_work_met(
    shape: str, path: Path, policy: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(path, shape, [Seat("a", RecordingConsumer(), capacity=1, policy=policy)], memory=MB)
    for number in range(150):
        rig.shape.inlet(0).put(weighing(10 * KB, number))
    rig.close()

    assert [record.getMessage() for record in caplog.records] == [
        f"a: no room ({reason}): 1 messages dropped ({policy}), 1 since the start"
    ]
