# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signatures: fedmsg's own x509 backend with today's cryptography and pyOpenSSL.

fedmsg imports everything that it needs of pyOpenSSL in one statement, and does without all of it if one name is
missing: then it refuses each signed message. `load_crl` is missing since pyOpenSSL 24.3, whose `X509Store.add_crl`
takes the revocation lists of cryptography instead. So the name is put back, made of those; the rest is as it was, and
what is checked, and how, remains fedmsg's business.

fedmsg signs with SHA-1. Where the system's crypto policy forbids that, as on EL 9, nothing but a change of the policy
or an OpenSSL that knows nothing of it (that of cryptography's wheels on PyPI) helps: `require_crypto` says so.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import MissingLibraryError

#: The modules of fedmsg that look for cryptography and pyOpenSSL when they are imported; the second asks the first.
_BACKEND = ("fedmsg.crypto.x509_ng", "fedmsg.crypto.x509")


def make_x509_usable() -> None:
    """Have fedmsg accept the installed pyOpenSSL; it can be called before fedmsg is imported, and after.

    Threads: before any other thread uses fedmsg.
    """
    _put_load_crl_back()
    loaded = [sys.modules[name] for name in _BACKEND if name in sys.modules]
    if loaded and not loaded[0]._cryptography:
        for module in loaded:
            importlib.reload(module)


def require_crypto(config: Mapping[str, Any]) -> None:
    """See that fedmsg can check signatures; without, it would refuse every message and go on.

    Args:
        config: fedmsg's configuration. Where gpg alone may sign, nothing is required.

    Raises:
        MissingLibraryError: It cannot; it says what to install or to allow.
    """
    if "x509" not in _validating_backends(config):
        return
    make_x509_usable()
    from fedmsg.crypto import x509_ng

    if not x509_ng._cryptography:
        raise MissingLibraryError(
            "fedmsg finds no cryptography and pyOpenSSL to check signatures with, and would refuse every message: "
            "install fedmsg[crypto_ng] (on Fedora and EPEL python3-cryptography and python3-pyOpenSSL), or set "
            "validate_signatures = False in fedmsg's configuration"
        )
    if not _sha1_is_allowed():
        raise MissingLibraryError(
            "this host's crypto policy forbids the SHA-1 signatures that fedmsg uses: allow them with "
            "update-crypto-policies --set DEFAULT:SHA1, or install cryptography from PyPI, which brings its own "
            "OpenSSL, or set validate_signatures = False in fedmsg's configuration"
        )


def _put_load_crl_back() -> None:
    try:
        from OpenSSL import crypto
    except ImportError:
        return  # nobody needs it as long as nobody checks signatures
    if not hasattr(crypto, "load_crl"):
        crypto.load_crl = _load_crl  # type: ignore[attr-defined]  # missing, that is the point


def _load_crl(type_: int, buffer: str | bytes) -> Any:
    """A revocation list in the form that `X509Store.add_crl` takes.

    Raises:
        ValueError: It is none.
    """
    from cryptography.x509 import load_der_x509_crl, load_pem_x509_crl
    from OpenSSL.crypto import FILETYPE_PEM

    load = load_pem_x509_crl if type_ == FILETYPE_PEM else load_der_x509_crl
    return load(buffer.encode("ascii") if isinstance(buffer, str) else buffer)  # fedmsg passes text


def _validating_backends(config: Mapping[str, Any]) -> list[str]:
    """As `fedmsg.crypto.init` finds them."""
    own = "gpg" if config.get("crypto_backend") == "gpg" else "x509"
    return list(config.get("crypto_validate_backends") or [own])


def _sha1_is_allowed() -> bool:
    """Whether the OpenSSL below cryptography would look at a SHA-1 signature at all; it is shown a wrong one."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA1

    key = rsa.RSAPublicNumbers(e=65537, n=2**2047 + 1).public_key()
    try:
        key.verify(bytes(256), b"", padding.PKCS1v15(), SHA1())
    except UnsupportedAlgorithm:
        return False
    except InvalidSignature:
        pass
    return True
