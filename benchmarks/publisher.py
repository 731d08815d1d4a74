# SPDX-License-Identifier: LGPL-2.1-or-later
"""A publisher in a process of its own: SEND_HIGH_WATER_MARK.

It says where it is bound, waits for a subscription, so that nothing is lost at the start, and then for orders on
standard input: `MESSAGES RATE`, rate 0 for as fast as it can. When all messages of an order are with libzmq it answers
when it began, CLOCK_MONOTONIC in nanoseconds.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable

import zmq

from .letters import Letter, letters


def main() -> None:
    """Publish until standard input ends."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, int(sys.argv[1]))
    socket.bind("tcp://127.0.0.1:*")
    print(socket.get_string(zmq.LAST_ENDPOINT), flush=True)
    supply = itertools.cycle(letters())
    socket.recv()
    print("subscribed", flush=True)
    for order in sys.stdin:
        messages, rate = order.split()
        began_ns = time.monotonic_ns()
        _publish(socket, itertools.islice(supply, int(messages)), float(rate))
        print(began_ns, flush=True)
    context.destroy(linger=0)


def _publish(socket: zmq.Socket[bytes], supply: Iterable[Letter], rate: float) -> None:
    start = time.monotonic()
    for number, letter in enumerate(supply):
        if rate:
            time.sleep(max(start + number / rate - time.monotonic(), 0))
        socket.send(letter.topic, zmq.SNDMORE)
        socket.send(letter.stamped(time.monotonic_ns()))


if __name__ == "__main__":
    main()
