# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was published while the hub was down is fetched in the background, for one consumer after the other."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from glasshub.compat.datagrepper import (
    BacklogJob,
    BacklogThread,
    Datagrepper,
    LastMessage,
    StatusError,
    last_message,
)

from ..fakes import PATIENCE, wait_until
from .fake_datagrepper import FakeDatagrepper, published

T0 = 1400000000
NOW = T0 + 100.5


class Recorder:
    """A consumer's side of the fetch: remembers what it was given, and what was counted."""

    def __init__(self) -> None:
        self.put: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def began(self) -> None:
        self.calls.append("began")

    def fetched(self, count: int) -> None:
        self.calls.append(f"fetched {count}")

    def missed(self, count: int) -> None:
        self.calls.append(f"missed {count}")

    def failed(self) -> None:
        self.calls.append("failed")

    def ended(self) -> None:
        self.calls.append("ended")

    @property
    def numbers(self) -> list[int]:
        """Which messages those are."""
        return [message["timestamp"] - T0 for message in self.put]


@pytest.fixture
def server() -> Iterator[FakeDatagrepper]:
    """A datagrepper that knows a message for each of ten seconds."""
    with FakeDatagrepper() as server:
        server.rows = [published(number) for number in range(10)]
        yield server


def status(body: object, phase: str = "post") -> str:
    """A status file as fedmsg writes it."""
    return json.dumps({"message": {"topic": "org.old", "body": body}, "status": phase})


def job(recorder: Recorder, content: str, **more: Any) -> BacklogJob:
    settings: dict[str, Any] = {"wanted": lambda _: True, "put": recorder.put.append, **more}
    return BacklogJob(consumer="Mailer", last=last_message(content), counts=recorder, **settings)


def thread(server: FakeDatagrepper, *jobs: BacklogJob, **more: Any) -> BacklogThread:
    settings: dict[str, Any] = {"age": 1000.0, "limit": 1000, "clock": lambda: NOW, **more}
    return BacklogThread(Datagrepper(server.url, timeout=PATIENCE, pauses=(0,)), jobs, **settings)


def ended(started: BacklogThread) -> None:
    started.start()
    started.join(PATIENCE)
    assert not started.is_alive()


@pytest.mark.parametrize("body", [published(3), json.dumps(published(3))], ids=["dict", "text"])
@pytest.mark.parametrize("phase", ["pre", "post"])
def test_what_came_after_the_last_message_is_put_and_counted(server: FakeDatagrepper, body: object, phase: str) -> None:
    recorder = Recorder()

    ended(thread(server, job(recorder, status(body, phase))))

    assert recorder.put == [published(number) for number in range(4, 10)]
    assert recorder.calls == ["began", *["fetched 1"] * 6, "ended"]
    assert [(float(query["start"]), float(query["end"])) for query in server.asked] == [(T0 + 3, NOW)]


def test_others_of_the_same_second_are_not_taken_for_the_last_message(server: FakeDatagrepper) -> None:
    server.rows.append(published(9, msg_id="2014-another"))
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(9)))))

    assert [message["msg_id"] for message in recorder.put] == ["2014-another"]


def test_only_the_consumers_topics_are_put(server: FakeDatagrepper) -> None:
    server.rows.append(published(20, "org.old.prod.bank"))
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(3)), wanted=lambda topic: topic.endswith("bank"))))

    assert recorder.numbers == [20]


def test_with_skip_last_message_the_first_one_is_left_out(
    server: FakeDatagrepper, caplog: pytest.LogCaptureFixture
) -> None:
    """As fedmsg has it, which leaves out the last message anyway."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(3)), skip_last_message=True)))

    assert recorder.numbers == list(range(5, 10))
    assert recorder.calls.count("fetched 1") == 5
    assert "left out '2014-4', as skip_last_message says" in caplog.text


def test_what_is_too_old_is_not_fetched_and_the_log_says_so(
    server: FakeDatagrepper, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(1))), age=NOW - T0 - 5))

    assert recorder.numbers == [5, 6, 7, 8, 9]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "Mailer: the backlog from 2014-05-13 16:53:21 UTC to 2014-05-13 16:53:25 UTC is too old to be fetched"
    ]


def test_what_is_beyond_the_limit_is_counted_as_missed_and_the_log_says_so(
    server: FakeDatagrepper, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(3))), limit=2))

    assert recorder.numbers == [4, 5]
    assert recorder.calls == ["began", "fetched 1", "fetched 1", "missed 4", "ended"]
    assert "Mailer: the backlog is longer than 2 messages: up to 4 are missed" in caplog.text


def test_one_line_says_what_was_fetched(server: FakeDatagrepper, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="glasshub")

    ended(thread(server, job(Recorder(), status(published(3)))))

    assert caplog.messages == [
        "Mailer: backlog from 2014-05-13 16:53:23 UTC to 2014-05-13 16:55:00 UTC: 6 messages fetched, 0 skipped"
    ]


def test_a_last_message_of_the_future_leaves_nothing_to_fetch(
    server: FakeDatagrepper, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock was wrong; its date may be none that can be written."""
    caplog.set_level(logging.INFO)
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(10**30)))))

    assert recorder.calls == ["began", "ended"]
    assert "0 messages fetched" in caplog.text


