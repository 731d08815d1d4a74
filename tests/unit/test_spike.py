# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parts of a spike: the private hub's configuration, the report, the picture, and what the command refuses."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from glasshub.cli import main, options
from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.config import ConfigBuilder, ConsumerSection
from glasshub.load.outcome import ConsumerOutcome, Outcome, Times
from glasshub.load.record import Point
from glasshub.load.schedule import CONSTANT, RAMP, REPLAY, Schedule
from glasshub.load.text import Paint
from glasshub.spike import report
from glasshub.spike.plan import Messages, Plan, Target
from glasshub.spike.private import Brief, private
from glasshub.spike.series import picture

PLAN = Plan(Schedule(rate=50.0, seconds=4.0), Path("spike"))
MAILER = ConsumerOutcome(
    name="Mailer",
    published=100,
    processed=90,
    failed=4,
    invalid=3,
    dropped=1,
    left=1,
    peak_backlog=1234,
    peak_age=12.5,
    caught_up_after=17.25,
    wait=Times(0.0012, 3.4, 5.6),
    processing=Times(0.01, 0.02, 0.03),
    aside=1,
    service_rate=42.0,
    mean=0.011,
)
AGAINST = replace(PLAN, target=Target("relay", Path("relay.stats"), "tcp://127.0.0.1:9940"))


def outcome(*consumers: ConsumerOutcome, shape: str = "threads", received: int = 100) -> Outcome:
    points: dict[str, Sequence[Point]] = {
        consumer.name: [Point(50.0 + t, 0, 0, 0, 30 * t, 0.0) for t in range(40)] for consumer in consumers
    }
    return Outcome(shape, 100, 54.0, 4.0, 7, consumers, points, received)


class TestPrivateHub:
    def brief(self, tmp_path: Path) -> Brief:
        file = tmp_path / "site.py"
        file.write_text(
            "config = {'endpoints': {'bodhi.app': ['tcp://bus:3000']}, 'status_directory': '/var/run/fedmsg/status',"
            "'datagrepper_url': 'https://d.example.org/raw', 'moksha.monitoring.socket': 'ipc:///run/fedmsg.sock',"
            "'logging': {'version': 1}, 'mailer.key': 'theirs', 'validate_signatures': True}",
            encoding="utf-8",
        )
        builder = ConfigBuilder()
        files = FedmsgConfigFiles(file)
        files.apply(builder)
        for section, key, value in (
            ("spool", "directory", "/var/spool/glasshub"),
            ("spool", "synchronous", "normal"),
            ("stats", "directory", "/run/glasshub"),
            ("stats", "group", "collectd"),
            ("logging", "file", "/var/log/glasshub.log"),
            ("hub", "memory", 1 << 25),
        ):
            builder.set(section, key, value, origin="test")
        consumers = {"Mailer": ConsumerSection("mailer:Mailer", workers=3)}
        return Brief(replace(builder.build(), consumers=consumers), files, ["mailer:Mailer"], [])

    def made(self, tmp_path: Path, *, is_made_up: bool = True) -> Brief:
        return private(
            self.brief(tmp_path),
            shape="shared",
            directory=tmp_path,
            endpoint="tcp://127.0.0.1:1",
            is_made_up=is_made_up,
        )

    def test_nothing_of_the_hub_that_runs_is_touched(self, tmp_path: Path) -> None:
        own = self.made(tmp_path)

        assert own.config.zmq.endpoints == ("tcp://127.0.0.1:1",)
        for path in (own.config.stats.directory, own.config.spool.directory, own.config.zmq.publish_endpoints[0]):
            assert str(tmp_path) in path
        assert own.config.logging.file == own.config.stats.group == own.config.fedmsg.monitoring_socket == ""
        assert (own.config.fedmsg.backlog_limit, own.config.fedmsg.datagrepper_url) == (0, "")
        assert own.fedmsg is not None
        assert own.fedmsg.values["status_directory"].startswith(str(tmp_path))
        assert not {"logging", "datagrepper_url", "moksha.monitoring.socket"} & set(own.fedmsg.values)

    def test_everything_else_is_as_the_operator_has_it(self, tmp_path: Path) -> None:
        own = self.made(tmp_path)

        assert own.config.consumers["Mailer"].workers == 3
        assert (own.config.hub.memory, own.config.hub.shape, own.config.spool.synchronous) == (
            1 << 25,
            "shared",
            "normal",
        )
        assert own.fedmsg is not None
        assert own.fedmsg.values["mailer.key"] == "theirs"

    @pytest.mark.parametrize("is_made_up", [True, False])
    def test_signatures_are_validated_where_there_can_be_any(self, tmp_path: Path, is_made_up: bool) -> None:
        own = self.made(tmp_path, is_made_up=is_made_up)

        assert own.fedmsg is not None
        assert own.fedmsg.values["validate_signatures"] is not is_made_up

    def test_the_operators_own_configuration_stays_what_it_was(self, tmp_path: Path) -> None:
        brief = self.brief(tmp_path)
        before = pickle.dumps(brief)

        private(brief, shape="inline", directory=tmp_path, endpoint="tcp://127.0.0.1:1", is_made_up=True)

        assert pickle.dumps(brief) == before


