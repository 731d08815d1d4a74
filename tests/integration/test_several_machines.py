# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hubs that share their queues, a collectd beside each, and a third that adds up: docs/several-machines.md.

The machines are directories; the files for collectd are those of `packaging/collectd`, with this machine's addresses.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from glasshub.cli import main
from tools.definitions import PACKAGING
from tools.rabbitmq import Broker

from .brokers import await_hubs, delete_queues, hub_on_broker, publish_many
from .collectd_daemon import Collectd, basic_config, beginning, free_port
from .hubs import HubProcess, wait_until

pytestmark = pytest.mark.slow

#: Messages published, and how many of them each hub may have at the most: some have to stay on the broker.
PUBLISHED, PREFETCH = 300, 100

_GATE = """
[fedora-messaging]
prefetch = {prefetch}
[consumers.Gate]
class = "tests.integration.consumers:Gate"
topics = ["org."]
settings = {{fifo = "{directory}/fifo"}}
"""

#: The RRDs, and the counters as they were sent: what has been processed so far, which rates do not tell.
_KEPT = """
LoadPlugin rrdtool
<Plugin rrdtool>
  DataDir "{directory}/rrd"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{directory}/csv"
  StoreRates false
</Plugin>
"""


class Whole(NamedTuple):
    """What the aggregating collectd says of all hubs together."""

    up: float | None
    hubs: float | None
    ready: float | None
    unacknowledged: float | None
    processed: float

    @property
    def published(self) -> float:
        """What there must have been, if all of it is somewhere."""
        return (self.ready or 0.0) + (self.unacknowledged or 0.0) + self.processed


class Site:
    """Two machines with a hub and a collectd each, and one with the collectd that adds up."""

    def __init__(self, directory: Path, broker: Broker, program: str, running: ExitStack) -> None:
        self.directory = directory
        port = free_port()
        auth = directory / "auth"
        auth.write_text("glasshub: CHANGE-ME\n", encoding="utf-8")
        home = _made(directory / "collect")
        shipped = _shipped("aggregate.conf", {'"0.0.0.0" "25826"': f'"127.0.0.1" "{port}"'})
        shipped = shipped.replace("/etc/collectd/glasshub.auth", str(auth)) + _shipped("aggregate-thresholds.conf", {})
        config = beginning(home).replace("testhost", "collect") + shipped + _KEPT.format(directory=home)
        self.collectd = running.enter_context(Collectd(program, home, config))
        self.hubs: list[HubProcess] = [
            running.enter_context(self._hub(_made(directory / name), broker, program, port, running))
            for name in ("web1", "web2")
        ]
        await_hubs(broker, "prod.Gate", count=len(self.hubs))

    def _hub(
        self, home: Path, broker: Broker, program: str, port: int, running: ExitStack
    ) -> AbstractContextManager[HubProcess]:
        os.mkfifo(home / "fifo")
        # collectd reads ten times as often here as it would there.
        here = {'"collect.example.org" "25826"': f'"127.0.0.1" "{port}"', "FlushInterval 0.5": "FlushInterval 0.05"}
        shipped = _shipped("send.conf", here)
        config = basic_config(home).replace("testhost", home.name) + shipped
        running.enter_context(Collectd(program, home, config))
        toml = _GATE.format(directory=home, prefetch=PREFETCH)
        return hub_on_broker(broker, home, "--shape", "threads", toml=toml, name="prod")

    def whole(self) -> Whole:
        """What is said now."""
        gate = "glasshub-prod.Gate"
        return Whole(
            up=self._total("glasshub-prod/gauge-up"),
            hubs=self._total(f"{gate}/count-hubs"),
            ready=self._total(f"{gate}/queue_length-broker-ready"),
            unacknowledged=self._total(f"{gate}/queue_length-broker-unacknowledged"),
            processed=sum(self._sent(hub.directory.name, f"{gate}/operations-processed") for hub in self.hubs),
        )

    def await_whole(self, holds: Callable[[Whole], bool], what: str) -> Whole:
        """What is said when that holds of three totals in a row: of one it may by chance."""
        said: dict[str, Whole] = {}

        def look() -> bool:
            said[self._time("glasshub-prod/gauge-up")] = self.whole()
            last = list(said.values())[-3:]
            return len(last) == 3 and all(map(holds, last))

        try:
            wait_until(look, what, deadline=60.0)
        except AssertionError as error:
            raise AssertionError(f"{error}: {list(said.values())[-3:]}") from None
        return list(said.values())[-1]

    def _total(self, name: str) -> float | None:
        if not self._time(name):
            return None
        return float(self.collectd.ask(f'GETVAL "all/{name}"')[0].partition("=")[2])

    def _time(self, name: str) -> str:
        """When a total was last made; empty if it never was."""
        lines = (line.split() for line in self.collectd.ask("LISTVAL"))
        return next((time for time, found in lines if found == f"all/{name}"), "")

    def _sent(self, host: str, name: str) -> float:
        """The last number that a host has sent."""
        files = sorted((self.directory / "collect/csv" / host).glob(f"{name}-????-??-??"))
        lines = files[-1].read_text(encoding="utf-8").splitlines() if files else []
        return float(lines[-1].partition(",")[2]) if len(lines) > 1 else 0.0


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _shipped(name: str, here: dict[str, str]) -> str:
    """A file of ours with what is different here."""
    text = (PACKAGING / "collectd" / name).read_text(encoding="utf-8")
    for theirs, ours in here.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


