# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hub whose backlog is on disk: what was accepted is handled, however the hub ends."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasshub import cli
from glasshub.dispatch import SHAPES
from glasshub_stats import Snapshot

from .. import needs
from ..disks import CannotMountError, SmallDisk
from .hubs import DEADLINE, Bus, HubProcess, hub_on
from .test_overload import open_gate

HERE = "tests.integration.consumers"
TOPIC = "org.fedoraproject.prod.git.receive"

#: Messages that may come again for each consumer when a hub is killed.
BATCH = 64

every_shape = pytest.mark.parametrize("shape", SHAPES)


def spool(directory: Path, *keys: str) -> str:
    """The section."""
    return "\n".join(["[spool]", f'directory = "{directory}/spool"', *keys, ""])


def recorder(directory: Path, name: str, *keys: str, kind: str = "Recorder") -> str:
    """A consumer that writes down what it handles."""
    settings = f'settings = {{file = "{directory}/{name}"}}'
    return "\n".join([f"[consumers.{name}]", f'class = "{HERE}:{kind}"', settings, *keys, ""])


def gate(directory: Path, *keys: str) -> str:
    """A consumer that gets no further than its first message."""
    if not (directory / "fifo").exists():
        os.mkfifo(directory / "fifo")
    settings = f'settings = {{fifo = "{directory}/fifo"}}'
    return "\n".join(["[consumers.Gate]", f'class = "{HERE}:Gate"', settings, *keys, ""])


def handled(directory: Path, name: str) -> Counter[str]:
    """How often the consumer was handed which message."""
    return Counter((directory / name).read_text(encoding="utf-8").split())


def publish(bus: Bus, count: int, prefix: str = "") -> list[str]:
    """Publish messages; their ids."""
    ids = [f"{prefix}{number}" for number in range(count)]
    for msg_id in ids:
        bus.publish(TOPIC, {"topic": TOPIC, "msg_id": msg_id, "msg": {}})
    return ids


def waiting_for_gate(bus: Bus, hub: HubProcess, count: int) -> None:
    """Have so many messages wait, and one more at hand."""
    publish(bus, count + 1)
    hub.wait_until(lambda s: s.consumer("Gate").backlog == count and s.consumer("Gate").in_flight, "them to wait")


def has_done_all(snapshot: Snapshot) -> bool:
    """Whether nothing waits and nobody is at work."""
    return not any(consumer.backlog or consumer.in_flight for consumer in snapshot.consumers)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@every_shape
def test_what_a_killed_hub_has_accepted_is_handled_after_the_next_start(
    tmp_path: Path, bus: Bus, shape: str, kills: int
) -> None:
    """In the order in which it came; and no more than a batch for each kill comes again."""
    chance = random.Random(kills)
    toml = spool(tmp_path) + recorder(tmp_path, "quick") + recorder(tmp_path, "other", kind="SecondRecorder")
    accepted: list[int] = []
    for life in range(kills):
        with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
            restored = hub.snapshot().consumers[0].restored
            publish(bus, 2000, f"{life}-")
            enough = chance.randint(1, 1500)
            hub.wait_until(lambda s: s.consumers[0].enqueued - restored >= enough, "many to be accepted")  # noqa: B023
            hub.stop(signal.SIGKILL)
            accepted.append(hub.snapshot().consumers[0].enqueued - restored)
        bus.wait_for_unsubscription()

    with hub_on(bus, tmp_path, "--shape", shape, toml=toml) as hub:
        hub.wait_until(has_done_all, "everything to be handled", deadline=DEADLINE + 5 * kills)
        exit_code = hub.stop()

    assert exit_code == 0
    for name in ("quick", "other"):
        times = handled(tmp_path, name)
        for life in range(kills):
            numbers = {int(one.partition("-")[2]) for one in times if one.startswith(f"{life}-")}
            assert numbers == set(range(len(numbers))), "a message in between is lost"
            assert len(numbers) >= accepted[life], "messages that were accepted are lost"
        assert sum(times.values()) - len(times) <= BATCH * kills


