# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub stats`, and where it and the hub look for segments."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from glasshub import looking, paths
from glasshub.cli import main, stats
from glasshub.errors import ConfigError
from glasshub.segment import ProducerRow
from glasshub_stats import read

from .segments import live_segment, work

PATIENCE = 20.0
HUB = Path(__file__).parents[2] / "hub"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub of this machine is found, and collectd has not started us."""
    monkeypatch.setattr(paths, "SYSTEM_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(looking, "SYSTEM_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("XDG_RUNTIME_DIR", "COLLECTD_HOSTNAME", "COLLECTD_INTERVAL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A stats directory with a live hub's segment."""
    directory = tmp_path / "stats"
    directory.mkdir()
    return directory


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    stats.add_parser(parser.add_subparsers())
    return parser.parse_args(["stats", *map(str, arguments)])


def run(*arguments: object) -> int:
    parsed = options(*arguments)
    return int(parsed.func(parsed))


def run_for(ticks: int, *arguments: object, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Run with --watch until Ctrl-C comes in the wait behind so many blocks."""
    left = iter(range(ticks - 1))

    def sleep(seconds: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        meanwhile()

    return stats.run(options(*arguments), sleep=sleep)


# One look


def test_segment_is_found_by_its_path(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "a.stats"):
        assert run(directory / "a.stats") == 0

    assert capsys.readouterr().out.startswith("fedmsg-hub: running, ")


@pytest.mark.parametrize("name", ["a", "a.stats"])
def test_segment_is_found_by_the_hubs_name(directory: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with live_segment(directory / "a.stats"):
        assert run(name, "--stats-dir", directory) == 0

    assert capsys.readouterr().out.startswith("fedmsg-hub: running, ")


def test_file_in_the_working_directory_goes_before_a_name(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with live_segment(tmp_path / "a.stats", name="here"), live_segment(directory / "a.stats", name="there"):
        run("a.stats", "--stats-dir", directory)

    assert capsys.readouterr().out.startswith("here: ")


def test_name_is_looked_for_in_every_stats_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "glasshub").mkdir(mode=0o700)
    with live_segment(tmp_path / "glasshub" / "a.stats"):
        assert run("a") == 0

    assert "running" in capsys.readouterr().out


def test_without_an_argument_all_hubs_are_shown(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "b.stats", name="b"), live_segment(directory / "a.stats", name="a"):
        assert run("--stats-dir", directory) == 0

    out = capsys.readouterr().out
    assert re.findall(r"^(\w+): running", out, re.MULTILINE) == ["a", "b"]


def test_json_is_one_line_for_each_hub(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "b.stats", name="b"), live_segment(directory / "a.stats", name="a"):
        assert run("--stats-dir", directory, "--format", "json") == 0

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [hub["hub"]["name"] for hub in told] == ["a", "b"]


def test_openmetrics_of_several_hubs_is_one_page(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "b.stats", name="b"), live_segment(directory / "a.stats", name="a"):
        assert run("--stats-dir", directory, "--format", "openmetrics") == 0

    page = capsys.readouterr().out
    (up,) = [
        family
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]  # theirs
        if family.name == "glasshub_hub_up"
    ]
    assert [sample.labels["hub"] for sample in up.samples] == ["a", "b"]
    assert page.endswith("# EOF\n")


def test_producers_are_shown_in_every_format(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "a.stats", producers=[ProducerRow("digests", True, 60.0)]):
        for form in ("text", "json", "openmetrics", "putval"):
            assert run("a", "--stats-dir", directory, "--format", form) == 0

            assert "digests" in capsys.readouterr().out


def test_putval_once_has_the_figures_since_the_start(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTD_HOSTNAME", "bus01")
    with live_segment(directory / "a.stats") as writer:
        work(writer, 1, enqueued=10, processed=8)
        assert run("a", "--stats-dir", directory, "--format", "putval") == 0

    lines = capsys.readouterr().out.splitlines()
    assert 'PUTVAL "bus01/glasshub-fedmsg-hub/gauge-up" interval=10 N:1' in lines
    assert 'PUTVAL "bus01/glasshub-fedmsg-hub.badges/queue_length" interval=10 N:2' in lines
    assert all(re.fullmatch(r'PUTVAL "[^"]+" interval=10 N:\S+', line) for line in lines)
    assert not any(line.endswith(":U") for line in lines if "badges/latency-process" in line)


# What cannot be shown


@pytest.mark.parametrize("arguments", [["a"], ["a", "--watch", "1"], ["./a.stats"]])
def test_named_segment_that_is_not_there_is_one_line_and_exit_code_1(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments, "--stats-dir", directory) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"glasshub: \S*a\.stats: no such segment: .*\n", err)


def test_damaged_segment_is_one_line_and_exit_code_1(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "a.stats").write_bytes(b"rubbish")

    assert run("a", "--stats-dir", directory) == 1

    assert capsys.readouterr().err == (
        f"glasshub: {directory}/a.stats: this is not a Glasshub segment (the magic number is missing)\n"
    )


def test_damaged_segment_among_others_is_told_and_the_others_are_shown(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "a.stats").write_bytes(b"rubbish")
    with live_segment(directory / "b.stats"):
        assert run("--stats-dir", directory) == 0

    out, err = capsys.readouterr()
    assert "running" in out
    assert "a.stats: this is not a Glasshub segment" in err


def test_nothing_found_names_the_directories(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats"]) == 1
    assert main(["stats", "--stats-dir", str(directory)]) == 1

    first, second = capsys.readouterr().err.splitlines()
    assert f"there is no segment (*.stats) in {tmp_path}/run: does a hub run" in first
    assert str(directory) in second


@pytest.mark.parametrize(
    "arguments", [["--watch", "0"], ["--watch", "-1"], ["--watch", "nan"], ["--watch", "x"], ["--format", "xml"]]
)
def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)

    assert caught.value.code == 2
    assert arguments[1] in capsys.readouterr().err


# Watching


def test_watching_text_shows_rates_from_the_second_block_on(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_segment(directory / "a.stats") as writer:
        code = run_for(
            2, "a", "--stats-dir", directory, "--watch", "1", meanwhile=lambda: work(writer, 0, enqueued=5, processed=5)
        )

    first, second = re.split(r"\n-- [0-9 :-]+ --\n\n", capsys.readouterr().out)
    assert code == 0
    assert "since the start" in first
    assert "enq." not in first
    assert "enq." in second
    assert "received 5 (" in second


def test_watching_json_is_a_line_for_each_look(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "a.stats"):
        run_for(3, "a", "--stats-dir", directory, "--watch", "0.5", "--format", "json")

    first, *later = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "interval" not in first
    assert [look["interval"]["consumers"][0]["name"] for look in later] == ["datanommer"] * 2


def test_looks_are_the_interval_apart_however_long_each_takes(directory: Path) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    with live_segment(directory / "a.stats"):
        stats.run(options("a", "--stats-dir", directory, "--watch", "1000"), sleep=sleep)

    assert 0 < 1000 - waits[0] < PATIENCE
    assert 0 < 3000 - waits[2] < PATIENCE  # nothing slept in fact, so that each look is due 1000 s after the one before


def test_reader_that_falls_behind_gets_the_next_look_at_once(directory: Path) -> None:
    arguments = (directory / "a.stats", "--format", "json", "--watch", "0.000001")  # none can be written so fast
    with live_segment(directory / "a.stats"), start(*arguments) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)

    assert all(json.loads(line)["hub"] for line in lines)
    assert (process.returncode, err) == (0, "")


def test_segment_that_breaks_while_watched_is_told_once(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live_segment(directory / "a.stats"):
        code = run_for(
            4,
            *("a", "--stats-dir", directory, "--watch", "1", "--format", "json"),
            meanwhile=lambda: (directory / "a.stats").unlink(missing_ok=True),
        )

    out, err = capsys.readouterr()
    assert code == 0
    assert len(out.splitlines()) == 1
    assert err.count("no such segment") == 1


def test_putval_watches_at_collectds_interval(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTD_INTERVAL", "30.000")
    with live_segment(directory / "a.stats"):
        assert run_for(2, "a", "--stats-dir", directory, "--format", "putval") == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if "gauge-up" in line]
    assert len(lines) == 2
    assert lines[0].endswith('gauge-up" interval=30 N:1')


def test_watch_goes_before_collectds_interval(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTD_INTERVAL", "30.000")
    with live_segment(directory / "a.stats"):
        run_for(1, "a", "--stats-dir", directory, "--format", "putval", "--watch", "5")

    assert " interval=5 " in capsys.readouterr().out


def test_collectds_interval_that_is_no_number_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTD_INTERVAL", "soon")

    with pytest.raises(ConfigError, match="COLLECTD_INTERVAL: 'soon' is not a number"):
        run("a", "--stats-dir", directory, "--format", "putval")


def test_first_putvals_of_many_know_no_latency_yet(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The percentiles of the hub's whole life would be a peak in the graph each time that collectd starts."""
    with live_segment(directory / "a.stats") as writer:
        work(writer, 1, enqueued=10, processed=8)
        run_for(1, "a", "--stats-dir", directory, "--format", "putval", "--watch", "10")

    latencies = [line for line in capsys.readouterr().out.splitlines() if "badges/latency" in line]
    assert latencies
    assert all(line.endswith("N:U") for line in latencies)


@pytest.mark.parametrize("arguments", [["a"], []])
def test_putval_of_a_hub_that_goes_down_is_up_0_and_no_end(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    path = directory / "a.stats"
    with live_segment(path, name="a"):
        steps: Iterator[Callable[[], object]] = iter([lambda: path.write_bytes(b""), path.unlink, lambda: None])

        def step() -> None:
            next(steps)()

        code = run_for(
            4,
            *arguments,
            *("--stats-dir", directory, "--watch", "1", "--format", "putval"),
            meanwhile=step,
        )

    ups = [line[-1] for line in capsys.readouterr().out.splitlines() if '/glasshub-a/gauge-up"' in line]
    assert code == 0
    assert ups == ["1", "0", "0", "0"]


def test_putval_of_a_hub_that_never_ran_is_up_0_under_the_name_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_for(2, "a", "--stats-dir", directory, "--watch", "1", "--format", "putval") == 0

    assert [line[-1] for line in capsys.readouterr().out.splitlines() if "/glasshub-a/gauge-up" in line] == ["0", "0"]


# The real process


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "glasshub", "stats", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HUB)},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_interrupt_ends_a_watch_quietly(directory: Path) -> None:
    with live_segment(directory / "a.stats"), start(directory / "a.stats", "--watch", "1000") as process:
        line = first_line(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)

    assert "running" in line
    assert (process.returncode, err) == (0, "")


