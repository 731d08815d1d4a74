# SPDX-License-Identifier: LGPL-2.1-or-later
"""An alarm that goes the whole way: slow consumer, segment, collectd, threshold, notification script, and back."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .collectd_daemon import ROOT, Collectd, basic_config, hub_process, until

SCRIPT = ROOT / "packaging/collectd/glasshub-notify"
THRESHOLDS = ROOT / "packaging/collectd/thresholds.conf"

_EXEC = """
LoadPlugin exec
<Plugin exec>
  NotificationExec "{user}" "{script}" "file={told}"
</Plugin>
"""

#: As the threshold plugin hands it to a script.
_NOTIFICATION = """\
Severity: {severity}
Time: 1700000000.123
Host: web1
Plugin: {plugin}
PluginInstance: hub.Mailer
Type: {type}
TypeInstance: {part}
DataSource: value
CurrentValue: {value}
WarningMin: nan
WarningMax: 3.000000e+02
FailureMin: nan
FailureMax: 1.800000e+03

Host web1, plugin glasshub (instance hub.Mailer) type ...
"""


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A directory in which any user may write, and see everything on the way there."""
    directory = Path(tempfile.mkdtemp(prefix="glasshub-alert-", dir="/tmp"))
    directory.chmod(0o777)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.mark.slow
def test_a_consumer_that_falls_behind_raises_an_alarm_and_calls_it_off_when_it_has_caught_up(
    program: str, tmp_path: Path, anybodys: Path
) -> None:
    script, told, is_fast = anybodys / SCRIPT.name, anybodys / "told", tmp_path / "hub.stats.fast"
    shutil.copy(SCRIPT, script)
    thresholds = THRESHOLDS.read_text(encoding="utf-8")
    assert "WarningMax 300\n      FailureMax 1800" in thresholds
    soon = thresholds.replace("WarningMax 300\n      FailureMax 1800", "WarningMax 1\n      FailureMax 3")
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()  # the exec plugin refuses root
    config = basic_config(tmp_path) + _EXEC.format(user=user, script=script, told=told) + soon

    def lines() -> list[str]:
        """Those on waiting; collectd tells of every value that is in range when it starts."""
        text = told.read_text(encoding="utf-8") if told.exists() else ""
        return [line for line in text.splitlines() if "waiting" in line]

    slow = ("--shape", "threads", "--consumer", "live_hub:Slowpoke")
    with hub_process(tmp_path / "hub.stats", *slow), Collectd(program, tmp_path, config):
        raised = until(lines, lambda said: any(" FAILURE: " in line for line in said), "the alarm")
        is_fast.touch()
        called_off = until(lines, lambda said: " OKAY: " in said[-1], "the all-clear")

    assert re.search(
        r" FAILURE: hub\.Slowpoke on testhost: its oldest message has been waiting for [\d.]+ s \(limit 3\)$",
        raised[-1],
    )
    assert any(re.search(r" WARNING: hub\.Slowpoke on testhost: .* \(limit 1\)$", line) for line in raised)
    assert re.search(
        r" OKAY: hub\.Slowpoke on testhost: its oldest message has been waiting for [\d.]+ s$", called_off[-1]
    )
    assert os.geteuid() != 0 or told.stat().st_uid != 0


