# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opening the spool of a hub, and telling the operator what is in it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from .config import OLDEST, Config
from .crew import Member
from .routing import Router
from .spool import Log, SpoolDirectory

logger = logging.getLogger(__name__)


def open_spool(config: Config, members: Sequence[Member]) -> Log:
    """Open the spool, in which the consumers that run come first, in their order.

    One that could not be built has its place, too: it gets what waits for it when it can be built again.

    Raises:
        SpoolError: It cannot be used.
    """
    section = config.spool
    SpoolDirectory(section.directory).make()
    directory = Path(section.directory, config.hub.name)  # several hubs may have the same in their configuration
    running = [member for member in members if member.consumer is not None]
    absent = [member for member in members if member.consumer is None]
    log = Log(
        directory,
        consumers=[member.name for member in [*running, *absent]],
        oldest={m.name: _wants(m, strict=config.zmq.strict) for m in running if m.section.beginning == OLDEST},
        limit_bytes=section.limit,
        synchronous=section.synchronous.upper(),
    )
    if log.recovery:
        logger.error("the spool was damaged: %s", log.recovery)
    _say_what_waits(log, directory, running, absent)
    return log


def _wants(member: Member, *, strict: bool) -> Callable[[bytes], bool]:
    assert member.consumer is not None
    router = Router([member.consumer.topics], strict=strict)
    return lambda topic: bool(router.match(topic))


def _say_what_waits(log: Log, directory: Path, running: Sequence[Member], absent: Sequence[Member]) -> None:
    logger.info("the backlog is on disk, in %s", directory)
    for index, member in enumerate([*running, *absent]):
        if log.depth(index) and member.consumer is not None:
            logger.info("%s goes on where it was: %d messages wait for it", member.name, log.depth(index))
        elif log.depth(index):
            logger.warning("%s could not be built: %d messages wait for it on disk", member.name, log.depth(index))
    for name, waiting in log.leftovers.items():
        logger.warning(
            "nobody runs %s, for which %d messages wait on disk, and stay there: to forget them, stop the hub and run "
            "glasshub spool drop-consumer %s %s",
            name,
            waiting,
            shlex.quote(str(directory)),
            shlex.quote(name),
        )
