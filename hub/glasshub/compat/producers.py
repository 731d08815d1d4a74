# SPDX-License-Identifier: LGPL-2.1-or-later
"""Producers of Moksha: periodic jobs, each in a thread of its own, so that a slow one delays nobody."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

from ..logs import Repeats, held_back
from ..stats import ProducerSlots

logger = logging.getLogger(__name__)

#: Seconds after which a producer that sets its own `die` or changes its `frequency` is noticed.
_GLANCE = 1.0

#: Seconds before a producer without a frequency is called again after it raised: it must not fill the log.
_AFTER_FAILURE = 1.0


def build(cls: type, hub: Any) -> Any:
    """Build a producer.

    A PollingProducer begins to poll in a thread of Twisted's out of its constructor; there it would end with its
    first exception. This one is left to `ProducerThread` instead.

    Raises:
        Exception: Its constructor did.
    """
    producer = cls.__new__(cls, hub)
    if polls(producer):
        producer._work = lambda: None  # type: ignore[attr-defined]
    producer.__init__(hub)  # type: ignore[misc]
    return producer


def polls(producer: Any) -> bool:
    """Whether a producer wants to be polled, and has no loop of its own for that."""
    from moksha.hub.api.producer import PollingProducer

    return hasattr(producer, "_poll") and getattr(type(producer), "_work", None) in (None, PollingProducer._work)


class ProducerThread(threading.Thread):
    """Polls one producer, until it dies or the hub stops."""

    is_awaited = True

    def __init__(self, name: str, producer: Any, slots: ProducerSlots) -> None:
        super().__init__(name=f"producer-{name}", daemon=True)
        self._producer_name = name
        self._producer = producer
        self._slots = slots
        self._repeats = Repeats()
        self._is_stopping = threading.Event()

    def stop(self) -> None:
        """Poll no more. Threads: any."""
        self._is_stopping.set()

    def run(self) -> None:
        """Poll; as Moksha does, the first time after `frequency` seconds, or at once if `now` says so."""
        is_due = bool(self._producer.now)
        while not self._is_over():
            if is_due or self._is_due_after_waiting():
                self._poll()
            is_due = False
        self._slots.frequency(0)  # nobody waits for its next poll

    def _poll(self) -> None:
        succeeded = False
        self._slots.frequency(seconds(self._producer.frequency))
        self._slots.began(time.monotonic_ns())
        try:
            self._producer._poll()  # Moksha's, which keeps _last_ran and _exception_count
            succeeded = True
        except BaseException as error:  # nothing of a producer ends its thread
            self._log_failure(error)
        self._slots.ended(time.monotonic_ns(), succeeded=succeeded)
        if not (succeeded or self._producer.frequency):
            self._is_stopping.wait(_AFTER_FAILURE)

    def _is_due_after_waiting(self) -> bool:
        """Wait until the next poll is due; False when there will be none."""
        began = time.monotonic()
        while not self._is_over():
            left = began + seconds(self._producer.frequency) - time.monotonic()
            if left <= 0:
                return True
            self._is_stopping.wait(min(left, _GLANCE))
        return False

    def _is_over(self) -> bool:
        return self._is_stopping.is_set() or bool(self._producer.die)

    def _log_failure(self, error: BaseException) -> None:
        count = self._repeats.admit(type(error))
        if count is not None:
            logger.error("producer %s failed%s", self._producer_name, held_back(count), exc_info=error)


def seconds(frequency: Any) -> float:
    """A timedelta or seconds; None is no pause at all."""
    return frequency.total_seconds() if isinstance(frequency, timedelta) else float(frequency or 0)
