# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layout of a segment: drawn here once, packed by the hub, parsed by every reader.

A segment is one file. All numbers are in the byte order of the machine; a slot is 8 bytes, aligned, unsigned,
and has exactly one writer::

    offset  size  type   meaning                                                              who writes
    ------  ----  -----  -------------------------------------------------------------------  ----------
         0     8  bytes  magic "GLASSHUB"                                                     start
         8     4  u32    byte order mark 0x01020304                                           start
        12     2  u16    major version: another one cannot be read                            start
        14     2  u16    minor version: a higher one has only more fields or sections         start
        16     4  u32    header size: 128                                                     start
        20     4  u32    pid of the hub                                                       start
        24     8  slot   start time of that process, in clock ticks since boot (proc(5))      start
        32    16  bytes  boot id of the machine                                               start
        48     8  slot   generation: random, another one with each start of the hub           start
        56     8  slot   creation time, CLOCK_MONOTONIC ns                                    start
        64     8  slot   heartbeat, CLOCK_MONOTONIC ns                                        main thread
        72     8  slot   CLOCK_BOOTTIME - CLOCK_MONOTONIC, ns                                 main thread
        80     8  slot   CLOCK_REALTIME - CLOCK_MONOTONIC, ns                                 main thread
        88     4  u32    offset of the section table                                          start
        92     4  u32    number of sections                                                   start
        96     4  u32    offset of the field table                                            start
       100     4  u32    number of fields                                                     start

    a section, 32 bytes: 16 bytes name, u64 offset (64-byte aligned), u32 row size, u32 number of rows
    a field,   80 bytes: u32 index of its section, u32 offset in the row, u32 size in bytes, u32 zero,
                         32 bytes name, 16 bytes kind, 16 bytes unit
    then the rows of section "worker", of section "consumer", the one row of section "hub", and the rows of "producer"

The sections stand against the way of a message. A reader takes the workers' counters before those of whoever puts, so
that a backlog (enqueued - dequeued) cannot come out negative. The producers are not on that way, and stand last.

In a worker's row the single slots come first, those that have to agree, and the histograms behind them. No lock and no
sequence number guards the slots: a reader reads them twice, and when both readings are the same, they are as they
stood at one instant in between (the double collect of Afek et al., "Atomic snapshots of shared memory", 1993; counters
only grow, so that no slot can have changed and changed back). It asks nothing of the worker but one store for each
number, and nothing of the order in which a single reading copies bytes. A producer's row is read in the same way.

Version 1.1 has more fields than 1.0, and section "producer". Version 1.2 has the fields "broker_...".

