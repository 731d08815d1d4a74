# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run` with a bus of its own and a consumer that is too slow for it until a file is there.

python slow_hub.py SEGMENT FILE
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

RATE = 10.0
PROCESSING = 0.4


class Slowpoke(Consumer):
    """Takes four times as long for a message as it has."""

    topics = ("org.",)

    def consume(self, message: Message) -> None:
        """Take the time."""
        if not os.path.exists(sys.argv[2]):
            time.sleep(PROCESSING)


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
    return main(["run", *options, "--shape", "threads", "--consumer", "slow_hub:Slowpoke"])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
