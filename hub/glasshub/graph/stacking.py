# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several pictures of one width as one, below each other: rrdtool draws one panel at a time."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")

#: Bytes of a pixel, by PNG's colour type, 8 bits to a sample; cairo, with which rrdtool draws, makes no other.
_PIXEL = {2: 3, 6: 4}

_SVG = re.compile(r'<svg[^>]*?width="([\d.]+)(?:pt|px)?"[^>]*?height="([\d.]+)(?:pt|px)?"[^>]*>(.*)</svg>', re.DOTALL)
_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')


def stacked_png(pictures: Sequence[bytes]) -> bytes:
    """PNGs of one width and kind as one PNG.

    Raises:
        ValueError: They are not of one width and kind, or are none that rrdtool writes.
    """
    headers, lines = zip(*map(_opened, pictures))
    width, _, *kind = headers[0]
    if any((header[0], *header[2:]) != (width, *kind) for header in headers):
        raise ValueError(f"pictures of several kinds: {headers}")
    pixels = b"".join(lines)
    height = sum(header[1] for header in headers)
    return b"".join(
        [
            _PNG,
            _chunk(b"IHDR", _HEADER.pack(width, height, *kind)),
            _chunk(b"IDAT", zlib.compress(pixels, 9)),
            _chunk(b"IEND", b""),
        ]
    )


def stacked_svg(pictures: Sequence[str]) -> str:
    """SVGs of one width as one SVG.

    Raises:
        ValueError: One of them is none.
    """
    parts = [_SVG.search(picture) for picture in pictures]
    if not all(parts):
        raise ValueError("rrdtool wrote an SVG that is none")
    sizes = [(float(part[1]), float(part[2])) for part in parts if part]
    width, height = max(size[0] for size in sizes), sum(size[1] for size in sizes)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">',
    ]
    top = 0.0
    for number, part in enumerate(part for part in parts if part):
        # Each picture counts its ids from the same one.
        body = _REFERENCE.sub(rf"\g<1>p{number}-", part[3])
        lines.append(f'<g transform="translate(0 {top:g})">{body}</g>')
        top += sizes[number][1]
    return "\n".join([*lines, "</svg>", ""])


def _opened(picture: bytes) -> tuple[tuple[int, ...], bytes]:
    """The fields of the header, and the lines of pixels, the first of which refers to none above it."""
    if not picture.startswith(_PNG):
        raise ValueError("rrdtool wrote a PNG that is none")
    chunks = list(_chunks(picture))
    header: tuple[int, ...] = _HEADER.unpack(chunks[0][1])
    if header[2] != 8 or header[3] not in _PIXEL or header[6]:
        raise ValueError(f"rrdtool wrote a PNG of an unknown kind: {header}")
    lines = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    length = 1 + header[0] * _PIXEL[header[3]]
    return header, _freed(lines[:length], _PIXEL[header[3]]) + lines[length:]


def _freed(line: bytes, pixel: int) -> bytes:
    """The first line of a picture without what it takes from the line above, which counts as zeros (PNG, 9.2).

    None and Sub take nothing from there, and of zeros Up is None, and Paeth is Sub. Average is half of the left pixel.
    """
    if line[0] != 3:
        return bytes([{2: 0, 4: 1}.get(line[0], line[0])]) + line[1:]
    raw = bytearray(line[1:])
    for i in range(pixel, len(raw)):
        raw[i] = (raw[i] + raw[i - pixel] // 2) & 0xFF
    return b"\0" + bytes(raw)


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(picture):
        length, name = struct.unpack_from(">I4s", picture, at)
        yield name, picture[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
