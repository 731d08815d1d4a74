# SPDX-License-Identifier: LGPL-2.1-or-later
"""The RPMs: what is in them, what they need, and that it runs from where they put it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import six

from glasshub import __version__

from ..needs import give_up, output, program
from . import rpms
from .collectd_daemon import Collectd, beginning
from .hubs import ROOT, Bus, HubProcess, hub_on
from .rpms import File, Package

pytestmark = pytest.mark.slow

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"/usr/lib/python{PYTHON}/site-packages"

NAMES = {
    "collectd-glasshub",
    "glasshub",
    "glasshub-selinux",
    "nagios-plugins-glasshub",
    "python3-glasshub-stats",
    "src",
}

#: What each package has besides Python modules, documents and licences; numbers are modes.
CONTENTS = {
    "glasshub": {
        "/etc/glasshub": 0o755,
        "/etc/glasshub/glasshub.toml": 0o640,
        "/run/glasshub": 0o755,
        "/usr/bin/glasshub": 0o755,
        "/usr/lib/systemd/system/glasshub.service": 0o644,
        "/usr/lib/systemd/system/glasshub@.service": 0o644,
        "/usr/lib/sysusers.d/glasshub.conf": 0o644,
        "/usr/lib/tmpfiles.d/glasshub.conf": 0o644,
        "/usr/share/bash-completion/completions/glasshub": 0o644,
        "/usr/share/fish/vendor_completions.d/glasshub.fish": 0o644,
        "/usr/share/zsh/site-functions/_glasshub": 0o644,
        "/var/lib/glasshub": 0o700,
    },
    "python3-glasshub-stats": {"/usr/lib/sysusers.d/glasshub-stats.conf": 0o644},
    "collectd-glasshub": {
        "/etc/collectd.d/glasshub.conf": 0o644,
        "/usr/libexec/glasshub": 0o755,
        "/usr/libexec/glasshub/glasshub-notify": 0o755,
        "/usr/lib/systemd/system/collectd.service.d": 0o755,
        "/usr/lib/systemd/system/collectd.service.d/glasshub.conf": 0o644,
    },
    "nagios-plugins-glasshub": {
        "/usr/lib/systemd/system/nrpe.service.d": 0o755,
        "/usr/lib/systemd/system/nrpe.service.d/glasshub.conf": 0o644,
    },
    "glasshub-selinux": {
        "/usr/share/selinux/devel/include/distributed/glasshub.if": 0o644,
        "/usr/share/selinux/packages/targeted/glasshub.pp.bz2": 0o644,
        "/var/lib/selinux/targeted/active/modules/200/glasshub": 0,
    },
}

PLUGINS = {
    "check_glasshub",
    "check_fedmsg_consumer_backlog",
    "check_fedmsg_consumer_exceptions",
    "check_fedmsg_producer_last_ran",
    "check_fedmsg_producers_consumers",
}

#: The import packages, and where they stand in the sources.
MODULES = {
    "glasshub": ROOT / "hub" / "glasshub",
    "python3-glasshub-stats": ROOT / "hub" / "glasshub_stats",
    "collectd-glasshub": ROOT / "collectd_plugin" / "collectd_glasshub",
}

#: What others have to package.
FOREIGN = {
    "/usr/bin/python3",
    "collectd-python",
    "policycoreutils",
    f"python(abi) = {PYTHON}",
    f"python{PYTHON}dist(fedmsg) >= 1.1",
    f"python{PYTHON}dist(pyzmq) >= 22",
    f"python{PYTHON}dist(rich) >= 12",
    f"python{PYTHON}dist(setuptools) < 81",
    f"python{PYTHON}dist(six) >= 1.9",
    "python3dist(six)",
    "selinux-policy-targeted",
    "shadow-utils",
    "systemd",
}
if sys.version_info < (3, 11):
    FOREIGN.add(f"python{PYTHON}dist(tomli) >= 1.1")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return rpms.build(tmp_path_factory.mktemp("rpm"))


@pytest.fixture(scope="module")
def root(built: dict[str, Package], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with nothing in it but our packages."""
    directory = tmp_path_factory.mktemp("root")
    rpms.unpack([package for name, package in built.items() if name != "src"], directory)
    return directory


