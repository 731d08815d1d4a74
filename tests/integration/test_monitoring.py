# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moksha's monitoring socket of a running hub, as those read it who knew fedmsg-hub."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasshub.dispatch import SHAPES

from . import hubs
from .hubs import DEADLINE, Bus, HubProcess, bus_in
from .services import Listener, fedmsg_command, free_port, listener_to, write_site

HERE = "tests.integration.watched"
TOPIC = "org.fedoraproject.dev.git.receive"


@contextmanager
def hub_on(
    bus: Bus | None, directory: Path, *arguments: str, interval: float = 0.1, name: str = "h"
) -> Iterator[HubProcess]:
    """A hub that does not wait five seconds for each document."""
    toml = f"[fedmsg]\nmonitoring_interval = {interval}\n"
    with hubs.hub_on(bus, directory, *arguments, toml=toml, name=name) as hub:
        yield hub


def configure(directory: Path, endpoint: str = "", **more: Any) -> str:
    """Write fedmsg's configuration; the monitoring socket in it."""
    endpoint = endpoint or f"ipc://{directory}/monitoring"
    write_site(directory, **{"moksha.monitoring.socket": endpoint, "watched.enabled": True, **more})
    return endpoint


def arguments(*consumers: str, producers: str = "") -> list[str]:
    """The command line for a hub with these consumers and producers."""
    named = ",".join(f"{HERE}:{name}" for name in consumers)
    return ["--fedmsg-config", "fedmsg.d", "--with-consumers", named, "--with-producers", producers]


def document(listener: Listener) -> dict[str, Any]:
    """The next document."""
    found: dict[str, Any] = json.loads(listener.receive()[0])
    return found


def last_ran(listener: Listener) -> float:
    """When the next document was made."""
    return float(document(listener)["producers"][0]["last_ran"])


def consumers(listener: Listener) -> Iterator[dict[str, Any]]:
    """What the documents say of the first consumer, one after the other."""
    while True:
        yield document(listener)["consumers"][0]


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_the_document_tells_of_every_consumer_and_producer(tmp_path: Path, bus: Bus, transport: str) -> None:
    endpoint = configure(tmp_path, f"tcp://127.0.0.1:{free_port()}" if transport == "tcp" else "")
    with hub_on(bus, tmp_path, *arguments("Third", "Burner", producers=f"{HERE}:Broken")), listener_to(endpoint) as one:
        said = document(one)

    assert [consumer["name"] for consumer in said["consumers"]] == ["Third", "Burner"]
    assert [producer["name"] for producer in said["producers"]] == ["MonitoringProducer", "Broken"]
    assert said["producers"][1]["exceptions"] > 0


def test_consumers_of_our_own_are_in_it(tmp_path: Path, bus: Bus) -> None:
    endpoint = configure(tmp_path)
    native = "tests.integration.consumers:Everything"
    options = [*arguments("Third"), "--with-consumers", f"{HERE}:Third,{native}"]
    with hub_on(bus, tmp_path, *options), listener_to(endpoint) as listener:
        bus.publish_many(7)

        said = list(documents_until(listener, "Everything", 7))

    assert said[-1]["module"] == "tests.integration.consumers"
    assert said[-1]["initialized"] is True
    assert said[-1]["topic"] == [""]


def test_a_hub_with_none_but_our_own_consumers_has_the_socket_too(tmp_path: Path, bus: Bus) -> None:
    endpoint = configure(tmp_path)
    options = ["--fedmsg-config", "fedmsg.d", "--consumer", "tests.integration.consumers:Everything"]
    with hub_on(bus, tmp_path, *options, "--with-producers", ""), listener_to(endpoint) as listener:
        said = document(listener)

    assert [consumer["name"] for consumer in said["consumers"]] == ["Everything"]