class TestPlan:
    @pytest.mark.parametrize(
        ("plan", "title"),
        [
            (PLAN, "a spike of 50 messages a second for 4 s"),
            (replace(PLAN, schedule=Schedule(RAMP, 50.0, 4.0)), "a ramp of up to 50 messages a second for 4 s"),
            (replace(PLAN, schedule=Schedule(CONSTANT, 50.0, 4.0)), "a constant load of 50 messages a second for 4 s"),
            (
                Plan(Schedule(REPLAY, seconds=4.0), Path("o"), Messages(Path("r"), 1234), speed=2.0),
                "a replay of 1,234 recorded messages 2 times as fast",
            ),
        ],
    )
    def test_it_can_be_said_in_a_line(self, plan: Plan, title: str) -> None:
        assert plan.title == title


class TestReport:
    def test_it_answers_both_questions_for_each_consumer(self) -> None:
        lines = list(report.lines(PLAN, [outcome(MAILER)], Paint(False)))

        rows = [line.split() for line in lines if line.startswith("  Mailer")]
        assert " ".join(rows[0]) == "Mailer 100 1,234 17.2 s 42 1.2 ms 3.4 s 5.6 s 10 ms 20 ms 30 ms"
        assert " ".join(rows[1]) == "Mailer 100 = 90 + 4 + 3 + 1 + 1 + 1 OK"
        assert max(map(len, lines)) <= 110

    def test_machines_get_the_same_figures(self) -> None:
        document = json.loads(report.document(PLAN, [outcome(MAILER)]))

        (shape,) = document["shapes"]
        (mailer,) = shape["consumers"]
        assert document["ok"] is shape["ok"] is mailer["ok"] is True
        assert (mailer["peak_backlog"], mailer["caught_up_after"], mailer["service_rate"]) == (1234, 17.25, 42.0)
        assert mailer["wait"] == {"p50": 0.0012, "p95": 3.4, "p99": 5.6}
        assert mailer["processing"]["mean"] == 0.011

    def test_a_message_that_is_missing_at_a_consumer_is_a_mismatch(self) -> None:
        short = outcome(replace(MAILER, processed=89))

        assert report.is_balanced(PLAN, [outcome(MAILER)])
        assert not report.is_balanced(PLAN, [outcome(MAILER), short])
        assert "MISMATCH (1 are missing)" in "\n".join(report.lines(PLAN, [short], Paint(False)))

    @pytest.mark.parametrize("plan", [PLAN, AGAINST])
    def test_a_message_that_the_hub_did_not_get_is_a_mismatch(self, plan: Plan) -> None:
        short = outcome(MAILER, received=98)

        assert not report.is_balanced(plan, [short])
        assert "the hub got 98 of 100 messages, 2 are missing" in "\n".join(report.lines(plan, [short], Paint(False)))

    def test_what_consumers_of_a_hub_that_runs_should_get_is_not_claimed_to_be_known(self) -> None:
        other = outcome(replace(MAILER, processed=50))

        lines = "\n".join(report.lines(AGAINST, [other], Paint(False)))

        assert report.is_balanced(AGAINST, [other])
        assert "others publish as well" in lines
        assert json.loads(report.document(AGAINST, [other]))["shapes"][0]["consumers"][0]["ok"] is None


