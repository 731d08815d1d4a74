# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a page of the manual has its reader type, write and see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One block of the text.

    Attributes:
        kind: `sh` for what is typed, `text` for what is shown; else it is what a file holds.
        text: The block.
        file: The last name in the text before it that is set as code.
    """

    kind: str
    text: str
    file: str


def steps(page: Path) -> list[Step]:
    """All blocks, in order."""
    markdown = page.read_text(encoding="utf-8")
    found, end = [], 0
    for block in _BLOCK.finditer(markdown):
        named = re.findall(r"`([\w.]+\.\w+)`", markdown[end : block.start()])
        found.append(Step(block[1], block[2], named[-1] if named else ""))
        end = block.end()
    return found
