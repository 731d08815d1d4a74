# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of `glasshub check`: whatever is typed, one line on standard output, and an exit code of Nagios'."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glasshub.check import commandline
from glasshub.check.checks import CHECKS
from glasshub.check.plugin import Status

from ..contract.segments import Segment
from ..status_lines import LINE

OK, WARNING, CRITICAL, UNKNOWN = map(int, Status)

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    with Segment(str(tmp_path / "h.stats"), [("A", 1), ("B", 1), ("C", 1)], ["Digest"], hub="h") as segment:
        yield segment


@pytest.fixture
def run(segment: Segment, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program: its exit code and standard output; nothing may stand on standard error."""

    def program(*arguments: object) -> tuple[int, str]:
        code = commandline.main([*map(str, arguments)])
        out, err = capfd.readouterr()
        assert not err
        return code, out

    return program


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_check_says_one_line_of_a_hub_that_is_well(run: Run, tmp_path: Path, name: str) -> None:
    code, out = run(name, "--stats-dir", tmp_path, "-t", "2")

    assert code == OK
    assert LINE.fullmatch(out.removesuffix("\n"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["backlog", "--nonsense"],
        ["backlog", "-w"],
        ["backlog", "-c", "10:5"],
        ["backlog", "-t", "0"],
        ["backlog", "-t", "soon"],
        ["backlog", "-t", "nan"],
        ["backlog", "--absent", "fine"],
        ["backlog", "--interval", "1"],
        ["failures", "--interval", "10"],
        ["failures", "--interval", "1", "--since-last"],
        ["failures", "--state", "/etc/passwd"],
        ["up", "h", "A"],
        ["up", "h\n|x", "--absent", "unknown"],
        ["backlog", "h", "Nobody"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_unknown(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    place = ["--stats-dir", str(tmp_path)] if arguments[1:] else []

    code, out = run(*arguments, *place)

    assert code == UNKNOWN
    assert LINE.fullmatch(out.removesuffix("\n"))


@pytest.mark.parametrize("option", ["-h", "--help", "-V", "--version"])
@pytest.mark.parametrize("check", [[], ["backlog"]])
def test_help_and_version_are_unknown(run: Run, check: list[str], option: str) -> None:
    code, out = run(*check, option)

    assert code == UNKNOWN
    assert "glasshub check" in out


def test_help_tells_the_defaults(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    _, out = run("age", "-h")

    assert re.findall(r"\w+ when .* are outside of it \(default: (\d+)\)", out) == ["300", "1800"]


def test_names_may_stand_on_both_sides_of_the_options(run: Run, segment: Segment) -> None:
    _, out = run("backlog", segment.path, "A", "-w", "5", "C", "-v")

    assert out.splitlines()[1:] == ["OK: A: 0 messages waiting", "OK: C: 0 messages waiting"]


def test_ranges_are_those_of_the_command_line(run: Run, segment: Segment) -> None:
    segment.consumer(0, enqueued=4)

    codes = [run("backlog", segment.path, *limits)[0] for limits in (["-w", "3"], ["-c", "3"], ["-w", "@5:9"])]

    assert codes == [WARNING, CRITICAL, OK]


def test_bug_is_unknown_and_shows_its_traceback_only_to_those_who_ask(
    run: Run, segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_(request: object) -> None:
        raise ZeroDivisionError("of nothing | by nothing")

    monkeypatch.setattr(commandline, "examine", raise_)

    code, out = run("up", segment.path)
    _, verbose = run("up", segment.path, "-v")

    assert code == UNKNOWN
    assert LINE.fullmatch(out.removesuffix("\n"))
    assert "a bug of glasshub check: ZeroDivisionError: of nothing ? by nothing" in out
    assert "Traceback (most recent call last):" in verbose.splitlines()


def test_child_that_is_killed_is_unknown(run: Run, segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel, for example, where memory is short."""
    monkeypatch.setattr(commandline, "within", lambda timeout, work: b"")

    code, out = run("up", segment.path)

    assert (code, out) == (UNKNOWN, "GLASSHUB UP UNKNOWN - the check was killed before it had an answer\n")


def test_interval_that_does_not_fit_into_the_timeout_is_refused_at_once(run: Run) -> None:
    _, out = run("failures", "--interval", "10")

    assert "--interval 10 does not fit into a timeout of 10 s: add -t 15" in out
