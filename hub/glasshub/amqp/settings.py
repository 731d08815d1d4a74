# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's own configuration: what it says of the broker, as fedora-messaging 3.9 reads it.

What fedora-messaging refuses is refused; and what it takes and then stumbles over, with a word of what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Names a file, and where it is if nobody does.
VARIABLE, DEFAULT_FILE = "FEDORA_MESSAGING_CONF", Path("/etc/fedora-messaging/config.toml")

#: The exchange that every RabbitMQ has, and fedora-messaging uses if nobody says otherwise.
TOPIC_EXCHANGE = "amq.topic"

#: How to name a broker; what errors say, for they must not repeat a password.
_URL = "amqps://user:password@host:5671/vhost, with %2F for / in user, password and vhost"

#: Keys of client_properties that fedora-messaging sets itself.
_RESERVED = ("version", "information", "product")


def _default_queues() -> dict[str, Mapping[str, Any]]:
    """A queue that the broker names, and that goes with us."""
    return {"": {"durable": False, "auto_delete": True, "exclusive": True, "arguments": {}}}


def _default_exchanges() -> dict[str, Mapping[str, Any]]:
    return {TOPIC_EXCHANGE: {"type": "topic", "durable": True, "auto_delete": False, "arguments": {}}}


@dataclass(frozen=True)
class Binding:
    """Which messages an exchange puts into a queue."""

    queue: str
    exchange: str
    routing_keys: Sequence[str]


@dataclass(frozen=True)
class AmqpSettings:
    """What fedora-messaging's configuration says. Immutable.

    Attributes:
        urls: Brokers of one cluster, each as pika reads a URL; they are tried in turn. They may hold a password.
        tls: ca_cert, keyfile and certfile; they are for brokers of scheme amqps.
        client_properties: What the broker shows of this client, besides what the client says of itself.
        publish_exchange: Where to publish.
        topic_prefix: What is put before each topic that is published.
        publish_priority: Priority of what is published; None for none.
        passive_declares: Whether queues and exchanges are made by somebody else.
        exchanges: type, durable, auto_delete and arguments of each.
        queues: durable, auto_delete, exclusive and arguments of each.
        bindings: What goes into these queues.
        prefetch: qos.prefetch_count.
        callback: A consumer, as module:name; empty for none.
        consumer_config: For that consumer's own use.
        monitoring: port and address of its health checks; nothing for none.
        path: The file; None where there is none.
        keys: The keys that it sets.
    """

    urls: Sequence[str] = field(default=("amqp://",), repr=False)
    tls: Mapping[str, str] = field(default_factory=dict)
    client_properties: Mapping[str, Any] = field(default_factory=lambda: {"app": "Unknown"})
    publish_exchange: str = TOPIC_EXCHANGE
    topic_prefix: str = ""
    publish_priority: int | None = None
    passive_declares: bool = False
    exchanges: Mapping[str, Mapping[str, Any]] = field(default_factory=_default_exchanges)
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=_default_queues)
    bindings: Sequence[Binding] = (Binding("", TOPIC_EXCHANGE, ("#",)),)
    prefetch: int = 10
    callback: str = ""
    consumer_config: Mapping[str, Any] = field(default_factory=dict)
    monitoring: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    keys: frozenset[str] = frozenset()

    def brokers(self) -> list[str]:
        """Hosts and ports of the brokers, to be shown."""
        return [broker_name(url) for url in self.urls]


class Place(NamedTuple):
    """Where fedora-messaging's configuration is, and who says so; None for nowhere."""

    path: Path | None
    origin: str


def locate(configured: str, environment: Mapping[str, str]) -> Place:
    """Where the configuration is: the file that is configured; else the one that the environment names; else the
    default one, if it is there."""
    if configured:
        return Place(Path(configured), "fedora-messaging.config")
    if environment.get(VARIABLE):
        return Place(Path(environment[VARIABLE]), VARIABLE)
    try:
        return Place(DEFAULT_FILE if DEFAULT_FILE.exists() else None, "found")
    except PermissionError:  # it is not for us to know: who reads it says so
        return Place(DEFAULT_FILE, "found")


def find(configured: str, environment: Mapping[str, str]) -> AmqpSettings:
    """Read what `locate` finds; defaults, where there is nothing.

    Raises:
        ConfigError: See `read`.
    """
    path = locate(configured, environment).path
    return AmqpSettings() if path is None else read(path)


