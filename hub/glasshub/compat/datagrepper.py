# SPDX-License-Identifier: LGPL-2.1-or-later
"""The backlog from before the start: what was published while the hub was down, fetched from datagrepper.

fedmsg's consumers leave in a status file which message was their last one, and at the next start ask datagrepper for
what came since. fedmsg-hub asks for all of it at once, in all consumers, however long ago that is, and gets the first
page twice (fedmsg#371). Here a fetch is bounded in age and in number, tries again when datagrepper has trouble, and
can be stopped; what it leaves out is logged and counted.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import HubError
from ..gaps import utc

if TYPE_CHECKING:
    import requests  # at run time only where something is fetched: a hub without fedmsg may not have it

logger = logging.getLogger(__name__)

Message = dict[str, Any]

#: Oldest first, and as many on a page as datagrepper gives.
_QUERY = {"order": "asc", "rows_per_page": "100"}

#: Seconds before each further try.
_PAUSES = (1.0, 3.0, 10.0, 30.0)

#: Answers between 400 and 499 that may be better next time: too slow, too many.
_PASSING = (408, 429)

_HINT = "is datagrepper_url right? It ends in /raw"


class DatagrepperError(HubError):
    """Datagrepper does not answer, or not with messages."""


class StatusError(HubError):
    """A status file does not say which message was the last one."""


class _GarbageError(Exception):
    """An answer is no page of messages."""


@dataclass(frozen=True)
class Window:
    """A span of time, both ends included; Unix times."""

    since: float
    until: float

    def __str__(self) -> str:
        """For the log."""
        return f"from {utc(self.since)} to {utc(self.until)}"


@dataclass(frozen=True)
class Page:
    """Some of the messages.

    Attributes:
        messages: Those that are wanted, oldest first, as they were on the bus.
        missed: 0, except on the last page if the limit cut the rest off: how many wanted messages that may be, at most.
    """

    messages: Sequence[Message]
    missed: int = 0


@dataclass(frozen=True)
class _Answer:
    """A page as datagrepper gives it: `rows` of `total`, on one of `pages`."""

    rows: Sequence[Message]
    total: int
    pages: int


class Datagrepper:
    """Asks a datagrepper. Threads: any; each fetch has connections of its own."""

    def __init__(self, url: str, *, timeout: float = 60.0, pauses: Sequence[float] = _PAUSES) -> None:
        """Take its address; nothing is asked yet.

        Args:
            url: fedmsg's `datagrepper_url`, which ends in /raw.
            timeout: Seconds to wait for a connection, and for each part of an answer.
            pauses: Seconds to wait before each further try to get a page; after the last one the fetch has failed.
        """
        self._url = url
        self._timeout = timeout
        self._pauses = pauses

    def messages(
        self,
        window: Window,
        *,
        limit: int,
        wanted: Callable[[str], bool],
        stop: threading.Event,
        known: Collection[str] = (),
    ) -> Iterator[Page]:
        """Fetch what is wanted of a window, oldest first, each msg_id once; a page is asked for when it is taken.

        Args:
            window: What is published meanwhile lies behind its end, and does not shift the pages.
            limit: How many messages to fetch at most; at least 1.
            wanted: Whether messages of a topic are. (datagrepper itself knows exact topics only.)
            stop: Once it is set there are no more pages; a request under way is waited for, as long as `timeout`.
            known: Each msg_id that is not wanted.

        Raises:
            DatagrepperError: It did not answer, or not with messages, and trying again did not help.
        """
        import requests

        seen, room, rows = set(known), limit, 0
        with requests.Session() as session:
            for number in itertools.count(1):
                answer = self._answer(session, window, number, stop)
                if answer is None:
                    return
                found = [row for row in answer.rows if wanted(row["topic"]) and _is_new(row, seen)]
                rows += len(answer.rows)
                is_last = number >= answer.pages or not answer.rows
                behind = max(0, answer.total - rows)
                taken, room = found[:room], room - len(found)
                yield Page(taken, missed=behind - room if room <= 0 else 0)
                if is_last or room <= 0:
                    return

    def _answer(self, session: requests.Session, window: Window, number: int, stop: threading.Event) -> _Answer | None:
        """A page, after as many tries as it takes; None if the fetch is stopped."""
        import requests

        pauses = iter(self._pauses)
        while not stop.is_set():
            try:
                return self._ask(session, window, number)
            except (requests.RequestException, _GarbageError) as error:
                pause = next(pauses, None)
                if pause is None or isinstance(error, ValueError):  # requests has those for a wrong URL
                    raise DatagrepperError(f"datagrepper at {self._url}: {error}") from None
                logger.warning("datagrepper at %s: %s: trying again in %g s", self._url, error, pause)
                stop.wait(pause)
        return None

    def _ask(self, session: requests.Session, window: Window, number: int) -> _Answer:
        response = session.get(
            self._url,
            params={**_QUERY, "start": str(window.since), "end": str(window.until), "page": str(number)},
            timeout=self._timeout,
        )
        status = response.status_code
        if 400 <= status < 500 and status not in _PASSING:
            raise DatagrepperError(f"datagrepper at {self._url} refuses: {status} {response.reason}: {_HINT}")
        response.raise_for_status()
        return _read(response.content)


class FetchCounts(Protocol):
    """Where the fetch of one consumer's backlog counts. Threads: that of the backlog only."""

    def began(self) -> None:
        """The fetch has begun."""

    def fetched(self, count: int) -> None:
        """So many messages more were fetched and put."""

    def missed(self, count: int) -> None:
        """So many messages, at most, will not be fetched: they are beyond the limit."""

    def failed(self) -> None:
        """The fetch has failed; what was fetched before that has been put."""

    def ended(self) -> None:
        """The fetch is over, however it went."""


