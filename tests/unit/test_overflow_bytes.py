# SPDX-License-Identifier: LGPL-2.1-or-later
"""When more bytes wait for a consumer than may: what each overflow policy does, and what it costs to know."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glasshub.config import BLOCK, DROP_NEWEST, DROP_OLDEST, POLICIES
from glasshub.dispatch.queued import QueuedShape
from glasshub.logs import Repeats
from glasshub.message import Frame
from glasshub.overflow import Backlog, Bound, Overflow
from glasshub.queues import Bell, WorkQueue

from ..fakes import PATIENCE, BlockingConsumer, RecordingConsumer, frame, wait_until
from .rig import Rig, Seat, memory_shape, running
from .test_overflow import (
    KB,
    MB,
    accounted,
    any_batch,
    dispatching,
    occupied,
    weighing,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rig.stats"


def bounded(consumer: BlockingConsumer | RecordingConsumer, policy: str = DROP_OLDEST, capacity: int = 0) -> Seat:
    """A consumer for which a megabyte may wait."""
    return Seat("a", consumer, capacity=capacity, policy=policy, capacity_bytes=MB)


def publish(rig: Rig, count: int, batch: int, size: int = 10 * KB) -> None:
    """Publish so many numbered messages of that size, so many at a time."""
    for start in range(0, count, batch):
        rig.publish(*[weighing(size, number) for number in range(start, min(start + batch, count))])


def number_of(one: Frame) -> int:
    return int(one.body.split()[0])


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [number_of(one) for one in frames]


def size_of(frames: Sequence[Frame]) -> int:
    return sum([one.weight for one in frames])


def waiting(rig: Rig) -> Sequence[Frame]:
    return rig.shape.queue(0).waiting()


@any_batch
@memory_shape
def test_drop_oldest_keeps_the_newest_messages(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer)) as rig:
        occupied(rig, consumer)

        publish(rig, 300, batch)
        left, full = waiting(rig), rig.stats()

    assert 15 / 16 * MB - 10 * KB < size_of(left) <= MB
    assert numbers(left) == list(range(300 - len(left), 300))
    assert (full.dropped, full.backlog) == (300 - len(left), len(left))
    assert accounted(full) == full.enqueued == 301


@any_batch
@memory_shape
def test_drop_newest_keeps_the_oldest_messages(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, DROP_NEWEST)) as rig:
        occupied(rig, consumer)

        publish(rig, 300, batch)
        left, full = waiting(rig), rig.stats()

    assert numbers(left) == list(range(100))
    assert (full.dropped, full.backlog) == (200, 100)
    assert accounted(full) == full.enqueued == 301


@any_batch
@memory_shape
def test_block_has_the_enqueuer_wait_and_loses_nothing(shape: str, path: Path, batch: int) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, BLOCK)) as rig:
        occupied(rig, consumer)
        enqueuer = threading.Thread(target=publish, args=[rig, 300, batch])
        enqueuer.start()

        wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
        size = size_of(waiting(rig))
        consumer.release.set()
        enqueuer.join(PATIENCE)
        rig.finish()
        stats = rig.stats()

    assert size == MB
    assert [int(body.split()[0]) for body in consumer.bodies[1:]] == list(range(300))
    assert (stats.dropped, stats.blocking_age) == (0, 0)


@memory_shape
def test_a_stop_ends_the_wait_and_what_has_come_is_in_the_queue(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, BLOCK)) as rig:
        occupied(rig, consumer)

        with dispatching(rig, *[weighing(10 * KB, number) for number in range(300)]):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            rig.shape.end_waits()

        assert (rig.stats().backlog, rig.stats().dropped) == (300, 0)


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
@memory_shape
def test_of_two_bounds_the_first_that_is_reached_counts(
    shape: str, path: Path, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, policy, capacity=20)) as rig:
        occupied(rig, consumer)

        publish(rig, 100, 7, size=10 * KB)
        small = len(waiting(rig))
        publish(rig, 100, 7, size=100 * KB)
        large = waiting(rig)

    assert small == 20
    assert size_of(large) <= MB
    assert len(large) in ([20] if policy == DROP_NEWEST else [8, 9])
    assert caplog.records[0].getMessage().startswith("a: no room (capacity = 20): ")


@pytest.mark.parametrize(("policy", "count"), [(DROP_OLDEST, 7), (DROP_NEWEST, 1)])
@memory_shape
def test_the_log_names_the_bound(
    shape: str, path: Path, policy: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the oldest so many are dropped at once that a sixteenth is free."""
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, policy)) as rig:
        occupied(rig, consumer)

        publish(rig, 110, 1)

    assert [record.getMessage() for record in caplog.records] == [
        f"a: no room (capacity_bytes = {MB}): {count} messages dropped ({policy}), {count} since the start"
    ]


