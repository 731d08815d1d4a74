# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading a segment from the outside, without the hub's help and without disturbing it.

The file is read and never mapped: a mapped file that somebody truncates kills its reader with SIGBUS. Every
byte is taken for hostile. The hub holds an exclusive flock(2) on its segment for as long as it lives, so that
trying a shared one tells at once whether it still does.
"""

from __future__ import absolute_import

import array
import errno
import fcntl
import os
import stat
import sys

from . import layout
from .clock import monotonic_ns
from .errors import SegmentAccessError, SegmentFormatError, SegmentNotFoundError
from .snapshot import Snapshot

MYPY = False
if MYPY:
    from typing import Dict, Tuple

#: A row whose guards disagree is read again this often before it is taken as it is. One reading takes about 2 us,
#: so that only a worker that was killed inside of an update exhausts it.
_TRIES = 100

#: And so often for all rows together, lest a hostile file costs a second.
_ALL_TRIES = 10000

_WORD_TYPE = "L" if array.array("L").itemsize == layout.SLOT else "Q"


def read(path):
    # type: (str) -> Snapshot
    """One consistent snapshot of the segment at `path`.

    Never blocks, never writes, and costs the hub nothing. The only exceptions are subclasses of `StatsError`,
    whatever the file holds.

    Raises:
        SegmentNotFoundError: There is no such file.
        SegmentAccessError: It cannot be opened or read.
        SegmentFormatError: It is not a segment, or a damaged one.
        SegmentVersionError: It has a layout that this reader does not know.
    """
    descriptor = _open(path)
    try:
        data = _read_all(path, descriptor)
        header = layout.parse_header(path, data)
        sections = layout.parse_tables(path, data, header)
        words = _words(data)
        workers = sections.get("worker")
        if workers is not None:
            _settle(descriptor, words, workers)
        now_ns = monotonic_ns(header.boottime_offset_ns)
        return Snapshot(path, data, words, header, sections, is_locked=_is_locked(descriptor), taken_ns=now_ns)
    except (IOError, OSError) as error:
        raise SegmentAccessError(path, "cannot read the segment: %s" % _strerror(error))
    finally:
        os.close(descriptor)


def _open(path):
    # type: (str) -> int
    try:
        # O_NONBLOCK: a FIFO in the segment's place must not hang collectd.
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (IOError, OSError) as error:
        if error.errno == errno.ENOENT:
            raise SegmentNotFoundError(path, "no such segment: is the hub running, and is this its stats directory?")
        raise SegmentAccessError(
            path,
            "cannot open the segment: %s (the reader needs the group or the mode that the hub's [stats] section sets)"
            % _strerror(error),
        )
    except (TypeError, ValueError) as error:  # a NUL in the path
        raise SegmentAccessError(repr(path), "not a path: %s" % error)


def _read_all(path, descriptor):
    # type: (str, int) -> bytes
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SegmentFormatError(path, "this is not a regular file")
    if status.st_size > layout.MAX_BYTES:
        raise SegmentFormatError(path, "%d bytes are too many for a segment" % status.st_size)
    pieces = []
    left = status.st_size
    while left > 0:
        piece = os.read(descriptor, left)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _words(data):
    # type: (bytes) -> array.array[int]
    words = array.array(_WORD_TYPE)
    whole = len(data) // layout.SLOT * layout.SLOT
    if whole != len(data):
        data = data[:whole]
    if sys.version_info[0] == 2:
        words.fromstring(data)  # type: ignore[attr-defined]
    else:
        words.frombytes(data)
    return words


def _settle(descriptor, words, workers):
    # type: (int, array.array[int], layout.Section) -> None
    """Read the guarded part of every row again that was being written while we read it."""
    bounds = _guarded(workers)
    if bounds is None:
        return
    first, last = bounds
    tries_left = _ALL_TRIES
    for row in range(workers.rows):
        offset = workers.offset + row * workers.row_size
        begin, end = (offset + first) // layout.SLOT, (offset + last) // layout.SLOT
        for _ in range(min(_TRIES, tries_left)):
            if words[begin] == words[end]:
                break
            tries_left -= 1
            os.lseek(descriptor, offset + first, os.SEEK_SET)
            again = os.read(descriptor, last - first + layout.SLOT)
            if len(again) != last - first + layout.SLOT:
                return
            words[begin : end + 1] = _words(again)


def _guarded(workers):
    # type: (layout.Section) -> Tuple[int, int] | None
    fields = workers.fields  # type: Dict[str, layout.Field]
    close, opening = fields.get("guard_close"), fields.get("guard_open")
    if close is None or opening is None or close.offset >= opening.offset:
        return None
    return close.offset, opening.offset


def _is_locked(descriptor):
    # type: (int) -> bool
    """Whether the hub holds its lock; ours, if we get one, goes with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (IOError, OSError) as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return True
        raise
    return False


def _strerror(error):
    # type: (EnvironmentError) -> str
    return error.strerror or str(error)
