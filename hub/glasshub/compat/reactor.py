# SPDX-License-Identifier: LGPL-2.1-or-later
"""Twisted's reactor, which consumers of fedmsg and Moksha expect to run: for IRC, for timers, to have the hub stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

#: Seconds between two turns of a reactor that has nothing to do. Worker threads call `callLater` and `connectTCP`,
#: which do not wake it: without turns they would have to wait for somebody else's event.
_TICK = 0.1

#: Threads of the reactor's pool beside those that consumers and producers occupy; Twisted's own default.
_POOL = 10


class ReactorThread(threading.Thread):
    """Runs the reactor of the process in a thread of its own. A process can do that once."""

    def __init__(self, stopped: Callable[[], None], *, pool: int) -> None:
        """Take what to call when somebody else stops the reactor, and how many threads its pool may need besides."""
        super().__init__(name="reactor", daemon=True)
        from moksha.hub.reactor import reactor

        self._reactor: Any = reactor
        self._stopped = stopped
        self._pool = pool

    def run(self) -> None:
        """Run it until it is stopped, by us or by a consumer; nothing, if somebody else runs it."""
        self._reactor.callFromThread(self._prepare)
        if _is_crochets():
            return
        try:
            self._reactor.run(installSignalHandlers=False)
        except Exception:
            logger.critical("Twisted's reactor died", exc_info=True)
        finally:
            self._stopped()

    def _prepare(self) -> None:
        from twisted.internet.task import LoopingCall

        LoopingCall(lambda: None).start(_TICK)
        self._reactor.suggestThreadPoolSize(_POOL + self._pool)

    def stop(self, timeout: float) -> bool:
        """Stop it, and wait for it and the threads of its pool for at most so many seconds; whether they ended."""
        if self.is_alive():
            self._reactor.callFromThread(self._end)
            self.join(timeout)
        return not self.is_alive()

    def _end(self) -> None:
        if self._reactor.running:
            self._reactor.stop()


def _is_crochets() -> bool:
    """Whether crochet runs the reactor; if not, it is told to leave that to us.

    Whoever publishes with fedora-messaging has it run by crochet, and may have done so in a constructor.
    """
    try:
        import crochet
    except ImportError:
        return False
    try:
        crochet.no_setup()
    except RuntimeError:  # it has begun
        return True
    return False
