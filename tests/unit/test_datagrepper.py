# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages of the past come from datagrepper in order, once each, no more than asked for, and in spite of trouble."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glasshub.compat.datagrepper import Datagrepper, DatagrepperError, Page, Window

from ..fakes import PATIENCE, wait_until
from .fake_datagrepper import FakeDatagrepper, published

T0 = 1400000000
EVERYTHING = Window(T0, T0 + 1_000_000)
SHOP, BANK = "org.old.prod.shop.sold", "org.old.prod.bank.robbed"


@pytest.fixture
def server() -> Iterator[FakeDatagrepper]:
    """A datagrepper that knows no messages yet."""
    with FakeDatagrepper() as server:
        yield server


def fetched(
    server: FakeDatagrepper,
    window: Window = EVERYTHING,
    *,
    limit: int = 100_000,
    wanted: Callable[[str], bool] = lambda _: True,
    **more: Any,
) -> list[Page]:
    """All pages, without pauses."""
    datagrepper = Datagrepper(server.url, timeout=PATIENCE, pauses=(0, 0, 0))
    return list(datagrepper.messages(window, limit=limit, wanted=wanted, stop=threading.Event(), **more))


def messages(pages: list[Page]) -> list[dict[str, Any]]:
    return [message for page in pages for message in page.messages]


def numbers(pages: list[Page]) -> list[int]:
    """Which of the messages it is."""
    return [int(message["msg_id"].partition("-")[2]) for message in messages(pages)]


def test_all_messages_come_oldest_first_and_each_page_is_asked_for_once(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in reversed(range(250))]

    pages = fetched(server, Window(T0, T0 + 500.5))

    assert numbers(pages) == list(range(250))
    assert [page.missed for page in pages] == [0, 0, 0]
    common = {"start": f"{T0}", "end": f"{T0 + 500.5}", "order": "asc", "rows_per_page": "100"}
    assert server.asked == [{**common, "page": str(page)} for page in (1, 2, 3)]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200])
