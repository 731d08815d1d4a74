# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who keeps a worker process: which process is told what, who is suspected, tried and given up, and what comes back."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from glasshub.config import Config, ConsumerSection
from glasshub.errors import HubError
from glasshub.failure import Failure
from glasshub.processes import Brief, Built, Keeper
from glasshub.processes import keeper as keeper_module
from glasshub.processes.desk import Parcel
from glasshub.processes.process import Hear

from ..fakes import FakeClock, wait_until
from .aftercare import KeptAftercare
from .desks import Bench

BRIEF = Brief("main", Config(), None, [("badges", ConsumerSection("m:C"))], [], [])


class FakeProcess:
    """Takes the place of a `WorkerProcess`: says and does what the test wants.

    Attributes:
        said: What it was told, but for batches.
        given: The parcels that it was given, for each consumer.
    """

    pid = 7
    #: All that were made.
    made: list[FakeProcess]
    #: Whether none can be made.
    is_refused = False

    def __init__(self, brief: Brief, heard: Mapping[str, Hear], died: Callable[[Any], None]) -> None:
        if self.is_refused:
            raise HubError("cannot start worker process main: no memory")
        self.made.append(self)
        self.brief, self.heard, self._died = brief, heard, died
        self.built = Built([(name, 3, [""]) for name, _ in brief.consumers], [], [], False)
        self.is_up = self.is_dead = False
        self.has_stopped, self.is_quiet = threading.Event(), threading.Event()
        self.refusal = None
        self.status = -9
        self.said: list[tuple[Any, ...]] = []
        self.given: dict[int, list[Parcel]] = defaultdict(list)

    def send(self, word: str, *what: Any) -> None:
        """See `WorkerProcess.send`."""
        if self.is_dead:
            raise OSError("handle is closed")
        if word == "batch":
            place, _, parcels = what
            self.given[place] += parcels
        else:
            self.said.append((word, *what))

    def come_up(self) -> None:
        """Have its workers run."""
        self.is_up = True
        self.heard["up"]()

    def die(self) -> None:
        """End."""
        self.is_up = False
        self._died(self)
        self.is_dead = True
        self.has_stopped.set()
        self.is_quiet.set()

    def kill(self) -> None:
        """See `WorkerProcess.kill`."""
        if not self.is_dead:
            self.die()

    def join(self, timeout: float) -> bool:
        """See `WorkerProcess.join`."""
        return self.is_dead


class Kept:
    """A keeper of fake processes, and the desk of its one consumer."""

    def __init__(self, directory: Path, clock: FakeClock, *, can_park: bool) -> None:
        self.clock = clock
        self.aftercare = KeptAftercare(can_park=can_park)
        self.keeper = Keeper(BRIEF, {})
        self.bench = Bench(directory / "h.stats", bell=self.keeper.bell, aftercare=self.aftercare)
        self.keeper.desks[0] = self.bench.desk

    @property
    def process(self) -> FakeProcess:
        """The process that was started last."""
        return FakeProcess.made[-1]

    def restart(self) -> FakeProcess:
        """Have another process take the place of the one that has died, and come up."""
        self.clock.advance(60.0)
        assert self.keeper.tend()
        self.bench.start_process()
        self.process.come_up()
        return self.process

    def wait_for(self, count: int) -> list[Parcel]:
        """What the process has been given when it is so much."""
        wait_until(lambda: len(self.process.given[0]) >= count, f"{count} messages to be given")
        return self.process.given[0]

    def do(self, *parcels: Parcel) -> None:
        """Have a worker begin and finish messages, and say so."""
        for parcel in parcels:
            self.bench.begin(0, parcel)
            self.bench.finish(0)
            self.process.heard["done"](0, [parcel[0]])

    def die_at(self, *parcels: Parcel) -> None:
        """Have the process die with these at hand."""
        for worker, parcel in enumerate(parcels):
            self.bench.begin(worker, parcel)
        self.process.die()

    def settled(self) -> None:
        """Wait until the thread that sends has nothing to do."""
        wait_until(
            lambda: self.keeper.bell._sleepers and not self.keeper._has_work(), "the sender to have nothing to do"
        )


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Kept]]:
    """Makes a keeper whose first process is up."""
    monkeypatch.setattr(keeper_module, "WorkerProcess", FakeProcess)
    monkeypatch.setattr(FakeProcess, "made", [], raising=False)
    made: list[Kept] = []
    clock = FakeClock()
    monkeypatch.setattr(keeper_module, "_clock", clock)

    def one(*, can_park: bool = False) -> Kept:
        made.append(Kept(tmp_path, clock, can_park=can_park))
        made[-1].process.come_up()
        return made[-1]

    yield one
    for kept in made:
        kept.keeper.close()
        kept.process.kill()
        kept.keeper.end(0.0)
        kept.bench.close()


