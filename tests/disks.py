# SPDX-License-Identifier: LGPL-2.1-or-later
"""File systems that can be filled, and a way to fill them."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
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


class HungDisk:
    """A file system whose every file hangs who opens it, in the kernel, where no signal reaches: of a network mount
    the server has gone. A context manager: it is gone afterwards, and so are those who hung.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        """Mount it.

        Raises:
            CannotMountError: It cannot be mounted.
        """
        self.path = path
        path.mkdir()
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._fuse = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            raise CannotMountError(f"cannot make a file system of our own: {error}") from error
        options = f"fd={self._fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if self._libc.mount(b"hung", bytes(path), b"fuse", 0, options.encode()):
            os.close(self._fuse)
            raise CannotMountError(f"cannot mount a file system of our own: {os.strerror(ctypes.get_errno())}")
        self._greet()

    def __enter__(self) -> HungDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._libc.umount2(bytes(self.path), _MNT_DETACH)
        os.close(self._fuse)

    def wait_until_somebody_hangs(self) -> None:
        """Take the next request, and never answer: until it is taken, a signal would end who waits for it."""
        os.read(self._fuse, _REQUEST)

    def _greet(self) -> None:
        """Answer the first request, FUSE_INIT; before that nothing else comes."""
        request = os.read(self._fuse, _REQUEST)
        unique, major, minor = struct.unpack_from("=8xQ24xII", request)
        answer = struct.pack("=IIII", major, minor, 0, 0).ljust(64, b"\0")
        os.write(self._fuse, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)


_MNT_DETACH = 2
_REQUEST = 1 << 20
