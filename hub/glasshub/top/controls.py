# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the person at the keyboard wants to see, and what each key changes about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .columns import SORTABLE, STATE

#: For the help: keys, and what they do.
KEYS = (
    ("up down PgUp PgDn", "scroll; so do Home, End, k and j"),
    ("s S right left", "sort by the next column, or the one before, shown or not"),
    ("r", "reverse the order"),
    ("/", "only names with what you type: Enter keeps it, Esc clears it"),
    ("space p", "hold the picture; what is measured goes on"),
    ("h ?", "this help"),
    ("q", "quit"),
)


@dataclass(frozen=True)
class Controls:
    """What is wanted now.

    Attributes:
        sort: Key of the column by which consumers are sorted.
        is_reversed: Whether in the other order than the column's own.
        filter: Text that the names of consumers and producers hold.
        is_typing: Whether keys go into the filter.
        is_paused: Whether the picture stays as it is.
        has_help: Whether the help is shown instead.
        offset: Lines of the table above the first one that is seen.
        is_over: Whether that is all.
    """

    sort: str = STATE.key
    is_reversed: bool = False
    filter: str = ""
    is_typing: bool = False
    is_paused: bool = False
    has_help: bool = False
    offset: int = 0
    is_over: bool = False

    def pressed(self, key: str, *, page: int) -> Controls:
        """What is wanted after a key.

        Args:
            key: A character, or the name of a key, see `keys.Decoder`.
            page: Lines by which page up and page down scroll.
        """
        if self.is_typing:
            return self._typed(key)
        moved = _MOVES.get(key)
        if moved is not None:
            return replace(self, offset=max(moved(self.offset, page), 0))
        action = _ACTIONS.get(key)
        return action(self) if action is not None else self

    def _typed(self, key: str) -> Controls:
        if key == "enter":
            return replace(self, is_typing=False)
        if key == "escape":
            return replace(self, is_typing=False, filter="")
        if key == "backspace":
            return replace(self, filter=self.filter[:-1])
        if len(key) == 1 and key.isprintable():
            return replace(self, filter=self.filter + key, offset=0)
        return self

    def sorted_by_next(self, step: int) -> Controls:
        """Sorted by a column further to the right, or to the left."""
        keys = list(SORTABLE)
        return replace(self, sort=keys[(keys.index(self.sort) + step) % len(keys)], is_reversed=False)

    def escaped(self) -> Controls:
        """Out of the help, else without a filter."""
        return replace(self, has_help=False, offset=0) if self.has_help else replace(self, filter="")


#: Further than any table is long.
_END = 1 << 30

_MOVES: Mapping[str, Callable[[int, int], int]] = {
    "up": lambda offset, page: offset - 1,
    "k": lambda offset, page: offset - 1,
    "down": lambda offset, page: offset + 1,
    "j": lambda offset, page: offset + 1,
    "page up": lambda offset, page: offset - page,
    "page down": lambda offset, page: offset + page,
    "home": lambda offset, page: 0,
    "end": lambda offset, page: _END,
}


def _help(controls: Controls) -> Controls:
    return replace(controls, has_help=not controls.has_help, offset=0)


def _pause(controls: Controls) -> Controls:
    return replace(controls, is_paused=not controls.is_paused)


_ACTIONS: Mapping[str, Callable[[Controls], Controls]] = {
    "q": lambda controls: replace(controls, is_over=True),
    "h": _help,
    "?": _help,
    "escape": Controls.escaped,
    " ": _pause,
    "p": _pause,
    "r": lambda controls: replace(controls, is_reversed=not controls.is_reversed),
    "/": lambda controls: replace(controls, is_typing=True, has_help=False),
    "s": lambda controls: controls.sorted_by_next(1),
    "right": lambda controls: controls.sorted_by_next(1),
    "S": lambda controls: controls.sorted_by_next(-1),
    "left": lambda controls: controls.sorted_by_next(-1),
}
