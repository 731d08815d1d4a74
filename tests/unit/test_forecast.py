# SPDX-License-Identifier: LGPL-2.1-or-later
"""Forecasts: the arithmetic, against numbers worked out by hand; what they are made from; and the command."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from glasshub.cli import main
from glasshub.errors import ConfigError
from glasshub.segment import ConsumerRow
from glasshub.spike.basis import of_interval, of_spike
from glasshub.spike.computing import ComputingMeter
from glasshub.spike.forecast import EXPLANATION, Basis, Measured, forecast
from glasshub_stats import read

from .segments import MS, live_segment, tell, work

ROOT = Path(__file__).parents[2]


def basis(*consumers: Measured, shape: str = "threads", bus_rate: float = 0.0, computing: float = 0.0) -> Basis:
    return Basis("by hand", shape, bus_rate, computing, consumers)


class TestForecast:
    def test_a_consumer_falls_behind_by_what_it_does_not_handle(self) -> None:
        (badges,) = forecast(basis(Measured("badges", 1.0, 50.0)), rate=120.0, seconds=20.0)

        assert badges.peak_backlog == pytest.approx(70 * 20)
        assert badges.caught_up_after == badges.no_backlog_after == badges.worst_wait == pytest.approx(28.0)

    def test_one_that_keeps_up_has_no_backlog(self) -> None:
        (fast,) = forecast(basis(Measured("fast", 1.0, 500.0)), rate=120.0, seconds=20.0)

        assert (fast.peak_backlog, fast.caught_up_after, fast.no_backlog_after, fast.worst_wait) == (0, 0, 0, 0)

    def test_what_comes_without_the_spike_makes_the_backlog_last_but_not_the_spikes_own_messages(self) -> None:
        (badges,) = forecast(basis(Measured("badges", 1.0, 50.0), bus_rate=25.0), rate=75.0, seconds=10.0)

        assert badges.peak_backlog == pytest.approx(500)
        assert badges.caught_up_after == pytest.approx(10.0)
        assert badges.no_backlog_after == pytest.approx(20.0)

    def test_one_that_is_too_slow_for_the_bus_never_gets_rid_of_its_backlog(self) -> None:
        (badges,) = forecast(basis(Measured("badges", 1.0, 20.0), bus_rate=25.0), rate=75.0, seconds=10.0)

        assert badges.caught_up_after == pytest.approx(40.0)
        assert math.isinf(badges.no_backlog_after)

    def test_a_consumer_gets_its_share(self) -> None:
        (git,) = forecast(basis(Measured("git", 0.25, 20.0)), rate=120.0, seconds=10.0)

        assert git.arrival_rate == 30
        assert git.peak_backlog == pytest.approx(100)

    def test_what_waits_already_comes_on_top(self) -> None:
        (badges,) = forecast(basis(Measured("badges", 1.0, 50.0, waiting=100)), rate=60.0, seconds=10.0)

        assert badges.peak_backlog == pytest.approx(200)
        assert badges.caught_up_after == pytest.approx(4.0)

    @pytest.mark.parametrize("shape", ["inline", "shared"])
    def test_in_a_row_everybody_is_as_late_as_all_of_them_together(self, shape: str) -> None:
        """10 ms and half of 20 ms for each message of the bus: 50 of them a second."""
        both = basis(Measured("all", 1.0, 100.0), Measured("half", 0.5, 50.0), shape=shape)

        every, half = forecast(both, rate=100.0, seconds=10.0)

        assert (every.service_rate, half.service_rate) == pytest.approx((50.0, 25.0))
        assert (every.peak_backlog, half.peak_backlog) == pytest.approx((500.0, 250.0))
        assert every.caught_up_after == half.caught_up_after == pytest.approx(10.0)

    @pytest.mark.parametrize("shape", ["inline", "shared"])
    def test_nobody_is_in_the_way_of_one_that_only_works_off_what_waits(self, shape: str) -> None:
        """In the time that was measured it handled what had waited, and nothing came for it."""
        (behind,) = forecast(basis(Measured("behind", 0.0, 50.0, waiting=100), shape=shape), rate=120.0, seconds=1.0)

        assert (behind.arrival_rate, behind.service_rate) == (0.0, 50.0)
        assert (behind.peak_backlog, behind.caught_up_after) == pytest.approx((100.0, 1.0))

    def test_consumers_that_only_compute_share_the_interpreter(self) -> None:
        """Each alone would handle 100 a second; together they handle 50 each."""
        both = basis(Measured("a", 1.0, 100.0), Measured("b", 1.0, 100.0), computing=1.0)

        for each in forecast(both, rate=100.0, seconds=10.0):
            assert each.service_rate == pytest.approx(50.0)
            assert each.peak_backlog == pytest.approx(500.0)
            assert each.caught_up_after == pytest.approx(10.0)

    def test_the_last_one_is_faster_when_the_others_have_caught_up(self) -> None:
        """Until `a` is done each handles 50 a second; then `b` does 100 alone."""
        both = basis(Measured("a", 1.0, 100.0), Measured("b", 1.0, 100.0, waiting=500), computing=1.0)

        a, b = forecast(both, rate=100.0, seconds=10.0)

        assert a.caught_up_after == pytest.approx(10.0)
        assert b.peak_backlog == pytest.approx(1000.0)
        assert b.caught_up_after == pytest.approx(10.0 + 500 / 100)

    def test_consumers_that_wait_most_of_the_time_are_not_in_each_others_way(self) -> None:
        both = basis(Measured("a", 1.0, 100.0), Measured("b", 1.0, 100.0), computing=0.4)

        assert [each.service_rate for each in forecast(both, rate=200.0, seconds=1.0)] == pytest.approx([100.0, 100.0])

    def test_computing_is_slowed_down_and_waiting_is_not(self) -> None:
        """Of 10 ms 6 are computing: with f, 2 * 6 / (6 f + 4) = 1, so f = 4/3, and a message takes 12 ms."""
        both = basis(Measured("a", 1.0, 100.0), Measured("b", 1.0, 100.0), computing=0.6)

        for each in forecast(both, rate=200.0, seconds=1.0):
            assert each.service_rate == pytest.approx(1 / 0.012)

    def test_workers_of_a_consumer_share_the_interpreter_too(self) -> None:
        (four,) = forecast(basis(Measured("four", 1.0, 400.0, workers=4), computing=1.0), rate=500.0, seconds=1.0)

        assert four.service_rate == pytest.approx(100.0)


class TestBasis:
    def test_what_waits_on_a_broker_waits_as_well(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats") as writer:
            work(writer, 0, enqueued=12, processed=2)
            tell(writer, ready=900)
            known = of_interval(read(str(writer.path)).since(None), 0.0, source="h")
            tell(writer, asked_ns=0)
            lost = of_interval(read(str(writer.path)).since(None), 0.0, source="h")

        assert known.consumers[0].waiting * known.consumers[0].hubs == 910
        assert lost.consumers[0].waiting == 10

    def test_what_is_brought_once_for_each_consumer_was_once_on_the_bus(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats") as writer:
            tell(writer, ready=50)
            older = read(str(writer.path))
            writer.enqueuer.received(60, 100)
            for number, count in ((0, 40), (1, 20)):
                work(writer, number, enqueued=count, processed=count, took_ns=10 * MS)
            tell(writer, ready=70)
            newer = read(str(writer.path))
        seconds = newer.since(older).seconds
        between_answers = (newer.consumers[0].broker_asked_ns - older.consumers[0].broker_asked_ns) / 1e9

        found = of_interval(newer.since(older), 0.0, source="h")

        on_bus = found.bus_rate * seconds
        assert on_bus == pytest.approx(2 * 40 + 20 * seconds / between_answers)  # what two hubs got, and what waits yet
        assert [each.hubs for each in found.consumers] == [2, 2]
        assert [each.share for each in found.consumers] == pytest.approx([0.5, 20 / on_bus])
        assert found.consumers[0].waiting == 35

    def test_a_consumer_of_several_hubs_is_foretold_for_all_of_them(self) -> None:
        shared = Measured("badges", 0.5, 25.0, waiting=50, hubs=2)
        (of_two,) = forecast(basis(shared), rate=120.0, seconds=20.0)
        (of_one,) = forecast(basis(Measured("badges", 1.0, 50.0, waiting=100)), rate=120.0, seconds=20.0)

        assert of_two == of_one

    def test_a_hub_that_runs_says_what_a_message_costs_and_who_gets_it(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 2, True)], shape="threads") as writer:
            writer.enqueuer.received(30, 100)
            work(writer, 0, enqueued=10, processed=8, took_ns=20 * MS)
            found = of_interval(read(str(writer.path)).since(None), 0.25, source="h")

        (mailer,) = found.consumers
        assert mailer.share == pytest.approx(10 / 40)
        assert mailer.service_rate == pytest.approx(2 / 0.020, rel=0.01)
        assert (mailer.workers, mailer.waiting, found.computing) == (2, 2, 0.25)

    def test_a_hub_without_messages_says_nothing(self, tmp_path: Path) -> None:
        with (
            live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)]) as writer,
            pytest.raises(ConfigError, match="nothing to go by"),
        ):
            of_interval(read(str(writer.path)).since(None), 0.0, source="h")

    def test_a_spike_says_what_was_handled_under_load(self, tmp_path: Path) -> None:
        found = of_spike(spiked(tmp_path), "threads")

        badges, fast = found.consumers
        assert (badges.service_rate, badges.share) == (40.0, 1.0)
        assert (fast.service_rate, fast.share) == pytest.approx((1000.0, 0.5))
        assert found.computing == 0.0

    def test_a_spike_in_which_nobody_fell_behind_says_how_much_was_computing(self, tmp_path: Path) -> None:
        path = spiked(tmp_path)
        path.write_text(path.read_text(encoding="utf-8").replace("40.0", "null"), encoding="utf-8")

        found = of_spike(path, "threads")

        assert found.computing == 0.7
        assert found.consumers[0].service_rate == pytest.approx(50.0)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"shapes": []}', '{"shapes": [{"shape": "threads"}]}'])
    def test_a_file_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "spike.json"
        path.write_text(text, encoding="utf-8")

        with pytest.raises(ConfigError, match=r"spike\.json: this is not"):
            of_spike(path, None)


def spiked(tmp_path: Path) -> Path:
    consumers = [
        {"name": "badges", "published": 100, "service_rate": 40.0, "workers": 1, "processing": {"mean": 0.02}},
        {"name": "fast", "published": 50, "service_rate": None, "workers": 2, "processing": {"mean": 0.002}},
        {"name": "idle", "published": 0, "service_rate": None, "workers": 1, "processing": {"mean": None}},
    ]
    shapes = [
        {"shape": shape, "published": 100, "computing": 0.7, "consumers": consumers} for shape in ("threads", "shared")
    ]
    path = tmp_path / "spike.json"
    path.write_text(json.dumps({"quiet_rate": 0.0, "shapes": shapes}), encoding="utf-8")
    return path


class TestComputingMeter:
    def test_it_sees_what_the_process_has_computed(self, tmp_path: Path) -> None:
        """The segment is this process's own, and its consumer claims to have been busy for as long as it computes."""
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)], shape="threads") as writer:
            meter = ComputingMeter(read(str(writer.path)))
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass
            work(writer, 0, enqueued=1, processed=1, took_ns=600 * MS)
            share = meter.share(read(str(writer.path)))

        assert share == pytest.approx(0.5, abs=0.1)

    def test_it_does_not_know_where_nothing_was_done(self, tmp_path: Path) -> None:
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)], shape="threads") as writer:
            snapshot = read(str(writer.path))

        assert math.isnan(ComputingMeter(None).share(snapshot))

    def test_it_does_not_know_what_a_worker_process_had_computed_that_has_ended_meanwhile(self, tmp_path: Path) -> None:
        computing = "import sys, time\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\nsys.stdin.read()"
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)], shape="processes") as writer:
            with subprocess.Popen([sys.executable, "-c", computing], stdin=PIPE, stdout=PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                meter = ComputingMeter(read(str(writer.path)))
            work(writer, 0, enqueued=1, processed=1, took_ns=600 * MS)
            share = meter.share(read(str(writer.path)))

        assert math.isnan(share)


class TestCommand:
    def test_it_says_how_long_it_would_take(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = str(spiked(tmp_path))

        code = main(["forecast", "--from", file, "--shape", "threads", "--rate", "100", "--seconds", "10"])

        said = capsys.readouterr().out
        assert code == 0
        assert [line.split() for line in said.splitlines() if "badges" in line] == [
            ["badges", "100", "40", "600", "15.0", "s", "15.0", "s", "15.0", "s"]
        ]
        assert "fast" in said
        assert "idle" not in said

    def test_machines_get_the_same(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        main(
            ["forecast", "--from", str(spiked(tmp_path)), "--shape", "threads", "--seconds=10", "--rate=100", "--json"]
        )

        badges = json.loads(capsys.readouterr().out)["consumers"][0]
        assert (badges["peak_backlog"], badges["caught_up_after"]) == pytest.approx((600.0, 15.0))

    def test_it_goes_by_a_hub_that_runs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)]) as writer:
            work(writer, 0, enqueued=10, processed=10, took_ns=20 * MS)
            code = main(["forecast", "--stats-dir", str(tmp_path), "--computing=0", "--rate=100", "--seconds=10"])

        assert code == 0
        assert "hub fedmsg-hub" in capsys.readouterr().out

    def test_what_was_before_the_time_that_is_measured_does_not_count(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)]) as writer:
            work(writer, 0, enqueued=10, processed=10)
            code = main(["forecast", "--stats-dir", str(tmp_path), "--over=0.05"])

        assert code == 2
        assert "no consumer has handled anything of the bus in this time" in capsys.readouterr().err

    def test_one_who_does_not_want_to_wait_any_longer_gets_no_traceback(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", interrupted)
        with live_segment(tmp_path / "h.stats", [ConsumerRow("mailer", 1, True)]):
            code = main(["forecast", "--stats-dir", str(tmp_path), "--over=30"])

        assert code == 130
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--from={file}"], "it has the shapes threads, shared: say which with --shape"),
            (["--from={file}", "--shape=inline"], "it has no shape 'inline'"),
            (["--from={file}", "--shape=threads", "h"], "leave it out, or leave out --from"),
            (["--from={file}", "--shape=threads", "--over=3"], "--over: it belongs to a hub that runs"),
            (["--shape=threads"], "--shape: it belongs to --from FILE"),
            (["--from=/nowhere"], "/nowhere: cannot read it"),
            (["--stats-dir={directory}"], "there is no segment"),
            (["--stats-dir={directory}", "h"], "no such segment"),
        ],
    )
    def test_what_makes_no_sense_is_said_in_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
    ) -> None:
        file, directory = spiked(tmp_path), tmp_path / "empty"
        directory.mkdir()

        code = main(["forecast", *(each.format(file=file, directory=directory) for each in arguments)])

        said = capsys.readouterr()
        assert code in (1, 2)
        assert complaint in said.err
        assert len(said.err.splitlines()) == 1
        assert not said.out

    def test_two_hubs_have_to_be_told_apart(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("one", "two"):
            (tmp_path / f"{name}.stats").touch()

        code = main(["forecast", "--stats-dir", str(tmp_path)])

        assert code == 2
        assert "there are several hubs: say which: one, two" in capsys.readouterr().err

    def test_the_formula_is_in_the_manual_as_it_is_printed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["forecast", "--from", str(spiked(tmp_path)), "--shape", "threads", "--explain"])

        printed = capsys.readouterr().out
        manual = (ROOT / "docs" / "spike.md").read_text(encoding="utf-8")
        assert EXPLANATION in printed
        for paragraph in EXPLANATION.split("\n\n"):
            assert " ".join(paragraph.split()) in " ".join(manual.replace("`", "").split())
