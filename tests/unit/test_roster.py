# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which consumers run, what they are called, and that one that cannot run stops only itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glasshub.compat.consumers import MokshaConsumer
from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.compat.site import MONITORING
from glasshub.config import Config, ConsumerSection, FedmsgSection, HubSection, ZmqSection
from glasshub.consumer import Consumer
from glasshub.crew import Job, Member
from glasshub.errors import ConfigError, HubError, MessageError
from glasshub.message import Message
from glasshub.roster import MOKSHA_GROUP, NATIVE_GROUP, Roster
from glasshub.segment import ConsumerRow, SegmentWriter
from glasshub.stats import Outcome

from ..fakes import frame

#: Where the consumers written for fedmsg are.
_OLD = f"{__package__}.old_consumers"
_PRODUCERS = f"{__package__}.old_producers"

#: Of what the hub finds by itself, nothing.
_ALONE = HubSection(entry_points=False)

Declare = Callable[..., None]
WriteModule = Callable[[str], str]


class Mailer(Consumer):
    """A consumer that works."""

    topics: tuple[str, ...] = ("org.mail",)

    def consume(self, message: Message) -> None:
        """Do nothing."""


class Badges(Mailer):
    """Another one."""


class OneString(Mailer):
    """Its author has forgotten a comma."""

    topics = "org.fedora"  # type: ignore[assignment]  # as it is easily written


