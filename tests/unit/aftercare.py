# SPDX-License-Identifier: LGPL-2.1-or-later
"""An `Aftercare` that keeps what it is told."""

from __future__ import annotations

from glasshub.failure import Failure
from glasshub.message import Frame


class KeptAftercare:
    """Keeps it.

    Attributes:
        retried, parked, halted: That.
        can_park: See `Aftercare.can_park`.
    """

    def __init__(self, *, can_park: bool = False) -> None:
        self.can_park = can_park
        self.retried: list[tuple[int, Frame, float, str]] = []
        self.parked: list[tuple[int, Frame, Failure]] = []
        self.halted: list[tuple[int, str, int]] = []

    def retry(self, station: int, frame: Frame, after: float, error: str) -> None:
        """See `Aftercare.retry`."""
        self.retried.append((station, frame, after, error))

    def park(self, station: int, frame: Frame, failure: Failure) -> None:
        """See `Aftercare.park`."""
        self.parked.append((station, frame, failure))

    def halt(self, station: int, reason: str, exit_code: int) -> None:
        """See `Aftercare.halt`."""
        self.halted.append((station, reason, exit_code))