A reader skips fields and sections that it does not know, and does without those that are missing.
"""

from __future__ import absolute_import

import struct
from collections import namedtuple

from . import histogram, schema
from .errors import SegmentFormatError, SegmentVersionError

MYPY = False
if MYPY:
    from typing import Any, Dict, List, Tuple, Union

    Data = Union[bytes, bytearray]

MAGIC = b"GLASSHUB"
BYTE_ORDER_MARK = 0x01020304
MAJOR, MINOR = 1, 2
SLOT = 8

#: A file larger than this is refused: 64 MiB are the workers of 8,000 consumers.
MAX_BYTES = 64 << 20
_MAX_FIELDS = 4096
_MAX_SECTIONS = 64
#: A row costs its reader some kilobytes of memory, however short it is in the file.
_MAX_ROWS = 10000

HEADER = struct.Struct("=8sIHHIIQ16sQQQQQIIII")
HEADER_SIZE = 128
HEARTBEAT_OFFSET = 64
BOOTTIME_OFFSET = 72
REALTIME_OFFSET = 80
_SECTION = struct.Struct("=16sQII")
_FIELD = struct.Struct("=IIII32s16s16s")

Header = namedtuple(
    "Header",
    "magic mark major minor size pid pid_start boot_id generation created_ns heartbeat_ns "
    "boottime_offset_ns realtime_offset_ns sections_at sections fields_at fields",
)

#: Where a field stands in its row: offset and size in bytes.
Field = namedtuple("Field", "offset size kind unit")

#: Rows of one kind: offset of the first in the file, bytes of each, how many, and their fields by name.
Section = namedtuple("Section", "offset row_size rows fields")

_SCHEMA = (
    ("worker", schema.WORKER_FIELDS),
    ("consumer", schema.CONSUMER_FIELDS),
    ("hub", schema.HUB_FIELDS),
    ("producer", schema.PRODUCER_FIELDS),
)


def size_of(metric):
    # type: (schema.Metric) -> int
    """Bytes that a stored metric takes in its row."""
    if metric.kind == schema.TEXT:
        return schema.TEXT_BYTES
    return SLOT * (histogram.BUCKETS if metric.kind == schema.HISTOGRAM else 1)


def _place(metrics):
    # type: (Tuple[schema.Metric, ...]) -> Dict[str, Field]
    """Lay the metrics of a row out one behind the other."""
    placed = {}
    offset = 0
    for metric in metrics:
        placed[metric.name] = Field(offset, size_of(metric), metric.kind, metric.unit)
        offset += size_of(metric)
    return placed


_OWN_FIELDS = [_place(metrics) for _, metrics in _SCHEMA]
_OWN_TABLE = b"".join(
    _FIELD.pack(index, field.offset, field.size, 0, name.encode(), field.kind.encode(), field.unit.encode())
    for index, fields in enumerate(_OWN_FIELDS)
    for name, field in sorted(fields.items(), key=lambda item: item[1].offset)
)


def plan(workers, consumers, producers=0):
    # type: (int, int, int) -> Tuple[Dict[str, Section], int]
    """Lay out a segment of today's version.

    Args:
        workers: Number of worker rows.
        consumers: Number of consumer rows.
        producers: Number of producer rows.

    Returns:
        The sections by name, and the size of the file in bytes.
    """
    end = _aligned(HEADER_SIZE + len(_SCHEMA) * _SECTION.size + len(_OWN_TABLE))
    sections = {}
    for (name, _), fields, rows in zip(_SCHEMA, _OWN_FIELDS, (workers, consumers, 1, producers)):
        row_size = _aligned(max(field.offset + field.size for field in fields.values()))
        sections[name] = Section(end, row_size, rows, fields)
        end += row_size * rows
    return sections, end


def pack_tables(sections):
    # type: (Dict[str, Section]) -> bytes
    """The section table and the field table, as they follow the header."""
    return (
        b"".join(
            _SECTION.pack(name.encode(), sections[name].offset, sections[name].row_size, sections[name].rows)
            for name, _ in _SCHEMA
        )
        + _OWN_TABLE
    )


def pack_header(sections, pid, pid_start, boot_id, generation, created_ns):
    # type: (Dict[str, Section], int, int, bytes, int, int) -> bytes
    """The header of a segment that is being made; its heartbeat is its creation time."""
    fields_at = HEADER_SIZE + len(sections) * _SECTION.size
    return HEADER.pack(
        *Header(
            magic=MAGIC,
            mark=BYTE_ORDER_MARK,
            major=MAJOR,
            minor=MINOR,
            size=HEADER_SIZE,
            pid=pid,
            pid_start=pid_start,
            boot_id=boot_id,
            generation=generation,
            created_ns=created_ns,
            heartbeat_ns=created_ns,
            boottime_offset_ns=0,
            realtime_offset_ns=0,
            sections_at=HEADER_SIZE,
            sections=len(sections),
            fields_at=fields_at,
            fields=sum(len(section.fields) for section in sections.values()),
        )
    )


def parse_header(path, data):
    # type: (str, Data) -> Header
    """The header of the segment in `data`.

    Raises:
        SegmentFormatError: The file is no segment, or a damaged one.
        SegmentVersionError: Its version is one that this reader does not know.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise SegmentFormatError(path, "this is not a Glasshub segment (the magic number is missing)")
    if len(data) < HEADER_SIZE:
        raise SegmentFormatError(path, "the segment is cut short: %d bytes are not even a header" % len(data))
    header = Header(*HEADER.unpack_from(data))
    if header.mark != BYTE_ORDER_MARK:
        raise SegmentFormatError(path, "the segment was written on a machine of the other byte order")
    if header.major != MAJOR:
        raise SegmentVersionError(
            path,
            "the segment has layout version %d.%d, this reader knows %d.x: "
            "install the same version of Glasshub on both sides" % (header.major, header.minor, MAJOR),
        )
    return header


