# SPDX-License-Identifier: LGPL-2.1-or-later
"""collectd's callbacks: configuring, and reading hubs.

Guarantees: no callback raises (a read callback that does is called ever less often, up to once a day, and a config
callback that does makes collectd exit), none blocks, none starts a thread; a state is logged when it changes and
not again. collectd may call the callbacks of two readers from two threads at the same time: they share nothing that
changes after the configuration.
"""

from __future__ import absolute_import

import glob
import re
import traceback

import six

from glasshub_stats import values

from . import config
from .watch import Sight, Watch

MYPY = False
if MYPY:
    from typing import Any, Dict, Iterator, List, Tuple

#: More hubs than this are not read by one block.
MOST_HUBS = 256

_MOST_LOG = 900  # collectd cuts a line at about 1 KiB
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f]+")


class Plugin(object):
    """Glasshub's plugin in one collectd. Threads: collectd's main thread only."""

    def __init__(self, collectd):
        # type: (Any) -> None
        """Take the `collectd` module, which exists inside of the daemon alone."""
        self._collectd = collectd
        self._readers = []  # type: List[Reader]

    def register(self):
        # type: () -> None
        """Have collectd call `configure` for each `<Module>` block, and `start` once after them."""
        self._collectd.register_config(self.configure, name=config.NAME)
        self._collectd.register_init(self.start, name=config.NAME)

    def configure(self, node):
        # type: (Any) -> None
        """Add the hubs of one block; what is wrong in it is logged. Never raises."""
        try:
            self._add(config.parse(node, self._complain))
        except Exception:
            self._complain("this block is ignored: %s" % _last_error())

    def start(self):
        # type: () -> None
        """Without any block, look at every hub of this host that runs as a service. Never raises."""
        try:
            if not self._readers:
                self._add(config.DEFAULTS)
        except Exception:
            self._complain("no hub is read: %s" % _last_error())

    def _add(self, settings):
        # type: (config.Settings) -> None
        if any(reader.settings.identity == settings.identity for reader in self._readers):
            # collectd would drop a second callback of the same name, or mix the values of two hubs.
            self._complain(
                "a second block for %r with naming %r is ignored: give each its own Instance"
                % (settings.label, settings.naming)
            )
            return
        reader = Reader(self._collectd, settings)
        self._readers.append(reader)
        name = "%s-%s-%s" % (config.NAME, settings.naming, values.clean(settings.label))
        if settings.interval is None:
            self._collectd.register_read(reader.read, name=name)
        else:
            self._collectd.register_read(reader.read, settings.interval, name=name)

    def _complain(self, sentence):
        # type: (str) -> None
        log(self._collectd.error, '<Module "%s">: %s' % (config.NAME, sentence))


