# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub spike`, `forecast` and `record` for real: processes, sockets, and consumers whose speed is known."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .hubs import DEADLINE, ROOT, Bus, bus_in, hub_on, wait_until
from .spiked import COST

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SLOW = "tests.integration.spiked:Slow"

Figures = dict[str, Any]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The directory for temporary files of a spike, in which it leaves nothing; with a short path, for sockets."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
        assert not os.listdir(directory)


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory with a short path."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def start(temporary: Path, *arguments: str, where: Path = ROOT) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(ROOT / part) for part in ("hub", "."))
    return subprocess.Popen(
        [sys.executable, "-m", "glasshub", *arguments],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)},
        cwd=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(temporary: Path, *arguments: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    process = start(temporary, *arguments, where=where)
    try:
        stdout, stderr = process.communicate(timeout=90)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def spike(temporary: Path, output: Path, *arguments: str) -> Figures:
    """The figures of a spike in which everything is accounted for."""
    quick = ["--no-discover", "--quiet=0.5", f"--output={output}", "--json"]
    done = run(temporary, "spike", *quick, *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((output / "spike.json").read_text(encoding="utf-8"))
    assert document["ok"]
    return dict(document)


def the_consumer(document: Figures) -> Figures:
    (shape,) = document["shapes"]
    (consumer,) = shape["consumers"]
    return dict(consumer)


def test_a_slow_consumer_falls_behind_as_forecast_and_as_can_be_reckoned(tmp_path: Path, temporary: Path) -> None:
    """A message takes 20 ms, so that 50 a second are handled, and a little less for what is around each."""
    short = spike(temporary, tmp_path / "short", f"--consumer={SLOW}", "--load=constant", "--rate=150", "--seconds=1")
    asked = ["forecast", f"--from={tmp_path}/short/spike.json", "--rate=200", "--seconds=1.5", "--json"]
    (forecast,) = json.loads(run(temporary, *asked).stdout)["consumers"]

    document = spike(
        temporary, tmp_path / "long", f"--consumer={SLOW}", "--load=constant", "--rate=200", "--seconds=1.5"
    )

    slow = the_consumer(document)
    assert the_consumer(short)["service_rate"] == pytest.approx(1 / COST, rel=0.15)
    assert slow["published"] == slow["processed"] == 300
    assert slow["peak_backlog"] == pytest.approx((200 - 1 / COST) * 1.5, rel=0.1)
    assert slow["caught_up_after"] == pytest.approx(slow["peak_backlog"] * COST, rel=0.2)
    assert slow["processing"]["p50"] == pytest.approx(COST, rel=0.15)
    assert slow["wait"]["p99"] == pytest.approx(slow["caught_up_after"], rel=0.15)
    assert forecast["peak_backlog"] == pytest.approx(slow["peak_backlog"], rel=0.1)
    assert forecast["caught_up_after"] == pytest.approx(slow["caught_up_after"], rel=0.15)
    assert forecast["worst_wait"] == pytest.approx(slow["wait"]["p99"], rel=0.15)
    ElementTree.parse(tmp_path / "long" / "processes" / "backlog.svg")


def test_every_shape_runs_after_another(tmp_path: Path, temporary: Path) -> None:
    document = spike(temporary, tmp_path / "o", f"--consumer={SLOW}", "--shape=all", "--rate=60", "--seconds=0.5")

    assert [shape["shape"] for shape in document["shapes"]] == ["inline", "shared", "threads", "processes"]
    for shape in document["shapes"]:
        assert shape["consumers"][0]["processed"] == 31
        assert (tmp_path / "o" / shape["shape"] / "backlog.svg").exists()


def test_what_was_recorded_is_replayed_in_order_and_in_time(tmp_path: Path, temporary: Path, sockets: Path) -> None:
    recording, notes, config = tmp_path / "bus.jsonl", tmp_path / "notes", tmp_path / "glasshub.toml"
    config.write_text(
        f'[consumers.Noting]\nclass = "tests.integration.spiked:Noting"\nsettings = {{file = "{notes}"}}\n',
        encoding="utf-8",
    )
    pauses = [0.0, 0.3, 0.05, 0.6, 0.0, 0.2]
    with bus_in(sockets) as bus:
        recorded = record(temporary, bus, recording, pauses)
    with recording.open("a", encoding="utf-8") as file:
        file.write('{"at": 0, "topic": "com.example.prod.other", "body": {}}\n')

    document = spike(
        temporary,
        tmp_path / "o",
        f"--config={config}",
        "--consumer=tests.integration.spiked:Noting",
        "--load=replay",
        "--speed=2",
        f"--messages={recording}",
    )

    seen = [line.split() for line in notes.read_text(encoding="ascii").splitlines()]
    times = [float(time) for time, _ in seen]
    assert [int(number) for _, number in seen] == list(range(len(pauses)))
    assert [time - times[0] for time in times] == pytest.approx([at / 2 for at in recorded], abs=0.1)
    assert recorded[-1] == pytest.approx(sum(pauses), abs=0.3)
    assert document["shapes"][0]["unwanted"] == 1


def record(temporary: Path, bus: Bus, recording: Path, pauses: list[float]) -> list[float]:
    """Record a message after each pause; the times at which they were published, from the first one on."""
    process = start(temporary, "record", bus.endpoint, "--topic=org.example.", f"--messages={len(pauses)}")
    try:
        bus.wait()
        published = []
        for number, pause in enumerate(pauses):
            time.sleep(pause)  # this is the load
            bus.publish("com.example.prod.other", {"msg": {"number": -1}})
            bus.publish("org.example.prod.test", {"msg": {"number": number}})
            published.append(time.monotonic())
        stdout, stderr = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert f"{len(pauses)} messages in" in stderr
    recording.write_text(stdout, encoding="utf-8")
    return [time - published[0] for time in published]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_ends_whole_when_it_is_interrupted(
    tmp_path: Path, temporary: Path, sockets: Path, number: signal.Signals
) -> None:
    with bus_in(sockets) as bus:
        site = tmp_path / "site.py"
        site.write_text(f"config = {{'endpoints': {{'a.b': [{bus.endpoint!r}]}}}}", encoding="utf-8")
        process = start(temporary, "record", f"--from-fedmsg-config={site}")
        assert process.stdout is not None
        try:
            bus.wait()
            lines = [process.stdout.readline()]
            for _ in range(2):  # each is there before the next one comes
                bus.publish("org.example.prod.test", {"msg": {}})
                lines.append(process.stdout.readline())
            process.send_signal(number)
            rest, stderr = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()

    assert process.returncode == 0, stderr
    assert [list(json.loads(line)) for line in lines] == [
        ["glasshub_recording", "begun", "endpoints"],
        ["at", "topic", "body"],
        ["at", "topic", "body"],
    ]
    assert not rest
    assert "2 messages in" in stderr


def test_consumers_that_print_or_read_are_not_in_the_way(tmp_path: Path, temporary: Path) -> None:
    document = spike(
        temporary,
        tmp_path / "o",
        "--consumer=tests.integration.spiked:Chatty",
        "--shape=threads",
        "--rate=50",
        "--seconds=0.4",
    )

    assert the_consumer(document)["failed"] == 0
    assert "a line of org.example.prod." in (tmp_path / "o" / "threads" / "hub.log").read_text(encoding="utf-8")


def test_a_consumer_of_fedmsg_gets_made_up_messages_although_nobody_has_signed_them(
    tmp_path: Path, temporary: Path
) -> None:
    site = tmp_path / "fedmsg.d"
    site.mkdir()
    status = tmp_path / "status"
    values = {
        "endpoints": {"bodhi.app": ["tcp://127.0.0.1:1"]},
        "status_directory": str(status),
        "validate_signatures": True,
        "environment": "prod",
        "topic_prefix": "org.example",
        "old.site.enabled": True,
    }
    (site / "site.py").write_text(f"config = {values!r}", encoding="utf-8")

    done = run(
        temporary,
        "spike",
        f"--fedmsg-config={site}",
        "--consumer=tests.integration.old_site:Site",
        "--quiet=0.5",
        "--rate=40",
        "--seconds=0.5",
        f"--output={tmp_path / 'o'}",
        where=tmp_path,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Signatures are not validated" in done.stdout
    document = json.loads((tmp_path / "o" / "spike.json").read_text(encoding="utf-8"))
    assert the_consumer(document)["processed"] == 21
    assert not status.exists()


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("method", ["bind", "connect"])
def test_a_hub_that_runs_is_measured_and_left_as_it_was(
    tmp_path: Path, temporary: Path, sockets: Path, method: str, transport: str
) -> None:
    endpoint = f"ipc://{sockets}/in" if transport == "ipc" else free_endpoint()
    toml = f'[zmq]\nmethod = "{method}"\nendpoints = ["{endpoint}"]\n[hub]\nshape = "threads"\n'
    directory = tmp_path / "hub"
    directory.mkdir()
    with hub_on(None, directory, f"--consumer={SLOW}", toml=toml) as hub:
        document = spike(
            temporary,
            tmp_path / "o",
            f"--to={endpoint}",
            "--name=h",
            f"--stats-dir={directory}",
            "--yes-really",
            "--load=constant",
            "--rate=100",
            "--seconds=0.8",
        )
        is_running = hub.snapshot().status() == "running"
        asked = ["forecast", f"--stats-dir={directory}", "--rate=100", "--seconds=10", "--json"]
        forecast = json.loads(run(temporary, *asked).stdout)
        hub.stop()

    slow = the_consumer(document)
    assert is_running
    assert document["hub"] == "h"
    assert slow["processed"] == 81
    assert slow["peak_backlog"] == pytest.approx((100 - 1 / COST) * 0.8, rel=0.25)
    (found,), basis = forecast["consumers"], forecast["basis"]
    assert found["service_rate"] == pytest.approx(1 / COST, rel=0.15)
    assert found["peak_backlog"] == pytest.approx((100 + basis["bus_rate"] - found["service_rate"]) * 10)


def test_a_hub_that_is_not_the_one_that_listens_gets_no_load(tmp_path: Path, temporary: Path, sockets: Path) -> None:
    """One message tells; the others are never published."""
    toml = f'[zmq]\nmethod = "bind"\nendpoints = ["ipc://{sockets}/in"]\n'
    directory, other = tmp_path / "hub", tmp_path / "other"
    for each in (directory, other):
        each.mkdir()
    with (
        hub_on(None, directory, f"--consumer={SLOW}", toml=toml) as listening,
        hub_on(None, other, "--zmq=tcp://127.0.0.1:1", f"--consumer={SLOW}"),
    ):
        done = run(
            temporary,
            "spike",
            "--no-discover",
            f"--to=ipc://{sockets}/in",
            "--name=h",
            f"--stats-dir={other}",
            "--yes-really",
            f"--output={tmp_path / 'o'}",
        )
        received = listening.snapshot().hub.received

    assert done.returncode == 1
    assert "but not hub h" in done.stderr
    assert received == 1


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("ipc://{sockets}/in", "subscribed within 5 seconds: no hub listens there"),
        ("tcp://nonsense", "cannot publish at tcp://nonsense: Invalid argument"),
    ],
)
def test_an_endpoint_at_which_nobody_listens_gets_nothing(
    tmp_path: Path, temporary: Path, sockets: Path, endpoint: str, complaint: str
) -> None:
    with hub_on(None, tmp_path, "--zmq=tcp://127.0.0.1:1", f"--consumer={SLOW}"):
        done = run(
            temporary,
            "spike",
            "--no-discover",
            f"--to={endpoint.format(sockets=sockets)}",
            "--name=h",
            f"--stats-dir={tmp_path}",
            "--yes-really",
            f"--output={tmp_path / 'o'}",
        )

    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_consumer_that_cannot_be_built_is_shown_with_the_log(tmp_path: Path, temporary: Path) -> None:
    done = run(temporary, "spike", "--no-discover", "--consumer=nowhere:None_", f"--output={tmp_path / 'o'}")

    assert done.returncode == 1
    assert "the hub failed; its log" in done.stderr
    assert "No module named 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_spike_leaves_nothing_behind(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    output = tmp_path / "o"
    process = start(temporary, "spike", "--no-discover", f"--consumer={SLOW}", "--quiet=0.2", f"--output={output}")
    assert process.stdout is not None
    try:
        next(line for line in process.stdout if " spike " in line and "published" in line)
        process.send_signal(number)
        said, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "Interrupted" in said
    assert not using(output)


def test_a_killed_spike_takes_its_processes_along(tmp_path: Path, sockets: Path) -> None:
    """They end with the pipes that connect them to it."""
    output = tmp_path / "o"
    process = start(sockets, "spike", "--no-discover", f"--consumer={SLOW}", "--quiet=0.2", f"--output={output}")
    assert process.stdout is not None
    try:
        next(line for line in process.stdout if " spike " in line and "published" in line)
    finally:
        process.kill()
        process.communicate()

    wait_until(lambda: not using(output), "the processes of the spike to end")


def free_endpoint() -> str:
    """One at which nobody is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"tcp://127.0.0.1:{taken.getsockname()[1]}"


def using(output: Path) -> list[int]:
    """Processes that have a file in the directory open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(link) for link in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any(str(output) in link for link in links):
            found.append(int(entry.name))
    return found
