# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub graph --all-hosts`: one hub on several machines, as the collectd that adds up keeps it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from glasshub import rrds
from glasshub.cli import EXIT_ERROR

from .test_graph import BLUE, LOOKS, START, VERMILION, _rrdtool, asked, pixels, run

__all__ = ["_rrdtool", "asked"]  # fixtures; the first one is for all tests here, too

GREY = bytes.fromhex("BBBBBB")
UNKNOWN = math.nan


def make(directory: Path, host: str, consumer: str, files: Mapping[str, Sequence[float]], *, hub: str = "prod") -> None:
    """RRDs of a consumer with these numbers."""
    place = f"rrd/{host}/glasshub-{hub}.{consumer}"
    (directory / place).mkdir(parents=True)
    commands = []
    for name, numbers in files.items():
        file = f"{place}/{name}.rrd"
        kind = "DERIVE" if name.startswith("operations") else "GAUGE"
        archives = " ".join(f"RRA:{kind}:0.1:1:400" for kind in ("AVERAGE", "MAX"))
        commands.append(f"create {file} --start {START - 10} --step 10 DS:value:{kind}:20:0:U {archives}")
        told = ["U" if math.isnan(number) else f"{number:.0f}" for number in numbers]
        commands.append(f"update {file} " + " ".join(f"{START + 10 * i}:{each}" for i, each in enumerate(told)))
    rrds.feed(commands, directory)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two machines, of which the first is gone for the last third, and what collectd has added up of them."""
    gone = [i > LOOKS * 2 // 3 for i in range(LOOKS)]
    first = {
        "queue_length": [UNKNOWN if is_gone else 20.0 for is_gone in gone],
        "queue_length-broker-ready": [UNKNOWN if is_gone else 300.0 for is_gone in gone],
        "operations-processed": [UNKNOWN if is_gone else 20.0 * i for i, is_gone in enumerate(gone)],
        "latency-process-percentile-95": [2.0] * LOOKS,
    }
    second = {
        "queue_length": [30.0] * LOOKS,
        "queue_length-broker-ready": [320.0 if is_gone else 290.0 for is_gone in gone],
        "operations-processed": [30.0 * i for i in range(LOOKS)],
        "latency-process-percentile-95": [3.0] * LOOKS,
    }
    make(tmp_path, "web1", "Badges", first)
    make(tmp_path, "web2", "Badges", second)
    make(tmp_path, "all", "Badges", second)
    return tmp_path / "rrd"


def legend(asked: Path) -> dict[str, list[str]]:
    """What stands in the legend: last, highest, average of each label."""
    lines = re.findall(r"^(?:AREA|LINE)\S*?#\w{6}:(.*?)\\l", asked.read_text(encoding="utf-8"), re.MULTILINE)
    return {line[:-30].strip(): line[-30:].split() for line in lines}


def column(picture: Path, at: int) -> list[bytes]:
    """The pixels of a column of the first panel, from the top of its plane to its axis."""
    return [line[at] for line in pixels(picture.read_bytes())[20:205]]


def stacked(picture: Path, at: int) -> list[bytes]:
    """The colours of the areas in a column, from the top."""
    return list(dict.fromkeys(colour for colour in column(picture, at) if colour in {GREY, BLUE, VERMILION}))


def has_line(picture: Path, at: int) -> bool:
    """Whether there is a line around the areas in a column: it is darker than they are, and blurred."""
    return any(sum(colour) < min(sum(BLUE), sum(VERMILION)) - 50 for colour in column(picture, at))


def test_what_waits_is_stacked_the_broker_below_and_counted_once(data_dir: Path, tmp_path: Path, asked: Path) -> None:
    assert run(data_dir, "Badges", "--all-hosts", "--what", "backlog", "--output", tmp_path / "a.png") == 0

    told = legend(asked)
    assert list(told) == ["on the broker", "web1", "web2", "all"]
    assert told["on the broker"][:2] == ["320", "320"]  # 300, where the other says 290; then of the other alone
    assert told["web1"][:2] == ["20", "20"]
    assert told["all"][:2] == ["350", "350"]
    assert stacked(tmp_path / "a.png", 400) == [VERMILION, BLUE, GREY]
    assert stacked(tmp_path / "a.png", 750) == [VERMILION, GREY]


def test_a_machine_that_is_gone_leaves_the_others_in_the_sum(data_dir: Path, tmp_path: Path, asked: Path) -> None:
    assert run(data_dir, "--all-hosts", "--what", "rates", "--output", tmp_path / "a.png") == 0

    told = legend(asked)
    assert {label: figures[0] for label, figures in told.items()} == {"web1": "2.0", "web2": "3.0", "all": "3.0"}
    assert told["all"][1] == "5.0"
    assert stacked(tmp_path / "a.png", 400) == [VERMILION, BLUE]
    assert stacked(tmp_path / "a.png", 750) == [VERMILION]
    assert has_line(tmp_path / "a.png", 750)


def test_what_adds_up_is_averages_for_peaks_of_two_moments_do_not(data_dir: Path, tmp_path: Path, asked: Path) -> None:
    assert run(data_dir, "--all-hosts", "--what", "backlog", "--output", tmp_path / "a.png") == 0

    taken = set(re.findall(r"^DEF:.*:(\w+)$", asked.read_text(encoding="utf-8"), re.MULTILINE))
    assert taken == {"AVERAGE"}


def test_a_time_of_which_no_machine_knows_anything_is_a_gap(tmp_path: Path) -> None:
    half = [UNKNOWN if i < LOOKS // 2 else 50.0 for i in range(LOOKS)]
    for host in ("web1", "web2"):
        make(tmp_path, host, "Badges", {"queue_length": half})

    assert run(tmp_path / "rrd", "--all-hosts", "--what", "backlog", "--output", tmp_path / "a.png") == 0

    assert stacked(tmp_path / "a.png", 300) == []
    assert not has_line(tmp_path / "a.png", 300)
    assert stacked(tmp_path / "a.png", 700) == [VERMILION, BLUE]
    assert has_line(tmp_path / "a.png", 700)


def test_what_does_not_add_up_is_a_curve_for_each_machine(data_dir: Path, tmp_path: Path, asked: Path) -> None:
    assert run(data_dir, "--all-hosts", "--what", "processing", "--output", tmp_path / "a.png") == 0

    assert {label: figures[0] for label, figures in legend(asked).items()} == {"web1 p95": "2.0s", "web2 p95": "3.0s"}


def test_each_consumer_has_panels_of_its_own_that_name_it(data_dir: Path, tmp_path: Path, asked: Path) -> None:
    make(tmp_path, "web2", "Mailer", {"queue_length": [1.0] * LOOKS})

    assert run(data_dir, "--all-hosts", "--what", "backlog", "--output", tmp_path / "a.png") == 0

    titles = re.findall(r"^--title\n(.*)$", asked.read_text(encoding="utf-8"), re.MULTILINE)
    assert titles == ["Backlog of Badges · prod on web1, web2", "Backlog of Mailer · prod on web1, web2"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["Nobody"], "there is no consumer 'Nobody', but Badges"),
        (["--hub", "nobody"], "there is no hub 'nobody', but prod"),
        (["--what", "busy"], "there is no file for 'Busy workers' of Badges on web1, web2"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert run(data_dir, "--all-hosts", *arguments) == EXIT_ERROR

    assert complaint in capsys.readouterr().err


def test_one_hub_of_several_has_to_be_chosen(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, "web1", "Badges", {"queue_length": [1.0] * LOOKS}, hub="stage")

    assert run(data_dir, "--all-hosts") == EXIT_ERROR

    assert "choose with --hub, of prod, stage" in capsys.readouterr().err


def test_totals_of_several_consumers_are_drawn_in_their_parts(tmp_path: Path, asked: Path) -> None:
    """Nobody has added up what each hub takes for the whole: the queue on the broker would count more than once."""
    for consumer in ("Badges", "Mailer"):
        make(tmp_path, "all", consumer, {"queue_length": [1.0] * LOOKS, "queue_length-broker-ready": [2.0] * LOOKS})

    assert run(tmp_path / "rrd", "--host", "all", "--what", "backlog", "--output", tmp_path / "a.png") == 0

    assert {label: figures[0] for label, figures in legend(asked).items()} == {
        "Badges here": "1",
        "Badges on the broker": "2",
        "Mailer here": "1",
        "Mailer on the broker": "2",
    }
