# SPDX-License-Identifier: LGPL-2.1-or-later
"""A site that ran fedmsg-hub: its consumers and producers, unmodified, in `glasshub run` on a live bus."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from glasshub.dispatch import SHAPES
from glasshub.message import Frame
from glasshub.spool import Log

from ..unit.fake_datagrepper import FakeDatagrepper, published
from .hubs import DEADLINE, Bus, HubProcess, hub_on, listener, wait_until
from .old_site import ENABLED, noted

HERE = "tests.integration.old_site"

every_shape = pytest.mark.parametrize("shape", SHAPES)


@contextmanager
def site(
    bus: Bus,
    directory: Path,
    *consumers: str,
    producers: tuple[str, ...] = (),
    shape: str = "threads",
    toml: str = "",
    fedmsg: str = "",
    **config: Any,
) -> Iterator[HubProcess]:
    """A hub with these of `old_site`, and fedmsg's configuration."""
    file = directory / "fedmsg-config.py"
    endpoints = {"bus": [bus.endpoint]}
    config = {"endpoints": endpoints, ENABLED: True, "validate_signatures": False, "environment": "dev", **config}
    file.write_text(f"config = {config!r}\n", encoding="utf-8")
    arguments = ["--shape", shape, "--with-consumers", ",".join(f"{HERE}:{name}" for name in consumers)]
    arguments += ["--with-producers", ",".join(f"{HERE}:{name}" for name in producers)]
    toml += f'\n[fedmsg]\nconfig = ["{file}"]\n{fedmsg}'
    with hub_on(bus if consumers else None, directory, *arguments, toml=toml) as hub:
        yield hub


def say(bus: Bus, *texts: str, topic: str = "org.site.x") -> None:
    for text in texts:
        bus.publish(topic, {"topic": topic, "msg": text})


def wait_for_note(directory: Path, name: str, what: Any) -> None:
    wait_until(lambda: what in noted(directory, name), f"{name} to note {what!r}")


