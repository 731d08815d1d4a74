# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Moksha does between its callback and `consume` is done in one go, and is the same to consumer and author."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fedmsg.consumers.dummy import DummyConsumer
from fedmsg.consumers.gateway import GatewayConsumer
from fedmsg.consumers.ircbot import IRCBotConsumer
from fedmsg.consumers.relay import RelayConsumer

from glasshub import Retry
from glasshub.compat.consumers import MokshaConsumer
from glasshub.compat.direct import Direct
from glasshub.compat.incoming import Item
from glasshub.compat.moksha import MokshaHub
from glasshub.errors import MessageError
from glasshub.failure import ReportedError
from glasshub.message import Frame
from glasshub.stats import Outcome

from ..fakes import frame
from . import old_consumers as old

ITEM = {"topic": "org.old", "body": {"topic": "org.old", "msg": 1}}


def built(cls: type, **config: Any) -> tuple[MokshaConsumer, Any]:
    bound = MokshaHub({**old.CONFIG, **config}, strict=False, stop=lambda: None).build(cls)
    return bound, bound.author


def message(number: int = 0) -> Frame:
    return frame(f'{{"topic": "org.old", "msg": {number}}}', topic=b"org.old")


def suits(cls: Any) -> bool:
    return Direct.suits(cls.__new__(cls))


@pytest.mark.parametrize(
    "cls", [old.Old, old.Counting, old.Plain, old.Picky, DummyConsumer, RelayConsumer, GatewayConsumer, IRCBotConsumer]
)
def test_consumers_that_leave_it_to_moksha_are_handled_directly(cls: type) -> None:
    assert suits(cls)


@pytest.mark.parametrize("cls", [old.OwnConsume, old.OwnWork, old.Replaying])
def test_consumers_that_have_a_way_of_their_own_keep_it(cls: type) -> None:
    assert not suits(cls)


def test_a_consumer_with_a_way_of_its_own_is_called_as_moksha_calls_it() -> None:
    bound, consumer = built(old.OwnConsume)

    assert bound.handle(message(7)) is Outcome.PROCESSED
    assert consumer.seen == [("own way", 7)]


def test_the_order_of_calls_is_that_of_moksha_with_one_validation_instead_of_two() -> None:
    bound, consumer = built(old.Counting)

    bound.handle(message())

    assert consumer.called == ["validate", "pre_consume", "consume", "post_consume"]


@pytest.mark.parametrize("raises", ["pre_consume", "post_consume"])
def test_what_goes_wrong_around_the_consumer_is_logged_and_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raises: str
) -> None:
    monkeypatch.setattr(old.Counting, "raises", frozenset([raises]))
    bound, consumer = built(old.Counting)

    assert bound.handle(message()) is Outcome.PROCESSED
    assert consumer.called == ["validate", "pre_consume", "consume", "post_consume"]
    assert f"{raises} has failed" in caplog.text


def test_what_validation_refuses_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old.Counting, "raises", frozenset(["validate"]))
    bound, consumer = built(old.Counting)

    with pytest.raises(MessageError, match=r"its validation refuses it: RuntimeError\('validate has failed'\)"):
        bound.handle(message())

    assert consumer.called == ["validate"]


def test_a_plain_consumer_of_moksha_can_refuse_too() -> None:
    """Moksha says False of that, as of a consumer that has failed."""
    bound, consumer = built(old.Picky)

    with pytest.raises(MessageError, match="not a list"):
        bound.handle(frame("3", topic=b"org.plain"))

    assert bound.handle(frame("[3]", topic=b"org.plain")) is Outcome.PROCESSED
    assert [one["body"] for one in consumer.seen] == [[3]]


