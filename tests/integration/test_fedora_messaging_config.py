# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's configuration and a real RabbitMQ: TLS with and without a client's certificate, and what a user
must be permitted there."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glasshub.amqp.parameters import parameters_of
from glasshub.amqp.settings import AmqpSettings, read
from tools.rabbitmq import Broker, why_not

from ..lasting import shared
from ..needs import give_up, module
from .brokers import await_hubs, delete_queues, publish, settings_file
from .collectd_daemon import free_port
from .hubs import ROOT, hub_on, wait_until
from .typed import steps

EVERYTHING = "tests.integration.consumers:Everything"

MANUAL = ROOT / "docs" / "fedora-messaging.md"

#: A password that is to be seen nowhere, with letters that a URL has to have encoded.
PASSWORD, IN_URL = "hush/hush@", "hush%2Fhush%40"

#: What docs/fedora-messaging.md says that a user needs for a hub named `h`.
CONFIGURE, WRITE, READ = r"^h\..*", r"^(h\..*|amq\.default)$", r"^(h\..*|amq\.topic)$"

TLS = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {directory}/authority.crt
ssl_options.certfile = {directory}/server.crt
ssl_options.keyfile = {directory}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
"""


@dataclass(frozen=True)
class Guarded:
    """A broker that speaks TLS, too.

    Attributes:
        broker: The broker.
        pki: Certificates and keys: authority, server, client, stranger.
        port: Where it speaks TLS.
    """

    broker: Broker
    pki: Path
    port: int

    def settings(self, directory: Path, *, user: str = "", ca: str = "authority", client: str = "") -> Path:
        """fedora-messaging's configuration file for the port with TLS."""
        tls = f"[tls]\nca_cert = '{self.pki}/{ca}.crt'\n"
        if client:
            tls += f"certfile = '{self.pki}/{client}.crt'\nkeyfile = '{self.pki}/{client}.key'\n"
        url = f"amqps://{user}127.0.0.1:{self.port}/"
        return settings_file(directory, self.broker, tls, url=url)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The broker, with a user for the client's certificate and for the password, who may do what a hub does."""
    reason = why_not()
    if reason:
        give_up(reason)
    module("pika")
    pki = tmp_path_factory.mktemp("pki")
    certificates = module("tests.pki")
    authority = certificates.Authority(pki, "authority")
    authority.give("server", address="127.0.0.1")
    authority.give("client")
    certificates.Authority(pki, "elsewhere").give("stranger")
    port = free_port()
    broker = Broker(
        tmp_path_factory.mktemp("broker"),
        settings=TLS.format(port=port, directory=pki),
        plugins=["rabbitmq_auth_mechanism_ssl"],
    )
    with broker, shared(lambda: {broker.pid}):
        broker.control("add_user", "client", PASSWORD)
        broker.control("set_permissions", "client", CONFIGURE, WRITE, READ)
        broker.control("add_user", "less", "less")
        yield Guarded(broker, pki, port)


def connect(settings: AmqpSettings) -> None:
    """Connect as the hub would."""
    (parameters,) = parameters_of(settings)
    module("pika").BlockingConnection(parameters).close()


def test_hub_with_a_certificate_is_known_by_it_and_needs_no_further_permissions(
    guarded: Guarded, tmp_path: Path
) -> None:
    path = guarded.settings(tmp_path, client="client")

    with hub_on(None, tmp_path, "--fedora-messaging", str(path), "--consumer", EVERYTHING) as hub:
        await_hubs(guarded.broker, "h.Everything")
        publish(guarded.broker, "org.fedoraproject.test", {})
        hub.wait_until_finished(1)
        columns = ("user", "auth_mechanism", "ssl")
        rows = guarded.broker.control("list_connections", "--no-table-headers", *columns)
        assert hub.stop() == 0

    assert "client\tEXTERNAL\ttrue" in rows.splitlines()


def test_user_with_a_password_needs_no_certificate(guarded: Guarded, tmp_path: Path) -> None:
    connect(read(guarded.settings(tmp_path, user=f"client:{IN_URL}@")))


def test_password_is_in_no_log_whether_it_is_right_or_wrong(guarded: Guarded, tmp_path: Path) -> None:
    path = guarded.settings(tmp_path, user=f"client:{IN_URL}@")
    debug = tmp_path / "debug.toml"
    debug.write_text("[logging]\nlevel = 'DEBUG'", encoding="utf-8")
    arguments = ("--config", str(debug), "--consumer", EVERYTHING, "--fedora-messaging")

    with hub_on(None, tmp_path, *arguments, str(path)) as hub:
        await_hubs(guarded.broker, "h.Everything")
        hub.stop()
        right = hub.said()
    path.write_text(path.read_text(encoding="utf-8").replace("hush%40", "hush%40wrong"), encoding="utf-8")
    with hub_on(None, tmp_path, *arguments, str(path), name="other") as hub:
        hub.wait_until(lambda snapshot: "cannot connect to" in hub.said(), "the hub to be refused")
        hub.stop()
        wrong = hub.said()

    assert "hush" not in right
    assert "hush" not in wrong