@pytest.mark.parametrize("shape", ["shared", "threads"])
def test_a_hub_that_is_stopped_keeps_its_backlog_and_has_lost_nothing(tmp_path: Path, bus: Bus, shape: str) -> None:
    with hub_on(
        bus, tmp_path, "--shape", shape, toml="[hub]\ndrain_timeout = 0.5\n" + spool(tmp_path) + gate(tmp_path)
    ) as hub:
        waiting_for_gate(bus, hub, 300)
        exit_code = hub.stop()
    left, said = hub.snapshot().consumer("Gate"), hub.said()
    files = [path.name for path in (tmp_path / "spool" / "h").iterdir()]
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + gate(tmp_path)) as hub:
        found = hub.wait_until(lambda s: s.consumer("Gate").in_flight, "it to go on").consumer("Gate")
        open_gate(tmp_path)
        done = hub.wait_until(has_done_all, "everything to be handled").consumer("Gate")

    assert (exit_code, files) == (0, ["log.sqlite"]), "SQLite's other files are there while it is open"
    assert (left.backlog, left.in_flight) == (300, 1)
    assert "kept for the next start: Gate: 301 messages" in said
    assert "stopped; nothing is lost" in said
    assert (found.restored, found.enqueued, done.processed) == (301, 301, 301)
    assert "Gate goes on where it was: 301 messages wait for it" in hub.said()


def test_a_hub_that_is_stopped_waits_for_what_is_at_hand_and_not_for_the_backlog(tmp_path: Path, bus: Bus) -> None:
    """For longer than the half second that is given whatever the configuration says."""
    settings = f'settings = {{file = "{tmp_path}/slow", seconds = 1.0}}\n'
    slow = f'[consumers.slow]\nclass = "tests.integration.crashing:Journal"\n{settings}'
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + slow) as hub:
        publish(bus, 101)
        hub.wait_until(lambda s: s.consumer("slow").enqueued == 101 and s.consumer("slow").in_flight, "them to wait")
        exit_code = hub.stop()

    gone = hub.snapshot().consumer("slow")
    assert exit_code == 0
    assert 0 < gone.processed < 50
    assert (gone.processed + gone.backlog, gone.in_flight) == (101, 0)


def test_a_consumer_that_cannot_be_built_gets_what_waits_for_it_when_it_can(tmp_path: Path, bus: Bus) -> None:
    other = recorder(tmp_path, "other")
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + gate(tmp_path) + other) as hub:
        waiting_for_gate(bus, hub, 5)
        hub.stop(signal.SIGKILL)
    bus.wait_for_unsubscription()
    broken = f'[consumers.Gate]\nclass = "{HERE}:Unbuildable"\n'
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + broken + other) as hub:
        publish(bus, 50, "later-")
        hub.wait_until_finished(50)
        hub.stop()
        said = hub.said()
    bus.wait_for_unsubscription()

    with hub_on(bus, tmp_path, toml=spool(tmp_path) + recorder(tmp_path, "Gate") + other) as hub:
        hub.wait_until(has_done_all, "everything to be handled")

    assert "Gate could not be built: 6 messages wait for it on disk" in said
    assert "nobody runs" not in said
    assert list(handled(tmp_path, "Gate")) == [str(number) for number in range(6)]


def test_what_waits_for_somebody_who_does_not_run_stays_until_it_is_dropped_on_command(
    tmp_path: Path, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "spool" / "h")
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + gate(tmp_path)) as hub:
        waiting_for_gate(bus, hub, 5)
        hub.stop(signal.SIGKILL)
    bus.wait_for_unsubscription()
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + recorder(tmp_path, "other")) as hub:
        refused = cli.main(["spool", "drop-consumer", place, "Gate"])
        listed = cli.main(["spool", "list", place])
        hub.stop()
    listing = capsys.readouterr()

    dropped = cli.main(["spool", "drop-consumer", place, "Gate"])

    assert "nobody runs Gate, for which 6 messages wait on disk, and stay there: to forget them, " in hub.said()
    assert f"stop the hub and run glasshub spool drop-consumer {place} Gate" in hub.said()
    assert (refused, listed, dropped) == (1, 0, 0)
    assert "another process writes to the spool" in listing.err
    assert "stop the hub first" in listing.err
    assert [line.split()[:3] for line in listing.out.splitlines() if line.startswith("Gate")] == [["Gate", "0", "6"]]
    assert capsys.readouterr().out == "Gate is forgotten, and 6 messages that waited for it\n"


