# SPDX-License-Identifier: LGPL-2.1-or-later
"""A configuration file for fedmsg's own loader, which executes it in the place of the operator's.

Those have been run already: they are code, and running them again could do again whatever else they do.
"""

from __future__ import annotations

from glasshub.compat.fedmsg_config import SAID

config = SAID.get()
