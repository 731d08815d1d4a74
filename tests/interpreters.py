# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every Python of this machine: those on the path, and those of pyenv."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

#: From the oldest distribution whose collectd we serve to the next Python but one.
_NAMES = ["python2.7", *(f"python3.{minor}" for minor in range(6, 16))]


@functools.cache
def interpreters() -> dict[str, Path]:
    """One interpreter for each version, such as 3.9.18, from 2.7 and 3.6 on; the oldest first."""
    places = [Path(directory, name) for directory in os.get_exec_path() for name in _NAMES]
    places += sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    found: dict[str, Path] = {}
    for place in places:
        if os.access(place, os.X_OK):
            version = _version(place)
            if numbers(version)[:2] == (2, 7) or numbers(version) >= (3, 6):
                found.setdefault(version, place)
    return dict(sorted(found.items(), key=lambda item: numbers(item[0])))


def numbers(version: str) -> tuple[int, ...]:
    """A version in the form in which versions compare."""
    return tuple(map(int, re.findall(r"\d+", version)))


def _version(python: Path) -> str:
    """What the interpreter says that it is; nothing when it does not run, as many a pyenv shim."""
    command = [str(python), "-c", "import sys; print('%s.%s.%s' % sys.version_info[:3])"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=20, check=True, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.decode().strip()
