# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages installed in a system that is booted: what systemd makes of the units, and what it lets hubs do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import rpms
from .debian_root import WHEELS, Machine, debian
from .hubs import wait_until
from .test_rpm import SITE

pytestmark = pytest.mark.slow

#: The packages are for another Python than the one in there, which makes no difference to them.
_DROP_IN = f"[Service]\nEnvironment=PYTHONPATH={SITE}\nRestartSec=100ms\n"

_INSTALL_LIBRARIES = f"""
cd "$(python3 -c 'import site; print(site.getsitepackages()[0])')"
for wheel in {WHEELS}/*.whl; do python3 -m zipfile -e "$wheel" .; done
"""

_CONSUMER = """
from glasshub import Consumer

class Mailer(Consumer):
    topics = ("org.",)

    def consume(self, message):
        pass
"""

_CONSUMER_SECTION = """
[consumers.Mailer]
class = "mailer:Mailer"
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A Debian with our packages in it, as far as it can have them, and configured for two hubs."""
    with debian() as machine:
        packages = rpms.build(tmp_path_factory.mktemp("rpm"), "--without", "check")
        files = tmp_path_factory.mktemp("root")
        rpms.unpack([package for name, package in packages.items() if name != "src"], files)
        install(files, machine)
        for name in ("badges", "glasshub"):  # the latter is the default, of which both are made
            configure(machine, name)
        yield machine


@pytest.fixture
def machine(booted: Machine) -> Iterator[Machine]:
    """It, with no hub that runs."""
    yield booted
    booted.run("systemctl", "stop", "glasshub.service", "glasshub@*.service")
    booted.run("systemctl", "reset-failed")


def install(files: Path, machine: Machine) -> None:
    """Put files into the system, and have done what the system's package manager does."""
    with subprocess.Popen(["tar", "-C", files, "-c", "."], stdout=subprocess.PIPE) as packed:
        command = machine.command("tar", "-C", "/", "--no-same-owner", "--no-overwrite-dir", "-x")
        subprocess.run(command, stdin=packed.stdout, timeout=60, check=True)
    machine.run("sh", "-euc", _INSTALL_LIBRARIES)
    machine.run("systemd-sysusers")
    machine.run("systemd-tmpfiles", "--create")
    for unit in ("glasshub", "glasshub@"):
        machine.write(f"/etc/systemd/system/{unit}.service.d/python.conf", _DROP_IN.encode())
    machine.run("systemctl", "daemon-reload")


def configure(machine: Machine, name: str) -> None:
    """The default configuration, with a bus that nobody publishes at and a consumer."""
    default = machine.read("/etc/glasshub/glasshub.toml")
    file = f"/etc/glasshub/{name}.toml"
    machine.write(file, (default.replace("# endpoints = ", "endpoints = ") + _CONSUMER_SECTION).encode())
    machine.write(f"{SITE}/mailer.py", _CONSUMER.encode())
    machine.run("chgrp", "glasshub", file)
    machine.run("chmod", "0640", file)


def stats(machine: Machine, *groups: str) -> str:
    """What a user sees who is in these groups."""
    command = ["runuser", "-u", "nobody", *(f"--supp-group={group}" for group in groups), "--"]
    return machine.run(*command, "env", f"PYTHONPATH={SITE}", "/usr/bin/glasshub", "stats", check=False).stdout


def test_hubs_run_side_by_side_and_one_that_stops_takes_nothing_from_the_other(machine: Machine) -> None:
    machine.run("systemctl", "start", "glasshub.service", "glasshub@badges.service")
    both = stats(machine, "glasshub-stats")

    machine.run("systemctl", "stop", "glasshub.service")

    assert "\nglasshub: running" in "\n" + both
    assert "\nbadges: running" in "\n" + both
    assert machine.property("glasshub.service", "Result") == "success"
    left = stats(machine, "glasshub-stats")
    assert "badges: running" in left
    assert "! the hub was stopped; these are its last figures" in left


def test_who_is_not_in_the_group_sees_nothing(machine: Machine) -> None:
    machine.run("systemctl", "start", "glasshub.service")

    assert stats(machine) == ""


def test_the_backlog_is_on_disk_and_nobody_elses_business(machine: Machine) -> None:
    machine.run("systemctl", "start", "glasshub@badges.service")

    spool = machine.run("stat", "-c", "%U:%G %a", "/var/lib/glasshub", "/var/lib/glasshub/badges").stdout

    assert spool.splitlines() == ["glasshub:glasshub 700", "glasshub:glasshub 700"]


def test_a_hub_that_was_killed_is_started_anew(machine: Machine) -> None:
    machine.run("systemctl", "start", "glasshub.service")
    before = machine.property("glasshub.service", "MainPID")

    machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "glasshub.service")

    wait_until(lambda: machine.property("glasshub.service", "NRestarts") == "1", "a restart")
    wait_until(lambda: machine.property("glasshub.service", "ActiveState") == "active", "a hub that is ready")
    assert machine.property("glasshub.service", "MainPID") not in {"0", before}


def test_a_configuration_that_is_refused_is_said_once(machine: Machine) -> None:
    machine.write("/etc/glasshub/wrong.toml", b"[hub]\nshap = 'threads'\n")

    started = machine.run("systemctl", "start", "glasshub@wrong.service", check=False)

    wait_until(lambda: machine.property("glasshub@wrong.service", "ActiveState") == "failed", "systemd to give up")
    log = machine.run("journalctl", "--no-pager", "--output=cat", "--unit=glasshub@wrong.service").stdout
    assert started.returncode != 0
    assert machine.property("glasshub@wrong.service", "NRestarts") == "0"
    assert log.count("glasshub: /etc/glasshub/wrong.toml: unknown key 'hub.shap'; did you mean 'shape'?") == 1
