# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real collectd reads hubs that live, die, hang and come back, and files that are no segments.

`tests/contract/test_plugin.py` tests the same plugin in a fake daemon, where everything can be seen.
"""

from __future__ import annotations

import math
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collectd_glasshub.config import KEYS
from glasshub_stats import values

from .collectd_daemon import (
    ROOT,
    Collectd,
    HubProcess,
    Row,
    beginning,
    free_port,
    hub_process,
    module_path,
    prometheus,
    until,
)

UP = "glasshub-hub/gauge-up"
PROCESSED = "glasshub-hub.Mailer/operations-processed"
INTERVAL = 0.2

_CONFIG = """
LoadPlugin csv
<Plugin csv>
  DataDir "{directory}/csv"
  StoreRates true
</Plugin>
LoadPlugin python
<Plugin python>
  ModulePath "{modules}"
  LogTraces true
  Import "collectd_glasshub"
  <Module "collectd_glasshub">
{lines}
  </Module>
</Plugin>
"""


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[[str], HubProcess]]:
    """Starts a hub of the name given, with its segment `<name>.stats` in `tmp_path`; it ends with the test."""
    with ExitStack() as hubs:
        yield lambda name: hubs.enter_context(hub_process(tmp_path / f"{name}.stats"))


@pytest.fixture
def hub(start_hub: Callable[[str], HubProcess]) -> HubProcess:
    """A hub named `hub` that runs."""
    return start_hub("hub")


@pytest.fixture
def collectd(program: str, tmp_path: Path) -> Callable[..., Collectd]:
    """Makes a collectd that reads `path`, by default `hub.stats`, with more lines of the `<Module>` block."""

    def make(*lines: str, path: str = "hub.stats", more: str = "", interval: float = INTERVAL) -> Collectd:
        block = "\n".join([f'    Path "{tmp_path}/{path}"', *(f"    {line}" for line in lines)])
        config = _CONFIG.format(directory=tmp_path, modules=module_path(tmp_path), lines=block)
        return Collectd(program, tmp_path, beginning(tmp_path, interval) + config + more)

    return make


def test_a_config_check_reads_a_hub_and_stops(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    daemon = collectd()

    checked = daemon.test()

    assert checked.returncode == 0
    assert f"[info] glasshub: hub 'hub' is up: its segment is {hub.path}" in daemon.log()
    assert "[error] glasshub" not in daemon.log()


def test_a_wrong_config_is_told_of_and_the_rest_holds(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    wrong = (
        "Percentile 500",
        'Pth "/x"',
        'Interval "soon"',
        'IgnoreConsumer "("',
        "<Naming x>\n  a 1\n</Naming>",
        "StaleAfter true",
    )
    daemon = collectd(*wrong, "instance hub")

    checked = daemon.test()

    errors = [line for line in daemon.log().splitlines() if "[error] glasshub" in line]
    assert checked.returncode == 0
    assert len(errors) == len(wrong)
    assert all(key in line for line in errors for key in KEYS)
    assert "hub 'hub' is up" in daemon.log()


def test_a_live_hub_has_all_its_values(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd("Percentile 50 99.9", 'IgnoreConsumer "^Monitoring"') as daemon:
        rows = until(lambda: _known(daemon.rows(PROCESSED)), lambda rows: len(rows) > 3, "a few rates")
        average = daemon.await_known("glasshub-hub.Mailer/latency-process-average")

        assert daemon.value(UP) == 1
        assert all(40 < row.value < 200 for row in rows), rows  # 100 a second on a machine with nothing else to do
        assert 0.002 <= average < 0.05  # the consumer sleeps for 2 ms
        assert 0 < daemon.await_known("glasshub-hub.Mailer/latency-wait-percentile-99.9") < 0.5
        assert daemon.value("glasshub-hub.Mailer/queue_length") == 0
        assert daemon.await_known("glasshub-hub.Mailer/percent-busy") == pytest.approx(20, rel=0.6)
        assert not {name for name in daemon.names() if "Monitoring" in name}


def test_naming_fedmsg_writes_the_files_of_2014(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd('Naming "fedmsg"') as daemon:
        rows = daemon.await_row("fedmsg-hub/gauge-Mailer_out", lambda row: row.value > 0)
        average = daemon.await_known("fedmsg-hub/response_time-Mailer_avg")

        assert {name for name in daemon.names() if "Mailer" in name} == {
            f"fedmsg-hub/{name}"
            for name in (
                "queue_length-Mailer_backlog",
                "gauge-Mailer_in",
                "gauge-Mailer_out",
                "gauge-Mailer_exceptions",
                "response_time-Mailer_min",
                "response_time-Mailer_max",
                "response_time-Mailer_avg",
            )
        }
        assert rows[-1].value < 100 * INTERVAL * 3
        assert 2.0 <= average < 50.0  # milliseconds


def test_a_killed_hub_is_down_within_two_reads(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd() as daemon:
        daemon.await_value(UP, 1)

        hub.kill()
        killed = time.time()
        rows = daemon.await_row(UP, lambda row: row.value == 0)

        assert 0 in [row.value for row in rows if row.time > killed][:2]
        daemon.await_log(r"\[warning\] glasshub: hub 'hub' is down: its process \(pid \d+\) ended without a goodbye")
        assert _told(daemon) == ["up", "down"]


def test_a_stopped_hub_is_stuck_and_comes_back(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd("StaleAfter 2") as daemon:
        daemon.await_value(UP, 1)

        hub.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        daemon.await_value(UP, 0)
        assert 1 <= time.monotonic() - stopped < 10  # the last heartbeat was up to half a second old
        until(lambda: _told(daemon), lambda told: told == ["up", "stuck"], "the log line of its being stuck")
        hub.signal(signal.SIGCONT)
        daemon.await_value(UP, 1)

        until(lambda: _told(daemon), lambda told: told == ["up", "stuck", "up"], "the log line of its coming back")


def test_a_restarted_hub_makes_no_negative_and_no_huge_rate(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd() as daemon:
        daemon.await_row(PROCESSED, lambda row: row.value > 0)
        hub.kill()
        daemon.await_value(UP, 0)
        hub.start()
        daemon.await_value(UP, 1)
        begun = time.time()
        rows = daemon.await_row(PROCESSED, lambda row: row.time > begun and row.value > 0)

        rates = [row.value for row in _known(rows)]
        assert len(rates) >= 2
        assert all(0 <= rate < 500 for rate in rates), rates
        assert _told(daemon) == ["up", "down", "up"]


def test_a_hub_that_ends_in_order_is_stopped(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    with collectd() as daemon:
        daemon.await_value(UP, 1)

        hub.signal(signal.SIGTERM)
        daemon.await_value(UP, 0)

        daemon.await_log(r"\[warning\] glasshub: hub 'hub' is stopped: it was shut down in order")


def test_an_absent_hub_is_not_up_until_it_comes(
    start_hub: Callable[[str], HubProcess], collectd: Callable[..., Collectd]
) -> None:
    with collectd('Instance "hub"') as daemon:
        daemon.await_value(UP, 0)

        start_hub("hub")
        daemon.await_value(UP, 1)

        until(lambda: _told(daemon), lambda told: told == ["absent", "up"], "the log line of its coming")


def test_files_that_are_no_segments_hurt_neither_collectd_nor_the_hub_beside_them(
    hub: HubProcess, collectd: Callable[..., Collectd], tmp_path: Path
) -> None:
    whole = hub.path.read_bytes()
    chance = random.Random(20140317)
    damaged = {
        "empty": b"",
        "short": whole[:100],
        "truncated": whole[: len(whole) // 2],
        "random": chance.randbytes(8192),
        "scrambled": whole[:16] + chance.randbytes(len(whole) - 16),
        "newer": whole[:12] + b"\x63" + whole[13:],
    }
    for name, content in damaged.items():
        (tmp_path / f"{name}.stats").write_bytes(content)
    (tmp_path / "directory.stats").mkdir()
    os.mkfifo(tmp_path / "fifo.stats")

    with collectd(path="*.stats") as daemon:
        for name in (*damaged, "directory", "fifo"):
            daemon.await_value(f"glasshub-{name}/gauge-up", 0)
        daemon.await_row(UP, lambda row: row.value == 1)
        reads = len(daemon.rows(UP))
        until(lambda: len(daemon.rows(UP)), lambda count: count > reads + 3, "a few more reads")

        lines = [line for line in daemon.log().splitlines() if "[warning] glasshub: hub" in line]
        assert len(lines) == len(damaged) + 2
        assert "Traceback" not in daemon.log()
        assert "install the same version" in daemon.await_log("hub 'newer' is of another version")


def test_a_segment_that_is_truncated_under_collectds_eyes_is_told_of(
    hub: HubProcess, collectd: Callable[..., Collectd], tmp_path: Path
) -> None:
    with collectd(path="copy.stats") as daemon:
        (tmp_path / "copy.new").write_bytes(hub.path.read_bytes())
        (tmp_path / "copy.new").rename(tmp_path / "copy.stats")
        daemon.await_log("hub '(hub|copy)' is down")

        os.truncate(tmp_path / "copy.stats", 1000)

        daemon.await_log(r"hub 'hub' is not intelligible: .*copy\.stats: ")
        assert daemon.value(UP) == 0


def test_a_glob_follows_hubs_that_come_and_go(
    start_hub: Callable[[str], HubProcess], collectd: Callable[..., Collectd]
) -> None:
    with collectd(path="h*.stats") as daemon:
        daemon.await_log("no segment matches")
        first, second = start_hub("h1"), start_hub("h2")
        for name in ("h1", "h2"):
            daemon.await_value(f"glasshub-{name}/gauge-up", 1)

        first.kill()
        first.path.unlink()

        daemon.await_value("glasshub-h1/gauge-up", 0)
        assert daemon.value("glasshub-h2/gauge-up") == 1
        second.kill()


class TestShippedExample:
    """`collectd.conf.example` with nothing but its paths and its port changed."""

    @pytest.fixture
    def port(self) -> int:
        return free_port()

    @pytest.fixture
    def example(self, program: str, tmp_path: Path, port: int) -> Collectd:
        config = (ROOT / "collectd.conf.example").read_text(encoding="utf-8")
        for written, ours in (
            ("/usr/lib/glasshub/collectd", str(module_path(tmp_path))),
            ("/run/glasshub", str(tmp_path)),
            ("/var/lib/collectd", str(tmp_path)),
            ("/var/log/collectd.log", str(tmp_path / "collectd.log")),
            ("/run/collectd", str(tmp_path / "collectd")),
            ("9103", str(port)),
        ):
            assert written in config, f"the example has no {written} any more"
            config = config.replace(written, ours)
        return Collectd(program, tmp_path, config, log="collectd.log")

    def test_it_graphs_a_live_hub_and_answers_prometheus(
        self, start_hub: Callable[[str], HubProcess], example: Collectd, port: int, tmp_path: Path
    ) -> None:
        start_hub("fedmsg-hub")

        with example as daemon:
            daemon.await_value("glasshub-fedmsg-hub/gauge-up", 1)
            daemon.await_value("glasshub-fedmsg-hub.Mailer/queue_length", 0)
            page = until(lambda: prometheus(port), lambda page: len(page) > 20, "the page of write_prometheus")
            file = until(lambda: _flushed(daemon, tmp_path), bool, "an RRD file")
            written = subprocess.run(["rrdtool", "lastupdate", *file], capture_output=True, text=True, check=True)

        assert page['collectd_glasshub_gauge{glasshub="fedmsg-hub",type="up"}'] == 1
        assert page['collectd_glasshub_operations_total{glasshub="fedmsg-hub.Mailer",type="processed"}'] > 0
        assert not [name for name in page if "Monitoring" in name]
        assert re.search(r"^\d+: 1$", written.stdout, re.MULTILINE), written.stdout
        assert "Listening on [127.0.0.1]" in example.log()
        assert "[error] glasshub" not in example.log()

    def test_a_hub_that_is_down_raises_an_alarm(
        self, start_hub: Callable[[str], HubProcess], example: Collectd
    ) -> None:
        start_hub("fedmsg-hub").kill()

        with example as daemon:
            alarm = daemon.await_log("Notification: severity = FAILURE")

        assert "plugin_instance = fedmsg-hub, type = gauge, type_instance = up" in alarm

    def test_it_explains_every_key(self) -> None:
        config = (ROOT / "collectd.conf.example").read_text(encoding="utf-8")

        for key in KEYS:
            assert re.search(rf"^    {key} ", config, re.MULTILINE), key


def test_an_alarm_is_raised_when_a_hub_dies_and_called_off_when_it_is_back(
    hub: HubProcess, collectd: Callable[..., Collectd]
) -> None:
    threshold = re.search(
        r"^LoadPlugin threshold$.*\Z", (ROOT / "collectd.conf.example").read_text(encoding="utf-8"), re.M | re.S
    )
    assert threshold

    with collectd(more=threshold[0]) as daemon:
        daemon.await_value(UP, 1)
        hub.kill()
        daemon.await_log(
            "severity = FAILURE, .* plugin_instance = hub, type = gauge, type_instance = up, .*is currently 0"
        )
        before = len(daemon.log())

        hub.start()

        until(lambda: daemon.log()[before:], lambda log: "severity = OKAY" in log and "= up, " in log, "the all-clear")


def test_lines_of_the_exec_protocol_are_taken_by_collectd(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    """`glasshub stats --format putval` writes such lines; the unixsock plugin takes the same ones."""
    value = values.Value("glasshub", values.clean("strange hub"), "duration", "catch-up", 12.5)
    unknown = value._replace(type_instance="oldest", value=float("nan"))

    with collectd() as daemon:
        for line in (values.putval(value, "testhost", 10), values.putval(unknown, "testhost", 10, time.time())):
            daemon.ask(line)

        daemon.await_value(f"glasshub-{value.plugin_instance}/duration-catch-up", 12.5)
        oldest = f"glasshub-{value.plugin_instance}/duration-oldest"
        number = until(lambda: daemon.value(oldest), lambda number: number is not None, "the unknown value")
        assert number is not None
        assert math.isnan(number)


def test_the_manual_has_every_key_and_every_value(hub: HubProcess, collectd: Callable[..., Collectd]) -> None:
    manual = (ROOT / "docs/collectd.md").read_text(encoding="utf-8")

    with collectd() as daemon:
        daemon.await_value("glasshub-hub.Monitoring/gauge-initialized", 1)
        kinds = {name.partition("/")[2] for name in daemon.names() if name.startswith("glasshub-")}

    missing = {kind for kind in kinds if f"`{kind}`" not in manual} | {key for key in KEYS if f"`{key}`" not in manual}
    assert not missing


def _told(daemon: Collectd) -> list[str]:
    """The states of hub `hub` that were logged."""
    return re.findall(r"glasshub: hub 'hub' is ([a-z ]+):", daemon.log())


def _known(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not math.isnan(row.value)]


def _flushed(daemon: Collectd, directory: Path) -> list[Path]:
    daemon.ask("FLUSH plugin=rrdtool")
    return list(directory.glob("rrd/*/glasshub-fedmsg-hub/gauge-up.rrd"))
