# SPDX-License-Identifier: LGPL-2.1-or-later
"""The source on real sockets: who subscribes to what while it runs, who connects to whom, and who wakes it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from glasshub.config import ZmqSection
from glasshub.errors import SourceError
from glasshub.gaps import Gap
from glasshub.routing import Router
from glasshub.sources.zmq import ZmqSource

from ..fakes import PATIENCE

LIMIT = 100


def router(*prefixes: bytes) -> Router:
    return Router([[prefix.decode() for prefix in prefixes]])


@contextmanager
def opened(*prefixes: bytes, **options: object) -> Iterator[ZmqSource]:
    source = ZmqSource(ZmqSection(**options))  # type: ignore[arg-type]  # any of its fields
    source.open(router(*prefixes))
    try:
        yield source
    finally:
        source.finish()


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    one = zmq.Context()
    yield one
    one.destroy(linger=0)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/bus"


@pytest.fixture
def bus(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """A publisher that hears of each subscription."""
    publisher = context.socket(zmq.XPUB)
    publisher.rcvtimeo = round(PATIENCE * 1000)
    publisher.bind(endpoint)
    return publisher


def topics(source: ZmqSource, count: int) -> list[bytes]:
    """The topics of the next messages."""
    found: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        found += [frame.topic for frame in source.receive(0.1, LIMIT).frames]
    return found


def publish(bus: zmq.Socket[bytes], *names: str) -> None:
    for name in names:
        bus.send_multipart([name.encode(), b"{}"])


def test_subscriptions_change_while_it_runs(bus: zmq.Socket[bytes], endpoint: str) -> None:
    with opened(b"org.a", b"org.b", endpoints=(endpoint,)) as source:
        heard = {bus.recv(), bus.recv()}

        source.subscribe(router(b"org.b", b"org.c"))
        changes = [bus.recv(), bus.recv()]
        publish(bus, "org.a", "org.b", "org.c", "org.d", "org.b.end")

        assert heard == {b"\1org.a", b"\1org.b"}
        assert changes == [b"\1org.c", b"\0org.a"]
        assert topics(source, 3) == [b"org.b", b"org.c", b"org.b.end"]


def test_a_prefix_that_stays_is_never_without_a_subscription(bus: zmq.Socket[bytes], endpoint: str) -> None:
    """It is not taken back and given again."""
    with opened(b"org.a", endpoints=(endpoint,)) as source:
        bus.recv()

        source.subscribe(router(b"org.a"))
        source.subscribe(router(b"org.a", b"com"))

        assert bus.recv() == b"\1com"


def test_what_was_wanted_more_than_once_can_be_given_up_at_once(bus: zmq.Socket[bytes], endpoint: str) -> None:
    """Libzmq counts how often somebody has subscribed."""
    with opened(b"org.a", endpoints=(endpoint,)) as source:
        bus.recv()

        source.subscribe(router(b"org.a"))
        source.subscribe(router())

        assert bus.recv() == b"\0org.a"


def test_whoever_wakes_it_ends_the_wait(bus: zmq.Socket[bytes], endpoint: str) -> None:
    with opened(b"", endpoints=(endpoint,)) as source:
        thread = threading.Thread(target=source.wake)
        began = time.monotonic()
        thread.start()

        batch = source.receive(PATIENCE, LIMIT)
        thread.join()

        assert (batch.frames, batch.malformed) == ([], 0)
        assert time.monotonic() - began < PATIENCE / 2


def test_a_wakening_ends_one_wait_and_not_all_that_follow(bus: zmq.Socket[bytes], endpoint: str) -> None:
    with opened(b"", endpoints=(endpoint,)) as source:
        bus.recv()
        source.state()  # a connection would end the wait, too
        for _ in range(10):
            source.wake()
        source.receive(PATIENCE, LIMIT)
        began = time.monotonic()
        source.receive(0.05, LIMIT)

        assert time.monotonic() - began >= 0.04


def test_a_message_that_came_before_the_wakening_is_received(bus: zmq.Socket[bytes], endpoint: str) -> None:
    with opened(b"", endpoints=(endpoint,)) as source:
        bus.recv()
        source.wake()
        publish(bus, "org.a")

        assert topics(source, 1) == [b"org.a"]


def test_the_first_connection_is_no_gap_and_neither_is_an_endpoint_that_never_was_there(
    bus: zmq.Socket[bytes], endpoint: str, tmp_path: Path
) -> None:
    with opened(b"", endpoints=(endpoint, f"ipc://{tmp_path}/never")) as source:
        gaps = [*gaps_until(source, lambda: source.state().connected == 1), *source.receive(0.1, LIMIT).gaps]
        state = source.state()

    assert gaps == []
    assert (state.endpoints, state.connected, state.disconnects, state.lost, state.lost_ns) == (2, 1, 0, 0, 0)


def test_an_endpoint_that_was_lost_and_is_back_is_a_gap_once(
    bus: zmq.Socket[bytes], endpoint: str, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with opened(b"", endpoints=(endpoint,)) as source:
        gaps_until(source, lambda: source.state().connected == 1)
        good_ns = time.monotonic_ns()
        source.state()
        context.destroy(linger=0)  # unlike its socket's close(), this returns when it is gone
        early = gaps_until(source, lambda: source.state().lost == 1)
        lost = source.state()
        opened_ns, opened_at = time.monotonic_ns(), time.time()
        with successor_at(endpoint):
            (gap,) = gaps_until(source, lambda: source.state().lost == 0)
            after = source.receive(0.1, LIMIT).gaps

    assert early == []
    assert (lost.connected, lost.disconnects, lost.lost_ns) == (0, 1, gap.lost_ns)
    assert (gap.endpoint, list(after)) == (endpoint, [])
    assert good_ns <= gap.lost_ns < opened_ns < gap.found_ns <= time.monotonic_ns()
    assert opened_at < gap.until <= time.time()
    assert gap.until - gap.since == pytest.approx(gap.seconds, abs=0.001)
    assert gap.seconds == (gap.found_ns - gap.lost_ns) / 1e9


def test_a_gap_begins_when_the_connection_was_last_known_to_be_good(
    bus: zmq.Socket[bytes], endpoint: str, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    """Nobody looked while a consumer was at a long message; and libzmq does not subscribe anew before somebody does."""
    with opened(b"", endpoints=(endpoint,)) as source:
        gaps_until(source, lambda: source.state().connected == 1)
        looked_ns = time.monotonic_ns()
        context.destroy(linger=0)
        with successor_at(endpoint) as successor:
            assert successor.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED).poll(round(PATIENCE * 1000))
            back_ns = time.monotonic_ns()
            (gap,) = gaps_until(source, lambda: source.state().disconnects == 1 and source.state().lost == 0)

    assert gap.lost_ns <= looked_ns < back_ns < gap.found_ns


@contextmanager
def successor_at(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A publisher in the place of one that has gone."""
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.bind(endpoint)
    try:
        yield publisher
    finally:
        context.destroy(linger=0)


