# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shape `processes`: what a consumer does to its process it does not do to the hub, its neighbours, and messages."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from glasshub_stats import ConsumerStats, Snapshot

from .hubs import DEADLINE, Bus, HubProcess, hub_on, wait_until

HERE = "tests.integration.crashing"

#: What a worker process is given at once, at the most.
BATCH = 64

COUNTERS = ("enqueued", "dequeued", "processed", "failed", "interrupted", "repeated", "recalled", "requeued", "dropped")


def consumer(directory: Path, name: str, *keys: str, **settings: object) -> str:
    """A section that has a consumer write into the file `NAME.done`."""
    settings.setdefault("file", f"{directory}/{name}.done")
    table = ", ".join(f"{key} = {value!r}" for key, value in settings.items()).replace("'", '"')
    return "\n".join([f"[consumers.{name}]", f'class = "{HERE}:{name}"', f"settings = {{{table}}}", *keys, ""])


def done(directory: Path, name: str = "Journal") -> Counter[str]:
    """What a consumer has finished, and how often."""
    file = directory / f"{name}.done"
    return Counter(file.read_text(encoding="utf-8").split() if file.exists() else ())


def workers_of(hub: HubProcess) -> dict[str, int]:
    """The worker processes that have come up that far: their name in `ps`, and process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(_status(int(entry.name))[1]) == hub.process.pid:
                name = (entry / "comm").read_text(encoding="utf-8").strip()
                if name.startswith("gh:"):
                    found[name] = int(entry.name)
    return found


def worker_of(hub: HubProcess, name: str = "gh:main", other_than: int = 0) -> int:
    """A worker process, when there is one; another one than that."""
    wait_until(lambda: workers_of(hub).get(name, other_than) != other_than, f"worker process {name}")
    return workers_of(hub)[name]


def kill_worker(hub: HubProcess, name: str = "gh:main") -> int:
    """Kill a worker process, and wait until it has gone; its process id."""
    pid = worker_of(hub, name)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: workers_of(hub).get(name) != pid, "the worker process to be gone")
    return pid


def is_alive(pid: int) -> bool:
    """Whether there is a process that is not just waited for."""
    try:
        return _status(pid)[0] != "Z"
    except OSError:
        return False


def _status(pid: int) -> list[str]:
    """What proc(5) has in /proc/PID/stat: state, parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


class Audit:
    """Looks at a hub again and again, and fails at the first figure that is not true."""

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self._last: dict[tuple[str, str], int] = {}

    def until(self, holds: Callable[[Snapshot], object], what: str) -> Snapshot:
        """The first snapshot of which that holds."""

        def look(snapshot: Snapshot) -> object:
            for one in snapshot.consumers:
                self._check(one)
            return holds(snapshot)

        return self._hub.wait_until(look, what)

    def _check(self, one: ConsumerStats) -> None:
        for name in COUNTERS:
            value = getattr(one, name)
            assert value >= self._last.get((one.name, name), 0), f"{one.name}: {name} has gone back"
            self._last[one.name, name] = value
        assert one.repeated <= one.dequeued
        balance = one.finished + one.in_flight + one.backlog + one.delayed + one.dropped + one.withdrawn
        # A snapshot is not taken at one instant: what has moved meanwhile is counted at one end, or at both.
        assert abs(balance - one.enqueued - (one.repeated - one.recalled)) <= BATCH, f"{one.name} does not balance"


def is_over(count: int) -> Callable[[Snapshot], bool]:
    """Whether every consumer is done with so many messages, however often it did them."""

    def holds(snapshot: Snapshot) -> bool:
        return all(c.enqueued == count and not (c.backlog or c.in_flight or c.delayed) for c in snapshot.consumers)

    return holds


