# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub demo` for real, with a short spike: every process, every shape, and nothing left when it is over."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from glasshub.demo import collectd

from ..needs import give_up

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The directory for temporary files of the demo, in which it leaves nothing.

    Not below pytest's own: the system allows a socket's path 107 bytes.
    """
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
        assert not os.listdir(directory)


def start(
    temporary: Path, output: Path, *arguments: str, path: str = "", where: Path | None = None
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "hub", ROOT / "collectd_plugin"))),
        "TMPDIR": str(temporary),
    }
    if path:
        environment["PATH"] = os.pathsep.join([path, os.environ["PATH"]])
    command = [sys.executable, "-m", "glasshub", "demo", "--output", str(output), "--seconds=2", "--rate=60"]
    return subprocess.Popen(
        [*command, *arguments],
        env=environment,
        cwd=where or temporary,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    temporary: Path, output: Path, *arguments: str, path: str = "", where: Path | None = None
) -> subprocess.CompletedProcess[str]:
    process = start(temporary, output, *arguments, path=path, where=where)
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    finally:
        end(process)
    assert not processes_of(output)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def end(process: subprocess.Popen[str]) -> None:
    """See to it that a demo is over, and has stopped its processes, whatever the test has come to."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


def processes_of(output: Path) -> list[str]:
    """Command lines of the processes that have to do with a demo."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            links = [os.readlink(link) for link in (entry / "fd").iterdir()]
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (str(output) in command or any(str(output) in link for link in links)):
            found.append(command)
    return found


def needs_collectd() -> None:
    problem = collectd.missing()
    if problem:
        give_up(problem)


def the_shape(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one shape of the document, after what holds for every shape."""
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (shape,) = document["shapes"]
    assert document["ok"]
    assert shape["published"] >= 121
    assert [consumer["name"] for consumer in shape["consumers"]] == ["Datanommer", "IrcBot", "Badges", "Notifications"]
    for consumer in shape["consumers"]:
        words = ("processed", "failed", "invalid", "dropped", "left")
        assert consumer["published"] == sum(consumer[word] for word in words)
        assert consumer["caught_up_after"] < 30
        assert consumer["processing"]["p95"] >= consumer["processing"]["p50"] > 0
    datanommer, ircbot, *_ = shape["consumers"]
    assert datanommer["published"] == shape["published"] > ircbot["published"] > 0
    assert isinstance(shape, dict)
    return shape


@pytest.mark.parametrize("shape", ["inline", "shared", "threads", "processes"])
def test_every_message_is_accounted_for(tmp_path: Path, temporary: Path, shape: str) -> None:
    output = tmp_path / "demo"

    done = run(temporary, output, "--json", "--no-collectd", "--shape", shape)

    outcome = the_shape(done)
    assert outcome["shape"] == shape
    assert (outcome["consumers"][0]["wait"]["p50"] is None) == (shape == "inline")
    assert outcome["pictures"] == [str(output / "backlog.svg")]
    ElementTree.parse(output / "backlog.svg")
    with sqlite3.connect(output / shape / "datanommer.sqlite") as database:
        rows = database.execute("SELECT count(*) FROM messages").fetchone()
    database.close()
    assert rows == (outcome["published"],)


def test_a_real_collectd_watches_and_its_rrds_make_the_picture(tmp_path: Path, temporary: Path) -> None:
    needs_collectd()
    name = Path('a demo: "odd" characters, and relative')
    output = tmp_path / name

    done = run(temporary, name, "--json", where=tmp_path)

    outcome = the_shape(done)
    assert outcome["collectd"], outcome["remarks"]
    assert not outcome["remarks"]
    picture = output / "processes" / "backlog.png"
    assert outcome["pictures"] == [str(name / "processes" / "backlog.png")]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 5000
    assert len(list((output / "processes" / "rrd").glob("*/glasshub-demo.*/queue_length.rrd"))) == 4


def test_a_collectd_that_fails_says_why_and_the_demo_goes_on(tmp_path: Path, temporary: Path) -> None:
    needs_collectd()
    programs = tmp_path / "programs"
    programs.mkdir()
    broken = programs / "collectd"
    broken.write_text("#!/bin/sh\necho 'there is a spanner in the works' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    output = tmp_path / "demo"

    done = run(temporary, output, path=str(programs))

    assert done.returncode == 0, done.stderr
    assert "there is a spanner in the works" in done.stdout
    assert "goes on without it" in done.stdout
    assert f"Picture: {output / 'backlog.svg'}" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    output = tmp_path / "demo"
    process = start(temporary, output, "--no-collectd", "--seconds=60")
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "spike" in line and "published" in line:
                break
        began = time.monotonic()
        process.send_signal(number)
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        end(process)

    assert process.returncode == 130
    assert time.monotonic() - began < 15
    assert "Interrupted" in said
    assert not processes_of(output)


def test_a_reader_that_goes_away_ends_the_demo(tmp_path: Path, temporary: Path) -> None:
    output = tmp_path / "demo"
    process = start(temporary, output, "--no-collectd")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read()
        process.wait(PATIENCE)
    finally:
        end(process)

    assert process.returncode == 141
    assert not complaints
    assert not processes_of(output)


def test_a_directory_that_is_not_a_demos_is_refused(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "precious").touch()

    done = run(temporary, tmp_path)

    assert done.returncode == 2
    assert "was not made by a demo" in done.stderr
    assert (tmp_path / "precious").exists()


def test_its_consumers_run_on_any_bus(tmp_path: Path) -> None:
    named = ",".join(f"glasshub.demo.consumers:{name}" for name in ("Datanommer", "IrcBot", "Badges", "Notifications"))
    command = [
        sys.executable,
        "-m",
        "glasshub",
        "run",
        "--no-discover",
        "--zmq=tcp://127.0.0.1:1",
        f"--with-consumers={named}",
    ]
    hub = subprocess.Popen(
        [*command, f"--stats-dir={tmp_path}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "hub")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert hub.stderr is not None
    try:
        said = next(line for line in hub.stderr if "runs: shape" in line or "ERROR" in line)
        hub.terminate()
        hub.communicate(timeout=PATIENCE)
    finally:
        hub.kill()

    assert "runs: shape processes" in said
    assert hub.returncode == 0
