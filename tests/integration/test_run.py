# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub run`, as a process, on a real zeromq bus."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from glasshub.dispatch import SHAPES

from ..needs import program
from .hubs import DEADLINE, Bus, HubProcess, bus_in, hub_on, wait_until

HERE = "tests.integration.consumers"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "fedmsg-messages.jsonl"


def recorders(directory: Path) -> str:
    """A configuration of three consumers that each write down what they get."""
    return "".join(
        f'[consumers.{name}]\nclass = "{HERE}:{name}"\nsettings = {{file = "{directory}/{name}"}}\n'
        for name in ("Recorder", "SecondRecorder", "ThirdRecorder")
    )


def gate(directory: Path, more: str = "", *, kind: str = "Gate") -> str:
    """A configuration of a consumer that waits at a FIFO."""
    os.mkfifo(directory / "fifo")
    return f'{more}\n[consumers.Gate]\nclass = "{HERE}:{kind}"\nsettings = {{fifo = "{directory}/fifo"}}\n'


@pytest.mark.parametrize("shape", SHAPES)
def test_every_consumer_gets_every_message_once_and_in_order(tmp_path: Path, bus: Bus, shape: str) -> None:
    with hub_on(bus, tmp_path, "--shape", shape, toml=recorders(tmp_path)) as hub:
        published = bus.publish_many(500)
        hub.wait_until_finished(500)

        exit_code = hub.stop()

    assert exit_code == 0
    for name in ("Recorder", "SecondRecorder", "ThirdRecorder"):
        assert (tmp_path / name).read_text().split() == published


def test_several_workers_process_the_same_set(tmp_path: Path, bus: Bus) -> None:
    toml = recorders(tmp_path).replace("settings", "workers = 4\nsettings", 1)
    with hub_on(bus, tmp_path, toml=toml) as hub:
        published = bus.publish_many(500)
        snapshot = hub.wait_until_finished(500)

    assert snapshot.consumers[0].workers == 4
    assert sorted((tmp_path / "Recorder").read_text().split()) == published


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_that_are_no_messages_are_counted_and_kill_nobody(tmp_path: Path, bus: Bus, shape: str) -> None:
    with hub_on(bus, tmp_path, "--shape", shape, "--consumer", f"{HERE}:Everything") as hub:
        bus.send(b"one part")
        bus.send(b"three", b"{}", b"parts")
        bus.send(b"\xff\xfe", b"{}")
        bus.send(b"org.not.json", b"not json")
        bus.send(b"org.not.utf8", b"\xff")
        bus.send(b"", b"")
        bus.send(b"org.fifty.megabytes", b'["' + b"x" * 50_000_000 + b'"]')
        bus.send(b"org.deep", b"[" * 100_000)
        bus.publish("org.good", {})

        snapshot = hub.wait_until_finished(6)
        exit_code = hub.stop()

    assert exit_code == 0
    assert (snapshot.hub.received, snapshot.hub.malformed) == (9, 3)
    consumer = snapshot.consumers[0]
    assert (consumer.processed, consumer.invalid, consumer.failed) == (2, 4, 0)


