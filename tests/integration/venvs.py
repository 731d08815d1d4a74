# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests make once, and keep in the cache until something that it is made of changes: environments, above all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ..needs import give_up, program

#: Seconds that one command has; half a minute is usual.
_DEADLINE = 240.0

#: Seconds after which an environment of which nobody has made another one is thrown away.
_LIFETIME = 30 * 24 * 3600.0

_ROOT = Path(__file__).parents[2]
_SOURCES = ("setup.py", "pyproject.toml", "README.md", "COPYING", "MANIFEST.in", "hub", "collectd_plugin")


def cached_venv(name: str, *, python: Path, made_of: object, fill: Callable[[Path], None]) -> Path:
    """The interpreter of an environment, which is made first where it is not there yet.

    Args:
        name: What it is for.
        python: The interpreter that makes it.
        made_of: Everything that it depends on: whoever changes that gets a new one.
        fill: Installs what belongs into it, given its interpreter.
    """

    def make(directory: Path) -> None:
        run(str(python), "-m", "venv", str(directory))
        fill(directory / "bin" / "python")

    return cached(name, made_of=(made_of, str(python.resolve())), make=make) / "bin" / "python"


def cached(name: str, *, made_of: object, make: Callable[[Path], None]) -> Path:
    """A directory, which is made first where it is not there yet; nobody writes to it later.

    Args:
        name: What it is for.
        made_of: Everything that it depends on: whoever changes that gets a new one.
        make: Makes it, given its path while it is not whole yet.
    """
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    directory = _cache() / f"{name}-{key}"
    if not directory.exists():
        _forget_old()
        _make(directory, make)
    return directory


def copy_checkout(directory: Path) -> Path:
    """Make a copy of what the distribution is built from: a build leaves its traces where it is made."""
    directory.mkdir()
    for name in _SOURCES:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, directory)
    return directory


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


def unpack_deb(package: str, directory: Path) -> None:
    """Put the files of one of Debian's packages below a directory, as whoever we are, without installing it.

    Args:
        package: Its name, or `NAME=VERSION`.
        directory: Where to; it is made where there is none.
    """
    program("apt-get")
    download = directory / "download"
    download.mkdir(parents=True)
    run("sh", "-c", 'cd "$0" && apt-get -q download "$1"', str(download), package)
    (archive,) = download.glob("*.deb")
    run("dpkg-deb", "--extract", str(archive), str(directory))
    shutil.rmtree(download)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glasshub-tests"


def _make(directory: Path, make: Callable[[Path], None]) -> None:
    """Make it under another name, so that one which is half made is never taken for whole.

    The commands of an environment's packages name an interpreter that is no more: they are run with `python -m`.
    """
    unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    try:
        make(unfinished)
        if not directory.exists():  # another process may have been faster
            unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _forget_old() -> None:
    for directory in _cache().glob("*-*"):
        if directory.stat().st_mtime < time.time() - _LIFETIME:
            shutil.rmtree(directory, ignore_errors=True)