def read(path: Path) -> AmqpSettings:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, is not TOML, or says something that fedora-messaging would refuse.
    """
    try:
        with path.open("rb") as file:
            found = {key.lower(): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise ConfigError(
            f"cannot read fedora-messaging's configuration: {error.strerror}: name a file that is there in "
            f"[fedora-messaging] config, or with {VARIABLE} in the environment",
            origin=str(path),
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"this is not TOML: {error}", origin=str(path)) from None
    return _settings(_Table(found, "", str(path)), path)


def broker_name(url: str) -> str:
    """Host and port of a broker: what of its URL anybody may see."""
    parts = urlsplit(url)
    port = parts.port or (5671 if parts.scheme.lower() == "amqps" else 5672)
    host = parts.hostname or "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Table:
    """A table of the file; its values are asked for by name and type. Errors name no values: one may be a password."""

    def __init__(self, values: Mapping[str, Any], name: str, origin: str) -> None:
        self._values = values
        self._name = name
        self._origin = origin

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str, wanted: type[Any], default: Any) -> Any:
        """The value of that type, or the default."""
        value = self._values.get(key, default)
        if value is default or type(value) is wanted:
            return value
        raise self.error(f"{self._dotted(key)} must be {_WORDS[wanted]}, not {_WORDS.get(type(value), 'a date')}")

    def number(self, key: str, default: int | None, *, most: int) -> Any:
        """A whole number from 0 on."""
        value = self.get(key, int, default)
        if value is not None and not 0 <= value <= most:
            raise self.error(f"{self._dotted(key)} = {value} must be 0 to {most}")
        return value

    def table(self, key: str, default: Mapping[str, Any]) -> _Table:
        """A table in it."""
        return _Table(self.get(key, dict, default), self._dotted(key), self._origin)

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        found: list[str] = self.get(key, list, [])
        if not all(isinstance(item, str) for item in found):
            raise self.error(f"{self._dotted(key)} must be a list of strings")
        return found

    def tables(self, key: str, default: list[Any]) -> list[_Table]:
        """The tables in a list."""
        found = self.get(key, list, default)
        name = self._dotted(key)
        if not all(isinstance(item, dict) for item in found):
            raise self.error(f"{name} must be a list of tables, each under [[{name}]]")
        return [_Table(item, f"{name}[{index}]", self._origin) for index, item in enumerate(found)]

    def know(self, *keys: str, needed: Collection[str] = ()) -> _Table:
        """Itself, with no other keys than these, and all that are needed."""
        unknown = sorted(set(self._values) - set(keys))
        if unknown:
            raise self.error(f"unknown key {self._dotted(unknown[0])!r} (valid ones are: {', '.join(keys)})")
        missing = [key for key in needed if key not in self._values]
        if missing:
            raise self.error(f"{self._name} lacks {' and '.join(missing)}: it needs {', '.join(needed)}")
        return self

    def plain(self) -> dict[str, Any]:
        """What it holds."""
        return dict(self._values)

    def error(self, complaint: str) -> ConfigError:
        """What is wrong, and in which file."""
        return ConfigError(complaint, origin=self._origin)

    def _dotted(self, key: str) -> str:
        key = key or '""'
        return f"{self._name}.{key}" if self._name else key


_WORDS: Mapping[type[Any], str] = MappingProxyType(
    {
        str: "a string",
        int: "a whole number",
        float: "a number with a fraction",
        bool: "true or false",
        dict: "a table",
        list: "a list",
    }
)

#: In the order of fedora-messaging's manual.
_KEYS = (
    *("amqp_url", "passive_declares", "tls", "client_properties", "exchanges", "log_config"),
    *("publish_exchange", "topic_prefix", "publish_priority"),
    *("queues", "bindings", "callback", "consumer_config", "qos", "monitoring"),
)


def _settings(file: _Table, path: Path) -> AmqpSettings:
    file.know(*_KEYS)
    defaults = AmqpSettings()
    file.table("log_config", {})
    qos = file.table("qos", {}).know("prefetch_count", "prefetch_size")
    qos.number("prefetch_size", 0, most=2**32 - 1)
    return AmqpSettings(
        urls=_urls(file, defaults.urls[0]),
        tls=_tls(file),
        client_properties=_client_properties(file, defaults.client_properties),
        publish_exchange=file.get("publish_exchange", str, TOPIC_EXCHANGE),
        topic_prefix=file.get("topic_prefix", str, ""),
        publish_priority=file.number("publish_priority", None, most=255),
        passive_declares=file.get("passive_declares", bool, False),
        exchanges=_exchanges(file, defaults.exchanges),
        queues=_queues(file, defaults.queues),
        bindings=_bindings(file, defaults.bindings),
        prefetch=qos.number("prefetch_count", 10, most=65_535),
        callback=file.get("callback", str, ""),
        consumer_config=file.table("consumer_config", {}).plain(),
        monitoring=_monitoring(file),
        path=path,
        keys=frozenset(file),
    )


def _urls(file: _Table, default: str) -> list[str]:
    """A URL for each broker. Several have commas between them, where one has its host and port; fedora-messaging reads
    but one."""
    scheme, separator, rest = file.get("amqp_url", str, default).partition("://")
    if scheme.lower() not in ("amqp", "amqps") or not separator:
        raise file.error(f"amqp_url must begin with amqp:// or amqps://: it looks like {_URL}")
    end = next((index for index, letter in enumerate(rest) if letter in "/?#"), len(rest))
    user, at, hosts = rest[:end].rpartition("@")
    if at and ":" not in user:  # it may be empty, as that of Fedora's public queues, where a certificate counts
        raise file.error(f"amqp_url names a user without a password: it looks like {_URL}")
    urls = [f"{scheme.lower()}://{user}{at}{host.strip()}{rest[end:]}" for host in hosts.split(",")]
    if not all(map(_is_url, urls)) or ("," in hosts and not all(map(str.strip, hosts.split(",")))):
        raise file.error(f"amqp_url names no host and port where it should: it looks like {_URL}")
    return urls


def _is_url(url: str) -> bool:
    try:
        broker_name(url)
    except ValueError:
        return False
    return True


def _tls(file: _Table) -> dict[str, str]:
    tls = file.table("tls", {}).know("ca_cert", "certfile", "keyfile")
    found = {key: tls.get(key, str, "") for key in tls}
    if bool(found.get("certfile")) != bool(found.get("keyfile")):
        raise file.error("[tls] needs certfile and keyfile, or neither: they are the client's certificate and its key")
    return {key: value for key, value in found.items() if value}


def _client_properties(file: _Table, default: Mapping[str, Any]) -> dict[str, Any]:
    properties = file.table("client_properties", default)
    for key in properties:
        if key in _RESERVED:
            raise file.error(f"client_properties.{key} is set by the client itself: leave it out")
        if not isinstance(properties.plain()[key], (str, int)):
            raise file.error(f"client_properties.{key} must be a string")
    return properties.plain()


def _exchanges(file: _Table, default: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    exchanges = file.table("exchanges", default)
    for name in exchanges:
        exchange = exchanges.table(name, {}).know("type", "durable", "auto_delete", "arguments")
        exchange.get("type", str, "")
        exchange.table("arguments", {})
        for key in ("durable", "auto_delete"):
            exchange.get(key, bool, False)
    return exchanges.plain()


def _queues(file: _Table, default: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    queues = file.table("queues", default)
    needed = ("durable", "auto_delete", "exclusive", "arguments")
    for name in queues:
        queue = queues.table(name, {}).know(*needed, "passive", needed=needed)
        queue.table("arguments", {})
        for key in ("durable", "auto_delete", "exclusive", "passive"):
            queue.get(key, bool, False)
    return queues.plain()


def _bindings(file: _Table, default: Sequence[Binding]) -> Sequence[Binding]:
    if "bindings" not in set(file):
        return default
    needed = ("exchange", "routing_keys")
    return [
        Binding(table.get("queue", str, ""), table.get("exchange", str, ""), table.strings("routing_keys"))
        for table in (one.know("queue", *needed, needed=needed) for one in file.tables("bindings", []))
    ]


def _monitoring(file: _Table) -> dict[str, Any]:
    monitoring = file.table("monitoring", {}).know("address", "port")
    if not set(monitoring):
        return {}
    port = monitoring.know("address", "port", needed=("port",)).number("port", None, most=65_535)
    # Twisted takes an empty one for all that the machine has.
    return {"port": port, "address": monitoring.get("address", str, "") or "0.0.0.0"}
