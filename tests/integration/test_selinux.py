# SPDX-License-Identifier: LGPL-2.1-or-later
"""The SELinux module, compiled and linked into Debian's policy: what it allows, and what it does not.

No kernel with SELinux is needed: the policy is made in a directory, and asked with sesearch.
"""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..needs import give_up, output, program
from .hubs import ROOT
from .venvs import cached, run, unpack_deb

SOURCE = ROOT / "packaging" / "selinux"
MAKEFILE = Path("/usr/share/selinux/devel/Makefile")

#: What a site may write that gives somebody its hubs, by the interfaces of our module.
SITE = """\
policy_module(site, 1.0)
gen_require(`
	type staff_t, httpd_t;
	role staff_r;
')
glasshub_admin(staff_t, staff_r)
glasshub_read_stats(httpd_t)
glasshub_stream_connect(httpd_t)
"""

pytestmark = pytest.mark.slow


@dataclass
class Rules:
    """What one domain may do with a class of things of one type.

    Attributes:
        always: Permissions that it has.
        switched: Those that it has only while a boolean is true, by the boolean.
    """

    always: set[str] = field(default_factory=set)
    switched: dict[str, set[str]] = field(default_factory=dict)


class Policy:
    """A whole policy with our module in it."""

    def __init__(self, root: Path) -> None:
        (file,) = root.glob("etc/selinux/default/policy/policy.*")
        self.file_contexts = (root / "etc/selinux/default/contexts/files/file_contexts").read_text(encoding="utf-8")
        self._file = str(file)
        self._attributes = dict(map(_attributes, ask("seinfo", self._file, "--flat", "-x", "-t")))
        self._rules: dict[tuple[str, str, str], list[tuple[str, set[str]]]] = {}
        for line in ask("sesearch", "--allow", self._file):
            source, target, kind, boolean, permissions = _rule(line)
            self._rules.setdefault((source, target, kind), []).append((boolean, permissions))

    def rules(self, source: str, target: str, kind: str) -> Rules:
        """Everything that is allowed, also by attributes that the types have."""
        found = Rules()
        targets = [target, *self._attributes[target], *(["self"] if source == target else [])]
        for pair in itertools.product([source, *self._attributes[source]], targets):
            for boolean, permissions in self._rules.get((*pair, kind), []):
                into = found.switched.setdefault(boolean, set()) if boolean else found.always
                into.update(permissions)
        return found

    def new_domain(self, source: str, program: str) -> list[str]:
        """The domain in which a program runs that is started from another one."""
        return ask("sesearch", "--type_trans", "-s", source, "-t", program, "-c", "process", self._file)


def ask(name: str, *question: str) -> list[str]:
    """What one of the programs of setools answers."""
    return [line.strip() for line in output(name, *question).splitlines() if line.strip()]


def _attributes(line: str) -> tuple[str, list[str]]:
    """A type, and the attributes that it has."""
    name, *attributes = line.removeprefix("type ").rstrip(";").split(", ")
    return name.partition(" alias ")[0], attributes


def _rule(line: str) -> tuple[str, str, str, str, set[str]]:
    """Source, target, class, the boolean that has to be true if there is one, and permissions."""
    rule = re.fullmatch(r"allow (\S+) (\S+):(\S+) (?:{ (.+) }|(\S+));(?: \[ (.+) \]:(?:True|False))?", line)
    assert rule is not None, line
    source, target, kind, several, one, boolean = rule.groups()
    return source, target, kind, boolean or "", set((several or one).split())


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Debian's policy with our module in it, and with that of a site."""
    directory = tmp_path_factory.mktemp("policy")
    modules = compiled(directory / "modules")
    root = directory / "root"
    shutil.copytree(debians_policy(), root, symlinks=True)
    output("semodule", "-p", str(root), "-s", "default", "-n", "-i", *modules)
    return Policy(root)


