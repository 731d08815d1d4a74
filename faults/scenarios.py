# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scenarios: what can happen to a hub, in which shapes, and what it promises then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glasshub.dispatch import PROCESSES

from . import acts
from .acts import MOST_DEATHS, Act
from .audit import Terms
from .cluster import Cluster
from .injuries import cut, flip_bits
from .messages import UNREADABLE
from .rig import Rig, Setting

INLINE, SHARED, THREADS = "inline", "shared", "threads"
_ALL = (INLINE, SHARED, THREADS, PROCESSES)

#: Shapes in which consumers do not wait for each other.
_APART = (THREADS, PROCESSES)

_QUICK: Mapping[str, tuple[str, Mapping[str, Any]]] = {f"Quick{n}": ("Quick", {}) for n in range(3)}
_NEIGHBOUR: Mapping[str, tuple[str, Mapping[str, Any]]] = {"Neighbour": ("Quick", {})}

#: What comes again, after a process has died or a consumer has raised, comes behind others.
_IN_ANY_ORDER = Terms(in_order=False)


@dataclass(frozen=True)
class Scenario:
    """Something that happens to a hub.

    Attributes:
        name: What it is called.
        promise: What the hub promises, one sentence.
        act: What happens.
        setting: The hub that it happens to.
        shapes: The shapes of dispatch of which it is promised.
        spools: Whether it is promised with a spool, without one, or both.
        short: The shapes in which it belongs to the short version, without a spool unless there has to be one.
        rig: What it is tried with.
    """

    name: str
    promise: str
    act: Act
    setting: Setting
    shapes: Sequence[str] = _ALL
    spools: Sequence[bool] = (False, True)
    short: Sequence[str] = ()
    rig: type[Rig | Cluster] = Rig


@dataclass(frozen=True)
class Case:
    """A scenario, in one shape, with or without a spool."""

    scenario: Scenario
    shape: str
    has_spool: bool

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.scenario.name}[{self.shape}{'+spool' if self.has_spool else ''}]"

    @property
    def is_short(self) -> bool:
        """Whether it belongs to the short version."""
        return self.shape in self.scenario.short and self.has_spool == self.scenario.spools[0]


def _consumer(cls: str, keys: Mapping[str, Any] | None = None, **settings: Any) -> tuple[str, Mapping[str, Any]]:
    return cls, {**(keys or {}), "settings": settings}


def _setting(terms: Terms | None = None, hub: Mapping[str, Any] | None = None, **consumers: Any) -> Setting:
    return Setting({**_NEIGHBOUR, **consumers}, hub=hub or {}, terms=terms or Terms())


_ONE_SLOW = _setting(Slow=_consumer("Slow", every=10, seconds=0.01))

_BURNING = Setting(
    {f"Burning{n}": _consumer("Burning", every=1, seconds=0.02) for n in range(3)}, hub={"drain_timeout": 0.5}
)

#: Without a spool what kills its worker again and again has failed; with one it can be parked.
_DEADLY = {"max_deaths": MOST_DEATHS, "process": "deadly"}

