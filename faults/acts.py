# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to hubs. Each function is one thing; `faults.scenarios` says to which hubs, and what they promise then.

It starts the hub, publishes, injures, and ends the hub. The audit of all messages follows without being asked.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import glasshub_stats
from benchmarks.processes import resident_bytes
from glasshub.dispatch import PROCESSES
from glasshub.spool import SpoolDirectory
from glasshub_stats import StatsError
from tests.disks import SmallDisk, cram
from tests.integration.hubs import wait_until

from .cluster import Cluster
from .injuries import Crowd, answers, cut, flip_bits, halted, without_descriptors
from .messages import MALFORMED
from .rig import PATIENCE, BrokenPromiseError, Rig, expect

#: Seconds between two looks at the segment: collectd looks every 10.
_POLL = 0.25

#: So many processes may die of one message, before it is put aside.
MOST_DEATHS = 3


@dataclass(frozen=True)
class Options:
    """What one may want otherwise: how many times a process is killed in `kills`, the seed of all chance, and how many
    times one of two hubs is killed, and their broker stopped or killed, in `two-hubs`."""

    kills: int = 200
    seed: int = 2014
    hub_kills: int = 20
    broker_ends: int = 5


#: The first argument is the rig of the scenario.
Act = Callable[[Any, Options], None]


# What comes over the bus


def odd_messages(rig: Rig, options: Options) -> None:
    """Odd frames among good ones."""
    rig.start()
    rig.bus.publish(50)
    rig.bus.send_odd_things()
    rig.bus.publish(50)
    rig.settle()
    malformed = rig.hub.snapshot().hub.malformed
    expect(malformed == len(MALFORMED), f"{len(MALFORMED)} were malformed, {malformed} were counted")
    rig.stop()


def restarted_publisher(rig: Rig, options: Options) -> None:
    """The publisher is killed in mid-stream, and comes back."""
    rig.start()
    rig.bus.begin(1000)
    rig.wait(lambda snapshot: snapshot.hub.received > 200, "some messages")
    rig.bus.kill()
    rig.wait(lambda snapshot: snapshot.hub.connected == 0, "the loss of the connection")
    rig.wait(lambda snapshot: snapshot.hub.disconnects == 1, "the count of it")
    rig.bus.restart()
    wait_until(lambda: rig.bus.events()[-1].what == "subscribed", "the hub to come back")
    rig.mark()
    rig.bus.publish(200, 1000)
    rig.settle()
    rig.stop()


# Signals


def halted_hub(rig: Rig, options: Options) -> None:
    """The hub's process stands still for a while."""
    rig.start()
    rig.bus.begin(500)
    with halted(rig.hub.process.pid):
        wait_until(lambda: rig.hub.snapshot().status(stale_after=1.0) == "stuck", "the hub to be seen stuck")
    rig.wait(lambda snapshot: snapshot.status(stale_after=1.0) == "running", "the hub to be seen running")
    rig.bus.pause()
    rig.settle()
    rig.stop()


def halted_workers(rig: Rig, options: Options) -> None:
    """The processes of the consumers stand still for a while; the hub receives, and says what waits."""
    rig.start()
    rig.bus.begin(500)
    with contextlib.ExitStack() as stack, rig.freshness():
        for worker in _workers(rig):
            stack.enter_context(halted(worker))
        rig.wait(lambda snapshot: snapshot.hub.backlog > 1000, "a backlog")
    rig.bus.pause()
    rig.settle()
    rig.stop()


def stopped_in_a_spike(rig: Rig, options: Options) -> None:
    """SIGTERM while messages come."""
    rig.start()
    rig.bus.begin(2000)
    rig.wait(lambda snapshot: snapshot.hub.received > 500, "some messages")
    rig.stop(is_whole=False, leaves_some=rig.has_spool)
    rig.bus.pause()
    if rig.has_spool:  # what is on disk need not be finished before the end
        _finish_in_another_life(rig)


