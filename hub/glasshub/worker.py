# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a consumer: one message at a time, measured, whatever the consumer does; and the thread that does so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .consumer import BoundConsumer
from .errors import MessageError
from .logs import Repeats, held_back
from .message import Frame
from .queues import Bell, W, Waiting, WorkQueue
from .stats import Outcome, WorkerSlots

logger = logging.getLogger(__name__)

W_contra = TypeVar("W_contra", bound=Waiting, contravariant=True)


_clock = time.monotonic_ns


class Runner:
    """Hands messages to one consumer, and counts. Threads: one worker, the one that owns the slots."""

    def __init__(self, name: str, consumer: BoundConsumer, slots: WorkerSlots, repeats: Repeats) -> None:
        self._name = name
        self._handle = consumer.handle
        self._slots = slots
        self._repeats = repeats

    def run(self, frame: Frame, head_ns: int) -> None:
        """Have the consumer handle the frame; blocks for as long as it takes, and never raises.

        Args:
            frame: The message.
            head_ns: When the message was received that is now first in the queue; 0 for none.
        """
        self._slots.began(frame.received_ns, _clock(), head_ns)
        self._slots.finished(self._attempt(frame), _clock())
        if frame.completion is not None:
            frame.completion.one_done()

    def serve(self, queue: WorkQueue[Frame], bell: Bell) -> None:
        """Have the consumer handle frames until the queue is empty or the bell says stop.

        As `run` for each, but while there is a next frame, the end of one and the beginning of the next are counted
        in one go.
        """
        frame, outcome = queue.take(), None
        while frame is not None:
            self._slots.turned(outcome, _clock(), frame.received_ns, queue.head_ns())
            outcome = self._attempt(frame)
            if frame.completion is not None:
                frame.completion.one_done()
            frame = None if bell.is_stopped else queue.take()
        if outcome is not None:
            self._slots.finished(outcome, _clock())

    def _attempt(self, frame: Frame) -> Outcome:
        try:
            return self._handle(frame)
        except MessageError as error:
            self._warn(error)
            return Outcome.INVALID
        except BaseException as error:  # sys.exit(), a cancelled coroutine: nothing of a consumer ends the worker
            self._log_failure(frame, error)
            return Outcome.FAILED

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

    def serve(self, queue: Any, bell: Bell, /) -> None:
        """Handle what is in the queue until it is empty, or the bell says stop."""


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
        while not self._bell.is_stopped and self._bell.wait(lane.queue.__len__):
            lane.runner.serve(lane.queue, self._bell)

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
