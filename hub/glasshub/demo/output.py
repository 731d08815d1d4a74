# SPDX-License-Identifier: LGPL-2.1-or-later
"""The directory that keeps what a demo leaves. One of an earlier demo is replaced; one that is not ours is not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError

#: Made first and deleted last: who finds it knows that the directory is a demo's, whole or not.
_MARK = ".glasshub-demo"
_MARK_TEXT = "Made by `glasshub demo`, which deletes this directory's contents when it is told to write here again.\n"


@contextlib.contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Have the directory, empty, for as long as the context lasts.

    Raises:
        ConfigError: It is somebody else's, another demo is at it, or it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            _check(directory)
            directory.mkdir(parents=True, exist_ok=True)
            mark = stack.enter_context((directory / _MARK).open("a", encoding="utf-8"))
            _lock(mark.fileno(), directory)
            if not mark.tell():
                mark.write(_MARK_TEXT)
                mark.flush()
            _empty(directory)
        except OSError as error:
            raise ConfigError(f"cannot write to {directory}: {error.strerror}", origin="--output") from error
        yield


def _check(directory: Path) -> None:
    if directory.is_symlink():
        raise ConfigError(f"{directory} is a symbolic link: name the directory itself", origin="--output")
    if directory.exists() and not (directory / _MARK).exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            f"{directory} was not made by a demo, and may hold something that you want to keep: name another directory",
            origin="--output",
        )


def _lock(mark: int, directory: Path) -> None:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another demo is at work in {directory}: name another one", origin="--output") from None


def _empty(directory: Path) -> None:
    for entry in os.scandir(directory):
        if entry.name == _MARK:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
