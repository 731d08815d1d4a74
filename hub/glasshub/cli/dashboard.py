# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub dashboard`: a web page that shows how far behind each consumer is, served here or written to files."""

from __future__ import annotations

import argparse
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..looking import Watcher
from ..rrds import DATA_DIR
from .numbers import interval
from .terminal import complain

if TYPE_CHECKING:
    from ..dashboard.recorded import RecordedHubs
    from ..dashboard.sources import Sources

_LISTEN = "127.0.0.1:8080"

#: Seconds from look to look, and from page to page; as often as collectd looks.
_EVERY = 10.0

#: Looks that may fail, as it were, before figures are called old; and seconds that are never too many.
_MISSED, _PATIENCE = 3.0, 30.0

#: Seconds more where all is known from collectd alone, which keeps what it has read in memory for a while.
_COLLECTDS = 600.0

#: Seconds between the two looks of a page that is written once: without them there are no rates.
_BETWEEN = 2.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "dashboard",
        help="serve or write a web page about hubs and consumers",
        description="Show on a web page how far behind each consumer is, since when and until when, with received, "
        "processed and backlog over the last hour, day and week.",
    )
    parser.add_argument("segment", nargs="?", metavar="PATH|NAME", help="a segment's file, or the name of a hub")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--listen",
        metavar="PLACE",
        default=_LISTEN,
        help=f"serve the page at unix:/PATH or ADDRESS:PORT (default: {_LISTEN})",
    )
    where.add_argument("--write", metavar="FILE", type=Path, help="write the page to a file once, and end")
    parser.add_argument(
        "--rrd",
        metavar="DIR",
        nargs="?",
        type=Path,
        const=DATA_DIR,
        help=f"show the past as collectd's RRDs have it (default: {DATA_DIR}); else what was seen since the start",
    )
    parser.add_argument("--host", metavar="NAME", help="of the RRDs, only those of this host")
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segments stand")
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=interval,
        default=_EVERY,
        help=f"look, and have browsers ask again, that often; with --write, how often it is run (default: {_EVERY:g})",
    )
    parser.add_argument(
        "--behind",
        metavar="SECONDS",
        type=interval,
        default=60.0,
        help="a consumer is behind when its oldest message has been waiting for that long (default: 60)",
    )
    parser.add_argument(
        "--mode", metavar="OCTAL", type=_mode, help="of the UNIX socket or the files (default: 660 or 644)"
    )
    parser.add_argument(
        "--server-name", metavar="NAME", action="append", default=[], help="answer to this name, too; may be repeated"
    )
    parser.add_argument("--allow-remote", action="store_true", help="listen where other machines can reach it")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Serve or write the page."""
    stale_after = max(_MISSED * options.every, _PATIENCE) + (_COLLECTDS if options.rrd else 0)
    if options.write is not None:
        return _write(options, stale_after)
    # Not at the top: no other command shall pay for loading a web server.
    from ..dashboard import server

    where = server.place(options.listen, allow_remote=options.allow_remote)
    hosts = None if where.path else {"localhost", socket.gethostname(), socket.getfqdn(), where.host}
    dashboard = server.Dashboard(
        _sources(
            options,
            how=f"looked at each {options.every:g} s since {time.strftime('%a %H:%M')}",
            past="The past is what was seen since then.",
        ),
        every=options.every,
        stale_after=stale_after,
        hosts=None if hosts is None else {name.lower() for name in hosts.union(options.server_name)},
    )
    server.serve(where, dashboard, mode=options.mode or 0o660, tell=_tell)
    return 0


def _write(options: argparse.Namespace, stale_after: float) -> int:
    from ..dashboard import files

    sources = _sources(options, how="looked at once", past="There is no past without --rrd.")
    sources.look()
    time.sleep(_BETWEEN)
    sources.look()
    files.write(options.write, sources, every=options.every, stale_after=stale_after, mode=options.mode or 0o644)
    return 0


def _sources(options: argparse.Namespace, *, how: str, past: str) -> Sources:
    from ..dashboard.live import LiveHubs
    from ..dashboard.sources import Sources

    watcher = Watcher(options.segment, options.stats_dir, complain=complain)
    recorded = _recorded(options)
    if recorded is not None:
        past = f"The past, and hubs that have no segment here, are from collectd's RRDs in {options.rrd}."
    return Sources(
        LiveHubs(watcher, behind_after=options.behind),
        recorded,
        source=f"The present is from the hubs' segments, {how}. {past}",
    )


def _recorded(options: argparse.Namespace) -> RecordedHubs | None:
    if options.rrd is None:
        return None
    from ..dashboard.recorded import RecordedHubs

    return RecordedHubs(options.rrd, options.host, behind_after=options.behind)


def _tell(where: str) -> None:
    print(f"glasshub: the dashboard is at {where}", flush=True)


def _mode(text: str) -> int:
    if re.fullmatch("[0-7]{3,4}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mode in octal, as 660")
    return int(text, 8)
