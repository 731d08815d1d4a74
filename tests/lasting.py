# SPDX-License-Identifier: LGPL-2.1-or-later
"""Child processes of what several tests share: one of these may start another in its place, and end that itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_shared: list[Callable[[], set[int]]] = []


@contextmanager
def shared(pids: Callable[[], set[int]]) -> Iterator[None]:
    """Have nobody complain of these processes for as long as the context lasts."""
    _shared.append(pids)
    try:
        yield
    finally:
        _shared.remove(pids)


def shared_pids() -> set[int]:
    """Those that are there now."""
    return {pid for pids in _shared for pid in pids()}
