# SPDX-License-Identifier: LGPL-2.1-or-later
"""A crew in worker processes: who goes where, what the hub knows of them, and through what they publish."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zmq

from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.config import Config, ConsumerSection, FedmsgSection, HubSection, ZmqSection
from glasshub.errors import ConfigError, HubError, MissingLibraryError
from glasshub.processes import Brief
from glasshub.remote import RemoteCrew, RemoteRoster

from ..fakes import wait_until

HERE = "tests.integration.consumers"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _findable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have worker processes find us."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(ROOT / part) for part in ("hub", "collectd_plugin", ".")))


def nothing() -> None:
    """Stop nobody."""


def section(name: str, **keys: Any) -> ConsumerSection:
    return ConsumerSection(f"{HERE}:{name}", **keys)


def config(zmq_section: ZmqSection = ZmqSection(), monitoring: str = "", **consumers: ConsumerSection) -> Config:  # noqa: B008 - immutable
    """A configuration of these consumers, and of no others."""
    return Config(
        hub=HubSection(entry_points=False),
        zmq=zmq_section,
        fedmsg=FedmsgSection(monitoring_socket=monitoring),
        consumers=consumers,
    )


def briefs(of: Config, fedmsg: FedmsgConfigFiles | None = None, **more: Any) -> dict[str, Brief]:
    """What each process is told."""
    return {brief.process: brief for brief in RemoteRoster(of, fedmsg, **more)._briefs()}


def names(brief: Brief) -> list[str]:
    return [name for name, _ in brief.consumers]


@pytest.fixture
def fedmsg(tmp_path: Path) -> FedmsgConfigFiles:
    """A configuration of fedmsg."""
    (tmp_path / "a.py").write_text("config = {}", encoding="utf-8")
    return FedmsgConfigFiles(tmp_path / "a.py")


def test_consumers_are_in_the_process_that_they_name_or_in_the_one_of_all_others() -> None:
    found = briefs(
        config(
            a=section("Everything"),
            b=section("Gate", process="badges"),
            c=section("Parent"),
            d=section("Failing", process="badges"),
            e=section("Lonely", process="main"),
        )
    )

    assert {name: names(brief) for name, brief in found.items()} == {"main": ["a", "c", "e"], "badges": ["b", "d"]}
    assert all(brief.is_first and brief.path == sys.path for brief in found.values())


def test_there_is_no_process_without_anybody_in_it() -> None:
    assert list(briefs(config(b=section("Gate", process="badges")))) == ["badges"]
    assert briefs(config()) == {}


def test_producers_and_the_monitoring_are_in_one_process(fedmsg: FedmsgConfigFiles) -> None:
    of = config(monitoring="ipc:///nowhere/m", b=section("Gate", process="badges"))

    found = briefs(of, fedmsg, producers=["m:P", "m:Q", "m:P"])

    assert {name: brief.producers for name, brief in found.items()} == {"main": ["m:P", "m:Q"], "badges": []}
    assert {name: brief.config.fedmsg.monitoring_socket for name, brief in found.items()} == {
        "main": "ipc:///nowhere/m",
        "badges": "",
    }


def test_without_fedmsg_nothing_is_monitored() -> None:
    assert briefs(config(monitoring="ipc:///nowhere/m")) == {}


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a", ""), ("", "a"), ("main", "a")])
def test_a_group_that_is_torn_apart_is_refused(one: str, other: str) -> None:
    of = config(x=section("Lonely", group="g", process=one), y=section("Lonelier", group="g", process=other))

    with pytest.raises(ConfigError, match=r"^consumers\.y is in group 'g', and in another process than the others"):
        briefs(of)


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("", ""), ("main", ""), ("", "main")])
def test_a_group_may_be_in_any_one_process(one: str, other: str) -> None:
    of = config(x=section("Lonely", group="g", process=one), y=section("Lonelier", group="g", process=other))

    assert [names(brief) for brief in briefs(of).values()] == [["x", "y"]]


@pytest.fixture
def built(tmp_path: Path) -> Iterator[RemoteCrew]:
    """A crew in two processes."""
    of = config(
        a=section("Everything", workers=2),
        b=section("Gate", process="badges", settings={"fifo": str(tmp_path / "fifo")}),
        c=section("Unbuildable"),
    )
    with closing(RemoteRoster(of).build(nothing)) as crew:
        yield crew


def test_what_is_known_of_consumers_in_other_processes(built: RemoteCrew) -> None:
    known = [(m.name, m.section.workers, m.consumer and m.consumer.topics) for m in built.members]

    assert known == [("a", 2, ("",)), ("c", 1, None), ("b", 1, ("",))]
    assert (built.producer_rows, built.disabled, built.is_idle) == ([], [], False)


def test_a_crew_of_nobody_is_idle() -> None:
    with closing(RemoteRoster(config(c=section("Unbuildable"))).build(nothing)) as crew:
        assert crew.is_idle
        assert [member.name for member in crew.members] == ["c"]


def test_where_nobody_is_to_be_built_fedmsgs_libraries_are_what_is_missing(
    fedmsg: FedmsgConfigFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of its consumers, which would declare them, needs fedmsg."""
    monkeypatch.setitem(sys.modules, "fedmsg.consumers", None)

    with pytest.raises(MissingLibraryError, match=r"^consumers of fedmsg cannot be loaded: "):
        RemoteRoster(config(), fedmsg).build(nothing)


def test_without_fedmsgs_configuration_none_of_its_libraries_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fedmsg.consumers", None)

    with closing(RemoteRoster(config()).build(nothing)) as crew:
        assert crew.is_idle


def test_a_process_that_dies_before_its_consumers_are_built_is_an_error(tmp_path: Path) -> None:
    settings = {"licence": str(tmp_path / "licence"), "deed": "die", "file": ""}
    of = config(a=ConsumerSection("tests.integration.crashing:OnceOnly", settings=settings))

    with pytest.raises(HubError, match=r"^worker process main ended with status 9 before its consumers were built"):
        RemoteRoster(of).build(nothing)


def test_what_consumers_send_goes_through_one_socket_that_is_opened_with_the_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    endpoint = f"tcp://127.0.0.1:{address[1]}"
    of = config(ZmqSection(publish_endpoints=(endpoint,)), a=section("Everything"))
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.subscribe(b"")
    subscriber.connect(endpoint)
    try:
        with closing(RemoteRoster(of).build(nothing)) as crew:
            socket.create_server(address).close()  # nobody has it yet
            said = crew._heard("main")["publish"]

            def is_heard() -> bool:
                said(b"org.test", b"{}")
                return bool(subscriber.poll(20))

            wait_until(is_heard, "the two to know each other")
            received = subscriber.recv_multipart()
    finally:
        context.destroy(linger=0)

    assert received == [b"org.test", b"{}"]
    assert not caplog.records, "it could not be opened twice"


def test_where_nothing_can_be_published_a_process_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    of = config(ZmqSection(publish_endpoints=(f"ipc://{tmp_path}/no/such/directory",)), a=section("Everything"))

    with closing(RemoteRoster(of).build(nothing)) as crew:
        for _ in range(100):
            crew._heard("main")["publish"](b"org.test", b"{}")

    assert caplog.text.count("a message that a consumer sends reaches nobody") == 1