def test_an_archive_of_the_sources_is_all_that_is_needed_to_build(built: dict[str, Package]) -> None:
    assert built.keys() == NAMES
    assert {*built["glasshub"].ask("--qf", "%{version}")} == {__version__}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_package_has_its_files_with_their_modes(built: dict[str, Package], name: str) -> None:
    files = built[name].files()
    pages = {f"/usr/share/man/man{page.suffix[1]}/{page.name}.gz" for page in (ROOT / "packaging" / "man").iterdir()}
    expected = {
        **CONTENTS[name],
        **{page: 0o644 for page in pages if name == "glasshub"},
        **{f"/usr/bin/{plugin}": 0o755 for plugin in PLUGINS if name == "nagios-plugins-glasshub"},
        **{f"/usr/share/man/man1/{plugin}.1.gz": 0o644 for plugin in PLUGINS if name == "nagios-plugins-glasshub"},
    }

    beside = {path: file for path, file in files.items() if not path.startswith((SITE, "/usr/share/doc/"))}
    own = {path: stat.S_IMODE(file.mode) for path, file in beside.items() if not re.match("/usr/share/licenses/", path)}
    assert own == expected
    assert any(file.flags == "l" for file in beside.values())


@pytest.mark.parametrize("name", MODULES)
def test_a_package_has_all_of_its_modules_and_nobody_elses(built: dict[str, Package], name: str) -> None:
    source = MODULES[name]

    installed = {path for path in built[name].files() if path.startswith(SITE) and path.endswith(".py")}

    assert installed == {f"{SITE}/{path.relative_to(source.parent)}" for path in source.rglob("*.py")}


def test_nothing_belongs_to_the_hubs_user_but_what_the_hub_writes(built: dict[str, Package]) -> None:
    files = {path: file for name in CONTENTS for path, file in built[name].files().items()}

    owned = {path: file for path, file in files.items() if (file.owner, file.group) != ("root", "root")}

    assert owned == {
        "/etc/glasshub/glasshub.toml": File(stat.S_IFREG | 0o640, "root", "glasshub", "cn"),
        "/run/glasshub": File(stat.S_IFDIR | 0o755, "glasshub", "glasshub", "g"),
        "/var/lib/glasshub": File(stat.S_IFDIR | 0o700, "glasshub", "glasshub", ""),
    }
    assert files["/etc/collectd.d/glasshub.conf"].flags == "cn"


def test_a_package_says_which_distribution_of_python_it_is(built: dict[str, Package]) -> None:
    provided = built["glasshub"].ask("--provides")
    version = re.sub(r"(\.0)+$", "", __version__)

    assert {f"python{PYTHON}dist(glasshub) = {version}", f"python3dist(glasshub) = {version}"} <= {*provided}
    recommended = ["(glasshub-selinux if selinux-policy-targeted)", "python3dist(pika)"]
    assert sorted(built["glasshub"].ask("--recommends")) == recommended


def test_the_packages_need_each_other_and_what_others_package(built: dict[str, Package]) -> None:
    release = built["glasshub"].ask("--qf", "%{version}-%{release}")[0]
    required = {line for name in CONTENTS for line in built[name].ask("--requires")}

    mutual = {line for line in required if line.endswith(f"= {release}") and not line.startswith("config(")}
    foreign = {line for line in required if not line.startswith(("rpmlib(", "config(", "/bin/sh"))} - mutual

    assert mutual == {f"glasshub = {release}", f"python3-glasshub-stats = {release}"}
    assert foreign == FOREIGN


def test_nothing_else_is_missing_where_those_are(built: dict[str, Package], tmp_path: Path) -> None:
    """And without them everything that is missing is named."""
    packages = [str(built[name].path) for name in CONTENTS]
    database = ["--dbpath", str(tmp_path / "database"), "--nosignature", "-U", "--test"]
    provides = sorted({one.replace("< 81", "= 80") for one in FOREIGN} | {"/bin/sh"})

    alone = subprocess.run([program("rpm"), *database, *packages], capture_output=True, text=True, check=False)
    missing = set(re.findall(r"^\s(.+?) is needed by", alone.stderr, re.MULTILINE))
    stub = rpms.build_stub(tmp_path, "stub", provides=[one.replace(">=", "=") for one in provides], path="/etc/stub")

    assert missing == FOREIGN | {"/bin/sh"}
    output("rpm", *database, *packages, str(stub))


