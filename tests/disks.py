# SPDX-License-Identifier: LGPL-2.1-or-later
"""File systems that can be filled, and a way to fill them."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class CannotMountError(Exception):
    """This user, or this machine, may not mount anything."""


class SmallDisk:
    """A file system of its own, in memory. A context manager: it is gone afterwards.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, path: Path, options: str) -> None:
        """Mount it.

        Raises:
            CannotMountError: It cannot be mounted.
        """
        self.path = path
        path.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._run("umount", "--lazy", str(self.path))  # whatever a test that failed has open there

    def remount(self, options: str) -> None:
        """Change its options."""
        self._run("mount", "-o", f"remount,{options}", str(self.path))

    @staticmethod
    def _run(*arguments: str) -> None:
        try:
            subprocess.run(arguments, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotMountError(f"cannot mount a small file system: {error}") from error


def cram(path: Path) -> None:
    """Fill the disk to the last byte, with a file of that name."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


@contextmanager
def file_size(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
