# SPDX-License-Identifier: LGPL-2.1-or-later
"""The read plugin for collectd, in a fake daemon; `tests/integration/test_collectd.py` has the real one."""

from __future__ import absolute_import

import math
import os
import shutil
import tempfile
import unittest

import collectd_glasshub
from collectd_glasshub import plugin as plugin_module
from glasshub_stats import values
from glasshub_stats.clock import monotonic_ns

from .fake_collectd import TYPES, Config, FakeCollectd, module
from .segments import Segment

MYPY = False
if MYPY:
    from typing import Any, Dict, Optional

    from .fake_collectd import Key

KEYS = ("Instance", "Path", "Interval", "StaleAfter", "Percentile", "IgnoreConsumer", "Naming")


class _WithDaemon(unittest.TestCase):
    """A fake collectd, and a directory for segments."""

    def setUp(self):
        # type: () -> None
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.collectd = FakeCollectd()

    def path(self, name):
        # type: (str) -> str
        return os.path.join(self.directory, name)

    def segment(self, name="hub", **options):
        # type: (str, **Any) -> Segment
        options.setdefault("hub", name)
        segment = Segment(self.path(name + ".stats"), **options)
        self.addCleanup(segment.close)
        return segment

    def configure(self, *blocks):
        # type: (*Config) -> None
        collectd_glasshub.Plugin(self.collectd).register()
        self.collectd.configure(*blocks)

    def watch(self, *lines, **names):
        # type: (*Any, **str) -> None
        """Configure one block for `hub.stats`, or the path given by name."""
        self.configure(module(("Path", self.path(names.get("path", "hub.stats"))), *lines))

    def read(self):
        # type: () -> Dict[str, float]
        """What one round of reads dispatches, by plugin-instance/type-instance."""
        return {_joined(key): number for key, number in self.collectd.run_reads().items()}

    def up(self, hub="hub"):
        # type: (str) -> Optional[float]
        """What the next read says of a hub's being up; None when it says nothing."""
        return self.read().get("glasshub-%s/gauge-up" % hub)


