# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded messages: JSON, one a line, with the time at which each came. `docs/spike.md` has the format.

A recording gives back the bytes that were recorded. Lines that are messages of fedmsg, as datanommer and others store
them, are read as well; what is sent for these is the line, written anew.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..errors import ConfigError

_VERSION = 1

#: Key of the line that a recording begins with, and of one that stands for what may be missing.
_HEADER, _GAP = "glasshub_recording", "gap"


@dataclass(frozen=True)
class Recorded:
    """A message.

    Attributes:
        at: Seconds after the first one.
        topic: Its topic.
        body: Its body, as it was on the bus.
    """

    at: float
    topic: str
    body: bytes


class _DamagedError(ValueError):
    """A line is no message; the text says why."""


class Recording:
    """The messages of a file, anew each time that one iterates; their times never go back.

    Attributes:
        damaged: Lines that were left out when one last iterated.
    """

    def __init__(self, path: Path, *, skips_damaged: bool = False) -> None:
        """Take the file, and whether lines that are no messages are left out."""
        self._path = path
        self._skips_damaged = skips_damaged
        self.damaged = 0

    def __iter__(self) -> Iterator[Recorded]:
        """Read it.

        Raises:
            ConfigError: It cannot be read, or a line is no message.
        """
        self.damaged = 0
        first: float | None = None
        at = 0.0
        for time, topic, body in self._parsed():
            if first is None:
                first = time
            if time is not None and first is not None:
                at = max(at, time - first)  # publishers' clocks differ
            yield Recorded(at, topic, body)

    def _parsed(self) -> Iterator[tuple[float | None, str, bytes]]:
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    yield from self._message(number, line)
        except OSError as error:
            raise ConfigError(f"cannot read the recording: {error.strerror}", origin=str(self._path)) from error

    def _message(self, number: int, line: bytes) -> Iterator[tuple[float | None, str, bytes]]:
        try:
            parsed = _parsed(line)
        except (ValueError, RecursionError) as error:
            if not self._skips_damaged:
                raise ConfigError(
                    f"not a message: {error}: correct the line, or leave out all such lines with --skip-damaged",
                    origin=f"{self._path}:{number}",
                ) from None
            self.damaged += 1
        else:
            if parsed is not None:
                yield parsed


@dataclass(frozen=True)
class Summary:
    """What a whole recording holds.

    Attributes:
        messages: How many.
        seconds: From the first one to the last.
        damaged: Lines that were left out.
    """

    messages: int
    seconds: float
    damaged: int


def summary(recording: Recording) -> Summary:
    """Read all of a recording.

    Raises:
        ConfigError: It cannot be read, a line is no message, or there is none.
    """
    count, at = 0, 0.0
    for message in recording:
        count, at = count + 1, message.at
    if not count:
        raise ConfigError("there is no message in the recording", origin=str(recording._path))
    return Summary(count, at, recording.damaged)


class RecordingWriter:
    """Writes a recording, a line each."""

    def __init__(self, file: TextIO, *, begun: float, endpoints: Sequence[str]) -> None:
        """Write the first line: when it was begun, in unix time, and where the messages come from."""
        self._file = file
        self._write({_HEADER: _VERSION, "begun": round(begun, 6), "endpoints": list(endpoints)})

    def message(self, at: float, topic: str, body: bytes) -> None:
        """Write a message that came so many seconds after the beginning."""
        self._write({"at": round(at, 6), "topic": topic, **_written(body)})

    def gap(self, at: float, endpoint: str, seconds: float) -> None:
        """Write that an endpoint was lost for so many seconds, and what it published in them did not come."""
        self._write({"at": round(at, 6), _GAP: {"endpoint": endpoint, "seconds": round(seconds, 3)}})

    def flush(self) -> None:
        """Have what was written go where it goes."""
        self._file.flush()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")


def _written(body: bytes) -> dict[str, Any]:
    """A body in the most readable way that gives back the same bytes."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}
    try:
        parsed = json.loads(text)
        is_same = json.dumps(parsed, allow_nan=False) == text
    except (ValueError, RecursionError):
        is_same = False
    return {"body": parsed} if is_same else {"body_text": text}


def _parsed(line: bytes) -> tuple[float | None, str, bytes] | None:
    """Time, topic and body of a line; None for one that holds no message and need not.

    Raises:
        ValueError: It is no message.
    """
    if not line.strip():
        return None
    value = json.loads(line.decode("utf-8"))
    if not isinstance(value, dict):
        raise _DamagedError("it is no JSON object")
    if _HEADER in value:
        if value[_HEADER] != _VERSION:
            raise _DamagedError(f"this is a recording of version {value[_HEADER]!r}, and only {_VERSION} is known here")
        return None
    if _GAP in value and "topic" not in value:
        return None
    topic = value.get("topic")
    if not isinstance(topic, str):
        raise _DamagedError("it has no topic")
    topic.encode("utf-8")
    if "at" in value:
        return _time(value["at"], "at"), topic, _body(value)
    if "msg" not in value:
        raise _DamagedError('it has neither "at" and a body, as a recording has, nor "msg", as a message of fedmsg has')
    time = value.get("timestamp")
    return None if time is None else _time(time, "timestamp"), topic, json.dumps(value).encode()


def _time(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _DamagedError(f"{key} is not a number of seconds")
    return float(value)


def _body(value: Mapping[str, Any]) -> bytes:
    if "body" in value:
        return json.dumps(value["body"]).encode()
    if isinstance(value.get("body_text"), str):
        return str(value["body_text"]).encode("utf-8")
    if isinstance(value.get("body_base64"), str):
        try:
            return base64.b64decode(value["body_base64"], validate=True)
        except binascii.Error as error:
            raise _DamagedError(f"body_base64 is no base64: {error}") from None
    raise _DamagedError("it has no body, body_text or body_base64")
