# SPDX-License-Identifier: LGPL-2.1-or-later
"""A snapshot as JSON, as OpenMetrics text and as a table."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from glasshub.segment import ConsumerRow, ProducerRow, SegmentWriter
from glasshub.stats import Outcome
from glasshub_stats import Snapshot, read, schema
from glasshub_stats.clock import monotonic_ns
from glasshub_stats.render import as_dict, as_json, as_openmetrics, as_text
from glasshub_stats.table import count, duration, rate

from ..contract.segments import Segment
from .segments import MS, live_segment, tell, work

PRODUCERS = (ProducerRow("digests", True, 60.0), ProducerRow("cleaner", False))
HOSTILE = 'a"b\\c\nd\\n\x1b[2J\u2028größe,le="1"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fedmsg-hub.stats"


@pytest.fixture
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Of a hub at work: one consumer has caught up, one is far behind, one did not start."""
    with live_segment(path, producers=PRODUCERS) as writer:
        work(writer, 0, enqueued=10, processed=8, failed=2)
        work(writer, 1, enqueued=120, processed=20, in_flight=2, took_ns=300 * MS)
        poll(writer, ago=5.0, took=1.5)
        yield read(str(path))


def poll(writer: SegmentWriter, *, ago: float, took: float, succeeded: bool = True) -> None:
    """Let the first producer poll once, so many seconds ago."""
    began_ns = time.monotonic_ns() - int(ago * 1e9)
    writer.producers[0].began(began_ns)
    writer.producers[0].ended(began_ns + int(took * 1e9), succeeded=succeeded)


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}  # type: ignore[no-untyped-call]  # theirs


def value(family: Metric, suffix: str = "", **labels: str) -> float:
    """Of the one sample with these labels, besides the hub's name."""
    found = [
        sample.value
        for sample in family.samples
        if sample.name == family.name + suffix and sample.labels == {"hub": "fedmsg-hub", **labels}
    ]
    assert len(found) == 1, (family.name, labels, found)
    return found[0]


def shown(part: str, *, broker: bool = False) -> tuple[schema.Metric, ...]:
    """What the schema wants shown of a hub, of a consumer, or of a producer; what is of a broker only if it has one."""
    if part == "hub":
        metrics = schema.attributes(schema.HUB_FIELDS, schema.HUB_DERIVED)
    elif part == "producer":
        metrics = schema.attributes(schema.PRODUCER_FIELDS, schema.PRODUCER_DERIVED)
    else:
        metrics = schema.attributes(schema.CONSUMER_FIELDS + schema.WORKER_FIELDS, schema.CONSUMER_DERIVED)
    return tuple(metric for metric in metrics if broker or not schema.is_of_broker(metric))


def test_json_holds_every_metric_of_the_schema_with_the_snapshots_value(snapshot: Snapshot) -> None:
    told = json.loads(as_json(snapshot))

    for metric in shown("hub"):
        assert told["hub"][metric.name] == getattr(snapshot.hub, metric.name)
    for consumer, of_it in zip(snapshot.consumers, told["consumers"]):
        assert of_it["name"] == consumer.name
        for metric in shown("consumer"):
            if metric.kind != schema.HISTOGRAM:
                assert of_it[metric.name] == getattr(consumer, metric.name)
    digests, told_digests = snapshot.producers[0], told["producers"][0]
    assert told_digests == {"name": "digests", **{m.name: getattr(digests, m.name) for m in shown("producer")}}


def test_json_tells_what_the_hub_is_and_how_it_is(snapshot: Snapshot) -> None:
    told = json.loads(as_json(snapshot))

    assert (told["status"], told["alive"], told["pid"]) == ("running", True, snapshot.pid)
    assert (told["path"], told["time"]) == (snapshot.path, snapshot.time)
    assert int(told["generation"], 16) == snapshot.generation
    hub = told["hub"]
    assert [hub[text] for text in ("name", "version", "shape", "source")] == ["fedmsg-hub", "1.2", "threads", "zmq"]
    assert hub["phase"] == "running"


