# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is compared on a broker: each consumes the same messages, out of a quorum queue of the same name.

The queue is full before anybody begins, so that nobody waits for a publisher, and the broker does nothing else.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pika

from tools.rabbitmq import Broker, why_not

from .consumers import Callback
from .figures import BenchError
from .letters import TOPIC, letters
from .processes import Child, scratch, wait_for
from .tallies import COUNTED, DIRECTORY, MESSAGES, began_at, path_of

#: The queue that all consume.
QUEUE = "bench"

#: What each may have and has not acknowledged.
PREFETCH = 100

#: Messages that come before those that count.
WARM_UP = 500

_EXCHANGE = "amq.topic"
_ARGUMENTS = {"x-queue-type": "quorum"}
_CALLBACK = f"{Callback.__module__}:{Callback.__qualname__}"


class Contestant(Protocol):
    """Something that consumes messages.

    Attributes:
        tally: Name of the tally that it writes.
    """

    tally: str

    def command(self, broker: Broker, directory: Path) -> list[str]:
        """The module to run, and its arguments."""


class BareLoop:
    """See `benchmarks.amqp_raw`."""

    tally = "raw"

    def command(self, broker: Broker, directory: Path) -> list[str]:
        """See `Contestant`."""
        return ["benchmarks.amqp_raw", broker.url, QUEUE, str(PREFETCH)]


class FedoraMessaging:
    """fedora-messaging's own consumer, with a callback that does nothing."""

    tally = Callback.__qualname__

    def command(self, broker: Broker, directory: Path) -> list[str]:
        """See `Contestant`."""
        return ["benchmarks.fedora_messaging_consumer", str(their_config(broker, directory)), _CALLBACK]


class Glasshub:
    """`glasshub run`, with one consumer that has the queue for its own."""

    def __init__(self, shape: str, consumer: str = "Span0") -> None:
        """Take the shape, and the name of a class in `benchmarks.consumers`."""
        self.tally = consumer
        self._shape = shape

    def command(self, broker: Broker, directory: Path) -> list[str]:
        """See `Contestant`."""
        directory.mkdir(exist_ok=True)
        config = directory / "glasshub.toml"
        config.write_text(
            f"[fedmsg]\ndiscover = false\n\n[fedora-messaging]\nprefetch = {PREFETCH}\n\n"
            f'[consumers.{self.tally}]\nclass = "benchmarks.consumers:{self.tally}"\nqueue = "{QUEUE}"\n',
            encoding="utf-8",
        )
        named = ["--consumer", f"benchmarks.consumers:{self.tally}", "--config", str(config)]
        bus = ["--fedora-messaging", str(their_config(broker, directory))]
        return ["glasshub", "run", "--shape", self._shape, "--stats-dir", str(directory), *bus, *named]


class Spent(NamedTuple):
    """What a run took.

    Attributes:
        messages: How many counted.
        seconds: From the first of them to the last one.
        hub, workers, broker: Seconds of processor time of the process that was started, of those that it started, and
            of the broker, meanwhile.
    """

    messages: int
    seconds: float
    hub: float
    workers: float
    broker: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    def each(self, seconds: float) -> float:
        """Microseconds for a message, of so many seconds for all."""
        return seconds / self.messages * 1e6


