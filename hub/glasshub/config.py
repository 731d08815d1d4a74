# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration: one frozen section for each part, each value with where it came from.

Defaults and explanations stand here, once; `docs/configuration.md` and `glasshub config` are derived from them.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

from .addresses import is_address
from .errors import ConfigError
from .toml import as_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S")

DEFAULT = "default"

#: What libzmq takes for a number at the most.
_MOST = 2**31 - 1

#: What may happen when there is no room for a message.
BLOCK, DROP_OLDEST, DROP_NEWEST = POLICIES = ("block", "drop-oldest", "drop-newest")

#: Seconds of a year: what is to take longer is a mistake.
_LONGEST = 365 * 86400
#: What may happen when the disk has no room for a message.
FULL_POLICIES = (BLOCK, DROP_NEWEST)

#: Kinds of bus.
ZMQ, FEDORA_MESSAGING = SOURCES = ("zmq", "fedora-messaging")

#: Ways of a bridge; also what the consumers of bridges are called.
TO_FEDORA_MESSAGING, TO_FEDMSG = ("to-fedora-messaging", "to-fedmsg")

#: Whose the queues on a broker are.
EACH, HUB = QUEUES = ("consumer", "hub")

#: When a broker is told that it may forget a message.
PROCESSED, SPOOLED = ACKNOWLEDGEMENTS = ("processed", "spooled")

#: What RabbitMQ calls the kinds of queues that a hub can work with.
QUORUM, CLASSIC = QUEUE_TYPES = ("quorum", "classic")

#: What is served at the port for health checks.
HEALTH, ALL_PAGES = PORT_PAGES = ("health", "all")

#: How the disk is written to.
SYNCHRONOUS = ("full", "normal")

#: Where a consumer that the spool does not know yet begins.
END, OLDEST = BEGINNINGS = ("end", "oldest")

#: What the queues may hold at the least, in bytes: some batches of messages.
_LEAST_MEMORY = 1 << 20

#: It becomes part of file names and of collectd's plugin instance.
_NAME = r"[A-Za-z0-9_:@-][A-Za-z0-9_.:@-]{0,63}"
_NAME_IN_WORDS = "1 to 64 of the characters A-Za-z0-9_.:@-"


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class HubSection:
    """The hub itself."""

    name: str = _setting("glasshub", "Name of the hub: of its segment, its socket, and of collectd's plugin instance.")
    source: str = _setting(
        ZMQ, "The bus: zmq, which is fedmsg's, see [zmq]; or fedora-messaging, which is RabbitMQ, see that section."
    )
    shape: str = _setting("processes", "Shape of dispatch: inline, shared, threads or processes.")
    nice: int = _setting(2, "Shape processes: how much nicer worker processes are than the hub, 0 to 19 (nice(1)).")
    drain_timeout: float = _setting(30.0, "Seconds that a stopping hub gives its consumers to finish the backlog.")
    switch_interval: float = _setting(
        0.0005,
        "Seconds after which a thread that computes lets another one run (sys.setswitchinterval). Python's own "
        "0.005 lets three busy consumers starve the enqueuer.",
    )
    memory: int = _setting(
        1 << 30,
        "Bytes that the messages in all queues may take together, each message counted once: its topic, its body and "
        "200 bytes; 0 for no bound. At it the consumer with the longest queue is treated as its `overflow` says. With "
        "a spool it has no say: little is in memory.",
    )
    entry_points: bool = _setting(
        True,
        "Whether to run the consumers that installed packages declare: of group glasshub.consumers, and of group "
        "moksha.consumer where a fedmsg configuration is given. Those named on the command line run instead.",
    )


