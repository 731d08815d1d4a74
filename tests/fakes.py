# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests put in the place of a bus, a clock and consumers; tested in `tests/unit/test_fakes.py`."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from glasshub.consumer import Inlet
from glasshub.failure import Park
from glasshub.gaps import Gap
from glasshub.message import Frame
from glasshub.routing import Router
from glasshub.sources import Batch, SourceState
from glasshub.stats import Outcome

#: Nothing in a test waits that long unless it fails.
PATIENCE = 20.0


def frame(body: bytes | str | int = b"{}", topic: bytes = b"org.test", received_ns: int = 0) -> Frame:
    """A message that was received now, unless a time is given."""
    raw = body if isinstance(body, bytes) else str(body).encode()
    return Frame(topic, raw, received_ns or time.monotonic_ns())


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Return once `holds()` is true, for what nobody signals; fail with what was awaited after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        os.sched_yield()


class FakeClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class MemorySource:
    """A bus in memory: it hands out what the test has put, and remembers what was done to it.

    Attributes:
        acknowledged: Messages that were acknowledged, in that order.
        prefixes: What it was told to subscribe to.
        limits: What each call of `receive` was allowed to bring.
        timeouts: And how long it was to wait for it.
        calls: Names of the methods that were called, in that order, `receive` and `state` left out.
        threads: The threads that called any of them but `acknowledge`.
        now: What `state` answers.
    """

    kind = "memory"
    park: Park | None = None

    def __init__(self, *, acknowledges: bool = False, refuses: Exception | None = None) -> None:
        """Make an empty bus.

        Args:
            acknowledges: See `Source.acknowledges`.
            refuses: What `open` raises.
        """
        self.acknowledges = acknowledges
        self.acknowledged: list[Frame] = []
        self.prefixes: list[bytes] = []
        self.limits: list[int] = []
        self.timeouts: list[float] = []
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.now = SourceState(1, 1, 0)
        self._refuses = refuses
        self._waiting: deque[Batch | Exception] = deque()
        self._changed = threading.Condition()
        self._is_idle = self._is_woken = False

    def put(self, *frames: Frame, malformed: int = 0, size: int | None = None, gaps: Sequence[Gap] = ()) -> None:
        """Publish one batch. Threads: any."""
        if size is None:
            size = sum(len(frame.topic) + len(frame.body) for frame in frames)
        self._append(Batch(list(frames), malformed, size, gaps))

    def tell_of(self, gap: Gap) -> None:
        """Have a gap close. Threads: any."""
        self.put(gaps=[gap])

    def fail(self, error: Exception) -> None:
        """Have a call of `receive` raise, once what was put before has been received. Threads: any."""
        self._append(error)

    def wait_until_idle(self) -> None:
        """Wait until everything that was put has been received, and the enqueuer has come back for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._is_idle, PATIENCE), "nobody receives"

    def open(self, router: Router) -> None:
        """See `Source.open`."""
        self._note("open")
        self.prefixes = router.prefixes
        if self._refuses is not None:
            raise self._refuses

    def subscribe(self, router: Router) -> None:
        """See `Source.subscribe`."""
        self._note("subscribe")
        self.prefixes = router.prefixes

    def wake(self) -> None:
        """See `Source.wake`."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def receive(self, timeout: float, limit: int) -> Batch:
        """See `Source.receive`."""
        with self._changed:
            self.threads.add(threading.current_thread())
            self.limits.append(limit)
            self.timeouts.append(timeout)
            if not self._waiting:
                self._is_idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._is_woken, timeout)
            self._is_woken = False
            return self._next(limit) if self._waiting else Batch()

    def acknowledge(self, frame: Frame) -> None:
        """See `Source.acknowledge`."""
        with self._changed:
            self.acknowledged.append(frame)

    def state(self) -> SourceState:
        """See `Source.state`."""
        return self.now

    def finish(self) -> None:
        """See `Source.finish`."""
        self._note("finish")

    def close(self) -> None:
        """See `Source.close`."""
        self._note("close")

    def _next(self, limit: int) -> Batch:
        first = self._waiting.popleft()
        if isinstance(first, Exception):
            raise first
        if len(first.frames) > limit:
            self._waiting.appendleft(Batch(first.frames[limit:]))
            return Batch(first.frames[:limit], first.malformed, first.size, first.gaps)
        return first

    def _append(self, item: Batch | Exception) -> None:
        with self._changed:
            self._is_idle = False
            self._waiting.append(item)
            self._changed.notify_all()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread())


class RecordingConsumer:
    """Remembers the bodies that it was handed, and by which threads; a `BoundConsumer`. Threads: any."""

    def __init__(self, topics: Iterable[str] = ("",), outcome: Outcome = Outcome.PROCESSED) -> None:
        self.topics = tuple(topics)
        self.bodies: list[bytes] = []
        self.threads: set[str] = set()
        self.is_closed = False
        self.author = self
        self.inlet: Inlet | None = None
        self.topics_changed: Callable[[], None] | None = None
        self._outcome = outcome
        self._changed = threading.Condition()

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        with self._changed:
            self.bodies.append(frame.body)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()
        return self._outcome

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """See `BoundConsumer.connect`."""
        self.inlet, self.topics_changed = inlet, topics_changed

    def close(self) -> None:
        """See `BoundConsumer.close`."""
        self.is_closed = True

    def wait_for(self, count: int) -> None:
        """Wait until it has been handed so many messages."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.bodies) >= count, PATIENCE), (
                f"{len(self.bodies)} messages instead of {count}"
            )


class RaisingConsumer(RecordingConsumer):
    """Raises an error, a new one each time, on every message or on those whose body is in `on`."""

    def __init__(
        self, error: Callable[[], BaseException], on: Iterable[bytes] | None = None, topics: Iterable[str] = ("",)
    ) -> None:
        super().__init__(topics)
        self._error = error
        self._on = None if on is None else set(on)

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        outcome = super().handle(frame)
        if self._on is None or frame.body in self._on:
            raise self._error()
        return outcome


class BlockingConsumer(RecordingConsumer):
    """Sits on every message until it is released; a context manager that releases it.

    Attributes:
        release: Lets it go on, with all further messages too.
    """

    def __init__(self, topics: Iterable[str] = ("",)) -> None:
        super().__init__(topics)
        self.release = threading.Event()

    def __enter__(self) -> BlockingConsumer:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release.set()

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        outcome = super().handle(frame)
        assert self.release.wait(PATIENCE), "nobody released the consumer"
        return outcome


class OneAtATime:
    """Shared by consumers that must not run at the same time: notices when they do.

    Attributes:
        overlaps: How often one came while another was there.
    """

    def __init__(self) -> None:
        self.overlaps = 0
        self._inside = threading.Lock()

    def visit(self) -> None:
        """Be there for long enough that somebody else would come in."""
        if not self._inside.acquire(blocking=False):
            self.overlaps += 1
            return
        try:
            for _ in range(5):
                os.sched_yield()
        finally:
            self._inside.release()


class VisitingConsumer(RecordingConsumer):
    """Visits a place with each message."""

    def __init__(self, place: OneAtATime, topics: Iterable[str] = ("",)) -> None:
        super().__init__(topics)
        self._place = place

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        self._place.visit()
        return super().handle(frame)