def test_json_sums_a_histogram_up(snapshot: Snapshot) -> None:
    processing = snapshot.consumer("badges").processing

    told = json.loads(as_json(snapshot))["consumers"][1]["processing"]

    assert told == {
        "count": 20,
        "sum": processing.total,
        "mean": processing.mean,
        "p50": processing.percentile(50),
        "p95": processing.percentile(95),
        "p99": processing.percentile(99),
        "upper": processing.upper,
    }


def test_json_of_an_interval_tells_what_happened_in_it(path: Path) -> None:
    with live_segment(path) as writer:
        work(writer, 0, enqueued=9, processed=9, took_ns=900 * MS)
        older = read(str(path))
        work(writer, 0, enqueued=5, processed=4, took_ns=2 * MS)
        interval = read(str(path)).since(older)

    told = json.loads(as_json(interval.newer, interval))

    consumer, of_it = interval.consumers[0], told["interval"]["consumers"][0]
    assert told["interval"]["seconds"] == interval.seconds
    assert of_it["name"] == consumer.name
    for metric in schema.INTERVAL_DERIVED:
        assert of_it[metric.name] == pytest.approx(getattr(consumer, metric.name)) or of_it[metric.name] is None
    assert (of_it["processing"]["count"], of_it["processing"]["p99"]) == (4, consumer.processing.percentile(99))
    assert told["consumers"][0]["processing"]["count"] == 13


def test_json_has_null_for_what_is_not_known(snapshot: Snapshot) -> None:
    told = as_json(snapshot)

    assert json.loads(told)["consumers"][2]["wait"]["p95"] is None
    assert json.loads(told)["producers"][1]["since_run"] is None
    assert "NaN" not in told


def test_json_is_one_line_of_ascii_whatever_the_names(path: Path) -> None:
    with live_segment(path, [ConsumerRow(HOSTILE, 1, True)], name="hüb\n"):
        told = as_json(read(str(path)))

    assert told.isascii()
    assert told.isprintable()
    assert json.loads(told)["consumers"][0]["name"] == HOSTILE
    assert json.loads(told)["hub"]["name"] == "hüb\n"


def test_json_survives_a_path_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "b\udcffd.stats"
    with live_segment(path):
        told = json.loads(as_json(read(str(path))))

    assert told["path"] == str(tmp_path / "b?d.stats")


@pytest.mark.parametrize("part", ["hub", "consumer", "producer"])
def test_openmetrics_has_every_metric_of_the_schema_with_its_type_and_help(snapshot: Snapshot, part: str) -> None:
    page = families(as_openmetrics(snapshot))

    for metric in shown(part):
        of_it = [f for name, f in page.items() if name.startswith(f"glasshub_{part}_{metric.name}")]
        assert any((family.type, family.documentation) == (metric.kind, metric.help) for family in of_it)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("glasshub_hub_received_bytes", "bytes"),
        ("glasshub_hub_received_messages", "messages"),
        ("glasshub_hub_endpoints", "endpoints"),
        ("glasshub_hub_uptime_seconds", "seconds"),
        ("glasshub_hub_disconnects", ""),
        ("glasshub_consumer_busy_seconds", "seconds"),
        ("glasshub_consumer_last_success_timestamp_seconds", "seconds"),
        ("glasshub_consumer_workers", ""),
        ("glasshub_producer_runs", ""),
        ("glasshub_producer_running_seconds", "seconds"),
        ("glasshub_producer_last_run_timestamp_seconds", "seconds"),
    ],
)
def test_openmetrics_names_end_in_the_unit_once(snapshot: Snapshot, name: str, unit: str) -> None:
    page = families(as_openmetrics(snapshot))

    assert page[name].unit == unit


