# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running a consumer: one message at a time, measured, whatever the consumer does; and the thread that does so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .errors import MessageError
from .failure import Care, Failure, ReportedError, one_line, traceback_of
from .logs import Repeats, held_back
from .message import Frame
from .queues import Bell, W, Waiting, WorkQueue
from .signals import ConsumerSignal, Drop, Halt, Retry
from .stats import Outcome, WorkerSlots

logger = logging.getLogger(__name__)

W_contra = TypeVar("W_contra", bound=Waiting, contravariant=True)


_clock = time.monotonic_ns
_FAILED = Outcome.FAILED


class Handles(Protocol):
    """What a worker has a consumer do."""

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""


class Runner:
    """Hands messages to one consumer, and counts. Threads: one worker, the one that owns the slots.

    A message that does not go well is counted here, and then handed to the consumer's `Care`. Who has been halted gets
    nothing more: what is taken for it is left as it is, not counted and not finished.
    """

    def __init__(self, name: str, consumer: Handles, slots: WorkerSlots, repeats: Repeats, care: Care) -> None:
        self._name = name
        self._handle = consumer.handle
        self._slots = slots
        self._repeats = repeats
        self._care = care

    def run(self, frame: Frame, head_ns: int) -> None:
        """Have the consumer handle the frame; blocks for as long as it takes, and never raises.

        Args:
            frame: The message.
            head_ns: When the message was received that is now first in the queue; 0 for none.
        """
        if self._care.is_halted:
            return
        self._slots.began(frame.received_ns, _clock(), head_ns)
        outcome = self._attempt(frame)
        if outcome is None:
            return
        self._slots.finished(outcome, _clock())
        if frame.completion is not None:
            frame.completion.one_done()

    def serve(self, queue: WorkQueue[Frame], bell: Bell) -> None:
        """Have the consumer handle frames until the queue is empty or the bell says stop.

        As `run` for each, but while there is a next frame, the end of one and the beginning of the next are counted
        in one go.
        """
        frame, outcome, completion = self._next(queue), None, None
        while frame is not None:
            self._slots.turned(outcome, _clock(), frame.received_ns, queue.head_ns())
            if completion is not None:  # now that it is counted: who hears of it may trust the counts
                completion.one_done()
            outcome = self._attempt(frame)
            completion = frame.completion if outcome is not None else None
            frame = None if bell.is_stopped else self._next(queue)
        if outcome is not None:
            self._slots.finished(outcome, _clock())
        if completion is not None:
            completion.one_done()

    def _next(self, queue: WorkQueue[Frame]) -> Frame | None:
        """The next frame; none for a consumer that is halted, whose queue is emptied."""
        frame = queue.take()
        while frame is not None and self._care.is_halted:
            frame = queue.take()
        return frame

    def _attempt(self, frame: Frame) -> Outcome | None:
        """Have the consumer try the message.

        Returns:
            How it ended; None where that is settled: it is counted, and somebody else takes care of the message.
        """
        try:
            outcome = self._handle(frame)
        except MessageError as error:
            self._warn(error)
            return Outcome.INVALID
        except ConsumerSignal as signal:
            return self._obey(signal, frame)
        except BaseException as error:  # sys.exit(), a cancelled coroutine: nothing of a consumer ends the worker
            return self._after_failure(frame, error)
        return outcome if outcome is not _FAILED else self._after_failure(frame, ReportedError())

    def _obey(self, signal: ConsumerSignal, frame: Frame) -> Outcome | None:
        policy = self._care.policy
        if isinstance(signal, Drop):
            logger.debug("%s drops a message of topic %r: %s", self._name, frame.topic, signal.reason)
            return Outcome.DISCARDED
        if isinstance(signal, Halt):
            self._halt(signal, frame)
            return None
        if not isinstance(signal, Retry) or (policy.retries and frame.attempts >= policy.retries):
            return self._give_up(frame, signal)
        self._retry(frame, one_line(signal), signal.after)
        return None

    def _halt(self, signal: Halt, frame: Frame) -> None:
        logger.error("%s halts the hub: %s", self._name, signal.reason or "it gives no reason")
        if signal.is_done:
            self._slots.finished(Outcome.PROCESSED, _clock())
            if frame.completion is not None:
                frame.completion.one_done()
        self._care.halt(signal.reason, signal.exit_code)

    def _after_failure(self, frame: Frame, error: BaseException) -> Outcome | None:
        if frame.attempts >= self._care.policy.retries:
            return self._give_up(frame, error)
        self._retry(frame, one_line(error), None)
        return None

    def _retry(self, frame: Frame, error: str, after: float | None) -> None:
        policy, attempts = self._care.policy, frame.attempts + 1
        if after is None:
            after = policy.backoff(attempts)
        count = self._repeats.admit((self._name, "retried"))
        if count is not None:
            logger.warning(
                "%s: attempt %d at a message of topic %r ended with %s: tried again in %.1f s%s",
                self._name,
                attempts,
                frame.topic,
                error,
                after,
                held_back(count),
            )
        self._slots.finished(Outcome.RETRIED, _clock())  # before anybody can count that it comes again
        self._care.retry(frame, after, error)

    def _give_up(self, frame: Frame, error: BaseException) -> Outcome | None:
        self._log_failure(frame, error)
        if not self._care.policy.parks:
            return _FAILED
        now_ns = _clock()
        self._slots.finished(Outcome.PARKED, now_ns)
        attempts, first_ns = frame.attempts + 1, frame.first_ns or now_ns
        self._care.park(frame, Failure(one_line(error), traceback_of(error), attempts, first_ns, now_ns))
        return None

    def _warn(self, error: MessageError) -> None:
        count = self._repeats.admit((self._name, MessageError))
        if count is not None:
            logger.warning("%s: invalid message: %s%s", self._name, error, held_back(count))

    def _log_failure(self, frame: Frame, error: BaseException) -> None:
        given_up, is_reported = self._given_up(frame), isinstance(error, ReportedError)
        if is_reported and not given_up:
            return
        count = self._repeats.admit((self._name, type(error)))
        if count is not None:
            logger.error(
                "%s failed on a message of topic %r%s%s",
                self._name,
                frame.topic,
                given_up,
                held_back(count),
                exc_info=None if is_reported else error,
            )

    def _given_up(self, frame: Frame) -> str:
        """A clause that says after how many attempts, and what becomes of it, where that is not as always."""
        tried = f", attempt {frame.attempts + 1}, the last" if frame.attempts else ""
        return tried + (": parked" if self._care.policy.parks else "")


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
        #: Whether it sleeps, or is about to; see `is_idle`.
        self._is_resting = False
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

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for it, and it is at nothing; also when it has ended. Threads: any.

        In this order: a worker says that it does not rest any more before it takes something out of the queue.
        """
        return not self.is_alive() or (not any(lane.queue for lane in self._lanes) and self._is_resting)

    def _rest(self, has_work: Callable[[], object]) -> bool:
        """Sleep until there is work; False when there will be none."""
        self._is_resting = True
        try:
            return self._bell.wait(has_work)
        finally:
            self._is_resting = False

    def _serve(self, lane: Lane[Any]) -> None:
        while not self._bell.is_stopped and self._rest(lane.queue.__len__):
            lane.runner.serve(lane.queue, self._bell)

    def _serve_all(self) -> None:
        while not self._bell.is_stopped:
            lane = self._oldest()
            if lane is None:
                if not self._rest(self._oldest):
                    return
                continue
            frame = lane.queue.take()
            if frame is not None:
                lane.runner.run(frame, lane.queue.head_ns())

    def _oldest(self) -> Lane[Any] | None:
        """The lane whose first message was received first; this thread alone takes from it."""
        waiting = [lane for lane in self._lanes if lane.queue]
        return min(waiting, key=lambda lane: lane.queue.head_ns(), default=None)
