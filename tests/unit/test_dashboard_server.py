# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the dashboard's page is served or written, and to whom."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
import socket
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from glasshub.cli import command_line, dashboard, main
from glasshub.dashboard.live import LiveHubs
from glasshub.dashboard.model import Span, View
from glasshub.dashboard.server import Dashboard, ListenError, Place, is_trusted, place
from glasshub.dashboard.sources import Sources
from glasshub.looking import Watcher
from glasshub.webserver import Answer, Request

from .segments import live_segment, work
from .views import consumer, hub, view

ROOT = Path(__file__).parents[2]


class Same(Sources):
    """Always the same, counted."""

    def __init__(self, directory: Path) -> None:
        watcher = Watcher(None, str(directory), complain=print)
        super().__init__(LiveHubs(watcher, behind_after=60), None, source="")
        self.spans: list[str] = []

    def view(self, span: Span) -> View:
        self.spans.append(span.name)
        return view(hub(consumer()), span=span)


def answers(
    sources: Sources,
    *urls: str,
    host: str = "localhost",
    hosts: Collection[str] | None = ("localhost",),
    pause: float = 0,
) -> list[Answer]:
    """What the dashboard answers to GETs, with so many seconds between them."""

    async def ask() -> list[Answer]:
        now = [0.0]
        board = Dashboard(sources, every=10, stale_after=60, hosts=hosts, clock=lambda: now[0])
        found = []
        for url in urls:
            now[0] += pause
            path, _, query = url.partition("?")
            found.append(await board.answer(Request("GET", path, query, {"host": host}, is_last=True)))
        return found

    return asyncio.run(ask())


# Answers


def test_page_has_headers_that_keep_others_out(tmp_path: Path) -> None:
    (answer,) = answers(Same(tmp_path), "/")

    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith("frame-ancestors 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("url", "status"), [("/x", 404), ("/?range=year", 400), ("/?range=day", 200), ("/?other=1", 200)]
)
def test_only_the_page_and_its_ranges_are_there(tmp_path: Path, url: str, status: int) -> None:
    (answer,) = answers(Same(tmp_path), url)

    assert answer.status == status
    assert "X-Content-Type-Options" in answer.headers


def test_range_is_shown(tmp_path: Path) -> None:
    sources = Same(tmp_path)

    answers(sources, "/?range=week")

    assert sources.spans == ["week"]


def test_name_of_somebody_else_that_leads_here_is_refused(tmp_path: Path) -> None:
    """DNS rebinding: the page of evil.example would read ours."""
    sources = Same(tmp_path)

    (answer,) = answers(sources, "/", host="evil.example:8080")

    assert answer.status == 421
    assert not sources.spans


def test_behind_a_socket_any_name_is_answered(tmp_path: Path) -> None:
    (answer,) = answers(Same(tmp_path), "/", host="status.example.org", hosts=None)

    assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("192.0.2.7", True),  # nobody but us has made that up
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:8080@evil.example", False),
        ("", False),
    ],
)
def test_requests_are_trusted_by_address_or_known_name(host: str, is_known: bool) -> None:
    assert is_trusted(host, {"localhost"}) is is_known


def test_many_who_ask_at_once_get_the_same_page(tmp_path: Path) -> None:
    sources = Same(tmp_path)

    at_once = answers(sources, "/", "/", "/?range=day", "/")
    answers(sources, "/", "/", pause=2.0)

    assert sources.spans == ["hour", "day", "hour", "hour"]
    assert at_once[0].text == at_once[1].text


# Places


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("unix:/run/glasshub/dashboard.sock", Place(Path("/run/glasshub/dashboard.sock"))),
        ("127.0.0.1:8080", Place(None, "127.0.0.1", 8080)),
        ("127.9.9.9:0", Place(None, "127.9.9.9", 0)),
        ("[::1]:8080", Place(None, "::1", 8080)),
        ("localhost:80", Place(None, "localhost", 80)),
        (":8080", Place(None, "127.0.0.1", 8080)),
    ],
)
def test_places_on_this_machine_are_understood(text: str, where: Place) -> None:
    assert place(text, allow_remote=False) == where


@pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:80", "bus01.example.org:80"])
def test_places_that_others_can_reach_are_refused_unless_they_are_wanted(text: str) -> None:
    with pytest.raises(ListenError, match="asks nobody for a password"):
        place(text, allow_remote=False)

    assert place(text, allow_remote=True).path is None


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", "127.0.0.1:99999", "unix:dashboard.sock", "http://x:1/", ""])
def test_what_is_no_place_is_told_with_what_is_one(text: str) -> None:
    with pytest.raises(ListenError, match=re.escape(f"--listen {text}: ")):
        place(text, allow_remote=True)


def test_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code = main(["dashboard", "--listen", where, "--stats-dir", str(tmp_path)])

    assert code == 1
    assert capsys.readouterr().err == (
        f"glasshub: cannot listen on http://{where}/: Address already in use: choose another place with --listen\n"
    )


# Files


def written(directory: Path, *arguments: str) -> int:
    return main(["dashboard", "--write", str(directory / "hub.html"), "--stats-dir", str(directory), *arguments])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "_BETWEEN", 0.01)


def test_files_are_written_for_each_range_and_lead_to_each_other(tmp_path: Path) -> None:
    with live_segment(tmp_path / "fedmsg-hub.stats") as writer:
        work(writer, 0, enqueued=10, processed=8)
        code = written(tmp_path)

    files = sorted(path.name for path in tmp_path.glob("*.html"))
    assert code == 0
    assert files == ["hub-day.html", "hub-week.html", "hub.html"]
    for file in files:
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert "datanommer" in text
        assert set(re.findall(r'href="(hub[^"]*)"', text)) == set(files)
        assert 'data-kind="file"' in text


def test_files_are_replaced_at_once_with_their_mode_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "hub.html").write_text("the old page")
    with open(tmp_path / "hub.html", encoding="utf-8") as old:
        written(tmp_path, "--mode", "604")

        assert old.read() == "the old page"  # whoever is at it reads on
    assert stat.S_IMODE((tmp_path / "hub.html").stat().st_mode) == 0o604
    assert sorted(os.listdir(tmp_path)) == ["hub-day.html", "hub-week.html", "hub.html"]


def test_page_is_written_where_no_hub_is_to_be_seen(tmp_path: Path) -> None:
    assert written(tmp_path) == 0
    assert "No hub to be seen" in (tmp_path / "hub.html").read_text(encoding="utf-8")


def test_directory_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["dashboard", "--write", str(tmp_path / "none" / "hub.html"), "--stats-dir", str(tmp_path)])

    assert code == 1
    assert capsys.readouterr().err == f"glasshub: cannot write in {tmp_path / 'none'}: No such file or directory\n"


def test_directory_in_the_files_place_is_told_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hub.html").mkdir()

    assert written(tmp_path) == 1
    assert capsys.readouterr().err == f"glasshub: cannot write {tmp_path / 'hub.html'}: Is a directory\n"
    assert os.listdir(tmp_path) == ["hub.html"]


# The command line


@pytest.mark.parametrize(
    "arguments",
    [["--every", "0"], ["--every", "x"], ["--behind", "nan"], ["--mode", "9"], ["--write", "x", "--listen", ":80"]],
)
def test_senseless_options_are_refused(arguments: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as stopped, contextlib.redirect_stderr(io.StringIO()):
        command_line().parse_args(["dashboard", *arguments])

    assert stopped.value.code == 2


def test_rrds_are_looked_for_where_collectd_keeps_them() -> None:
    def rrd(*arguments: str) -> object:
        options: argparse.Namespace = command_line().parse_args(["dashboard", *arguments])
        return options.rrd

    assert (rrd(), rrd("--rrd"), rrd("--rrd", "/data")) == (None, Path("/var/lib/collectd/rrd"), Path("/data"))


def test_manual_names_every_option_and_no_other() -> None:
    manual = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as help_text, contextlib.suppress(SystemExit):
        command_line().parse_args(["dashboard", "--help"])

    table = manual[manual.index("## Options") :]
    assert set(re.findall(r"--[a-z][a-z-]+", table)) == set(re.findall(r"--[a-z][a-z-]+", help_text.getvalue())) - {
        "--help"
    }
