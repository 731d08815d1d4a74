# SPDX-License-Identifier: LGPL-2.1-or-later
"""A consumer's status file says what it may have missed; it stands where fedmsg-hub has it."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from glasshub.compat.consumers import MokshaConsumer
from glasshub.compat.datagrepper import last_message
from glasshub.compat.moksha import MokshaHub
from glasshub.compat.status_files import Missed, status_path
from glasshub.segment import ConsumerRow, SegmentWriter

from ..fakes import frame
from . import old_consumers as old
from .fake_datagrepper import published
from .inlets import ListInlet

STATUS = json.dumps({"message": {"topic": "org.old", "body": {"msg_id": "2014-1", "timestamp": 1}}, "status": "post"})


class OwnBacklog(old.Old):
    """Fetches in its own way."""

    def _backlog(self, data: str) -> None:
        raise NotImplementedError


def built(directory: Path | None, cls: type = old.Old, url: str | None = "http://127.0.0.1/raw") -> MokshaConsumer:
    config: dict[str, Any] = {**old.CONFIG, "datagrepper_url": url, "skip_last_message": True}
    if directory is not None:
        config["status_directory"] = str(directory)
    return MokshaHub(config, strict=False, stop=lambda: None).build(cls)


def write_status(directory: Path, text: str, hub: str = "fedmsg-hub") -> None:
    (directory / hub).mkdir()
    (directory / hub / "Old").write_text(text)


@pytest.mark.parametrize(
    ("hub", "directory"), [("glasshub", "fedmsg-hub"), ("fedmsg-irc", "fedmsg-irc"), ("other", "other")]
)
def test_the_status_file_is_where_fedmsgs_command_of_that_name_has_it(hub: str, directory: str) -> None:
    consumer = built(None).author

    assert status_path("/var/run/fedmsg", hub, consumer) == Path("/var/run/fedmsg", directory, "Old")


def test_what_fedmsg_hub_has_left_is_taken_up_and_our_own_status_goes_there(tmp_path: Path) -> None:
    write_status(tmp_path, STATUS)
    bound = built(tmp_path)

    missed = Missed.by(bound, "glasshub")
    bound.handle(frame('{"topic": "org.old", "msg_id": "2014-2"}', topic=b"org.old"))

    assert missed is not None
    assert missed.last == last_message(STATUS)
    assert json.loads((tmp_path / "fedmsg-hub" / "Old").read_text())["message"]["body"]["msg_id"] == "2014-2"


def test_a_consumer_that_has_never_run_has_missed_nothing_and_begins_its_status_file(tmp_path: Path) -> None:
    bound = built(tmp_path)

    missed = Missed.by(bound, "glasshub")
    bound.handle(frame('{"topic": "org.old"}', topic=b"org.old"))

    assert missed is None
    assert (tmp_path / "fedmsg-hub" / "Old").exists()


@pytest.mark.parametrize(("has_directory", "url"), [(False, "http://127.0.0.1/raw"), (True, None)])
def test_without_a_directory_or_a_datagrepper_nothing_is_fetched(
    tmp_path: Path, has_directory: bool, url: str | None
) -> None:
    write_status(tmp_path, STATUS)

    assert Missed.by(built(tmp_path if has_directory else None, url=url), "glasshub") is None


@pytest.mark.parametrize("cls", [old.Plain, OwnBacklog])
def test_consumers_that_have_no_backlog_of_fedmsgs_kind_are_left_alone(tmp_path: Path, cls: type) -> None:
    (tmp_path / "fedmsg-hub").mkdir()
    (tmp_path / "fedmsg-hub" / cls.__name__).write_text(STATUS)

    assert Missed.by(built(tmp_path, cls), "glasshub") is None


def test_a_status_file_that_cannot_be_read_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fedmsg-hub" / "Old").mkdir(parents=True)

    assert Missed.by(built(tmp_path), "glasshub") is None

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith(f"Old: no backlog is fetched: {tmp_path}/fedmsg-hub/Old cannot be read: ")


def test_what_is_fetched_reaches_the_consumer_once_and_is_counted(tmp_path: Path) -> None:
    write_status(tmp_path, STATUS)
    bound, inlet = built(tmp_path), ListInlet()
    bound.connect(inlet, lambda: None)
    missed = Missed.by(bound, "glasshub")
    assert missed is not None
    rows = [ConsumerRow("Old", 1, True)]
    segment = SegmentWriter(tmp_path / "stats", rows, name="x", version="1", shape="threads", source="memory")

    job = missed.job("Old", segment.fetches[0])
    message = {"topic": "org.old.a", "msg_id": "2014-2", "msg": {}}
    job.put(message)
    bound.handle(frame(json.dumps(message), topic=b"org.old.a"))
    job.counts.ended()
    segment.close()

    assert inlet.items == [{"topic": "org.old.a", "body": message}]
    assert (job.skip_last_message, job.wanted("org.old.x"), job.wanted("com.x")) == (True, True, False)
    assert bound.duplicates is not None
    assert bound.duplicates.has_seen(inlet.frames[0])
    assert bound.duplicates.is_over(frame(received_ns=time.monotonic_ns() + 3600 * 10**9))


def test_what_is_in_the_spool_is_not_fetched_and_what_was_long_before_is_not_remembered(tmp_path: Path) -> None:
    """A backlog of millions that waits there must not fill the memory with msg_ids."""
    write_status(tmp_path, STATUS)
    bound = built(tmp_path)
    missed = Missed.by(bound, "glasshub")
    assert missed is not None
    rows = [ConsumerRow("Old", 1, True)]
    segment = SegmentWriter(tmp_path / "stats", rows, name="x", version="1", shape="threads", source="memory")
    kept_until = time.time() - 300

    job = missed.job("Old", segment.fetches[0], kept_until)
    segment.close()
    message = json.dumps({"msg_id": "2014-2"})
    long_before, just_before = (frame(message, received_ns=time.monotonic_ns() - ago * 10**9) for ago in (400, 301))

    assert job.last.timestamp == kept_until
    assert job.last.msg_id == missed.last.msg_id
    assert bound.duplicates is not None
    assert [bound.duplicates.has_seen(one) for one in (long_before, long_before)] == [False, False]
    assert [bound.duplicates.has_seen(one) for one in (just_before, just_before)] == [False, True]


def test_fedmsgs_own_fetch_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask for everything, out of a thread of Twisted's, as soon as the reactor runs."""
    monkeypatch.setattr("fedmsg.consumers.FedmsgConsumer.get_datagrepper_results", None)
    consumer: Any = built(tmp_path).author

    consumer._backlog(STATUS)

    assert consumer.incoming.empty()


