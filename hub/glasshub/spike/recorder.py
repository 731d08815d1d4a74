# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing down what comes on a bus."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..load.recording import RecordingWriter
from ..routing import Router
from ..sources import Batch, Source

#: Seconds that one look at the bus takes at the most, and messages that it brings.
_LOOK = 0.2
_BATCH = 1000


@dataclass
class Tally:
    """What has come.

    Attributes:
        messages: Written.
        malformed: Left out: not one topic in UTF-8 and one body.
        gaps: Times that an endpoint was lost and came back.
        endpoints, connected: How many there are, and how many of them were connected at the end.
        seconds: How long it took.
    """

    messages: int = 0
    malformed: int = 0
    gaps: int = 0
    endpoints: int = 0
    connected: int = 0
    seconds: float = 0.0


class Recorder:
    """Takes messages from a bus that it opens, and closes at the end. Threads: one."""

    def __init__(self, source: Source, writer: RecordingWriter) -> None:
        self._source = source
        self._writer = writer
        self._begun_ns = time.monotonic_ns()
        self._tally = Tally()

    def run(self, topics: list[str], *, messages: int, seconds: float, has_to_end: Callable[[], bool]) -> Tally:
        """Record; blocks until there is enough.

        Args:
            topics: What is wanted, as consumers say it.
            messages: How many are enough; 0 for no limit.
            seconds: How long is long enough; 0 for no limit.
            has_to_end: Asked some times a second.

        Raises:
            SourceError: The bus cannot be opened, or read.
        """
        self._source.open(Router([topics]))
        try:
            while not (has_to_end() or self._is_enough(messages, seconds)):
                missing = messages - self._tally.messages if messages else _BATCH
                self._take(self._source.receive(_LOOK, min(_BATCH, missing)))
            state = self._source.state()
        finally:
            self._source.finish()
            self._source.close()
        self._tally.endpoints, self._tally.connected = state.endpoints, state.connected
        self._tally.seconds = self._since(time.monotonic_ns())
        return self._tally

    def _is_enough(self, messages: int, seconds: float) -> bool:
        is_long = bool(seconds) and self._since(time.monotonic_ns()) >= seconds
        return is_long or (bool(messages) and self._tally.messages >= messages)

    def _take(self, batch: Batch) -> None:
        for gap in batch.gaps:
            self._tally.gaps += 1
            self._writer.gap(self._since(gap.found_ns), gap.endpoint, gap.seconds)
        self._tally.malformed += batch.malformed
        for frame in batch.frames:
            try:
                topic = frame.topic.decode("utf-8")
            except UnicodeDecodeError:
                self._tally.malformed += 1
                continue
            self._writer.message(self._since(frame.received_ns), topic, frame.body)
            self._tally.messages += 1
        self._writer.flush()

    def _since(self, monotonic_ns: int) -> float:
        return (monotonic_ns - self._begun_ns) / 1e9
