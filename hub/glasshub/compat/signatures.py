# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's signatures for those who have no consumer of fedmsg's to do it: signing, and looking whether one is good."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError
from .x509 import make_x509_usable, require_crypto

logger = logging.getLogger(__name__)

#: Returns a message signed.
Sign = Callable[[dict[str, Any]], dict[str, Any]]

#: Tells whether the signature of a message of that topic is good.
Validate = Callable[[str, dict[str, Any]], bool]


def signer(config: Mapping[str, Any]) -> Sign | None:
    """What signs as fedmsg's configuration says; None where it does not want that.

    Raises:
        ConfigError: It names no certificate, or one that does not sign.
    """
    if not config.get("sign_messages"):
        return None
    make_x509_usable()
    import fedmsg.crypto

    sign: Sign = functools.partial(fedmsg.crypto.sign, **{**config, **_key(config)})
    try:
        sign({"topic": "glasshub", "msg": {}})
    except (ValueError, OSError) as error:
        raise ConfigError(f"cannot sign messages: {error}: see ssldir and certnames", origin="sign_messages") from None
    return sign


def validator(config: Mapping[str, Any]) -> Validate | None:
    """What looks at signatures as fedmsg's configuration says; None where it does not want that.

    Raises:
        MissingLibraryError: There is nothing to look with.
    """
    if not config.get("validate_signatures"):
        return None
    require_crypto(config)
    import fedmsg.crypto

    def is_valid(topic: str, document: dict[str, Any]) -> bool:
        try:
            return topic == document.get("topic") and bool(fedmsg.crypto.validate(document, **config))
        except Exception as error:  # anything, of a document that anybody may have written
            logger.warning("a signature of topic %r cannot be checked: %r", topic, error)
            return False

    return is_valid


def _key(config: Mapping[str, Any]) -> dict[str, Any]:
    """Which key signs; named as fedmsg.publish looks for it."""
    if config.get("certname") or config.get("gpg_signing_key"):
        return {}
    host = socket.gethostname().split(".", 1)[0]
    if config.get("crypto_backend") == "gpg":
        keys, name, found = "gpg_keys", host, "gpg_signing_key"
    else:
        prefix = config.get("cert_prefix")
        keys, name, found = "certnames", f"{prefix}.{host}" if prefix else str(config.get("name")), "certname"
    try:
        return {found: config[keys][name]}
    except KeyError:
        raise ConfigError(
            f"there is no {keys}[{name!r}] to sign messages with: name one, or set sign_messages = False",
            origin="sign_messages",
        ) from None
