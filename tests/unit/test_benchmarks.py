# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmarks: what they do with figures. What the figures are is never tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from benchmarks import spool
from benchmarks.__main__ import main
from benchmarks.capacity import Costs, Plan, plan
from benchmarks.contestants import Contestant, Run
from benchmarks.figures import BenchError, Figure, Target, figure, percentile, ratio, take_turns
from benchmarks.instrumentation import NullSlots
from benchmarks.letters import letters, published_ns
from benchmarks.processes import scratch
from benchmarks.report import BEGIN, END, Result, as_json, as_markdown, header, line, write_into
from glasshub.stats import ConsumerSlots, EnqueuerSlots, WorkerSlots

_ROOT = Path(__file__).resolve().parent.parent.parent

_MET = Result("reading", Figure("read it", 0.5, "ms", Target(1.0), 0.25, 12.5))
_MISSED = Result("throughput", Figure("messages", 1234567.0, "messages/s", Target(2e6, is_floor=True)))
_WHOLE = Result("throughput", Figure("lost", 5, "messages"))


def test_target_may_be_a_ceiling_or_a_floor() -> None:
    assert Target(4).is_met(4)
    assert not Target(4).is_met(4.1)
    assert Target(4, is_floor=True).is_met(4)
    assert not Target(4, is_floor=True).is_met(3.9)
    assert [str(Target(4)), str(Target(4, is_floor=True))] == ["≤ 4", "≥ 4"]


def test_figure_is_the_median_of_its_turns() -> None:
    assert figure("x", [5.0, 1.0, 2.0], "ms") == Figure("x", 2.0, "ms", None, 1.0, 5.0)


def test_ratio_compares_each_turn_with_its_neighbour() -> None:
    """Both contestants became four times slower: that is the machine, and not a difference between them."""
    found = ratio("x", [8.0, 2.0], [4.0, 1.0])

    assert found == Figure("x", 2.0, "x", None, 2.0, 2.0)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile(range(100, 0, -1), percent) == value


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_every_other_turn_goes_in_the_opposite_order() -> None:
    order: list[str] = []

    def turn_of(name: str) -> int:
        order.append(name)
        return len(order)

    results = take_turns({name: partial(turn_of, name) for name in "abc"}, 3)

    assert order == list("abccbaabc")
    assert results == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_table_says_whether_a_target_is_met() -> None:
    assert _words(line(_MET)) == "reading read it 0.500 ms 0.250 to 12.5 ≤ 1 yes"
    assert _words(line(_MISSED)) == "throughput messages 1,234,567 messages/s ≥ 2e+06 NO"
    assert _words(line(_WHOLE)) == "throughput lost 5 messages"


def test_header_names_the_columns() -> None:
    assert _words(header()) == "benchmark figure value unit lowest to highest target met"


def test_markdown_has_the_circumstances_and_a_table_for_each_benchmark() -> None:
    text = as_markdown([_MET, _MISSED, _WHOLE], {"processor": "a fast one"})

    assert text.splitlines() == [
        "- processor: a fast one",
        "",
        "### reading",
        "",
        "| figure | value | unit | lowest to highest | target | met |",
        "| --- | ---: | --- | ---: | --- | --- |",
        "| read it | 0.500 | ms | 0.250 to 12.5 | ≤ 1 | yes |",
        "",
        "### throughput",
        "",
        "| figure | value | unit | lowest to highest | target | met |",
        "| --- | ---: | --- | ---: | --- | --- |",
        "| messages | 1,234,567 | messages/s |  | ≥ 2e+06 | NO |",
        "| lost | 5 | messages |  |  |  |",
    ]


def test_json_has_the_whole_figure() -> None:
    found = json.loads(as_json([_MET, _WHOLE], {"processor": "a fast one"}))

    assert found["circumstances"] == {"processor": "a fast one"}
    met, whole = found["figures"]
    assert met == {
        "benchmark": "reading",
        "name": "read it",
        "value": 0.5,
        "unit": "ms",
        "lowest": 0.25,
        "highest": 12.5,
        "target": "≤ 1",
        "met": True,
    }
    assert (whole["target"], whole["met"], whole["lowest"]) == (None, None, None)


