# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody types all that `docs/tutorial.md` says, from the first line to the last, and sees what it shows."""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..needs import program
from .collectd_daemon import free_port
from .hubs import ROOT, wait_until
from .typed import Step, steps
from .venvs import cached, copy_checkout, pip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first run of a week fetches everything

TUTORIAL = ROOT / "docs" / "tutorial.md"

#: The port in the text, in whose place a free one is taken.
_PORT = "9940"

#: What only looks: such a command may be given again, until it shows what the text has.
_LOOKS = re.compile(r"(glasshub (stats|config|--version)|cat [^>]+$|grep|tail)\b")

#: A number, a duration, a time.
_NUMBER = r"\d+(?:[.:-]\d+)*(?:(?:us|ms|[smhd])(?:\d+(?:us|ms|[smhd]))*(?![a-z]))?(?!\d)"


def pattern(shown: str) -> re.Pattern[str]:
    """What an output has to match that is like the one shown.

    A number stands for any other one, but 0 for itself alone, and no other number for 0. `...` stands for anything, and
    spaces for as many as a column takes.
    """
    parts = []
    for part in re.split(rf"(\.\.\.| +|{_NUMBER})", shown.strip()):
        if part == "...":
            parts.append(r".*?")
        elif part.startswith(" "):
            parts.append(r" +")
        elif re.fullmatch(_NUMBER, part) and part not in {"0", "0s"}:
            parts.append(rf"(?!0s?(?![\d.:-])){_NUMBER}")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts), re.DOTALL)


class Shell:
    """bash, as somebody types into it who has just logged in; what it and its jobs print is in a file."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._output = directory / "typescript"
        self._typed = 0
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=directory / "checkout",
                env={"HOME": str(directory), "LANG": "C.UTF-8", **environment},
                start_new_session=True,
            )

    def type(self, commands: str) -> tuple[int, str]:
        """Exit code and output of commands; what runs in the background is not waited for."""
        assert self.process.stdin is not None
        before = len(self._said())
        self._typed += 1
        end = re.compile(rf"-- end of {self._typed}: (\d+)\n")
        self.process.stdin.write(f'{commands}\necho "-- end of {self._typed}: $?"\n'.encode())
        self.process.stdin.flush()
        wait_until(lambda: end.search(self._said()), f"the end of: {commands}", deadline=120)
        output, code, _ = end.split(self._said()[before:])
        return int(code), output

    def close(self) -> None:
        """End it, and whatever it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _said(self) -> str:
        return self._output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheels() -> Path:
    """What pip fetches for the tutorial, kept for a week."""

    def fetch(directory: Path) -> None:
        directory.mkdir()
        wanted = [str(copy_checkout(directory / "checkout")), "pip", "setuptools", "wheel"]
        pip(Path(sys.executable), "wheel", "--wheel-dir", str(directory), *wanted)

    week = tuple(datetime.date.today().isocalendar())[:2]
    return cached("wheels", made_of=(week, (ROOT / "setup.py").read_bytes(), sys.version_info[:2]), make=fetch)


@pytest.fixture
def shell(tmp_path: Path, wheels: Path) -> Iterator[Shell]:
    """A shell in a checkout, in a home with nothing else in it; pip finds everything without a network."""
    copy_checkout(tmp_path / "checkout")
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    pips = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_NO_COMPILE": "1", "PIP_CONFIG_FILE": os.devnull}
    made = Shell(tmp_path, {"PATH": path, **pips})
    yield made
    made.close()


@pytest.mark.usefixtures("program")  # collectd
def test_who_types_what_the_tutorial_says_sees_what_it_shows(shell: Shell, tmp_path: Path) -> None:
    program("rrdtool")
    port = str(free_port())
    told = steps(TUTORIAL)
    for step, following in zip(told, [*told[1:], Step("", "", "")]):
        text = step.text.replace(_PORT, port)
        if step.kind == "sh":
            do(shell, text, following.text.replace(_PORT, port) if following.kind == "text" else "")
        elif step.kind != "text":
            assert step.file, f"no file is named before {text}"
            (tmp_path / "tutorial" / step.file).write_text(text, encoding="utf-8")


def do(shell: Shell, commands: str, shown: str) -> None:
    """Type commands, and compare what they print; those that only look are given until they show it."""
    seen = []

    def done() -> bool:
        seen.append(shell.type(commands))
        code, output = seen[-1]
        return code == 0 and (pattern(shown).search(output) is not None if shown else not output.strip())

    if all(_LOOKS.match(line) for line in commands.splitlines()):
        try:
            wait_until(done, commands)
        except AssertionError:
            pytest.fail(f"{commands}\nshows\n{seen[-1]}\nand not\n{shown}")
    else:
        assert done(), f"{commands}\nshows\n{seen[-1]}\nand not\n{shown}"


def test_a_number_stands_for_any_other_one_but_for_0() -> None:
    like = pattern("Mailer  79 1.5s 0 0s glasshub 0.1.0\n...\nend 12:30")

    assert like.search("  Mailer 4   1m25s    0 0s glasshub 0.2.0\nanything\nat all\nend 07:00")
    assert not like.search("Mailer 0 1.5s 0 0s glasshub 0.1.0\n\nend 12:30")
    assert not like.search("Mailer 79 1.5s 3 0s glasshub 0.1.0\n\nend 12:30")
    assert not like.search("Mailer 79 1.5s 0 2s glasshub 0.1.0\n\nend 12:30")
    assert not like.search("Mailer 79 0s 0 0s glasshub 0.1.0\n\nend 12:30")
