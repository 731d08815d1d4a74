# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers and producers the hub runs: finding their classes and building them.

One that cannot be found or built stops only itself: it stays in the roster as not initialized, so that the stats
show it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .compat.consumers import MokshaConsumer
from .compat.fedmsg_config import FedmsgConfigFiles
from .compat.fedora_messaging import CallableConsumer, is_callback, name_configuration
from .compat.libraries import blame_libraries, remedy, require_moksha
from .compat.moksha import Send, is_moksha_consumer, is_moksha_producer
from .compat.site import MONITORING, FedmsgSite
from .config import Config, ConsumerSection
from .consumer import BoundConsumer, Consumer, NativeConsumer
from .crew import Crew, Job, Member
from .errors import ConfigError, DisabledError, MissingLibraryError, UnusableError
from .logs import kept
from .publishing import Publisher, install
from .sender import Sender
from .sending import sender_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

NATIVE_GROUP = "glasshub.consumers"
MOKSHA_GROUP = "moksha.consumer"
PRODUCER_GROUPS = ("moksha.producer", "moksha.stream")


class Roster:
    """Finds and builds the consumers and producers of a configuration. Threads: main thread only."""

    def __init__(
        self,
        config: Config,
        fedmsg: FedmsgConfigFiles | None = None,
        *,
        only: Sequence[str] = (),
        producers: Sequence[str] | None = None,
        callback: str = "",
        wanted: Sequence[tuple[str, ConsumerSection]] | None = None,
        relay: Send | None = None,
    ) -> None:
        """Take the configuration, and the locations (module:name) that were named on the command line.

        Args:
            config: The configuration.
            fedmsg: fedmsg's; None if there is none.
            only: Consumers that run instead of all others.
            producers: Producers that run instead of those that installed packages declare; None names none.
            callback: The consumer that fedora-messaging's configuration names, which is built where neither the
                command line nor a section names any; empty for none.
            wanted: Names and sections of the consumers to build, where that has been found out already.
            relay: Has the hub publish what consumers send, see `sender_of`; None in its own process.
        """
        self._config = config
        self._fedmsg = fedmsg
        self._only = only
        self._producers = producers
        self._callback = callback
        self._wanted = wanted
        self._relay = relay
        self._site: FedmsgSite | None = None
        self._sender: Sender | None = None
        self._disabled: list[str] = []

    def build(self, stop: Callable[[], None]) -> Crew:
        """Build them all, consumers first.

        Args:
            stop: What one of them calls that wants the hub to stop; threads: any.

        Raises:
            HubError: fedmsg's configuration or packages are not usable.
        """
        name_configuration(self._config)  # before a consumer is imported, for that may read it
        self._sender = sender_of(self._config, self._relay)
        publisher = Publisher(self._sender)
        install(publisher)  # first: their constructors may publish
        try:
            return self._crew(stop, publisher)
        except BaseException:
            publisher.close()
            raise

    def _crew(self, stop: Callable[[], None], publisher: Publisher) -> Crew:
        members = [
            self._with_workers(Member(name, section, consumer))
            for name, section in self.wanted()
            for consumer in self._enabled(name, self._built, name, section, stop)
        ]
        if self._fedmsg is not None and not members:
            require_moksha()  # where fedmsg is missing, no package of its consumers is to be expected either
        return Crew(members, list(self._jobs(stop)), self._site, self._disabled, publisher)

    def wanted(self) -> Iterator[tuple[str, ConsumerSection]]:
        """Names and sections of the consumers to build."""
        if self._wanted is not None:
            yield from self._wanted
            return
        names: set[str] = set()
        for location in dict.fromkeys(self._only):
            name, section = self._section_of(location)
            yield _unused(name, location, names), section
        if self._only:
            return
        for name, section in self._config.consumers.items():
            names.add(name)
            yield name, section
        if self._callback and not names:
            yield _unused(_class_name(self._callback), self._callback, names), ConsumerSection(location=self._callback)
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
        groups = [NATIVE_GROUP, *([MOKSHA_GROUP] if self._fedmsg is not None else [])]
        configured = {self._callback, *(section.location for section in self._config.consumers.values())}
        return [location for location in self._locations(groups) if location not in configured]

    def _locations(self, groups: Iterable[str]) -> list[str]:
        if not self._config.hub.entry_points:
            return []
        return list(dict.fromkeys(_location(point) for group in groups for point in _of_group(group)))

    def _built(self, name: str, section: ConsumerSection, stop: Callable[[], None]) -> BoundConsumer | None:
        construct = self._constructor(name, section, stop)
        consumer = _constructed(name, construct) if construct is not None else None
        if consumer is None or consumer.topics or not isinstance(consumer, NativeConsumer):
            return consumer  # one of Moksha's may subscribe later, or live on what a producer brings it
        logger.error("%s subscribes to no topic: it will not run", name)
        return None

    def _constructor(
        self, name: str, section: ConsumerSection, stop: Callable[[], None]
    ) -> Callable[[], BoundConsumer] | None:
        """What builds the consumer; None if there is none, said in the log. Errors of ours are raised here."""
        found = _found(name, section.location)
        if found is None:
            return None
        if isinstance(found, type) and issubclass(found, Consumer):
            return lambda: NativeConsumer(found(section.settings), section.topics)
        if isinstance(found, type) and is_moksha_consumer(found):
            if section.topics:
                raise ConfigError(f"{section.location}: a consumer of fedmsg sets its topics itself")
            return functools.partial(self._fedmsg_site(stop).consumer, found)
        if is_callback(found):
            return lambda: CallableConsumer(found, name, section.topics)
        logger.error(
            "%s: %r is no glasshub.Consumer, no consumer of fedmsg or Moksha, and cannot be called with a message",
            name,
            found,
        )
        return None

    def _jobs(self, stop: Callable[[], None]) -> Iterator[Job]:
        """The producers; before them the one for monitoring, where fedmsg's configuration wants it."""
        locations = self.producer_locations()
        if not locations and self._site is None and not (self._fedmsg and self._config.fedmsg.monitoring_socket):
            return
        monitoring = self._fedmsg_site(stop).monitoring()
        if monitoring is not None:
            yield Job(_class_name(MONITORING), monitoring)
        names = {_class_name(MONITORING)}
        for location in locations:
            name = _unused(_class_name(location), location, names)
            for producer in self._enabled(name, self._built_producer, name, location, stop):
                yield Job(name, producer)

    def _enabled(self, name: str, build: Callable[..., T], *arguments: Any) -> list[T]:
        """What is built; nothing if it is disabled, which is no failure."""
        try:
            return [build(*arguments)]
        except DisabledError:
            logger.info("%s is disabled by its own configuration", name)
            self._disabled.append(name)
            return []

    def producer_locations(self) -> Sequence[str]:
        """Where the classes of the producers to build are; ours takes the place of Moksha's own for monitoring."""
        locations = self._producers
        if locations is None:
            locations = self._locations(PRODUCER_GROUPS) if self._fedmsg is not None else []
        return [location for location in dict.fromkeys(locations) if location != MONITORING]

    def _built_producer(self, name: str, location: str, stop: Callable[[], None]) -> Any:
        cls = _found(name, location)
        if cls is None:
            return None
        if not (isinstance(cls, type) and is_moksha_producer(cls)):
            logger.error("%s: %r is no producer of Moksha", name, cls)
            return None
        return _constructed(name, functools.partial(self._fedmsg_site(stop).producer, cls))

    def _with_workers(self, member: Member) -> Member:
        """Moksha's consumers have as many workers as Moksha's configuration says, unless they have their own."""
        workers = self._config.fedmsg.workers_per_consumer
        is_own = f"consumers.{member.name}.workers" in self._config.origins
        if not isinstance(member.consumer, MokshaConsumer) or is_own or member.section.group:
            return member
        return dataclasses.replace(member, section=dataclasses.replace(member.section, workers=workers))

    def _fedmsg_site(self, stop: Callable[[], None]) -> FedmsgSite:
        if self._site is None:
            if self._fedmsg is None:
                raise ConfigError(
                    "consumers and producers of fedmsg need its configuration: name it with "
                    "--fedmsg-config /etc/fedmsg.d"
                )
            self._site = FedmsgSite(self._config, self._fedmsg, stop, self._sender)
        return self._site


