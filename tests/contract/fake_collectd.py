# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plugin sees of collectd 5.12's `collectd` module, its refusals included.

`tests/integration/test_collectd.py` has the real one; this one runs under every Python, and shows everything.
"""

from __future__ import absolute_import

import math

import six

MYPY = False
if MYPY:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

    Key = Tuple[str, str, str, str]

#: Of /usr/share/collectd/types.db.
TYPES = {
    "bytes": "GAUGE",
    "count": "GAUGE",
    "duration": "GAUGE",
    "gauge": "GAUGE",
    "latency": "GAUGE",
    "operations": "DERIVE",
    "percent": "GAUGE",
    "queue_length": "GAUGE",
    "response_time": "GAUGE",
    "threads": "GAUGE",
    "total_time_in_ms": "DERIVE",
    "uptime": "GAUGE",
}


class Config(object):
    """A node of the configuration, as a config callback gets it."""

    def __init__(self, key, values=(), children=()):
        # type: (str, Sequence[Any], Sequence[Config]) -> None
        self.parent = None  # type: Optional[Config]
        self.key = key
        self.values = tuple(values)
        self.children = tuple(children)


def module(*lines):
    # type: (*Tuple[Any, ...]) -> Config
    """A `<Module>` block of lines such as ("Percentile", 50.0, 95.0)."""
    return Config("Module", ["collectd_glasshub"], [Config(line[0], line[1:]) for line in lines])


class FakeCollectd(object):
    """One daemon.

    Attributes:
        dispatched: Numbers by (plugin, plugin instance, type, type instance), of the latest `run_reads`.
        logged: (level, line) of everything logged.
        reads: Read callbacks by name, and the interval of each.
        is_initialised: Before that there are no types.
    """

    def __init__(self, types=None):
        # type: (Optional[Dict[str, str]]) -> None
        self.types = TYPES if types is None else types
        self.dispatched = {}  # type: Dict[Key, float]
        self.logged = []  # type: List[Tuple[str, str]]
        self.reads = {}  # type: Dict[str, Tuple[Callable[[], None], Optional[float]]]
        self.is_initialised = False
        self._configs = {}  # type: Dict[str, Callable[[Config], None]]
        self._inits = []  # type: List[Callable[[], None]]

    def register_config(self, callback, data=None, name=None):
        # type: (Callable[[Config], None], Any, Optional[str]) -> str
        assert name, "without a name the callback is named after its Python module"
        self._configs[name] = callback
        return name

    def register_init(self, callback, data=None, name=None):
        # type: (Callable[[], None], Any, Optional[str]) -> str
        self._inits.append(callback)
        return name or ""

    def register_read(self, callback, interval=None, data=None, name=None):
        # type: (Callable[[], None], Optional[float], Any, Optional[str]) -> str
        assert name, "every read needs a name of its own"
        if name in self.reads:
            self.warning("register_read: read function %r is registered already" % name)
        else:
            self.reads[name] = (callback, interval)
        return name

    def Values(self, **members):
        # type: (**str) -> Values
        return Values(self, **members)

    def configure(self, *blocks):
        # type: (*Config) -> None
        """Do what the daemon does between its start and its first read."""
        for block in blocks:
            self._configs[block.values[0]](block)
        self.is_initialised = True
        for init in self._inits:
            init()

    def run_reads(self):
        # type: () -> Dict[Key, float]
        """Call every read callback once, in the order of registration; the answer is what they dispatched."""
        self.dispatched = {}
        for callback, _ in self.reads.values():
            callback()
        return self.dispatched

    def lines(self, level):
        # type: (str) -> List[str]
        """What was logged at a level."""
        return [line for logged_level, line in self.logged if logged_level == level]

    def debug(self, line):
        # type: (str) -> None
        self._log("debug", line)

    def info(self, line):
        # type: (str) -> None
        self._log("info", line)

    def notice(self, line):
        # type: (str) -> None
        self._log("notice", line)

    def warning(self, line):
        # type: (str) -> None
        self._log("warning", line)

    def error(self, line):
        # type: (str) -> None
        self._log("error", line)

    def _log(self, level, line):
        # type: (str, str) -> None
        self.logged.append((level, _checked_text(line)[:1023]))


class Values(object):
    """One set of values, of a type with one data source."""

    def __init__(self, daemon, type="", values=(), plugin_instance="", type_instance="", plugin="", host=""):
        # type: (FakeCollectd, str, Sequence[Any], str, str, str, str) -> None
        if not daemon.is_initialised or type not in daemon.types:
            raise TypeError("Dataset %s not found" % type)
        names = [_checked_text(name)[:127] for name in (plugin, plugin_instance, type, type_instance)]
        self._daemon = daemon
        self._key = (names[0], names[1], names[2], names[3])
        self._values = values

    def dispatch(self, values=()):
        # type: (Sequence[Any]) -> None
        """Give the values away, or raise what collectd raises."""
        given = list(values or self._values)
        if len(given) != 1:
            raise RuntimeError("type %s needs 1 value, got %d" % (self._key[2], len(given)))
        if not hasattr(given[0], "__float__"):
            raise TypeError("value must be a number, not %r" % (given[0],))
        if self._daemon.types[self._key[2]] == "DERIVE":
            _check_derive(given[0])
        self._daemon.dispatched[self._key] = given[0]


def _check_derive(number):
    # type: (Any) -> None
    if math.isnan(number):
        raise ValueError("cannot convert float NaN to integer")
    if not -(2**63) <= int(number) < 2**63:
        raise OverflowError("int too big to convert")


def _checked_text(text):
    # type: (Any) -> str
    if not isinstance(text, str):
        raise TypeError("expected text, not %r" % (text,))
    if "\0" in text:
        raise TypeError("embedded null character")
    if six.PY3:
        text.encode("utf-8")  # raises for a lone surrogate, as collectd does
    return text
