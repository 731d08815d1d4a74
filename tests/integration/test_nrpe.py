# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole way of an answer: a real hub, our plugins, a real NRPE daemon with our snippet, check_nrpe of Nagios."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasshub.check.plugin import Status

from ..contract.segments import Segment
from ..status_lines import LINE
from .hubs import ROOT, Bus, hub_on
from .nrpe import installed_plugins, nrpe_in, public_directory

CONSUMERS = "tests.integration.consumers"
PRODUCER = "tests.integration.checked:DigestProducer"
SNIPPET = ROOT / "packaging/nagios/nrpe.d/glasshub.cfg"

OK, WARNING, CRITICAL, UNKNOWN = map(int, Status)

TOML = """\
[stats]
mode = "0644"
[fedmsg]
config = ["{directory}/fedmsg-config.py"]
[consumers.Mailer]
class = "{consumers}:Gate"
topics = ["org."]
settings = {{fifo = "{directory}/fifo"}}
[consumers.Badges]
class = "{consumers}:Failing"
topics = ["org.fedoraproject.prod.badges"]
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with public_directory() as directory:
        yield directory


def snippet(plugins: Path) -> dict[str, str]:
    """The commands of the snippet that we ship, those of Fedora among them, with the plugins from here."""
    text = SNIPPET.read_text(encoding="utf-8").replace("/usr/bin/", f"{plugins}/")
    return dict(re.findall(r"^(?:# )?command\[(.+?)\]=(.+)$", text, re.MULTILINE))


def configured(directory: Path) -> str:
    """The configuration of the hub."""
    os.mkfifo(directory / "fifo")
    config = {"environment": "dev", "endpoints": {}, "moksha.monitoring.socket": f"ipc://{directory}/monitoring"}
    (directory / "fedmsg-config.py").write_text(f"config = {config!r}\n", encoding="utf-8")
    return TOML.format(consumers=CONSUMERS, directory=directory)


@pytest.mark.slow
def test_every_command_of_the_snippet_is_answered(directory: Path, bus: Bus) -> None:
    """2,000 messages wait for Mailer, Badges has failed three times; then the hub is killed."""
    producers = f"--with-producers={PRODUCER}"
    commands = snippet(installed_plugins(directory))
    toml = configured(directory)
    with hub_on(bus, directory, producers, toml=toml, name="fedmsg-hub") as hub, nrpe_in(directory, commands) as nrpe:
        for _ in range(3):
            bus.publish("org.fedoraproject.prod.badges", {})
        bus.publish_many(2000)
        hub.wait_until(
            lambda s: s.consumer("Mailer").backlog == 2002 and s.consumer("Badges").failed == 3 and s.producers[1].runs,
            "the backlog",
        )

        first = {name: nrpe.ask(name) for name in commands}
        second = {name: nrpe.ask(name) for name in commands}
        hub.process.kill()
        hub.process.wait()
        dead = {name: nrpe.ask(name) for name in commands}

    assert first["glasshub_failures"].code == WARNING
    assert "3 messages failed (outside range 0:0); since the hub's start" in first["glasshub_failures"].text
    assert "'Mailer'=2002;1000;5000;0;" in first["glasshub_backlog"].text
    assert {name: answer.code for name, answer in second.items()} == {
        "glasshub_up": OK,
        "glasshub_consumers": OK,
        "glasshub_producers": OK,
        "glasshub_stuck": OK,
        "glasshub_age": OK,
        "glasshub_backlog": WARNING,
        "glasshub_catch-up": CRITICAL,
        "glasshub_failures": OK,
        "check_fedmsg_cp_hub": OK,
        "check_fedmsg_cexceptions_hub": OK,
        "check_fedmsg_cbacklog_hub": CRITICAL,
        "check_fedmsg_lastran_hub": OK,
    }
    assert "Mailer: 2002 messages waiting, and the backlog does not shrink" in second["glasshub_catch-up"].text
    assert {answer.code for answer in dead.values()} == {CRITICAL}
    for answer in [*first.values(), *second.values(), *dead.values()]:
        assert LINE.fullmatch(answer.text.removesuffix("\n"))


def test_hostile_names_reach_nagios_as_one_line(directory: Path) -> None:
    plugins = installed_plugins(directory)
    hostile = ["a|b=1;2;3", 'it\'s "quoted"', "two\nlines", "$USER1$ `id` \\n", "é\u2028\x1b[31m"]
    checks = {name: f"{plugins}/check_glasshub {name} hub -w 0 -c 10 -v" for name in ("backlog", "consumers")}
    with Segment(str(directory / "hub.stats"), [(name, 1) for name in hostile]) as segment:
        for number in range(len(hostile)):
            segment.consumer(number, enqueued=1 + number, initialized=int(number != 2))
        with nrpe_in(directory, checks) as nrpe:
            backlog, consumers = nrpe.ask("backlog"), nrpe.ask("consumers")

    for answer in (backlog, consumers):
        line, *details = answer.text.rstrip("\n").split("\n")
        assert answer.code == WARNING
        assert LINE.fullmatch(line)
        assert not any("|" in detail for detail in details)
    assert len(backlog.text.rstrip("\n").split("\n")) == len(hostile)  # the one that was not built has no line
    assert "two?lines is not initialized" in consumers.text


def test_wrong_arguments_are_unknown_and_said_where_nagios_reads_it(directory: Path) -> None:
    plugins = installed_plugins(directory)
    lines = {
        "check": f"{plugins}/check_glasshub nonsense",
        "range": f"{plugins}/check_glasshub backlog hub -w ten",
        "old": f"{plugins}/check_fedmsg_consumer_backlog hub Mailer 10",
        "old_number": f"{plugins}/check_fedmsg_consumer_backlog hub Mailer 10 many",
    }
    with nrpe_in(directory, lines) as nrpe:
        answers = [nrpe.ask(name) for name in lines]

    assert [answer.code for answer in answers] == [UNKNOWN] * len(lines)
    assert all(re.fullmatch(r"GLASSHUB (CHECK|BACKLOG) UNKNOWN - .+\n", answer.text) for answer in answers)


def test_segment_that_nrpe_may_not_read_is_critical_and_says_what_it_needs(directory: Path) -> None:
    plugins = installed_plugins(directory)
    with (
        Segment(str(directory / "hub.stats")) as segment,
        nrpe_in(directory, {"up": f"{plugins}/check_glasshub up"}) as nrpe,
    ):
        if not nrpe.is_nobody:
            pytest.skip("only root can start NRPE as a user who may not read the segment")
        os.chmod(segment.path, 0o640)

        answer = nrpe.ask("up")

    assert answer.code == CRITICAL
    assert (
        "Permission denied (the reader needs the group or the mode that the hub's [stats] section sets)" in answer.text
    )