def stopped_twice(rig: Rig, options: Options) -> None:
    """A second SIGTERM while the hub drains: it ends at once, and says what it leaves."""
    rig.start()
    rig.bus.begin(2000)
    rig.wait(lambda snapshot: snapshot.hub.received > 500, "some messages")
    rig.hub.process.terminate()
    rig.wait(lambda snapshot: snapshot.status() == "draining", "the hub to drain")
    began = time.monotonic()
    rig.stop(is_whole=False, leaves_some=True)
    rig.bus.pause()
    expect(time.monotonic() - began < 10, f"ending at once took {time.monotonic() - began:.1f} s")


def killed_hub(rig: Rig, options: Options) -> None:
    """SIGKILL with a backlog, which is finished later or lost, with a spool or without one."""
    rig.start()
    rig.bus.begin(2000)
    rig.wait(lambda snapshot: snapshot.hub.received > 500, "some messages")
    rig.kill()
    rig.bus.pause()
    expect(
        rig.hub.snapshot().status() == "down", f"the hub was killed, and is said to be {rig.hub.snapshot().status()}"
    )
    _finish_in_another_life(rig)


def kills(rig: Rig, options: Options) -> None:
    """Random kill -9 over the hub and its workers, under 2000 messages a second."""
    chance = random.Random(options.seed)
    rig.start()
    rig.bus.begin(2000)
    for _ in range(options.kills):
        time.sleep(chance.uniform(0.0, 0.5))  # whatever the hub is at
        if rig.shape != PROCESSES or chance.random() < 0.5:
            rig.kill()
            rig.start()
        else:
            _kill_worker(rig, chance)
    rig.bus.pause()
    rig.settle()
    rig.stop()


def killed_workers(rig: Rig, options: Options) -> None:
    """SIGKILL of worker processes while messages come."""
    chance = random.Random(options.seed)
    rig.start()
    rig.bus.begin(1000)
    with rig.freshness():
        for _ in range(5):
            time.sleep(chance.uniform(0.0, 0.5))  # whatever it is at
            _kill_worker(rig, chance)
    rig.bus.pause()
    rig.settle()
    rig.stop()


# Consumers


def misbehaving(consumer: str, counter: str, least: int) -> Act:
    """A consumer that misbehaves in its way, while messages come; it has to show in a counter of its, that much."""

    def act(rig: Rig, options: Options) -> None:
        rig.start()
        with rig.freshness():
            rig.bus.publish(400, 300)
            rig.settle()
        shown = getattr(rig.hub.snapshot().consumer(consumer), counter)
        expect(shown >= least, f"{consumer}: {counter} is {shown}, and should be {least} or more")
        rig.stop()

    return act


def burning(rate: float) -> Act:
    """Consumers that burn processor time while so many messages a second come."""

    def act(rig: Rig, options: Options) -> None:
        rig.start()
        with rig.freshness():
            _see_true_backlog(rig, rate, 4.0)
        rig.wait_received()
        rig.hub.process.terminate()
        rig.wait(lambda snapshot: snapshot.status() == "draining", "the hub to drain")
        rig.stop(leaves_some=True)

    return act


def lingering_children(rig: Rig, options: Options) -> None:
    """A hub is killed whose consumer has children that live on."""
    rig.start()
    rig.bus.publish(20)
    rig.settle()
    rig.kill()
    expect(rig.hub.snapshot().status() == "down", f"the hub is dead, and said to be {rig.hub.snapshot().status()}")
    _finish_in_another_life(rig)


def blocked(rig: Rig, options: Options) -> None:
    """A consumer never returns: the others go on, and a stop names what is left."""
    rig.start()
    with rig.freshness():
        rig.bus.publish(200, 1000)
        rig.wait(lambda snapshot: snapshot.consumer("Neighbour").processed == 200, "the neighbour to finish")
        rig.wait(lambda snapshot: snapshot.consumer("Blocking").current_age > 1.0, "the age of the message at hand")
    rig.stop(leaves_some=True)


def stuck_worker(rig: Rig, options: Options) -> None:
    """A consumer never returns, and its process is replaced when its time is up."""
    rig.start()
    rig.bus.publish(200, 1000)
    rig.deaths += MOST_DEATHS
    rig.settle()
    _see_one_given_up(rig, "Blocking")
    rig.stop()


