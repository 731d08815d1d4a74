# SPDX-License-Identifier: LGPL-2.1-or-later
"""How commands show messages that somebody keeps, whatever is in them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows, of which the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def print_content(topic: str, body: bytes) -> None:
    """Print what a message says."""
    print(f"topic: {escaped(topic)}\n")
    try:
        print(json.dumps(json.loads(body), indent=2))
    except (ValueError, RecursionError):
        print(escaped(body.decode(errors="backslashreplace")))


def print_indented(text: str) -> None:
    """Print lines of somebody else's."""
    for line in text.splitlines():
        print(f"    {escaped(line)}")


def local_time(seconds: float) -> str:
    """Unix time, for the operator."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def escaped(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
