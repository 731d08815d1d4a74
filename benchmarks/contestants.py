# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared with what: each receives the same messages, and its consumers keep tallies."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from .processes import WARM_UP, Child, Publisher, scratch, wait_for
from .tallies import DIRECTORY, MESSAGES, path_of


class Contestant(Protocol):
    """Something that receives messages."""

    @property
    def tallies(self) -> Sequence[str]:
        """Names of the tallies that it writes."""

    def command(self, endpoint: str, directory: Path) -> list[str]:
        """The module to run, and its arguments."""


class Raw:
    """A bare loop, see `benchmarks.raw`."""

    tallies = ("raw",)

    def __init__(self, decodes: int, kind: str = "Noop") -> None:
        self._arguments = [str(decodes), kind]

    def command(self, endpoint: str, directory: Path) -> list[str]:
        """See `Contestant`."""
        return ["benchmarks.raw", endpoint, *self._arguments]


class Glasshub:
    """`glasshub run`."""

    def __init__(
        self,
        consumers: Sequence[str],
        *,
        shape: str = "threads",
        kind: str = "consumers",
        has_spool: bool = False,
        is_apart: bool = False,
    ) -> None:
        """Take the names of classes in a module of ours.

        Args:
            consumers: The names.
            shape: The shape of dispatch.
            kind: The module.
            has_spool: Whether the backlog is on disk.
            is_apart: Whether each consumer has a worker process for itself, and not one for all of them.
        """
        self.tallies = consumers
        self._shape = shape
        self._has_spool = has_spool
        self._is_apart = is_apart
        self._kind = kind

    def command(self, endpoint: str, directory: Path) -> list[str]:
        """See `Contestant`."""
        named = [word for name in self.tallies for word in ("--consumer", f"benchmarks.{self._kind}:{name}")]
        fedmsg = ["--fedmsg-config", str(fedmsg_config(directory))] if self._kind == "fedmsg_consumers" else []
        config = directory / "glasshub.toml"
        # Lest the machine's own configuration counts.
        spool = f'[spool]\ndirectory = "{directory}/spool"\n' if self._has_spool else ""
        sections = [self._section(name) for name in self.tallies]
        config.write_text("\n".join(["[fedmsg]\ndiscover = false\n", spool, *sections]), encoding="utf-8")
        settings = ["--shape", self._shape, "--config", str(config), "--zmq", endpoint, "--stats-dir", str(directory)]
        return ["glasshub", "run", *settings, *fedmsg, *named]

    def _section(self, name: str) -> str:
        process = name if self._is_apart else ""
        return f'[consumers.{name}]\nclass = "benchmarks.{self._kind}:{name}"\nprocess = "{process}"\n'


class FedmsgHub:
    """fedmsg-hub.

    All its consumers have the same topic, which is the kindest to it: it opens a socket for each topic.
    """

    def __init__(self, consumers: Sequence[str]) -> None:
        """Take the names of classes in `benchmarks.fedmsg_consumers`."""
        self.tallies = consumers

    def command(self, endpoint: str, directory: Path) -> list[str]:
        """See `Contestant`."""
        config = fedmsg_config(directory, endpoint)
        return ["benchmarks.fedmsg_hub", str(config), *(f"benchmarks.fedmsg_consumers:{name}" for name in self.tallies)]


class Run(NamedTuple):
    """What became of some messages.

    Attributes:
        seconds: From the moment at which the first was published to the moment at which the last consumer had the last.
        delays: From publish to consume of each message in seconds, if the consumers collect that.
    """

    seconds: float
    delays: Sequence[float]


def run_once(
    contestant: Contestant, messages: int, rate: float = 0, *, warm_up: int = WARM_UP, on_disk: bool = False
) -> Run:
    """Start the contestant, publish messages, so many a second or as fast as possible, and wait until it has all.

    Args:
        contestant: Who receives them.
        messages: How many.
        rate: How many a second; 0 for as fast as possible.
        warm_up: How many that do not count come before.
        on_disk: Whether the contestant's directory is on disk, and not in memory.
    """
    with scratch(on_disk=on_disk) as directory, Publisher(directory) as publisher:
        environment = {DIRECTORY: str(directory), MESSAGES: str(warm_up + messages)}
        command = contestant.command(publisher.endpoint, directory)
        with Child(*command, directory=directory, environment=environment) as child:
            publisher.wait_for_subscription(child)
            publisher.warm_up(warm_up)
            began_ns = publisher.publish(messages, rate)
            paths = [path_of(name, directory) for name in contestant.tallies]
            wait_for(partial(_are_there, paths, child), "all messages consumed")
        tallies = [list(map(int, path.read_text(encoding="ascii").split())) for path in paths]
    finished_ns = max(tally[0] for tally in tallies)
    return Run((finished_ns - began_ns) / 1e9, [delay_ns / 1e9 for delay_ns in tallies[0][1 + warm_up :]])


def no_fedmsg_hub() -> str:
    """Why fedmsg-hub cannot be run; nothing if it can."""
    missing = [name for name in ("fedmsg", "moksha", "pkg_resources") if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} missing: install fedmsg[consumers] and setuptools < 81" if missing else ""


def fedmsg_config(directory: Path, *endpoints: str) -> Path:
    """Write a configuration of fedmsg's that enables our consumers."""
    path = directory / "fedmsg-config.py"
    config = {
        "environment": "dev",
        "topic_prefix": "org.fedoraproject",
        "validate_signatures": False,
        "high_water_mark": 0,
        "zmq_enabled": True,
        "zmq_publish_endpoints": f"ipc://{directory}/fedmsg-hub",
        "glasshub.benchmarks": True,
        "endpoints": {"bench": list(endpoints)},
    }
    path.write_text(f"config = {config!r}\n", encoding="utf-8")
    return path


def _are_there(paths: Sequence[Path], child: Child) -> bool | None:
    child.check()
    return all(path.exists() for path in paths) or None
