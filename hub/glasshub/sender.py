# SPDX-License-Identifier: LGPL-2.1-or-later
"""What publishes on a bus, whichever it is."""

from __future__ import annotations

from typing import Protocol


class Sender(Protocol):
    """Publishes on one bus. Threads: any."""

    @property
    def confirms(self) -> bool:
        """Whether what has been published is there: somebody has said so."""

    def open(self) -> None:
        """Take the endpoints to publish at, where there are such; otherwise the first message does.

        Raises:
            PublishError: They cannot be taken.
        """

    def publish(self, topic: bytes, body: bytes) -> None:
        """Publish a message, in fedmsg's form; blocks until it is published, as far as the bus lets one know.

        Raises:
            PublishError: It is not, or nobody knows.
        """

    def close(self) -> None:
        """Give everything back. Who still waits is told that nothing more is published."""
