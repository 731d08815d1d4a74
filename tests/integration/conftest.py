# SPDX-License-Identifier: LGPL-2.1-or-later
"""What several test files need: a bus, and of the machine a collectd."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..needs import give_up
from .brokers import broker  # noqa: F401
from .collectd_daemon import Collectd
from .hubs import Bus, bus_in

_PLUGINS = (
    "csv",
    "exec",
    "logfile",
    "python",
    "rrdtool",
    "threshold",
    "unixsock",
    "write_graphite",
    "write_prometheus",
)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    """A bus for as long as the test lasts."""
    with bus_in(tmp_path) as bus:
        yield bus


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The collectd to run; without one the tests are skipped at a desk and fail in the build."""
    found = shutil.which("collectd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        give_up("collectd is not installed (Debian: apt-get install collectd-core rrdtool)")
        raise AssertionError
    directory = tmp_path_factory.mktemp("plugins")
    loads = "".join(f"LoadPlugin {name}\n" for name in _PLUGINS if name != "logfile")
    config = (
        f'BaseDir "{directory}"\nFQDNLookup false\nLoadPlugin logfile\n<Plugin logfile>\n  File stdout\n</Plugin>\n'
    )
    output = Collectd(found, directory, config + loads).test()
    for name in _PLUGINS:
        if f'plugin "{name}" successfully loaded' not in output.stdout + output.stderr:
            give_up(f"collectd cannot load its plugin {name} (Debian: libprotobuf-c1 libmicrohttpd12): {output.stderr}")
    return found
