# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work queues: first in first out, nothing lost, nothing twice, nobody sleeps through a message."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.message import Frame
from glasshub.queues import Bell, WorkQueue

from ..fakes import PATIENCE, frame, wait_until


@contextmanager
def running(*targets: Callable[[], object]) -> Iterator[list[threading.Thread]]:
    """Threads that run the targets, and have ended at the end of the context."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(PATIENCE)
    assert not [thread for thread in threads if thread.is_alive()], "a thread sleeps for ever"


def drain(queue: WorkQueue[Frame], bell: Bell, taken: list[Frame]) -> None:
    """What a worker does."""
    while not bell.is_stopped:
        found = queue.take()
        if found is not None:
            taken.append(found)
        elif not bell.wait(queue.__len__):
            return


def test_an_empty_queue_has_nothing_to_take_and_no_head() -> None:
    queue: WorkQueue[Frame] = WorkQueue(Bell())

    assert queue.take() is None
    assert queue.head_ns() == 0
    assert len(queue) == 0


def test_head_is_when_the_first_waiting_message_was_received() -> None:
    queue: WorkQueue[Frame] = WorkQueue(Bell())
    queue.put([frame(received_ns=5), frame(received_ns=7)])

    heads = [queue.head_ns()]
    queue.take()
    heads.append(queue.head_ns())

    assert heads == [5, 7]


@given(st.lists(st.integers(min_value=0, max_value=5), max_size=30))
def test_a_queue_is_a_list_from_which_the_first_is_taken(steps: list[int]) -> None:
    """0 takes one, any other number puts so many."""
    queue: WorkQueue[Frame] = WorkQueue(Bell())
    model: list[Frame] = []
    for step in steps:
        if step:
            frames = [frame(received_ns=1 + len(model) + number) for number in range(step)]
            queue.put(frames)
            model += frames
        else:
            assert queue.take() is (model.pop(0) if model else None)

        assert len(queue) == len(model)
        assert queue.head_ns() == (model[0].received_ns if model else 0)


def test_many_workers_take_every_message_once() -> None:
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    frames = [frame(number) for number in range(20_000)]
    taken: list[list[Frame]] = [[] for _ in range(4)]

    with running(*[lambda own=own: drain(queue, bell, own) for own in taken]):
        for start in range(0, len(frames), 7):
            queue.put(frames[start : start + 7])
        bell.close()

    assert Counter(id(one) for own in taken for one in own) == Counter(map(id, frames))


def test_one_worker_takes_messages_in_the_order_in_which_they_were_put() -> None:
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    frames = [frame(number) for number in range(5_000)]
    taken: list[Frame] = []

    with running(lambda: drain(queue, bell, taken)):
        for one in frames:
            queue.put([one])
        bell.close()

    assert taken == frames


def test_a_worker_never_sleeps_through_a_message() -> None:
    """Each message is put at the moment at which the worker finds the queue empty and goes to sleep."""
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    handed_back = threading.Semaphore(0)

    def work() -> None:
        while True:
            if queue.take() is not None:
                handed_back.release()
            elif not bell.wait(queue.__len__):
                return

    with running(work):
        for number in range(5_000):
            queue.put([frame(number)])
            assert handed_back.acquire(timeout=PATIENCE), f"message {number} was slept through"
        bell.close()


def test_a_put_between_the_last_look_and_the_sleep_wakes_the_worker() -> None:
    """The race of the module's docstring, step by step: the message comes after the worker's last look."""
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    looks: list[int] = []
    ringer = threading.Thread(target=lambda: queue.put([frame()]), daemon=True)

    def look() -> int:
        found = len(queue)
        looks.append(found)
        if len(looks) == 1:
            ringer.start()
            wait_until(queue.__len__, "the message is in the queue")
        return found

    found: list[bool] = []
    with running(lambda: found.append(bell.wait(look))):
        pass
    ringer.join(PATIENCE)

    assert found == [True]
    assert looks[0] == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_close_lets_workers_finish_the_backlog(workers: int) -> None:
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    frames = [frame(number) for number in range(100)]
    taken: list[list[Frame]] = [[] for _ in range(workers)]
    queue.put(frames)
    bell.close()

    with running(*[lambda own=own: drain(queue, bell, own) for own in taken]):
        pass

    assert sum(map(len, taken)) == 100
    assert len(queue) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_stop_ends_workers_with_the_backlog_still_there(workers: int) -> None:
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    queue.put([frame(number) for number in range(100)])
    bell.stop()

    taken: list[Frame] = []
    with running(*[lambda: drain(queue, bell, taken)] * workers):
        pass

    assert taken == []
    assert len(queue) == 100


@pytest.mark.parametrize("end", [Bell.close, Bell.stop])
def test_workers_that_sleep_are_woken_to_end(end: Callable[[Bell], None]) -> None:
    bell = Bell()
    queue: WorkQueue[Frame] = WorkQueue(bell)
    taken: list[Frame] = []

    with running(*[lambda: drain(queue, bell, taken)] * 3):
        wait_until(lambda: bell._sleepers == 3, "all workers sleep")
        end(bell)

    assert taken == []


def test_close_after_a_message_is_no_stop() -> None:
    bell = Bell()

    bell.close()

    assert not bell.is_stopped
    assert bell.wait(lambda: True)
    assert not bell.wait(lambda: False)


def test_one_bell_wakes_the_worker_of_several_queues() -> None:
    bell = Bell()
    queues: list[WorkQueue[Frame]] = [WorkQueue(bell) for _ in range(3)]
    taken: list[Frame | None] = []

    def work() -> None:
        while bell.wait(lambda: any(map(len, queues))):
            taken.extend(found for found in [queue.take() for queue in queues] if found is not None)

    with running(work):
        for queue in queues:
            wait_until(lambda: bell._sleepers, "the worker sleeps")
            queue.put([frame()])
        bell.close()

    assert len(taken) == 3