def test_a_relay_has_a_monitoring_socket_too(tmp_path: Path) -> None:
    outbound = {"relay_outbound": [f"tcp://127.0.0.1:{free_port()}"]}
    endpoint = configure(tmp_path, relay_inbound=f"ipc://{tmp_path}/inbound", endpoints=outbound)
    options = ["--service", "relay", "--fedmsg-config", "fedmsg.d"]
    with hub_on(None, tmp_path, *options), listener_to(endpoint) as listener:
        said = document(listener)

    assert [consumer["name"] for consumer in said["consumers"]] == ["RelayConsumer"]
    assert [producer["name"] for producer in said["producers"]] == ["MonitoringProducer"]


def documents_until(listener: Listener, name: str, count: int) -> Iterator[dict[str, Any]]:
    """What the documents say of a consumer, up to that which completes so many messages."""
    seen = 0
    while seen < count:
        (found,) = (consumer for consumer in document(listener)["consumers"] if consumer["name"] == name)
        seen += found["headcount_out"]
        yield found


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_and_times_are_of_the_time_since_the_document_before(tmp_path: Path, bus: Bus, shape: str) -> None:
    endpoint = configure(tmp_path)
    with hub_on(bus, tmp_path, *arguments("Third"), "--shape", shape) as hub, listener_to(endpoint) as listener:
        document(listener)
        bus.publish_many(15)
        said = list(documents_until(listener, "Third", 15))
        bus.publish_many(15)
        said += documents_until(listener, "Third", 15)
        hub.wait_until_finished(30)
        said += [next(consumers(listener)), next(consumers(listener))]

    assert sum(found["headcount_in"] for found in said) == 30
    assert sum(found["headcount_out"] for found in said) == 30
    assert sum(found["exceptions"] for found in said) == 10
    assert sum(len(found["times"]) for found in said) == 30
    assert (said[-1]["headcount_in"], said[-1]["headcount_out"], said[-1]["times"]) == (0, 0, [])


def test_the_backlog_is_that_of_a_consumer_that_does_not_get_on(tmp_path: Path, bus: Bus) -> None:
    os.mkfifo(tmp_path / "fifo")
    endpoint = configure(tmp_path, **{"watched.fifo": str(tmp_path / "fifo")})
    with hub_on(bus, tmp_path, *arguments("Gate")) as hub, listener_to(endpoint) as listener:
        bus.publish_many(12)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].backlog == 11, "a backlog")
        document(listener)

        backlog = document(listener)["consumers"][0]["backlog"]

    assert backlog == 11


def test_every_subscriber_sees_the_same(tmp_path: Path, bus: Bus) -> None:
    endpoint = configure(tmp_path)
    with hub_on(bus, tmp_path, *arguments("Third")), ExitStack() as listeners:
        three = [listeners.enter_context(listener_to(endpoint)) for _ in range(3)]
        started = [last_ran(listener) for listener in three]
        bus.publish_many(40)

        said = [documents_after(listener, max(started), 5) for listener in three]

    assert said[0] == said[1] == said[2]


def documents_after(listener: Listener, moment: float, count: int) -> list[dict[str, Any]]:
    """So many documents that were made after that."""
    found = document(listener)
    while found["producers"][0]["last_ran"] <= moment:
        found = document(listener)
    return [found, *(document(listener) for _ in range(count - 1))]


@pytest.mark.parametrize("mode", ["0600", "0666", "770"])
def test_the_socket_has_the_mode_that_the_configuration_wants(tmp_path: Path, bus: Bus, mode: str) -> None:
    configure(tmp_path, **{"moksha.monitoring.socket.mode": mode})
    with hub_on(bus, tmp_path, *arguments("Third")):
        found = stat.S_IMODE((tmp_path / "monitoring").stat().st_mode)

    assert found == int(mode, 8)