@pytest.mark.parametrize("policy", POLICIES)
@memory_shape
def test_a_message_larger_than_the_bound_goes_in_alone(shape: str, path: Path, policy: str) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, policy)) as rig:
        occupied(rig, consumer)

        with dispatching(rig, weighing(5 * MB)):
            pass
        left = waiting(rig)

    assert [one.weight for one in left] == [5 * MB]


@memory_shape
def test_a_large_message_that_is_refused_does_not_keep_small_ones_out(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, DROP_NEWEST)) as rig:
        occupied(rig, consumer)

        rig.publish(weighing(10 * KB, 0), weighing(5 * MB, 1), weighing(10 * KB, 2))
        publish(rig, 80, 1)
        left = waiting(rig)

    assert numbers(left) == [0, 2, *range(80)]


@pytest.mark.parametrize(("taken", "left"), [(6, 94), (7, 94)])
def test_a_full_queue_takes_what_comes_again_once_a_sixteenth_is_free(path: Path, taken: int, left: int) -> None:
    queue: WorkQueue[Frame] = WorkQueue(Bell())
    rig, bound = bound_of(path, queue, DROP_NEWEST)
    put(bound, queue, [weighing(10 * KB) for _ in range(110)])
    for _ in range(taken):
        queue.take()

    put(bound, queue, [weighing(10 * KB)])
    rig.close()

    assert len(queue) == left


def test_a_large_message_that_is_refused_does_not_put_off_the_next_count(path: Path) -> None:
    queue: WorkQueue[Frame] = WorkQueue(Bell())
    rig, bound = bound_of(path, queue, DROP_NEWEST)
    put(bound, queue, [weighing(100 * KB) for _ in range(8)])
    put(bound, queue, [weighing(5 * MB)])
    for _ in range(4):
        queue.take()

    put(bound, queue, [weighing(100 * KB) for _ in range(4)])
    rig.close()

    assert len(queue) == 8


@memory_shape
def test_a_large_message_is_waited_for_until_there_is_room_for_it(shape: str, path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, shape, bounded(consumer, BLOCK)) as rig:
        occupied(rig, consumer)
        publish(rig, 8, 8, size=100 * KB)

        with dispatching(rig, weighing(300 * KB)):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            consumer.release.set()
        rig.finish()

        assert rig.stats().processed == 10


def test_once_a_large_message_is_gone_there_is_room_again(path: Path) -> None:
    """However many small ones have come behind it since it was counted."""
    queue: WorkQueue[Frame] = WorkQueue(Bell())
    rig, bound = bound_of(path, queue, DROP_NEWEST)
    put(bound, queue, [weighing(100 * KB)])
    queue.take()  # so that there is reason to count soon
    put(bound, queue, [weighing(900 * KB)])
    put(bound, queue, [weighing(50 * KB)])
    put(bound, queue, [weighing(250) for _ in range(100)])
    queue.take()

    put(bound, queue, [weighing(200 * KB)])
    rig.close()

    assert size_of(queue.waiting()) == 275 * KB


