# SPDX-License-Identifier: LGPL-2.1-or-later
"""A publisher that dies and comes back while others go on: what the hub does about the time between."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from glasshub.dispatch import SHAPES
from glasshub_stats import Snapshot

from ..unit.fake_datagrepper import FakeDatagrepper, published
from .hubs import Bus, HubProcess, hub_on, wait_until
from .old_site import ENABLED, noted

#: Seconds before and after a gap that the hubs of these tests fetch, too.
MARGIN = 0.5

every_shape = pytest.mark.parametrize("shape", SHAPES)


class Publishers:
    """Two publishers, of which the first one dies and comes back; and a datagrepper that knows what both have said.

    Attributes:
        said: The numbers of all messages so far.
        datagrepper: The datagrepper.
    """

    def __init__(self, directory: Path, datagrepper: FakeDatagrepper) -> None:
        self.said: list[int] = []
        self.datagrepper = datagrepper
        self._directory = directory
        self._numbers = itertools.count(1)
        self._is_dead = False
        self.first = Bus(directory, "first")
        self.second = Bus(directory, "second")

    def say(self, bus: Bus, count: int, topic: str = "org.site.x") -> list[dict[str, Any]]:
        """Have a publisher publish messages, dated now; from a dead one nobody gets any, but datagrepper has them."""
        return [self._publish(bus, topic) for _ in range(count)]

    def die(self) -> None:
        """Have the first publisher die."""
        self.first.close()
        self._is_dead = True

    def come_back(self) -> None:
        """Have the first publisher come back, and wait for its subscriber."""
        self.first = Bus(self._directory, "first")
        self._is_dead = False
        self.first.wait()

    def close(self) -> None:
        """Close both."""
        self.first.close()
        self.second.close()

    def _publish(self, bus: Bus, topic: str) -> dict[str, Any]:
        number = next(self._numbers)
        message = published(number, topic, timestamp=time.time(), msg=number)
        self.said.append(number)
        self.datagrepper.rows.append(message)
        if not (self._is_dead and bus is self.first):
            bus.publish(topic, message)
        return message


@pytest.fixture
def publishers(tmp_path: Path) -> Iterator[Publishers]:
    with FakeDatagrepper() as datagrepper:
        publishers = Publishers(tmp_path, datagrepper)
        try:
            yield publishers
        finally:
            publishers.close()


@contextmanager
def site(publishers: Publishers, directory: Path, shape: str = "threads", **config: Any) -> Iterator[HubProcess]:
    """A hub with a consumer of fedmsg's and a native one, subscribed to both publishers."""
    file = directory / "fedmsg-config.py"
    endpoints = {"bus": [publishers.first.endpoint, publishers.second.endpoint]}
    config = {"endpoints": endpoints, ENABLED: True, "validate_signatures": False, "environment": "dev", **config}
    file.write_text(f"config = {config!r}\n", encoding="utf-8")
    toml = f"""
[consumers.native]
class = "tests.integration.consumers:Recorder"
topics = ["org.site."]
settings = {{ file = "{directory / "native"}" }}
[fedmsg]
config = ["{file}"]
gap_margin = {MARGIN}
"""
    consumers = "tests.integration.old_site:Site,tests.integration.consumers:Recorder"
    with hub_on(None, directory, "--shape", shape, "--with-consumers", consumers, toml=toml) as hub:
        hub.wait_until(lambda snapshot: snapshot.hub.connected == 2, "two connections")
        publishers.first.wait()
        publishers.second.wait()
        yield hub


def handled(directory: Path) -> tuple[list[int], list[int]]:
    """The numbers of what the consumer of fedmsg's and the native one have handled."""
    file = directory / "native"
    native = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return noted(directory, "Site"), [int(msg_id.partition("-")[2]) for msg_id in native]


def wait_until_filled(hub: HubProcess) -> Snapshot:
    """Wait until all that was fetched has been looked at."""
    wait_until(lambda: "messages fetched" in hub.said(), "the end of the fetch")
    fetched = sum(map(int, re.findall(r"(\d+) messages fetched", hub.said())))
    return hub.wait_until(
        lambda snapshot: snapshot.hub.backfilled + snapshot.hub.backfill_duplicates == fetched, "the end of the fill"
    )


