# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `glasshub check` makes of a segment: status, text and performance data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasshub.check.checks import CHECKS, UnknownNameError
from glasshub.check.examine import Request, examine
from glasshub.check.plugin import Figure, Finding, Limits, Result, Status, concluded
from glasshub.check.ranges import Range
from glasshub.errors import HubError
from glasshub_stats.clock import monotonic_ns

from ..contract.segments import Segment
from ..status_lines import LINE

CONSUMERS = (("Mailer", 1), ("Badges", 2))


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    """The segment of a hub that is up, with two consumers and a producer."""
    with Segment(str(tmp_path / "h.stats"), CONSUMERS, ["Digest"], hub="h") as segment:
        yield segment


def ago(seconds: float) -> int:
    return monotonic_ns(0) - int(seconds * 1e9)


def request(segment: Segment, check: str, *names: str, limits: Limits | None = None) -> Request:
    return Request(CHECKS[check], hub=segment.path, names=names, limits=limits)


def look(segment: Segment, check: str, *names: str, warning: str = "10", critical: str = "20") -> Result:
    """One look, with these limits."""
    limits = Limits(Range.parse(warning), Range.parse(critical))
    return examine(request(segment, check, *names, limits=limits))


def figures(result: Result) -> list[str]:
    return [str(figure) for figure in result.figures]


# Backlog


@pytest.mark.parametrize(
    ("backlog", "status"), [(10, Status.OK), (11, Status.WARNING), (20, Status.WARNING), (21, Status.CRITICAL)]
)
def test_backlog_is_judged_by_both_ranges(segment: Segment, backlog: int, status: Status) -> None:
    segment.consumer(0, enqueued=backlog)

    assert look(segment, "backlog").status == status


def test_line_names_the_consumer_with_the_longest_backlog_and_what_is_wrong_with_it(segment: Segment) -> None:
    segment.consumer(0, enqueued=15).consumer(1, enqueued=3)

    output = look(segment, "backlog").output("backlog")

    assert output == (
        "GLASSHUB BACKLOG WARNING - Mailer: 15 messages waiting (outside range 0:10) | "
        "'Mailer'=15;10;20;0; 'Badges'=3;10;20;0;"
    )


def test_line_of_an_idle_hub_says_how_many_it_has_looked_at(segment: Segment) -> None:
    segment.consumer(1, enqueued=1)

    assert look(segment, "backlog").text == "Badges: 1 message waiting (most of 2)"


def test_only_the_consumers_that_are_named_are_judged(segment: Segment) -> None:
    segment.consumer(0, enqueued=100).consumer(1, enqueued=2)

    result = look(segment, "backlog", "Badges")

    assert (result.status, result.text) == (Status.OK, "Badges: 2 messages waiting")


def test_names_may_be_globs(segment: Segment) -> None:
    segment.consumer(0, enqueued=100)

    assert look(segment, "backlog", "M*r").status == Status.CRITICAL


