# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of `glasshub check`, which is also the program `check_glasshub`.

Nagios reads standard output and the exit code, so that everything goes there, in one line, whatever happens: a wrong
argument, a bug, a network mount that hangs. 3, UNKNOWN, is the code of all that; argparse's 2 would be CRITICAL.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from glasshub_stats import STALE_AFTER

from .. import __version__
from ..errors import HubError
from .checks import BOTH, CHECKS, HUB, PRODUCERS, Check
from .examine import Request, examine
from .plugin import Limits, Result, Status
from .ranges import Range, RangeError
from .supervision import within

_TIMEOUT = 10.0

DESCRIPTION = (
    "Check a hub for Nagios, Icinga or whoever runs such plugins: one line, performance data behind a |, and exit "
    "code 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN). A hub that is not there, down, stuck or stopped, or whose "
    "segment cannot be read, is CRITICAL in each check."
)

_RANGES = (
    "RANGE says what is well: 10 is 0 to 10, 10: is 10 or more, ~:10 is 10 or less, 5:10 is 5 to 10, ends included; "
    "@5:10 is all but that. ~: is everything, so that with -c ~: nothing is CRITICAL."
)

_METAVARS = {PRODUCERS: "PRODUCER", BOTH: "NAME"}


class UsageError(HubError):
    """The command line is wrong."""


class Parser(argparse.ArgumentParser):
    """An argparse that leaves what to do about an error, and the exit code, to us."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Behind --help and --version: the guidelines say UNKNOWN, lest somebody takes it for a check that is OK."""
        raise SystemExit(int(Status.UNKNOWN))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a check.

    Returns:
        Its exit code: 0 to 3, whatever happens.
    """
    parser = Parser(prog="glasshub check", description=DESCRIPTION, allow_abbrev=False)
    add_checks(parser)
    return answer("check", lambda: request_of(parse(parser, arguments)))


def answer(name: str, requested: Callable[[], Request]) -> int:
    """Do what is requested, and print what comes of it.

    Args:
        name: What to call the check if it is not known yet.
        requested: Reads the command line.

    Returns:
        The exit code.
    """
    try:
        request = requested()
        return _print(_supervised(request))
    except SystemExit:  # of --help
        return Status.UNKNOWN
    except (Exception, KeyboardInterrupt) as error:
        return _print(_encoded(name, _unknown(error)))


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; names may stand on both sides of those that begin with a dash, which argparse cannot do by itself.

    Raises:
        UsageError: They are wrong.
    """
    options, others = parser.parse_known_args(arguments)
    if others and (options.check.subject == HUB or any(other.startswith("-") for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.names = [*options.names, *others]
    return options


def add_checks(parser: argparse.ArgumentParser) -> None:
    """Give a parser a command for each check."""
    _add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="CHECK", parser_class=Parser)
    for check in CHECKS.values():
        command = commands.add_parser(
            check.name,
            help=check.help,
            description=" ".join(filter(None, [f"Judges {check.help}.", check.remark, _RANGES])),
            allow_abbrev=False,
        )
        _add_subject(command, check)
        _add_limits(command, check)
        if check.is_of_interval:
            _add_interval(command)
        add_common(command, check)


def add_common(parser: argparse.ArgumentParser, check: Check, *, absent: Status = Status.CRITICAL) -> None:
    """Give a parser the options that every check has, and what `request_of` takes for those that it has not.

    Args:
        parser: Takes the arguments of the check.
        check: What they are for.
        absent: What it means by default that there is no hub.
    """
    limits = check.limits
    parser.set_defaults(check=check, names=[], warning=limits.warning, critical=limits.critical)
    parser.set_defaults(interval=0.0, since_last=False, state=None)
    parser.add_argument(
        "--absent",
        metavar="STATUS",
        type=_status,
        default=absent,
        help="ok, warning, critical or unknown: what it means that there is no such hub, or that it was stopped in "
        f"order (default: {absent.name.lower()})",
    )
    parser.add_argument(
        "--stale-after",
        metavar="SECONDS",
        type=_seconds,
        default=STALE_AFTER,
        help="a hub that has shown no heartbeat for longer is stuck (default: %(default)g)",
    )
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segments stand")
    parser.add_argument(
        "-t",
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=_TIMEOUT,
        help="default: %(default)g; UNKNOWN after it",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="a further line for each consumer, producer, or error"
    )
    _add_version(parser)


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-V", "--version", action="version", version=f"glasshub check {__version__}")


def _add_subject(parser: argparse.ArgumentParser, check: Check) -> None:
    parser.add_argument(
        "hub",
        nargs="?",
        metavar="HUB",
        help="name of the hub, or its segment's file; may be left out if there is only one",
    )
    if check.subject != HUB:
        parser.add_argument(
            "names",
            nargs="*",
            metavar=_METAVARS.get(check.subject, "CONSUMER"),
            help=f"{check.subject} to look at, by name or glob (default: all)",
        )


def _add_limits(parser: argparse.ArgumentParser, check: Check) -> None:
    for letter, name in (("w", "warning"), ("c", "critical")):
        default = getattr(check.limits, name)
        parser.add_argument(
            f"-{letter}",
            f"--{name}",
            metavar="RANGE",
            type=_range,
            default=default,
            help=f"{name.upper()} when {check.help} are outside of it (default: {default})",
        )


def _add_interval(parser: argparse.ArgumentParser) -> None:
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="read twice, and judge what happened in between",
    )
    compared.add_argument(
        "--since-last",
        action="store_true",
        help="judge what happened since this user ran this check last; kept in a private file below /tmp",
    )
    compared.add_argument(
        "--state", metavar="FILE", type=Path, help="the same, with a FILE for each caller that is to know of everything"
    )


