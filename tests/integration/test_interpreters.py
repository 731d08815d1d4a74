# SPDX-License-Identifier: LGPL-2.1-or-later
"""Glasshub as an operator installs it, with whatever pip resolves this week, under every Python of this machine.

The environments are kept for a week; what is installed of Glasshub itself is that of now.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..interpreters import interpreters, numbers
from . import signed
from .hubs import DEADLINE, ROOT, Bus, HubProcess, bus_in
from .old_site import ENABLED, noted
from .venvs import cached_venv, copy_checkout, pip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run installs everything

DUMMY = "fedmsg.consumers.dummy:DummyConsumer"
HERE = "tests.integration.old_site"


def _newest_of_each_minor_version() -> dict[str, Path]:
    """Those that Glasshub supports."""
    found = {numbers(version)[:2]: (version, python) for version, python in interpreters().items()}
    return dict(entry for minor, entry in found.items() if minor >= (3, 9))


_INTERPRETERS = _newest_of_each_minor_version()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Glasshub as it is now, built beside the checkout, in which a build would leave its traces."""
    directory = copy_checkout(tmp_path_factory.mktemp("wheel") / "checkout")
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(directory / "dist"), str(directory))
    (wheel,) = (directory / "dist").iterdir()
    return wheel


def environment(python: Path, wheel: Path, *changes: str) -> Path:
    """The interpreter of an environment with Glasshub, and what pip installs with it this week.

    Args:
        python: The interpreter.
        wheel: What to install.
        changes: What is installed after it, against its requirements.
    """
    week = tuple(datetime.date.today().isocalendar())[:2]

    def fill(fresh: Path) -> None:
        pip(fresh, "install", "--upgrade", "pip")  # txWS needs pip >= 23.1: docs/libraries.md
        pip(fresh, "install", "--no-compile", str(wheel))  # what is imported is compiled then: a fraction
        if changes:
            pip(fresh, "install", "--no-compile", *changes)

    made_of = (week, (ROOT / "setup.py").read_bytes(), changes)
    made = cached_venv("hub", python=python, made_of=made_of, fill=fill)
    pip(made, "install", "--no-deps", "--force-reinstall", str(wheel))
    return made


@pytest.fixture(scope="module")
def environments(wheel: Path, request: pytest.FixtureRequest) -> dict[str, Future[Path]]:
    """The interpreters of the environments that the selected tests need; two are made at a time."""
    names = [item.name for item in request.session.items]
    wanted = [version for version in _INTERPRETERS if any(version in name for name in names)]
    with ThreadPoolExecutor(2) as pool:
        return {version: pool.submit(environment, _INTERPRETERS[version], wheel) for version in wanted}


@contextmanager
def hub(directory: Path, bus: Bus, python: Path, *arguments: str, **config: Any) -> Iterator[HubProcess]:
    """A hub of what is installed there, with fedmsg's configuration; of the checkout it finds the tests alone."""
    file = directory / "fedmsg-config.py"
    config = {"endpoints": {"bus": [bus.endpoint]}, "environment": "dev", **config}
    file.write_text(f"config = {config!r}\n", encoding="utf-8")
    arguments = ("--fedmsg-config", str(file), *arguments)
    started = HubProcess(directory, bus, arguments, python=python, environment={"PYTHONPATH": str(ROOT)})
    try:
        yield started
    finally:
        started.close()


