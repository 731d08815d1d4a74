# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real collectd in a directory of its own, and hubs for it to read."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import six

ROOT = Path(__file__).parents[2]
LIVE_HUB = Path(__file__).with_name("live_hub.py")

#: Seconds after which something that has to happen is taken not to.
DEADLINE = 20.0

_BEGINNING = """
Hostname "testhost"
BaseDir "{directory}"
PIDFile "{directory}/pid"
Interval {interval}
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{directory}/log"
  PrintSeverity true
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{directory}/collectd-unixsock"
</Plugin>
"""

_EVERY_HUB = """
LoadPlugin python
<Plugin python>
  ModulePath "{modules}"
  Import "collectd_glasshub"
  <Module "collectd_glasshub">
    Path "{directory}/*.stats"
  </Module>
</Plugin>
"""

_T = TypeVar("_T")


def until(look: Callable[[], _T], is_it: Callable[[_T], bool], what: str) -> _T:
    """The first thing seen that is it; looks again and again until the deadline.

    Raises:
        AssertionError: It did not come.
    """
    end = time.monotonic() + DEADLINE
    while not is_it(seen := look()):
        assert time.monotonic() < end, f"{what} did not come; the last that was seen is {seen!r}"
        time.sleep(0.02)
    return seen


class HubProcess:
    """A hub in a process of its own, made anew by each `start`.

    Attributes:
        path: Its segment.
        process: The process, after `start`.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._command = [sys.executable, str(LIVE_HUB), str(path), *options]

    def start(self) -> HubProcess:
        """Run the hub; it is there when its segment has been replaced."""
        before = self._inode()
        self.process = subprocess.Popen(self._command, env={**os.environ, "PYTHONPATH": str(ROOT / "hub")})
        until(self._inode, lambda inode: inode not in {0, before}, "the segment of the hub")
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process without a goodbye."""
        self.process.kill()
        self.process.wait()

    def _inode(self) -> int:
        return self.path.stat().st_ino if self.path.exists() else 0


@contextmanager
def hub_process(path: Path, *options: str) -> Iterator[HubProcess]:
    """A hub that runs when the context begins and is gone when it ends."""
    hub = HubProcess(path, *options)
    try:
        yield hub.start()
    finally:
        if hasattr(hub, "process"):
            hub.kill()


@dataclass(frozen=True)
class Row:
    """One line of a CSV file that collectd wrote: unix time, and a number."""

    time: float
    value: float


class Collectd:
    """One collectd; a context manager that starts it, and in the end stops it and looks whether it went well.

    Attributes:
        directory: Everything it reads and writes.
        log_file: Its log.
    """

    def __init__(self, program: str, directory: Path, config: str, *, log: str = "log") -> None:
        self.directory = directory
        self.log_file = directory / log
        self._config = directory / "collectd.conf"
        self._config.write_text(config, encoding="utf-8")
        self._command = [program, "-C", str(self._config)]
        # collectd would write the bytecode of our sources beside them
        self._environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    def __enter__(self) -> Collectd:
        with (self.directory / "output").open("wb") as output:
            self.process = subprocess.Popen([*self._command, "-f"], env=self._environment, stdout=output, stderr=output)
        try:
            until(self._is_answering, bool, "an answer from collectd")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        died = self.process.poll()
        self.process.terminate()
        try:
            left = self.process.wait(DEADLINE)
        finally:
            self._kill()
        if kind is None:
            assert died is None, f"collectd ended by itself with {died}: {self.log()}"
            assert left == 0, f"collectd ended with {left}: {self.log()}"

    def test(self) -> subprocess.CompletedProcess[str]:
        """Check the configuration and read everything once: `collectd -T`."""
        command = [*self._command, "-T"]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    def ask(self, command: str) -> list[str]:
        """The lines of the unixsock plugin's answer, without the one that counts them."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(self.directory / "collectd-unixsock"))
            client.sendall(command.encode() + b"\n")
            answer = client.makefile(encoding="utf-8")
            count = int(answer.readline().split()[0])
            return [answer.readline().rstrip("\n") for _ in range(count)]

    def value(self, name: str) -> float | None:
        """The number that collectd has now under plugin-instance/type-instance; None when it has none."""
        for host in self._hosts():
            for line in self.ask(f'GETVAL "{host}/{name}"'):
                return float(line.partition("=")[2])
        return None

    def await_value(self, name: str, expected: float | None) -> None:
        """Look at a value until it is what is expected."""
        until(lambda: self.value(name), lambda value: value == expected, f"{name} = {expected}")

    def await_known(self, name: str) -> float:
        """Look at a value until it is a number."""
        number = until(lambda: self.value(name), _is_known, f"{name} that is a number")
        assert number is not None
        return number

    def names(self) -> set[str]:
        """Everything that collectd has a value of, as plugin-instance/type-instance."""
        return {line.partition("/")[2] for line in self.ask("LISTVAL")}

    def log(self) -> str:
        """What it has logged."""
        return self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""

    def await_log(self, pattern: str) -> str:
        """Look at the log until a line in it matches; the answer is the line."""
        return until(lambda: _line(self.log(), pattern), bool, f"a line with {pattern} in the log")

    def rows(self, name: str) -> list[Row]:
        """What the csv plugin has written of a value, oldest first."""
        found = []
        for file in sorted((self.directory / "csv").glob(f"*/{name}-????-??-??")):
            lines = file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()[1:]
            found += [Row(*map(float, line.split(","))) for line in lines]
        return found

    def await_row(self, name: str, is_it: Callable[[Row], bool]) -> list[Row]:
        """Look at the rows until the last one is it; the answer is all of them."""
        return until(lambda: self.rows(name), lambda rows: bool(rows) and is_it(rows[-1]), f"a row of {name}")

    def _is_answering(self) -> bool:
        assert self.process.poll() is None, f"collectd did not start: {self.log()}"
        try:
            self.ask("LISTVAL")
        except OSError:
            return False
        return True

    def _hosts(self) -> set[str]:
        """What collectd calls this host; nothing before the first value."""
        return {line.split()[1].partition("/")[0] for line in self.ask("LISTVAL")}

    def _kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def module_path(directory: Path) -> Path:
    """A directory for ModulePath, with nothing in it but what the plugin needs."""
    path = directory / "modules"
    path.mkdir()
    (path / "glasshub_stats").symlink_to(ROOT / "hub/glasshub_stats")
    (path / "collectd_glasshub").symlink_to(ROOT / "collectd_plugin/collectd_glasshub")
    shutil.copy(six.__file__, path / "six.py")  # of the Python of the tests; good for any
    return path


def beginning(directory: Path, interval: float = 1.0) -> str:
    """What a configuration begins with: a log and a socket where `Collectd` looks for them."""
    return _BEGINNING.format(directory=directory, interval=interval)


def basic_config(directory: Path) -> str:
    """A configuration that reads every hub in the directory each second, and keeps nothing."""
    return beginning(directory) + _EVERY_HUB.format(directory=directory, modules=module_path(directory))


def free_port() -> int:
    """A TCP port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prometheus(port: int) -> dict[str, float]:
    """The page of write_prometheus: numbers by name and labels, without the host."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as page:
        text = page.read().decode("utf-8")
    return {
        re.sub(r',?instance="[^"]*"', "", name): float(number)
        for name, number in re.findall(r"^(collectd_\S+) (\S+) \d+$", text, re.MULTILINE)
    }


def _is_known(number: float | None) -> bool:
    return number is not None and not math.isnan(number)


def _line(text: str, pattern: str) -> str:
    return next((line for line in text.splitlines() if re.search(pattern, line)), "")
