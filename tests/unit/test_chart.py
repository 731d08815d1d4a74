# SPDX-License-Identifier: LGPL-2.1-or-later
"""Charts as SVG: what is drawn where, and that nothing is written over anything else."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.chart import STYLE, Band, Line, chart, ticks

_SVG = "{http://www.w3.org/2000/svg}"
NAN = math.nan


def drawn(
    *lines: Line,
    width: float = 900,
    bands: Sequence[Band] = (),
    span: tuple[float, float] | None = None,
    title: str = "Backlog",
    unit: str = "messages",
    standalone: bool = False,
) -> ElementTree.Element:
    return ElementTree.fromstring(
        chart(
            lines,
            title=title,
            description="What was waiting.",
            time_label=lambda seconds: time.strftime("%H:%M:%S", time.gmtime(seconds)),
            unit=unit,
            width=width,
            bands=bands,
            span=span,
            standalone=standalone,
        )
    )


def line(*values: float, name: str = "Badges", colour: str = "#0072B2", dash: str = "") -> Line:
    return Line(name, list(enumerate(values)), colour, dash)


def path_of(svg: ElementTree.Element, colour: str = "#0072B2") -> str:
    return next(path.attrib["d"] for path in svg.iter(f"{_SVG}path") if path.attrib.get("stroke") == colour)


def ends_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def texts_of(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{_SVG}text")]


def boxes_of(svg: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    """What each text covers, if its letters are of usual width: text, left, right, top, bottom."""
    boxes = []
    for element in svg.iter(f"{_SVG}text"):
        size = {"chart-title": 16, "chart-unit": 11, "chart-mark": 11}.get(element.attrib.get("class", ""), 12)
        text, x, y = element.text or "", float(element.attrib["x"]), float(element.attrib["y"])
        width = len(text) * size * 0.55
        left = x - {"middle": width / 2, "end": width}.get(element.attrib.get("text-anchor", ""), 0)
        boxes.append((text, left, left + width, y - size * 0.75, y + size * 0.2))
    return boxes


def overlaps_of(svg: ElementTree.Element) -> list[tuple[str, str]]:
    return [
        (one[0], other[0])
        for one, other in itertools.combinations(boxes_of(svg), 2)
        if one[1] < other[2] and other[1] < one[2] and one[3] < other[4] and other[3] < one[4]
    ]


def test_larger_values_are_higher_and_later_ones_to_the_right() -> None:
    (first, second, third) = ends_of(path_of(drawn(line(0, 10, 5))))

    assert first[0] < second[0] < third[0]
    assert second[1] < third[1] < first[1]


def test_the_axis_of_values_begins_at_zero() -> None:
    svg = drawn(line(1000, 1001))

    assert "0" in texts_of(svg)
    assert max(y for _, y in ends_of(path_of(svg))) < 100  # of 300 pixels from above


def test_a_value_that_is_not_known_makes_a_gap() -> None:
    path = path_of(drawn(line(1, 2, NAN, 3, 4)))

    assert path.count("M") == 2
    assert len(ends_of(path)) == 4


def test_a_level_stretch_takes_no_more_than_its_ends() -> None:
    assert len(ends_of(path_of(drawn(line(5, *[0] * 1000, 5))))) == 4


def test_a_value_between_two_gaps_is_a_dot() -> None:
    assert path_of(drawn(line(NAN, 2, NAN))).endswith("h0")


def test_without_any_value_it_says_so() -> None:
    assert "no data" in texts_of(drawn(line(NAN, NAN)))
    assert "no data" in texts_of(drawn(Line("Badges", [], "#0072B2")))
    assert "no data" not in texts_of(drawn(line(0, 0)))


def test_points_outside_of_the_span_are_left_out() -> None:
    path = path_of(drawn(line(1, 2, 3, 4, 5), span=(1, 3)))

    assert len(ends_of(path)) == 3


def test_several_lines_have_a_legend_with_their_dashes() -> None:
    svg = drawn(line(1, 2), line(2, 1, name="Irc", colour="#D55E00", dash="8 5"))

    assert {"Badges", "Irc"} <= set(texts_of(svg))
    assert [path.attrib.get("stroke-dasharray") for path in svg.iter(f"{_SVG}path")].count("8 5") == 2


def test_the_first_line_lies_on_top() -> None:
    svg = drawn(line(1, 2), line(2, 1, name="Irc", colour="#D55E00"))
    curves = [p.attrib["stroke"] for p in svg.iter(f"{_SVG}path") if len(ends_of(p.attrib["d"])) > 1]

    assert curves == ["#D55E00", "#0072B2"]


def test_names_from_outside_stay_text() -> None:
    hostile = "</text><script>alert(1)</script>\x07&\ud800"
    svg = drawn(line(1, 2, name=hostile), line(1, 2, colour='"><script>'), title=hostile, standalone=True)

    assert not list(svg.iter(f"{_SVG}script"))
    assert "</text><script>alert(1)</script>\ufffd&\ufffd" in texts_of(svg)


def test_its_title_and_description_are_there_for_those_who_do_not_see_it() -> None:
    svg = drawn(line(1, 2))

    assert svg.attrib["role"] == "img"
    assert svg.findtext(f"{_SVG}title") == "Backlog"
    assert svg.findtext(f"{_SVG}desc") == "What was waiting."


def test_a_chart_of_its_own_brings_its_looks_along_and_one_in_a_page_does_not() -> None:
    style = drawn(line(1), standalone=True).findtext(f"{_SVG}style")

    assert style is not None
    assert style.count("{") == STYLE.count("{")
    assert "var(" not in style  # which programs other than browsers do not know
    assert drawn(line(1)).find(f"{_SVG}style") is None


def test_a_band_is_shaded_where_it_was_and_has_its_label() -> None:
    svg = drawn(line(*range(11)), bands=[Band(5, 20, "the spike"), Band(30, 40, "later")])
    (band,) = (rect for rect in svg.iter(f"{_SVG}rect") if rect.attrib["class"] == "chart-band")
    right = max(x for x, _ in ends_of(path_of(svg)))

    assert float(band.attrib["x"]) + float(band.attrib["width"]) == pytest.approx(right, abs=0.2)
    assert "the spike" in texts_of(svg)
    assert "later" not in texts_of(svg)


def test_labels_of_bands_side_by_side_do_not_meet() -> None:
    bands = [Band(at, at + 1, f"the hub was down, number {at}") for at in range(4)]

    assert overlaps_of(drawn(line(*range(11)), bands=bands, width=320)) == []


@given(
    seconds=st.floats(0.01, 5e7),
    most=st.floats(0.001, 1e9),
    width=st.sampled_from([320.0, 480.0, 900.0]),
    names=st.lists(st.text("abcXYZ ", min_size=1, max_size=60), min_size=1, max_size=9),
)
def test_no_text_lies_over_another_or_outside(seconds: float, most: float, width: float, names: list[str]) -> None:
    lines = [Line(name, [(1e9, 0), (1e9 + seconds, most)], "#0072B2") for name in names]
    svg = drawn(*lines, width=width, unit="messages", standalone=True)

    assert overlaps_of(svg) == []
    assert all(left >= -1 and right <= width + 1 for _, left, right, _, _ in boxes_of(svg))


@pytest.mark.parametrize(
    ("most", "labels"),
    [(88_000, {"0", "20,000", "40,000"}), (2_100_000, {"0", "0.5 M", "1.0 M"}), (0.9, {"0", "0.2", "0.4"})],
)
def test_values_on_the_axis_are_round_and_readable(most: float, labels: set[str]) -> None:
    assert labels <= set(texts_of(drawn(line(0, most))))


def test_times_are_counted_from_a_round_one() -> None:
    svg = chart(
        [Line("Badges", [(0, 1), (86400 * 3, 1)], "#0072B2")],
        title="Backlog",
        description="What was waiting.",
        time_label=lambda seconds: f"{seconds:.0f} s",
        unit="messages",
        time_origin=3600,
        standalone=False,
    )

    assert re.findall(r">(\d+) s<", svg)[:2] == ["3600", "46800"]


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.integers(2, 20))
def test_ticks_are_few_and_within(begin: float, length: float, most: int) -> None:
    found = ticks(begin, begin + length, most)

    assert len(found) <= most
    assert all(begin - 1e-6 <= tick <= begin + length + 1e-6 for tick in found)
