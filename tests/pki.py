# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates for signatures and for TLS, made with the cryptography that is installed."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority with its revocation lists and the certificates that it gave away, in one directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.path = directory / f"{name}.crt"
        self._key = _key()
        self._name = _named(name)
        self._revoked: list[x509.RevokedCertificate] = []
        ca = _certificate(self._name, self._key, NOW - DAY, NOW + DAY).issuer_name(self._name)
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _save(self.path, ca.sign(self._key, hashes.SHA256()))

    def give(
        self,
        name: str,
        *,
        address: str = "",
        since: datetime.datetime = NOW - DAY,
        until: datetime.datetime = NOW + DAY,
    ) -> int:
        """Make a certificate and its key under that name; for a server at that IP address, if there is one."""
        key = _key()
        certificate = _certificate(_named(name), key, since, until).issuer_name(self._name)
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            certificate = certificate.add_extension(names, critical=False)
        signed = certificate.sign(self._key, hashes.SHA256())
        _save(self.directory / f"{name}.crt", signed)
        (self.directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return signed.serial_number

    def revoke(self, serial: int) -> None:
        """Put a certificate on the revocation lists that are made from now on."""
        builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
        self._revoked.append(builder.build())

    def revocations(self, name: str, *, until: datetime.datetime = NOW + DAY) -> Path:
        """A revocation list."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(NOW - 2 * DAY).next_update(until)
        for revoked in self._revoked:
            builder = builder.add_revoked_certificate(revoked)
        path = self.directory / f"{name}.pem"
        _save(path, builder.sign(self._key, hashes.SHA256()))
        return path


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    name: x509.Name, key: rsa.RSAPrivateKey, since: datetime.datetime, until: datetime.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)


def _save(path: Path, what: x509.Certificate | x509.CertificateRevocationList) -> None:
    path.write_bytes(what.public_bytes(serialization.Encoding.PEM))
