# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that uses a spool as a hub does, says what it does, and waits to be killed: DIRECTORY FIRST SEED.

On standard output stands, line by line and never late: `+ FIRST COUNT` when messages of these numbers are accepted, and
`CONSUMER NUMBER` when a consumer handles one, which is acknowledged after that.
"""

from __future__ import annotations

import os
import random
import sys
import time

from glasshub.message import Frame
from glasshub.spool import Log

#: Messages that are accepted at once, and given at once, at the most.
MOST_ACCEPTED, MOST_GIVEN = 12, 16

CONSUMERS = ("all", "some")


def wanting(number: int) -> tuple[int, ...]:
    """The consumers of a message."""
    return (0, 1) if number % 3 else (0,)


def main() -> None:
    """Go on until killed."""
    directory, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    late: list[list[int]] = [[] for _ in CONSUMERS]
    log = Log(directory, consumers=CONSUMERS)
    while True:
        count = chance.randint(1, MOST_ACCEPTED)
        log.append([(_frame(number), wanting(number)) for number in range(first, first + count)])
        _say(f"+ {first} {count}")
        first += count
        for consumer in range(len(CONSUMERS)):
            late[consumer] = _work(log, consumer, late[consumer], chance)


def _work(log: Log, consumer: int, late: list[int], chance: random.Random) -> list[int]:
    """Have a consumer handle some messages, in any order; those that it finishes in the next turn."""
    entries = log.take(consumer, chance.randint(1, MOST_GIVEN))
    chance.shuffle(entries)
    for entry in entries:
        _say(f"{consumer} {int(entry.frame.body[:10])}")
    seqs = [entry.seq for entry in entries]
    now = chance.randint(0, len(seqs))
    log.acknowledge(consumer, [*seqs[:now], *late])
    return seqs[now:]


def _frame(number: int) -> Frame:
    return Frame(b"org.test", b"%010d" % number + b"x" * 1500, time.monotonic_ns())


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main()
