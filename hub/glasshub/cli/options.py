# SPDX-License-Identifier: LGPL-2.1-or-later
"""The options that `run` and `config` share, and the configuration that they make together with the files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..amqp.settings import AmqpSettings
from ..compat.fedmsg_config import FedmsgConfigFiles, Place, find_config
from ..compat.services import SERVICES, Service
from ..config import DEFAULT, FEDORA_MESSAGING, Config, ConfigBuilder
from ..dispatch import SHAPES
from ..errors import ConfigError
from ..paths import DEFAULT_FILE
from ..trust import refuse_unsafe
from .broker import NAMED_BROKER, add_broker, read_broker

#: Why a hub without endpoints does not run.
NO_BUS = (
    "there is no bus to subscribe to: name a publisher with --zmq tcp://host:port, in [zmq] endpoints, "
    "or in the endpoints of fedmsg's configuration"
)

#: fedmsg-hub's options that set a key of fedmsg's configuration: the key, how it is read, and what it is.
_FEDMSGS = (
    ("--topic-prefix", "topic_prefix", str, "prefix of the topics that consumers publish"),
    ("--io-threads", "io_threads", int, "zeromq's threads for fedmsg.publish"),
    ("--post-init-sleep", "post_init_sleep", float, "seconds that fedmsg.publish sleeps before it publishes first"),
    ("--timeout", "timeout", float, "seconds that fedmsg's own operations take at the most"),
    ("--high-water-mark", "high_water_mark", int, "messages that zeromq holds; 0 says nothing"),
    ("--linger", "zmq_linger", int, "milliseconds that fedmsg.publish takes to get rid of messages at the end"),
)


@dataclass(frozen=True)
class Effective:
    """What the command line and the files say together.

    Attributes:
        config: The configuration.
        fedmsg: fedmsg's configuration; None if there is none.
        consumers: The consumers that run instead of all others; empty if none are named.
        producers: The producers that run instead of all others, which may be none at all; None if nobody says so.
        broker: fedora-messaging's configuration; None on another bus.
    """

    config: Config
    fedmsg: FedmsgConfigFiles | None
    consumers: list[str]
    producers: list[str] | None
    broker: AmqpSettings | None


def add_file(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options that say which hub it is about."""
    add_config_file(parser, DEFAULT_FILE)
    parser.add_argument("--name", metavar="NAME", help="name of the hub")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options."""
    add_file(parser)
    parser.add_argument(
        "--zmq", metavar="ENDPOINT", action="append", default=[], help="publisher to subscribe to; may be repeated"
    )
    add_broker(parser, f"subscribe to {NAMED_BROKER}")
    parser.add_argument("--shape", metavar="SHAPE", help=f"shape of dispatch: {', '.join(SHAPES)}")
    add_stats_directory(parser)
    _add_choice_of_consumers(parser.add_argument_group("what runs"))
    _add_fedmsgs(parser.add_argument_group("fedmsg's configuration, as fedmsg-hub has it"))


def add_config_file(parser: argparse.ArgumentParser, default: Path) -> None:
    """Give a parser the options that name our file, which is `default` if nobody does."""
    parser.add_argument("--config", metavar="FILE", help=f"configuration (default: {default}, if it is there)")
    parser.add_argument(
        "--allow-unsafe-config", action="store_true", help="read configuration that anybody could have written"
    )


def add_stats_directory(parser: argparse.ArgumentParser) -> None:
    """Give a parser the option."""
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segment and its socket stand")


def add_place_of_fedmsgs(group: argparse._ArgumentGroup) -> None:
    """Give a group the options that name fedmsg's configuration."""
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--fedmsg-config", metavar="PATH", help="a file, or a directory (default: where fedmsg-hub looks for it)"
    )
    where.add_argument("--config-filename", metavar="FILE", help="the same, a file only")
    group.add_argument("--no-discover", action="store_true", help="do not look for it")


def _add_choice_of_consumers(group: argparse._ArgumentGroup) -> None:
    named = group.add_mutually_exclusive_group()
    named.add_argument(
        "--with-consumers", metavar="A:B,C:D", default="", help="run exactly these consumers, as fedmsg-hub does"
    )
    named.add_argument(
        "--consumer",
        metavar="A:B",
        action="append",
        default=[],
        help="run exactly this consumer, and no producers; may be repeated",
    )
    named.add_argument(
        "--service", choices=SERVICES, help="be fedmsg-relay, fedmsg-signing-relay, fedmsg-gateway or fedmsg-irc"
    )
    group.add_argument(
        "--with-producers", metavar="A:B,C:D", help="run exactly these producers; none at all, if it is empty"
    )


