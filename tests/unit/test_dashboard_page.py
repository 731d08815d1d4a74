# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard's page: what it says, and that nobody's name gets out of its place."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasshub.dashboard.html import Html, element
from glasshub.dashboard.model import SPANS, ConsumerView, Level, State, View, condition
from glasshub.dashboard.page import POLICY, page
from glasshub.dashboard.verdict import verdict

from .views import NOW, WELL, consumer, frame, hub, lagging, view


class Parts(HTMLParser):
    """What a browser makes of a page: elements, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(what: View, *, is_served: bool = True) -> Parts:
    return Parts(page(what, frame(is_served=is_served)))


# What it says


@pytest.mark.parametrize(
    ("what", "level", "headline"),
    [
        (view(), Level.UNKNOWN, "No hub to be seen"),
        (view(problems=["rrdtool is not installed"]), Level.BAD, "The figures cannot be read"),
        (view(hub(consumer())), Level.WELL, "All well"),
        (view(hub(lagging())), Level.BAD, "Badges is behind"),
        (view(hub(lagging(catch_up=60.0), consumer("Irc"))), Level.WATCH, "Badges is catching up"),
        (
            view(hub(lagging("A"), lagging("B"), lagging("C", catch_up=5.0))),
            Level.BAD,
            "A and B are behind, C is catching up",
        ),
        (view(hub(*map(lagging, "ABC"))), Level.BAD, "3 consumers are behind"),
        (view(hub(consumer(), state=State(Level.BAD, "down"))), Level.BAD, "fedmsg-hub is down"),
    ],
)
def test_headline_says_who_is_how(what: View, level: Level, headline: str) -> None:
    assert verdict(what) == (level, headline)


def test_consumer_that_is_behind_is_told_with_by_how_much_since_when_and_that_it_does_not_catch_up() -> None:
    text = shown(view(hub(lagging()))).text

    assert "Badges is 1,204 messages behind, since " in text
    assert "(for 30 min); the oldest has been waiting for 5 min. 12.0 a second come in, 2.0 are done" in text
    assert "it will not catch up" in text


def test_consumer_that_is_behind_by_a_single_message_is_told_so() -> None:
    assert "Badges is 1 message behind, " in shown(view(hub(replace(lagging(), backlog=1.0)))).text


def test_consumer_that_catches_up_is_told_with_until_when() -> None:
    assert re.search(
        r"caught up in 40 min, at (\w+ \d+ \w+ )?\d\d:\d\d\.", shown(view(hub(lagging(catch_up=2400)))).text
    )


def test_all_well_says_how_many_keep_up() -> None:
    assert "All 2 consumers keep up. Nothing waits." in shown(view(hub(consumer("A"), consumer("B")))).text
    assert "1 consumer keeps up. 3 messages wait, the oldest for 200ms." in (
        shown(view(hub(consumer(backlog=3, oldest=0.2)))).text
    )


def test_those_that_need_attention_come_first() -> None:
    text = shown(view(hub(consumer("Anna"), name="a"), hub(consumer("Well"), lagging("Zoe"), name="z"))).text

    assert text.index("Zoe", text.index("backlog")) < text.index("Well") < text.index("Anna")


@pytest.mark.parametrize(
    ("level", "word"), [(Level.BAD, "bad"), (Level.WATCH, "watch"), (Level.UNKNOWN, "unknown"), (Level.WELL, "well")]
)
def test_each_level_has_a_shape_of_its_own_beside_its_colour(level: Level, word: str) -> None:
    parts = shown(view(hub(consumer(state=State(level, "so")))))
    state = next(number for number, (_, a) in enumerate(parts.elements) if a.get("class") == f"state {word}")

    assert parts.elements[state + 2][0] == "path"


def test_each_state_has_another_shape() -> None:
    paths = set()
    for level in Level:
        parts = shown(view(hub(consumer(state=State(level, "so")), state=State(level, "so"))))
        paths.add(next(a["d"] for tag, a in parts.elements if tag == "path" and a.get("fill-rule")))

    assert len(paths) == len(Level)


def test_old_figures_are_said_to_be_old() -> None:
    fresh = shown(view(hub(consumer())))
    stale = shown(view(hub(consumer()), now=NOW + 600))

    assert "hidden" in next(p for p in fresh.of("p") if p.get("id") == "stale")
    assert "hidden" not in next(p for p in stale.of("p") if p.get("id") == "stale")
    assert "These figures are 10 min old." in stale.text


def test_how_old_the_figures_are_always_shows() -> None:
    assert re.search(r"as of .*, 1 s ago", shown(view(hub(consumer()))).text)


def test_charts_have_their_content_in_words() -> None:
    parts = shown(view(hub(consumer(backlog=40))))

    assert "Backlog up to 40, at " in parts.text
    assert "received 2.0/s, processed 2.0/s on average" in parts.text
    assert len(parts.of("desc")) == len(parts.of("svg")) - len([s for s in parts.of("svg") if "aria-hidden" in s])


def test_quiet_consumers_have_a_line_instead_of_charts() -> None:
    quiet = consumer("Quiet")
    quiet = replace(
        quiet, series=replace(quiet.series, backlog=[0.0], received=[0.0], processed=[math.nan], times=[NOW])
    )

    assert "Nothing came, and nothing waited: Quiet." in shown(view(hub(quiet))).text


def test_consumers_of_which_nothing_is_known_yet_have_another() -> None:
    assert "Nothing is known of this time yet: New." in shown(view(hub(ConsumerView("New", WELL, backlog=0.0)))).text


def test_numbers_that_are_not_known_are_dashes() -> None:
    text = shown(view(hub(ConsumerView("New", State(Level.UNKNOWN, "last known"))))).text

    assert "nan" not in text
    assert "last known" + 6 * "\N{EN DASH}" in text


def test_span_is_chosen_by_links_and_marked() -> None:
    links = [a for a in shown(view(hub(), span=SPANS["day"])).of("a") if str(a["href"]).startswith("?")]

    assert [(a["href"], a.get("aria-current")) for a in links] == [
        ("?range=hour", None),
        ("?range=day", "page"),
        ("?range=week", None),
    ]


def test_table_has_a_caption_and_every_cell_a_heading() -> None:
    parts = shown(view(hub(consumer("A"), consumer("B"))))

    assert "Consumers of fedmsg-hub, now" in parts.text
    assert len(parts.of("caption")) == 1
    assert [a["scope"] for a in parts.of("th")] == ["col"] * 8 + ["row"] * 2


def test_only_the_headline_is_read_out_when_it_changes() -> None:
    parts = shown(view(hub(lagging())))
    status = next(number for number, (_, a) in enumerate(parts.elements) if a.get("role") == "status")

    assert [tag for tag, _ in parts.elements[status : status + 5]] == ["div", "h1", "svg", "path", "span"]
    assert parts.elements[status + 5][0] == "ul"


def test_pace_that_is_not_known_yet_is_not_guessed() -> None:
    text = shown(view(hub(replace(lagging(), received=math.nan)))).text

    assert "Its pace is not known yet." in text
    assert "it will not catch up" not in text


def test_hub_without_consumers_is_told() -> None:
    assert "There are no consumers." in shown(view(hub())).text


def test_links_of_the_verdict_lead_to_something() -> None:
    parts = shown(view(hub(lagging(), consumer("Quiet")), hub(state=State(Level.BAD, "down"), name="other")))
    ids = {attributes["id"] for _, attributes in parts.elements if "id" in attributes}
    targets = {str(a["href"])[1:] for a in parts.of("a") if str(a["href"]).startswith("#")}

    assert targets <= ids
    assert len(targets) == 4  # the skip link, two consumers, a hub


# Whom it trusts


_HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'\u202e\x00"


@given(name=st.one_of(st.just(_HOSTILE), st.text(max_size=40)))
@settings(max_examples=60, deadline=None)
def test_names_from_outside_stay_text(name: str) -> None:
    state = State(Level.BAD, name, name)
    what = view(hub(lagging(name), consumer(name, state), name=name, state=state), problems=[name])
    plain = view(
        hub(lagging("x"), consumer("x", State(Level.BAD, "x", "x")), name="x", state=State(Level.BAD, "x", "x"))
    )

    hostile, harmless = shown(what), shown(view(*plain.hubs, problems=["x"]))

    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [set(a) for _, a in hostile.elements] == [set(a) for _, a in harmless.elements]


def test_text_is_escaped_and_html_is_not() -> None:
    assert element("p", "<b>", Html("<i></i>"), ["&"]) == "<p>&lt;b&gt;<i></i>&amp;</p>"
    assert element("a", "x", href='"onclick="', class_=None) == '<a href="&quot;onclick=&quot;">x</a>'


def test_page_asks_for_nothing_from_elsewhere() -> None:
    text = page(view(hub(lagging())), frame())

    assert not re.search(r"(src|href|action)=[\"']?(https?:)?//", text)
    assert not re.search(r"@import|url\(", text)
    assert not re.findall(r' (style|on\w+)="', text)  # which the policy would not allow


def test_policy_allows_the_one_style_and_the_one_script_and_nothing_else() -> None:
    parts = shown(view(hub(consumer())))

    assert POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in POLICY
    assert (len(parts.of("style")), len(parts.of("script"))) == (1, 1)
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in parts.of("meta")


# When a consumer is behind


@pytest.mark.parametrize(
    ("oldest", "net_rate", "word"),
    [(59.0, -5.0, "keeps up"), (61.0, 0.5, "catching up"), (61.0, 0.0, "behind"), (61.0, math.nan, "behind")],
)
def test_consumer_is_behind_when_its_oldest_waits_for_too_long(oldest: float, net_rate: float, word: str) -> None:
    assert condition(oldest=oldest, backlog=10, net_rate=net_rate, behind_after=60).word == word


def test_consumer_without_figures_is_unknown() -> None:
    assert condition(oldest=math.nan, backlog=math.nan, net_rate=1, behind_after=60).level is Level.UNKNOWN


def test_what_waits_on_a_broker_has_a_column_where_there_is_one() -> None:
    without = shown(view(hub(lagging()))).text
    text = shown(view(hub(replace(lagging(), on_broker=1100.0)))).text

    assert "of these on the broker" not in without
    assert "of these on the broker" in text
    assert "Badges is 1,204 messages behind, 1,100 of them on the broker, since " in text
    assert "; the oldest here has been waiting for 5 min. 2.0 a second are done: at this pace it will not" in text