def test_broker_whose_certificate_is_of_another_authority_is_not_spoken_to(guarded: Guarded, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed certificate in certificate chain"):
        connect(read(guarded.settings(tmp_path, user=f"client:{IN_URL}@", ca="elsewhere")))


def test_broker_at_a_name_that_its_certificate_does_not_have_is_not_spoken_to(guarded: Guarded, tmp_path: Path) -> None:
    path = guarded.settings(tmp_path, user=f"client:{IN_URL}@")
    path.write_text(path.read_text(encoding="utf-8").replace("127.0.0.1", "localhost"), encoding="utf-8")

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        connect(read(path))


def test_client_with_a_certificate_of_another_authority_is_refused(guarded: Guarded, tmp_path: Path) -> None:
    with pytest.raises(module("pika.exceptions").AMQPConnectionError):
        connect(read(guarded.settings(tmp_path, client="stranger")))


@pytest.mark.parametrize(
    ("configure", "write", "read"),
    [
        (r"^other\..*", WRITE, READ),
        (CONFIGURE, r"^h\..*", READ),
        (CONFIGURE, r"^amq\.default$", READ),
        (CONFIGURE, WRITE, r"^h\..*"),
        (CONFIGURE, WRITE, r"^amq\.topic$"),
    ],
)
def test_each_of_the_permissions_is_needed(
    guarded: Guarded, tmp_path: Path, configure: str, write: str, read: str
) -> None:
    """What a hub needs is proven above; with less of it, it does not get its queue."""
    broker = guarded.broker
    delete_queues(broker, "h.Everything", "h.Everything.parked")  # one that is there is not made, nor asked for leave
    broker.control("set_permissions", "less", configure, write, read)
    path = settings_file(tmp_path, broker, url=f"amqp://less:less@127.0.0.1:{broker.port}/")
    with hub_on(None, tmp_path, "--fedora-messaging", str(path), "--consumer", EVERYTHING) as hub:
        hub.wait_until(lambda snapshot: "ACCESS_REFUSED" in hub.said(), "the broker to refuse")
        hub.stop()


def test_hub_that_makes_no_queues_needs_not_be_permitted_to_configure_any(guarded: Guarded, tmp_path: Path) -> None:
    broker = guarded.broker
    arguments = ("--consumer", EVERYTHING, "--fedora-messaging")
    with hub_on(None, tmp_path, *arguments, str(settings_file(tmp_path, broker))) as hub:
        await_hubs(broker, "h.Everything")
        hub.stop()
    broker.control("set_permissions", "less", "^$", WRITE, READ)
    url = f"amqp://less:less@127.0.0.1:{broker.port}/"
    path = settings_file(tmp_path, broker, "passive_declares = true", url=url)

    with hub_on(None, tmp_path, *arguments, str(path)) as hub:
        await_hubs(broker, "h.Everything")
        publish(broker, "org.fedoraproject.test", {})
        hub.wait_until_finished(1)
        assert hub.stop() == 0


def test_second_broker_of_the_url_is_gone_to_where_the_first_is_not_there(guarded: Guarded, tmp_path: Path) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()},127.0.0.1:{guarded.broker.port}/"
    path = settings_file(tmp_path, guarded.broker, url=url)

    with hub_on(None, tmp_path, "--fedora-messaging", str(path), "--consumer", EVERYTHING, name="second") as hub:
        await_hubs(guarded.broker, "second.Everything")
        assert hub.stop() == 0


def test_permissions_are_those_of_the_manual() -> None:
    """Which has another name for the hub."""
    told = " ".join(f"'{pattern}'" for pattern in (CONFIGURE, WRITE, READ))

    assert told.replace("h\\.", "badges\\.") in MANUAL.read_text(encoding="utf-8")


#: What the manual has its reader run, by the interpreter of the tests.
PROGRAMS = f"""\
glasshub() {{ exec {sys.executable} -m glasshub "$@"; }}
python3() {{ {sys.executable} "$@"; }}
"""


@pytest.mark.slow
def test_who_types_what_the_manual_says_sees_what_it_shows(guarded: Guarded, tmp_path: Path) -> None:
    path = os.pathsep.join(str(ROOT / part) for part in ("hub", "collectd_plugin"))
    shell: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": path}}
    told = [step for step in steps(MANUAL) if "rabbitmq" not in step.text]
    hubs = []
    try:
        for step, following in zip(told, [*told[1:], told[-1]]):
            text = step.text.replace("amqp://guest:guest@localhost:5672/", guarded.broker.url)
            if step.kind == "sh" and text.endswith("&\n"):
                hubs.append(subprocess.Popen(["bash", "-c", PROGRAMS + text.removesuffix("&\n")], **shell))
                await_hubs(guarded.broker, "glasshub.Shop")
            elif step.kind == "sh":
                shown = following.text if following.kind == "text" else ""
                see(PROGRAMS + text, shown, **shell)
            elif step.kind != "text" and step.file:
                (tmp_path / step.file).write_text(text, encoding="utf-8")
    finally:
        for hub in hubs:
            hub.terminate()
            hub.wait(30)


def see(commands: str, shown: str, **shell: Any) -> None:
    """Type commands until they show that."""

    def seen() -> bool:
        done = subprocess.run(["bash", "-c", commands], stdout=subprocess.PIPE, text=True, check=False, **shell)
        return bool(done.stdout == shown)

    wait_until(seen, f"{commands} to show {shown}")
