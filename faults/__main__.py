# SPDX-License-Identifier: LGPL-2.1-or-later
"""Injures real hubs, and audits what became of every message. docs/faults.md says what is done and how it is judged."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from .acts import Options
from .runner import BROKEN, IMPOSSIBLE, KEPT, Verdict, run
from .scenarios import Case, cases


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names.

    Returns:
        The exit code: 1 when a promise was broken, or none could be tried.
    """
    options = _options(arguments)
    wanted: list[Case] = options.cases
    if options.list:
        for case in wanted:
            print(f"{case.name:<34} {case.scenario.promise}")
        return 0
    lines = sys.stderr if options.json else sys.stdout
    verdicts = []
    for case in wanted:
        verdicts.append(run(case, Options(options.kills, options.seed, options.hub_kills, options.broker_ends)))
        print(verdicts[-1], file=lines, flush=True)
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    print(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in (KEPT, BROKEN, IMPOSSIBLE)), file=lines)
    if options.json:
        print(json.dumps([_as_dict(verdict) for verdict in verdicts], indent=1))
    return int(bool(outcomes[BROKEN]) or not outcomes[KEPT])


def _as_dict(verdict: Verdict) -> dict[str, object]:
    return {
        "name": verdict.case.name,
        "promise": verdict.case.scenario.promise,
        "outcome": verdict.outcome,
        "reasons": list(verdict.reasons),
        "seconds": verdict.seconds,
        "notes": list(verdict.notes),
        "accounts": [asdict(account) for account in verdict.accounts],
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a scenario, or one case of it; all by default")
    parser.add_argument("--list", action="store_true", help="list the cases and what they promise, and run nothing")
    parser.add_argument("--short", action="store_true", help="only the short version, which `make test` runs as well")
    parser.add_argument("--json", action="store_true", help="print JSON, and the lines on standard error")
    parser.add_argument("--kills", type=int, default=Options.kills, help="how often `kills` kills")
    parser.add_argument(
        "--hub-kills", type=int, default=Options.hub_kills, help="how often `two-hubs` kills one of its hubs"
    )
    parser.add_argument(
        "--broker-ends", type=int, default=Options.broker_ends, help="how often it stops or kills the broker"
    )
    parser.add_argument("--seed", type=int, default=Options.seed, help="of all chance")
    options = parser.parse_args(arguments)
    options.cases = cases(options.names, short=options.short)
    known = {name for case in cases() for name in (case.name, case.scenario.name)}
    unknown = set(options.names) - known
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))} (--list lists them)")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that hubs end as well
    sys.exit(main())
