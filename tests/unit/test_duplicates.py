# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message that was fetched and comes over the bus as well is handled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from glasshub.compat.consumers import MokshaConsumer
from glasshub.compat.duplicates import Duplicates
from glasshub.compat.incoming import Item
from glasshub.compat.moksha import MokshaHub
from glasshub.message import Frame
from glasshub.stats import Outcome

from ..fakes import frame
from . import old_consumers as old

SECOND = 1_000_000_000


def from_bus(msg_id: object, received_ns: int = 0) -> Frame:
    quoted = f'"{msg_id}"' if isinstance(msg_id, str) else str(msg_id)
    return frame(f'{{"topic": "org.old", "msg_id": {quoted}}}', topic=b"org.old", received_ns=received_ns)


def fetched(msg_id: str) -> Item:
    return Item({"topic": "org.old", "body": {"topic": "org.old", "msg_id": msg_id}})


@pytest.fixture
def bound() -> MokshaConsumer:
    one = MokshaHub(dict(old.CONFIG), strict=False, stop=lambda: None).build(old.Old)
    one.duplicates = Duplicates()
    return one


@pytest.mark.parametrize("order", [(fetched, from_bus), (from_bus, fetched)])
def test_whichever_comes_second_is_a_duplicate(bound: MokshaConsumer, order: Sequence[Callable[[str], Frame]]) -> None:
    outcomes = [bound.handle(make("2014-1")) for make in order]

    assert outcomes == [Outcome.PROCESSED, Outcome.DUPLICATE]
    assert len(bound.author.seen) == 1


@pytest.mark.parametrize("make", [fetched, from_bus])
def test_a_message_that_is_tried_again_is_no_duplicate(bound: MokshaConsumer, make: Callable[[str], Frame]) -> None:
    message = make("2014-1")

    outcomes = [bound.handle(message), bound.handle(message.again(1)), bound.handle(make("2014-1"))]

    assert outcomes == [Outcome.PROCESSED, Outcome.PROCESSED, Outcome.DUPLICATE]


def test_different_messages_are_no_duplicates(bound: MokshaConsumer) -> None:
    assert [bound.handle(from_bus(f"2014-{n}")) for n in range(3)] == [Outcome.PROCESSED] * 3


@pytest.mark.parametrize("body", ["no json", "[]", '{"msg_id": 3}', '{"msg_id": null}', "{}", "[" * 100_000])
def test_messages_without_an_id_are_no_duplicates(bound: MokshaConsumer, body: str) -> None:
    assert [bound.handle(frame(body, topic=b"org.old")) for _ in range(2)] == [Outcome.PROCESSED] * 2


def test_half_a_minute_after_the_fetch_nobody_looks_any_more(bound: MokshaConsumer) -> None:
    """What the bus brings then was published after the fetch had begun."""
    assert bound.duplicates is not None
    bound.duplicates.end(1000 * SECOND)

    outcomes = [bound.handle(from_bus("2014-1", received_ns=after * SECOND)) for after in (1001, 1029, 1031)]

    assert outcomes == [Outcome.PROCESSED, Outcome.DUPLICATE, Outcome.PROCESSED]
    assert bound.duplicates is None


def test_until_the_fetch_has_ended_everything_is_remembered(bound: MokshaConsumer) -> None:
    outcomes = [bound.handle(from_bus("2014-1", received_ns=at * SECOND)) for at in (1, 1_000_000)]

    assert outcomes == [Outcome.PROCESSED, Outcome.DUPLICATE]
