# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual environments that are made once, and kept in the cache until something that they are made of changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..needs import give_up

#: Seconds that one command has; half a minute is usual.
_DEADLINE = 240.0

#: Seconds after which an environment of which nobody has made another one is thrown away.
_LIFETIME = 30 * 24 * 3600.0


def cached_venv(name: str, *, python: Path, made_of: object, fill: Callable[[Path], None]) -> Path:
    """The interpreter of an environment, which is made first where it is not there yet.

    Args:
        name: What it is for.
        python: The interpreter that makes it.
        made_of: Everything that it depends on: whoever changes that gets a new one.
        fill: Installs what belongs into it, given its interpreter.
    """
    key = hashlib.sha256(repr((made_of, str(python.resolve()))).encode()).hexdigest()[:16]
    directory = _cache() / f"{name}-{key}"
    if not directory.exists():
        _forget_old()
        _make(directory, python, fill)
    return directory / "bin" / "python"


def pip(python: Path, *arguments: str) -> None:
    """Have the pip of an environment do something; the test ends where it cannot."""
    run(str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def run(*command: str) -> None:
    """Run a command without which there is no environment; the test ends where it fails."""
    try:
        done = subprocess.run(command, timeout=_DEADLINE, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        give_up(f"{' '.join(command)} took longer than {_DEADLINE:.0f} s")
    if done.returncode:
        give_up(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-2000:]}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glasshub-tests"


def _make(directory: Path, python: Path, fill: Callable[[Path], None]) -> None:
    """Make it under another name, so that one which is half made is never taken for whole.

    The commands of its packages name an interpreter that is no more: they are run with `python -m`.
    """
    unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
    try:
        run(str(python), "-m", "venv", str(unfinished))
        fill(unfinished / "bin" / "python")
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _forget_old() -> None:
    for directory in _cache().glob("*-*"):
        if directory.stat().st_mtime < time.time() - _LIFETIME:
            shutil.rmtree(directory, ignore_errors=True)
