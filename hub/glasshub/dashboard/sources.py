# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that is known, put together: the present from segments where they are, the past from RRDs if there are."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from glasshub_stats import values

from ..rrds import HubFiles, RrdError
from .live import LiveHubs
from .model import ConsumerView, HubView, Span, View, sorted_by_need
from .recorded import RecordedHubs


class Sources:
    """What the page is made of. Threads: one at a time."""

    def __init__(
        self, live: LiveHubs, recorded: RecordedHubs | None, *, source: str, clock: Callable[[], float] = time.time
    ) -> None:
        """Read nothing yet.

        Args:
            live: Looks at segments.
            recorded: Reads RRDs, if there are any.
            source: What the foot of the page says of it.
            clock: Unix time.
        """
        self._live = live
        self._recorded = recorded
        self._source = source
        self._clock = clock

    def look(self) -> None:
        """Look at the segments once."""
        self._live.look()

    def view(self, span: Span) -> View:
        """What there is to show. Never raises for what it is told: it becomes a problem on the page."""
        problems = []
        hubs = self._live.hubs(span)
        if self._recorded is not None:
            try:
                hubs = _merged(hubs, self._recorded.hubs(span))
            except RrdError as error:
                problems.append(str(error))
        return View(self._clock(), span, sorted_by_need(hubs), self._source, problems)


def _merged(live: Sequence[HubView], recorded: Sequence[tuple[HubFiles, HubView]]) -> list[HubView]:
    """Each hub once: one of this host as its segment shows it, with the past of its RRDs."""
    hosts = {files.host for files, _ in recorded}
    here = hosts if len(hosts) == 1 else hosts & {socket.gethostname(), socket.getfqdn()}
    pasts = {files.hub: view for files, view in recorded if files.host in here}
    mine = {values.hub_instance(hub.name) for hub in live}
    others = [view for files, view in recorded if files.host not in here or files.hub not in mine]
    return [*(_with_past(hub, pasts.get(values.hub_instance(hub.name))) for hub in live), *others]


def _with_past(hub: HubView, past: HubView | None) -> HubView:
    if past is None:
        return hub
    known = {consumer.name: consumer for consumer in past.consumers}
    return replace(
        hub,
        consumers=[_remembered(consumer, known.get(values.consumer_part(consumer.name))) for consumer in hub.consumers],
    )


def _remembered(consumer: ConsumerView, past: ConsumerView | None) -> ConsumerView:
    return consumer if past is None else replace(consumer, series=past.series, failed=past.failed)
