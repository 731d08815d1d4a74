# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures and the picture of docs/incident.md are those of a real hub, and its text speaks of all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import incident

from ..needs import program

CONSUMERS = re.findall(r"\[consumers\.(\w+)\]", incident._CONFIG)


@pytest.mark.slow
def test_seven_troubles_are_measured_and_drawn(tmp_path: Path) -> None:
    program("rrdtool")

    shown = incident.record(tmp_path, 4.0, look=2.0)
    incident.draw(tmp_path / "recording.jsonl", tmp_path / "incident.png")

    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith("  ") and line.split()}
    assert len(CONSUMERS) == 7
    assert set(CONSUMERS) <= rows.keys()
    assert (rows["Ledger"][0], rows["Mailer"][-1], rows["Tally"][-1]) == ("0", "never", "never")
    assert int(rows["Accounts"][5]) > 0  # failed
    assert (tmp_path / "incident.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_speaks_of_each_consumer_that_it_shows() -> None:
    page = (incident.ROOT / "docs" / "incident.md").read_text(encoding="utf-8")
    measured = page.partition(incident.BEGIN)[2].partition(incident.END)[0]

    assert [name for name in CONSUMERS if f"\n      {name} " not in measured or f"**{name}**" not in page] == []


def test_figures_are_put_where_the_old_ones_were() -> None:
    text = f"above\n{incident.BEGIN}old\n{incident.END}below\n"

    assert incident.page(text, "a\n\nb\n") == f"above\n{incident.BEGIN}\n    a\n\n    b\n\n{incident.END}below\n"
