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
import io
import os
import stat

import six

from . import layout, schema
from .clock import monotonic_ns
from .errors import SegmentAccessError, SegmentFormatError, SegmentNotFoundError
from .snapshot import Snapshot

MYPY = False
if MYPY:
    from typing import Dict, List, Sequence

#: A row that changes under the reader's eyes is read again this often before it is taken as it is. A worker counts
#: every few microseconds at the most, and one reading takes about two.
_TRIES = 100

#: And so often for all rows of a section together, lest a hostile file costs a second.
_ALL_TRIES = 10000


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
        data = _contents(path, descriptor)
        header = layout.parse_header(path, data)
        sections = layout.parse_tables(path, data, header)
        if "worker" in sections:
            _settle(path, descriptor, data, sections["worker"])
            _renew(path, descriptor, data, sections)
        if "producer" in sections:
            _settle(path, descriptor, data, sections["producer"])
        words = _words(data)
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


def _contents(path, descriptor):
    # type: (str, int) -> bytearray
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SegmentFormatError(path, "this is not a regular file")
    if status.st_size > layout.MAX_BYTES:
        raise SegmentFormatError(path, "%d bytes are too many for a segment" % status.st_size)
    data = bytearray(status.st_size)
    with io.open(descriptor, "rb", buffering=0, closefd=False) as file:
        if file.readinto(data) != len(data):
            raise SegmentFormatError(path, "it became shorter while it was read")
    return data


#: What a consumer's row counts as taken out of its queue.
_TAKEN = ("withdrawn", "dropped")


def _settle(path, descriptor, data, section):
    # type: (str, int, bytearray, layout.Section) -> None
    """Have the slots of each row as of one instant.

    A thread that has been interrupted inside of an update, by another that took the interpreter lock or by SIGKILL, is
    seen as far as it got.
    """
    size, tries = _before_histograms(section), _ALL_TRIES
    for row in range(section.rows):
        begin = section.offset + row * section.row_size
        for _ in range(min(_TRIES, tries)):
            now = _read_at(path, descriptor, begin, size)
            if now == data[begin : begin + size]:
                break
            data[begin : begin + size] = now
            tries -= 1


def _renew(path, descriptor, data, sections):
    # type: (str, int, bytearray, Dict[str, layout.Section]) -> None
    """Have what was put as of a later instant than what the workers took: nobody sees more messages taken than put.

    What was withdrawn or dropped stands in the same rows as what was put, and is kept from the earlier reading.
    """
    workers = sections["worker"]
    behind = workers.offset + workers.rows * workers.row_size
    taken = [(column, data[column]) for name in _TAKEN for column in _columns(sections, "consumer", name)]
    data[behind:] = _read_at(path, descriptor, behind, len(data) - behind)
    for column, earlier in taken:
        data[column] = earlier


def _before_histograms(section):
    # type: (layout.Section) -> int
    """Bytes of a row before its histograms."""
    histograms = [field.offset for field in section.fields.values() if field.kind == schema.HISTOGRAM]  # type: List[int]
    return int(min([section.row_size] + histograms))


def _columns(sections, name, field):
    # type: (Dict[str, layout.Section], str, str) -> List[slice]
    """Where a slot stands in all rows of a section: a slice for each of its bytes, since slices are fast."""
    section = sections.get(name)
    if section is None or not section.rows or field not in section.fields:
        return []
    first, end = section.offset + section.fields[field].offset, section.offset + section.rows * section.row_size
    return [slice(first + byte, end, section.row_size) for byte in range(layout.SLOT)]


def _read_at(path, descriptor, offset, length):
    # type: (str, int, int, int) -> bytes
    if six.PY2:
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, length)
    else:
        found = os.pread(descriptor, length, offset)
    if len(found) != length:
        raise SegmentFormatError(path, "it became shorter while it was read")
    return found


def _words(data):
    # type: (bytearray) -> Sequence[int]
    whole = len(data) // layout.SLOT * layout.SLOT
    if six.PY2:
        return array.array("L", bytes(data[:whole]))
    return memoryview(data)[:whole].cast("Q")  # without a copy: a segment of many consumers is large


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