def test_no_page_is_asked_for_in_vain(server: FakeDatagrepper, count: int) -> None:
    server.rows = [published(number) for number in range(count)]

    pages = fetched(server)

    assert numbers(pages) == list(range(count))
    assert len(server.asked) == max(1, -(-count // 100))


def test_a_window_has_both_its_ends(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(10)]

    assert numbers(fetched(server, Window(T0 + 3, T0 + 5))) == [3, 4, 5]


def test_a_page_is_asked_for_when_it_is_taken(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(300)]
    datagrepper = Datagrepper(server.url)
    pages = datagrepper.messages(EVERYTHING, limit=1000, wanted=bool, stop=threading.Event())

    next(pages)

    assert len(server.asked) == 1
    pages.close()  # type: ignore[attr-defined]  # it is a generator


def test_only_wanted_topics_come(server: FakeDatagrepper) -> None:
    server.rows = [published(number, SHOP if number % 3 else BANK) for number in range(150)]

    pages = fetched(server, wanted=BANK.__eq__)

    assert numbers(pages) == list(range(0, 150, 3))


def test_a_message_is_as_it_was_published(server: FakeDatagrepper) -> None:
    """So its signature holds: datagrepper adds keys, and makes the time a float."""
    signed = published(1, signature="aGVsbG8=\n", certificate="d29ybGQ=\n", crypto="x509")
    with_headers = published(2, headers={"sent-at": "2014"})
    server.rows = [signed, with_headers]

    found = messages(fetched(server))

    assert found == [signed, with_headers]
    assert [type(message["timestamp"]) for message in found] == [int, int]


@pytest.mark.parametrize(
    ("limit", "pages", "missed"),
    [(1, 1, 249), (99, 1, 151), (100, 1, 150), (101, 2, 149), (249, 3, 1), (250, 3, 0), (251, 3, 0)],
)
def test_no_more_than_the_limit_is_fetched_and_the_rest_is_told(
    server: FakeDatagrepper, limit: int, pages: int, missed: int
) -> None:
    server.rows = [published(number) for number in range(250)]

    found = fetched(server, limit=limit)

    assert numbers(found) == list(range(min(limit, 250)))
    assert [page.missed for page in found] == [0] * (pages - 1) + [missed]
    assert len(server.asked) == pages


def test_a_huge_backlog_with_a_small_limit_makes_few_requests(server: FakeDatagrepper) -> None:
    """That of fedmsg#371 has 700 pages."""
    server.rows = [published(number) for number in range(1000)]
    server.claims = {"total": 70_000, "pages": 700}

    pages = fetched(server, limit=150)

    assert len(messages(pages)) == 150
    assert pages[-1].missed == 70_000 - 150
    assert len(server.asked) == 2


def test_never_is_less_than_nothing_missed(server: FakeDatagrepper) -> None:
    """A datagrepper that forgets while it is asked has a total that lies below what it gave."""
    server.rows = [published(number) for number in range(3)]
    server.claims = {"total": 1}

    assert [page.missed for page in fetched(server, limit=3)] == [0]


def test_of_the_page_that_is_cut_only_wanted_messages_count_as_missed(server: FakeDatagrepper) -> None:
    """Of those behind nobody knows the topics."""
    server.rows = [published(number, SHOP if number % 2 else BANK) for number in range(150)]

    pages = fetched(server, limit=20, wanted=BANK.__eq__)

    assert numbers(pages) == list(range(0, 40, 2))
    assert pages[-1].missed == 30 + 50


def test_a_message_on_two_pages_comes_once(server: FakeDatagrepper) -> None:
    """One that datagrepper gets late, and puts among those before, moves others to the next page."""
    server.rows = [published(number) for number in range(1, 251)]
    late = itertools.chain([None, published(0)], itertools.repeat(None))
    server.before_answer = lambda: server.rows.extend(filter(None, [next(late)]))

    pages = fetched(server)

    assert numbers(pages) == list(range(1, 251))


def test_messages_without_msg_id_all_come(server: FakeDatagrepper) -> None:
    """The oldest have none."""
    server.rows = [published(number, msg_id=None) for number in range(3)]

    assert [message["timestamp"] - T0 for message in messages(fetched(server))] == [0, 1, 2]


def test_what_is_known_does_not_come_and_does_not_count(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(5)]

    pages = fetched(server, limit=4, known=["2014-0"])

    assert numbers(pages) == [1, 2, 3, 4]
    assert pages[-1].missed == 0


def test_pages_end_when_one_is_empty_whatever_datagrepper_says_of_their_number(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(100)]
    server.claims = {"total": 10_000, "pages": 100}

    pages = fetched(server)

    assert (len(messages(pages)), pages[-1].missed, len(server.asked)) == (100, 0, 2)


GARBAGE = [
    b"",
    b"<html>\xff</html>",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    b'{"raw_messages": [], "total": null, "pages": 1}',
    b'{"raw_messages": [], "total": 1, "pages": "many"}',
    b'{"raw_messages": [], "total": Infinity, "pages": 1}',
    b'{"raw_messages": 3, "total": 1, "pages": 1}',
    b'{"raw_messages": [3], "total": 1, "pages": 1}',
    b'{"raw_messages": [{"topic": 3, "msg_id": "2014-1"}], "total": 1, "pages": 1}',
    b'{"raw_messages": [{"topic": "org.old", "id": "2014-1"}], "total": 1, "pages": 1}',
    b'{"raw_messages": [{"topic": "org.old", "msg_id": []}], "total": 1, "pages": 1}',
    json.dumps(
        {"raw_messages": [published(1, timestamp="?", source_name="", source_version="")], "total": 1, "pages": 1}
    ).encode(),
]


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:60]))
def test_an_answer_that_is_no_page_is_asked_for_again(
    server: FakeDatagrepper, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server.rows = [published(1)]
    server.troubles.append((200, body))

    assert numbers(fetched(server)) == [1]
    assert [query["page"] for query in server.asked] == ["1", "1"]
    assert "its answer is no page of messages" in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again(
    server: FakeDatagrepper, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.rows = [published(1)]
    server.troubles.extend([(status, b"")] * 3)

    assert numbers(fetched(server)) == [1]
    assert len(server.asked) == 4
    assert caplog.text.count(f"datagrepper at {server.url}: {status} ") == 3


def test_tries_are_counted_for_each_page(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(150)]
    server.before_answer = lambda: server.troubles.extend([(500, b"")] * 3) if len(server.asked) in {1, 5} else None

    assert len(messages(fetched(server))) == 150
    assert [query["page"] for query in server.asked] == ["1"] * 4 + ["2"] * 4


@pytest.mark.parametrize(("status", "body"), [(503, b"{}"), (200, b"<html>")])
def test_a_server_that_stays_in_trouble_is_an_error_after_some_tries(
    server: FakeDatagrepper, status: int, body: bytes
) -> None:
    server.troubles.extend([(status, body)] * 10)

    with pytest.raises(DatagrepperError, match=rf"^datagrepper at {server.url}: "):
        fetched(server)

    assert len(server.asked) == 4


def test_pauses_grow(server: FakeDatagrepper, caplog: pytest.LogCaptureFixture) -> None:
    server.troubles.extend([(500, b"")] * 3)
    datagrepper = Datagrepper(server.url, pauses=(0.001, 0.002))

    with pytest.raises(DatagrepperError):
        list(datagrepper.messages(EVERYTHING, limit=1, wanted=bool, stop=threading.Event()))

    assert [record.getMessage().rpartition("trying again in ")[2] for record in caplog.records] == [
        "0.001 s",
        "0.002 s",
    ]


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_server_that_refuses_is_an_error_at_once(server: FakeDatagrepper, status: int) -> None:
    server.troubles.append((status, b""))

    with pytest.raises(DatagrepperError, match=rf"refuses: {status} .*: is datagrepper_url right\? It ends in /raw"):
        fetched(server)

    assert len(server.asked) == 1


def test_a_server_that_does_not_answer_is_given_up(server: FakeDatagrepper) -> None:
    server.troubles.extend([None, None])
    datagrepper = Datagrepper(server.url, timeout=0.1, pauses=(0,))

    with pytest.raises(DatagrepperError, match="timed out"):
        list(datagrepper.messages(EVERYTHING, limit=1, wanted=bool, stop=threading.Event()))

    assert len(server.asked) == 2


def test_a_server_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/raw"
    datagrepper = Datagrepper(url, pauses=(0,))

    with pytest.raises(DatagrepperError, match="Connection refused"):
        list(datagrepper.messages(EVERYTHING, limit=1, wanted=bool, stop=threading.Event()))


@pytest.mark.parametrize("url", ["datagrepper", "ftp://127.0.0.1/raw", "http://", "/raw", ""])
def test_a_url_that_is_none_is_an_error_at_once(url: str) -> None:
    datagrepper = Datagrepper(url, pauses=(10 * PATIENCE,))

    with pytest.raises(DatagrepperError, match=rf"^datagrepper at {url}: "):
        list(datagrepper.messages(EVERYTHING, limit=1, wanted=bool, stop=threading.Event()))


def test_a_fetch_that_is_stopped_already_asks_nothing(server: FakeDatagrepper) -> None:
    stop = threading.Event()
    stop.set()

    assert list(Datagrepper(server.url).messages(EVERYTHING, limit=1, wanted=bool, stop=stop)) == []
    assert server.asked == []


def test_a_fetch_that_is_stopped_asks_for_no_further_page(server: FakeDatagrepper) -> None:
    server.rows = [published(number) for number in range(300)]
    stop = threading.Event()
    pages = Datagrepper(server.url).messages(EVERYTHING, limit=1000, wanted=bool, stop=stop)
    next(pages)

    stop.set()

    assert list(pages) == []
    assert len(server.asked) == 1


def test_stopping_ends_a_pause(server: FakeDatagrepper, caplog: pytest.LogCaptureFixture) -> None:
    server.troubles.append((500, b""))
    stop = threading.Event()
    datagrepper = Datagrepper(server.url, pauses=(10 * PATIENCE,))
    found = datagrepper.messages(EVERYTHING, limit=1, wanted=bool, stop=stop)
    thread = threading.Thread(target=lambda: list(found))
    with caplog.at_level(logging.WARNING):
        thread.start()
        wait_until(lambda: "trying again in" in caplog.text, "the pause")

    stop.set()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert len(server.asked) == 1


def test_a_window_shows_its_ends_as_dates() -> None:
    assert str(Window(T0, T0 + 0.5)) == "from 2014-05-13 16:53:20 UTC to 2014-05-13 16:53:20 UTC"
