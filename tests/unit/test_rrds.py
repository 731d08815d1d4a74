# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finding and reading the RRD files of collectd, by the real rrdtool."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glasshub import rrds
from glasshub.rrds import RrdError
from glasshub_stats import values

from ..needs import program

START = 1_700_000_000  # a multiple of the steps below


@pytest.fixture(autouse=True)
def _rrdtool() -> None:
    program("rrdtool")


def make(path: Path, *numbers: float | None, source: str = "value") -> Path:
    """An RRD with a number every ten seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    archives = [f"RRA:{name}:0.5:{steps}:50" for name in ("AVERAGE", "MAX") for steps in (1, 5)]
    rrds.run(["create", str(path), "--start", str(START), "--step", "10", f"DS:{source}:GAUGE:20:U:U", *archives])
    written = (f"{START + 10 * i}:{'U' if n is None else n}" for i, n in enumerate(numbers, 1))
    rrds.run(["update", str(path), *written])
    return path


def series(
    path: Path, start: float, end: float, step: float, consolidation: str = "AVERAGE"
) -> tuple[list[float], list[float]]:
    """The numbers in one file."""
    times, (numbers,) = rrds.table([path], start, end, step, consolidation=consolidation)
    return times, numbers


class TestFind:
    def test_files_are_sorted_to_hubs_consumers_and_producers(self, tmp_path: Path) -> None:
        for name in (
            "web1/glasshub-hub/gauge-up",
            "web1/glasshub-hub.Mailer/queue_length",
            "web1/glasshub-hub.fmn.consumer:Mailer/operations-processed",
            "web1/glasshub-hub.producer.Digest/operations-runs",
            "web1/cpu-0/cpu-idle",
            "web2/glasshub-hub/uptime",
        ):
            make(tmp_path / f"{name}.rrd", 1)

        first, second = rrds.find(tmp_path)

        directory = tmp_path / "web1"
        assert (first.host, first.hub, second.host) == ("web1", "hub", "web2")
        assert first.files == {"gauge-up": directory / "glasshub-hub/gauge-up.rrd"}
        assert first.consumers == {
            "Mailer": {"queue_length": directory / "glasshub-hub.Mailer/queue_length.rrd"},
            "fmn.consumer:Mailer": {
                "operations-processed": directory / "glasshub-hub.fmn.consumer:Mailer/operations-processed.rrd"
            },
        }
        assert list(first.producers) == ["Digest"]

    def test_a_hub_is_looked_for_on_the_host_that_is_named(self, tmp_path: Path) -> None:
        for host in ("web1", "web2"):
            make(tmp_path / host / "glasshub-hub/gauge-up.rrd", 1)

        (found,) = rrds.find(tmp_path, "web2")

        assert found.host == "web2"

    def test_a_directory_without_hubs_is_told_of(self, tmp_path: Path) -> None:
        (tmp_path / "web1/cpu-0").mkdir(parents=True)

        with pytest.raises(RrdError, match=r"has no RRDs of a hub of host web1 .*does collectd run"):
            rrds.find(tmp_path, "web1")

    def test_a_directory_that_is_not_there_is_told_of(self, tmp_path: Path) -> None:
        with pytest.raises(RrdError, match=r"cannot read .*/rrd: No such file or directory: is that the DataDir"):
            rrds.find(tmp_path / "rrd")


class TestCalled:
    @pytest.mark.parametrize("name", ["Mailer", "a name with spaces", "x" * 100, "producer.Odd"])
    def test_a_consumer_is_found_by_its_own_name_and_by_collectds(self, name: str) -> None:
        part = values.consumer_part(name)

        assert rrds.called(name, ["Other", part]) == part
        assert rrds.called(part, ["Other", part]) == part

    def test_a_hub_with_a_dot_is_found_by_its_own_name(self) -> None:
        assert rrds.called("hub.example", [values.hub_instance("hub.example")])

    def test_nobody_is_found_by_the_name_of_another(self) -> None:
        assert rrds.called("Mailer", ["Mailer2", "mailer"]) is None


class TestTable:
    def test_numbers_come_with_the_end_of_their_step(self, tmp_path: Path) -> None:
        path = make(tmp_path / "queue_length.rrd", 5, None, 7)

        times, numbers = series(path, START, START + 30, 10)

        assert [time - START for time in times[:3]] == [10.0, 20.0, 30.0]
        assert numbers[:3] == pytest.approx([5, math.nan, 7], nan_ok=True)

    def test_numbers_of_a_longer_step_are_averages_or_maxima(self, tmp_path: Path) -> None:
        path = make(tmp_path / "queue_length.rrd", 1, 2, 3, 4, 5, 6)

        averages = series(path, START, START + 50, 50)
        maxima = series(path, START, START + 50, 50, consolidation="MAX")

        assert averages == ([float(START + 50)], [3.0])
        assert maxima == ([float(START + 50)], [5.0])

    def test_many_rows_stay_as_fine_as_they_are(self, tmp_path: Path) -> None:
        """By itself rrdtool gives out 400 at the most."""
        path = make(tmp_path / "queue_length.rrd", 1)

        times, numbers = series(path, START, START + 10_000, 10)

        assert len(times) == len(numbers) >= 1000
        assert times[1] - times[0] == 10

    @pytest.mark.parametrize("name", ["a:b", "a b", r"a\b", r"a\:b", r"a\\:b\\", "a%s", "a'b\"c"])
    def test_a_duration_is_read_from_a_path_with_odd_characters(self, tmp_path: Path, name: str) -> None:
        path = make(tmp_path / name / "duration-oldest.rrd", 8, source="seconds")

        assert series(path, START, START + 10, 10)[1][0] == 8

    def test_several_files_make_a_table(self, tmp_path: Path) -> None:
        paths = [make(tmp_path / f"operations-{name}.rrd", number) for name, number in (("a", 1), ("b", 2))]

        _times, columns = rrds.table(paths, START, START + 10, 10)

        assert [column[0] for column in columns] == [1, 2]

    def test_a_file_that_is_none_is_told_of_in_rrdtools_words(self, tmp_path: Path) -> None:
        path = tmp_path / "queue_length.rrd"
        path.write_bytes(b"no")

        with pytest.raises(RrdError, match=r"rrdtool xport failed: .*to read /.*queue_length\.rrd"):
            series(path, START, START + 10, 10)


def test_a_missing_rrdtool_is_told_of_with_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RrdError, match="apt-get install rrdtool"):
        rrds.rrdtool()


class TestFlush:
    """By a collectd that is a thread: one that takes its time to write is not to be had for the asking."""

    @staticmethod
    @contextmanager
    def collectd(path: Path, answers: dict[str, str], then: Callable[[], object]) -> Iterator[list[str]]:
        """Answers commands by their first word, and then does something in its own time."""
        asked: list[str] = []

        def serve() -> None:
            with listener.accept()[0] as client, client.makefile(encoding="utf-8") as lines:
                for line in lines:
                    asked.append(line.rstrip("\n"))
                    client.sendall(answers[line.split()[0]].encode())
                then()

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=serve)
            thread.start()
            yield asked
            thread.join()

    def test_it_is_waited_for_until_the_file_is_as_new_as_the_value(self, tmp_path: Path) -> None:
        path = make(tmp_path / "web1/glasshub-hub.Mailer/queue_length.rrd", 1)
        os.utime(path, (1000, 1000))
        name = "web1/glasshub-hub.Mailer/queue_length"
        answers = {"LISTVAL": f"2 Values found\n1.5 web1/cpu-0/cpu-idle\n2000.5 {name}\n", "FLUSH": "0 Done\n"}
        is_waited_for = threading.Event()

        def write_late() -> None:
            is_waited_for.wait(0.2)
            os.utime(path, (2001, 2001))

        with self.collectd(tmp_path / "sock", answers, write_late) as asked:
            rrds.flush(tmp_path / "sock", [path], data_dir=tmp_path)

            assert path.stat().st_mtime == 2001
        assert asked == ["LISTVAL", f'FLUSH plugin=rrdtool identifier="{name}"']

    def test_each_file_is_asked_for_by_a_command_of_its_own(self, tmp_path: Path) -> None:
        """collectd reads commands into a buffer of 1024 bytes, and takes the rest for the next one."""
        paths = [make(tmp_path / f"web1/glasshub-hub.{name * 40}/queue_length.rrd", 1) for name in "abc"]
        answers = {"LISTVAL": "0 Values found\n", "FLUSH": "0 Done\n"}

        with self.collectd(tmp_path / "sock", answers, lambda: None) as asked:
            rrds.flush(tmp_path / "sock", paths, data_dir=tmp_path)

        assert [line.partition(" ")[0] for line in asked] == ["LISTVAL", "FLUSH", "FLUSH", "FLUSH"]
        assert max(map(len, asked)) < 1023

    def test_what_collectd_refuses_is_told_in_its_words(self, tmp_path: Path) -> None:
        answers = {"LISTVAL": "-1 Cannot do that.\n"}

        with (
            self.collectd(tmp_path / "sock", answers, lambda: None),
            pytest.raises(RrdError, match=r"does not answer at .*: Cannot do that"),
        ):
            rrds.flush(tmp_path / "sock", [], data_dir=tmp_path)


def test_a_collectd_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RrdError, match=rf"does not answer at {tmp_path}/sock: .*No such file"):
        rrds.flush(tmp_path / "sock", [], data_dir=tmp_path)


def test_numbers_are_written_with_dots_whatever_the_locale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "LC_ALL", "de_DE.UTF-8")

    assert series(make(tmp_path / "queue_length.rrd", 1.5), START, START + 10, 10)[1][0] == 1.5
