# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures of consumers over time: drawn by rrdtool, from what collectd keeps or from what was recorded."""

from .choice import Choice, choose
from .drawing import FORMATS, Frame, draw
from .machines import Machines, choose_machines, panels_of_machines
from .panels import PANELS, Panel, panels
from .recording import recorded
from .times import Ago, instant

__all__ = [
    # what to draw
    "Choice",
    "choose",
    "Machines",
    "choose_machines",
    "PANELS",
    "Panel",
    "panels",
    "panels_of_machines",
    "recorded",
    # when
    "Ago",
    "instant",
    # drawing
    "FORMATS",
    "Frame",
    "draw",
]
