# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fetches from datagrepper what was published in gaps of the bus."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ..backfill import Backfill, Request
from ..gaps import utc
from ..message import Frame
from ..routing import Router
from ..stats import BackfillSlots
from .datagrepper import Datagrepper, DatagrepperError, Message, Window

logger = logging.getLogger(__name__)


class GapFetcher(threading.Thread):
    """Asks datagrepper for what was published in each gap, and hands it to the enqueuer.

    It waits until the bus and datagrepper have got what was on its way, merges the windows of gaps that overlap, and
    fetches them one after the other. The thread is a daemon: a hub that stops need not wait for a datagrepper that
    does not answer.
    """

    is_awaited = False

    def __init__(
        self,
        datagrepper: Datagrepper,
        backfill: Backfill,
        slots: BackfillSlots,
        make_router: Callable[[], Router],
        *,
        margin: float,
        age: float,
        limit: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take everything; nothing happens before `start`.

        Args:
            datagrepper: Whom to ask.
            backfill: Where gaps come from and messages go to.
            slots: Where to count.
            make_router: Makes a router of what consumers subscribe to now: what nobody wants is not fetched.
            margin: Seconds before and after a gap that are fetched, too.
            age: Seconds; what is older is not fetched.
            limit: The most messages that are fetched for one window; at least 1.
            clock: Unix time.
        """
        super().__init__(name="gap-fetcher", daemon=True)
        self._datagrepper = datagrepper
        self._backfill = backfill
        self._slots = slots
        self._make_router = make_router
        self._margin = margin
        self._age = age
        self._limit = limit
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # of the next, which says what a stop leaves undone
        self._at_hand: list[Request] = []

    def stop(self) -> None:
        """Have it end; a request to datagrepper that is under way may take as long as its timeout. Threads: any."""
        with self._lock:
            self._stopping.set()
            unfilled, self._at_hand = [*self._at_hand, *self._others()], []
        _give_up(unfilled)
        self._backfill.requests.put(None)

    def run(self) -> None:
        """Fill gaps until it is stopped."""
        while (first := self._backfill.requests.get()) is not None:
            self._take(first)
            self._ripen(first)
            requests = [first, *self._take(*self._others())]
            self._ripen(requests[-1])
            if self._stopping.is_set():
                return
            self._slots.began()
            for window in merged(self._windows(requests)):
                self._fill(window)
            self._slots.ended()
            with self._lock:
                self._at_hand = []
            self._backfill.done(len(requests))

    def _take(self, *requests: Request) -> Sequence[Request]:
        """Begin with these; or, when the thread is stopped, give them up, for whoever stopped it did not see them."""
        with self._lock:
            is_stopped = self._stopping.is_set()
            if not is_stopped:
                self._at_hand += requests
        if is_stopped:
            _give_up(requests)
        return requests

    def _ripen(self, request: Request) -> None:
        """Wait until the window is over, and what was published in it has arrived on the bus and at datagrepper."""
        ripe_ns = request.gap.found_ns + 2 * self._margin * 1e9
        self._stopping.wait(max(ripe_ns - time.monotonic_ns(), 0) / 1e9)

    def _others(self) -> Iterable[Request]:
        try:
            while (request := self._backfill.requests.get_nowait()) is not None:
                yield request
        except queue.Empty:
            pass

    def _windows(self, requests: Sequence[Request]) -> Iterable[Window]:
        """What to ask for."""
        oldest = self._clock() - self._age
        for request in requests:
            gap = request.gap
            since = max(gap.since - self._margin, request.since, oldest)
            if since > gap.since:
                logger.warning("what is older than %s is not fetched of this gap: %s", utc(since), gap)
            if since < gap.until:
                yield Window(since, gap.until + self._margin)

    def _fill(self, window: Window) -> None:
        """Fetch what there is."""
        fetched = 0
        try:
            router = self._make_router()
            for page in self._datagrepper.messages(
                window,
                limit=self._limit,
                wanted=lambda topic: bool(router.match(topic.encode("utf-8", "replace"))),
                stop=self._stopping,
            ):
                self._backfill.deliver([as_frame(message) for message in page.messages])
                fetched += len(page.messages)
                if page.missed:
                    self._slots.missed(page.missed)
                    logger.warning(
                        "the window %s has more than %d messages: up to %d are missed",
                        window,
                        self._limit,
                        page.missed,
                    )
        except DatagrepperError as error:
            self._slots.failed()
            logger.error("filling the window %s failed: %s", window, error)
        except Exception:
            self._slots.failed()
            logger.exception("filling the window %s failed", window)
        else:
            logger.info("the window %s: %d messages fetched, with those that the bus has brought", window, fetched)


def _give_up(requests: Sequence[Request]) -> None:
    for request in requests:
        logger.warning("since the hub stops, this gap is not filled, or not to its end: %s", request.gap)


def can_fetch() -> bool:
    """Whether what fetching needs is installed; if it is not, the log says what to install."""
    try:
        import fedmsg.crypto.utils  # noqa: F401
        import requests  # noqa: F401
    except ImportError as error:
        logger.error("gaps of the bus are counted, but not filled: %s: pip install fedmsg", error)
        return False
    return True


def merged(windows: Iterable[Window]) -> list[Window]:
    """Windows that do not overlap and are not next to each other, in their order; the same times are in them."""
    apart: list[Window] = []
    for window in sorted(windows, key=lambda window: window.since):
        if apart and window.since <= apart[-1].until:
            apart[-1] = Window(apart[-1].since, max(apart[-1].until, window.until))
        else:
            apart.append(window)
    return apart


def as_frame(message: Message) -> Frame:
    """A message as the bus would have brought it."""
    topic = message["topic"].encode("utf-8", "replace")
    return Frame(topic, json.dumps(message).encode("utf-8"), time.monotonic_ns())