def compiled(directory: Path) -> list[str]:
    """Our module, and that of a site."""
    program("checkmodule")
    if not MAKEFILE.exists():
        give_up(f"there is no {MAKEFILE}: install selinux-policy-dev, or selinux-policy-devel")
    shutil.copytree(SOURCE, directory)
    (directory / "site.te").write_text(SITE)
    output("make", "-s", "-C", str(directory), "-f", str(MAKEFILE), "NAME=default", "glasshub.pp", "site.pp")
    return [str(directory / "glasshub.pp"), str(directory / "site.pp")]


def debians_policy() -> Path:
    """A root directory with Debian's policy in it, linked."""
    program("semodule")
    version = output("dpkg-query", "--show", "--showformat=${Version}", "selinux-policy-dev")
    return cached("selinux", made_of=version, make=lambda root: _link(root, version))


def _link(root: Path, version: str) -> None:
    unpack_deb(f"selinux-policy-default={version}", root)
    (root / "var/lib/selinux").mkdir(parents=True, exist_ok=True)
    # semodule compares nothing with neverallow here, as on Debian: its own modules would not all pass.
    (root / "etc/selinux/semanage.conf").write_text("module-store = direct\nexpand-check = 0\n")
    modules = map(str, sorted((root / "usr/share/selinux/default").glob("*.pp.bz2")))
    run("semodule", "-p", str(root), "-s", "default", "-n", "-i", *modules)


def words(text: str) -> set[str]:
    return set(text.split())


@pytest.mark.parametrize(
    ("source", "target", "kind", "may", "may_not"),
    [
        # systemd starts the hub, with NoNewPrivileges=, and is told how it is
        ("init_t", "glasshub_t", "process", "transition", ""),
        ("init_t", "glasshub_t", "process2", "nnp_transition", ""),
        ("init_t", "glasshub_runtime_t", "dir", "create relabelto", ""),
        ("glasshub_t", "init_t", "unix_dgram_socket", "sendto", ""),
        ("glasshub_t", "syslogd_t", "unix_dgram_socket", "sendto", ""),
        # the hub and its files
        ("glasshub_t", "glasshub_etc_t", "file", "open read", "append create rename setattr unlink write"),
        ("glasshub_t", "glasshub_runtime_t", "file", "create lock map rename write", "execute"),
        ("glasshub_t", "glasshub_runtime_t", "sock_file", "create unlink", ""),
        ("glasshub_t", "glasshub_var_lib_t", "file", "create map write", "execute"),
        ("glasshub_t", "etc_t", "file", "open read", "append create write"),
        ("glasshub_t", "cert_t", "file", "open read", "append create write"),
        ("glasshub_t", "shadow_t", "file", "", "open read write"),
        ("glasshub_t", "user_home_t", "file", "", "open read write"),
        ("glasshub_t", "glasshub_t", "capability", "", "dac_override dac_read_search setuid sys_admin"),
        # what it runs: its interpreter again, for worker processes
        ("glasshub_t", "bin_t", "file", "execute execute_no_trans", "write"),
        # the bus
        ("glasshub_t", "unreserved_port_t", "tcp_socket", "name_bind name_connect", ""),
        ("glasshub_t", "glasshub_port_t", "tcp_socket", "name_bind name_connect", ""),
        ("glasshub_t", "amqp_port_t", "tcp_socket", "name_connect", "name_bind"),
        ("glasshub_t", "ssh_port_t", "tcp_socket", "", "name_bind name_connect"),
        # collectd
        ("collectd_t", "glasshub_runtime_t", "dir", "open read search", "add_name remove_name write"),
        ("collectd_t", "glasshub_runtime_t", "file", "getattr lock map open read", "append create unlink write"),
        ("collectd_t", "glasshub_runtime_t", "sock_file", "write", "create unlink"),
        ("collectd_t", "glasshub_t", "unix_stream_socket", "connectto", ""),
        ("collectd_t", "glasshub_t", "process", "", "ptrace sigkill signal transition"),
        ("collectd_t", "glasshub_etc_t", "file", "", "open read write"),
        ("collectd_t", "glasshub_var_lib_t", "file", "", "map open read write"),
        ("collectd_t", "glasshub_exec_t", "file", "", "execute_no_trans"),
        # NRPE and the plugins that it starts
        ("nrpe_t", "glasshub_exec_t", "file", "execute_no_trans", "entrypoint write"),
        ("nrpe_t", "glasshub_runtime_t", "file", "lock map open read", "append create unlink write"),
        ("nrpe_t", "glasshub_t", "unix_stream_socket", "connectto", ""),
        ("nrpe_t", "glasshub_etc_t", "file", "", "open read write"),
        ("nagios_services_plugin_t", "glasshub_runtime_t", "file", "lock map open read", "append create unlink write"),
        ("nagios_services_plugin_t", "glasshub_t", "unix_stream_socket", "connectto", ""),
        ("nagios_services_plugin_t", "glasshub_var_lib_t", "file", "", "map open read write"),
        # to whom a site gives its hubs
        ("httpd_t", "glasshub_runtime_t", "file", "lock map open read", "append create unlink write"),
        ("httpd_t", "glasshub_t", "unix_stream_socket", "connectto", ""),
        ("staff_t", "glasshub_etc_t", "file", "create write", ""),
        ("staff_t", "glasshub_t", "process", "signal sigkill", "transition"),
        ("staff_t", "glasshub_unit_file_t", "service", "start stop status", ""),
    ],
)
def test_a_domain_may_do_what_it_needs_and_no_more(
    policy: Policy, source: str, target: str, kind: str, may: str, may_not: str
) -> None:
    rules = policy.rules(source, target, kind)

    assert words(may) <= rules.always
    assert not words(may_not) & rules.always