@dataclass(frozen=True)
class LastMessage:
    """The last message that a consumer began to handle.

    Attributes:
        msg_id: Its msg_id.
        timestamp: When it was published, Unix time.
    """

    msg_id: str
    timestamp: float


@dataclass(frozen=True)
class BacklogJob:
    """A consumer whose backlog is to be fetched.

    Attributes:
        consumer: Its name, for the log.
        last: What its status file named before the consumer handled anything new.
        wanted: Whether it subscribes to a topic.
        put: Takes each message, in the form that it had on the bus.
        counts: Where to count.
        skip_last_message: fedmsg's setting: leave out the first of the messages, which in spite of the name is the
            one behind the last.
    """

    consumer: str
    last: LastMessage
    wanted: Callable[[str], bool]
    put: Callable[[Message], None]
    counts: FetchCounts
    skip_last_message: bool = False


class BacklogThread(threading.Thread):
    """Fetches the backlog of one consumer after the other.

    A fetch that fails ends neither the thread nor those of the other consumers. The thread is a daemon: a hub that
    stops need not wait for a datagrepper that does not answer.
    """

    is_awaited = False

    def __init__(
        self,
        datagrepper: Datagrepper,
        jobs: Sequence[BacklogJob],
        *,
        age: float,
        limit: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the jobs. Nothing happens before `start`, whose time is the end of every window.

        Args:
            datagrepper: Whom to ask.
            jobs: Done in this order.
            age: Seconds; what is older is not fetched.
            limit: The most messages that are fetched for one consumer; at least 1.
            clock: Unix time.
        """
        super().__init__(name="backlog", daemon=True)
        self._datagrepper = datagrepper
        self._jobs = jobs
        self._age = age
        self._limit = limit
        self._clock = clock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Have it end: the call of `put` or `counts` that is under way is the last. Threads: any; does not wait.

        A pause ends at once; a request under way may take as long as its timeout.
        """
        self._stopping.set()

    def run(self) -> None:
        """Do the jobs."""
        now = self._clock()
        for job in self._jobs:
            if self._stopping.is_set():
                return
            self._do(job, now)

    def _do(self, job: BacklogJob, now: float) -> None:
        job.counts.began()
        is_complete = self._fetch(job, now)
        if self._stopping.is_set():
            return
        if not is_complete:
            job.counts.failed()
        job.counts.ended()

    def _fetch(self, job: BacklogJob, now: float) -> bool:
        """Fetch what there is, and say whether it worked."""
        window = self._window(job, now)
        fetched = skipped = 0
        try:
            for message in self._messages(job, window):
                if job.skip_last_message and not (fetched or skipped):
                    logger.info("%s: left out %r, as skip_last_message says", job.consumer, message["msg_id"])
                    skipped = 1
                    continue
                job.put(message)
                job.counts.fetched(1)
                fetched += 1
        except DatagrepperError as error:
            logger.error("%s: fetching the backlog failed: %s", job.consumer, error)
            return False
        except Exception:
            logger.exception("%s: fetching the backlog failed", job.consumer)
            return False
        finally:
            logger.info("%s: backlog %s: %d messages fetched, %d skipped", job.consumer, window, fetched, skipped)
            if self._stopping.is_set():
                logger.warning("%s: the fetch of its backlog is given up, since the hub stops", job.consumer)
        return True

    def _window(self, job: BacklogJob, now: float) -> Window:
        since, oldest = job.last.timestamp, now - self._age
        if since < oldest:
            logger.warning("%s: the backlog %s is too old to be fetched", job.consumer, Window(since, oldest))
        return Window(min(max(since, oldest), now), now)

    def _messages(self, job: BacklogJob, window: Window) -> Iterator[Message]:
        """Those to put, until there are no more or the thread is stopped."""
        pages = self._datagrepper.messages(
            window, limit=self._limit, wanted=job.wanted, stop=self._stopping, known=[job.last.msg_id]
        )
        for page in pages:
            for message in page.messages:
                if self._stopping.is_set():
                    return
                yield message
            if page.missed:
                job.counts.missed(page.missed)
                logger.warning(
                    "%s: the backlog is longer than %d messages: up to %d are missed",
                    job.consumer,
                    self._limit,
                    page.missed,
                )


def last_message(status: str) -> LastMessage:
    """Read what `FedmsgConsumer.save_status` writes.

    Raises:
        StatusError: It is not that.
    """
    try:
        body = json.loads(status)["message"]["body"]
        if isinstance(body, str):  # the consumer does not want its messages decoded
            body = json.loads(body)
        msg_id, timestamp = body["msg_id"], body["timestamp"]
    except (ValueError, TypeError, KeyError, RecursionError):
        msg_id = timestamp = None
    if not (isinstance(msg_id, str) and _is_time(timestamp)):
        raise StatusError(f"this names no message with msg_id and timestamp: {status[:60]!r}")
    return LastMessage(msg_id, timestamp)


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_new(message: Message, seen: set[str]) -> bool:
    """Whether its msg_id was not seen before; from now on it was. The oldest messages have none."""
    msg_id = message["msg_id"]
    if msg_id in seen:
        return False
    if msg_id is not None:
        seen.add(msg_id)
    return True


def _read(content: bytes) -> _Answer:
    try:
        answer = json.loads(content)
        rows = [_as_published(row) for row in answer["raw_messages"]]
        return _Answer(rows, total=int(answer["total"]), pages=int(answer["pages"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise _GarbageError(f"its answer is no page of messages ({error!r}): {_HINT}") from None


def _as_published(row: Any) -> Message:
    """A message as it was on the bus, so that its signature holds."""
    from fedmsg.crypto.utils import fix_datagrepper_message

    if not isinstance(row["topic"], str) or not isinstance(row["msg_id"], (str, type(None))):
        raise TypeError("a message without topic or msg_id")
    fixed: Message = fix_datagrepper_message(row)
    return fixed
