# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page: first whether all is well, in words that a sleepy person understands; then every consumer; then charts."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote

from .. import __version__
from ..chart import STYLE as CHART_STYLE
from .charts import charts
from .html import Html, element, joined
from .model import SPANS, ConsumerView, HubView, Level, Span, View
from .pieces import SHAPES, anchor, state_of
from .verdict import section, verdict
from .words import NONE, clock, count, duration, rate, roughly


def _resource(name: str) -> Html:
    """A file of ours, without the comments that head it: they are for those who work on it."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    return Html(re.sub(r"\A(//.*\n|/\*.*?\*/\n)+", "", text))


_STYLE = joined(Html(CHART_STYLE + "\n"), _resource("page.css"))
_SCRIPT = _resource("page.js")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


#: What the page may load and run: itself.
POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src {_hash(_STYLE)}",
        f"script-src {_hash(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)

_ICON_COLOURS = {Level.WELL: "#17644a", Level.UNKNOWN: "#6b7771", Level.WATCH: "#c77d00", Level.BAD: "#c8281f"}


@dataclass(frozen=True)
class Frame:
    """What stands around the figures.

    Attributes:
        host: Which machine speaks.
        links: Where the page of each span is, by the span's name.
        every: Seconds after which a browser asks again.
        stale_after: Seconds after which figures are to be called old.
        is_served: Whether the page was made for the one who asks; else it is a file, and may be of any age.
    """

    host: str
    links: Mapping[str, str]
    every: float
    stale_after: float
    is_served: bool


def page(view: View, frame: Frame) -> str:
    """The whole document."""
    level, headline = verdict(view)
    old = _old(view, frame)
    body = element(
        "body",
        element("a", "To the figures", href="#main", class_="skip"),
        _top(view, frame),
        element("p", id="gone", role="alert", hidden="", class_="alarm"),
        element("p", old, id="stale", role="alert", class_="alarm", hidden=None if old else ""),
        element("main", _main(view, level, headline), id="main"),
        _foot(view),
        element("script", _SCRIPT),
        data_kind="served" if frame.is_served else "file",
        data_now=f"{view.now:.3f}",
        data_time="" if math.isnan(view.time) else f"{view.time:.3f}",
        data_every=f"{frame.every:g}",
        data_stale=f"{frame.stale_after:g}",
    )
    document = element("html", _head(level, f"{headline} - Glasshub on {frame.host}"), body, lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _old(view: View, frame: Frame) -> str:
    age = view.now - view.time
    return f"These figures are {roughly(age)} old." if age > frame.stale_after else ""


def _head(level: Level, title: str) -> Html:
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<path fill="{_ICON_COLOURS[level]}" d="{SHAPES[level]}"/></svg>'
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        # Before anything that it is about; a file has no other way to say it.
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("link", id="icon", rel="icon", href="data:image/svg+xml," + quote(picture)),
        element("style", _STYLE),
    )


def _top(view: View, frame: Frame) -> Html:
    glass = Html(
        '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2.5 8.5 10 2.5l7.5 6v9h-15zM10 2.5v15M2.5 12h15"/></svg>'
    )
    return element(
        "header",
        element("p", glass, "Glasshub ", element("span", frame.host), class_="mark"),
        element(
            "nav", [_span_link(span, view, frame) for span in SPANS.values()], class_="spans", aria_label="Time shown"
        ),
        element("p", _when(view), class_="when", id="when"),
        element("noscript", element("p", "Without scripts it does not renew itself: reload it.")),
        class_="top",
    )


def _span_link(span: Span, view: View, frame: Frame) -> Html:
    is_this = span is view.span
    link = element("a", span.name, href=frame.links[span.name], aria_current="page" if is_this else None)
    return element("strong", link) if is_this else link


def _when(view: View) -> Html:
    if math.isnan(view.time):
        return joined("asked at ", clock(view.now, view.now))
    return joined(
        "as of ", clock(view.time, view.now), ", ", element("span", f"{roughly(view.now - view.time)} ago", id="ago")
    )


def _main(view: View, level: Level, headline: str) -> Html:
    return joined(
        section(view, level, headline),
        [_hub(hub, view) for hub in view.hubs],
    )


def _hub(hub: HubView, view: View) -> Html:
    name = anchor(hub.name)
    return element(
        "section",
        element("header", element("h2", hub.name, id=name), state_of(hub.state.level, hub.state.word)),
        element(
            "dl", [element("div", element("dt", key), element("dd", text)) for key, text in hub.facts], class_="facts"
        )
        if hub.facts
        else "",
        _notes(hub, name),
        joined(_table(hub, view), charts(hub, view)) if hub.consumers else "",
        class_="hub",
        aria_labelledby=name,
    )


def _notes(hub: HubView, name: str) -> Html:
    if not hub.notes:
        return Html()
    title = "1 remark" if len(hub.notes) == 1 else f"{len(hub.notes)} remarks"
    lines = element("ul", [element("li", note) for note in hub.notes])
    return element("details", element("summary", title), lines, class_="notes", id=f"notes-{name}")


@dataclass(frozen=True)
class _Column:
    """A column of figures: its title, its text, and its class for a consumer."""

    title: str
    text: Callable[[ConsumerView], str]
    kind: Callable[[ConsumerView], str] = lambda consumer: ""


def _columns(view: View) -> tuple[_Column, ...]:
    has_broker = any(not math.isnan(consumer.on_broker) for hub in view.hubs for consumer in hub.consumers)
    on_broker = _Column("of these on the broker", lambda c: count(c.on_broker), lambda c: "" if c.on_broker else "zero")
    return (
        _Column("backlog", lambda c: count(c.backlog), lambda c: "backlog" if c.backlog else "backlog zero"),
        *([on_broker] if has_broker else []),
        _Column(
            "oldest waits", lambda c: duration(c.oldest) if c.backlog else NONE, lambda c: "" if c.backlog else "zero"
        ),
        _Column("received /s", lambda c: rate(c.received)),
        _Column("processed /s", lambda c: rate(c.processed)),
        _Column("caught up in", _catch_up, lambda c: "alert" if _catch_up(c) == "never" else ""),
        _Column(f"failed, {view.span.words}", lambda c: count(c.failed), lambda c: "some" if c.failed > 0 else "zero"),
    )


def _catch_up(consumer: ConsumerView) -> str:
    """When the backlog will be gone: a dash where there is none, or where nothing is known."""
    if not consumer.backlog or math.isnan(consumer.backlog + consumer.received):
        return NONE
    return "never" if math.isnan(consumer.catch_up) else duration(consumer.catch_up)


def _table(hub: HubView, view: View) -> Html:
    columns = _columns(view)
    titles = [element("th", title, scope="col", role="columnheader") for title in ("consumer", "state")]
    titles += [element("th", column.title, scope="col", role="columnheader") for column in columns]
    rows = [_row(consumer, anchor(hub.name, consumer.name), columns) for consumer in hub.consumers]
    # The roles are those that the elements have already, and lose where a phone shows rows as cards.
    return element(
        "table",
        element("caption", f"Consumers of {hub.name}, now", class_="hidden"),
        element("thead", element("tr", titles, role="row"), role="rowgroup"),
        element("tbody", rows, role="rowgroup"),
        role="table",
    )


def _row(consumer: ConsumerView, target: str, columns: Sequence[_Column]) -> Html:
    cells = [
        element("td", column.text(consumer), class_=column.kind(consumer) or None, role="cell", data_label=column.title)
        for column in columns
    ]
    link = element("a", consumer.name, href=f"#{target}")
    state = element("td", state_of(consumer.state.level, consumer.state.word), class_="state-cell", role="cell")
    head = element("th", link, scope="row", role="rowheader")
    return element("tr", head, state, cells, role="row", id=f"row-{target}")


def _foot(view: View) -> Html:
    zone = time.strftime("%Z (%z)", time.localtime(view.now))
    return element(
        "footer",
        element(
            "p",
            "Backlog: messages that wait, also on a broker where there is one. Oldest waits: how long the first of "
            "those in the hub has. Received and processed: messages a second, in the last minute. Caught up in: when "
            "nothing waits any more, if things go on so; never, while more comes than is done.",
        ),
        element("p", f"{view.source} Times are in {zone}. Glasshub {__version__}."),
        id="foot",
    )