def request_of(options: argparse.Namespace) -> Request:
    """What the options ask.

    Raises:
        UsageError: They do not go together.
    """
    if options.interval >= options.timeout:
        raise UsageError(
            f"--interval {options.interval:g} does not fit into a timeout of {options.timeout:g} s: "
            f"add -t {options.interval + 5:g}"
        )
    return Request(
        check=options.check,
        hub=options.hub,
        names=options.names,
        limits=Limits(options.warning, options.critical),
        stats_dir=options.stats_dir,
        stale_after=options.stale_after,
        absent=options.absent,
        interval=options.interval,
        state=options.state,
        is_since_last=options.since_last,
        timeout=options.timeout,
        is_verbose=options.verbose > 0,
    )


def _supervised(request: Request) -> bytes:
    name = request.check.name
    said = within(request.timeout, lambda: _encoded(name, _judged(request), is_verbose=request.is_verbose))
    if said is None:
        return _encoded(
            name, Result(Status.UNKNOWN, f"no answer within {request.timeout:g} s: does the disk hang? See -t")
        )
    return said or _encoded(name, Result(Status.UNKNOWN, "the check was killed before it had an answer"))


def _judged(request: Request) -> Result:
    try:
        return examine(request)
    except Exception as error:
        return _unknown(error)


def _unknown(error: BaseException) -> Result:
    if isinstance(error, HubError):
        return Result(Status.UNKNOWN, str(error))
    if isinstance(error, KeyboardInterrupt):
        return Result(Status.UNKNOWN, "interrupted")
    trace = traceback.format_exception(type(error), error, error.__traceback__)
    lines = [line for part in trace for line in part.splitlines()]
    return Result(Status.UNKNOWN, f"this is a bug of glasshub check: {lines[-1]}; -v shows more", details=lines)


def _encoded(name: str, result: Result, *, is_verbose: bool = False) -> bytes:
    """The exit code as a digit, and the text."""
    return f"{result.status.value}{result.output(name, is_verbose=is_verbose)}".encode("utf-8", "replace")


def _print(said: bytes) -> int:
    code, text = int(said[:1]), said[1:].decode("utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        print(text, flush=True)
    except OSError:  # nobody reads it, and nobody is told more than this
        return Status.UNKNOWN
    return code


def _range(text: str) -> Range:
    try:
        return Range.parse(text)
    except RangeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _status(text: str) -> Status:
    try:
        return Status[text.upper()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of ok, warning, critical, unknown") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
