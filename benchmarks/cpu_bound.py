# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three consumers that compute, 20 ms of Python for each message, while more comes than anybody could consume.

The question is whether the enqueuer still receives it. In shape `threads` three threads want the interpreter's lock all
the time; in shape `processes` they are elsewhere. The publisher has libzmq's own high-water mark of 1,000, as those of
fedmsg have: it drops what it cannot send, and nobody is told.

A hub runs in a process of its own, with its code untouched; only its source is watched. A message counts as enqueued
when the enqueuer comes back for the next batch, which is when it has been put into the queues.
"""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from glasshub.config import DEFAULT, ConfigBuilder, HubSection, ZmqSection
from glasshub.dispatch import PROCESSES
from glasshub.hub import Hub
from glasshub.message import Frame
from glasshub.notify import Notifier
from glasshub.remote import RemoteRoster
from glasshub.roster import Roster
from glasshub.sources import Batch
from glasshub.sources.zmq import ZmqSource

from .figures import Figure, Target, percentile
from .letters import published_ns
from .processes import Child, Publisher, scratch

_SECONDS = 20

#: When nothing has come for so many seconds, nothing will.
_SILENCE = 3.0


class Settings(NamedTuple):
    """A hub: its shape, switch interval in seconds, and receive high-water mark in messages."""

    shape: str
    switch_interval: float = HubSection.switch_interval
    high_water_mark: int = ZmqSection.receive_high_water_mark


#: Of each that is measured, messages a second, the hub, and whether it is to lose nothing and to be in time.
_MEASURED: dict[str, tuple[int, Settings, bool]] = {
    "processes, 120/s": (120, Settings(PROCESSES), True),
    "processes, 2000/s": (2000, Settings(PROCESSES), True),
    "threads, 500/s": (500, Settings("threads"), False),
    "threads, 500/s, defaults of CPython and libzmq": (500, Settings("threads", 0.005, 1000), False),
}

_NOTHING, _IN_TIME = Target(0), Target(20)


def run(*, quick: bool) -> Iterator[Figure]:
    """Measure: once each, for it is long."""
    for name, (rate, settings, is_promised) in _MEASURED.items():
        messages = rate * (2 if quick else _SECONDS)
        delays = _flood(messages, rate, settings)
        yield Figure(f"{name}: received", len(delays), "messages")
        yield Figure(f"{name}: lost", messages - len(delays), "messages", _NOTHING if is_promised else None)
        for percent in (50, 99):
            goal = _IN_TIME if is_promised and percent == 99 else None
            yield Figure(f"{name}: publish to enqueue, p{percent}", percentile(delays, percent) * 1e3, "ms", goal)


def _flood(messages: int, rate: int, settings: Settings) -> Sequence[float]:
    """After how many seconds each of the messages was in its queues; of those that came."""
    with scratch() as directory, Publisher(directory, send_high_water_mark=1000) as publisher:
        arguments = ["benchmarks.cpu_bound", publisher.endpoint, *map(str, settings)]
        with Child(*arguments, directory=directory) as hub:
            publisher.wait_for_subscription(hub)
            publisher.publish(messages, rate)
            hub.line()
        delays = array("d")
        delays.frombytes((directory / "delays").read_bytes())
        return delays


class WatchedSource(ZmqSource):
    """A source that notes after how many seconds its messages were enqueued. Threads: as `ZmqSource`.

    Attributes:
        delays: What it has noted, in seconds.
        on_silence: Called when messages have come and no more do.
    """

    def __init__(self, options: ZmqSection) -> None:
        super().__init__(options)
        self.delays = array("d")
        self.on_silence: Callable[[], None] = lambda: None
        self._latest: Sequence[Frame] = ()
        self._received = 0.0

    def receive(self, timeout: float, limit: int) -> Batch:
        """See `Source.receive`."""
        now_ns = time.monotonic_ns()
        self.delays.extend((now_ns - published_ns(frame.body)) / 1e9 for frame in self._latest)
        batch = super().receive(timeout, limit)
        self._latest = batch.frames
        if batch.frames:
            self._received = time.monotonic()
        elif self._received and time.monotonic() - self._received > _SILENCE:
            self.on_silence()
        return batch


def main() -> None:
    """Run a hub until nothing comes any more: ENDPOINT SHAPE SWITCH_INTERVAL HIGH_WATER_MARK."""
    endpoint, shape, switch_interval, high_water_mark = sys.argv[1:]
    builder = ConfigBuilder()
    builder.set("hub", "shape", shape, origin=DEFAULT)
    builder.set("hub", "switch_interval", float(switch_interval), origin=DEFAULT)
    builder.set("zmq", "endpoints", [endpoint], origin=DEFAULT)
    builder.set("zmq", "receive_high_water_mark", int(high_water_mark), origin=DEFAULT)
    config = builder.build()
    source = WatchedSource(config.zmq)
    kind = RemoteRoster if shape == PROCESSES else Roster
    roster = kind(config, only=[f"benchmarks.consumers:Busy{n}" for n in range(3)])
    hub = Hub(config, roster, source, directory=Path.cwd(), version="0", notifier=Notifier())
    source.on_silence = hub.request_abort
    hub.run()
    Path("delays").write_bytes(source.delays.tobytes())
    print("done", flush=True)
    os._exit(0)  # the consumers compute on


if __name__ == "__main__":
    main()