class Bus:
    """A broker with the queue, and what publishes into it. Threads: one."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        self._channel = self._connection.channel()
        bodies = ((letter.topic.decode(), json.loads(letter.stamped(0))["msg"]) for letter in letters())
        self._supply = [(topic, json.dumps(body).encode()) for topic, body in bodies]
        self._make()

    def fill(self, messages: int) -> float:
        """Publish messages, and wait until they are in the queue; the processor time in seconds that it took."""
        began = self.spent()
        self.publish(messages)
        wait_for(lambda: self.ready() >= messages or None, "all messages in the queue")
        return self.spent() - began

    def publish(self, messages: int) -> None:
        """Have messages on their way to the queue."""
        for topic, body in itertools.islice(itertools.cycle(self._supply), messages):
            self._channel.basic_publish(_EXCHANGE, topic, body, _properties())

    def ready(self) -> int:
        """How many messages wait."""
        return int(self._channel.queue_declare(QUEUE, passive=True).method.message_count)

    def wait_for_subscribers(self, count: int, children: Sequence[Child]) -> None:
        """Return when so many subscribe to the queue."""

        def there_are() -> bool | None:
            for child in children:
                child.check()
            answer = self._channel.queue_declare(QUEUE, passive=True)
            return answer.method.consumer_count == count or None

        wait_for(there_are, f"{count} subscribers")

    def empty(self) -> None:
        """Throw away what is left, queue and all."""
        self._channel.queue_delete(QUEUE)
        self._make()

    def spent(self) -> float:
        """Processor time that the broker has used so far, in seconds."""
        return processor_time(self.broker.erlang_pid)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _make(self) -> None:
        for name in (QUEUE, f"{QUEUE}.parked"):
            self._channel.queue_declare(name, durable=True, arguments=_ARGUMENTS)
        self._channel.queue_bind(QUEUE, _EXCHANGE, f"{TOPIC}.#")


@contextmanager
def opened_bus() -> Iterator[Bus]:
    """A broker of our own, with its files on disk.

    Raises:
        BenchError: There is no RabbitMQ here.
    """
    reason = why_not()
    if reason:
        raise BenchError(reason)
    with scratch(on_disk=True) as directory, Broker(directory / "broker") as broker, closing(Bus(broker)) as bus:
        yield bus


def run_once(bus: Bus, contestant: Contestant, messages: int) -> Spent:
    """Fill the queue, start the contestant, and wait until it has consumed all."""
    with scratch() as directory:
        bus.fill(WARM_UP + messages)
        environment = {DIRECTORY: str(directory), MESSAGES: str(WARM_UP + messages), COUNTED: str(messages)}
        path = path_of(contestant.tally, directory)
        with Child(*contestant.command(bus.broker, directory), directory=directory, environment=environment) as child:
            wait_for(lambda: _is_there(began_at(path), child), "the first message consumed", pause=0.002)
            before = _spent(child.pid, bus)
            wait_for(lambda: _is_there(path, child), "all messages consumed", pause=0.002)
            hub, workers, broker = (then - now for then, now in zip(_spent(child.pid, bus), before))
        finished_ns, began_ns = map(int, path.read_text(encoding="ascii").split())
        bus.empty()
    return Spent(messages, (finished_ns - began_ns) / 1e9, hub, workers, broker)


def _spent(pid: int, bus: Bus) -> tuple[float, float, float]:
    return processor_time(pid), sum(map(processor_time, _children(pid))), bus.spent()


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def their_config(broker: Broker, directory: Path) -> Path:
    """Write a configuration of fedora-messaging's that consumes the queue."""
    directory.mkdir(exist_ok=True)
    path = directory / "fedora-messaging.toml"
    path.write_text(
        f'amqp_url = "{broker.url}"\npassive_declares = true\n\n'
        f'[[bindings]]\nqueue = "{QUEUE}"\nexchange = "{_EXCHANGE}"\nrouting_keys = ["{TOPIC}.#"]\n\n'
        f"[queues.{QUEUE}]\ndurable = true\nauto_delete = false\nexclusive = false\n"
        f'[queues.{QUEUE}.arguments]\nx-queue-type = "quorum"\n\n'
        f"[qos]\nprefetch_size = 0\nprefetch_count = {PREFETCH}\n\n"
        '[log_config]\nversion = 1\n[log_config.root]\nlevel = "ERROR"\n',
        encoding="utf-8",
    )
    return path


def _properties() -> Any:
    headers: Mapping[str, Any] = {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": "2026-11-24T00:00:00+00:00",
    }
    return pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        message_id=f"{time.monotonic_ns()}",
        headers=headers,
    )


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


def _is_there(path: Path, child: Child) -> bool | None:
    child.check()
    return path.exists() or None