def test_a_status_file_names_the_last_message() -> None:
    assert last_message(status(published(1))) == LastMessage("2014-1", T0 + 1)
    with pytest.raises(StatusError):
        last_message("")


def test_a_datagrepper_that_fails_fails_one_fetch_only(
    server: FakeDatagrepper, caplog: pytest.LogCaptureFixture
) -> None:
    server.troubles.extend([(500, b"")] * 2)
    first, second = Recorder(), Recorder()

    ended(thread(server, job(first, status(published(3))), job(second, status(published(8)))))

    assert first.calls == ["began", "failed", "ended"]
    assert second.calls == ["began", "fetched 1", "ended"]
    assert "Mailer: fetching the backlog failed: datagrepper at http" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_was_fetched_before_a_failure_stays_and_is_counted(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(150)]
    server.before_answer = lambda: server.troubles.extend([(500, b"")] * (2 * (len(server.asked) > 1)))
    recorder = Recorder()

    ended(thread(server, job(recorder, status(published(0))), clock=lambda: T0 + 1000))

    assert recorder.numbers == list(range(1, 100))
    assert recorder.calls[-3:] == ["fetched 1", "failed", "ended"]


def test_a_queue_that_raises_fails_one_fetch_only(server: FakeDatagrepper, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Recorder(), Recorder()

    def put(message: dict[str, Any]) -> None:
        raise RuntimeError("no such queue")

    ended(thread(server, job(first, status(published(3)), put=put), job(second, status(published(8)))))

    assert first.calls == ["began", "failed", "ended"]
    assert second.numbers == [9]
    assert "no such queue" in caplog.text


def test_after_stop_nothing_is_put_or_counted_any_more(server: FakeDatagrepper) -> None:
    first, second = Recorder(), Recorder()

    def put(message: dict[str, Any]) -> None:
        first.put.append(message)
        running.stop()

    running = thread(server, job(first, status(published(3)), put=put), job(second, status(published(3))))
    ended(running)

    assert first.numbers == [4]
    assert first.calls == ["began", "fetched 1"]
    assert second.calls == []


def test_stop_ends_a_pause(server: FakeDatagrepper, caplog: pytest.LogCaptureFixture) -> None:
    server.troubles.append((500, b""))
    recorder = Recorder()
    datagrepper = Datagrepper(server.url, pauses=(10 * PATIENCE,))
    running = BacklogThread(datagrepper, [job(recorder, status(published(3)))], age=1000, limit=1, clock=lambda: NOW)
    running.start()
    wait_until(lambda: "trying again in" in caplog.text, "the pause")

    running.stop()
    running.join(PATIENCE)

    assert not running.is_alive()
    assert recorder.calls == ["began"]


def test_an_answer_that_comes_after_stop_is_not_used(server: FakeDatagrepper) -> None:
    recorder = Recorder()
    running = thread(server, job(recorder, status(published(3))))
    server.before_answer = running.stop

    ended(running)

    assert (recorder.put, recorder.calls) == ([], ["began"])


def test_a_thread_that_is_stopped_before_it_starts_does_nothing(server: FakeDatagrepper) -> None:
    recorder = Recorder()
    running = thread(server, job(recorder, status(published(3))))

    running.stop()
    ended(running)

    assert (recorder.calls, server.asked) == ([], [])


def test_the_hubs_end_does_not_wait_for_it(server: FakeDatagrepper) -> None:
    running = thread(server)

    assert running.daemon
    assert running.name == "backlog"
    assert threading.current_thread() is not running