def test_scriptlets_make_the_users_and_tell_systemd(built: dict[str, Package]) -> None:
    hub, stats, collectd = (
        built[name].scriptlets() for name in ("glasshub", "python3-glasshub-stats", "collectd-glasshub")
    )

    assert re.findall(r"\|\| (\w+)", hub["preinstall"]) == ["groupadd", "useradd"]
    assert "usermod -a -G glasshub-stats glasshub" in hub["preinstall"]
    assert re.findall(r"\|\| (\w+)", stats["preinstall"]) == ["groupadd"]
    assert "install-system-units glasshub.service" in hub["postinstall"]
    assert "systemctl stop 'glasshub@*.service'" in hub["preuninstall"]
    assert "remove-system-units glasshub.service glasshub@.service" in hub["preuninstall"]
    assert "mark-restart-system-units glasshub.service 'glasshub@*.service'" in hub["postuninstall"]
    assert "mark-restart-system-units collectd.service" in collectd["postuninstall"]


def test_the_policy_is_loaded_and_unloaded(built: dict[str, Package]) -> None:
    scriptlets = built["glasshub-selinux"].scriptlets()

    assert "-i /usr/share/selinux/packages/targeted/glasshub.pp.bz2" in scriptlets["postinstall"]
    assert "-r glasshub" in scriptlets["postuninstall"]
    assert {"preinstall", "posttrans"} <= scriptlets.keys()


def test_rpmlint_finds_nothing(built: dict[str, Package]) -> None:
    said = rpms.lint(built["src"].path.parents[1])

    assert " 6 packages and 1 specfiles checked; 0 errors, 0 warnings" in said, said


@pytest.mark.parametrize(
    ("system", "makes_users", "licence"),
    [("fedora 40", True, True), ("fedora 42", False, True), ("rhel 9", True, False), ("rhel 10", True, True)],
)
def test_the_spec_minds_what_a_distribution_does_by_itself(
    tmp_path: Path, system: str, makes_users: bool, licence: bool
) -> None:
    spec = rpms.spec_for(system, tmp_path)

    assert ("useradd" in spec) is makes_users
    assert ("no licence in" in spec) is licence  # what the shim has of `%pyproject_save_files -l`


def test_what_is_installed_is_what_python_finds(root: Path) -> None:
    where = "import glasshub, glasshub_stats; print(glasshub.__file__, glasshub_stats.__file__)"

    said = subprocess.check_output([sys.executable, "-c", where], env={**os.environ, **installed(root)}, text=True)

    assert said == f"{root}{SITE}/glasshub/__init__.py {root}{SITE}/glasshub_stats/__init__.py\n"


def test_what_is_installed_is_run_by_the_systems_python(root: Path) -> None:
    assert (root / "usr/bin/glasshub").read_text().startswith("#!/usr/bin/python3\n")


@pytest.mark.parametrize("reader", ["collectd", "nrpe"])
def test_readers_are_in_the_group_that_the_package_makes(root: Path, reader: str) -> None:
    drop_in = (root / f"usr/lib/systemd/system/{reader}.service.d/glasshub.conf").read_text()

    group = re.search("^SupplementaryGroups=(.*)$", drop_in, re.MULTILINE)

    assert group is not None
    assert f"\ng {group[1]} -\n" in (root / "usr/lib/sysusers.d/glasshub-stats.conf").read_text()


