# SPDX-License-Identifier: LGPL-2.1-or-later
"""The `<Module "collectd_glasshub">` block: what each key takes, and what an operator is told who got one wrong.

collectd hands numbers over as floats, `true` as a bool and `"true"` as a str. An exception in a config callback
makes collectd exit, so that a wrong line is complained about and left out, and the rest holds.
"""

from __future__ import absolute_import

import difflib
import math
import os
import re
from collections import namedtuple

import six

from glasshub_stats import STALE_AFTER, values

MYPY = False
if MYPY:
    from typing import Any, Callable, Dict, List, Tuple

    Parser = Callable[[Tuple[Any, ...]], Any]

#: Name of the module and of its callbacks: one word serves `Import` and `<Module>`.
NAME = "collectd_glasshub"

#: Where hubs that run as a service have their segments.
STATS_DIRECTORY = "/run/glasshub"


class Settings(namedtuple("Settings", "instance path interval stale_after percentiles ignored naming")):
    """One `<Module>` block.

    Attributes:
        instance: What to call the hub; empty for its own name.
        path: Its segment, or a glob for the segments of several hubs.
        interval: Seconds between two reads; None for collectd's own.
        stale_after: Seconds after which a heartbeat is old.
        percentiles: In percent, ascending.
        ignored: Compiled patterns of the names of consumers that are left out.
        naming: One of `glasshub_stats.values.NAMINGS`.
    """

    __slots__ = ()

    @property
    def is_glob(self):
        # type: () -> bool
        """Whether the path stands for any number of segments."""
        return re.search(r"[*?[]", self.path) is not None

    @property
    def label(self):
        # type: () -> str
        """What tells this block from the others: its instance, the stem of its path, or its glob."""
        return str(self.instance or (self.path if self.is_glob else stem(self.path)))

    @property
    def identity(self):
        # type: () -> Tuple[str, str]
        """Equal for two blocks whose values would get the same names."""
        return self.naming, self.path if self.is_glob else values.hub_instance(self.label, self.naming)

    def wants(self, consumer):
        # type: (str) -> bool
        """Whether the values of the consumer of this name are dispatched."""
        return not any(pattern.search(consumer) for pattern in self.ignored)


#: Every hub that runs as a service on this host.
DEFAULTS = Settings(
    instance="",
    path=STATS_DIRECTORY + "/*.stats",
    interval=None,
    stale_after=STALE_AFTER,
    percentiles=values.PERCENTILES,
    ignored=(),
    naming="default",
)


def parse(node, complain):
    # type: (Any, Callable[[str], None]) -> Settings
    """The settings of a block.

    Args:
        node: The block, a `collectd.Config`.
        complain: Called with one sentence for each line that is wrong; the line is left out.
    """
    given = {}  # type: Dict[str, List[Any]]
    for child in node.children:
        try:
            key, value = _parse_line(child)
        except ValueError as error:
            complain("%s; this line is ignored. Valid keys: %s" % (error, ", ".join(sorted(KEYS))))
            continue
        if key in given and key not in _REPEATABLE:
            complain("%s is given more than once, the last one holds: use a glob, or a <Module> block for each" % key)
        given.setdefault(key, []).append(value)
    return _settings(given, complain)


def stem(path):
    # type: (str) -> str
    """The name of the hub whose segment is at the path, as far as the path can tell."""
    return os.path.splitext(os.path.basename(path))[0]


def _settings(given, complain):
    # type: (Dict[str, List[Any]], Callable[[str], None]) -> Settings
    latest = {key: found[-1] for key, found in given.items()}
    instance = latest.get("Instance", "")
    settings = Settings(
        instance=instance,
        path=latest.get("Path", "%s/%s.stats" % (STATS_DIRECTORY, instance or "*")),
        interval=latest.get("Interval"),
        stale_after=latest.get("StaleAfter", DEFAULTS.stale_after),
        percentiles=tuple(sorted(set(sum(given.get("Percentile", []), ())))) or DEFAULTS.percentiles,
        ignored=sum(given.get("IgnoreConsumer", []), ()),
        naming=latest.get("Naming", DEFAULTS.naming),
    )
    if settings.instance and settings.is_glob:
        complain("Instance names one hub, but Path %r is a glob: its hubs keep their own names" % settings.path)
        return settings._replace(instance="")
    return settings


