# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a consumer: one message at a time, measured, whatever the consumer does; and the thread that does so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .consumer import BoundConsumer, Outcome
from .errors import MessageError
from .logs import Repeats, held_back
from .message import Frame
from .queues import Bell, W, Waiting, WorkQueue
from .stats import WorkerSlots

logger = logging.getLogger(__name__)

W_contra = TypeVar("W_contra", bound=Waiting, contravariant=True)


class Runner:
    """Hands messages to one consumer, and counts. Threads: one worker, the one that owns the slots."""

    def __init__(self, name: str, consumer: BoundConsumer, slots: WorkerSlots, repeats: Repeats) -> None:
        self._name = name
        self._handle = consumer.handle
        self._slots = slots
        self._repeats = repeats
        self._record = {
            Outcome.PROCESSED: slots.processed,
            Outcome.FAILED: slots.failed,
            Outcome.INVALID: slots.invalid,
        }

    def run(self, frame: Frame, head_ns: int) -> None:
        """Have the consumer handle the frame; blocks for as long as it takes, and never raises.

        Args:
            frame: The message.
            head_ns: When the message was received that is now first in the queue; 0 for none.
        """
        self._slots.began(frame.received_ns, time.monotonic_ns(), head_ns)
        try:
            outcome = self._handle(frame)
        except MessageError as error:
            outcome = Outcome.INVALID
            self._warn(error)
        except (Exception, SystemExit) as error:  # a consumer that calls sys.exit() must not end the worker
            outcome = Outcome.FAILED
            self._log_failure(frame, error)
        self._record[outcome](time.monotonic_ns())
        frame.done()

    def _warn(self, error: MessageError) -> None:
        count = self._repeats.admit((self._name, MessageError))
        if count is not None:
            logger.warning("%s: invalid message: %s%s", self._name, error, held_back(count))

    def _log_failure(self, frame: Frame, error: BaseException) -> None:
        count = self._repeats.admit((self._name, type(error)))
        if count is not None:
            logger.error(
                "%s failed on a message of topic %r%s", self._name, frame.topic, held_back(count), exc_info=error
            )


class Runs(Protocol[W_contra]):
    """What a worker does with what it takes from a queue."""

    def run(self, taken: W_contra, head_ns: int, /) -> None:
        """Handle it; never raises."""


@dataclass(frozen=True)
class Lane(Generic[W]):
    """A queue, and what one worker serves it with."""

    queue: WorkQueue[W]
    runner: Runs[W]


class WorkerThread(threading.Thread):
    """Serves one lane, or several in the order in which their messages were received.

    Several lanes are a group: consumers that never run at the same time, because one thread runs them all. The
    thread ends when its bell is closed and its lanes are empty, or after the message at hand when it is stopped.
    """

    def __init__(self, name: str, lanes: Sequence[Lane[Any]], bell: Bell) -> None:
        # A daemon: a consumer that never returns must not keep a stopped hub alive.
        super().__init__(name=name, daemon=True)
        self._lanes = lanes
        self._bell = bell
        #: What ended the thread other than the bell; the hub's main thread looks.
        self.error: BaseException | None = None

    def run(self) -> None:
        """Take and run messages until the bell says otherwise."""
        try:
            if len(self._lanes) == 1:
                self._serve(self._lanes[0])
            else:
                self._serve_all()
        except BaseException as error:
            self.error = error
            logger.critical("worker %s died", self.name, exc_info=True)

    def _serve(self, lane: Lane[Any]) -> None:
        bell, queue, run = self._bell, lane.queue, lane.runner.run
        while not bell.is_stopped:
            frame = queue.take()
            if frame is not None:
                run(frame, queue.head_ns())
            elif not bell.wait(queue.__len__):
                return

    def _serve_all(self) -> None:
        while not self._bell.is_stopped:
            lane = self._oldest()
            if lane is None:
                if not self._bell.wait(self._oldest):
                    return
                continue
            frame = lane.queue.take()
            if frame is not None:
                lane.runner.run(frame, lane.queue.head_ns())

    def _oldest(self) -> Lane[Any] | None:
        """The lane whose first message was received first; this thread alone takes from it."""
        waiting = [lane for lane in self._lanes if lane.queue]
        return min(waiting, key=lambda lane: lane.queue.head_ns(), default=None)
