# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shapes of dispatch that are compared; the command line asks, and shall not have to load more for it."""

from __future__ import annotations

#: What each shape is, in the order in which the post draws them.
SHAPES = {
    "inline": "the receiving thread hands each message to one consumer after another (Moksha in 2014)",
    "shared": "two threads: one enqueues, one dispatches to each consumer in series",
    "threads": "each consumer has its own queue and its own thread",
    "processes": "the enqueuer alone in its process, the consumers with their threads in another one",
}

#: Those in which one consumer waits for the other, so that their backlogs are nearly the same.
SERIAL = ("inline", "shared")

#: The one that is shown unless somebody wants another one: that of `glasshub run`.
DEFAULT_SHAPE = "processes"
