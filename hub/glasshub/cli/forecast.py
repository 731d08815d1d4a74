# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub forecast`: how long a spike would take to catch up with, by what was measured."""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..looking import nothing_found, segment_paths
from .numbers import above_zero, share
from .terminal import complain, is_colourful

if TYPE_CHECKING:
    from ..spike.forecast import Basis, Forecast


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "forecast",
        help="reckon how long a spike would take to catch up with",
        description="Reckons from measured rates how far behind each consumer would fall in a spike, and how long it "
        "would take to catch up. Nothing is published.",
    )
    parser.add_argument("segment", nargs="?", metavar="PATH|NAME", help="a hub that runs: its segment, or its name")
    parser.add_argument("--rate", type=above_zero, default=120.0, metavar="N", help="messages a second (default: 120)")
    parser.add_argument("--seconds", type=above_zero, default=20.0, metavar="N", help="how long (default: 20)")
    parser.add_argument(
        "--over", type=above_zero, metavar="SECONDS", help="measure for so long (default: all since the hub started)"
    )
    parser.add_argument("--from", dest="spike", metavar="FILE", help="go by the spike.json of `glasshub spike` instead")
    parser.add_argument("--shape", metavar="SHAPE", help="which of the shapes in FILE")
    parser.add_argument(
        "--computing",
        type=share,
        metavar="SHARE",
        help="part of the consumers' time that is computing, 0 to 1 (default: measured, where the hub runs)",
    )
    parser.add_argument("--explain", action="store_true", help="print the formula, and what went into it")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and nothing else")
    parser.add_argument("--stats-dir", metavar="DIR", help="where the segments stand")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print the forecast."""
    # Not at the top: no other command shall pay for loading it.
    from ..spike.forecast import forecast

    _refuse_contradictions(options)
    basis = _basis(options)
    forecasts = forecast(basis, rate=options.rate, seconds=options.seconds)
    print(_document(options, basis, forecasts) if options.json else "\n".join(_lines(options, basis, forecasts)))
    return 0


def _refuse_contradictions(options: argparse.Namespace) -> None:
    is_from_file = options.spike is not None
    for given, option, belongs in (
        (options.segment, "PATH|NAME", not is_from_file),
        (options.over, "--over", not is_from_file),
        (options.shape, "--shape", is_from_file),
    ):
        if given is not None and not belongs:
            hint = "a hub that runs: leave it out, or leave out --from" if is_from_file else "--from FILE: leave it out"
            raise ConfigError(f"it belongs to {hint}", origin=option)


def _basis(options: argparse.Namespace) -> Basis:
    from ..spike.basis import of_spike

    if options.spike is None:
        return _live(options)
    basis = of_spike(Path(options.spike), options.shape)
    return basis if options.computing is None else replace(basis, computing=options.computing)


def _live(options: argparse.Namespace) -> Basis:
    from glasshub_stats import StatsError, read

    from ..spike.basis import idle_in, of_interval
    from ..spike.computing import ComputingMeter

    path = str(_segment(options))
    try:
        older = read(path) if options.over else None
        meter = ComputingMeter(older)
        time.sleep(options.over or 0.0)
        newer = read(path)
    except StatsError as error:
        raise ConfigError(str(error)) from error
    interval = newer.since(older)
    span = f"{options.over:g} s" if options.over else f"the {interval.seconds:,.0f} s since it started"
    computing = meter.share(newer) if options.computing is None else options.computing
    if math.isnan(computing):
        computing = 1.0  # the worst case
    basis = of_interval(interval, computing, source=f"hub {newer.hub.name}, {span}")
    for name in idle_in(interval):
        complain(f"{name} has handled nothing in this time: it is left out")
    return basis


def _segment(options: argparse.Namespace) -> Path:
    paths = segment_paths(options.segment, options.stats_dir)
    if not paths:
        raise nothing_found(options.stats_dir)
    if len(paths) > 1:
        raise ConfigError(f"there are several hubs: say which: {', '.join(path.stem for path in paths)}")
    return paths[0]


def _lines(options: argparse.Namespace, basis: Basis, forecasts: list[Forecast]) -> list[str]:
    from ..load.text import Paint, duration, rate, ruled
    from ..spike.forecast import EXPLANATION

    paint = Paint(is_colourful())
    rows = [
        ("", "gets", "handles", "peak", "caught up", "no backlog", "worst"),
        ("consumer", "a second", "a second", "backlog", "after", "after", "wait"),
    ]
    for each in forecasts:
        is_behind = each.peak_backlog >= 0.5
        rows.append(
            (
                each.name,
                rate(each.arrival_rate),
                rate(each.service_rate),
                f"{each.peak_backlog:,.0f}",
                _after(each.caught_up_after) if is_behind else "at once",
                _after(each.no_backlog_after) if is_behind else "at once",
                duration(each.worst_wait),
            )
        )
    headline = f"A spike of {options.rate:g} messages a second for {options.seconds:g} s would do this:"
    lines = [paint(headline, "bold"), paint(f"measured: {basis.source}; shape {basis.shape}", "dim")]
    lines += ruled(rows, 2, paint)
    if options.explain:
        lines += ["", *EXPLANATION.splitlines(), "", *_inputs(basis)]
    return lines


def _inputs(basis: Basis) -> list[str]:
    from ..load.text import rate

    inputs = [f"    bus without the spike: {rate(basis.bus_rate)} messages a second", f"    k = {basis.computing:.2f}"]
    for each in basis.consumers:
        inputs.append(
            f"    {each.name}: {each.share:.1%} of the messages, alone {rate(each.service_rate)} a second with "
            f"{each.workers} workers, {each.waiting:,.0f} waiting{f', in each of {each.hubs} hubs' * (each.hubs > 1)}"
        )
    return ["What was measured:", "", *inputs]


def _after(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:,.1f} s"


def _document(options: argparse.Namespace, basis: Basis, forecasts: list[Forecast]) -> str:
    answer = {
        "rate": options.rate,
        "seconds": options.seconds,
        "basis": asdict(basis),
        "consumers": [{key: _finite(value) for key, value in asdict(each).items()} for each in forecasts],
    }
    return json.dumps(answer, indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no infinity: what never comes is null."""
    return None if isinstance(value, float) and math.isinf(value) else value
