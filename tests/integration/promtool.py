# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prometheus' own judge of rules and expressions, without its daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ..needs import give_up

#: Seconds that a download, or a run, may take.
_DEADLINE = 120.0


def promtool() -> str:
    """The program: as it is installed, or out of Debian's package, which would start a daemon if it were installed."""
    return shutil.which("promtool") or _unpacked()


def judged(directory: Path, *tests: dict[str, Any], rules: Path | None = None) -> str:
    """What `promtool test rules` complains about; nothing when all is as it should be.

    Args:
        directory: For the file that promtool reads.
        tests: As its documentation has them.
        rules: The rules to load.
    """
    file = directory / "promtool.yml"  # what JSON writes, YAML reads
    names = [str(rules)] if rules else []
    file.write_text(json.dumps({"rule_files": names, "evaluation_interval": "15s", "tests": tests}), encoding="utf-8")
    done = subprocess.run(
        [promtool(), "test", "rules", str(file)], capture_output=True, text=True, timeout=_DEADLINE, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _unpacked() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glasshub-tests"
    kept = cache / "promtool"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)  # apt downloads as a user of its own
            _run("apt-get", "download", "prometheus", directory=directory)
            (package,) = directory.glob("prometheus_*.deb")
            _run("dpkg-deb", "--extract", str(package), "unpacked", directory=directory)
            cache.mkdir(parents=True, exist_ok=True)
            ours = cache / f"promtool.{os.getpid()}"  # nobody shall run half of it
            shutil.copy(directory / "unpacked/usr/bin/promtool", ours)
            ours.replace(kept)
    return str(kept)


def _run(*command: str, directory: Path) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        give_up(f"promtool is not installed, nor to be had: {error}")
    if done.returncode:
        give_up(f"promtool is not installed, nor to be had: {' '.join(command)}: {done.stderr.strip()}")
