# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers on a command line, for argparse."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable


def above_zero(text: str) -> float:
    """A number above 0."""
    return _number(text, lambda number: number > 0, "a number above 0")


def not_below_zero(text: str) -> float:
    """A number that is 0 or more."""
    return _number(text, lambda number: number >= 0, "a number of 0 or more")


def share(text: str) -> float:
    """A part of a whole."""
    return _number(text, lambda number: 0 <= number <= 1, "a number from 0 to 1")


def seconds(text: str) -> float:
    """A time that is not none."""
    return _number(text, lambda number: number > 0, "a number of seconds above 0")


def interval(text: str) -> float:
    """A time between two looks; more often would be a load of its own."""
    return _number(text, lambda number: number >= 0.1, "a number of seconds of 0.1 or more")


def count(text: str) -> int:
    """A whole number above 0."""
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def _number(text: str, is_right: Callable[[float], bool], what: str) -> float:
    with contextlib.suppress(ValueError):
        number = float(text)
        if is_right(number) and number < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
