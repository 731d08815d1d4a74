# SPDX-License-Identifier: LGPL-2.1-or-later
"""What collectd is told of a hub, and how names are made fit for it."""

from __future__ import absolute_import

import math
import os
import random
import re
import shutil
import tempfile
import unittest

from glasshub_stats import read, values
from glasshub_stats.clock import monotonic_ns

from .fake_collectd import TYPES
from .segments import Segment

MYPY = False
if MYPY:
    from typing import Any, Dict, Optional

    from glasshub_stats import Interval, Snapshot

DERIVES = ("processed", "failed", "invalid", "duplicates", "dequeued", "enqueued", "dropped")
AFTERCARE = ("discarded", "parked", "retried", "interrupted", "requeued", "repeated", "recalled")
PAST_THE_BUS = ("injected", "withdrawn", "fetched", "fetch_missed", "fetch_errors")


class _WithSegment(unittest.TestCase):
    """A directory to make segments in."""

    def setUp(self):
        # type: () -> None
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)

    def segment(self, name="fedmsg-hub", **options):
        # type: (str, **Any) -> Segment
        segment = Segment(os.path.join(self.directory, name + ".stats"), hub=name, **options)
        self.addCleanup(segment.close)
        return segment

    def worked(self):
        # type: () -> Interval
        """An interval in which consumer A took 4 messages of 10 and finished 3, one of them badly."""
        segment = self.segment(consumers=[("A", 2), ("B", 1)], producers=["P"])
        before = read(segment.path)
        segment.consumer(0, enqueued=10)
        segment.worker(0, 0, dequeued=3, processed=2).durations(0, "processing", [0.010, 0.020])
        segment.worker(0, 1, dequeued=1, failed=1).durations(0, "processing", [0.060], nth=1)
        segment.durations(0, "wait", [0.001, 0.001, 0.001]).durations(0, "wait", [0.001], nth=1)
        return _ten_seconds(read(segment.path), before)


