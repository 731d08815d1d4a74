# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guidelines of the Monitoring Plugins let a plugin say in its first line."""

from __future__ import annotations

import re

_FIGURE = r"'[^'=|;]+'=-?[0-9]+(\.[0-9]+)?(s|);[^; ]*;[^; ]*;0;"

LINE = re.compile(rf"GLASSHUB [A-Z_-]+ (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+?( \| {_FIGURE}( {_FIGURE})*)?")
