# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the documents that are derived from code: `docs/metrics.md` and `docs/configuration.md`.

Usage: python -m tools.documents [--check]

With --check nothing is written; the exit code is 1 when a document is not what the code says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from glasshub.config import SECTIONS, ConsumerSection, file_key
from glasshub.toml import as_toml
from glasshub_stats import histogram, schema

DOCS = Path(__file__).parent.parent / "docs"

_NOTE = "<!-- Written by `make docs` from {source}; do not edit. -->\n"

_METRICS = """\
# Metrics

Every number that Glasshub shows, defined once, in `hub/glasshub_stats/schema.py`; segment, `glasshub stats`,
OpenMetrics page and collectd values are derived from it. A *stored* metric is a slot of the segment with one
writer. A *derived* one is computed by the reader, from the stored ones of one snapshot, or of two.

Counters only grow while the hub lives, and begin at 0 when it starts. Reading never resets anything. All durations
are measured on CLOCK_MONOTONIC: setting the clock of the machine changes none of them.

A message goes this way:

    received ─┬─ malformed            (nobody gets it)
              ├─ unrouted             (nobody wants it)
              └─ for each interested consumer:
                 enqueued ── backlog ── dequeued ── in flight ─┬─ processed
                                │                              ├─ failed
                                └─ dropped                     └─ invalid

so that at any time, for each consumer, **enqueued = backlog + dropped + in flight + processed + failed + invalid**.
"""

_CONFIGURATION = """\
# Configuration

`glasshub run` takes its configuration from these places, the later ones over the earlier:

1. the defaults below;
2. fedmsg's own configuration, with `--fedmsg-config PATH` or `[fedmsg] config` (a file, or a directory of `*.py`);
3. `glasshub.toml`: `--config FILE`, or `/etc/glasshub/glasshub.toml` if it is there;
4. the command line.

`glasshub config`, with the same options, prints what comes out of that and where each value comes from. A key that
is not in the tables below is an error, which names the nearest one that is.
"""

_CONFIGURATION_END = """
## The command line

`--name`, `--shape`, `--zmq` (repeated: `zmq.endpoints`), `--stats-dir` (`stats.directory`) and `--fedmsg-config`
(`fedmsg.config`) set the value of that name. `--consumer A:B` (repeated) or `--with-consumers A:B,C:D` name the
consumers that run instead of all others; a section of the same class still gives them workers, group and settings.

## What fedmsg's configuration sets

| fedmsg | Glasshub |
| --- | --- |
| `endpoints` (all of them) | `zmq.endpoints` |
| `high_water_mark` (if not 0) | `zmq.receive_high_water_mark` |
| `zmq_strict` | `zmq.strict` |
| `zmq_tcp_keepalive`, `_cnt`, `_idle`, `_intvl` | `zmq.tcp_keepalive`, `_count`, `_idle`, `_interval` |
| `zmq_reconnect_ivl`, `zmq_reconnect_ivl_max` (milliseconds) | `zmq.reconnect_interval`, `_max` (seconds) |

All of it is what consumers of fedmsg find as `hub.config`.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | stopped as it was told to, nothing left undone |
| 1 | could not start, or a thread of the hub died: one line on standard error says why |
| 2 | the command line or the configuration is wrong: one line says what, where, and what to do |
| 4 | stopped as it was told to, but messages were left undone; the log says how many of which consumer |
| 141 | whoever read the output has gone |

## Signals

SIGTERM and SIGINT stop receiving and drain for at most `hub.drain_timeout`; a second one stops at once. SIGHUP opens
the log files anew.
"""


def metrics() -> str:
    """The text of docs/metrics.md."""
    parts = [
        ("The hub, stored", schema.HUB_FIELDS),
        ("The hub, derived from one snapshot", schema.HUB_DERIVED),
        ("A consumer, stored by the enqueuer", schema.CONSUMER_FIELDS),
        ("A consumer, stored by each of its workers", schema.WORKER_FIELDS),
        ("A consumer, derived from one snapshot", schema.CONSUMER_DERIVED),
        ("A consumer, derived from the interval between two snapshots", schema.INTERVAL_DERIVED),
    ]
    text = _NOTE.format(source="hub/glasshub_stats/schema.py") + _METRICS
    for title, table in parts:
        text += f"\n## {title}\n\n" + _table(
            ("metric", "kind", "unit", "written by", "meaning"),
            ((f"`{m.name}`", m.kind, m.unit or "-", m.writer, m.help) for m in table),
        )
    return text + _histograms()


def _histograms() -> str:
    return (
        "\n## Histograms\n\n"
        f"{histogram.BUCKETS} buckets, log-linear: 16 to each doubling of the duration, from "
        f"{histogram.EDGES[1] * 1e9:.0f} ns to {histogram.EDGES[-1]:.0f} s; the last one takes everything longer. "
        "A percentile is the middle of the bucket that holds it: within 3.2 % for durations of 8.2 us and more. "
        "`upper` is the upper edge of the highest bucket that is not empty. Percentiles *of an interval* come from "
        "the difference of two snapshots; mean and sum are exact.\n"
    )


def configuration() -> str:
    """The text of docs/configuration.md."""
    text = _NOTE.format(source="hub/glasshub/config.py") + _CONFIGURATION
    sections: dict[str, type[Any]] = {**SECTIONS, "consumers.NAME": ConsumerSection}
    for name, section in sections.items():
        text += f"\n## [{name}]\n\n{(section.__doc__ or '').strip()}\n\n" + _table(
            ("key", "default", "meaning"),
            ((f"`{file_key(f.name)}`", f"`{as_toml(_default(f))}`", f.metadata["help"]) for f in fields(section)),
        )
    return text + _CONFIGURATION_END


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines.extend([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _stale() -> Iterator[Path]:
    for path, text in _documents().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path


def _documents() -> dict[Path, str]:
    return {DOCS / "metrics.md": metrics(), DOCS / "configuration.md": configuration()}


def main(arguments: list[str]) -> int:
    """Write the documents, or check them."""
    if arguments == ["--check"]:
        stale = list(_stale())
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} is not what the code says: run make docs", file=sys.stderr)
        return 1 if stale else 0
    for path, text in _documents().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