def test_openmetrics_values_are_the_snapshots(snapshot: Snapshot) -> None:
    page = families(as_openmetrics(snapshot))

    assert value(page["glasshub_hub_received_messages"], "_total") == snapshot.hub.received == 130
    assert value(page["glasshub_hub_uptime_seconds"]) == snapshot.hub.uptime
    assert value(page["glasshub_hub_phase"]) == 1
    for consumer in snapshot.consumers:
        who = {"consumer": consumer.name}
        assert value(page["glasshub_consumer_backlog_messages"], **who) == consumer.backlog
        assert value(page["glasshub_consumer_failed_messages"], "_total", **who) == consumer.failed
        assert value(page["glasshub_consumer_busy_seconds"], "_total", **who) == consumer.busy_seconds
        assert value(page["glasshub_consumer_initialized"], **who) == consumer.initialized
    for producer in snapshot.producers:
        who = {"producer": producer.name}
        assert value(page["glasshub_producer_runs"], "_total", **who) == producer.runs
        assert value(page["glasshub_producer_running_seconds"], "_total", **who) == producer.running_seconds
        assert value(page["glasshub_producer_frequency_seconds"], **who) == producer.frequency
        assert value(page["glasshub_producer_initialized"], **who) == producer.initialized


def test_openmetrics_histogram_has_the_octaves_sum_and_count(snapshot: Snapshot) -> None:
    badges = snapshot.consumer("badges")

    family = families(as_openmetrics(snapshot))["glasshub_consumer_processing_seconds"]

    assert family.type == "histogram"
    for edge, below in badges.processing.octaves():
        assert value(family, "_bucket", consumer="badges", le=repr(edge)) == below
    assert value(family, "_bucket", consumer="badges", le="+Inf") == 20
    assert value(family, "_count", consumer="badges") == 20
    assert value(family, "_sum", consumer="badges") == badges.processing.total == pytest.approx(6.0)


def test_openmetrics_tells_the_status_as_a_set_of_states(snapshot: Snapshot) -> None:
    family = families(as_openmetrics(snapshot))["glasshub_hub_status"]

    states = {sample.labels["glasshub_hub_status"]: sample.value for sample in family.samples}
    assert {state for state, is_set in states.items() if is_set} == {"running"}
    assert {"starting", "draining", "stopped", "stuck", "down"} < set(states)


def test_openmetrics_label_survives_a_hostile_name(path: Path) -> None:
    with live_segment(path, [ConsumerRow(HOSTILE, 1, True)], producers=[ProducerRow(HOSTILE, True)], name='h"u\\b\n'):
        page = families(as_openmetrics(read(str(path))))

    (sample,) = page["glasshub_consumer_backlog_messages"].samples
    assert sample.labels == {"hub": 'h"u\\b\n', "consumer": HOSTILE}
    (sample,) = page["glasshub_producer_runs"].samples
    assert sample.labels == {"hub": 'h"u\\b\n', "producer": HOSTILE}


def test_openmetrics_page_can_show_several_hubs(tmp_path: Path) -> None:
    snapshots = []
    for name in ("one", "two"):
        with live_segment(tmp_path / name, name=name):
            snapshots.append(read(str(tmp_path / name)))

    page = families(as_openmetrics(*snapshots))

    assert [sample.labels["hub"] for sample in page["glasshub_hub_up"].samples] == ["one", "two"]


def test_openmetrics_of_a_segment_with_an_unknown_phase_is_still_a_page(snapshot: Snapshot) -> None:
    snapshot.hub.phase = "unknown"

    page = families(as_openmetrics(snapshot))

    assert math.isnan(value(page["glasshub_hub_phase"]))
    assert value(page["glasshub_hub_status"], glasshub_hub_status="unknown") == 1


def row(table: str, consumer: str) -> list[str]:
    """The cells of a consumer's row."""
    line = next(line for line in table.splitlines() if line.removeprefix("!").split()[:1] == [consumer])
    return line.removeprefix("!").split()[1:]


def later(path: Path, older: Snapshot, *, seconds: float) -> Snapshot:
    """What the segment says now, as if so many seconds had passed since `older`."""
    newer = read(str(path))
    newer.taken_ns = older.taken_ns + int(seconds * 1e9)
    return newer