def test_a_worker_process_that_is_killed_loses_nothing_and_repeats_a_batch_at_most(tmp_path: Path, bus: Bus) -> None:
    kills = 5
    toml = consumer(tmp_path, "Journal", "workers = 2", seconds=0.002) + consumer(tmp_path, "SecondJournal")
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        audit = Audit(hub)
        ids = bus.publish_many(4000)
        for number in range(kills):
            audit.until(
                lambda s, n=number: s.hub.worker_restarts == n and s.consumer("Journal").finished > 300 * (n + 1),  # type: ignore[misc]
                "work to go on",
            )
            kill_worker(hub)

        snapshot = audit.until(is_over(len(ids)), "everything to be done")

        assert hub.stop() == 0
    for name in ("Journal", "SecondJournal"):
        counts, stats = done(tmp_path, name), snapshot.consumer(name)
        assert sorted(counts) == ids, "messages are lost"
        assert sum(counts.values()) - len(ids) <= stats.repeated + stats.interrupted <= kills * BATCH
        assert stats.processed == len(ids) + stats.repeated
        assert stats.watermark <= len(ids)
    assert snapshot.hub.worker_restarts == kills
    assert hub.said().count("was killed by SIGKILL: starting another one in ") == kills


def test_processes_that_die_while_they_start_lose_nothing(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Journal", seconds=0.001)) as hub:
        ids = bus.publish_many(1000)
        pid = 0
        for _ in range(4):
            pid = worker_of(hub, other_than=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        snapshot = Audit(hub).until(is_over(len(ids)), "everything to be done")

        assert hub.stop() == 0
    assert sorted(done(tmp_path)) == ids
    assert snapshot.hub.worker_restarts == 4


@pytest.mark.parametrize(
    ("deed", "end"),
    [("exit", "ended with status 0"), ("segfault", "was killed by SIGSEGV"), ("abort", "was killed by SIGABRT")],
)
def test_a_message_that_kills_its_process_is_given_up_and_its_neighbours_are_not(
    tmp_path: Path, bus: Bus, deed: str, end: str
) -> None:
    neighbours = ("Journal", "SecondJournal")
    toml = consumer(tmp_path, "Deadly", "workers = 3", deed=deed, on="2014-000050", seconds=0.001)
    toml += "".join(consumer(tmp_path, name, seconds=0.003) for name in neighbours)
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        ids = bus.publish_many(300)

        snapshot = Audit(hub).until(is_over(len(ids)), "everything to be done")

        assert hub.stop() == 0
    deadly = snapshot.consumer("Deadly")
    assert (deadly.failed, deadly.processed - deadly.repeated) == (1, 299)
    assert sorted(done(tmp_path, "Deadly")) == [msg_id for msg_id in ids if msg_id != "2014-000050"]
    for name in neighbours:
        assert sorted(done(tmp_path, name)) == ids
        assert snapshot.consumer(name).failed == 0
    assert 3 <= snapshot.hub.worker_restarts <= 4  # the first time it may not have been alone
    assert end in hub.said()
    assert "is given up and failed: it has killed worker process main 3 times" in hub.said()


@pytest.mark.parametrize("deed", ["block", "hold"])
def test_a_process_that_is_stuck_is_replaced_where_that_is_allowed(tmp_path: Path, bus: Bus, deed: str) -> None:
    keys = ("max_processing = 0.3", "replace = true", "max_deaths = 2")
    toml = consumer(tmp_path, "Deadly", *keys, deed=deed, on="2014-000010") + consumer(tmp_path, "Journal")
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        ids = bus.publish_many(100)

        snapshot = Audit(hub).until(is_over(len(ids)), "everything to be done")

        assert hub.stop() == 0
    assert (snapshot.consumer("Deadly").failed, snapshot.hub.worker_restarts) == (1, 2)
    assert sorted(done(tmp_path, "Deadly")) == [msg_id for msg_id in ids if msg_id != "2014-000010"]
    assert sorted(done(tmp_path)) == ids
    assert hub.said().count("is stuck: replacing it") == 2


def test_a_process_that_is_stuck_is_only_shown_where_nobody_allows_to_replace_it(tmp_path: Path, bus: Bus) -> None:
    toml = consumer(tmp_path, "Deadly", "max_processing = 0.1", deed="block", on="2014-000000")
    toml += consumer(tmp_path, "Journal") + "[hub]\ndrain_timeout = 0.1\n"
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        bus.publish_many(10)
        stuck = hub.wait_until(
            lambda s: s.consumer("Deadly").current_age > 1.0 and s.consumer("Journal").processed == 10, "it to be stuck"
        )

        assert hub.stop() == 4
    assert (stuck.consumer("Deadly").stuck, stuck.hub.worker_restarts) == (1, 0)
    assert "replacing it" not in hub.said()


@pytest.mark.parametrize("deed", ["block", "hold"])
def test_no_worker_process_outlives_a_hub_that_is_killed(tmp_path: Path, bus: Bus, deed: str) -> None:
    toml = consumer(tmp_path, "Deadly", deed=deed, on="2014-000000") + consumer(tmp_path, "Journal", 'process = "b"')
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        bus.publish_many(1)
        hub.wait_until(lambda s: s.consumer("Deadly").in_flight and s.consumer("Journal").processed, "work")
        workers = list(workers_of(hub).values())

        hub.process.kill()
        hub.process.wait(DEADLINE)

        assert len(workers) == 2
        wait_until(lambda: not any(is_alive(pid) for pid in workers), "the worker processes to end")


def test_a_hub_whose_worker_process_stands_still_goes_on_receiving_and_stops_in_time(tmp_path: Path, bus: Bus) -> None:
    toml = consumer(tmp_path, "Journal") + "[hub]\ndrain_timeout = 1.0\n"
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        worker = worker_of(hub)
        os.kill(worker, signal.SIGSTOP)
        body = "x" * 100_000
        for _ in range(300):  # more than goes into the buffers of a socket
            bus.publish("org.test", {"msg_id": "1", "msg": body})
        hub.wait_until(lambda s: s.consumer("Journal").enqueued == 300, "everything to be received")
        beats = {hub.wait_until(lambda s: s.hub.heartbeat_age < 1.0, "a beat").hub.uptime for _ in range(3)}
        began = time.monotonic()

        exit_code = hub.stop()

        assert exit_code == 4
        assert time.monotonic() - began < 12.0
        assert not is_alive(worker)
    assert len(beats) == 3
    assert "does not end: killing it" in hub.said()
    assert "left undone: Journal: 300 messages waiting, 0 in flight" in hub.said()


def test_consumers_are_in_the_processes_that_the_configuration_names(tmp_path: Path, bus: Bus) -> None:
    toml = consumer(tmp_path, "Journal") + consumer(tmp_path, "SecondJournal", 'process = "badges"')
    toml += consumer(tmp_path, "ThirdJournal", 'process = "badges"') + "[hub]\nnice = 7\n"
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        before = workers_of(hub)
        ids = bus.publish_many(100)
        hub.wait_until_finished(100)

        kill_worker(hub, "gh:badges")
        ids += [f"{msg_id}-again" for msg_id in ids]
        for msg_id in ids[100:]:
            bus.publish("org.test", {"msg_id": msg_id})
        Audit(hub).until(is_over(200), "everything to be done")
        snapshot = hub.wait_until(lambda s: s.hub.worker_processes == 2, "both to be shown")
        after = workers_of(hub)
        command = Path(f"/proc/{after['gh:badges']}/cmdline").read_bytes().split(b"\0")
        nice = _status(after["gh:badges"])[16]

        assert hub.stop() == 0
    assert sorted(before) == sorted(after) == ["gh:badges", "gh:main"]
    assert before["gh:main"] == after["gh:main"]
    assert before["gh:badges"] != after["gh:badges"]
    assert [set(done(tmp_path, name)) for name in ("Journal", "SecondJournal", "ThirdJournal")] == [set(ids)] * 3
    assert snapshot.hub.worker_restarts == 1
    assert command[2:5] == [b"glasshub.workerprocess", b"h", b"badges"]
    assert int(nice) == os.getpriority(os.PRIO_PROCESS, 0) + 7


def test_a_group_that_is_torn_apart_is_refused(tmp_path: Path, bus: Bus) -> None:
    toml = consumer(tmp_path, "Journal", 'group = "g"', 'process = "a"') + consumer(
        tmp_path, "SecondJournal", 'group = "g"'
    )
    hub = HubProcess(tmp_path, bus, ["--shape", "processes"], toml=toml)

    try:
        exit_code = hub.process.wait(DEADLINE)
    finally:
        hub.close()

    assert exit_code == 2
    assert "glasshub: consumers.SecondJournal is in group 'g', and in another process than the others" in hub.said()


def test_processes_that_die_again_and_again_are_started_less_and_less_often(tmp_path: Path, bus: Bus) -> None:
    licence = tmp_path / "licence"
    licence.touch()
    with hub_on(
        bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "OnceOnly", licence=str(licence), deed="die")
    ) as hub:
        licence.unlink()
        kill_worker(hub)
        hub.wait_until(lambda _: hub.said().count("starting another one in") == 4, "four deaths")
        ids = bus.publish_many(10)
        licence.touch()

        hub.wait_until_finished(10)

        assert hub.stop() == 0
    assert sorted(done(tmp_path, "OnceOnly")) == ids
    waits = [float(line.rpartition(" in ")[2].split()[0]) for line in hub.said().splitlines() if "starting an" in line]
    assert waits == [0.2, 0.4, 0.8, 1.6]


def test_a_consumer_that_cannot_be_built_again_is_shown_and_its_messages_wait(tmp_path: Path, bus: Bus) -> None:
    licence = tmp_path / "licence"
    licence.touch()
    toml = consumer(tmp_path, "OnceOnly", licence=str(licence), deed="fail") + consumer(tmp_path, "Journal")
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        licence.unlink()
        kill_worker(hub)
        ids = bus.publish_many(10)
        without = hub.wait_until(lambda s: s.consumer("Journal").processed == 10, "the neighbour to go on")
        licence.touch()
        kill_worker(hub)

        snapshot = hub.wait_until(is_over(10), "everything to be done")

        assert hub.stop() == 0
    assert (without.consumer("OnceOnly").initialized, without.consumer("OnceOnly").backlog) == (0, 10)
    assert snapshot.consumer("OnceOnly").initialized == 1
    assert sorted(done(tmp_path, "OnceOnly")) == ids
    assert "OnceOnly gets nothing until worker process main is started anew" in hub.said()


def test_one_that_could_not_be_built_at_the_start_is_left_out_after_a_restart_too(tmp_path: Path, bus: Bus) -> None:
    licence = tmp_path / "licence"
    toml = consumer(tmp_path, "OnceOnly", licence=str(licence), deed="fail") + consumer(tmp_path, "Journal")
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        licence.touch()
        kill_worker(hub)
        bus.publish_many(10)

        snapshot = hub.wait_until(lambda s: s.consumer("Journal").processed == 10, "the neighbour to go on")

        assert hub.stop() == 0
    assert (snapshot.consumer("OnceOnly").initialized, snapshot.hub.worker_restarts) == (0, 1)


def test_the_death_of_a_process_is_seen_although_what_it_has_forked_lives_on(tmp_path: Path, bus: Bus) -> None:
    """Such a child holds whatever its parent had open, what connects it with the hub included."""
    child = tmp_path / "child"
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Forking", child=str(child))) as hub:
        ids = bus.publish_many(1)
        hub.wait_until_finished(1)
        forked = int(child.read_text(encoding="utf-8"))
        try:
            kill_worker(hub)
            ids += ["again"]
            bus.publish("org.test", {"msg_id": "again"})

            hub.wait_until_finished(2)

            assert is_alive(forked)
        finally:
            os.kill(forked, signal.SIGKILL)
            with suppress(ValueError):
                os.kill(int(child.read_text(encoding="utf-8")), signal.SIGKILL)
        assert hub.stop() == 0
    assert sorted(done(tmp_path, "Forking")) == sorted(ids)


def test_what_a_consumer_starts_does_not_get_what_connects_its_process_with_the_hub(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Nosy")) as hub:
        bus.publish_many(1)
        hub.wait_until_finished(1)

        assert hub.stop() == 0
    opened = (tmp_path / "Nosy.done").read_text(encoding="utf-8")
    assert "/dev/null" in opened
    assert "socket:" not in opened


def test_signals_to_a_worker_process_are_the_hubs_business_from_its_first_moment(tmp_path: Path, bus: Bus) -> None:
    """A terminal and systemd send them to every process."""
    hub = HubProcess(tmp_path, bus, ["--shape", "processes"], toml=consumer(tmp_path, "Journal"))
    try:
        found: list[int] = []

        def find() -> bool:
            children = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text(encoding="utf-8")
            found[:] = map(int, children.split())
            return bool(found) and b"workerprocess" in Path(f"/proc/{found[0]}/cmdline").read_bytes()

        wait_until(find, "a worker process")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(found[0], number)
        hub.wait_until_running()
        bus.wait()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(found[0], number)
        bus.publish_many(10)
        snapshot = hub.wait_until_finished(10)

        assert hub.stop() == 0
    finally:
        hub.close()
    assert snapshot.hub.worker_restarts == 0


def test_a_hub_that_can_start_no_process_tries_again(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Journal")) as hub:
        limit = resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        kill_worker(hub)
        hub.wait_until(lambda _: "cannot start worker process main: Too many open files" in hub.said(), "the complaint")
        resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, limit)
        bus.publish_many(10)

        hub.wait_until_finished(10)

        assert hub.stop() == 0
    assert "Traceback" not in hub.said()


def test_restarts_leave_no_descriptor_and_no_thread_behind(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Journal")) as hub:

        def held() -> tuple[int, int]:
            proc = Path(f"/proc/{hub.process.pid}")
            return len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir()))

        def restart(number: int) -> None:
            kill_worker(hub)
            bus.publish_many(1)
            hub.wait_until_finished(number)

        restart(1)
        before = held()
        for number in range(2, 8):
            restart(number)

        wait_until(lambda: held() <= before, f"no more than {before} to be held")
        assert hub.stop() == 0


def test_the_log_files_of_worker_processes_are_opened_anew_with_the_hubs(tmp_path: Path, bus: Bus) -> None:
    log = tmp_path / "hub.log"
    toml = consumer(tmp_path, "Talking") + f'[logging]\nfile = "{log}"\n'
    with hub_on(bus, tmp_path, "--shape", "processes", toml=toml) as hub:
        bus.publish("org.test", {"msg_id": "before"})
        hub.wait_until_finished(1)
        log.rename(tmp_path / "old.log")
        hub.process.send_signal(signal.SIGHUP)
        wait_until(lambda: log.exists() and "log files reopened" in log.read_text(encoding="utf-8"), "a new log")
        bus.publish("org.test", {"msg_id": "after"})

        hub.wait_until_finished(2)

        assert hub.stop() == 0
    assert "handled before" in (tmp_path / "old.log").read_text(encoding="utf-8")
    assert "handled after" in log.read_text(encoding="utf-8")


def test_what_a_configuration_file_of_fedmsg_defines_may_be_anything(tmp_path: Path, bus: Bus) -> None:
    config = tmp_path / "old.py"
    config.write_text(
        "import threading\nconfig = {'rules': [lambda m: m], 'lock': threading.Lock()}\n", encoding="utf-8"
    )
    arguments = ("--shape", "processes", "--fedmsg-config", str(config))
    with hub_on(bus, tmp_path, *arguments, toml=consumer(tmp_path, "Journal")) as hub:
        ids = bus.publish_many(10)
        hub.wait_until_finished(10)

        assert hub.stop() == 0
    assert sorted(done(tmp_path)) == ids


def test_a_message_of_64_megabytes_comes_through(tmp_path: Path, bus: Bus) -> None:
    with hub_on(bus, tmp_path, "--shape", "processes", toml=consumer(tmp_path, "Journal")) as hub:
        bus.publish("org.test", {"msg_id": "large", "msg": "x" * (64 << 20)})
        bus.publish("org.test", {"msg_id": "small"})

        hub.wait_until_finished(2)

        assert hub.stop() == 0
    assert done(tmp_path) == {"large": 1, "small": 1}
