# SPDX-License-Identifier: LGPL-2.1-or-later
"""A producer of the hub that NRPE is asked about."""

from __future__ import annotations

from moksha.hub.api import PollingProducer


class DigestProducer(PollingProducer):  # type: ignore[misc]  # Moksha has no types
    """Polls at once, and then once an hour."""

    frequency = 3600
    now = True

    def poll(self) -> None:
        """Do nothing."""