class Reader(object):
    """The read callback of one `<Module>` block, for one hub or those of a glob. Threads: one at a time.

    Attributes:
        settings: The block.
    """

    def __init__(self, collectd, settings):
        # type: (Any, config.Settings) -> None
        self.settings = settings
        self._collectd = collectd
        self._watches = {}  # type: Dict[str, Watch]
        self._told = {}  # type: Dict[str, bool]

    def read(self):
        # type: () -> None
        """Dispatch the values of every hub. Never raises, never blocks."""
        try:
            self._read()
            self._tell("read", True, "")
        except Exception:
            self._tell("read", False, _BUG % _last_error())

    def _read(self):
        # type: () -> None
        sights = [(watch, self._look(watch)) for watch in self._present()]
        owners = {}  # type: Dict[str, Watch]
        refused = []  # type: List[str]
        for watch, sight in sorted(sights, key=_living_first):
            instance = values.hub_instance(watch.name, self.settings.naming)
            owner = owners.setdefault(instance, watch)
            if owner is watch:
                refused += self._dispatch_all(watch, sight)
            elif sight.state == "absent":
                del self._watches[watch.path]  # the hub has moved, and is seen at its new place
                continue
            self._tell_state(watch, sight if owner is watch else _namesake(watch, owner))
        self._tell("dispatch", not refused, "".join(refused[:1]))

    def _present(self):
        # type: () -> List[Watch]
        """Every hub that there is, or was."""
        pattern = self.settings.path
        paths = sorted(glob.glob(pattern)) if self.settings.is_glob else [pattern]
        watches = {path: self._watches.get(path) or Watch(path, self.settings) for path in paths[:MOST_HUBS]}
        for gone, watch in self._watches.items():
            if len(watches) < MOST_HUBS:
                watches.setdefault(gone, watch)
        self._watches = watches
        self._tell("glob", bool(watches), _NO_MATCH % pattern)
        self._tell("many", len(paths) <= MOST_HUBS, _TOO_MANY % (pattern, len(paths), MOST_HUBS))
        return list(watches.values())

    def _look(self, watch):
        # type: (Watch) -> Sight
        try:
            return watch.look()
        except Exception:  # the other hubs shall be seen all the same
            return Sight("not intelligible", _BUG % _last_error(), None)

    def _dispatch_all(self, watch, sight):
        # type: (Watch, Sight) -> List[str]
        """Hand everything known of a hub to collectd; the answer says what collectd refused."""
        refused = []
        for value in self._values(watch, sight):
            try:
                self._dispatch(value)
            except Exception as error:  # whatever collectd raises costs one value, not all of them
                refused.append(_REFUSED % ("/".join(value[:4]), type(error).__name__, error))
        return refused

    def _values(self, watch, sight):
        # type: (Watch, Sight) -> Iterator[values.Value]
        settings = self.settings
        if sight.interval is None:
            return iter([values.of_hub_up(watch.name, False, settings.naming)])
        return values.of_interval(
            sight.interval,
            watch.name,
            naming=settings.naming,
            percentiles=settings.percentiles,
            stale_after=settings.stale_after,
            is_wanted=settings.wants,
        )

    def _dispatch(self, value):
        # type: (values.Value) -> None
        self._collectd.Values(
            plugin=value.plugin,
            plugin_instance=value.plugin_instance,
            type=value.type,
            type_instance=value.type_instance,
        ).dispatch(values=[value.value])

    def _tell_state(self, watch, sight):
        # type: (Watch, Sight) -> None
        if sight.state != watch.told:
            say = self._collectd.info if sight.state == "up" else self._collectd.warning
            log(say, "hub %r is %s: %s" % (watch.name, sight.state, sight.sentence))
            watch.told = sight.state

    def _tell(self, matter, is_well, sentence):
        # type: (str, bool, str) -> None
        """Log the sentence when the matter is not well any more, and that it is again."""
        if is_well != self._told.get(matter, True):
            self._told[matter] = is_well
            if is_well:
                log(self._collectd.info, "%s: well again (%s)" % (self.settings.label, matter))
            else:
                log(self._collectd.error, "%s: %s" % (self.settings.label, sentence))


_BUG = "reading failed, which is a bug, please report it: %s"
_NAMESAKE = "%s has the same name as %s, and is left out: give each hub its own --name"
_NO_MATCH = "no segment matches Path %r: is a hub running, and may collectd list the directory?"
_REFUSED = "collectd refuses %s: %s: %s (does a TypesDB line replace collectd's own types.db?)"
_TOO_MANY = "Path %r matches %d segments, of which the first %d are read: use several <Module> blocks"


def _living_first(seen):
    # type: (Tuple[Watch, Sight]) -> Tuple[bool, str]
    watch, sight = seen
    return sight.state != "up", watch.path


def _namesake(watch, owner):
    # type: (Watch, Watch) -> Sight
    return Sight("a namesake", _NAMESAKE % (watch.path, owner.path), None)


def _last_error():
    # type: () -> str
    return traceback.format_exc()[-_MOST_LOG * 2 // 3 :]


def log(say, text):
    # type: (Any, str) -> None
    """Log one line; the text may hold anything, where collectd would raise on a NUL or a lone surrogate.

    Args:
        say: `collectd.info`, `collectd.warning` or `collectd.error`.
    """
    line = _NOT_PRINTED.sub(" ", text)[:_MOST_LOG]
    if six.PY3:
        line = line.encode("utf-8", "backslashreplace").decode("utf-8")
    say("glasshub: " + line)
