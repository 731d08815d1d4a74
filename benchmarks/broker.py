# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages a second out of one quorum queue of a RabbitMQ, at a prefetch of 100, through a consumer that does nothing.

And what processor time each message takes, of whom: `benchmarks.capacity` reckons with that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from .amqp import BareLoop, Bus, Contestant, FedoraMessaging, Glasshub, Spent, opened_bus, run_once
from .figures import Figure, Target, figure, ratio, take_turns

#: Messages of a run: a second of work, or three for the slowest contestant.
_MESSAGES, _FEW = 20_000, 2_000

_BARE, _THEIRS, _OURS, _DEFAULT = (
    "bare pika loop",
    "fedora-messaging consume",
    "glasshub, threads",
    "glasshub, processes",
)

#: How many times the throughput of each we want to reach.
_OVER_THEIRS, _OVER_BARE = Target(5, is_floor=True), Target(0.6, is_floor=True)


def run(*, quick: bool) -> Iterator[Figure]:
    """Compare.

    Raises:
        BenchError: There is no RabbitMQ here.
    """
    contestants: dict[str, Contestant] = {
        _BARE: BareLoop(),
        _THEIRS: FedoraMessaging(),
        _OURS: Glasshub("threads"),
        _DEFAULT: Glasshub("processes"),
    }
    with opened_bus() as bus:
        runs = {name: partial(_run, bus, contestant, quick) for name, contestant in contestants.items()}
        turns = take_turns(runs, 1 if quick else 5)
    yield from _figures(turns)


def _run(bus: Bus, contestant: Contestant, quick: bool) -> Spent:
    messages = _FEW if isinstance(contestant, FedoraMessaging) else _MESSAGES
    return run_once(bus, contestant, messages // 10 if quick else messages)


def _figures(turns: Mapping[str, Sequence[Spent]]) -> Iterator[Figure]:
    rates = {name: [spent.rate for spent in each] for name, each in turns.items()}
    for name, each in rates.items():
        yield figure(name, each, "messages/s")
    for ours in (_OURS, _DEFAULT):
        yield ratio(f"{ours} / {_THEIRS}", rates[ours], rates[_THEIRS], _OVER_THEIRS)
        yield ratio(f"{ours} / {_BARE}", rates[ours], rates[_BARE], _OVER_BARE)
    for name in (_BARE, _OURS, _DEFAULT):
        yield figure(f"processor time: {name}", [spent.each(spent.hub) for spent in turns[name]], "us/message")
    workers = [spent.each(spent.workers) for spent in turns[_DEFAULT]]
    yield figure(f"processor time: {_DEFAULT}: the worker process", workers, "us/message")
    for name in (_BARE, _DEFAULT):
        yield figure(f"processor time: {name}: the broker", [s.each(s.broker) for s in turns[name]], "us/message")
