# SPDX-License-Identifier: LGPL-2.1-or-later
"""The enqueuer: the one thread that receives. It decodes nothing, but around a gap of the bus, and waits for nobody
but a consumer whose overflow policy is `block`.

"When a message arrives, put it in each consumer queue that is registered for this kind of message."
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from .backfill import Backfill
from .dispatch import Routed, Shape
from .errors import HubError, SourceError
from .gaps import Gap
from .logs import Repeats, held_back
from .message import FRAME_WEIGHT, Completion
from .routing import Router
from .sources import Batch, Source, SourceState
from .stats import ConsumerSlots, EnqueuerSlots

logger = logging.getLogger(__name__)

#: Longest sleep in seconds: bounds how long a stop takes, and how old the heartbeat of a quiet bus becomes.
_PATIENCE = 0.2

#: Heartbeat and state of the source are published this often while messages come: not with each of them.
_REFRESH_NS = 100_000_000

#: Seconds between two looks of a stopping enqueuer at whether the workers are done.
_LOOK = 0.01

#: Once told to stop, the enqueuer empties what the source has buffered, for at most so many seconds; a bus that wants
#: acknowledgements gets it back.
_LAST_SWEEP = 1.0


class Enqueuer(threading.Thread):
    """Receives from the source and dispatches to the shape, until it is stopped.

    Attributes:
        opened: Set when the source has been opened, or could not be.
        error: What ended the thread; None when it was `stop`.
    """

    def __init__(
        self,
        source: Source,
        router: Router,
        shape: Shape,
        slots: EnqueuerSlots,
        backfill: Backfill | None = None,
        *,
        consumers: Sequence[ConsumerSlots] = (),
    ) -> None:
        """Take everything that it works with.

        Args:
            source: Where messages come from.
            router: Tells by a topic who is interested.
            shape: Where they go.
            slots: The hub's.
            backfill: What fills gaps of the bus, where they can be filled.
            consumers: The consumers' slots, by index; a source with queues of theirs on a broker wants them.
        """
        super().__init__(name="enqueuer", daemon=True)
        self.opened = threading.Event()
        self.error: BaseException | None = None
        self._source = source
        self._router = router
        self._shape = shape
        shape.wake = source.wake
        self._slots = slots
        self._consumers = consumers
        self._backfill = backfill
        self._is_stopping = threading.Event()
        self._deadline = 0.0
        self._make_router: Callable[[], Router] | None = None
        self._has_more = True  # what a spool has
        self._errors = 0
        self._published_ns = 0
        self._repeats = Repeats()

    def stop(self, deadline: float = 0.0) -> None:
        """Receive what is in the source's buffer, then end when the shape is done. Threads: any.

        Args:
            deadline: When to end at the latest, on the monotonic clock: what is to be tried again before it, is.
        """
        self._deadline = deadline
        self._is_stopping.set()
        self._shape.end_waits()
        self._source.wake()

    def reroute(self, make_router: Callable[[], Router]) -> None:
        """Have this thread make a new router, subscribe to its prefixes, and use it from then on. Threads: any."""
        self._make_router = make_router
        self._source.wake()

    def run(self) -> None:
        """Open the source, receive, have the source finish: all in this thread, for a zeromq socket belongs to one;
        then see to it that the shape gets done."""
        try:
            self._source.open(self._router)
            try:
                self._publish_state()
                self.opened.set()
                self._receive()
            finally:
                self._source.finish()
            self._finish()
        except HubError as error:  # says itself what to do
            self.error = error
        except BaseException as error:
            self.error = error
            logger.critical("the enqueuer died", exc_info=True)
        finally:
            self.opened.set()

    def _receive(self) -> None:
        while not self._is_stopping.is_set():
            self._once(0 if self._has_more else self._shape.rest(_PATIENCE))
        deadline = time.monotonic() + _LAST_SWEEP
        while not self._source.acknowledges and time.monotonic() < deadline and self._once(0):
            pass
        self._publish_state()

    def _finish(self) -> None:
        """Do what the shape has for this thread, until nothing is left, the time is up, or the shape is stopped."""
        while self._shape.turn() or self._may_wait():
            self._slots.beat(time.monotonic_ns())

    def _may_wait(self) -> bool:
        """Wait a little while for the workers; False when there is nothing to wait for."""
        if self._shape.is_stopped or time.monotonic() >= self._deadline or self._shape.is_done(self._deadline):
            return False
        time.sleep(self._shape.rest(_LOOK))
        return True

    def _once(self, timeout: float) -> bool:
        """Receive and dispatch once; whether anything came."""
        if self._make_router is not None:
            self._resubscribe()
        try:
            batch = self._source.receive(timeout, self._shape.batch)
        except SourceError as error:
            self._errors += 1
            self._published_ns = 0  # the error shows at once
            count = self._repeats.admit(SourceError)
            if count is not None:
                logger.error("%s: trying again%s", error, held_back(count))
            self._is_stopping.wait(_PATIENCE)
            batch = Batch()
        messages = len(batch.frames) + batch.malformed
        if messages:
            self._dispatch(batch, messages)
        for gap in batch.gaps:
            self._note_gap(gap)
        has_filled = self._backfill is not None and self._fill(self._backfill)
        self._has_more = self._shape.turn() or has_filled
        if time.monotonic_ns() - self._published_ns > _REFRESH_NS:
            self._publish_state()
        return bool(messages) or has_filled

    def _resubscribe(self) -> None:
        make_router, self._make_router = self._make_router, None
        assert make_router is not None
        self._router = make_router()
        self._source.subscribe(self._router)

    def _dispatch(self, batch: Batch, messages: int) -> None:
        match = self._router.match
        malformed, unrouted = batch.malformed, 0
        frames = batch.frames if self._backfill is None else self._backfill.sift(batch.frames, batch.size)
        routed: list[Routed] = []
        for frame in frames:
            try:
                interested = match(frame.topic)
            except UnicodeDecodeError:
                malformed += 1
                interested = ()
            else:
                if frame.addressee is not None:
                    interested = (frame.addressee,) if frame.addressee in interested else ()
                unrouted += not interested
            routed.append((frame, interested))
        if self._source.acknowledges:
            self._expect_completion(routed)
        self._slots.received(messages, batch.size, malformed=malformed, unrouted=unrouted)
        if len(frames) < len(batch.frames):
            self._slots.backfilled(0, duplicates=len(batch.frames) - len(frames))
        if malformed:
            self._warn_of_malformed(malformed)
        self._shape.reserve(batch.size + len(routed) * FRAME_WEIGHT)
        self._shape.dispatch(routed)

    def _expect_completion(self, routed: list[Routed]) -> None:
        for frame, interested in routed:
            frame.completion = Completion(len(interested), partial(self._source.acknowledge, frame))

    def _warn_of_malformed(self, malformed: int) -> None:
        count = self._repeats.admit("malformed")
        if count is not None:
            logger.warning("%d malformed messages: not one topic in UTF-8 and one body%s", malformed, held_back(count))

    def _note_gap(self, gap: Gap) -> None:
        logger.warning("possible gap: %s", gap)
        self._slots.gap(gap.lost_ns, gap.found_ns)
        self._published_ns = 0  # that the endpoint is back shows at once
        if self._backfill is not None:
            self._backfill.fill(gap)

    def _fill(self, backfill: Backfill) -> bool:
        """Dispatch what was fetched of gaps; whether there was anything."""
        frames, duplicates = backfill.take(self._shape.batch)
        if not (frames or duplicates):
            return False
        self._slots.backfilled(len(frames), duplicates=duplicates)
        self._shape.dispatch([(frame, self._router.match(frame.topic)) for frame in frames])
        return True

    def _publish_state(self) -> None:
        state = self._source.state()
        self._slots.source(
            endpoints=state.endpoints,
            connected=state.connected,
            disconnects=state.disconnects,
            errors=self._errors,
            lost=state.lost,
            lost_ns=state.lost_ns,
        )
        if state.queues:
            self._publish_queues(state)
        if self._backfill is not None:
            self._backfill.watch(is_lost=state.lost > 0)
        self._published_ns = time.monotonic_ns()
        self._slots.beat(self._published_ns)

    def _publish_queues(self, state: SourceState) -> None:
        """Show what is on the broker, of each consumer that has a queue there, and of all queues together."""
        queues = state.queues
        for queue in queues:
            if queue.consumer is not None:
                self._consumers[queue.consumer].broker(
                    consuming=queue.is_consuming,
                    ready=queue.ready,
                    asked_ns=queue.asked_ns,
                    hubs=queue.hubs,
                    unacknowledged=queue.unacknowledged,
                    prefetch=queue.prefetch,
                    redelivered=queue.redelivered,
                )
        self._slots.broker(
            queues=len(queues),
            consuming=sum([queue.is_consuming for queue in queues]),
            ready=sum([queue.ready for queue in queues]),
            asked_ns=min([queue.asked_ns for queue in queues]),
            unacknowledged=sum([queue.unacknowledged for queue in queues]),
            redelivered=sum([queue.redelivered for queue in queues]),
            faults=state.faults,
            blocked=state.is_blocked,
        )
