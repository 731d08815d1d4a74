# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether all is well, and if not, who is behind, by how much, since when, and until when: in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .html import Child, Html, element, joined
from .model import ConsumerView, HubView, Level, View
from .pieces import WORDS, anchor, shape
from .words import clock, count, duration, rate, roughly


def verdict(view: View) -> tuple[Level, str]:
    """How all of it is, and in one short sentence."""
    hubs = [hub for hub in view.hubs if hub.state.level > Level.WELL]
    consumers = [consumer for hub in view.hubs for consumer in hub.consumers if consumer.state.level >= Level.WATCH]
    parts = [*_subjects(hubs, "hubs"), *_subjects(consumers, "consumers")]
    if parts:
        return max(hub.level for hub in view.hubs), ", ".join(parts)
    if view.problems:
        return Level.BAD, "The figures cannot be read"
    return (Level.WELL, "All well") if view.hubs else (Level.UNKNOWN, "No hub to be seen")


def section(view: View, level: Level, headline: str) -> Html:
    """The part of the page that says so."""
    word = WORDS[level]
    lines = [element("li", shape(Level.BAD), element("span", text), class_="bad") for text in view.problems]
    for hub in view.hubs:
        if hub.state.level > Level.WELL:
            lines.append(
                _trouble(hub.state.level, hub.name, anchor(hub.name), hub.state.sentence or f"is {hub.state.word}")
            )
        for consumer in hub.consumers:
            if consumer.state.level >= Level.WATCH:
                sentence = consumer.state.sentence or _how_far_behind(consumer, view.now)
                lines.append(_trouble(consumer.state.level, consumer.name, anchor(hub.name, consumer.name), sentence))
    heading = element("h1", shape(level), element("span", headline), class_=word, id="verdict")
    return element(
        "section",
        # Only this is read out when it changes: the figures below do each time.
        element("div", heading, role="status"),
        "" if lines else element("p", _all_in_all(view)),
        element("ul", lines) if lines else "",
        class_=f"verdict {word}",
        aria_labelledby="verdict",
    )


def _subjects(items: Sequence[HubView] | Sequence[ConsumerView], plural: str) -> Iterator[str]:
    """Who is how, by name as long as they are few."""
    words: dict[str, list[str]] = {}
    for item in items:
        words.setdefault(item.state.word, []).append(item.name)
    for word, names in words.items():
        if len(names) == 1:
            yield f"{names[0]} is {word}"
        elif len(names) == 2:
            yield f"{names[0]} and {names[1]} are {word}"
        else:
            yield f"{len(names)} {plural} are {word}"


def _trouble(level: Level, name: str, target: str, sentence: Child) -> Html:
    who = element("strong", element("a", name, href=f"#{target}"))
    return element("li", shape(level), element("span", who, " ", sentence), class_=WORDS[level])


def _how_far_behind(consumer: ConsumerView, now: float) -> Html:
    """By how much, since when, until when."""
    parts: list[str] = [f"is {_messages(consumer.backlog)} behind"]
    is_on_broker = consumer.on_broker > 0
    if is_on_broker:
        parts.append(f", {count(consumer.on_broker)} of them on the broker")
    if not math.isnan(consumer.behind_since):
        since = max(now - consumer.behind_since, 0)
        parts += [", since ", clock(consumer.behind_since, now, seconds=False), f" (for {roughly(since)})"]
    if not math.isnan(consumer.oldest):
        where = "the oldest here" if is_on_broker else "the oldest"
        parts.append(f"; {where} has been waiting for {roughly(consumer.oldest)}. ")
    if math.isnan(consumer.received):
        return joined(parts, "Its pace is not known yet.")
    if is_on_broker:  # what comes to it nobody counts, only what is fetched from it
        pace = f"{rate(consumer.processed)} a second are done"
    else:
        pace = f"{rate(consumer.received)} a second come in, {rate(consumer.processed)} are done"
    if consumer.catch_up > 0:
        until = clock(now + consumer.catch_up, now, seconds=False)
        return joined(parts, f"{pace}: at this pace, caught up in {roughly(consumer.catch_up)}, at ", until, ".")
    return joined(parts, f"{pace}: at this pace it will not catch up.")


def _all_in_all(view: View) -> str:
    if not view.hubs:
        return "There is no segment to look at, and no RRD to read. Does a hub run, and may this page's user read it?"
    consumers = [consumer for hub in view.hubs for consumer in hub.consumers]
    if not consumers:
        return "There are no consumers."
    waiting = sum(consumer.backlog for consumer in consumers if not math.isnan(consumer.backlog))
    oldest = max((consumer.oldest for consumer in consumers if not math.isnan(consumer.oldest)), default=0.0)
    of_hubs = "" if len(view.hubs) == 1 else f" of {len(view.hubs)} hubs"
    text = "1 consumer keeps up." if len(consumers) == 1 else f"All {len(consumers)} consumers{of_hubs} keep up."
    if not waiting:
        return f"{text} Nothing waits."
    wait = "waits" if waiting == 1 else "wait"
    return f"{text} {_messages(waiting)} {wait}, the oldest for {duration(oldest)}."


def _messages(number: float) -> str:
    return "1 message" if number == 1 else f"{count(number)} messages"