def parse_tables(path, data, header):
    # type: (str, Data, Header) -> Dict[str, Section]
    """The sections by name, every offset and size checked against the file.

    Raises:
        SegmentFormatError: A table or a row lies outside of the file, or overlaps itself.
    """
    sections = []
    by_name = {}
    for raw_name, offset, row_size, rows in _entries(
        path, data, _SECTION, header.sections_at, header.sections, _MAX_SECTIONS
    ):
        if offset % SLOT or row_size % SLOT or (rows and not row_size) or offset + row_size * rows > len(data):
            raise SegmentFormatError(path, "the rows of section %r do not fit into the file" % raw_name)
        if rows > _MAX_ROWS:
            raise SegmentFormatError(path, "section %r has %d rows, more than any hub writes" % (raw_name, rows))
        section = Section(offset, row_size, rows, {})
        sections.append(section)
        by_name[_word(path, raw_name)] = section
    for section, fields in zip(sections, _fields(path, data, header, sections)):
        section.fields.update(fields)
    return by_name


def _fields(path, data, header, sections):
    # type: (str, Data, Header, List[Section]) -> List[Dict[str, Field]]
    """The fields of each section, by name."""
    start = header.fields_at
    if data[start : start + len(_OWN_TABLE)] == _OWN_TABLE and header.fields * _FIELD.size == len(_OWN_TABLE):
        found = _OWN_FIELDS  # the common case, hub and reader of one version, saves a fifth of the reading time
    else:
        found = _parse_fields(path, data, header, len(sections))
    for section, fields in zip(sections, found):
        if any(field.offset + field.size > section.row_size for field in fields.values()):
            raise SegmentFormatError(path, "a field does not fit into its row")
    return found


def _parse_fields(path, data, header, sections):
    # type: (str, Data, Header, int) -> List[Dict[str, Field]]
    found = [{} for _ in range(sections)]  # type: List[Dict[str, Field]]
    for index, offset, size, _, raw_name, raw_kind, raw_unit in _entries(
        path, data, _FIELD, header.fields_at, header.fields, _MAX_FIELDS
    ):
        if index >= sections or offset % SLOT or size % SLOT or not size:
            raise SegmentFormatError(path, "field %r does not fit into its row" % raw_name)
        kind, unit = _word(path, raw_kind), _word(path, raw_unit)
        found[index][_word(path, raw_name)] = Field(offset, size, kind, unit)
    return found


def usable(field, metric):
    # type: (Field, schema.Metric) -> bool
    """Whether a field of a file has the kind and the size that this reader expects of the metric."""
    return bool(field.kind == metric.kind and field.size == size_of(metric))


def _entries(path, data, entry, offset, count, limit):
    # type: (str, Data, struct.Struct, int, int, int) -> List[Tuple[Any, ...]]
    if count > limit or offset + count * entry.size > len(data):
        raise SegmentFormatError(path, "a table of %d entries at byte %d does not fit into the file" % (count, offset))
    return [entry.unpack_from(data, offset + i * entry.size) for i in range(count)]


def _word(path, raw):
    # type: (str, bytes) -> str
    try:
        return str(raw.rstrip(b"\0").decode("ascii"))
    except UnicodeDecodeError:
        raise SegmentFormatError(path, "a name in the segment's tables is not ASCII: %r" % raw)


def _aligned(size):
    # type: (int) -> int
    return (size + 63) // 64 * 64
