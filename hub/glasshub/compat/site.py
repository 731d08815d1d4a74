# SPDX-License-Identifier: LGPL-2.1-or-later
"""What consumers and producers of fedmsg and Moksha need around them, made once for a process.

A hub to subscribe to and to send through, Twisted's reactor, Moksha's monitoring socket, and the backlog that came
before the start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..config import ZMQ, Config
from ..errors import UnusableError
from ..publisher import Publisher
from ..sender import Sender
from ..stats import FetchSlots
from . import producers
from .consumers import MokshaConsumer
from .datagrepper import BacklogThread, Datagrepper
from .fedmsg_config import FedmsgConfigFiles
from .ircbot import make_bot_usable
from .libraries import require_moksha
from .moksha import MokshaHub, install, refuse_disabled
from .monitoring import MOST_HELD, MonitoringProducer
from .reactor import ReactorThread
from .status_files import Missed
from .x509 import make_x509_usable, require_crypto

logger = logging.getLogger(__name__)

#: Moksha's own producer for its monitoring socket: ours takes its place.
MONITORING = "moksha.hub.monitoring:MonitoringProducer"

#: Seconds that the reactor's threads have to end.
_GRACE = 2.0


class FedmsgSite:
    """The surroundings. Threads: main thread only, but for what is handed to consumers and producers."""

    def __init__(
        self, config: Config, files: FedmsgConfigFiles, stop: Callable[[], None], sender: Sender | None = None
    ) -> None:
        """Make them; nothing is started.

        Args:
            config: The configuration.
            files: fedmsg's.
            stop: Has the hub stop; threads: any.
            sender: Publishes what they send; None where the configuration names no place for that.

        Raises:
            HubError: fedmsg's configuration or packages are not usable, or an endpoint to publish at is taken.
        """
        require_moksha()
        make_x509_usable()
        self._config = config
        self._stop = stop
        self._fedmsg = files.hub_config(config.zmq)
        self._is_on_zmq = config.hub.source == ZMQ
        if self._fedmsg["validate_signatures"] and self._is_on_zmq:
            require_crypto(self._fedmsg)
        if sender is not None:
            sender.open()  # who subscribes to what they send is to be connected by then
        self._monitor: Publisher | None = None
        self._missed: list[Missed] = []
        self._reactor: ReactorThread | None = None
        self.hub = MokshaHub(
            self._fedmsg,
            strict=config.zmq.strict,
            stop=stop,
            send=sender.publish if sender is not None else None,
        )
        install(self.hub)

    def consumer(self, cls: type) -> MokshaConsumer:
        """Build a consumer.

        Raises:
            DisabledError: Its configuration leaves it disabled.
            MissingLibraryError: It checks signatures, and nothing to check them with is installed.
            UnusableError: It checks signatures, and there are none.
            Exception: Its constructor did.
        """
        make_bot_usable(cls)
        bound = self.hub.build(cls)
        if getattr(bound.author, "validate_signatures", False):
            self._require_signatures()
        if self._is_on_zmq:  # a broker has kept what the consumer has missed
            missed = Missed.by(bound, self._config.hub.name)
            if missed is not None:
                self._missed.append(missed)
        return bound

    def _require_signatures(self) -> None:
        if not self._is_on_zmq:
            raise UnusableError(
                "it checks signatures, and messages of fedora-messaging have none, for the broker knows who publishes: "
                "set validate_signatures = False in fedmsg's configuration, or in the consumer, if it says True itself"
            )
        require_crypto(self._fedmsg)

    def producer(self, cls: type) -> Any:
        """Build a producer.

        Raises:
            DisabledError: Its configuration leaves it disabled.
            Exception: Its constructor did.
        """
        producer = producers.build(cls, self.hub)
        self.hub.producers.append(producer)  # Moksha lists those that are disabled, too
        refuse_disabled(producer)
        return producer

    def monitoring(self) -> MonitoringProducer | None:
        """The producer that publishes on Moksha's monitoring socket; None where the configuration has none.

        Raises:
            HubError: The socket cannot be made.
        """
        section = self._config.fedmsg
        if not section.monitoring_socket:
            return None
        mode = int(section.monitoring_socket_mode, 8) if section.monitoring_socket_mode else None
        self._monitor = Publisher([section.monitoring_socket], mode=mode, high_water_mark=MOST_HELD)
        producer = MonitoringProducer(self._monitor.publish, section.monitoring_interval)
        self.hub.producers.append(producer)
        return producer

    def backlog(
        self, consumers: Sequence[tuple[str, Any]], slots: Sequence[FetchSlots], since: float = 0.0
    ) -> list[BacklogThread]:
        """The thread that fetches what consumers have missed while the hub was down; none where nothing is to fetch.

        Args:
            consumers: The name of each consumer of the hub, of whatever kind, and the consumer.
            slots: Where to count for each.
            since: Unix time; what was published before is not to be fetched, for it is in the spool.
        """
        section = self._config.fedmsg
        if not (self._missed and section.backlog_limit):
            return []
        jobs = [
            missed.job(name, counts, since)
            for (name, consumer), counts in zip(consumers, slots)
            for missed in self._missed
            if missed.consumer is consumer
        ]
        datagrepper = Datagrepper(self._fedmsg["datagrepper_url"])
        return [BacklogThread(datagrepper, jobs, age=section.backlog_age, limit=section.backlog_limit)]

    def start(self) -> None:
        """Start the reactor; consumers and producers have been built."""
        self._reactor = ReactorThread(self._stop, pool=len(self.hub.consumers) + len(self.hub.producers))
        self._reactor.start()

    def close(self) -> None:
        """End what was started, and close sockets; consumers and producers have been closed."""
        if self._reactor is not None and not self._reactor.stop(_GRACE):
            logger.warning("a thread of Twisted's does not end")
        if self._monitor is not None:
            self._monitor.close()
