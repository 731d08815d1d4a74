# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real hubs and real buses for integration tests: processes, sockets, and waiting for what can be seen of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import zmq

import glasshub_stats
from glasshub_stats import Snapshot, StatsError

ROOT = Path(__file__).parents[2]

#: Seconds after which something that should have happened has not.
DEADLINE = 30.0


def wait_until(holds: Callable[[], object], what: str, *, deadline: float = DEADLINE) -> None:
    """Return once `holds()` is true; fail with what was awaited if that takes too long."""
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"waited {deadline} s in vain: {what}"
        time.sleep(0.01)  # there is no event to wait for across processes


def got(path: Path, url: str) -> str:
    """The page that something serves on a UNIX socket."""
    connection = HTTPConnection("any.name.example")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(DEADLINE)
    connection.sock.connect(str(path))
    try:
        connection.request("GET", url)
        return connection.getresponse().read().decode("utf-8")
    finally:
        connection.close()


class Bus:
    """A publisher that knows its subscribers: what is published after `wait` reaches them all."""

    def __init__(self, directory: Path, name: str = "bus") -> None:
        self.endpoint = f"ipc://{directory}/{name}"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.bind(self.endpoint)

    def wait(self) -> None:
        """Wait until a hub has subscribed."""
        said = b""
        while not said.startswith(b"\1"):  # a hub that has gone says \0
            assert self._socket.poll(int(DEADLINE * 1000)), "no hub has subscribed"
            said = self._socket.recv()

    def wait_for_unsubscription(self) -> None:
        """Wait until a hub wants less than before: nothing, once it has ended."""
        said = b""
        while not said.startswith(b"\0"):
            assert self._socket.poll(int(DEADLINE * 1000)), "no hub has unsubscribed"
            said = self._socket.recv()

    def publish(self, topic: str, body: Any) -> None:
        """Publish one message."""
        self.send(topic.encode(), json.dumps(body).encode())

    def send(self, *parts: bytes) -> None:
        """Publish any parts."""
        self._socket.send_multipart(parts)

    def publish_many(self, count: int, topic: str = "org.fedoraproject.prod.git.receive") -> list[str]:
        """Publish messages that differ in their id; the ids."""
        ids = [f"2014-{number:06}" for number in range(count)]
        for msg_id in ids:
            self.publish(
                topic, {"topic": topic, "msg_id": msg_id, "msg": {"agent": "somebody"}, "timestamp": 1396000000}
            )
        return ids

    def close(self) -> None:
        """Close it."""
        self._context.destroy(linger=0)


class HubProcess:
    """`glasshub run`, or another command that runs a hub, in a process of its own."""

    def __init__(
        self,
        directory: Path,
        bus: Bus | None,
        arguments: Sequence[str],
        *,
        toml: str = "",
        name: str = "h",
        command: Sequence[str] = ("run",),
        python: Path = Path(sys.executable),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.segment = directory / f"{name}.stats"
        self.socket = directory / f"{name}.sock"
        self.log = directory / f"{name}.log"
        config = directory / f"{name}.toml"
        config.write_text(toml, encoding="utf-8")
        line = [str(python), "-m", "glasshub", *command, "--name", name, "--config", str(config), "--no-discover"]
        line += ["--zmq", bus.endpoint] if bus is not None else []
        line += ["--stats-dir", str(directory), *arguments]
        path = os.pathsep.join(str(ROOT / part) for part in ("hub", "collectd_plugin", "."))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                line,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            )

    def snapshot(self) -> Snapshot:
        """What its segment says now."""
        return glasshub_stats.read(str(self.segment))

    def wait_until(self, holds: Callable[[Snapshot], object], what: str, *, deadline: float = DEADLINE) -> Snapshot:
        """The first snapshot of which that holds."""
        found: list[Snapshot] = []

        def look() -> bool:
            assert self.process.poll() is None, f"the hub has ended: {self.said()}"
            try:
                snapshot = self.snapshot()
            except StatsError:
                return False
            if snapshot.pid == self.process.pid and holds(snapshot):
                found.append(snapshot)
            return bool(found)

        try:
            wait_until(look, what, deadline=deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.said()}") from None
        return found[0]

    def wait_until_running(self) -> Snapshot:
        """Wait until it is up."""
        return self.wait_until(lambda snapshot: snapshot.status() == "running", "the hub to run")

    def wait_until_finished(self, count: int) -> Snapshot:
        """Wait until every consumer has finished with so many messages."""
        return self.wait_until(
            lambda snapshot: all(c.finished >= count for c in snapshot.consumers if c.initialized),
            f"every consumer to finish {count} messages",
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8")

    def close(self) -> None:
        """See to it that it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


@contextmanager
def bus_in(directory: Path, name: str = "bus") -> Iterator[Bus]:
    """A bus for as long as the context lasts."""
    bus = Bus(directory, name)
    try:
        yield bus
    finally:
        bus.close()


@contextmanager
def hub_on(bus: Bus | None, directory: Path, *arguments: str, **more: Any) -> Iterator[HubProcess]:
    """A hub that has subscribed to the bus if there is one, for as long as the context lasts; see `HubProcess`."""
    hub = HubProcess(directory, bus, arguments, **more)
    try:
        hub.wait_until_running()
        if bus is not None:
            bus.wait()
        yield hub
    finally:
        hub.close()


@contextmanager
def listener(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """Somebody who listens to what the hub publishes."""
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"")
    socket.connect(endpoint)
    try:
        yield socket
    finally:
        context.destroy(linger=0)
