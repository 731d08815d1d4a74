# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ranges of the Monitoring Plugins: as the library nagiosplugin reads them, but for what is no range."""

from __future__ import annotations

import math
import re

import nagiosplugin  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasshub.check.ranges import Range, RangeError, plain

#: What the library takes and the guidelines do not define: nothing at all, digits as Python's source has them, spaces,
#: exponents, digits of other scripts.
_TOO_MUCH = re.compile(r"@?:?|.*[_\seE].*|.*[^\x00-\x7f].*", re.DOTALL)

numbers = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.decimals(-(10**6), 10**6, places=3).map(str),
    st.sampled_from(["0", "-0", "+5", "007", ".5", "5.", "-.25"]),
)
ranges = st.builds(
    lambda inverted, start, end: inverted + start + end,
    st.sampled_from(["", "@"]),
    st.one_of(st.just(""), st.just("~:"), st.just(":"), numbers.map(lambda number: number + ":")),
    st.one_of(st.just(""), numbers),
)
almost_ranges = st.text(st.sampled_from("@~:0123456789.+-e_ \n\u0663i"), max_size=8)
values = st.one_of(st.integers(-(10**12), 10**12), st.floats(allow_nan=False), st.just(math.inf))


@settings(deadline=None)
@given(st.one_of(ranges, almost_ranges), values)
def test_a_range_is_read_and_matched_as_by_nagiosplugin(text: str, value: float) -> None:
    try:
        ours = Range.parse(text)
    except RangeError:
        ours = None
    try:
        theirs = nagiosplugin.Range(text)
    except ValueError:
        theirs = None

    if ours is None:
        assert theirs is None or _TOO_MUCH.fullmatch(text)
    else:
        assert theirs is not None
        assert (ours.start, ours.end, ours.is_inverted) == (theirs.start, theirs.end, theirs.invert)
        assert ours.holds(value) == theirs.match(value)


@settings(deadline=None)
@given(ranges)
def test_a_range_is_written_so_that_nagiosplugin_reads_it_back(text: str) -> None:
    try:
        ours = Range.parse(text)
    except RangeError:
        return

    theirs = nagiosplugin.Range(str(ours))

    assert (theirs.start, theirs.end, theirs.invert) == (ours.start, ours.end, ours.is_inverted)
    assert Range.parse(str(ours)) == ours


@settings(deadline=None)
@given(
    st.one_of(st.just("~"), st.integers(-1000, 1000).map(str)),
    st.one_of(st.just(""), st.integers(1000, 10**9).map(str)),
)
def test_a_violation_is_described_as_by_nagiosplugin(start: str, end: str) -> None:
    text = f"{start}:{end}"

    assert Range.parse(text).violation == nagiosplugin.Range(text).violation


def test_a_value_that_an_inverted_range_refuses_is_inside_of_it() -> None:
    """The library says "outside"."""
    assert Range.parse("@10:20").violation == "inside range 10:20"


def test_what_is_not_a_number_is_inside_of_no_range() -> None:
    """For the library it is inside of any."""
    assert not Range.parse("10").holds(math.nan)


@pytest.mark.parametrize(
    "text", ["", "@", ":", "@:", "~", "10:5", "5:~", "1_0", " 1", "1e3", "nan", "inf", "9" * 31, "x"]
)
def test_what_is_no_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(RangeError, match=re.escape(repr(text))):
        Range.parse(text)


@settings(deadline=None)
@given(st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_written_without_an_exponent_and_reads_back(number: float) -> None:
    text = plain(number)

    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)
    assert type(number)(text) == number
