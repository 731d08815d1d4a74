# SPDX-License-Identifier: LGPL-2.1-or-later
"""Glasshub's read plugin for collectd; `docs/collectd.md` is its manual.

Python 2.7 and 3.6 or newer, the standard library, six and glasshub_stats only. collectd's `Import` line imports this
package, which thereupon registers itself; outside of collectd, importing it does nothing.
"""

from __future__ import absolute_import

from .plugin import Plugin

__all__ = ["Plugin"]

try:
    import collectd
except ImportError:
    pass  # only the daemon has it built in
else:
    if hasattr(collectd, "register_config"):  # PyPI has another module of that name
        Plugin(collectd).register()
