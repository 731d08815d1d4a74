# SPDX-License-Identifier: LGPL-2.1-or-later
"""A crew that is in worker processes: who goes where, and what each process says of those that it has built.

Where consumers and producers are built is all that differs from `roster` and `crew`; who is built is said there.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from .compat.fedmsg_config import FedmsgConfigFiles
from .compat.libraries import require_moksha
from .config import Config, ConsumerSection
from .crew import Background, Member
from .errors import ConfigError, HubError, PublishError
from .logs import Repeats, held_back, reopen
from .processes import Brief, Built, Keeper, RemoteConsumer
from .processes.keeper import CLOSING
from .processes.process import how_it_ended
from .roster import Roster
from .segment import ProducerRow, SegmentSlots
from .sending import sender_of

logger = logging.getLogger(__name__)

#: The process of all who have none of their own, producers among them.
MAIN = "main"


class RemoteRoster:
    """As `Roster`, for a hub whose consumers are in worker processes. Threads: main thread only."""

    def __init__(
        self,
        config: Config,
        fedmsg: FedmsgConfigFiles | None = None,
        *,
        only: Sequence[str] = (),
        producers: Sequence[str] | None = None,
        callback: str = "",
    ) -> None:
        """See `Roster`."""
        self._config = config
        self._fedmsg = fedmsg
        self._roster = Roster(config, fedmsg, only=only, producers=producers, callback=callback)

    def build(self, stop: Callable[[], None]) -> RemoteCrew:
        """Start the processes, and have each build its part.

        Args:
            stop: Called when a consumer or producer wants the hub to stop; threads: any.

        Raises:
            HubError: A process cannot be started, has died, or fedmsg's configuration or packages are not usable.
        """
        briefs = self._briefs()
        if self._fedmsg is not None and not briefs:
            require_moksha()  # as `Roster.build` does, for which there is no process
        crew = RemoteCrew(self._config, briefs, stop)
        try:
            crew.wait_until_built()
        except BaseException:
            crew.close()
            raise
        return crew

    def _briefs(self) -> list[Brief]:
        wanted = list(self._roster.wanted())
        _refuse_torn_groups(wanted)
        names = dict.fromkeys([MAIN, *(section.process or MAIN for _, section in wanted)])
        briefs = [self._brief(name, [one for one in wanted if (one[1].process or MAIN) == name]) for name in names]
        return [brief for brief in briefs if not brief.is_empty]

    def _brief(self, process: str, consumers: list[tuple[str, ConsumerSection]]) -> Brief:
        is_main = process == MAIN
        config = self._config
        if not is_main or self._fedmsg is None:  # one process publishes what Moksha's monitoring does
            config = replace(config, fedmsg=replace(config.fedmsg, monitoring_socket=""))
        producers = list(self._roster.producer_locations()) if is_main else []
        return Brief(process, config, self._fedmsg, consumers, producers, list(sys.path))


def _refuse_torn_groups(wanted: Sequence[tuple[str, ConsumerSection]]) -> None:
    """Consumers of one group have one worker, which is in one process."""
    processes: dict[str, str] = {}
    for name, section in wanted:
        process = section.process or MAIN
        if section.group and processes.setdefault(section.group, process) != process:
            raise ConfigError(
                f"consumers.{name} is in group {section.group!r}, and in another process than the others of the "
                f"group, whose consumers never run at the same time: set the same process for all of them"
            )


class RemoteCrew:
    """A crew that is in worker processes.

    Attributes:
        members, producer_rows, disabled: See `Staff`.
    """

    def __init__(self, config: Config, briefs: Sequence[Brief], stop: Callable[[], None]) -> None:
        """Start a process for each brief.

        Raises:
            HubError: One cannot be started.
        """
        self.members: list[Member] = []
        self.producer_rows: list[ProducerRow] = []
        self.disabled: list[str] = []
        self._config = config
        self._stop = stop
        self._briefs = briefs
        self._consumers: dict[str, dict[int, RemoteConsumer]] = {brief.process: {} for brief in briefs}
        self._repeats = Repeats()
        self._sender = sender_of(config)
        self._keepers: list[Keeper] = []
        try:
            for brief in briefs:
                self._keepers.append(Keeper(brief, self._heard(brief.process)))
        except BaseException:
            self.close()
            raise

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody to do anything."""
        return not any(member.consumer for member in self.members) and not any(
            row.initialized for row in self.producer_rows
        )

    def wait_until_built(self) -> None:
        """Wait until each process has built its part.

        Raises:
            HubError: One has died, or refuses to.
        """
        for keeper, brief in zip(self._keepers, self._briefs):
            built = _built_by(keeper)
            sections = dict(brief.consumers)
            for place, (name, workers, topics) in enumerate(built.consumers):
                section = replace(sections[name], workers=workers)
                self.members.append(Member(name, section, self._consumer(keeper, place, topics)))
            self.producer_rows += [ProducerRow(*row) for row in built.producers]
            self.disabled += built.disabled
            if built.has_site and self._sender is not None:
                self._sender.open()

    def background(self, segment: SegmentSlots, since: float = 0.0) -> list[Background]:
        """Have the processes count in the segment, and start their workers; what stops their producers is returned."""
        row = job = 0
        threads: list[Background] = []
        for keeper in self._keepers:
            built = _built_by(keeper)
            rows = list(range(row, row + len(built.consumers)))
            jobs = list(range(job, job + len(built.producers)))
            row, job = row + len(rows), job + len(jobs)
            keeper.put_order("attach", str(segment.path), rows, jobs, since, is_standing=True)
            threads.append(RemoteBackground(keeper))
        return threads

    def start(self) -> None:
        """Start what those of fedmsg need around them, and the producers."""
        for keeper in self._keepers:
            keeper.put_order("go", is_standing=True)

    def reopen(self) -> None:
        """Open log files anew, here and in the processes."""
        reopen()
        for keeper in self._keepers:
            keeper.put_order("reopen")

    def close(self) -> None:
        """Close everybody, and end the processes."""
        for keeper in self._keepers:
            keeper.close()
        deadline = time.monotonic() + CLOSING
        for keeper in self._keepers:
            keeper.end(max(deadline - time.monotonic(), 0.0))
        if self._sender is not None:
            self._sender.close()

    def _consumer(self, keeper: Keeper, place: int, topics: Sequence[str] | None) -> RemoteConsumer | None:
        if topics is None:
            return None
        consumer = self._consumers[keeper.name][place] = RemoteConsumer(keeper, place, topics)
        return consumer

    def _heard(self, process: str) -> dict[str, Callable[..., None]]:
        consumers = self._consumers[process]
        return {
            "put": lambda place, *frame: consumers[place].put(*frame),
            "topics": lambda place, topics: consumers[place].resubscribe(topics),
            "publish": self._publish,
            "halt": self._stop,
        }

    def _publish(self, topic: bytes, body: bytes) -> None:
        assert self._sender is not None, "a process has nothing to say where nothing is published"
        try:
            self._sender.publish(topic, body)
        except PublishError as error:
            count = self._repeats.admit(PublishError)
            if count is not None:
                logger.error("%s: a message that a consumer sends reaches nobody%s", error, held_back(count))


def _built_by(keeper: Keeper) -> Built:
    process = keeper.process
    process.is_ready.wait()
    if process.refusal is not None:
        raise process.refusal
    if process.built is None:
        process.join(1.0)
        raise HubError(
            f"worker process {keeper.name} {how_it_ended(process.status)} before its consumers were built, "
            f"see the log above"
        )
    return process.built


class RemoteBackground:
    """The producers of a worker process. Threads: main thread only."""

    is_awaited = True

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.name = f"a producer in worker process {keeper.name}"

    def start(self) -> None:
        """Nothing: they are started with all that is around them."""

    def stop(self) -> None:
        """Have them begin nothing new."""
        self._keeper.quiesce()

    def join(self, timeout: float | None = None) -> None:
        """Wait until they have ended."""
        self._keeper.process.is_quiet.wait(timeout)

    def is_alive(self) -> bool:
        """Whether they have not."""
        return not self._keeper.process.is_quiet.is_set()
