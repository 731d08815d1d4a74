# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of a message that a consumer did not finish well."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .config import ConsumerSection
from .message import Frame

#: What is kept of a traceback and of an error's line, in characters.
_TRACEBACK, _LINE = 20_000, 500


class ReportedError(Exception):
    """A consumer has failed, and that is in the log already. What it raised is the cause, where anybody knows it."""

    def __init__(self) -> None:
        super().__init__("the consumer's own log says what is wrong")


@dataclass(frozen=True)
class RetryPolicy:
    """What the configuration says of messages on which a consumer failed.

    Attributes:
        retries: Attempts besides the first one.
        delay: Seconds of the first back-off at the most; each further one may be twice as long.
        delay_max: Seconds of any back-off at the most.
        parks: Whether a message is parked when the last attempt has failed.
    """

    retries: int = 0
    delay: float = 1.0
    delay_max: float = 300.0
    parks: bool = False

    @classmethod
    def of(cls, section: ConsumerSection) -> RetryPolicy:
        """What a consumer's section says."""
        return cls(section.retry, section.retry_delay, section.retry_delay_max, section.park)

    def backoff(self, attempts: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Seconds to wait after so many attempts: exponential, with full jitter.

        That is a random time between 0 and the lesser of `delay_max` and `delay` x 2^(attempts - 1): "Full Jitter" of
        Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Of the ways compared there it has
        the fewest calls in all: those who failed together do not come back together.
        """
        doublings = min(attempts - 1, 60)  # beyond that a float has nothing to add
        return uniform(0.0, min(self.delay_max, self.delay * 2.0**doublings))


@dataclass(frozen=True)
class Failure:
    """Why a message is given up.

    Attributes:
        error: The last attempt's error, in one line.
        traceback: Where it was raised, of bounded length.
        attempts: How often it was tried.
        first_ns: When the first attempt failed, CLOCK_MONOTONIC in nanoseconds.
        last_ns: When the last one did.
    """

    error: str
    traceback: str
    attempts: int
    first_ns: int
    last_ns: int


#: Puts a message away: whose it is, by index, the message, and why. Threads: any.
Park = Callable[[int, Frame, Failure], None]


class Aftercare(Protocol):
    """Takes care of messages that did not go well. Threads: any.

    A worker counts the attempt first; from the call on the message is no longer its concern, and whoever takes care
    of it tells `frame.completion` in the end.
    """

    def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
        """Have the consumer try it again.

        Args:
            station: Whose it is, by index.
            frame: The message, as it was tried.
            after: Seconds to wait.
            error: Why, in one line.
        """

    def park(self, station: int, frame: Frame, failure: Failure) -> None:
        """Put it away, to be looked at. Called only where that can be done."""

    @property
    def can_park(self) -> bool:
        """Whether there is a place to put messages away."""

    def halt(self, station: int, reason: str, exit_code: int) -> None:
        """Have the hub stop, since that consumer cannot go on; the message at hand stays as it is.

        Args:
            station: Whose it is, by index.
            reason: Why.
            exit_code: What the hub is to exit with; 0 for what it exits with anyway.
        """


class Care:
    """What one consumer's workers do about messages that did not go well; all of them share one.

    Attributes:
        policy: What the configuration says.
        is_halted: Whether the consumer cannot go on. Threads: any sets it, nobody takes it back.
    """

    __slots__ = ("_aftercare", "_station", "is_halted", "policy")

    def __init__(self, station: int, policy: RetryPolicy, aftercare: Aftercare) -> None:
        """Take the consumer's index and policy, and who does it."""
        self.policy = policy
        self.is_halted = False
        self._station = station
        self._aftercare = aftercare

    @property
    def can_park(self) -> bool:
        """See `Aftercare.can_park`."""
        return self._aftercare.can_park

    def retry(self, frame: Frame, after: float, error: str) -> None:
        """See `Aftercare.retry`."""
        self._aftercare.retry(self._station, frame, after, error)

    def park(self, frame: Frame, failure: Failure) -> None:
        """See `Aftercare.park`."""
        self._aftercare.park(self._station, frame, failure)

    def halt(self, reason: str, exit_code: int) -> None:
        """See `Aftercare.halt`."""
        self.is_halted = True
        self._aftercare.halt(self._station, reason, exit_code)


def one_line(error: BaseException) -> str:
    """An error in one line of bounded length, whatever it is."""
    origin = _origin(error)
    lines = traceback.format_exception_only(type(origin), origin)
    return " ".join("".join(lines).split())[:_LINE]


def traceback_of(error: BaseException) -> str:
    """Where an error was raised, its end if it is too long."""
    origin = _origin(error)
    return "".join(traceback.format_exception(type(origin), origin, origin.__traceback__))[-_TRACEBACK:]


def _origin(error: BaseException) -> BaseException:
    return error.__cause__ or error if isinstance(error, ReportedError) else error