class ConfigTest(_WithDaemon):
    def errors_of(self, *lines):
        # type: (*Any) -> Any
        self.watch(*lines)
        return self.collectd.lines("error")

    def test_a_right_block_is_taken_without_a_word(self):
        # type: () -> None
        self.segment()

        errors = self.errors_of(
            ("Instance", "fedmsg-hub"),
            ("Interval", 5.0),
            ("StaleAfter", "30"),
            ("Percentile", 50.0, "99.9"),
            ("IgnoreConsumer", "^Monitoring"),
            ("IgnoreConsumer", "x$", "y$"),
            ("Naming", "Default"),
        )

        self.assertEqual(errors, [])
        self.assertEqual([interval for _, interval in self.collectd.reads.values()], [5.0])
        self.assertIn("glasshub-fedmsg-hub.A/latency-wait-percentile-99.9", self.read())

    def test_keys_are_case_insensitive(self):
        # type: () -> None
        self.segment()

        errors = self.errors_of(("iNSTANCE", "other"), ("PERCENTILE", 75.0))

        self.assertEqual(errors, [])
        self.assertIn("glasshub-other.A/latency-wait-percentile-75", self.read())

    def test_an_unknown_key_is_one_error_that_names_the_valid_ones(self):
        # type: () -> None
        self.segment()

        errors = self.errors_of(("Stale_After", 15.0), ("Instance", "other"))

        self.assertEqual(len(errors), 1)
        self.assertIn("do you mean StaleAfter?", errors[0])
        for key in KEYS:
            self.assertIn(key, errors[0])
        self.assertEqual(self.up("other"), 1)

    def test_each_wrong_value_is_one_error_and_the_rest_holds(self):
        # type: () -> None
        self.segment()
        wrong = [
            ("Interval", 0.0),
            ("Interval", True),
            ("Interval", "soon"),
            ("Interval", float("nan")),
            ("Interval",),
            ("StaleAfter", -1.0),
            ("StaleAfter", 1.0, 2.0),
            ("Percentile",),
            ("Percentile", 0.0),
            ("Percentile", 101.0),
            ("Percentile", "most"),
            ("IgnoreConsumer", "("),
            ("IgnoreConsumer",),
            ("Naming", "moksha"),
            ("Naming", 1.0),
            ("Path", "relative.stats"),
            ("Path",),
            ("Instance", ""),
            ("Instance", "a", "b"),
        ]

        errors = self.errors_of(*wrong)

        self.assertEqual(len(errors), len(wrong), errors)
        for line, error in zip(wrong, errors):
            self.assertIn(str(line[0]), error)
            self.assertIn("Valid keys: ", error)
        self.assertEqual(self.up(), 1)

    def test_a_block_inside_of_the_block_is_an_error(self):
        # type: () -> None
        block = module(("Path", self.path("hub.stats")))
        block.children += (Config("Instance", ["x"], [Config("y")]),)

        self.configure(block)

        self.assertIn("Instance is not a block", self.collectd.lines("error")[0])

    def test_a_block_that_makes_no_sense_at_all_never_raises(self):
        # type: () -> None
        block = module()
        block.children = None  # type: ignore[assignment]

        self.configure(block, module(("Path", self.path("hub.stats"))))

        self.assertIn("this block is ignored", self.collectd.lines("error")[0])
        self.assertEqual(len(self.collectd.reads), 1)

    def test_a_key_given_twice_is_an_error_and_the_last_holds(self):
        # type: () -> None
        self.segment()

        errors = self.errors_of(("Instance", "one"), ("Instance", "two"))

        self.assertEqual(len(errors), 1)
        self.assertEqual(self.up("two"), 1)

    def test_values_of_odd_types_are_taken_for_what_they_say(self):
        # type: () -> None
        self.segment()

        errors = self.errors_of(("Instance", 7.0), ("IgnoreConsumer", True))

        self.assertEqual(errors, [])
        self.assertEqual(self.up("7"), 1)

    def test_without_a_path_the_instance_tells_where_the_segment_is(self):
        # type: () -> None
        self.configure(module(("Instance", "fedmsg-hub")))

        self.read()

        self.assertIn("/run/glasshub/fedmsg-hub.stats", self.collectd.lines("warning")[0])

    def test_without_any_block_the_hubs_that_run_as_services_are_read(self):
        # type: () -> None
        self.configure()

        self.assertEqual(len(self.collectd.reads), 1)

    def test_several_blocks_are_several_hubs_with_reads_of_their_own(self):
        # type: () -> None
        self.segment("one")
        self.segment("two")

        self.configure(
            module(("Path", self.path("one.stats")), ("Instance", "a/b")),
            module(("Path", self.path("two.stats")), ("Instance", "a b")),
        )
        found = self.read()

        self.assertEqual(len(self.collectd.reads), 2)
        self.assertEqual(len([name for name in found if name.endswith("/gauge-up")]), 2)
        self.assertEqual(self.collectd.lines("warning"), [])

    def test_a_second_block_of_the_same_instance_is_an_error(self):
        # type: () -> None
        self.configure(*[module(("Path", self.path(name)), ("Instance", "a")) for name in ("x.stats", "y.stats")])

        self.assertEqual(len(self.collectd.reads), 1)
        self.assertIn("give each its own Instance", self.collectd.lines("error")[0])

    def test_one_hub_may_have_both_namings(self):
        # type: () -> None
        self.segment()

        path = ("Path", self.path("hub.stats"))
        self.configure(module(path), module(path, ("Naming", "fedmsg")))
        found = self.read()

        self.assertEqual(found["glasshub-hub.A/queue_length"], 0)
        self.assertEqual(found["fedmsg-hub/queue_length-A_backlog"], 0)

    def test_an_instance_for_a_glob_is_an_error(self):
        # type: () -> None
        self.segment("one")

        self.watch(("Instance", "x"), path="*.stats")

        self.assertIn("is a glob", self.collectd.lines("error")[0])
        self.assertEqual(self.up("one"), 1)


