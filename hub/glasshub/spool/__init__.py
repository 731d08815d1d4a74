# SPDX-License-Identifier: LGPL-2.1-or-later
"""The durable backlog: a log on disk in which every consumer has its place.

`log.py` is the log, written by one process; `view.py` reads it from another one. `progress.py` is how far a consumer
is, `tables.py` what stands in the file, `files.py` where it stands and who may have it, `recovery.py` what happens to a
file that is damaged.
"""

from .files import SpoolDirectory
from .log import Entry, Log
from .tables import refuse_missing
from .view import ConsumerState, Parked, Stored, View

__all__ = [
    # for the process that writes
    "Log",
    "Entry",
    # for everybody
    "View",
    "ConsumerState",
    "Stored",
    "Parked",
    "SpoolDirectory",
    "refuse_missing",
]