class DefaultNamingTest(_WithSegment):
    def test_a_hub_has_every_value_of_the_manual(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked()))

        prefix = "glasshub-fedmsg-hub/"
        expected = ["gauge-connected", "gauge-up", "queue_length", "uptime"]
        expected += ["operations-" + word for word in ("received", "malformed", "unrouted", "disconnects", "gaps")]
        expected += ["operations-backfill" + word for word in ("ed", "_duplicates", "_missed", "_errors")]
        expected += ["bytes-spool", "duration-spool-blocking", "gauge-spool_messages", "operations-spool_errors"]
        expected += ["gauge-worker_processes", "operations-worker_restarts"]
        expected += ["gauge-backfilling", "gauge-lost", "duration-lost", "total_time_in_ms-gaps"]
        self.assertEqual(
            sorted(name for name in found if name.startswith(prefix)), sorted(prefix + name for name in expected)
        )

    def test_a_consumer_has_every_value_of_the_manual(self):
        # type: () -> None
        latencies = ["average", "percentile-50", "percentile-95", "percentile-99", "upper"]
        expected = (
            ["queue_length", "threads", "percent-busy"]
            + ["gauge-" + word for word in ("initialized", "fetching", "delayed", "stuck")]
            + ["operations-" + word for word in DERIVES + PAST_THE_BUS + AFTERCARE + ("restored",)]
            + ["latency-%s-%s" % (word, name) for word in ("process", "wait") for name in latencies]
            + ["duration-oldest", "duration-current", "duration-blocking", "duration-catch-up"]
        )

        found = _by_name(values.of_interval(self.worked()))

        for consumer in ("A", "B"):
            prefix = "glasshub-fedmsg-hub.%s/" % consumer
            self.assertEqual(
                sorted(name for name in found if name.startswith(prefix)), sorted(prefix + name for name in expected)
            )

    def test_the_numbers_are_those_of_the_interval(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked()))

        prefix = "glasshub-fedmsg-hub.A/"
        self.assertEqual(found["glasshub-fedmsg-hub/gauge-up"], 1)
        self.assertEqual(found[prefix + "queue_length"], 6)
        self.assertEqual(found[prefix + "threads"], 2)
        self.assertEqual([found[prefix + "operations-" + word] for word in DERIVES], [2, 1, 0, 0, 4, 10, 0])
        self.assertAlmostEqual(found[prefix + "latency-process-average"], 0.030, 6)
        self.assertAlmostEqual(found[prefix + "latency-process-percentile-50"] / 0.020, 1.0, delta=0.032)
        self.assertAlmostEqual(found[prefix + "latency-process-percentile-99"] / 0.060, 1.0, delta=0.032)
        self.assertTrue(0.060 <= found[prefix + "latency-process-upper"] <= 0.0638)
        self.assertAlmostEqual(found[prefix + "latency-wait-average"], 0.001, 6)
        # 0.09 s of work in 10 s of two workers, and the one in flight, which began at the beginning of all time
        self.assertEqual(found[prefix + "percent-busy"], 100.0)

    def test_what_did_not_come_from_the_bus_has_values_of_its_own(self):
        # type: () -> None
        segment = self.segment().consumer(
            0, enqueued=10, injected=5, withdrawn=2, fetching=1, fetched=4, fetch_missed=6, fetch_errors=7
        )

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub.A/"
        self.assertEqual([found[prefix + "operations-" + word] for word in PAST_THE_BUS], [5, 2, 4, 6, 7])
        self.assertEqual(found[prefix + "operations-enqueued"], 15)
        self.assertEqual(found[prefix + "gauge-fetching"], 1)
        self.assertEqual(found[prefix + "queue_length"], 13)

    def test_what_is_dropped_and_who_is_waited_for_can_be_seen(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=10, dropped=4, blocking_ns=1)

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub.A/"
        self.assertEqual((found[prefix + "operations-dropped"], found[prefix + "queue_length"]), (4, 6))
        self.assertTrue(found[prefix + "duration-blocking"] > 0)

    def test_what_becomes_of_messages_that_did_not_go_well_can_be_seen(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=10, requeued=5, repeated=2, recalled=1, max_processing_ns=1)
        segment.worker(0, dequeued=15, discarded=2, parked=1, retried=7, interrupted=3, started_ns=1)

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub.A/"
        self.assertEqual([found[prefix + "operations-" + word] for word in AFTERCARE], [2, 1, 7, 3, 5, 2, 1])
        self.assertEqual((found[prefix + "gauge-delayed"], found[prefix + "queue_length"]), (1, 5))
        self.assertEqual(found[prefix + "gauge-stuck"], 1)

    def test_worker_processes_that_are_up_and_those_that_were_started_anew_can_be_seen(self):
        # type: () -> None
        segment = self.segment().hub(worker_processes=2, worker_restarts=3)

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub/"
        self.assertEqual(found[prefix + "gauge-worker_processes"], 2)
        self.assertEqual(found[prefix + "operations-worker_restarts"], 3)

    def test_what_the_spool_holds_and_how_long_the_disk_refuses_can_be_seen(self):
        # type: () -> None
        segment = self.segment().consumer(0, enqueued=10, restored=8)
        segment.hub(spool=1, spool_bytes=4096, spool_messages=9, spool_errors=3, spool_blocking_ns=1)

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub/"
        self.assertEqual((found[prefix + "bytes-spool"], found[prefix + "gauge-spool_messages"]), (4096, 9))
        self.assertEqual(found[prefix + "operations-spool_errors"], 3)
        self.assertTrue(found[prefix + "duration-spool-blocking"] > 0)
        self.assertEqual(found["glasshub-fedmsg-hub.A/operations-restored"], 8)

    def on_broker(self, asked_ns):
        # type: (int) -> Segment
        """Ten messages wait here and 990 on the broker, which said so then."""
        segment = self.segment()
        segment.hub(broker_queues=1, broker_consuming=1, broker_ready=990, broker_asked_ns=asked_ns, broker_faults=3)
        segment.hub(broker_unacknowledged=12, broker_redelivered=5, broker_blocked=1)
        segment.consumer(0, enqueued=10, broker_queue=1, broker_consuming=1, broker_ready=990, broker_hubs=2)
        return segment.consumer(
            0, broker_asked_ns=asked_ns, broker_unacknowledged=12, broker_prefetch=20, broker_redelivered=5
        )

    def test_what_waits_on_a_broker_has_values_of_its_own(self):
        # type: () -> None
        segment = self.on_broker(monotonic_ns(0))

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        for prefix in ("glasshub-fedmsg-hub/", "glasshub-fedmsg-hub.A/"):
            self.assertEqual(found[prefix + "queue_length"], 10)
            self.assertEqual(found[prefix + "queue_length-broker-ready"], 990)
            self.assertEqual(found[prefix + "queue_length-broker-unacknowledged"], 12)
            self.assertEqual(found[prefix + "queue_length-total"], 1000)
            self.assertEqual(found[prefix + "operations-redelivered"], 5)
            self.assertEqual(found[prefix + "gauge-broker_consuming"], 1)
            self.assertTrue(0 <= found[prefix + "duration-broker-asked"] < 5)
        self.assertEqual(found["glasshub-fedmsg-hub.A/count-hubs"], 2)
        self.assertEqual(found["glasshub-fedmsg-hub.A/gauge-prefetch"], 20)
        self.assertEqual(found["glasshub-fedmsg-hub/gauge-broker_queues"], 1)
        self.assertEqual(found["glasshub-fedmsg-hub/gauge-broker_blocked"], 1)
        self.assertEqual(found["glasshub-fedmsg-hub/operations-broker_faults"], 3)

    def test_what_the_broker_has_not_said_is_unknown(self):
        # type: () -> None
        segment = self.on_broker(asked_ns=0)

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        for prefix in ("glasshub-fedmsg-hub/", "glasshub-fedmsg-hub.A/"):
            for name in ("queue_length-broker-ready", "queue_length-total", "duration-broker-asked"):
                self.assertTrue(math.isnan(found[prefix + name]), name)
            self.assertEqual(found[prefix + "queue_length"], 10)
        self.assertTrue(math.isnan(found["glasshub-fedmsg-hub.A/count-hubs"]))
        self.assertTrue(math.isnan(found["glasshub-fedmsg-hub.A/duration-catch-up"]))

    def test_a_hub_without_a_broker_has_no_values_of_one(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked()))

        self.assertFalse([name for name in found if "broker" in name or "total" in name.split("/")[1].split("-")[1:]])

    def test_a_producer_has_every_value_of_the_manual(self):
        # type: () -> None
        second = 10**9
        segment = self.segment(consumers=(), producers=["Digests"])
        segment.producer(0, runs=7, failures=2, last_duration_ns=second // 4, frequency_ns=100 * second)
        found = _by_name(values.of_interval(read(segment.path).since(None)))

        prefix = "glasshub-fedmsg-hub.producer.Digests/"
        own = {name[len(prefix) :]: number for name, number in found.items() if name.startswith(prefix)}
        self.assertTrue(abs(own.pop("duration-overdue") - 900) < 5)
        self.assertTrue(math.isnan(own.pop("duration-since-run")))
        self.assertEqual(
            own,
            {
                "gauge-initialized": 1,
                "operations-runs": 7,
                "operations-failures": 2,
                "duration-last": 0.25,
                "duration-current": 0,
            },
        )

    def test_a_producer_and_a_consumer_may_have_the_same_name(self):
        # type: () -> None
        names = ["X", "producer.X", "producer.producer.X", "producer", "a b"]
        segment = self.segment(consumers=[(name, 1) for name in names], producers=names)

        found = _by_name(values.of_interval(read(segment.path).since(None)))  # fails on a name that is there twice

        initialized = [name for name in found if name.endswith("/gauge-initialized")]
        self.assertEqual(len(initialized), 2 * len(names))
        self.assertIn("glasshub-fedmsg-hub.X/gauge-initialized", initialized)
        self.assertIn("glasshub-fedmsg-hub.producer/gauge-initialized", initialized)
        self.assertIn("glasshub-fedmsg-hub.producer.X/duration-last", found)
        self.assertNotIn("glasshub-fedmsg-hub.producer.X/threads", found)

    def test_only_types_of_collectds_own_types_db_are_used(self):
        # type: () -> None
        interval = self.worked()

        on_broker = read(self.on_broker(monotonic_ns(0)).path).since(None)

        for naming in values.NAMINGS:
            for shown in (interval, on_broker):
                for value in values.of_interval(shown, naming=naming):
                    self.assertIn(value.type, TYPES)

    def test_a_quiet_interval_has_unknown_latencies_and_no_catch_up_to_do(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked()))

        quiet = "glasshub-fedmsg-hub.B/"
        self.assertTrue(math.isnan(found[quiet + "latency-process-average"]))
        self.assertTrue(math.isnan(found[quiet + "latency-wait-percentile-95"]))
        self.assertEqual(found[quiet + "duration-catch-up"], 0.0)
        self.assertEqual(found[quiet + "percent-busy"], 0.0)

    def test_a_growing_backlog_has_no_catch_up_time(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked()))

        self.assertTrue(math.isnan(found["glasshub-fedmsg-hub.A/duration-catch-up"]))

    def test_percentiles_are_those_asked_for(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked(), percentiles=(75, 99.9)))

        names = sorted(name for name in found if name.startswith("glasshub-fedmsg-hub.A/latency-wait-percentile"))
        self.assertEqual([name.rpartition("percentile-")[2] for name in names], ["75", "99.9"])

    def test_unwanted_consumers_are_left_out(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked(), is_wanted=lambda name: name != "A"))

        self.assertFalse([name for name in found if "hub.A/" in name])
        self.assertTrue([name for name in found if "hub.B/" in name])

    def test_counters_stay_in_the_range_of_derive_whatever_the_segment_holds(self):
        # type: () -> None
        segment = self.segment(producers=["P"])
        segment.hub(received=2**64 - 1)
        segment.consumer(0, enqueued=2**63, dropped=2**64 - 1, broker_queue=1, broker_redelivered=2**64 - 1)
        segment.worker(0, dequeued=2**63 - 1, processed=2**64 - 1, started_ns=2**64 - 1)
        segment.producer(0, runs=2**64 - 1, failures=2**63, started_ns=2**64 - 1, last_duration_ns=2**64 - 1)
        snapshot = read(segment.path)

        for value in values.of_interval(snapshot.since(None)):
            if TYPES[value.type] == "DERIVE":
                self.assertTrue(0 <= value.value < 2**63, value)
            float(value.value)


