# SPDX-License-Identifier: LGPL-2.1-or-later
"""The least that can be done with pika: receive a message, decode it, acknowledge it: URL QUEUE PREFETCH."""

from __future__ import annotations

import json
import sys
from typing import Any

import pika

from .tallies import TALLIES


def main() -> None:
    """Consume until killed."""
    url, queue, prefetch = sys.argv[1:]
    tally = TALLIES["Span"]("raw")
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.basic_qos(prefetch_count=int(prefetch))

    def consume(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tally.note(json.loads(body.decode("utf-8")))
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, consume)
    channel.start_consuming()


if __name__ == "__main__":
    main()
