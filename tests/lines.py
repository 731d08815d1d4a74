# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lines of which a process that is killed leaves the whole or nothing.

Linux asks for a deadly signal between the pages that a write goes to: of a line that lies in two of them the first part
may be all that is written, and whatever is appended next goes on behind it. So all lines of a file are of one length,
and a page holds a whole number of them.
"""

from __future__ import annotations

_LENGTH = 128


def whole_line(text: str) -> bytes:
    """What to write, in one go, to a file that is opened for appending and has no other lines; blanks fill it up."""
    line = text.encode("utf-8").ljust(_LENGTH - 1) + b"\n"
    assert len(line) == _LENGTH, f"too long to be written whole: {text}"
    return line