@every_shape
def test_what_fell_into_a_gap_is_fetched_and_every_message_is_handled_exactly_once(
    tmp_path: Path, publishers: Publishers, shape: str
) -> None:
    with site(publishers, tmp_path, shape, datagrepper_url=publishers.datagrepper.url) as hub:
        publishers.say(publishers.first, 3)
        publishers.say(publishers.second, 3)
        hub.wait_until_finished(6)
        publishers.die()
        hub.wait_until(lambda snapshot: snapshot.hub.lost == 1, "the loss")
        lost = publishers.say(publishers.first, 5)
        publishers.say(publishers.second, 4)
        publishers.come_back()
        publishers.say(publishers.first, 2)
        publishers.say(publishers.second, 2)
        hub.wait_until_finished(19)
        filled = wait_until_filled(hub).hub
        publishers.first.publish("org.site.x", lost[0])  # some relay has had it all the time
        publishers.say(publishers.first, 1)
        snapshot = hub.wait_until_finished(20)

        assert hub.stop() == 0
    for numbers in handled(tmp_path):
        assert sorted(numbers) == publishers.said
    assert (filled.gaps, filled.backfilled, filled.backfill_missed, filled.backfill_errors) == (1, 5, 0, 0)
    assert 8 <= filled.backfill_duplicates <= 14  # those before the loss may be older than the margin
    assert snapshot.hub.backfill_duplicates == filled.backfill_duplicates + 1
    assert snapshot.hub.received == 19 - 5 + 2
    assert [consumer.enqueued for consumer in snapshot.consumers] == [20, 20]
    assert hub.said().count("possible gap: ") == 1


def test_a_gap_in_which_nothing_was_published_is_filled_with_nothing(tmp_path: Path, publishers: Publishers) -> None:
    with site(publishers, tmp_path, datagrepper_url=publishers.datagrepper.url) as hub:
        publishers.say(publishers.first, 3)
        hub.wait_until_finished(3)
        publishers.die()
        publishers.come_back()
        wait_until_filled(hub)
        publishers.say(publishers.first, 1)
        snapshot = hub.wait_until_finished(4)

        assert hub.stop() == 0
    assert handled(tmp_path) == (publishers.said, publishers.said)
    assert (snapshot.hub.gaps, snapshot.hub.backfilled) == (1, 0)


def test_a_datagrepper_that_does_not_answer_holds_nobody_up(tmp_path: Path, publishers: Publishers) -> None:
    publishers.datagrepper.troubles.append(None)
    with site(publishers, tmp_path, datagrepper_url=publishers.datagrepper.url) as hub:
        publishers.die()
        hub.wait_until(lambda snapshot: snapshot.hub.lost == 1, "the loss")
        publishers.come_back()
        hub.wait_until(lambda snapshot: snapshot.hub.backfilling, "the fetch to begin")
        wait_until(lambda: publishers.datagrepper.asked, "it to be asked")
        publishers.say(publishers.first, 2)
        snapshot = hub.wait_until_finished(2)

        assert hub.stop() == 0
    assert handled(tmp_path) == ([1, 2], [1, 2])
    assert (snapshot.hub.gaps, snapshot.hub.backfilled) == (1, 0)
    assert "since the hub stops, this gap is not filled, or not to its end: ipc://" in hub.said()


def test_a_datagrepper_that_refuses_is_counted_and_logged_in_one_line(tmp_path: Path, publishers: Publishers) -> None:
    publishers.datagrepper.troubles.append((404, b""))
    with site(publishers, tmp_path, datagrepper_url=publishers.datagrepper.url) as hub:
        publishers.die()
        hub.wait_until(lambda snapshot: snapshot.hub.lost == 1, "the loss")
        publishers.come_back()
        snapshot = hub.wait_until(lambda snapshot: snapshot.hub.backfill_errors == 1, "the error")

        assert hub.stop() == 0
    assert snapshot.hub.gaps == 1
    assert "refuses: 404" in hub.said()
    assert "Traceback" not in hub.said()


def test_without_a_datagrepper_a_gap_is_counted_and_logged(tmp_path: Path, publishers: Publishers) -> None:
    with site(publishers, tmp_path) as hub:
        publishers.die()
        hub.wait_until(lambda snapshot: snapshot.hub.lost == 1, "the loss")
        publishers.say(publishers.first, 1)
        publishers.come_back()
        publishers.say(publishers.first, 1)
        snapshot = hub.wait_until_finished(1)

        assert hub.stop() == 0
    assert handled(tmp_path) == ([2], [2])
    assert (snapshot.hub.gaps, snapshot.hub.backfilled, snapshot.hub.backfill_errors) == (1, 0, 0)
    assert publishers.datagrepper.asked == []
    assert hub.said().count("possible gap: ") == 1


def test_with_a_backlog_limit_of_0_nothing_is_fetched(tmp_path: Path, publishers: Publishers) -> None:
    toml = f"""
[fedmsg]
datagrepper_url = "{publishers.datagrepper.url}"
backlog_limit = 0
gap_margin = 0.0
"""
    arguments = ["--consumer", "tests.integration.consumers:Everything"]
    with hub_on(publishers.first, tmp_path, *arguments, toml=toml) as hub:
        publishers.die()
        hub.wait_until(lambda snapshot: snapshot.hub.lost == 1, "the loss")
        publishers.come_back()
        publishers.say(publishers.first, 1)
        hub.wait_until_finished(1)

        assert hub.stop() == 0
    assert publishers.datagrepper.asked == []
    assert "possible gap: " in hub.said()
