# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run` with a bus of its own, in one process that a test may kill, halt and start again.

python live_hub.py SEGMENT

Mailer gets a hundred messages a second and takes 2 ms for each; Monitoring gets none.
"""

from __future__ import annotations

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


def publish(endpoint: str) -> None:
    """Publish for ever."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    socket.bind(endpoint)
    while True:
        socket.send_multipart([b"org.fedoraproject.prod.git.receive", b'{"msg": {}}'])
        time.sleep(1 / RATE)


def run(segment: Path) -> int:
    """Run the hub in this thread, and the bus in another."""
    endpoint = f"ipc://{segment}.bus"
    threading.Thread(target=publish, args=[endpoint], daemon=True).start()
    options = ["--name", segment.stem, "--stats-dir", str(segment.parent), "--zmq", endpoint, "--no-discover"]
    return main(["run", *options, "--consumer", "live_hub:Mailer", "--consumer", "live_hub:Monitoring"])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
