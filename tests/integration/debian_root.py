# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian that is booted in a container: a system of its own, which a test may fill as it likes and then forgets."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..needs import give_up, program
from .hubs import ROOT, wait_until
from .venvs import cached, copy_checkout, pip, run

_SUITE = "bookworm"

#: What is in it from the start: an init, and what Ansible needs of a host.
_INSTALLED = ("systemd", "systemd-sysv", "procps", "python3", "python3-apt", "ca-certificates")

#: What can be installed in it without a network.
_AT_HAND = (
    "collectd-core",
    "collectd-utils",
    "libmicrohttpd12",
    "libprotobuf-c1",
    "libpython3.11",
    "nagios-nrpe-plugin",
    "nagios-nrpe-server",
    "python3-packaging",
    "python3-venv",
    "rrdtool",
)

#: Units that only keep it from being up soon.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
)

#: Where in it the wheels are of all that Glasshub needs.
WHEELS = "/srv/wheels"

#: Mounts, where nobody else sees it, a root for reading with memory above it; and goes on as another program.
_OVERLAY = """\
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$0/upper,workdir=$0/work" "$0/root"
shift
exec "$@"
"""

#: Seconds until it is up; one is usual.
_BOOT_DEADLINE = 60.0


@dataclass(frozen=True)
class Machine:
    """A booted system.

    Attributes:
        root: Its files as they were before it was booted; what is written goes into memory.
        pid: Its init, as seen from here.
    """

    root: Path
    pid: int

    def command(self, *arguments: str) -> list[str]:
        """A command that has another one run there."""
        return [program("nsenter"), "--target", str(self.pid), "--all", *arguments]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or not check, f"{shlex.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def is_up(self) -> bool:
        """Whether all has been started that is started at boot."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def read(self, path: str) -> str:
        """A file of it, as it is now."""
        return self.run("cat", path).stdout

    def write(self, path: str, content: bytes) -> None:
        """Put a file there."""
        command = self.command("sh", "-c", 'mkdir -p "${0%/*}" && cat >"$0"', path)
        subprocess.run(command, input=content, timeout=60, check=True)


@contextmanager
def debian() -> Iterator[Machine]:
    """A Debian with little in it, for as long as the context lasts."""
    _refuse_without_privileges()
    root = _root()
    with tempfile.TemporaryDirectory() as memory, _nspawn(root, memory) as nspawn:
        try:
            yield _booted(root, nspawn)
        finally:
            for init in _children(nspawn):
                os.kill(init, signal.SIGKILL)  # and with it everything; nobody misses its last words


def _nspawn(root: Path, memory: str) -> subprocess.Popen[bytes]:
    """Boot a system whose files are those of the root, and what is written in memory.

    Several may be booted from one root at the same time: nspawn locks what it boots, and that is the overlay.
    """
    command = [program("unshare"), "--mount", "sh", "-ec", _OVERLAY, memory, str(root)]
    command += [program("systemd-nspawn"), "--quiet", "--boot", "--directory", f"{memory}/root"]
    command += ["--machine", "debian", "--register=no", "--keep-unit", "--private-network"]
    command += ["--console=pipe", "systemd.unit=multi-user.target"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _refuse_without_privileges() -> None:
    """Containers are made by root, and only where the system lets it."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    by_hand = f"on a machine of your own run: sudo {sys.executable} -m pytest {test}"
    if os.geteuid() != 0:
        pytest.skip(f"NOT TESTED: only root boots a container; {by_hand}")
    done = subprocess.run([program("unshare"), "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: this root may make no namespaces; {by_hand}")


def _root() -> Path:
    made_of = (_SUITE, _INSTALLED, _AT_HAND, _MASKED, (ROOT / "setup.py").read_text(encoding="utf-8"))
    program("mmdebstrap")
    return cached("debian", made_of=made_of, make=_make)


def _make(root: Path) -> None:
    hooks = [f"chroot {{}} apt-get install -qq -y --download-only --no-install-recommends {' '.join(_AT_HAND)}"]
    hooks += [f"ln -s /dev/null {{}}/etc/systemd/system/{unit}" for unit in _MASKED]
    # What apt has fetched stays, so that a role finds what it installs.
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--skip=cleanup/apt", f"--include={','.join(_INSTALLED)}"]
    command += ['--aptopt=APT::Install-Recommends "false"']  # half a desktop, for collectd
    run(*command, *("--customize-hook=" + hook.format('"$1"') for hook in hooks), _SUITE, str(root))
    root.chmod(0o755)
    _fill_with_wheels(root)


def _fill_with_wheels(root: Path) -> None:
    """All that Glasshub needs, for the Python in there, which has no pip yet."""
    authorities = Path("etc/ssl/certs/ca-certificates.crt")  # ours may know a proxy
    for file in (authorities, Path("etc/resolv.conf")):
        shutil.copy("/" / file, root / file)
    wheels = root / WHEELS.lstrip("/")
    pip(Path(sys.executable), "download", "--no-deps", "--dest", str(wheels), "pip")
    ours = wheel_of_glasshub(wheels)
    (installer,) = wheels.glob("pip-*.whl")
    inside = ["chroot", str(root), "python3", f"{WHEELS}/{installer.name}/pip"]
    run(*inside, "-q", "wheel", "--wheel-dir", WHEELS, f"{WHEELS}/{ours.name}")
    installer.unlink()
    ours.unlink()


def wheel_of_glasshub(directory: Path) -> Path:
    """The checkout as a package, built from a copy: building leaves traces."""
    with tempfile.TemporaryDirectory() as copy:
        source = str(copy_checkout(Path(copy, "glasshub")))
        pip(Path(sys.executable), "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), source)
    return next(directory.glob("glasshub-*.whl"))


def _booted(root: Path, nspawn: subprocess.Popen[bytes]) -> Machine:
    def is_up() -> bool:
        assert nspawn.poll() is None, "the container has ended"
        return any(Machine(root, init).is_up() for init in _children(nspawn))

    try:
        wait_until(is_up, "the container to boot", deadline=_BOOT_DEADLINE)
    except AssertionError as error:
        give_up(f"{error}: {_last_words(nspawn)}")
    (init,) = _children(nspawn)
    machine = Machine(root, init)
    _give_an_address(machine)
    return machine


def _children(nspawn: subprocess.Popen[bytes]) -> list[int]:
    """Its init; nothing when it has ended."""
    try:
        return [*map(int, Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text(encoding="ascii").split())]
    except OSError:
        return []


def _give_an_address(machine: Machine) -> None:
    """glibc finds no address at all, not even 127.0.0.1, for a program of a host that has no other (AI_ADDRCONFIG)."""
    command = [program("nsenter"), "--target", str(machine.pid), "--net", program("ip")]
    run(*command, "address", "add", "192.0.2.1/32", "dev", "lo")


def _last_words(nspawn: subprocess.Popen[bytes]) -> str:
    nspawn.kill()
    return nspawn.communicate()[1].decode(errors="replace").strip()
