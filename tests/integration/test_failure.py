# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hubs whose consumers fail: what is tried again, what is left, and who is stuck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glasshub.dispatch import SHAPES

from .hubs import ROOT, Bus, HubProcess, hub_on

HERE = "tests.integration.consumers"

every_shape = pytest.mark.parametrize("shape", SHAPES)


def moody(directory: Path, settings: str, *keys: str, hub: str = "") -> str:
    """A configuration of a consumer with a mood, and of one that takes everything."""
    own = "\n".join([f'class = "{HERE}:Moody"', f'settings = {{file = "{directory}/done", {settings}}}', *keys])
    return f'[hub]\n{hub}\n[consumers.Moody]\n{own}\n[consumers.Everything]\nclass = "{HERE}:Everything"\n'


def done(directory: Path) -> list[str]:
    """What Moody has finished."""
    file = directory / "done"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def wait_for_attempts(hub: HubProcess, count: int) -> None:
    """Wait until Moody has tried so many messages."""
    hub.wait_until(
        lambda s: s.consumer("Moody").dequeued >= count and not s.consumer("Moody").in_flight, f"{count} attempts"
    )


@every_shape
def test_messages_on_which_a_consumer_failed_are_tried_again_until_all_is_done(
    tmp_path: Path, bus: Bus, shape: str
) -> None:
    toml = moody(tmp_path, 'mood = "fail", times = 2', "retry = 2", "retry_delay = 0.1")
    with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
        ids = bus.publish_many(100)

        snapshot = hub.wait_until_finished(100)
        consumer, neighbour = snapshot.consumer("Moody"), snapshot.consumer("Everything")

        assert hub.stop() == 0
    assert sorted(done(tmp_path)) == ids
    assert (consumer.processed, consumer.failed, consumer.retried, consumer.requeued) == (100, 0, 200, 200)
    assert (neighbour.processed, neighbour.retried) == (100, 0)
    assert "Moody: attempt 1 at a message of topic" in hub.said()


@every_shape
def test_a_stopping_hub_tries_again_what_is_due_in_time_and_names_the_rest(
    tmp_path: Path, bus: Bus, shape: str
) -> None:
    toml = moody(tmp_path, 'mood = "later", after = 1.0', hub="drain_timeout = 20.0")
    with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
        ids = bus.publish_many(5)
        wait_for_attempts(hub, 5)

        exit_code = hub.stop()

    assert exit_code == 0
    assert sorted(done(tmp_path)) == ids
    assert "nothing was left undone" in hub.said()


def test_what_is_due_after_the_drain_timeout_does_not_hold_up_a_stopping_hub_and_is_named(
    tmp_path: Path, bus: Bus
) -> None:
    toml = moody(tmp_path, 'mood = "later", after = 3600.0', hub="drain_timeout = 300.0")
    with hub_on(bus, tmp_path, toml=toml) as hub:
        bus.publish_many(5)
        wait_for_attempts(hub, 5)
        draining = hub.snapshot()

        exit_code = hub.stop()  # which fails after 30 s

    assert exit_code == 4
    assert draining.consumer("Moody").delayed == 5
    assert "left undone: Moody: 0 messages waiting, 0 in flight, 5 to be tried again" in hub.said()


def test_a_second_signal_ends_the_wait_for_what_is_to_be_tried_again(tmp_path: Path, bus: Bus) -> None:
    toml = moody(tmp_path, 'mood = "later", after = 200.0', hub="drain_timeout = 300.0")
    with hub_on(bus, tmp_path, toml=toml) as hub:
        bus.publish_many(1)
        wait_for_attempts(hub, 1)
        hub.process.send_signal(signal.SIGTERM)
        hub.wait_until(lambda snapshot: snapshot.hub.phase == "draining", "the hub to drain")

        exit_code = hub.stop(signal.SIGTERM)

    assert exit_code == 4
    assert "left undone: Moody: 0 messages waiting, 0 in flight, 1 to be tried again" in hub.said()


@every_shape
def test_a_consumer_that_cannot_go_on_halts_the_hub_and_what_it_had_is_named(
    tmp_path: Path, bus: Bus, shape: str
) -> None:
    with hub_on(bus, tmp_path, "--shape", shape, toml=moody(tmp_path, 'mood = "halt"')) as hub:
        bus.publish_many(1)

        exit_code = hub.process.wait(20)

    snapshot = hub.snapshot()
    assert exit_code == 4
    assert snapshot.consumer("Everything").processed == 1
    assert "Moody halts the hub: the database is gone" in hub.said()
    assert "left undone: Moody: 0 messages waiting, 1 in flight" in hub.said()


def test_what_a_consumer_drops_is_counted_and_not_logged(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=moody(tmp_path, 'mood = "drop"')) as hub:
        bus.publish_many(10)

        consumer = hub.wait_until_finished(10).consumer("Moody")

        assert hub.stop() == 0
    assert (consumer.discarded, consumer.failed) == (10, 0)
    assert "spam" not in hub.said()


def test_a_consumer_that_is_stuck_is_shown_and_named_in_the_log(tmp_path: Path, bus: Bus) -> None:
    os.mkfifo(tmp_path / "fifo")
    toml = f'[consumers.Gate]\nclass = "{HERE}:Gate"\nmax_processing = 0.2\nsettings = {{fifo = "{tmp_path}/fifo"}}\n'
    with hub_on(bus, tmp_path, toml=toml) as hub:
        bus.publish_many(1)

        hub.wait_until(lambda snapshot: snapshot.consumer("Gate").stuck == 1, "the gate to be stuck")
        hub.wait_until(lambda _: "Gate is stuck: 1 of its 1 workers" in hub.said(), "the log to say so")
        shown = table_of(hub)
        (tmp_path / "fifo").write_bytes(b"go on")
        hub.wait_until(lambda _: "Gate is not stuck any more: it was at one message" in hub.said(), "the end of it")

        assert hub.stop() == 0
    assert "! Gate is stuck: 1 of 1 workers at one message for up to " in shown


def table_of(hub: HubProcess) -> str:
    """What `glasshub stats` says."""
    command = [sys.executable, "-m", "glasshub", "stats", str(hub.segment)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("hub", "."))}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
