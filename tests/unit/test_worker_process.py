# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker process from its start to its end, and what it is connected with."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from glasshub.config import Config, ConsumerSection
from glasshub.errors import ConfigError, HubError
from glasshub.processes import Brief, WorkerProcess
from glasshub.processes import process as process_module
from glasshub.processes.process import how_it_ended
from glasshub.processes.wire import Wire, pair
from glasshub.queues import Bell
from glasshub.stats import unseen_slots
from glasshub.workerprocess import Inflow, Receipts, RemoteAftercare, Window

from ..fakes import PATIENCE, frame

HERE = "tests.integration.consumers"
PATH = [str(Path(__file__).parents[2] / part) for part in ("hub", "collectd_plugin", ".")] + sys.path


def brief(*locations: str, **sections: Any) -> Brief:
    """What a process is told that is to build these consumers."""
    consumers = [(location, ConsumerSection(f"{HERE}:{location}", **sections)) for location in locations]
    return Brief("main", Config(), None, consumers, [], PATH)


class Started:
    """A worker process, and what it was heard to say."""

    def __init__(self, told: Brief) -> None:
        self.said: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.died = threading.Event()
        words = ("topics", "publish", "halt", "done", "up")
        heard = {word: self._note(word) for word in words}
        self.process = WorkerProcess(told, heard, lambda process: self.died.set())

    def _note(self, word: str) -> Callable[..., None]:
        return lambda *what: self.said.put((word, *what))


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Brief], Started]]:
    """Starts worker processes, and sees to their end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PATH))
    started: list[Started] = []

    def one(told: Brief) -> Started:
        started.append(Started(told))
        return started[-1]

    yield one
    for each in started:
        each.process.kill()
        assert each.process.join(PATIENCE)


def wires() -> tuple[Wire, Wire]:
    """Both ends."""
    ours, theirs = pair()
    return ours, Wire(theirs.detach())


class TestWire:
    def test_what_is_sent_is_received_as_it_was(self) -> None:
        ours, theirs = wires()
        with closing(ours), closing(theirs):
            message = ("batch", 3, None, 2.5, b"\0\xff", "\udc80 \u20ac", [(1, b"x" * 100_000), []])
            received: list[Any] = []
            reader = threading.Thread(target=lambda: received.append(theirs.receive()))
            reader.start()

            ours.send(*message)
            reader.join(PATIENCE)

        assert received == [message]

    def test_nothing_but_plain_values_can_be_sent(self) -> None:
        ours, theirs = wires()
        with closing(ours), closing(theirs), pytest.raises(ValueError, match="unmarshallable"):
            ours.send("word", object())

    def test_who_has_nobody_at_the_other_end_is_told(self) -> None:
        ours, theirs = wires()
        theirs.close()

        with closing(ours):
            with pytest.raises(OSError, match="roken pipe"):
                ours.send("word")
            with pytest.raises(EOFError):
                ours.receive()
        with pytest.raises(OSError, match="closed"):
            ours.send("word")

    def test_who_hangs_up_waits_for_nobody_and_gets_what_was_sent_before(self) -> None:
        """Although somebody else holds the other end, and never reads."""
        ours, theirs = wires()
        with closing(ours), closing(theirs):
            theirs.send("last words")
            errors: list[OSError] = []
            writer = threading.Thread(target=lambda: errors.append(_fill(ours)))
            writer.start()

            ours.hang_up()
            writer.join(PATIENCE)

            assert not writer.is_alive()
            assert len(errors) == 1
            assert ours.receive() == ("last words",)
            with pytest.raises(EOFError):
                ours.receive()

    def test_no_process_that_is_started_later_gets_it(self) -> None:
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        wire = Wire(theirs.detach())
        with closing(ours), closing(wire):
            left = subprocess.run(["ls", "-l", "/proc/self/fd/"], close_fds=False, check=True, capture_output=True)

        assert b"socket" not in left.stdout


def _fill(wire: Wire) -> OSError:
    """Send until that is an error."""
    while True:
        try:
            wire.send(b"x" * 100_000)
        except OSError as error:
            return error


class TestWorkerProcess:
    def test_it_says_whom_it_has_built(self, start: Callable[[Brief], Started]) -> None:
        process = start(brief("Everything", "Unbuildable", workers=2)).process

        assert process.is_ready.wait(PATIENCE)
        assert process.built is not None
        assert process.built.consumers == [("Everything", 2, [""]), ("Unbuildable", 2, None)]
        assert (process.built.producers, process.built.disabled, process.built.has_site) == ([], [], False)
        assert (process.is_up, process.refusal) == (False, None)

    def test_it_gets_its_brief_before_anything_else(
        self, start: Callable[[Brief], Started], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_go_on = threading.Event()
        pickled = pickle.dumps

        def dumps(told: object) -> bytes:
            may_go_on.wait(PATIENCE)
            return pickled(told)

        monkeypatch.setattr(process_module.pickle, "dumps", dumps)  # type: ignore[attr-defined]
        process = start(brief("Everything")).process
        sender = threading.Thread(target=process.send, args=["close"])
        sender.start()
        sender.join(0.2)  # it would have sent it by now
        may_go_on.set()
        sender.join(PATIENCE)

        assert process.join(PATIENCE)
        assert (process.status, process.built is not None) == (0, True)

    def test_it_refuses_what_cannot_be_built(self, start: Callable[[Brief], Started]) -> None:
        moksha = [("C", ConsumerSection("tests.unit.old_consumers:Old"))]
        process = start(Brief("main", Config(), None, moksha, [], PATH)).process

        assert process.join(PATIENCE)

        assert isinstance(process.refusal, ConfigError)
        assert "--fedmsg-config" in str(process.refusal)
        assert (process.built, process.status, process.is_dead) == (None, 1, True)

    def test_its_end_ends_every_wait_for_it(self, start: Callable[[Brief], Started]) -> None:
        started = start(brief("Everything"))
        process = started.process
        assert process.is_ready.wait(PATIENCE)

        process.kill()
        waits = [event.wait(PATIENCE) for event in (process.came_up, process.has_stopped, process.is_quiet)]

        assert waits == [True] * 3
        assert started.died.is_set()
        assert (process.is_dead, process.is_up, process.status) == (True, False, -signal.SIGKILL)
        with pytest.raises(OSError, match="closed"):
            process.send("go")

    def test_one_that_hangs_up_is_ended(self, start: Callable[[Brief], Started]) -> None:
        process = start(brief("Everything")).process
        assert process.is_ready.wait(PATIENCE)

        process.wire.hang_up()

        assert process.join(PATIENCE)
        assert process.is_dead

    @pytest.mark.parametrize(("of", "what"), [("subprocess", "Popen"), ("socket", "socketpair")])
    def test_one_that_cannot_be_started_is_an_error_of_ours_and_leaves_nothing_behind(
        self, monkeypatch: pytest.MonkeyPatch, of: str, what: str
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(f"{of}.{what}", refuse)

        with pytest.raises(HubError, match="cannot start worker process main: Too many open files"):
            Started(brief("Everything"))

    @pytest.mark.parametrize("started", [0, 1])
    def test_one_for_which_there_is_no_thread_is_ended(self, monkeypatch: pytest.MonkeyPatch, started: int) -> None:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PATH))
        left = [None] * started

        class Thread(threading.Thread):
            def start(self) -> None:
                if not left:
                    raise RuntimeError("can't start new thread")
                left.pop()
                super().start()

        monkeypatch.setattr(process_module.threading, "Thread", Thread)  # type: ignore[attr-defined]

        with pytest.raises(HubError, match="cannot start worker process main: can't start new thread"):
            Started(brief("Everything"))

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (3, "ended with status 3"),
            (-9, "was killed by SIGKILL"),
            (-64, "was killed by SIGRTMAX"),
            (-99, "was killed by signal 99"),
        ],
    )
    def test_how_it_ended_is_said_in_words(self, status: int, words: str) -> None:
        assert how_it_ended(status) == words


class Said:
    """What was sent to the hub."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def __call__(self, *message: Any) -> None:
        """Send."""
        self.all.append(message)


