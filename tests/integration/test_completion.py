# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bash, zsh and fish propose."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ..needs import program
from .hubs import ROOT

COMPLETION = ROOT / "packaging" / "completion"

#: Calls what `complete` has registered, as readline does, and prints what that proposes.
_BASH = """
source {script}
COMP_WORDS=({line}) COMP_CWORD=$(({words} - 1))
function=$(complete -p glasshub | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

_FISH = "source {script}; complete -C {line!r} | cut -f1"

#: Types into a shell of its own, and returns when the line is what it should be.
_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=({directory} \\$fpath); autoload -U compinit; compinit -u -D; PS1=; echo re''ady"
zpty -r shell said '*ready*'
zpty -n -w shell $'{typed}\\t'
zpty -r shell said '*{line}*'
zpty -d shell
"""


def said_by(shell: str, script: str, directory: Path) -> list[str]:
    """Its words; the test fails if it says nothing for too long."""
    options = {"bash": ["--noprofile", "--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    return subprocess.run(
        [program(shell), *options, "-c", script],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout.split()


def proposed(shell: str, words: list[str], directory: Path) -> set[str]:
    """What the shell proposes for the last of these words."""
    script = COMPLETION / f"glasshub.{shell}"
    if shell == "bash":
        line = " ".join(f"'{word}'" for word in words)
        return set(said_by(shell, _BASH.format(script=script, line=line, words=len(words)), directory))
    return set(said_by(shell, _FISH.format(script=script, line=" ".join(words)), directory))


both = pytest.mark.parametrize("shell", ["bash", "fish"])


@both
def test_a_command_is_completed(shell: str, tmp_path: Path) -> None:
    assert proposed(shell, ["glasshub", "sta"], tmp_path) == {"stats"}


@both
def test_all_commands_are_proposed_before_a_letter_is_typed(shell: str, tmp_path: Path) -> None:
    assert proposed(shell, ["glasshub", ""], tmp_path) >= {"run", "config", "stats", "spool", "demo"}


@both
def test_an_option_of_a_command_is_completed(shell: str, tmp_path: Path) -> None:
    assert proposed(shell, ["glasshub", "run", "--allow"], tmp_path) == {"--allow-unsafe-config"}


@both
def test_an_action_of_a_command_is_completed(shell: str, tmp_path: Path) -> None:
    assert proposed(shell, ["glasshub", "spool", "comp"], tmp_path) == {"compact"}


@both
def test_the_choices_of_an_option_are_proposed(shell: str, tmp_path: Path) -> None:
    choices = {"text", "json", "openmetrics", "putval"}

    assert proposed(shell, ["glasshub", "stats", "--format", ""], tmp_path) == choices


@both
def test_a_file_is_proposed_where_one_is_wanted(shell: str, tmp_path: Path) -> None:
    (tmp_path / "badges.toml").touch()

    assert proposed(shell, ["glasshub", "run", "--config", "bad"], tmp_path) == {"badges.toml"}


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("glasshub sta", "glasshub stats"),
        ("glasshub run --allow", "glasshub run --allow-unsafe-config"),
        ("glasshub spool comp", "glasshub spool compact"),
        ("glasshub stats --format op", "glasshub stats --format openmetrics"),
        ("glasshub run --config bad", "glasshub run --config badges.toml"),
    ],
)
def test_zsh_completes(tmp_path: Path, typed: str, line: str) -> None:
    (tmp_path / "badges.toml").touch()
    shutil.copy(COMPLETION / "glasshub.zsh", tmp_path / "_glasshub")

    said_by("zsh", _ZSH.format(directory=tmp_path, typed=typed, line=line), tmp_path)
