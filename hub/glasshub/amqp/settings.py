# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's own configuration: what it says of the broker, as fedora-messaging reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Names a file, and where it is if nobody does.
VARIABLE, DEFAULT_FILE = "FEDORA_MESSAGING_CONF", Path("/etc/fedora-messaging/config.toml")

#: The exchange that every RabbitMQ has, and fedora-messaging uses if nobody says otherwise.
TOPIC_EXCHANGE = "amq.topic"


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
        urls: Brokers of one cluster, each as pika reads a URL; they are tried in turn.
        tls: ca_cert, keyfile and certfile.
        client_properties: What the broker shows of this client.
        publish_exchange: Where to publish.
        topic_prefix: What is put before each topic that is published.
        publish_priority: Priority of what is published; None for none.
        passive_declares: Whether queues, exchanges and bindings are made by somebody else.
        exchanges: type, durable, auto_delete and arguments of each.
        queues: durable, auto_delete, exclusive and arguments of each.
        bindings: What goes into these queues.
        prefetch: qos.prefetch_count.
        callback: A consumer, as module:name; empty for none.
        consumer_config: For that consumer's own use.
        path: The file; None where there is none.
    """

    urls: Sequence[str] = ("amqp://",)
    tls: Mapping[str, str | None] = field(default_factory=dict)
    client_properties: Mapping[str, str] = field(default_factory=dict)
    publish_exchange: str = TOPIC_EXCHANGE
    topic_prefix: str = ""
    publish_priority: int | None = None
    passive_declares: bool = False
    exchanges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queues: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bindings: Sequence[Binding] = ()
    prefetch: int = 10
    callback: str = ""
    consumer_config: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None


def read(path: Path) -> AmqpSettings:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, is not TOML, or says something that fedora-messaging would refuse.
    """
    try:
        with path.open("rb") as file:
            found = {key.lower(): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise ConfigError(f"cannot read fedora-messaging's configuration: {error.strerror}", origin=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"this is not TOML: {error}", origin=str(path)) from None
    return AmqpSettings(
        urls=[found.get("amqp_url", "amqp://")],
        tls=found.get("tls", {}),
        client_properties=found.get("client_properties", {}),
        publish_exchange=found.get("publish_exchange", TOPIC_EXCHANGE),
        topic_prefix=found.get("topic_prefix", ""),
        publish_priority=found.get("publish_priority"),
        passive_declares=found.get("passive_declares", False),
        exchanges=found.get("exchanges", {}),
        queues=found.get("queues", {}),
        bindings=[
            Binding(one.get("queue", ""), one["exchange"], one["routing_keys"]) for one in found.get("bindings", [])
        ],
        prefetch=found.get("qos", {}).get("prefetch_count", 10),
        callback=found.get("callback") or "",
        consumer_config=found.get("consumer_config", {}),
        path=path,
    )


def find(configured: str, environment: Mapping[str, str]) -> AmqpSettings:
    """Read the file that is configured; else the one that the environment names; else the default one, if it is there.

    Raises:
        ConfigError: See `read`.
    """
    named = configured or environment.get(VARIABLE, "")
    if named:
        return read(Path(named))
    return read(DEFAULT_FILE) if DEFAULT_FILE.exists() else AmqpSettings()
