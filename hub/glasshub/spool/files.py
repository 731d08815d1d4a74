# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a spool stands, who may have it, and that one process at a time writes to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType

from ..errors import SpoolDamagedError, SpoolError

#: SQLite keeps two more beside it while it is open.
_LOG = "log.sqlite"
_WAL, _SHARED = "-wal", "-shm"


class SpoolDirectory:
    """The directory of a spool, and the files in it.

    Attributes:
        path: The directory.
        log: The log; it may not be there yet.
        damaged: A file that is there while the log is known to be damaged, and says why.
        new: What a new log is called until it is whole, so that an empty file is never one.
        recovered: What a log is called that takes the place of a damaged one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.log = self.path / _LOG
        self.damaged = self.path / f"{_LOG}.is-damaged"
        self.new = self.path / f"{_LOG}.new"
        self.recovered = self.path / f"{_LOG}.recovered"

    def make(self) -> None:
        """Make the directory, for this user alone, unless it is there.

        Raises:
            SpoolError: It cannot be made, or others than its owner may write to it.
        """
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"cannot make the spool directory {self.path}: {error.strerror}") from error
        mode = stat.S_IMODE(self.check().st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SpoolError(
                f"others may write to the spool directory {self.path} (mode {mode:04o}): chmod 700 {self.path}"
            )

    def check(self) -> os.stat_result:
        """See that it is a directory.

        Raises:
            SpoolError: It is none, or may not be looked at.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise SpoolError(f"cannot open the spool directory {self.path}: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise SpoolError(f"the spool directory {self.path} is a file: name a directory")
        return status

    def make_file(self, path: Path) -> None:
        """Have an empty file for the directory's owner alone; SQLite gives its own files the same mode and owner."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            owner = self.path.stat()
            if os.geteuid() == 0:  # an administrator's command must not leave what the hub cannot open
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)

    def is_without_log(self) -> bool:
        """Whether there is no log yet.

        Raises:
            SpoolDamagedError: There was one: its write-ahead log stands there without it.
        """
        if self.log.exists():
            return False
        if beside(self.log, _WAL).exists():
            raise SpoolDamagedError(f"{self.log} is gone, only its write-ahead log is there")
        return True

    def note_damage(self, reason: str) -> None:
        """Have the next start recover the log, and tell why."""
        with contextlib.suppress(OSError):  # then the next start finds out again
            self.make_file(self.damaged)
            self.damaged.write_text(reason, encoding="utf-8", errors="replace")

    def noted_damage(self) -> str:
        """Why the log has to be recovered; nothing if nobody noted that it has to."""
        if not self.damaged.exists():
            return ""
        return self.damaged.read_text(encoding="utf-8", errors="replace") or f"{self.log} was found to be damaged"

    def set_aside(self) -> Path:
        """Give the log a dated name.

        The write-ahead log goes first: whatever is called the log next must not find one that is not its own.

        Returns:
            The new name.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path / f"{_LOG}.damaged-{stamp}"
        number = 1
        while aside.exists():
            number += 1
            aside = self.path / f"{_LOG}.damaged-{stamp}-{number}"
        beside(self.log, _SHARED).unlink(missing_ok=True)
        wal = beside(self.log, _WAL)
        if wal.exists():
            if wal.stat().st_size:
                wal.rename(beside(aside, _WAL))
            else:
                wal.unlink()
        if self.log.exists():
            self.log.rename(aside)
        return aside

    def remove(self, path: Path) -> None:
        """Remove a database that nobody needs any more."""
        for file in (path, beside(path, _WAL), beside(path, _SHARED)):
            file.unlink(missing_ok=True)

    def sync(self) -> None:
        """Have what was renamed be renamed after a power failure as well."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def beside(path: Path, suffix: str) -> Path:
    """The file of SQLite's own that belongs to a database."""
    return path.with_name(path.name + suffix)


class WriterLock:
    """The right to write to a spool. The system takes it back when the process ends, however it ends.

    The lock is on the directory itself: no file of it has to be made, owned and cleaned up.
    """

    def __init__(self, directory: SpoolDirectory) -> None:
        """Take it.

        Raises:
            SpoolError: Another process has it, or the directory cannot be opened.
        """
        directory.check()
        try:
            self._descriptor = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SpoolError(f"cannot open the spool directory {directory.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise SpoolError(f"another process writes to the spool {directory.path}: stop the hub first") from None
            raise SpoolError(f"cannot lock the spool directory {directory.path}: {error.strerror}") from error

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
