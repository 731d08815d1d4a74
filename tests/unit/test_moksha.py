# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers of fedmsg and Moksha run as they are, and what they say of a message is understood."""

from __future__ import annotations

import logging
import threading
from typing import Any

import moksha.hub
import moksha.hub.hub
import pytest
from fedmsg.consumers import FedmsgConsumer
from fedmsg.consumers.dummy import DummyConsumer

from glasshub.compat.consumers import MokshaConsumer
from glasshub.compat.messages import BusMessage
from glasshub.compat.moksha import MokshaHub, install, is_moksha_consumer
from glasshub.consumer import Consumer
from glasshub.errors import DisabledError, MessageError
from glasshub.failure import ReportedError
from glasshub.message import Frame
from glasshub.stats import Outcome

from ..fakes import frame
from . import old_consumers as old
from .inlets import ListInlet

BODY = '{"topic": "org.old", "msg": {"user": "ralph"}, "msg_id": "2014-1"}'
DECODED = {"topic": "org.old", "msg": {"user": "ralph"}, "msg_id": "2014-1"}


def hub(*, strict: bool = False, **more: Any) -> MokshaHub:
    return MokshaHub({**old.CONFIG, **more}, strict=strict, stop=lambda: None)


def built(cls: type, *, strict: bool = False, **more: Any) -> tuple[MokshaConsumer, Any]:
    """The consumer as the hub sees it, and as its author does."""
    bound = hub(strict=strict, **more).build(cls)
    return bound, bound.author


def test_consumers_of_fedmsg_and_moksha_are_told_from_others() -> None:
    found = [is_moksha_consumer(cls) for cls in (FedmsgConsumer, DummyConsumer, old.Old, old.Plain, Consumer, dict)]

    assert found == [True, True, True, True, False, False]


def test_a_message_that_was_consumed_is_processed() -> None:
    bound, consumer = built(old.Old)

    assert bound.handle(frame(BODY, topic=b"org.old.x")) is Outcome.PROCESSED
    assert consumer.seen == [{"topic": "org.old.x", "body": DECODED}]


def test_fedmsgs_own_dummy_runs() -> None:
    bound, _ = built(DummyConsumer)

    assert bound.topics == ("org.fedoraproject*",)
    assert bound.handle(frame(BODY, topic=b"org.fedoraproject.prod.git.receive")) is Outcome.PROCESSED


def test_a_consumer_that_raises_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    """Moksha logs the traceback."""
    bound, _ = built(old.Failing)

    with pytest.raises(ReportedError) as reported:
        bound.handle(frame(BODY, topic=b"org.old"))

    assert "no such rule" in caplog.text
    assert "no such rule" in str(reported.value.__cause__)


def test_a_message_that_fedmsgs_validation_refuses_is_invalid() -> None:
    bound, consumer = built(old.Signed)

    with pytest.raises(MessageError, match=r"its validation refuses it: RuntimeWarning.*mismatch"):
        bound.handle(frame(BODY, topic=b"org.old.not.that.of.the.body"))

    assert consumer.seen == []


def test_the_consumer_decides_whether_it_validates() -> None:
    """The global setting is for those that do not say."""
    bound, consumer = built(old.Old, validate_signatures=True)

    assert bound.handle(frame(BODY, topic=b"org.old.not.that.of.the.body")) is Outcome.PROCESSED
    assert len(consumer.seen) == 1


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        ('{"a": 1}', {"topic": "org.old", "msg": {"a": 1}}),
        ("[1, 2]", {"topic": "org.old", "msg": [1, 2]}),
        ("3", {"topic": "org.old", "msg": 3}),
        ("no json", {"topic": "org.old", "msg": "no json"}),
        ("", {"topic": "org.old", "msg": ""}),
        ('"é🐍"', {"topic": "org.old", "msg": "é🐍"}),
    ],
)
def test_a_body_of_another_form_gets_the_form_that_fedmsg_gives_it(body: str, decoded: object) -> None:
    bound, consumer = built(old.Old)

    assert bound.handle(frame(body.encode(), topic=b"org.old")) is Outcome.PROCESSED
    assert consumer.seen == [{"topic": "org.old", "body": decoded}]


def test_a_plain_consumer_of_moksha_gets_the_body_as_it_is() -> None:
    bound, consumer = built(old.Plain)

    assert bound.handle(frame("[1]", topic=b"org.plain")) is Outcome.PROCESSED
    assert consumer.seen == [{"topic": "org.plain", "body": [1]}]


def test_a_consumer_that_decodes_for_itself_gets_the_text() -> None:
    bound, consumer = built(old.Undecoded)

    assert bound.handle(frame(BODY, topic=b"org.old.x")) is Outcome.PROCESSED
    (message,) = consumer.seen
    assert isinstance(message, BusMessage)
    assert (message.topic, message.body) == ("org.old.x", BODY)
    assert repr(message) == f"<BusMessage topic='org.old.x' body={BODY!r}>"


