# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bus of the demo, a process of its own: `python -m glasshub.demo.bus`.

It binds, says where, and waits for a hub's subscription, so that nothing is lost. At the line `go` on its standard
input it publishes: quietly, then the spike, then quietly again until its input ends. What it has published by then it
reports on its standard output, one JSON object a line, 20 times a second and once more at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import zmq

from .messages import Generator

#: "That averages about 4 messages per minute (quite low)."
QUIET_PER_MINUTE = 4

#: Seconds that the bus waits for a hub.
_PATIENCE = 30.0

_REPORT_EVERY = 0.05

#: Seconds that zeromq may go on sending after the end.
_LINGER = 2.0


@dataclass(frozen=True)
class Published:
    """What the bus has published so far.

    Attributes:
        time: When, on CLOCK_MONOTONIC.
        topics: How many messages, by topic.
        spike_began, spike_ended: When, on CLOCK_MONOTONIC; 0 for not yet.
    """

    time: float = 0.0
    topics: dict[str, int] = field(default_factory=dict)
    spike_began: float = 0.0
    spike_ended: float = 0.0

    @property
    def total(self) -> int:
        """How many messages."""
        return sum(self.topics.values())

    def wanted_by(self, topics: tuple[str, ...]) -> int:
        """How many messages a consumer of these topics should get."""
        return sum(count for topic, count in self.topics.items() if topic.startswith(topics))


def due_times(quiet: float, rate: float, seconds: float) -> Iterator[float]:
    """When each message is due, in seconds from the start: 4 a minute, the spike, and 4 a minute for ever."""
    pause = 60.0 / QUIET_PER_MINUTE
    due = 0.0
    while due < quiet:
        yield due
        due += pause
    yield from (quiet + number / rate for number in range(round(rate * seconds)))
    due = quiet + seconds
    while True:
        due += pause
        yield due


class _Bus:
    """Publishes by the clock, and reports. Threads: one, and another that waits for the end of the input."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._generator = Generator(options.seed)
        self._topics: Counter[str] = Counter()
        self._spike_began = self._spike_ended = self._sent = 0.0
        self._has_to_end = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # a consumer that is slow in shape `inline` shall lose nothing here

    def run(self) -> int:
        """Publish until the input ends; the exit code."""
        try:
            self._socket.bind(self._options.bind)
            _say({"event": "bound", "endpoint": self._socket.getsockopt_string(zmq.LAST_ENDPOINT)})
            if not self._socket.poll(round(_PATIENCE * 1000)):
                sys.stderr.write(f"nobody subscribed within {_PATIENCE:.0f} seconds\n")
                return 1
            _say({"event": "subscribed"})
            if sys.stdin.readline().strip() == "go":
                threading.Thread(target=self._await_end, daemon=True).start()
                self._publish()
            self._report("end")
            return 0
        finally:
            self._context.destroy(linger=round(_LINGER * 1000))

    def _await_end(self) -> None:
        sys.stdin.read()
        self._has_to_end.set()

    def _publish(self) -> None:
        options = self._options
        start = time.monotonic()
        begin, end = start + options.quiet, start + options.quiet + options.seconds
        reported = 0.0
        for due in due_times(options.quiet, options.rate, options.seconds):
            while not self._has_to_end.is_set():
                now = time.monotonic()
                self._spike_began = begin if now >= begin else 0.0
                if now >= end and start + due >= end and not self._spike_ended:
                    self._spike_ended = max(end, self._sent)  # late, if the machine cannot keep up with the rate
                if now - reported >= _REPORT_EVERY:
                    self._report("published")
                    reported = now
                if now >= start + due:
                    break
                self._has_to_end.wait(min(start + due - now, _REPORT_EVERY))
            else:
                return
            self._send()

    def _send(self) -> None:
        topic, body = self._generator.next(time.time())
        self._socket.send_multipart([topic.encode(), body])
        self._topics[topic] += 1
        self._sent = time.monotonic()

    def _report(self, event: str) -> None:
        published = Published(time.monotonic(), dict(self._topics), self._spike_began, self._spike_ended)
        _say({"event": event, **asdict(published)})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the bus."""
    parser = argparse.ArgumentParser(prog="glasshub.demo.bus", description=__doc__)
    parser.add_argument("--bind", default="tcp://127.0.0.1:*", help="endpoint")
    parser.add_argument("--rate", type=float, default=120.0, help="messages a second in the spike")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the spike")
    parser.add_argument("--quiet", type=float, default=4.0, help="seconds before the spike")
    parser.add_argument("--seed", type=int, default=2014)
    try:
        return _Bus(parser.parse_args()).run()
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
