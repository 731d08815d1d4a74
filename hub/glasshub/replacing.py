# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that are replaced whole: whoever reads one gets the old contents or the new ones, and no half of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, contents: bytes, *, mode: int) -> None:
    """Put contents into a file, new or not. Where that does not come off, all is as it was.

    Args:
        path: The file; others come and go in its directory meanwhile.
        contents: All of them.
        mode: Permissions, whatever the umask.

    Raises:
        OSError: It cannot be done. `filename2` is the file, if nothing but taking the old one's place was left to do.
    """
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(contents)
            os.fchmod(descriptor, mode)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
