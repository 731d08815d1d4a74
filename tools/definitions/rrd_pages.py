# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions for the two web pages that draw collectd's RRDs: collection3 and CGP (Collectd Graph Panel)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub.rrds import data_source

from .names import collectd_names

#: Of Okabe and Ito's palette.
_COLOURS = ("0072b2", "d55e00", "009e73", "cc79a7", "56b4e9", "e69f00", "000000")


@dataclass(frozen=True)
class Type:
    """How files of a type are drawn.

    Attributes:
        name: As types.db has it.
        title: Of the picture, in front of whose it is.
        unit: At the vertical axis.
        form: Of numbers.
        instances: Type instances that come first, and have a colour of ours. collection3 shows no others, CGP does.
    """

    name: str
    title: str
    unit: str
    form: str
    instances: Sequence[str] = ()


TYPES = (
    Type("queue_length", "Backlog", "messages", "%8.0lf"),
    Type(
        "operations",
        "Messages",
        "messages/s",
        "%7.2lf%s",
        ("enqueued", "processed", "failed", "dropped", "invalid", "received", "unrouted"),
    ),
    Type(
        "latency",
        "Wait and processing time",
        "seconds",
        "%6.2lf%s",
        tuple(f"{word}-percentile-{percent}" for word in ("wait", "process") for percent in (50, 95, 99)),
    ),
    Type(
        "duration",
        "Ages and times",
        "seconds",
        "%7.1lf%s",
        ("oldest", "current", "catch-up", "blocking", "overdue", "lost"),
    ),
)


def collection3() -> str:
    """A fragment for collection3's etc/collection.conf."""
    lines = [
        "# SPDX-License-Identifier: LGPL-2.1-or-later",
        "#",
        "# For collection3, the web page in collectd's contrib directory: append it to its etc/collection.conf, which",
        "# has none of these types. Written by `make docs` from tools/definitions.",
    ]
    for each in TYPES:
        lines += ["", *_block(each)]
    return "\n".join(lines) + "\n"


def cgp() -> str:
    """plugin/glasshub.json of CGP."""
    return json.dumps({each.name: _entry(each) for each in TYPES}, indent=2) + "\n"


def _block(each: Type) -> Iterator[str]:
    """GenericStacked is the one module that draws several files in one picture; it need not stack them."""
    yield f"<Type {each.name}>"
    if _instances(each):
        yield "  Module GenericStacked"
        yield "  Stacking no"
        yield "  IgnoreUnknown yes"
        yield f"  Order {' '.join(_instances(each))}"
    yield f"  DataSources {data_source(Path(each.name))}"
    yield f'  RRDTitle "{each.title} ({{plugin_instance}}) on {{hostname}}"'
    yield f'  RRDVerticalLabel "{each.unit}"'
    yield f'  RRDFormat "{each.form}"'
    for instance, colour in zip(_instances(each), _COLOURS):
        yield f"  DSName {instance} {instance}"
        yield f"  Color {instance} {colour}"
    if not _instances(each):
        yield f'  DSName "value {each.unit}"'
        yield f"  Color value {_COLOURS[0]}"
    yield "</Type>"


def _entry(each: Type) -> dict[str, object]:
    legend = {name: {"name": name, "color": colour} for name, colour in zip(_instances(each), _COLOURS)}
    return {
        "title": f"{each.title} ({{{{PI}}}}) on {{{{HOST}}}}",
        "vertical": each.unit,
        "type": "default",
        "legend": legend or {"value": {"name": each.unit, "color": _COLOURS[0]}},
        "legend_format": each.form,
    }


def _instances(each: Type) -> list[str]:
    """Those that the plugin dispatches for somebody.

    Raises:
        KeyError: One of them it does not.
    """
    for instance in each.instances:
        if not any((each.name, instance) in names for names in collectd_names().values()):
            raise KeyError(f"the plugin dispatches no {each.name}-{instance}")
    return list(each.instances)