class TestPicture:
    def test_it_has_a_line_for_each_consumer_and_says_what_came_out(self) -> None:
        shown = outcome(MAILER, replace(MAILER, name="Irc<&Bot", caught_up_after=None))

        drawn = picture(PLAN, shown, span=shown.span, top=1200)

        root = ElementTree.fromstring(drawn)
        said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "Mailer: peak 1,234, caught up after 17.2 s" in said
        assert "Irc<&Bot: peak 1,234, did not catch up" in said
        assert "the spike" in said


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--load=replay"], "--load: a replay needs a recording: name it with --messages FILE"),
            (["--messages=/nowhere.jsonl"], "/nowhere.jsonl: cannot read the recording"),
            (["--zmq=tcp://bus:9940"], "--zmq: a spike has a bus of its own"),
            (["--shape=heap"], "--shape: 'heap' must be one of inline, shared, threads, processes, all"),
            (["--load=constant", "--quiet-rate=1"], "--quiet-rate: a load of kind constant has no quiet around it"),
            ([], "there is no consumer to put a load on"),
            (["--to=tcp://127.0.0.1:1"], "add --yes-really"),
            (["--to=tcp://127.0.0.1:1", "--shape=threads"], "--shape: a hub that runs has its shape"),
            (["--to=other", "--yes-really"], "the configuration here is that of hub 'glasshub'"),
            (["--to=glasshub", "--yes-really"], "hub 'glasshub' listens nowhere, it connects to its publishers"),
            (["--to=tcp://127.0.0.1:1", "--yes-really"], "hub 'glasshub' does not run here"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line_and_nothing_is_started(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
    ) -> None:
        config = tmp_path / "glasshub.toml"
        config.write_text(f'[stats]\ndirectory = "{tmp_path}"\n[hub]\nentry_points = false\n', encoding="utf-8")
        output = tmp_path / "output"

        code = main(["spike", "--no-discover", f"--config={config}", f"--output={output}", *arguments])

        said = capsys.readouterr()
        assert code == 2
        assert complaint in said.err
        assert len(said.err.splitlines()) == 1
        assert not output.exists()

    def test_consumers_that_nobody_named_are_not_run_by_a_bare_command(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "glasshub.toml"
        config.write_text('[consumers.Mailer]\nclass = "mailer:Mailer"\n', encoding="utf-8")
        monkeypatch.setattr(options, "DEFAULT_FILE", config)
        output = tmp_path / "output"

        code = main(["spike", "--no-discover", f"--output={output}"])

        assert code == 2
        assert "these consumers would really do what they do: Mailer" in capsys.readouterr().err
        assert not output.exists()

    @pytest.mark.parametrize("wrong", ["--speed=fast", "--speed=-1", "--rate=0", "--seconds=inf", "--quiet=-1"])
    def test_a_number_that_is_none_is_refused(self, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["spike", wrong])

        assert wrong.partition("=")[0] in capsys.readouterr().err

    def test_a_damaged_recording_is_named_with_the_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        recording = tmp_path / "r.jsonl"
        recording.write_text('{"topic": "a", "msg": {}}\n{"topic": "a", "ms', encoding="utf-8")

        code = main(["spike", "--no-discover", "--load=replay", f"--messages={recording}"])

        assert code == 2
        assert f"{recording}:2: not a message" in capsys.readouterr().err

    def test_a_bus_that_never_answers_is_told_from_a_quiet_one(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = main(["record", f"ipc://{tmp_path}/nobody", "--seconds=0.1"])

        assert code == 1
        assert "0 of 1 endpoints connected" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([], "there is no bus to record"),
            (["--from-fedmsg-config=/nowhere"], "/nowhere: there is no such file or directory"),
            (["nonsense"], "cannot connect to 'nonsense'"),
        ],
    )
    def test_a_bus_that_cannot_be_recorded_is_said_in_one_line(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
    ) -> None:
        code = main(["record", *arguments])

        said = capsys.readouterr().err.splitlines()
        assert code in (1, 2)
        assert complaint in said[-1]
