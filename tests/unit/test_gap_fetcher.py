# SPDX-License-Identifier: LGPL-2.1-or-later
"""What fell into gaps of the bus is fetched in the background, once for gaps that overlap."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasshub.backfill import Backfill
from glasshub.compat.datagrepper import Datagrepper, Window
from glasshub.compat.gap_fetcher import GapFetcher, can_fetch, merged
from glasshub.gaps import Gap
from glasshub.message import Frame
from glasshub.routing import Router
from glasshub_stats import HubStats, read

from ..fakes import PATIENCE, wait_until
from .fake_datagrepper import FakeDatagrepper, published
from .segments import live_segment

T0 = 1400000000


class Desk(Backfill):
    """The enqueuer's side of a fetch, which takes what is delivered.

    Attributes:
        frames: The messages that were delivered.
        taken: Their timestamps, since T0.
        finished: How many requests are done.
    """

    def __init__(self, age: float = 10_000.0) -> None:
        """Be one that began to watch the bus so many seconds ago."""
        super().__init__(margin=0, wake=lambda: None, clock=lambda: time.monotonic_ns() - int(age * 1e9))
        self.frames: list[Frame] = []
        self.taken: list[int] = []
        self.finished = 0

    def done(self, requests: int) -> None:
        """Count."""
        super().done(requests)
        self.finished += requests

    def lose(self, since: float, until: float, endpoint: str = "tcp://bus:1", found: float = 0.0) -> None:
        """An endpoint that was lost is back, `found` seconds from now."""
        found_ns = time.monotonic_ns() + int(found * 1e9)
        self.fill(Gap(endpoint, found_ns - int((until - since) * 1e9), found_ns, T0 + until))

    def wait_for(self, count: int) -> None:
        """Wait for so many messages."""
        wait_until(lambda: len(self._taken()) >= count, f"{count} messages")

    def _taken(self) -> list[int]:
        frames, _ = self.take(1000)
        self.frames += frames
        self.taken += [json.loads(frame.body)["timestamp"] - T0 for frame in frames]
        return self.taken


@pytest.fixture
def server() -> Iterator[FakeDatagrepper]:
    """A datagrepper that knows a message for each of a hundred seconds."""
    with FakeDatagrepper() as server:
        server.rows = [published(number) for number in range(100)]
        yield server


@pytest.fixture
def desk() -> Desk:
    return Desk()


class Fetching:
    """A fetcher that runs, and what it counts."""

    def __init__(self, fetcher: GapFetcher, path: Path) -> None:
        self.fetcher = fetcher
        self._path = path

    @property
    def hub(self) -> HubStats:
        return read(str(self._path)).hub

    def end(self) -> None:
        self.fetcher.stop()
        self.fetcher.join(PATIENCE)
        assert not self.fetcher.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.stats"


@contextmanager
def fetching(server: FakeDatagrepper, desk: Desk, path: Path, *topics: str, **more: Any) -> Iterator[Fetching]:
    settings: dict[str, Any] = {"margin": 0.0, "age": 1e9, "limit": 1000, **more}
    datagrepper = Datagrepper(server.url, timeout=PATIENCE, pauses=())
    with live_segment(path) as segment:
        router = Router([topics or ("org.old",)])
        running = Fetching(GapFetcher(datagrepper, desk, segment.backfill, lambda: router, **settings), path)
        running.fetcher.start()
        try:
            yield running
        finally:
            running.end()


def asked(server: FakeDatagrepper) -> list[tuple[float, float]]:
    """The windows that were asked for, since T0."""
    return [
        (round(float(query["start"]) - T0, 3), round(float(query["end"]) - T0, 3))
        for query in server.asked
        if query["page"] == "1"
    ]


def test_what_was_published_in_the_window_is_delivered_as_it_was_on_the_bus(
    server: FakeDatagrepper, desk: Desk, path: Path
) -> None:
    with fetching(server, desk, path):
        desk.lose(since=9.5, until=13.5)
        desk.wait_for(4)

    assert asked(server) == [(9.5, 13.5)]
    assert desk.taken == [10, 11, 12, 13]
    assert [frame.topic for frame in desk.frames] == [b"org.old.prod.shop.sold"] * 4
    assert [json.loads(frame.body) for frame in desk.frames] == [published(number) for number in range(10, 14)]


def test_the_margin_is_fetched_too_and_waited_for(server: FakeDatagrepper, desk: Desk, path: Path) -> None:
    with fetching(server, desk, path, margin=0.3):
        began = time.monotonic()
        desk.lose(since=10.2, until=12.8)
        desk.wait_for(4)

    assert asked(server) == [(9.9, 13.1)]
    assert desk.taken == [10, 11, 12, 13]
    assert time.monotonic() - began >= 0.6


def test_what_nobody_subscribes_to_is_not_delivered(server: FakeDatagrepper, desk: Desk, path: Path) -> None:
    server.rows.append(published(12, "org.other", msg_id="other"))

    with fetching(server, desk, path, "org.other"):
        desk.lose(since=10, until=13)
        desk.wait_for(1)

    assert [frame.topic for frame in desk.frames] == [b"org.other"]


def test_gaps_of_several_endpoints_that_overlap_are_fetched_at_once(
    server: FakeDatagrepper, desk: Desk, path: Path
) -> None:
    desk.lose(since=10, until=14, endpoint="tcp://bus:1")
    desk.lose(since=12, until=16, endpoint="tcp://bus:2")
    desk.lose(since=30, until=31, endpoint="tcp://bus:1")

    with fetching(server, desk, path):
        desk.wait_for(9)

    assert asked(server) == [(10, 16), (30, 31)]
    assert desk.taken == [*range(10, 17), 30, 31]


def test_a_gap_that_closes_while_another_is_waited_for_goes_with_it(
    server: FakeDatagrepper, desk: Desk, path: Path
) -> None:
    with fetching(server, desk, path):
        began = time.monotonic()
        desk.lose(since=10, until=14, found=0.5)
        wait_until(desk.requests.empty, "the fetcher to wait")
        desk.lose(since=12, until=16, found=1.0)
        desk.wait_for(7)

    assert asked(server) == [(10, 16)]
    assert time.monotonic() - began >= 1  # the second one is waited for, too


def test_what_the_hub_does_not_remember_the_bus_to_have_brought_is_not_fetched(
    server: FakeDatagrepper, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody could tell whether the bus has brought it."""
    desk = Desk(age=0)  # the gap ends in two seconds

    with fetching(server, desk, path):
        desk.lose(since=10, until=20, found=2.0)
        desk.wait_for(2)

    ((since, until),) = asked(server)
    assert until == 20
    assert since == pytest.approx(18, abs=0.9)
    assert "is not fetched of this gap: tcp://bus:1 was lost from 2014-05-13 16:53:30 UTC" in caplog.text