def deadly_message(consumer: str) -> Act:
    """A message that kills whoever handles it."""

    def act(rig: Rig, options: Options) -> None:
        rig.start()
        with rig.freshness():
            rig.bus.publish(300, 500)
            rig.deaths += MOST_DEATHS
            rig.settle()
        _see_one_given_up(rig, consumer)
        rig.stop()

    return act


def leaking(rig: Rig, options: Options) -> None:
    """A consumer leaks: the hub itself does not grow."""
    rig.start()
    rig.bus.publish(200, 1000)
    rig.settle()
    before = resident_bytes(rig.hub.process.pid)
    rig.bus.publish(2000, 1000)
    rig.settle()
    grown = resident_bytes(rig.hub.process.pid) - before
    expect(grown < 20 << 20, f"the hub's own process has grown by {grown >> 20} MB")
    rig.stop()


# Clients, descriptors, files


def bad_clients(rig: Rig, options: Options) -> None:
    """Silent, slow and half-reading clients of the stats socket."""
    rig.start()
    with rig.freshness(), Crowd(rig.hub.socket) as crowd:
        rig.bus.begin(500)
        crowd.join(100)
        crowd.join_as_half_readers(50)
        crowd.join_as_slow_ones(50)
        crowd.trickle(1.0)
        rig.bus.pause()
        rig.settle()
    wait_until(lambda: answers(rig.hub.socket), "the stats socket to answer again")
    rig.stop()


def many_clients(rig: Rig, options: Options) -> None:
    """10,000 connections to the stats socket."""
    rig.start()
    with rig.freshness(), Crowd(rig.hub.socket) as crowd:
        rig.bus.begin(500)
        end = time.monotonic() + 3 * PATIENCE  # a hundred in a second are let in, in the long run
        while crowd.size < 10_000:
            expect(time.monotonic() < end, f"only {crowd.size} clients could connect in {3 * PATIENCE:g} s")
            crowd.join(min(200, 10_000 - crowd.size))
            time.sleep(0.5)  # else the many who are turned away take the processor, and prove nothing
        rig.bus.pause()
        rig.settle()
    wait_until(lambda: answers(rig.hub.socket), "the stats socket to answer again")
    rig.stop()


def no_descriptors(rig: Rig, options: Options) -> None:
    """The hub can open nothing more."""
    rig.start()
    with rig.freshness():
        rig.bus.begin(500)
        with without_descriptors(rig.hub.process.pid), Crowd(rig.hub.socket) as crowd:
            crowd.join(20)
            received = rig.hub.snapshot().hub.received
            rig.wait(lambda snapshot: snapshot.hub.received > received + 500, "messages to be received")
        rig.bus.pause()
        rig.settle()
    wait_until(lambda: answers(rig.hub.socket), "the stats socket to answer again")
    rig.stop()


def damaged_segment(rig: Rig, options: Options) -> None:
    """A segment is copied while the hub writes, cut and damaged: whoever reads it gets a snapshot, or an error."""
    chance = random.Random(options.seed)
    rig.start()
    rig.bus.begin(1000)
    copy = rig.directory / "copy.stats"
    for turn in range(200):
        shutil.copyfile(rig.hub.segment, copy)
        (cut, flip_bits)[turn % 2](copy, chance)
        with contextlib.suppress(StatsError):
            glasshub_stats.read(str(copy))
    rig.bus.pause()
    rig.settle()
    rig.stop()


# The spool


def full_disk(rig: Rig, options: Options) -> None:
    """The disk fills up, and is made larger."""
    blocks = rig.setting.spool["full"] == "block"
    disk = rig.until_the_end.enter_context(SmallDisk(rig.spool.parent, "size=32m,mode=700"))
    rig.start()
    rig.bus.publish(100)
    rig.settle()
    with rig.freshness():
        cram(disk.path / "others")
        rig.bus.publish(3000, 1000)
        disk.remount("size=256m")
        before = rig.hub.snapshot().consumers[0].processed
        rig.bus.publish(100)
        rig.settle()
    expect(rig.hub.snapshot().consumers[0].processed > before, "the hub accepts nothing though there is room")
    dropped = sum(consumer.dropped for consumer in rig.hub.snapshot().consumers)
    expect(bool(dropped) != blocks, f"{dropped} messages were dropped")
    rig.stop()