@pytest.mark.parametrize("policy", POLICIES)
@memory_shape
def test_who_puts_past_the_enqueuer_never_waits(shape: str, path: Path, policy: str) -> None:
    rig = Rig(path, shape, [bounded(RecordingConsumer(), policy)])

    for number in range(300):
        rig.shape.inlet(0).put(weighing(10 * KB, number))
    left, stats = waiting(rig), rig.stats()
    rig.close()

    assert (stats.dropped == 0) == (policy == BLOCK)
    assert (size_of(left) <= MB) == (policy != BLOCK)
    assert accounted(stats) == stats.enqueued == 300


def test_what_was_put_past_a_bound_that_blocks_takes_room(path: Path) -> None:
    with BlockingConsumer() as consumer, running(path, "threads", bounded(consumer, BLOCK)) as rig:
        occupied(rig, consumer)
        for number in range(300):
            rig.shape.inlet(0).put(weighing(10 * KB, number))

        with dispatching(rig, frame(300)):
            wait_until(lambda: rig.stats().blocking_age, "the enqueuer waits")
            consumer.release.set()


@memory_shape
def test_what_has_been_handled_does_not_count(shape: str, path: Path) -> None:
    consumer = RecordingConsumer()
    with running(path, shape, bounded(consumer)) as rig:
        for number in range(1000):
            rig.publish(weighing(10 * KB, number))
            consumer.wait_for(number + 1)

        assert rig.stats().dropped == 0


class Counted(WorkQueue[Frame]):
    """A queue that knows how often somebody has asked what waits in it."""

    counts = 0

    def waiting(self) -> Sequence[Frame]:
        """See `WorkQueue.waiting`."""
        self.counts += 1
        return super().waiting()


class Remote(WorkQueue[Frame]):
    """A queue of which the first messages are with a worker process, so that nobody can drop them.

    Attributes:
        out: Those.
        begun: So many of them do not wait any more.
    """

    def __init__(self, bell: Bell) -> None:
        super().__init__(bell)
        self.out: Sequence[Frame] = []
        self.begun = 0

    def give(self, *, begun: int = 0) -> None:
        """Give all of it to the process, which begins with so many."""
        self.out, self.begun = list(self._frames), begun
        self._frames.clear()

    def __len__(self) -> int:
        """See `WorkQueue.__len__`."""
        return len(self.out) - self.begun + super().__len__()

    def waiting(self) -> Sequence[Frame]:
        """See `WorkQueue.waiting`."""
        return [*self.out, *super().waiting()]


def bound_of(path: Path, backlog: Backlog, policy: str) -> tuple[Rig, Bound]:
    """A bound of one megabyte of that backlog; the rig is to be closed."""
    rig = Rig(path, "threads", [bounded(RecordingConsumer(), policy)])
    return rig, rig.stations[0].bound(Overflow(0, rig.segment.enqueuer, Repeats()), backlog)


def put(bound: Bound, queue: WorkQueue[Frame], frames: Sequence[Frame]) -> None:
    """What a shape does."""
    for fitting in [frames] if bound.admits(frames) else bound.fit(frames):
        queue.put(fitting)


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
@pytest.mark.parametrize("batch", [1, 256])
@pytest.mark.parametrize("taken", [0, 1])
def test_a_queue_is_counted_once_for_a_good_part_of_it_however_full_it_is(
    path: Path, policy: str, batch: int, taken: int
) -> None:
    """What comes is five times what may wait; either nobody takes anything, or as much as comes."""
    queue = Counted(Bell())
    rig, bound = bound_of(path, queue, policy)
    for start in range(0, 5000, batch):
        put(bound, queue, [weighing(KB, number) for number in range(start, start + batch)])
        for _ in range(taken * batch if start > 2000 else 0):
            queue.take()
    rig.close()

    assert queue.counts < 5 * 16 + 16


