# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Ansible role, applied to a Debian that is booted in a container: from nothing to hubs that are watched."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import textwrap
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from glasshub.config import ConfigBuilder

from .ansible_tools import PROJECT, Ansible, Run, ansible, lint
from .collectd_daemon import until
from .debian_root import WHEELS, Machine, debian, wheel_of_glasshub
from .hubs import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: The consumers of site.yml.
CONSUMERS = """\
from glasshub import Consumer

class Mailer(Consumer):
    topics = ("org.fedoraproject.",)

    def consume(self, message):
        pass

class Archiver(Mailer):
    pass
"""

#: A bus that publishes once both hubs listen, says when they have handled everything, and stays until it is told to go.
BUS = """\
import json, sys, time, zmq, glasshub_stats
context = zmq.Context()
bus = context.socket(zmq.XPUB)
bus.setsockopt(zmq.XPUB_VERBOSE, 1)
bus.bind("tcp://127.0.0.1:9940")
for hub in range(2):
    assert bus.poll(20000), "a hub does not subscribe"
    bus.recv()
for number in range(25):
    topic = "org.fedoraproject.prod.git.receive"
    body = {"topic": topic, "msg_id": "2014-%d" % number, "msg": {}, "timestamp": 1396000000}
    bus.send_multipart([topic.encode(), json.dumps(body).encode()])
deadline = time.monotonic() + 20
def handled(hub):
    return sum(consumer.processed for consumer in glasshub_stats.read("/run/glasshub/%s.stats" % hub).consumers)
while not handled("fedmsg-hub") == handled("archive") == 25:
    assert time.monotonic() < deadline, "messages are not handled"
    time.sleep(0.05)
print("handled", flush=True)
sys.stdin.read()
context.destroy(linger=0)
"""

HUBS = ("fedmsg-hub", "archive")

FEDORA = b"""\
NAME="Fedora Linux"
ID=fedora
VERSION_ID=42
PRETTY_NAME="Fedora Linux 42"
"""

#: A module in the place of dnf, for hosts that are none of Fedora's.
PRETENDED_PACKAGES = """\
from ansible.module_utils.basic import AnsibleModule
arguments = {"name": {"type": "list", "elements": "str"}, "state": {"type": "str"}}
AnsibleModule(arguments, supports_check_mode=True).exit_json(changed=True)
"""


