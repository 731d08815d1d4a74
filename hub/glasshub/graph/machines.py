# SPDX-License-Identifier: LGPL-2.1-or-later
"""One hub on several machines: what waits, and what is done, of all of them on top of each other.

The hubs of one name share the queues of their consumers on a broker. Each of them sees the same messages there, which
count once, and has messages of its own, which add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..rrds import TOTALS, HubFiles, called
from .choice import ChoiceError, listed
from .panels import ON_BROKER, PANELS, Curve, Files, Kind, Panel, PanelError, style

#: A grey that is no machine's colour.
_GREY = "#BBBBBB"

#: Panels whose numbers add up, by the word that an operator types: what is added, and what it is called.
_ADDED = {"backlog": ("queue_length", "Backlog"), "rates": ("operations-processed", "Processed")}


@dataclass(frozen=True)
class Machines:
    """What to draw.

    Attributes:
        hub: As collectd calls it.
        consumers: By the name of each, its files by host.
    """

    hub: str
    consumers: Mapping[str, Mapping[str, Files]]

    @property
    def title(self) -> str:
        """Whose numbers they are."""
        hosts = sorted({host for files in self.consumers.values() for host in files})
        return f"{self.hub} on {', '.join(hosts) if len(hosts) <= 3 else f'{len(hosts)} hosts'}"


def choose_machines(found: Sequence[HubFiles], names: Sequence[str], hub: str | None = None) -> Machines:
    """Find consumers of one hub on all hosts that have it.

    Args:
        found: What there is, of at least one hub.
        names: Consumers; all that the hub has when empty.
        hub: The hub's name; not needed where there is one.

    Raises:
        ChoiceError: There is no such hub or consumer, or it is not clear which hub is meant.
    """
    hubs = [each for each in found if each.host != TOTALS and (hub is None or called(hub, [each.hub]))]
    called_so = dict.fromkeys(each.hub for each in hubs)
    if len(called_so) != 1:
        known = listed(each.hub for each in found)
        raise ChoiceError(f"choose with --hub, of {known}" if called_so else f"there is no hub {hub!r}, but {known}")
    known_consumers = sorted({consumer for each in hubs for consumer in each.consumers})
    wanted = {name: called(name, known_consumers) for name in names or known_consumers}
    unknown = [name for name, consumer in wanted.items() if consumer is None]
    if unknown or not wanted:
        raise ChoiceError(f"there is no consumer {listed(map(repr, unknown))}, but {listed(known_consumers)}")
    consumers = {
        consumer: {each.host: each.consumers[consumer] for each in hubs if consumer in each.consumers}
        for consumer in wanted.values()
        if consumer is not None
    }
    return Machines(next(iter(called_so)), consumers)


def panels_of_machines(what: Sequence[str], machines: Machines) -> list[Panel]:
    """The panels of each consumer.

    Args:
        what: Of `PANELS`.
        machines: Whose.

    Raises:
        PanelError: collectd keeps nothing of what is to be in one.
    """
    return [_panel(word, name, files) for name, files in machines.consumers.items() for word in what]


def _panel(word: str, name: str, machines: Mapping[str, Files]) -> Panel:
    kind = PANELS[word]
    curves = _stacked(word, machines) if word in _ADDED else _beside(kind, machines)
    if not curves:
        raise PanelError(f"there is no file for {kind.title!r} of {name} on {listed(machines)}")
    panel = Panel(f"{kind.title} of {name}", kind.unit, kind.written, kind.consolidation, curves, kind.highest)
    if word not in _ADDED:
        return panel
    # Peaks of several machines would add up to more than there ever was; averages do not.
    return replace(panel, title=f"{_ADDED[word][1]} of {name}", consolidation="AVERAGE", is_stacked=True, total="all")


def _stacked(word: str, machines: Mapping[str, Files]) -> list[Curve]:
    added, _ = _ADDED[word]
    ready = [files[ON_BROKER] for files in machines.values() if ON_BROKER in files]
    curves = [Curve("on the broker", ready[0], _GREY, others=ready[1:])] if word == "backlog" and ready else []
    for number, (host, files) in enumerate(machines.items()):
        if added in files:
            curves.append(Curve(host, files[added], style(number)[0]))
    return curves


def _beside(kind: Kind, machines: Mapping[str, Files]) -> list[Curve]:
    curves = []
    for number, (host, files) in enumerate(machines.items()):
        for word, file in kind.values(files, False)[-1:]:
            if file in files:
                curves.append(Curve(f"{host} {word}".strip(), files[file], *style(number)))
    return curves