def test_name_that_is_there_is_no_glob(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats"), (("[ab]", 1), ("a", 1))) as segment:
        segment.consumer(1, enqueued=100)

        assert look(segment, "backlog", "[ab]").text == "[ab]: 0 messages waiting"


def test_name_that_is_not_there_is_an_error_that_lists_those_that_are(segment: Segment) -> None:
    with pytest.raises(UnknownNameError, match=re.escape("no consumer Nobody, X* in the hub, only Mailer, Badges")):
        look(segment, "backlog", "Mailer", "Nobody", "X*")


def test_consumer_that_was_not_built_is_unknown_to_those_who_ask_for_it(segment: Segment) -> None:
    segment.consumer(0, initialized=0)

    result = look(segment, "backlog", "Mailer", "Badges")

    assert result.status == Status.UNKNOWN
    assert result.text == "Mailer: is not initialized: its constructor failed, see the hub's log"


def test_consumer_that_was_not_built_does_not_matter_to_those_who_ask_for_all(segment: Segment) -> None:
    segment.consumer(0, initialized=0)

    assert look(segment, "backlog").status == Status.OK


def test_hub_without_consumers_has_no_backlog(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats"), (), hub="h") as segment:
        result = look(segment, "backlog")

    assert (result.status, result.text) == (Status.OK, "h has no consumers")


def test_further_lines_have_one_for_each_consumer(segment: Segment) -> None:
    segment.consumer(0, enqueued=15)

    output = look(segment, "backlog").output("backlog", is_verbose=True)

    assert output.splitlines()[1:] == [
        "WARNING: Mailer: 15 messages waiting (outside range 0:10)",
        "OK: Badges: 0 messages waiting",
    ]


def test_no_more_than_three_are_named(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats"), [(f"C{number}", 1) for number in range(6)]) as segment:
        for number in range(5):
            segment.consumer(number, enqueued=100 + number)

        text = look(segment, "backlog").text

    assert re.findall(r"C\d|and .*", text) == ["C4", "C3", "C2", "and 2 more"]


# Age


def test_age_of_the_oldest_message_is_judged(segment: Segment) -> None:
    segment.consumer(0, enqueued=2, put_head_ns=ago(15.4))

    result = look(segment, "age")

    assert result.status == Status.WARNING
    assert result.text == "Mailer: the oldest of 2 messages waits for 15.4s (outside range 0:10)"
    assert re.fullmatch(r"'Mailer'=15\.4\d*s;10;20;0;", figures(result)[0])


def test_age_without_a_backlog_is_0(segment: Segment) -> None:
    segment.consumer(0, enqueued=2, put_head_ns=ago(15)).worker(0, dequeued=2, processed=2)

    assert look(segment, "age", "Mailer").text == "Mailer: no messages waiting"


# Stuck


def test_time_spent_at_one_message_is_judged(segment: Segment) -> None:
    segment.consumer(1, enqueued=1).worker(1, 1, dequeued=1, started_ns=ago(30))

    result = look(segment, "stuck")

    assert result.status == Status.CRITICAL
    assert result.text == "Badges: at one message for 30.0s (outside range 0:20)"


def test_consumer_beyond_its_own_limit_is_critical_whatever_the_ranges_are(segment: Segment) -> None:
    segment.consumer(0, enqueued=1, max_processing_ns=5 * 10**9).worker(0, dequeued=1, started_ns=ago(6))

    result = look(segment, "stuck", warning="~:", critical="~:")

    assert result.status == Status.CRITICAL
    assert "more than its max_processing of 5.0s" in result.text


def test_producer_that_is_at_one_poll_for_too_long_is_stuck(segment: Segment) -> None:
    segment.producer(0, started_ns=ago(30), last_run_ns=ago(30))

    result = look(segment, "stuck", "Digest")

    assert result.status == Status.CRITICAL
    assert figures(result)[0].startswith("'producer.Digest'=30")


# A broker


@pytest.fixture
def on_broker(segment: Segment) -> Segment:
    """That hub with a queue on a broker for each consumer: 12 wait for Mailer here, and 900 there."""
    segment.hub(endpoints=1, connected=1, broker_queues=2, broker_consuming=2, broker_ready=900, broker_asked_ns=ago(1))
    for index in (0, 1):
        segment.consumer(index, broker_queue=1, broker_consuming=1, broker_asked_ns=ago(1))
    return segment.consumer(0, enqueued=12, put_head_ns=ago(1), broker_ready=900)


def lose(segment: Segment) -> None:
    """Have the connection to the broker be lost."""
    segment.hub(connected=0, lost=1, lost_ns=ago(3), broker_consuming=0, broker_ready=0, broker_asked_ns=0)
    for index in (0, 1):
        segment.consumer(index, broker_consuming=0, broker_ready=0, broker_asked_ns=0)


@pytest.mark.parametrize(
    ("ready", "status"),
    [(0, Status.OK), (3, Status.OK), (4, Status.WARNING), (13, Status.WARNING), (14, Status.CRITICAL)],
)
def test_backlog_on_a_broker_is_judged_with_the_one_here(on_broker: Segment, ready: int, status: Status) -> None:
    on_broker.consumer(0, enqueued=7, broker_ready=ready)

    assert look(on_broker, "backlog").status == status


def test_line_tells_how_many_wait_on_the_broker_and_draws_all_three(on_broker: Segment) -> None:
    output = look(on_broker, "backlog", "Mailer", critical="2000").output("backlog")

    assert output == (
        "GLASSHUB BACKLOG WARNING - Mailer: 912 messages waiting, 900 of them on the broker (outside range 0:10) | "
        "'Mailer'=912;10;2000;0; 'Mailer.here'=12;;;0; 'Mailer.broker'=900;;;0;"
    )


def test_backlog_that_the_broker_does_not_tell_is_unknown(on_broker: Segment) -> None:
    lose(on_broker)

    result = look(on_broker, "backlog", "Mailer", warning="100", critical="200")

    assert result.status == Status.UNKNOWN
    assert result.text == "Mailer: 12 messages waiting here, and the broker does not say how many wait there"
    assert result.output("backlog").endswith(" | 'Mailer.here'=12;;;0;")


def test_backlog_here_that_is_too_much_by_itself_is_no_less_so_without_the_broker(on_broker: Segment) -> None:
    lose(on_broker)

    assert look(on_broker, "backlog").status == Status.WARNING
    assert look(on_broker, "backlog", warning="5", critical="10").status == Status.CRITICAL


@pytest.mark.parametrize(("ready", "status"), [(10, Status.OK), (11, Status.WARNING), (21, Status.CRITICAL)])
def test_queues_that_are_no_consumers_own_are_judged_together(segment: Segment, ready: int, status: Status) -> None:
    segment.hub(broker_queues=1, broker_ready=ready, broker_asked_ns=ago(1))

    assert look(segment, "backlog").status == status
    assert look(segment, "backlog", "Mailer").status == Status.OK


def test_queues_that_are_no_consumers_own_are_unknown_without_the_broker(segment: Segment) -> None:
    segment.hub(broker_queues=1, broker_ready=500, broker_asked_ns=0)

    assert look(segment, "backlog").status == Status.UNKNOWN


def test_age_says_that_it_is_of_what_is_here(on_broker: Segment) -> None:
    result = look(on_broker, "age", "Mailer")

    assert re.fullmatch(
        r"Mailer: the oldest of 12 messages waits for \S+, and 900 on the broker, whose age it does not tell",
        result.text,
    )


def drained(segment: Segment, *, ready: int, dequeued: int = 0) -> Result:
    """Ten seconds in which the broker's queue came to that, judged by when all will be gone."""

    def go_on(_: float) -> None:
        segment.consumer(0, enqueued=12 + dequeued, broker_ready=ready, broker_asked_ns=ago(-9))
        segment.worker(0, dequeued=dequeued, processed=dequeued)

    limits = Limits(Range.parse("60"), Range.parse("120"))
    return examine(
        Request(CHECKS["catch-up"], hub=segment.path, names=["Mailer"], limits=limits, interval=1), sleep=go_on
    )


def test_catch_up_time_is_that_of_all_that_waits(on_broker: Segment) -> None:
    result = drained(on_broker, ready=800)

    assert re.match(r"Mailer: 812 messages waiting, caught up in 1m2\ds \(outside range 0:60\)", result.text)


def test_queue_on_the_broker_that_does_not_shrink_is_beyond_any_limit(on_broker: Segment) -> None:
    result = drained(on_broker, ready=900, dequeued=100)

    assert result.status == Status.CRITICAL
    assert "912 messages waiting, and the backlog does not shrink" in result.text


def test_consumer_that_took_as_many_as_wait_keeps_up(on_broker: Segment) -> None:
    result = drained(on_broker, ready=900, dequeued=912)

    assert result.status == Status.OK
    assert re.search(r"912 messages waiting, no more than it took in \S+: keeps up", result.text)


def test_catch_up_time_is_unknown_while_the_broker_does_not_answer(on_broker: Segment) -> None:
    limits = Limits(Range.parse("60"), Range.parse("120"))
    request_ = Request(CHECKS["catch-up"], hub=on_broker.path, names=["Mailer"], limits=limits, interval=1)
    silent = examine(request_, sleep=lambda _: None)
    lost = examine(request_, sleep=lambda _: lose(on_broker))

    assert (silent.status, lost.status) == (Status.UNKNOWN, Status.UNKNOWN)
    assert "912 messages waiting, and the broker has not told twice how many" in silent.text
    assert "12 messages waiting here, and the broker does not say how many wait there" in lost.text


def test_hub_that_is_not_connected_to_its_broker_is_critical(on_broker: Segment) -> None:
    lose(on_broker)

    result = examine(request(on_broker, "up"))

    assert result.status == Status.CRITICAL
    assert result.text.startswith("not connected to the broker: nothing comes, see the hub's log; h is running for")


def test_queue_that_is_not_consumed_is_critical_and_named(on_broker: Segment) -> None:
    on_broker.hub(broker_consuming=1).consumer(1, broker_consuming=0)

    result = look(on_broker, "up")

    assert result.status == Status.CRITICAL
    assert result.text.startswith("1 of 2 queues are not consumed (Badges), see the hub's log; ")
    assert figures(result)[-2:] == ["'consumed'=1;;;0;", "'queues'=2;;;0;"]


def test_broker_that_takes_nothing_is_a_warning(on_broker: Segment) -> None:
    on_broker.hub(broker_blocked=1)

    result = look(on_broker, "up")

    assert result.status == Status.WARNING
    assert "the broker lacks memory or disk" in result.text


def test_hub_that_is_well_with_its_broker_is_ok(on_broker: Segment) -> None:
    result = look(on_broker, "up")

    assert (result.status, result.text) == (Status.OK, "h is running for 16m40s, 1 of 1 endpoints connected")


# The hub


def test_hub_that_is_up_says_for_how_long_and_what_it_is_connected_to(segment: Segment) -> None:
    segment.hub(endpoints=3, connected=2)

    result = look(segment, "up")

    assert (result.status, result.text) == (Status.OK, "h is running for 16m40s, 2 of 3 endpoints connected")
    assert figures(result)[:2] == ["'lost'=0;10;20;0;", "'connected'=2;;;0;"]


def test_lost_endpoint_is_a_warning_by_default(segment: Segment) -> None:
    segment.hub(endpoints=2, connected=1, lost=1, lost_ns=ago(34))

    result = examine(request(segment, "up"))

    assert result.status == Status.WARNING
    assert "1 of 2 endpoints connected, 1 lost for 34.0s (outside range 0:0)" in result.text


@pytest.mark.parametrize("check", list(CHECKS))
def test_hub_that_was_killed_is_critical_in_each_check(segment: Segment, check: str) -> None:
    segment.unlock()

    result = look(segment, check)

    assert result.status == Status.CRITICAL
    assert "h is down: its process (pid" in result.text


@pytest.mark.parametrize("check", list(CHECKS))
def test_hub_without_a_fresh_heartbeat_is_critical_in_each_check(segment: Segment, check: str) -> None:
    segment.beat(60)

    result = look(segment, check)

    assert result.status == Status.CRITICAL
    assert "h is stuck" in result.text


def test_what_is_an_old_heartbeat_can_be_said(segment: Segment) -> None:
    segment.beat(60)

    result = examine(Request(CHECKS["up"], hub=segment.path, stale_after=120))

    assert result.status == Status.OK


@pytest.mark.parametrize("absent", list(Status))
def test_what_a_hub_means_that_was_stopped_in_order_can_be_said(segment: Segment, absent: Status) -> None:
    segment.phase("stopped").unlock()

    result = examine(Request(CHECKS["up"], hub=segment.path, absent=absent))

    assert (result.status, result.text) == (absent, "h was stopped in order: start it again when it shall run")


@pytest.mark.parametrize("absent", list(Status))
def test_what_a_hub_means_that_is_not_there_can_be_said(segment: Segment, tmp_path: Path, absent: Status) -> None:
    result = examine(Request(CHECKS["up"], hub="other", stats_dir=str(tmp_path), absent=absent))

    assert result.status == absent
    assert result.text.endswith("other.stats, is it running? Hubs there: h")


def test_no_hub_at_all_is_critical(tmp_path: Path) -> None:
    result = examine(Request(CHECKS["up"], stats_dir=str(tmp_path)))

    assert result.status == Status.CRITICAL
    assert "there is no segment (*.stats)" in result.text


def test_segment_that_is_none_is_critical(tmp_path: Path) -> None:
    (tmp_path / "h.stats").write_bytes(b"rubbish")

    result = examine(Request(CHECKS["up"], hub="h", stats_dir=str(tmp_path), absent=Status.OK))

    assert result.status == Status.CRITICAL


def test_the_only_hub_need_not_be_named(segment: Segment, tmp_path: Path) -> None:
    assert examine(Request(CHECKS["up"], stats_dir=str(tmp_path))).status == Status.OK


def test_one_of_several_hubs_has_to_be_named(segment: Segment, tmp_path: Path) -> None:
    with Segment(str(tmp_path / "i.stats")), pytest.raises(HubError, match="several hubs, name one: h, i"):
        examine(Request(CHECKS["up"], stats_dir=str(tmp_path)))


# Consumers and producers


def test_consumers_that_are_all_built_are_named(segment: Segment) -> None:
    result = look(segment, "consumers", warning="0", critical="0")

    assert (result.status, result.text) == (Status.OK, "Mailer, Badges initialized")


def test_consumer_that_was_not_built_is_critical_by_default(segment: Segment) -> None:
    segment.consumer(1, initialized=0)

    result = examine(request(segment, "consumers"))

    assert result.status == Status.CRITICAL
    assert result.text.startswith("Badges is not initialized: its constructor failed")
    assert len(result.figures) == 1


def test_producer_that_polls_in_time_is_well(segment: Segment) -> None:
    segment.producer(0, frequency_ns=60 * 10**9, last_run_ns=ago(20), last_success_ns=ago(19.9), runs=1)

    result = look(segment, "producers")

    assert (result.status, result.text) == (Status.OK, "Digest: last polled 20.0s ago")


def test_producer_whose_poll_is_overdue_is_judged(segment: Segment) -> None:
    segment.producer(0, frequency_ns=60 * 10**9, last_run_ns=ago(75), last_success_ns=ago(75), runs=1)

    result = look(segment, "producers")

    assert result.status == Status.WARNING
    assert result.text == "Digest: its next poll is overdue for 15.0s (outside range 0:10)"


def test_producer_whose_last_poll_failed_is_a_warning(segment: Segment) -> None:
    segment.producer(0, frequency_ns=60 * 10**9, last_run_ns=ago(20), last_success_ns=ago(80), runs=1, failures=1)

    result = look(segment, "producers")

    assert (result.status, result.text) == (Status.WARNING, "Digest: last polled 20.0s ago, and failed")


def test_producer_that_is_at_a_poll_has_not_failed_yet(segment: Segment) -> None:
    segment.producer(0, last_run_ns=ago(20), last_success_ns=ago(80), started_ns=ago(20), runs=1)

    assert look(segment, "producers").status == Status.OK


def test_producer_that_was_not_built_is_critical(segment: Segment) -> None:
    segment.producer(0, initialized=0)

    assert look(segment, "producers").status == Status.CRITICAL


# What happened lately


def later(segment: Segment, check: str, change: dict[str, int], *names: str, seconds: float = 0.05) -> Result:
    """A check with an interval in which a worker of the first consumer counts, and messages come."""

    def sleep(_: float) -> None:
        segment.worker(0, **{name: count for name, count in change.items() if name != "enqueued"})
        segment.consumer(0, enqueued=change.get("enqueued", 0))

    limits = Limits(Range.parse("0"), Range.parse("2"))
    return examine(
        Request(CHECKS[check], hub=segment.path, names=names or ["Mailer"], limits=limits, interval=seconds),
        sleep=sleep,
    )


def test_failures_are_those_of_the_interval(segment: Segment) -> None:
    segment.worker(0, failed=1000, parked=100)

    result = later(segment, "failures", {"failed": 1001, "parked": 101})

    assert result.status == Status.WARNING
    assert re.fullmatch(r"Mailer: 2 messages failed \(outside range 0:0\); in \S+", result.text)


def test_failures_without_anything_to_compare_are_those_since_the_start(segment: Segment) -> None:
    segment.worker(0, failed=15)

    result = look(segment, "failures")

    assert result.status == Status.WARNING
    assert result.text.endswith("; since the hub's start 16m40s ago: nothing to compare with")


def test_hub_that_is_restarted_between_two_readings_is_judged_by_what_it_did_since(
    segment: Segment, tmp_path: Path
) -> None:
    again = []

    def restart(_: float) -> None:
        again.append(Segment(segment.path, CONSUMERS, hub="h", generation=2, age=3).worker(0, failed=1))

    limits = Limits(Range.parse("0"), Range.parse("2"))
    result = examine(Request(CHECKS["failures"], hub=segment.path, limits=limits, interval=1), sleep=restart)
    again[0].close()

    assert result.status == Status.WARNING
    assert result.text.endswith("; since the hub's start 3.0s ago: the hub was restarted")


def test_hub_that_dies_between_two_readings_is_critical(segment: Segment) -> None:
    def die(_: float) -> None:
        segment.unlock()

    result = examine(Request(CHECKS["failures"], hub=segment.path, interval=1), sleep=die)

    assert "h is down" in result.text


def test_catch_up_time_is_that_of_the_interval(segment: Segment) -> None:
    segment.consumer(0, enqueued=1000, put_head_ns=ago(60))

    result = later(segment, "catch-up", {"enqueued": 1000, "dequeued": 900, "processed": 900})

    assert re.match(r"Mailer: 100 messages waiting, caught up in \d", result.text)


def test_backlog_that_does_not_shrink_is_beyond_any_limit(segment: Segment) -> None:
    segment.consumer(0, enqueued=10, put_head_ns=ago(60))

    result = later(segment, "catch-up", {"enqueued": 11, "dequeued": 1, "processed": 1})

    assert result.status == Status.CRITICAL
    assert result.text.startswith("Mailer: 10 messages waiting, and the backlog does not shrink (outside range 0:2)")
    assert "|" not in result.output("catch-up")  # nothing that could be drawn


def test_backlog_that_all_came_within_the_interval_is_none_to_catch_up_with(segment: Segment) -> None:
    """Otherwise a busy consumer that always has a message waiting were critical half of the time."""

    def receive(_: float) -> None:
        segment.consumer(0, enqueued=2, put_head_ns=ago(0))

    result = examine(Request(CHECKS["catch-up"], hub=segment.path, interval=1), sleep=receive)

    assert result.status == Status.OK
    assert re.search(r"2 messages waiting, all of the last \S+: keeps up", result.text)


def test_without_a_backlog_there_is_nothing_to_catch_up_with(segment: Segment) -> None:
    assert later(segment, "catch-up", {}).text.startswith("Mailer: 0 messages waiting, caught up in 0s")


def test_catch_up_takes_an_interval_when_nobody_asks_for_one(segment: Segment) -> None:
    slept: list[float] = []

    examine(Request(CHECKS["catch-up"], hub=segment.path, timeout=4), sleep=slept.append)

    assert slept == [2.0]


def test_failed_polls_of_producers_are_failures(segment: Segment) -> None:
    segment.producer(0, failures=7)

    def fail(_: float) -> None:
        segment.producer(0, failures=8)

    result = examine(Request(CHECKS["failures"], hub=segment.path, interval=1), sleep=fail)

    assert result.status == Status.WARNING
    assert result.text.startswith("Digest: 1 poll failed (outside range 0:0)")


# The manual


def test_manual_has_the_defaults_of_every_check() -> None:
    text = (Path(__file__).parents[2] / "docs/check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| .+? \| (\d+) \| (\d+|none) \| (.*?) ?\|$", text, re.MULTILINE)

    told = {
        name: (warning, critical.replace("none", "~:"), subject or "the hub")
        for name, warning, critical, subject in rows
    }

    assert told == {
        name: (str(check.limits.warning), str(check.limits.critical), check.subject) for name, check in CHECKS.items()
    }


# The line


def test_status_of_nobody_known_hides_no_trouble() -> None:
    unknown = Finding(Status.UNKNOWN, "a", "is not initialized")
    bad = Finding(Status.WARNING, "b", "is bad", [Figure("b", 1)])

    assert concluded([unknown, bad], nothing="").status == Status.WARNING


#: What means something to a shell, to Nagios, to a terminal, to a line, or to nobody.
hostile = st.lists(
    st.one_of(st.sampled_from("|'\"=;\n\r\\$`<\t %\x00\x1b\u2028\ud800é"), st.text(max_size=3)), min_size=1, max_size=12
).map("".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(hostile, min_size=1, max_size=3), st.sampled_from(Status), st.floats(0, 1e18))
def test_no_name_breaks_the_line(names: Sequence[str], status: Status, value: float) -> None:
    limits = Limits(Range.parse("~:5"), Range.parse("@5:10.5"))
    findings = [Finding(status, name, f"{name} waits", [Figure(name, value, "s", limits)]) for name in names]

    lines = concluded(findings, nothing="").output("backlog", is_verbose=True).split("\n")

    assert LINE.fullmatch(lines[0])
    assert len(lines) == 1 + len(names)
    assert not re.search(r"[|\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "".join(lines[1:]))


@settings(max_examples=50, deadline=None)
@given(st.lists(hostile, min_size=2, max_size=3, unique=True))
def test_two_names_never_have_one_label(names: Sequence[str]) -> None:
    assert len({str(Figure(name, 1)) for name in names}) == len(names)
