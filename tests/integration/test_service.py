# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run` as a service: what it tells the manager that started it, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ..needs import program
from ..service_manager import ServiceManager, manager_at
from .hubs import DEADLINE, ROOT, Bus, HubProcess, wait_until

HERE = "tests.integration.consumers"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with manager_at(tmp_path / "notify") as manager:
        yield manager


@contextmanager
def service(
    directory: Path, bus: Bus, address: str, *arguments: str, toml: str = "", watchdog: float = 0.0
) -> Iterator[HubProcess]:
    """A hub that a service manager has started, as early as that sees it."""
    environment = {"NOTIFY_SOCKET": address}
    if watchdog:
        environment["WATCHDOG_USEC"] = f"{watchdog * 1e6:.0f}"
    with closing(HubProcess(directory, bus, arguments, toml=toml, environment=environment)) as hub:
        yield hub


def waiting(directory: Path, consumer: str, more: str = "") -> str:
    """A configuration of a consumer that waits at a FIFO."""
    os.mkfifo(directory / "fifo")
    return f'{more}\n[consumers.Gate]\nclass = "{HERE}:{consumer}"\nsettings = {{fifo = "{directory}/fifo"}}\n'


def let_go(directory: Path) -> None:
    """Open the FIFO to whoever waits there, once somebody does."""
    (directory / "fifo").write_bytes(b"")


@pytest.mark.parametrize("address", ["{}/notify", "@{}/notify"])
def test_a_hub_is_ready_when_all_is_up(tmp_path: Path, bus: Bus, address: str) -> None:
    with (
        manager_at(address.format(tmp_path)) as manager,
        service(tmp_path, bus, manager.address, "--consumer", f"{HERE}:Everything") as hub,
    ):
        notice = manager.wait_for_line("READY=1")

        assert notice.pid == hub.process.pid
        assert hub.snapshot().status() == "running"
        assert hub.socket.exists()
        bus.wait()


