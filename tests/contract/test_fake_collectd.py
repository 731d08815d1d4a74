# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fake daemon refuses what the real one refuses, or the tests with it would hide bugs."""

from __future__ import absolute_import

import unittest

from .fake_collectd import FakeCollectd, module

MYPY = False
if MYPY:
    from typing import Any


class FakeCollectdTest(unittest.TestCase):
    def setUp(self):
        # type: () -> None
        self.collectd = FakeCollectd()

    def test_types_exist_after_the_configuration_only(self):
        # type: () -> None
        with self.assertRaises(TypeError):
            self.collectd.Values(type="gauge")

        self.collectd.configure()

        self.collectd.Values(type="gauge")
        with self.assertRaises(TypeError):
            self.collectd.Values(type="backlog")

    def test_a_derive_takes_no_nan_and_nothing_of_2_to_63(self):
        # type: () -> None
        self.collectd.configure()
        operations, gauge = self.collectd.Values(type="operations"), self.collectd.Values(type="gauge")

        for number in (float("nan"), 2**63):
            with self.assertRaises((ValueError, OverflowError)):
                operations.dispatch(values=[number])
            gauge.dispatch(values=[number])

    def test_a_value_is_one_number(self):
        # type: () -> None
        self.collectd.configure()
        gauge = self.collectd.Values(type="gauge")

        for wrong in (None, "1"):
            with self.assertRaises(TypeError):
                gauge.dispatch(values=[wrong])
        with self.assertRaises(RuntimeError):
            gauge.dispatch(values=[1, 2])

    def test_names_have_no_nul_and_are_cut_at_127_bytes(self):
        # type: () -> None
        self.collectd.configure()

        with self.assertRaises(TypeError):
            self.collectd.Values(type="gauge", plugin="a\0b")
        self.collectd.Values(type="gauge", plugin="p" * 200).dispatch(values=[1])

        self.assertEqual(list(self.collectd.dispatched), [("p" * 127, "", "gauge", "")])

    def test_a_second_read_of_one_name_is_dropped(self):
        # type: () -> None
        for _ in range(2):
            self.collectd.register_read(self.fail, 1.0, name="n")

        self.assertEqual(len(self.collectd.reads), 1)
        self.assertEqual(len(self.collectd.lines("warning")), 1)

    def test_a_block_goes_to_the_callback_of_its_name(self):
        # type: () -> None
        seen = []  # type: Any
        self.collectd.register_config(seen.append, name="collectd_glasshub")

        self.collectd.configure(module(("Percentile", 50.0, 95.0)))

        self.assertEqual([(line.key, line.values) for line in seen[0].children], [("Percentile", (50.0, 95.0))])

    def test_there_is_no_warn(self):
        # type: () -> None
        self.assertFalse(hasattr(self.collectd, "warn"))
