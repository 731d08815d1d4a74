# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard in a real browser, as the person on call has it: at a desk, on a phone, at night, without scripts."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from glasshub.dashboard.model import Level, State, View
from glasshub.dashboard.page import page

from ..contract.segments import Segment
from ..unit.views import consumer, frame, hub, lagging, view
from .browser import Browser, chromium
from .hubs import DEADLINE, ROOT, bus_in, got, hub_on, wait_until

_LONG = "koschei.backend.services.AConsumerWithANameThatIsLongerThanAnyPhoneIsWide"

_DOWN = State(Level.BAD, "down", "is down: its process is gone, the last sign of life was 4m10s ago")

VIEWS = {
    "all well": view(hub(consumer("Datanommer", backlog=3), consumer("IrcBot"))),
    "trouble": view(
        replace(
            hub(
                lagging(_LONG), lagging("Badges", catch_up=900), consumer("Irc", State(Level.BAD, "stuck", "is stuck"))
            ),
            notes=["worker processes have died and were started anew: 2 times, see the hub's log"],
        ),
        hub(consumer("Gateway", State(Level.UNKNOWN, "last known"), backlog=7), name="fedmsg-gateway", state=_DOWN),
        problems=["rrdtool is not installed: apt-get install rrdtool, or dnf install rrdtool"],
    ),
    "nothing yet": view(),
    "many": view(hub(*(consumer(f"Consumer{number}", backlog=number) for number in range(30)))),
}


class Server:
    """`glasshub dashboard` in a process of its own."""

    def __init__(self, stats: Path, listen: str) -> None:
        command = [sys.executable, "-m", "glasshub", "dashboard", "--stats-dir", str(stats), "--listen", listen]
        self.process = subprocess.Popen(
            [*command, "--every", "0.2", "--behind", "5"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "hub")},
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        self.url = said.rpartition(" ")[2].strip()
        assert self.url, "the dashboard has ended"

    def stop(self) -> int:
        """End it as a service manager does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def serving(stats: Path, listen: str = "127.0.0.1:0") -> Iterator[Server]:
    server = Server(stats, listen)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    """A hub with a consumer, whose figures we set."""
    with Segment(str(tmp_path / "fedmsg-hub.stats"), [("Badges", 1), ("Irc", 1)], hub="fedmsg-hub") as segment:
        yield segment.hub(endpoints=1, connected=1)


def text_of(browser: Browser) -> str:
    return str(browser.run("return document.getElementById('main').innerText"))


def saved(what: View, directory: Path) -> str:
    path = directory / "page.html"
    path.write_text(page(what, frame(is_served=False)), encoding="utf-8")
    return path.as_uri()


# Looks


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
@pytest.mark.parametrize("name", list(VIEWS))
def test_page_can_be_used_by_everybody_on_every_screen(
    browser: Browser, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    browser.emulate(width, scheme=scheme)
    browser.open(saved(VIEWS[name], tmp_path))

    assert browser.run("const all = document.documentElement; return all.scrollWidth <= all.clientWidth")
    assert browser.violations() == []
    assert browser.complaints() == []


def test_page_draws_its_charts_in_the_colours_of_its_style(browser: Browser, tmp_path: Path) -> None:
    browser.emulate(1280)
    browser.open(saved(VIEWS["all well"], tmp_path))

    colours = browser.run("return [...document.querySelectorAll('.chart-line')].map(e => getComputedStyle(e).stroke)")

    assert len(set(colours)) == 3
    assert not {"none", "rgb(0, 0, 0)"} & set(colours)


# Refreshing


def test_figures_of_a_live_hub_change_while_focus_scroll_and_what_is_open_stay(
    browser: Browser, tmp_path: Path, segment: Segment
) -> None:
    browser.emulate(360, 400)
    segment.consumer(0, dropped=3)
    with serving(tmp_path) as server:
        browser.open(server.url)
        browser.run("document.querySelector('tbody a').focus(); document.querySelector('details').open = true")
        browser.run("window.scrollTo(0, 150); window.isSame = true")
        segment.consumer(0, enqueued=4321)
        wait_until(lambda: "4,318" in text_of(browser), "the backlog to show")
        state = browser.run(
            "return [window.isSame, document.activeElement.innerText, document.querySelector('details').open, scrollY]"
        )

    assert state == [True, "Badges", True, 150]
    assert browser.complaints() == []


def test_consumer_that_falls_behind_is_in_the_headline_and_the_title(
    browser: Browser, tmp_path: Path, segment: Segment
) -> None:
    browser.emulate(1280)
    with serving(tmp_path) as server:
        browser.open(server.url)
        wait_until(lambda: browser.run("return document.title").startswith("All well - "), "all to be well")
        segment.consumer(0, enqueued=10, put_head_ns=1)
        wait_until(
            lambda: browser.run("return document.title").startswith("Badges is behind - "), "Badges to be behind"
        )
        text = text_of(browser)

    assert text.startswith("Badges is behind")
    assert "it will not catch up" in text


def test_focus_goes_with_a_consumer_that_changes_its_place(browser: Browser, tmp_path: Path, segment: Segment) -> None:
    browser.emulate(1280)
    with serving(tmp_path) as server:
        browser.open(server.url)
        browser.run("document.querySelector('tbody tr:last-child a').focus()")
        segment.consumer(1, enqueued=10, put_head_ns=1)
        wait_until(lambda: text_of(browser).startswith("Irc is behind"), "the last consumer to become the first")
        state = browser.run(
            "const link = document.activeElement; return [link.innerText, link.closest('tr').matches(':first-child')]"
        )

    assert state == ["Irc", True]


def test_hub_that_dies_is_loud(browser: Browser, tmp_path: Path, segment: Segment) -> None:
    browser.emulate(1280)
    with serving(tmp_path) as server:
        browser.open(server.url)
        segment.unlock()
        wait_until(lambda: text_of(browser).startswith("fedmsg-hub is down"), "the hub to be down")

        assert browser.run("return document.querySelector('h1').className") == "bad"


def test_page_whose_server_has_gone_says_so_until_it_is_back(
    browser: Browser, tmp_path: Path, segment: Segment
) -> None:
    def alarm() -> str:
        return str(
            browser.run("const gone = document.getElementById('gone'); return gone.hidden ? '' : gone.innerText")
        )

    browser.emulate(1280)
    with serving(tmp_path) as server:
        browser.open(server.url)
        assert alarm() == ""
        assert server.stop() == 0
    wait_until(lambda: alarm().startswith("The dashboard has not answered since "), "the page to miss its server")
    with serving(tmp_path, server.url.removeprefix("http://").rstrip("/")):
        wait_until(lambda: alarm() == "", "the page to find its server again")

    browser.complaints()  # that it could not connect


@pytest.mark.slow
def test_page_that_nobody_sees_asks_for_nothing(browser: Browser, tmp_path: Path, segment: Segment) -> None:
    browser.emulate(1280)
    with serving(tmp_path) as server:
        browser.open(server.url)
        browser.run("window.isHidden = true; Object.defineProperty(document, 'hidden', {get: () => window.isHidden})")
        before = browser.run_until_called(_AFTER_TICKS)
        segment.consumer(0, enqueued=77)
        after = browser.run_until_called(_AFTER_TICKS)
        browser.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
        wait_until(lambda: "77" in text_of(browser), "the page to be made new when it is seen again")

    assert after == before


#: Calls back with the number of requests so far when the page's timer has come round.
_AFTER_TICKS = """
    let left = 1;
    const timer = setInterval(() => {
        if (left-- > 0) return;
        clearInterval(timer);
        arguments[0](performance.getEntriesByType('resource').length);
    }, 1000);
