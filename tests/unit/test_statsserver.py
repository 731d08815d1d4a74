# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stats socket, with real sockets and clients of every kind."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import random
import re
import resource
import select
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasshub import segment, statsserver
from glasshub.config import StatsSection
from glasshub.errors import StatsDirectoryError, StatsPortError
from glasshub.segment import ConsumerRow
from glasshub.statsserver import HEALTH_PAGES, PAGES, THREAD_NAME, PortPlace, SocketPlace, StatsServer
from glasshub.webserver import Limits
from glasshub_stats import read
from glasshub_stats.render import as_dict

from ..descriptors import descriptors
from ..needs import program
from .segments import ROWS, live_segment, work

#: Nothing below waits that long unless it fails.
PATIENCE = 20.0
GET_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"


class Hub:
    """A live segment and a server beside it."""

    def __init__(self, directory: Path, limits: Limits | None = None) -> None:
        self.segment = directory / "hub.stats"
        self.socket = directory / "hub.sock"
        self.server = StatsServer(SocketPlace(self.socket, 0o600), self.segment, limits=limits)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        try:
            client.connect(str(self.socket))
        except BaseException:
            client.close()
            raise
        return client

    def ask(self, request: bytes = GET_HEALTH) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a connection of its own; the answer's status, headers and body."""
        with self.connect() as client:
            client.sendall(request)
            return answer_on(client)

    def get(self, page: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask(f"GET {page} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())


def answer_on(client: socket.socket, *, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    response = HTTPResponse(client, method=method)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def is_ended(client: socket.socket) -> bool:
    """Wait for the server to end the connection, without a further answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def has_hung_up(client: socket.socket, *, seconds: float = PATIENCE) -> bool:
    """Whether the server has ended the connection, or does so in this time; reads nothing."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(seconds * 1000))


@contextlib.contextmanager
def serving(directory: Path, limits: Limits | None = None) -> Iterator[Hub]:
    hub = Hub(directory, limits)
    with live_segment(hub.segment) as writer:
        work(writer, 0, enqueued=10, processed=8)
        hub.server.start()
        try:
            yield hub
        finally:
            hub.server.close()


def server_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path) as hub:
        yield hub


class Seen(logging.Handler):
    """Keeps what the server logs, and can be waited for."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.event.set()


@pytest.fixture
def seen() -> Iterator[Seen]:
    handler = Seen()
    statsserver.logger.addHandler(handler)
    yield handler
    statsserver.logger.removeHandler(handler)


# Pages


@pytest.mark.parametrize(
    ("page", "content_type", "part"),
    [
        ("/stats.json", "application/json", '"name": "datanommer"'),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
        ("/healthz", "text/plain; charset=utf-8", "running\n"),
        ("/live", "application/json", '{"status": "OK"}\n'),
        ("/ready", "application/json", '"consuming": true'),
    ],
)
def test_curl_gets_the_page(hub: Hub, page: str, content_type: str, part: str) -> None:
    curl = program("curl")

    told = subprocess.run(
        [curl, "-sSf", "--unix-socket", str(hub.socket), "--write-out", "%{content_type}", f"http://hub{page}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout

    assert part in told
    assert told.endswith(content_type)


def test_stats_json_is_the_snapshot_that_every_reader_gets(hub: Hub) -> None:
    status, _, body = hub.get("/stats.json")

    told, own = json.loads(body), as_dict(read(str(hub.segment)))
    assert status == 200
    assert told["consumers"][0]["enqueued"] == 10
    assert [told[key] for key in ("path", "pid", "generation")] == [own[key] for key in ("path", "pid", "generation")]
    assert [c["processing"] for c in told["consumers"]] == [c["processing"] for c in own["consumers"]]


def test_index_names_the_pages(hub: Hub) -> None:
    status, headers, body = hub.get("/")

    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert all(page.encode() in body for page in PAGES)


@pytest.mark.parametrize(("phase", "words"), [("running", b"down\n"), ("stopped", b"stopped\n")])
def test_health_of_a_hub_that_is_gone_is_503_with_the_word(tmp_path: Path, phase: str, words: bytes) -> None:
    with serving(tmp_path) as hub:
        with live_segment(hub.segment, phase=phase):
            pass

        status, _, body = hub.get("/healthz")

    assert (status, body) == (503, words)


@pytest.mark.parametrize("page", PAGES)
def test_segment_that_cannot_be_read_is_503_with_the_reason(hub: Hub, page: str) -> None:
    hub.segment.write_bytes(b"GLASSHUB, or what is left of it")

    status, _, body = hub.get(page)

    assert status == 503
    assert b"cut short" in body


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (b"GET /nothing HTTP/1.1", 404),
        (b"GET /metrics/ HTTP/1.1", 404),
        (b"GET ../../etc/passwd HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"OPTIONS * HTTP/1.1", 405),
        (b"GET /metrics", 400),
        (b"GET  /metrics HTTP/1.1", 400),
        (b"GET /metrics HTTP/2.0", 400),
        (b"hello", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_not_served_is_refused_with_a_sentence(hub: Hub, request_line: bytes, expected: int) -> None:
    status, _, body = hub.ask(request_line + b"\r\n\r\n")

    assert status == expected
    assert len(body) > 20
    assert body.endswith(b"\n")


def test_refused_method_comes_with_those_that_are_allowed(hub: Hub) -> None:
    _, headers, _ = hub.ask(b"DELETE /metrics HTTP/1.1\r\n\r\n")

    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "target", ["/healthz", "/healthz?verbose=1", "http://hub/healthz", "HTTP://hub:80/healthz?x=http://y/"]
)
def test_target_may_have_an_origin_and_a_query(hub: Hub, target: str) -> None:
    status, _, body = hub.get(target)

    assert (status, body) == (200, b"running\n")


def test_lines_may_end_without_carriage_return(hub: Hub) -> None:
    status, headers, _ = hub.ask(b"\n\nGET /healthz HTTP/1.0\n\n")

    assert (status, headers["connection"]) == (200, "close")


def test_head_has_the_headers_of_get_and_no_body(hub: Hub) -> None:
    with hub.connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\n\r\n")
        status, headers, body = answer_on(client, method="HEAD")
        client.sendall(GET_HEALTH)
        following = answer_on(client)

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) == len(hub.get("/")[2])
    assert following[0] == 200


# Connections


def test_client_may_keep_its_connection(hub: Hub) -> None:
    with hub.connect() as client:
        answers = []
        for _ in range(3):
            client.sendall(GET_HEALTH)
            answers.append(answer_on(client))

    assert [(status, headers["connection"]) for status, headers, _ in answers] == [(200, "keep-alive")] * 3


def test_requests_that_come_at_once_are_answered_in_turn(hub: Hub) -> None:
    with hub.connect() as client:
        client.sendall(GET_HEALTH + b"GET /nothing HTTP/1.1\r\n\r\n" + b"GET /healthz HTTP/1.0\r\n\r\n")
        told = client.makefile("rb").read()

    assert re.findall(rb"HTTP/1.1 \d+", told) == [b"HTTP/1.1 200", b"HTTP/1.1 404", b"HTTP/1.1 200"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_connection_ends_where_the_client_wants_it_or_a_body_would_follow(hub: Hub, request_: bytes) -> None:
    with hub.connect() as client:
        client.sendall(request_)
        status, headers, _ = answer_on(client)

        assert (status, headers["connection"]) == (200, "close")
        assert is_ended(client)


def test_client_that_has_said_all_it_will_say_is_answered(hub: Hub) -> None:
    with hub.connect() as client:
        client.sendall(GET_HEALTH)
        client.shutdown(socket.SHUT_WR)

        assert answer_on(client)[0] == 200
        assert is_ended(client)


@pytest.mark.parametrize("part", [b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: hub\r\n"])
def test_request_that_breaks_off_is_refused(hub: Hub, part: bytes) -> None:
    with hub.connect() as client:
        client.sendall(part)
        client.shutdown(socket.SHUT_WR)

        assert answer_on(client)[0] == 400


# Those who are slow, silent or hostile


def test_silent_client_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(request_time=0.05)) as hub, hub.connect() as silent:
        assert is_ended(silent)
        assert hub.ask()[0] == 200


def test_client_that_trickles_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    """Its time is for the whole request, not from byte to byte."""
    with serving(tmp_path, Limits(request_time=0.1)) as hub, hub.connect() as slow:
        start = time.monotonic()
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        with contextlib.suppress(BrokenPipeError):
            while not has_hung_up(slow, seconds=0.01):
                slow.sendall(b"y")

        assert is_ended(slow)
        assert time.monotonic() - start < PATIENCE / 2


def test_idle_client_that_was_answered_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(request_time=0.2)) as hub, hub.connect() as client:
        client.sendall(GET_HEALTH)
        assert answer_on(client)[0] == 200

        assert is_ended(client)


def test_silent_clients_do_not_delay_another(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(hub.connect()).sendall(b"GET /he")

        assert hub.ask()[0] == 200


def test_client_that_sends_byte_by_byte_is_answered(hub: Hub) -> None:
    with hub.connect() as slow:
        for byte in GET_HEALTH:
            slow.sendall(bytes([byte]))

        assert answer_on(slow)[0] == 200


def test_client_that_stops_reading_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    hub = Hub(tmp_path, Limits(answer_time=0.1))
    with live_segment(hub.segment, [ConsumerRow(f"consumer-{i}", 1, True) for i in range(300)]):
        hub.server.start()
        with hub.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            told = client.recv(1000)

            assert hub.ask()[0] == 200
            assert has_hung_up(client)
            with contextlib.suppress(ConnectionResetError):
                while piece := client.recv(1 << 20):
                    told += piece
        whole = hub.get("/metrics")[2]
        hub.server.close()

    assert told.startswith(b"HTTP/1.1 200 OK")
    assert len(told) < len(whole)


def test_large_answer_arrives_whole_before_the_connection_ends(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    with live_segment(hub.segment, [ConsumerRow(f"consumer-{i}", 1, True) for i in range(300)]):
        hub.server.start()
        with hub.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            told = client.makefile("rb").read()
        hub.server.close()

    assert len(told) > 1_000_000  # more than the system keeps for a socket
    assert told.endswith(b"# EOF\n")


def test_200_clients_at_once_are_all_answered(hub: Hub) -> None:
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(200):
            client = stack.enter_context(hub.connect())
            client.sendall(b"GET /stats.json HTTP/1.1\r\nConnection: close\r\n\r\n")
            clients.append(client)

        statuses = [answer_on(client)[0] for client in clients]

    assert statuses == [200] * 200


@pytest.mark.parametrize(
    "garbage", [b"A" * (1 << 20), b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000], ids=["line", "headers"]
)
def test_megabyte_of_garbage_is_refused_after_8_kib(hub: Hub, garbage: bytes) -> None:
    with hub.connect() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(garbage)

        status, _, body = answer_on(client)

    assert (status, body) == (400, b"the request is longer than 8192 bytes\n")
    assert hub.ask()[0] == 200


def test_largest_request_that_is_allowed_is_answered(hub: Hub) -> None:
    start, end = b"GET /healthz HTTP/1.1\r\nX: ", b"\r\n\r\n"

    status, _, _ = hub.ask(start + b"y" * (8192 - len(start) - len(end)) + end)

    assert status == 200


def test_binary_garbage_does_not_reach_the_next_client(hub: Hub) -> None:
    noise = random.Random(2014)
    for _ in range(50):
        with hub.connect() as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(noise.randbytes(noise.randrange(1, 20000)))
                client.shutdown(socket.SHUT_WR)
            assert answer_on(client)[0] == 400

    assert hub.ask()[0] == 200


def test_whatever_is_sent_the_answer_is_http_or_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(rate=1e6)) as hub:

        @settings(max_examples=100, deadline=None)
        @given(st.lists(st.sampled_from([b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\n", b"X:", b"\0", b"\xff"])))
        def check(pieces: list[bytes]) -> None:
            with hub.connect() as client:
                client.sendall(b"".join(pieces))
                client.shutdown(socket.SHUT_WR)
                told = client.makefile("rb").read()
            assert told == b"" or told.startswith(b"HTTP/1.1 ")

        check()


def test_client_that_connects_and_goes_leaves_nothing(hub: Hub, seen: Seen) -> None:
    for request_ in (b"", b"GET", b"GET /stats.json HTTP/1.1\r\n\r\n"):
        client = hub.connect()
        client.sendall(request_)
        client.close()

    assert hub.ask()[0] == 200
    assert seen.texts == []


def test_one_client_too_many_evicts_the_oldest(tmp_path: Path, seen: Seen) -> None:
    with serving(tmp_path, Limits(clients=2)) as hub, contextlib.ExitStack() as stack:
        oldest, older, newest = (stack.enter_context(hub.connect()) for _ in range(3))
        newest.sendall(GET_HEALTH)
        older.sendall(GET_HEALTH)

        assert is_ended(oldest)
        assert answer_on(newest)[0] == 200
        assert answer_on(older)[0] == 200

    assert seen.texts == ["the stats server has more than 2 clients: the oldest goes"]


def test_flood_of_evictions_is_one_line_in_the_log(tmp_path: Path, seen: Seen) -> None:
    with serving(tmp_path, Limits(clients=1)) as hub, contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(hub.connect())
        assert hub.ask()[0] == 200

    assert len(seen.texts) == 1


def test_requests_beyond_the_rate_wait_for_their_turn(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(rate=50, burst=1)) as hub, hub.connect() as client:
        start = time.monotonic()
        for _ in range(10):
            client.sendall(GET_HEALTH)
            assert answer_on(client)[0] == 200

    assert time.monotonic() - start >= 9 / 50


def test_pages_that_take_long_to_make_are_served_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks) * 0.01)
    with serving(tmp_path, Limits(rate=1e6, burst=1, share=0.1)) as hub, hub.connect() as client:
        start = time.monotonic()
        for _ in range(3):
            client.sendall(GET_HEALTH)
            assert answer_on(client)[0] == 200

    assert time.monotonic() - start >= 2 * 0.1


def test_process_without_descriptors_says_so_once_and_recovers(tmp_path: Path, seen: Seen) -> None:
    limits = Limits(pause=0.01)
    with serving(tmp_path, limits) as hub, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(number for number, _ in descriptors())
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 1, client.fileno() + 1), hard))
        try:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(OSError):  # fill the gaps below
                    while True:
                        stack.callback(os.close, os.dup(client.fileno()))
                client.connect(str(hub.socket))
                client.sendall(GET_HEALTH)
                assert seen.event.wait(PATIENCE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert answer_on(client)[0] == 200

    assert seen.texts == [f"the stats server cannot accept a client: {os.strerror(errno.EMFILE)}"]


def test_error_of_ours_costs_one_connection_and_is_logged_once(
    hub: Hub, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statsserver, "as_json", lambda snapshot: 1 / 0)
    for _ in range(3):
        with hub.connect() as client:
            client.sendall(b"GET /stats.json HTTP/1.1\r\n\r\n")
            assert is_ended(client)

    assert hub.ask()[0] == 200
    assert len(seen.texts) == 1
    assert "ZeroDivisionError" in seen.texts[0]


# A port


@contextlib.contextmanager
def serving_at_a_port(directory: Path, **more: Any) -> Iterator[tuple[Hub, int]]:
    """A hub with a server of its own at a port; both, and the port."""
    with serving(directory) as hub:
        port = free_port()
        server = StatsServer(PortPlace("127.0.0.1", port), hub.segment, **more)
        server.start()
        try:
            yield hub, port
        finally:
            server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask_port(port: int, page: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(f"GET {page} HTTP/1.1\r\n\r\n".encode())
        status, _, body = answer_on(client)
        return status, body


def test_port_serves_the_pages_that_it_is_given_and_names_them(tmp_path: Path) -> None:
    with serving_at_a_port(tmp_path, pages=HEALTH_PAGES) as (_, port):
        assert [ask_port(port, page)[0] for page in HEALTH_PAGES] == [200, 200, 200]
        assert [ask_port(port, page)[0] for page in ("/metrics", "/stats.json")] == [404, 404]
        assert b"/metrics" not in ask_port(port, "/")[1]


@pytest.mark.parametrize(("port_pages", "status"), [("health", 404), ("all", 200)])
def test_what_is_served_at_the_port_is_as_configured(tmp_path: Path, port_pages: str, status: int) -> None:
    stats = StatsSection(port=free_port(), port_pages=port_pages)
    with live_segment(tmp_path / "hub.stats"), contextlib.ExitStack() as stack:
        for server in statsserver.servers(tmp_path, "hub", stats):
            stack.callback(server.close)
            server.start()

        assert ask_port(stats.port, "/live")[0] == 200
        assert ask_port(stats.port, "/metrics")[0] == status
        assert (tmp_path / "hub.sock").is_socket()


def test_without_a_port_there_is_none(tmp_path: Path) -> None:
    assert len(statsserver.servers(tmp_path, "hub", StatsSection())) == 1


def test_flood_at_the_port_leaves_the_socket_alone(tmp_path: Path) -> None:
    limits = Limits(clients=1, rate=1, burst=1)
    with serving_at_a_port(tmp_path, limits=limits) as (hub, port), contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))

        assert hub.ask()[0] == 200


def test_port_is_free_again_when_the_server_is_closed(tmp_path: Path) -> None:
    before = descriptors()
    with serving_at_a_port(tmp_path) as (hub, port):
        assert ask_port(port, "/live")[0] == 200
        again = StatsServer(PortPlace("127.0.0.1", port), hub.segment)

        with pytest.raises(StatsPortError, match=f"http://127.0.0.1:{port}/: another program does: stop it, or"):
            again.start()

    again.start()
    again.close()
    assert descriptors() <= before
    assert server_threads() == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("192.0.2.1", "this machine has no such address"), ("2001:db8::1", "this machine has no such address")],
)
def test_address_of_another_machine_is_refused(tmp_path: Path, address: str, sentence: str) -> None:
    with pytest.raises(StatsPortError, match=sentence):
        StatsServer(PortPlace(address, 9), tmp_path / "hub.stats").start()


@pytest.mark.parametrize(("port", "sentence"), [(80, "choose a port above 1023"), (8081, "SELinux knows another use")])
def test_port_that_is_not_permitted_is_refused_with_what_may_be_the_reason(
    monkeypatch: pytest.MonkeyPatch, port: int, sentence: str
) -> None:
    def bind(*arguments: object) -> socket.socket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(statsserver, "tcp_listener", bind)  # whoever runs the tests may be root

    with pytest.raises(StatsPortError, match=f"this user may not.*{sentence}"):
        PortPlace("127.0.0.1", port).open()


@pytest.mark.parametrize(("address", "is_for_others"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_log_says_where_health_checks_are_answered_and_whether_others_can_reach_that(
    caplog: pytest.LogCaptureFixture, address: str, is_for_others: bool
) -> None:
    caplog.set_level(logging.INFO)

    listener, _ = PortPlace(address, 0).open()

    with listener:
        assert f"answered at http://{address}:{listener.getsockname()[1]}/" in caplog.text
    assert ("for other machines as well" in caplog.text) == is_for_others


# Beginning and end


def test_close_ends_clients_thread_and_socket(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    with live_segment(hub.segment):
        before = descriptors()
        hub.server.start()
        with hub.connect() as silent, hub.connect() as asking:
            asking.sendall(GET_HEALTH)
            answer_on(asking)
            hub.server.close()

            assert is_ended(silent)
            assert is_ended(asking)
        assert descriptors() <= before

    assert server_threads() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub.stats"]


def test_close_right_after_start_ends_the_server(tmp_path: Path) -> None:
    hub = Hub(tmp_path)

    for _ in range(20):
        hub.server.start()
        hub.server.close()

    assert server_threads() == []


def test_close_ends_a_client_that_does_not_read(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    with live_segment(hub.segment, [ConsumerRow(f"consumer-{i}", 1, True) for i in range(300)]):
        hub.server.start()
        with hub.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            client.recv(1)
            hub.server.close()

    assert server_threads() == []


def test_close_does_nothing_the_second_time_or_before_start(hub: Hub, tmp_path: Path) -> None:
    StatsServer(SocketPlace(tmp_path / "other.sock", 0o600), hub.segment).close()

    hub.server.close()
    hub.server.close()


def test_close_leaves_the_socket_of_a_hub_that_came_after(hub: Hub) -> None:
    hub.socket.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(hub.socket))

        hub.server.close()

        assert hub.socket.is_socket()


def test_stale_socket_of_a_killed_hub_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "hub.sock"))
        killed.listen()

    with serving(tmp_path) as hub:
        assert hub.ask()[0] == 200


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_socket_has_its_mode_and_was_never_more_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    modes = []

    def set_access(target: Path, *, mode: int, group: str) -> None:
        modes.append(stat.S_IMODE(target.stat().st_mode))
        original(target, mode=mode, group=group)

    original = segment.set_access
    monkeypatch.setattr(statsserver, "set_access", set_access)
    umask = os.umask(0)
    try:
        server = StatsServer(SocketPlace(tmp_path / "s", mode), tmp_path / "hub.stats")
        server.start()
        modes.append(stat.S_IMODE((tmp_path / "s").stat().st_mode))
        server.close()
    finally:
        os.umask(umask)

    assert modes == [0o600, mode]


def assert_refused(directory: Path, path: Path, sentence: str, *, group: str = "") -> None:
    """`start` says why it cannot, and leaves everything as it was."""
    before = sorted(directory.iterdir())
    open_before = descriptors()
    server = StatsServer(SocketPlace(path, 0o600, group), directory / "hub.stats")

    with pytest.raises(StatsDirectoryError, match=sentence):
        server.start()

    server.close()
    assert sorted(directory.iterdir()) == before
    assert descriptors() <= open_before
    assert server_threads() == []


def test_path_that_is_too_long_is_refused_with_both_lengths(tmp_path: Path) -> None:
    path = tmp_path / ("x" * (108 - len(str(tmp_path)) - 1))

    assert_refused(tmp_path, path, "has 108 bytes, and the system allows 107")


def test_longest_path_is_taken(tmp_path: Path) -> None:
    path = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
    server = StatsServer(SocketPlace(path, 0o600), tmp_path / "hub.stats")

    server.start()

    assert path.is_socket()
    server.close()


def test_missing_directory_is_named(tmp_path: Path) -> None:
    assert_refused(tmp_path, tmp_path / "no" / "s", f"cannot make the stats socket {tmp_path}/no/s: No such file")


def test_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")

    assert_refused(tmp_path, tmp_path / "s", "is not a socket: remove it")


def test_socket_that_somebody_listens_on_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    server = StatsServer(SocketPlace(hub.socket, 0o600), hub.segment)

    with pytest.raises(StatsDirectoryError, match="another process listens on the stats socket"):
        server.start()

    assert hub.ask()[0] == 200


def test_unknown_group_is_named(tmp_path: Path) -> None:
    assert_refused(tmp_path, tmp_path / "s", "there is no group 'nosuchgroup'", group="nosuchgroup")


def test_segment_may_appear_after_the_server(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.server.start()
    before = hub.ask()

    with live_segment(hub.segment, ROWS):
        after = hub.ask()
    hub.server.close()

    assert (before[0], after[0]) == (503, 200)
    assert b"no such segment" in before[2]
