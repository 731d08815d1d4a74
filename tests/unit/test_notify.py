# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service manager is told what is so, when it is due, and never at the hub's expense."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from glasshub.notify import ManagerNotifier, Notifier, Status, Watchdog, from_environment
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.stats import Outcome

from ..fakes import FakeClock
from ..service_manager import ServiceManager, manager_at
from .segments import live_segment, tell

SECOND = 1_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[SegmentWriter]:
    with live_segment(tmp_path / "h.stats") as writer:
        yield writer


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with manager_at(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def notifier(manager: ServiceManager, clock: FakeClock) -> Iterator[ManagerNotifier]:
    one = ManagerNotifier(manager.address, watchdog_timeout=30.0, clock=clock)
    yield one
    one.close()


def texts(manager: ServiceManager) -> list[str]:
    """What was heard so far, without the lines of status, which have tests of their own."""
    return [name for notice in manager.hear() for name in notice.lines if name != "STATUS"]


def fill(manager: ServiceManager) -> None:
    """Have no room in the manager's socket for anything more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
        other.setblocking(False)
        while True:
            other.sendto(b"X=1", manager.address)


def wait(writer: SegmentWriter, consumer: int, *, count: int, age: float) -> None:
    """Have messages wait for a consumer, the first of them for so many seconds."""
    writer.consumers[consumer].enqueued(count)
    writer.consumers[consumer].put(count, time.monotonic_ns() - int(age * SECOND))


def work(writer: SegmentWriter, consumer: int, *, age: float) -> None:
    """Have a consumer be at a message for so many seconds."""
    began_ns = time.monotonic_ns() - int(age * SECOND)
    writer.consumers[consumer].enqueued(1)
    writer.workers[consumer][0].began(began_ns, began_ns, 0)


def test_without_a_service_manager_nobody_is_told_anything(segment: SegmentWriter) -> None:
    environment = {"PATH": "/bin", "WATCHDOG_USEC": "1000000"}

    notifier = from_environment(environment)
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.beat(segment)
    notifier.close()

    assert type(notifier) is Notifier
    assert environment == {"PATH": "/bin"}


def test_what_is_meant_for_the_hub_does_not_stay_in_the_environment(manager: ServiceManager) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}

    from_environment(environment).close()

    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("address", ["{}/notify", "{}/not@fy", "@{}/notify"])
def test_a_manager_is_told_at_a_path_and_at_an_abstract_name(tmp_path: Path, address: str) -> None:
    with manager_at(address.format(tmp_path)) as manager:
        notifier = from_environment({"NOTIFY_SOCKET": manager.address})
        notifier.ready()
        notifier.close()

        (notice,) = manager.hear()

    assert notice.lines == {"READY": "1"}
    assert notice.pid == os.getpid()


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative/path", "nonsense"])
def test_an_address_that_is_none_is_named_and_costs_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = from_environment({"NOTIFY_SOCKET": address})

    assert type(notifier) is Notifier
    assert f"NOTIFY_SOCKET={address!r} is neither a path nor @name" in caplog.text


@pytest.mark.parametrize("breakage", ["nothing is there", "nobody listens", "not a socket", "the path is too long"])
def test_a_socket_that_is_broken_is_logged_once(
    tmp_path: Path, segment: SegmentWriter, clock: FakeClock, caplog: pytest.LogCaptureFixture, breakage: str
) -> None:
    path = tmp_path / ("notify" * (50 if breakage == "the path is too long" else 1))
    if breakage == "nobody listens":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(path))
    elif breakage == "not a socket":
        path.touch()
    notifier = ManagerNotifier(str(path), watchdog_timeout=2.0, clock=clock)

    notifier.ready()
    for _ in range(20):
        clock.advance(1.0)
        segment.enqueuer.beat(time.monotonic_ns())
        notifier.beat(segment)
    notifier.stopping()
    notifier.close()

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"cannot tell the service manager at {path}: ")


def test_a_socket_that_breaks_again_is_logged_again(
    tmp_path: Path, notifier: ManagerNotifier, manager: ServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    moved = tmp_path / "moved"
    for _ in range(2):
        os.rename(manager.address, moved)
        notifier.ready()
        os.rename(moved, manager.address)
        notifier.ready()

    assert len(caplog.records) == 2


def test_what_must_arrive_arrives_once_the_manager_is_there(
    tmp_path: Path, segment: SegmentWriter, clock: FakeClock
) -> None:
    notifier = ManagerNotifier(str(tmp_path / "late"), clock=clock)
    notifier.ready()
    notifier.beat(segment)

    with manager_at(tmp_path / "late") as manager:
        notifier.beat(segment)
        notifier.beat(segment)
        notifier.close()

        assert texts(manager) == ["READY"]


def test_a_manager_that_does_not_listen_blocks_nobody_and_hears_what_matters_later_in_order(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, caplog: pytest.LogCaptureFixture
) -> None:
    fill(manager)

    notifier.ready()
    notifier.beat(segment)
    notifier.reloading()
    notifier.ready()
    ignored = len(manager.hear())
    notifier.beat(segment)

    assert texts(manager)[ignored:] == ["READY", "RELOADING", "MONOTONIC_USEC", "READY"]
    assert not caplog.records


def test_a_sign_of_life_that_found_no_room_is_repeated_at_once(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, clock: FakeClock
) -> None:
    clock.advance(15.0)
    fill(manager)
    notifier.beat(segment)
    ignored = len(manager.hear())

    notifier.beat(segment)

    assert texts(manager)[ignored:] == ["WATCHDOG"]


def test_a_sign_of_life_is_due_at_half_of_the_managers_time_and_again_after_each_half(clock: FakeClock) -> None:
    watchdog = Watchdog(30.0, clock=clock)
    due = []

    for second in range(1, 61):
        clock.advance(1.0)
        if watchdog.is_due(second):
            watchdog.fed(second)
            due.append(second)

    assert due == [15, 30, 45, 60]


def test_no_sign_of_life_is_due_while_the_enqueuers_heartbeat_stands_still(clock: FakeClock) -> None:
    watchdog = Watchdog(30.0, clock=clock)
    clock.advance(15.0)
    watchdog.fed(7)

    for _ in range(1000):
        clock.advance(1.0)

        assert not watchdog.is_due(7)


def test_a_sign_of_life_is_due_as_soon_as_a_late_heartbeat_moves(clock: FakeClock) -> None:
    watchdog = Watchdog(30.0, clock=clock)
    clock.advance(15.0)
    watchdog.fed(7)
    clock.advance(29.0)

    assert not watchdog.is_due(7)
    assert watchdog.is_due(8)


def test_an_enqueuer_that_has_never_gone_round_gives_no_sign_of_life(clock: FakeClock) -> None:
    watchdog = Watchdog(30.0, clock=clock)
    clock.advance(100.0)

    assert not watchdog.is_due(0)


def test_the_segment_tells_the_watchdog_of_the_enqueuer(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, clock: FakeClock
) -> None:
    found = []
    for heartbeat_ns in (1, 1, 1, 2, 2, 3):
        clock.advance(15.0)
        segment.enqueuer.beat(heartbeat_ns)
        notifier.beat(segment)
        found.append(texts(manager).count("WATCHDOG"))

    assert found == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("microseconds", "pid", "signs"),
    [
        ("30000000", "", [15.0, 30.0]),
        pytest.param("20000000", str(os.getpid()), [10.0, 20.0, 30.0], id="our own"),
        ("30000000", "1", []),
        ("", "", []),
        ("9" * 5000, "", []),
    ],
)
def test_the_manager_says_whose_signs_of_life_it_wants_and_how_often(
    manager: ServiceManager,
    segment: SegmentWriter,
    clock: FakeClock,
    microseconds: str,
    pid: str,
    signs: list[float],
) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}
    notifier = from_environment(environment, clock=clock)
    found = []

    for beat in range(60):
        clock.advance(0.5)
        segment.enqueuer.beat(beat + 1)
        notifier.beat(segment)
        if "WATCHDOG" in texts(manager):
            found.append((beat + 1) / 2)
        manager.heard.clear()
    notifier.close()

    assert found == signs


@pytest.mark.parametrize("microseconds", ["0", "-1", "1.5", "soon", "²"])
def test_a_time_that_is_none_is_named_and_there_is_no_watchdog(
    manager: ServiceManager,
    segment: SegmentWriter,
    caplog: pytest.LogCaptureFixture,
    microseconds: str,
) -> None:
    notifier = from_environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": microseconds})
    notifier.beat(segment)
    notifier.close()

    assert f"WATCHDOG_USEC={microseconds!r} is no number of microseconds" in caplog.text
    assert texts(manager) == []


def test_a_reload_says_when_it_began(manager: ServiceManager, notifier: ManagerNotifier) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    notifier.reloading()

    (notice,) = manager.hear()
    assert notice.lines["RELOADING"] == "1"
    assert before <= int(notice.lines["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_the_status_is_renewed_every_five_seconds_and_not_with_each_beat(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, clock: FakeClock
) -> None:
    for _ in range(40):
        notifier.beat(segment)
        clock.advance(0.5)

    assert sum("STATUS" in notice for notice in manager.hear()) == 4


def test_a_hub_that_drains_asks_for_time_again_and_again_and_gives_no_signs_of_life(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, clock: FakeClock
) -> None:
    notifier.beat(segment)
    manager.hear()
    manager.heard.clear()

    notifier.stopping()
    segment.phase("draining")
    for _ in range(40):
        segment.enqueuer.beat(time.monotonic_ns())
        notifier.beat(segment)
        clock.advance(0.5)

    first, *others = manager.hear()
    assert first.lines == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "15000000"}
    assert [notice.lines["EXTEND_TIMEOUT_USEC"] for notice in others] == ["15000000"] * 4
    assert all(notice.status.startswith("draining: ") for notice in others)


def test_a_hub_that_is_not_behind_says_so(segment: SegmentWriter) -> None:
    work(segment, 0, age=0.1)

    assert Status().of(segment.path) == "running: 0 messages waiting"


def test_the_slowest_consumer_is_the_one_whose_oldest_message_is_oldest(segment: SegmentWriter) -> None:
    wait(segment, 0, count=100, age=60)
    wait(segment, 1, count=3, age=200)

    assert Status().of(segment.path) == (
        "running: 103 messages waiting; slowest is badges: 3 waiting, the oldest for 3m20s, does not catch up"
    )


def test_a_consumer_that_sits_on_one_message_is_slower_than_one_whose_messages_wait_less(
    segment: SegmentWriter,
) -> None:
    wait(segment, 0, count=100, age=60)
    work(segment, 1, age=200)

    assert Status().of(segment.path) == ("running: 100 messages waiting; slowest is badges: at one message for 3m20s")


def test_the_catch_up_time_is_that_of_the_time_since_the_line_before(segment: SegmentWriter) -> None:
    wait(segment, 0, count=1000, age=60)
    status = Status()
    status.of(segment.path)
    for _ in range(999):
        segment.workers[0][0].turned(Outcome.PROCESSED, time.monotonic_ns(), 1, 1)

    assert ": 1 waiting, the oldest for 1m00s, catches up in " in status.of(segment.path)


def test_what_waits_on_a_broker_is_told_with_the_rest(segment: SegmentWriter) -> None:
    wait(segment, 0, count=12, age=60)
    tell(segment, ready=900)
    known = Status().of(segment.path)
    tell(segment, asked_ns=0)

    lost = Status().of(segment.path)

    assert known == (
        "running: 912 messages waiting, 900 of them on the broker; slowest is datanommer: 912 waiting, 900 of them on "
        "the broker, the oldest for 1m00s"
    )
    assert lost.startswith("running: 12 messages waiting, and nobody knows how many on the broker; slowest is ")


def test_a_consumers_name_cannot_smuggle_anything_in(tmp_path: Path) -> None:
    with live_segment(tmp_path / "x.stats", [ConsumerRow("evil\nWATCHDOG=trigger", 1, True)]) as writer:
        wait(writer, 0, count=1, age=10)

        assert "slowest is evil?WATCHDOG=trigger: 1 waiting" in Status().of(writer.path)


def test_a_segment_that_is_gone_shows_in_the_status_and_harms_nobody(
    manager: ServiceManager, notifier: ManagerNotifier, segment: SegmentWriter, clock: FakeClock
) -> None:
    segment.path.unlink()
    clock.advance(15.0)

    notifier.beat(segment)

    assert texts(manager) == ["WATCHDOG"]
    assert manager.heard[-1].status.startswith("nothing is known of the backlog: ")


def test_a_path_that_is_not_utf8_shows_in_the_status_and_harms_nobody(
    tmp_path: Path, manager: ServiceManager, notifier: ManagerNotifier
) -> None:
    with live_segment(tmp_path / "not\udcffutf8\n.stats") as writer:
        writer.path.unlink()

        notifier.beat(writer)

    assert "nothing is known of the backlog: " in manager.hear()[-1].status
