# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub stats`: what the segments of hubs say, as text, JSON, OpenMetrics or collectd's `PUTVAL`."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from glasshub_stats import values
from glasshub_stats.render import as_json, as_openmetrics, as_text

from ..errors import ConfigError
from ..looking import Look, Watcher, nothing_found
from .numbers import seconds
from .terminal import complain

_INTERVAL = 10.0  # collectd's own default
_NARROWEST, _WIDEST = 80, 100


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "stats",
        help="show what a hub's segment says",
        description="Show what the segment of a hub says, or, without PATH or NAME, those of all hubs.",
    )
    parser.add_argument("segment", nargs="?", metavar="PATH|NAME", help="a segment's file, or the name of a hub")
    parser.add_argument("--format", choices=list(_FORMATS), default="text", help="default: text")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=seconds,
        help="go on for ever, and tell what happened in each interval (putval: default is $COLLECTD_INTERVAL)",
    )
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segments stand")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Show the segments, once or until interrupted.

    Args:
        options: As `add_parser` makes them.
        sleep: Waits for so many seconds.

    Returns:
        0; 1 when the named segment, or at the beginning any, cannot be read.
    """
    try:
        return _shown(options, sleep)
    except KeyboardInterrupt:  # the usual end of a watch
        return 0


def _shown(options: argparse.Namespace, sleep: Callable[[float], None]) -> int:
    every = _every(options)
    is_feeding = options.format == "putval" and every > 0  # collectd is told of a hub that is not there, too
    watcher = Watcher(options.segment, options.stats_dir, complain=complain)
    looks = watcher.look()
    if not is_feeding and not any(look.snapshot for look in looks):
        if not looks:
            raise nothing_found(options.stats_dir)
        return 1
    later = watcher.look_every(every, sleep=sleep) if every else ()
    for seen in chain([looks], later):
        for block in _FORMATS[options.format](seen, every):
            print(block, flush=True)
    return 0


def _as_text(looks: Sequence[Look], every: float) -> Iterator[str]:
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    seen = [look for look in looks if look.snapshot is not None]
    if any(look.older is not None for look in looks):
        yield time.strftime("\n-- %Y-%m-%d %H:%M:%S --\n")
    for number, look in enumerate(seen):
        assert look.snapshot is not None
        yield ("\n" if number else "") + as_text(look.snapshot, look.interval, width)


def _as_json(looks: Sequence[Look], every: float) -> Iterator[str]:
    return (as_json(look.snapshot, look.interval) for look in looks if look.snapshot is not None)


def _as_openmetrics(looks: Sequence[Look], every: float) -> Iterator[str]:
    snapshots = [look.snapshot for look in looks if look.snapshot is not None]
    yield as_openmetrics(*snapshots).removesuffix("\n")


def _as_putval(looks: Sequence[Look], every: float) -> Iterator[str]:
    host = os.environ.get("COLLECTD_HOSTNAME") or socket.gethostname()
    for look in looks:
        for value in _values(look, every):
            yield values.putval(value, host, every or _collectd_interval() or _INTERVAL)


def _values(look: Look, every: float) -> Iterator[values.Value]:
    if look.snapshot is None:
        return iter([values.of_hub_up(look.hub, False)])
    # A first look of many knows no rates: those since the hub's start would be a peak in every graph.
    older = look.older or (look.snapshot if every else None)
    return values.of_interval(look.snapshot.since(older))


_FORMATS: dict[str, Callable[[Sequence[Look], float], Iterator[str]]] = {
    "text": _as_text,
    "json": _as_json,
    "openmetrics": _as_openmetrics,
    "putval": _as_putval,
}


def _every(options: argparse.Namespace) -> float:
    """Seconds from look to look; 0 for a single one."""
    if options.watch:
        return float(options.watch)
    return _collectd_interval() if options.format == "putval" else 0.0


def _collectd_interval() -> float:
    """What collectd's exec plugin asks of its children; 0 when it has not started us."""
    text = os.environ.get("COLLECTD_INTERVAL")
    if not text:
        return 0.0
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(str(error), origin="COLLECTD_INTERVAL") from None