def test_table_without_an_interval_has_the_figures_since_the_start_and_no_rates(snapshot: Snapshot) -> None:
    table = as_text(snapshot)

    assert row(table, "datanommer")[:2] == ["0", "0"]
    assert row(table, "badges") == ["98", "2", "3.0s", "0", "0", "0", "294ms", "294ms", "5.1ms"]
    assert "/s" not in table
    assert "catch" not in table


def test_table_with_an_interval_has_rates_and_catch_up_time(path: Path) -> None:
    with live_segment(path) as writer:
        work(writer, 1, enqueued=120, processed=20)
        older = read(str(path))
        work(writer, 1, enqueued=10, processed=30, took_ns=700 * MS)
        newer = later(path, older, seconds=10)

        table = as_text(newer, newer.since(older))

    cells = row(table, "badges")
    assert cells[3:5] == ["1.0", "3.0"]
    assert cells[8] == duration(newer.since(older).consumer("badges").processing.percentile(50))
    assert cells[-1] == "40.0s"  # 80 left, two a second fewer each second


def test_table_says_never_while_the_backlog_grows(path: Path) -> None:
    with live_segment(path) as writer:
        older = read(str(path))
        work(writer, 1, enqueued=120, processed=20)
        newer = later(path, older, seconds=10)

        table = as_text(newer, newer.since(older))

    assert row(table, "badges")[-1] == "never"
    assert row(table, "datanommer")[-1] == "0s"


def test_table_marks_what_is_not_initialized(snapshot: Snapshot) -> None:
    lines = as_text(snapshot).splitlines()

    assert [line.split()[1] for line in lines if line.startswith("! ")] == ["ircbot", "cleaner", "ircbot", "cleaner"]
    assert "! ircbot is not initialized and gets no messages" in lines[-2]
    assert "! cleaner is not initialized and does not poll" in lines[-1]


def test_table_has_a_row_for_each_producer(snapshot: Snapshot) -> None:
    table = as_text(snapshot)

    assert row(table, "producer") == ["runs", "failures", "every", "ago", "took", "for", "overdue"]
    assert row(table, "digests") == ["1", "0", "1m00s", "5.0s", "1.5s", "0s", "0s"]
    assert row(table, "cleaner") == ["0", "0", "0s", "-", "0s", "0s", "0s"]
    assert table.index("ircbot") < table.index("digests")


def test_table_of_a_hub_without_producers_says_nothing_of_them(path: Path) -> None:
    with live_segment(path):
        assert "producer" not in as_text(read(str(path)))


def test_table_tells_of_a_poll_that_takes_very_long(path: Path) -> None:
    with live_segment(path, producers=PRODUCERS) as writer:
        writer.producers[0].began(time.monotonic_ns() - 300_000 * MS)

        table = as_text(read(str(path)))

    assert "! digests has been at one poll for 5m00s" in table


def test_table_tells_of_a_poll_that_does_not_come(path: Path) -> None:
    with live_segment(path, producers=PRODUCERS) as writer:
        poll(writer, ago=400.0, took=40.0)

        table = as_text(read(str(path)))

    assert "! digests should have polled 5m00s ago" in table


def test_table_tells_of_a_backlog_that_is_being_fetched(path: Path) -> None:
    with live_segment(path) as writer:
        writer.fetches[0].began()
        writer.fetches[0].fetched(1234)
        fetching = as_text(read(str(path)))
        writer.fetches[0].ended()
        fetched = as_text(read(str(path)))

    assert "! datanommer is being given its backlog of before the start: 1234 messages so far" in fetching
    assert "backlog of before" not in fetched


def test_table_tells_of_a_backlog_that_was_not_fetched(path: Path) -> None:
    with live_segment(path) as writer:
        writer.fetches[0].missed(7)
        writer.fetches[1].failed()
        table = as_text(read(str(path)))

    assert "! datanommer has not got the oldest 7 messages of its backlog of before the start" in table
    assert "! badges could not be given its backlog of before the start: 1 errors, see the hub's log" in table


