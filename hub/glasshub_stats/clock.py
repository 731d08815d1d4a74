# SPDX-License-Identifier: LGPL-2.1-or-later
"""CLOCK_MONOTONIC on every Python that collectd embeds."""

from __future__ import absolute_import

import time

if hasattr(time, "monotonic_ns"):

    def monotonic_ns(boottime_offset_ns):
        # type: (int) -> int
        """CLOCK_MONOTONIC in nanoseconds.

        Args:
            boottime_offset_ns: CLOCK_BOOTTIME - CLOCK_MONOTONIC as the segment has it. Python 2.7 needs it: without
                C code it can only read /proc/uptime, which also counts the time that the machine was suspended.
        """
        return time.monotonic_ns()

elif hasattr(time, "monotonic"):

    def monotonic_ns(boottime_offset_ns):
        # type: (int) -> int
        """As above, for Python 3.6."""
        return int(time.monotonic() * 1e9)

else:

    def monotonic_ns(boottime_offset_ns):
        # type: (int) -> int
        """As above, for Python 2.7; to 10 ms."""
        with open("/proc/uptime") as uptime:
            return int(float(uptime.read().split()[0]) * 1e9) - boottime_offset_ns
