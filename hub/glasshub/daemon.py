# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hub as a process of its own: what it needs of the process that it runs in, and what that does with signals."""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from . import __version__, notify
from .amqp.library import require_pika
from .amqp.settings import AmqpSettings
from .compat.fedmsg_config import FedmsgConfigFiles
from .config import FEDORA_MESSAGING, Config
from .dispatch import PROCESSES
from .hub import Builds, Hub, Left
from .paths import default_stats_directory
from .remote import RemoteRoster
from .roster import Roster
from .sources import Source
from .sources.zmq import ZmqSource

logger = logging.getLogger(__name__)

#: What fedmsg-hub raises its limit of open descriptors to, if it is lower.
_DESCRIPTORS = 4096


def made(
    config: Config,
    fedmsg: FedmsgConfigFiles | None,
    *,
    consumers: Sequence[str],
    producers: Sequence[str] | None,
    broker: AmqpSettings | None = None,
) -> Hub:
    """A hub that can run in this process; the log is set up already.

    Args:
        config: The configuration.
        fedmsg: fedmsg's; None if there is none.
        consumers: Consumers that run instead of all others.
        producers: Producers that run instead of all others; None names none.
        broker: fedora-messaging's configuration; None for a hub on another bus.
    """
    source, callback = _bus(config, broker)
    kind = RemoteRoster if config.hub.shape == PROCESSES else Roster
    return _hub(config, kind(config, fedmsg, only=consumers, producers=producers, callback=callback), source)


def hub_of(config: Config, roster: Builds, broker: AmqpSettings | None) -> Hub:
    """A hub that can run in this process, and whose crew that roster builds; the log is set up already."""
    source, _ = _bus(config, broker)
    return _hub(config, roster, source)


def _hub(config: Config, roster: Builds, source: Source) -> Hub:
    _raise_descriptor_limit()
    directory = Path(config.stats.directory) if config.stats.directory else default_stats_directory()
    notifier = notify.from_environment(os.environ)
    return Hub(config, roster, source, directory=directory, version=__version__, notifier=notifier)


def run(hub: Hub, on_ready: Callable[[], None]) -> list[Left]:
    """Run a hub until it is told to stop, by a signal or otherwise.

    Args:
        hub: The hub.
        on_ready: Called when it runs.

    Returns:
        See `Hub.run`.
    """
    handle_signals = _signal_handlers(hub)
    handle_signals()

    def when_ready() -> None:
        handle_signals()  # the constructor of a consumer may have taken them
        on_ready()

    if sys.stderr is not None:
        faulthandler.enable()  # a watchdog ends a hub that hangs with SIGABRT: this tells what each thread was at
    return hub.run(when_ready)


def leave(code: int) -> int:
    """End the process with that exit code, which is returned if nothing keeps it."""
    # Python would wait for threads that a consumer, or Twisted for it, has started and that do not end.
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logger.warning("threads of consumers do not end: leaving without them")
        logging.shutdown()
        os._exit(code)
    logging.shutdown()
    return code


def _bus(config: Config, broker: AmqpSettings | None) -> tuple[Source, str]:
    """Where messages come from, and the consumer that its configuration names."""
    if config.hub.source != FEDORA_MESSAGING:
        return ZmqSource(config.zmq), ""
    require_pika()
    # Here, for a hub on zeromq needs none.
    from .sources.fedora_messaging import FedoraMessagingSource

    assert broker is not None, "who is on that bus has read where it is"
    return FedoraMessagingSource(config, broker), broker.callback


def _raise_descriptor_limit() -> None:
    """Each publisher costs a descriptor, and fedmsg has many; libzmq leaves one out without a word if there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _signal_handlers(hub: Hub) -> Callable[[], None]:
    """SIGTERM and SIGINT: stop; once more: stop at once; and again: end, whatever hangs. SIGHUP: reopen logs.

    Returns:
        What installs them.
    """
    requests = iter((hub.request_stop, hub.request_abort))

    def stop(number: int, frame: FrameType | None) -> None:
        request = next(requests, None)
        if request is None:
            os._exit(128 + number)
        request()

    def hang_up(number: int, frame: FrameType | None) -> None:
        hub.request_reopen()

    def install() -> None:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, hang_up)

    return install
