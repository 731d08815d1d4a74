# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a real RabbitMQ has for a hub is what collectd, RRDs and `glasshub check` say; unknown once it is gone."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasshub import rrds
from tools.rabbitmq import Broker

from .brokers import delete_queues, depth, hub_on_broker, publish_many
from .collectd_daemon import Collectd, basic_config, until
from .hubs import HubProcess, wait_until

PUBLISHED = 1000

_RRDTOOL = """
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{directory}/rrd"
  CacheTimeout 0
</Plugin>
"""

pytestmark = pytest.mark.slow  # the broker starts twice


@pytest.fixture
def hub(broker: Broker, tmp_path: Path) -> Iterator[HubProcess]:
    """A hub whose first consumer cannot be built, and whose second one does not finish its first message."""
    os.mkfifo(tmp_path / "gate")
    toml = '[consumers.Unbuildable]\nclass = "tests.integration.consumers:Unbuildable"\n'
    toml += f'[consumers.Gate]\nclass = "tests.integration.consumers:Gate"\nsettings = {{fifo = "{tmp_path}/gate"}}\n'
    with hub_on_broker(broker, tmp_path, toml=toml, name="full", queues=["full.Gate"]) as hub:
        yield hub
    delete_queues(broker, "full.Gate", "full.Gate.parked")


def check(hub: HubProcess, name: str, *options: str) -> tuple[int, str]:
    """Exit code and line of `glasshub check`."""
    command = [sys.executable, "-m", "glasshub", "check", name, str(hub.segment), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=hub.directory, env=_environment(), check=False)
    return done.returncode, done.stdout


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / part) for part in ("hub", "collectd_plugin", "."))}


def recorded(directory: Path, name: str) -> float:
    """What stands last in an RRD."""
    answer = rrds.run(["lastupdate", str(directory / "rrd/testhost" / f"{name}.rrd")])
    return float(answer.rpartition(":")[2])


def test_all_that_was_published_is_told_of_and_nothing_once_the_broker_is_gone(
    broker: Broker, hub: HubProcess, program: str
) -> None:
    directory = hub.directory
    with Collectd(program, directory, basic_config(directory) + _RRDTOOL.format(directory=directory)) as daemon:
        publish_many(broker, PUBLISHED, "org.full")

        # Everything.
        given = hub.wait_until(
            lambda s: s.hub.broker_ready + s.hub.broker_unacknowledged == PUBLISHED, "the broker to be asked"
        )
        unbuildable, gate = given.consumers
        assert not unbuildable.has_broker
        assert gate.broker_ready == depth(broker, "full.Gate").ready
        assert gate.backlog + gate.in_flight == gate.broker_unacknowledged <= gate.broker_prefetch
        assert gate.total_backlog + gate.in_flight == PUBLISHED
        assert (gate.broker_hubs, given.hub.broker_queues, given.hub.broker_consuming) == (1, 1, 1)

        consumer = "glasshub-full.Gate"
        daemon.await_value(f"{consumer}/queue_length-total", PUBLISHED - 1)
        told = {
            part: daemon.value(f"{consumer}/queue_length{part}")
            for part in ("", "-broker-ready", "-broker-unacknowledged")
        }
        assert told[""] is not None
        assert told["-broker-ready"] is not None
        assert told["-broker-ready"] + told[""] + 1 == PUBLISHED  # one is at hand
        assert told["-broker-unacknowledged"] == told[""] + 1
        assert daemon.value(f"{consumer}/count-hubs") == 1
        wait_until(
            lambda: recorded(directory, f"{consumer}/queue_length-total") == PUBLISHED - 1, "the RRD to be written"
        )
        assert recorded(directory, f"{consumer}/queue_length-broker-ready") == told["-broker-ready"]

        code, line = check(hub, "backlog", "-w", "100", "-c", "500")
        assert (code, line.startswith(f"GLASSHUB BACKLOG CRITICAL - Gate: {PUBLISHED - 1} messages waiting")) == (
            2,
            True,
        )
        assert check(hub, "up")[0] == 0

        # Nothing.
        broker.stop()
        lost = hub.wait_until(lambda s: not s.hub.connected, "the connection to be lost").hub
        assert math.isnan(lost.broker_ready)  # at once
        assert math.isnan(lost.broker_age)
        until(
            lambda: daemon.value(f"{consumer}/queue_length-broker-ready"),
            lambda value: value is not None and math.isnan(value),
            "a value that is not known",
        )
        total = daemon.value(f"{consumer}/queue_length-total")
        assert total is not None
        assert math.isnan(total)
        code, line = check(hub, "backlog", "-w", "5000", "-c", "9000")
        assert (code, "the broker does not say how many wait there" in line) == (3, True)
        code, line = check(hub, "up")
        assert (code, "not connected to the broker: nothing comes" in line) == (2, True)

        # And everything again.
        broker.start()
        again = hub.wait_until(
            lambda s: s.hub.broker_ready + s.hub.broker_unacknowledged == PUBLISHED, "the broker to be asked again"
        )
        assert again.consumers[1].broker_redelivered > 0
        daemon.await_value(f"{consumer}/queue_length-broker-ready", again.consumers[1].broker_ready)
        assert check(hub, "up")[0] == 0
