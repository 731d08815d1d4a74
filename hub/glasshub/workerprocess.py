# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker process: builds its part of the crew, and has its workers do what the hub sends.

Started by `glasshub.processes.process`, never by hand:

    python -m glasshub.workerprocess HUB PROCESS DESCRIPTOR

It ends with the hub, whatever the hub dies of: when the wire is cut, and if some consumer holds the interpreter lock
then, because the kernel is told to kill it (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .compat.log import set_up_log
from .consumer import BoundConsumer
from .crew import Background, Crew, Member
from .dispatch import Station
from .dispatch.threads import ThreadsShape
from .errors import ConfigError, HubError
from .failure import Care, Failure, RetryPolicy
from .logs import Repeats, reopen
from .message import Frame, NotedFrame
from .processes import Brief, Wire
from .processes.desk import Parcel
from .processes.process import LEFT_TO_THE_HUB
from .queues import Bell, WorkQueue
from .roster import Roster
from .segment import AttachedSegment
from .stats import ConsumerSlots, Outcome, WorkerSlots
from .worker import Runner

logger = logging.getLogger(__name__)

#: prctl(2).
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15

#: Seconds that workers have to finish the message at hand when the process is to end.
_GRACE = 0.5

#: Seconds that are waited for what is waited for as long as it takes.
_LONG = 3600.0

#: Exit statuses, of which nobody but the log knows: the consumers cannot be built; the hub has gone; an error of ours.
EXIT_REFUSED, EXIT_ORPHANED, EXIT_BROKEN = 1, 3, 70

#: The hub hears of finished messages when there are so many of them, or when no more wait.
_MOST_DONE = 32


#: What sends a word, and what belongs to it, to the hub. Threads: any.
Send = Callable[..., None]


class Receipt:
    """Has the hub told that a message is finished; takes the place of a `Completion`."""

    __slots__ = ("_receipts", "number")

    def __init__(self, number: int, receipts: Receipts) -> None:
        self.number = number
        self._receipts = receipts

    def one_done(self) -> None:
        """See `Completion.one_done`."""
        self._receipts.give(self.number)


class Receipts:
    """Tells the hub of one consumer's finished messages: at once where none waits behind, else some at a time."""

    def __init__(self, send: Send, place: int, queue: WorkQueue[Frame]) -> None:
        self._send = send
        self._place = place
        self._queue = queue
        self._lock = threading.Lock()  # several workers
        self._numbers: list[int] = []

    def give(self, number: int) -> None:
        """Note that a message is finished. Threads: any."""
        with self._lock:
            self._numbers.append(number)
            if len(self._numbers) < _MOST_DONE and self._queue:
                return
        self.hand_in()

    def hand_in(self) -> None:
        """Tell the hub of all that is finished. Threads: any."""
        with self._lock:
            numbers, self._numbers = self._numbers, []
        if numbers:
            self._send("done", self._place, numbers)

    def __len__(self) -> int:
        """How many the hub has not heard of."""
        return len(self._numbers)


class Window(WorkQueue[Frame]):
    """The part of a consumer's queue that is in this process. Threads: see `WorkQueue`.

    Attributes:
        receipts: For the messages that were in it; None before the first.
    """

    __slots__ = ("_beyond_ns", "receipts")

    def __init__(self, bell: Bell) -> None:
        super().__init__(bell)
        self._beyond_ns = 0
        self.receipts: Receipts | None = None

    def take(self) -> Frame | None:
        """See `WorkQueue.take`."""
        frame = super().take()
        if not self._frames and self.receipts:  # or nobody might, for as long as this worker is at that message
            self.receipts.hand_in()
        return frame

    def head_ns(self) -> int:
        """See `WorkQueue.head_ns`; of the hub's part, as far as it is known here, when nothing waits in this one."""
        return super().head_ns() or self._beyond_ns

    def put_behind(self, frames: Sequence[Frame], beyond_ns: int) -> None:
        """Append frames, behind which the next one in the hub was received then; 0 for none."""
        self._beyond_ns = beyond_ns
        self.put(frames)


class Inflow:
    """Puts what the hub sends into a consumer's window. Threads: the one that receives."""

    def __init__(self, window: Window, slots: ConsumerSlots, receipts: Receipts) -> None:
        self._window = window
        self._slots = slots
        self._receipts = receipts

    def put(self, beyond_ns: int, parcels: Sequence[Parcel]) -> None:
        """Put messages, see `glasshub.processes.wire`."""
        frames = [self._frame(*parcel) for parcel in parcels]
        self._window.put_behind(frames, beyond_ns)
        self._slots.put(len(self._window), self._window.head_ns(), frames[0].received_ns)

    def _frame(self, number: int, topic: bytes, body: bytes, received_ns: int, *noted: Any) -> Frame:
        if any(noted):
            attempts, first_ns, is_pickled = noted
            frame: Frame = NotedFrame(
                topic, body, received_ns, attempts=attempts, first_ns=first_ns, is_pickled=is_pickled
            )
        else:
            frame = Frame(topic, body, received_ns)
        frame.completion = Receipt(number, self._receipts)
        return frame


def _number(frame: Frame) -> int:
    """The number by which the hub knows a message."""
    assert isinstance(frame.completion, Receipt)
    return frame.completion.number


class NumberedConsumer:
    """Has the hub see which message its worker is at, should this process die of it."""

    def __init__(self, consumer: BoundConsumer, slots: WorkerSlots) -> None:
        self._handle = consumer.handle
        self._slots = slots

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        self._slots.at(_number(frame))
        return self._handle(frame)


class NumberedStation(Station):
    """A station whose workers show what they are at."""

    def runners(self, repeats: Repeats, care: Care) -> list[Runner]:
        """See `Station.runners`."""
        return [
            Runner(self.name, NumberedConsumer(self.consumer, slots), slots, repeats, care) for slots in self.workers
        ]


class RemoteAftercare:
    """Has the hub take care of messages that did not go well."""

    def __init__(self, send: Send, places: Sequence[int]) -> None:
        self._send = send
        self._places = places

    def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
        """See `Aftercare.retry`."""
        self._send("retry", self._places[station], _number(frame), after, error)

    def park(self, station: int, frame: Frame, failure: Failure) -> None:
        """See `Aftercare.park`."""
        self._send("park", self._places[station], _number(frame), *dataclasses.astuple(failure))

    @property
    def can_park(self) -> bool:
        """See `Aftercare.can_park`; who asks is in the hub."""
        return False

    def halt(self, station: int, reason: str, exit_code: int) -> None:
        """See `Aftercare.halt`."""
        self._send("halted", self._places[station], reason, exit_code)


class Bench(ThreadsShape):
    """The workers of this process, which is what shape `threads` is, over what the hub has sent."""

    def _queue(self, bell: Bell) -> Window:
        return Window(bell)

    def queue(self, station: int) -> Window:
        """See `Shape.queue`."""
        window = self._queues[station]
        assert isinstance(window, Window)
        return window

    def bell(self, station: int) -> Bell:
        """What rings when something is put there."""
        return self._bells[station]


class RemoteInlet:
    """A consumer's own queue, most of which is in the hub. Threads: any."""

    def __init__(self, send: Send, place: int, shape: Bench, station: int, segment: AttachedSegment) -> None:
        self._send = send
        self._place = place
        self._window = shape.queue(station)
        self._bell = shape.bell(station)
        self._books = segment.books[place]
        self._slots = segment.injections[place]
        self._lock = threading.Lock()  # of the slots

    def put(self, frame: Frame) -> None:
        """See `Inlet.put`; the hub puts it."""
        self._send("put", self._place, frame.topic, frame.body, frame.received_ns)

    def take(self, timeout: float | None) -> Frame | None:
        """See `Inlet.take`."""
        frame = self._window.take()
        while frame is None and self._bell.wait(self._window.__len__, timeout):
            frame = self._window.take()
        if frame is not None:
            with self._lock:
                self._slots.withdrew(1)
            assert frame.completion is not None
            frame.completion.one_done()
        return frame

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return self._books.backlog


class Worker:
    """The process. Threads: main thread only."""

    def __init__(self, wire: Wire, brief: Brief) -> None:
        self._wire = wire
        self._brief = brief
        self._shape: Bench | None = None
        self._inflows: dict[int, Inflow] = {}  # by the place of their consumer
        self._background: list[Background] = []

    def build(self) -> None:
        """Build this process's part of the crew, and tell the hub."""
        brief = self._brief
        roster = Roster(
            brief.config, brief.fedmsg, wanted=brief.consumers, producers=brief.producers, relay=self._publish
        )
        self._crew = roster.build(self._halt)
        self._send("built", *_built(self._crew))

    def serve(self) -> bool:
        """Do what the hub says, until it says `close`, or says nothing any more; whether it has said that."""
        obey: dict[str, Callable[..., None]] = {
            "attach": self._attach,
            "batch": self._batch,
            "go": self._go,
            "quiesce": self._quiesce,
            "reopen": reopen,
            "stop": self._stop,
        }
        while True:
            try:
                word, *what = self._wire.receive()
            except (EOFError, OSError):
                return False
            if word == "close":
                return True
            obey[word](*what)

    def close(self) -> None:
        """End the workers, and close everybody."""
        if self._shape is not None:
            self._shape.stop()
            self._shape.join(_GRACE)
        self._crew.close()

    def _attach(self, path: str, rows: list[int], jobs: list[int], since: float) -> None:
        segment = AttachedSegment(Path(path), rows, jobs)
        # Without workers is who could be built now, but not at the start of the hub.
        stations = {
            place: _station(place, member, member.consumer, segment)
            for place, member in enumerate(self._crew.members)
            if member.consumer is not None and segment.workers[place]
        }
        aftercare = RemoteAftercare(self._send, list(stations))
        self._shape = shape = Bench(list(stations.values()), segment, aftercare=aftercare)
        for index, (place, station) in enumerate(stations.items()):
            window = shape.queue(index)
            window.receipts = Receipts(self._send, place, window)
            self._inflows[place] = Inflow(window, station.slots, window.receipts)
            self._connect(place, station.consumer, RemoteInlet(self._send, place, shape, index, segment))
        self._background = self._crew.background(segment, since, is_first=self._brief.is_first)
        shape.start()
        self._send("up")

    def _connect(self, place: int, consumer: BoundConsumer, inlet: RemoteInlet) -> None:
        def tell() -> None:
            self._send("topics", place, list(consumer.topics))

        consumer.connect(inlet, tell)
        tell()  # they may have changed since it was built, or since the process died that was here before

    def _batch(self, place: int, head_ns: int, parcels: list[Parcel]) -> None:
        self._inflows[place].put(head_ns, parcels)

    def _go(self) -> None:
        self._crew.start()
        for thread in self._background:
            thread.start()

    def _quiesce(self) -> None:
        """End the producers, while the hub may still say something."""
        threads = [thread for thread in self._background if thread.is_alive()]
        for thread in threads:
            thread.stop()
        threading.Thread(target=self._await, args=[threads], name="quiesce", daemon=True).start()

    def _await(self, threads: Sequence[Background]) -> None:
        for thread in threads:
            thread.join(None if thread.is_awaited else _GRACE)
        self._send("quiet")

    def _stop(self) -> None:
        assert self._shape is not None
        self._shape.stop()
        threading.Thread(target=self._await_workers, args=[self._shape], name="stop", daemon=True).start()

    def _await_workers(self, shape: Bench) -> None:
        while not shape.join(_LONG):
            pass
        self._send("stopped")

    def _publish(self, topic: bytes, body: bytes) -> None:
        self._send("publish", topic, body)

    def _halt(self) -> None:
        self._send("halt")

    def _send(self, *message: Any) -> None:
        try:
            self._wire.send(*message)
        except OSError:  # the hub has gone, and with it all reason to be here
            os._exit(EXIT_ORPHANED)


def _station(place: int, member: Member, consumer: BoundConsumer, segment: AttachedSegment) -> Station:
    return NumberedStation(
        member.name,
        consumer,
        segment.consumers[place],
        segment.injections[place],
        segment.workers[place],
        segment.drops[place],
        segment.books[place],
        group=member.section.group,
        retry=RetryPolicy.of(member.section),
    )


def _built(crew: Crew) -> tuple[list[Any], list[Any], list[str], bool]:
    consumers = [
        (member.name, member.section.workers, None if member.consumer is None else list(member.consumer.topics))
        for member in crew.members
    ]
    producers = [(row.name, row.initialized, row.frequency) for row in crew.producer_rows]
    return consumers, producers, crew.disabled, crew.site is not None


def _introduce(process: str, hub: int) -> None:
    """Be seen in `ps`, and end with the hub, whose process id that is."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_NAME, f"gh:{process}".encode())
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != hub:  # it has ended before
        os._exit(EXIT_ORPHANED)


def _leave_signals_to_the_hub() -> None:
    """A terminal sends them to all, and so does systemd; the hub says what is to be done.

    Not ignored but handled: what a consumer starts would inherit that, and could not be told to end. They are blocked
    until then, by the hub.
    """
    for number in LEFT_TO_THE_HUB:
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_THE_HUB)


def main(wire: Wire, process: str) -> int:
    """Be the worker process of that name until the hub ends it.

    Returns:
        The exit status.
    """
    _leave_signals_to_the_hub()
    try:
        hub, path, data = wire.receive()
        _introduce(process, hub)
        sys.path[:] = path
        worker = _built_worker(wire, pickle.loads(data))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return EXIT_ORPHANED
    except HubError as error:
        wire.send("refused", isinstance(error, ConfigError), str(error))
        return EXIT_REFUSED
    _leave_signals_to_the_hub()  # the constructor of a consumer may have taken them
    if not worker.serve():
        return EXIT_ORPHANED
    worker.close()
    return 0


def _built_worker(wire: Wire, brief: Brief) -> Worker:
    os.nice(brief.config.hub.nice)
    sys.setswitchinterval(brief.config.hub.switch_interval)
    if sys.stderr is not None:
        faulthandler.enable()  # tells in which consumer it was that the process has died
    worker = Worker(wire, brief)
    set_up_log(brief.config, brief.fedmsg)
    worker.build()
    return worker


def _guarded(wire: Wire, process: str) -> int:
    try:
        return main(wire, process)
    except BaseException:
        logger.critical("worker process %s cannot go on", process, exc_info=True)
        return EXIT_BROKEN


if __name__ == "__main__":
    _, _, name, descriptor = sys.argv
    wire = Wire(int(descriptor))  # held until the end: the hub kills who hangs up
    status = _guarded(wire, name)
    logging.shutdown()
    os._exit(status)  # Python would wait for threads that a consumer has started and that do not end
