# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of the demo, with the moment at which they were published: the same ones in every run.

Only those with bodies of 1 to 3 KB, as those of a bus have that signs its messages; the demo's own are not signed, and
most of them are shorter.
"""

from __future__ import annotations

import itertools
import json
from typing import NamedTuple

from glasshub.load.messages import PREFIX, Generator

#: What all consumers of the benchmarks subscribe to.
TOPIC = PREFIX.rstrip(".")

#: How many different ones, and how many bytes their bodies have.
_COUNT = 200
_SHORTEST, _LONGEST = 1000, 3000


class Letter(NamedTuple):
    """A topic, and a body in two halves between which the publisher writes when it published it."""

    topic: bytes
    head: bytes
    tail: bytes

    def stamped(self, published_ns: int) -> bytes:
        """The body."""
        return b"%b%d%b" % (self.head, published_ns, self.tail)


def letters() -> list[Letter]:
    """Some hundreds of different ones."""
    generator = Generator(2014)
    made = (_letter(generator.next_body(1_396_000_000.0 + number)) for number in itertools.count())
    fitting = (letter for letter in made if _SHORTEST <= len(letter.head) <= _LONGEST)
    return list(itertools.islice(fitting, _COUNT))


def published_ns(body: bytes) -> int:
    """When the body was published, CLOCK_MONOTONIC in nanoseconds; it ends with that, and is not decoded for it."""
    return int(body[body.rindex(b":") + 1 : -1])


def _letter(body: dict[str, object]) -> Letter:
    head, _, tail = json.dumps({**body, "published_ns": 0}).rpartition("0")
    return Letter(str(body["topic"]).encode(), head.encode(), tail.encode())
