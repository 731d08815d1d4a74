# SPDX-License-Identifier: LGPL-2.1-or-later
"""An inlet behind which nobody works."""

from __future__ import annotations

from collections import deque
from typing import Any

from glasshub.compat.incoming import Item
from glasshub.message import Frame


class ListInlet:
    """A queue of frames that nobody works on."""

    def __init__(self, *frames: Frame) -> None:
        self.frames = deque(frames)
        self.timeouts: list[float | None] = []

    def put(self, frame: Frame) -> None:
        """See `Inlet.put`."""
        self.frames.append(frame)

    def take(self, timeout: float | None) -> Frame | None:
        """See `Inlet.take`."""
        self.timeouts.append(timeout)
        return self.frames.popleft() if self.frames else None

    def __len__(self) -> int:
        """See `Inlet.__len__`."""
        return len(self.frames)

    @property
    def items(self) -> list[Any]:
        """What was put."""
        return [frame.item for frame in self.frames if isinstance(frame, Item)]
