# SPDX-License-Identifier: LGPL-2.1-or-later
"""Time from publish to consume at 120 and at 2,000 messages a second, with one consumer.

The publisher writes the time into the body just before it sends; the consumer reads the same clock, CLOCK_MONOTONIC,
as the first thing that it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .contestants import Contestant, FedmsgHub, Glasshub, Raw, no_fedmsg_hub, run_once
from .figures import Figure, figure, percentile, take_turns

#: Messages a second: the spike of "Threading Moksha", and more than Fedora's bus is likely to see.
_RATES = (120, 2000)


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare."""
    contestants: dict[str, Contestant] = {
        "raw loop": Raw(1, "Late"),
        "glasshub, threads": Glasshub(["Late0"]),
        "glasshub, processes": Glasshub(["Late0"], shape="processes"),
    }
    if not no_fedmsg_hub():
        contestants["glasshub, threads, fedmsg's consumer"] = Glasshub(["Late0"], kind="fedmsg_consumers")
        contestants["fedmsg-hub"] = FedmsgHub(["Late0"])
    for rate in _RATES:
        messages = rate if quick else 8 * rate
        runs = {name: partial(run_once, one, messages, rate) for name, one in contestants.items()}
        for name, turns in take_turns(runs, 1 if quick else 3).items():
            for percent in (50, 99):
                delays = [percentile(turn.delays, percent) * 1e3 for turn in turns]
                yield figure(f"{rate}/s: {name}: p{percent}", delays, "ms")
