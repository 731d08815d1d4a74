# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which hub and which consumers an operator means, of those that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import HubError
from ..rrds import HubFiles, called


class ChoiceError(HubError):
    """Nothing is called so, or more than one thing is; the message lists what there is."""


@dataclass(frozen=True)
class Choice:
    """What to draw.

    Attributes:
        host, hub: As collectd calls them.
        consumers: The files of each consumer, by its name, in the order in which they were asked for.
    """

    host: str
    hub: str
    consumers: Mapping[str, Mapping[str, Path]]


def choose(found: Sequence[HubFiles], names: Sequence[str], hub: str | None = None) -> Choice:
    """Find consumers.

    Args:
        found: What there is, of at least one hub.
        names: Consumers of one hub; all that it has when empty.
        hub: The hub's name; not needed where no other hub has such consumers.

    Raises:
        ChoiceError: There is no such hub or consumer, or it is not clear which one is meant.
    """
    hubs = [each for each in found if hub is None or called(hub, [each.hub])]
    if not hubs:
        raise ChoiceError(f"there is no hub {hub!r}, but {listed(each.hub for each in found)}")
    having = [each for each in hubs if each.consumers and all(called(name, each.consumers) for name in names)]
    if not having:
        raise ChoiceError(_missing(hubs, names))
    if len(having) > 1:
        raise ChoiceError(
            f"more than one hub has {listed(names) if names else 'consumers'}: choose with --hub, or --host: "
            + ", ".join(f"{each.hub} on {each.host}" for each in having)
        )
    return _chosen(having[0], names)


def _chosen(hub: HubFiles, names: Sequence[str]) -> Choice:
    wanted = dict.fromkeys(called(name, hub.consumers) or name for name in names or hub.consumers)
    return Choice(hub.host, hub.hub, {name: hub.consumers[name] for name in wanted})


def _missing(hubs: Sequence[HubFiles], names: Sequence[str]) -> str:
    known = sorted({consumer for each in hubs for consumer in each.consumers})
    if not known:
        return f"hub {listed(each.hub for each in hubs)} has no consumers"
    unknown = [name for name in names if not called(name, known)]
    if not unknown:  # each of them is somewhere
        return f"no hub has all of {listed(names)}: draw those of one hub at a time"
    return f"there is no consumer {listed(map(repr, unknown))}, but {listed(known)}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, each once."""
    return ", ".join(dict.fromkeys(names))
