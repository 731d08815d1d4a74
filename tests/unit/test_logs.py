# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logging: rotation while the hub runs, and repeated messages kept short."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasshub.errors import ConfigError
from glasshub.logs import Repeats, held_back, kept, reopen, set_up, set_up_dict

from ..fakes import PATIENCE, FakeClock

logger = logging.getLogger("glasshub.test")


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take pytest's handlers away, one of which is a file, and give the root logger back as it was."""
    monkeypatch.setattr(logging, "_handlerList", [])  # those whom dictConfig closes
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_messages_of_the_level_go_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("WARNING", str(file))

    logger.info("quiet")
    logger.warning("loud: %r", "ü\n")

    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert line.endswith("WARNING [MainThread] glasshub.test: loud: 'ü\\n'")


def test_without_a_file_messages_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("INFO", "")

    logger.info("hello")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(" INFO [MainThread] glasshub.test: hello\n")


@pytest.mark.parametrize("name", ["missing/hub.log", "."])
def test_a_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[logging\] file: cannot log to .*: (No such file|Is a dir)"):
        set_up("INFO", str(tmp_path / name))


def test_after_rotation_messages_go_to_the_new_file(tmp_path: Path) -> None:
    file, rotated = tmp_path / "hub.log", tmp_path / "hub.log.1"
    set_up("INFO", str(file))

    logger.info("one")
    file.rename(rotated)
    logger.info("two")
    reopen()
    logger.info("three")

    assert [line.split()[-1] for line in rotated.read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["three"]


def test_reopening_without_rotation_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("INFO", str(file))

    for number in range(3):
        logger.info("%d", number)
        reopen()

    assert [line.split()[-1] for line in file.read_text().splitlines()] == ["0", "1", "2"]


def test_a_consumers_own_log_file_is_reopened_too(tmp_path: Path) -> None:
    """fedmsg's configuration and consumers set up handlers of their own."""
    file = tmp_path / "consumer.log"
    own = logging.getLogger("glasshub.test.consumer")
    handler = logging.FileHandler(file)
    own.addHandler(handler)

    try:
        file.rename(tmp_path / "rotated")
        reopen()
        own.warning("new")
    finally:
        own.removeHandler(handler)
        handler.close()

    assert file.read_text() == "new\n"


def test_a_log_that_cannot_be_reopened_goes_on_in_the_old_file_and_harms_nobody(tmp_path: Path) -> None:
    """A logging call that raises would end the worker that made it."""
    directory = tmp_path / "log"
    directory.mkdir()
    file = directory / "hub.log"
    set_up("INFO", str(file))
    moved = tmp_path / "moved"
    directory.rename(moved)

    reopen()
    logger.info("still here")

    text = (moved / "hub.log").read_text()
    assert "still here" in text
    assert "cannot reopen" in text
    directory.mkdir()
    reopen()
    logger.info("back")
    assert "back" in file.read_text()


def test_reopening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    set_up("INFO", str(tmp_path / "hub.log"))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        reopen()

    assert len(os.listdir("/proc/self/fd")) == before


def test_messages_of_other_threads_are_not_lost_while_logs_are_reopened(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("INFO", str(file))
    is_over = threading.Event()
    logged = []

    def work() -> None:
        number = 0
        while not is_over.is_set():
            logger.info("%d", number)
            number += 1
        logged.append(number)

    worker = threading.Thread(target=work)
    worker.start()
    for index in range(50):
        file.rename(tmp_path / f"rotated.{index:02}")
        reopen()
    is_over.set()
    worker.join(PATIENCE)

    lines = [line for one in [*sorted(tmp_path.glob("rotated.*")), file] for line in one.read_text().splitlines()]
    assert [int(line.split()[-1]) for line in lines] == list(range(logged[0]))


@pytest.fixture
def site() -> Iterator[logging.Logger]:
    """The logger of a site's own code, as it was afterwards."""
    own = logging.getLogger("site")
    yield own
    for handler in own.handlers:
        handler.close()
    own.handlers.clear()
    own.propagate = True
    own.setLevel(logging.NOTSET)


def to_file(path: Path, cls: str = "logging.FileHandler", **more: object) -> dict[str, object]:
    return {"class": cls, "filename": str(path), "formatter": "bare", **more}


def dictionary(handlers: Mapping[str, object], **more: object) -> dict[str, object]:
    """What a `logging` of fedmsg's looks like."""
    return {"version": 1, "formatters": {"bare": {"format": "%(message)s"}}, "handlers": handlers, **more}


def fail() -> logging.Handler:
    raise ValueError("it has\ntwo lines")


def apply(dictionary: Mapping[str, object], *explicit: str, level: str = "INFO", file: Path | str = "") -> None:
    logging.getLogger().handlers.clear()  # pytest has put its own there again after the fixture
    set_up_dict(dictionary, origin="a.py", level=level, file=str(file), explicit=explicit)


def test_a_dictionary_without_a_root_logger_gets_ours(site: logging.Logger, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    loggers = {"site": {"handlers": ["file"], "level": "DEBUG", "propagate": False}}

    apply(dictionary({"file": to_file(theirs)}, loggers=loggers), file=ours)
    site.debug("of theirs")
    logger.info("of ours")

    assert theirs.read_text() == "of theirs\n"
    assert [line.rpartition(": ")[2] for line in ours.read_text().splitlines()] == ["of ours"]


def test_a_dictionary_with_a_root_logger_is_all_there_is(site: logging.Logger, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"

    apply(dictionary({"file": to_file(theirs)}, root={"handlers": ["file"], "level": "WARNING"}), file=ours)
    logger.info("quiet")
    logger.warning("of ours")
    site.warning("of theirs")

    assert theirs.read_text() == "of ours\nof theirs\n"
    assert not ours.exists()


@pytest.mark.parametrize("root", [{"root": {"handlers": ["file"]}}, {"loggers": {"": {"handlers": ["file"]}}}])
def test_a_root_logger_without_a_level_has_ours(tmp_path: Path, root: Mapping[str, object]) -> None:
    apply(dictionary({"file": to_file(tmp_path / "theirs")}, **root), level="INFO")

    assert logging.getLogger().level == logging.INFO


def test_a_root_logger_by_the_name_of_nothing_has_its_level(tmp_path: Path) -> None:
    root = {"": {"handlers": ["file"], "level": "ERROR"}}

    apply(dictionary({"file": to_file(tmp_path / "theirs")}, loggers=root), level="INFO")

    assert logging.getLogger().level == logging.ERROR


def test_what_the_operator_says_to_us_counts_over_the_root_logger(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    said = dictionary({"file": to_file(theirs)}, root={"handlers": ["file"], "level": "ERROR"})

    apply(said, "level", "file", level="DEBUG", file=ours)
    logger.debug("hello")

    assert theirs.read_text() == ""
    assert ours.read_text().endswith(" glasshub.test: hello\n")


def test_a_message_that_a_handler_of_theirs_has_is_not_logged_again(site: logging.Logger, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    file = to_file(theirs, level="ERROR")

    apply(dictionary({"file": file}, loggers={"site": {"handlers": ["file"]}}), file=ours)
    logging.getLogger("site.inner").error("had")
    site.info("not had")

    assert theirs.read_text() == "had\n"
    assert [line.rpartition(": ")[2] for line in ours.read_text().splitlines()] == ["not had"]


@pytest.mark.parametrize("said", [{}, {"disable_existing_loggers": True}])
def test_loggers_that_are_there_already_are_not_silenced(
    capsys: pytest.CaptureFixture[str], said: Mapping[str, object]
) -> None:
    apply(dictionary({}, **said))

    logger.info("hello")

    assert capsys.readouterr().err.count("hello") == 1


def test_fedmsgs_own_default_can_be_applied(capsys: pytest.CaptureFixture[str]) -> None:
    import fedmsg.config

    names = ("fedmsg", "moksha")
    try:
        apply(fedmsg.config.defaults["logging"])
        for name in ("glasshub", "fedmsg.consumers", "moksha.hub"):
            logging.getLogger(name).info("from %s", name)
    finally:
        for name in names:
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
            logging.getLogger(name).setLevel(logging.NOTSET)

    captured = capsys.readouterr()
    assert [line.split("from ")[1] for line in captured.out.splitlines()] == ["fedmsg.consumers", "moksha.hub"]
    assert [line.split("from ")[1] for line in captured.err.splitlines()] == ["glasshub"]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (3, "logging: 'int' object is not a mapping"),
        ({}, "logging: dictionary doesn't specify a version"),
        ({"version": 2}, "logging: Unsupported version: 2"),
        (dictionary({"x": {"class": "no.such.Handler"}}), "logging: Unable to configure handler 'x': "),
        (dictionary({"x": to_file(Path("/nowhere/x.log"))}), "logging: Unable to configure handler 'x': FileNotFound"),
        (dictionary({"x": {"()": fail}}), "logging: Unable to configure handler 'x': ValueError: it has two lines"),
        (dictionary({}, root={"handlers": ["x"]}), "logging: Unable to configure root logger: "),
        (dictionary({}, loggers={"x": {"level": "LOUD"}}), "logging: Unable to configure logger 'x': ValueError: Unk"),
    ],
)
def test_a_dictionary_that_is_no_good_is_one_line_with_the_file(said: Mapping[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply(said)

    assert str(caught.value).startswith(f"a.py: {complaint}")
    assert "\n" not in str(caught.value)


def test_a_file_of_ours_that_cannot_be_opened_beside_a_dictionary_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\[logging\] file: cannot log to "):
        apply(dictionary({}), "file", file=tmp_path)


@pytest.mark.parametrize(
    ("cls", "more"),
    [
        ("logging.FileHandler", {}),
        ("logging.handlers.WatchedFileHandler", {}),
        ("logging.handlers.RotatingFileHandler", {"maxBytes": 10**6, "backupCount": 1}),
        ("logging.handlers.TimedRotatingFileHandler", {"when": "D"}),
    ],
)
def test_files_of_a_dictionary_are_opened_anew(
    site: logging.Logger, tmp_path: Path, cls: str, more: Mapping[str, object]
) -> None:
    file, rotated = tmp_path / "site.log", tmp_path / "site.log.moved"
    loggers = {"site": {"handlers": ["file"], "propagate": False}}
    apply(dictionary({"file": to_file(file, cls, **more)}, loggers=loggers))

    site.warning("one")
    file.rename(rotated)
    reopen()
    assert file.exists()
    site.warning("two")
    site.warning("three")

    assert (rotated.read_text(), file.read_text()) == ("one\n", "two\nthree\n")


def test_the_file_behind_a_handler_that_collects_is_opened_anew(site: logging.Logger, tmp_path: Path) -> None:
    file, rotated = tmp_path / "site.log", tmp_path / "site.log.moved"
    collecting = {"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "file"}
    handlers = {"file": to_file(file), "memory": collecting}
    apply(dictionary(handlers, loggers={"site": {"handlers": ["memory"], "propagate": False}}))

    site.warning("one")
    file.rename(rotated)
    reopen()
    site.warning("two")

    assert (rotated.read_text(), file.read_text()) == ("one\n", "two\n")
    for handler in site.handlers:
        assert isinstance(handler, logging.handlers.MemoryHandler)
        assert handler.target is not None
        handler.target.close()


def test_the_first_of_a_kind_is_admitted_and_then_one_in_each_period() -> None:
    clock = FakeClock()
    repeats = Repeats(period=10.0, clock=clock)

    answers = []
    for seconds in (0, 1, 8, 1, 0, 9.5, 0.5, 100):
        clock.advance(seconds)
        answers.append(repeats.admit("kind"))

    assert answers == [0, None, None, 2, None, None, 2, 0]


def test_kinds_are_kept_apart() -> None:
    repeats = Repeats(clock=FakeClock())

    assert [repeats.admit(kind) for kind in ("a", "b", ("a", ValueError), "a")] == [0, 0, 0, None]


def test_the_first_is_admitted_right_after_boot() -> None:
    """The monotonic clock starts at 0."""
    assert Repeats(period=10.0, clock=FakeClock(0.0)).admit("kind") == 0


@given(st.lists(st.sampled_from([0.0, 0.5, 4.0, 11.0]), max_size=40))
def test_none_is_forgotten(steps: list[float]) -> None:
    """Those admitted, those they report, and those held back since are all there were."""
    clock = FakeClock()
    repeats = Repeats(period=5.0, clock=clock)
    answers = []
    for step in steps:
        clock.advance(step)
        answers.append(repeats.admit("kind"))

    admitted = [answer for answer in answers if answer is not None]
    since = len(answers) - max((i for i, answer in enumerate(answers) if answer is not None), default=-1) - 1
    assert len(admitted) + sum(admitted) + since == len(steps)


def test_threads_that_log_at_once_are_counted_all() -> None:
    clock = FakeClock()
    repeats = Repeats(clock=clock)
    answers: Counter[int | None] = Counter()

    def work() -> None:
        own = Counter(repeats.admit("kind") for _ in range(2000))
        answers.update(own)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    clock.advance(10.0)

    assert answers == {0: 1, None: 7999}
    assert repeats.admit("kind") == 7999


def test_what_was_held_back_is_said_only_if_there_was_any() -> None:
    assert held_back(0) == ""
    assert held_back(3) == " (3 more like this since the last one)"


@pytest.mark.parametrize("disables", [True, False])
def test_code_of_others_that_sets_up_logging_for_itself_does_not_silence_us(tmp_path: Path, disables: bool) -> None:
    """As a module does that thinks that it is the program."""
    file, theirs = tmp_path / "hub.log", tmp_path / "theirs.log"
    set_up("INFO", str(file))

    with kept():
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": disables,
                "handlers": {"theirs": {"class": "logging.FileHandler", "filename": str(theirs)}},
                "root": {"level": "WARNING", "handlers": ["theirs"]},
            }
        )
    logger.info("still there")

    assert file.read_text(encoding="utf-8").count("still there") == 1
    assert theirs.read_text(encoding="utf-8").count("still there") == 1


def test_what_was_kept_is_there_once_if_nobody_has_touched_it(tmp_path: Path) -> None:
    file = tmp_path / "hub.log"
    set_up("INFO", str(file))

    with pytest.raises(RuntimeError), kept():
        raise RuntimeError
    logger.info("hello")

    assert file.read_text(encoding="utf-8").count("hello") == 1
