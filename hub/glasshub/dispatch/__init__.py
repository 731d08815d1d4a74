# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shapes of dispatch. To add one: a module beside these, and its class in `SHAPES`."""

from .base import Routed, Shape, Station
from .inline import InlineShape
from .shared import SharedShape
from .threads import ThreadsShape

__all__ = ["SHAPES", "Routed", "Shape", "Station"]

SHAPES: dict[str, type[Shape]] = {"inline": InlineShape, "shared": SharedShape, "threads": ThreadsShape}
