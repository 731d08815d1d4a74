# SPDX-License-Identifier: LGPL-2.1-or-later
"""What several parts of the page have in them."""

from __future__ import annotations

import hashlib

from .html import Html, element
from .model import Level

#: The class of each level in the style sheet.
WORDS = {Level.WELL: "well", Level.UNKNOWN: "unknown", Level.WATCH: "watch", Level.BAD: "bad"}

#: A shape for each level, so that colour never stands alone; on a square of 16.
SHAPES = {
    Level.WELL: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm3.9 4.9-4.6 5.3-3-2.8 1.1-1.2 1.8 1.7 3.5-4z",
    Level.UNKNOWN: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
    Level.WATCH: "M8 1 15.5 15H.5zM7.2 6v4.5h1.6V6zm0 5.6v1.7h1.6v-1.7z",
    Level.BAD: "M5 .5h6L15.5 5v6L11 15.5H5L.5 11V5zM7.1 3.6v5.6h1.8V3.6zm0 6.9v1.9h1.8v-1.9z",
}


def anchor(*names: str) -> str:
    """What links and the script know something by, whatever comes before it on the page."""
    return "i" + hashlib.blake2s("\0".join(names).encode(errors="replace"), digest_size=6).hexdigest()


def state_of(level: Level, word: str) -> Html:
    """A shape and a word."""
    return element("span", shape(level), word, class_=f"state {WORDS[level]}")


def shape(level: Level) -> Html:
    """That of a level; what it means is to stand beside it."""
    path = f'<path fill-rule="evenodd" d="{SHAPES[level]}"/>'
    return Html(f'<svg class="shape" viewBox="0 0 16 16" aria-hidden="true">{path}</svg>')
