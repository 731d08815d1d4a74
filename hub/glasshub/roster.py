# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers the hub runs: finding their classes and building them.

One that cannot be found or built stops only itself: it stays in the roster as not initialized, so that the stats
show it.
"""

from __future__ import annotations

import functools
import importlib
import itertools
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
from .errors import ConfigError

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
        return [Member(name, section, self._built(name, section, stop)) for name, section in self._wanted()]

    def _wanted(self) -> Iterator[tuple[str, ConsumerSection]]:
        names: set[str] = set()
        for location in dict.fromkeys(self._only):
            name, section = self._section_of(location)
            yield _unused(name, location, names), section
        if self._only:
            return
        for name, section in self._config.consumers.items():
            names.add(name)
            yield name, section
        for location in self._declared():
            yield _unused(_class_name(location), location, names), ConsumerSection(location=location)

    def _section_of(self, location: str) -> tuple[str, ConsumerSection]:
        """What the configuration says of a consumer that is named on the command line, and calls it."""
        for name, section in self._config.consumers.items():
            if section.location == location:
                return name, section
        return _class_name(location), ConsumerSection(location=location)

    def _declared(self) -> list[str]:
        """The consumers that installed packages declare, and no section configures; each once."""
        if not self._config.hub.entry_points:
            return []
        groups = [NATIVE_GROUP, *([MOKSHA_GROUP] if self._config.fedmsg.config else [])]
        declared = dict.fromkeys(_location(point) for group in groups for point in _of_group(group))
        configured = {section.location for section in self._config.consumers.values()}
        return [location for location in declared if location not in configured]

    def _built(self, name: str, section: ConsumerSection, stop: Callable[[], None]) -> BoundConsumer | None:
        try:
            cls = _loaded(section.location)
        except ImportError as error:
            logger.error("%s: cannot load %s: %s", name, section.location, error)
            return None
        except (Exception, SystemExit):
            logger.exception("%s: importing %s failed", name, section.location)
            return None
        construct = self._constructor(cls, section, stop)
        if construct is None:
            logger.error("%s: %r is neither a glasshub.Consumer nor a consumer of fedmsg or Moksha", name, cls)
            return None
        try:
            consumer = construct()
        except (Exception, SystemExit):
            logger.exception("%s: its constructor failed: it will not run", name)
            return None
        if consumer is None:
            logger.info("%s is disabled by its own configuration", name)
        elif not consumer.topics:
            logger.error("%s subscribes to no topic: it will not run", name)
            return None
        return consumer

    def _constructor(
        self, cls: Any, section: ConsumerSection, stop: Callable[[], None]
    ) -> Callable[[], BoundConsumer | None] | None:
        """What builds a consumer of this class; None if it is no consumer. Errors of ours are raised here."""
        if isinstance(cls, type) and issubclass(cls, Consumer):
            return lambda: NativeConsumer(cls(section.settings), section.topics)
        if isinstance(cls, type) and is_moksha_consumer(cls):
            if section.topics:
                raise ConfigError(f"{section.location}: a consumer of fedmsg sets its topics itself")
            return functools.partial(self._moksha_hub(stop).build, cls)
        return None

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
    return ":".join(part.strip() for part in point.value.partition("[")[0].split(":"))


def _class_name(location: str) -> str:
    return location.rpartition(":")[2]


def _loaded(location: str) -> Any:
    """The class at that location.

    Raises:
        ImportError: It is none, or there is none.
        Exception: Importing its module did.
    """
    module_name, colon, name = location.partition(":")
    if not (module_name and colon and name):
        raise ImportError("a consumer is named as module:Class")
    found = importlib.import_module(module_name)
    try:
        return functools.reduce(getattr, name.split("."), found)
    except AttributeError:
        raise ImportError(f"module {module_name!r} has no {name!r}") from None


def _unused(name: str, location: str, names: set[str]) -> str:
    """That name; or the whole location if another consumer has it already, with a number if that is taken, too."""
    dotted = location.replace(":", ".")
    numbered = (f"{dotted}-{number}" for number in itertools.count(2))
    unused = next(candidate for candidate in itertools.chain([name, dotted], numbered) if candidate not in names)
    names.add(unused)
    return unused


def _of_group(group: str) -> Iterable[EntryPoint]:
    try:
        found: Any = entry_points()
    except ValueError as error:  # Python 3.9 with the finder of newer setuptools: one bad line spoils all
        raise ConfigError(
            f"cannot read what installed packages declare: {error}: uninstall the package that does, or set "
            f"entry_points = false in [hub]"
        ) from None
    # Python 3.9 has a dict of groups and no select().
    return found.select(group=group) if hasattr(found, "select") else found.get(group, ())  # type: ignore[no-any-return]
