# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much work gets done: three consumers that each compute for 20 ms, all messages published at once.

In shape `processes` each consumer has a worker process for itself. A machine of one processor shows nothing here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from glasshub.dispatch import PROCESSES

from .contestants import Contestant, FedmsgHub, Glasshub, no_fedmsg_hub, run_once
from .figures import Figure, Target, figure, ratio, take_turns

_MESSAGES, _WARM_UP = 100, 5

_NAMES = [f"Work{number}" for number in range(3)]

#: On two processors.
_TARGET = Target(1.7, is_floor=True)


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare."""
    messages = _MESSAGES // 10 if quick else _MESSAGES
    found: dict[str, Contestant] = {
        PROCESSES: Glasshub(_NAMES, shape=PROCESSES, is_apart=True),
        "threads": Glasshub(_NAMES),
    }
    if not no_fedmsg_hub():
        found["fedmsg-hub"] = FedmsgHub(_NAMES)
    rates = take_turns(
        {name: partial(_rate, contestant, messages) for name, contestant in found.items()}, 1 if quick else 3
    )
    for name, turns in rates.items():
        yield figure(name, turns, "messages/s")
    target = _TARGET if (os.cpu_count() or 1) > 1 else None
    for name in list(rates)[1:]:
        yield ratio(f"{PROCESSES} / {name}", rates[PROCESSES], rates[name], target)


def _rate(contestant: Contestant, messages: int) -> float:
    return messages / run_once(contestant, messages, warm_up=_WARM_UP).seconds
