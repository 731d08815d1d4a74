# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run`: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from .. import daemon
from ..compat.fedmsg_config import FedmsgConfigFiles
from ..compat.log import set_up_log
from ..config import ZMQ, Config, without_effect
from ..errors import ConfigError
from ..hub import Hub
from . import broker
from .options import NO_BUS, Effective, add_options, effective_config

logger = logging.getLogger(__name__)

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
    if config.hub.source == ZMQ and not config.zmq.endpoints:
        raise ConfigError(NO_BUS)
    # Consumers are looked for where the operator stands, as fedmsg-hub does.
    sys.path.insert(0, os.getcwd())
    return serve(
        effective,
        lambda: daemon.made(
            config,
            effective.fedmsg,
            consumers=effective.consumers,
            producers=effective.producers,
            broker=effective.broker,
        ),
        idle=without_effect(config),
    )


def serve(effective: Effective, make: Callable[[], Hub], *, idle: Sequence[tuple[str, str]] = ()) -> int:
    """Run a hub until it is told to stop.

    Args:
        effective: What is configured.
        make: Makes the hub, once the log is set up.
        idle: Keys of ours that do nothing, each with where it came from.

    Returns:
        The exit code.
    """
    config = effective.config
    set_up_log(config, effective.fedmsg)
    _say_what_is_configured(effective)
    _warn("the configuration", [f"{key} ({origin})" for key, origin in idle])
    hub = make()
    left = daemon.run(hub, lambda: _say_where(config, hub))
    return daemon.leave(hub.exit_code or (EXIT_LEFT if left else 0))


def _say_what_is_configured(effective: Effective) -> None:
    config = effective.config
    if effective.fedmsg is not None:
        _say_what_fedmsg_says(effective.fedmsg, config.origins["fedmsg.config"])
    if effective.broker is not None:
        logger.info("%s", broker.summary(effective.broker, config))
        idle = broker.without_effect(effective.broker, config)
        _warn("fedora-messaging's configuration", [f"{key} ({reason})" for key, reason in idle.items()])


def _say_what_fedmsg_says(files: FedmsgConfigFiles, origin: str) -> None:
    logger.info("fedmsg's configuration: %s (%s)", ", ".join(map(str, files.paths)), origin)
    for warning in files.warnings:
        logger.warning("%s", warning)
    _warn("fedmsg's configuration", [f"{key} ({origin})" for key, origin in files.without_effect()])


def _warn(configuration: str, idle: list[str]) -> None:
    if idle:
        logger.warning("these keys of %s have no effect here: %s", configuration, ", ".join(idle))


def _say_where(config: Config, hub: Hub) -> None:
    logger.info(
        "hub %s runs: shape %s, pid %d, stats in %s, socket %s",
        config.hub.name,
        config.hub.shape,
        os.getpid(),
        hub.segment_path,
        hub.socket_path,
    )