def test_table_of_a_healthy_hub_has_no_mark(path: Path) -> None:
    with live_segment(path, [ConsumerRow("badges", 1, True)]):
        table = as_text(read(str(path)))

    assert "!" not in table
    assert table.startswith("fedmsg-hub: running, up ")


@pytest.mark.parametrize(("phase", "word"), [("running", "DOWN"), ("stopped", "STOPPED")])
def test_table_shouts_when_the_hub_is_gone(path: Path, phase: str, word: str) -> None:
    with live_segment(path, phase=phase):
        pass

    table = as_text(read(str(path)))

    assert table.startswith(f"fedmsg-hub: {word}, last sign of life ")
    assert "last figures" in table.splitlines()[-2]


def test_table_shouts_when_the_hub_is_stuck(snapshot: Snapshot) -> None:
    snapshot.hub.heartbeat_age = 99.0

    table = as_text(snapshot)

    assert table.startswith("fedmsg-hub: STUCK, up ")
    assert "! the hub is stuck: no heartbeat of its main thread for 1m39s" in table


def test_table_tells_of_a_message_that_takes_very_long(path: Path) -> None:
    with live_segment(path) as writer:
        now_ns = time.monotonic_ns()
        writer.consumers[0].enqueued(1)
        writer.workers[0][0].began(now_ns - 400_000 * MS, now_ns - 300_000 * MS, 0)

        table = as_text(read(str(path)))

    assert "! datanommer has been at one message for 5m00s" in table


def test_table_tells_of_a_worker_that_is_stuck(path: Path) -> None:
    with live_segment(path, [ConsumerRow("datanommer", 2, True, max_processing=30.0)]) as writer:
        now_ns = time.monotonic_ns()
        writer.consumers[0].enqueued(1)
        writer.workers[0][0].began(now_ns - 50_000 * MS, now_ns - 45_000 * MS, 0)

        table = as_text(read(str(path)))

    assert "! datanommer is stuck: 1 of 2 workers at one message for up to 45.0s, the limit is 30.0s" in table


def test_table_tells_of_messages_that_come_again_and_of_those_that_were_given_up(path: Path) -> None:
    with live_segment(path) as writer:
        slots, now_ns = writer.workers[0][0], time.monotonic_ns()
        writer.consumers[0].enqueued(3)
        for outcome in (Outcome.RETRIED, Outcome.RETRIED, Outcome.PARKED):
            slots.began(now_ns, now_ns, 0)
            slots.finished(outcome, now_ns)
        writer.consumers[0].requeued(1)

        table = as_text(read(str(path)))

    assert "! datanommer has 1 messages waiting to be tried again" in table
    assert "! datanommer has given up 1 messages, which are parked: see glasshub spool" in table


def test_table_tells_of_worker_processes_that_died_and_of_what_came_again(path: Path) -> None:
    with live_segment(path, shape="processes") as writer:
        writer.supervisor.running(1)
        for _ in range(3):
            writer.supervisor.restarted()
        writer.consumers[0].enqueued(9)
        slots = writer.workers[0][0]
        slots.began(1, 1, 0)
        ((worker, _),) = writer.books[0].at_hand()
        worker.interrupted()
        writer.books[0].repeated(4)

        table = as_text(read(str(path)))

    assert "! worker processes have died and were started anew: 3 times, see the hub's log" in table
    assert "! datanommer has lost its process: 1 messages at hand and 4 that were finished came again" in table
    assert "no worker process" not in table


def test_table_tells_that_no_worker_process_is_up(path: Path) -> None:
    with live_segment(path, shape="processes"):
        table = as_text(read(str(path)))

    assert "! no worker process is up, and messages wait: see the hub's log" in table


