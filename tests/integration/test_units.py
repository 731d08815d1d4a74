# SPDX-License-Identifier: LGPL-2.1-or-later
"""What packages install for systemd: units, users, directories, the default configuration; tried with its own tools."""

from __future__ import annotations

import grp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glasshub import cli, paths
from glasshub.cli import run as run_command
from glasshub.config import ConfigBuilder

from ..needs import give_up, output, program
from .hubs import ROOT, Bus, hub_on, wait_until

PACKAGED = ROOT / "packaging" / "systemd"
UNITS = ("glasshub.service", "glasshub@.service")

each_unit = pytest.mark.parametrize("name", UNITS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with nothing in it but our users, as systemd makes them."""
    (tmp_path / "etc").mkdir()
    for kind in ("sysusers", "tmpfiles"):
        directory = tmp_path / "usr" / "lib" / f"{kind}.d"
        directory.mkdir(parents=True)
        shutil.copy(PACKAGED / f"glasshub.{kind}.conf", directory / "glasshub.conf")
    output("systemd-sysusers", "--root", str(tmp_path), "glasshub.conf")
    return tmp_path


def settings(name: str) -> dict[str, str]:
    """What a unit says; what it says more than once, on as many lines."""
    found: dict[str, str] = {}
    for key, _, value in (line.partition("=") for line in lines(name)):
        found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def lines(name: str) -> list[str]:
    """What a unit says, without comments."""
    return [line for line in (PACKAGED / name).read_text().splitlines() if line and not line.startswith("#")]


@each_unit
def test_a_unit_is_one_for_systemd(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name
    unit.write_text((PACKAGED / name).read_text().replace("/usr/bin/glasshub", sys.executable))

    done = subprocess.run(
        [program("systemd-analyze"), "--man=no", "verify", unit], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if "glasshub" in line] == []
    assert done.returncode == 0


@each_unit
def test_a_unit_lets_its_consumers_do_little(name: str) -> None:
    command = [
        program("systemd-analyze"),
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        str(PACKAGED / name),
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def test_the_units_differ_in_nothing_but_names() -> None:
    one, many = ({line.partition("=")[0] for line in set(lines(a)) - set(lines(b))} for a, b in (UNITS, UNITS[::-1]))

    assert one == {"Description", "Conflicts", "ExecStart"}
    assert many == {"Description", "ExecStart"}


@each_unit
def test_the_command_of_a_unit_is_one_of_ours(name: str) -> None:
    program, *arguments = settings(name)["ExecStart"].replace("%i", "badges").split()

    options = cli.command_line().parse_args(arguments)

    assert program == "/usr/bin/glasshub"
    assert options.func is run_command.run
    assert options.config in {"/etc/glasshub/glasshub.toml", "/etc/glasshub/badges.toml"}


@each_unit
def test_a_hub_is_not_started_anew_for_what_will_not_change(name: str) -> None:
    codes = {int(code) for code in settings(name)["RestartPreventExitStatus"].split()}

    assert codes == {cli.EXIT_USAGE, run_command.EXIT_LEFT}


@each_unit
def test_a_unit_makes_the_directories_that_hub_and_configuration_name(name: str) -> None:
    builder = ConfigBuilder()
    builder.read_toml(PACKAGED / "glasshub.toml")

    unit = settings(name)

    assert Path("/run", unit["RuntimeDirectory"]) == paths.SYSTEM_DIRECTORY
    assert unit["RuntimeDirectoryPreserve"] == "yes"  # else the first hub that stops takes it from the others
    assert f"/var/lib/{unit['StateDirectory']}" == builder.get("spool", "directory")


def test_the_hub_may_give_its_segment_to_the_group_of_readers(root: Path) -> None:
    builder = ConfigBuilder()
    builder.read_toml(PACKAGED / "glasshub.toml")
    groups = {line.split(":")[0]: line.split(":")[3] for line in (root / "etc/group").read_text().splitlines()}
    readers = re.search("^SupplementaryGroups=(.*)$", (PACKAGED / "read-stats.conf").read_text(), re.MULTILINE)

    assert readers is not None
    assert groups[builder.get("stats", "group")] == "glasshub"
    assert readers[1] == builder.get("stats", "group")


def test_the_user_is_the_one_of_the_units_and_cannot_log_in(root: Path) -> None:
    name, _, uid, _, _, home, shell = (root / "etc/passwd").read_text().strip().split(":")

    assert {name} == {settings(unit)["User"] for unit in UNITS}
    assert 0 < int(uid) < 1000
    assert home == "/var/lib/glasshub"
    assert shell.endswith("nologin")


def test_the_directory_of_segments_is_the_hubs_and_open_to_readers(root: Path) -> None:
    if os.geteuid() != 0:
        give_up("only root may give a directory to another user: sudo pytest tests/integration/test_units.py")

    output("systemd-tmpfiles", "--root", str(root), "--create", "glasshub.conf")

    status = (root / "run/glasshub").stat()
    assert f":{status.st_uid}:{status.st_gid}:" in (root / "etc/passwd").read_text()
    assert status.st_mode & 0o777 == 0o755


@pytest.mark.parametrize("with_examples", [False, True])
def test_the_default_configuration_is_one(tmp_path: Path, with_examples: bool) -> None:
    file = tmp_path / "glasshub.toml"
    file.write_text(configuration(with_examples=with_examples))
    command = [sys.executable, "-m", "glasshub", "config", "--no-discover", "--config", str(file)]

    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "hub")}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf'^group = "glasshub-stats" +# {file}$', done.stdout, re.MULTILINE)
    assert ('class = "mailer:Mailer"' in done.stdout) is with_examples


@pytest.mark.slow
def test_a_hub_at_work_makes_no_system_call_that_the_units_forbid(tmp_path: Path, bus: Bus) -> None:
    """Here nobody hinders it: only in a unit that runs could one see what comes of it."""
    toml = f'[spool]\ndirectory = "{tmp_path}"\n[stats]\ngroup = "{grp.getgrgid(os.getgid()).gr_name}"\n'
    trace, consumer = tmp_path / "trace", "tests.integration.consumers:Everything"
    with hub_on(bus, tmp_path, "--consumer", consumer, toml=toml, python=traced(trace)) as hub:
        bus.publish_many(10)
        hub.wait_until_finished(10)
        assert hub.stop() == 0
        end = re.compile(rf"^{hub.process.pid} +\+\+\+ exited", re.MULTILINE)
        wait_until(lambda: end.search(trace.read_text()), "the end of the trace")

    calls = trace.read_text()
    made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", calls, re.MULTILINE))
    assert made > {"chown", "fdatasync", "flock", "setpriority"}
    assert made - allowed_calls(settings("glasshub.service")["SystemCallFilter"].split("\n")) == set()
    assert "PROT_WRITE|PROT_EXEC" not in calls  # MemoryDenyWriteExecute=


def traced(trace: Path) -> Path:
    """An interpreter that writes down its system calls, and those of its children; the tracer is no child of ours."""
    python = trace.with_name("python")
    python.write_text(f'#!/bin/sh\nexec {program("strace")} -D -f -q -o {trace} {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def allowed_calls(filters: list[str]) -> set[str]:
    """Those that a unit allows; the first of its filters allows, and so does each one without a tilde."""
    sets = {name: set(re.findall(r"^ +([@\w-]+)", text, re.MULTILINE)) for name, text in sets_of_calls()}
    allowed: set[str] = set()
    for one in filters:
        named = expanded(one.lstrip("~"), sets)
        allowed = allowed - named if one.startswith("~") else allowed | named
    return allowed


def sets_of_calls() -> list[tuple[str, str]]:
    """The sets of system calls that systemd knows, with what it says of each."""
    text = output("systemd-analyze", "--no-pager", "syscall-filter")
    return re.findall(r"^(@[\w-]+)\n((?: .*\n)+)", text, re.MULTILINE)


def expanded(name: str, sets: dict[str, set[str]]) -> set[str]:
    """The calls of a set, and of those that are in it."""
    if not name.startswith("@"):
        return {name}
    return set().union(*(expanded(part, sets) for part in sets[name]))


def configuration(*, with_examples: bool) -> str:
    """The default configuration, if wanted with its examples as if they were meant."""
    text = (PACKAGED / "glasshub.toml").read_text()
    return re.sub(r"^# (?=[a-z]+ = |\[)", "", text, flags=re.MULTILINE) if with_examples else text
