# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub bridge`: passes messages on from one kind of bus to the other, each one once, and none back.

A bridge is a hub with one consumer: `glasshub stats`, `top` and `check`, collectd, [spool], signals and the service
manager know no difference. docs/bridge.md tells what it promises.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import daemon
from ..amqp.library import require_pika
from ..config import DEFAULT, FEDORA_MESSAGING, TO_FEDMSG, TO_FEDORA_MESSAGING, ZMQ, ConfigBuilder
from ..dispatch import THREADS
from ..errors import ConfigError
from .broker import add_broker, read_broker
from .options import (
    NO_BUS,
    Effective,
    add_config_file,
    add_place_of_fedmsgs,
    add_stats_directory,
    read_files,
    set_given,
)
from .run import serve

#: Where each direction has its configuration, and what it is called, if nobody says otherwise.
_DIRECTORY = Path("/etc/glasshub")
_NAME = "bridge-{}"

#: Why a bridge to fedmsg without endpoints does not run.
_NOWHERE = (
    "there is nowhere to publish: name an endpoint to bind with --zmq tcp://*:9940, or in [zmq] publish_endpoints"
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bridge", help="pass messages on from one kind of bus to the other", description=__doc__
    )
    directions = parser.add_subparsers(required=True, metavar="DIRECTION")
    _add(
        directions,
        TO_FEDORA_MESSAGING,
        "from fedmsg over zeromq to fedora-messaging's RabbitMQ",
        zmq="publisher to subscribe to; may be repeated",
        broker="where to publish",
    )
    _add(
        directions,
        TO_FEDMSG,
        "from fedora-messaging's RabbitMQ to fedmsg over zeromq",
        zmq="where to publish: it is bound; may be repeated",
        broker="the broker to subscribe to",
    )


def _add(
    directions: argparse._SubParsersAction[argparse.ArgumentParser],
    direction: str,
    help_text: str,
    *,
    zmq: str,
    broker: str,
) -> None:
    parser = directions.add_parser(direction, help=help_text, description=f"Passes messages on {help_text}.")
    parser.set_defaults(func=run, direction=direction)
    add_config_file(parser, _default_file(direction))
    parser.add_argument("--name", metavar="NAME", help=f"name of the hub (default: {_NAME.format(direction)})")
    parser.add_argument("--zmq", metavar="ENDPOINT", action="append", default=[], help=zmq)
    says = f"fedora-messaging's configuration, which says {broker} (default: where fedora-messaging looks for it)"
    add_broker(parser, says)
    parser.add_argument(
        "--topic",
        metavar="PREFIX",
        action="append",
        default=[],
        help="pass on only topics that begin so; may be repeated",
    )
    add_stats_directory(parser)
    add_place_of_fedmsgs(parser.add_argument_group("fedmsg's configuration"))


def run(options: argparse.Namespace) -> int:
    """Run a bridge until it is told to stop."""
    effective, idle = _effective(options)
    config, files = effective.config, effective.fedmsg
    require_pika()
    # Here, for who asks for help needs none.
    from ..bridge import BridgeRoster

    assert effective.broker is not None
    fedmsg = None if files is None else files.hub_config(config.zmq)
    roster = BridgeRoster(options.direction, config, effective.broker, fedmsg)
    return serve(effective, lambda: daemon.hub_of(config, roster, effective.broker), idle=idle)


def _effective(options: argparse.Namespace) -> tuple[Effective, list[tuple[str, str]]]:
    """What is configured; and keys of ours that do nothing in a bridge, each with where it came from."""
    # What fedmsg's configuration says of its bus counts in both directions.
    builder, files = read_files(options, _default_file(options.direction), source=ZMQ)
    is_to_fedmsg = options.direction == TO_FEDMSG
    set_given(
        builder,
        ("hub", "name", options.name, "--name"),
        ("fedora-messaging", "config", options.fedora_messaging or None, "--fedora-messaging"),
        ("zmq", "publish_endpoints" if is_to_fedmsg else "endpoints", options.zmq or None, "--zmq"),
        ("bridge", "topics", options.topic or None, "--topic"),
        ("stats", "directory", options.stats_dir, "--stats-dir"),
    )
    if builder.origin("hub", "name") == DEFAULT:
        builder.set("hub", "name", _NAME.format(options.direction), origin=DEFAULT)
    _set_source(builder, FEDORA_MESSAGING if is_to_fedmsg else ZMQ, options.direction)
    shape = builder.origin("hub", "shape")  # fedmsg's moksha.blocking_mode sets it, too
    builder.set("hub", "shape", THREADS, origin=DEFAULT)
    broker = read_broker(builder, allow_unsafe=options.allow_unsafe_config)
    config = builder.build()
    if not (config.zmq.publish_endpoints if is_to_fedmsg else config.zmq.endpoints):
        raise ConfigError(_NOWHERE if is_to_fedmsg else NO_BUS)
    return Effective(config, files, [], [], broker), [] if shape == DEFAULT else [("hub.shape", shape)]


def _set_source(builder: ConfigBuilder, source: str, direction: str) -> None:
    origin, found = builder.origin("hub", "source"), builder.get("hub", "source")
    if origin != DEFAULT and found != source:
        raise ConfigError(
            f"hub.source = {found!r} is not for a bridge {direction}, which has {source!r}: leave it out", origin=origin
        )
    builder.set("hub", "source", source, origin=DEFAULT)


def _default_file(direction: str) -> Path:
    return _DIRECTORY / f"{_NAME.format(direction)}.toml"
