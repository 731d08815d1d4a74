# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong when somebody reads a segment."""

from __future__ import absolute_import


class StatsError(Exception):
    """A segment could not be read; every error of this package derives from it.

    Attributes:
        path: The segment's path.
        reason: What is wrong, and what to do about it.
    """

    def __init__(self, path, reason):
        # type: (str, str) -> None
        super(StatsError, self).__init__("%s: %s" % (path, reason))
        self.path = path
        self.reason = reason


class SegmentNotFoundError(StatsError):
    """There is no segment at the path: the hub never ran, or its directory is another one."""


class SegmentAccessError(StatsError):
    """The segment is there, but the system refused to let us read it."""


class SegmentFormatError(StatsError):
    """The file is not a segment, or is a damaged one."""


class SegmentVersionError(SegmentFormatError):
    """The file is a segment of a layout that this reader does not know."""