class TestScript:
    """What it makes of one notification."""

    @staticmethod
    def told(directory: Path, *ways: str, severity: str = "FAILURE", **parts: str) -> tuple[int, str]:
        """Exit code, and the line in a file."""
        notification = _NOTIFICATION.format(**{"plugin": "glasshub", "severity": severity, **parts})
        file = directory / "told"
        environment = {"PATH": f"{directory}:{os.environ['PATH']}", "LC_ALL": "de_DE.UTF-8"}
        done = subprocess.run(
            [SCRIPT, *(ways or [f"file={file}"])], input=notification, text=True, env=environment, check=False
        )
        return done.returncode, file.read_text(encoding="utf-8").partition(" ")[2] if file.exists() else ""

    @pytest.mark.parametrize(
        ("kind", "value", "sentence"),
        [
            ("duration oldest", "1.812345e+03", "its oldest message has been waiting for 1812.3 s (limit 1800)"),
            ("duration catch-up", "5000", "will need 5000 s to catch up (limit 1800)"),
            ("queue_length ", "123456", "123456 messages are waiting (limit 1800)"),
            ("queue_length total", "123456", "123456 messages are waiting, here and on the broker (limit 1800)"),
            ("gauge broker_consuming", "0", "gets nothing: its queue on the broker is not consumed (limit 1800)"),
            ("gauge broker_blocked", "1", "its broker lacks memory or disk (limit 1800)"),
            (
                "duration broker-asked",
                "16",
                "its broker has not said for 16 s how many messages wait there (limit 1800)",
            ),
            ("gauge up", "0.000000e+00", "the hub is down, or stuck (limit 1800)"),
            ("percent busy", "99.5", "percent-busy is 99.5 (limit 1800)"),
            ("duration oldest", "nan", "its oldest message has been waiting for unknown s (limit 1800)"),
        ],
    )
    def test_a_value_is_told_in_a_sentence(self, tmp_path: Path, kind: str, value: str, sentence: str) -> None:
        what, _, part = kind.partition(" ")

        assert self.told(tmp_path, type=what, part=part, value=value) == (
            0,
            f"FAILURE: hub.Mailer on web1: {sentence}\n",
        )

    def test_the_all_clear_has_no_limit(self, tmp_path: Path) -> None:
        _, line = self.told(tmp_path, severity="OKAY", type="gauge", part="up", value="1.0")

        assert line == "OKAY: hub.Mailer on web1: the hub is up\n"

    def test_an_all_clear_that_ends_no_alarm_is_not_told_where_there_is_a_state(self, tmp_path: Path) -> None:
        def told(severity: str) -> str:
            ways = (f"state={tmp_path}", f"file={tmp_path}/told")
            return self.told(tmp_path, *ways, severity=severity, type="gauge", part="up", value="1")[1]

        assert told("OKAY") == ""
        assert told("FAILURE").count("\n") == 1
        assert told("OKAY").count("\n") == 2
        assert told("OKAY").count("\n") == 2

    def test_a_state_that_cannot_be_kept_keeps_no_alarm_back(self, tmp_path: Path) -> None:
        ways = (f"state={tmp_path}/none", f"file={tmp_path}/told")
        self.told(tmp_path, *ways, type="gauge", part="up", value="0")

        _, lines = self.told(tmp_path, *ways, severity="OKAY", type="gauge", part="up", value="1")

        assert "the hub is down" in lines
        assert "the hub is up" in lines

    def test_alarms_of_others_are_left_to_others(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, plugin="cpu", type="percent", part="idle", value="1") == (0, "")

    def test_a_mail_says_it_in_its_subject(self, tmp_path: Path) -> None:
        mail = tmp_path / "mail"
        mail.write_text(f'#!/bin/sh\n{{ printf "%s|" "$@"; cat; }} >{tmp_path}/told\n', encoding="utf-8")
        mail.chmod(0o755)

        code, _ = self.told(tmp_path, "mail=oncall@example.org", type="queue_length", part="", value="7")

        said = "glasshub FAILURE: hub.Mailer on web1: 7 messages are waiting (limit 1800)"
        assert code == 0
        assert (tmp_path / "told").read_text() == f"-s|{said}|oncall@example.org|{said.removeprefix('glasshub ')}\n"

    def test_a_host_without_mail_has_sendmail(self, tmp_path: Path) -> None:
        for name in ("sh", "cat", "sed"):
            found = shutil.which(name)
            assert found
            (tmp_path / name).symlink_to(found)
        sendmail = tmp_path / "sendmail"
        sendmail.write_text(f'#!/bin/sh\n{{ printf "%s|" "$@"; cat; }} >{tmp_path}/told\n', encoding="utf-8")
        sendmail.chmod(0o755)
        notification = _NOTIFICATION.format(plugin="glasshub", severity="OKAY", type="gauge", part="up", value="1")

        subprocess.run(
            [SCRIPT, "mail=oncall@example.org"],
            input=notification,
            text=True,
            env={"PATH": str(tmp_path), "SENDMAIL": str(sendmail)},
            check=True,
        )

        said = "OKAY: hub.Mailer on web1: the hub is up"
        assert (tmp_path / "told").read_text() == (f"-t|To: oncall@example.org\nSubject: glasshub {said}\n\n{said}\n")

    def test_the_journal_gets_a_line_with_a_priority(self, tmp_path: Path) -> None:
        logger = tmp_path / "logger"
        logger.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{tmp_path}/told\n', encoding="utf-8")
        logger.chmod(0o755)

        self.told(tmp_path, "log", type="queue_length", part="", value="7")

        assert (tmp_path / "told").read_text().startswith("-t|glasshub|-p|daemon.err|--|FAILURE: hub.Mailer")

    def test_a_way_that_does_not_work_stops_no_other(self, tmp_path: Path) -> None:
        code, line = self.told(tmp_path, "smoke", f"file={tmp_path}/told", type="queue_length", part="", value="7")

        assert code == 1
        assert "7 messages are waiting" in line
