# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumer gets which topic: the rules that Moksha's own tests pin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub import routing
from glasshub.routing import BINDINGS, Router, prefix_of

_LETTERS = "ab.*é"
topics = st.text(_LETTERS, max_size=6)
subscriptions = st.lists(st.lists(topics, max_size=3), max_size=6)


@pytest.mark.parametrize(
    ("subscription", "topic", "is_wanted"),
    [
        ("org.fedoraproject.prod.git.", b"org.fedoraproject.prod.git.receive", True),
        ("org.fedoraproject.prod.git.", b"org.fedoraproject.prod.git.", True),
        ("org.fedoraproject.prod.git.", b"org.fedoraproject.prod.git", False),
        ("org.fedoraproject.prod.git", b"org.fedoraproject.prod.github", True),
        ("git", b"org.git", False),
        ("org.*", b"org.anything", True),
        ("org.*.git", b"org.prod.git", False),
        ("org.*.git", b"org..git.receive", True),
        ("o*r*g*", b"org.x", True),
        ("*", b"anything", True),
        ("*", b"", True),
        ("", b"", True),
        ("ORG", b"org", False),
        ("é", "ècole".encode(), False),
        ("é", "été".encode(), True),
    ],
)
def test_a_subscription_is_a_prefix_with_every_asterisk_taken_out(
    subscription: str, topic: bytes, is_wanted: bool
) -> None:
    router = Router([[subscription]])

    assert router.match(topic) == ((0,) if is_wanted else ())


@pytest.mark.parametrize(
    ("subscription", "topic", "is_wanted"),
    [
        ("org.git", b"org.git", True),
        ("org.git*", b"org.git", True),
        ("org.git", b"org.git.receive", False),
        ("org.git", b"org", False),
        ("*", b"", True),
        ("*", b"org", False),
    ],
)
def test_a_strict_subscription_is_the_whole_topic(subscription: str, topic: bytes, is_wanted: bool) -> None:
    router = Router([[subscription]], strict=True)

    assert router.match(topic) == ((0,) if is_wanted else ())


def test_a_consumer_gets_a_message_once_however_many_of_its_topics_match() -> None:
    router = Router([["org.", "org.git", "org.*", "*"], ["com."], ["", "org.git.receive"]])

    assert router.match(b"org.git.receive") == (0, 2)


def test_consumers_come_in_ascending_order_whatever_the_length_of_their_topics() -> None:
    router = Router([["org.git.receive"], ["org."], [""], ["org.git"]])

    assert router.match(b"org.git.receive") == (0, 1, 2, 3)


def test_a_hub_without_consumers_routes_nothing_and_subscribes_to_nothing() -> None:
    router = Router([])

    assert router.match(b"org.git") == ()
    assert router.prefixes == []


@pytest.mark.parametrize("strict", [False, True])
def test_a_topic_that_is_not_utf8_is_refused_each_time(strict: bool) -> None:
    router = Router([["*"]], strict=strict)

    for _ in range(2):
        with pytest.raises(UnicodeDecodeError):
            router.match(b"org.\xff")


def test_no_prefix_for_the_source_is_covered_by_another() -> None:
    router = Router([["org.git.receive", "org.git"], ["com.", "org.git*"], ["org.gi.", "comx"]])

    assert router.prefixes == [b"com.", b"comx", b"org.gi.", b"org.git"]


def test_the_empty_subscription_covers_all_others() -> None:
    router = Router([["org.git"], ["*"]])

    assert router.prefixes == [b""]


def test_a_bus_whose_topics_never_repeat_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_REMEMBERED", 10)
    router = Router([["org."]])

    found = {router.match(f"org.{number}".encode()) for number in range(100)}

    assert found == {(0,)}
    assert len(router._remembered) <= 10


@given(subscriptions, st.lists(topics, max_size=8), st.booleans())
def test_the_router_finds_what_a_naive_search_finds(
    wanted: list[list[str]], published: list[str], strict: bool
) -> None:
    router = Router(wanted, strict=strict)

    found = [router.match(topic.encode()) for topic in published + published]

    assert found == [_naive(wanted, topic, strict=strict) for topic in published + published]


@given(subscriptions, topics)
def test_the_source_brings_exactly_what_somebody_wants(wanted: list[list[str]], topic: str) -> None:
    router = Router(wanted)
    raw = topic.encode()

    is_brought = any(raw.startswith(prefix) for prefix in router.prefixes)

    assert is_brought == bool(router.match(raw))


@given(subscriptions)
def test_prefixes_are_as_few_as_possible(wanted: list[list[str]]) -> None:
    prefixes = Router(wanted).prefixes

    assert not [(a, b) for a in prefixes for b in prefixes if a is not b and a.startswith(b)]


@given(topics)
def test_a_prefix_has_no_asterisk_and_nothing_else_is_lost(topic: str) -> None:
    assert prefix_of(topic).decode() == "".join(letter for letter in topic if letter != "*")


def _naive(wanted: list[list[str]], topic: str, *, strict: bool) -> tuple[int, ...]:
    found = []
    for index, subscribed in enumerate(wanted):
        plain = [subscription.replace("*", "") for subscription in subscribed]
        if (topic in plain) if strict else any(topic.startswith(prefix) for prefix in plain):
            found.append(index)
    return tuple(found)


@pytest.mark.parametrize("is_strict", [False, True])
def test_who_takes_what_bindings_bring_takes_everything(is_strict: bool) -> None:
    router = Router([(BINDINGS,), ("org.a",), ("org.b", BINDINGS)], strict=is_strict)

    assert router.match(b"org.a") == (0, 1, 2)
    assert router.match(b"com.c") == (0, 2)
    assert router.prefixes == [b""]
