# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moksha's producers are polled by a thread each, which nothing of theirs ends, and which is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import glasshub_stats
from glasshub.compat.moksha import MokshaHub, is_moksha_consumer, is_moksha_producer
from glasshub.compat.producers import ProducerThread, build, polls, seconds
from glasshub.segment import ProducerRow, SegmentWriter
from glasshub_stats.snapshot import ProducerStats

from ..fakes import PATIENCE, wait_until
from . import old_consumers, old_producers


def built(cls: type) -> Any:
    return build(cls, MokshaHub(dict(old_consumers.CONFIG), strict=False, stop=lambda: None))


class Bench:
    """One producer, its thread and its row."""

    def __init__(self, path: Path, cls: type) -> None:
        self.producer = built(cls)
        self.segment = SegmentWriter(
            path, [], producers=[ProducerRow("p", True)], name="bench", version="1", shape="threads", source="memory"
        )
        self.thread = ProducerThread("p", self.producer, self.segment.producers[0])

    def stats(self) -> ProducerStats:
        (stats,) = glasshub_stats.read(str(self.segment.path)).producers
        return stats

    def wait_for(self, polls: int) -> None:
        for _ in range(polls):
            assert self.producer.polled.acquire(timeout=PATIENCE), "it is not polled"


@contextmanager
def running(path: Path, cls: type, **attributes: Any) -> Iterator[Bench]:
    bench = Bench(path, cls)
    vars(bench.producer).update(attributes)
    bench.thread.start()
    try:
        yield bench
    finally:
        bench.thread.stop()
        bench.thread.join(PATIENCE)
        assert not bench.thread.is_alive()
        bench.segment.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bench.stats"


def test_producers_are_told_from_consumers() -> None:
    classes = [old_producers.Ticking, old_producers.Stream, old_consumers.Old, dict]

    assert [is_moksha_producer(cls) for cls in classes] == [True, True, False, False]
    assert [is_moksha_consumer(cls) for cls in classes] == [False, False, True, False]


def test_a_producer_is_polled_again_and_again_by_its_own_thread_and_counted(path: Path) -> None:
    with running(path, old_producers.Ticking) as bench:
        bench.wait_for(3)
        wait_until(lambda: bench.stats().runs >= 3, "three runs are counted")
        stats = bench.stats()

    assert bench.producer.threads == {"producer-p"}
    assert stats.failures == 0
    assert stats.frequency == pytest.approx(0.001)
    assert stats.last_run > 0
    assert bench.producer._last_ran is not None


def test_a_producer_that_raises_is_counted_logged_once_and_polled_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In fedmsg-hub its thread ends, and nobody hears of it again."""
    with running(path, old_producers.Ticking, error=SystemExit("no such table")) as bench:
        bench.wait_for(5)
        wait_until(lambda: bench.stats().failures >= 5, "five failures are counted")
        bench.producer.error = None
        wait_until(lambda: bench.stats().runs >= 1, "it recovers")

    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == ["producer p failed"]


def test_moksha_counts_failures_in_a_row(path: Path) -> None:
    with running(path, old_producers.Ticking, error=RuntimeError(), last=4) as bench:
        bench.thread.join(PATIENCE)

    assert bench.producer._exception_count == 4


def test_a_producer_that_sets_its_own_die_is_polled_no_more(path: Path) -> None:
    with running(path, old_producers.Ticking, last=2) as bench:
        bench.thread.join(PATIENCE)

        assert not bench.thread.is_alive()
        assert (bench.producer.polls, bench.stats().runs) == (2, 2)
        assert (bench.stats().frequency, bench.stats().overdue) == (0, 0)  # nobody waits for it


def test_the_first_poll_waits_as_long_as_the_next_unless_the_producer_says_now(tmp_path: Path) -> None:
    with running(tmp_path / "a", old_producers.Hourly) as waiting, running(tmp_path / "b", old_producers.AtOnce) as now:
        now.wait_for(1)
        wait_until(lambda: now.stats().runs == 1, "the poll is counted")

        assert (waiting.producer.polls, now.producer.polls) == (0, 1)
        assert now.stats().frequency == 3600


def test_a_stop_does_not_wait_for_the_next_poll(path: Path) -> None:
    with running(path, old_producers.Hourly) as bench:
        pass

    assert bench.producer.polls == 0


def test_without_a_frequency_polls_follow_each_other(path: Path) -> None:
    with running(path, old_producers.Restless, last=500) as bench:
        bench.thread.join(PATIENCE)

        assert bench.stats().runs == 500


def test_without_a_frequency_a_producer_that_raises_is_not_called_in_a_spin(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glasshub.compat.producers._AFTER_FAILURE", PATIENCE)
    with running(path, old_producers.Restless, error=RuntimeError()) as bench:
        wait_until(lambda: bench.stats().failures == 1, "the failure is counted")

    assert bench.producer.polls == 1


def test_a_poll_that_goes_on_shows_how_long_it_has_taken(path: Path) -> None:
    release = threading.Event()

    with running(path, old_producers.AtOnce, poll=lambda: release.wait(PATIENCE)) as bench:
        ages = [bench.stats().current_age]
        wait_until(lambda: bench.stats().current_age > max(ages), "it grows older")
        release.set()
        wait_until(lambda: bench.stats().runs >= 1 and bench.stats().current_age == 0, "the poll has ended")


@pytest.mark.parametrize(
    ("cls", "answer"),
    [
        (old_producers.Ticking, True),
        (old_producers.OwnLoop, False),
        (old_producers.Stream, False),
    ],
)
def test_what_polls_itself_or_not_at_all_is_not_polled_by_us(cls: type, answer: bool) -> None:
    assert polls(built(cls)) is answer


def test_an_error_of_the_constructor_is_the_callers() -> None:
    with pytest.raises(RuntimeError, match="no database"):
        built(old_producers.Unbuildable)


@pytest.mark.parametrize(("frequency", "number"), [(None, 0.0), (3, 3.0), (timedelta(days=1, seconds=0.5), 86400.5)])
def test_a_frequency_is_seconds_or_a_timedelta_or_none(frequency: Any, number: float) -> None:
    assert seconds(frequency) == number