def test_a_message_that_nobody_wants_is_counted_as_unrouted(tmp_path: Path, bus: Bus) -> None:
    toml = f'[zmq]\nstrict = true\n[consumers.Strict]\nclass = "{HERE}:Everything"\ntopics = ["org.fedoraproject"]\n'
    with hub_on(bus, tmp_path, toml=toml) as hub:
        bus.publish("org.fedoraproject.prod", {})
        bus.publish("org.fedoraproject", {})
        snapshot = hub.wait_until_finished(1)

    assert (snapshot.hub.received, snapshot.hub.unrouted) == (2, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_consumer_that_raises_is_counted_and_logged_and_goes_on(tmp_path: Path, bus: Bus, shape: str) -> None:
    with hub_on(bus, tmp_path, "--shape", shape, "--consumer", f"{HERE}:Failing") as hub:
        bus.publish_many(50)
        snapshot = hub.wait_until_finished(50)
        hub.stop()

    assert (snapshot.consumers[0].failed, snapshot.consumers[0].processed) == (50, 0)
    assert snapshot.consumers[0].last_failure > 0
    assert hub.said().count("RuntimeError: no such rule") == 1, "the same error again is held back"


def test_a_consumer_that_cannot_be_built_stops_only_itself(tmp_path: Path, bus: Bus) -> None:
    arguments = ["--with-consumers", f"{HERE}:Unbuildable,{HERE}:Everything,{HERE}:NoSuchClass"]
    with hub_on(bus, tmp_path, *arguments) as hub:
        bus.publish_many(3)
        snapshot = hub.wait_until_finished(3)

    assert [(c.name, c.initialized) for c in snapshot.consumers] == [
        ("Unbuildable", 0),
        ("Everything", 1),
        ("NoSuchClass", 0),
    ]
    assert "the database is gone" in hub.said()
    assert "has no 'NoSuchClass'" in hub.said()


def test_a_hub_without_any_consumer_says_so_and_ends(tmp_path: Path, bus: Bus) -> None:
    hub = HubProcess(tmp_path, bus, ["--consumer", f"{HERE}:Unbuildable"])

    exit_code = hub.process.wait(DEADLINE)

    assert exit_code == 1
    assert "none of the 1 consumers could be started" in hub.said().splitlines()[-1]


def test_every_endpoint_is_subscribed_to_once(tmp_path: Path, bus: Bus) -> None:
    with bus_in(tmp_path, "second") as second:
        arguments = ["--zmq", second.endpoint, "--zmq", second.endpoint, "--consumer", f"{HERE}:Everything"]
        with hub_on(bus, tmp_path, *arguments) as hub:
            second.wait()
            bus.publish_many(3)
            second.publish_many(4)
            hub.wait_until_finished(7)
            snapshot = hub.wait_until(lambda snapshot: snapshot.hub.connected == 2, "two connections")
            hub.stop()

            received = hub.snapshot().hub.received

    assert (snapshot.hub.endpoints, received) == (2, 7)


def test_a_publisher_that_goes_and_comes_back_is_seen(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        began = hub.wait_until(lambda snapshot: snapshot.hub.connected == 1, "the connection").time

        bus.close()
        gone = hub.wait_until(lambda snapshot: snapshot.hub.connected == 0, "the loss of it")
        with bus_in(tmp_path) as successor:
            successor.wait()
            successor.publish_many(5)
            hub.wait_until_finished(5)
            back = hub.wait_until(lambda snapshot: snapshot.hub.gaps and not snapshot.hub.lost, "the gap to be counted")
            said = hub.said()

    assert (gone.hub.disconnects, back.hub.disconnects) == (1, 1)
    assert (gone.hub.lost, gone.hub.gaps, back.hub.lost, back.hub.gaps) == (1, 0, 0, 1)
    assert gone.time - gone.hub.lost_since == pytest.approx(gone.hub.lost_age, abs=1)
    assert 0 < back.hub.gap_seconds == pytest.approx(back.hub.gap_until - back.hub.gap_since, abs=0.001)
    assert began - 1 <= back.hub.gap_since <= back.hub.gap_until <= back.time
    assert said.count("lost the connection to ipc://") == 1
    assert re.findall(r"possible gap: (\S+) was lost from \S+ \S+ UTC to \S+ \S+ UTC \(\S+ s\)", said) == [bus.endpoint]


def test_a_second_hub_of_the_same_name_refuses_to_start(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as first:
        second = HubProcess(tmp_path, bus, ["--consumer", f"{HERE}:Everything"])
        exit_code = second.process.wait(DEADLINE)

        assert exit_code == 1
        assert f"already runs here (pid {first.process.pid}" in second.said().splitlines()[-1]
        assert first.snapshot().status() == "running"


def test_the_stats_socket_answers(tmp_path: Path, bus: Bus) -> None:
    curl = program("curl")
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        bus.publish_many(7)
        hub.wait_until_finished(7)

        answer = subprocess.run(
            [curl, "-sS", "--unix-socket", str(hub.socket), "http://hub/stats.json"], capture_output=True, check=True
        )

    assert json.loads(answer.stdout)["consumers"][0]["processed"] == 7


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stopped_hub_finishes_its_backlog(tmp_path: Path, bus: Bus, shape: str) -> None:
    with hub_on(bus, tmp_path, "--shape", shape, toml=recorders(tmp_path)) as hub:
        published = bus.publish_many(2000)
        # Shape inline has no backlog: what it has not received is in libzmq's buffers, or still the publisher's.
        enough = 1 if shape == "inline" else 2000
        hub.wait_until(lambda snapshot: snapshot.hub.received >= enough, f"{enough} messages")

        exit_code = hub.stop()
        snapshot = hub.snapshot()

    assert exit_code == 0
    assert snapshot.status() == "stopped"
    for name in ("Recorder", "SecondRecorder", "ThirdRecorder"):
        assert (tmp_path / name).read_text().split() == published[: snapshot.hub.received]
    assert not hub.socket.exists()


def test_what_is_left_after_the_drain_timeout_is_reported_exactly(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=gate(tmp_path, "[hub]\ndrain_timeout = 0.2")) as hub:
        bus.publish_many(10)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].enqueued == 10, "ten messages enqueued")

        exit_code = hub.stop()

    assert exit_code == 4
    assert "left undone: Gate: 9 messages waiting, 1 in flight" in hub.said()


def test_a_second_signal_stops_at_once(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=gate(tmp_path, "[hub]\ndrain_timeout = 1000")) as hub:
        bus.publish_many(3)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].enqueued == 3, "three messages enqueued")

        hub.process.send_signal(signal.SIGINT)
        hub.wait_until(lambda snapshot: snapshot.status() == "draining", "the hub to drain")
        exit_code = hub.stop(signal.SIGINT)

    assert exit_code == 4
    assert "left undone: Gate: 2 messages waiting, 1 in flight" in hub.said()