def gaps_until(source: ZmqSource, holds: Callable[[], bool]) -> list[Gap]:
    """The gaps that it tells of until that holds, and once more."""
    found: list[Gap] = []
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        found += source.receive(0.01, LIMIT).gaps
    return [*found, *source.receive(0, LIMIT).gaps]


def test_to_wake_it_after_the_end_does_nothing(endpoint: str) -> None:
    with opened(b"", endpoints=(endpoint,)) as source:
        pass

    source.wake()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "*"])
def test_publishers_connect_to_one_that_binds(context: zmq.Context[zmq.Socket[bytes]], host: str) -> None:
    port = free_port()
    with opened(b"org.", method="bind", endpoints=(f"tcp://{host}:{port}",)) as source:
        publishers = [context.socket(zmq.XPUB) for _ in range(2)]
        for publisher in publishers:
            publisher.connect(f"tcp://127.0.0.1:{port}")
            wait_for_subscription(publisher, source)
        publish(publishers[0], "org.first")
        first = topics(source, 1)
        publish(publishers[1], "org.second")

        assert [*first, *topics(source, 1)] == [b"org.first", b"org.second"]


def test_one_that_binds_is_connected_as_long_as_it_is_bound(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str
) -> None:
    """Publishers come and go: that is no disconnection."""
    with opened(b"", method="bind", endpoints=(endpoint,)) as source:
        publisher = context.socket(zmq.XPUB)
        publisher.connect(endpoint)
        wait_for_subscription(publisher, source)
        publisher.close(linger=0)
        source.receive(0.1, LIMIT)
        state = source.state()

    assert (state.endpoints, state.connected, state.disconnects) == (1, 1, 0)


@pytest.mark.parametrize("named", ["tcp://127.0.0.1:1", "no endpoint", "tcp://no.such.host.invalid:4000"])
def test_what_cannot_be_bound_is_an_error_that_says_so(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = zmq.Context()
    holder = taken.socket(zmq.PUB)
    port = holder.bind_to_random_port("tcp://127.0.0.1")
    endpoint = named.replace("127.0.0.1:1", f"127.0.0.1:{port}")
    try:
        with (
            pytest.raises(SourceError, match=r"^\[zmq\] endpoints: cannot bind to '.*': .*: an endpoint looks like"),
            opened(b"", method="bind", endpoints=(endpoint,)),
        ):
            raise NotImplementedError
    finally:
        taken.destroy(linger=0)


def wait_for_subscription(publisher: zmq.Socket[bytes], source: ZmqSource) -> None:
    """Libzmq greets who has connected when the one that has bound looks for messages."""
    deadline = time.monotonic() + PATIENCE
    while not publisher.poll(10):
        assert time.monotonic() < deadline, "nobody has subscribed"
        source.receive(0, LIMIT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