def test_table_tells_of_messages_for_which_there_was_no_room(path: Path) -> None:
    with live_segment(path) as writer:
        writer.consumers[0].enqueued(2000)
        writer.drops[0].dropped(1234, 0)

        table = as_text(read(str(path)))

    assert "! datanommer has lost 1234 messages for which there was no room" in table


def test_table_tells_of_a_consumer_that_holds_everybody_up(path: Path) -> None:
    with live_segment(path) as writer:
        now_ns = time.monotonic_ns()
        writer.consumers[0].blocked(now_ns - 30_000 * MS, now_ns)
        table = as_text(read(str(path)))
        writer.consumers[0].unblocked()
        after = as_text(read(str(path)))

    assert "! datanommer has no room: the enqueuer has been waiting for it, and with it everybody, for 30.0s" in table
    assert "no room" not in after


def test_table_tells_of_a_source_that_is_not_connected(path: Path) -> None:
    with live_segment(path) as writer:
        writer.enqueuer.source(endpoints=2, connected=1, disconnects=1, errors=0)

        table = as_text(read(str(path)))

    assert "! the source is connected to 1 of its 2 endpoints" in table


def test_table_tells_of_a_disk_that_refuses(path: Path) -> None:
    with live_segment(path) as writer:
        before = as_text(read(str(path)))
        writer.enqueuer.spool_blocking(time.monotonic_ns() - 65_000 * MS)
        table = as_text(read(str(path)))

    assert "the disk of the spool" not in before
    assert "! the disk of the spool refuses: nobody has got a new message for 1m05s" in table


def test_table_tells_of_what_is_lost_and_of_gaps(path: Path) -> None:
    with live_segment(path) as writer:
        now_ns = time.monotonic_ns()
        writer.enqueuer.source(endpoints=3, connected=1, disconnects=4, errors=0, lost=1, lost_ns=now_ns - 130_000 * MS)
        writer.enqueuer.gap(now_ns - 400_000 * MS, now_ns - 300_000 * MS)
        writer.enqueuer.gap(now_ns - 199_000 * MS, now_ns - 180_000 * MS)

        writer.enqueuer.backfilled(7, duplicates=20)
        writer.backfill.missed(3)
        writer.backfill.failed()

        table = as_text(read(str(path)))

    assert "! of these gaps 7 messages were fetched, up to 3 missed, 1 fetches failed" in table
    assert "! the source is connected to 1 of its 3 endpoints; 1 of them lost, for up to 2m10s now" in table
    assert "! the bus may have lost messages in 2 gaps of 1m59s in all, the last one ended 3m00s ago" in table


def test_table_lets_no_name_write_to_the_terminal(path: Path) -> None:
    rows = [ConsumerRow(HOSTILE, 1, True), ConsumerRow("next", 1, False)]
    with live_segment(path, rows, producers=[ProducerRow(HOSTILE, False)], name="hub\r\x07"):
        table = as_text(read(str(path)))

    assert all(line.isprintable() for line in table.splitlines())
    assert "größe" in table
    assert row(table, "next")[:2] == ["0", "0"]


@pytest.mark.parametrize("width", [80, 100])
def test_table_fits_the_terminal_with_long_names(path: Path, width: int) -> None:
    rows = [ConsumerRow("fedmsg_meta_umb_to_fedora_messaging_bridge_" + "x" * 80, 1, False)]
    with live_segment(path, rows, producers=[ProducerRow("z" * 90, False, 1e9)], name="y" * 120) as writer:
        older = read(str(path))
        writer.enqueuer.beat(0)
        newer = later(path, older, seconds=10)

        table = as_text(newer, newer.since(older), width=width)

    assert max(map(len, table.splitlines())) <= width
    assert "fedmsg_m" in table