class FedmsgNamingTest(_WithSegment):
    def test_names_and_units_are_those_of_the_old_script(self):
        # type: () -> None
        found = _by_name(values.of_interval(self.worked(), naming="fedmsg"))

        self.assertFalse([name for name in found if "runs" in name or "P" in name], "the old script knew no producers")
        times = {name: found.pop("fedmsg-hub/response_time-A_" + name) for name in ("min", "max", "avg")}
        self.assertEqual(
            {name: number for name, number in found.items() if "B_" not in name},
            {
                "fedmsg-hub/gauge-up": 1,
                "fedmsg-hub/queue_length-A_backlog": 6,
                "fedmsg-hub/gauge-A_in": 10,
                "fedmsg-hub/gauge-A_out": 4,
                "fedmsg-hub/gauge-A_exceptions": 1,
            },
        )
        self.assertTrue(9.37 <= times["min"] <= 10, times)
        self.assertAlmostEqual(times["avg"], 30.0, 3)
        self.assertTrue(60 <= times["max"] <= 63.8, times)

    def test_counts_are_unknown_when_there_is_no_interval(self):
        # type: () -> None
        snapshot = read(self.segment().path)

        found = _by_name(values.of_interval(snapshot.since(snapshot), naming="fedmsg"))

        self.assertTrue(math.isnan(found["fedmsg-hub/gauge-A_in"]))
        self.assertTrue(math.isnan(found["fedmsg-hub/response_time-A_min"]))
        self.assertEqual(found["fedmsg-hub/queue_length-A_backlog"], 0)

    def test_the_backlog_is_all_of_it_on_a_broker_too(self):
        # type: () -> None
        segment = self.segment().consumer(
            0, enqueued=10, broker_queue=1, broker_ready=990, broker_asked_ns=monotonic_ns(0)
        )

        found = _by_name(values.of_interval(read(segment.path).since(None), naming="fedmsg"))
        segment.consumer(0, broker_asked_ns=0)
        lost = _by_name(values.of_interval(read(segment.path).since(None), naming="fedmsg"))

        self.assertEqual(found["fedmsg-hub/queue_length-A_backlog"], 1000)
        self.assertTrue(math.isnan(lost["fedmsg-hub/queue_length-A_backlog"]))

    def test_the_plugin_instance_is_what_follows_fedmsg_in_the_hubs_name(self):
        # type: () -> None
        self.assertEqual(values.hub_instance("fedmsg-hub", "fedmsg"), "hub")
        self.assertEqual(values.hub_instance("fedmsg-irc", "fedmsg"), "irc")
        self.assertEqual(values.hub_instance("anything", "fedmsg"), "hub")


