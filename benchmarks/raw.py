# SPDX-License-Identifier: LGPL-2.1-or-later
"""The least that can be done in Python: receive a message, decode it, forget it: ENDPOINT DECODES TALLY."""

from __future__ import annotations

import json
import sys

import zmq

from .letters import TOPIC
from .tallies import TALLIES


def main() -> None:
    """Receive until killed, and decode each message so many times."""
    endpoint, decodes, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tally = TALLIES[kind]("raw")
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 100_000)
    socket.setsockopt(zmq.SUBSCRIBE, TOPIC.encode())
    socket.connect(endpoint)
    while True:
        _, body = socket.recv_multipart()
        for _ in range(decodes):
            decoded = json.loads(body.decode("utf-8"))
        tally.note(decoded)


if __name__ == "__main__":
    main()
