# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shapes of dispatch that the demo compares; the command line asks, and shall not have to load the demo for it."""

from __future__ import annotations

#: What each shape is, in the order in which the post draws them.
SHAPES = {
    "inline": "the receiving thread hands each message to one consumer after another (Moksha in 2014)",
    "shared": "two threads: one enqueues, one dispatches to each consumer in series",
    "threads": "each consumer has its own queue and its own thread",
}