def test_figures_are_written_into_their_place_and_nothing_else_changes(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n", encoding="utf-8")

    write_into(file, "new")

    assert file.read_text(encoding="utf-8") == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"


def test_tables_of_benchmarks_that_were_not_run_stay(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    old = "- run: old\n\n### reading\n\n| read |\n\n### throughput\n\n| old |"
    file.write_text(f"{BEGIN}\n\n{old}\n\n{END}", encoding="utf-8")

    write_into(file, "- run: new\n\n### throughput\n\n| new |")

    new = "- run: new\n\n### reading\n\n| read |\n\n### throughput\n\n| new |"
    assert file.read_text(encoding="utf-8") == f"{BEGIN}\n\n{new}\n\n{END}"


def test_file_without_the_place_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(f"{BEGIN}\nand no end\n", encoding="utf-8")

    with pytest.raises(BenchError, match="has no place for the figures"):
        write_into(file, "new")

    assert file.read_text(encoding="utf-8") == f"{BEGIN}\nand no end\n"


@pytest.mark.parametrize("page", ["performance.md", "scaling.md"])
def test_documentation_has_the_place(page: str) -> None:
    text = (_ROOT / "docs" / page).read_text(encoding="utf-8")

    assert 0 < text.find(BEGIN) < text.find(END)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["thruput"], "no such benchmark: thruput (there are: throughput, latency, "),
        (["--write", "/nonexistent/performance.md"], "cannot read /nonexistent/performance.md: No such file"),
        (["--write", os.devnull], "/dev/null has no place for the figures"),
    ],
)
def test_wrong_command_line_ends_with_2_before_anything_runs(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.out == ""


def test_null_slots_stand_for_all_that_a_pipeline_writes_to() -> None:
    """Else the cost of writing stats is measured against a pipeline that has died."""
    for kind in (WorkerSlots, ConsumerSlots, EnqueuerSlots):
        missing = {name for name in dir(kind) if not name.startswith("_")} - set(dir(NullSlots))
        assert not missing, kind


def test_letters_are_json_that_tells_when_it_was_published() -> None:
    for letter in letters():
        body = letter.stamped(1234567890123)

        assert json.loads(body)["published_ns"] == published_ns(body) == 1234567890123
        assert json.loads(body)["topic"].encode() == letter.topic


def test_letters_are_the_same_in_every_run() -> None:
    assert letters() == letters()


@pytest.mark.slow
def test_quick_run_prints_figures_with_units_as_json() -> None:
    """Two that need no hub; the others differ in nothing that JSON shows."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "reading", "memory", "--quick", "--json"],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["hub", "collectd_plugin", "."])},
        capture_output=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["circumstances"]["run"].startswith("quick")
    assert [(item["benchmark"], item["unit"]) for item in found["figures"]] == [
        ("reading", "ms"),
        ("reading", "ms"),
        ("memory", "bytes/message"),
        ("memory", "bytes/message"),
    ]
    for item in found["figures"]:
        assert item["lowest"] <= item["value"] <= item["highest"]
        assert item["met"] in (True, False, None)


def _words(text: str) -> str:
    """A line of the table without its columns."""
    return " ".join(text.split())


def test_what_is_to_be_on_disk_is_where_temporary_files_are() -> None:
    with scratch(on_disk=True) as directory:
        assert directory.parent == Path(tempfile.gettempdir())


def test_hubs_with_and_without_a_spool_are_both_measured_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system in memory nothing waits for a disk, and the figures mean nothing."""
    places = []

    def run_once(contestant: Contestant, messages: int, rate: float, *, on_disk: bool = False) -> Run:
        places.append(on_disk)
        return Run(1.0, [0.0])

    monkeypatch.setattr(spool, "run_once", run_once)

    figures = list(spool._hubs(quick=True))

    assert len(figures) == 10
    assert places == [True] * 4


def test_a_plan_has_a_reserve_and_a_core_for_each_worker_process() -> None:
    costs = Costs(hub=50e-6, worker=25e-6, published=100e-6, delivered=25e-6, pace=100e-6)

    assert plan(100, 0.01, costs) == Plan(hubs=3, cores=3, broker_cores=1)
    assert plan(10_000, 0.001, costs) == Plan(hubs=21, cores=22, broker_cores=3)


def test_a_plan_for_consumers_that_do_little_goes_by_what_one_hub_manages() -> None:
    costs = Costs(hub=50e-6, worker=25e-6, published=100e-6, delivered=25e-6, pace=100e-6)

    assert plan(10_000, 0.0, costs).hubs == 2