def test_consumers_cannot_change_each_others_messages() -> None:
    both = [built(old.Old) for _ in range(2)]
    message = frame(BODY, topic=b"org.old")

    for bound, consumer in both:
        bound.handle(message)
        assert consumer.seen == [{"topic": "org.old", "body": DECODED}]
        consumer.seen[0]["body"].clear()


def test_topics_are_those_that_were_subscribed_to() -> None:
    bound, _ = built(old.Several)

    assert bound.topics == ("org.a.*", "org.a.b", "com.c")


@pytest.mark.parametrize("topic", [b"org.a.b", b"org.a.", b"com.cx", b"org.a.b.c"])
def test_a_message_that_several_topics_match_is_consumed_once(topic: bytes) -> None:
    bound, consumer = built(old.Several)

    bound.handle(frame(BODY, topic=topic))

    assert len(consumer.seen) == 1


@pytest.mark.parametrize(("strict", "calls"), [(False, ["org.", "org.a"]), (True, ["org."])])
def test_with_strict_a_topic_is_the_whole_topic(strict: bool, calls: list[str]) -> None:
    """The router sees to it for the consumer, and the consumer for each of several callbacks."""
    bound, consumer = built(old.TwoCallbacks, strict=strict)

    for topic in calls:
        bound.handle(frame(BODY, topic=topic.encode()))

    assert [message.topic for message in consumer.calls] == calls


@pytest.mark.parametrize(
    ("answer", "outcome"), [(True, Outcome.PROCESSED), (False, Outcome.FAILED), (None, Outcome.INVALID)]
)
def test_every_callback_of_a_consumer_is_called_and_the_worst_answer_counts(
    monkeypatch: pytest.MonkeyPatch, answer: object, outcome: Outcome
) -> None:
    monkeypatch.setattr(old.TwoCallbacks, "answer", answer)
    bound, consumer = built(old.TwoCallbacks)

    assert bound.handle(frame(BODY, topic=b"org.old")) is outcome
    assert len(consumer.seen) == len(consumer.calls) == 1


def test_a_failure_outweighs_a_refusal_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(old.TwoCallbacks, "answer", None)
    monkeypatch.setattr(old.TwoCallbacks, "consume", old.Failing.consume)
    bound, _ = built(old.TwoCallbacks)

    assert bound.handle(frame(BODY, topic=b"org.old")) is Outcome.FAILED
    assert len([record for record in caplog.records if record.exc_info]) == 1


@pytest.mark.parametrize("cls", [old.Old, old.Plain, old.Undecoded])
def test_a_body_that_is_not_utf8_is_a_message_error(cls: type) -> None:
    bound, consumer = built(cls)

    with pytest.raises(MessageError, match=r"^the body of b'org\.plain' is not UTF-8: "):
        bound.handle(frame(b'{"a": "\xff"}', topic=b"org.plain"))

    assert consumer.seen == []


def test_consumers_see_fedmsgs_configuration_and_moksha_works_in_the_calling_thread() -> None:
    threads = threading.active_count()

    _, consumer = built(old.Old, colour="blue")

    assert consumer.hub.config["colour"] == "blue"
    assert consumer.blocking_mode
    assert threading.active_count() == threads


def test_the_hub_lists_the_consumers_that_are_up() -> None:
    one = hub()

    bound = [one.build(old.Old), one.build(old.Plain)]
    with pytest.raises(DisabledError):
        one.build(old.OldTwin)

    assert one.consumers == [each.author for each in bound]
    assert [type(consumer) for consumer in one.consumers] == [old.Old, old.Plain]


def test_consumers_of_one_hub_keep_their_topics_apart() -> None:
    """Moksha keeps subscriptions by topic: that of the second consumer stands behind the first one's."""
    one = hub()

    first, second, third = one.build(old.Old), one.build(old.Old), one.build(old.Several)

    assert (first.topics, second.topics, third.topics) == (("org.old",), ("org.old",), ("org.a.*", "org.a.b", "com.c"))
    second.handle(frame(BODY, topic=b"org.old"))
    assert (first.author.seen, len(second.author.seen)) == ([], 1)


@pytest.mark.parametrize(
    ("cls", "error"), [(old.HalfBuilt, RuntimeError), (old.HalfBuiltExit, SystemExit), (old.Keyless, ValueError)]
)
def test_what_a_failed_constructor_had_subscribed_to_is_forgotten(cls: type, error: type[BaseException]) -> None:
    one = hub()
    one.build(old.Old)
    before = {topic: list(callbacks) for topic, callbacks in one.topics.items()}

    with pytest.raises(error):
        one.build(cls)

    assert one.topics == before
    assert len(one.consumers) == 1
    after = one.build(old.Old)
    assert after.topics == ("org.old",)


@pytest.mark.parametrize("cls", [old.OldTwin, old.Unfinished])
def test_a_consumer_that_did_not_initialize_is_disabled(cls: type) -> None:
    one = hub()

    with pytest.raises(DisabledError, match=f"^{cls.__name__} is disabled by its own configuration$"):
        one.build(cls)

    assert one.consumers == []