@pytest.mark.parametrize(
    ("boolean", "target", "kind", "permission"),
    [
        ("glasshub_exec_shell", "shell_exec_t", "file", "execute_no_trans"),
        ("glasshub_network_connect", "postgresql_port_t", "tcp_socket", "name_connect"),
        ("glasshub_network_connect", "smtp_port_t", "tcp_socket", "name_connect"),
    ],
)
def test_consumers_may_do_more_only_while_a_boolean_says_so(
    policy: Policy, boolean: str, target: str, kind: str, permission: str
) -> None:
    rules = policy.rules("glasshub_t", target, kind)

    assert permission not in rules.always
    assert permission in rules.switched[boolean]


def test_booleans_are_off_and_explained() -> None:
    source = (SOURCE / "glasshub.te").read_text()
    manual = (ROOT / "docs" / "selinux.md").read_text()

    booleans = re.findall(r"^gen_tunable\((\w+), (\w+)\)", source, re.MULTILINE)

    assert {default for _, default in booleans} == {"false"}
    assert all(f"| `{name}` |" in manual for name, _ in booleans)


def test_the_hub_gets_its_domain_from_systemd_and_a_check_keeps_that_of_its_caller(policy: Policy) -> None:
    assert policy.new_domain("init_t", "glasshub_exec_t") == [
        "type_transition init_t glasshub_exec_t:process glasshub_t;"
    ]
    assert policy.new_domain("nrpe_t", "glasshub_exec_t") == []


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/usr/bin/glasshub", "glasshub_exec_t"),
        ("/opt/glasshub/bin/glasshub", "glasshub_exec_t"),
        ("/etc/glasshub/fedmsg-hub.toml", "glasshub_etc_t"),
        ("/run/glasshub/fedmsg-hub.stats", "glasshub_runtime_t"),
        ("/var/run/glasshub/fedmsg-hub.sock", "glasshub_runtime_t"),
        ("/var/lib/glasshub/fedmsg-hub/spool", "glasshub_var_lib_t"),
        ("/usr/lib/systemd/system/glasshub.service", "glasshub_unit_file_t"),
        ("/usr/lib/systemd/system/glasshub@.service", "glasshub_unit_file_t"),
        ("/etc/systemd/system/glasshub@irc.service", "glasshub_unit_file_t"),
    ],
)
def test_files_get_their_labels(policy: Policy, path: str, label: str) -> None:
    ours = [line.split() for line in policy.file_contexts.splitlines() if ":glasshub_" in line]

    labels = {fields[-1].split(":")[2] for fields in ours if re.fullmatch(fields[0], path)}

    assert labels == {label}
