# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fedora's names and arguments: which exit code they have always had, and what is different here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glasshub.check import fedora
from glasshub.check.plugin import Status
from glasshub_stats.clock import monotonic_ns

from ..contract.segments import Segment
from ..status_lines import LINE

OK, WARNING, CRITICAL, UNKNOWN = map(int, Status)


@pytest.fixture
def segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Segment]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Segment(str(tmp_path / "fedmsg-hub.stats"), [("Nommer", 1)], ["Digest"], hub="fedmsg-hub") as segment:
        yield segment


@pytest.fixture
def run(segment: Segment, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs one of the programs: its exit code, and the text behind the status."""

    def program(entry: Callable[..., int], *arguments: object, service: str = "fedmsg-hub") -> tuple[int, str]:
        code = entry([service, *map(str, arguments), "--stats-dir", str(tmp_path)])
        out, err = capfd.readouterr()
        assert not err
        assert LINE.fullmatch(out.removesuffix("\n"))
        return code, out.split(" - ", 1)[1].split(" | ")[0].rstrip("\n")

    return program


Run = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(("backlog", "code"), [(10, OK), (11, WARNING), (50, WARNING), (51, CRITICAL)])
def test_backlog_is_bad_above_its_limits(segment: Segment, run: Run, backlog: int, code: int) -> None:
    segment.consumer(0, enqueued=backlog)

    assert run(fedora.consumer_backlog, "Nommer", 10, 50)[0] == code


def test_consumer_that_is_not_there_is_unknown(run: Run) -> None:
    assert run(fedora.consumer_backlog, "Nobody", 10, 50)[0] == UNKNOWN


def test_consumer_that_was_not_built_is_unknown(segment: Segment, run: Run) -> None:
    segment.consumer(0, initialized=0)

    assert run(fedora.consumer_backlog, "Nommer", 10, 50)[0] == UNKNOWN


def test_service_that_is_not_there_is_unknown(run: Run) -> None:
    assert run(fedora.consumer_backlog, "Nommer", 10, 50, service="fedmsg-irc")[0] == UNKNOWN


def test_service_that_was_killed_is_critical(segment: Segment, run: Run) -> None:
    """It was UNKNOWN: nobody could tell."""
    segment.unlock()

    assert run(fedora.consumer_backlog, "Nommer", 10, 50)[0] == CRITICAL


def test_exceptions_are_those_since_the_last_look(segment: Segment, run: Run, tmp_path: Path) -> None:
    segment.worker(0, failed=100)
    first = run(fedora.consumer_exceptions, "Nommer", 1, 10)
    segment.worker(0, failed=101)
    second = run(fedora.consumer_exceptions, "Nommer", 1, 10)
    segment.worker(0, failed=103)
    third = run(fedora.consumer_exceptions, "Nommer", 1, 10)

    assert (first[0], second[0], third[0]) == (CRITICAL, OK, WARNING)
    assert first[1].endswith("since the hub's start 16m40s ago: nothing to compare with")
    assert third[1].startswith("Nommer: 2 messages failed (outside range ~:1); in the last ")


def test_what_is_kept_is_private_to_its_user(run: Run, tmp_path: Path) -> None:
    run(fedora.consumer_exceptions, "Nommer", 1, 10)

    (directory,) = tmp_path.glob("glasshub-check-*")
    assert directory.stat().st_mode & 0o777 == 0o700


def test_directory_that_others_may_write_to_keeps_nothing(run: Run, tmp_path: Path) -> None:
    run(fedora.consumer_exceptions, "Nommer", 1, 10)
    (directory,) = tmp_path.glob("glasshub-check-*")
    directory.chmod(0o777)

    code, text = run(fedora.consumer_exceptions, "Nommer", 1, 10)

    assert code == UNKNOWN
    assert "may be written to by others" in text


def test_two_consumers_do_not_share_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Segment(str(tmp_path / "h.stats"), [("A", 1), ("B", 1)]) as segment:
        for name in "AB":
            fedora.consumer_exceptions(["h", name, "0", "10", "--stats-dir", str(tmp_path)])
        segment.worker(0, failed=1).worker(1, failed=1)

        codes = [fedora.consumer_exceptions(["h", name, "0", "10", "--stats-dir", str(tmp_path)]) for name in "AB"]

    assert codes == [WARNING, WARNING]


def test_consumers_and_producers_that_are_all_there_are_well(run: Run) -> None:
    assert run(fedora.producers_consumers, "Nommer", "Digest") == (OK, "Nommer, Digest initialized")


def test_one_that_is_not_there_is_critical(run: Run) -> None:
    assert run(fedora.producers_consumers, "Nommer", "Nobody") == (CRITICAL, "Nobody: is not there")


@pytest.mark.parametrize("kind", ["consumer", "producer"])
def test_one_that_was_not_built_is_critical(segment: Segment, run: Run, kind: str) -> None:
    getattr(segment, kind)(0, initialized=0)

    code, text = run(fedora.producers_consumers, "Digest", "Nommer")

    assert code == CRITICAL
    assert "is not initialized: its constructor failed" in text


def test_producer_that_was_not_built_is_critical_even_if_a_consumer_of_that_name_was(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats"), [("Both", 1)], ["Both"]) as segment:
        segment.producer(0, initialized=0)

        code = fedora.producers_consumers(["h", "Both", "--stats-dir", str(tmp_path)])

    assert code == CRITICAL


def test_nobody_to_look_for_is_unknown(run: Run) -> None:
    assert run(fedora.producers_consumers)[0] == UNKNOWN


@pytest.mark.parametrize(("age", "code"), [(50, OK), (150, WARNING), (350, CRITICAL)])
def test_time_since_the_last_poll_is_judged(segment: Segment, run: Run, age: int, code: int) -> None:
    segment.producer(0, last_run_ns=monotonic_ns(0) - age * 10**9)

    assert run(fedora.producer_last_ran, "Digest", 100, 300)[0] == code


def test_producer_that_has_never_polled_is_judged_since_the_hubs_start(run: Run) -> None:
    code, text = run(fedora.producer_last_ran, "Digest", 100, 300)

    assert code == CRITICAL
    assert text == "Digest: has not run since the hub's start 16m40s ago (outside range ~:300)"


def test_producer_that_is_not_there_is_unknown(run: Run) -> None:
    assert run(fedora.producer_last_ran, "Nobody", 100, 300)[0] == UNKNOWN