def test_what_the_operator_has_written_outlasts_an_upgrade_and_the_removal(
    built: dict[str, Package], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        give_up("only root may install packages below a directory: sudo pytest tests/integration/test_rpm.py")
    root = tmp_path / "root"
    rpm = ["rpm", "--root", str(root), "--dbpath", "/rpm", "--nodeps", "--noscripts", "--nosignature"]
    older = rpms.build_stub(tmp_path, "glasshub", provides=[], path="/etc/glasshub/glasshub.toml")
    root.mkdir()
    output(*rpm, "-U", str(older))
    etc = root / "etc/glasshub"
    (etc / "glasshub.toml").write_text("# mine")
    (etc / "badges.toml").write_text("# mine, too")

    output(*rpm, "-U", str(built["glasshub"].path))
    after_upgrade = {file.name: file.read_text() for file in etc.iterdir()}
    (root / "var/lib/glasshub/badges").mkdir()
    output(*rpm, "-e", "glasshub")

    assert after_upgrade.pop("glasshub.toml.rpmnew").startswith("# SPDX")
    assert after_upgrade == {"glasshub.toml": "# mine", "badges.toml": "# mine, too"}
    assert {file.name for file in etc.iterdir()} >= {"glasshub.toml.rpmsave", "badges.toml"}
    assert (root / "var/lib/glasshub/badges").exists()
    assert not (root / "usr/bin/glasshub").exists()


def installed_hub(root: Path, directory: Path, bus: Bus) -> AbstractContextManager[HubProcess]:
    """A hub that runs from a system of its own."""
    start = directory / "start"
    start.write_text(f'#!/bin/sh\nshift 2 # -m glasshub\nexec {sys.executable} {root}/usr/bin/glasshub "$@"\n')
    start.chmod(0o755)
    consumer = "tests.integration.consumers:Everything"
    return hub_on(bus, directory, "--consumer", consumer, python=start, environment=installed(root))


def installed(root: Path) -> dict[str, str]:
    """An environment in which Python finds ours nowhere but there. (For consumers it finds the tests, too.)"""
    return {"PYTHONPATH": os.pathsep.join([f"{root}{SITE}", str(ROOT)]), "PYTHONDONTWRITEBYTECODE": "1"}


def ask(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the installed command says."""
    command = [sys.executable, f"{root}/usr/bin/glasshub", *arguments]
    return subprocess.run(
        command, env={**os.environ, **installed(root)}, cwd=root, capture_output=True, text=True, check=False
    )


def test_the_installed_hub_works_and_the_installed_command_sees_it(root: Path, bus: Bus, tmp_path: Path) -> None:
    with installed_hub(root, tmp_path, bus) as hub:
        bus.publish_many(10)
        hub.wait_until_finished(10)

        said = ask(root, "stats", str(hub.segment), "--format", "json")

        assert '"processed": 10' in said.stdout, said.stderr
        assert hub.stop() == 0


def test_the_checks_of_the_example_for_nrpe_are_there_and_see_the_installed_hub(
    root: Path, bus: Bus, tmp_path: Path
) -> None:
    (example,) = (root / "usr/share/doc").glob("nagios-plugins-glasshub*/nrpe.d/glasshub.cfg")
    commands = dict(re.findall(r"^command\[glasshub_(\S+)\]=(/.*)$", example.read_text(), re.MULTILINE))
    with installed_hub(root, tmp_path, bus):
        codes = {name: checked(root, command, tmp_path) for name, command in commands.items()}

    assert {"age", "backlog", "stuck", "up"} <= codes.keys()
    assert {name: code for name, code in codes.items() if code} == {}


def checked(root: Path, command: str, directory: Path) -> int:
    """The exit code of a command of NRPE's, asked of the hub whose segment is in the directory."""
    words = [f"{directory}/h.stats" if word == "fedmsg-hub" else word for word in command.split()]
    environment = {**os.environ, **installed(root), "TMPDIR": str(directory)}
    return subprocess.run([sys.executable, f"{root}{words[0]}", *words[1:]], env=environment, check=False).returncode


def test_the_installed_plugin_has_the_real_collectd_see_the_installed_hub(
    root: Path, bus: Bus, tmp_path: Path, program: str
) -> None:
    (tmp_path / "modules").mkdir()
    shutil.copy(six.__file__, tmp_path / "modules")
    config = beginning(tmp_path, 0.2) + _COLLECTD.format(directory=tmp_path, root=root, site=f"{root}{SITE}")
    with installed_hub(root, tmp_path, bus) as hub, Collectd(program, tmp_path, config) as collectd:
        bus.publish_many(10)
        hub.wait_until_finished(10)

        collectd.await_value("glasshub-h/gauge-up", 1.0)
        collectd.await_value("glasshub-h.Everything/queue_length", 0.0)


#: With the installed file as it is; but that reads /run/glasshub.
_COLLECTD = """
LoadPlugin python
<Plugin python>
  ModulePath "{directory}/modules"
  ModulePath "{site}"
</Plugin>
Include "{root}/etc/collectd.d/glasshub.conf"
<Plugin python>
  <Module "collectd_glasshub">
    Path "{directory}/h.stats"
  </Module>
</Plugin>
"""
