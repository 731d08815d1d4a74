# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signatures are checked by fedmsg's own x509 backend, with the cryptography and pyOpenSSL that are installed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fedmsg.crypto
import fedmsg.crypto.utils
import OpenSSL.crypto
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from glasshub.compat.moksha import MokshaHub
from glasshub.compat.x509 import make_x509_usable, require_crypto
from glasshub.consumer import BoundConsumer
from glasshub.errors import HubError, MessageError
from glasshub.stats import Outcome

from ..fakes import frame
from ..pki import DAY, NOW, Authority
from . import old_consumers as old

logger = logging.getLogger(__name__)

TOPIC = "org.old.prod.shop.sold"


@dataclass(frozen=True)
class Site:
    """The keys of a site, and fedmsg's configuration for it."""

    directory: Path
    config: dict[str, Any]

    def signed(self, signer: str = "shop", **more: Any) -> dict[str, Any]:
        """A message with the signature of one of the certificates."""
        message = {"topic": TOPIC, "msg": {"user": "zoë 🐍", "price": 1.5}, "msg_id": "2014-1", "timestamp": 1400000000}
        signed = fedmsg.crypto.sign({**message, **more}, ssldir=str(self.directory), certname=signer)
        return dict(signed)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Certificates are slow to make: all tests have the same."""
    make_x509_usable()
    directory = tmp_path_factory.mktemp("pki")
    authority, other = Authority(directory, "ca"), Authority(directory, "other-ca")
    authority.give("shop")
    authority.give("bank")
    authority.give("early", since=NOW + DAY / 2)
    authority.give("expired", since=NOW - 2 * DAY, until=NOW - DAY)
    authority.revoke(authority.give("revoked"))
    other.give("stranger")
    other.revocations("other-crl")
    authority.revocations("expired-crl", until=NOW - DAY)
    return Site(
        directory,
        {
            "ssldir": str(directory),
            "ca_cert_location": str(authority.path),
            "crl_location": str(authority.revocations("crl")),
            "routing_policy": {"org.old.bank": ["bank"]},
            "routing_nitpicky": False,
        },
    )


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """fedmsg keeps the backends of the first configuration it sees, and the files it has read."""
    monkeypatch.setattr(fedmsg.crypto, "_implementation", None)
    monkeypatch.setattr(fedmsg.crypto, "_validate_implementations", None)
    fedmsg.crypto.utils._cached_certificates.clear()
    yield
    fedmsg.crypto.utils._cached_certificates.clear()


def built(site: Site, cls: type = old.Signed, **more: Any) -> tuple[BoundConsumer, Any]:
    """A consumer as the hub sees it, and as its author does."""
    bound = MokshaHub({**old.CONFIG, **site.config, **more}, strict=False, stop=lambda: None).build(cls)
    return bound, bound.author


def handled(bound: BoundConsumer, body: dict[str, Any], topic: str = "") -> Outcome:
    """What a worker counts a message as that came over the bus."""
    try:
        return bound.handle(frame(json.dumps(body), topic=(topic or str(body["topic"])).encode()))
    except MessageError as error:
        logger.warning("%s", error)
        return Outcome.INVALID


def test_a_signed_message_is_accepted(site: Site) -> None:
    bound, consumer = built(site)
    message = site.signed()

    assert handled(bound, message) is Outcome.PROCESSED
    assert [seen["body"] for seen in consumer.seen] == [message]


def test_the_signer_whom_the_routing_policy_names_is_accepted(site: Site) -> None:
    bound, consumer = built(site)

    assert handled(bound, site.signed("bank", topic="org.old.bank")) is Outcome.PROCESSED
    assert len(consumer.seen) == 1


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        ("expired", "certificate has expired"),
        ("early", "certificate is not yet valid"),
        ("revoked", "certificate revoked"),
        ("stranger", "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused(
    site: Site, signer: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bound, consumer = built(site)

    assert handled(bound, site.signed(signer)) is Outcome.INVALID
    assert consumer.seen == []
    assert reason in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"msg": {"user": "zoë 🐍", "price": 0.5}},
        {"topic": "org.old.prod.shop.returned"},
        {"msg_id": "2014-2"},
        {"certificate": "bank"},
        {"signature": "bank"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_forged_message_is_refused(site: Site, change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    bound, consumer = built(site)
    bank = site.signed("bank")
    forged = {**site.signed(), **{key: bank[key] if value == "bank" else value for key, value in change.items()}}

    assert handled(bound, forged) is Outcome.INVALID
    assert consumer.seen == []
    assert "has an invalid signature" in caplog.text


@pytest.mark.parametrize("field", ["signature", "certificate"])
@pytest.mark.parametrize("garbage", ["", "x", "é", "AAAA", None, 3, ["AAAA"]], ids=repr)
def test_a_message_whose_signature_is_garbled_is_refused(site: Site, field: str, garbage: object) -> None:
    bound, consumer = built(site)

    assert handled(bound, {**site.signed(), field: garbage}) is Outcome.INVALID
    assert consumer.seen == []


@pytest.mark.parametrize("missing", [("signature",), ("certificate",), ("signature", "certificate", "crypto")])
def test_an_unsigned_message_is_refused(site: Site, missing: tuple[str, ...]) -> None:
    bound, consumer = built(site)
    message = {key: value for key, value in site.signed().items() if key not in missing}

    assert handled(bound, message) is Outcome.INVALID
    assert consumer.seen == []


def test_a_message_under_another_topic_than_it_was_signed_for_is_refused(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    bound, consumer = built(site)

    assert handled(bound, site.signed(), topic=TOPIC + ".more") is Outcome.INVALID
    assert consumer.seen == []
    assert "Topic envelope mismatch" in caplog.text


def test_a_signer_whom_the_routing_policy_does_not_name_is_refused(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    bound, consumer = built(site)

    assert handled(bound, site.signed("shop", topic="org.old.bank")) is Outcome.INVALID
    assert consumer.seen == []
    assert "routing_policy error" in caplog.text


def test_a_revoked_certificate_is_good_where_there_is_no_revocation_list(site: Site) -> None:
    """So it is the list that refuses it."""
    bound, _ = built(site, crl_location=None)

    assert handled(bound, site.signed("revoked")) is Outcome.PROCESSED


@pytest.mark.parametrize(
    ("revocations", "reason"),
    [("expired-crl.pem", "CRL has expired"), ("other-crl.pem", "unable to get certificate CRL")],
)
def test_without_a_good_revocation_list_nobody_is_accepted(
    site: Site, revocations: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bound, _ = built(site, crl_location=str(site.directory / revocations))

    assert handled(bound, site.signed()) is Outcome.INVALID
    assert reason in caplog.text


class ChecksForItself(old.Old):
    """Looks at the signature when it consumes, as fedmsg's ircbot does to mark what is not signed."""

    def consume(self, message: Any) -> None:
        """Remember what fedmsg says of it."""
        self.seen.append(fedmsg.crypto.validate(message["body"], **self.hub.config))


