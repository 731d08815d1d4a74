# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a scenario works with: a bus, a real `glasshub run`, and everything that the audit wants to know of both."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from glasshub.dispatch import PROCESSES
from glasshub.errors import SpoolDamagedError
from glasshub.spool import View
from glasshub.toml import as_toml
from glasshub_stats import Snapshot, StatsError
from glasshub_stats.snapshot import ConsumerStats
from tests.integration.hubs import HubProcess, wait_until

from .audit import Account, Books, Counted, Life, Terms, audit, read_diary, windows_of
from .bus import SUBSCRIBED, Bus
from .messages import number_of

#: Seconds after which what has to happen will not happen any more.
PATIENCE = 60.0

#: A segment is fresh when its heartbeats are no older than this: readers call a hub stuck after 15 s.
_FRESH = 2.0

#: Exit code of a hub that leaves messages behind which are lost.
_EXIT_LEFT = 4

#: Most messages that a worker process is given at once.
_BATCH = 64


class BrokenPromiseError(Exception):
    """The hub did not do what it promises."""


class ImpossibleError(Exception):
    """It cannot be tried on this machine."""


@dataclass(frozen=True)
class Setting:
    """What kind of hub it takes.

    Attributes:
        consumers: By name: the class in `faults.consumers`, and the keys of the consumer's section.
        hub, spool: Further keys of these sections.
        terms: What is promised, but for what follows from shape and spool.
    """

    consumers: Mapping[str, tuple[str, Mapping[str, Any]]]
    hub: Mapping[str, Any] = field(default_factory=dict)
    spool: Mapping[str, Any] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)