@dataclass(frozen=True)
class ZmqSection:
    """The bus: fedmsg over zeromq."""

    endpoints: tuple[str, ...] = _setting((), "Publishers to subscribe to, for example tcp://127.0.0.1:9940.")
    method: str = _setting(
        "connect",
        "connect to the endpoints, or bind to them and have publishers connect, as a relay does.",
    )
    publish_endpoints: tuple[str, ...] = _setting(
        (),
        "Addresses where hub.send_message and glasshub.publish publish, bound at start where there are consumers of "
        "fedmsg, else with the first message; needed for nothing else.",
    )
    publish_at: str = _setting(
        "all", "Which of them: all, as Moksha does, or the first one that can be bound, as fedmsg-relay does."
    )
    strict: bool = _setting(False, "Whether a subscription is the whole topic instead of a prefix.")
    receive_high_water_mark: int = _setting(
        100_000,
        "Messages that libzmq holds for us before it drops; 0 for no limit. fedmsg's 0 is taken as this default.",
    )
    tcp_keepalive: int = _setting(-1, "1 on, 0 off, -1 as the system has it.")
    tcp_keepalive_idle: int = _setting(-1, "Seconds of silence before the first probe; -1 as the system has it.")
    tcp_keepalive_interval: int = _setting(-1, "Seconds between probes; -1 as the system has it.")
    tcp_keepalive_count: int = _setting(-1, "Lost probes that mean a dead connection; -1 as the system has it.")
    reconnect_interval: float = _setting(0.1, "Seconds before a lost endpoint is tried again.")
    reconnect_interval_max: float = _setting(0.0, "Seconds up to which that time doubles; 0 keeps it constant.")


@dataclass(frozen=True)
class FedoraMessagingSection:
    """The bus: RabbitMQ, as fedora-messaging uses it."""

    config: str = _setting(
        "",
        "fedora-messaging's own configuration, which says where the broker is; empty: what FEDORA_MESSAGING_CONF in "
        "the environment names, else /etc/fedora-messaging/config.toml.",
    )
    queues: str = _setting(
        EACH,
        "consumer: each consumer has a queue of its own on the broker, which hubs of the same name share, and which is "
        "bound by its topics. hub: the queues and bindings of fedora-messaging's configuration, for all consumers.",
    )
    queue: str = _setting(
        "{hub}.{consumer}", "Name of a consumer's queue, if its section does not say otherwise, with queues = consumer."
    )
    queue_type: str = _setting(QUORUM, "Type of these queues when they are made: quorum, or classic.")
    delivery_limit: int = _setting(
        50,
        "Times that the broker brings back a message that was not acknowledged, because hubs died or lost their "
        "connection, before it parks the message; 0 for no limit. Quorum queues only.",
    )
    acknowledge: str = _setting(
        PROCESSED,
        "When the broker may forget a message: processed, when the consumer has finished with it; or spooled, when it "
        "is in the spool, which is what a hub with a spool has to say.",
    )
    prefetch: int = _setting(
        1000,
        "Messages of each queue that this hub may hold and has not acknowledged, at the most, and no more than the "
        "consumer's capacity, so that none is dropped; those that wait to be tried again come on top. How many it asks "
        "for follows the rate at which the consumer finishes them; so many may come again when the hub is killed.",
    )


@dataclass(frozen=True)
class SpoolSection:
    """The backlog on disk. docs/spool.md tells what it promises."""

    directory: str = _setting(
        "",
        "Where it stands, in a directory of the hub's name; empty: the backlog is in memory, and gone when the hub is "
        "killed.",
    )
    limit: int = _setting(
        0, "Bytes that the file may have before nothing more is accepted; 0 for as many as the file system has."
    )
    full: str = _setting(
        BLOCK,
        "What happens when there is no room, or the disk fails: block, which has the enqueuer wait, and every consumer "
        "with it; or drop-newest.",
    )
    synchronous: str = _setting(
        "full",
        "full: what is accepted is on disk. normal: a power failure may take the last of it, a killed hub does not.",
    )


