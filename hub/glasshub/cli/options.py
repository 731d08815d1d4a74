# SPDX-License-Identifier: LGPL-2.1-or-later
"""The options that `run` and `config` share, and the configuration that they make together with the files."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..compat.fedmsg_config import FedmsgConfigFiles
from ..config import Config, ConfigBuilder
from ..dispatch import SHAPES
from ..errors import ConfigError

#: Read when no --config is given and it is there.
DEFAULT_FILE = Path("/etc/glasshub/glasshub.toml")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options."""
    parser.add_argument("--config", metavar="FILE", help=f"configuration (default: {DEFAULT_FILE}, if it is there)")
    parser.add_argument("--fedmsg-config", metavar="PATH", help="fedmsg's configuration: a file, or /etc/fedmsg.d")
    parser.add_argument("--name", metavar="NAME", help="name of the hub")
    parser.add_argument(
        "--zmq", metavar="ENDPOINT", action="append", default=[], help="publisher to subscribe to; may be repeated"
    )
    named = parser.add_mutually_exclusive_group()
    named.add_argument("--with-consumers", metavar="A:B,C:D", default="", help="run exactly these consumers")
    named.add_argument(
        "--consumer", metavar="A:B", action="append", default=[], help="run exactly this consumer; may be repeated"
    )
    parser.add_argument("--shape", metavar="SHAPE", help=f"shape of dispatch: {', '.join(SHAPES)}")
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segment and its socket stand")


def named_consumers(options: argparse.Namespace) -> list[str]:
    """The consumers that the command line names."""
    listed = [location.strip() for location in options.with_consumers.split(",")]
    return [*(location for location in listed if location), *options.consumer]


def effective_config(options: argparse.Namespace) -> Config:
    """The configuration: defaults, under fedmsg's, under glasshub.toml, under the command line.

    Raises:
        ConfigError: Something in it is wrong.
    """
    file = _file(options)
    builder = ConfigBuilder()
    fedmsg_path, origin = options.fedmsg_config, "--fedmsg-config"
    if file is not None:
        builder.read_toml(file)
        if fedmsg_path is None:
            fedmsg_path, origin = builder.get("fedmsg", "config"), builder.origin("fedmsg", "config")
    if fedmsg_path:
        builder = ConfigBuilder()
        FedmsgConfigFiles(Path(fedmsg_path)).apply(builder)
        if file is not None:
            builder.read_toml(file)
        builder.set("fedmsg", "config", fedmsg_path, origin=origin)
    for section, key, value, option in (
        ("hub", "name", options.name, "--name"),
        ("hub", "shape", options.shape, "--shape"),
        ("zmq", "endpoints", options.zmq or None, "--zmq"),
        ("stats", "directory", options.stats_dir, "--stats-dir"),
    ):
        if value is not None:
            builder.set(section, key, value, origin=option)
    return builder.build()


def _file(options: argparse.Namespace) -> Path | None:
    if options.config is not None:
        path = Path(options.config)
        if not path.is_file():
            raise ConfigError(f"there is no configuration file {options.config!r}", origin="--config")
        return path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