def status(body: object) -> str:
    """A status file as fedmsg writes it."""
    return json.dumps({"message": {"topic": "org.old", "body": body}, "status": "post"})


NO_TIMES: list[Any] = [None, "1", True, [], -1, float("nan"), float("inf")]
NO_IDS: list[Any] = [None, 1, []]
BROKEN = [
    "",
    '{"message": {"topic": "org.old", "bo',
    "[" * 100_000,
    "[]",
    "{}",
    "null",
    '{"message": null}',
    status("no json"),
    status([]),
    status(3),
    status({"topic": "org.old", "msg": 3}),
    *[status(published(1, timestamp=value)) for value in NO_TIMES],
    *[status(published(1, msg_id=value)) for value in NO_IDS],
]


@pytest.mark.parametrize("content", BROKEN, ids=lambda content: repr(content[:80]))
def test_a_broken_status_file_is_one_line_in_the_log_and_no_fetch(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the consumer remember messages for a fetch that never ends."""
    write_status(tmp_path, content)
    bound = built(tmp_path)
    caplog.clear()

    assert Missed.by(bound, "glasshub") is None

    assert bound.duplicates is None
    (line,) = caplog.messages
    assert line.startswith(
        f"Old: no backlog is fetched: {tmp_path}/fedmsg-hub/Old: this names no message with msg_id and "
    )
    assert len(line) < 200 + len(str(tmp_path))