def bodies(parcels: list[Parcel]) -> list[int]:
    return [int(parcel[2]) for parcel in parcels]


def test_what_was_at_hand_is_tried_alone_and_then_the_others_go_on(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.bench.put(6)
    parcels = kept.wait_for(6)
    assert bodies(parcels) == [1, 2, 3, 4, 5, 6]

    kept.die_at(parcels[0], parcels[1])
    process = kept.restart()
    (first,) = list(kept.wait_for(1))
    kept.settled()
    alone = bodies(process.given[0])
    kept.do(first)
    second = kept.wait_for(2)[1]
    kept.settled()
    still_alone = bodies(process.given[0])
    kept.do(second)

    assert (alone, still_alone) == ([1], [1, 2])
    assert bodies(kept.wait_for(5))[:5] == [1, 2, 3, 4, 5]
    assert kept.bench.stats().interrupted == 2


def test_a_message_that_kills_while_it_is_alone_is_given_up_and_those_beside_it_are_not(
    make: Callable[..., Kept], caplog: pytest.LogCaptureFixture
) -> None:
    kept = make()
    kept.bench.put(3)
    parcels = kept.wait_for(3)
    kept.die_at(parcels[0], parcels[1])  # nobody knows who it was
    kept.restart()
    kept.do(*kept.wait_for(1))

    for deaths in (1, 2, 3):
        guilty = kept.wait_for(2 if deaths == 1 else 1)[-1]
        assert bodies([guilty]) == [2]
        kept.die_at(guilty)
        kept.restart()
    kept.do(*kept.wait_for(1))

    stats = kept.bench.stats()
    assert (stats.processed, stats.failed, stats.interrupted, stats.backlog, stats.in_flight) == (2, 1, 4, 0, 0)
    assert "is given up and failed: it has killed worker process main 3 times" in caplog.text
    assert kept.keeper.is_done


def test_what_is_given_up_is_parked_where_that_can_be_done(make: Callable[..., Kept]) -> None:
    kept = make(can_park=True)
    (frame,) = kept.bench.put(1)
    for _ in range(3):
        kept.die_at(*kept.wait_for(1))
        kept.restart()

    ((station, parked, failure),) = kept.aftercare.parked
    assert (station, parked) == (0, frame)
    assert (failure.error, failure.attempts) == ("it has killed worker process main 3 times", 3)
    assert (kept.bench.stats().parked, kept.bench.stats().failed) == (1, 0)


def test_a_trial_that_takes_long_is_broken_off_and_the_next_one_may_take_twice_as_long(
    make: Callable[..., Kept],
) -> None:
    kept = make()
    kept.bench.put(4)
    parcels = kept.wait_for(4)
    kept.die_at(parcels[0], parcels[1])
    kept.restart()
    kept.bench.begin(0, kept.wait_for(1)[0])
    kept.clock.advance(9.0)
    kept.keeper.tend()
    kept.settled()
    before = bodies(kept.process.given[0])

    kept.clock.advance(2.0)
    kept.keeper.tend()
    after = bodies(kept.wait_for(4))
    kept.bench.begin(1, kept.process.given[0][1])
    kept.process.die()
    kept.restart()
    kept.wait_for(1)
    kept.clock.advance(19.0)
    kept.keeper.tend()
    kept.settled()

    assert (before, after) == ([1], [1, 2, 3, 4])
    assert bodies(kept.process.given[0]) == [1]


def test_a_process_is_told_what_stands_and_nothing_that_was_meant_for_another_one(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.keeper.put_order("attach", "path", is_standing=True)
    kept.keeper.put_order("go", is_standing=True)
    kept.keeper.put_order("reopen")
    wait_until(lambda: len(kept.process.said) == 3, "the orders to be sent")
    first = kept.process
    first.die()
    kept.keeper.put_order("reopen")  # too late for the one, too early for the next

    second = kept.restart()
    wait_until(lambda: len(second.said) == 2, "the orders to be sent")
    kept.settled()

    assert first.said == [("attach", "path"), ("go",), ("reopen",)]
    assert second.said == [("attach", "path"), ("go",)]
    assert (first.brief.is_first, second.brief.is_first) == (True, False)


def test_a_process_that_comes_after_the_producers_were_ended_starts_none(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.keeper.put_order("attach", is_standing=True)
    kept.keeper.put_order("go", is_standing=True)
    kept.keeper.quiesce()
    kept.process.die()

    process = kept.restart()
    wait_until(lambda: process.said, "the orders to be sent")
    kept.settled()

    assert process.said == [("attach",)]
    assert process.is_quiet.is_set()


def test_a_process_that_cannot_be_started_is_tried_again_later_and_later(
    make: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = make()
    kept.process.die()
    monkeypatch.setattr(FakeProcess, "is_refused", True)

    for _ in range(4):
        kept.clock.advance(60.0)
        assert not kept.keeper.tend()
        assert not kept.keeper.tend(), "it is not yet time again"
    monkeypatch.setattr(FakeProcess, "is_refused", False)
    kept.restart()

    waits = [
        record.getMessage().rpartition(" in ")[2] for record in caplog.records if "no memory" in record.getMessage()
    ]
    assert waits == ["0.4 s", "0.8 s", "1.6 s", "3.2 s"]


def test_a_message_to_be_tried_again_is_handed_on_once(make: Callable[..., Kept]) -> None:
    kept = make()
    (frame,) = kept.bench.put(1)
    (parcel,) = kept.wait_for(1)

    kept.process.heard["retry"](0, parcel[0], 2.5, "RuntimeError: no such rule")
    kept.process.heard["retry"](0, parcel[0], 2.5, "RuntimeError: no such rule")

    assert kept.aftercare.retried == [(0, frame, 2.5, "RuntimeError: no such rule")]
    assert kept.keeper.is_done


def test_a_message_to_be_parked_is_handed_on_with_its_failure(make: Callable[..., Kept]) -> None:
    kept = make()
    (frame,) = kept.bench.put(1)
    (parcel,) = kept.wait_for(1)

    kept.process.heard["park"](0, parcel[0], "error", "traceback", 2, 3, 4)

    assert kept.aftercare.parked == [(0, frame, Failure("error", "traceback", 2, 3, 4))]


def test_who_halts_the_hub_gets_nothing_more_and_keeps_nobody_waiting(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.bench.put(1)
    kept.wait_for(1)

    kept.process.heard["halted"](0, "the database is gone", 3)
    kept.bench.put(5)
    kept.settled()

    assert kept.aftercare.halted == [(0, "the database is gone", 3)]
    assert bodies(kept.process.given[0]) == [1]
    assert kept.keeper.is_done
    assert not kept.bench.desk.is_out, "a suspect of another consumer would wait for it in vain"


def test_it_is_drained_when_nothing_waits_nothing_is_out_and_nobody_is_suspected(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.bench.put(1)
    kept.keeper.drain()
    kept.die_at(*kept.wait_for(1))
    while_suspected = kept.keeper.wait_for_end(0)
    kept.restart()
    (parcel,) = kept.wait_for(1)
    on_trial = kept.keeper.wait_for_end(0)

    kept.do(parcel)

    assert (while_suspected, on_trial, kept.keeper.wait_for_end(0)) == (False, False, True)


def test_a_stopped_keeper_gives_nothing_more_and_starts_nobody(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.keeper.stop()
    kept.bench.put(1)
    wait_until(lambda: kept.process.said == [("stop",)], "the order to be sent")
    kept.settled()
    given = list(kept.process.given[0])

    kept.process.die()
    kept.clock.advance(60.0)

    assert not kept.keeper.tend()
    assert given == []
    assert kept.keeper.wait_for_end(0)


def test_who_cannot_be_built_again_is_shown_and_its_suspects_wait_without_keeping_anybody_waiting(
    make: Callable[..., Kept],
) -> None:
    kept = make()
    kept.bench.put(2)
    parcels = kept.wait_for(2)
    kept.die_at(*parcels)
    kept.clock.advance(60.0)
    assert kept.keeper.tend()
    kept.process.built = Built([("badges", 3, None)], [], [], False)
    kept.process.come_up()
    kept.settled()
    without, shown = bodies(kept.process.given[0]), kept.bench.stats().initialized
    kept.process.die()

    kept.restart()

    assert (without, shown) == ([], 0)
    assert bodies(kept.wait_for(2)) == [1, 2]
    assert kept.bench.stats().initialized == 1


def test_an_error_in_what_is_done_about_a_death_ends_the_hub(
    make: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make()
    monkeypatch.setattr(kept.bench.desk.__class__, "bury", lambda desk: 1 / 0)

    kept.process.die()

    assert isinstance(kept.keeper.error, ZeroDivisionError)


def test_one_that_is_closed_leaves_what_is_at_hand_as_it_is(make: Callable[..., Kept]) -> None:
    kept = make()
    kept.bench.put(1)
    (parcel,) = kept.wait_for(1)
    kept.keeper.close()

    kept.die_at(parcel)

    stats = kept.bench.stats()
    assert (stats.in_flight, stats.interrupted, stats.backlog) == (1, 0, 0)
