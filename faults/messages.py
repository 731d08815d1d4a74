# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbered messages whose bodies can be checked, and things that are none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

TOPIC = "org.glasshub.faults.message"


def text(number: int) -> str:
    """What a message of this number says, 0.8 to 2.4 KB: as long as the messages of a bus that signs them."""
    return f"{number:08x}" * (100 + number * 7919 % 200)


def checksum(number: int) -> int:
    """What `checksum_of` comes to for the body of this number."""
    return zlib.crc32(text(number).encode("ascii"))


def checksum_of(body: Mapping[str, Any]) -> int:
    """What tells whether a consumer was given the body that was published."""
    return zlib.crc32(body["text"].encode("utf-8"))


def body(number: int, **more: Any) -> bytes:
    """The body of a message, in JSON."""
    return json.dumps({"topic": TOPIC, "number": number, "text": text(number), **more}).encode("ascii")


def number_of(body: bytes) -> int:
    """The number of a message.

    Raises:
        ValueError, KeyError: It is none of ours, or not as it was published.
    """
    decoded = json.loads(body)
    decoded = decoded.get("msg", decoded)  # what a broker has brought is in an envelope
    number = int(decoded["number"])
    if checksum_of(decoded) != checksum(number):
        raise ValueError(f"this is not message {number}")
    return number


#: What is no message: nothing but parts. A hub gives it to nobody.
MALFORMED: tuple[tuple[bytes, ...], ...] = (
    (b"",),
    (TOPIC.encode("ascii"),),
    (TOPIC.encode("ascii"), b"{}", b"a third part"),
    (b"org.glasshub.\xff\xfe", b"{}"),
)

#: What is a message to the hub, and to no consumer: each refuses it.
UNREADABLE: tuple[tuple[bytes, ...], ...] = tuple(
    (TOPIC.encode("ascii"), body) for body in (b"", b"\xff\xfe", b"[" * 200_000, b'{"number": 1')
)

#: Unusual, and messages all the same: what is in the body beside the number.
UNUSUAL: tuple[Mapping[str, Any], ...] = (
    {"not_a_number": float("nan")},
    {"huge": float("inf")},
    {"padding": "x" * (64 << 20)},
)
