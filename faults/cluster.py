# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hubs of one name that share the queues of a broker, as on two machines, and a publisher that knows what is there.

A real RabbitMQ, two real `glasshub run`, each with a directory of its own for stats and spool. What the broker has
confirmed to the publisher was accepted, and has to be handled by each consumer, in one hub or the other.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pika

from glasshub.dispatch import PROCESSES
from glasshub_stats import StatsError
from tests.integration.brokers import EXCHANGE, HEADERS, channel_of, depth, settings_file
from tests.integration.hubs import HubProcess, wait_until
from tools.rabbitmq import Broker, why_not

from .audit import Account, Shared, audit_shared, read_diary
from .messages import TOPIC, body, number_of
from .rig import (
    PATIENCE,
    BrokenPromiseError,
    ImpossibleError,
    Setting,
    children_of,
    expect,
    parked_in,
    toml_of,
    wait_for_end_of,
)

#: Messages of each queue that a hub may have and has not acknowledged.
PREFETCH = 100

#: Most messages of a consumer that a worker process, or a hub with a spool, has and has not said to be finished.
_BATCH = 64

#: Messages a second, at the most: each is confirmed before the next one.
_RATE = 400.0

#: Seconds between two questions to a queue. One that is asked more often does not elect a leader after a start of the
#: broker: in RabbitMQ 3.10 each question has it wait anew, for about a second.
_PAUSE = 1.5

_NAME = "h"


