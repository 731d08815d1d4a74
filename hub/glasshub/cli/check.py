# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub check`: a plugin for Nagios and its kin. Its exit codes, and where it says what is wrong, are theirs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, for the manual; what is typed goes to `main`."""
    from ..check.commandline import DESCRIPTION, add_checks

    parser = commands.add_parser("check", help="check a hub for Nagios and its kin", description=DESCRIPTION)
    add_checks(parser)


def main(arguments: Sequence[str]) -> int:
    """Run a check; the exit code is 0 to 3, whatever happens."""
    from ..check import commandline

    return commandline.main(arguments)
