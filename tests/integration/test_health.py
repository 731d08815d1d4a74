# SPDX-License-Identifier: LGPL-2.1-or-later
"""`/live` and `/ready` of real hubs, on both buses: what a kubelet or a load balancer would see."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools.rabbitmq import Broker

from .brokers import hub_on_broker
from .collectd_daemon import free_port
from .hubs import Bus, HubProcess, hub_on, wait_until

HERE = "tests.integration.consumers"


class Page(NamedTuple):
    """What is served at a path: the status, and the text."""

    status: int
    text: dict[str, Any]


LIVE = Page(200, {"status": "OK"})


def page(port: int, path: str, *, patience: float = 10.0) -> Page:
    """What a hub answers at a port of this machine."""
    connection = HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Page(response.status, json.loads(response.read()))
    finally:
        connection.close()


def await_ready(port: int, status: int) -> Page:
    """The first page of that status; on the way there the hub is alive."""
    found: list[Page] = []

    def look() -> bool:
        assert page(port, "/live") == LIVE
        found.append(page(port, "/ready"))
        return found[-1].status == status

    wait_until(look, f"/ready with {status}")
    return found[-1]


def stats(port: int, more: str = "") -> str:
    """A configuration with a port."""
    return f"[stats]\nport = {port}\n{more}"


def children(pid: int) -> Sequence[int]:
    """The processes that a process has started and that are there."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def test_hub_is_alive_and_ready_at_its_port_and_tells_what_it_consumed(tmp_path: Path, bus: Bus) -> None:
    port = free_port()
    recorder = f'[consumers.R]\nclass = "{HERE}:Recorder"\nsettings = {{file = "{tmp_path}/r"}}\n'
    with hub_on(bus, tmp_path, toml=stats(port) + recorder) as hub:
        bus.publish_many(10)
        hub.wait_until_finished(10)

        ready = await_ready(port, 200)

        consumed = {"received": 10, "processed": 10, "dropped": 0, "rejected": 0, "failed": 0}
        assert ready.text == {"consuming": True, "consumed": consumed}


def test_worker_process_that_is_stopped_leaves_the_hub_alive_and_the_hub_stopped_answers_nobody(
    tmp_path: Path, bus: Bus
) -> None:
    port = free_port()
    with hub_on(bus, tmp_path, "--shape", "processes", "--consumer", f"{HERE}:Recorder", toml=stats(port)) as hub:
        await_ready(port, 200)
        workers = children(hub.process.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        try:
            assert workers
            assert page(port, "/live") == LIVE
            assert page(port, "/ready").status == 200
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGCONT)

        hub.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, hub.process.pid, os.WSTOPPED | os.WNOWAIT)  # all of its threads

        with pytest.raises(socket.timeout):
            page(port, "/live", patience=0.5)


def test_hub_that_drains_is_alive_and_not_ready(tmp_path: Path, bus: Bus) -> None:
    port = free_port()
    os.mkfifo(tmp_path / "fifo")
    gate = f'[consumers.Gate]\nclass = "{HERE}:Gate"\nsettings = {{fifo = "{tmp_path}/fifo"}}\n'
    with hub_on(bus, tmp_path, "--shape", "threads", toml=stats(port) + gate) as hub:
        bus.publish_many(1)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].in_flight == 1, "the message at hand")
        hub.process.send_signal(signal.SIGTERM)

        ready = await_ready(port, 503)

        assert (ready.text["consuming"], ready.text["reason"]) == (False, "the hub is draining")
        (tmp_path / "fifo").write_text("open\n", encoding="ascii")
        assert hub.process.wait(30) == 0


def test_hub_whose_bus_is_away_is_alive_and_not_ready(tmp_path: Path, bus: Bus) -> None:
    port = free_port()
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Recorder", toml=stats(port)):
        await_ready(port, 200)
        bus.close()

        ready = await_ready(port, 503)

        assert ready.text["reason"].startswith("the hub has been connected to none of its 1 endpoints for ")


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("127.0.0.1", "cannot listen at http://127.0.0.1:{port}/: another program does: stop it, or choose another"),
        ("192.0.2.1", "cannot listen at http://192.0.2.1:{port}/: this machine has no such address: choose one"),
        ("::ffff", "cannot listen at http://[::ffff]:{port}/: this machine has no such address: choose one"),
        ("hub.example", "stats.address = 'hub.example' must be an IP address, such as 127.0.0.1"),
    ],
)
def test_port_that_cannot_be_had_keeps_the_hub_from_starting_and_says_why(
    tmp_path: Path, bus: Bus, address: str, complaint: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["--consumer", f"{HERE}:Recorder"]
        hub = HubProcess(tmp_path, bus, arguments, toml=stats(port, f'address = "{address}"\n'))
        try:
            code = hub.process.wait(30)
        finally:
            hub.close()

    assert code in {1, 2}
    assert complaint.format(port=port) in hub.said()
    assert "Traceback" not in hub.said()
    assert not (tmp_path / "h.sock").exists()


@pytest.mark.slow
def test_hub_is_ready_while_its_broker_is_there_at_the_port_that_fedora_messaging_has(
    broker: Broker, tmp_path: Path
) -> None:
    port = free_port()
    consumer = f'[consumers.R]\nclass = "{HERE}:Recorder"\nsettings = {{file = "{tmp_path}/r"}}\n'
    monitoring = f'[monitoring]\naddress = "127.0.0.1"\nport = {port}\n'
    with hub_on_broker(broker, tmp_path, toml=consumer, settings=monitoring, name="health"):
        assert await_ready(port, 200).text["consuming"]
        broker.stop()
        try:
            away = await_ready(port, 503)
        finally:
            broker.start()

        assert away.text["reason"].startswith("the hub has been connected to none of its 1 endpoints for ")
        assert await_ready(port, 200).text["consuming"]


@pytest.mark.slow
def test_hub_without_its_queue_is_alive_and_not_ready(broker: Broker, tmp_path: Path) -> None:
    """The configuration says that somebody else makes the queues, and nobody has."""
    port = free_port()
    consumer = f'[consumers.R]\nclass = "{HERE}:Recorder"\nsettings = {{file = "{tmp_path}/r"}}\n'
    with hub_on_broker(broker, tmp_path, toml=stats(port) + consumer, settings="passive_declares = true\n", name="no"):
        reason = "the broker brings the messages of 0 of 1 queues"
        wait_until(lambda: await_ready(port, 503).text["reason"] == reason, reason)
