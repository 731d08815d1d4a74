# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub top` in a real terminal, on real hubs: what it shows, and how it leaves the terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..needs import program
from ..unit.segments import live_segment, work
from .hubs import DEADLINE, ROOT, bus_in, hub_on, wait_until
from .terminals import Terminal

TOP = [sys.executable, "-m", "glasshub", "top", "--interval", "0.2"]
PATHS = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("hub", "."))}
HERE = "tests.integration.consumers"

#: A top that fails on its third look.
FAILING = """
import sys
from glasshub.cli import main
from glasshub.looking import Watcher

looks = iter([Watcher.look, Watcher.look])
Watcher.look, look = lambda watcher: next(looks)(watcher), Watcher.look
sys.exit(main(sys.argv[1:]))
"""

#: As much of a shell as it takes to have a job: it begins in the foreground, is halted, and ends in the background.
SHELL = """
import os, signal, sys, termios

def foreground(group):
    os.tcsetpgrp(0, group)

signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # who is in the background may hand the terminal over
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    foreground(os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
os.waitpid(job, os.WUNTRACED)
foreground(os.getpgrp())
modes = termios.tcgetattr(0)
modes[6][termios.VERASE] = b"X"
termios.tcsetattr(0, termios.TCSANOW, modes)
os.kill(job, signal.SIGTERM)
os.kill(job, signal.SIGCONT)
_, status = os.waitpid(job, os.WUNTRACED)
print("ended with", os.waitstatus_to_exitcode(status) if not os.WIFSTOPPED(status) else "a halt")
print("modes", "kept" if termios.tcgetattr(0) == modes else "changed")
"""

Open = Callable[..., Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    """Starts commands in terminals, and ends them."""
    opened = []

    def start(*command: object, **options: object) -> Terminal:
        environment = {**PATHS, **options.pop("environment", {})}  # type: ignore[dict-item]
        opened.append(Terminal(list(map(str, command)), environment=environment, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Path]:
    """A live segment, and its directory."""
    with live_segment(tmp_path / "fedmsg-hub.stats") as writer:
        work(writer, 1, enqueued=7, processed=2)
        yield tmp_path


def clock_of(frame: str) -> str:
    """When a picture was taken, in UTC."""
    found = re.search(r"\d\d:\d\d:\d\d", frame)
    return found.group() if found else ""


def test_live_hub_is_shown_with_its_rates(tmp_path: Path, terminal: Open) -> None:
    with bus_in(tmp_path) as bus, hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        top = terminal(*TOP, "--stats-dir", tmp_path)
        top.wait_for_text("running")
        bus.publish_many(50)
        hub.wait_until_finished(50)
        frame = top.wait_for(
            lambda frame: re.search(r"^Everything +ok +0 .* [1-9]\d*(\.\d)? ", frame, re.MULTILINE), "a rate"
        )

    assert re.search(r"^h +running +\S+ +zmq 1/1 ", frame, re.MULTILINE)


@pytest.mark.slow  # a hub is stuck when its heart has not beaten for 15 seconds
def test_hub_that_is_halted_is_stuck_and_says_since_when(tmp_path: Path, terminal: Open) -> None:
    with bus_in(tmp_path) as bus, hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        top = terminal(*TOP, "--stats-dir", tmp_path)
        top.wait_for_text("running")
        hub.process.send_signal(signal.SIGSTOP)
        frame = top.wait_for_text("STUCK")
        hub.process.send_signal(signal.SIGCONT)
        top.wait_for_text("running")
        hub.stop()
        stopped = top.wait_for_text("STOPPED")

    assert re.search(r"^h +STUCK .* as of \d\d:\d\d:\d\d", frame, re.MULTILINE)
    assert re.search(r"^Everything +unknown ", frame, re.MULTILINE)
    assert "! the hub is stuck: no heartbeat of its main thread for 1" in frame
    assert re.search(r"^h +STOPPED .* as of ", stopped, re.MULTILINE)


def test_hub_that_is_killed_is_down(tmp_path: Path, terminal: Open) -> None:
    with bus_in(tmp_path) as bus, hub_on(bus, tmp_path, "--consumer", f"{HERE}:Everything") as hub:
        top = terminal(*TOP, "--stats-dir", tmp_path)
        top.wait_for_text("running")
        hub.stop(signal.SIGKILL)
        frame = top.wait_for_text("DOWN")

    assert "! the hub's process is gone; these are its last figures" in frame


def test_keys_sort_filter_pause_and_explain(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment)
    top.wait_for_text("sorted by state")

    top.press("s")
    frame = top.wait_for_text("sorted by backlog")
    assert frame.index("badges") < frame.index("datanommer")

    top.press("/nomm")
    assert "badges" not in top.wait_for_text("filter: nomm_")
    top.press("\x1b")
    top.wait_for_text("badges")

    top.press(" ")
    top.wait_for_text("PAUSED")
    top.press("h")
    top.wait_for_text("glasshub top: help")
    top.press("h\x1b[C")
    top.wait_for_text("sorted by broker")


def test_paused_picture_stays_as_it_is(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment)
    top.wait_for_text("q quit")
    top.press("p")
    clock = clock_of(top.wait_for_text("PAUSED"))

    since = time.monotonic()
    wait_until(lambda: time.monotonic() > since + 1.1, "another second to be on the clock")
    top.press("s")

    assert clock_of(top.wait_for_text("sorted by backlog")) == clock
    top.press("p")
    top.wait_for(lambda frame: clock_of(frame) not in ("", clock), "what there is now")


def test_who_scrolls_beyond_the_end_comes_back_at_once(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment, rows=10)
    top.wait_for_text("1-2 of 3")

    top.press("\x1b[F")
    top.wait_for_text("2-3 of 3")
    top.press("\x1b[A")

    top.wait_for_text("1-2 of 3")


def test_size_of_the_terminal_is_that_of_the_picture(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment, "--interval", "1000", environment={"COLUMNS": "80", "LINES": "24"})
    top.wait_for_text("q quit")

    top.resize(120, 30)
    frame = top.wait_for(bool, "a picture of that size")

    assert "flight" in frame, "there is room for more columns"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda top: top.press("q"), 0),
        (lambda top: top.press("\x03"), 0),
        (lambda top: top.process.send_signal(signal.SIGTERM), 128 + signal.SIGTERM),
        (lambda top: top.process.send_signal(signal.SIGHUP), 128 + signal.SIGHUP),
    ],
    ids=["q", "ctrl-c", "sigterm", "sighup"],
)
def test_terminal_is_left_as_it_was(segment: Path, terminal: Open, end: Callable[[Terminal], None], code: int) -> None:
    top = terminal(*TOP, "--stats-dir", segment)
    top.wait_for_text("q quit")
    assert top.modes() != top.modes_before
    assert not top.is_on_first_screen()

    end(top)

    assert top.wait() == code
    assert top.modes() == top.modes_before
    assert top.is_on_first_screen()
    assert "Traceback" not in top.output


