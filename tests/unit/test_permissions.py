# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may not look into a directory is told so in one line, whatever the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..needs import give_up

HUB = Path(__file__).parents[2] / "hub"

#: Makes root an ordinary user as far as files go.
_WITHOUT = "-dac_override,-dac_read_search"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["config", "--config", "{}/a.toml"], "--config: cannot look for it: permission denied"),
        (["config", "--config-filename", "{}/a.py"], "--config-filename: cannot look for it: permission denied"),
        (["spool", "list", "{}"], "cannot look into {}: Permission denied: be root, or the hub's user"),
        (["spool", "compact", "{}"], "cannot look into {}: Permission denied: be root, or the hub's user"),
        (["stats", "--stats-dir", "{}"], "there is no segment (*.stats) in {}, which this user may not read"),
        (["stats", "{}/a.stats"], "{}/a.stats: cannot open the segment: Permission denied"),
        (["graph", "--data-dir", "{}"], "cannot read {}: Permission denied"),
        (["dashboard", "--write", "{}/a.html"], "cannot write in {}: Permission denied"),
    ],
)
def test_directory_that_is_closed_costs_one_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    command = [sys.executable, "-m", "glasshub", *(argument.format(closed) for argument in arguments)]

    said = subprocess.run(
        [*_as_nobody_special(), *command],
        env={**os.environ, "PYTHONPATH": str(HUB)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert said.returncode in {1, 2}, said
    assert said.stderr.startswith(f"glasshub: {complaint.format(closed)}")
    assert len(said.stderr.splitlines()) == 1


def _as_nobody_special() -> list[str]:
    if os.geteuid():
        return []
    setpriv = shutil.which("setpriv") or give_up("setpriv is not installed")
    return [setpriv, f"--bounding-set={_WITHOUT}", f"--inh-caps={_WITHOUT}"]
