# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub graph`: a picture of consumers over time, from collectd's RRDs or from a recording."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import rrds
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..graph import Ago, Panel

#: What may be drawn, as `glasshub.graph.PANELS` has it, and what is drawn unless somebody says so.
WORDS = ("backlog", "rates", "wait", "processing", "oldest", "catch-up", "busy", "failures")
_STANDARD = "backlog,rates,wait,processing"

_OUTPUT = "glasshub.png"
_SINCE = "1d"
_SIZE = "800x180"

#: Pixels that a panel may have on a side.
_SIDES = range(100, 4001)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "graph",
        help="draw a picture of consumers over time",
        description="Draw backlog, rates, waiting and processing times of consumers, from the RRDs that collectd "
        "keeps, or from a recording that `glasshub stats --watch 10 --format json > FILE` made.",
        epilog="WHEN is how long ago (90m, 1h30m, 1d, 2w; in a recording: before its end), a time of today (08:00), or "
        "a date (2026-03-01, 2026-03-01T08:00).",
    )
    parser.add_argument("consumers", nargs="*", metavar="CONSUMER", help="whom to draw (default: all of the hub)")
    parser.add_argument("--since", metavar="WHEN", help=f"begin (default: {_SINCE}, or that of the recording)")
    parser.add_argument("--until", metavar="WHEN", help="end (default: now, or that of the recording)")
    parser.add_argument("--hub", metavar="NAME", help="whose consumers, where several hubs have such")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", metavar="NAME", help="on which host, as collectd calls it")
    where.add_argument(
        "--all-hosts", action="store_true", help="of one hub on all hosts: what waits, and what is done, added up"
    )
    parser.add_argument(
        "--what", default=_STANDARD, metavar="LIST", help=f"of {', '.join(WORDS)} (default: {_STANDARD})"
    )
    parser.add_argument("--output", default=_OUTPUT, metavar="FILE", help=f".png or .svg (default: {_OUTPUT})")
    parser.add_argument(
        "--size", default=_SIZE, metavar="WxH", help=f"pixels of a panel, without its legend (default: {_SIZE})"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--data-dir", default=str(rrds.DATA_DIR), metavar="DIR", help=f"collectd's RRDs (default: {rrds.DATA_DIR})"
    )
    source.add_argument("--from", dest="recording", metavar="FILE", help="draw a recording, without collectd")
    parser.add_argument(
        "--flush",
        metavar="SOCKET",
        help=f"collectd's unixsock, to have it write what it keeps (default: {rrds.UNIXSOCK}, if it is there)",
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Draw the picture, and say where it is.

    Returns:
        0.
    """
    from ..graph import Frame, draw, recorded

    if options.recording and (options.flush or options.host or options.all_hosts):
        raise ConfigError("needs no --flush and no --host or --all-hosts: there is no collectd", origin="--from")
    what, output, size = _what(options.what), _output(options.output), _size(options.size)
    with tempfile.TemporaryDirectory(prefix="glasshub-") as made:
        if options.recording:
            begin, end = recorded(Path(options.recording), Path(made))
            found = rrds.find(Path(made))
            start, end = _span(options, begin=begin, end=end)
        else:
            found = rrds.find(Path(options.data_dir), options.host)
            start, end = _span(options, begin=None, end=time.time())
        title, drawn = _chosen(options, found, what)
        if not options.recording:
            _flush(options, [path for panel in drawn for curve in panel.curves for path in curve.paths])
        draw(drawn, output, Frame(title, start, end, size))
    print(output)
    return 0


def _chosen(
    options: argparse.Namespace, found: Sequence[rrds.HubFiles], what: Sequence[str]
) -> tuple[str, list[Panel]]:
    """Whose numbers are drawn, and the panels."""
    from ..graph import choose, choose_machines, panels, panels_of_machines

    if options.all_hosts:
        machines = choose_machines(found, options.consumers, options.hub)
        return machines.title, panels_of_machines(what, machines)
    choice = choose(found, options.consumers, options.hub)
    return choice.hub if options.recording else f"{choice.hub} on {choice.host}", panels(what, choice.consumers)


def _span(options: argparse.Namespace, *, begin: float | None, end: float) -> tuple[float, float]:
    """Unix times; `begin` where nobody says so, if there is one."""
    from ..graph import Ago

    until = _instant(options.until, "--until") if options.until else end
    until = until.before(end) if isinstance(until, Ago) else until
    if options.since is None and begin is not None:
        if begin >= until:
            raise ConfigError("is not after the begin of the recording", origin=f"--until {options.until}")
        return begin, until
    since = _instant(options.since or _SINCE, "--since")
    start = since.before(end if options.since else until) if isinstance(since, Ago) else since
    if start >= until:
        raise ConfigError("is not before the end", origin=f"--since {options.since}")
    return start, until


def _instant(text: str, option: str) -> Ago | float:
    from ..graph import instant

    try:
        return instant(text)
    except ValueError as error:
        raise ConfigError(str(error), origin=option) from None


def _what(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in WORDS]
    if unknown or not words:
        raise ConfigError(f"{', '.join(unknown) or 'nothing'} is none of {', '.join(WORDS)}", origin="--what")
    return list(dict.fromkeys(words))


def _output(text: str) -> Path:
    from ..graph import FORMATS

    path = Path(text)
    if path.suffix not in FORMATS:
        raise ConfigError(f"{text!r} ends with none of {', '.join(FORMATS)}", origin="--output")
    return path


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or not all(int(side) in _SIDES for side in match.groups()):
        raise ConfigError(
            f"{text!r} is not WIDTHxHEIGHT, each from {_SIDES[0]} to {_SIDES[-1]} pixels", origin="--size"
        )
    return int(match[1]), int(match[2])


def _flush(options: argparse.Namespace, paths: list[Path]) -> None:
    """What cannot be had without being asked for costs no picture: it lacks the last minutes then."""
    unixsock = Path(options.flush or rrds.UNIXSOCK)
    if not options.flush and not unixsock.exists():
        return
    try:
        rrds.flush(unixsock, paths, data_dir=Path(options.data_dir))
    except rrds.RrdError as error:
        if options.flush:
            raise
        print(f"glasshub: {error}; the last minutes may be missing in the picture", file=sys.stderr)