@every_shape
def test_what_a_consumer_puts_into_its_own_queue_is_handled_and_counted(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Commanded", "FromConstructor", shape=shape) as hub:
        say(bus, "put 5")
        snapshot = hub.wait_until(lambda s: [c.processed for c in s.consumers] == [6, 1], "all to be processed")

        assert hub.stop() == 0
    assert noted(tmp_path, "FromConstructor") == ["from the constructor"]
    assert [(c.enqueued, c.injected, c.backlog) for c in snapshot.consumers] == [(6, 5, 0), (1, 1, 0)]


@every_shape
def test_work_that_work_brings_is_done_before_a_stopped_hub_ends(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Commanded", shape=shape) as hub:
        say(bus, "put 300")
        hub.wait_until(lambda s: s.consumers[0].processed > 0, "work to begin")

        assert hub.stop() == 0
    assert len(noted(tmp_path, "Commanded")) == 301


@every_shape
def test_a_consumer_subscribes_and_unsubscribes_while_it_runs(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Commanded", shape=shape) as hub:
        say(bus, "subscribe net.later")
        bus.wait()  # the hub has subscribed to more
        say(bus, "hello", topic="net.later.x")
        wait_for_note(tmp_path, "Commanded", ["other", "net.later.x"])
        say(bus, "unsubscribe")
        bus.wait_for_unsubscription()
        say(bus, "lost", topic="net.later.x")
        say(bus, "end")
        wait_for_note(tmp_path, "Commanded", "end")

        assert hub.stop() == 0
    assert noted(tmp_path, "Commanded") == ["subscribe", ["other", "net.later.x"], "unsubscribe", "end"]


@every_shape
def test_twisteds_reactor_runs_and_is_heard_on_a_quiet_bus(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Commanded", shape=shape) as hub:
        say(bus, "later", "thread")

        wait_for_note(tmp_path, "Commanded", ["later", True])
        wait_for_note(tmp_path, "Commanded", "in thread")
        assert hub.stop() == 0


@every_shape
@pytest.mark.parametrize("how", ["reactor", "stop", "close", "later"])
def test_a_consumer_that_stops_reactor_or_hub_has_us_drain_and_end(
    tmp_path: Path, bus: Bus, shape: str, how: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with site(bus, tmp_path, "Commanded", "Stopping", shape=shape) as hub:
        say(bus, f"stop {how}", "after")
        if shape != "inline":  # where nobody sees what waits
            hub.wait_until(lambda snapshot: snapshot.hub.received == 2, "both to be received")
        (tmp_path / "fifo").write_bytes(b"")

        assert hub.process.wait(DEADLINE) == 0
    assert noted(tmp_path, "Commanded") == ["stop", "after"]
    assert noted(tmp_path, "Stopping")[-1] == "stopped"


def test_what_is_sent_through_the_hub_is_published(tmp_path: Path, bus: Bus) -> None:
    endpoint = f"ipc://{tmp_path}/out"
    with listener(endpoint) as out, site(bus, tmp_path, "Commanded", zmq_publish_endpoints=endpoint):
        say_until_heard(bus, "send com.site.answer", out)

        assert out.recv_multipart() == [b"com.site.answer", b'{"from": "the hub"}']


@every_shape
def test_what_is_sent_where_nothing_is_published_is_told_of(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Commanded", shape=shape) as hub:
        say(bus, "send com.site.answer", "end")
        wait_for_note(tmp_path, "Commanded", "end")

        assert hub.stop() == 0
    assert hub.said().count("a message that a consumer sends reaches nobody: set zmq_publish_endpoints") == 1


def test_fedmsg_publishes_from_a_worker_with_the_hubs_configuration(tmp_path: Path, bus: Bus) -> None:
    """It looks for its configuration by itself, and finds that of the hub."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    name = "site.publisher"
    with (
        listener(endpoint) as out,
        site(
            bus,
            tmp_path,
            "Commanded",
            endpoints={"bus": [bus.endpoint], name: [endpoint]},
            name=name,
            topic_prefix="org.x",
        ),
    ):
        say_until_heard(bus, "publish hello", out)
        topic, body = out.recv_multipart()

    assert topic == b"org.x.dev.site.answer"
    assert json.loads(body)["msg"] == {"text": "hello"}


def test_all_ways_to_the_configuration_say_the_same(tmp_path: Path, bus: Bus) -> None:
    with site(bus, tmp_path, "Commanded", environment="stg"):
        say(bus, "config environment")

        wait_for_note(tmp_path, "Commanded", ["stg", "stg", "stg"])


def test_one_that_fails_gets_nothing_and_one_that_is_disabled_is_constructed(tmp_path: Path, bus: Bus) -> None:
    with site(bus, tmp_path, "Broken", "Disabled", "Commanded") as hub:
        say(bus, "list")
        snapshot = hub.wait_until(lambda s: s.consumers[-1].processed == 1, "the message to be processed")

        assert hub.stop() == 0
    assert noted(tmp_path, "Commanded") == ["list", ["Commanded"]]
    assert (noted(tmp_path, "Broken"), noted(tmp_path, "Disabled")) == ([], ["constructed"])
    assert [(c.name, c.initialized) for c in snapshot.consumers] == [("Broken", 0), ("Commanded", 1)]


@pytest.mark.parametrize(
    ("config", "toml"),
    [
        ({"moksha.workers_per_consumer": 2}, ""),
        ({}, f'[consumers.Together]\nclass = "{HERE}:Together"\nworkers = 2\n'),
    ],
)
def test_a_consumer_has_as_many_workers_as_moksha_or_its_section_says(
    tmp_path: Path, bus: Bus, config: dict[str, Any], toml: str
) -> None:
    with site(bus, tmp_path, "Together", toml=toml, **config) as hub:
        say(bus, "one", "two")
        snapshot = hub.wait_until_finished(2)

    assert (snapshot.consumers[0].workers, snapshot.consumers[0].processed) == (2, 2)
    assert noted(tmp_path, "Together") == ["together"] * 2


@every_shape
def test_producers_are_polled_and_feed_consumers(tmp_path: Path, bus: Bus, shape: str) -> None:
    with site(bus, tmp_path, "Site", producers=("Feeding", "Raising"), shape=shape) as hub:
        snapshot = hub.wait_until(
            lambda s: s.producers[0].runs == 3 and s.producers[1].failures > 1 and s.consumers[0].processed == 3,
            "three polls, two failures",
        )

        assert hub.stop() == 0
    assert noted(tmp_path, "Site") == ["fed"] * 3
    assert [producer.name for producer in snapshot.producers] == ["Feeding", "Raising"]
    assert snapshot.producers[0].last_run == pytest.approx(max(noted(tmp_path, "Feeding")), abs=1)
    assert hub.said().count("producer Raising failed") == 1  # said once, counted always


def test_a_slow_producer_delays_nobody_and_may_finish_when_the_hub_stops(tmp_path: Path, bus: Bus) -> None:
    os.mkfifo(tmp_path / "fifo")
    with site(bus, tmp_path, "Site", producers=("Slow", "Feeding")) as hub:
        wait_for_note(tmp_path, "Slow", "began")
        say(bus, "from the bus")
        hub.wait_until(lambda s: s.consumers[0].processed == 4, "everybody else to work")
        hub.process.send_signal(signal.SIGTERM)
        hub.wait_until(lambda s: s.hub.phase == "draining", "the hub to wait for the producer")
        (tmp_path / "fifo").write_bytes(b"")

        assert hub.process.wait(DEADLINE) == 0
    assert noted(tmp_path, "Slow") == ["began", "ended"]


def test_a_producer_that_does_not_end_is_left_behind(tmp_path: Path, bus: Bus) -> None:
    os.mkfifo(tmp_path / "fifo")
    with site(bus, tmp_path, "Site", producers=("Slow",), toml="[hub]\ndrain_timeout = 0.5\n") as hub:
        wait_for_note(tmp_path, "Slow", "began")

        assert hub.stop() == 0
    assert "left undone: producer-Slow is still at work" in hub.said()


def test_a_thread_of_twisteds_that_does_not_end_is_left_behind(tmp_path: Path, bus: Bus) -> None:
    with site(bus, tmp_path, "Commanded") as hub:
        say(bus, "linger")
        hub.wait_until_finished(1)

        assert hub.stop() == 0
    assert "a thread of Twisted's does not end" in hub.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_consumer_that_wants_the_hubs_signals_does_not_get_them(tmp_path: Path, bus: Bus, number: int) -> None:
    with site(bus, tmp_path, "SignalTaking") as hub:
        wait_until(lambda: "hub h runs" in hub.said(), "the hub to be ready")

        assert hub.stop(number) == 0


def test_a_low_limit_of_descriptors_is_raised_as_fedmsg_hub_does(tmp_path: Path, bus: Bus) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with site(bus, tmp_path, "Site") as hub:
            raised = resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert raised == (4096, hard)


def test_a_hub_of_producers_alone_runs(tmp_path: Path, bus: Bus) -> None:
    with site(bus, tmp_path, producers=("Raising",)) as hub:
        hub.wait_until(lambda s: s.producers[0].failures > 0, "a poll")

        assert hub.stop() == 0


def test_a_worker_process_that_takes_the_place_of_another_fetches_nothing(tmp_path: Path, bus: Bus) -> None:
    """The hub has received all the while."""
    now = int(time.time())
    last, missed = [published(n, "org.site.a", timestamp=now - 300 + n, msg=n) for n in range(2)]
    write_status(tmp_path, last)
    with FakeDatagrepper() as datagrepper:
        datagrepper.rows += [last, missed]
        place, url = str(tmp_path), datagrepper.url
        with site(bus, tmp_path, "Site", shape="processes", status_directory=place, datagrepper_url=url) as hub:
            hub.wait_until(lambda s: s.consumers[0].processed == 1 and not s.consumers[0].fetching, "the fetch")
            asked = len(datagrepper.asked)
            pid = hub.process.pid
            os.kill(int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")), signal.SIGKILL)
            hub.wait_until(lambda s: s.hub.worker_restarts == s.hub.worker_processes == 1, "another process")
            bus.publish("org.site.a", published(2, "org.site.a", msg=2))
            hub.wait_until(lambda s: s.consumers[0].processed == 2, "it to be at work")

            assert hub.stop() == 0
        assert len(datagrepper.asked) == asked


@every_shape
def test_what_was_published_while_the_hub_was_down_is_fetched_and_handled_once(
    tmp_path: Path, bus: Bus, shape: str
) -> None:
    """The bus brings some of it as well."""
    now = time.time()
    last, *missed = [published(n, "org.site.a", timestamp=int(now) - 300 + n, msg=n) for n in range(251)]
    write_status(tmp_path, last)
    with FakeDatagrepper() as datagrepper:
        datagrepper.rows += [last, *missed, published(999, "com.other", timestamp=int(now) - 10)]
        with site(
            bus, tmp_path, "Site", shape=shape, status_directory=str(tmp_path), datagrepper_url=datagrepper.url
        ) as hub:
            hub.wait_until(lambda s: s.consumers[0].fetched == s.consumers[0].processed == 250, "the fetch")
            for message in [missed[-1], published(1000, "org.site.a", msg=1000)]:
                bus.publish("org.site.a", message)
            snapshot = hub.wait_until_finished(252)

            assert hub.stop() == 0
    (stats,) = snapshot.consumers
    assert noted(tmp_path, "Site") == [*range(1, 251), 1000]
    assert (stats.injected, stats.processed, stats.duplicates, stats.fetching) == (250, 251, 1, 0)
    assert json.loads((tmp_path / "h" / "Site").read_text())["message"]["body"]["msg_id"] == "2014-1000"


def test_what_waits_in_the_spool_is_not_fetched_but_what_came_after_it_is(tmp_path: Path, bus: Bus) -> None:
    """The status file names a message long before; each of those behind it is handled once, and none is missed."""
    now = int(time.time())
    rows = [published(n, "org.site.a", timestamp=now - 1000 + n, msg=n) for n in range(500)]
    write_status(tmp_path, rows[0])
    (tmp_path / "spool").mkdir(mode=0o700)
    with Log(tmp_path / "spool" / "h", consumers=["Site"]) as log:
        log.append([(waiting(row, now - 1000 + n), (0,)) for n, row in enumerate(rows[1:400], 1)])
    with FakeDatagrepper() as datagrepper:
        datagrepper.rows += rows
        with site(
            bus,
            tmp_path,
            "Site",
            fedmsg=f"backlog_limit = 120\n[spool]\ndirectory = '{tmp_path}/spool'\n",
            status_directory=str(tmp_path),
            datagrepper_url=datagrepper.url,
        ) as hub:
            snapshot = hub.wait_until(lambda s: s.consumers[0].processed == 499 and not s.consumers[0].fetching, "all")
            hub.stop()

    assert sorted(noted(tmp_path, "Site")) == list(range(1, 500))
    assert (snapshot.consumers[0].restored, snapshot.consumers[0].fetch_missed) == (399, 0)
    assert snapshot.consumers[0].fetched < 120


def waiting(row: dict[str, Any], received: float) -> Frame:
    """A message that the bus has brought, at that Unix time."""
    topic = str(row["topic"]).encode()
    return Frame(topic, json.dumps(row).encode(), time.monotonic_ns() - int((time.time() - received) * 1e9))


def test_a_fetch_is_bounded_and_what_it_misses_is_counted(tmp_path: Path, bus: Bus) -> None:
    now = int(time.time())
    rows = [published(n, "org.site.a", timestamp=now - 1000 + n, msg=n) for n in range(500)]
    write_status(tmp_path, rows[0])
    with FakeDatagrepper() as datagrepper:
        datagrepper.rows += rows
        with site(
            bus,
            tmp_path,
            "Site",
            fedmsg="backlog_limit = 120\n",
            status_directory=str(tmp_path),
            datagrepper_url=datagrepper.url,
        ) as hub:
            snapshot = hub.wait_until_finished(120)

            assert hub.stop() == 0
    assert noted(tmp_path, "Site") == list(range(1, 121))
    assert (snapshot.consumers[0].fetched, snapshot.consumers[0].fetch_missed) == (120, 379)
    assert len(datagrepper.asked) == 2


def test_a_datagrepper_that_does_not_answer_holds_nobody_up(tmp_path: Path, bus: Bus) -> None:
    write_status(tmp_path, published(0, "org.site.a", timestamp=int(time.time()) - 300))
    with FakeDatagrepper() as datagrepper:
        datagrepper.troubles.append(None)
        with site(bus, tmp_path, "Site", status_directory=str(tmp_path), datagrepper_url=datagrepper.url) as hub:
            hub.wait_until(lambda s: s.consumers[0].fetching, "the fetch to begin")
            say(bus, "from the bus")
            hub.wait_until_finished(1)

            assert hub.stop() == 0
    assert noted(tmp_path, "Site") == ["from the bus"]


def write_status(directory: Path, message: Any) -> None:
    """What the hub of the last run has left."""
    (directory / "h").mkdir()
    (directory / "h" / "Site").write_text(
        json.dumps({"message": {"topic": message["topic"], "body": message}, "status": "post"})
    )


def say_until_heard(bus: Bus, text: str, out: zmq.Socket[bytes]) -> None:
    """Say it again and again: who has just connected misses what was published before."""

    def is_heard() -> bool:
        say(bus, text)
        return bool(out.poll(200))

    wait_until(is_heard, f"an answer to {text!r}")


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])