class LivenessTest(_WithSegment):
    def test_a_hub_that_is_down_has_up_0_alone(self):
        # type: () -> None
        segment = self.segment().unlock()

        for naming, plugin in (("default", "glasshub-fedmsg-hub"), ("fedmsg", "fedmsg-hub")):
            found = _by_name(values.of_interval(read(segment.path).since(None), naming=naming))

            self.assertEqual(found, {plugin + "/gauge-up": 0})

    def test_a_hub_that_was_stopped_has_up_0_alone(self):
        # type: () -> None
        segment = self.segment().phase("stopped")

        found = _by_name(values.of_interval(read(segment.path).since(None)))

        self.assertEqual(found, {"glasshub-fedmsg-hub/gauge-up": 0})

    def test_a_stuck_hub_has_up_0_and_its_figures(self):
        # type: () -> None
        segment = self.segment().beat(age=20)

        stuck = _by_name(values.of_interval(read(segment.path).since(None)))
        patient = _by_name(values.of_interval(read(segment.path).since(None), stale_after=30))

        self.assertEqual(stuck["glasshub-fedmsg-hub/gauge-up"], 0)
        self.assertEqual(stuck["glasshub-fedmsg-hub.A/queue_length"], 0)
        self.assertEqual(patient["glasshub-fedmsg-hub/gauge-up"], 1)

    def test_a_hub_that_cannot_be_read_has_up_0(self):
        # type: () -> None
        self.assertEqual(values.of_hub_up("h", False), values.Value("glasshub", "h", "gauge", "up", 0))