def _location(point: EntryPoint) -> str:
    """Its class, without the extras that an entry point may ask for behind it."""
    return ":".join(part.strip() for part in point.value.partition("[")[0].split(":"))


def _class_name(location: str) -> str:
    return location.rpartition(":")[2]


def _found(name: str, location: str) -> Any:
    """The class or callback at that location; None, said in the log, when there is none.

    Raises:
        MissingLibraryError: It is one of fedmsg's, of which none can be loaded here.
    """
    try:
        with kept():
            return _loaded(location)
    except ImportError as error:
        blame_libraries(error)
        logger.error("%s: cannot load %s: %s%s", name, location, error, remedy(error))
        return None
    except (Exception, SystemExit) as error:
        blame_libraries(error)
        logger.exception("%s: importing %s failed", name, location)
        return None


def _loaded(location: str) -> Any:
    """What is at that location.

    Raises:
        ImportError: There is nothing.
        Exception: Importing its module did.
    """
    module_name, colon, name = location.partition(":")
    if not (module_name and colon and name):
        raise ImportError("a consumer or producer is named as module:name")
    found = importlib.import_module(module_name)
    try:
        return functools.reduce(getattr, name.split("."), found)
    except AttributeError:
        raise ImportError(f"module {module_name!r} has no {name!r}") from None


def _constructed(name: str, construct: Callable[[], T]) -> T | None:
    """What was built; None, said in the log, when it could not be.

    Raises:
        DisabledError: It is not to be built.
    """
    try:
        with kept():
            return construct()
    except DisabledError:
        raise
    except (MissingLibraryError, UnusableError) as error:
        logger.error("%s: %s: it will not run", name, error)
        return None
    except (Exception, SystemExit):
        logger.exception("%s: its constructor failed: it will not run", name)
        return None


def _unused(name: str, location: str, names: set[str]) -> str:
    """That name; or the whole location if another one has it already, with a number if that is taken, too."""
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
