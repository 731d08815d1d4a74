# SPDX-License-Identifier: LGPL-2.1-or-later
"""Coroutines of a consumer: one loop for all of them, which nothing that they do ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from glasshub import Drop
from glasshub.compat.coroutines import Coroutines

from ..fakes import PATIENCE, wait_until


@pytest.fixture
def coroutines() -> Iterator[Coroutines]:
    coroutines = Coroutines("callback")
    yield coroutines
    coroutines.close()


def test_what_a_coroutine_returns_comes_back(coroutines: Coroutines) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert coroutines.finish(answer()) == 42


def test_all_of_them_run_in_one_loop_in_one_thread(coroutines: Coroutines) -> None:
    async def where() -> tuple[object, str]:
        return asyncio.get_running_loop(), threading.current_thread().name

    first, second = coroutines.finish(where()), coroutines.finish(where())

    assert first == second
    assert first[1] == "loop-callback"


def test_there_is_no_thread_where_there_is_no_coroutine(coroutines: Coroutines) -> None:
    before = threading.active_count()

    coroutines.close()

    assert threading.active_count() == before


def test_a_task_that_is_left_behind_goes_on_and_is_cancelled_at_the_end(coroutines: Coroutines) -> None:
    ended: Future[str] = Future()
    turns: list[None] = []

    async def turn() -> None:
        try:
            while True:
                turns.append(None)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise

    async def leave_behind() -> None:
        coroutines.task = asyncio.ensure_future(turn())  # type: ignore[attr-defined]  # so that somebody holds it

    coroutines.finish(leave_behind())
    wait_until(lambda: len(turns) > 10, "the task to go on")
    coroutines.close()

    assert ended.result(PATIENCE) == "cancelled"


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, Drop])
def test_what_a_coroutine_raises_is_raised_and_the_loop_goes_on(
    coroutines: Coroutines, error: type[BaseException]
) -> None:
    """Python's own exits end a loop, and would leave whoever waits for the task waiting for ever."""

    async def fail() -> None:
        raise error

    async def answer() -> int:
        return 42

    for _ in range(2):
        with pytest.raises(error):
            coroutines.finish(fail())
        assert coroutines.finish(answer()) == 42


def test_several_workers_have_theirs_run_at_the_same_time(coroutines: Coroutines) -> None:
    both = threading.Barrier(2)
    met: list[int] = []

    async def meet() -> None:
        await asyncio.get_running_loop().run_in_executor(None, both.wait, PATIENCE)
        met.append(1)

    workers = [threading.Thread(target=lambda: coroutines.finish(meet())) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert met == [1, 1]


def test_one_that_a_worker_waits_for_is_not_cancelled(coroutines: Coroutines) -> None:
    """It would fail by that, and be counted and tried again, or lost, though nothing is wrong with it."""
    has_begun, may_end = threading.Event(), threading.Event()
    outcome: Future[str] = Future()

    async def wait() -> str:
        has_begun.set()
        await asyncio.get_running_loop().run_in_executor(None, may_end.wait, PATIENCE)
        return "done"

    worker = threading.Thread(target=lambda: outcome.set_result(coroutines.finish(wait())))
    worker.start()
    assert has_begun.wait(PATIENCE)

    coroutines.close()
    may_end.set()

    assert outcome.result(PATIENCE) == "done"
    worker.join()