class NamesTest(unittest.TestCase):
    def test_a_plain_name_is_kept(self):
        # type: () -> None
        for name in ("Mailer", "a.b:c-d_e", "9", "x" * 127):
            self.assertEqual(values.clean(name), name)

    def test_a_strange_name_is_readable_still(self):
        # type: () -> None
        self.assertTrue(values.clean("my hub/1").startswith("my_hub_1-"))
        self.assertTrue(values.clean(b"gr\xc3\xb6\xc3\x9fe".decode("utf-8")).startswith("gr__e-"))

    def test_two_names_never_become_one(self):
        # type: () -> None
        chance = random.Random(20140317)
        names = {"", ".", "..", "a b", "a/b", "a_b", "a\nb", "a\0b", "x" * 127, "x" * 128, "x" * 129, "x" * 5000}
        names.update("x" * 126 + letter + "y" for letter in "abc/")
        names.update("".join(chance.choice("ab/ _-.") for _ in range(chance.randrange(9))) for _ in range(3000))
        names.update(values.clean(name) for name in list(names))  # a hub may be called what another one was made of

        cleaned = {name: values.clean(name) for name in names}

        self.assertEqual(len(set(cleaned.values())), len(names))
        for name in cleaned.values():
            self.assertTrue(re.match(r"[A-Za-z0-9_.:-]{1,127}\Z", name), name)

    def test_hub_and_consumer_are_told_apart_by_the_first_dot(self):
        # type: () -> None
        pairs = [("a", "b.c"), ("a.b", "c"), ("a_b", "c"), ("a", "b_c"), ("a.b.c", ""), ("a b", "c"), ("a", "b c")]

        instances = {"%s.%s" % (values.hub_instance(hub), values.clean(consumer, 63)) for hub, consumer in pairs}
        instances.update(values.hub_instance(hub) for hub in ("a", "a.b", "a.b.c"))

        self.assertEqual(len(instances), len(pairs) + 3)

    def test_hub_and_consumer_of_any_length_fit_together(self):
        # type: () -> None
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        names = {"consumers": [("c" * 128, 1)], "producers": ["p" * 128], "hub": "h" * 128}  # type: Dict[str, Any]
        with Segment(os.path.join(directory, "x"), **names) as segment:
            interval = read(segment.path).since(None)

            for naming in values.NAMINGS:
                for value in values.of_interval(interval, naming=naming):
                    self.assertTrue(len(value.plugin_instance) <= 127 and len(value.type_instance) <= 127, value)