def test_moksha_counts_as_it_always_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own tests look at these, and so does whoever asks a consumer for its JSON."""
    bound, consumer = built(old.Counting)

    for number in range(5):
        monkeypatch.setattr(old.Counting, "raises", frozenset(["consume"] if number in (1, 3) else []))
        with suppress(ReportedError):
            bound.handle(message(number))

    document = consumer.__json__()
    assert (document["headcount_in"], document["headcount_out"], document["exceptions"]) == (5, 5, 2)
    assert len(document["times"]) == 5
    assert document["backlog"] == 0


def test_a_message_that_the_consumer_has_put_for_itself_is_worked_on_as_one_of_the_bus() -> None:
    bound, consumer = built(old.Counting)

    assert bound.handle(Item(ITEM)) is Outcome.PROCESSED
    assert consumer.called == ["validate", "pre_consume", "consume", "post_consume"]


def test_a_foreign_item_is_handed_to_the_consumers_own_way_to_work() -> None:
    bound, consumer = built(old.OwnWork)

    assert bound.handle(Item(("a", "tuple"))) is Outcome.PROCESSED
    assert consumer.seen == [("own way", ("a", "tuple"))]


def test_a_foreign_item_that_fedmsgs_validation_does_not_understand_is_invalid() -> None:
    """fedmsg-hub refuses it as well."""
    bound, consumer = built(old.Old)

    with pytest.raises(MessageError, match="its validation refuses it"):
        bound.handle(Item(3))

    assert consumer.seen == []


def test_an_item_can_be_got_by_the_consumer_itself_as_moksha_would_have_queued_it() -> None:
    _, consumer = built(old.Old)

    consumer.incoming.put(ITEM)

    assert consumer.incoming.qsize() == 1
    assert consumer.incoming.get() == ITEM


def test_one_callback_that_refuses_does_not_keep_a_message_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old.TwoCallbacks, "validate_signatures", True)
    bound, consumer = built(old.TwoCallbacks)

    assert bound.handle(frame('{"topic": "another"}', topic=b"org.old")) is Outcome.INVALID
    assert (consumer.seen, len(consumer.calls)) == ([], 1)


def test_a_callback_that_raises_has_failed_whatever_the_others_say(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(old.TwoCallbacks, "answer", RuntimeError("the second one's trouble"))
    bound, consumer = built(old.TwoCallbacks)

    assert bound.handle(message()) is Outcome.FAILED
    assert len(consumer.seen) == 1
    assert "the second one's trouble" in caplog.text


@pytest.mark.parametrize("cls", [old.Old, old.ByMoksha, old.TwoCallbacks])
def test_what_a_consumer_says_of_a_message_comes_through_moksha(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cls: type
) -> None:
    def consume(self: Any, message: Any) -> None:
        raise Retry(after=3.0)

    bound, consumer = built(cls)
    monkeypatch.setattr(consumer, "consume", consume.__get__(consumer))

    with pytest.raises(Retry) as signal:
        bound.handle(message())

    assert signal.value.after == 3.0
    assert not [record for record in caplog.records if record.exc_info]


def test_a_consumer_may_be_given_a_validation_or_notes_of_its_own_when_it_is_built() -> None:
    """As a test does it, or a class that makes its methods in the constructor."""
    called: list[str] = []
    hub = MokshaHub(dict(old.CONFIG), strict=False, stop=lambda: None)

    class Given(old.Old):
        def __init__(self, hub: Any) -> None:
            super().__init__(hub)
            for name in ("validate", "pre_consume", "post_consume"):
                setattr(self, name, lambda message, name=name: called.append(name))

    hub.build(Given).handle(message())

    assert called == ["validate", "pre_consume", "post_consume"]


def test_a_consumer_that_begins_to_check_signatures_does_so_from_then_on() -> None:
    bound, consumer = built(old.Old)
    bound.handle(message(1))

    consumer.validate_signatures = True

    with pytest.raises(MessageError, match="its validation refuses it"):
        bound.handle(message(2))
    assert len(consumer.seen) == 1


def test_a_consumer_whose_status_is_kept_in_its_own_way_keeps_it() -> None:
    saved: list[Any] = []

    class Keeping(old.Old):
        def save_status(self, data: Any) -> None:
            saved.append(data["status"])

    MokshaHub(dict(old.CONFIG), strict=False, stop=lambda: None).build(Keeping).handle(message())

    assert saved == ["pre", "post"]
