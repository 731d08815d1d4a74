# SPDX-License-Identifier: LGPL-2.1-or-later
"""The names and arguments that the checks of fedmsg-hub have had in Fedora Infrastructure since 2014.

SERVICE, which was part of the name of Moksha's monitoring socket, is the hub here. What is different stands in
docs/check.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from glasshub_stats import ConsumerStats, Interval, ProducerStats
from glasshub_stats.table import duration

from .checks import BOTH, CHECKS, NOT_INITIALIZED, PRODUCERS, Check, chosen, judged
from .commandline import Parser, add_common, answer, request_of
from .plugin import Figure, Finding, Limits, Status
from .ranges import Range

_NONE = Limits(Range.parse("~:"), Range.parse("~:"))


def consumer_backlog(arguments: Sequence[str] | None = None) -> int:
    """`check_fedmsg_consumer_backlog SERVICE CONSUMER WARN CRIT`: messages waiting."""
    parser = _limited("check_fedmsg_consumer_backlog", CHECKS["backlog"], "CONSUMER")
    return answer("backlog", lambda: request_of(parser.parse_args(arguments)))


def consumer_exceptions(arguments: Sequence[str] | None = None) -> int:
    """`check_fedmsg_consumer_exceptions SERVICE CONSUMER WARN CRIT`: failures since this was asked last."""
    parser = _limited("check_fedmsg_consumer_exceptions", CHECKS["failures"], "CONSUMER")
    parser.set_defaults(since_last=True)
    return answer("failures", lambda: request_of(parser.parse_args(arguments)))


def producers_consumers(arguments: Sequence[str] | None = None) -> int:
    """`check_fedmsg_producers_consumers SERVICE NAME...`: are all of them there and initialized?"""
    check = Check("producers_consumers", _find_installed, "consumers and producers", BOTH, _NONE)
    parser = _parser("check_fedmsg_producers_consumers", check)
    parser.add_argument("names", nargs="+", metavar="NAME", help="a consumer or a producer")
    return answer(check.name, lambda: request_of(parser.parse_args(arguments)))


def producer_last_ran(arguments: Sequence[str] | None = None) -> int:
    """`check_fedmsg_producer_last_ran SERVICE PRODUCER WARN CRIT`: seconds since the last poll began."""
    check = Check("last_ran", _find_last_ran, "seconds since the last poll", PRODUCERS, _NONE)
    parser = _limited("check_fedmsg_producer_last_ran", check, "PRODUCER")
    return answer(check.name, lambda: request_of(parser.parse_args(arguments)))


def _parser(name: str, check: Check) -> Parser:
    parser = Parser(prog=name, description=f"Judges {check.help}; see glasshub check.", allow_abbrev=False)
    add_common(parser, check, absent=Status.UNKNOWN)  # which it was that there is no socket
    parser.add_argument("hub", metavar="SERVICE", help="the hub")
    return parser


def _limited(name: str, check: Check, kind: str) -> Parser:
    parser = _parser(name, check)
    parser.add_argument("names", nargs=1, metavar=kind, help="its name")
    parser.add_argument("warning", metavar="WARN", type=_above, help="more than this is WARNING")
    parser.add_argument("critical", metavar="CRIT", type=_above, help="more than this is CRITICAL")
    return parser


def _above(text: str) -> Range:
    try:
        return Range(-math.inf, int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _find_installed(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Who is asked about is there, and initialized."""
    hub = interval.newer
    everybody: list[ConsumerStats | ProducerStats] = [*hub.consumers, *hub.producers]  # two may have one name
    there = {each.name for each in everybody}
    failed = {each.name for each in everybody if not each.initialized}
    found = [Finding(Status.CRITICAL, name, "is not there") for name in names if name not in there]
    found += [Finding(Status.CRITICAL, name, NOT_INITIALIZED) for name in names if name in failed]
    return found or [Finding(Status.OK, "", f"{', '.join(names)} initialized")]


def _find_last_ran(interval: Interval, names: Sequence[str], limits: Limits) -> list[Finding]:
    """Time since the last poll; before the first one, since the hub's start."""

    def judge(producer: ProducerStats) -> Finding:
        if producer.last_run_ns:
            seconds, text = producer.since_run, f"last ran {duration(producer.since_run)} ago"
        else:
            seconds = interval.newer.hub.uptime
            text = f"has not run since the hub's start {duration(seconds)} ago"
        return judged(producer.name, Figure(producer.name, seconds, "s", limits), text)

    return [judge(producer) for producer in chosen(interval.newer.producers, names, "producer")]