def test_a_new_consumer_begins_at_the_end_or_with_the_oldest_as_it_is_configured(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + gate(tmp_path)) as hub:
        waiting_for_gate(bus, hub, 5)
        hub.stop(signal.SIGKILL)
    bus.wait_for_unsubscription()
    consumers = recorder(tmp_path, "new") + recorder(tmp_path, "old", 'from = "oldest"')
    consumers += recorder(tmp_path, "picky", 'from = "oldest"', 'topics = ["nothing"]')
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + consumers) as hub:
        publish(bus, 3, "later-")
        hub.wait_until(lambda s: s.consumer("new").processed == 3 and has_done_all(s), "everything to be handled")

    later = [f"later-{number}" for number in range(3)]
    assert list(handled(tmp_path, "new")) == later
    assert list(handled(tmp_path, "old")) == [str(number) for number in range(6)] + later
    assert not (tmp_path / "picky").exists()


def test_two_hubs_may_have_the_same_directory(tmp_path: Path, bus: Bus) -> None:
    with (
        hub_on(bus, tmp_path, toml=spool(tmp_path) + recorder(tmp_path, "one"), name="first"),
        hub_on(bus, tmp_path, toml=spool(tmp_path) + recorder(tmp_path, "two"), name="second"),
    ):
        places = sorted(path.name for path in (tmp_path / "spool").iterdir())

    assert places == ["first", "second"]


def test_a_hub_without_a_spool_says_so_once(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, toml=recorder(tmp_path, "one")) as hub:
        publish(bus, 3)
        hub.wait_until_finished(3)

    assert hub.said().count("the backlog is in memory, and gone when the hub is killed") == 1
    assert hub.snapshot().hub.spool == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """One on which some 10 MB of messages find room."""
    try:
        made = SmallDisk(tmp_path / "spool", "size=40m,mode=700")
    except CannotMountError as error:
        needs.give_up(str(error))
    with made:
        yield made


def test_a_hub_on_a_full_disk_waits_and_goes_on_when_there_is_room(tmp_path: Path, bus: Bus, disk: SmallDisk) -> None:
    with hub_on(bus, tmp_path, toml=spool(tmp_path) + gate(tmp_path)) as hub:
        for number in range(15_000):
            bus.publish(TOPIC, {"msg_id": str(number), "msg": "x" * 2000})
        full = hub.wait_until(lambda s: s.hub.spool_blocking_age > 0.5, "the disk to be full")
        later = hub.wait_until(lambda s: s.hub.spool_blocking_age > 1.0, "time to pass")
        disk.remount("size=200m")
        hub.wait_until(lambda s: s.consumer("Gate").enqueued == 15_000, "everything to be accepted")
        open_gate(tmp_path)
        done = hub.wait_until(has_done_all, "everything to be handled")
        exit_code = hub.stop()

    assert 1000 < full.consumer("Gate").enqueued == later.consumer("Gate").enqueued
    assert later.hub.enqueuer_age < 1.0, "it counts as stuck"
    assert later.hub.spool_errors > 0
    assert (done.consumer("Gate").processed, done.consumer("Gate").dropped) == (15_000, 0)
    assert (exit_code, done.hub.spool_blocking_age) == (0, 0)
    assert "are kept for finishing what is there: make room; nobody gets a message that comes" in hub.said()
    assert " s for the disk" in hub.said()


def test_a_hub_on_a_full_disk_can_be_stopped_and_says_what_is_lost(tmp_path: Path, bus: Bus, disk: SmallDisk) -> None:
    with hub_on(bus, tmp_path, toml="[hub]\ndrain_timeout = 0.5\n" + spool(tmp_path) + gate(tmp_path)) as hub:
        for number in range(15_000):
            bus.publish(TOPIC, {"msg_id": str(number), "msg": "x" * 2000})
        hub.wait_until(lambda s: s.hub.spool_blocking_age, "the disk to be full")
        hub.stop()

    gone = hub.snapshot().consumer("Gate")
    assert 0 < gone.dropped == gone.enqueued - gone.backlog - gone.in_flight
    assert "messages are lost, for the disk did not take them" in hub.said()
