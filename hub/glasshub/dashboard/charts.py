# SPDX-License-Identifier: LGPL-2.1-or-later
"""What consumers did in the time shown: charts of those that did something, and what they show in words."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ..chart import Line, chart
from .html import Html, element, joined
from .model import ConsumerView, HubView, Series, Span, View
from .pieces import anchor, state_of
from .words import clock, count, rate

#: The axis of a backlog goes up to this at the least.
_LEAST_TOP = 10.0

_WIDTH, _HEIGHT = 350.0, 145.0


def charts(hub: HubView, view: View) -> Html:
    """The part of the page that shows the past of a hub's consumers."""
    figures: list[Html] = []
    quiet: list[Html] = []
    unknown: list[Html] = []
    for consumer in hub.consumers:
        target = anchor(hub.name, consumer.name)
        if _is_eventful(consumer.series):
            figures.append(_figure(consumer, target, view))
        else:
            mention = element("span", consumer.name, id=target, class_="name")
            (unknown if consumer.series.is_empty else quiet).append(mention)
    return joined(
        element("h3", f"The {view.span.words}", class_="charts-head"),
        element("div", figures, class_="charts") if figures else "",
        _listed("Nothing came, and nothing waited:", quiet),
        _listed("Nothing is known of this time yet:", unknown),
    )


def _listed(what: str, names: Sequence[Html]) -> Html:
    """A sentence for all of which there is no more to say."""
    between = [joined(" " if number == 0 else ", ", name) for number, name in enumerate(names)]
    return element("p", what, between, ".", class_="quiet") if names else Html()


def _figure(consumer: ConsumerView, target: str, view: View) -> Html:
    heading = element("h4", element("span", consumer.name), state_of(consumer.state.level, consumer.state.word))
    return element(
        "figure",
        element("figcaption", heading, element("p", _summary(consumer.series, view.now))),
        _backlog_chart(consumer, view),
        _rates_chart(consumer, view),
        id=target,
    )


def _is_eventful(series: Series) -> bool:
    return any(number > 0 for numbers in (series.backlog, series.received, series.processed) for number in numbers)


def _summary(series: Series, now: float) -> Html:
    """What the charts show, in words."""
    known = [(backlog, when) for when, backlog in zip(series.times, series.backlog) if not math.isnan(backlog)]
    most, when = max(known, key=lambda pair: pair[0], default=(0.0, now))
    peak = (
        joined(f"Backlog up to {count(most)}, at ", clock(when, now, seconds=False)) if most else joined("No backlog")
    )
    return joined(
        peak, f"; received {rate(_mean(series.received))}/s, processed {rate(_mean(series.processed))}/s on average."
    )


def _mean(numbers: Sequence[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return sum(known) / len(known) if known else math.nan


def _backlog_chart(consumer: ConsumerView, view: View) -> Html:
    series = consumer.series
    line = Line("backlog", list(zip(series.times, series.backlog)), "var(--backlog)", is_filled=True)
    # A message now and then must not look like a mountain.
    top = max([_LEAST_TOP, *(number for number in series.backlog if not math.isnan(number))])
    return _chart([line], view, title=f"Backlog of {consumer.name}", unit="messages waiting", top=top)


def _rates_chart(consumer: ConsumerView, view: View) -> Html:
    series = consumer.series
    processed = Line("processed", list(zip(series.times, series.processed)), "var(--processed)")
    received = Line("received", list(zip(series.times, series.received)), "var(--received)", dash="5 4")
    title = f"Messages received and processed by {consumer.name}"
    return _chart([received, processed], view, title=title, unit="messages a second")


def _chart(lines: Sequence[Line], view: View, *, title: str, unit: str, top: float | None = None) -> Html:
    midnight = time.mktime((*time.localtime(view.now)[:3], 0, 0, 0, 0, 0, -1))
    known = [value for line in lines for _, value in line.points if not math.isnan(value)]
    return Html(
        chart(
            lines,
            title=title,
            description=f"The {view.span.words}: at most {rate(max(known, default=math.nan))} {unit}.",
            time_label=_label(view.span),
            unit=unit,
            width=_WIDTH,
            height=_HEIGHT if len(lines) == 1 else _HEIGHT + 18,
            span=(view.now - view.span.seconds, view.now),
            top=top,
            time_origin=midnight,
            standalone=False,
        )
    )


def _label(span: Span) -> Callable[[float], str]:
    pattern = "%a %-d" if span.seconds > 2 * 86400 else "%H:%M"
    return lambda when: time.strftime(pattern, time.localtime(when))