@dataclass(frozen=True)
class StatsSection:
    """The segment and its socket."""

    directory: str = _setting(
        "",
        "Where they stand. Empty: /run/glasshub where it may be written, else $XDG_RUNTIME_DIR/glasshub, else a "
        "private directory under the temporary directory.",
    )
    mode: str = _setting("0640", "Mode of the segment, octal.")
    socket_mode: str = _setting("0660", "Mode of the socket, octal.")
    group: str = _setting("", "Group of both, for example collectd; empty leaves the hub's own.")
    port: int = _setting(
        0,
        "TCP port for health checks: /live, /ready and /healthz; 0 for none. Not set, it is port in [monitoring] of "
        "fedora-messaging's configuration, on that bus.",
    )
    address: str = _setting(
        "127.0.0.1",
        "IP address of that port. Whoever can reach it is answered: 0.0.0.0 is every machine that can reach this one.",
    )
    port_pages: str = _setting(
        HEALTH,
        "What is served at that port: health, whether the hub lives and is ready; or all that the socket serves, for "
        "Prometheus.",
    )


@dataclass(frozen=True)
class LoggingSection:
    """The log."""

    level: str = _setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    file: str = _setting("", "File to log to, opened anew on SIGHUP; empty for standard error.")


@dataclass(frozen=True)
class FedmsgSection:
    """Consumers written for fedmsg."""

    config: tuple[str, ...] = _setting(
        (), "fedmsg's configuration: files, and directories such as /etc/fedmsg.d, the later ones over the earlier."
    )
    discover: bool = _setting(
        True, "Whether to look for it where fedmsg-hub does if config names none; what is found is then in config."
    )
    monitoring_socket: str = _setting(
        "", "Endpoint where to publish what Moksha's monitoring does, for example ipc:///run/fedmsg/hub; empty: none."
    )
    monitoring_socket_mode: str = _setting("", "Mode of that socket's file, octal; empty: as the umask has it.")
    monitoring_interval: float = _setting(5.0, "Seconds between two documents on that socket; Moksha has 5.")
    workers_per_consumer: int = _setting(
        1, "Threads that may run a consumer of fedmsg at the same time, if its own section does not say otherwise."
    )
    backlog_limit: int = _setting(
        10_000,
        "Messages that are fetched from datagrepper at the most: at start for each consumer, and for each gap of the "
        "bus; 0 fetches nothing.",
    )
    backlog_age: float = _setting(86_400.0, "Seconds that such a fetch goes back at the most.")
    datagrepper_url: str = _setting(
        "", "Where to fetch what was published while an endpoint of the bus was lost; empty: it is not fetched."
    )
    gap_margin: float = _setting(
        10.0,
        "Seconds before and after such a time that are fetched, too: how much the clocks of publishers may be wrong, "
        "and a message may be on its way. Fetching begins twice as long after the endpoint is back.",
    )


@dataclass(frozen=True)
class BridgeSection:
    """What `glasshub bridge` passes on from one bus to another. docs/bridge.md tells what it promises."""

    topics: tuple[str, ...] = _setting(("",), "What is passed on: topics that begin so; an empty one is everything.")
    fedmsg_bus: str = _setting(
        "fedmsg",
        "Name of the bus of zeromq in what has crossed a bridge: a message never gets to a bus of that name twice. All "
        "bridges at a bus have to call it the same, and where there are several such buses each has its own name.",
    )
    fedora_messaging_bus: str = _setting("fedora-messaging", "Name of the bus on the broker, likewise.")
    outstanding: int = _setting(
        64, "to-fedora-messaging: messages that may wait for the broker to confirm them at the same time."
    )
    settling: float = _setting(
        2.0,
        "to-fedmsg: seconds after the start in which nothing is published: subscribers find the bridge (again), and "
        "zeromq has nothing for who comes later.",
    )


