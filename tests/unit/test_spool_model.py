# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog against a list and a set for each consumer, through stops and crashes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glasshub.spool import Log, View
from glasshub.spool import log as log_module

from ..fakes import frame

NAMES = ("a", "b", "c")

names = st.sampled_from(NAMES)
interests = st.frozensets(names)


class Model:
    """What one consumer has to be given.

    Attributes:
        wanted: Numbers of all messages that were accepted for it.
        finished: Those that it finished.
        given: Those that it has been given since the log was opened, whatever became of them.
        returned: Those that were given back and not given again.
        parked: Those that are parked.
    """

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self.finished: set[int] = set()
        self.given: set[int] = set()
        self.returned: set[int] = set()
        self.parked: set[int] = set()

    @property
    def open(self) -> list[int]:
        """What is in the consumer's hands, or was given back."""
        return sorted(self.given - self.finished)

    def next(self, limit: int) -> list[int]:
        """What it has to be given now."""
        fresh = [seq for seq in self.wanted if seq not in self.given and seq not in self.finished]
        return (sorted(self.returned) or fresh)[:limit]

    def reopen(self) -> None:
        """Forget what is not on disk. What is behind something finished counts as given back."""
        end = max(self.finished, default=0)
        self.returned = {seq for seq in self.wanted if seq not in self.finished and seq < end}
        self.given = self.returned | self.finished


class SpoolMachine(RuleBasedStateMachine):
    """Does to a log what a hub may do, and what may happen to a hub."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(log_module, "_TRIM", 3)
        self.root = Path(tempfile.mkdtemp(prefix="glasshub-spool-"))
        self.generation = 0
        self.models = {name: Model() for name in NAMES}
        self.bodies: dict[int, bytes] = {}
        self.order = list(NAMES)

    @property
    def directory(self) -> Path:
        """Where the log is now: somewhere else after each crash."""
        return self.root / str(self.generation)

    @initialize()
    def start(self) -> None:
        self.open()

    def open(self) -> None:
        """Open the log."""
        self.log = Log(self.directory, consumers=self.order, synchronous="NORMAL")

    def teardown(self) -> None:
        self.log.close()
        self.patch.undo()
        shutil.rmtree(self.root)

    @rule(batch=st.lists(interests, min_size=1, max_size=6))
    def append(self, batch: list[frozenset[str]]) -> None:
        frames = [frame(b"%d" % (len(self.bodies) * 10 + n)) for n in range(len(batch))]
        interested = [tuple(sorted(self.order.index(name) for name in wanting)) for wanting in batch]

        numbers = iter(self.log.append(list(zip(frames, interested))))

        for one, wanting in zip(frames, batch):
            if wanting:
                self.accepted(next(numbers), one.body, wanting)
        assert next(numbers, None) is None

    def accepted(self, seq: int, body: bytes, wanting: frozenset[str]) -> None:
        """Note what is in the log now."""
        assert seq not in self.bodies
        self.bodies[seq] = body
        for name in wanting:
            self.models[name].wanted.append(seq)

    @rule(name=names, limit=st.integers(min_value=1, max_value=8))
    def take(self, name: str, limit: int) -> None:
        model = self.models[name]
        expected = model.next(limit)

        entries = self.log.take(self.order.index(name), limit)

        assert [entry.seq for entry in entries] == expected
        assert [entry.frame.body for entry in entries] == [self.bodies[seq] for seq in expected]
        model.given.update(expected)
        model.returned.difference_update(expected)

    @rule(name=names, data=st.data())
    def acknowledge(self, name: str, data: st.DataObject) -> None:
        model = self.models[name]
        chosen = data.draw(st.lists(st.sampled_from(model.open), unique=True)) if model.open else []

        assert self.log.acknowledge(self.order.index(name), chosen) == len(chosen)

        model.finished.update(chosen)
        model.returned.difference_update(chosen)

    @rule(name=names, data=st.data())
    def give_back(self, name: str, data: st.DataObject) -> None:
        model = self.models[name]
        chosen = data.draw(st.lists(st.sampled_from(model.open))) if model.open else []

        self.log.give_back(self.order.index(name), [*chosen, *model.finished])

        model.returned.update(chosen)

    @precondition(lambda self: any(model.open for model in self.models.values()))
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name in NAMES if self.models[name].open]))
        model = self.models[name]
        seq = data.draw(st.sampled_from(model.open))

        self.log.park(self.order.index(name), seq, error="bad")

        model.finished.add(seq)
        model.returned.discard(seq)
        model.parked.add(seq)

    @precondition(lambda self: any(model.parked for model in self.models.values()))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name in NAMES if self.models[name].parked]))
        seq = data.draw(st.sampled_from(sorted(self.models[name].parked)))

        new = self.log.retry(name, seq)

        self.models[name].parked.remove(seq)
        self.accepted(new, self.bodies[seq], frozenset([name]))

    @rule()
    def tidy(self) -> None:
        self.log.tidy()

    @rule(order=st.permutations(NAMES))
    def stop_and_start(self, order: list[str]) -> None:
        self.log.close()
        self.order = order
        self.reopen()

    @rule()
    def crash(self) -> None:
        """What the system has at any moment is what the next start finds: the process had no time to close."""
        before, self.generation = self.directory, self.generation + 1
        self.directory.mkdir(mode=0o700)
        for name in ("log.sqlite", "log.sqlite-wal"):
            shutil.copy(before / name, self.directory / name)
        self.log.close()
        shutil.rmtree(before)
        self.reopen()

    def reopen(self) -> None:
        """Open the log again, which knows less now."""
        for model in self.models.values():
            model.reopen()
        self.open()
        assert (self.log.recovery, self.log.leftovers) == ("", {})

    @invariant()
    def depths_are_true(self) -> None:
        for index, name in enumerate(self.order):
            model = self.models[name]
            assert self.log.depth(index) == len(model.wanted) - len(model.finished)

    @invariant()
    def readers_see_what_a_start_would_find(self) -> None:
        with View(self.directory) as view:
            states = view.consumers()
        for name, state in zip(NAMES, states):
            model = self.models[name]
            assert state.depth == len(model.wanted) - len(model.finished)
            assert state.parked == len(model.parked)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
