# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page as files, one for each span, for a web server that has nothing to do with us."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

from ..errors import HubError
from ..replacing import replace_file
from .model import SPANS
from .page import Frame, page
from .sources import Sources


class WriteError(HubError):
    """The page cannot be written."""


def paths(first: Path) -> dict[str, Path]:
    """The file of each span: the shortest in the one that was named, the others beside it."""
    names = [first, *(first.with_name(f"{first.stem}-{name}{first.suffix}") for name in list(SPANS)[1:])]
    return dict(zip(SPANS, names))


def write(first: Path, sources: Sources, *, every: float, stale_after: float, mode: int) -> None:
    """Write them, each at once: whoever reads one gets the old page or the new one.

    Args:
        first: The file of the shortest span.
        sources: What the page is made of.
        every: Seconds after which they will be written again.
        stale_after: Seconds after which figures are to be called old.
        mode: Permissions of the files.

    Raises:
        WriteError: That is not possible.
    """
    files = paths(first)
    links = {name: quote(path.name) for name, path in files.items()}
    frame = Frame(host=socket.gethostname(), links=links, every=every, stale_after=stale_after, is_served=False)
    for name, path in files.items():
        _write(path, page(sources.view(SPANS[name]), frame), mode)


def _write(path: Path, text: str, mode: int) -> None:
    try:
        replace_file(path, text.encode("utf-8", "replace"), mode=mode)
    except OSError as error:
        where = path if error.filename2 else f"in {path.parent}"
        raise WriteError(f"cannot write {where}: {error.strerror}") from error
