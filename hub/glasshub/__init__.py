# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message hub that one can see into."""

from .consumer import Consumer
from .errors import ConfigError, HubError, MessageError, PublishError
from .message import Message
from .publishing import Publisher, publish
from .signals import ConsumerSignal, Drop, Halt, Retry

__version__ = "0.1.0"

__all__ = [
    # what a consumer is written with
    "Consumer",
    "Message",
    "MessageError",
    # what a consumer raises to say what becomes of a message
    "ConsumerSignal",
    "Drop",
    "Halt",
    "Retry",
    # what says something on the bus
    "Publisher",
    "publish",
    # what can go wrong
    "HubError",
    "ConfigError",
    "PublishError",
    # which one this is
    "__version__",
]