@dataclass(frozen=True)
class ConsumerSection:
    """One consumer; its name is that of the section."""

    location: str = _setting("", "Its class, or what is called with each message, as module:name.")
    topics: tuple[str, ...] = _setting(
        (), "Topics instead of those of the class, or of all that comes; not for consumers of fedmsg."
    )
    workers: int = _setting(1, "Threads that may run it at the same time, in shapes processes and threads.")
    group: str = _setting("", "Consumers of one group never run at the same time.")
    capacity: int = _setting(
        0,
        "Messages that may wait for it; 0 for as many as the memory of the hub, or the disk, allows. Without a spool, "
        "shape inline has no queue for messages of the bus.",
    )
    capacity_bytes: int = _setting(
        0,
        "Bytes that may wait for it, counted as in [hub] memory; 0 for as many as that allows. With both, whichever is "
        "reached first counts. Not with a spool.",
    )
    overflow: str = _setting(
        DROP_OLDEST,
        "What happens when there is no room: drop-oldest, drop-newest, or block, which has the enqueuer wait, and "
        "with it every other consumer.",
    )
    retry: int = _setting(
        0,
        "Attempts besides the first one that a message gets on which it failed, later and behind others; 0 for none. "
        "Then the message is parked, or counted as failed and gone.",
    )
    retry_delay: float = _setting(
        1.0,
        "Seconds before the first of these attempts at the most; before each further one up to twice as long. The "
        "time is drawn at random, so that not all come back at once.",
    )
    retry_delay_max: float = _setting(300.0, "Seconds before any of these attempts at the most.")
    park: bool = _setting(
        False,
        "Whether a message is parked when the last attempt has failed, to be looked at: in the spool; or, without one, "
        "on the broker, in a queue beside that of the consumer.",
    )
    max_processing: float = _setting(0.0, "Seconds at one message after which a worker is shown as stuck; 0 for never.")
    max_deaths: int = _setting(
        3,
        "Shape processes: deaths of a worker process at one message after which the message is parked, or, without a "
        "place for that (see park), counted as failed and gone.",
    )
    replace: bool = _setting(
        False, "Shape processes: whether a worker process is replaced that is stuck, see max_processing."
    )
    process: str = _setting(
        "",
        "Shape processes: name of the worker process that runs it, with all others that name the same one; empty for "
        "the one of all that name none.",
    )
    queue: str = _setting(
        "", "Bus fedora-messaging: name of its queue on the broker; empty for what [fedora-messaging] says."
    )
    beginning: str = _setting(
        END,
        "What it gets when the spool does not know it yet: end, what comes from now on; oldest, what others have not "
        "finished, too.",
    )
    settings: Mapping[str, Any] = field(
        default_factory=dict, metadata={"help": "A table for the consumer's own use; its constructor gets it."}
    )


#: Sections that stand once, by name.
SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "hub": HubSection,
        "zmq": ZmqSection,
        "fedora-messaging": FedoraMessagingSection,
        "spool": SpoolSection,
        "stats": StatsSection,
        "logging": LoggingSection,
        "fedmsg": FedmsgSection,
        "bridge": BridgeSection,
    }
)

#: In the file the keys are `class` and `from`, reserved words in Python.
_FILE_KEYS = {"class": "location", "from": "beginning"}


@dataclass(frozen=True)
class Config:
    """The effective configuration. Immutable.

    Attributes:
        hub, zmq, fedora_messaging, spool, stats, logging, fedmsg, bridge: A section each.
        consumers: A section for each configured consumer, by name.
        origins: Where each value came from, by its dotted name; those not in it are defaults.
    """

    hub: HubSection = HubSection()
    zmq: ZmqSection = ZmqSection()
    fedora_messaging: FedoraMessagingSection = FedoraMessagingSection()
    spool: SpoolSection = SpoolSection()
    stats: StatsSection = StatsSection()
    logging: LoggingSection = LoggingSection()
    fedmsg: FedmsgSection = FedmsgSection()
    bridge: BridgeSection = BridgeSection()
    consumers: Mapping[str, ConsumerSection] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def section(self, name: str) -> Any:
        """The section of that name, one of `SECTIONS`."""
        return getattr(self, _attribute(name))