def test_a_consumer_without_that_bound_is_never_counted(path: Path) -> None:
    queue = Counted(Bell())
    rig = Rig(path, "threads", [Seat("a", RecordingConsumer(), capacity=10)])
    bound = rig.stations[0].bound(Overflow(0, rig.segment.enqueuer, Repeats()), queue)
    for number in range(100):
        put(bound, queue, [weighing(10 * KB, number)])
    rig.close()

    assert (len(queue), queue.counts) == (10, 0)


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
def test_what_is_with_a_worker_process_is_not_dropped_and_takes_room(path: Path, policy: str) -> None:
    queue = Remote(Bell())
    rig, bound = bound_of(path, queue, policy)
    put(bound, queue, [weighing(10 * KB) for _ in range(50)])
    queue.give()

    put(bound, queue, [weighing(10 * KB, number) for number in range(200)])
    left = queue.waiting()[50:]
    stats = rig.stats()
    rig.close()

    assert 15 / 16 * MB - 10 * KB < size_of(queue.waiting()) <= MB
    assert numbers(left) == list(range(200 - len(left), 200) if policy == DROP_OLDEST else range(50))
    assert stats.dropped == 200 - len(left)


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
def test_where_a_worker_process_has_all_that_may_wait_what_comes_is_dropped(path: Path, policy: str) -> None:
    queue = Remote(Bell())
    rig, bound = bound_of(path, queue, policy)
    put(bound, queue, [weighing(2 * MB)])
    queue.give()

    put(bound, queue, [weighing(10 * KB, number) for number in range(10)])
    refused = rig.stats().dropped
    queue.out = []
    put(bound, queue, [weighing(10 * KB, 10)])
    rig.close()

    assert refused == 10
    assert numbers(queue.waiting()) == [10]


def test_what_a_worker_process_has_begun_with_does_not_wait(path: Path) -> None:
    queue = Remote(Bell())
    rig, bound = bound_of(path, queue, DROP_NEWEST)
    put(bound, queue, [weighing(900 * KB), weighing(10 * KB)])
    queue.give(begun=1)

    put(bound, queue, [weighing(10 * KB, number) for number in range(90)])
    rig.close()

    assert rig.stats().dropped == 0


#: Sizes of messages, for a bound of 20 KB: many a message is small, some are more than there is room for.
SIZES = st.sampled_from([250, 300, KB, 2 * KB, 4 * KB, 9 * KB, 30 * KB])


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policy=st.sampled_from([DROP_OLDEST, DROP_NEWEST]),
    capacity=st.sampled_from([0, 12]),
    steps=st.lists(st.one_of(st.integers(1, 20), SIZES.map(float), st.lists(SIZES, min_size=1, max_size=30))),
)
def test_never_more_than_the_bound_waits_and_nothing_is_dropped_for_which_there_is_room(
    path: Path, policy: str, capacity: int, steps: list[int | float | list[int]]
) -> None:
    """A whole number takes as many messages, a list is a batch of messages of these sizes, another number is the size
    of one that is put past the enqueuer."""
    limit, largest = 20 * KB, 0
    rig = Rig(path, "threads", [Seat("a", RecordingConsumer(), 1, "", capacity, policy, capacity_bytes=limit)])
    assert isinstance(rig.shape, QueuedShape)
    queue, come, dropped = rig.shape.queue(0), 0, 0
    for step in steps:
        if isinstance(step, int):
            for _ in range(step):
                queue.take()
            continue
        sizes = step if isinstance(step, list) else [int(step)]
        frames = [weighing(size, come + number) for number, size in enumerate(sizes)]
        come, largest = come + len(frames), max(largest, *sizes)
        if isinstance(step, list):
            rig.publish(*frames)
        else:
            rig.shape.inlet(0).put(frames[0])

        left = queue.waiting()
        size = size_of(left)
        assert size <= limit or len(left) == 1
        assert not capacity or len(left) <= capacity
        assert numbers(left) == sorted(numbers(left))
        if policy == DROP_OLDEST:
            assert numbers(left) == list(range(come - len(left), come))
        if rig.stats().dropped > dropped:
            assert size + largest > limit * 15 / 16 or len(left) == capacity
        dropped = rig.stats().dropped
    rig.close()
