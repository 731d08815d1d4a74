# SPDX-License-Identifier: LGPL-2.1-or-later
"""What went wrong with a broker, in words of an operator: what pika and RabbitMQ say, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from pika import exceptions
from pika.adapters.utils import connection_workflow

#: Codes of AMQP.
_REFUSED, _NOT_FOUND, _LOCKED, _PRECONDITION_FAILED = 403, 404, 405, 406

#: What pika makes of it when a connection cannot be made, and what that means.
_MEANINGS: dict[type[BaseException], str] = {
    exceptions.ProbableAuthenticationError: "it refuses the login: check user and password in amqp_url, or certfile "
    "and keyfile in [tls]",
    exceptions.AuthenticationError: "it does not know this way to log in ({}): a certificate needs its plugin "
    "rabbitmq_auth_mechanism_ssl",
    exceptions.ProbableAccessDeniedError: "it refuses the virtual host ({}): check it in amqp_url, and what the user "
    "may do there (rabbitmqctl set_permissions)",
    exceptions.IncompatibleProtocolError: "that is no AMQP ({}): check the port in amqp_url",
    exceptions.StreamLostError: "it ended ({})",
    exceptions.AMQPHeartbeatTimeout: "there is no sign of life of it (heartbeat)",
    connection_workflow.AMQPConnectorStackTimeout: "it does not answer",
    ssl.SSLCertVerificationError: "its certificate is no good ({}): check ca_cert in [tls]",
}


def of_connection(error: BaseException | str) -> str:
    """Why there is no connection, or no more."""
    cause = _innermost(error)
    said = _said(cause)
    for kind, meaning in _MEANINGS.items():
        if isinstance(cause, kind):
            return meaning.format(said)
    return said


def of_queue(doing: str, error: Any) -> str:
    """Why a queue cannot be consumed.

    Args:
        doing: What the broker was last asked for, as a verb and its object.
        error: What it says.
    """
    if not isinstance(error, exceptions.ChannelClosed):
        return f"cannot {doing}: {_said(error)}"
    code, text = error.reply_code, error.reply_text
    if code == _PRECONDITION_FAILED and "acknowledgement" in text and "timed out" in text:
        return f"a message took longer than the broker waits ({text}): raise its consumer_timeout"
    if code == _PRECONDITION_FAILED and doing.startswith("declare"):
        return (
            f"cannot {doing}: it is there already, and is another one ({text}): have the configuration say what is "
            "there; or have it made anew, which loses what is in it (rabbitmqctl delete_queue)"
        )
    return f"cannot {doing}: {text}{_ADVICE.get(code, '')}"


_ADVICE = {
    _REFUSED: ": permit it (rabbitmqctl set_permissions)",
    _NOT_FOUND: ": make it on the broker; with passive_declares = false and a section of its own we would",
    _LOCKED: ": another connection has it for itself alone (exclusive)",
}


def _innermost(error: BaseException | str) -> Any:
    """What was behind it all: pika wraps what went wrong in each stage of connecting."""
    inner: Any = error
    while True:
        if isinstance(inner, connection_workflow.AMQPConnectionWorkflowFailed) and inner.exceptions:
            inner = inner.exceptions[-1]
        elif isinstance(inner, connection_workflow.AMQPConnectorPhaseErrorBase):
            inner = inner.exception
        elif type(inner) is exceptions.AMQPConnectionError and inner.args and isinstance(inner.args[0], Exception):
            inner = inner.args[0]
        else:
            return inner


def _said(error: Any) -> str:
    if isinstance(error, (exceptions.ConnectionClosed, exceptions.ChannelClosed)):
        return str(error.reply_text)
    if isinstance(error, socket.gaierror):
        return f"its name is not known ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, exceptions.AMQPError) and error.args:
        return ": ".join(str(part) for part in error.args)
    return str(error) or repr(error)