SCENARIOS: Sequence[Scenario] = (
    Scenario(
        "odd-messages",
        "What is no message is counted and given to nobody; what is unusual is handled.",
        acts.odd_messages,
        Setting(_QUICK, terms=Terms(unreadable=len(UNREADABLE))),
        short=(THREADS, PROCESSES),
    ),
    Scenario(
        "restarted-publisher",
        "What a publisher sends before it dies and after it is back is handled, and the gap is counted.",
        acts.restarted_publisher,
        Setting(_QUICK),
        short=(THREADS,),
    ),
    Scenario(
        "halted-hub",
        "A hub that stood still is seen stuck, and goes on where it was.",
        acts.halted_hub,
        Setting(_QUICK),
        short=(THREADS,),
    ),
    Scenario(
        "halted-workers",
        "While the processes of the consumers stand still the hub receives, and its backlog is true.",
        acts.halted_workers,
        Setting(_QUICK),
        shapes=(PROCESSES,),
    ),
    Scenario(
        "stopped-in-a-spike",
        "What was received before a SIGTERM is finished, at once or, with a spool, in the next life.",
        acts.stopped_in_a_spike,
        _ONE_SLOW,
        short=(SHARED, PROCESSES),
    ),
    Scenario(
        "stopped-twice",
        "A second SIGTERM ends the hub at once, and what it leaves is counted exactly.",
        acts.stopped_twice,
        _setting(Slow=_consumer("Slow", every=1, seconds=0.01)),
        shapes=(SHARED, *_APART),
        spools=(False,),
        short=(THREADS,),
    ),
    Scenario(
        "killed-hub",
        "The segment of a hub that was killed says exactly what it had not finished.",
        acts.killed_hub,
        _ONE_SLOW,
        spools=(False,),
        short=(THREADS, PROCESSES),
    ),
    Scenario(
        "killed-hub",
        "What a hub has accepted that was killed is finished in its next life.",
        acts.killed_hub,
        replace(_ONE_SLOW, terms=_IN_ANY_ORDER),
        shapes=_APART,
        spools=(True,),
        short=(PROCESSES,),
    ),
    Scenario(
        "kills",
        "No kill -9 of the hub or a worker loses what was accepted, and no more than a batch comes again for each.",
        acts.kills,
        Setting(_QUICK, terms=_IN_ANY_ORDER),
        shapes=(PROCESSES,),
        spools=(True,),
    ),
    Scenario(
        "killed-workers",
        "No kill -9 of a worker process loses a message, and no more than a batch comes again for each.",
        acts.killed_workers,
        Setting(_QUICK, terms=_IN_ANY_ORDER),
        shapes=(PROCESSES,),
        short=(PROCESSES,),
    ),
    Scenario(
        "raising",
        "A consumer that raises loses that message, which is counted, and no other.",
        acts.misbehaving("Raising", "failed", 40),
        _setting(Raising=_consumer("Raising", every=10)),
        short=(THREADS,),
    ),
    Scenario(
        "retrying",
        "A message on which a consumer raises is tried again as often as is configured.",
        acts.misbehaving("Raising", "retried", 3 * 20),
        _setting(
            _IN_ANY_ORDER,
            Raising=_consumer("Raising", {"retry": 3, "retry_delay": 0.05}, every=20),
        ),
    ),
    Scenario(
        "parking",
        "A message on which a consumer raises to the last is parked in the spool.",
        acts.misbehaving("Raising", "parked", 20),
        _setting(
            _IN_ANY_ORDER,
            Raising=_consumer("Raising", {"retry": 2, "retry_delay": 0.05, "park": True}, every=20),
        ),
        shapes=_APART,
        spools=(True,),
        short=(PROCESSES,),
    ),
    *(
        Scenario(
            f"overflow-{policy}",
            "A consumer with a capacity gets what there is room for, and what is dropped is counted.",
            acts.misbehaving("Slow", counter, 1),
            _setting(Slow=_consumer("Slow", {"capacity": 20, "overflow": policy}, every=1, seconds=0.01)),
            shapes=_APART,
        )
        for policy, counter in (("drop-oldest", "dropped"), ("drop-newest", "dropped"), ("block", "blocked_ns"))
    ),
    Scenario(
        "forking",
        "A consumer that forks changes nothing for anybody.",
        acts.misbehaving("Forking", "processed", 400),
        _setting(Forking=_consumer("Forking", every=20, seconds=0.05)),
    ),
    Scenario(
        "lingering-children",
        "A hub that was killed is down, and can be started again, whatever children a consumer has left.",
        acts.lingering_children,
        # In one process such a child inherits the hub's locks and connections: nobody sees that the hub is gone.
        _setting(_IN_ANY_ORDER, Forking=_consumer("Forking", at=[10], seconds=60.0)),
        shapes=(PROCESSES,),
        short=(PROCESSES,),
    ),
    Scenario(
        "burning-120",
        "Three consumers that burn processor time at 120 messages a second cost the receiver nothing.",
        acts.burning(120),
        _BURNING,
        shapes=_APART,
        short=(PROCESSES,),
    ),
    Scenario(
        "burning-2000",
        "Three consumers that burn processor time at 2000 messages a second cost the receiver nothing.",
        acts.burning(2000),
        _BURNING,
        shapes=_APART,
    ),
    Scenario(
        "blocked",
        "A consumer that never returns holds up nobody else, and is named when the hub stops.",
        acts.blocked,
        _setting(hub={"drain_timeout": 0.5}, Blocking=_consumer("Blocking", at=[20])),
        shapes=_APART,
        short=(THREADS,),
    ),
    Scenario(
        "stuck-worker",
        "A worker process that is stuck on a message beyond its limit is replaced, and goes on behind that message.",
        acts.stuck_worker,
        _setting(
            _IN_ANY_ORDER,
            Blocking=_consumer("Blocking", {**_DEADLY, "max_processing": 1.0, "replace": True}, at=[20]),
        ),
        shapes=(PROCESSES,),
    ),
    Scenario(
        "exiting",
        "A message that ends its worker process is put aside, and costs its neighbours nothing.",
        acts.deadly_message("Exiting"),
        _setting(_IN_ANY_ORDER, Exiting=_consumer("Exiting", _DEADLY, at=[20])),
        shapes=(PROCESSES,),
        short=(PROCESSES,),
    ),
    Scenario(
        "crashing",
        "A message that crashes its worker process is put aside, and costs its neighbours nothing.",
        acts.deadly_message("Crashing"),
        _setting(_IN_ANY_ORDER, Crashing=_consumer("Crashing", _DEADLY, at=[20])),
        shapes=(PROCESSES,),
    ),
    Scenario(
        "leaking",
        "A consumer that leaks does not make the hub's own process grow.",
        acts.leaking,
        _setting(Leaking=_consumer("Leaking", every=1)),
        shapes=(PROCESSES,),
    ),
    Scenario(
        "bad-clients",
        "Silent, slow and half-reading clients of the stats socket cost the hub nothing.",
        acts.bad_clients,
        Setting(_QUICK),
        short=(THREADS,),
    ),
    Scenario(
        "many-clients",
        "10,000 connections to the stats socket cost the hub nothing.",
        acts.many_clients,
        Setting(_QUICK),
        shapes=(PROCESSES,),
        spools=(False,),
    ),
    Scenario(
        "no-descriptors",
        "A hub without a free descriptor goes on receiving, and its segment is fresh.",
        acts.no_descriptors,
        Setting(_QUICK),
        short=(PROCESSES,),
    ),
    Scenario(
        "damaged-segment",
        "Whoever reads a damaged segment gets a snapshot or an error of ours.",
        acts.damaged_segment,
        Setting(_QUICK),
        shapes=_APART,
        spools=(False,),
        short=(THREADS,),
    ),
    Scenario(
        "read-only-stats",
        "A hub whose stats directory is read-only says so in one line, and ends.",
        acts.unusable_directory("size=1m,ro", spool=False, says="Read-only"),
        Setting(_QUICK),
        spools=(False,),
        short=(THREADS,),
    ),
    Scenario(
        "read-only-spool",
        "A hub whose spool is read-only says so in one line, and ends.",
        acts.unusable_directory("size=32m,mode=700,ro", spool=True, says="ead-only"),
        Setting(_QUICK),
        shapes=_APART,
        spools=(True,),
        short=(PROCESSES,),
    ),
    Scenario(
        "spool-of-all",
        "A hub whose spool others may write to says so in one line, and ends.",
        acts.unusable_directory("size=32m,mode=777", spool=True, says="others may write"),
        Setting(_QUICK),
        shapes=_APART,
        spools=(True,),
    ),
    Scenario(
        "full-disk",
        "A hub whose disk is full waits, and goes on when there is room; nothing is lost.",
        acts.full_disk,
        Setting(_QUICK, spool={"full": "block"}),
        shapes=_APART,
        spools=(True,),
        short=(PROCESSES,),
    ),
    Scenario(
        "full-disk-drops",
        "A hub that drops what finds no room on its disk counts it.",
        acts.full_disk,
        Setting(_QUICK, spool={"full": "drop-newest"}),
        shapes=_APART,
        spools=(True,),
    ),
    *(
        Scenario(
            f"{how}-{'wal' if wal else 'log'}",
            "A hub whose spool is damaged starts, with what can be read of it, and gives nobody anything else.",
            acts.damaged_spool(injure, wal=wal),
            replace(_ONE_SLOW, terms=replace(_IN_ANY_ORDER, damage=500)),
            shapes=_APART,
            spools=(True,),
        )
        for how, injure in (("cut", cut), ("flipped", flip_bits))
        for wal in (False, True)
    ),
    Scenario(
        "two-hubs",
        "Two hubs that share the queues of a broker lose nothing, whichever of the three is killed, and what comes "
        "again is within the prefetch for each death.",
        acts.two_hubs,
        Setting(
            {
                "Quick": _consumer("Quick"),
                "Slow": _consumer("Slow", every=10, seconds=0.005),
                "Raising": _consumer("Raising", {"park": True}, every=50),
            }
        ),
        shapes=_APART,
        rig=Cluster,
    ),
)


def cases(names: Iterable[str] = (), *, short: bool = False) -> list[Case]:
    """The cases of these scenarios, or of all; each name is one of a scenario or of a case."""
    wanted = set(names)
    every = [
        Case(scenario, shape, has_spool)
        for scenario in SCENARIOS
        for shape in scenario.shapes
        for has_spool in scenario.spools
        if shape in _APART or not has_spool  # one spool wraps every shape: two of them stand for it
    ]
    return [
        case
        for case in every
        if (not wanted or {case.name, case.scenario.name} & wanted) and (case.is_short or not short)
    ]
