# SPDX-License-Identifier: LGPL-2.1-or-later
"""Decoding for a consumer, and telling the source that a message is done."""

from __future__ import annotations

import json
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.errors import MessageError
from glasshub.message import Completion, Message, decode

from ..fakes import PATIENCE, frame

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_a_message_is_topic_and_decoded_body() -> None:
    message = decode(frame('{"msg": {"user": "ralph"}}', topic="org.té".encode()))

    assert message == Message("org.té", {"msg": {"user": "ralph"}})


@given(anything)
def test_every_json_body_is_decoded(body: object) -> None:
    assert decode(frame(json.dumps(body))).body == body


@given(st.binary())
def test_any_bytes_are_a_message_or_a_message_error(body: bytes) -> None:
    try:
        expected = json.loads(body.decode("utf-8"))
    except ValueError:
        with pytest.raises(MessageError, match=rf"\({len(body)} bytes\) is not JSON"):
            decode(frame(body))
    else:
        assert repr(decode(frame(body)).body) == repr(expected)


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"\xff\xfe", b'"\xff"', b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000 + b"e", b"\0", b"{}{}"],
    ids=["empty", "blank", "cut", "not-utf8", "not-utf8-inside", "deep-list", "deep-dict", "number", "nul", "two"],
)
def test_a_body_that_is_not_json_is_a_message_error_that_names_the_topic(body: bytes) -> None:
    with pytest.raises(MessageError, match=r"b'org.test' \(\d+ bytes\) is not JSON"):
        decode(frame(body))


def test_nan_is_taken_as_python_writes_it() -> None:
    """json.dumps of the publisher writes NaN, which is not JSON; fedmsg takes it, so we do."""
    assert math.isnan(decode(frame(b'{"x": NaN}')).body["x"])


def test_two_consumers_get_two_bodies() -> None:
    shared = frame(b'{"msg": {}}')

    first, second = decode(shared), decode(shared)
    first.body["msg"]["changed"] = True

    assert second.body == {"msg": {}}


def test_completion_calls_back_once_after_the_last_consumer() -> None:
    called: list[int] = []
    message = frame()
    message.completion = Completion(3, lambda: called.append(1))

    counts = []
    for _ in range(3):
        message.completion.one_done()
        counts.append(len(called))

    assert counts == [0, 0, 1]


def test_completion_without_consumers_calls_back_at_once() -> None:
    called: list[int] = []

    Completion(0, lambda: called.append(1))

    assert called == [1]


def test_completion_calls_back_exactly_once_from_whichever_thread_is_last() -> None:
    consumers, rounds = 4, 200
    callers: list[list[str]] = [[] for _ in range(rounds)]
    finished: list[list[str]] = [[] for _ in range(rounds)]
    completions = [
        Completion(consumers, lambda own=own: own.append(threading.current_thread().name))  # type: ignore[misc]
        for own in callers
    ]
    barrier = threading.Barrier(consumers)

    def finish() -> None:
        for index, completion in enumerate(completions):
            barrier.wait(PATIENCE)
            completion.one_done()
            finished[index].append(threading.current_thread().name)

    threads = [threading.Thread(target=finish) for _ in range(consumers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert [len(own) for own in callers] == [1] * rounds
    assert all(own[0] in done for own, done in zip(callers, finished))


def test_the_lock_is_free_while_the_source_is_told() -> None:
    """A callback that asks about the same message must not hang."""
    called: list[int] = []

    def callback() -> None:
        called.append(1)
        completion.one_done()

    completion = Completion(1, callback)
    worker = threading.Thread(target=completion.one_done, daemon=True)
    worker.start()
    worker.join(PATIENCE)

    assert not worker.is_alive()
    assert called == [1]