@dataclass
class Host:
    """A machine to which the role has been applied.

    Attributes:
        dry: What a dry run said when nothing was there yet.
        left_by_dry: What that has left.
        first, second: The two times that the role was applied.
    """

    machine: Machine
    ansible: Ansible
    dry: Run
    left_by_dry: str
    first: Run
    second: Run

    def ask_nrpe(self, check: str) -> subprocess.CompletedProcess[str]:
        """What NRPE answers to whoever asks it over the network."""
        return self.machine.run("/usr/lib/nagios/plugins/check_nrpe", "-H", "127.0.0.1", "-c", check, check=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with what site.yml says, and a bus."""
    directory = tmp_path_factory.mktemp("ansible")
    site = PROJECT / "site.yml"
    with debian() as machine:
        machine.write(f"{WHEELS}/mailer-1.0-py3-none-any.whl", consumer_wheel())
        ansible = Ansible(directory, machine, variables(wheel_of_glasshub(directory)))
        dry = ansible.play(site, "--check")
        left = machine.run("ls", "/opt", "/etc/glasshub", "/etc/collectd", "/etc/nagios", check=False).stdout
        first, second = ansible.play(site), ansible.play(site)
        assert not first.failed, first.text
        with bus(machine):
            yield Host(machine, ansible, dry, left, first, second)


def variables(wheel: Path) -> str:
    """What a site would write into its inventory."""
    return json.dumps(
        {"glasshub_distribution": str(wheel), "glasshub_pip_arguments": f"--no-index --find-links {WHEELS}"}
    )


def consumer_wheel() -> bytes:
    """The consumers as a package."""
    about = "mailer-1.0.dist-info"
    files = {
        "mailer.py": CONSUMERS,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: mailer\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return content.getvalue()


@contextmanager
def bus(machine: Machine) -> Iterator[None]:
    """A bus on which the hubs have heard 25 messages."""
    command = machine.command("/opt/glasshub/bin/python", "-c", BUS)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "handled\n", machine.run("journalctl", "--no-pager", "-u", "glasshub@*").stdout
        yield
        process.stdin.close()


@pytest.fixture
def packaging(tmp_path: Path) -> Path:
    """A copy in which a test may change something, and ansible-lint leave the cache that it leaves where it looks."""
    copy = tmp_path / "packaging"
    shutil.copytree(ROOT / "packaging", copy, symlinks=True)
    return copy


def test_the_role_passes_the_strictest_profile_of_ansible_lint(tmp_path: Path, packaging: Path) -> None:
    done = lint("--profile", "production", "--strict", ".", cwd=packaging / "ansible", home=tmp_path / "home")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Profile 'production' was required, and it passed" in done.stderr


def test_the_playbook_of_the_manual_is_the_one_that_is_tested() -> None:
    site = (PROJECT / "site.yml").read_text(encoding="utf-8")
    plays = site[site.index("- name:") :]

    assert textwrap.indent(plays, "    ") in (ROOT / "docs" / "ansible.md").read_text(encoding="utf-8")


def test_each_variable_is_in_the_manual_and_has_a_default() -> None:
    role = PROJECT / "roles" / "glasshub"
    specified = re.findall(r"^      (glasshub_\w+):", (role / "meta" / "argument_specs.yml").read_text(), re.MULTILINE)
    manual = (ROOT / "docs" / "ansible.md").read_text(encoding="utf-8")

    defaults = re.findall(r"^(glasshub_\w+):", (role / "defaults" / "main.yml").read_text(), re.MULTILINE)

    assert sorted(defaults) == sorted(specified)
    assert [name for name in specified if f"`{name}`" not in manual] == []


@pytest.mark.parametrize(
    ("config", "source", "acknowledge"),
    [
        ({}, "fedora-messaging", "spooled"),
        ({"spool": {"directory": ""}}, "fedora-messaging", "processed"),
        ({"hub": {"source": "zmq"}}, "zmq", "processed"),
    ],
)
def test_hub_on_a_broker_is_configured_as_one(
    tmp_path: Path, config: dict[str, object], source: str, acknowledge: str
) -> None:
    role, made = PROJECT / "roles" / "glasshub", tmp_path / "hub.toml"
    values = tmp_path / "values.json"
    values.write_text(
        json.dumps(
            {
                "glasshub_source": "fedora-messaging",
                "glasshub_fedora_messaging_config": "/etc/fm.toml",
                "item": {"name": "h", "config": config},
            }
        )
    )
    template = f"src={role}/templates/glasshub.toml.j2 dest={made}"
    variables = ("-e", f"@{role}/defaults/main.yml", "-e", f"@{values}")

    done = ansible(
        "adhoc", "localhost", "-c", "local", "-m", "template", "-a", template, *variables, cwd=tmp_path, home=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr
    builder = ConfigBuilder()
    builder.read_toml(made)
    read = builder.build()
    assert (read.hub.source, read.fedora_messaging.acknowledge) == (source, acknowledge)
    assert read.fedora_messaging.config == ("/etc/fm.toml" if source == "fedora-messaging" else "")


def test_a_dry_run_on_fedora_touches_nothing_that_the_packages_have(tmp_path: Path, packaging: Path) -> None:
    """Fedora in name only; what would be written is what this looks at."""
    modules = packaging / "ansible" / "library"
    modules.mkdir()
    (modules / "pretended.py").write_text(PRETENDED_PACKAGES)
    with debian() as machine:
        machine.run("rm", "/etc/os-release", "/etc/debian_version")
        machine.write("/etc/os-release", FEDORA)
        machine.write("/etc/redhat-release", b"Fedora release 42 (Adams)\n")
        machine.run("mkdir", "/etc/collectd.d", "/etc/nrpe.d")
        runner = Ansible(tmp_path, machine, "ansible_package_use: pretended")

        dry = runner.play(packaging / "ansible" / "site.yml", "--check", "--diff")

    assert not dry.failed, dry.text
    templates = ["collectd-site.conf.j2", "glasshub.toml.j2", "glasshub.toml.j2", "nrpe.cfg.j2"]
    assert sorted(re.findall(r"^\+\+\+ after: \S+/(\S+)$", dry.text, re.MULTILINE)) == templates
    assert "+command[check_glasshub_up_archive]=/usr/bin/glasshub check up archive" in dry.text
    assert '+  NotificationExec "nobody" "/usr/libexec/glasshub/glasshub-notify" "log"' in dry.text
    assert "ModulePath" not in dry.text
    assert "/opt/" not in dry.text


def test_a_dry_run_on_an_empty_host_goes_through_and_leaves_nothing(host: Host) -> None:
    assert not host.dry.failed, host.dry.text
    assert host.dry.changed > 10
    assert "glasshub" not in host.left_by_dry
    assert "nrpe" not in host.left_by_dry


def test_the_second_time_nothing_changes(host: Host) -> None:
    assert host.first.changed > 20
    assert host.second.changed == 0, host.second.text


def test_hubs_run_as_hardened_services_that_come_again_at_boot(host: Host) -> None:
    for hub in HUBS:
        unit = f"glasshub@{hub}"
        assert host.machine.property(unit, "SubState") == "running"
        assert host.machine.property(unit, "UnitFileState") == "enabled"
        assert host.machine.property(unit, "NoNewPrivileges") == "yes"
        assert host.machine.property(unit, "StatusText").startswith("running: 0 messages waiting")


def test_numbers_arrive_in_collectd_and_nrpe_answers(host: Host) -> None:
    """What verify.yml looks at; the configuration of glasshub.service, which the RPM has, is none of the role's."""
    host.machine.write("/etc/glasshub/glasshub.toml", b"")
    verified = host.ansible.play(PROJECT / "verify.yml")
    host.machine.run("rm", "/etc/glasshub/glasshub.toml")

    assert not verified.failed, verified.text
    answer = host.ask_nrpe("check_glasshub_backlog_fedmsg-hub")
    assert answer.returncode == 0
    assert re.match(r"GLASSHUB BACKLOG OK - Mailer: 0 messages waiting \| 'Mailer'=0;1000;10000;", answer.stdout)
    page = host.machine.run(
        "python3", "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9103/metrics').read().decode())"
    )
    assert re.search(r'^collectd_glasshub_queue_length\{glasshub="archive.Archiver",.*\} 0 ', page.stdout, re.MULTILINE)
    assert host.machine.run(
        "find", "/var/lib/collectd/rrd", "-path", "*glasshub-fedmsg-hub.Mailer/queue_length*"
    ).stdout


def test_collectd_and_nrpe_may_read_segments_and_no_configuration(host: Host) -> None:
    machine = host.machine
    groups = machine.run(
        "grep", "Groups", f"/proc/{host.machine.property('collectd', 'MainPID')}/status"
    ).stdout.split()
    number = machine.run("getent", "group", "glasshub-stats").stdout.split(":")[2]

    assert number in groups
    assert machine.run("runuser", "-u", "nagios", "--", "cat", "/etc/glasshub/archive.toml", check=False).returncode


def test_an_alarm_is_told(host: Host) -> None:
    host.machine.run("systemctl", "stop", "glasshub@archive")
    try:
        journal = ["journalctl", "--no-pager", "--output=cat", "--identifier=glasshub"]
        alarm = r"FAILURE: archive on \S+: the hub is down"
        until(lambda: host.machine.run(*journal).stdout, lambda said: re.search(alarm, said) is not None, "an alarm")
    finally:
        host.machine.run("systemctl", "start", "glasshub@archive")


def test_no_file_belongs_to_a_package_and_to_the_role(host: Host) -> None:
    places = ["/etc/glasshub", "/etc/collectd/collectd.conf", "/etc/collectd/collectd.conf.d", "/etc/nagios/nrpe.d"]
    places += [
        "/etc/systemd/system/glasshub@.service",
        "/etc/sysusers.d",
        "/etc/tmpfiles.d",
        "/etc/systemd/system/collectd.service.d",
    ]
    files = host.machine.run("find", *places, "-type", "f").stdout.split()
    spec = (ROOT / "packaging/rpm/glasshub.spec").read_text(encoding="utf-8")

    owners = host.machine.run("dpkg-query", "--search", *files, check=False).stdout

    assert len(files) >= 8
    assert owners == ""
    assert "glasshub_site" not in spec


def test_only_what_has_changed_is_restarted(host: Host, packaging: Path) -> None:
    """Of two hubs only the one with another configuration is; and NRPE reads another check as it runs."""
    services = ["glasshub@fedmsg-hub", "glasshub@archive", "collectd", "nagios-nrpe-server"]
    site = packaging / "ansible" / "site.yml"
    text = site.read_text(encoding="utf-8").replace("shape: threads", "shape: shared").replace("-w 1000", "-w 500")
    site.write_text(text, encoding="utf-8")
    before = [host.machine.property(service, "MainPID") for service in services]

    changed = host.ansible.play(site)

    after = [host.machine.property(service, "MainPID") for service in services]
    assert not changed.failed, changed.text
    assert [old != new for old, new in zip(before, after)] == [False, True, False, False]
    assert 'shape = "shared"' in host.machine.read("/etc/glasshub/archive.toml")
    assert host.ask_nrpe("check_glasshub_backlog_fedmsg-hub").stdout.split(";")[1] == "500"


def test_a_configuration_that_the_hub_would_refuse_is_not_installed(host: Host, tmp_path: Path) -> None:
    before = host.machine.read("/etc/glasshub/archive.toml")

    refused = configure(host, tmp_path, {"name": "archive", "config": {"hub": {"shapes": "threads"}}})

    assert refused.failed == 1
    assert "unknown key 'hub.shapes'" in refused.text
    assert host.machine.read("/etc/glasshub/archive.toml") == before


def test_a_configuration_is_the_same_in_yaml_and_in_toml(host: Host, tmp_path: Path) -> None:
    settings = {
        "text": 'caf\u00e9 \U0001f41f "quoted" back\\slash\nline\ttab',
        "empty": "",
        "yes": True,
        "numbers": [1, -2.5, 1000000000000],
        "a table": {"nested": {"list": [["a"], []]}, "true": "true"},
    }
    section = {"class": "mailer:Mailer", "topics": ["org.a.", "org.b."], "settings": settings}

    configured = configure(
        host, tmp_path, {"name": "odd", "enabled": False, "config": {"consumers": {"A.b c": section}}}
    )

    assert not configured.failed, configured.text
    read = "import json, tomllib; print(json.dumps(tomllib.load(open('/etc/glasshub/odd.toml', 'rb'))))"
    assert json.loads(host.machine.run("python3", "-c", read).stdout) == {
        "spool": {"directory": "/var/lib/glasshub"},
        "stats": {"group": "glasshub-stats"},
        "consumers": {"A.b c": section},
    }


def configure(host: Host, directory: Path, hub: dict[str, object]) -> Run:
    """Apply what the role does for hubs to a single one."""
    role = {"name": str(PROJECT / "roles" / "glasshub"), "tasks_from": "hubs"}
    names = {"glasshub_hubs": [hub], "glasshub_command": "/opt/glasshub/bin/glasshub"}
    play = {"hosts": "hubs", "gather_facts": False, "vars": names, "tasks": [{"include_role": role}]}
    playbook = directory / "hubs.yml"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    return host.ansible.play(playbook)
