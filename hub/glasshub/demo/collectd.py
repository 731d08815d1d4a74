# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real collectd with our plugin, in a private directory, for as long as one run of the demo lasts."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from ..load.processes import Child, Interrupt
from .plan import HUB

#: Seconds that collectd has to write its first value, and to write its last.
_PATIENCE = 10.0

_MODULES = ("collectd_glasshub", "glasshub_stats", "six")

_CONFIG = """\
# The collectd of `glasshub demo`. For one of your own begin with collectd.conf.example.
Hostname "localhost"
FQDNLookup false
Interval 1
BaseDir "{private}"
PIDFile "{private}/collectd.pid"

LoadPlugin logfile
<Plugin logfile>
  LogLevel "info"
  File "{log}"
  Timestamp true
  PrintSeverity true
</Plugin>

LoadPlugin python
<Plugin python>
  ModulePath "{modules}"
  Import "collectd_glasshub"
  <Module "collectd_glasshub">
    Instance "{hub}"
    Path "{segment}"
    Interval 1
  </Module>
</Plugin>

LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{rrd}"
  CreateFilesAsync false
  StepSize 1
  HeartBeat 5
  RRARows 3600
  RRATimespan 3600
  XFF 0.5
</Plugin>
"""


def missing() -> str:
    """What this host lacks for collectd and its graphs, in one friendly sentence; nothing if it has everything."""
    lacking = [program for program in ("collectd", "rrdtool") if _program(program) is None]
    if lacking:
        return (
            f"{' and '.join(lacking)} not found: the demo samples the hub itself and draws an SVG "
            f"(Debian: apt-get install collectd-core rrdtool)"
        )
    without = [name for name in _MODULES if _module(name) is None]
    if without:
        return f"collectd goes without: {', '.join(without)} not found (pip install six, and the plugin)"
    return ""


class Collectd(Child):
    """collectd, running; the RRDs stay when it has stopped."""

    def __init__(self, directory: Path, private: Path, segment: Path) -> None:
        """Start it.

        Args:
            directory: Keeps configuration, log and RRDs.
            private: A directory for what nobody will want to see.
            segment: The hub's.

        Raises:
            LoadError: It cannot be started.
        """
        self._rrd = directory / "rrd"
        modules = private / "collectd-modules"
        modules.mkdir()
        for name in _MODULES:
            found = _module(name)
            assert found is not None
            (modules / found.name).symlink_to(found)
        config = directory / "collectd.conf"
        # Where collectd fails before its logfile plugin runs, the reason is in what it says on standard error.
        log = directory / "collectd.log"
        paths = {"private": private, "log": log, "modules": modules, "segment": segment, "rrd": self._rrd}
        quoted = {name: _quoted(path.absolute()) for name, path in paths.items()}
        config.write_text(_CONFIG.format(hub=HUB, **quoted), encoding="utf-8")
        program = _program("collectd")
        assert program is not None
        # Relative: collectd expands a path as a shell would, and what the directory is called is not ours to choose.
        super().__init__("collectd", [program, "-f", "-C", config.name], log, directory=directory)

    def rrds(self) -> dict[str, Path]:
        """The file of each consumer's backlog."""
        pattern = f"*/glasshub-{HUB}.*/queue_length.rrd"
        return {path.parent.name.partition(".")[2]: path for path in sorted(self._rrd.glob(pattern))}

    def await_first(self, interrupt: Interrupt) -> None:
        """Wait until it has read the hub.

        Raises:
            LoadError: It has not, and its log says why.
        """
        interrupt.wait(lambda: bool(self.rrds()) or not self.is_running, _PATIENCE)
        if not (self.rrds() and self.is_running):
            raise self.died()

    def finish(self) -> None:
        """Stop it, and have it write what it knows.

        Raises:
            LoadError: It had ended by itself.
        """
        if not self.is_running:
            raise self.died()
        self.stop(_PATIENCE)


def _quoted(path: Path) -> str:
    return str(path).replace("\\", r"\\").replace('"', r"\"")


def _program(name: str) -> str | None:
    """Debian has collectd in a directory that is not on a user's path."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    return shutil.which(name, path=path)


def _module(name: str) -> Path | None:
    """Where a module or package is, without importing it; in a checkout the plugin is beside `hub/`."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        origin = Path(spec.origin)
        return origin.parent if origin.name == "__init__.py" else origin
    in_checkout = Path(__file__).parents[3] / "collectd_plugin" / name
    return in_checkout if in_checkout.is_dir() else None