def _add_fedmsgs(group: argparse._ArgumentGroup) -> None:
    add_place_of_fedmsgs(group)
    for option, key, kind, text in _FEDMSGS:
        group.add_argument(option, dest=key, metavar=key.rpartition("_")[2].upper(), type=kind, help=text)
    group.add_argument("--websocket-server-port", metavar="PORT", help="refused: this hub has no server for websockets")


def config_of_run(**options: Any) -> Effective:
    """What a hub would make of these options, and of the files, if it ran.

    Raises:
        ConfigError: Something in it is wrong.
    """
    parser = argparse.ArgumentParser()
    add_options(parser)
    return effective_config(argparse.Namespace(**{**vars(parser.parse_args([])), **options}))


def named_consumers(options: argparse.Namespace) -> list[str]:
    """The consumers that the command line names."""
    if options.service:
        return [SERVICES[options.service].consumer]
    return [*_listed(options.with_consumers), *options.consumer]


def named_producers(options: argparse.Namespace) -> list[str] | None:
    """The producers that the command line names, which may be none at all; None if it does not say.

    fedmsg-hub runs the producers that are installed beside the consumers of --with-consumers; who names one consumer
    with our own --consumer wants nothing else.
    """
    if options.with_producers is not None:
        return _listed(options.with_producers)
    if options.consumer:
        return []
    producers = SERVICES[options.service].producers if options.service else None
    return None if producers is None else list(producers)


def effective_config(options: argparse.Namespace) -> Effective:
    """Put it together: defaults, under fedmsg's, under glasshub.toml, under the command line.

    Raises:
        ConfigError: Something in it is wrong.
    """
    if options.websocket_server_port is not None:
        raise ConfigError(
            "this hub has no server for websockets: leave the option out", origin="--websocket-server-port"
        )
    service = _service(options)
    source = None if options.fedora_messaging is None else FEDORA_MESSAGING
    builder, files = read_files(options, DEFAULT_FILE, source=source, fedmsgs=_fedmsgs(options))
    if files is None:
        _refuse_fedmsgs(options, service)
    if service is not None and files is not None:
        service.apply(files, builder, origin=f"--service {options.service}")
    _set_options(builder, options)
    is_on_broker = builder.get("hub", "source") == FEDORA_MESSAGING
    broker = read_broker(builder, allow_unsafe=options.allow_unsafe_config) if is_on_broker else None
    _set_monitoring(builder, broker)
    consumers = named_consumers(options) or (files.consumers() if files else [])
    config = builder.build()
    _refuse_unknown_shape(config)
    return Effective(config, files, consumers, named_producers(options), broker)


def read_files(
    options: argparse.Namespace,
    default: Path,
    *,
    source: str | None,
    fedmsgs: Sequence[tuple[str, Any, str]] = (),
) -> tuple[ConfigBuilder, FedmsgConfigFiles | None]:
    """What the files say: ours, and below it fedmsg's, if there are any.

    Args:
        options: What names them, see `add_config_file` and `add_place_of_fedmsgs`.
        default: Our file, if none is named and this one is there.
        source: The bus of the hub; None where our file says it. On another one than fedmsg's nothing counts that
            fedmsg's configuration says of the bus.
        fedmsgs: What the command line says over fedmsg's: key, value, option.

    Raises:
        ConfigError: A file cannot be read, or something in it is wrong.
    """
    builder = _with_file(ConfigBuilder(), options, default)
    place = _place(options, builder)
    if not place.paths:
        return builder, None
    files = FedmsgConfigFiles(*place.paths, allow_unsafe=options.allow_unsafe_config)
    for key, value, option in fedmsgs:
        files.set(key, value, origin=option)
    is_on_zmq = (source or builder.get("hub", "source")) != FEDORA_MESSAGING
    builder = ConfigBuilder()
    files.apply(builder, is_on_zmq=is_on_zmq)
    _with_file(builder, options, default)
    builder.set("fedmsg", "config", [str(path) for path in place.paths], origin=place.origin)
    return builder, files