class ManyStrings(Mailer):
    """Topics in a list."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.topics = ["org.a", "org.b"]  # type: ignore[assignment]  # as it is easily written


class Numbers(Mailer):
    """Topics that are none."""

    topics = ("org.a", 3)  # type: ignore[assignment]  # the mistake


class Bytes(Mailer):
    """A topic that is none."""

    topics = (b"org.a",)  # type: ignore[assignment]  # the mistake


class NoTopics(Mailer):
    """Wants nothing."""

    topics = ()


class NoneTopics(Mailer):
    """Wants nothing, and says so wrongly."""

    topics = None  # type: ignore[assignment]  # the mistake


class Raising(Mailer):
    """Cannot be built."""

    error: Callable[[], BaseException] = RuntimeError

    def __init__(self, settings: object = None) -> None:
        raise type(self).error()


class RaisingExit(Raising):
    """Thinks that it is a program."""

    error = SystemExit


class RaisingConfigError(Raising):
    """Uses our errors for its own purposes."""

    def __init__(self, settings: object = None) -> None:
        raise ConfigError("no server in my settings")


class RaisingMessageError(Raising):
    """Uses our errors for its own purposes."""

    def __init__(self, settings: object = None) -> None:
        raise MessageError("what message?")


class WrongConstructor(Mailer):
    """Takes something else than settings."""

    def __init__(self, one: int, two: int, three: int) -> None:
        raise NotImplementedError


class NoConsumer:
    """No consumer at all."""


def here(cls: object) -> str:
    """The location of something in this module."""
    return f"{__name__}:{cls.__name__}"  # type: ignore[attr-defined]  # a class or a function


def roster(config: Config, *only: str, producers: Sequence[str] | None = None) -> Roster:
    paths = [Path(path) for path in config.fedmsg.config]
    return Roster(config, FedmsgConfigFiles(*paths) if paths else None, only=only, producers=producers)


def built(config: Config, *only: str) -> list[Member]:
    return roster(config, *only).build(lambda: None).members


def named(*only: str, **sections: ConsumerSection) -> list[Member]:
    """The roster when these are named on the command line."""
    return built(Config(hub=_ALONE, consumers=sections), *only)


def configured(**sections: ConsumerSection | type) -> list[Member]:
    """The roster of these sections, and of nothing else."""
    consumers = {
        name: section if isinstance(section, ConsumerSection) else ConsumerSection(location=here(section))
        for name, section in sections.items()
    }
    return built(Config(hub=_ALONE, consumers=consumers))


def author(member: Member) -> Any:
    """The consumer as its author knows it."""
    assert member.consumer is not None
    return member.consumer.author


def names(members: Sequence[Member]) -> list[str]:
    return [member.name for member in members]


def topics(members: Sequence[Member]) -> list[tuple[str, ...] | None]:
    return [member.consumer.topics if member.consumer else None for member in members]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="glasshub")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "glasshub.roster"]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Installs a package that declares entry points."""

    def install(entry_points: str, package: str = "fake") -> None:
        directory = tmp_path / f"{package}-1.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n", encoding="utf-8")
        (directory / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Writes a module that can be imported during the test; its name."""
    before = set(sys.modules)

    def write(text: str) -> str:
        name = f"written_{len(list(tmp_path.glob('*.py')))}"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("written_"):
            del sys.modules[name]


@pytest.fixture
def fedmsg_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FedmsgSection:
    """fedmsg's configuration, in which the consumers of this module are enabled."""
    monkeypatch.setenv("FEDMSG_CONFIG", "set again by the roster")
    file = tmp_path / "fedmsg-config.py"
    file.write_text("config = {'old.enabled': True, 'validate_signatures': False}", encoding="utf-8")
    return FedmsgSection(config=(str(file),))


def test_a_consumer_of_the_command_line_has_its_classs_name() -> None:
    (member,) = named(here(Mailer))

    assert member.name == "Mailer"
    assert member.section == ConsumerSection(location=here(Mailer))
    assert member.consumer is not None
    assert member.consumer.topics == ("org.mail",)


def test_a_consumer_of_the_command_line_has_its_section_if_there_is_one() -> None:
    section = ConsumerSection(location=here(Mailer), workers=4, settings={"a": 1}, topics=("org.x",))

    (member,) = named(here(Mailer), post=section)

    assert member.name == "post"
    assert member.section is section
    assert topics([member]) == [("org.x",)]


def test_those_of_the_command_line_run_instead_of_all_others(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nbadges = {here(Badges)}\n")
    config = Config(consumers={"post": ConsumerSection(location=here(OneString))})

    assert names(built(config, here(Mailer))) == ["Mailer"]


def test_a_consumer_that_the_command_line_names_twice_runs_once() -> None:
    assert names(named(here(Mailer), here(Badges), here(Mailer), here(Mailer))) == ["Mailer", "Badges"]


def test_a_section_gives_a_consumer_name_and_settings() -> None:
    seen: list[Mapping[str, Any]] = []

    class Noting(Mailer):
        def __init__(self, settings: Mapping[str, Any]) -> None:
            super().__init__(settings)
            seen.append(settings)

    sys.modules[__name__].__dict__["Noting"] = Noting
    try:
        (member,) = configured(post=ConsumerSection(location=here(Noting), settings={"server": "localhost"}))
    finally:
        del sys.modules[__name__].__dict__["Noting"]

    assert member.name == "post"
    assert seen == [{"server": "localhost"}]


def test_one_class_may_run_in_two_sections() -> None:
    members = configured(a=Mailer, b=ConsumerSection(location=here(Mailer), topics=("org.b",)))

    assert names(members) == ["a", "b"]
    assert topics(members) == [("org.mail",), ("org.b",)]


def test_installed_packages_declare_consumers(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nanything = {here(Mailer)}\nelse = {here(Badges)}\n")

    members = built(Config())

    assert names(members) == ["Mailer", "Badges"]
    assert topics(members) == [("org.mail",)] * 2


def test_a_declared_consumer_is_named_without_the_extras_that_it_asks_for(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)} [smtp]\n")

    (member,) = built(Config())

    assert (member.name, member.section.location) == ("Mailer", here(Mailer))
    assert member.consumer is not None


def test_a_declared_consumer_that_has_a_section_runs_once_as_the_section_says(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\n")
    config = Config(consumers={"post": ConsumerSection(location=here(Mailer))})

    assert names(built(config)) == ["post"]


def test_a_consumer_that_two_packages_declare_runs_once(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\ny = {here(Mailer)}\n")
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\n", package="other")

    assert names(built(Config())) == ["Mailer"]


def test_entry_points_can_be_left_alone(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\n")

    assert built(Config(hub=_ALONE)) == []


def test_consumers_of_fedmsg_that_packages_declare_run_only_with_fedmsgs_configuration(
    declare: Declare, fedmsg_config: FedmsgSection
) -> None:
    declare(f"[{MOKSHA_GROUP}]\nx = {_OLD}:Old\n")

    without = built(Config())
    with_it = built(Config(fedmsg=fedmsg_config))

    assert "Old" not in names(without)
    (old,) = [member for member in with_it if member.name == "Old"]
    assert topics([old]) == [("org.old",)]


def test_two_classes_of_one_name_are_told_apart_by_their_module(write_module: WriteModule) -> None:
    text = "from glasshub import Consumer\nclass Mailer(Consumer):\n    topics = ('org.x',)\n"
    first, second = write_module(text), write_module(text)

    members = named(here(Mailer), f"{first}:Mailer", f"{second}:Mailer")

    assert names(members) == ["Mailer", f"{first}.Mailer", f"{second}.Mailer"]
    assert None not in topics(members)


def test_a_section_keeps_its_name_and_a_declared_consumer_of_that_name_gets_another(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\n")
    config = Config(consumers={"Mailer": ConsumerSection(location=here(Badges))})

    assert names(built(config)) == ["Mailer", f"{__name__}.Mailer"]


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("no_such_module:A", "A: cannot load no_such_module:A: No module named 'no_such_module'"),
        (f"{__name__}:Nobody", f"Nobody: cannot load {__name__}:Nobody: module '{__name__}' has no 'Nobody'"),
        ("Mailer", "Mailer: cannot load Mailer: a consumer or producer is named as module:name"),
        (":Mailer", "Mailer: cannot load :Mailer: a consumer or producer is named as module:name"),
        ("json:", ": cannot load json:: a consumer or producer is named as module:name"),
        ("", ": cannot load : a consumer or producer is named as module:name"),
    ],
)
def test_a_consumer_that_cannot_be_loaded_is_not_initialized_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture, location: str, complaint: str
) -> None:
    broken, mailer = named(location, here(Mailer))

    assert broken.consumer is None
    assert mailer.consumer is not None
    assert said(caplog) == [complaint]


@pytest.mark.parametrize("code", ["raise RuntimeError('no database')", "1 +", "import sys; sys.exit('what?')", "1 / 0"])
def test_a_module_that_fails_when_it_is_imported_stops_only_its_consumer(
    caplog: pytest.LogCaptureFixture, write_module: WriteModule, code: str
) -> None:
    module = write_module(code)

    broken, mailer = named(f"{module}:A", here(Mailer))

    assert broken.consumer is None
    assert mailer.consumer is not None
    assert said(caplog) == [f"A: importing {module}:A failed"]
    assert caplog.records[-1].exc_info is not None


def test_a_declared_consumer_that_is_not_there_stops_only_itself(
    caplog: pytest.LogCaptureFixture, declare: Declare
) -> None:
    declare(f"[{NATIVE_GROUP}]\na = gone_since:Gone\nb = {here(Mailer)}\n")

    gone, mailer = built(Config())

    assert (gone.name, gone.consumer) == ("Gone", None)
    assert mailer.consumer is not None
    assert said(caplog) == ["Gone: cannot load gone_since:Gone: No module named 'gone_since'"]


@pytest.mark.parametrize("cls", [Raising, RaisingExit, RaisingConfigError, RaisingMessageError, WrongConstructor])
def test_a_constructor_that_raises_stops_only_its_consumer(caplog: pytest.LogCaptureFixture, cls: type) -> None:
    broken, mailer = configured(broken=cls, mailer=Mailer)

    assert (broken.name, broken.consumer) == ("broken", None)
    assert mailer.consumer is not None
    assert said(caplog) == ["broken: its constructor failed: it will not run"]
    assert caplog.records[-1].exc_info is not None


def test_what_is_no_consumer_is_not_initialized(caplog: pytest.LogCaptureFixture) -> None:
    broken, mailer = named(here(NoConsumer), here(Mailer))

    assert broken.consumer is None
    assert mailer.consumer is not None
    (line,) = said(caplog)
    assert line.endswith(
        "is no glasshub.Consumer, no consumer of fedmsg or Moksha, and cannot be called with a message"
    )


def test_a_string_for_topics_is_one_topic_and_not_one_for_each_letter() -> None:
    assert topics(configured(a=OneString)) == [("org.fedora",)]


def test_topics_may_be_any_sequence() -> None:
    assert topics(configured(a=ManyStrings)) == [("org.a", "org.b")]


@pytest.mark.parametrize("cls", [Numbers, Bytes, NoneTopics])
def test_topics_that_are_no_strings_stop_only_their_consumer(caplog: pytest.LogCaptureFixture, cls: type) -> None:
    broken, mailer = configured(broken=cls, mailer=Mailer)

    assert broken.consumer is None
    assert mailer.consumer is not None
    assert said(caplog) == ["broken: its constructor failed: it will not run"]


def test_a_consumer_without_a_topic_does_not_run_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    (member,) = configured(quiet=NoTopics)

    assert member.consumer is None
    assert said(caplog) == ["quiet subscribes to no topic: it will not run"]


def test_the_configuration_can_give_a_topic_to_a_consumer_that_has_none() -> None:
    members = configured(quiet=ConsumerSection(location=here(NoTopics), topics=("org.x",)))

    assert topics(members) == [("org.x",)]


def test_a_consumer_of_fedmsg_that_is_disabled_is_left_out_and_that_is_no_error(
    caplog: pytest.LogCaptureFixture, fedmsg_config: FedmsgSection
) -> None:
    config = Config(hub=_ALONE, fedmsg=fedmsg_config)

    crew = roster(config, f"{_OLD}:OldTwin", f"{_OLD}:Old").build(lambda: None)

    assert (names(crew.members), crew.disabled) == (["Old"], ["OldTwin"])
    assert said(caplog) == ["OldTwin is disabled by its own configuration"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_consumer_of_fedmsg_without_a_topic_runs(fedmsg_config: FedmsgSection) -> None:
    """It may subscribe later, or live on what a producer puts into its queue."""
    members = built(Config(hub=_ALONE, fedmsg=fedmsg_config), f"{_OLD}:Topicless")

    assert topics(members) == [()]


def test_a_consumer_of_fedmsg_that_was_built_handles_messages(fedmsg_config: FedmsgSection) -> None:
    (member,) = built(Config(hub=_ALONE, fedmsg=fedmsg_config), f"{_OLD}:Old")

    assert member.consumer is not None
    assert member.consumer.handle(frame(topic=b"org.old")) is Outcome.PROCESSED


def test_a_consumer_of_fedmsg_can_stop_the_hub(fedmsg_config: FedmsgSection) -> None:
    stopped: list[str] = []
    crew = roster(Config(hub=_ALONE, fedmsg=fedmsg_config), f"{_OLD}:Old").build(lambda: stopped.append("yes"))

    author(crew.members[0]).hub.stop()

    assert stopped == ["yes"]


def test_consumers_of_fedmsg_see_one_hub(fedmsg_config: FedmsgSection) -> None:
    Path(*fedmsg_config.config).write_text(
        "config = {'old.enabled': True, 'twin.enabled': True, 'validate_signatures': False}", encoding="utf-8"
    )

    members = built(Config(hub=_ALONE, fedmsg=fedmsg_config), f"{_OLD}:Old", f"{_OLD}:OldTwin")

    first, second = map(author, members)
    assert first.hub is second.hub
    assert first.hub.consumers == [first, second]


def test_a_consumer_of_fedmsg_wants_fedmsgs_configuration() -> None:
    with pytest.raises(HubError, match=r"need its configuration: name it with --fedmsg-config /etc/fedmsg\.d"):
        named(f"{_OLD}:Old")


def test_the_topics_of_a_consumer_of_fedmsg_cannot_be_configured(fedmsg_config: FedmsgSection) -> None:
    section = ConsumerSection(location=f"{_OLD}:Old", topics=("org.x",))

    with pytest.raises(ConfigError, match="a consumer of fedmsg sets its topics itself"):
        built(Config(hub=_ALONE, fedmsg=fedmsg_config, consumers={"old": section}))


def test_nothing_to_run_is_an_empty_roster() -> None:
    assert built(Config(hub=_ALONE)) == []


_SPOILS_ALL = pytest.mark.skipif(sys.version_info < (3, 10), reason="one bad line spoils all: see the next test")


@pytest.mark.parametrize("value", ["json", pytest.param("not valid!", marks=_SPOILS_ALL)])
def test_a_declaration_that_names_no_class_stops_only_itself(declare: Declare, value: str) -> None:
    declare(f"[{NATIVE_GROUP}]\na = {value}\nb = {here(Mailer)}\n")

    members = built(Config())

    assert "Mailer" in names(members)
    assert all(isinstance(name, str) for name in names(members))


def test_declarations_that_python_cannot_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points() -> None:
        raise ValueError("Invalid object reference", "not valid!")

    monkeypatch.setattr("glasshub.roster.entry_points", entry_points)

    with pytest.raises(ConfigError, match=r"packages declare: .*'not valid!'.* or set entry_points = false in \[hub\]"):
        built(Config())


def test_a_module_that_fails_with_an_attribute_error_does_not_pass_for_one_without_the_class(
    caplog: pytest.LogCaptureFixture, write_module: WriteModule
) -> None:
    module = write_module("import os\nos.there_is_no_such_thing\n")

    named(f"{module}:A")

    assert "there_is_no_such_thing" in caplog.text


def test_names_are_unique_whatever_sections_are_called(declare: Declare) -> None:
    declare(f"[{NATIVE_GROUP}]\nx = {here(Mailer)}\n")
    section = ConsumerSection(location=here(Badges))
    config = Config(consumers={"Mailer": section, f"{__name__}.Mailer": section})

    found = names(built(config))

    assert len(set(found)) == len(found) == 3


def jobs(
    config: Config, *only: str, producers: Sequence[str] | None = None, stop: Callable[[], None] = lambda: None
) -> list[Job]:
    crew = roster(config, *only, producers=producers).build(stop)
    if crew.site is not None:
        crew.site.close()
    return crew.jobs


def test_installed_packages_declare_producers_in_two_groups(declare: Declare, fedmsg_config: FedmsgSection) -> None:
    declare(f"[moksha.producer]\nx = {_PRODUCERS}:Hourly\n[moksha.stream]\ny = {_PRODUCERS}:Stream\n")

    found = jobs(Config(fedmsg=fedmsg_config))

    assert {("Hourly", True), ("Stream", True)} <= {(job.name, job.is_up) for job in found}


def test_mokshas_own_monitoring_is_not_run_beside_ours(
    tmp_path: Path, declare: Declare, fedmsg_config: FedmsgSection
) -> None:
    declare(f"[moksha.producer]\nx = {MONITORING}\n")
    socket = f"ipc://{tmp_path}/socket"
    file = f"config = {{'moksha.monitoring.socket': {socket!r}, 'validate_signatures': False}}"
    Path(*fedmsg_config.config).write_text(file, encoding="utf-8")

    found = jobs(Config(fedmsg=replace(fedmsg_config, monitoring_socket=socket)))

    assert [job.name for job in found if "MonitoringProducer" in job.name] == ["MonitoringProducer"]


def test_where_a_monitoring_socket_is_configured_ours_is_the_first_producer(
    tmp_path: Path, fedmsg_config: FedmsgSection
) -> None:
    section = replace(fedmsg_config, monitoring_socket=f"ipc://{tmp_path}/socket")

    found = jobs(Config(hub=_ALONE, fedmsg=section), producers=[f"{_PRODUCERS}:Hourly"])

    assert [(job.name, job.row.frequency) for job in found] == [("MonitoringProducer", 5.0), ("Hourly", 3600.0)]


def test_exactly_the_producers_of_the_command_line_run(declare: Declare, fedmsg_config: FedmsgSection) -> None:
    declare(f"[moksha.producer]\nx = {_PRODUCERS}:Hourly\n")
    config = Config(fedmsg=fedmsg_config)

    assert [job.name for job in jobs(config, producers=[f"{_PRODUCERS}:Stream"])] == ["Stream"]
    assert jobs(config, producers=[]) == []


def test_without_fedmsgs_configuration_declared_producers_do_not_run(declare: Declare) -> None:
    declare(f"[moksha.producer]\nx = {_PRODUCERS}:Hourly\n")

    assert jobs(Config(), here(Mailer)) == []


def test_consumers_are_complete_before_the_first_producer_is_built(fedmsg_config: FedmsgSection) -> None:
    crew = roster(Config(hub=_ALONE, fedmsg=fedmsg_config), f"{_OLD}:Old", producers=[f"{_PRODUCERS}:Stream"]).build(
        lambda: None
    )

    (job,) = crew.jobs
    assert job.producer.found == [author(crew.members[0])]
    assert job.producer.hub.producers == [job.producer]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Unbuildable", "Unbuildable: its constructor failed: it will not run"),
        ("Nobody", f"Nobody: cannot load {_PRODUCERS}:Nobody: module '{_PRODUCERS}' has no 'Nobody'"),
        ("timedelta", "timedelta: <class 'datetime.timedelta'> is no producer of Moksha"),
    ],
)
def test_a_producer_that_cannot_run_stops_only_itself(
    caplog: pytest.LogCaptureFixture, fedmsg_config: FedmsgSection, name: str, complaint: str
) -> None:
    found = jobs(Config(hub=_ALONE, fedmsg=fedmsg_config), producers=[f"{_PRODUCERS}:{name}", f"{_PRODUCERS}:Hourly"])

    assert [(job.name, job.is_up) for job in found] == [(name, False), ("Hourly", True)]
    assert said(caplog) == [complaint]


def test_a_producer_that_its_configuration_disables_is_left_out_but_moksha_lists_it(
    fedmsg_config: FedmsgSection,
) -> None:
    crew = roster(Config(hub=_ALONE, fedmsg=fedmsg_config), producers=[f"{_PRODUCERS}:Disabled"]).build(lambda: None)

    assert (crew.jobs, crew.disabled) == ([], ["Disabled"])
    assert crew.site is not None
    assert [type(producer).__name__ for producer in crew.site.hub.producers] == ["Disabled"]


def test_consumers_of_fedmsg_have_as_many_workers_as_moksha_says_unless_they_have_their_own(
    fedmsg_config: FedmsgSection,
) -> None:
    sections = {
        "plain": ConsumerSection(location=f"{_OLD}:Old"),
        "own": ConsumerSection(location=f"{_OLD}:Old", workers=1),
        "grouped": ConsumerSection(location=f"{_OLD}:Old", group="irc"),
        "native": ConsumerSection(location=here(Mailer)),
    }
    config = Config(
        hub=_ALONE,
        fedmsg=replace(fedmsg_config, workers_per_consumer=3),
        consumers=sections,
        origins={"consumers.own.workers": "glasshub.toml"},
    )

    assert {member.name: member.section.workers for member in built(config)} == {
        "plain": 3,
        "own": 1,
        "grouped": 1,
        "native": 1,
    }


def test_a_module_that_sets_up_logging_for_itself_does_not_silence_the_hub(
    caplog: pytest.LogCaptureFixture, write_module: WriteModule
) -> None:
    handlers = list(logging.getLogger().handlers)
    module = write_module(
        "import logging\nlogging.getLogger().handlers.clear()\nlogging.getLogger('glasshub.roster').disabled = True\n"
        "class A: pass\n"
    )

    named(f"{module}:A")

    assert logging.getLogger().handlers == handlers
    assert "is no glasshub.Consumer" in caplog.text


def test_where_nothing_may_be_fetched_a_consumer_remembers_nothing_for_a_fetch(
    tmp_path: Path, fedmsg_config: FedmsgSection
) -> None:
    (tmp_path / "fedmsg-hub").mkdir()
    (tmp_path / "fedmsg-hub" / "Old").write_text('{"message": {"body": {"msg_id": "2014-1", "timestamp": 1}}}')
    file = f"""config = {{'old.enabled': True, 'validate_signatures': False, 'status_directory': {str(tmp_path)!r},
        'datagrepper_url': 'http://127.0.0.1/raw'}}"""
    Path(*fedmsg_config.config).write_text(file, encoding="utf-8")
    config = Config(hub=_ALONE, fedmsg=replace(fedmsg_config, backlog_limit=0))
    rows = [ConsumerRow("Old", 1, True)]
    segment = SegmentWriter(tmp_path / "s", rows, name="x", version="1", shape="threads", source="memory")

    crew = roster(config, f"{_OLD}:Old").build(lambda: None)
    threads = crew.background(segment)
    segment.close()

    assert threads == []
    assert isinstance(crew.members[0].consumer, MokshaConsumer)
    assert crew.members[0].consumer.duplicates is None


def test_where_the_first_of_no_endpoints_is_to_be_bound_nothing_is(fedmsg_config: FedmsgSection) -> None:
    config = Config(hub=_ALONE, zmq=ZmqSection(publish_at="first"), fedmsg=fedmsg_config)

    (member,) = built(config, f"{_OLD}:Old")

    assert member.consumer is not None
