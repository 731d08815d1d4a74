# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging: where it goes, how it is opened anew after rotation, and how a repeated message is kept short."""

from __future__ import annotations

import contextlib
import logging
import logging.config
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError

logger = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)s [%(threadName)s] %(name)s: %(message)s"


def set_up(level: str, file: str) -> None:
    """Send the log to a file, or to standard error (where systemd's journal picks it up).

    Raises:
        ConfigError: The file cannot be opened.
    """
    root = logging.getLogger()
    root.addHandler(_own_handler(file))
    root.setLevel(level)


def set_up_dict(
    dictionary: Mapping[str, Any], *, origin: str, level: str, file: str, explicit: Container[str] = ()
) -> None:
    """Set the log up as fedmsg's `logging` says, which is a dictionary for logging.config.dictConfig.

    Where it says nothing of the root logger, ours is set up there, for what no other handler has got; so each message
    goes somewhere, and the same message does not go to the same place twice.

    Args:
        dictionary: See above. It silences nobody: disable_existing_loggers does not count.
        origin: The file that says so.
        level: See `set_up`.
        file: See `set_up`.
        explicit: Of the words level and file those that the operator has set himself, for us: they go over what the
            dictionary says of the root logger.

    Raises:
        ConfigError: The dictionary is no good, or the file cannot be opened.
    """
    try:
        logging.config.dictConfig({**dictionary, "disable_existing_loggers": False})
    except Exception as error:
        raise ConfigError(f"logging: {_chain(error)}", origin=origin) from None
    root = logging.getLogger()
    if not root.handlers:
        handler = _own_handler(file)
        handler.addFilter(_is_unheard)
        root.addHandler(handler)
    elif "file" in explicit:
        _remove_handlers(root)
        root.addHandler(_own_handler(file))
    if "level" in explicit or not _says_level_of_root(dictionary):
        root.setLevel(level)


def _own_handler(file: str) -> logging.Handler:
    handler: logging.Handler
    if file:
        try:
            handler = logging.FileHandler(Path(file), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot log to {file}: {error.strerror}", origin="[logging] file") from None
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler


def _remove_handlers(root: logging.Logger) -> None:
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


def _says_level_of_root(dictionary: Mapping[str, Any]) -> bool:
    """Whether it does; the root logger goes by two names."""
    said = dictionary.get("root"), dictionary.get("loggers", {}).get("")
    return any(one and "level" in one for one in said)


def _is_unheard(record: logging.LogRecord) -> bool:
    """Whether no logger on the record's way to the root has a handler that takes it."""
    at = logging.getLogger(record.name)
    while at.parent is not None:
        if any(record.levelno >= handler.level for handler in at.handlers):
            return False
        at = at.parent
    return True


def _chain(error: BaseException) -> str:
    """What went wrong, with what made it go wrong, on one line."""
    reasons = [f"{error}" or type(error).__name__]
    while error.__cause__ is not None:
        error = error.__cause__
        reasons.append(f"{type(error).__name__}: {error}")
    return ": ".join(reasons).replace("\n", " ")


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep the log while code of others is loaded, which may set up logging as if the process were its own.

    What it adds stays; what it takes away comes back.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in handlers:
            root.addHandler(handler)  # does nothing for one that is there
        root.setLevel(min(level, root.level))
        for name, one in logging.Logger.manager.loggerDict.items():
            if name.startswith("glasshub") and isinstance(one, logging.Logger):
                one.disabled = False


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
    found = dict.fromkeys(end for handler in handlers for end in (handler, getattr(handler, "target", None)))
    return [x for x in found if isinstance(x, logging.FileHandler) and x.stream is not None]


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
