# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging: where it goes, how it is opened anew after rotation, and how a repeated message is kept short."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .errors import ConfigError

logger = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)s [%(threadName)s] %(name)s: %(message)s"


def set_up(level: str, file: str) -> None:
    """Send the log to a file, or to standard error (where systemd's journal picks it up).

    Raises:
        ConfigError: The file cannot be opened.
    """
    handler: logging.Handler
    if file:
        try:
            handler = logging.FileHandler(Path(file), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot log to {file}: {error.strerror}", origin="[logging] file") from None
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)


def reopen() -> None:
    """Open every log file anew, under its name of now (logrotate(8)); one that cannot be opened goes on as it was.

    Here and now: a handler that opens its file with the next message raises out of that call, and ends the thread
    that made it.
    """
    for handler in _file_handlers():
        try:
            stream = open(handler.baseFilename, "a", encoding=handler.encoding, errors=handler.errors)  # noqa: SIM115
        except OSError as error:
            logger.error("cannot reopen %s: %s: logging on to the old file", handler.baseFilename, error.strerror)
            continue
        old = handler.setStream(stream)
        if old is not None:
            with contextlib.suppress(OSError):  # a full disk
                old.close()


def _file_handlers() -> list[logging.FileHandler]:
    """The handlers whose file is open, those of consumers too."""
    loggers = [logging.getLogger(), *list(logging.Logger.manager.loggerDict.values())]
    handlers = [handler for one in loggers if isinstance(one, logging.Logger) for handler in one.handlers]
    return [x for x in dict.fromkeys(handlers) if isinstance(x, logging.FileHandler) and x.stream is not None]


class Repeats:
    """Lets the first message of a kind through, and one more in each period, with the number of those held back.

    Threads: any.
    """

    def __init__(self, *, period: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[object, tuple[float, int]] = {}

    def admit(self, kind: object) -> int | None:
        """Ask to log a message of this kind.

        Returns:
            None: hold it back. Otherwise log it, and say that so many like it were held back since the last one.
        """
        now = self._clock()
        with self._lock:
            last, held_back = self._seen.get(kind, (-self._period, 0))
            if now - last < self._period:
                self._seen[kind] = (last, held_back + 1)
                return None
            self._seen[kind] = (now, 0)
            return held_back


def held_back(count: int) -> str:
    """A clause for the end of a message that was admitted after `count` others like it were not."""
    return f" ({count} more like this since the last one)" if count else ""