def output_of(python: Path, *arguments: str) -> str:
    """What a module that is run prints."""
    return subprocess.run(
        [str(python), "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    ).stdout


@pytest.mark.parametrize("version", _INTERPRETERS)
def test_a_site_runs_with_what_pip_resolves(
    version: str, environments: dict[str, Future[Path]], tmp_path: Path
) -> None:
    """Consumers, a producer, Twisted's reactor, signatures, stats."""
    python = environments[version].result()
    topic = "org.fedoraproject.dev.shop.sold"
    message = json.loads(output_of(python, signed.__name__, str(tmp_path), topic))
    config = {ENABLED: True, "fedmsg.consumers.dummy.enabled": True, **signed.config(tmp_path)}
    arguments = ["--with-consumers", f"{HERE}:Unsigned,{DUMMY}", "--with-producers", f"{HERE}:Feeding"]
    with bus_in(tmp_path) as bus, hub(tmp_path, bus, python, *arguments, **config) as site:
        site.wait_until_running()
        bus.wait()
        for body in (message, {**message, "msg": {"price": 0.5}}):
            bus.publish(topic, body)
        for command in ("later", "thread"):
            bus.publish("org.site.x", {"topic": "org.site.x", "msg": command})
        unsigned, dummy = site.wait_until(
            lambda s: [c.finished for c in s.consumers] == [5, 2] and len(noted(tmp_path, "Unsigned")) == 7,
            "three messages of the producer, two commands with what they bring about, two messages with a signature",
        ).consumers
        shown = output_of(python, "glasshub", "stats", str(site.segment))

        assert site.stop() == 0, site.said()
    assert (unsigned.processed, unsigned.injected) == (5, 3)
    assert (dummy.processed, dummy.invalid) == (1, 1)
    notes = noted(tmp_path, "Unsigned")
    assert sorted(map(str, notes)) == sorted(["fed"] * 3 + ["later", "thread", "in thread", "['later', True]"])
    assert "DummyConsumer" in shown
    assert "Traceback" not in site.said()


@pytest.mark.parametrize("version", _INTERPRETERS)
def test_what_pip_resolves_has_no_conflicts(version: str, environments: dict[str, Future[Path]]) -> None:
    assert output_of(environments[version].result(), "pip", "check") == "No broken requirements found.\n"


def test_with_a_setuptools_that_has_no_pkg_resources_a_start_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    """What most will meet: whatever upgrades setuptools breaks Moksha."""
    python = environment(Path(sys.executable), wheel, "setuptools>=81")
    with bus_in(tmp_path) as bus, hub(tmp_path, bus, python, "--with-consumers", DUMMY) as refused:
        code = refused.process.wait(DEADLINE)

    assert code == 1
    assert refused.said().splitlines()[-1].startswith("glasshub: ")
    assert "No module named 'pkg_resources': pip install 'setuptools<81' (on Fedora" in refused.said()
    assert "Traceback" not in refused.said()
    assert " ERROR " not in refused.said()


@pytest.fixture(scope="module")
def without_fedmsg(wheel: Path) -> Path:
    """The interpreter of an environment with Glasshub and what a hub without consumers of fedmsg needs."""
    needed = ["pyzmq", "six", "tomli; python_version < '3.11'"]
    made = cached_venv(
        "bare", python=Path(sys.executable), made_of=needed, fill=lambda fresh: pip(fresh, "install", *needed)
    )
    pip(made, "install", "--no-deps", "--force-reinstall", str(wheel))
    return made


def test_a_hub_without_consumers_of_fedmsg_needs_nothing_of_fedmsgs(without_fedmsg: Path, tmp_path: Path) -> None:
    """Even with fedmsg's configuration, which says where the bus is."""
    arguments = ["--with-consumers", "tests.integration.consumers:Everything"]
    with bus_in(tmp_path) as bus, hub(tmp_path, bus, without_fedmsg, *arguments) as native:
        native.wait_until_running()
        bus.wait()
        bus.publish_many(10)
        snapshot = native.wait_until_finished(10)

        assert native.stop() == 0, native.said()
    assert snapshot.consumers[0].processed == 10


def test_where_a_consumer_of_fedmsg_is_named_without_fedmsg_a_start_says_what_to_install(
    without_fedmsg: Path, tmp_path: Path
) -> None:
    with bus_in(tmp_path) as bus, hub(tmp_path, bus, without_fedmsg, "--with-consumers", DUMMY) as refused:
        code = refused.process.wait(DEADLINE)

    assert code == 1
    assert "No module named 'fedmsg': pip install 'fedmsg[consumers,crypto_ng]>=1.1' (on" in refused.said()
    assert "Traceback" not in refused.said()
