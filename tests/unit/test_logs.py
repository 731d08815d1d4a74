# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging: rotation while the hub runs, and repeated messages kept short."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.errors import ConfigError
from glasshub.logs import Repeats, held_back, reopen, set_up

from ..fakes import PATIENCE, FakeClock

logger = logging.getLogger("glasshub.test")


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Take pytest's handlers away, one of which is a file, and give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_messages_of_the_level_go_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("WARNING", str(file))

    logger.info("quiet")
    logger.warning("loud: %r", "ü\n")

    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert line.endswith("WARNING [MainThread] glasshub.test: loud: 'ü\\n'")


def test_without_a_file_messages_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("INFO", "")

    logger.info("hello")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(" INFO [MainThread] glasshub.test: hello\n")


@pytest.mark.parametrize("name", ["missing/hub.log", "."])
def test_a_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[logging\] file: cannot log to .*: (No such file|Is a dir)"):
        set_up("INFO", str(tmp_path / name))


def test_after_rotation_messages_go_to_the_new_file(tmp_path: Path) -> None:
    file, rotated = tmp_path / "hub.log", tmp_path / "hub.log.1"
    set_up("INFO", str(file))

    logger.info("one")
    file.rename(rotated)
    logger.info("two")
    reopen()
    logger.info("three")

    assert [line.split()[-1] for line in rotated.read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["three"]


def test_reopening_without_rotation_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("INFO", str(file))

    for number in range(3):
        logger.info("%d", number)
        reopen()

    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["0", "1", "2"]


def test_a_consumers_own_log_file_is_reopened_too(tmp_path: Path) -> None:
    """fedmsg's configuration and consumers set up handlers of their own."""
    file = tmp_path / "consumer.log"
    own = logging.getLogger("glasshub.test.consumer")
    handler = logging.FileHandler(file)
    own.addHandler(handler)

    try:
        file.rename(tmp_path / "rotated")
        reopen()
        own.warning("new")
    finally:
        own.removeHandler(handler)
        handler.close()

    assert file.read_text() == "new\n"


def test_a_log_that_cannot_be_reopened_goes_on_in_the_old_file_and_harms_nobody(tmp_path: Path) -> None:
    """A logging call that raises would end the worker that made it."""
    directory = tmp_path / "log"
    directory.mkdir()
    file = directory / "hub.log"
    set_up("INFO", str(file))
    moved = tmp_path / "moved"
    directory.rename(moved)

    reopen()
    logger.info("still here")

    text = (moved / "hub.log").read_text()
    assert "still here" in text
    assert "cannot reopen" in text
    directory.mkdir()
    reopen()
    logger.info("back")
    assert "back" in file.read_text()


def test_reopening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    set_up("INFO", str(tmp_path / "hub.log"))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        reopen()

    assert len(os.listdir("/proc/self/fd")) == before


def test_messages_of_other_threads_are_not_lost_while_logs_are_reopened(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("INFO", str(file))
    is_over = threading.Event()
    logged = []

    def work() -> None:
        number = 0
        while not is_over.is_set():
            logger.info("%d", number)
            number += 1
        logged.append(number)

    worker = threading.Thread(target=work)
    worker.start()
    for index in range(50):
        file.rename(tmp_path / f"rotated.{index:02}")
        reopen()
    is_over.set()
    worker.join(PATIENCE)

    lines = [line for one in [*sorted(tmp_path.glob("rotated.*")), file] for line in one.read_text().splitlines()]
    assert [int(line.split()[-1]) for line in lines] == list(range(logged[0]))


def test_the_first_of_a_kind_is_admitted_and_then_one_in_each_period() -> None:
    clock = FakeClock()
    repeats = Repeats(period=10.0, clock=clock)

    answers = []
    for seconds in (0, 1, 8, 1, 0, 9.5, 0.5, 100):
        clock.advance(seconds)
        answers.append(repeats.admit("kind"))

    assert answers == [0, None, None, 2, None, None, 2, 0]


def test_kinds_are_kept_apart() -> None:
    repeats = Repeats(clock=FakeClock())

    assert [repeats.admit(kind) for kind in ("a", "b", ("a", ValueError), "a")] == [0, 0, 0, None]


def test_the_first_is_admitted_right_after_boot() -> None:
    """The monotonic clock starts at 0."""
    assert Repeats(period=10.0, clock=FakeClock(0.0)).admit("kind") == 0


@given(st.lists(st.sampled_from([0.0, 0.5, 4.0, 11.0]), max_size=40))
def test_none_is_forgotten(steps: list[float]) -> None:
    """Those admitted, those they report, and those held back since are all there were."""
    clock = FakeClock()
    repeats = Repeats(period=5.0, clock=clock)
    answers = []
    for step in steps:
        clock.advance(step)
        answers.append(repeats.admit("kind"))

    admitted = [answer for answer in answers if answer is not None]
    since = len(answers) - max((i for i, answer in enumerate(answers) if answer is not None), default=-1) - 1
    assert len(admitted) + sum(admitted) + since == len(steps)


def test_threads_that_log_at_once_are_counted_all() -> None:
    clock = FakeClock()
    repeats = Repeats(clock=clock)
    answers: Counter[int | None] = Counter()

    def work() -> None:
        own = Counter(repeats.admit("kind") for _ in range(2000))
        answers.update(own)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    clock.advance(10.0)

    assert answers == {0: 1, None: 7999}
    assert repeats.admit("kind") == 7999


def test_what_was_held_back_is_said_only_if_there_was_any() -> None:
    assert held_back(0) == ""
    assert held_back(3) == " (3 more like this since the last one)"