class Publisher(threading.Thread):
    """Publishes numbered messages, one after the other, through all ends of the broker.

    Attributes:
        confirmed: What the broker has.
        doubtful: What it may have.
    """

    def __init__(self, url: str) -> None:
        super().__init__(name="publisher", daemon=True)
        self.confirmed: set[int] = set()
        self.doubtful: set[int] = set()
        self._parameters = pika.URLParameters(url)
        self._parameters.socket_timeout = self._parameters.blocked_connection_timeout = PATIENCE
        self._number = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        """Publish until it is stopped."""
        while not self._is_over.is_set():
            try:
                self._publish()
            except pika.exceptions.AMQPError:
                self._is_over.wait(0.05)  # until the broker is there again

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        if self.is_alive():
            self.join(PATIENCE)

    def _publish(self) -> None:
        with contextlib.closing(pika.BlockingConnection(self._parameters)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            while not self._is_over.wait(1 / _RATE):
                number, self._number = self._number, self._number + 1
                self.doubtful.add(number)
                channel.basic_publish(EXCHANGE, TOPIC, body(number), _properties(number), mandatory=True)
                self.doubtful.remove(number)
                self.confirmed.add(number)


class Cluster:
    """A broker, two hubs and a publisher. A context manager: nothing of it is left afterwards.

    Attributes:
        publisher: Has to be started.
        notes: What was done, for the record.
    """

    def __init__(self, directory: Path, setting: Setting, shape: str, *, has_spool: bool) -> None:
        """Start the broker and the hubs.

        Raises:
            ImpossibleError: There is no RabbitMQ on this machine.
        """
        if why_not():
            raise ImpossibleError(why_not())
        self._directory, self._setting, self._shape, self._has_spool = directory, setting, shape, has_spool
        self._deeds: Counter[str] = Counter()
        self._bounds: Counter[str] = Counter()  # for each consumer, what may come again
        self._was_unacknowledged = 0
        self._hubs: list[HubProcess] = []
        self._broker = Broker(directory / "broker")
        try:
            self.publisher = Publisher(self._broker.url)
            self._hubs = [self._launched(number) for number in range(2)]
            self._await_hubs()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.publisher.stop()
        for hub in self._hubs:
            hub.close()
        self._broker.close()

    # What happens to it

    def kill_hub(self, chance: random.Random) -> None:
        """kill -9 of one of the hubs, which is started again."""
        number = chance.randrange(2)
        hub = self._hubs[number]
        orphans = children_of(hub.process.pid)
        self._charge(hub, PREFETCH + _BATCH * self._has_spool)
        hub.process.kill()
        hub.process.wait()
        wait_for_end_of(orphans, hub.directory)
        self._hubs[number] = self._launched(number)
        self._await_hubs()
        self._deeds["hubs killed"] += 1

    def kill_worker(self, chance: random.Random) -> None:
        """kill -9 of a worker process, where there are any."""
        if self._shape != PROCESSES:
            return
        hub = chance.choice(self._hubs)
        wait_until(lambda: children_of(hub.process.pid), "a worker process")
        worker = chance.choice(sorted(children_of(hub.process.pid)))
        self._charge(hub, _BATCH)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in children_of(hub.process.pid), "the hub to bury its worker")
        self._deeds["workers killed"] += 1

    def stop_broker(self, chance: random.Random) -> None:
        """The broker is stopped in good order, and started."""
        self._end_broker(self._broker.stop, "brokers stopped")

    def kill_broker(self, chance: random.Random) -> None:
        """kill -9 of the broker, which is started again."""
        self._end_broker(self._broker.kill, "brokers killed")

    def settle(self) -> None:
        """Wait until everything that was published is handled or parked. The publisher is stopped."""
        end = time.monotonic() + PATIENCE
        time.sleep(_PAUSE)
        while not all(self._is_quiet(hub) for hub in self._hubs):
            if time.monotonic() > end:
                raise BrokenPromiseError(f"waited {PATIENCE:g} s in vain for everything to be finished")
            time.sleep(_PAUSE)

    def stop(self) -> None:
        """End the hubs with SIGTERM."""
        for hub in self._hubs:
            code = hub.stop()
            expect(code == 0, f"a hub ended with {code}: {hub.said()[-500:]}")

    # The audit

    @property
    def notes(self) -> Sequence[str]:
        """What was done, for the record."""
        deeds = ", ".join(f"{count} {deed}" for deed, count in sorted(self._deeds.items()))
        bounds = ", ".join(f"{name} {bound}" for name, bound in self._bounds.items())
        return [
            f"{deeds}; {len(self.publisher.confirmed)} messages confirmed, {len(self.publisher.doubtful)} in doubt",
            f"may come again, by prefetch: {bounds}; unacknowledged in what was killed: {self._was_unacknowledged}",
        ]

    def audit(self) -> tuple[list[Account], list[str]]:
        """Audit everything that was published. The hubs have ended."""
        shared = [
            Shared(
                name,
                read_diary(self._diary(name)),
                self._parked(name),
                left=depth(self._broker, _queue(name)).ready,
                may_repeat=self._bounds[name],
            )
            for name in self._setting.consumers
        ]
        return audit_shared(self.publisher.confirmed, self.publisher.doubtful, shared)

    def _end_broker(self, end: Any, what: str) -> None:
        for hub in self._hubs:
            self._charge(hub, PREFETCH)
        end()
        self._broker.start()
        self._await_hubs(_PAUSE)
        self._deeds[what] += 1

    def _charge(self, hub: HubProcess, messages: int) -> None:
        """Note that so many messages of each consumer may come again, because of something that happens to the hub."""
        for name in self._setting.consumers:
            self._bounds[name] += messages
        with contextlib.suppress(StatsError):
            for consumer in hub.snapshot().consumers:
                self._was_unacknowledged += getattr(consumer, "broker_unacknowledged", 0)

    def _launched(self, number: int) -> HubProcess:
        directory = self._machine(number)
        directory.mkdir(exist_ok=True)
        spool = directory / "spool" if self._has_spool else None
        section: Mapping[str, Any] = {"prefetch": PREFETCH, "acknowledge": "spooled" if spool else "processed"}
        bus = {"hub": {"source": "fedora-messaging"}, "fedora-messaging": section}
        toml = toml_of(self._setting, self._shape, bus, spool, self._diary)
        broker = settings_file(directory, self._broker)
        return HubProcess(directory, None, ["--fedora-messaging", str(broker)], toml=toml, name=_NAME)

    def _await_hubs(self, pause: float = 0.1) -> None:
        """Wait until both hubs subscribe to all queues.

        Args:
            pause: Seconds between two looks.

        Raises:
            BrokenPromiseError: They do not, or have ended.
        """
        try:
            for hub in self._hubs:
                hub.wait_until_running()
        except AssertionError as error:
            raise BrokenPromiseError(str(error)) from None
        end = time.monotonic() + PATIENCE
        while missing := [name for name in self._setting.consumers if self._subscribers(name) < len(self._hubs)]:
            if time.monotonic() > end:
                said = " | ".join(hub.said()[-500:].replace("\n", " ") for hub in self._hubs)
                raise BrokenPromiseError(f"no two hubs subscribe to the queue of {', '.join(missing)}: {said}")
            time.sleep(pause)

    def _subscribers(self, consumer: str) -> int:
        try:
            return depth(self._broker, _queue(consumer)).hubs
        except pika.exceptions.AMQPError:  # it is not there yet, or has no leader
            return 0

    def _is_quiet(self, hub: HubProcess) -> bool:
        queues = map(_queue, self._setting.consumers)
        is_empty = not any(depth(self._broker, queue).ready for queue in queues)
        consumers = hub.snapshot().consumers
        return is_empty and not any(one.backlog or one.in_flight or one.delayed for one in consumers)

    def _machine(self, number: int) -> Path:
        return self._directory / f"machine{number}"

    def _diary(self, consumer: str) -> Path:
        return self._directory / f"{consumer}.diary"

    def _parked(self, consumer: str) -> list[int]:
        """Numbers of the messages that are parked, on the broker and in the spools."""
        spools = [self._machine(number) / "spool" / _NAME for number in range(len(self._hubs)) if self._has_spool]
        numbers = [number for spool in spools for number in parked_in(spool).get(consumer, ())]
        with channel_of(self._broker) as channel:
            while True:
                method, _, found = channel.basic_get(f"{_queue(consumer)}.parked", auto_ack=True)
                if method is None:
                    return numbers
                numbers.append(number_of(found))


def _queue(consumer: str) -> str:
    return f"{_NAME}.{consumer}"


def _properties(number: int) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=f"m-{number}", headers=HEADERS
    )
