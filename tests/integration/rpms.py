# SPDX-License-Identifier: LGPL-2.1-or-later
"""Building RPMs as a distribution does, from an archive of the sources, and looking into them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..needs import give_up, output, program
from .hubs import ROOT

_SPEC = ROOT / "packaging" / "rpm" / "glasshub.spec"
_SHIM = ROOT / "packaging" / "rpm" / "macros.ci"
_SYSTEMD = ROOT / "packaging" / "systemd"

#: What the policy module is built with.
_POLICIES = Path("/usr/share/selinux/devel/Makefile")

#: What is in a checkout and in no archive of it.
_NOT_SOURCES = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "glasshub-demo")

_STUB = """\
Name: {name}
Version: 0
Release: 1
Summary: Stands in for another package
License: none
BuildArch: noarch
{provides}
%description
%install
install -D -m 0644 /dev/stdin %{{buildroot}}{path} <<< "of a stub"
%files
%config(noreplace) {path}
"""


@dataclass(frozen=True)
class File:
    """A file as a package has it."""

    mode: int
    owner: str
    group: str
    flags: str


@dataclass(frozen=True)
class Package:
    """A package that was built."""

    path: Path

    def ask(self, *arguments: str) -> list[str]:
        """The lines of an answer of `rpm --query`."""
        return output("rpm", "-qp", *arguments, str(self.path)).splitlines()

    def files(self) -> dict[str, File]:
        """Its files, by path; flags are c, d, g, l, n: of configuration, documents, ghosts, licences, noreplace."""
        form = "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME} -%{FILEFLAGS:fflags}\\n]"
        found = {}
        for line in self.ask("--queryformat", form):
            path, mode, owner, group, flags = line.split()
            found[path] = File(int(mode, 8), owner, group, flags[1:])
        return found

    def scriptlets(self) -> dict[str, str]:
        """Its scriptlets, by what rpm calls them."""
        found: dict[str, str] = {}
        for line in self.ask("--scripts"):
            head, is_head, _ = line.partition(" scriptlet (using ")
            if is_head:
                found[head] = ""
            else:
                found[list(found)[-1]] += line + "\n"
        return found


def build(directory: Path, *options: str) -> dict[str, Package]:
    """Build all packages in a directory, from an archive of the sources alone; each by its name, the sources' as `src`.

    The archive is made from a copy: setuptools puts everything into it that it has put into one before.

    Args:
        directory: Where to; empty.
        options: More of rpmbuild's.
    """
    if not _POLICIES.exists():
        give_up(f"there is no {_POLICIES}: install selinux-policy-dev, or selinux-policy-devel")
    sources = directory / "SOURCES"
    shutil.copytree(ROOT, directory / "checkout", ignore=_NOT_SOURCES)
    make = f"from setuptools import build_meta; build_meta.build_sdist({str(sources)!r})"
    output(sys.executable, "-c", make, cwd=directory / "checkout")
    output("rpmbuild", "-ba", "--nodeps", *definitions(directory), *options, str(_spec_among(sources)))
    return {
        "src" if path.name.endswith(".src.rpm") else output("rpm", "-qp", "--qf", "%{name}", str(path)): Package(path)
        for path in directory.rglob("*.rpm")
    }


def definitions(directory: Path) -> list[str]:
    """What rpmbuild is told on a host that has not the macros of Fedora."""
    return [f"--load={_SHIM}", "--define", f"_topdir {directory}", "--define", f"__python3 {sys.executable}"]


def spec_for(system: str, directory: Path) -> str:
    """The spec as a distribution sees it, which is one such as `fedora 42`."""
    (directory / "SOURCES").mkdir()
    undefined = ["--define", f"{'rhel' if system.startswith('fedora') else 'fedora'} %{{nil}}"]
    spec = _spec_among(directory / "SOURCES")
    return output("rpmspec", "-P", *definitions(directory), *undefined, "--define", system, str(spec))


def _spec_among(sources: Path) -> Path:
    """The spec, put beside its sources, and beside it those that it needs before it unpacks the archive."""
    for file in _SYSTEMD.glob("*.sysusers.conf"):
        shutil.copy(file, sources)
    return Path(shutil.copy(_SPEC, sources))


def build_stub(directory: Path, name: str, *, provides: list[str], path: str) -> Path:
    """A package that provides all that, and has one file of configuration."""
    spec = directory / "stub.spec"
    provided = "".join(f"Provides: {one}\n" for one in provides)
    spec.write_text(_STUB.format(name=name, provides=provided, path=path))
    output("rpmbuild", "-bb", "--define", f"_topdir {directory}", "--define", "_buildshell /bin/bash", str(spec))
    (package,) = (directory / "RPMS").rglob(f"{name}-0-*.rpm")
    return package


def unpack(packages: list[Package], root: Path) -> None:
    """Put the files of packages below a directory, as whoever we are."""
    for package in packages:
        archive = root.with_name("archive")
        with archive.open("wb") as file:
            subprocess.run([program("rpm2cpio"), package.path], stdout=file, check=True)
        with archive.open("rb") as file:
            subprocess.run([program("cpio"), "-idm", "--quiet"], cwd=root, stdin=file, check=True)


def lint(directory: Path) -> str:
    """What rpmlint says of all that was built in a directory, and of the spec."""
    macros = _SHIM.read_text(encoding="utf-8") + f"%__python3 {sys.executable}\n"
    (directory / ".rpmmacros").write_text(macros, encoding="utf-8")  # without them the spec cannot be read
    command = [program("rpmlint"), "--config", str(ROOT / "packaging" / "rpm" / "rpmlint.toml")]
    command += map(str, [directory / "SOURCES" / _SPEC.name, *directory.rglob("*.rpm")])
    environment = {"HOME": str(directory), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
