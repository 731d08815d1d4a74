# SPDX-License-Identifier: LGPL-2.1-or-later
"""A RabbitMQ of one's own: on loopback, in a directory, gone afterwards. For tests, benchmarks and the fault suite."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

#: Where distributions have the programs themselves: what is in PATH changes the user, and asks systemd.
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")

#: Ports from here on belong to nobody who is well known.
_LEAST_PORT = 20_000

#: Seconds that a broker may take to start or stop; it takes some five.
_DEADLINE = 90.0


def why_not() -> str:
    """Why no broker can be started here; nothing if one can."""
    missing = [name for name in ("rabbitmq-server", "rabbitmqctl") if not (_PROGRAMS / name).exists()]
    if shutil.which("erl") is None:
        missing.append("erl")
    return f"{', '.join(missing)} missing: install rabbitmq-server (tools/set-up --packages)" if missing else ""


class Broker:
    """A broker that runs from the construction until `close`; it may be stopped, killed and started in between.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        url: The same for an AMQP client; user and password are guest.
    """

    def __init__(self, directory: Path, *, settings: str = "", plugins: Sequence[str] = ()) -> None:
        """Start it.

        Args:
            directory: Where all that it writes goes; empty, or that of a broker before.
            settings: More lines of rabbitmq.conf(5).
            plugins: Plugins that are enabled.
        """
        self._directory = directory
        self.port, self._distribution_port = _free_port(), _free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "rabbitmq.conf").write_text(_SETTINGS.format(port=self.port) + settings, encoding="ascii")
        (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n", encoding="ascii")
        (directory / "advanced.config").write_text(_ADVANCED, encoding="ascii")
        self._environment = {
            **os.environ,
            "HOME": str(directory),  # where Erlang keeps its cookie
            "RABBITMQ_NODENAME": f"glasshub-{uuid.uuid4().hex[:12]}@localhost",
            "RABBITMQ_BASE": str(directory),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "no-such-file"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(_free_port()),
            "LC_ALL": "C.UTF-8",
        }
        self._process: subprocess.Popen[bytes] | None = None
        # Erlang would start one that nobody ends.
        epmd = ["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"]
        self._names = subprocess.Popen(epmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the broker itself: the leader of its process group; 0 while it is stopped."""
        return 0 if self._process is None else self._process.pid

    @property
    def erlang_pid(self) -> int:
        """Of the Erlang that runs it, which is what uses processor time."""
        return int((self._directory / "pid").read_text(encoding="ascii"))

    def start(self) -> None:
        """Start it, on the port that it had; what is durable is still there."""
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [_PROGRAMS / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until(self._answers, "RabbitMQ has not started")

    def stop(self) -> None:
        """Stop it in good order: clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: clients see their connections end."""
        self._end(signal.SIGKILL)

    def control(self, *arguments: str) -> str:
        """What rabbitmqctl(8) answers."""
        return subprocess.run(
            [_PROGRAMS / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
        ).stdout

    def close(self) -> None:
        """End it, and what it has started besides."""
        if self._process is not None:
            self.kill()
        self._names.kill()
        self._names.wait(_DEADLINE)

    def __enter__(self) -> Broker:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None, "the broker does not run"
        if number is signal.SIGTERM:
            self.control("shutdown")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_DEADLINE)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"RabbitMQ has not started, see {self._directory}/output and {self._directory}/log")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as client:
                client.settimeout(1.0)
                client.sendall(b"AMQP\0\0\x09\1")
                return bool(client.recv(1))
        except OSError:
            return False

    def _wait_until(self, holds: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _DEADLINE
        while not holds():
            assert time.monotonic() < deadline, f"{complaint} within {_DEADLINE} s, see {self._directory}"
            time.sleep(0.1)  # there is no event to wait for across processes


#: Nothing but loopback; no limits of ours on memory and disk, which a busy machine of a developer may be near to.
_SETTINGS = """\
listeners.tcp.local = 127.0.0.1:{port}
loopback_users.guest = true
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = info
"""

#: Quorum queues say how much is in them this often, in milliseconds: rabbitmqctl has it from there.
_ADVANCED = "[{rabbit, [{quorum_tick_interval, 200}]}].\n"


def _free_port() -> int:
    """A port that is free, and that the system gives nobody who connects.

    While the broker is stopped its clients try again and again to connect. One that was given the broker's own port to
    do so from would be connected with itself, and the broker could not have the port back.
    """
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.randrange(_LEAST_PORT, given)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