class ReadTest(_WithDaemon):
    def test_values_are_dispatched_under_the_hubs_own_name(self):
        # type: () -> None
        self.segment("hub", hub="fedmsg-hub").hub(received=5).consumer(0, enqueued=3)
        self.watch()

        found = self.read()

        self.assertEqual(found["glasshub-fedmsg-hub/gauge-up"], 1)
        self.assertEqual(found["glasshub-fedmsg-hub/operations-received"], 5)
        self.assertEqual(found["glasshub-fedmsg-hub.A/queue_length"], 3)

    def test_the_first_read_of_an_old_hub_has_counters_but_no_averages_over_weeks(self):
        # type: () -> None
        self.segment(age=1e6).worker(0, dequeued=9, processed=9).durations(0, "processing", [0.1] * 9)
        self.watch()

        found = self.read()

        self.assertEqual(found["glasshub-hub.A/operations-processed"], 9)
        self.assertTrue(math.isnan(found["glasshub-hub.A/latency-process-average"]))

    def test_the_first_read_of_a_young_hub_covers_its_life(self):
        # type: () -> None
        self.segment(age=5.0).worker(0, dequeued=9, processed=9).durations(0, "processing", [0.1] * 9)
        self.watch()

        self.assertAlmostEqual(self.read()["glasshub-hub.A/latency-process-average"], 0.1, 3)

    def test_latencies_are_those_between_two_reads_and_counters_grow_on(self):
        # type: () -> None
        segment = self.segment()
        segment.worker(0, dequeued=2, processed=2).durations(0, "processing", [5.0, 5.0])
        self.watch()
        self.read()
        _until_the_clock_ticks()

        segment.worker(0, dequeued=3, processed=3).durations(0, "processing", [5.0, 5.0, 0.1])
        found = self.read()
        _until_the_clock_ticks()
        quiet = self.read()

        self.assertAlmostEqual(found["glasshub-hub.A/latency-process-average"], 0.1, 3)
        self.assertEqual(found["glasshub-hub.A/operations-processed"], 3)
        self.assertTrue(math.isnan(quiet["glasshub-hub.A/latency-process-average"]))
        self.assertEqual(quiet["glasshub-hub.A/operations-processed"], 3)

    def test_a_restarted_hub_begins_anew_and_goes_not_negative(self):
        # type: () -> None
        first = self.segment().worker(0, dequeued=100, processed=100).durations(0, "processing", [5.0] * 100)
        self.watch()
        self.read()
        first.unlock()

        self.segment(generation=2, age=5.0).worker(0, dequeued=1, processed=1).durations(0, "processing", [0.1])
        found = self.read()

        self.assertEqual(found["glasshub-hub/gauge-up"], 1)
        self.assertEqual(found["glasshub-hub.A/operations-processed"], 1)
        self.assertAlmostEqual(found["glasshub-hub.A/latency-process-average"], 0.1, 3)
        self.assertTrue(all(math.isnan(number) or number >= 0 for number in found.values()))

    def test_ignored_consumers_are_left_out(self):
        # type: () -> None
        self.segment(consumers=[("MonitoringA", 1), ("B", 1), ("Cx", 1)])
        self.watch(("IgnoreConsumer", "^Monitoring"), ("IgnoreConsumer", "x$"))

        consumers = {name.split("/")[0] for name in self.read() if name.startswith("glasshub-hub.")}

        self.assertEqual(consumers, {"glasshub-hub.B"})

    def test_naming_fedmsg_has_the_old_names(self):
        # type: () -> None
        self.segment("fedmsg-hub").consumer(0, enqueued=3)
        self.watch(("Naming", "fedmsg"), path="fedmsg-hub.stats")

        found = self.read()

        self.assertEqual(found["fedmsg-hub/queue_length-A_backlog"], 3)
        self.assertFalse([name for name in found if name.startswith("glasshub")])

    def test_a_newer_minor_version_with_unknown_fields_is_read(self):
        # type: () -> None
        self.segment(version=(1, 9), unknown=["worker.mood", "consumer.colour", "hub.age"]).consumer(0, enqueued=3)
        self.watch()

        self.assertEqual(self.read()["glasshub-hub.A/queue_length"], 3)

    def test_an_older_version_that_lacks_fields_is_read(self):
        # type: () -> None
        self.segment(without=["worker.failed", "worker.processing", "hub.connected"]).consumer(0, enqueued=3)
        self.watch()

        found = self.read()

        self.assertEqual(found["glasshub-hub.A/queue_length"], 3)
        self.assertEqual(found["glasshub-hub.A/operations-failed"], 0)
        self.assertTrue(math.isnan(found["glasshub-hub.A/latency-process-upper"]))

    def test_what_collectd_refuses_costs_one_value_and_one_line(self):
        # type: () -> None
        self.collectd.types = {name: kind for name, kind in TYPES.items() if name != "queue_length"}
        self.segment()
        self.watch()

        first, second = self.read(), self.read()

        self.assertEqual(first["glasshub-hub.A/operations-enqueued"], 0)
        self.assertEqual(second["glasshub-hub/gauge-up"], 1)
        errors = self.collectd.lines("error")
        self.assertEqual(len(errors), 1)
        self.assertIn("Dataset queue_length not found", errors[0])

    def test_a_read_never_raises_even_when_the_plugin_itself_is_broken(self):
        # type: () -> None
        self.segment()
        self.watch()
        self.addCleanup(setattr, values, "of_interval", values.of_interval)

        values.of_interval = None  # type: ignore[assignment]
        self.read()
        self.read()

        self.assertEqual(len(self.collectd.lines("error")), 1)
        self.assertIn("please report it", self.collectd.lines("error")[0])