def test_a_consumer_can_ask_fedmsg_itself(site: Site) -> None:
    bound, consumer = built(site, ChecksForItself)

    for message in (site.signed(), site.signed("revoked"), {**site.signed(), "msg": {}}):
        assert handled(bound, message) is Outcome.PROCESSED

    assert consumer.seen == [True, False, False]


def test_a_store_takes_revocation_lists_in_both_encodings(site: Site) -> None:
    text = (site.directory / "crl.pem").read_text(encoding="ascii")
    binary = x509.load_pem_x509_crl(text.encode()).public_bytes(serialization.Encoding.DER)

    loaded = [
        OpenSSL.crypto.load_crl(OpenSSL.crypto.FILETYPE_PEM, text),  # type: ignore[attr-defined]  # ours
        OpenSSL.crypto.load_crl(OpenSSL.crypto.FILETYPE_ASN1, binary),  # type: ignore[attr-defined]  # ours
    ]

    for revocations in loaded:
        OpenSSL.crypto.X509Store().add_crl(revocations)  # raises unless it is one


def test_a_pyopenssl_that_loads_revocation_lists_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenSSL.crypto, "load_crl", len, raising=False)

    make_x509_usable()

    assert OpenSSL.crypto.load_crl is len  # type: ignore[attr-defined]  # see above


def python(code: str) -> str:
    """What a new interpreter prints, in which nobody has imported fedmsg or pyOpenSSL yet."""
    imports = "import sys; from glasshub.compat.x509 import make_x509_usable, require_crypto\n"
    completed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", imports + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    return completed.stdout.strip()


@pytest.mark.parametrize(
    "order",
    ["make_x509_usable(); import fedmsg.crypto", "import fedmsg.crypto; make_x509_usable()"],
    ids=["before", "after"],
)
def test_fedmsg_may_be_imported_before_or_after(order: str) -> None:
    show = "\nprint(fedmsg.crypto._possible_backends['x509'].validate.__module__)"

    assert python(order + show) == "fedmsg.crypto.x509_ng"


def test_what_is_installed_is_enough() -> None:
    require_crypto({"validate_signatures": True})


@pytest.mark.parametrize("missing", ["cryptography", "OpenSSL"])
@pytest.mark.parametrize(
    "config", [{}, {"crypto_backend": "gpg", "crypto_validate_backends": ["gpg", "x509"]}], ids=str
)
def test_signatures_that_cannot_be_checked_are_an_error_that_says_what_to_install(
    missing: str, config: dict[str, Any]
) -> None:
    said = python(
        f"sys.modules[{missing!r}] = None\n"
        f"try: require_crypto({config!r})\n"
        f"except Exception as error: print(type(error).__name__, error)"
    )

    assert said.startswith("MissingLibraryError fedmsg finds no cryptography and pyOpenSSL to check signatures with, ")
    assert ": install fedmsg[crypto_ng] (on Fedora " in said


@pytest.mark.parametrize(
    "config", [{"crypto_backend": "gpg"}, {"crypto_backend": "x509", "crypto_validate_backends": ["gpg"]}], ids=str
)
def test_where_gpg_alone_may_sign_neither_cryptography_nor_pyopenssl_is_required(config: dict[str, Any]) -> None:
    said = python(f"sys.modules['OpenSSL'] = None\nrequire_crypto({config!r}); print('fine')")

    assert said == "fine"


def test_a_crypto_policy_that_forbids_sha1_is_an_error_that_says_how_to_allow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a hash that OpenSSL does not sign with: cryptography answers as it does for SHA-1 on EL 9."""
    monkeypatch.setattr(hashes, "SHA1", lambda: hashes.BLAKE2s(32))

    with pytest.raises(HubError, match=r"forbids the SHA-1 .* update-crypto-policies --set DEFAULT:SHA1, "):
        require_crypto({})