def test_what_is_too_old_is_not_fetched(
    server: FakeDatagrepper, desk: Desk, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fetching(server, desk, path, age=15.0, clock=lambda: T0 + 30.0):
        desk.lose(since=5, until=14)
        desk.lose(since=13, until=17)
        desk.wait_for(3)

    assert asked(server) == [(15, 17)]
    assert caplog.text.count("what is older than 2014-05-13 16:53:35 UTC is not fetched of this gap") == 2


def test_what_is_beyond_the_limit_is_counted_as_missed(
    server: FakeDatagrepper, desk: Desk, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fetching(server, desk, path, limit=3) as running:
        desk.lose(since=10, until=19)
        desk.wait_for(3)
        wait_until(lambda: running.hub.backfill_missed, "the rest is counted")
        missed = running.hub.backfill_missed

    assert desk.taken == [10, 11, 12]
    assert missed == 7
    assert "has more than 3 messages: up to 7 are missed" in caplog.text


def test_a_datagrepper_that_fails_is_counted_and_logged_and_the_next_gap_is_filled(
    server: FakeDatagrepper, desk: Desk, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.troubles.append((500, b""))

    with fetching(server, desk, path) as running:
        desk.lose(since=10, until=12)
        wait_until(lambda: running.hub.backfill_errors, "the error is counted")
        desk.lose(since=20, until=22)
        desk.wait_for(3)
        errors = running.hub.backfill_errors

    assert (errors, desk.taken) == (1, [20, 21, 22])
    assert (
        "filling the window from 2014-05-13 16:53:30 UTC to 2014-05-13 16:53:32 UTC failed: datagrepper" in caplog.text
    )


def test_the_desk_is_told_when_each_gap_is_done(server: FakeDatagrepper, desk: Desk, path: Path) -> None:
    server.troubles.append((500, b""))
    desk.lose(since=10, until=12)
    desk.lose(since=12, until=14)
    desk.lose(since=30, until=31)

    with fetching(server, desk, path):
        wait_until(lambda: desk.finished == 3, "all to be done")


def test_fetching_shows(server: FakeDatagrepper, desk: Desk, path: Path) -> None:
    seen: list[int] = []

    with fetching(server, desk, path) as running:
        server.before_answer = lambda: seen.append(running.hub.backfilling)
        desk.lose(since=10, until=12)
        wait_until(lambda: seen and not running.hub.backfilling, "the end of the fetch")

    assert seen == [1]


def test_a_gap_that_is_not_filled_when_the_hub_stops_is_named(
    server: FakeDatagrepper, desk: Desk, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fetching(server, desk, path) as running:
        desk.lose(since=10, until=12, found=10 * PATIENCE)
        desk.lose(since=20, until=22)
        running.end()

    assert server.asked == []
    assert caplog.text.count("gap is not filled") == 2
    assert "gap is not filled, or not to its end: tcp://bus:1 was lost from 2014-05-13 16:53:30 UTC" in caplog.text


def test_a_fetch_that_is_cut_off_when_the_hub_stops_is_named(
    server: FakeDatagrepper, desk: Desk, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with fetching(server, desk, path) as running:
        server.before_answer = running.fetcher.stop
        desk.lose(since=10, until=12)
        running.fetcher.join(PATIENCE)

    assert "gap is not filled, or not to its end: tcp://bus:1 was lost" in caplog.text


def test_the_hubs_end_does_not_wait_for_it(server: FakeDatagrepper, desk: Desk, path: Path) -> None:
    with fetching(server, desk, path) as running:
        assert running.fetcher.daemon
        assert not running.fetcher.is_awaited


@pytest.mark.parametrize("missing", ["requests", "fedmsg.crypto.utils"])
def test_where_what_it_needs_is_not_installed_the_log_says_what_to_do(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A hub without consumers of fedmsg needs neither to run."""
    before = can_fetch()
    monkeypatch.setitem(sys.modules, missing, None)

    assert (before, can_fetch()) == (True, False)
    (record,) = caplog.records
    assert record.getMessage().startswith("gaps of the bus are counted, but not filled: import of ")
    assert record.getMessage().endswith(": pip install fedmsg")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([(1, 2)], [(1, 2)]),
        ([(5, 6), (1, 2)], [(1, 2), (5, 6)]),
        ([(1, 3), (2, 4)], [(1, 4)]),
        ([(1, 3), (3, 4)], [(1, 4)]),
        ([(1, 9), (2, 3), (4, 5), (10, 11)], [(1, 9), (10, 11)]),
    ],
)
def test_windows_that_overlap_become_one(given: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert merged(Window(*window) for window in given) == [Window(*window) for window in expected]