class ConfigBuilder:
    """Collects values from several places; the last one wins.

    Values are checked as they come in, so that an error names the place.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        self._consumers: dict[str, dict[str, Any]] = {}
        self._origins: dict[str, str] = {}

    def read_toml(self, path: Path) -> None:
        """Take everything from a file.

        Raises:
            ConfigError: It cannot be read, is not TOML, or says something that we do not know.
        """
        try:
            with path.open("rb") as file:
                tables = tomllib.load(file)
        except OSError as error:
            raise ConfigError(f"cannot read the configuration: {error.strerror}", origin=str(path)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"this is not TOML: {error}", origin=str(path)) from None
        for section, table in tables.items():
            _known(section, [*SECTIONS, "consumers"], "section", origin=str(path))
            if not isinstance(table, dict):
                raise ConfigError(f"[{section}] must be a table, not {table!r}", origin=str(path))
            if section == "consumers":
                for name, keys in table.items():
                    self._read_consumer(name, keys, origin=str(path))
            else:
                for key, value in table.items():
                    self.set(section, key, value, origin=str(path))

    def set(self, section: str, key: str, value: Any, *, origin: str) -> None:
        """Set one value.

        Raises:
            ConfigError: The key is unknown, or the value is of another type.
        """
        _known(key, [f.name for f in fields(SECTIONS[section])], "key", origin=origin, where=f"{section}.{key}")
        self._values[section][key] = _checked(SECTIONS[section], f"{section}.{key}", key, value, origin=origin)
        self._origins[f"{section}.{key}"] = origin

    def set_consumer(self, name: str, key: str, value: Any, *, origin: str) -> None:
        """Set one value of a consumer's section.

        Raises:
            ConfigError: The key is unknown, or the value is of another type.
        """
        dotted = f"consumers.{name}.{key}"
        _known(key, [file_key(f.name) for f in fields(ConsumerSection)], "key", origin=origin, where=dotted)
        attribute = _FILE_KEYS.get(key, key)
        checked = _checked(ConsumerSection, dotted, attribute, value, origin=origin)
        self._consumers.setdefault(name, {})[attribute] = checked
        self._origins[dotted] = origin

    def origin(self, section: str, key: str) -> str:
        """Where the value came from."""
        return self._origins.get(f"{section}.{key}", DEFAULT)

    def get(self, section: str, key: str) -> Any:
        """The value as it stands now."""
        default = {f.name: f.default for f in fields(SECTIONS[section])}[key]
        return self._values[section].get(key, default)

    def build(self) -> Config:
        """The effective configuration.

        Raises:
            ConfigError: Values contradict each other, or are out of range.
        """
        config = Config(
            **{_attribute(name): SECTIONS[name](**values) for name, values in self._values.items()},
            consumers={name: ConsumerSection(**values) for name, values in self._consumers.items()},
            origins=dict(self._origins),
        )
        _check(config, self._origins)
        return config

    def _read_consumer(self, name: str, keys: Any, *, origin: str) -> None:
        if not isinstance(keys, dict):
            raise ConfigError(f"[consumers.{name}] must be a table, not {keys!r}", origin=origin)
        if "class" not in keys:
            raise ConfigError(f'[consumers.{name}] lacks class = "module:Class"', origin=origin)
        for key, value in keys.items():
            self.set_consumer(name, key, value, origin=origin)


def without_effect(config: Config) -> list[tuple[str, str]]:
    """The keys that say something about a bus which is not in use, each with where it came from."""
    is_on_zmq = config.hub.source == ZMQ
    has_own_queues = not is_on_zmq and config.fedora_messaging.queues == EACH

    def is_idle(key: str) -> bool:
        section, _, name = key.partition(".")
        if section == "zmq":
            return not is_on_zmq and name != "strict"
        if section == "consumers":
            return name.endswith(".queue") and not has_own_queues
        return section == "fedora-messaging" and is_on_zmq

    return [(key, origin) for key, origin in config.origins.items() if is_idle(key)]


def _attribute(section: str) -> str:
    """What a section is called as an attribute of `Config`."""
    return section.replace("-", "_")


def file_key(attribute: str) -> str:
    """How an attribute of a section is spelled in the file."""
    return next((key for key, name in _FILE_KEYS.items() if name == attribute), attribute)


def _checked(section: type[Any], dotted: str, key: str, value: Any, *, origin: str) -> Any:
    wanted = get_type_hints(section)[key]
    if not _is_text(value):
        raise ConfigError(f"{dotted} must be UTF-8, not {value!r}", origin=origin)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise ConfigError(f"{dotted} must be a list of strings, not {value!r}", origin=origin)
    if wanted == Mapping[str, Any]:
        wanted = dict
    if type(value) is not wanted:
        raise ConfigError(f"{dotted} must be {_article(wanted)}, not {value!r}", origin=origin)
    return value


def _is_text(value: Any) -> bool:
    """Whether its strings can be encoded: an argument of a command line need not be."""
    try:
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, str):
                item.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _known(word: str, valid: list[str], what: str, *, origin: str, where: str = "") -> None:
    if word in valid:
        return
    near = difflib.get_close_matches(word, valid, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"unknown {what} {where or word!r}{hint} (valid ones are: {', '.join(sorted(valid))})", origin=origin
    )


def _article(wanted: type[Any]) -> str:
    words = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}
    return words[wanted]


def _check(config: Config, origins: Mapping[str, str]) -> None:
    """What a type cannot say."""
    for holds, key, complaint in (
        (re.fullmatch(_NAME, config.hub.name), "hub.name", _NAME_IN_WORDS),
        (config.hub.source in SOURCES, "hub.source", " or ".join(SOURCES)),
        (0 <= config.hub.nice <= 19, "hub.nice", "0 to 19"),
        (config.hub.drain_timeout >= 0, "hub.drain_timeout", "0 seconds or more"),
        (
            config.hub.memory == 0 or config.hub.memory >= _LEAST_MEMORY,
            "hub.memory",
            f"0, or {_LEAST_MEMORY} bytes and more",
        ),
        (1e-6 <= config.hub.switch_interval <= 1, "hub.switch_interval", "0.000001 to 1 second"),
        (0 <= config.zmq.receive_high_water_mark <= _MOST, "zmq.receive_high_water_mark", f"0 to {_MOST}"),
        (config.zmq.method in ("connect", "bind"), "zmq.method", "connect or bind"),
        (config.zmq.publish_at in ("all", "first"), "zmq.publish_at", "all or first"),
        (-1 <= config.zmq.tcp_keepalive <= 1, "zmq.tcp_keepalive", "1, 0 or -1"),
        (-1 <= config.zmq.tcp_keepalive_idle <= _MOST, "zmq.tcp_keepalive_idle", f"-1 to {_MOST}"),
        (-1 <= config.zmq.tcp_keepalive_interval <= _MOST, "zmq.tcp_keepalive_interval", f"-1 to {_MOST}"),
        (-1 <= config.zmq.tcp_keepalive_count <= _MOST, "zmq.tcp_keepalive_count", f"-1 to {_MOST}"),
        (0 <= config.zmq.reconnect_interval <= 1e6, "zmq.reconnect_interval", "0 to 1000000 seconds"),
        (0 <= config.zmq.reconnect_interval_max <= 1e6, "zmq.reconnect_interval_max", "0 to 1000000 seconds"),
        (config.fedora_messaging.queues in QUEUES, "fedora-messaging.queues", " or ".join(QUEUES)),
        (config.fedora_messaging.queue_type in QUEUE_TYPES, "fedora-messaging.queue_type", " or ".join(QUEUE_TYPES)),
        (0 <= config.fedora_messaging.delivery_limit <= _MOST, "fedora-messaging.delivery_limit", f"0 to {_MOST}"),
        (
            config.fedora_messaging.acknowledge in ACKNOWLEDGEMENTS,
            "fedora-messaging.acknowledge",
            " or ".join(ACKNOWLEDGEMENTS),
        ),
        (1 <= config.fedora_messaging.prefetch <= 65_535, "fedora-messaging.prefetch", "1 to 65535"),
        (
            config.spool.limit == 0 or config.spool.limit >= _LEAST_MEMORY,
            "spool.limit",
            f"0, or {_LEAST_MEMORY} bytes and more",
        ),
        (config.spool.full in FULL_POLICIES, "spool.full", " or ".join(FULL_POLICIES)),
        (config.spool.synchronous in SYNCHRONOUS, "spool.synchronous", " or ".join(SYNCHRONOUS)),
        (re.fullmatch("[0-7]{3,4}", config.stats.mode), "stats.mode", "an octal mode such as 0640"),
        (re.fullmatch("[0-7]{3,4}", config.stats.socket_mode), "stats.socket_mode", "an octal mode such as 0660"),
        (0 <= config.stats.port <= 65_535, "stats.port", "0 to 65535"),
        (is_address(config.stats.address), "stats.address", "an IP address, such as 127.0.0.1"),
        (config.stats.port_pages in PORT_PAGES, "stats.port_pages", " or ".join(PORT_PAGES)),
        (
            re.fullmatch(r"([a-z]+://.+)?", config.fedmsg.monitoring_socket),
            "fedmsg.monitoring_socket",
            "an endpoint such as ipc:///run/fedmsg/hub",
        ),
        (
            re.fullmatch("([0-7]{3,4})?", config.fedmsg.monitoring_socket_mode),
            "fedmsg.monitoring_socket_mode",
            "an octal mode such as 0660",
        ),
        (0.001 <= config.fedmsg.monitoring_interval <= 86400, "fedmsg.monitoring_interval", "0.001 to 86400 seconds"),
        (1 <= config.fedmsg.workers_per_consumer <= 1000, "fedmsg.workers_per_consumer", "1 to 1000"),
        (0 <= config.fedmsg.backlog_limit <= _MOST, "fedmsg.backlog_limit", f"0 to {_MOST}"),
        (0 <= config.fedmsg.backlog_age <= 1e9, "fedmsg.backlog_age", "0 to 1000000000 seconds"),
        (
            re.fullmatch("(https?://.+)?", config.fedmsg.datagrepper_url),
            "fedmsg.datagrepper_url",
            "a URL such as https://datagrepper.example.org/raw",
        ),
        (0 <= config.fedmsg.gap_margin <= 3600, "fedmsg.gap_margin", "0 to 3600 seconds"),
        (config.bridge.topics, "bridge.topics", 'one topic at the least; "" is everything'),
        (re.fullmatch(_NAME, config.bridge.fedmsg_bus), "bridge.fedmsg_bus", _NAME_IN_WORDS),
        (re.fullmatch(_NAME, config.bridge.fedora_messaging_bus), "bridge.fedora_messaging_bus", _NAME_IN_WORDS),
        (
            config.bridge.fedora_messaging_bus != config.bridge.fedmsg_bus,
            "bridge.fedora_messaging_bus",
            "another name than bridge.fedmsg_bus: they are two buses",
        ),
        (1 <= config.bridge.outstanding <= 1000, "bridge.outstanding", "1 to 1000"),
        (0 <= config.bridge.settling <= 3600, "bridge.settling", "0 to 3600 seconds"),
        (
            config.logging.level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
            "logging.level",
            "DEBUG, INFO, WARNING, ERROR or CRITICAL",
        ),
    ):
        if not holds:
            section, _, name = key.partition(".")
            value = getattr(config.section(section), name)
            raise ConfigError(f"{key} = {value!r} must be {complaint}", origin=origins.get(key, DEFAULT))
    if config.hub.source == FEDORA_MESSAGING:
        _check_broker(config, origins)
    is_spooling = bool(config.spool.directory)
    is_on_broker = config.hub.source == FEDORA_MESSAGING and config.fedora_messaging.queues == EACH
    for name, consumer in config.consumers.items():
        dotted = f"consumers.{name}"
        _check_consumer(dotted, consumer, origins, is_spooling=is_spooling, can_park=is_spooling or is_on_broker)


def _check_broker(config: Config, origins: Mapping[str, str]) -> None:
    section, key = config.fedora_messaging, "fedora-messaging.acknowledge"
    if config.spool.directory and section.acknowledge != SPOOLED:
        raise ConfigError(
            f"{key} = {section.acknowledge!r} must be {SPOOLED!r} with a spool, which keeps a message until the "
            f"consumer has finished with it: set it so, or leave directory in [spool] out",
            origin=origins.get(key, origins["spool.directory"]),
        )
    if section.acknowledge == SPOOLED and not config.spool.directory:
        raise ConfigError(
            f"{key} = {SPOOLED!r} needs a spool: set directory in [spool], or leave it out", origin=origins[key]
        )
    if not _is_template(section.queue):
        raise ConfigError(
            f"fedora-messaging.queue = {section.queue!r} must have {{consumer}} in it, may have {{hub}}, and no "
            f"other braces: a name for one consumer is queue in its own section",
            origin=origins["fedora-messaging.queue"],
        )


def _is_template(queue: str) -> bool:
    """Whether it makes a name of its own for each consumer."""
    try:
        fields = [(name, more or conversion) for _, name, more, conversion in Formatter().parse(queue)]
    except ValueError:
        return False
    return ("consumer", None) in fields and {*fields} <= {("consumer", None), ("hub", None), (None, None)}


def _check_consumer(
    dotted: str, consumer: ConsumerSection, origins: Mapping[str, str], *, is_spooling: bool, can_park: bool
) -> None:
    for holds, key, complaint in (
        (1 <= consumer.workers <= 1000, "workers", "1 to 1000"),
        (0 <= consumer.capacity <= _MOST, "capacity", f"0 to {_MOST}"),
        (
            consumer.capacity_bytes == 0 or consumer.capacity_bytes >= _LEAST_MEMORY,
            "capacity_bytes",
            f"0, or {_LEAST_MEMORY} bytes and more",
        ),
        (
            not (consumer.capacity_bytes and is_spooling),
            "capacity_bytes",
            "0 with a spool, which counts what waits in messages: set capacity, or limit in [spool]",
        ),
        (consumer.overflow in POLICIES, "overflow", f"one of {', '.join(POLICIES)}"),
        (consumer.beginning in BEGINNINGS, "beginning", " or ".join(BEGINNINGS)),
        (0 <= consumer.retry <= 1000, "retry", "0 to 1000 attempts"),
        (0 <= consumer.retry_delay <= _LONGEST, "retry_delay", f"0 to {_LONGEST} seconds"),
        (0 <= consumer.retry_delay_max <= _LONGEST, "retry_delay_max", f"0 to {_LONGEST} seconds"),
        (0 <= consumer.max_processing <= _LONGEST, "max_processing", f"0 to {_LONGEST} seconds"),
        (1 <= consumer.max_deaths <= 1000, "max_deaths", "1 to 1000"),
        (
            not consumer.park or can_park,
            "park",
            "false without a spool, or a queue of its own on a broker: set directory in [spool] to have one",
        ),
        (re.fullmatch(f"({_NAME})?", consumer.process), "process", _NAME_IN_WORDS),
    ):
        if not holds:
            where = f"{dotted}.{file_key(key)}"
            raise ConfigError(f"{where} = {as_toml(getattr(consumer, key))} must be {complaint}", origin=origins[where])
    if consumer.group and consumer.workers > 1:
        raise ConfigError(
            f"{dotted} is in group {consumer.group!r}, whose consumers never run at the same time: "
            f"it cannot have {consumer.workers} workers",
            origin=origins[f"{dotted}.group"],
        )
