# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures of consumers over time: drawn by rrdtool, from what collectd keeps or from what was recorded."""

from .choice import Choice, choose
from .drawing import FORMATS, Frame, draw
from .panels import PANELS, Panel, panels
from .recording import recorded
from .times import Ago, instant

__all__ = [
    # what to draw
    "Choice",
    "choose",
    "PANELS",
    "Panel",
    "panels",
    "recorded",
    # when
    "Ago",
    "instant",
    # drawing
    "FORMATS",
    "Frame",
    "draw",
]
