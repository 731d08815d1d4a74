# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub record`: what comes on a bus, as JSON lines that `glasshub spike` can replay."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..compat.fedmsg_config import FedmsgConfigFiles, find_config
from ..config import ConfigBuilder, ZmqSection
from ..errors import ConfigError
from .numbers import above_zero, count
from .terminal import to_stderr

if TYPE_CHECKING:
    from ..spike.recorder import Tally

#: Nothing can be recorded where no endpoint has ever answered.
EXIT_NOTHING = 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "record",
        help="write down what comes on a bus",
        description="Write what comes on a bus to standard output, one JSON object a line, until there is enough or "
        "Ctrl-C is pressed. `glasshub spike` replays it.",
    )
    parser.add_argument("endpoints", nargs="*", metavar="ENDPOINT", help="publisher, such as tcp://127.0.0.1:9940")
    parser.add_argument(
        "--from-fedmsg-config",
        nargs="?",
        const="",
        metavar="PATH",
        help="the endpoints of fedmsg's configuration (default: where fedmsg-hub looks for it)",
    )
    parser.add_argument(
        "--allow-unsafe-config", action="store_true", help="read configuration that anybody could have written"
    )
    parser.add_argument(
        "--topic", metavar="PREFIX", action="append", default=[], help="only topics that begin so; may be repeated"
    )
    parser.add_argument("--seconds", type=above_zero, default=0.0, metavar="N", help="stop after so many seconds")
    parser.add_argument("--messages", type=count, default=0, metavar="N", help="stop after so many messages")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Record."""
    # Not at the top: no other command shall pay for it.
    from ..load.processes import Interrupt
    from ..load.recording import RecordingWriter
    from ..sources.zmq import ZmqSource
    from ..spike.recorder import Recorder

    section = _bus(options)
    to_stderr(f"glasshub: recording from {_listed(section.endpoints)}; Ctrl-C ends it")
    writer = RecordingWriter(sys.stdout, begun=time.time(), endpoints=section.endpoints)
    with Interrupt() as interrupt:
        tally = Recorder(ZmqSource(section), writer).run(
            options.topic or [""],
            messages=options.messages,
            seconds=options.seconds,
            has_to_end=lambda: interrupt.is_requested,
        )
    to_stderr(f"glasshub: {_summary(tally)}")
    return 0 if tally.messages or tally.connected else EXIT_NOTHING


def _bus(options: argparse.Namespace) -> ZmqSection:
    """Where to listen, for as many messages as memory holds: what zeromq drops nobody can count."""
    section = ZmqSection()
    if options.from_fedmsg_config is not None:
        section = _configured(options.from_fedmsg_config, allow_unsafe=options.allow_unsafe_config)
    endpoints = tuple(dict.fromkeys([*options.endpoints, *section.endpoints]))
    if not endpoints:
        raise ConfigError(
            "there is no bus to record: name a publisher such as tcp://host:9940, or give --from-fedmsg-config"
        )
    return replace(section, endpoints=endpoints, method="connect", receive_high_water_mark=0)


def _configured(path: str, *, allow_unsafe: bool) -> ZmqSection:
    paths = [Path(path)] if path else find_config().paths
    if not paths:
        raise ConfigError("there is no configuration of fedmsg here: name it", origin="--from-fedmsg-config")
    builder = ConfigBuilder()
    FedmsgConfigFiles(*paths, allow_unsafe=allow_unsafe).apply(builder)
    section = builder.build().zmq
    if section.method == "bind":
        raise ConfigError(
            "publishers connect to this hub, so that there is nothing to listen to: name an endpoint of theirs",
            origin="--from-fedmsg-config",
        )
    return section


def _summary(tally: Tally) -> str:
    said = [
        f"{tally.messages:,} messages in {tally.seconds:.1f} s",
        f"{tally.connected} of {tally.endpoints} endpoints connected at the end",
    ]
    if tally.malformed:
        said.append(f"{tally.malformed:,} malformed ones left out")
    if tally.gaps:
        said.append(f"{tally.gaps} possible gaps, each a line of the recording")
    return "; ".join(said)


def _listed(endpoints: tuple[str, ...], most: int = 3) -> str:
    more = len(endpoints) - most
    return ", ".join(endpoints[:most]) + (f" and {more} more" if more > 0 else "")
