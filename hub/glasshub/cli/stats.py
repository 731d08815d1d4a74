# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub stats`: what the segments of hubs say, as text, JSON, OpenMetrics or collectd's `PUTVAL`."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import Snapshot, StatsError, read, values
from glasshub_stats.render import as_json, as_openmetrics, as_text

from ..errors import ConfigError
from ..paths import SYSTEM_DIRECTORY, stats_directories

_SUFFIX = ".stats"
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
        type=_seconds,
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


@dataclass(frozen=True)
class _Look:
    """What one look at a segment has shown.

    Attributes:
        path: The segment.
        snapshot: What it says; None when it cannot be read.
        older: What it said at the look before; None at the first.
        every: Seconds from look to look; 0 for a single one.
        problem: Why it cannot be read.
    """

    path: Path
    snapshot: Snapshot | None
    older: Snapshot | None
    every: float
    problem: str = ""


def _shown(options: argparse.Namespace, sleep: Callable[[float], None]) -> int:
    every = _every(options)
    is_feeding = options.format == "putval" and every > 0  # collectd is told of a hub that is not there, too
    watcher = _Watcher(options, every)
    looks = watcher.look()
    if not is_feeding and not any(look.snapshot for look in looks):
        if not looks:
            _complain(_nothing_found(options))
        return 1
    due = time.monotonic()
    while True:
        for block in _FORMATS[options.format](looks):
            print(block, flush=True)
        if not every:
            return 0
        due = max(due + every, time.monotonic())
        sleep(due - time.monotonic())
        looks = watcher.look()


class _Watcher:
    """Remembers what each segment said last, and what was wrong with it."""

    def __init__(self, options: argparse.Namespace, every: float) -> None:
        self._options = options
        self._every = every
        self._snapshots: dict[Path, Snapshot] = {}
        self._problems: dict[Path, str] = {}

    def look(self) -> list[_Look]:
        """Read every segment; a new problem is told on standard error."""
        paths = dict.fromkeys([*_paths(self._options), *self._problems, *self._snapshots])
        return [self._look(path) for path in paths]

    def _look(self, path: Path) -> _Look:
        older = self._snapshots.get(path)
        try:
            snapshot = self._snapshots[path] = read(str(path))
        except StatsError as error:
            if self._problems.get(path) != str(error):
                _complain(str(error))
            self._problems[path] = str(error)
            return _Look(path, None, older, self._every, str(error))
        self._problems.pop(path, None)
        return _Look(path, snapshot, older, self._every)


def _paths(options: argparse.Namespace) -> list[Path]:
    """The segments to look at."""
    name = options.segment
    directories = _directories(options)
    if name is None:
        return sorted(path for directory in directories for path in directory.glob(f"*{_SUFFIX}"))
    if "/" in name or (name.endswith(_SUFFIX) and os.path.exists(name)):
        return [Path(name)]
    paths = [directory / (name.removesuffix(_SUFFIX) + _SUFFIX) for directory in directories]
    return [path for path in paths if os.path.exists(path)][:1] or paths[:1]


def _directories(options: argparse.Namespace) -> list[Path]:
    return [Path(options.stats_dir)] if options.stats_dir else stats_directories() or [SYSTEM_DIRECTORY]


def _nothing_found(options: argparse.Namespace) -> str:
    searched = ", ".join(map(str, _directories(options)))
    return f"there is no segment (*{_SUFFIX}) in {searched}: does a hub run, or has it another --stats-dir?"


def _as_text(looks: Sequence[_Look]) -> Iterator[str]:
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    seen = [look for look in looks if look.snapshot is not None]
    if any(look.older is not None for look in looks):
        yield time.strftime("\n-- %Y-%m-%d %H:%M:%S --\n")
    for number, look in enumerate(seen):
        assert look.snapshot is not None
        interval = look.snapshot.since(look.older) if look.older is not None else None
        yield ("\n" if number else "") + as_text(look.snapshot, interval, width)


def _as_json(looks: Sequence[_Look]) -> Iterator[str]:
    return (as_json(look.snapshot) for look in looks if look.snapshot is not None)


def _as_openmetrics(looks: Sequence[_Look]) -> Iterator[str]:
    snapshots = [look.snapshot for look in looks if look.snapshot is not None]
    yield as_openmetrics(*snapshots).removesuffix("\n")


def _as_putval(looks: Sequence[_Look]) -> Iterator[str]:
    host = os.environ.get("COLLECTD_HOSTNAME") or socket.gethostname()
    for look in looks:
        for value in _values(look):
            yield values.putval(value, host, look.every or _collectd_interval() or _INTERVAL)


def _values(look: _Look) -> Iterator[values.Value]:
    if look.snapshot is None:
        hub = look.older.hub.name if look.older is not None else look.path.name.removesuffix(_SUFFIX)
        return iter([values.of_hub_up(hub, False)])
    # A first look of many knows no rates: those since the hub's start would be a peak in every graph.
    older = look.older or (look.snapshot if look.every else None)
    return values.of_interval(look.snapshot.since(older))


_FORMATS: dict[str, Callable[[Sequence[_Look]], Iterator[str]]] = {
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
        return _seconds(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(str(error), origin="COLLECTD_INTERVAL") from None


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")


def _complain(text: str) -> None:
    print(f"glasshub: {text}", file=sys.stderr, flush=True)
