# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions that are shipped for other people's programs, below `packaging/`, written from the names in our code."""

from __future__ import annotations

from pathlib import Path

from .alerts import rules
from .grafana import dashboards
from .rrd_pages import cgp, collection3
from .totals import total_rules

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"

_THRESHOLDS_BEGIN = "# A notification is sent when"

_THRESHOLDS = """\
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Alarms of hubs, for a collectd.conf that has no threshold plugin yet:
#
#     Include "/etc/collectd.d/glasshub-thresholds.conf"
#
# Else put the <Plugin "glasshub"> block into the <Plugin threshold> that you have. Written by `make docs` from
# collectd.conf.example, which has the same.
#
"""


def definitions() -> dict[Path, str]:
    """What each file has to be."""
    files = {PACKAGING / "grafana" / name: text for name, text in dashboards().items()}
    files |= {PACKAGING / "prometheus" / name: text for name, text in {**rules(), **total_rules()}.items()}
    files[PACKAGING / "collection3/glasshub.conf"] = collection3()
    files[PACKAGING / "cgp/glasshub.json"] = cgp()
    files[PACKAGING / "collectd/thresholds.conf"] = _thresholds()
    return files


def _thresholds() -> str:
    example = (ROOT / "collectd.conf.example").read_text(encoding="utf-8")
    return _THRESHOLDS + example[example.index(_THRESHOLDS_BEGIN) :]
