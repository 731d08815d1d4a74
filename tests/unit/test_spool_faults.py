# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog when its process is killed, and when the disk is full: nothing that was accepted is lost."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from glasshub.errors import SpoolError, SpoolFullError
from glasshub.spool import Entry, Log

from .. import needs
from ..disks import CannotMountError, SmallDisk, cram, file_size
from ..fakes import frame
from .spool_writer import CONSUMERS, MOST_GIVEN, wanting

ROOT = Path(__file__).resolve().parents[2]


class Books:
    """What killed writers have said.

    Attributes:
        accepted: Numbers of all messages that were.
        handled: How often each consumer was given which.
    """

    def __init__(self) -> None:
        self.accepted: set[int] = set()
        self.handled: list[Counter[int]] = [Counter() for _ in CONSUMERS]
        self.next = 0

    def note(self, line: bytes) -> None:
        """Note a line of a writer."""
        what, number, *count = line.split()
        if what == b"+":
            self.accepted.update(range(int(number), int(number) + int(count[0])))
            self.next = int(number) + int(count[0])
        else:
            self.handled[int(what)][int(number)] += 1

    def lived(self, directory: Path, seed: int) -> None:
        """Have a writer live for a random time."""
        # A batch that was accepted, but not told any more, has numbers of its own.
        arguments = [sys.executable, "-m", "tests.unit.spool_writer", str(directory), str(self.next + 100), str(seed)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(random.Random(seed).randint(1, 2000)):
                self.note(writer.stdout.readline())
            writer.kill()
            *whole, _ = writer.stdout.read().split(b"\n")
        for line in whole:
            self.note(line)


@pytest.mark.parametrize("kills", [5, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_nothing_that_was_accepted_is_lost_when_the_process_is_killed(tmp_path: Path, kills: int) -> None:
    books = Books()
    for seed in range(kills):
        books.lived(tmp_path / "spool", seed)
    with Log(tmp_path / "spool", consumers=CONSUMERS) as log:
        left = [[int(entry.frame.body[:10]) for entry in everything(log, c)] for c in range(len(CONSUMERS))]
        recovery = log.recovery

    assert recovery == ""
    assert len(books.accepted) > kills * 50
    for consumer, numbers in enumerate(left):
        wanted = {number for number in books.accepted if consumer in wanting(number)}
        handled = books.handled[consumer]
        assert wanted <= handled.keys() | set(numbers), "messages are lost"
        assert numbers == sorted(set(numbers)), "the order is not kept"
        assert all(consumer in wanting(number) for number in [*handled, *numbers])
        repeated = sum(handled.values()) - len(handled) + len(handled.keys() & set(numbers))
        assert repeated <= 2 * MOST_GIVEN * kills, "more comes again than was in hand"


def everything(log: Log, consumer: int) -> list[Entry]:
    """All that waits for a consumer, which finishes it."""
    found: list[Entry] = []
    while window := log.take(consumer, 500):
        log.acknowledge(consumer, [entry.seq for entry in window])
        found += window
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """One of 8 MB."""
    try:
        made = SmallDisk(tmp_path / "disk", "size=8m,mode=700")
    except CannotMountError as error:
        needs.give_up(str(error))
    with made:
        yield made


def fill(log: Log) -> int:
    """How many messages it accepts until it accepts no more."""
    accepted = 0
    with suppress(SpoolError):
        while True:
            accepted += len(log.append([(frame(b"%08d" % (accepted + n) * 500), (0,)) for n in range(10)]))
    return accepted


def numbers(entries: list[Entry]) -> list[int]:
    """What `fill` made them of."""
    return [int(entry.frame.body[:8]) for entry in entries]


def test_a_full_disk_is_an_error_and_goes_on_when_there_is_room(disk: SmallDisk) -> None:
    with Log(disk.path, consumers=["a"], reserve_bytes=0) as log:
        accepted = fill(log)
        with pytest.raises(SpoolFullError, match="database or disk is full: make some"):
            log.append([(frame(b"x" * 100_000), (0,))])
        depth = log.depth(0)
        disk.remount("size=32m")
        more = log.append([(frame(b"%08d" % accepted), (0,))])

        assert accepted > 500
        assert (depth, list(more)) == (accepted, [accepted + 1])
    with Log(disk.path, consumers=["a"]) as log:
        assert numbers(everything(log, 0)) == list(range(accepted + 1))


@pytest.mark.parametrize("has_log", [False, True])
def test_a_disk_that_may_not_be_written_to_is_an_error_of_ours(disk: SmallDisk, has_log: bool) -> None:
    if has_log:
        Log(disk.path, consumers=["a"]).close()
    disk.remount("ro")

    with pytest.raises(SpoolError, match=f"(?i){disk.path}.*(read-only|may not write)"):
        Log(disk.path, consumers=["a"])


def test_what_is_finished_while_the_disk_is_full_is_noted_when_there_is_room(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    with Log(disk.path, consumers=["a"], reserve_bytes=0) as log:
        accepted = fill(log)
        cram(disk.path / "others")
        found = everything(log, 0)
        depth = log.depth(0)
        disk.remount("size=32m")

        assert (len(found), depth) == (accepted, 0)
        assert len(log.append([(frame(1), (0,))])) == 1
    with Log(disk.path, consumers=["a"]) as log:
        assert [entry.frame.body for entry in everything(log, 0)] == [b"1"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("now: there is no room for" in warning for warning in warnings)


def test_the_reserve_keeps_a_spool_going_on_a_disk_that_it_has_filled(disk: SmallDisk) -> None:
    """Nobody makes room but the consumers: what they finish is removed, and that needs some."""
    disk.remount("size=32m")
    with Log(disk.path, consumers=["a"]) as log:
        rounds = []
        for _ in range(5):
            accepted = fill(log)
            finished = len(everything(log, 0))
            while log.tidy():
                pass
            rounds.append((accepted, finished))

    assert all(accepted == finished > 2000 for accepted, finished in rounds), rounds


def test_a_file_size_limit_is_an_error_and_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        with file_size(1 << 20):
            accepted = fill(log)
            with pytest.raises(SpoolError, match=r"log\.sqlite: disk I/O error"):
                log.append([(frame(b"x" * 100_000), (0,))])
        more = log.append([(frame(b"%08d" % accepted), (0,))])

        assert (accepted > 50, list(more)) == (True, [accepted + 1])
    with Log(tmp_path, consumers=["a"]) as log:
        assert numbers(everything(log, 0)) == list(range(accepted + 1))


def test_a_disk_that_becomes_read_only_is_an_error_and_goes_on(disk: SmallDisk) -> None:
    """The kernel remounts a disk like that after an error."""
    with Log(disk.path, consumers=["a"], reserve_bytes=0) as log:
        log.append([(frame(1), (0,))])
    disk.remount("ro")
    try:
        with pytest.raises(SpoolError, match=r"log\.sqlite: .*: uid 0 may not write there"):
            Log(disk.path, consumers=["a"], reserve_bytes=0)
    finally:
        disk.remount("rw")

    with Log(disk.path, consumers=["a"], reserve_bytes=0) as log:
        assert len(everything(log, 0)) == 1


def test_a_recovery_for_which_the_disk_has_no_room_waits_for_it(disk: SmallDisk) -> None:
    with Log(disk.path, consumers=["a"], reserve_bytes=0) as log:
        accepted = fill(log)
    (disk.path / "log.sqlite.is-damaged").touch()

    with pytest.raises(SpoolFullError, match="not recovered yet: there is no room"):
        Log(disk.path, consumers=["a"])
    disk.remount("size=64m")
    with Log(disk.path, consumers=["a"]) as log:
        assert numbers(everything(log, 0)) == list(range(accepted))
        assert f"recovered: {accepted} messages, 1 consumers" in log.recovery