def test_a_subscriber_may_come_before_the_hub(tmp_path: Path, bus: Bus) -> None:
    endpoint = configure(tmp_path)
    with listener_to(endpoint) as listener, hub_on(bus, tmp_path, *arguments("Third")):
        said = document(listener)

    assert [consumer["name"] for consumer in said["consumers"]] == ["Third"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_hub_goes_on_where_subscribers_listen(tmp_path: Path, bus: Bus, number: int) -> None:
    endpoint = configure(tmp_path)
    with listener_to(endpoint) as listener:
        with hub_on(bus, tmp_path, *arguments("Third")) as hub:
            last = last_ran(listener)
            hub.stop(number)
            while listener.hears(0.5):
                last = last_ran(listener)
        with hub_on(bus, tmp_path, *arguments("Burner")):
            said = document(listener)

    assert said["producers"][0]["last_ran"] > last
    assert [consumer["name"] for consumer in said["consumers"]] == ["Burner"]


@pytest.mark.parametrize("place", ["ipc:///no/such/directory/socket", "tcp://192.0.2.1:4000"])
def test_a_socket_that_cannot_be_made_is_one_clear_line(tmp_path: Path, bus: Bus, place: str) -> None:
    configure(tmp_path, place)

    hub = HubProcess(tmp_path, bus, arguments("Third"))
    exit_code = hub.process.wait(DEADLINE)

    assert exit_code == 1
    assert "Traceback" not in hub.said()
    assert f"cannot publish at {place!r}" in hub.said().splitlines()[-1]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a hub that fedmsg-check looks at."""
    directory = tmp_path_factory.mktemp("checked")
    configure(directory)
    with bus_in(directory) as bus, hub_on(bus, directory, *arguments("Third", producers=f"{HERE}:Broken")):
        yield directory


@pytest.mark.parametrize(
    ("wanted", "exit_code", "said"),
    [
        ([], 0, "all will be shown"),
        (["-c", "Third"], 0, "All consumers and producers are active!"),
        (["-c", "Third", "-p", "Broken", "-p", "MonitoringProducer"], 0, "All consumers and producers are active!"),
        (["-c", "Gate"], 1, '"Gate" is not active!'),
        (["-c", "Third", "-p", "Hourly"], 1, '"Hourly" is not active!'),
    ],
)
def test_fedmsg_check_is_told_who_is_active(checked: Path, wanted: list[str], exit_code: int, said: str) -> None:
    done = fedmsg_command(checked, "check", *wanted)

    assert done.returncode == exit_code, done
    assert said in done.stdout + done.stderr


def test_fedmsg_check_finds_no_hub_where_none_runs(tmp_path: Path) -> None:
    configure(tmp_path)

    done = fedmsg_command(tmp_path, "check", "--timeout", "1")

    assert done.returncode == 1
    assert "Failed to receive message from the monitoring endpoint" in done.stderr


def test_for_a_subscriber_that_fetches_nothing_next_to_nothing_is_held(tmp_path: Path, bus: Bus) -> None:
    endpoint = configure(tmp_path)
    with hub_on(bus, tmp_path, *arguments("Wordy"), interval=0.001), listener_to(endpoint, held=1) as idle:
        assert idle.hears(DEADLINE)
        with listener_to(endpoint) as eager:
            last = [last_ran(eager) for _ in range(200)][-1]

        held = 0
        while last_ran(idle) <= last:
            held += 1

    assert 0 < held < 50


@contextmanager
def storm_of(bus: Bus) -> Iterator[None]:
    """Far more messages than anybody can handle, for as long as the context lasts."""
    is_over = threading.Event()

    def blow() -> None:
        while not is_over.wait(0.01):
            bus.publish_many(20)

    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_documents_come_when_they_are_due_in_a_storm(tmp_path: Path, bus: Bus, shape: str) -> None:
    endpoint = configure(tmp_path)
    options = [*arguments("Burner", "Third"), "--shape", shape]
    with (
        hub_on(bus, tmp_path, *options, interval=1.0),
        listener_to(endpoint) as listener,
        listener_to(endpoint),
        storm_of(bus),
    ):
        came = []
        for _ in range(4):
            said = document(listener)
            came.append(time.monotonic())

    gaps = [later - earlier for earlier, later in zip(came, came[1:])]
    assert all(0.5 < gap < 2 for gap in gaps), gaps
    assert said["consumers"][0]["headcount_out"] > 10