def test_table_with_the_largest_numbers_keeps_to_100_columns(path: Path) -> None:
    with live_segment(path, [ConsumerRow("datanommer", 1, True)], producers=PRODUCERS) as writer:
        older = read(str(path))
        poll(writer, ago=999.0, took=99.0, succeeded=False)
        slots = writer.workers[0][0]
        now_ns = time.monotonic_ns()
        slots.began(now_ns - 999_000 * MS, now_ns, 1)
        slots.finished(Outcome.FAILED, now_ns + 999_000 * MS)
        writer.consumers[0].enqueued(2**64 - 1)
        writer.enqueuer.received(2**64 - 1, 2**64 - 1, malformed=2**64 - 1, unrouted=2**64 - 1)
        newer = later(path, older, seconds=1)

        table = as_text(newer, newer.since(older))

    assert max(map(len, table.splitlines())) <= 100
    assert row(table, "datanom~" if "datanom~" in table else "datanommer")[0] == "18.4E"


def test_narrow_table_leaves_out_a_column_of_zeros_but_never_one_that_counts(path: Path) -> None:
    with live_segment(path) as writer:
        work(writer, 0, enqueued=10, processed=8, failed=2)
        newer = read(str(path))

        table = as_text(newer, newer.since(None), width=80)

    titles = table.split("consumer")[1].split()
    assert "failed" in titles
    assert "dropped" not in titles
    assert max(map(len, table.splitlines())) <= 80


def test_hub_without_consumers_is_said_to_have_none(path: Path) -> None:
    with live_segment(path, []):
        told = read(str(path))

        assert "no consumers" in as_text(told)
        assert as_dict(told)["consumers"] == as_dict(told)["producers"] == []
        assert families(as_openmetrics(told))["glasshub_consumer_backlog_messages"].samples == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (float("nan"), "-"),
        (0, "0s"),
        (8.5e-05, "85us"),
        (0.00994, "9.9ms"),
        (0.00996, "10ms"),
        (0.0012, "1.2ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (3.4, "3.4s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (130, "2m10s"),
        (3600 * 5 + 190, "5h03m"),
        (86400 * 2 + 3600 * 7, "2d07h"),
        (86400 * 123, "123d"),
        (1e30, ">9999d"),
    ],
)
def test_duration_is_short_and_has_its_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999999, "9999999"), (12345678, "12.3M"), (999_950_000, "1000M"), (12e9, "12.0G"), (2**64, "18.4E")],
)
def test_count_is_exact_up_to_seven_digits(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(float("nan"), "-"), (0, "0"), (0.067, "0.07"), (4, "4.0"), (99.96, "100"), (123456.7, "123457")],
)
def test_rate_has_the_digits_that_matter(per_second: float, text: str) -> None:
    assert rate(per_second) == text


def test_everything_of_a_snapshot_can_be_asked_twice_with_the_same_answer(snapshot: Snapshot) -> None:
    first: list[Any] = [as_dict(snapshot), as_openmetrics(snapshot), as_text(snapshot)]

    assert first == [as_dict(snapshot), as_openmetrics(snapshot), as_text(snapshot)]


# A broker


@pytest.fixture
def on_broker(path: Path) -> Iterator[SegmentWriter]:
    """A hub with two queues on a broker: datanommer's, where 900 wait, and that of badges."""
    with live_segment(path) as writer:
        work(writer, 0, enqueued=12, processed=0)
        tell(writer, ready=900)
        yield writer


def test_json_holds_what_a_broker_has_and_null_for_what_it_does_not_say(on_broker: SegmentWriter, path: Path) -> None:
    told = json.loads(as_json(read(str(path))))
    tell(on_broker, asked_ns=0)
    lost = json.loads(as_json(read(str(path))))

    for of_it in (told["hub"], told["consumers"][0]):
        assert (of_it["backlog"], of_it["broker_ready"], of_it["total_backlog"]) == (12, 900, 912)
    for metric in shown("consumer", broker=True):
        assert metric.name in told["consumers"][0]
    assert "broker_ready" not in told["consumers"][2]
    assert told["consumers"][2]["total_backlog"] == 0
    for of_it in (lost["hub"], lost["consumers"][0]):
        assert (of_it["backlog"], of_it["broker_ready"], of_it["total_backlog"]) == (12, None, None)


