# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prometheus' own judge of rules and expressions, without its daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .venvs import cached, unpack_deb

#: Seconds that a run may take.
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
    return str(cached("promtool", made_of="prometheus", make=_unpack) / "promtool")


def _unpack(directory: Path) -> None:
    package = directory / "package"
    unpack_deb("prometheus", package)
    shutil.move(package / "usr/bin/promtool", directory)
    shutil.rmtree(package)  # a daemon of a hundred megabytes
