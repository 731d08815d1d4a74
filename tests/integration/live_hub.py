# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run` with a bus of its own, in one process that a test may kill, halt and start again.

python live_hub.py SEGMENT [OPTION...]

Its consumers, unless options of `glasshub run` name others: Mailer, which gets a hundred messages a second and takes
2 ms for each, and Monitoring, which gets none.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import zmq

from glasshub import Consumer, Message
from glasshub.cli import main

RATE = 100.0
PROCESSING = 0.002


class Mailer(Consumer):
    """Takes its time."""

    topics = ("org.",)

    def consume(self, message: Message) -> None:
        """Take the time."""
        time.sleep(PROCESSING)


class Monitoring(Consumer):
    """Has nothing to do."""

    topics = ("nothing.",)


class Slowpoke(Consumer):
    """Takes four times as long for a message as it has, until there is a file SEGMENT.fast; not in worker processes."""

    topics = ("org.",)

    def consume(self, message: Message) -> None:
        """Take the time."""
        if not os.path.exists(f"{sys.argv[1]}.fast"):
            time.sleep(4 / RATE)


def publish(endpoint: str) -> None:
    """Publish for ever."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    socket.bind(endpoint)
    while True:
        socket.send_multipart([b"org.fedoraproject.prod.git.receive", b'{"msg": {}}'])
        time.sleep(1 / RATE)


def run(segment: Path, *more: str) -> int:
    """Run the hub in this thread, and the bus in another."""
    endpoint = f"ipc://{segment}.bus"
    threading.Thread(target=publish, args=[endpoint], daemon=True).start()
    options = ["--name", segment.stem, "--stats-dir", str(segment.parent), "--zmq", endpoint, "--no-discover"]
    return main(["run", *options, *(more or ["--consumer", "live_hub:Mailer", "--consumer", "live_hub:Monitoring"])])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), *sys.argv[2:]))