def test_reader_that_goes_ends_a_watch_quietly(directory: Path) -> None:
    arguments = (directory / "a.stats", "--format", "putval", "--watch", "0.01")
    with live_segment(directory / "a.stats"), start(*arguments) as process:
        line = first_line(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(PATIENCE)

    assert line.startswith("PUTVAL ")
    assert (process.returncode, err) == (141, "")


def test_name_that_the_terminal_cannot_show_costs_no_traceback(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with live_segment(directory / "a.stats", name="Hörmal"), start(directory / "a.stats") as process:
        out, err = process.communicate(timeout=PATIENCE)

    assert out.startswith("H?rmal: running")
    assert (process.returncode, err) == (0, "")


# Stats directories


@pytest.mark.parametrize("variable", ["", "runtime/dir"])
def test_default_directory_is_a_private_one_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", variable)

    directory = paths.default_stats_directory()

    assert directory == tmp_path / f"glasshub-{os.geteuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert paths.default_stats_directory() == directory
    assert paths.stats_directories() == [directory]


def test_default_directory_is_in_the_runtime_directory_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    directory = paths.default_stats_directory()

    assert directory == tmp_path / "glasshub"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_default_directory_is_the_systems_if_it_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    assert paths.default_stats_directory() == tmp_path / "run"
    assert paths.stats_directories() == [tmp_path / "run"]


def test_systems_directory_is_passed_by_if_it_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write everywhere

    assert paths.default_stats_directory() == tmp_path / f"glasshub-{os.geteuid()}"


def make_symlink(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


def make_open(path: Path) -> None:
    path.mkdir()
    path.chmod(0o1777)


def make_foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory of somebody else")
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (make_symlink, "is a symbolic link: remove it"),
        (make_open, r"may be written to by others \(mode 1777\)"),
        (make_foreign, r"belongs to another user \(uid 65534\)"),
        (Path.touch, "File exists"),
    ],
)
def test_default_directory_that_others_prepared_is_refused_and_not_read(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path / f"glasshub-{os.geteuid()}")

    with pytest.raises(ConfigError, match=sentence):
        paths.default_stats_directory()

    assert paths.stats_directories() == []


def test_directory_that_cannot_be_made_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "no"))

    with pytest.raises(ConfigError, match=f"{tmp_path}/no/glasshub: No such file or directory: choose another one"):
        paths.default_stats_directory()


def test_readers_look_into_the_runtime_and_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub started by cron has no XDG_RUNTIME_DIR, the operator who asks has one."""
    temporary = paths.default_stats_directory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime = paths.default_stats_directory()

    assert paths.stats_directories() == [runtime, temporary]


def test_reading_by_the_command_leaves_the_segment_as_it_is(directory: Path) -> None:
    with live_segment(directory / "a.stats") as writer:
        work(writer, 0, enqueued=3, processed=2)
        before = (directory / "a.stats").read_bytes()
        run("a", "--stats-dir", directory)

        assert (directory / "a.stats").read_bytes() == before
        assert read(str(directory / "a.stats")).consumer("datanommer").backlog == 1
