# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the configuration and the segments of hubs stand, when nobody says so."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from .errors import ConfigError

#: Read when no other configuration is named, and it is there.
DEFAULT_FILE = Path("/etc/glasshub/glasshub.toml")

#: Made by systemd or tmpfiles.d.
SYSTEM_DIRECTORY = Path("/run/glasshub")


def default_stats_directory() -> Path:
    """Where a hub puts its segment: the first of these that it may have.

    `/run/glasshub`, if it is there and may be written to; `$XDG_RUNTIME_DIR/glasshub`, if the variable is set; else
    `glasshub-<uid>` in the directory for temporary files. The latter two are made, for this user alone.

    Raises:
        ConfigError: It cannot be made, or somebody else could put files of theirs there.
    """
    if os.path.isdir(SYSTEM_DIRECTORY) and os.access(SYSTEM_DIRECTORY, os.W_OK | os.X_OK, effective_ids=True):
        return SYSTEM_DIRECTORY
    return private_directory(_own_directory(), "the stats directory", "--stats-dir")


def private_directory(directory: Path, purpose: str, option: str) -> Path:
    """Make a directory for this user alone, unless it is there.

    Args:
        directory: Where; what is above it is there.
        purpose: What an error calls it.
        option: What names another one.

    Raises:
        ConfigError: It cannot be made, or somebody else could put files of theirs there.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make {purpose} {directory}: {error.strerror}: choose another one with {option}"
        ) from error
    objection = _objection(directory)
    if objection:
        raise ConfigError(f"{purpose} {directory} {objection}: remove it, or choose another with {option}")
    return directory


def temporary_directory(name: str) -> Path:
    """The directory of that name, and of this user, where temporary files are; it need not be there.

    Raises:
        ConfigError: There is no place for temporary files.
    """
    try:
        return Path(tempfile.gettempdir(), f"{name}-{os.geteuid()}")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no place for temporary files: {error.strerror}: set TMPDIR") from error


def stats_directories() -> list[Path]:
    """The directories where `default_stats_directory` may have put a segment and that are there, best first.

    One that somebody else could have filled is left out.
    """
    own = _own_directory(), temporary_directory("glasshub")
    found = [SYSTEM_DIRECTORY] if os.path.isdir(SYSTEM_DIRECTORY) else []
    return found + [
        directory for directory in dict.fromkeys(own) if os.path.isdir(directory) and not _objection(directory)
    ]


def _own_directory() -> Path:
    """The directory of this user alone."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # The XDG Base Directory Specification: a path that is not absolute is to be ignored.
    return Path(runtime, "glasshub") if runtime.startswith("/") else temporary_directory("glasshub")


def _objection(directory: Path) -> str:
    """Why a hub must not use the directory; nothing if it may.

    Anybody may make a directory of our name in /tmp first, fill it with links to our files, and read or replace what
    we write.
    """
    status = os.lstat(directory)
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != os.geteuid():
        return f"belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"may be written to by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""