def test_terminal_is_left_as_it_was_when_top_itself_fails(segment: Path, terminal: Open) -> None:
    top = terminal(sys.executable, "-c", FAILING, *TOP[3:], "--stats-dir", segment)

    assert top.wait() == 1
    assert top.modes() == top.modes_before
    assert top.is_on_first_screen()
    _, _, behind = top.output.rpartition("\x1b[?1049l")
    assert "Traceback" in behind, "what went wrong stands where it can be read"


def test_terminal_that_hangs_up_ends_it(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment)
    top.wait_for_text("q quit")

    top.hang_up()

    assert top.process.wait(DEADLINE) == 128 + signal.SIGHUP


def test_ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_takes_it_again(segment: Path, terminal: Open) -> None:
    shell = terminal(program("bash"), "--norc", "--noediting", "-i", environment={"PS1": "$ "})
    shell.wait_for(lambda _: "$ " in shell.output, "the shell")
    modes = shell.modes()
    shell.press(f"{' '.join(TOP)} --stats-dir {segment}\n")
    shell.wait_for_text("q quit")

    shell.press("\x1a")
    shell.wait_for(lambda _: "Stopped" in shell.output, "the shell")
    assert shell.modes() == modes
    assert shell.is_on_first_screen()

    shell.press("fg\n")
    shell.wait_for(lambda _: not shell.is_on_first_screen(), "the other screen")
    shell.press("s")
    shell.wait_for_text("sorted by backlog")
    shell.press("q")
    shell.wait_for(lambda _: shell.is_on_first_screen(), "the first screen")
    shell.press("exit $?\n")
    assert shell.wait() == 0


def test_terminal_is_taken_again_after_a_halt(segment: Path, terminal: Open) -> None:
    """Nobody can prepare for SIGSTOP, and the shell puts the terminal in order for itself."""
    top = terminal(*TOP, "--stats-dir", segment)
    top.wait_for_text("q quit")
    modes = top.modes()
    top.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, top.process.pid, os.WSTOPPED | os.WNOWAIT)
    top.set_modes(top.modes_before)

    top.process.send_signal(signal.SIGCONT)

    top.wait_for(lambda _: top.modes() == modes, "the modes that it needs")
    top.press("s")
    top.wait_for_text("sorted by backlog")


def test_top_that_ends_in_the_background_leaves_the_terminal_to_the_shell(segment: Path, terminal: Open) -> None:
    shell = terminal(sys.executable, "-c", SHELL, *TOP[1:], "--stats-dir", segment)
    shell.wait_for_text("q quit")
    (top,) = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text(encoding="ascii").split()

    os.kill(int(top), signal.SIGSTOP)

    assert shell.wait() == 0
    assert "ended with 143" in shell.output
    assert "modes kept" in shell.output
    assert shell.is_on_first_screen()


@pytest.mark.parametrize(
    ("environment", "arguments"), [({"TERM": "dumb"}, ["--iterations", "1"]), ({"TERM": "xterm"}, ["--once"])]
)
def test_lines_are_printed_where_there_is_no_moving_about(
    segment: Path, terminal: Open, environment: dict[str, str], arguments: list[str]
) -> None:
    top = terminal(*TOP, "--stats-dir", segment, *arguments, environment=environment)

    assert top.wait() == 0
    assert "\x1b" not in top.output
    assert re.search(r" consumer hub=fedmsg-hub consumer=badges state=ok backlog=5 ", top.output)


def test_without_colour_states_are_words(segment: Path, terminal: Open) -> None:
    top = terminal(*TOP, "--stats-dir", segment, environment={"NO_COLOR": "1"})
    top.wait_for_text("q quit")

    assert re.search(r"^ircbot +NOT INIT ", top.frame, re.MULTILINE)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", top.output)


def test_reader_of_the_lines_that_goes_ends_it(segment: Path) -> None:
    with subprocess.Popen(
        [*TOP, "--stats-dir", segment], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **PATHS}
    ) as top:
        assert top.stdout is not None
        assert top.stderr is not None
        assert top.stdout.readline().startswith(b"20")
        top.stdout.close()
        said = top.stderr.read()

    assert (top.returncode, said) == (141, b"")
