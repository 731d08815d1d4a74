# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion for bash, zsh and fish, written by shtab, of the parser itself."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from glasshub.cli import command_line

from .command_line import commands

COMPLETION = Path(__file__).parents[1] / "packaging" / "completion"

_SHELLS = ("bash", "zsh", "fish")

#: What a value is that is written so.
_KINDS = {
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "PATH|NAME": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "DIRECTORY": shtab.DIRECTORY,
}


def scripts(parser: argparse.ArgumentParser | None = None) -> dict[Path, str]:
    """What packages install for each shell, by its file.

    Args:
        parser: By default that of `glasshub`.
    """
    parser = parser or command_line()
    for _, _, command in commands(parser, "glasshub"):
        for action in command._actions:
            if action.metavar in _KINDS:
                action.complete = _KINDS[action.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
    return {COMPLETION / f"glasshub.{shell}": shtab.complete(parser, shell) for shell in _SHELLS}