def test_openmetrics_has_samples_of_a_broker_for_who_has_a_queue_there(on_broker: SegmentWriter, path: Path) -> None:
    page = families(as_openmetrics(read(str(path))))

    ready = page["glasshub_consumer_broker_ready_messages"]
    assert [(sample.labels["consumer"], sample.value) for sample in ready.samples] == [
        ("datanommer", 900),
        ("badges", 0),
    ]
    assert value(page["glasshub_consumer_total_backlog_messages"], consumer="ircbot") == 0
    assert value(page["glasshub_consumer_broker_redelivered_messages"], "_total", consumer="badges") == 3
    assert value(page["glasshub_hub_broker_ready_messages"]) == 900
    assert value(page["glasshub_hub_broker_faults"], "_total") == 1


def test_openmetrics_of_a_hub_without_a_broker_has_no_samples_of_one(snapshot: Snapshot) -> None:
    page = families(as_openmetrics(snapshot))

    assert not [name for name, family in page.items() if "_broker_" in name and family.samples]


def test_table_shows_what_waits_on_a_broker_beside_the_backlog(on_broker: SegmentWriter, path: Path) -> None:
    table = as_text(read(str(path)))

    assert row(table, "datanommer")[:2] == ["12", "900"]
    assert row(table, "ircbot")[:2] == ["0", "-"]
    assert re.search(r"backlog 12 here and 900 on the broker, \S+ ago", table)
    assert max(map(len, as_text(read(str(path)), width=80).splitlines())) <= 80


def test_table_of_a_hub_without_a_broker_has_no_such_column(snapshot: Snapshot) -> None:
    assert "broker" not in as_text(snapshot)


def test_table_says_that_nobody_knows_what_a_silent_broker_has(on_broker: SegmentWriter, path: Path) -> None:
    tell(on_broker, ready=900, asked_ns=time.monotonic_ns() - 60_000 * MS)

    table = as_text(read(str(path)))

    assert row(table, "datanommer")[:2] == ["12", "-"]
    assert "backlog 12 here, and nobody knows what waits on the broker" in table
    assert "! how much waits on the broker is not known: it last said so 1m00s ago" in table


def test_table_says_that_a_hub_has_lost_its_broker(on_broker: SegmentWriter, path: Path) -> None:
    on_broker.enqueuer.source(endpoints=1, connected=0, disconnects=1, errors=0)
    tell(on_broker, asked_ns=0, is_consuming=False)

    remarks = [line for line in as_text(read(str(path))).splitlines() if line.startswith("! ")]

    assert "! the source is connected to 0 of its 1 endpoints" in remarks
    assert "! how much waits on the broker is not known: the hub is not connected to it" in remarks
    assert not any("not consumed" in remark for remark in remarks)


def test_table_names_who_gets_nothing_from_a_broker(on_broker: SegmentWriter, path: Path) -> None:
    tell(on_broker, ready=900, is_consuming=False)

    assert "! datanommer gets nothing: its queue on the broker is not consumed" in as_text(read(str(path)))


def test_table_says_that_a_broker_takes_nothing(on_broker: SegmentWriter, path: Path) -> None:
    on_broker.enqueuer.broker(
        queues=2,
        consuming=2,
        ready=0,
        asked_ns=time.monotonic_ns(),
        unacknowledged=0,
        redelivered=0,
        faults=0,
        blocked=True,
    )

    assert "! the broker lacks memory or disk, and takes nothing from this hub" in as_text(read(str(path)))


def test_table_says_how_many_queues_that_are_nobodys_own_are_not_consumed(tmp_path: Path) -> None:
    with Segment(str(tmp_path / "h.stats")) as segment:
        segment.hub(endpoints=1, connected=1, broker_queues=2, broker_consuming=1, broker_asked_ns=monotonic_ns(0))

        table = as_text(read(segment.path))

    assert "! 1 of 2 queues on the broker are not consumed" in table
