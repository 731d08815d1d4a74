# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers as they were written for fedora-messaging, knowing nothing of us."""

from __future__ import annotations

import asyncio
from typing import Any

#: Messages that the functions have got; a test clears it.
seen: list[Any] = []


def function(message: Any) -> None:
    """Remember."""
    seen.append(message)


async def coroutine(message: Any) -> None:
    """Remember, later."""
    await asyncio.sleep(0)
    seen.append(message)


class Callback:
    """Remembers, for itself."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen: list[Any] = []

    def __call__(self, message: Any) -> None:
        """Remember."""
        self.seen.append(message)

    def method(self, message: Any) -> None:
        """Remember as well."""
        self.seen.append(message)


class AsyncCallback(Callback):
    """Remembers, later."""

    async def __call__(self, message: Any) -> None:  # type: ignore[override]  # as it is written
        """Remember."""
        await asyncio.sleep(0)
        self.seen.append(message)


class Demanding(Callback):
    """Cannot be built as fedora-messaging builds it."""

    def __init__(self, server: str) -> None:
        """Want a server."""
        raise NotImplementedError


class Uncallable:
    """Nothing that could be called."""


callback = Callback()
method = callback.method
number = 42
