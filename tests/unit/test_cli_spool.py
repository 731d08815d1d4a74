# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub spool`: it tells what is there, changes only what it is told to, and never beside a running hub."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from glasshub import cli
from glasshub.spool import Log

from ..fakes import frame

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Of two consumers; 4 messages, and 2 that badges has parked."""
    directory = tmp_path / "spool"
    with Log(directory, consumers=["badges", "irc"]) as log:
        fill(log)
        log.take(0, 3)
        log.park(0, 1, error="KeyError: 'user'", traceback='Traceback:\n  File "x.py"', attempts=3)
        log.park(0, 2, error="bad")
    return directory


def fill(log: Log) -> None:
    """Accept 4 messages."""
    log.append([(frame(b'{"n": %d}' % n, topic=b"org.test.%d" % n), (0, 1)) for n in range(1, 5)])


def glasshub(*arguments: object) -> int:
    """Run the command."""
    return cli.main(["spool", *map(str, arguments)])


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What it prints when all goes well."""
    assert glasshub(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that it says when not."""
    assert glasshub(*arguments) == cli.EXIT_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def depths(directory: Path) -> list[int]:
    """What waits for badges and irc."""
    with Log(directory, consumers=["badges", "irc"]) as log:
        return [log.depth(0), log.depth(1)]


def test_list_shows_how_far_every_consumer_is(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, badges, irc, size = output(capsys, "list", spool).splitlines()

    assert header.split() == ["CONSUMER", "CURSOR", "DEPTH", "OLDEST", "PARKED"]
    assert re.fullmatch(rf"badges +2 +2 +{TIME} +2", badges)
    assert re.fullmatch(rf"irc +0 +4 +{TIME} +0", irc)
    assert re.fullmatch(rf"0\.\d MB in use in {spool}", size)


def test_list_says_when_nothing_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(tmp_path, consumers=["idle"]):
        pass

    assert re.search(r"^idle +0 +0 +- +0$", output(capsys, "list", tmp_path), re.MULTILINE)


def test_show_prints_a_message_and_for_whom_it_waits(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "show", spool, 4)

    assert re.search(rf"^message 4, received {TIME}, 8 bytes\ntopic: org\.test\.4\n\n{{\n  \"n\": 4\n}}$", shown, re.M)
    assert "waiting for: badges, irc\n" in shown


def test_show_prints_why_a_message_is_parked(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output(capsys, "show", spool, 1)

    assert re.search(rf"^parked by badges, {TIME}, 3 attempts: KeyError: 'user'$", shown, re.M)
    assert '    Traceback:\n      File "x.py"\n' in shown
    assert "waiting for: irc\n" in shown


def test_show_finds_a_parked_message_that_is_no_more_in_the_log(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log(spool, consumers=["irc", "badges"]) as log:
        for consumer in (0, 1):
            log.acknowledge(consumer, [entry.seq for entry in log.take(consumer, 9)])
        log.compact()

    shown = output(capsys, "show", spool, 2)

    assert '"n": 2' in shown
    assert "parked by badges" in shown
    assert "waiting for" not in shown


def test_show_of_a_damaged_message_says_so(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = spool / "log.sqlite"
    file.write_bytes(file.read_bytes().replace(b'{"n": 4}', b'{"n": 5}'))

    assert "DAMAGED: this is not what was accepted" in output(capsys, "show", spool, 4)


def test_show_of_what_is_not_there_says_so(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, "show", spool, 99) == (
        f"glasshub: there is no message 99 in {spool}: it is finished, or never was"
    )


def test_what_a_publisher_sent_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(tmp_path, consumers=["a\x1b"]) as log:
        log.append([(frame(b"\x1b[2J\xff no JSON", topic=b"t\x1b\xff"), (0,))])
        log.take(0, 1)
        log.park(0, 1, error="e\x1b\n", traceback="t\x1b")

    printed = [
        output(capsys, *arguments, tmp_path, *seq) for *arguments, seq in (("list", []), ("parked", []), ("show", [1]))
    ]

    assert all(set(text) <= {chr(code) for code in (10, *range(32, 127))} for text in printed)
    assert r"\x1b[2J\xff no JSON" in printed[2]


def test_parked_lists_what_consumers_gave_up(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second = output(capsys, "parked", spool).splitlines()

    assert header.split() == ["SEQ", "CONSUMER", "PARKED", "ATTEMPTS", "TOPIC", "ERROR"]
    assert re.fullmatch(rf"1 +badges +{TIME} +3 +org\.test\.1 +KeyError: 'user'", first)
    assert re.fullmatch(rf"2 +badges +{TIME} +1 +org\.test\.2 +bad", second)


def test_retry_gives_a_message_again(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "retry", spool, 2) == "badges: message 2 waits again, as 5\n"
    assert depths(spool) == [3, 4]


def test_retry_of_all_leaves_nothing_parked(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = output(capsys, "retry", spool, "--all", "--consumer", "badges")

    assert printed.splitlines() == ["badges: message 1 waits again, as 5", "badges: message 2 waits again, as 6"]
    assert len(output(capsys, "parked", spool).splitlines()) == 1
    assert output(capsys, "retry", spool, "--all") == ""


def test_discard_forgets_only_what_is_named(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "discard", spool, 1) == "badges: message 1 is forgotten\n"
    assert [line.split()[0] for line in output(capsys, "parked", spool).splitlines()] == ["SEQ", "2"]
    assert depths(spool) == [2, 4]


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_nothing_is_changed_when_one_of_the_messages_is_not_parked(
    spool: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    assert complaint(capsys, action, spool, 1, 77) == (
        f"glasshub: no message 77 is parked: see `glasshub spool parked {spool}`"
    )
    assert "no message 1 of irc is parked" in complaint(capsys, action, spool, 1, "--consumer", "irc")
    assert len(output(capsys, "parked", spool).splitlines()) == 3


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["x"]])
def test_messages_are_named_by_number_or_by_all(spool: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        glasshub("discard", spool, *arguments)

    assert ended.value.code == cli.EXIT_USAGE


def test_drop_consumer_forgets_it(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "drop-consumer", spool, "irc") == "irc is forgotten, and 4 messages that waited for it\n"
    assert [line.split()[0] for line in output(capsys, "list", spool).splitlines()][:-1] == ["CONSUMER", "badges"]
    assert "knows no consumer irc" in complaint(capsys, "drop-consumer", spool, "irc")


def test_compact_gives_space_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(tmp_path, consumers=["a"]) as log:
        log.append([(frame(b"x" * 10_000), (0,)) for _ in range(200)])
        log.acknowledge(0, [entry.seq for entry in log.take(0, 1000)])

    assert re.fullmatch(r"[23]\.\d MB before, 0\.\d MB now\n", output(capsys, "compact", tmp_path))
    assert (tmp_path / "log.sqlite").stat().st_size < 200_000


@pytest.mark.parametrize(
    "arguments", [["retry", "--all"], ["discard", "1"], ["drop-consumer", "irc"], ["compact"]], ids=lambda a: a[0]
)
def test_what_changes_something_is_refused_while_a_hub_runs(
    spool: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    action, *rest = arguments
    with Log(spool, consumers=["badges", "irc"]) as log:
        said = complaint(capsys, action, spool, *rest)
        depths = log.depth(0), log.depth(1)

    assert said == f"glasshub: another process writes to the spool {spool}: stop the hub first"
    assert depths == (2, 4)


def test_what_looks_works_while_a_hub_runs(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log(spool, consumers=["badges", "irc"]) as log:
        fill(log)
        listed = output(capsys, "list", spool)
        shown = output(capsys, "show", spool, 8)
        parked = output(capsys, "parked", spool)

    assert re.search(rf"^badges +2 +6 +{TIME} +2$", listed, re.M)
    assert '"n": 4' in shown
    assert len(parked.splitlines()) == 3


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["parked"], ["show", "1"], ["retry", "1"], ["discard", "--all"], ["drop-consumer", "x"], ["compact"]],
    ids=lambda a: a[0],
)
def test_a_directory_without_a_spool_is_an_error_and_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    action, *rest = arguments

    assert f"there is no spool in {tmp_path}: no log.sqlite" in complaint(capsys, action, tmp_path, *rest)
    assert list(tmp_path.iterdir()) == []
    assert "No such file or directory" in complaint(capsys, "list", tmp_path / "none")


def test_a_damaged_spool_is_an_error_for_who_looks_and_recovered_by_who_writes(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spool / "log.sqlite").write_bytes(b"x" * 9000)

    assert "log.sqlite is damaged: file is not a database" in complaint(capsys, "list", spool)
    assert glasshub("compact", spool) == 0
    assert "it is kept as log.sqlite.damaged-" in capsys.readouterr().err
