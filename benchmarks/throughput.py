# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages a second through 1, 3 and 10 consumers that do nothing.

All messages are published at once. A rate is their number, divided by the time from the moment at which the first
was published to the moment at which the last consumer got the last one: the same for all contestants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from .contestants import Contestant, FedmsgHub, Glasshub, Raw, no_fedmsg_hub, run_once
from .figures import Figure, Target, figure, ratio, take_turns

#: Messages of a run, by consumers: seconds of work for the slowest contestant.
_MESSAGES = {1: 40_000, 3: 30_000, 10: 10_000}

#: How many times the throughput of fedmsg-hub we want to reach with 3 consumers: with native ones, and with those of
#: fedmsg, whose own code is the same in both hubs.
_TARGET, _FEDMSG_TARGET = Target(4, is_floor=True), Target(3.5, is_floor=True)

_ONCE, _EACH = "raw loop, decoding once", "raw loop, decoding for each consumer"
_OURS, _THEIRS, _FEDMSG_HUB = "glasshub, threads", "glasshub, threads, fedmsg's consumers", "fedmsg-hub"
_DEFAULT = "glasshub, processes"


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare."""
    for consumers, messages in _MESSAGES.items():
        number = messages // 20 if quick else messages
        runs = {name: partial(_rate, contestant, number) for name, contestant in _contestants(consumers).items()}
        yield from _figures(consumers, take_turns(runs, 1 if quick else 5))


def _contestants(consumers: int) -> dict[str, Contestant]:
    names = [f"Noop{number}" for number in range(consumers)]
    found: dict[str, Contestant] = {_ONCE: Raw(1)}
    if consumers > 1:
        found[_EACH] = Raw(consumers)
    found[_OURS] = Glasshub(names)
    found[_DEFAULT] = Glasshub(names, shape="processes")
    if not no_fedmsg_hub():
        found[_THEIRS] = Glasshub(names, kind="fedmsg_consumers")
        found[_FEDMSG_HUB] = FedmsgHub(names)
    return found


def _rate(contestant: Contestant, messages: int) -> float:
    return messages / run_once(contestant, messages).seconds


def _figures(consumers: int, rates: Mapping[str, Sequence[float]]) -> Iterator[Figure]:
    to = f"{consumers} consumer{'s' if consumers > 1 else ''}"
    for name, turns in rates.items():
        yield figure(f"{to}: {name}", turns, "messages/s")
    bare = _EACH if consumers > 1 else _ONCE
    yield ratio(f"{to}: {_OURS} / {bare}", rates[_OURS], rates[bare])
    if _FEDMSG_HUB in rates:
        for name, target in ((_OURS, _TARGET), (_DEFAULT, None), (_THEIRS, _FEDMSG_TARGET), (bare, None)):
            goal = target if consumers == 3 else None
            yield ratio(f"{to}: {name} / {_FEDMSG_HUB}", rates[name], rates[_FEDMSG_HUB], goal)
