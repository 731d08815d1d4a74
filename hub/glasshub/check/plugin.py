# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plugin of Nagios says, and the exit code it says it with.

One line, `GLASSHUB BACKLOG WARNING - text | 'label'=value[UOM];warn;crit;min;max`, and, where somebody asked for
them, further lines without performance data. Names come from whoever wrote a consumer: what could end the text or
the line early is taken out here, in one place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from glasshub_stats.table import printable
from glasshub_stats.values import clean

from .ranges import Range, plain

#: Findings that the first line has room for.
_MOST_NAMED = 3

#: A longer name is cut in texts; in labels as well, where a hash keeps two of them apart.
_NAME_LENGTH = 60


class Status(IntEnum):
    """The exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3

    @property
    def gravity(self) -> int:
        """Which of two to report: a consumer of which nothing is known hides none that is known to be in trouble."""
        return (Status.OK, Status.UNKNOWN, Status.WARNING, Status.CRITICAL).index(self)


@dataclass(frozen=True)
class Limits:
    """What is still well: -w and -c."""

    warning: Range
    critical: Range

    def judge(self, value: float) -> tuple[Status, str]:
        """What the value means, and why; nothing is said of one that is well."""
        if not self.critical.holds(value):
            return Status.CRITICAL, self.critical.violation
        if not self.warning.holds(value):
            return Status.WARNING, self.warning.violation
        return Status.OK, ""


@dataclass(frozen=True)
class Figure:
    """One value of the performance data.

    Attributes:
        name: Becomes its label: the same one as collectd's, so that two names never have one label.
        value: NaN for one that is not known, which is left out.
        unit: `s` for seconds, nothing for a number of things.
        limits: The ranges it was judged by.
    """

    name: str
    value: float
    unit: str = ""
    limits: Limits | None = None

    def __str__(self) -> str:
        value = plain(round(self.value, 6))
        ranges = [str(self.limits.warning), str(self.limits.critical)] if self.limits is not None else ["", ""]
        return ";".join([f"'{clean(self.name, _NAME_LENGTH)}'={value}{self.unit}", *ranges, "0", ""])


@dataclass(frozen=True)
class Finding:
    """What was found out about one consumer, producer, or the hub.

    Attributes:
        status: What it means.
        name: Whom it is about; empty for the hub.
        text: What it is.
        figures: What can be drawn of it; the first one says how bad it is.
    """

    status: Status
    name: str
    text: str
    figures: Sequence[Figure] = ()

    def __str__(self) -> str:
        return f"{_cut(self.name)}: {self.text}" if self.name else self.text

    @property
    def gravity(self) -> tuple[int, float]:
        """How bad it is, to be compared."""
        value = self.figures[0].value if self.figures else math.nan
        return self.status.gravity, math.inf if math.isnan(value) else value


@dataclass(frozen=True)
class Result:
    """What a check has come to.

    Attributes:
        status: Its exit code.
        text: What stands in the first line.
        figures: What stands behind it.
        details: Further lines, for those who ask for them.
    """

    status: Status
    text: str
    figures: Sequence[Figure] = ()
    details: Sequence[str] = ()

    def output(self, check: str, *, is_verbose: bool = False) -> str:
        """What goes to standard output, without the last line end."""
        line = f"GLASSHUB {check.upper()} {self.status.name} - {_harmless(self.text)}"
        known = [str(figure) for figure in self.figures if math.isfinite(figure.value)]
        if known:
            line += " | " + " ".join(known)
        return "\n".join([line, *(map(_harmless, self.details) if is_verbose else ())])


def concluded(findings: Sequence[Finding], *, nothing: str, basis: str = "") -> Result:
    """Everything that was found, the worst first.

    Args:
        findings: In the order of their performance data.
        nothing: What to say when there are none, which is well.
        basis: What they were judged by, to be added to the text.
    """
    if not findings:
        return Result(Status.OK, nothing)
    status = max(findings, key=lambda finding: finding.gravity).status
    return Result(
        status,
        "; ".join([*_headlines(findings, status), *([basis] if basis else [])]),
        [figure for finding in findings for figure in finding.figures],
        [f"{finding.status.name}: {finding}" for finding in findings],
    )


def _headlines(findings: Sequence[Finding], status: Status) -> list[str]:
    worst = sorted(findings, key=lambda finding: finding.gravity, reverse=True)
    if status == Status.OK:
        return [str(worst[0]) + (f" (most of {len(findings)})" if len(findings) > 1 else "")]
    troubles = [str(finding) for finding in worst if finding.status != Status.OK]
    more = len(troubles) - _MOST_NAMED
    return troubles[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])


def _harmless(text: str) -> str:
    """One line in which nothing begins the performance data, nor is taken for an escape by who reads it."""
    return printable(text).replace("|", "?").replace("\\", "?")


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "..."