class Rig:
    """One bus and, one after the other, the lives of one hub. A context manager: nothing of it is left afterwards.

    Attributes:
        directory: Of this rig alone.
        bus: The bus.
        shape: Shape of dispatch.
        has_spool: Whether the hub has one.
        setting: See there.
        spool: Where the hub's spool is, if it has one.
        deaths: How many processes died on purpose in this life of the hub.
        until_the_end: Contexts that are left after the audit.
        notes: What else there is to say of it.
    """

    notes: Sequence[str] = ()

    def __init__(self, directory: Path, setting: Setting, shape: str, *, has_spool: bool) -> None:
        """Start the bus."""
        self.directory = directory
        self.shape = shape
        self.has_spool = has_spool
        self.setting = setting
        self.deaths = 0
        self.spool = directory / "spool" / "h"
        self.until_the_end = contextlib.ExitStack()
        self._lives: list[Life] = []
        self._hub: HubProcess | None = None
        self._known_windows = 0
        self._mark = (0, 0)
        self._children: set[int] = set()
        self.bus = Bus(directory)

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._children |= self.workers()
        if self._hub is not None:
            self._hub.close()
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                if works_in(child, self.directory):
                    os.kill(child, signal.SIGKILL)
        self.bus.kill()
        self.until_the_end.close()

    # The hub

    @property
    def hub(self) -> HubProcess:
        """The hub; it has been started."""
        assert self._hub is not None
        return self._hub

    def launch(self, *arguments: str) -> HubProcess:
        """Start the hub, with these arguments besides, and do not wait for anything."""
        self.deaths = 0
        self._hub = HubProcess(self.directory, None, arguments, toml=self._toml(self.bus.endpoint))
        return self._hub

    def start(self) -> None:
        """Start the hub, and wait until it has subscribed."""
        before = self._subscriptions()
        self.launch()
        self.wait(lambda snapshot: snapshot.status() == "running", "the hub to run")
        self.wait(lambda snapshot: self._subscriptions() > before, "the bus to see it subscribe")
        self.mark()

    def wait(self, holds: Callable[[Snapshot], object], what: str) -> Snapshot:
        """The first snapshot of which that holds.

        Raises:
            BrokenPromiseError: There is none in time, or the hub has ended.
        """
        end = time.monotonic() + PATIENCE
        while True:
            if self.hub.process.poll() is not None:
                raise BrokenPromiseError(f"the hub ended, and this was still to come: {what}: {self.last_words()}")
            with contextlib.suppress(StatsError):
                snapshot = self.hub.snapshot()
                if snapshot.pid == self.hub.process.pid and holds(snapshot):
                    return snapshot
            if time.monotonic() > end:
                raise BrokenPromiseError(f"waited {PATIENCE:g} s in vain for {what}: {self.last_words()}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until everything that was published is received and finished. The bus has to be silent."""
        self.wait_received()
        self.wait(lambda snapshot: not any(map(_left, snapshot.consumers)), "everything to be finished")

    def mark(self) -> None:
        """Have `wait_received` count from the latest subscription. The bus is silent, or the hub has just started."""
        counted = [_counted(consumer).accepted for consumer in self.hub.snapshot().consumers]
        since = windows_of(self.bus.events(), self.bus.next)[-1].first
        self._mark = (since, 0 if self.bus.next > since else min(counted))

    def wait_received(self) -> None:
        """Wait until everything that was published since the mark is received. The bus has to be silent."""
        since, before = self._mark
        count = before + self.bus.next - since + self.setting.terms.unreadable
        self.wait(
            lambda snapshot: all(_counted(consumer).accepted >= count for consumer in snapshot.consumers),
            f"{count} messages to be received",
        )

    def workers(self) -> set[int]:
        """Processes that the hub has started: those that run consumers."""
        return children_of(self._hub.process.pid) if self._hub is not None else set()

    def stop(self, *, is_whole: bool = True, leaves_some: bool = False) -> None:
        """End the hub with SIGTERM; see `Life` for `is_whole`.

        Args:
            is_whole: Whether the bus is silent, and the hub has received everything.
            leaves_some: Whether it may end with messages that it has not finished.

        Raises:
            BrokenPromiseError: It does not end, or not with the exit code that it should.
        """
        self.hub.process.terminate()
        self.expect_end((0, _EXIT_LEFT) if leaves_some else (0,))
        self.deaths += leaves_some
        self.note_life(is_whole=is_whole, was_killed=leaves_some)
        lost = sum(counted.left for counted in self._lives[-1].counted.values()) and not self.has_spool
        code = self.hub.process.returncode
        expect(code == _EXIT_LEFT or not lost, f"the hub left messages behind, and ended with {code}")

    def kill(self) -> None:
        """End the hub with SIGKILL, at once, and see that nothing of it goes on.

        Raises:
            BrokenPromiseError: A process of it does.
        """
        orphans = self.workers()
        self.hub.process.kill()
        self.hub.process.wait()
        self._children |= orphans
        wait_for_end_of(orphans, self.directory)
        self.deaths += 1
        self.note_life(is_whole=False, was_killed=True)

    def expect_end(self, codes: tuple[int, ...]) -> None:
        """Wait for the hub to end with one of these exit codes.

        Raises:
            BrokenPromiseError: It does not.
        """
        orphans = self.workers()
        self._children |= orphans
        try:
            code = self.hub.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise BrokenPromiseError(f"the hub does not end: {self.last_words()}") from None
        if code not in codes:
            raise BrokenPromiseError(f"the hub ended with {code}: {self.last_words()}")
        wait_for_end_of(orphans, self.directory)

    def note_life(self, *, is_whole: bool, was_killed: bool) -> None:
        """Note what is known of the hub's life that is over."""
        if not is_whole:
            wait_until(lambda: self.bus.events()[-1].what != SUBSCRIBED, "the bus to see that the hub is gone")
        windows = windows_of(self.bus.events(), self.bus.next)
        counted = {consumer.name: _counted(consumer) for consumer in self.hub.snapshot().consumers}
        stored = frozenset(self._stored()) if self.has_spool else frozenset()
        life = Life(
            windows[self._known_windows :],
            counted,
            stored,
            is_whole=is_whole,
            was_killed=was_killed,
            deaths=self.deaths,
        )
        self._known_windows = len(windows)
        self._lives.append(life)

    def last_words(self) -> str:
        """The end of the hub's log."""
        return " | ".join(self.hub.said().splitlines()[-3:]) or "(it said nothing)"

    @contextmanager
    def freshness(self) -> Iterator[None]:
        """See to it that the segment is fresh all the time.

        Raises:
            BrokenPromiseError: It was not, at the end.
        """
        ages = [0.0]
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(0.1):
                with contextlib.suppress(StatsError):
                    hub = self.hub.snapshot().hub
                    ages.append(max(hub.heartbeat_age, hub.enqueuer_age))

        watcher = threading.Thread(target=look, name="freshness", daemon=True)
        watcher.start()
        began = time.monotonic()
        try:
            yield
            time.sleep(max(began + 1.2 * _FRESH - time.monotonic(), 0))  # until one that ended at once would be seen
        finally:
            is_over.set()
            watcher.join()
        expect(max(ages) < _FRESH, f"the segment was {max(ages):.1f} s old, {_FRESH:g} s are allowed")

    # The audit

    def diary(self, consumer: str) -> Path:
        """Where a consumer writes."""
        return self.directory / f"{consumer}.diary"

    def audit(self) -> tuple[list[Account], list[str]]:
        """Audit everything that was published. The hub has ended."""
        diaries = {name: read_diary(self.diary(name)) for name in self.setting.consumers}
        repeats = _BATCH if self.has_spool or self.shape == PROCESSES else 0
        terms = replace(self.setting.terms, is_durable=self.has_spool, repeats=repeats)
        return audit(Books(self._lives, diaries, terms, parked_in(self.spool) if self.has_spool else {}))

    def _stored(self) -> Iterator[int]:
        """Numbers of the messages that are in the spool, as the next life of the hub will find it."""
        with contextlib.ExitStack() as stack:
            if self.setting.terms.damage:
                stack.enter_context(contextlib.suppress(SpoolDamagedError))
            view = stack.enter_context(View(self.spool))
            seq = min((consumer.cursor for consumer in view.consumers()), default=0) + 1
            while (message := view.message(seq)) is not None:
                with contextlib.suppress(ValueError, KeyError):
                    yield number_of(message.body)
                seq += 1

    def _subscriptions(self) -> int:
        return sum(event.what == SUBSCRIBED for event in self.bus.events())

    def _toml(self, endpoint: str) -> str:
        spool = self.spool.parent if self.has_spool else None
        return toml_of(self.setting, self.shape, {"zmq": {"endpoints": [endpoint]}}, spool, self.diary)


def expect(holds: object, otherwise: str) -> None:
    """See that a promise is kept.

    Raises:
        BrokenPromiseError: It is not; with that text.
    """
    if not holds:
        raise BrokenPromiseError(otherwise)


def toml_of(
    setting: Setting,
    shape: str,
    bus: Mapping[str, Mapping[str, Any]],
    spool: Path | None,
    diary: Callable[[str], Path],
) -> str:
    """The configuration of a hub.

    Args:
        setting: What kind of hub.
        shape: Shape of dispatch.
        bus: Tables about the bus.
        spool: Where its spool is; None for none.
        diary: Where a consumer writes.
    """
    hub = {"shape": shape, "entry_points": False, **setting.hub}
    tables: dict[str, Mapping[str, Any]] = {**bus, "hub": {**bus.get("hub", {}), **hub}}
    if spool is not None:
        tables["spool"] = {"directory": str(spool), **setting.spool}
    for name, (cls, keys) in setting.consumers.items():
        settings = {"diary": str(diary(name)), **keys.get("settings", {})}
        tables[f"consumers.{name}"] = {"class": f"faults.consumers:{cls}", **keys, "settings": settings}
    return "\n".join(_table(name, keys) for name, keys in tables.items())


def parked_in(spool: Path) -> dict[str, frozenset[int]]:
    """Numbers of the messages that each consumer has parked in a spool."""
    found: dict[str, set[int]] = {}
    with View(spool) as view:
        for parked in view.parked():
            with contextlib.suppress(ValueError, KeyError):  # it may be damaged, and parked for that
                found.setdefault(parked.consumer, set()).add(number_of(parked.body))
    return {name: frozenset(numbers) for name, numbers in found.items()}


def children_of(pid: int) -> set[int]:
    """Child processes of a process."""
    found: set[int] = set()
    with contextlib.suppress(OSError):  # it, or one of its threads, has just ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (thread / "children").read_text(encoding="ascii").split()))
    return found


def wait_for_end_of(processes: set[int], directory: Path) -> None:
    """Those that outlive their hub would handle messages that the next one hands out again.

    Raises:
        BrokenPromiseError: They do.
    """
    try:
        wait_until(lambda: not any(works_in(child, directory) for child in processes), "them", deadline=10.0)
    except AssertionError:
        raise BrokenPromiseError(f"processes of the hub go on without it: {sorted(processes)}") from None


def works_in(pid: int, directory: Path) -> bool:
    """Whether a process lives and works in that directory: a number may be another process's by now."""
    try:
        if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
            return False
        return Path(os.readlink(f"/proc/{pid}/cwd")) == directory
    except OSError:
        return False


def _counted(consumer: ConsumerStats) -> Counted:
    """What a snapshot says of a consumer."""
    return Counted(
        enqueued=consumer.enqueued,
        restored=consumer.restored,
        processed=consumer.processed,
        failed=consumer.failed,
        retried=consumer.retried,
        invalid=consumer.invalid,
        dropped=consumer.dropped,
        parked=consumer.parked,
        left=_left(consumer),
    )


def _left(consumer: ConsumerStats) -> int:
    return consumer.backlog + consumer.in_flight + consumer.delayed


def _table(name: str, keys: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in keys.items())
