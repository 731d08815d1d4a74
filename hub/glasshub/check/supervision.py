# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that may hang in the kernel, done where it hangs nobody else.

Whoever opens a file below a dead network mount cannot be interrupted, not even by SIGKILL, and a process ends only
when its last thread has. So the work is done by a child that holds nothing of ours but a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn


def within(timeout: float, work: Callable[[], bytes]) -> bytes | None:
    """What the work comes to, in a child process.

    Args:
        timeout: Seconds that it may take.
        work: Raises nothing.

    Returns:
        None when it takes longer; nothing at all when the child has died of it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _work_and_exit(work, writer)
    os.close(writer)
    answer = None
    try:
        answer = _read_all(reader, time.monotonic() + timeout)
    finally:
        os.close(reader)
        if answer is None:
            os.kill(child, signal.SIGKILL)  # and not waited for
    if answer is not None:
        os.waitpid(child, 0)
    return answer


def _work_and_exit(work: Callable[[], bytes], writer: int) -> NoReturn:
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # whoever reads ours waits until everybody has closed it
            os.dup2(null, standard)
        with open(writer, "wb") as pipe:
            pipe.write(work())
    finally:
        os._exit(0)


def _read_all(reader: int, deadline: float) -> bytes | None:
    answer = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        part = os.read(reader, 1 << 16)
        if not part:
            return answer
        answer += part