@pytest.fixture
def site(tmp_path: Path, broker: Broker, program: str) -> Iterator[Site]:
    with ExitStack() as running:
        yield Site(tmp_path, broker, program, running)
    delete_queues(broker, "prod.Gate", "prod.Gate.parked")  # the next test has the same broker


def let_through(hub: HubProcess, count: int) -> None:
    """Have a hub's gate finish messages, one after the other."""
    done = hub.snapshot().consumers[0].processed
    for number in range(done + 1, done + count + 1):
        (hub.directory / "fifo").write_bytes(b".")
        hub.wait_until(lambda snapshot: snapshot.consumers[0].processed == number, "a message finished")  # noqa: B023


def test_totals_are_true_when_nothing_moves_and_when_a_hub_has_been_killed(site: Site, broker: Broker) -> None:
    one, other = site.hubs
    publish_many(broker, PUBLISHED, "org.example.made")
    let_through(one, 3)
    let_through(other, 2)

    whole = site.await_whole(lambda whole: (whole.published, whole.up) == (PUBLISHED, 2), "every message somewhere")

    assert whole.processed == 5
    assert whole.ready
    assert whole.hubs
    assert whole.unacknowledged == sum(hub.snapshot().consumers[0].broker_unacknowledged for hub in site.hubs)

    one.stop(signal.SIGKILL)

    whole = site.await_whole(lambda whole: (whole.published, whole.up) == (PUBLISHED, 1), "the same with one hub")
    assert whole.processed == 5
    assert whole.ready
    assert whole.unacknowledged == other.snapshot().consumers[0].broker_unacknowledged
    site.collectd.await_log("Notification: severity = WARNING, host = all, plugin = glasshub, .*type_instance = up")


def test_picture_of_the_whole_shows_each_machine_and_the_broker(site: Site, broker: Broker, tmp_path: Path) -> None:
    publish_many(broker, PUBLISHED, "org.example.made")
    site.await_whole(lambda whole: bool(whole.ready), "messages that wait on the broker")
    kept = ["--data-dir", str(site.collectd.directory / "rrd")]
    kept += ["--flush", str(site.collectd.directory / "collectd-unixsock")]
    picture = tmp_path / "whole.png"

    code = main(["graph", "Gate", "--all-hosts", "--what", "backlog", "--since", "1m", "--output", str(picture), *kept])

    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
