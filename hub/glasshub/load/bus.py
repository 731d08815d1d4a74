# SPDX-License-Identifier: LGPL-2.1-or-later
"""The publisher of a load, a process of its own: `python -m glasshub.load.bus`.

It binds, or joins a bus, says where, and waits until a hub has subscribed, so that nothing is lost. Then it takes lines
from its standard input: `topics` and a JSON list says for whom messages are made up, which the subscriptions do not say
where one covers another; at `probe` it publishes one message; at `go` it publishes quietly, then the load, then quietly
again until its input ends. What it has published by then it reports on its standard output, one JSON object a line, 20
times a second and once more at the end.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zmq

from ..routing import prefix_of
from . import messages as lookalikes
from .recording import Recorded, Recording
from .schedule import KINDS, QUIET_RATE, REPLAY, SPIKE, Schedule

#: Seconds that the bus waits for a hub, and for a further subscription after one.
_PATIENCE = 30.0
_SETTLING = 0.3

_REPORT_EVERY = 0.05

#: Seconds that zeromq may go on sending after the end.
_LINGER = 2.0


@dataclass(frozen=True)
class Published:
    """What the bus has published so far and somebody wants.

    Attributes:
        time: When, on CLOCK_MONOTONIC.
        topics: How many messages, by topic.
        spike_began, spike_ended: When the load did, on CLOCK_MONOTONIC; 0 for not yet.
        unwanted: How many messages more that nobody subscribes to, which zeromq sends nowhere.
    """

    time: float = 0.0
    topics: dict[str, int] = field(default_factory=dict)
    spike_began: float = 0.0
    spike_ended: float = 0.0
    unwanted: int = 0

    @property
    def total(self) -> int:
        """How many messages."""
        return sum(self.topics.values())

    def wanted_by(self, topics: Sequence[str], *, strict: bool = False) -> int:
        """How many messages a consumer of these topics should get; `strict` as in [zmq]."""
        prefixes = tuple(prefix_of(topic).decode() for topic in topics)
        if strict:
            return sum(self.topics.get(prefix, 0) for prefix in set(prefixes))
        return sum(count for topic, count in self.topics.items() if topic.startswith(prefixes))


class _Bus:
    """Publishes by the clock, and reports. Threads: one, and another that waits for the end of the input."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._schedule = Schedule(options.kind, options.rate, options.seconds, options.quiet, options.quiet_rate)
        self._topics: Counter[str] = Counter()
        self._unwanted = 0
        self._prefixes: set[bytes] = set()
        self._likeness: list[str] = []
        self._load_began = self._load_ended = self._reported = 0.0
        self._has_to_end = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # a consumer that is slow in shape `inline` shall lose nothing here

    def run(self) -> int:
        """Publish until the input ends; the exit code."""
        try:
            return self._run()
        except zmq.ZMQError as error:
            _say({"event": "refused", "why": _unusable(self._options.to, error)})
            return 1
        finally:
            self._context.destroy(linger=round(_LINGER * 1000))

    def _run(self) -> int:
        self._attach()
        _say({"event": "bound", "endpoint": self._socket.getsockopt_string(zmq.LAST_ENDPOINT)})
        if not self._socket.poll(round(self._options.patience * 1000)):
            _say({"event": "refused", "why": self._nobody()})
            return 1
        while self._socket.poll(round(_SETTLING * 1000)):
            self._hear()
        self._likeness = [prefix.decode("utf-8", "replace") for prefix in self._prefixes]
        _say({"event": "subscribed"})
        with closing(self._messages()) as messages:
            self._obey(messages)
        self._report("end")
        return 0

    def _attach(self) -> None:
        """Bind where nobody is, as a publisher does that a hub connects to; else connect, to a hub that binds."""
        endpoint = self._options.to
        path = endpoint.partition("ipc://")[2]
        if path and os.path.exists(path):  # libzmq would take the place of whoever is bound there
            self._socket.connect(endpoint)
            return
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENODEV):
                raise
            self._socket.connect(endpoint)

    def _nobody(self) -> str:
        return (
            f"nobody at {self._options.to} subscribed within {self._options.patience:g} seconds: no hub listens there, "
            f"nor connects to it"
        )

    def _hear(self) -> None:
        """Note who wants what."""
        while self._socket.poll(0):
            said = self._socket.recv()
            (self._prefixes.add if said[:1] == b"\1" else self._prefixes.discard)(said[1:])

    def _messages(self) -> Generator[Recorded, None, None]:
        """Recorded messages, for ever unless they are to be replayed; else what looks like messages of the bus."""
        if self._options.messages is None:
            generator = lookalikes.Generator(prefixes=self._likeness)
            while True:
                topic, body = generator.next(time.time())
                yield Recorded(0.0, topic, body)
        recording = Recording(Path(self._options.messages), skips_damaged=self._options.skip_damaged)
        yield from recording
        while self._options.kind != REPLAY:
            yield from recording

    def _obey(self, messages: Iterator[Recorded]) -> None:
        for line in iter(sys.stdin.readline, ""):
            word, _, what = line.strip().partition(" ")
            if word == "topics":
                self._likeness = [prefix_of(topic).decode() for topic in json.loads(what)]
            elif word == "probe":
                self._send(next(messages))
                self._report("probed")
            else:
                threading.Thread(target=self._await_end, daemon=True).start()
                self._publish(messages)
                self._has_to_end.wait()
                return

    def _await_end(self) -> None:
        sys.stdin.read()
        self._has_to_end.set()

    def _publish(self, messages: Iterator[Recorded]) -> None:
        schedule, start = self._schedule, time.monotonic()
        begin = start + schedule.quiet
        if self._send_all(zip(schedule.before(), messages), start) and self._await(begin):
            self._load_began = begin
            load = self._replayed(messages) if schedule.kind == REPLAY else zip(schedule.during(), messages)
            is_whole = self._send_all(load, start)
            end = begin + (0.0 if schedule.kind == REPLAY else schedule.seconds)
            if is_whole and self._await(end):
                self._load_ended = max(end, time.monotonic())  # late, if the machine cannot keep up with the rate
                self._report("published")
                self._send_all(zip(schedule.after(), messages), start)

    def _replayed(self, messages: Iterable[Recorded]) -> Iterator[tuple[float, Recorded]]:
        speed = self._options.speed
        return ((self._schedule.quiet + (m.at / speed if speed else 0.0), m) for m in messages)

    def _send_all(self, load: Iterable[tuple[float, Recorded]], start: float) -> bool:
        """Send each message when it is due; whether that was all of them, and not the end of the input."""
        for due, message in load:
            if not self._await(start + due):
                return False
            self._send(message)
        return True

    def _await(self, due: float) -> bool:
        """Wait, and report meanwhile; whether there is anything to wait for any more."""
        while not self._has_to_end.is_set():
            now = time.monotonic()
            if now - self._reported >= _REPORT_EVERY:
                self._hear()
                self._report("published")
                self._reported = now
            if now >= due:
                return True
            self._has_to_end.wait(min(due - now, _REPORT_EVERY))
        return False

    def _send(self, message: Recorded) -> None:
        topic = message.topic.encode()
        self._socket.send_multipart([topic, message.body])
        if topic.startswith(tuple(self._prefixes)):
            self._topics[message.topic] += 1
        else:
            self._unwanted += 1

    def _report(self, event: str) -> None:
        now = time.monotonic()
        published = Published(now, dict(self._topics), self._load_began, self._load_ended, self._unwanted)
        _say({"event": event, **asdict(published)})


def _unusable(endpoint: str, error: zmq.ZMQError) -> str:
    return f"cannot publish at {endpoint}: {error.strerror}: an endpoint looks like tcp://host:9940 or ipc:///path"


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the bus."""
    parser = argparse.ArgumentParser(prog="glasshub.load.bus", description=__doc__)
    parser.add_argument("--to", default="tcp://127.0.0.1:*", help="endpoint")
    parser.add_argument("--patience", type=float, default=_PATIENCE, help="seconds that it waits for a hub")
    parser.add_argument("--kind", choices=KINDS, default=SPIKE)
    parser.add_argument("--rate", type=float, default=120.0, help="messages a second in the load")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the load")
    parser.add_argument("--quiet", type=float, default=4.0, help="seconds before the load")
    parser.add_argument("--quiet-rate", type=float, default=QUIET_RATE, help="messages a second before and after it")
    parser.add_argument("--messages", help="a recording; by default they are made up")
    parser.add_argument("--skip-damaged", action="store_true", help="leave out lines of it that are no messages")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast as recorded; 0: as fast as it goes")
    try:
        return _Bus(parser.parse_args()).run()
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
