# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shapes of dispatch. To add one: a module beside these, and its class in `SHAPES`."""

from .base import Routed, Shape, Station
from .inline import InlineShape
from .processes import ProcessesShape
from .shared import SharedShape
from .spooled import SpooledShape
from .threads import ThreadsShape

__all__ = ["PROCESSES", "SHAPES", "THREADS", "Routed", "Shape", "SpooledShape", "Station"]

#: The shape whose consumers are not in the process of the hub, and the one where each has threads in it.
PROCESSES, THREADS = "processes", "threads"

SHAPES: dict[str, type[Shape]] = {
    "inline": InlineShape,
    "shared": SharedShape,
    THREADS: ThreadsShape,
    PROCESSES: ProcessesShape,
}
