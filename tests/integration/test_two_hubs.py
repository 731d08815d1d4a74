# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hubs that share the queues of a broker, whichever of the three is killed: a short `make faults ARGS=two-hubs`."""

from __future__ import annotations

import pytest

from faults.acts import Options
from faults.runner import BROKEN, IMPOSSIBLE, run
from faults.scenarios import Case, cases

from ..needs import give_up

SHORT = Options(hub_kills=3, broker_ends=1)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(["two-hubs[processes]", "two-hubs[threads+spool]"]), ids=lambda case: case.name)
def test_two_hubs_lose_nothing_whichever_is_killed_and_little_comes_again(case: Case) -> None:
    verdict = run(case, SHORT)

    if verdict.outcome == IMPOSSIBLE:
        give_up(verdict.reasons[0])
    assert verdict.outcome != BROKEN, "\n".join([case.scenario.promise, *verdict.reasons])
    assert len(verdict.accounts) == 3