class TestReceipts:
    def window(self, waiting: int) -> tuple[Window, Receipts, Said]:
        """A window in which so many messages wait, and receipts of consumer 5."""
        said, window = Said(), Window(Bell())
        window.receipts = Receipts(said, 5, window)
        window.put([frame(number) for number in range(waiting)])
        return window, window.receipts, said

    def test_a_message_behind_which_none_waits_is_told_of_at_once(self) -> None:
        _, receipts, said = self.window(0)

        receipts.give(7)

        assert said.all == [("done", 5, [7])]

    def test_others_are_told_of_some_at_a_time(self) -> None:
        _, receipts, said = self.window(1)

        for number in range(70):
            receipts.give(number)

        assert [len(numbers) for _, _, numbers in said.all] == [32, 32]
        assert len(receipts) == 6

    def test_nothing_is_kept_when_the_last_message_is_taken(self) -> None:
        """Or the hub would not hear of it for as long as that message takes, and might give nothing more meanwhile."""
        window, receipts, said = self.window(2)
        window.take()
        receipts.give(7)
        before = list(said.all)

        window.take()
        window.take()

        assert before == []
        assert said.all == [("done", 5, [7])]


class TestInflow:
    def test_what_the_hub_sends_is_put_as_it_was(self) -> None:
        said, window = Said(), Window(Bell())
        inflow = Inflow(window, unseen_slots(), Receipts(said, 0, window))

        inflow.put(99, [(1, b"t", b"one", 10, 0, 0, False), (2, b"t", b"two", 20, 3, 15, False)])
        inflow.put(0, [(3, b"t", b"three", 30, 0, 0, True)])
        frames = list(window.waiting())
        for each in frames:
            assert each.completion is not None
            each.completion.one_done()

        assert [(f.topic, f.body, f.received_ns, f.attempts, f.first_ns, f.is_pickled) for f in frames] == [
            (b"t", b"one", 10, 0, 0, False),
            (b"t", b"two", 20, 3, 15, False),
            (b"t", b"three", 30, 0, 0, True),
        ]
        assert len(window) == 3

    def test_the_head_is_the_hubs_when_nothing_waits_here(self) -> None:
        window = Window(Bell())
        inflow = Inflow(window, unseen_slots(), Receipts(Said(), 0, window))
        inflow.put(99, [(1, b"t", b"one", 10, 0, 0, False)])
        here = window.head_ns()
        window.take()

        assert (here, window.head_ns()) == (10, 99)


class TestRemoteAftercare:
    def test_the_hub_is_told_by_number_and_place(self) -> None:
        said, window = Said(), Window(Bell())
        Inflow(window, unseen_slots(), Receipts(said, 4, window)).put(0, [(17, b"t", b"x", 1, 0, 0, False)])
        (one,) = window.waiting()
        aftercare = RemoteAftercare(said, [2, 4])

        aftercare.retry(1, one, 2.5, "why")
        aftercare.halt(1, "reason", 3)

        assert said.all == [("retry", 4, 17, 2.5, "why"), ("halted", 4, "reason", 3)]
