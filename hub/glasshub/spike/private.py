# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a private hub runs: an operator's own consumers, and nothing that it shares with the hub that they are in."""

from __future__ import annotations

import base64
import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..compat.fedmsg_config import FedmsgConfigFiles
from ..config import ZMQ, Config

#: The hub's name.
HUB = "spike"

#: Seconds that it has for the end, if it has not caught up before.
_DRAIN = 2.0

_ORIGIN = "glasshub spike"


@dataclass(frozen=True)
class Brief:
    """What a private hub runs.

    Attributes:
        config: Its configuration.
        fedmsg: fedmsg's; None if there is none.
        consumers: Consumers that run instead of all others.
        producers: Producers that run.
    """

    config: Config
    fedmsg: FedmsgConfigFiles | None
    consumers: Sequence[str]
    producers: Sequence[str]

    def as_line(self) -> str:
        """How a process is told."""
        return base64.b64encode(pickle.dumps(self)).decode("ascii")


def private(brief: Brief, *, shape: str, directory: Path, endpoint: str, is_made_up: bool) -> Brief:
    """The same consumers in a hub that has nothing in common with the one that runs: its bus, segment, socket, spool
    and status files are its own, and it fetches nothing.

    Args:
        brief: What would run by the operator's configuration.
        shape: Shape of dispatch.
        directory: Where all that it leaves is; it has a short path, for sockets.
        endpoint: The bus.
        is_made_up: Whether the messages are, so that nobody can have signed them.
    """
    config = brief.config
    own = replace(
        config,
        hub=replace(config.hub, name=HUB, source=ZMQ, shape=shape, drain_timeout=_DRAIN),
        zmq=replace(
            config.zmq, endpoints=(endpoint,), method="connect", publish_endpoints=(f"ipc://{directory}/published",)
        ),
        spool=replace(config.spool, directory=str(directory / "spool") if config.spool.directory else ""),
        stats=replace(config.stats, directory=str(directory), group=""),
        logging=replace(config.logging, file=""),
        fedmsg=replace(config.fedmsg, monitoring_socket="", backlog_limit=0, datagrepper_url=""),
    )
    return replace(brief, config=own, fedmsg=_private_fedmsg(brief.fedmsg, directory, is_made_up=is_made_up))


def _private_fedmsg(files: FedmsgConfigFiles | None, directory: Path, *, is_made_up: bool) -> FedmsgConfigFiles | None:
    if files is None:
        return None
    own = copy.copy(files)
    own.values, own.origins = dict(files.values), dict(files.origins)
    own.values.pop("logging", None)  # its handlers may write to the files of the hub that runs
    for key in ("datagrepper_url", "moksha.monitoring.socket"):
        own.values.pop(key, None)
    if "status_directory" in own.values:
        own.set("status_directory", str(directory / "status"), origin=_ORIGIN)
    if is_made_up:
        own.set("validate_signatures", False, origin=_ORIGIN)
    return own
