# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether anybody on the machine could have written a configuration: it is code, or names code, that the hub runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from .errors import ConfigError

_OR_ALLOW = ", or give --allow-unsafe-config if that is as it should be"


def refuse_unsafe(path: Path, *, owners: Collection[int] | None = None) -> None:
    """See that not everybody may write to a file or directory, or put another one in its place.

    A sticky directory such as /tmp may be on the way, if what stands in it belongs to somebody trusted: anybody may
    make things there, nobody may replace those of others. It must not be the directory of the file itself. Who owns
    the rest does not matter: software is often deployed by a user of its own.

    Args:
        path: A file or a directory. One that is not there is left to whoever opens it.
        owners: User ids that are trusted; by default root and ourselves.

    Raises:
        ConfigError: Everybody may; it says how to end that.
    """
    if not os.path.exists(path):
        return
    trusted = {0, os.geteuid()} if owners is None else owners
    way = list(_way(path))
    shared: set[Path] = set()
    for step in way:
        status = os.lstat(step)
        if step.parent in shared and status.st_uid not in trusted:
            raise ConfigError(
                f"{step} belongs to uid {status.st_uid}, and anybody may put things into {step.parent}: "
                f"move it elsewhere{_OR_ALLOW}",
                origin=str(path),
            )
        if stat.S_ISLNK(status.st_mode) or not status.st_mode & stat.S_IWOTH:
            continue
        if not status.st_mode & stat.S_ISVTX or step in (way[-1], way[-1].parent):
            mode = stat.S_IMODE(status.st_mode)
            raise ConfigError(
                f"anybody may write to {step} (mode {mode:04o}): chmod o-w {step}{_OR_ALLOW}", origin=str(path)
            )
        shared.add(step)


def _way(path: Path) -> Iterator[Path]:
    """Whatever the system passes on its way to an existing path: directories, symbolic links, and the end itself."""
    ahead = list(reversed(Path.cwd().joinpath(path).parts))
    here = Path(ahead.pop())
    yield here
    while ahead:
        part = ahead.pop()
        if part == "..":
            here = here.parent
            continue
        yield here / part
        if (here / part).is_symlink():
            target = Path(os.readlink(here / part))
            ahead.extend(reversed(target.parts))
            continue
        here = here / part