def test_a_hub_is_not_ready_while_a_consumer_is_being_built(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    with service(tmp_path, bus, manager.address, toml=waiting(tmp_path, "SlowToBuild")):
        gate = os.open(tmp_path / "fifo", os.O_WRONLY)  # returns when the constructor is there
        before = list(manager.hear())
        os.close(gate)

        manager.wait_for_line("READY=1")

    assert before == []


def test_a_hub_that_cannot_start_is_never_ready(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    with service(tmp_path, bus, manager.address, "--zmq", "nonsense", "--consumer", f"{HERE}:Everything") as hub:
        exit_code = hub.process.wait(DEADLINE)

    assert exit_code == 1
    assert not any("READY" in notice for notice in manager.hear())


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["shared", "threads", "processes"])
def test_a_consumer_that_hangs_shows_in_the_status_and_is_no_reason_for_a_restart(
    tmp_path: Path, bus: Bus, manager: ServiceManager, shape: str
) -> None:
    toml = waiting(tmp_path, "Gate")
    with service(tmp_path, bus, manager.address, "--shape", shape, toml=toml, watchdog=1.0):
        bus.wait()
        bus.publish_many(3)
        status = manager.wait_for(lambda notice: "at one message" in notice.status, "a status").status
        for _ in range(6):
            manager.wait_for_line("WATCHDOG=1")

    assert re.fullmatch(
        r"running: 2 messages waiting; slowest is Gate: 2 waiting, the oldest for \S+s, does not catch up, "
        r"at one message for \S+s",
        status,
    )


@pytest.mark.slow
def test_an_enqueuer_that_hangs_gives_no_sign_of_life_until_it_goes_on(
    tmp_path: Path, bus: Bus, manager: ServiceManager
) -> None:
    """In shape `inline` it is the enqueuer that runs the consumers; the main loop goes on, as the status shows."""
    with service(tmp_path, bus, manager.address, "--shape", "inline", toml=waiting(tmp_path, "Gate"), watchdog=1.0):
        bus.wait()
        manager.wait_for_line("WATCHDOG=1")
        bus.publish_many(1)
        manager.wait_for(lambda notice: "at one message" in notice.status, "the consumer to hang")
        manager.heard.clear()

        manager.wait_for(lambda notice: "at one message" in notice.status, "the next status, five seconds later")

        assert not any("WATCHDOG" in notice for notice in manager.heard)
        let_go(tmp_path)
        manager.wait_for_line("WATCHDOG=1")


def test_a_quiet_hub_gives_its_signs_of_life_in_time(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    with service(tmp_path, bus, manager.address, "--consumer", f"{HERE}:Everything", watchdog=3.0):
        manager.wait_for_line("READY=1")
        times = [time.monotonic()]
        for _ in range(2):
            manager.wait_for_line("WATCHDOG=1")
            times.append(time.monotonic())

    pauses = [later - earlier for earlier, later in zip(times, times[1:])]
    assert max(pauses) < 3.0
    assert sum(pauses) > 2.0, "twice in the manager's time, not with each turn of the loop"


def test_opening_the_log_anew_is_a_reload(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    with service(tmp_path, bus, manager.address, "--consumer", f"{HERE}:Everything") as hub:
        manager.wait_for_line("READY=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        hub.process.send_signal(signal.SIGHUP)

        reloading = manager.wait_for_line("RELOADING=1")
        manager.wait_for_line("READY=1")

        assert int(reloading.lines["MONOTONIC_USEC"]) >= before
        assert "log files reopened" in hub.said()


def test_a_hub_that_drains_says_so_and_asks_for_time(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    toml = waiting(tmp_path, "Gate", "[hub]\ndrain_timeout = 0.5")
    with service(tmp_path, bus, manager.address, toml=toml) as hub:
        bus.wait()
        bus.publish_many(3)
        hub.wait_until(
            lambda snapshot: (snapshot.consumers[0].enqueued, snapshot.consumers[0].in_flight) == (3, 1),
            "one of three messages at hand",
        )

        exit_code = hub.stop()

    assert exit_code == 4
    stopping, drained = [n for n in manager.hear() if "EXTEND_TIMEOUT_USEC" in n]
    assert "STOPPING=1" in stopping
    assert drained.status.startswith("draining: 2 messages waiting; slowest is Gate: 2 waiting, ")
    assert not any("READY" in notice for notice in manager.heard[manager.heard.index(stopping) :])


@pytest.mark.parametrize("is_there", [False, True])
def test_a_socket_that_cannot_be_spoken_to_is_logged_once_and_stops_nothing(
    tmp_path: Path, bus: Bus, is_there: bool
) -> None:
    address = tmp_path / "notify"
    if is_there:
        address.touch()
    with service(tmp_path, bus, str(address), "--consumer", f"{HERE}:Everything", watchdog=0.5) as hub:
        hub.wait_until_running()
        bus.wait()
        bus.publish_many(10)
        hub.wait_until_finished(10)
        hub.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "log files reopened" in hub.said(), "a reload")

        exit_code = hub.stop()

    assert exit_code == 0
    assert hub.said().count(f"cannot tell the service manager at {address}: ") == 1


def test_what_a_consumer_starts_cannot_speak_for_the_hub(tmp_path: Path, bus: Bus, manager: ServiceManager) -> None:
    toml = f'[consumers.Parent]\nclass = "{HERE}:Parent"\nsettings = {{file = "{tmp_path}/environment"}}\n'
    with service(tmp_path, bus, manager.address, toml=toml, watchdog=30.0) as hub:
        bus.wait()
        bus.publish_many(1)
        snapshot = hub.wait_until_finished(1)

    environment = (tmp_path / "environment").read_text()
    assert snapshot.consumers[0].processed == 1
    assert "PYTHONPATH=" in environment
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG" not in environment


def test_the_unit_in_the_guide_is_one_for_systemd(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
    (unit,) = re.findall(r"^    (\[Unit\]\n.*?)\n\n^- ", guide, re.MULTILINE | re.DOTALL)
    file = tmp_path / "glasshub.service"
    file.write_text(re.sub("^    ", "", unit, flags=re.MULTILINE).replace("/usr/bin/glasshub", sys.executable))

    done = subprocess.run(
        [program("systemd-analyze"), "--man=no", "verify", file], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if "glasshub" in line] == []
    assert done.returncode == 0
    assert "\nType=notify\n" in file.read_text()