class LivenessTest(_WithDaemon):
    def states(self):
        # type: () -> Any
        """The word for each state that was logged."""
        told = [line for _, line in self.collectd.logged if line.startswith("glasshub: hub ")]
        return [line.split(" is ")[1].split(":")[0] for line in told]

    def test_an_absent_hub_is_not_up_and_is_told_of_once(self):
        # type: () -> None
        self.watch(("Instance", "fedmsg-hub"))

        ups = [self.up("fedmsg-hub") for _ in range(5)]

        self.assertEqual(ups, [0] * 5)
        self.assertEqual(self.states(), ["absent"])
        self.assertIn("is the hub running", self.collectd.lines("warning")[0])

    def test_a_hub_that_comes_is_up(self):
        # type: () -> None
        self.watch()
        absent = self.up()

        self.segment()

        self.assertEqual([absent, self.up(), self.up()], [0, 1, 1])
        self.assertEqual(self.states(), ["absent", "up"])

    def test_a_killed_hub_is_down_at_once_and_has_no_other_values(self):
        # type: () -> None
        segment = self.segment()
        self.watch()
        self.read()

        segment.unlock()

        self.assertEqual([self.read(), self.read()], [{"glasshub-hub/gauge-up": 0}] * 2)
        self.assertEqual(self.states(), ["up", "down"])
        self.assertIn("start it again", self.collectd.lines("warning")[0])

    def test_a_stuck_hub_is_not_up_until_its_heart_beats_again(self):
        # type: () -> None
        segment = self.segment()
        self.watch(("StaleAfter", 3.0))
        self.read()

        segment.beat(age=4.0)
        stuck = self.read()
        segment.beat()

        self.assertEqual(stuck["glasshub-hub/gauge-up"], 0)
        self.assertEqual(stuck["glasshub-hub.A/queue_length"], 0)
        self.assertEqual(self.up(), 1)
        self.assertEqual(self.states(), ["up", "stuck", "up"])

    def test_a_hub_with_a_stuck_enqueuer_is_not_up(self):
        # type: () -> None
        self.segment().beat(enqueuer_age=20.0)
        self.watch()

        self.assertEqual(self.up(), 0)

    def test_a_hub_that_was_stopped_is_not_up(self):
        # type: () -> None
        self.segment().phase("stopped").unlock()
        self.watch()

        self.assertEqual(self.up(), 0)
        self.assertEqual(self.states(), ["stopped"])

    def test_a_draining_hub_is_up(self):
        # type: () -> None
        self.segment().phase("draining")
        self.watch()

        self.assertEqual(self.up(), 1)

    def test_another_major_version_is_told_of_once(self):
        # type: () -> None
        self.segment(version=(2, 0))
        self.watch()

        self.assertEqual([self.up(), self.up()], [0, 0])
        self.assertEqual(self.states(), ["of another version"])

    def test_damaged_segments_are_not_up_and_told_of_once(self):
        # type: () -> None
        self.watch()
        with Segment(self.path("whole")) as whole, open(whole.path, "rb") as opened:
            content = opened.read()

        for damaged in (b"", b"\0" * 4096, content[:-1], content[:128], content[:100], os.urandom(5000), b"GLASSHUB"):
            with open(self.path("hub.stats"), "wb") as broken:
                broken.write(damaged)
            self.assertEqual(self.read(), {"glasshub-hub/gauge-up": 0})

        self.assertEqual(self.states(), ["not intelligible"])

    def test_a_directory_in_place_of_the_segment_is_not_up(self):
        # type: () -> None
        os.mkdir(self.path("hub.stats"))
        self.watch()

        self.assertEqual(self.up(), 0)

    def test_a_bug_in_reading_one_hub_hides_no_other(self):
        # type: () -> None
        self.segment("one")
        self.segment("two")
        self.watch(path="*.stats")
        self.read()
        reader = next(iter(self.collectd.reads.values()))[0].__self__  # type: ignore[attr-defined]

        reader._watches[self.path("one.stats")].look = None
        found = self.read()

        self.assertEqual([found["glasshub-one/gauge-up"], found["glasshub-two/gauge-up"]], [0, 1])


