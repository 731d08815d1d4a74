# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filling gaps of the bus: what the enqueuer and whoever fetches know of each other, and which messages are new.

What was published in a gap can be fetched by time, but not by publisher: most of what is fetched are messages of other
publishers, which the bus has brought. Each of them shall be handled once. So the enqueuer remembers what the bus
brings around a gap; everything that was fetched goes through the enqueuer's own thread, which alone decides whether it
is new, and puts it into the consumers' queues as it does with what the bus brings.

Purpose: that each message that is fetched, or brought, or both, is handled once. Guarantees: next to no cost while
nothing is lost (one append for each batch, nothing decoded); bounded memory. Assumptions: the clocks of publishers are
right within `margin`; whoever fetches asks for nothing that was published before `Request.since`.
"""

from __future__ import annotations

import queue
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .gaps import Gap
from .message import Frame, decode_json

#: While nothing is lost, messages of so many bytes are remembered at the most.
_MOST_BYTES = 32 << 20

#: Around a gap so many ids are: some 40 MB.
_MOST_IDS = 200_000

#: Seconds after a fetch during which the bus may still bring what the fetch has brought.
_SLACK_NS = 30_000_000_000


@dataclass(frozen=True)
class Request:
    """A gap to fill.

    Attributes:
        gap: The gap.
        since: What was published before is not to be fetched, Unix time: nobody could tell what of it the bus has
            brought.
    """

    gap: Gap
    since: float


class Ids:
    """The latest msg_ids of many."""

    def __init__(self, most: int) -> None:
        self._most = most
        # Not a dict, which takes longer and longer to find its first item, the more of them have been taken out.
        self._ids: OrderedDict[str, int] = OrderedDict()

    def add(self, msg_id: str, received_ns: int) -> int:
        """Remember one, and forget the oldest if there are too many; when that was received, or else 0."""
        self._ids.setdefault(msg_id, received_ns)
        return self._ids.popitem(last=False)[1] if len(self._ids) > self._most else 0

    def clear(self) -> None:
        """Forget them all."""
        self._ids.clear()

    def __contains__(self, msg_id: object) -> bool:
        """Whether it is remembered."""
        return msg_id in self._ids


class Recent:
    """Which messages the bus has brought lately. Threads: enqueuer only.

    The messages of the last seconds are kept as they are. One that is older is forgotten, or around a gap boiled down
    to its msg_id.

    Attributes:
        is_watching: Whether a gap is open, or being filled.
        since_ns: What was received later than that is remembered, monotonic.
    """

    def __init__(self, span: float, since_ns: int, *, most_bytes: int = _MOST_BYTES, most_ids: int = _MOST_IDS) -> None:
        """Remember nothing yet.

        Args:
            span: Seconds for which messages are kept.
            since_ns: Now.
            most_bytes: Keep so many bytes of them at the most.
            most_ids: Remember so many ids at the most.
        """
        self.is_watching = False
        self.since_ns = since_ns
        self._span_ns = int(span * 1e9)
        self._most_bytes = most_bytes
        self._batches: deque[tuple[int, int, Sequence[Frame]]] = deque()
        self._size = 0
        self._retired_ns = 0
        self._ids = Ids(most_ids)

    def note(self, frames: Sequence[Frame], size: int) -> None:
        """Remember what the bus has brought; `size` bytes of it."""
        now_ns = frames[-1].received_ns
        self._batches.append((now_ns, size, frames))
        self._size += size
        too_old_ns = now_ns - self._span_ns
        while self._batches and (self._batches[0][0] < too_old_ns or self._size > self._most_bytes):
            self._retire()

    def has(self, msg_id: str) -> bool:
        """Whether the bus has brought the message; while `is_watching`."""
        while self._batches:
            self._retire()
        return msg_id in self._ids

    def unwatch(self) -> None:
        """Go back to keeping the messages of the last seconds."""
        self.is_watching = False
        self._ids.clear()
        self.since_ns = max(self.since_ns, self._retired_ns)

    def _retire(self) -> None:
        """Take the oldest batch out."""
        newest_ns, size, frames = self._batches.popleft()
        self._size -= size
        self._retired_ns = newest_ns
        if not self.is_watching:
            self.since_ns = newest_ns
            return
        for frame in frames:
            msg_id = msg_id_of(frame)
            if msg_id is not None:
                self.since_ns = max(self.since_ns, self._ids.add(msg_id, frame.received_ns))


class Backfill:
    """The enqueuer's side of filling gaps, and the two letterboxes between it and whoever fetches.

    Threads: enqueuer only, except for `requests`, `deliver` and `done`: that of whoever fetches.

    Attributes:
        requests: Gaps to fill.
    """

    def __init__(
        self, *, margin: float, wake: Callable[[], None], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Watch the bus from now on.

        Args:
            margin: Seconds before and after a gap that are fetched, too.
            wake: Has the enqueuer come round; threads: any.
            clock: Monotonic, in nanoseconds.
        """
        self.requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._wake = wake
        self._clock = clock
        # What a clock that is fast by the margin says was published at its beginning was received that much earlier.
        self._recent = Recent(2 * margin + 1, clock())
        self._fetched = Ids(_MOST_IDS)
        self._delivered: deque[Sequence[Frame] | int] = deque()
        self._page: deque[Frame] = deque()
        self._is_sifting = False  # whether the bus may bring what was fetched
        self._open = 0  # requests
        self._quiet_ns = 0

    def sift(self, frames: Sequence[Frame], size: int) -> Sequence[Frame]:
        """What of a batch from the bus has not been fetched already; the rest is to be dropped."""
        if frames:
            self._recent.note(frames, size)
        if not self._is_sifting:
            return frames
        return [frame for frame in frames if msg_id_of(frame) not in self._fetched]

    def watch(self, *, is_lost: bool) -> None:
        """Begin or end to watch what comes; called several times a second.

        Args:
            is_lost: Whether an endpoint is lost now.
        """
        self._is_sifting = self._open > 0 or self._clock() < self._quiet_ns
        if is_lost or self._is_sifting:
            self._recent.is_watching = True
        elif self._recent.is_watching:
            self._recent.unwatch()
            self._fetched.clear()

    def fill(self, gap: Gap) -> None:
        """Have a gap filled."""
        self._recent.is_watching = self._is_sifting = True
        self._open += 1
        self.requests.put(Request(gap, gap.until - (gap.found_ns - self._recent.since_ns) / 1e9))

    def take(self, limit: int) -> tuple[list[Frame], int]:
        """At most `limit` messages that were fetched and that the bus has not brought; how many others it has."""
        frames: list[Frame] = []
        duplicates = 0
        while len(frames) < limit and self._has_next():
            frame = self._page.popleft()
            if self._is_new(frame):
                frame.received_ns = self._clock()
                frames.append(frame)
            else:
                duplicates += 1
        return frames, duplicates

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Hand over what was fetched."""
        self._delivered.append(frames)
        self._wake()

    def done(self, requests: int) -> None:
        """Say that so many requests are done: all that is to be had of them has been delivered."""
        self._delivered.append(requests)
        self._wake()

    def _has_next(self) -> bool:
        while not self._page and self._delivered:
            delivered = self._delivered.popleft()
            if isinstance(delivered, int):
                self._open -= delivered
                self._quiet_ns = self._clock() + _SLACK_NS
            else:
                self._page.extend(delivered)
        return bool(self._page)

    def _is_new(self, frame: Frame) -> bool:
        """Whether neither the bus nor a fetch has brought it; one without an id is."""
        msg_id = msg_id_of(frame)
        if msg_id is None:
            return True
        if msg_id in self._fetched or self._recent.has(msg_id):
            return False
        self._fetched.add(msg_id, frame.received_ns)
        return True


def msg_id_of(frame: Frame) -> str | None:
    """A message's msg_id; None if it has none that could be compared."""
    try:
        body = decode_json(frame.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    found = body.get("msg_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
