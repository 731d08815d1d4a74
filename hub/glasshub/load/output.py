# SPDX-License-Identifier: LGPL-2.1-or-later
"""The directory that keeps what a demo or a spike leaves. One of an earlier run is replaced; one that is not ours is
not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError

#: Its name ends with the command's. Made first and deleted last: who finds it knows whose directory it is, whole or
#: not.
_MARK = ".glasshub-"
_MARK_TEXT = "Made by `glasshub {}`, which deletes this directory's contents when it is told to write here again.\n"


@contextlib.contextmanager
def claimed(directory: Path, command: str) -> Iterator[None]:
    """Have the directory, empty, for as long as the context lasts.

    Args:
        directory: Where; made if it is not there.
        command: demo or spike.

    Raises:
        ConfigError: It is somebody else's, another run is at it, or it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            _check(directory, command)
            directory.mkdir(parents=True, exist_ok=True)
            mark = stack.enter_context((directory / (_MARK + command)).open("a", encoding="utf-8"))
            _lock(mark.fileno(), directory, command)
            if not mark.tell():
                mark.write(_MARK_TEXT.format(command))
                mark.flush()
            _empty(directory, _MARK + command)
        except OSError as error:
            raise ConfigError(f"cannot write to {directory}: {error.strerror}", origin="--output") from error
        yield


def _check(directory: Path, command: str) -> None:
    if directory.is_symlink():
        raise ConfigError(f"{directory} is a symbolic link: name the directory itself", origin="--output")
    if (directory / (_MARK + command)).exists() or not directory.exists():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise ConfigError(
            f"{directory} was not made by a {command}, and may hold something that you want to keep: name another "
            f"directory",
            origin="--output",
        )


def _lock(mark: int, directory: Path, command: str) -> None:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another {command} is at work in {directory}: name another one", origin="--output") from None


def _empty(directory: Path, mark: str) -> None:
    for entry in os.scandir(directory):
        if entry.name == mark:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
