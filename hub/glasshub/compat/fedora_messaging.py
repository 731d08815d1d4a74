# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that were written for fedora-messaging: anything that can be called with a message.

Neither a hub nor a callback needs fedora-messaging to be installed for that: what a callback raises is known by the
names of its classes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from ..config import Config
from ..consumer import Inlet
from ..errors import UnusableError
from ..failure import one_line
from ..message import Frame
from ..routing import BINDINGS
from ..signals import ConsumerSignal, Drop, Halt, Retry
from ..stats import Outcome
from .fedora_messages import message_reader

#: Names fedora-messaging's configuration to all who import it.
_VARIABLE = "FEDORA_MESSAGING_CONF"

#: Where its signals are.
_EXCEPTIONS = "fedora_messaging.exceptions"

_PROCESSED = Outcome.PROCESSED


class CallableConsumer:
    """Binds a callback to the hub.

    Attributes:
        author: What is called.
        topics: See `BoundConsumer.topics`.
    """

    def __init__(self, callback: Any, name: str, topics: tuple[str, ...] = ()) -> None:
        """Take the callback, which is built first if it is a class, without arguments, as fedora-messaging does.

        Args:
            callback: A function, an object, or the class of one.
            name: The consumer's name.
            topics: What it is to get; empty for all that the bindings of fedora-messaging's configuration bring.

        Raises:
            UnusableError: It cannot be built without arguments, or fedora-messaging does not work.
            Exception: Its constructor did.
        """
        from .coroutines import Coroutines  # and with it asyncio, for which other consumers have no use

        self.topics = topics or (BINDINGS,)
        self._read = message_reader()
        self._coroutines = Coroutines(name)
        self.close = self._coroutines.close
        self.author = _built(callback) if isinstance(callback, type) else callback

    def connect(self, inlet: Inlet, topics_changed: Callable[[], None]) -> None:
        """See `BoundConsumer.connect`; a callback needs neither."""

    def handle(self, frame: Frame) -> Outcome:
        """See `BoundConsumer.handle`."""
        message = self._read(frame)
        try:
            answer = self.author(message)
            if inspect.iscoroutine(answer):
                self._coroutines.finish(answer)
        except Exception as error:
            signal = signal_of(error)
            if signal is None:
                raise
            raise signal from error
        return _PROCESSED


def name_configuration(config: Config) -> None:
    """Have fedora-messaging read the file that the hub reads, whoever imports it in this process."""
    if config.fedora_messaging.config:
        os.environ[_VARIABLE] = os.path.abspath(config.fedora_messaging.config)


def is_callback(found: Any) -> bool:
    """Whether it is something that can be called with a message, or a class of such objects."""
    if isinstance(found, type):
        return any("__call__" in vars(base) for base in found.__mro__)
    return callable(found)


def signal_of(error: Exception) -> ConsumerSignal | None:
    """What a callback means by an exception of fedora-messaging's; None if it is another one."""
    names = {cls.__name__ for cls in type(error).__mro__ if cls.__module__ == _EXCEPTIONS}
    if "Nack" in names:
        return Retry(reason=one_line(error))
    if "Drop" in names:
        return Drop(one_line(error))
    if "HaltConsumer" in names:
        reason, exit_code = getattr(error, "reason", None), getattr(error, "exit_code", 0)
        return Halt(reason or "", exit_code=exit_code, is_done=not getattr(error, "requeue", False))
    return None


def _built(cls: type) -> Any:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise UnusableError(f"its class is built without arguments, and that is not possible: {error}") from None
    except ValueError:
        pass  # a class that does not say
    return cls()
