# SPDX-License-Identifier: LGPL-2.1-or-later
"""A damaged log is set aside, what can be read is recovered, and the start goes on."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from glasshub.errors import SpoolDamagedError, SpoolError, SpoolFullError
from glasshub.spool import Log, SpoolDirectory, View
from glasshub.spool import recovery as recovery_module
from glasshub.spool.tables import PAGE_BYTES

from ..fakes import frame

#: Messages in the log of these tests, and the bytes of each.
MESSAGES, BYTES = 300, 1500

Damage = Callable[[Path], object]


def body(number: int) -> bytes:
    """One that cannot be mistaken for another."""
    return (b"%06d" % number) * (BYTES // 6)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log as a hub leaves it that has stopped: a is past some, b has parked one, and both have a backlog."""
    directory = tmp_path_factory.mktemp("sound")
    with Log(directory, consumers=["a", "b"]) as log:
        for start in range(0, MESSAGES, 20):
            log.append([(frame(body(n)), (0, 1) if n % 2 else (0,)) for n in range(start, start + 20)])
        log.acknowledge(0, [entry.seq for entry in log.take(0, 40)])
        log.take(1, 1)
        log.park(1, 2, error="bad")
    return directory


@pytest.fixture
def spool(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sound, tmp_path / "spool"))


def given(log: Log) -> list[list[bytes]]:
    """All that consumers are given."""
    return [[entry.frame.body for entry in log.take(consumer, 1000, size=1 << 30)] for consumer in (0, 1)]


#: What `sound` has to give.
SOUND = [[body(n) for n in range(40, MESSAGES)], [body(n) for n in range(3, MESSAGES, 2)]]


def drained(directory: Path) -> tuple[list[list[bytes]], list[str]]:
    """What a hub gives its consumers that starts again whenever it finds damage, and what it says of that."""
    stories = []
    for _ in range(3):
        with Log(directory, consumers=["a", "b"]) as log:
            stories += [log.recovery] if log.recovery else []
            try:
                return given(log), stories
            except SpoolDamagedError as error:
                stories.append(str(error))
    raise AssertionError(f"the log does not become sound: {stories}")


