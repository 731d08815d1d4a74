# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for all tests: one that leaves a thread, a child process or a descriptor behind has failed."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from .descriptors import descriptors
from .lasting import shared_pids

T = TypeVar("T")

#: Seconds that a thread or a child gets that is just ending.
_GRACE = 5.0

_HAS_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session", autouse=True)
def _lasting_things() -> None:
    """Make what is made once in a process and stays: Twisted's reactor has descriptors."""
    with suppress(ImportError):
        import moksha.hub.reactor  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Have children die of SIGINT as they would in a terminal: a shell's job in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare threads, children and descriptors before and after."""
    threads, children, opened_before = set(threading.enumerate()), _children(), descriptors()

    yield

    if request.node.stash.get(_HAS_FAILED, False):
        return  # its traceback holds on to everything, and it is red anyway
    left = _remaining(lambda: set(threading.enumerate()) - threads)
    assert not left, f"the test leaks threads: {left}"
    processes = _remaining(lambda: _children() - children - shared_pids())
    assert not processes, f"the test leaks child processes: {[_command(pid) for pid in processes]}"
    opened = _remaining(lambda: _unmapped(descriptors() - opened_before))
    assert not opened, f"the test leaks descriptors: {sorted(opened)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Note whether the test has failed already, for the fixture above."""
    report = yield
    if report.failed:
        item.stash[_HAS_FAILED] = True
    return report


def _remaining(look: Callable[[], set[T]]) -> set[T]:
    """What is there still after a while in which it could have gone."""
    deadline = time.monotonic() + _GRACE
    found = look()
    while found:
        gc.collect()  # they may hang in a reference circle
        found = look()
        if time.monotonic() > deadline:
            break
        if found:
            time.sleep(0.01)  # nothing signals the end of somebody else's thread
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has just ended
            found.update(map(int, (thread / "children").read_text(encoding="ascii").split()))
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return f"{pid}: " + Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return str(pid)


def _unmapped(opened: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Without the one that each mapped file has: mmap copies it, and it goes with the mapping.

    A segment stays mapped as long as somebody may count in it, for example a logged traceback.
    """
    mapped: Counter[str] = Counter()
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, _, path = line.partition("/")
        mapped["/" + path] += 1
    found = set()
    for descriptor, target in sorted(opened):
        if mapped[target]:
            mapped[target] -= 1
        else:
            found.add((descriptor, target))
    return found