def damaged_spool(injure: Callable[[Path, random.Random], None], *, wal: bool) -> Act:
    """Somebody damages the log, or its write-ahead log, while the hub is down."""

    def act(rig: Rig, options: Options) -> None:
        rig.start()
        rig.bus.publish(500, 2000)
        rig.wait_received()
        rig.kill()
        log = SpoolDirectory(rig.spool).log
        injure(log.with_name(f"{log.name}-wal") if wal else log, random.Random(options.seed))
        try:
            _finish_in_another_life(rig)
        except BrokenPromiseError:
            if rig.hub.process.poll() is None or "is damaged" not in rig.last_words():
                raise
            # It has found the damage on its way, and ended: the next one recovers what can be read.
            rig.deaths += 1
            rig.note_life(is_whole=False, was_killed=True)
            _finish_in_another_life(rig)

    return act


def unusable_directory(options: str, *, spool: bool, says: str) -> Act:
    """The directory of the stats, or of the spool, cannot be used: one line says so."""

    def act(rig: Rig, _: Options) -> None:
        place = rig.spool if spool else rig.directory / "stats"
        place.parent.mkdir(exist_ok=True)
        with SmallDisk(place, options):
            hub = rig.launch() if spool else rig.launch("--stats-dir", str(place))
            rig.expect_end((1,))
        last = hub.said().splitlines()[-1:]
        expect(last and str(place) in last[0] and says in last[0], f"the hub does not say what is wrong: {last}")
        expect("Traceback" not in hub.said(), "the hub shows a traceback")
        _live_as_if_nothing_had_happened(rig)

    return act


# Several hubs on a broker


def two_hubs(cluster: Cluster, options: Options) -> None:
    """kill -9 of one of two hubs, or of a worker process, and ends of their broker, in any order, under load."""
    chance = random.Random(options.seed)
    deeds = [cluster.kill_hub] * options.hub_kills + [cluster.kill_worker] * (options.hub_kills // 4)
    ends = [cluster.kill_broker if number % 2 else cluster.stop_broker for number in range(options.broker_ends)]
    deeds += ends
    chance.shuffle(deeds)
    cluster.publisher.start()
    for deed in deeds:
        time.sleep(chance.uniform(0.0, 1.0))  # whatever they are at
        deed(chance)
    cluster.publisher.stop()
    cluster.settle()
    cluster.stop()


# What they have in common


def _finish_in_another_life(rig: Rig) -> None:
    """Start the hub again, and have it finish what is there, and what still comes."""
    rig.start()
    rig.bus.publish(100, 1000)
    rig.settle()
    rig.stop()


def _live_as_if_nothing_had_happened(rig: Rig) -> None:
    """The same hub, where nothing is in its way."""
    if rig.spool.exists():
        rig.spool.rmdir()
    _finish_in_another_life(rig)


def _see_one_given_up(rig: Rig, consumer: str) -> None:
    counted = rig.hub.snapshot().consumer(consumer)
    given_up = counted.failed + counted.parked
    expect(given_up == 1, f"{given_up} messages were given up, and not the one that is deadly")


def _workers(rig: Rig) -> list[int]:
    wait_until(rig.workers, "a worker process")
    return sorted(rig.workers())


def _kill_worker(rig: Rig, chance: random.Random) -> None:
    worker = chance.choice(_workers(rig))
    os.kill(worker, signal.SIGKILL)
    rig.deaths += 1
    wait_until(lambda: worker not in rig.workers(), "the hub to bury its worker")


def _see_true_backlog(rig: Rig, rate: float, seconds: float) -> None:
    """Publish, and compare what was published with what the segment says, again and again.

    Where no consumer can starve the enqueuer, what had been published at one look is counted at the next.
    """
    rig.bus.begin(rate)
    published_before = rig.bus.next
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_POLL)
        snapshot = rig.hub.snapshot()
        published = rig.bus.next
        for consumer in snapshot.consumers:
            told = consumer.enqueued
            expect(told <= published, f"{told} messages were enqueued, and {published} published")
            expect(
                rig.shape != PROCESSES or told >= published_before,
                f"{published_before - told} messages were published {_POLL:g} s ago and are in no backlog",
            )
        published_before = published
    rig.bus.pause()
