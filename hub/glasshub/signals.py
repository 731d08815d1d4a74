# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a consumer raises to say what becomes of a message: signals, and no errors."""

from __future__ import annotations


class ConsumerSignal(BaseException):
    """Root of what a consumer may raise to have its way with a message.

    Not an `Exception`, so that it comes through where one is caught: in the consumer's own code, and in Moksha's.
    """


class Drop(ConsumerSignal):
    """Nothing is to be done with this message: it is finished, and counts as discarded."""

    def __init__(self, reason: str = "") -> None:
        """Say why, for the log."""
        super().__init__(reason)
        self.reason = reason


class Retry(ConsumerSignal):
    """This message is to be tried again later, behind others that have come meanwhile.

    Where the configuration gives the consumer a number of retries, they are counted, and the last one is a failure;
    where it does not, a message may be tried again for as long as the consumer wants.
    """

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        """Say when, and why, for the log.

        Args:
            after: Seconds until then, not below 0; None for as long as the configuration says (`retry_delay`).
            reason: Why.

        Raises:
            ValueError: That is no time to wait.
        """
        if after is not None and not 0 <= after <= LONGEST_DELAY:
            raise ValueError(f"Retry(after={after!r}): after must be 0 to {LONGEST_DELAY:.0f} seconds")
        super().__init__(reason)
        self.after = after
        self.reason = reason


class Halt(ConsumerSignal):
    """The hub is to stop, because the consumer cannot go on.

    The message at hand is not finished, unless the consumer says so: with a spool it is the next that the consumer gets
    after a start. Meanwhile the consumer gets nothing more; the others finish their backlog, as at any stop.
    """

    def __init__(self, reason: str = "", *, exit_code: int = 0, is_done: bool = False) -> None:
        """Say why, for the log.

        Args:
            reason: Why.
            exit_code: What the hub exits with; 0 for what it exits with anyway.
            is_done: Whether the message at hand is finished.
        """
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code
        self.is_done = is_done


#: The longest time that a message may be put off, a year: what is further off is a mistake.
LONGEST_DELAY = 365 * 86400.0
