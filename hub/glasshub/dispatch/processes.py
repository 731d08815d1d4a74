# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `processes`: no consumer runs in the hub's process; each has a queue there, and its workers elsewhere.

So the enqueuer shares its interpreter lock with nobody who holds it for long: what is received is counted at once, and
what a consumer does to its process it does not do to the hub.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import HubError
from ..logs import Repeats
from ..processes import Desk, Keeper, RemoteConsumer
from ..processes.process import how_it_ended
from ..segment import SegmentSlots
from .base import Station
from .queued import QueuedShape


class ProcessesShape(QueuedShape):
    """A desk for each consumer, and a keeper for each worker process."""

    def _build(self, stations: Sequence[Station], segment: SegmentSlots, repeats: Repeats) -> None:
        self._supervisor = segment.supervisor
        keepers: dict[str, Keeper] = {}
        for station, care in zip(stations, self._cares):
            remote = station.consumer
            assert isinstance(remote, RemoteConsumer), "this shape has consumers in other processes"
            keeper = keepers.setdefault(remote.keeper.name, remote.keeper)
            desk = Desk(
                keeper.bell,
                station.books,
                len(station.workers),
                care,
                max_deaths=station.max_deaths,
                patience=station.patience,
            )
            keeper.desks[remote.place] = desk
            self._add_queue(station, desk, None)
        self._keepers = list(keepers.values())

    def start(self) -> None:
        """Wait until all workers are up.

        Raises:
            HubError: A process has died instead.
        """
        for keeper in self._keepers:
            keeper.process.came_up.wait()
            if keeper.process.is_dead:
                how = how_it_ended(keeper.process.status)
                raise HubError(f"worker process {keeper.name} {how} while it started, see the log above")
        self.tend()

    def tend(self) -> None:
        """See `Shape.tend`: start processes in the place of dead ones, end those that are stuck."""
        for keeper in self._keepers:
            if keeper.tend():
                self._supervisor.restarted()
        self._supervisor.running(sum(keeper.process.is_up for keeper in self._keepers))

    def is_done(self, deadline: float) -> bool:
        """See `Shape.is_done`."""
        return all(keeper.is_done for keeper in self._keepers) and super().is_done(deadline)

    @property
    def is_stopped(self) -> bool:
        """See `Shape.is_stopped`."""
        return any(keeper.is_stopped for keeper in self._keepers)

    def close(self) -> None:
        """See `Shape.close`."""
        for keeper in self._keepers:
            keeper.drain()

    def stop(self) -> None:
        """See `Shape.stop`."""
        for keeper in self._keepers:
            keeper.stop()

    def join(self, timeout: float) -> bool:
        """See `Shape.join`."""
        deadline = time.monotonic() + timeout
        return all(keeper.wait_for_end(max(deadline - time.monotonic(), 0)) for keeper in self._keepers)

    def dead(self) -> list[str]:
        """See `Shape.dead`."""
        return [f"process {keeper.name}" for keeper in self._keepers if keeper.error is not None]