def test_closing_a_consumer_stops_it_once() -> None:
    bound, consumer = built(old.Plain)

    bound.close()

    assert consumer.stopped == 1


def test_a_consumer_that_stops_closes_nothing_of_ours() -> None:
    """Each of Moksha's consumers closes the hub when it stops; the others must go on."""
    one = hub()
    first, second = one.build(old.Plain), one.build(old.Old)

    first.close()
    one.close()

    assert second.handle(frame(BODY, topic=b"org.old")) is Outcome.PROCESSED


def test_a_callback_can_be_unsubscribed_and_one_that_never_was_too() -> None:
    one = hub()
    bound = one.build(old.TwoCallbacks)
    also = bound.author.also
    one.subscribe("org.b", also)

    one.unsubscribe(also)
    one.unsubscribe(len)

    assert all(also not in callbacks for callbacks in one.topics.values())
    assert bound.topics == ("org.old",)


def test_what_moksha_logs_of_a_message_can_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It logs the whole message when it fails."""
    caplog.set_level(logging.DEBUG)
    bound, _ = built(old.Undecoded)
    bound.author.consume = old.Failing.consume.__get__(bound.author)

    with pytest.raises(ReportedError):
        bound.handle(frame('"\x7f %s 🐍"', topic=b"org.old"))

    assert r"""<BusMessage topic='org.old' body='"\x7f %s 🐍"'>""" in caplog.text


def test_topics_of_the_hub_reflect_those_that_a_consumer_sets_after_it_has_subscribed() -> None:
    """Moksha notes them, and on zeromq delivers none of them; so do we."""
    one = hub()

    bound = one.build(old.LateTopic)

    assert list(one.topics) == ["org.early", "org.late"]
    assert bound.topics == ("org.early",)


def command(text: str, topic: bytes = b"org.old") -> Frame:
    return frame(f'{{"topic": "{topic.decode()}", "msg": "{text}"}}', topic=topic)


def test_a_consumer_may_subscribe_and_unsubscribe_while_it_works() -> None:
    bound, consumer = built(old.Asking)
    changes: list[tuple[str, ...]] = []
    bound.connect(ListInlet(), lambda: changes.append(bound.topics))

    bound.handle(command("subscribe"))
    assert bound.handle(command("", b"com.x")) is Outcome.PROCESSED
    assert bound.handle(command("", b"org.old")) is Outcome.PROCESSED
    bound.handle(command("unsubscribe"))

    assert [message.topic for message in consumer.others] == ["com.x"]
    assert changes == [("org.old", "com."), ("org.old",)]


def test_what_is_no_method_belongs_to_the_consumer_that_is_at_work() -> None:
    bound, consumer = built(old.Asking)

    bound.handle(command("subscribe a closure"))
    bound.handle(command("", b"com.x"))

    assert [message.topic for message in consumer.others] == ["com.x"]


def test_what_belongs_to_nobody_cannot_be_subscribed() -> None:
    one = hub()
    one.build(old.Old)

    with pytest.raises(RuntimeError, match="no method of a consumer, and no consumer is at work here"):
        one.subscribe("org.", print)

    assert list(one.topics) == ["org.old"]


@pytest.mark.parametrize("how", ["stop", "close"])
def test_a_consumer_may_have_the_hub_stop(how: str) -> None:
    """Moksha's CentralMokshaHub has one method of two names."""
    stops: list[str] = []
    one = MokshaHub(dict(old.CONFIG), strict=False, stop=lambda: stops.append("stop"))
    bound = one.build(old.Asking)

    getattr(bound.author.hub, how)()

    assert stops == ["stop"]


def test_moksha_finds_the_hub_where_it_would_find_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (moksha.hub, moksha.hub.hub):
        monkeypatch.setattr(module, "_hub", None, raising=False)
    one = hub()

    install(one)

    assert moksha.hub._hub is moksha.hub.hub._hub is one


@pytest.mark.parametrize(
    ("topic", "message", "jsonify", "sent"),
    [
        ("org.a", {"b": [1]}, True, [(b"org.a", b'{"b": [1]}')]),
        (b"org.a", "\xe9", True, [(b"org.a", b'"\\u00e9"')]),
        (["org.a", "org.b"], "\xe9", False, [(b"org.a", b"\xc3\xa9"), (b"org.b", b"\xc3\xa9")]),
        ("org.\xe9", b"\xff", False, [(b"org.\xc3\xa9", b"\xff")]),
    ],
)
def test_messages_are_sent_as_moksha_sends_them(
    topic: Any, message: Any, jsonify: bool, sent: list[tuple[bytes, bytes]]
) -> None:
    found: list[tuple[bytes, bytes]] = []
    one = MokshaHub({}, strict=False, stop=lambda: None, send=lambda *parts: found.append(parts))

    one.send_message(topic, message, jsonify)

    assert found == sent


def test_a_message_that_nobody_can_get_is_said_once_to_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    one = hub()

    for _ in range(100):
        one.send_message("org.a", {})

    (record,) = caplog.records
    assert "reaches nobody: set zmq_publish_endpoints" in record.getMessage()