class PutvalTest(unittest.TestCase):
    def test_a_line_has_the_identifier_the_interval_and_the_value(self):
        # type: () -> None
        value = values.Value("glasshub", "hub.A", "latency", "wait-average", 0.25)

        self.assertEqual(
            values.putval(value, "host.example", 10),
            'PUTVAL "host.example/glasshub-hub.A/latency-wait-average" interval=10 N:0.25',
        )

    def test_an_unknown_value_is_u_and_empty_instances_leave_no_dash(self):
        # type: () -> None
        value = values.Value("glasshub", "", "threads", "", float("nan"))

        self.assertEqual(values.putval(value, "h", 0.5), 'PUTVAL "h/glasshub/threads" interval=0.5 N:U')

    def test_the_time_may_be_given(self):
        # type: () -> None
        value = values.Value("glasshub", "hub", "operations", "received", 2**63 - 1)

        self.assertEqual(
            values.putval(value, "h", 10, 1400000000.5),
            'PUTVAL "h/glasshub-hub/operations-received" interval=10 1400000000.500:9223372036854775807',
        )

    def test_a_hosts_name_cannot_break_the_line(self):
        # type: () -> None
        value = values.Value("glasshub", "hub", "threads", "", 1)

        self.assertEqual(
            values.putval(value, 'a"b\\c/d e\nPUTVAL', 10),
            r'PUTVAL "a\"b\\c_d_e_PUTVAL/glasshub-hub/threads" interval=10 N:1',
        )


def _ten_seconds(newer, older):
    # type: (Snapshot, Optional[Snapshot]) -> Interval
    """The interval of two snapshots as if ten seconds lay between them."""
    if older is not None:
        older.taken_ns = newer.taken_ns - 10 * 10**9
    return newer.since(older)


def _by_name(found):
    # type: (Any) -> Dict[str, float]
    """Numbers by plugin-instance/type-instance, as collectd writes it."""
    named = {}
    for value in found:
        parts = [part for part in (value.type, value.type_instance) if part]
        name = "%s-%s/%s" % (value.plugin, value.plugin_instance, "-".join(parts))
        assert name not in named, "%s is there twice" % name
        named[name] = value.value
    return named
