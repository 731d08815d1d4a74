# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's configuration as commands take it: where it is, what of it counts, what does not."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence

from ..amqp import settings
from ..amqp.settings import AmqpSettings
from ..amqp.topology import queue_names
from ..config import DEFAULT, EACH, Config, ConfigBuilder
from ..trust import refuse_unsafe

#: Its keys that do nothing here, and why.
_IDLE = {
    "log_config": "see [logging]",
    "qos": "see prefetch in [fedora-messaging]",
}
_IDLE_WITH_OWN_QUEUES = {"queues": "each consumer has a queue of its own"}


#: For the help of the option, where nothing more is to be said.
NAMED_BROKER = "the broker that fedora-messaging's configuration names (default: where it looks for it)"


def add_broker(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Give a parser the option that names fedora-messaging's configuration, which may be found without a name."""
    parser.add_argument("--fedora-messaging", metavar="FILE", nargs="?", const="", help=help_text)


def read_broker(builder: ConfigBuilder, *, allow_unsafe: bool) -> AmqpSettings:
    """Read the configuration; where it was found is then in ours.

    Raises:
        ConfigError: It is not usable, or anybody could have written it.
    """
    configured = builder.origin("fedora-messaging", "config")
    found, origin = settings.locate(builder.get("fedora-messaging", "config"), os.environ)
    if found is None:
        return AmqpSettings()
    path = found.absolute()  # a consumer may go elsewhere, and publish from there
    if not allow_unsafe:
        refuse_unsafe(path)
    builder.set("fedora-messaging", "config", str(path), origin=origin if configured == DEFAULT else configured)
    return settings.read(path)


def summary(broker: AmqpSettings, config: Config) -> str:
    """Which brokers there are, and who says so."""
    origin = config.origins.get("fedora-messaging.config", DEFAULT)
    where = f"{broker.path} ({origin})" if broker.path is not None else "none, which is the broker of this machine"
    return f"fedora-messaging's configuration: {where}: {', '.join(broker.brokers())}"


def without_effect(broker: AmqpSettings, config: Config) -> dict[str, str]:
    """The keys of fedora-messaging's configuration that do nothing here, and where to look instead."""
    has_own = config.fedora_messaging.queues == EACH
    reasons = {**_IDLE, **(_IDLE_WITH_OWN_QUEUES if has_own else {})}
    return {key: reason for key, reason in reasons.items() if key in broker.keys}


def queues(broker: AmqpSettings, config: Config, consumers: Sequence[str]) -> Iterator[str]:
    """The queues on the broker, a line for each.

    Raises:
        ConfigError: See `queue_names`.
    """
    if config.fedora_messaging.queues != EACH:
        for name in broker.queues:
            yield f"queue {name or 'that the broker names'}, for all consumers"
        return
    for consumer, name in zip(consumers, queue_names(config, consumers)):
        yield f"queue {name}, for {consumer}"