def flip(file: Path, at: int, bit: int = 0) -> None:
    """Turn one bit over."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << bit
    file.write_bytes(content)


def blank(file: Path, at: int, size: int) -> None:
    """Overwrite with what is no page."""
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(b"\xa5" * size)


def truncate(file: Path, size: int) -> None:
    """Cut the end off."""
    os.truncate(file, size)


def test_a_sound_log_is_left_as_it_is(spool: Path) -> None:
    assert drained(spool) == (SOUND, [])


def test_a_page_that_cannot_be_read_costs_its_messages_alone(spool: Path) -> None:
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)

    (a, b), stories = drained(spool)

    assert set(a) < set(SOUND[0])
    assert set(b) < set(SOUND[1])
    assert a == sorted(a)
    assert len(a) > len(SOUND[0]) - 2 * PAGE_BYTES // BYTES
    assert f"up to {len(SOUND[0]) - len(a)} messages are lost" in stories[-1]


def test_what_was_finished_and_parked_is_so_after_recovery(spool: Path) -> None:
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)

    drained(spool)

    with View(spool) as view:
        (parked,) = view.parked()
        a, b = view.consumers()
    assert (parked.consumer, parked.seq, parked.body) == ("b", 2, body(1))
    assert (a.cursor, b.cursor) == (40, 3), "what b wants next is message 4"


def test_what_stands_out_among_what_was_finished_comes_again_after_recovery(spool: Path) -> None:
    with Log(spool, consumers=["a", "b"]) as log:
        window = [entry.seq for entry in log.take(0, 9)]
        log.acknowledge(0, window[2:])
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)

    (a, _), stories = drained(spool)

    assert "is damaged" in stories[0]
    assert a[:2] == SOUND[0][:2]
    assert not set(a) & set(SOUND[0][2:9])


def test_the_damaged_log_is_kept_under_a_dated_name(spool: Path) -> None:
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)
    damaged = (spool / "log.sqlite").read_bytes()

    _, stories = drained(spool)

    (aside,) = (path for path in spool.iterdir() if path.name.startswith("log.sqlite.damaged-"))
    assert aside.read_bytes() == damaged
    assert f"it is kept as {aside.name}; recovered: " in stories[-1]
    assert not (spool / "log.sqlite.is-damaged").exists()


@pytest.mark.parametrize("size", [0, 1, 100, PAGE_BYTES, PAGE_BYTES + 1, 5 * PAGE_BYTES, 25 * PAGE_BYTES - 7])
def test_a_truncated_log_is_recovered_as_far_as_it_goes(spool: Path, size: int) -> None:
    truncate(spool / "log.sqlite", size)

    (a, b), stories = drained(spool)

    assert stories
    assert set(a) <= set(SOUND[0])
    assert set(b) <= set(SOUND[1])
    assert (len(a) > 100) == (size > 20 * PAGE_BYTES)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"SQLite format 3\0" + bytes(84), os.urandom(50_000)],
    ids=["nothing", "a letter", "a header", "noise"],  # the same for every process that collects tests
)
def test_what_is_no_log_at_all_is_set_aside(spool: Path, content: bytes) -> None:
    (spool / "log.sqlite").write_bytes(content)

    found, (story,) = drained(spool)

    assert found == [[], []]
    assert "log.sqlite is damaged" in story
    assert [path.read_bytes() for path in spool.glob("log.sqlite.damaged-*")] == [content]


def test_a_database_of_somebody_else_is_set_aside(spool: Path) -> None:
    (spool / "log.sqlite").unlink()
    connection = sqlite3.connect(spool / "log.sqlite")
    connection.executescript("CREATE TABLE other(x); PRAGMA user_version = 1")
    connection.close()

    found, (story,) = drained(spool)

    assert (found, "its tables are not those of a spool" in story) == ([[], []], True)


def test_a_log_whose_file_is_gone_is_reported_and_not_made_anew_in_silence(spool: Path) -> None:
    """SQLite would apply what is left of the old one to a new one."""
    (spool / "log.sqlite").rename(spool / "log.sqlite-wal")

    found, (story,) = drained(spool)

    assert (found, "log.sqlite is gone" in story) == ([[], []], True)
    assert len(list(spool.glob("log.sqlite.damaged-*-wal"))) == 1


def test_after_a_loss_at_the_end_numbers_go_on_where_they_were(spool: Path) -> None:
    """A consumer's cursor may be beyond what is left: what comes now must not be taken for finished."""
    with Log(spool, consumers=["a", "b"]) as log:
        log.acknowledge(0, [entry.seq for entry in log.take(0, 1000, size=1 << 30)])
    with sqlite3.connect(spool / "log.sqlite") as connection:
        connection.execute("DELETE FROM messages WHERE seq > 100")
    connection.close()
    (spool / "log.sqlite.is-damaged").touch()

    with Log(spool, consumers=["a", "b"]) as log:
        log.append([(frame(b"new"), (0,))])
    with Log(spool, consumers=["a", "b"]) as log:
        assert [entry.frame.body for entry in log.take(0, 9)] == [b"new"]


def test_numbers_go_on_after_all_messages_are_lost(spool: Path) -> None:
    with sqlite3.connect(spool / "log.sqlite") as connection:
        connection.execute("DELETE FROM messages")
    connection.close()

    with Log(spool, consumers=["a"]) as log:
        assert log.append([(frame(b"new"), (0,))]).start == 41, "a has finished 40"


def test_a_message_that_is_no_message_any_more_costs_itself_alone(spool: Path) -> None:
    """A bit of the row that says what its columns are."""
    with sqlite3.connect(spool / "log.sqlite") as connection:
        connection.execute("UPDATE messages SET received_ns = 'x' WHERE seq = 50")
        connection.execute("UPDATE messages SET topic = 7 WHERE seq = 60")
        connection.execute("UPDATE messages SET audience = 99 WHERE seq = 70")
    connection.close()
    with View(spool) as view, pytest.raises(SpoolDamagedError, match="message 50 is none"):
        view.message(50)

    (a, _), stories = drained(spool)

    assert sorted(set(SOUND[0]) - set(a)) == [body(49), body(59), body(69)]
    assert "up to 3 messages are lost" in stories[-1]


