# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the definitions below `packaging/` that are derived from code."""

from __future__ import annotations

import sys

from ..derived import main
from . import definitions

if __name__ == "__main__":
    sys.exit(main(definitions, __doc__))
