# SPDX-License-Identifier: LGPL-2.1-or-later
"""What pika is told of each broker; certificates and keys that are of no use are said to be before anything starts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pika
import pytest
from cryptography.hazmat.primitives import serialization

from glasshub.amqp.parameters import parameters_of
from glasshub.amqp.settings import AmqpSettings
from glasshub.errors import ConfigError

from ..pki import Authority

FILE = Path("/etc/fm.toml")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """authority.crt; client.crt and client.key; other.key; locked.key, with a password; text.pem, which is none."""
    directory = tmp_path_factory.mktemp("pki")
    authority = Authority(directory, "authority")
    authority.give("client")
    authority.give("other")
    key = serialization.load_pem_private_key((directory / "client.key").read_bytes(), None)
    (directory / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    (directory / "text.pem").write_text("this is no certificate", encoding="ascii")
    return directory


def settings(pki: Path, **files: str) -> AmqpSettings:
    return AmqpSettings(urls=["amqps://u:p@a"], tls={key: str(pki / name) for key, name in files.items()}, path=FILE)


def test_each_broker_is_told_of_with_the_user_that_the_url_names() -> None:
    first, second = parameters_of(AmqpSettings(urls=["amqp://u:p%2F@a:1/%2Fv?heartbeat=7", "amqp://"]))

    assert (first.host, first.port, first.virtual_host, first.heartbeat) == ("a", 1, "/v", 7)
    assert first.credentials == pika.PlainCredentials("u", "p/")
    assert (second.host, second.port, second.virtual_host) == ("localhost", 5672, "/")
    assert first.ssl_options is second.ssl_options is None


def test_link_tries_again_by_itself_whatever_the_url_says() -> None:
    (parameters,) = parameters_of(AmqpSettings(urls=["amqp://a?connection_attempts=3&retry_delay=5&socket_timeout=99"]))

    assert (parameters.connection_attempts, parameters.socket_timeout, parameters.stack_timeout) == (1, 15, 15)


def test_broker_shows_what_the_configuration_says_of_the_client() -> None:
    said = AmqpSettings(client_properties={"app": "mine"})

    assert parameters_of(said)[0].client_properties == {"app": "mine", "product": "Glasshub"}
    (by_url,) = parameters_of(replace(said, urls=["amqp://a?client_properties={'app':'url'}"]))
    assert by_url.client_properties == {"app": "url"}


def test_broker_has_to_show_a_certificate_for_its_name(pki: Path) -> None:
    (parameters,) = parameters_of(settings(pki, ca_cert="authority.crt"))

    context = parameters.ssl_options.context
    assert [dict(found["subject"][0])["commonName"] for found in context.get_ca_certs()] == ["authority"]
    assert context.check_hostname
    assert parameters.ssl_options.server_hostname == "a"
    assert parameters.credentials == pika.PlainCredentials("u", "p")


def test_client_with_a_certificate_needs_no_password(pki: Path) -> None:
    (parameters,) = parameters_of(settings(pki, ca_cert="authority.crt", certfile="client.crt", keyfile="client.key"))

    assert parameters.credentials == pika.credentials.ExternalCredentials()


def test_certificates_are_not_looked_at_where_they_are_not_used(pki: Path) -> None:
    said = replace(settings(pki, ca_cert="none", certfile="none", keyfile="none"), urls=["amqp://u:p@a"])

    assert parameters_of(said)[0].credentials == pika.PlainCredentials("u", "p")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"ca_cert": "none.crt"}, "ca_cert = '{}/none.crt' cannot be read: No such file or directory"),
        ({"ca_cert": "."}, "ca_cert = '{}' cannot be read: Is a directory"),
        ({"ca_cert": "text.pem"}, r"ca_cert = '{}/text.pem' holds no certificate in PEM \(\w+\)"),
        ({"certfile": "none", "keyfile": "client.key"}, "certfile = '{}/none' cannot be read: No such file or "),
        ({"certfile": "client.crt", "keyfile": "none"}, "keyfile = '{}/none' cannot be read: No such file or "),
        *(
            (
                {"certfile": certificate, "keyfile": key},
                rf"certfile = '{{}}/{certificate}' and keyfile are no certificate and its key in PEM, "
                rf"without a password \(.+\)",
            )
            for certificate, key in (
                ("text.pem", "client.key"),
                ("client.crt", "text.pem"),
                ("client.crt", "other.key"),
                ("client.crt", "locked.key"),
            )
        ),
    ],
)
def test_file_that_is_of_no_use_is_named_and_why(pki: Path, files: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        parameters_of(settings(pki, **files))

    assert re.match(rf"^{FILE}: \[tls\] {complaint.format(pki)}", str(error.value))
    assert str(error.value).endswith(": correct it")


@pytest.mark.parametrize(
    "query", ["nonsense=1", "heartbeat=x", "heartbeat=1&heartbeat=2", "tcp_options={", "ssl_options={'cafile':'/none'}"]
)
def test_query_that_pika_does_not_take_is_refused_without_the_password(query: str) -> None:
    with pytest.raises(ConfigError) as error:
        parameters_of(AmqpSettings(urls=[f"amqp://u:secret@a/?{query}"], path=FILE))

    assert str(error.value).startswith(f"{FILE}: amqp_url has a query that pika does not take: ")
    assert "secret" not in str(error.value)
