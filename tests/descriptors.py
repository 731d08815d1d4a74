# SPDX-License-Identifier: LGPL-2.1-or-later
"""What this process has open, for tests of what is left behind."""

from __future__ import annotations

import os
from contextlib import suppress


def descriptors() -> set[tuple[int, str]]:
    """Each open descriptor, with what it leads to."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor that lists the directory is gone already
            found.add((int(entry), os.readlink(f"/proc/self/fd/{entry}")))
    return found
