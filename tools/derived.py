# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that are derived from code: written, or compared with what stands there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(files: Callable[[], Mapping[Path, str]], about: str | None, arguments: Sequence[str] | None = None) -> int:
    """Write those that are not what the code says, or name them.

    Args:
        files: What each file has to be.
        about: What they are, for `--help`.
        arguments: By default those of the command line.

    Returns:
        The exit code: 1 when there are such files, and they were not to be written.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when there is something to do")
    is_check = parser.parse_args(arguments).check
    stale = {path: text for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if is_check:
            print(f"{path.relative_to(ROOT)} is not what the code says: run make docs", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(is_check and bool(stale))
