# SPDX-License-Identifier: LGPL-2.1-or-later
"""Benchmarks: `python -m benchmarks` runs them; docs/performance.md says what they mean."""
