# SPDX-License-Identifier: LGPL-2.1-or-later
"""The short version of the fault suite; `make faults` runs all of it."""

from __future__ import annotations

import json

import pytest

from faults import soak
from faults.__main__ import main
from faults.acts import Act, Options
from faults.injuries import halted
from faults.rig import Rig, Setting
from faults.runner import BROKEN, IMPOSSIBLE, run
from faults.scenarios import THREADS, Case, Scenario, cases

from ..needs import give_up
from .hubs import wait_until


@pytest.mark.parametrize("case", cases(short=True), ids=lambda case: case.name)
def test_promise_is_kept(case: Case) -> None:
    verdict = run(case, Options())

    if verdict.outcome == IMPOSSIBLE:
        give_up(verdict.reasons[0])
    assert verdict.outcome != BROKEN, "\n".join([case.scenario.promise, *verdict.reasons])


def of(act: Act, setting: Setting) -> Case:
    """A case that is in no table."""
    return Case(Scenario("test", "Nothing.", act, setting), THREADS, has_spool=False)


QUICK = Setting({"Quick": ("Quick", {})})


def test_a_hub_that_handles_a_message_twice_breaks_its_promise() -> None:
    """As if it had: a second entry in the diary of the consumer."""

    def act(rig: Rig, options: Options) -> None:
        rig.start()
        rig.bus.publish(20)
        rig.settle()
        rig.stop()
        diary = rig.diary("Quick")
        diary.write_text(diary.read_text() * 2)

    verdict = run(of(act, QUICK), Options())

    assert verdict.outcome == BROKEN
    assert "20 messages came again, at most 0 may" in verdict.reasons[0]


def test_a_hub_that_ends_by_itself_breaks_its_promise() -> None:
    def act(rig: Rig, options: Options) -> None:
        rig.start()
        rig.bus.publish(20)
        rig.settle()

    exiting = Setting({"Exiting": ("Exiting", {"settings": {"at": [10]}})})
    verdict = run(of(act, exiting), Options())

    assert verdict.outcome == BROKEN
    assert "the hub ended" in verdict.reasons[0]


def test_a_segment_that_is_not_fresh_breaks_the_promise() -> None:
    def act(rig: Rig, options: Options) -> None:
        rig.start()
        with rig.freshness(), halted(rig.hub.process.pid):
            wait_until(lambda: rig.hub.snapshot().hub.heartbeat_age > 2.5, "an old heartbeat")

    verdict = run(of(act, QUICK), Options())

    assert "s old, 2 s are allowed" in verdict.reasons[0]


def test_a_hub_that_does_not_start_breaks_its_promise() -> None:
    unknown = Setting(QUICK.consumers, hub={"warp_drive": True})

    verdict = run(of(lambda rig, options: rig.start(), unknown), Options())

    assert verdict.outcome == BROKEN
    assert "warp_drive" in verdict.reasons[0]


def test_a_soak_of_a_hub_that_ends_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(soak, "_SETTING", Setting({"Exiting": ("Exiting", {"settings": {"at": [1]}})}))

    code = soak.main(["--minutes", "0.1", "--shape", THREADS, "--no-spool"])

    assert code == 1
    assert "broken: the hub ended" in capsys.readouterr().err


def test_verdicts_come_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--json", "damaged-segment[threads]"])

    (verdict,) = json.loads(capsys.readouterr().out)
    assert (code, verdict["outcome"], len(verdict["accounts"])) == (0, "kept", 3)


def test_a_scenario_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["warp-drive"])

    assert "no such scenario: warp-drive" in capsys.readouterr().err


@pytest.mark.slow
def test_a_short_soak_comes_to_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether they are flat says nothing after so short a time."""
    soak.main(["--minutes", "0.14", "--shape", THREADS, "--no-spool"])

    told = capsys.readouterr().out
    assert "memory (KB)  hub" in told
    assert "size (KB)    h.stats" in told
    assert "Quick: accepted" in told
    assert "LOST" not in told
