# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeping a worker process of a name running, giving it work, and finding the message that kills it.

Whatever was at hand when the process died is under suspicion, since nobody can tell what it died of. Suspects are tried
one by one, each alone in the process, before anything else goes on; so a message that kills is found within a few
deaths, and those that happened to be at hand beside it go free. One that has killed `max_deaths` processes while they
were at nothing else is given up. A trial that takes long is broken off, for the others wait; the next ones may take
twice as long, so that a message that kills late is found as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import HubError
from ..failure import Failure
from ..message import Frame
from ..queues import Bell
from .desk import Desk, Suspect
from .process import Brief, Hear, WorkerProcess, how_it_ended

logger = logging.getLogger(__name__)

_clock = time.monotonic

#: Seconds before a process that has died is followed by another: the first time, and at the most. They double with
#: each that has finished nothing.
_DELAY, _LONGEST_DELAY = 0.1, 30.0

#: Seconds that a process may take to close its consumers.
CLOSING = 5.0

#: Seconds that the others wait for a message on trial, at first.
_TRIAL = 10.0


class Keeper:
    """Keeps one worker process running.

    Threads: main thread only, but for `put_order`; a thread of its own sends, one of each process receives.

    Attributes:
        name: The name of the process.
        bell: Rings when there may be something to send.
        process: The process that runs, or ran last.
        desks: The desks of its consumers, by the place of each in what it has built; the shape of dispatch fills it.
        error: What ended the thread that sends; None while it lives, or has ended in good order.
    """

    def __init__(self, brief: Brief, heard: Mapping[str, Hear]) -> None:
        """Start the first process.

        Args:
            brief: What each process is told.
            heard: What is called with what it says, by word.

        Raises:
            HubError: It cannot be started.
        """
        self.name = brief.process
        self.bell = Bell()
        self.desks: dict[int, Desk] = {}
        self._drained = threading.Event()
        self.error: BaseException | None = None
        self._brief = brief
        self._heard: Mapping[str, Hear] = {
            **heard,
            "up": self._came_up,
            "done": self._done,
            "retry": self._retry,
            "park": self._park,
            "halted": self._halted,
        }
        self._lock = threading.Lock()  # what is given is given to the process that runs
        self._standing: list[tuple[Any, ...]] = []  # orders for each process
        self._orders: deque[tuple[Any, ...]] = deque()
        self._suspects: deque[Suspect] = deque()
        self._on_trial: Suspect | None = None
        self._trial_ends = 0.0
        self._longest_trial = _TRIAL
        self._stuck: WorkerProcess | None = None  # the process that was killed because it was stuck,
        self._overdue: set[tuple[Desk, int]] = set()  # and what it was stuck at
        self._fruitless = 0  # processes in a row that have finished nothing
        self._has_settled = False
        self._next_start = 0.0
        self._is_quiesced = self._is_draining = self._is_stopping = self._is_closing = self._is_over = False
        self.process = WorkerProcess(brief, self._heard, self._died)
        self._sender = threading.Thread(target=self._run, name=f"feeds-{self.name}", daemon=True)
        self._sender.start()

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and nothing is out. Threads: any."""
        with self._lock:  # what is on its way from one place to the other is not nowhere
            return not (self._suspects or self._on_trial) and all(desk.is_done for desk in self.desks.values())

    def put_order(self, *order: Any, is_standing: bool = False) -> None:
        """Have the process told something, and with `is_standing` each process that takes its place. Threads: any."""
        with self._lock:
            if is_standing:
                self._standing.append(order)
            self._orders.append(order)
        self.bell.ring()

    def tend(self) -> bool:
        """Start another process when one has died, and end one that is stuck; never blocks.

        Returns:
            Whether another process was started.
        """
        if not self.process.is_dead:
            self._end_if_stuck()
            self._break_off_trial()
            return False
        if self._is_stopping or self._is_closing or _clock() < self._next_start:
            return False
        return self._start_another()

    def quiesce(self) -> None:
        """Have the producers end."""
        self._is_quiesced = True
        self._standing = [order for order in self._standing if order != ("go",)]
        self.put_order("quiesce")

    def drain(self) -> None:
        """Note that no more messages come."""
        self._is_draining = True
        self._note_whether_drained()

    @property
    def is_stopped(self) -> bool:
        """Whether the workers have been told to end. Threads: any."""
        return self._is_stopping

    def stop(self) -> None:
        """Have the workers end after the message that each is at."""
        self._is_stopping = True
        self.put_order("stop")

    def wait_for_end(self, timeout: float) -> bool:
        """Wait until everything is drained or, after a stop, until the workers have ended; whether they have."""
        return (self.process.has_stopped if self._is_stopping else self._drained).wait(timeout)

    def close(self) -> None:
        """Have the consumers closed, and the process end; `end` waits for that."""
        self._is_closing = True
        self.put_order("close")

    def end(self, timeout: float) -> None:
        """See to it that the process has ended within that time."""
        if not self.process.join(timeout):
            logger.warning("worker process %s does not end: killing it", self.name)
        self._is_over = True
        self.process.kill()
        self.process.join(CLOSING)
        self.bell.ring()
        self._sender.join(CLOSING)

    def _start_another(self) -> bool:
        self._brief = replace(self._brief, is_first=False)
        self._has_settled = False
        try:
            process = WorkerProcess(self._brief, self._heard, self._died)
        except HubError as error:
            self._fruitless += 1
            delay = self._put_off_start()
            logger.error("%s: trying again in %.1f s", error, delay)
            return False
        if self._is_quiesced:
            process.is_quiet.set()
        with self._lock:  # nobody sends to one what is meant for the other
            self.process = process
            self._orders = deque(self._standing)
        self.bell.ring()
        return True

    def _put_off_start(self) -> float:
        """Have the next process wait for a while; how long that is, in seconds."""
        delay = min(_DELAY * 2.0 ** min(self._fruitless, 60), _LONGEST_DELAY)
        self._next_start = _clock() + delay
        return delay

    def _end_if_stuck(self) -> None:
        now_ns = time.monotonic_ns()
        with self._lock:
            if self._stuck is self.process:
                return
            overdue = {(desk, number) for desk in self.desks.values() for number in desk.overdue(now_ns)}
            if not overdue:
                return
            self._stuck, self._overdue = self.process, overdue
        logger.error("worker process %s (pid %d) is stuck: replacing it", self.name, self.process.pid)
        self.process.kill()

    def _break_off_trial(self) -> None:
        """Let the others go on when a suspect takes long."""
        with self._lock:
            if self._on_trial is None or _clock() < self._trial_ends:
                return
            self._on_trial = None
            self._longest_trial *= 2
            self._acquit()
        self.bell.ring()

    def _acquit(self) -> None:
        """Put the suspects back into their queues; lock held by caller."""
        while self._suspects:
            suspect = self._suspects.pop()
            suspect.desk.put_back(suspect.frame)

    # What its own thread does

    def _run(self) -> None:
        try:
            self._send()
        except BaseException as error:
            self.error = error
            logger.critical("%s died", threading.current_thread().name, exc_info=True)

    def _send(self) -> None:
        while self.bell.wait(self._has_work):
            if self._is_over:
                return
            process, messages = self._to_send()
            try:
                for message in messages:
                    process.send(*message)
            except OSError:
                process.join(CLOSING)  # it has died, and somebody sees to that

    def _to_send(self) -> tuple[WorkerProcess, list[tuple[Any, ...]]]:
        """What is to be sent now, and to which process: what is given to one that dies must not reach the next."""
        with self._lock:
            messages = list(self._orders)
            self._orders.clear()
            if not messages and self._may_give() and self._has_batch():
                batches = [self._trial(self._suspects.popleft())] if self._suspects else self._all_batches()
                messages = [("batch", *batch) for batch in batches]
            return self.process, messages

    def _has_work(self) -> bool:
        if self._is_over:
            return True
        if self.process.is_dead:
            return False
        return bool(self._orders) or (self._may_give() and self._has_batch())

    def _may_give(self) -> bool:
        return self.process.is_up and not self._is_stopping

    def _has_batch(self) -> bool:
        if self._suspects or self._on_trial:
            return not any(desk.is_out for desk in self.desks.values())
        return any(desk.has_batch() for desk in self.desks.values())

    def _all_batches(self) -> list[tuple[Any, ...]]:
        batches = []
        for place, desk in self.desks.items():
            if desk.has_batch():
                head_ns, parcels = desk.batch()
                if parcels:  # they may have been dropped meanwhile
                    batches.append((place, head_ns, parcels))
        return batches

    def _trial(self, suspect: Suspect) -> tuple[Any, ...]:
        self._on_trial = suspect
        self._trial_ends = _clock() + self._longest_trial
        place = next(place for place, desk in self.desks.items() if desk is suspect.desk)
        return place, suspect.desk.head_ns(), [suspect.desk.alone(suspect.frame)]

    # What the process's thread does

    def _came_up(self) -> None:
        with self._lock:
            built = self.process.built
            assert built is not None
            for place, desk in self.desks.items():
                name, _, topics = built.consumers[place]
                desk.open(topics is not None)
                if topics is None:
                    logger.error("%s gets nothing until worker process %s is started anew", name, self.name)
            if not all(suspect.desk.is_open for suspect in self._suspects):
                self._acquit()  # who is not there cannot be tried, and nobody waits for it
        self.bell.ring()

    def _done(self, place: int, numbers: list[int]) -> None:
        for frame in self._settled(place, numbers):
            if frame.completion is not None:
                frame.completion.one_done()
        self._go_on()

    def _retry(self, place: int, number: int, after: float, error: str) -> None:
        frame = self.desks[place].given(number)
        if frame is not None:  # taken care of first, so that it is not nowhere in between
            self.desks[place].care.retry(frame, after, error)
        self._settled(place, [number], is_retried=True)
        self._go_on()

    def _park(self, place: int, number: int, *failure: Any) -> None:
        frame = self.desks[place].given(number)
        if frame is not None:
            self.desks[place].care.park(frame, Failure(*failure))
        self._settled(place, [number])
        self._go_on()

    def _halted(self, place: int, reason: str, exit_code: int) -> None:
        self.desks[place].care.halt(reason, exit_code)
        self._go_on()

    def _settled(self, place: int, numbers: list[int], *, is_retried: bool = False) -> list[Frame]:
        with self._lock:
            frames = self.desks[place].settle(numbers, is_retried=is_retried)
            self._has_settled = True
            if self._on_trial is not None and any(frame is self._on_trial.frame for frame in frames):
                self._on_trial = None
            return frames

    def _go_on(self) -> None:
        self.bell.ring()
        self._note_whether_drained()

    def _died(self, process: WorkerProcess) -> None:
        try:
            self._bury(process)
        except BaseException as error:
            self.error = error
            logger.critical("%s died", threading.current_thread().name, exc_info=True)

    def _bury(self, process: WorkerProcess) -> None:
        with self._lock:
            if self._is_closing:  # what it was at stays as it is
                return
            self._judge(self._overdue if self._stuck is process else set())
            self._fruitless = 0 if self._has_settled else self._fruitless + 1
            delay = self._put_off_start()
        if not self._is_stopping:
            logger.error(
                "worker process %s (pid %d) %s%s: starting another one in %.1f s",
                self.name,
                process.pid,
                how_it_ended(process.status),
                "" if process.refusal is None else f" ({process.refusal})",
                delay,
            )
        self._note_whether_drained()

    def _judge(self, overdue: set[tuple[Desk, int]]) -> None:
        """Find out who may have killed the process, and see to what was at hand; lock held by caller.

        Args:
            overdue: Whose and which messages it was stuck at, if it was killed for that.
        """
        self._on_trial = None
        at_hand, guilty = [], []
        for desk in self.desks.values():
            for worker, number, frame in desk.bury():
                if frame is None:
                    worker.interrupted()
                    continue
                at_hand.append(Suspect(desk, frame, worker))
                if (desk, number) in overdue:
                    guilty.append(at_hand[-1])
        if len(at_hand) == 1:
            guilty = at_hand
        for suspect in guilty:
            suspect.desk.deaths[suspect.frame] = suspect.desk.deaths.get(suspect.frame, 0) + 1
        for suspect in at_hand:
            self._sentence(suspect, is_suspected=not overdue)

    def _sentence(self, suspect: Suspect, *, is_suspected: bool) -> None:
        desk, frame, worker = suspect
        if desk.deaths.get(frame, 0) >= desk.max_deaths:
            self._give_up(suspect, desk.deaths.pop(frame))
            return
        worker.interrupted()
        if is_suspected:
            self._suspects.append(suspect)
        else:  # a process that was stuck has been killed by us, and who was stuck is known
            desk.put_back(frame)

    def _give_up(self, suspect: Suspect, deaths: int) -> None:
        desk, frame, worker = suspect
        now_ns = time.monotonic_ns()
        error = f"it has killed worker process {self.name} {deaths} times"
        is_parked = desk.care.can_park
        logger.error(
            "a message of topic %r is given up and %s: %s", frame.topic, "parked" if is_parked else "failed", error
        )
        if is_parked:
            worker.parked(now_ns)
            desk.care.park(frame, Failure(error, "", frame.attempts + deaths, frame.first_ns or now_ns, now_ns))
            return
        worker.failed(now_ns)
        if frame.completion is not None:
            frame.completion.one_done()

    def _note_whether_drained(self) -> None:
        if self._is_draining and self.is_done:
            self._drained.set()
