# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a case, and audits it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import BenchError
from glasshub.errors import HubError
from tests.disks import CannotMountError

from .acts import Options
from .audit import Account
from .rig import BrokenPromiseError, ImpossibleError
from .scenarios import Case

#: What says that a hub did not do what it should.
FAILURES = (BrokenPromiseError, AssertionError, BenchError, HubError)

KEPT, BROKEN, IMPOSSIBLE = "kept", "BROKEN", "not possible here"


@dataclass(frozen=True)
class Verdict:
    """What came of a case.

    Attributes:
        case: Which.
        outcome: KEPT, BROKEN or IMPOSSIBLE.
        reasons: Why it is broken, or not possible.
        accounts: The books, one for each consumer.
        notes: What else there is to say.
        seconds: How long it took.
    """

    case: Case
    outcome: str
    reasons: Sequence[str] = ()
    accounts: Sequence[Account] = field(default_factory=list)
    notes: Sequence[str] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        title = f"{self.outcome:<8} {self.case.name:<34} {self.seconds:6.1f} s"
        return "\n         ".join([title, *self.reasons, *self.notes, *map(str, self.accounts)])


def run(case: Case, options: Options) -> Verdict:
    """Run one."""
    began = time.monotonic()
    notes: Sequence[str] = ()
    with tempfile.TemporaryDirectory(prefix="glasshub-faults-") as directory:
        try:
            setting, kind = case.scenario.setting, case.scenario.rig
            with kind(Path(directory), setting, case.shape, has_spool=case.has_spool) as rig:
                case.scenario.act(rig, options)
                accounts, complaints = rig.audit()
                notes = rig.notes
        except (ImpossibleError, CannotMountError) as error:
            return Verdict(case, IMPOSSIBLE, [str(error)])
        except FAILURES as error:
            accounts, complaints = [], [str(error)]
    outcome = BROKEN if complaints else KEPT
    return Verdict(case, outcome, complaints, accounts, notes, time.monotonic() - began)