class GlobTest(_WithDaemon):
    def test_every_hub_that_matches_is_read(self):
        # type: () -> None
        self.segment("one")
        self.segment("two", hub="zwei").unlock()
        self.watch(path="*.stats")

        found = self.read()

        self.assertEqual([found["glasshub-one/gauge-up"], found["glasshub-zwei/gauge-up"]], [1, 0])

    def test_a_hub_without_a_name_of_its_own_is_called_as_its_file(self):
        # type: () -> None
        self.segment("file", hub="")
        self.watch(path="*.stats")

        self.assertEqual(self.up("file"), 1)

    def test_a_hub_that_was_there_once_and_is_gone_is_not_up(self):
        # type: () -> None
        segment = self.segment("one", hub="uno")
        self.watch(path="*.stats")
        self.read()

        os.unlink(segment.path)

        self.assertEqual([self.read(), self.read()], [{"glasshub-uno/gauge-up": 0}] * 2)
        self.assertEqual(self.collectd.lines("error"), [])

    def test_a_glob_that_matches_nothing_is_told_of_once(self):
        # type: () -> None
        self.watch(path="*.stats")

        self.assertEqual([self.read(), self.read()], [{}, {}])

        self.assertEqual(len(self.collectd.lines("error")), 1)
        self.assertIn("no segment matches", self.collectd.lines("error")[0])

    def test_of_two_hubs_with_one_name_the_living_one_is_read(self):
        # type: () -> None
        self.segment("a", hub="same").unlock()
        self.segment("b", hub="same")
        self.watch(path="*.stats")

        self.assertEqual([self.up("same"), self.up("same")], [1, 1])
        self.assertEqual(len([line for line in self.collectd.lines("warning") if "a namesake" in line]), 1)

    def test_a_hub_that_moved_is_seen_at_its_new_place_alone(self):
        # type: () -> None
        old = self.segment("a", hub="same")
        self.watch(path="*.stats")
        self.read()
        os.unlink(old.path)

        self.segment("b", hub="same")

        self.assertEqual([self.up("same"), self.up("same")], [1, 1])
        self.assertEqual(self.collectd.lines("warning"), [])

    def test_more_hubs_than_sensible_are_told_of_and_cost_no_more(self):
        # type: () -> None
        for number in range(plugin_module.MOST_HUBS + 5):
            open(self.path("%d.stats" % number), "w").close()
        self.watch(path="*.stats")

        self.assertEqual(len(self.read()), plugin_module.MOST_HUBS)
        self.assertIn("matches 261 segments", self.collectd.lines("error")[0])

    def test_names_that_collectd_would_choke_on_are_made_fit(self):
        # type: () -> None
        self.segment("strange", hub=b"b\xc3\xb6s/\xe2\x80\xa8 \n".decode("utf-8"))
        self.watch(path="*.stats")

        (name,) = [name for name in self.read() if name.endswith("/gauge-up")]

        self.assertTrue(name.startswith("glasshub-b_s"), name)


class LogTest(unittest.TestCase):
    def test_anything_can_be_logged(self):
        # type: () -> None
        collectd = FakeCollectd()

        plugin_module.log(collectd.info, "nul \0, newline \n, surrogate \udc80, %s" + "x" * 5000)

        (line,) = collectd.lines("info")
        self.assertTrue(line.startswith("glasshub: nul  , newline  , surrogate \\udc80, %s"), line)
        self.assertTrue(len(line) < 1000)


def _until_the_clock_ticks():
    # type: () -> None
    """Python 2.7 has CLOCK_MONOTONIC to 10 ms only; two reads in one tick would have nothing between them."""
    before_ns = monotonic_ns(0)
    while monotonic_ns(0) == before_ns:
        pass


def _joined(key):
    # type: (Key) -> str
    source, kind = key[:2], key[2:]
    return "%s/%s" % ("-".join(word for word in source if word), "-".join(word for word in kind if word))
