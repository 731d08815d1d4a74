# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the hub publishes reaches those who subscribe."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import zmq

from glasshub.errors import PublishError
from glasshub.publisher import Publisher

from ..fakes import PATIENCE, wait_until

HELLO = [b"hello", b"{}"]


@contextmanager
def subscriber(endpoint: str, *, held: int = 0) -> Iterator[zmq.Socket[bytes]]:
    """Who hears everything, and holds so many messages itself; 0 is no bound."""
    with zmq.Context() as context, context.socket(zmq.SUB) as found:
        found.setsockopt(zmq.RCVHWM, held)
        found.setsockopt(zmq.SUBSCRIBE, b"")
        found.connect(endpoint)
        yield found


def greet(publisher: Publisher, *listeners: zmq.Socket[bytes]) -> None:
    """Publish until everybody has heard it; nothing of it is left in their sockets."""

    def is_heard() -> bool:
        publisher.publish(*HELLO)
        return all(listener.poll(20) for listener in listeners)

    wait_until(is_heard, "everybody to hear it")
    publisher.publish(b"the last one")
    for listener in listeners:
        while received(listener) != [b"the last one"]:
            pass


def received(listener: zmq.Socket[bytes]) -> list[bytes]:
    """The next message."""
    assert listener.poll(round(PATIENCE * 1000)), "no message"
    return listener.recv_multipart()


def test_a_message_is_published_at_every_endpoint(tmp_path: Path) -> None:
    endpoints = [f"ipc://{tmp_path}/one", f"ipc://{tmp_path}/two"]
    with closing(Publisher(endpoints)) as publisher, subscriber(endpoints[0]) as one, subscriber(endpoints[1]) as two:
        greet(publisher, one, two)

        publisher.publish(b"org.topic", b"body")

        assert received(one) == [b"org.topic", b"body"]
        assert received(two) == [b"org.topic", b"body"]


def test_threads_that_publish_at_once_do_not_mix_their_messages(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/socket"
    each = 2000
    with closing(Publisher([endpoint])) as publisher, subscriber(endpoint) as listener:
        greet(publisher, listener)

        threads = [threading.Thread(target=say, args=[publisher, name, each]) for name in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        heard = [received(listener) for _ in range(3 * each)]
        for thread in threads:
            thread.join()

    for name in (b"a", b"b", b"c"):
        assert [parts for parts in heard if parts[0] == name] == [[name, b"%d" % n, name] for n in range(each)]


def say(publisher: Publisher, name: bytes, count: int) -> None:
    """Publish messages of three parts that tell who sent them."""
    for number in range(count):
        publisher.publish(name, b"%d" % number, name)


def test_what_was_published_before_it_closed_is_sent(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/socket"
    publisher = Publisher([endpoint])
    with subscriber(endpoint) as listener:
        greet(publisher, listener)
        for number in range(50):
            publisher.publish(b"%d" % number, b"x" * 1_000_000)
        publisher.close()

        assert [received(listener)[0] for _ in range(50)] == [b"%d" % number for number in range(50)]


def test_a_closed_publisher_publishes_nothing_and_gives_the_endpoint_back(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/socket"
    publisher = Publisher([endpoint])
    publisher.close()
    publisher.publish(b"a")
    publisher.close()

    with closing(Publisher([endpoint])) as successor, subscriber(endpoint) as listener:
        greet(successor, listener)


def test_a_subscriber_that_fetches_nothing_costs_no_more_than_the_high_water_mark(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/socket"
    with closing(Publisher([endpoint], high_water_mark=3)) as publisher, subscriber(endpoint, held=1) as idle:
        greet(publisher, idle)

        for _ in range(100):
            publisher.publish(b"big", b"x" * 1_000_000)

        held = 0
        while idle.poll(500):
            held += idle.recv_multipart()[0] == b"big"

    assert 0 < held < 20


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_the_socket_has_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    with closing(Publisher([f"ipc://{tmp_path}/socket"], mode=mode)):
        found = (tmp_path / "socket").stat().st_mode

    assert stat.S_IMODE(found) == mode


def test_without_a_mode_the_umask_decides(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with closing(Publisher([f"ipc://{tmp_path}/socket"])):
            found = (tmp_path / "socket").stat().st_mode
    finally:
        os.umask(before)

    assert stat.S_IMODE(found) == 0o750


def test_a_mode_is_nothing_to_an_endpoint_without_a_file() -> None:
    Publisher(["tcp://127.0.0.1:*"], mode=0o600).close()


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("nonsense", "Invalid argument"),
        ("smtp://127.0.0.1:25", "Protocol not supported"),
        ("ipc:///no/such/directory/socket", "No such file or directory"),
        ("tcp://192.0.2.1:4000", "Cannot assign requested address"),
    ],
)
def test_what_is_no_endpoint_of_ours_is_an_error_that_names_it(endpoint: str, complaint: str) -> None:
    with pytest.raises(PublishError, match=f"cannot publish at '{endpoint}': {complaint}"):
        Publisher([endpoint])


def test_an_endpoint_that_is_taken_is_an_error_and_the_others_are_given_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as one:
        taken, free = (f"tcp://127.0.0.1:{place.getsockname()[1]}" for place in (other, one))
        one.close()

        with pytest.raises(PublishError, match=f"cannot publish at '{taken}': Address already in use") as caught:
            Publisher([free, taken])

    Publisher([free]).close()  # although the error, with all that its traceback holds, is still there
    assert caught.value.__cause__ is not None
