# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers have a backlog from before the start, and how what is fetched reaches them.

fedmsg's consumers write into a status file which message they are at. fedmsg-hub reads it in their constructor and
starts a fetch out of there; here the constructor's fetch is left out, and this takes its place.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..stats import FetchSlots
from .consumers import MokshaConsumer
from .datagrepper import BacklogJob, LastMessage, StatusError, last_message
from .duplicates import Duplicates
from .incoming import Item

logger = logging.getLogger(__name__)

#: Seconds that clocks may be wrong, and a message may have been on its way.
_SLACK = 60.0


def leave_out_fetch(consumer: Any) -> None:
    """Keep a consumer that is about to be constructed from fetching by itself, unless it does so in its own way."""
    if fetches_as_fedmsg_does(consumer):
        consumer._backlog = lambda data: None


def fetches_as_fedmsg_does(consumer: Any) -> bool:
    """Whether the consumer has fedmsg's way to fetch its backlog, and none of its own."""
    from fedmsg.consumers import FedmsgConsumer

    cls = type(consumer)
    return (
        isinstance(consumer, FedmsgConsumer)
        and cls._backlog is FedmsgConsumer._backlog
        and cls.get_datagrepper_results is FedmsgConsumer.get_datagrepper_results
    )


def status_path(directory: str, hub: str, consumer: Any) -> Path:
    """The status file of a consumer: where fedmsg-hub has it, so that one can go from one hub to the other and back.

    Args:
        directory: fedmsg's `status_directory`.
        hub: The hub's name; fedmsg takes the name of the process, which is not always that of the service.
        consumer: The consumer.
    """
    return Path(directory, "fedmsg-hub" if hub == "glasshub" else hub, type(consumer).__name__)


@dataclass(frozen=True)
class Missed:
    """A consumer that may have missed messages, and what its status file named before it handled anything new."""

    consumer: MokshaConsumer
    last: LastMessage

    @classmethod
    def by(cls, consumer: MokshaConsumer, hub: str) -> Missed | None:
        """What a consumer that has just been built may have missed; from now on its status file is where we want it.

        Returns:
            None when fedmsg's configuration wants no backlog, when the consumer has never run, or when its status
            file is no good, said in the log.
        """
        author: Any = consumer.author
        if not (fetches_as_fedmsg_does(author) and author.status_lock):
            return None
        path = status_path(author.status_directory, hub, author)
        author.status_filename = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(consumer, last_message(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            logger.info("%s has no backlog: there is no %s", type(author).__name__, path)
        except (OSError, UnicodeDecodeError) as error:
            logger.error("%s: no backlog is fetched: %s cannot be read: %s", type(author).__name__, path, error)
        except StatusError as error:
            logger.error("%s: no backlog is fetched: %s: %s", type(author).__name__, path, error)
        return None

    def job(self, name: str, counts: FetchSlots, since: float = 0.0) -> BacklogJob:
        """What the thread has to do that fetches; from now on the consumer remembers what it is handed.

        Args:
            name: The consumer's name.
            counts: Where to count.
            since: Unix time; what was published before is not to be fetched, for it is in the spool.
        """
        author: Any = self.consumer.author
        last = replace(self.last, timestamp=max(self.last.timestamp, since))
        since_ns = time.monotonic_ns() - int((time.time() - last.timestamp + _SLACK) * 1e9)
        duplicates = self.consumer.duplicates = Duplicates(since_ns)
        return BacklogJob(
            consumer=name,
            last=last,
            wanted=self.consumer.wants,
            put=lambda message: self.consumer.incoming.append(Item({"body": message, "topic": message["topic"]})),
            counts=_Counts(counts, duplicates),
            skip_last_message=bool(author.skip_last_message),
        )


class _Counts:
    """Counts in the segment, and notes when the bus can bring no more of what was fetched."""

    def __init__(self, slots: FetchSlots, duplicates: Duplicates) -> None:
        self.began = slots.began
        self.fetched = slots.fetched
        self.missed = slots.missed
        self.failed = slots.failed
        self._slots = slots
        self._duplicates = duplicates

    def ended(self) -> None:
        """See `FetchCounts.ended`."""
        self._slots.ended()
        self._duplicates.end(time.monotonic_ns())