def test_a_name_that_is_no_text_any_more_does_not_keep_the_hub_from_starting(spool: Path) -> None:
    with sqlite3.connect(spool / "log.sqlite") as connection:
        connection.execute("UPDATE consumers SET name = CAST(x'ff' AS TEXT) WHERE name = 'a'")
    connection.close()

    with Log(spool, consumers=["a", "b"]) as log:
        assert (log.depth(0), log.depth(1)) == (0, len(SOUND[1]))
        assert log.leftovers == {"\ufffd": len(SOUND[0])}
        assert "Could not decode" in log.recovery


def test_one_flipped_bit_anywhere_gives_nobody_what_was_not_accepted(spool: Path, tmp_path: Path) -> None:
    """Nor does it keep the hub from starting. Only the number of the version may: then the message says so."""
    chance = random.Random(2014)
    size = (spool / "log.sqlite").stat().st_size
    lost = 0
    for turn in range(60):
        copy = Path(shutil.copytree(spool, tmp_path / f"flip-{turn}"))
        # Every third in the first three pages, where little stands that matters much.
        flip(copy / "log.sqlite", chance.randrange(size if turn % 3 else 3 * PAGE_BYTES), chance.randrange(8))

        (a, b), _ = drained(copy)

        assert set(a) <= set(SOUND[0])
        assert set(b) <= set(SOUND[1])
        lost += len(SOUND[0]) - len(a)
        shutil.rmtree(copy)
    assert lost < 60 * PAGE_BYTES / BYTES * 3, "more than a page or two for each is lost"


def crashed(directory: Path, into: Path) -> Path:
    """A log of 100 messages as a killed process leaves it, with everything in the write-ahead log."""
    with Log(directory, consumers=["a", "b"]) as log:
        for number in range(100):
            log.append([(frame(body(number)), (0,))])
        into.mkdir(mode=0o700)
        for name in ("log.sqlite", "log.sqlite-wal"):
            shutil.copy(directory / name, into / name)
    return into


@pytest.mark.parametrize("how", ["torn", "flipped"])
def test_a_torn_or_flipped_end_of_what_a_killed_process_wrote_costs_the_end_alone(tmp_path: Path, how: str) -> None:
    """It can only be the last commits, of which nobody was told that they are on disk; or the disk has lied."""
    spool = crashed(tmp_path / "first", tmp_path / "crashed")
    wal = spool / "log.sqlite-wal"
    chance = random.Random(2014)
    for turn in range(20):
        copy = Path(shutil.copytree(spool, tmp_path / f"{how}-{turn}"))
        at = chance.randrange(wal.stat().st_size // 2, wal.stat().st_size)
        if how == "torn":
            truncate(copy / wal.name, at)
        else:
            flip(copy / wal.name, at)

        (a, _), stories = drained(copy)

        assert (a, stories) == ([body(number) for number in range(len(a))], [])
        assert len(a) > 10


@pytest.mark.parametrize("step", ["set_aside", "sync"])
def test_a_recovery_that_is_interrupted_is_completed(spool: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)
    (spool / "log.sqlite.is-damaged").touch()
    with monkeypatch.context() as patch:
        patch.setattr(SpoolDirectory, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            Log(spool)

    (a, _), stories = drained(spool)

    assert len(a) > 200
    assert (stories, len(list(spool.glob("log.sqlite.damaged-*")))) == ([], 1)


def interrupted(_: object) -> Path:
    """The power fails here."""
    raise KeyboardInterrupt


def test_a_recovery_without_room_changes_nothing_and_says_so(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank(spool / "log.sqlite", 20 * PAGE_BYTES, PAGE_BYTES)
    (spool / "log.sqlite.is-damaged").touch()
    before = sorted(path.name for path in spool.iterdir())

    def no_room(path: Path) -> None:
        raise SpoolFullError(f"there is no room for {path}")

    with monkeypatch.context() as patch:
        patch.setattr(recovery_module, "create", no_room)
        with pytest.raises(SpoolFullError, match="what can be read is not recovered yet: there is no room"):
            Log(spool)

    assert sorted(path.name for path in spool.iterdir()) == before
    assert len(drained(spool)[0][0]) > 200


def test_a_reader_of_a_damaged_log_says_so_and_changes_nothing(spool: Path) -> None:
    (spool / "log.sqlite").write_bytes(b"x" * 10_000)

    with pytest.raises(SpoolError, match=r"log\.sqlite is damaged: file is not a database"):
        View(spool)
    assert [path.name for path in spool.iterdir()] == ["log.sqlite"]
