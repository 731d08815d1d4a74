# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which bus is published on: that of the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .amqp.library import require_pika
from .amqp.settings import find, locate
from .config import FEDORA_MESSAGING, Config, ConfigBuilder
from .paths import DEFAULT_FILE
from .publisher import LatePublisher
from .sender import Sender
from .trust import refuse_unsafe


def sender_of(config: Config, relay: Callable[[bytes, bytes], None] | None = None) -> Sender | None:
    """What publishes on the bus in use, from this process; None where the configuration names no place for that.

    Args:
        config: The configuration.
        relay: Has the hub publish, for a worker process: an endpoint can be bound once, and that is in the hub. A
            broker is connected to by each process, so that who publishes can wait for it to confirm.

    Raises:
        ConfigError: fedora-messaging's configuration is not usable.
        MissingLibraryError: That bus needs pika, which is not installed.
    """
    if config.hub.source == FEDORA_MESSAGING:
        require_pika()
        # Here, for a hub on zeromq needs none.
        from .amqp.publisher import AmqpPublisher

        return AmqpPublisher(find(config.fedora_messaging.config, os.environ))
    if not config.zmq.publish_endpoints:
        return None
    if relay is not None:
        return Relay(relay)
    return LatePublisher(config.zmq.publish_endpoints, is_one_enough=config.zmq.publish_at == "first")


def configured_sender(
    path: str | os.PathLike[str] | None, fedora_messaging: str | os.PathLike[str] | None = None
) -> Sender | None:
    """What publishes on the bus of a glasshub.toml, see `sender_of`.

    Args:
        path: The file; None for the usual one, or for defaults where that is not there.
        fedora_messaging: See `Publisher.from_config`.

    Raises:
        ConfigError: The configuration is not usable, or anybody could have written it.
    """
    file = Path(path) if path is not None else DEFAULT_FILE
    builder = ConfigBuilder()
    if path is not None or file.exists():
        refuse_unsafe(file)
        builder.read_toml(file)
    if fedora_messaging is not None:
        builder.set("hub", "source", FEDORA_MESSAGING, origin="fedora_messaging")
        builder.set("fedora-messaging", "config", os.fspath(fedora_messaging), origin="fedora_messaging")
    config = builder.build()
    if config.hub.source == FEDORA_MESSAGING:
        found, _ = locate(config.fedora_messaging.config, os.environ)
        if found is not None:
            refuse_unsafe(found)
    return sender_of(config)


class Relay:
    """Has somebody else publish, who has no answer. See `Sender`. Threads: any."""

    confirms = False

    def __init__(self, publish: Callable[[bytes, bytes], None]) -> None:
        self.publish = publish

    def open(self) -> None:
        """See `Sender.open`."""

    def close(self) -> None:
        """See `Sender.close`."""
