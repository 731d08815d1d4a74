# SPDX-License-Identifier: LGPL-2.1-or-later
"""What commands that take a while have in common: how they talk to somebody who waits, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..load.live import Plan, View

#: As a shell reports Ctrl-C.
EXIT_INTERRUPTED = 130


def view_of(plan: Plan, say: Callable[[str], None], is_for_machines: bool) -> View:
    """What shows a run while it goes on: a table that moves, where somebody can see it."""
    from ..load import live

    if not is_for_machines and sys.stdout.isatty():
        return lambda: live.table(plan)
    return lambda: live.progress(plan, say)


def is_colourful() -> bool:
    """See https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def to_stdout(text: str) -> None:
    """Say it now."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Say what is wrong, and who says so."""
    to_stderr(f"glasshub: {text}")


def to_stderr(text: str) -> None:
    """Say it now, beside the output."""
    print(text, file=sys.stderr, flush=True)
