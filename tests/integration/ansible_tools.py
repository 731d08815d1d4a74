# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ansible in an environment of its own, with no more of its collections than the role needs."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..interpreters import interpreters, numbers
from ..needs import give_up
from .debian_root import Machine
from .hubs import ROOT
from .venvs import cached_venv, pip

PROJECT = ROOT / "packaging" / "ansible"

#: Each minor version of ansible-lint knows further rules.
_REQUIREMENTS = ("ansible-core>=2.19,<2.20", "ansible-lint>=26.10,<26.11")

#: Has all collections, a hundred thousand files; Galaxy, which has them one by one, is not everywhere in reach.
_COLLECTIONS = "ansible>=12,<13"
_WANTED = ("ansible_collections/ansible/posix/", "ansible_collections/community/general/")

#: What ansible-core 2.19 runs on.
_PYTHONS = ((3, 11), (3, 13))

#: Seconds that a playbook has; half a minute is usual.
_DEADLINE = 200.0

_SCRIPT = """\
#!/bin/sh
exec "${{0%/*}}/python" -m ansible {command} "$@"
"""


@dataclass(frozen=True)
class Run:
    """What a playbook has done.

    Attributes:
        changed: Tasks that have changed something.
        text: Everything that Ansible said.
    """

    changed: int
    failed: int
    text: str


class Ansible:
    """Runs playbooks at a machine."""

    def __init__(self, directory: Path, machine: Machine, variables: str) -> None:
        """Prepare.

        Args:
            directory: For what it writes.
            machine: Where tasks run.
            variables: YAML, over what playbooks say.
        """
        self._directory = directory
        self._inventory = directory / "hosts.yml"
        self._inventory.write_text(_INVENTORY.format(root=machine.root, enter=_entrance(directory, machine)))
        self._variables = directory / "variables.yml"
        self._variables.write_text(variables)

    def play(self, playbook: Path, *arguments: str) -> Run:
        """Run a playbook, whatever becomes of it."""
        options = ["-i", str(self._inventory), "-e", f"@{self._variables}", *arguments]
        done = ansible("playbook", *options, str(playbook), cwd=playbook.parent, home=self._directory / "home")
        text = done.stdout + done.stderr
        recap = re.search(r"changed=(\d+) +unreachable=0 +failed=(\d+)", text)
        assert recap is not None, text
        changed, failed = map(int, recap.groups())
        return Run(changed, failed, text)


def ansible(command: str, *arguments: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands."""
    return _python("-m", "ansible", command, *arguments, cwd=cwd, home=home)


def lint(*arguments: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run ansible-lint."""
    return _python("-m", "ansiblelint", "--offline", "--nocolor", *arguments, cwd=cwd, home=home)


def _python(*arguments: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    python = _environment()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environment |= {
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    command = [str(python), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_DEADLINE, check=False
    )


def _environment() -> Path:
    found = [path for version, path in interpreters().items() if _PYTHONS[0] <= numbers(version)[:2] <= _PYTHONS[1]]
    if not found:
        give_up("ansible-core needs Python 3.11, 3.12 or 3.13")
    return cached_venv("ansible", python=found[0], made_of=(_REQUIREMENTS, _COLLECTIONS, _WANTED), fill=_fill)


def _fill(python: Path) -> None:
    pip(python, "install", *_REQUIREMENTS)
    environment = python.parents[1]
    pip(python, "download", "--no-deps", "--dest", str(environment), _COLLECTIONS)
    (wheel,) = environment.glob("ansible-*.whl")
    (library,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as collections:
        collections.extractall(library, [name for name in collections.namelist() if name.startswith(_WANTED)])
    wheel.unlink()
    # ansible-lint runs these, whose first line names where the environment was made.
    for script in python.parent.glob("ansible*"):
        command = script.name.partition("-")[2] or "adhoc"
        script.write_text(_SCRIPT.format(command=command), encoding="utf-8")


def _entrance(directory: Path, machine: Machine) -> Path:
    """What the connection takes for chroot: a program that gets a root and a command."""
    file = directory / "enter"
    file.write_text("#!/bin/sh\nshift\nexec " + " ".join(machine.command()) + ' "$@"\n')
    file.chmod(0o755)
    return file


_INVENTORY = """\
hubs:
  hosts:
    booted:
      ansible_connection: community.general.chroot
      ansible_host: {root}
      ansible_chroot_exe: {enter}
      ansible_python_interpreter: /usr/bin/python3
      ansible_become: false
"""
