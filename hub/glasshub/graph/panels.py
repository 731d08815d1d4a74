# SPDX-License-Identifier: LGPL-2.1-or-later
"""What there is to draw: panels, one below the other, with a curve or more for each consumer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glasshub_stats.table import count, duration, rate

from ..errors import HubError

#: Okabe and Ito's palette, which the colour-blind can tell apart as well, without its yellow: on white nobody sees it.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")

#: Of the parts of a whole: of one colour, one dark and one light.
_SHADES = ("#0072B2", "#56B4E9")

#: Lengths of dashes and gaps, so that curves are told apart where there are no colours.
_DASHES = ("", "10,3", "3,3", "14,3,3,3", "6,6", "1,3")

_THICK, _THIN = 2, 1

#: The percentile that is drawn when each consumer gets one curve: the one next to this.
_TYPICAL_BAD = 95.0

Files = Mapping[str, Path]

#: What waits on the broker, and with what waits here.
ON_BROKER, _TOTAL = "queue_length-broker-ready", "queue_length-total"


class PanelError(HubError):
    """There is nothing to draw in a panel."""


@dataclass(frozen=True)
class Curve:
    """One line in a panel.

    Attributes:
        label: What it is, for the legend.
        path: The RRD.
        others: RRDs of what is the same in other places: the highest of all numbers counts.
        colour: As `#RRGGBB`.
        dash: Lengths of dashes and gaps; nothing for a line without gaps.
        width: Of the line.
    """

    label: str
    path: Path
    colour: str
    dash: str = ""
    width: int = _THICK
    others: Sequence[Path] = ()

    @property
    def paths(self) -> Sequence[Path]:
        """All RRDs."""
        return (self.path, *self.others)


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: What it shows.
        unit: Of the numbers: messages, messages/second, seconds or percent.
        written: A number as the legend has it.
        consolidation: What a point says of the time that it stands for: AVERAGE or MAX.
        curves: At least one.
        highest: The axis ends there; None for where the curves do.
        is_stacked: Whether they are parts of a whole, each to be drawn on top of those before it.
        total: What the whole is called, whose parts that are not known are nothing; empty where it is not shown.
    """

    title: str
    unit: str
    written: Callable[[float], str]
    consolidation: str
    curves: Sequence[Curve]
    highest: float | None = None
    is_stacked: bool = False
    total: str = ""


@dataclass(frozen=True)
class Kind:
    """How to make a panel.

    Attributes:
        values: For each curve of a consumer how it is called and which file it is; the most important one last.
    """

    title: str
    unit: str
    written: Callable[[float], str]
    consolidation: str
    values: Callable[[Files, bool], Sequence[tuple[str, str]]]
    highest: float | None = None


def _fixed(*values: tuple[str, str]) -> Callable[[Files, bool], Sequence[tuple[str, str]]]:
    return lambda files, is_alone: values


def _backlogs(files: Files, is_alone: bool) -> Sequence[tuple[str, str]]:
    """Of a consumer with a queue on a broker what waits there, too: the parts when it is drawn alone, else the sum."""
    if ON_BROKER not in files:
        return [("", "queue_length")]
    if is_alone or _TOTAL not in files:  # as of several machines
        return [("here", "queue_length"), ("on the broker", ON_BROKER)]
    return [("", _TOTAL)]


def _percentiles(word: str) -> Callable[[Files, bool], Sequence[tuple[str, str]]]:
    """All percentiles that collectd was told to keep when a consumer is drawn alone; else one for each."""

    def values(files: Files, is_alone: bool) -> Sequence[tuple[str, str]]:
        prefix = f"latency-{word}-percentile-"
        kept = sorted((name.removeprefix(prefix) for name in files if name.startswith(prefix)), key=float)
        if not is_alone:
            kept = sorted(kept, key=lambda percent: abs(float(percent) - _TYPICAL_BAD))[:1]
        return [(f"p{percent}", prefix + percent) for percent in kept]

    return values


def _percent(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.0f}%"


#: What can be drawn, by the word that an operator types.
PANELS: Mapping[str, Kind] = {
    "backlog": Kind("Backlog", "messages", count, "MAX", _backlogs),
    "rates": Kind(
        "Rates",
        "messages/second",
        rate,
        "AVERAGE",
        _fixed(("enqueued", "operations-enqueued"), ("processed", "operations-processed")),
    ),
    "wait": Kind("Wait in the queue", "seconds", duration, "MAX", _percentiles("wait")),
    "processing": Kind("Processing time", "seconds", duration, "MAX", _percentiles("process")),
    "oldest": Kind("Age of the oldest message", "seconds", duration, "MAX", _fixed(("", "duration-oldest"))),
    "catch-up": Kind("Catch-up time", "seconds", duration, "MAX", _fixed(("", "duration-catch-up"))),
    "busy": Kind("Busy workers", "percent", _percent, "AVERAGE", _fixed(("", "percent-busy")), 100.0),
    "failures": Kind(
        "Failed and dropped",
        "messages/second",
        rate,
        "AVERAGE",
        _fixed(("dropped", "operations-dropped"), ("failed", "operations-failed")),
    ),
}


def panels(what: Sequence[str], consumers: Mapping[str, Files]) -> list[Panel]:
    """The panels for some consumers.

    Args:
        what: Of `PANELS`.
        consumers: The files of each, by name.

    Raises:
        PanelError: collectd keeps nothing of what is to be in one.
    """
    return [_panel(PANELS[word], consumers) for word in what]


def _panel(kind: Kind, consumers: Mapping[str, Files]) -> Panel:
    curves = _curves_of_one(kind, consumers) if len(consumers) == 1 else _curves_of_many(kind, consumers)
    if not curves:
        raise PanelError(
            f"there is no file for {kind.title!r} of {', '.join(consumers)}: are these values that our plugin for "
            "collectd wrote, and has it a Percentile?"
        )
    is_stacked = kind.values is _backlogs and len(consumers) == 1 and len(curves) > 1
    if is_stacked:
        curves = [replace(curve, colour=colour, dash="") for curve, colour in zip(curves, _SHADES)]
    return Panel(kind.title, kind.unit, kind.written, kind.consolidation, curves, kind.highest, is_stacked)


def _curves_of_one(kind: Kind, consumers: Mapping[str, Files]) -> list[Curve]:
    ((name, files),) = consumers.items()
    values = [value for value in kind.values(files, True) if value[1] in files]
    return [Curve(f"{name} {word}".strip(), files[file], *style(number)) for number, (word, file) in enumerate(values)]


def _curves_of_many(kind: Kind, consumers: Mapping[str, Files]) -> list[Curve]:
    """A consumer has its own colour and dashes; what is not its most important curve is thin and dotted."""
    curves = []
    for number, (name, files) in enumerate(consumers.items()):
        values = kind.values(files, False)
        for word, file in values:
            colour, dash = style(number)
            is_main = file == values[-1][1]
            if file in files:
                look = (colour, dash, _THICK) if is_main else (colour, "1,2", _THIN)
                curves.append(Curve(f"{name} {word}".strip(), files[file], *look))
    return curves


def style(number: int) -> tuple[str, str]:
    """Colour and dashes of the curve of that number; no two of the first 42 are the same, 6 times 7."""
    return _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
