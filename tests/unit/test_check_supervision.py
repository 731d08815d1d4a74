# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work in a child: what comes of it, and what does not."""

from __future__ import annotations

import os
import signal

import pytest

from glasshub.check.supervision import within


def test_work_is_done_elsewhere_and_answers() -> None:
    assert within(10, lambda: str(os.getpid()).encode()) != str(os.getpid()).encode()


def test_answer_may_be_longer_than_a_pipe() -> None:
    assert within(10, lambda: b"x" * 1_000_000) == b"x" * 1_000_000


def test_work_that_takes_too_long_is_given_up() -> None:
    assert within(0.1, lambda: os.read(os.pipe()[0], 1)) is None

    _, status = os.wait()
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_child_that_dies_has_answered_nothing() -> None:
    def die() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b"never"

    assert within(10, die) == b""


def test_child_writes_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    def write() -> bytes:
        os.write(1, b"out")
        os.write(2, b"err")
        return b""

    within(10, write)

    assert capfd.readouterr() == ("", "")