def _refuse_unknown_shape(config: Config) -> None:
    if config.hub.shape not in SHAPES:
        raise ConfigError(
            f"hub.shape = {config.hub.shape!r} must be one of {', '.join(SHAPES)}",
            origin=config.origins.get("hub.shape", DEFAULT),
        )


def _service(options: argparse.Namespace) -> Service | None:
    if options.service is None:
        return None
    if options.with_producers is not None:
        raise ConfigError(f"--service {options.service} has producers of its own", origin="--with-producers")
    return SERVICES[options.service]


def _with_file(builder: ConfigBuilder, options: argparse.Namespace, default: Path) -> ConfigBuilder:
    """The builder, with what our file says."""
    file = _file(options, default)
    if file is not None:
        if not options.allow_unsafe_config:
            refuse_unsafe(file)
        builder.read_toml(file)
    return builder


def _file(options: argparse.Namespace, default: Path) -> Path | None:
    if options.config is not None:
        path = Path(options.config)
        if not _is_file(path, "--config"):
            raise ConfigError(f"there is no configuration file {options.config!r}", origin="--config")
        return path
    return default if _is_file(default, str(default)) else None


def _is_file(path: Path, origin: str) -> bool:
    """Whether it is there.

    Raises:
        ConfigError: That is not for us to know.
    """
    try:
        return path.is_file()
    except PermissionError as error:
        raise ConfigError("cannot look for it: permission denied", origin=origin) from error


def _place(options: argparse.Namespace, builder: ConfigBuilder) -> Place:
    """Where fedmsg's configuration is: what names it comes first, then what finds it."""
    if options.fedmsg_config:
        return Place((Path(options.fedmsg_config),), "--fedmsg-config")
    if options.config_filename:
        path = Path(options.config_filename)
        if not _is_file(path, "--config-filename"):
            raise ConfigError(f"there is no file {options.config_filename!r}", origin="--config-filename")
        return Place((path,), "--config-filename")
    named = builder.get("fedmsg", "config")
    if named or options.no_discover or not builder.get("fedmsg", "discover"):
        return Place(tuple(map(Path, named)), builder.origin("fedmsg", "config"))
    return find_config()


def _fedmsgs(options: argparse.Namespace) -> list[tuple[str, Any, str]]:
    """What the command line says over fedmsg's configuration: key, value, option."""
    given = [(key, getattr(options, key), option) for option, key, _, _ in _FEDMSGS]
    return [(key, value, option) for key, value, option in given if value is not None]


def _refuse_fedmsgs(options: argparse.Namespace, service: Service | None) -> None:
    """Refuse what would be lost without fedmsg's configuration."""
    given = [option for _, _, option in _fedmsgs(options)]
    if service is not None:
        given.append("--service")
    if given:
        raise ConfigError(
            "this belongs to fedmsg's configuration, and there is none: name it with --fedmsg-config /etc/fedmsg.d",
            origin=given[0],
        )


def _set_options(builder: ConfigBuilder, options: argparse.Namespace) -> None:
    broker = options.fedora_messaging
    set_given(
        builder,
        ("hub", "name", options.name, "--name"),
        ("hub", "shape", options.shape, "--shape"),
        ("hub", "source", None if broker is None else FEDORA_MESSAGING, "--fedora-messaging"),
        ("fedora-messaging", "config", broker or None, "--fedora-messaging"),
        ("zmq", "endpoints", options.zmq or None, "--zmq"),
        ("zmq", "receive_high_water_mark", options.high_water_mark or None, "--high-water-mark"),
        ("stats", "directory", options.stats_dir, "--stats-dir"),
        ("fedmsg", "discover", False if options.no_discover else None, "--no-discover"),
    )


def set_given(builder: ConfigBuilder, *values: tuple[str, str, Any, str]) -> None:
    """Set what the command line says: section, key, value, option; None is what it does not say."""
    for section, key, value, option in values:
        if value is not None:
            builder.set(section, key, value, origin=option)


def _set_monitoring(builder: ConfigBuilder, broker: AmqpSettings | None) -> None:
    """Where we say nothing of a port for health checks, fedora-messaging's configuration may."""
    if broker is None or builder.origin("stats", "port") != DEFAULT:
        return
    for key in ("port", "address"):
        if key in broker.monitoring and builder.origin("stats", key) == DEFAULT:
            builder.set("stats", key, broker.monitoring[key], origin=f"[monitoring] in {broker.path}")


def _listed(commas: str) -> list[str]:
    return [location.strip() for location in commas.split(",") if location.strip()]
