# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub check` as Nagios starts it: of a live hub, of one that is held or killed, and on a disk that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ..contract.segments import Segment
from ..disks import CannotMountError, HungDisk
from .hubs import DEADLINE, ROOT, Bus, HubProcess, hub_on, wait_until

HERE = "tests.integration.consumers"
OK, WARNING, CRITICAL, UNKNOWN = range(4)


#: The program check_glasshub.
PROGRAM = ("-c", "import sys; from glasshub.check.commandline import main; sys.exit(main())")


def start(
    *arguments: object,
    program: Sequence[str] = PROGRAM,
    stdout: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "hub"), **(environment or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def check(*arguments: object, **environment: str) -> tuple[int, str]:
    """Exit code and standard output; nothing may stand on standard error."""
    process = start(*arguments, environment=environment)
    out, err = process.communicate(timeout=DEADLINE)
    assert not err
    return process.returncode, out.removesuffix("\n")


def failing(directory: Path) -> str:
    return f'[consumers.Failing]\nclass = "{HERE}:Failing"\n[consumers.Everything]\nclass = "{HERE}:Everything"\n'


def publish(bus: Bus, hub: HubProcess, count: int) -> None:
    """Publish so many more messages, and wait until everybody is done with them."""
    before = hub.snapshot().consumers[0].finished
    bus.publish_many(count)
    hub.wait_until_finished(before + count)


def test_failures_of_a_live_hub_are_those_since_each_caller_looked(tmp_path: Path, bus: Bus) -> None:
    def look(caller: str) -> tuple[int, str]:
        return check("failures", hub.segment, "-w", 0, "-c", 10, "--state", tmp_path / caller)

    with hub_on(bus, tmp_path, toml=failing(tmp_path)) as hub:
        publish(bus, hub, 20)
        first = look("a")
        publish(bus, hub, 3)
        seconds = look("a"), look("b")
        third = look("a")

    assert first[0] == CRITICAL
    assert "Failing: 20 messages failed (outside range 0:10); since the hub's start" in first[1]
    assert [code for code, _ in seconds] == [WARNING, CRITICAL]
    assert "Failing: 3 messages failed (outside range 0:0); in the last" in seconds[0][1]
    assert third[0] == OK
    assert hub.snapshot().consumer("Failing").failed == 23  # nobody has reset anything


def test_hub_that_is_held_and_then_killed_is_critical(tmp_path: Path, bus: Bus) -> None:
    def look() -> tuple[int, str]:
        return check("backlog", "h", "--stats-dir", tmp_path, "--stale-after", 5)

    with hub_on(bus, tmp_path, toml=failing(tmp_path)) as hub:
        alive = look()
        hub.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: hub.snapshot().status(5) == "stuck", "the heartbeat to be old")
        held = look()
        hub.process.send_signal(signal.SIGCONT)
        hub.wait_until(lambda snapshot: snapshot.is_up(5), "the heartbeat")
        again = look()
        hub.process.kill()
        hub.process.wait()
        killed = look()

    assert (alive[0], held[0], again[0], killed[0]) == (OK, CRITICAL, OK, CRITICAL)
    assert f"h is stuck: its process (pid {hub.process.pid}) lives, but has shown no heartbeat for" in held[1]
    assert f"h is down: its process (pid {hub.process.pid}) ended without a goodbye" in killed[1]


def test_hub_that_was_stopped_in_order_may_be_well(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=failing(tmp_path)) as hub:
        hub.stop()

        assert check("up", hub.segment)[0] == CRITICAL
        assert check("up", hub.segment, "--absent", "ok")[0] == OK


def test_two_readings_are_taken_an_interval_apart(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats")):
        begin = time.monotonic()
        code, out = check("failures", tmp_path / "h.stats", "--interval", "0.7")

    assert time.monotonic() - begin >= 0.7
    assert code == OK
    assert "; in " in out


def test_disk_that_hangs_does_not_hang_the_check(tmp_path: Path) -> None:
    """Its child hangs, and nobody can end that but the disk."""
    try:
        disk = HungDisk(tmp_path / "disk")
    except CannotMountError as error:
        pytest.skip(f"{error}; try it as root, where there is a /dev/fuse")
    with disk:
        begin = time.monotonic()
        process = start("up", disk.path / "h.stats", "-t", "1")
        disk.wait_until_somebody_hangs()
        out, err = process.communicate(timeout=DEADLINE)

    assert time.monotonic() - begin < 10
    assert (process.returncode, err) == (UNKNOWN, "")
    assert out == "GLASSHUB UP UNKNOWN - no answer within 1 s: does the disk hang? See -t\n"


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_check_that_is_interrupted_is_unknown(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats")):
        process = start("failures", "--interval", "90", "-t", "100", "--stats-dir", tmp_path)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text() and is_asleep(process.pid), "the check to wait for its child")
        child = Path(f"/proc/{children.read_text().strip()}")

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)

    assert (process.returncode, err) == (UNKNOWN, "")
    assert out == "GLASSHUB CHECK UNKNOWN - interrupted\n"
    wait_until(lambda: not child.exists(), "its child to be gone, and not to sleep on")


def test_glasshub_check_is_the_same_program(tmp_path: Path) -> None:
    process = start("check", "backlog", "-w", "many", program=["-m", "glasshub"])

    out, err = process.communicate(timeout=DEADLINE)

    assert (process.returncode, err) == (UNKNOWN, "")
    assert out.startswith("GLASSHUB CHECK UNKNOWN - argument -w/--warning: 'many' is not a range")


def test_answer_that_nobody_reads_is_unknown(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start("up", "--stats-dir", tmp_path, stdout=writer)
    os.close(writer)

    _, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == UNKNOWN
    assert "Traceback" not in err


def test_text_that_the_locale_lacks_is_replaced(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats"), [("Bücher", 1)]):
        code, out = check("backlog", tmp_path / "h.stats", PYTHONIOENCODING="ascii")

    assert code == OK
    assert "B?cher: 0 messages waiting" in out
