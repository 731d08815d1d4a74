# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a demo is going to do, and the configuration of the hub that it does it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..consumer import Consumer
from ..load.schedule import SPIKE
from ..toml import as_toml
from .consumers import Badges, Datanommer, IrcBot, Notifications
from .rules import RULES, depth_for

#: The hub's name.
HUB = "demo"

#: In the order of the post. Each is called by the name of its class.
CONSUMERS: tuple[type[Consumer], ...] = (Datanommer, IrcBot, Badges, Notifications)

#: Seconds of CPU that a message costs. With them, one thread that runs Python can serve about 80 messages a second:
#: less than the spike brings, and enough for the whole of it in less than a minute.
_BADGES_WORK = 0.008
_NOTIFICATIONS_WORK = 0.0025

#: Seconds that a hub has for the end, if it has not caught up before.
_DRAIN = 2.0


@dataclass(frozen=True)
class Plan:
    """One demo.

    Attributes:
        shapes: Shapes of dispatch, one run each.
        rate: Messages a second in the spike.
        seconds: Length of the spike.
        output: Directory that keeps what the demo leaves.
        wants_collectd: Whether collectd is to be run.
        quiet: Seconds of a quiet bus before the spike, and after everybody has caught up.
        patience: Seconds after the spike that the consumers are given to catch up.
    """

    shapes: tuple[str, ...]
    rate: float
    seconds: float
    output: Path
    wants_collectd: bool = True
    quiet: float = 4.0
    patience: float = 120.0

    command: ClassVar[str] = "demo"
    kind: ClassVar[str] = SPIKE
    quietly: ClassVar[str] = "4 messages a minute"

    @property
    def load(self) -> str:
        """See `load.live.Plan`."""
        return f"{self.rate:g}/s"


@dataclass(frozen=True)
class Work:
    """How much the consumers have to do: conditions of each rule, so that it is as much on a fast machine as on a
    slow one."""

    badges: int
    notifications: int


def measured_work() -> Work:
    """The work that is right for this machine; takes about a second."""
    return Work(badges=depth_for(_BADGES_WORK), notifications=depth_for(_NOTIFICATIONS_WORK))


def hub_toml(
    *, shape: str, endpoint: str, stats: Path, databases: Path, log: Path, irc: str, push: str, work: Work
) -> str:
    """The text of the hub's `glasshub.toml`.

    Args:
        shape: Shape of dispatch.
        endpoint: The bus.
        stats: Directory of segment and socket.
        databases: Directory of the consumers' databases.
        log: The hub's log.
        irc: Address of the IRC server.
        push: Address of the push service.
        work: See `Work`.
    """
    settings: dict[str, dict[str, Any]] = {
        "Datanommer": {"database": str(databases / "datanommer.sqlite")},
        "IrcBot": {"server": irc, "lines_per_second": 30, "burst": 10},
        "Badges": {"database": str(databases / "badges.sqlite"), "rules": RULES, "depth": work.badges},
        "Notifications": {"server": push, "rules": RULES, "depth": work.notifications},
    }
    tables: dict[str, dict[str, Any]] = {
        "hub": {"name": HUB, "shape": shape, "drain_timeout": _DRAIN, "entry_points": False},
        "zmq": {"endpoints": [endpoint]},
        "stats": {"directory": str(stats)},
        "logging": {"file": str(log)},
        "fedmsg": {"discover": False},
    }
    for consumer in CONSUMERS:
        name = consumer.__name__
        location = f"{consumer.__module__}:{name}"
        tables[f"consumers.{name}"] = {"class": location, "settings": settings[name]}
    return "\n".join(f"[{name}]\n{_lines(table)}" for name, table in tables.items())


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {as_toml(value)}\n" for key, value in table.items())
