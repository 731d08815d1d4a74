# SPDX-License-Identifier: LGPL-2.1-or-later
"""The picture of a run: the backlog of each consumer over time, from collectd's own RRDs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import rrds
from ..load.outcome import ConsumerOutcome, Outcome
from ..load.shapes import SERIAL

#: Of Okabe and Ito's palette, which the colour-blind can tell apart as well.
_COLOURS = {"Datanommer": "#0072B2", "IrcBot": "#E69F00", "Badges": "#D55E00", "Notifications": "#009E73"}
_OTHER_COLOUR = "#555555"
SPIKE_COLOUR = "#F3EBDD"

#: Midnight in UTC: collectd's times are moved so that the record begins then, and the axis counts from there.
_ZERO = 86400 * 20000


def draw(outcome: Outcome, files: Mapping[str, Path], path: Path, *, title: str) -> None:
    """Draw a PNG.

    Args:
        outcome: The run.
        files: File of each consumer's backlog.
        path: The PNG.
        title: What stands above.

    Raises:
        RrdError: rrdtool cannot, and says why.
    """
    # The RRDs have wall clock time, the run has the monotonic clock.
    before, after = outcome.span
    spike = _ZERO + round(-before)
    shift = spike - round(outcome.spike_began + time.time() - time.monotonic())
    start, end = _ZERO, spike + round(after)
    span = f"start={start - shift - 5}:end={end - shift + 5}"
    shown = [consumer for consumer in outcome.consumers if consumer.name in files]
    definitions: list[str] = []
    curves: list[str] = []
    for number, consumer in enumerate(shown):
        name = f"c{number}"
        definitions += [f"{rrds.definition(name, files[consumer.name], 'MAX')}:{span}", f"SHIFT:{name}:{shift}"]
        curves += _curve(name, consumer, dashes(outcome, number))
    rrds.run(
        [
            "graph",
            str(path),
            *_layout(title, start=start, end=end),
            *definitions,
            "COMMENT:minutes and seconds since the demo began\\c",
            *_spike("c0", spike, outcome.spike_seconds),
            *curves,
            *_on_top(shown, outcome),
        ],
        environment={"TZ": "UTC"},
    )


def legend(consumer: ConsumerOutcome) -> str:
    """What a picture says of a consumer beside its name."""
    after = consumer.caught_up_after
    return f"peak {consumer.peak_backlog:,}, " + (
        "did not catch up" if after is None else f"caught up {after:.1f} s after the spike"
    )


def _on_top(shown: Sequence[ConsumerOutcome], outcome: Outcome) -> Sequence[str]:
    """The lines once more, the first on top, since it lies on the axis; unless dashes let all of them be seen."""
    if any(dashes(outcome, number) for number in range(len(shown))):
        return []
    return [f"LINE2:c{number}{colour_of(shown[number].name)}" for number in reversed(range(len(shown)))]


def colour_of(name: str) -> str:
    """The colour of a consumer."""
    return _COLOURS.get(name, _OTHER_COLOUR)


def dashes(outcome: Outcome, number: int) -> str:
    """How the line of a consumer is broken, as lengths: so that those below show, where several are the same."""
    is_serial = outcome.shape in SERIAL
    return {2: "14,14", 3: "7,21"}.get(number, "") if is_serial else ""


def _grid(seconds: int) -> int:
    """Seconds between two labels of the time axis."""
    return next((step for step in (1, 2, 5, 10, 20, 30, 60) if seconds / step <= 12), 300)


def _layout(title: str, *, start: int, end: int) -> Sequence[str]:
    step = _grid(end - start)
    colours = {"BACK": "FFFFFF", "CANVAS": "FFFFFF", "SHADEA": "FFFFFF", "SHADEB": "FFFFFF", "FONT": "333333"}
    colours |= {"GRID": "00000012", "MGRID": "0000002A", "AXIS": "888888", "ARROW": "888888", "FRAME": "FFFFFF"}
    return [
        *(part for name, value in colours.items() for part in ("--color", f"{name}#{value}")),
        *("--width", "900", "--height", "420", "--full-size-mode"),
        *("--start", str(start), "--end", str(end), "--step", "1"),
        *("--title", title, "--vertical-label", "messages waiting", "--lower-limit", "0"),
        *("--x-grid", f"SECOND:{step}:SECOND:{step}:SECOND:{step}:0:%M:%S"),
        *("--font", "TITLE:13:DejaVu Sans", "--font", "DEFAULT:9:DejaVu Sans", "--font", "LEGEND:9:DejaVu Sans Mono"),
        *("--border", "0", "--slope-mode", "--units-exponent", "0", "--disable-rrdtool-tag"),
    ]


def _spike(any_name: str, begin: int, seconds: float) -> Sequence[str]:
    """Shade it; rrdtool computes nothing but from a value that it has read, whatever that is."""
    end = begin + round(seconds)
    return [
        f"CDEF:spike={any_name},POP,TIME,{begin},GT,TIME,{end},LE,*,INF,UNKN,IF",
        f"AREA:spike{SPIKE_COLOUR}:{rrds.escaped(f'the spike, {seconds:.0f} s')}\\l",
    ]


def _curve(name: str, consumer: ConsumerOutcome, dash: str) -> Sequence[str]:
    colour = colour_of(consumer.name)
    text = rrds.escaped(f"{consumer.name:<14} {legend(consumer)}")
    return [f"AREA:{name}{colour}18", f"LINE2:{name}{colour}:{text}\\l{dash and f':dashes={dash}'}"]
