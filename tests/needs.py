# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a machine lacks: a reason to skip a test at a desk, and to fail it where `CI=true` promises everything."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """End the test that cannot be run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program without which the test ends."""
    found = shutil.which(name)
    return found if found is not None else give_up(f"{name} is not installed")


def output(name: str, *arguments: str, cwd: Path | None = None) -> str:
    """What a program says, without which the test ends; one that fails fails the test, with what it said."""
    done = subprocess.run(
        [program(name), *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{name} {' '.join(arguments)}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def module(name: str) -> Any:
    """A module without which the test ends."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        give_up(str(error))
