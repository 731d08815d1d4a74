# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real NRPE daemon on loopback, which runs our plugins as Nagios has it run them: as nobody, with no arguments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import six

from .. import needs
from .collectd_daemon import free_port
from .hubs import DEADLINE, ROOT, wait_until

_NOBODY = 65534

_AS_NOBODY: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"}

_WRAPPER = """\
#!{python}
import os, sys
os.environ["TMPDIR"] = {directory!r} + "/nrpe"
sys.path.insert(0, {library!r})
from {module} import {function} as run
sys.exit(run(sys.argv[1:] + ["--stats-dir", {directory!r}]))
"""


class Answer:
    """What check_nrpe has said: its exit code, and its standard output."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.text = done.stdout

    def __repr__(self) -> str:
        return f"{self.code}: {self.text}"


class Nrpe:
    """The daemon.

    Attributes:
        is_nobody: Whether it runs as a user who may do nothing.
    """

    def __init__(self, directory: Path, commands: Mapping[str, str], *, is_nobody: bool) -> None:
        self.is_nobody = is_nobody
        self._client = _client()
        self._port = str(free_port())
        own = directory / "nrpe"
        own.mkdir()
        self._log = own / "log"
        config = directory / "nrpe.cfg"
        config.write_text(
            f"server_address=127.0.0.1\nserver_port={self._port}\nallowed_hosts=127.0.0.1\ndont_blame_nrpe=0\n"
            f"command_timeout=30\ndisable_syslog=1\nlog_file={self._log}\npid_file={own}/pid\n"
            + "".join(f"command[{name}]={line}\n" for name, line in commands.items()),
            encoding="utf-8",
        )
        if is_nobody:
            os.chown(own, _NOBODY, _NOBODY)
        user = _AS_NOBODY if is_nobody else {}
        self.process = subprocess.Popen([_daemon(), "-n", "-c", str(config), "-f"], **user)

    def wait_until_answering(self) -> None:
        """Wait until it listens."""
        wait_until(self._is_answering, "NRPE to answer")

    def ask(self, command: str) -> Answer:
        """Have it run a command, as Nagios does."""
        return Answer(self._ask("-c", command))

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(DEADLINE)

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self._client, "-n", "-H", "127.0.0.1", "-p", self._port, "-t", "25", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)

    def _is_answering(self) -> bool:
        assert self.process.poll() is None, f"NRPE has ended: {self._log.read_text()}"
        return self._ask().returncode == 0


@contextmanager
def nrpe_in(directory: Path, commands: Mapping[str, str]) -> Iterator[Nrpe]:
    """A daemon that answers these commands, for as long as the context lasts."""
    daemon = Nrpe(directory, commands, is_nobody=_python() is not None)
    try:
        daemon.wait_until_answering()
        yield daemon
    finally:
        daemon.close()


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that NRPE's user may look into, which it may not into those of pytest."""
    directory = Path(tempfile.mkdtemp(prefix="glasshub-nrpe-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def installed_plugins(directory: Path) -> Path:
    """The programs that setup.py declares, in a directory below this one, which is also where they look for segments.

    All that they need is copied: NRPE's user may not look into everybody's checkout.
    """
    library = directory / "lib"
    for package in ("glasshub", "glasshub_stats"):
        shutil.copytree(ROOT / "hub" / package, library / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(six.__file__, library / "six.py")
    plugins = directory / "plugins"
    plugins.mkdir()
    declared = re.findall(r'"(check_\w+) = ([\w.]+):(\w+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    for name, module, function in declared:
        program = plugins / name
        text = _WRAPPER.format(
            python=_python() or sys.executable,
            library=str(library),
            module=module,
            function=function,
            directory=str(directory),
        )
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    return plugins


def _python() -> str | None:
    """A Python that nobody may run, if we are root and there is one: that of the tests may be below /root."""
    if os.geteuid() != 0:
        return None
    return next(filter(_is_for_everybody, [sys.executable, "/usr/bin/python3"]), None)


def _is_for_everybody(python: str) -> bool:
    new_enough = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
    try:
        return subprocess.run(new_enough, **_AS_NOBODY, check=False).returncode == 0
    except OSError:
        return False


def _daemon() -> str:
    return shutil.which("nrpe", path="/usr/sbin:/sbin") or needs.program("nrpe")


def _client() -> str:
    places = os.pathsep.join(["/usr/lib/nagios/plugins", "/usr/lib64/nagios/plugins"])
    return shutil.which("check_nrpe", path=places) or needs.program("check_nrpe")
