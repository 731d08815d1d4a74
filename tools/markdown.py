# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pieces of documents in Markdown: tables, and parts that are written anew."""

from __future__ import annotations

from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """The table, each line ended."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines.extend([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_part(text: str, begin: str, part: str, end: str) -> str:
    """A document in which this stands between these two lines, instead of what stood there.

    Raises:
        ValueError: It has no place for it, or more than one.
    """
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}{part}{end}{tail}"
