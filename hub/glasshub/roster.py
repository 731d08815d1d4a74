# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers the hub runs: finding their classes and building them.

One that cannot be found or built stops only itself: it stays in the roster as not initialized, so that the stats
show it.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .compat.fedmsg_config import FedmsgConfigFiles
from .compat.moksha import MokshaHub, is_moksha_consumer, require_moksha
from .config import Config, ConsumerSection
from .consumer import BoundConsumer, Consumer, NativeConsumer
from .errors import ConfigError, HubError

logger = logging.getLogger(__name__)

NATIVE_GROUP = "glasshub.consumers"
MOKSHA_GROUP = "moksha.consumer"


@dataclass(frozen=True)
class Member:
    """A consumer of the roster.

    Attributes:
        name: Its name.
        section: Its configuration.
        consumer: The consumer; None when it could not be built, or is disabled.
    """

    name: str
    section: ConsumerSection
    consumer: BoundConsumer | None


class Roster:
    """Finds and builds the consumers of a configuration. Threads: main thread only."""

    def __init__(self, config: Config, *, only: Sequence[str] = ()) -> None:
        """Take the configuration, and the locations (module:Class) that were named on the command line."""
        self._config = config
        self._only = only
        self._moksha: MokshaHub | None = None

    def build(self, stop: Callable[[], None]) -> list[Member]:
        """Build them all.

        Args:
            stop: What a consumer calls that wants the hub to stop.

        Raises:
            HubError: fedmsg's configuration or packages are not usable.
        """
        return [Member(name, section, self._built(name, section, load, stop)) for name, section, load in self._wanted()]

    def _wanted(self) -> Iterator[tuple[str, ConsumerSection, Callable[[], Any]]]:
        names: set[str] = set()
        for location in self._only:
            name, section = self._section_of(location)
            yield _unused(name, location, names), section, _loader(location)
        if self._only:
            return
        for name, section in self._config.consumers.items():
            names.add(name)
            yield name, section, _loader(section.location)
        for point in self._entry_points():
            location = _location(point)
            yield _unused(point.attr, location, names), ConsumerSection(location=location), point.load

    def _section_of(self, location: str) -> tuple[str, ConsumerSection]:
        """What the configuration says of a consumer that is named on the command line, and calls it."""
        for name, section in self._config.consumers.items():
            if section.location == location:
                return name, section
        return location.rpartition(":")[2], ConsumerSection(location=location)

    def _entry_points(self) -> Iterable[EntryPoint]:
        if not self._config.hub.entry_points:
            return []
        groups = [NATIVE_GROUP, *([MOKSHA_GROUP] if self._config.fedmsg.config else [])]
        configured = {section.location for section in self._config.consumers.values()}
        found = [point for group in groups for point in _of_group(group)]
        return [point for point in found if _location(point) not in configured]

    def _built(
        self, name: str, section: ConsumerSection, load: Callable[[], Any], stop: Callable[[], None]
    ) -> BoundConsumer | None:
        try:
            cls = load()
        except (ImportError, AttributeError, ValueError) as error:
            logger.error("%s: cannot load %s: %s", name, section.location, error)
            return None
        except Exception:
            logger.exception("%s: importing %s failed", name, section.location)
            return None
        try:
            consumer = self._bound(cls, section, stop)
        except HubError:
            raise
        except (Exception, SystemExit):
            logger.exception("%s: its constructor failed: it will not run", name)
            return None
        if consumer is None:
            logger.info("%s is disabled by its own configuration", name)
        elif not consumer.topics:
            logger.error("%s subscribes to no topic: it will not run", name)
            return None
        return consumer

    def _bound(self, cls: Any, section: ConsumerSection, stop: Callable[[], None]) -> BoundConsumer | None:
        if isinstance(cls, type) and issubclass(cls, Consumer):
            return NativeConsumer(cls(section.settings), section.topics)
        if isinstance(cls, type) and is_moksha_consumer(cls):
            if section.topics:
                raise ConfigError(f"{section.location}: a consumer of fedmsg sets its topics itself")
            return self._moksha_hub(stop).build(cls)
        raise TypeError(f"{cls!r} is neither a glasshub.Consumer nor a consumer of fedmsg or Moksha")

    def _moksha_hub(self, stop: Callable[[], None]) -> MokshaHub:
        if self._moksha is None:
            require_moksha()
            path = self._config.fedmsg.config
            if not path:
                raise ConfigError(
                    "consumers of fedmsg need fedmsg's configuration: name it with --fedmsg-config /etc/fedmsg.d"
                )
            config = FedmsgConfigFiles(Path(path)).hub_config()
            self._moksha = MokshaHub(config, strict=self._config.zmq.strict, stop=stop)
        return self._moksha


def _location(point: EntryPoint) -> str:
    """Its class, without the extras that an entry point may ask for behind it."""
    return f"{point.module}:{point.attr}"


def _loader(location: str) -> Callable[[], Any]:
    def load() -> Any:
        module, colon, name = location.partition(":")
        if not (module and colon and name):
            raise ValueError("a consumer is named as module:Class")
        try:
            return getattr(importlib.import_module(module), name)
        except AttributeError:
            raise AttributeError(f"module {module!r} has no {name!r}") from None

    return load


def _unused(short: str, location: str, names: set[str]) -> str:
    """The class's own name, or the whole location if another consumer has that."""
    name = location.replace(":", ".") if short in names else short
    names.add(name)
    return name


def _of_group(group: str) -> Iterable[EntryPoint]:
    found: Any = entry_points()
    # Python 3.9 has a dict of groups and no select().
    return found.select(group=group) if hasattr(found, "select") else found.get(group, ())  # type: ignore[no-any-return]
