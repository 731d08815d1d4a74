# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures as a table, as JSON, and as the part of docs/performance.md that nobody types."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .contestants import no_fedmsg_hub
from .figures import BenchError, Figure

#: Between these two lines of a file stands what `write_into` wrote.
BEGIN = "<!-- begin of what `make bench` wrote -->"
END = "<!-- end of what `make bench` wrote -->"

_COLUMNS = "{:15} {:67} {:>10} {:13} {:>20} {:>7} {}"


class Result(NamedTuple):
    """A figure, and the benchmark that it is of."""

    benchmark: str
    figure: Figure


def header() -> str:
    """The first line of the table."""
    return _COLUMNS.format("benchmark", "figure", "value", "unit", "lowest to highest", "target", "met")


def line(result: Result) -> str:
    """A line of the table."""
    return _COLUMNS.format(result.benchmark, *_cells(result.figure)).rstrip()


def as_json(results: Sequence[Result], circumstances: Mapping[str, str]) -> str:
    """The figures for machines."""
    return json.dumps({"circumstances": circumstances, "figures": [_as_dict(result) for result in results]}, indent=1)


def as_markdown(results: Sequence[Result], circumstances: Mapping[str, str]) -> str:
    """The circumstances, and a table for each benchmark."""
    return "\n".join([f"- {key}: {value}" for key, value in circumstances.items()] + list(_tables(results)))


def parts_of(path: Path) -> tuple[str, str, str]:
    """What stands in a file before, in and after the place for the figures.

    Raises:
        BenchError: It has no such place, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end):
        raise BenchError(f"{path} has no place for the figures: it needs the lines {BEGIN} and {END}")
    return before, inside, after


def write_into(path: Path, markdown: str) -> None:
    """Put Markdown into its place in a file, instead of what stands there; tables of other benchmarks stay.

    Raises:
        BenchError: The file has no such place.
    """
    before, old, after = parts_of(path)
    new = _sections(markdown)
    kept = [text for name, text in _sections(old).items() if name not in new]
    text = "\n\n".join([new.pop(""), *kept, *new.values()])
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _sections(markdown: str) -> dict[str, str]:
    """Parts of a text by the headings that they begin with; what stands before the first one has none."""
    parts = re.split(r"^(?=### )", markdown, flags=re.MULTILINE)
    return {part.partition("\n")[0] if part.startswith("### ") else "": part.strip() for part in parts}


def circumstances(*, quick: bool) -> dict[str, str]:
    """What the figures were measured on, and how."""
    excuse = no_fedmsg_hub()
    hub = ", ".join(f"{package} {_version(package)}" for package in ("fedmsg", "moksha.hub", "Twisted"))
    return {
        "run": "quick: one short turn each, shows that it works and no more" if quick else "full",
        "processor": f"{os.cpu_count()} x {_processor()}, {platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}, pyzmq {_version('pyzmq')}",
        "fedmsg-hub": f"not run: {excuse}" if excuse else hub,
        "load average at the end": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _tables(results: Sequence[Result]) -> Iterator[str]:
    for benchmark in dict.fromkeys(result.benchmark for result in results):
        yield f"\n### {benchmark}\n"
        yield "| figure | value | unit | lowest to highest | target | met |"
        yield "| --- | ---: | --- | ---: | --- | --- |"
        for result in results:
            if result.benchmark == benchmark:
                yield f"| {' | '.join(_cells(result.figure))} |"


def _cells(item: Figure) -> list[str]:
    span = "" if item.lowest is None or item.highest is None else f"{_number(item.lowest)} to {_number(item.highest)}"
    met = "" if item.target is None else "yes" if item.target.is_met(item.value) else "NO"
    return [item.name, _number(item.value), item.unit, span, str(item.target or ""), met]


def _number(value: float) -> str:
    """With three digits, or all of a whole number."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def _as_dict(result: Result) -> dict[str, Any]:
    item, target = result.figure, result.figure.target
    goal = {"target": str(target), "met": target.is_met(item.value)} if target else {"target": None, "met": None}
    return {"benchmark": result.benchmark, **asdict(item), **goal}


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
