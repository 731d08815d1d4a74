# SPDX-License-Identifier: LGPL-2.1-or-later
"""The `glasshub` command. Each subcommand is a module here, with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import ConfigError, HubError
from . import check
from .terminal import EXIT_INTERRUPTED

#: Exit codes, documented in docs/configuration.md.
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_UNREAD = 141  # as a shell reports SIGPIPE

#: By the names of their modules, which are loaded when they are wanted: few commands need the hub, or the spool.
_COMMANDS = (
    "run",
    "bridge",
    "config",
    "publish",
    "stats",
    "top",
    "check",
    "graph",
    "dashboard",
    "spool",
    "parked",
    "record",
    "spike",
    "forecast",
    "demo",
)


def command_line(only: str = "") -> argparse.ArgumentParser:
    """The parser of the whole command line; manual pages and completion are made from it.

    Args:
        only: The one command that it has to know; all of them, if there is none of that name.
    """
    parser = argparse.ArgumentParser(
        prog="glasshub", description="A message hub that one can see into.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"glasshub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in [only] if only in _COMMANDS else _COMMANDS:
        import_module(f".{command}", __name__).add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; what to do about an error is one line on standard error.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["check"]:  # to Nagios argparse's 2 is a disaster, and standard error is nothing
        return check.main(arguments[1:])
    options = command_line(*arguments[:1]).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what the terminal cannot show costs no traceback
    try:
        code = int(options.func(options))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read along has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNREAD
    except KeyboardInterrupt:  # where a command has nothing to clean up, and does not look out for it
        return EXIT_INTERRUPTED
    except ConfigError as error:
        print(f"glasshub: {error}", file=sys.stderr)
        return EXIT_USAGE
    except HubError as error:
        print(f"glasshub: {error}", file=sys.stderr)
        return EXIT_ERROR
    return code
