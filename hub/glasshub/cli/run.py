# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run`: the daemon."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from .. import __version__, notify
from ..compat.log import set_up_log
from ..config import Config
from ..dispatch import PROCESSES
from ..errors import ConfigError
from ..hub import Hub, Left
from ..paths import default_stats_directory
from ..remote import RemoteRoster
from ..roster import Roster
from ..sources.zmq import ZmqSource
from .options import NO_BUS, Effective, add_options, effective_config

logger = logging.getLogger(__name__)

#: What fedmsg-hub raises its limit of open descriptors to, if it is lower.
_DESCRIPTORS = 4096

#: The hub stopped as it was told to, but messages were left undone; the log says how many of which consumer.
EXIT_LEFT = 4


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run a hub")
    add_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Run a hub until it is told to stop."""
    effective = effective_config(options)
    config = effective.config
    if not config.zmq.endpoints:
        raise ConfigError(NO_BUS)
    # Consumers are looked for where the operator stands, as fedmsg-hub does.
    sys.path.insert(0, os.getcwd())
    set_up_log(config, effective.fedmsg)
    _say_what_is_configured(effective)
    _raise_descriptor_limit()
    directory = Path(config.stats.directory) if config.stats.directory else default_stats_directory()
    kind = RemoteRoster if config.hub.shape == PROCESSES else Roster
    roster = kind(config, effective.fedmsg, only=effective.consumers, producers=effective.producers)
    notifier = notify.from_environment(os.environ)
    hub = Hub(config, roster, ZmqSource(config.zmq), directory=directory, version=__version__, notifier=notifier)
    handle_signals = _signal_handlers(hub)
    handle_signals()

    def on_ready() -> None:
        handle_signals()  # the constructor of a consumer may have taken them
        _say_where(config, hub)

    if sys.stderr is not None:
        faulthandler.enable()  # a watchdog ends a hub that hangs with SIGABRT: this tells what each thread was at
    return _end(hub.run(on_ready))


def _say_what_is_configured(effective: Effective) -> None:
    files = effective.fedmsg
    if files is None:
        return
    origin = effective.config.origins["fedmsg.config"]
    logger.info("fedmsg's configuration: %s (%s)", ", ".join(map(str, files.paths)), origin)
    for warning in files.warnings:
        logger.warning("%s", warning)
    idle = [f"{key} ({origin})" for key, origin in files.without_effect()]
    if idle:
        logger.warning("these keys of fedmsg's configuration have no effect here: %s", ", ".join(idle))


def _raise_descriptor_limit() -> None:
    """Each publisher costs a descriptor, and fedmsg has many; libzmq leaves one out without a word if there is none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _say_where(config: Config, hub: Hub) -> None:
    logger.info(
        "hub %s runs: shape %s, pid %d, stats in %s, socket %s",
        config.hub.name,
        config.hub.shape,
        os.getpid(),
        hub.segment_path,
        hub.socket_path,
    )


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


def _end(left: list[Left]) -> int:
    code = EXIT_LEFT if left else 0
    # Python would wait for threads that a consumer, or Twisted for it, has started and that do not end.
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        logger.warning("threads of consumers do not end: leaving without them")
        logging.shutdown()
        os._exit(code)
    logging.shutdown()
    return code
