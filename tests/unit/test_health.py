# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `/live` and `/ready` say of a segment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import glasshub_stats
from glasshub.health import live_page, ready_page
from glasshub.segment import SegmentWriter
from glasshub.webserver import Answer
from glasshub_stats import SegmentNotFoundError, Snapshot

from .segments import live_segment, work


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SegmentWriter]:
    with live_segment(tmp_path / "hub.stats") as writer:
        yield writer


@pytest.fixture
def read(tmp_path: Path, hub: SegmentWriter) -> Callable[[], Snapshot]:
    return lambda: glasshub_stats.read(str(tmp_path / "hub.stats"))


def said(page: Answer) -> tuple[int, dict[str, Any]]:
    """Status and content of a page, which has one line."""
    assert page.content_type == "application/json"
    assert page.text.count("\n") == 1
    assert page.text.endswith("\n")
    return page.status.value, json.loads(page.text)


def twenty_seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic_ns
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock() + 20 * 10**9)


def test_hub_that_goes_round_is_alive_in_fedora_messagings_words(read: Callable[[], Snapshot]) -> None:
    assert said(live_page(read)) == (200, {"status": "OK"})


def test_hub_that_runs_and_is_connected_is_ready_and_tells_what_it_consumed(
    hub: SegmentWriter, read: Callable[[], Snapshot]
) -> None:
    work(hub, 0, enqueued=10, processed=7, failed=2)

    consumed = {"received": 10, "processed": 7, "dropped": 0, "rejected": 0, "failed": 2}
    assert said(ready_page(read)) == (200, {"consuming": True, "consumed": consumed})


@pytest.mark.parametrize("phase", ["starting", "draining"])
def test_hub_that_does_not_receive_is_alive_and_not_ready(
    hub: SegmentWriter, read: Callable[[], Snapshot], phase: str
) -> None:
    hub.phase(phase)

    status, text = said(ready_page(read))
    assert (status, text["consuming"], text["reason"]) == (503, False, f"the hub is {phase}")
    assert live_page(read).status == 200


def test_enqueuer_without_a_heartbeat_is_not_alive_nor_ready(
    hub: SegmentWriter, read: Callable[[], Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty_seconds_pass(monkeypatch)
    hub.beat()

    reason = "the enqueuer has shown no heartbeat for 20 s, and 15 s are the limit"
    assert said(live_page(read)) == (503, {"status": "failed", "reason": reason})
    assert said(ready_page(read))[1]["reason"] == reason


def test_main_thread_without_a_heartbeat_is_not_alive(
    hub: SegmentWriter, read: Callable[[], Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    twenty_seconds_pass(monkeypatch)
    hub.enqueuer.beat(time.monotonic_ns())

    status, text = said(live_page(read))
    assert (status, text["reason"]) == (503, "the main thread has shown no heartbeat for 20 s, and 15 s are the limit")


def test_hub_that_has_lost_one_endpoint_of_two_is_ready(hub: SegmentWriter, read: Callable[[], Snapshot]) -> None:
    """fedmsg's configuration names endpoints that nobody publishes at."""
    hub.enqueuer.source(endpoints=2, connected=1, disconnects=1, errors=0, lost=1, lost_ns=time.monotonic_ns())

    assert ready_page(read).status == 200


def test_hub_that_has_lost_every_endpoint_is_alive_and_not_ready(
    hub: SegmentWriter, read: Callable[[], Snapshot]
) -> None:
    lost_ns = time.monotonic_ns() - 7 * 10**9
    hub.enqueuer.source(endpoints=2, connected=0, disconnects=2, errors=0, lost=2, lost_ns=lost_ns)

    status, text = said(ready_page(read))
    assert (status, text["reason"]) == (503, "the hub has been connected to none of its 2 endpoints for 7 s")
    assert live_page(read).status == 200


def test_hub_that_has_no_endpoints_is_ready(hub: SegmentWriter, read: Callable[[], Snapshot]) -> None:
    hub.enqueuer.source(endpoints=0, connected=0, disconnects=0, errors=0)

    assert ready_page(read).status == 200


@pytest.mark.parametrize(("consuming", "status"), [(0, 503), (1, 503), (2, 200)])
def test_hub_on_a_broker_is_ready_when_all_its_queues_are_consumed(
    hub: SegmentWriter, read: Callable[[], Snapshot], consuming: int, status: int
) -> None:
    hub.enqueuer.broker(
        queues=2,
        consuming=consuming,
        ready=0,
        asked_ns=time.monotonic_ns(),
        unacknowledged=0,
        redelivered=0,
        faults=0,
        blocked=False,
    )

    found, text = said(ready_page(read))
    assert (found, text["consuming"]) == (status, status == 200)
    if status == 503:
        assert text["reason"] == f"the broker brings the messages of {consuming} of 2 queues"


@pytest.mark.parametrize(("phase", "words"), [("running", "the hub is down"), ("stopped", "the hub is stopped")])
def test_hub_that_is_gone_is_not_alive(tmp_path: Path, phase: str, words: str) -> None:
    path = tmp_path / "hub.stats"
    with live_segment(path, phase=phase):
        pass

    assert said(live_page(lambda: glasshub_stats.read(str(path)))) == (503, {"status": "failed", "reason": words})


@pytest.mark.parametrize("page", [live_page, ready_page])
def test_segment_that_cannot_be_read_is_503_with_the_reason(page: Callable[[Callable[[], Snapshot]], Answer]) -> None:
    def read() -> Snapshot:
        raise SegmentNotFoundError("/run/glasshub/hub.stats", "there is no such segment")

    status, text = said(page(read))

    assert status == 503
    assert "there is no such segment" in text["reason"]
