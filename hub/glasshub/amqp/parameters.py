# SPDX-License-Identifier: LGPL-2.1-or-later
"""What pika is told of each broker: where it is, who we are, and how each side proves that to the other."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pika

from ..errors import ConfigError
from .settings import AmqpSettings

#: Seconds that a broker may take to answer.
PATIENCE = 15.0


def parameters_of(settings: AmqpSettings) -> list[Any]:
    """The parameters of a connection to each broker, in the order of the configuration.

    Of a URL's query, what is about trying again and about time has no effect: the link has its own way.

    Raises:
        ConfigError: A URL, a certificate or a key is not usable.
    """
    is_encrypted = any(url.startswith("amqps:") for url in settings.urls)
    context = _context(settings) if is_encrypted else None
    return [_parameters(url, settings, context) for url in settings.urls]


def _parameters(url: str, settings: AmqpSettings, context: ssl.SSLContext | None) -> Any:
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, SyntaxError, AttributeError, OSError) as error:
        # What is left to be wrong stands behind the ?, where no password is.
        raise ConfigError(
            f"amqp_url has a query that pika does not take: {error}: leave out what stands behind the ?",
            origin=_origin(settings),
        ) from None
    if parameters.client_properties is None:
        parameters.client_properties = {**settings.client_properties, "product": "Glasshub"}
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = PATIENCE
    if context is not None:
        parameters.ssl_options = pika.SSLOptions(context, server_hostname=parameters.host)
        if "certfile" in settings.tls:
            parameters.credentials = pika.credentials.ExternalCredentials()
    return parameters


def _context(settings: AmqpSettings) -> ssl.SSLContext:
    """How TLS is spoken: the broker shows a certificate of ca_cert, or of an authority that the system trusts."""
    paths = {key: _readable(key, path, settings) for key, path in settings.tls.items()}
    try:
        context = ssl.create_default_context(cafile=paths.get("ca_cert"))
    except ssl.SSLError as error:
        raise _unusable("ca_cert", settings, f"holds no certificate in PEM ({error.reason})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 asks authorities for what many a private one has not put into its certificates, nor was asked for.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if "certfile" in paths:
        try:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key.
            context.load_cert_chain(paths["certfile"], paths["keyfile"], password=b"")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            complaint = f"and keyfile are no certificate and its key in PEM, without a password ({why})"
            raise _unusable("certfile", settings, complaint) from None
    return context


def _readable(key: str, path: str, settings: AmqpSettings) -> str:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise _unusable(key, settings, f"cannot be read: {error.strerror}") from None
    return path


def _unusable(key: str, settings: AmqpSettings, complaint: str) -> ConfigError:
    return ConfigError(f"[tls] {key} = {settings.tls[key]!r} {complaint}: correct it", origin=_origin(settings))


def _origin(settings: AmqpSettings) -> str:
    return str(settings.path or "")