"""


def test_figures_that_nobody_renews_are_called_old(browser: Browser, tmp_path: Path) -> None:
    browser.emulate(1280)
    browser.open(saved(VIEWS["all well"], tmp_path))
    wait_until(lambda: not browser.run("return document.getElementById('stale').hidden"), "the figures to be old")

    assert browser.run("return document.getElementById('stale').innerText").startswith("These figures are ")


# Whom it talks to


def test_page_asks_its_own_server_and_nobody_else(browser: Browser, tmp_path: Path, segment: Segment) -> None:
    browser.emulate(1280)
    browser.requested()
    with serving(tmp_path) as server:
        browser.open(server.url)
        urls: list[str] = []

        def has_refreshed() -> bool:
            urls.extend(browser.requested())
            return len(urls) >= 2

        wait_until(has_refreshed, "the page to refresh")

        assert {url for url in urls if not url.startswith(server.url)} == set()


@pytest.mark.parametrize(
    ("method", "host", "status"),
    [("GET", "localhost", 200), ("HEAD", "127.0.0.1:1", 200), ("GET", "evil.example", 421), ("POST", "localhost", 405)],
)
def test_port_answers_to_this_machines_names_and_only_to_those_who_read(
    tmp_path: Path, method: str, host: str, status: int
) -> None:
    with serving(tmp_path) as server:
        connection = http.client.HTTPConnection(server.url.split("/")[2], timeout=DEADLINE)
        connection.request(method, "/", headers={"Host": host})
        answer = connection.getresponse()
        connection.close()

    assert answer.status == status


def test_names_from_a_hub_do_nothing_to_the_page(browser: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=document.title=1>"
    browser.emulate(1280)
    with Segment(str(tmp_path / "h.stats"), [(hostile, 1)], hub="<script>document.title=2</script>") as segment:
        segment.hub(endpoints=1, connected=1)
        with serving(tmp_path) as server:
            browser.open(server.url)
            segment.consumer(0, enqueued=99)
            wait_until(lambda: "99" in text_of(browser), "the page to refresh")

    assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
    assert browser.run("return document.title").startswith("All well")
    assert hostile in text_of(browser)


def test_page_works_without_scripts(browser: Browser, tmp_path: Path, segment: Segment) -> None:
    def has(text: str) -> bool:
        browser.reload()
        return text in browser.source()

    browser.emulate(1280, has_scripts=False)
    with serving(tmp_path) as server:
        browser.open(server.url)
        segment.consumer(0, enqueued=4321)
        wait_until(lambda: has("4,321"), "the backlog to show")
        browser.click("a[href='?range=week']")
        wait_until(lambda: "The last week" in browser.source(), "the page of the week")
        source = browser.source()

    assert "4,321" in source
    assert 'id="gone" role="alert" hidden=""' in source


# A real hub


def test_page_of_a_real_hub_comes_through_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.sock"

    def has_charts() -> bool:
        bus.publish_many(10)  # what came before the first look counts for nothing
        return "<figure" in got(path, "/")

    arguments = ("--consumer", "tests.integration.consumers:Everything")
    with bus_in(tmp_path) as bus, hub_on(bus, tmp_path, *arguments), serving(tmp_path, f"unix:{path}") as server:
        wait_until(has_charts, "what the hub does to show")
        mode = path.stat().st_mode & 0o777
        code = server.stop()

    assert (server.url, mode, code) == (f"unix:{path}", 0o660, 0)
    assert not path.exists()