def test_a_third_signal_ends_a_hub_whatever_hangs(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=gate(tmp_path, kind="Clinging")) as hub:
        hub.process.send_signal(signal.SIGTERM)
        hub.wait_until(lambda snapshot: snapshot.status() == "stopped", "the hub to close its consumers")

        hub.process.send_signal(signal.SIGINT)  # another one than the third: two of a kind may become one
        exit_code = hub.stop(signal.SIGTERM)

    assert exit_code == 128 + signal.SIGTERM


def test_a_hub_that_is_aborted_leaves_in_the_log_what_each_thread_was_at(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "threads", toml=gate(tmp_path)) as hub:
        bus.publish_many(1)
        hub.wait_until(lambda snapshot: snapshot.consumers[0].in_flight == 1, "the consumer to be at it")
        resource.prlimit(hub.process.pid, resource.RLIMIT_CORE, (0, 0))

        exit_code = hub.stop(signal.SIGABRT)

    assert exit_code == -signal.SIGABRT
    for file, function in (("tests/integration/consumers.py", "consume"), ("glasshub/hub.py", "_watch")):
        assert re.search(rf'File "\S+/{file}", line \d+ in {function}\n', hub.said())


def test_a_killed_hub_is_down_and_its_successor_takes_the_place(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        bus.publish_many(5)
        hub.wait_until_finished(5)
        hub.stop(signal.SIGKILL)
        assert hub.snapshot().status() == "down"

    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as successor:
        bus.publish_many(2)
        snapshot = successor.wait_until_finished(2)

    assert snapshot.hub.received == 2


def test_a_halted_hub_is_stuck_and_comes_back(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        hub.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: hub.snapshot().status(stale_after=1.0) == "stuck", "the hub to be stuck")

        hub.process.send_signal(signal.SIGCONT)
        hub.wait_until(lambda snapshot: snapshot.status(stale_after=1.0) == "running", "the hub to be back")


def test_a_message_that_takes_long_shows_as_in_flight_with_its_age(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=gate(tmp_path)) as hub:
        bus.publish_many(3)

        snapshot = hub.wait_until(
            lambda snapshot: snapshot.consumers[0].current_age > 0.3 and snapshot.consumers[0].oldest_age > 0.3,
            "an age",
        )

    consumer = snapshot.consumers[0]
    assert (consumer.in_flight, consumer.backlog) == (1, 2)
    assert consumer.watermark in (2, 3)  # the worker may have taken the first one before the others came


def test_consumers_of_one_group_never_run_at_the_same_time(tmp_path: Path, bus: Bus) -> None:
    toml = "".join(f'[consumers.{name}]\nclass = "{HERE}:{name}"\ngroup = "irc"\n' for name in ("Lonely", "Lonelier"))
    with hub_on(bus, tmp_path, toml=toml) as hub:
        bus.publish_many(2000)
        snapshot = hub.wait_until_finished(2000)

    assert [(c.processed, c.failed) for c in snapshot.consumers] == [(2000, 0), (2000, 0)]


def test_sighup_opens_the_log_anew(tmp_path: Path, bus: Bus) -> None:
    log = tmp_path / "glasshub.log"
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything", toml=f'[logging]\nfile = "{log}"\n') as hub:
        log.rename(tmp_path / "glasshub.log.1")

        hub.process.send_signal(signal.SIGHUP)

        wait_until(lambda: log.exists() and "log files reopened" in log.read_text(), "a new log")
        assert hub.stop() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_an_unmodified_consumer_of_fedmsg_runs(tmp_path: Path, bus: Bus, shape: str) -> None:
    (tmp_path / "fedmsg.d").mkdir()
    (tmp_path / "fedmsg.d" / "base.py").write_text(
        f"config = {{'topic_prefix': 'org.fedoraproject', 'environment': 'dev', 'validate_signatures': False,\n"
        f"    'endpoints': {{'bus': ['{bus.endpoint}']}}, 'fedmsg.consumers.dummy.enabled': True}}\n"
    )
    arguments = ["--fedmsg-config", "fedmsg.d", "--consumer", "fedmsg.consumers.dummy:DummyConsumer"]

    with hub_on(bus, tmp_path, "--shape", shape, *arguments) as hub:
        bus.publish_many(100)
        bus.send(b"org.fedoraproject.dev.x", b"\xff")
        snapshot = hub.wait_until_finished(101)
        exit_code = hub.stop()

    assert exit_code == 0
    consumer = snapshot.consumers[0]
    assert (consumer.name, consumer.processed, consumer.invalid) == ("DummyConsumer", 100, 1)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded messages are not here")
def test_recorded_messages_of_the_real_bus_all_arrive(tmp_path: Path, bus: Bus) -> None:
    lines = RECORDED.read_bytes().splitlines()
    with hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        for line in lines:
            bus.send(json.loads(line)["topic"].encode(), line)

        snapshot = hub.wait_until_finished(len(lines))

    assert snapshot.consumers[0].processed == len(lines)
    assert (snapshot.hub.malformed, snapshot.hub.unrouted) == (0, 0)
