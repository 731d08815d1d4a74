# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hub with a consumer that stands still while messages come: what is kept, what is dropped, what memory it takes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .hubs import Bus, HubProcess, hub_on

HERE = "tests.integration.consumers"
MIB = 1 << 20

queueing_shape = pytest.mark.parametrize("shape", ["shared", "threads", "processes"])


def standing_still(directory: Path, *keys: str, hub: str = "") -> str:
    """A configuration of a consumer that gets no further than its first message, and of one that keeps up."""
    os.mkfifo(directory / "fifo")
    gate = "\n".join([f'class = "{HERE}:Gate"', f'settings = {{fifo = "{directory}/fifo"}}', *keys])
    return f'[hub]\n{hub}\n[consumers.Gate]\n{gate}\n[consumers.Everything]\nclass = "{HERE}:Everything"\n'


def resident(hub: HubProcess) -> int:
    """Bytes of memory that the process has."""
    pages = Path(f"/proc/{hub.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def publish(bus: Bus, hub: HubProcess, count: int, body: bytes = b"{}") -> None:
    """Publish, and wait every now and then: what libzmq holds for the hub is not what we measure."""
    received = hub.snapshot().hub.received
    for number in range(1, count + 1):
        bus.send(b"org.fedoraproject.prod.git.receive", body)
        if number % 1000 == 0 or number == count:
            hub.wait_until(lambda snapshot: snapshot.hub.received >= received + number, "all to be received")  # noqa: B023


def open_gate(directory: Path) -> None:
    """Let the gate go on, with this message and all that follow."""
    (directory / "open").touch()
    with (directory / "fifo").open("wb"):  # there is a reader, which the end of this context lets go
        (directory / "open").replace(directory / "fifo")


def occupied(bus: Bus, hub: HubProcess) -> None:
    """Have the gate be at a message."""
    publish(bus, hub, 1)
    hub.wait_until(lambda snapshot: snapshot.consumer("Gate").in_flight, "the gate to be at a message")


@queueing_shape
def test_in_a_flood_memory_stays_bounded_and_every_drop_is_counted(tmp_path: Path, bus: Bus, shape: str) -> None:
    """120 MB come, of which 16 MiB may wait."""
    toml = standing_still(tmp_path, hub=f"memory = {16 * MIB}")
    with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
        occupied(bus, hub)
        before = resident(hub)
        most = 0

        for _ in range(12):
            publish(bus, hub, 5000, b'"%s"' % (b"x" * 2000))
            most = max(most, resident(hub) - before)
        full = hub.wait_until(lambda snapshot: snapshot.consumer("Gate").enqueued == 60_001, "all to be enqueued")
        open_gate(tmp_path)
        done = hub.wait_until(lambda snapshot: not sum(c.backlog + c.in_flight for c in snapshot.consumers), "the end")

    assert most < 32 * MIB
    assert 6000 < full.consumer("Gate").backlog < 8000
    for consumer in done.consumers:
        assert consumer.processed + consumer.dropped == consumer.enqueued == 60_001
    assert done.consumer("Gate").dropped == full.consumer("Gate").dropped
    assert done.consumer("Gate").processed == full.consumer("Gate").backlog + 1
    if shape != "processes":  # where it may be that even who does nothing does not keep up with such a flood
        assert (done.consumer("Everything").dropped > 0) == (shape == "shared"), (
            "it waits for the other one there alone"
        )


def test_a_full_queue_drops_exactly_what_is_too_much_and_the_neighbour_gets_everything(
    tmp_path: Path, bus: Bus
) -> None:
    with hub_on(bus, tmp_path, toml=standing_still(tmp_path, "capacity = 100")) as hub:
        occupied(bus, hub)

        publish(bus, hub, 5000)
        snapshot = hub.wait_until(
            lambda snapshot: snapshot.consumer("Everything").processed == 5001, "the neighbour to have everything"
        )
        gate = snapshot.consumer("Gate")

    assert (gate.dropped, gate.backlog, gate.watermark) == (4900, 100, 100)
    assert "Gate: no room (capacity = 100): " in hub.said()


@queueing_shape
@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_a_queue_with_too_many_bytes_drops_and_the_neighbour_gets_everything(
    tmp_path: Path, bus: Bus, shape: str, policy: str
) -> None:
    """First large messages come, then small ones, of which no more than a thousand may wait."""
    keys = "capacity = 1000", f"capacity_bytes = {MIB}", f'overflow = "{policy}"'
    with hub_on(bus, tmp_path, "--shape", shape, toml=standing_still(tmp_path, *keys)) as hub:
        occupied(bus, hub)

        publish(bus, hub, 500, b'"%s"' % (b"x" * 10_000))
        large = hub.wait_until(lambda snapshot: snapshot.consumer("Gate").enqueued == 501, "the large ones")
        publish(bus, hub, 1500)
        small = hub.wait_until(lambda snapshot: snapshot.consumer("Gate").enqueued == 2001, "the small ones")
        open_gate(tmp_path)
        done = hub.wait_until(lambda snapshot: not sum(c.backlog + c.in_flight for c in snapshot.consumers), "the end")

    gate = done.consumer("Gate")
    if policy == "drop-oldest":
        assert 95 <= large.consumer("Gate").backlog <= 102
        assert small.consumer("Gate").backlog == 1000
    else:
        assert large.consumer("Gate").backlog == 102
        assert 102 <= small.consumer("Gate").backlog <= 122
    assert gate.processed + gate.dropped == gate.enqueued == 2001
    assert gate.dropped == small.consumer("Gate").dropped
    assert done.consumer("Everything").processed == 2001
    assert f"Gate: no room (capacity_bytes = {MIB}): " in hub.said()


@queueing_shape
def test_a_stop_ends_the_wait_for_a_full_queue_and_all_that_came_is_reported(
    tmp_path: Path, bus: Bus, shape: str
) -> None:
    toml = standing_still(tmp_path, "capacity = 100", 'overflow = "block"', hub="drain_timeout = 1.0")
    with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
        occupied(bus, hub)
        for _ in range(1000):
            bus.send(b"org.fedoraproject.prod.git.receive", b"{}")
        waiting = hub.wait_until(lambda snapshot: snapshot.consumer("Gate").blocking_age, "the enqueuer to wait")

        exit_code = hub.stop(signal.SIGTERM)

    stopped = hub.snapshot()
    gate = stopped.consumer("Gate")
    assert waiting.consumer("Gate").backlog == 100
    assert exit_code == 4
    assert stopped.hub.received > waiting.hub.received, "the last sweep brings more"
    assert (gate.enqueued, gate.dropped) == (stopped.hub.received, 0)
    assert (gate.backlog, gate.in_flight) == (gate.enqueued - 1, 1)
    assert f"left undone: Gate: {gate.backlog} messages waiting, 1 in flight" in hub.said()
    assert "Gate: no room (capacity = 100): the enqueuer waits for it, and every other consumer with it" in hub.said()
    assert " s for Gate" in hub.said()
