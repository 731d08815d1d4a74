# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a message costs: runs benchmarks, and prints one table. docs/performance.md says what the figures mean."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report
from .contestants import no_fedmsg_hub
from .figures import BenchError
from .report import Result

_NAMES = (
    "throughput",
    "latency",
    "instrumentation",
    "memory",
    "reading",
    "spool",
    "computing",
    "cpu_bound",
    "broker",
    "scaling",
    "capacity",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names.

    Returns:
        The exit code: 1 when a benchmark could not be run, 0 else, whether targets are met or not.
    """
    options = _options(arguments)
    table = sys.stderr if options.json else sys.stdout
    if no_fedmsg_hub():
        print(f"fedmsg-hub will not be run: {no_fedmsg_hub()}", file=sys.stderr)
    print(report.header(), file=table)
    results: list[Result] = []
    code = 0
    for name in options.names or _NAMES:
        try:
            for figure in importlib.import_module(f"benchmarks.{name}").run(quick=options.quick):
                results.append(Result(name, figure))
                print(report.line(results[-1]), file=table, flush=True)
        except BenchError as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 1
    circumstances = report.circumstances(quick=options.quick)
    if options.json:
        print(report.as_json(results, circumstances))
    if options.write and code == 0:
        report.write_into(options.write, report.as_markdown(results, circumstances))
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(_NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few and short turns: shows that it works, no figures")
    parser.add_argument("--json", action="store_true", help="print JSON, and the table on standard error")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the figures into their place in a file, instead of all others"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(_NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))} (there are: {', '.join(_NAMES)})")
    if options.write:
        try:
            report.parts_of(options.write)  # now, and not when everything has been measured
        except BenchError as error:
            parser.error(str(error))
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that children end as well
    sys.exit(main())
