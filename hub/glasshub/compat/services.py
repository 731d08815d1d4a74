# SPDX-License-Identifier: LGPL-2.1-or-later
"""What fedmsg-relay, fedmsg-signing-relay, fedmsg-gateway and fedmsg-irc are: a hub with one consumer of fedmsg's own.

Each switches its consumer on, whatever the files say of it, and runs no other. The relays bind where others connect:
they are the one fixed place in a network of publishers that come and go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..config import ConfigBuilder
from ..errors import ConfigError
from .fedmsg_config import FedmsgConfigFiles, endpoints_in


@dataclass(frozen=True)
class Service:
    """One of them.

    Attributes:
        name: Name of the hub, that of fedmsg's command.
        consumer: Its only consumer, as module:Class.
        config_key: What switches the consumer on.
        required: What it cannot work without in fedmsg's configuration: keys, and the keys in them.
        is_relay: Whether it binds to relay_inbound, and publishes at the first address of relay_outbound that is free.
        producers: The producers that it runs; None for those that are installed.
    """

    name: str
    consumer: str
    config_key: str
    required: tuple[tuple[str, ...], ...] = ()
    is_relay: bool = False
    producers: tuple[str, ...] | None = None

    def apply(self, files: FedmsgConfigFiles, builder: ConfigBuilder, *, origin: str) -> None:
        """Set what the service is, over everything that configuration files say.

        Raises:
            ConfigError: fedmsg's configuration lacks what the service needs.
        """
        for path in self.required:
            if _at(path, files.values) in (None, "", (), [], {}):
                raise ConfigError(f"{self.name} needs {written(path)} in fedmsg's configuration", origin=origin)
        files.set(self.config_key, True, origin=origin)
        builder.set("hub", "name", self.name, origin=origin)
        if self.is_relay:
            _relay(files, builder, origin=origin)


def _relay(files: FedmsgConfigFiles, builder: ConfigBuilder, *, origin: str) -> None:
    for key, path in (("endpoints", _INBOUND), ("publish_endpoints", _OUTBOUND)):
        source = files.origins[path[0]]
        builder.set("zmq", key, endpoints_in(_at(path, files.values), written(path), origin=source), origin=source)
    builder.set("zmq", "method", "bind", origin=origin)
    builder.set("zmq", "publish_at", "first", origin=origin)


def _at(path: Sequence[str], values: Any) -> Any:
    """The value at that path; None if there is nothing."""
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def written(path: Sequence[str]) -> str:
    """A path as Python has it."""
    return path[0] + "".join(f"[{key!r}]" for key in path[1:])


_INBOUND, _OUTBOUND = ("relay_inbound",), ("endpoints", "relay_outbound")
_RELAY_KEY = "fedmsg.consumers.relay.enabled"
_GATEWAY = "fedmsg.consumers.gateway"

#: The services, by the name that `--service` takes.
SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        "relay": Service(
            "fedmsg-relay",
            "fedmsg.consumers.relay:RelayConsumer",
            _RELAY_KEY,
            required=(_INBOUND, _OUTBOUND),
            is_relay=True,
            producers=(),
        ),
        "signing-relay": Service(
            "fedmsg-signing-relay",
            "fedmsg.consumers.relay:SigningRelayConsumer",
            _RELAY_KEY,
            required=(_INBOUND, _OUTBOUND, ("certnames", "signing_relay")),
            is_relay=True,
            producers=(),
        ),
        "gateway": Service(
            "fedmsg-gateway",
            f"{_GATEWAY}:GatewayConsumer",
            f"{_GATEWAY}.enabled",
            required=((f"{_GATEWAY}.port",), (f"{_GATEWAY}.high_water_mark",)),
        ),
        "irc": Service(
            "fedmsg-irc",
            "fedmsg.consumers.ircbot:IRCBotConsumer",
            "fedmsg.consumers.ircbot.enabled",
            required=(("irc",),),
        ),
    }
)