def _parse_line(line):
    # type: (Any) -> Tuple[str, Any]
    """The key of a line as we spell it, and what it means.

    Raises:
        ValueError: There is no such key, or the value is not one for it; the text is the start of a sentence.
    """
    word = _as_text(line.key)
    key = _SPELLING.get(word.lower())
    if key is None:
        near = difflib.get_close_matches(word.lower(), list(_SPELLING), 1)
        raise ValueError("there is no key %r%s" % (word, ", do you mean %s?" % _SPELLING[near[0]] if near else ""))
    if line.children:
        raise ValueError("%s is not a block" % key)
    try:
        return key, KEYS[key](line.values)
    except ValueError as error:
        raise ValueError("%s %s: %s" % (key, " ".join(repr(value) for value in line.values), error))


def _one(given):
    # type: (Tuple[Any, ...]) -> Any
    if len(given) != 1:
        raise ValueError("takes one value, not %d" % len(given))
    return given[0]


def _as_text(given):
    # type: (Any) -> str
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return "%g" % given
    if six.PY2 and isinstance(given, six.text_type):
        return str(given.encode("utf-8"))
    if six.PY3 and isinstance(given, bytes):  # what is not UTF-8 comes so
        return given.decode("utf-8", "surrogateescape")
    if isinstance(given, str):
        return given
    return repr(given)


def _text(given):
    # type: (Tuple[Any, ...]) -> str
    text = _as_text(_one(given))
    if not text:
        raise ValueError("is empty")
    return text


def _path(given):
    # type: (Tuple[Any, ...]) -> str
    path = _text(given)
    if not os.path.isabs(path):
        raise ValueError("takes an absolute path, since collectd changes to its BaseDir")
    return path


def _as_number(given):
    # type: (Any) -> float
    try:
        number = float(given) if not isinstance(given, bool) else float("nan")
    except (TypeError, ValueError):
        raise ValueError("takes a number")
    if math.isnan(number) or math.isinf(number):
        raise ValueError("takes a finite number")
    return number


def _seconds(given):
    # type: (Tuple[Any, ...]) -> float
    seconds = _as_number(_one(given))
    if seconds <= 0:
        raise ValueError("takes a number of seconds above 0")
    return seconds


def _percentiles(given):
    # type: (Tuple[Any, ...]) -> Tuple[float, ...]
    percentiles = tuple(_as_number(value) for value in given)
    if not percentiles or not all(0 < percent <= 100 for percent in percentiles):
        raise ValueError("takes one number or more above 0 and up to 100")
    return percentiles


def _patterns(given):
    # type: (Tuple[Any, ...]) -> Tuple[Any, ...]
    if not given:
        raise ValueError("takes one regular expression or more")
    try:
        return tuple(re.compile(_as_text(value)) for value in given)
    except re.error as error:
        raise ValueError("this is no regular expression: %s" % error)


def _naming(given):
    # type: (Tuple[Any, ...]) -> str
    naming = _text(given).lower()
    if naming not in values.NAMINGS:
        raise ValueError("takes one of %s" % ", ".join('"%s"' % name for name in values.NAMINGS))
    return naming


#: The keys of a block, and what reads the values of each.
KEYS = {
    "Instance": _text,
    "Path": _path,
    "Interval": _seconds,
    "StaleAfter": _seconds,
    "Percentile": _percentiles,
    "IgnoreConsumer": _patterns,
    "Naming": _naming,
}  # type: Dict[str, Parser]
_SPELLING = {key.lower(): key for key in KEYS}
_REPEATABLE = ("Percentile", "IgnoreConsumer")
