# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub graph` with the RRDs of a real collectd that reads a real hub."""

from __future__ import annotations

import math
import time
from pathlib import Path

from glasshub import rrds
from glasshub.cli import main

from .collectd_daemon import Collectd, basic_config, hub_process, until

_RRDTOOL = """
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{directory}/rrd"
  CacheTimeout 600
  CacheFlush 6000
</Plugin>
"""


def test_what_collectd_keeps_to_itself_is_in_the_picture(program: str, tmp_path: Path) -> None:
    config = basic_config(tmp_path) + _RRDTOOL.format(directory=tmp_path)
    rate = tmp_path / "rrd/testhost/glasshub-hub.Mailer/operations-processed.rrd"

    def known() -> list[float]:
        now = time.time()
        _, (numbers,) = rrds.table([rate], now - 60, now, 1)
        return [number for number in numbers if not math.isnan(number)]

    with hub_process(tmp_path / "hub.stats"), Collectd(program, tmp_path, config) as daemon:
        begun = daemon.await_known("glasshub-hub/uptime")
        until(lambda: daemon.value("glasshub-hub/uptime") or 0.0, lambda now: now > begun + 3, "a few reads")
        before = known()
        options = ["--since", "1m", "--data-dir", str(tmp_path / "rrd"), "--output", str(tmp_path / "a.png")]
        code = main(["graph", "Mailer", *options, "--flush", str(tmp_path / "collectd-unixsock")])
        after = known()

    assert code == 0
    assert not before
    assert max(after) > 20  # messages a second; there are a hundred
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
