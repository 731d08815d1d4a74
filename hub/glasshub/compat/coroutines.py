# SPDX-License-Identifier: LGPL-2.1-or-later
"""Coroutines of a consumer, in one event loop that goes on between messages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that tasks have to end once they are cancelled.
_GRACE = 1.0


class Coroutines:
    """Runs a consumer's coroutines in one event loop of asyncio, in a thread that begins with the first of them.

    The loop does not end with a message: what a coroutine has opened, and tasks that it has left behind, are good for
    the next one.
    """

    def __init__(self, name: str) -> None:
        """Take the consumer's name."""
        self._name = name
        self._lock = threading.Lock()  # of what follows
        self._thread: _Loop | None = None
        self._waiting = 0

    def finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have a coroutine run to its end, and wait for it; what it returns, or raises. Threads: any but the loop's."""
        with self._lock:
            if self._thread is None:
                self._thread = _Loop(f"loop-{self._name}")
                self._thread.start()
            self._waiting += 1
            loop = self._thread.loop
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        finally:
            with self._lock:
                self._waiting -= 1

    def close(self) -> None:
        """End the loop, and cancel the tasks that were left behind.

        One that a worker waits for is let be, as a worker is that waits for anything else: to cancel it would be to
        have it fail.
        """
        with self._lock:
            if self._waiting:
                return
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()
            thread.join(_GRACE)


class _Loop(threading.Thread):
    """Runs an event loop until it is told to end."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)  # a coroutine that never ends must not keep a stopped hub alive
        self.loop = asyncio.new_event_loop()
        self._is_ending = False

    def run(self) -> None:
        """Run it."""
        asyncio.set_event_loop(self.loop)
        try:
            while not self._is_ending:
                self._go_on()
            self.loop.run_until_complete(_cancel_all(self.loop))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def end(self) -> None:
        """Have it end soon. Threads: any."""
        self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._is_ending = True
        self.loop.stop()

    def _go_on(self) -> None:
        try:
            self.loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            pass  # a task has raised it, and asyncio the same out of the loop; whoever waits for the task is told


async def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
