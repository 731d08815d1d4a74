# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the definitions below `packaging/` that are derived from code.

Usage: python -m tools.definitions [--check]

With --check nothing is written; the exit code is 1 when a file is not what the code says.
"""

from __future__ import annotations

import sys

from . import ROOT, definitions


def main(arguments: list[str]) -> int:
    """Write them, or look whether they are as they should be."""
    if set(arguments) - {"--check"}:
        print(__doc__, file=sys.stderr)
        return 2
    wrong = [path for path, text in definitions().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in wrong:
            print(f"{path.relative_to(ROOT)} is not what the code says: make docs", file=sys.stderr)
        return 1 if wrong else 0
    for path in wrong:
        path.write_text(definitions()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
