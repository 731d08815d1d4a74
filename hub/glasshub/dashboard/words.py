# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers and times as the page says them."""

from __future__ import annotations

import math
import time

from glasshub_stats.table import duration as table_duration
from glasshub_stats.table import rate as table_rate

from .html import Html, element

#: Where there is no number.
NONE = "\N{EN DASH}"


def clock(when: float, now: float, *, seconds: bool = True) -> Html:
    """A time of day, with its day unless that is today."""
    local, today = time.localtime(when), time.localtime(now)
    text = time.strftime("%H:%M:%S" if seconds else "%H:%M", local)
    if local[:3] != today[:3]:
        text = time.strftime("%a %-d %b ", local) + text
    return element("time", text, datetime=time.strftime("%Y-%m-%dT%H:%M:%S%z", local))


def count(number: float) -> str:
    """A number of messages."""
    return NONE if math.isnan(number) else f"{number:,.0f}"


def rate(number: float) -> str:
    """With as many digits as one can use."""
    return NONE if math.isnan(number) else table_rate(number) if number < 99.95 else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """A time as precisely as it is known."""
    return NONE if math.isnan(seconds) else table_duration(seconds)


def roughly(seconds: float) -> str:
    """A time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    if hours < 10:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"
