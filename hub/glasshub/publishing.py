# SPDX-License-Identifier: LGPL-2.1-or-later
"""Publishing, for consumers, producers and scripts."""

from __future__ import annotations

import itertools
import json
import os
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from .errors import PublishError
from .sender import Sender

#: What fedora-messaging knows as severities: debug, info, warning, error.
SEVERITIES = (10, 20, 30, 40)

#: What to do where nothing can be published.
_NOWHERE = (
    "there is no place to publish at: set publish_endpoints in [zmq], or zmq_publish_endpoints in fedmsg's "
    "configuration"
)

#: What `publish` publishes with is the last of these: that of the hub, in its process or in a worker process of it. The
#: one thing in this package that is global, because a consumer's helpers and own threads publish as well, and nobody
#: hands them anything.
_installed: list[Publisher] = []


class Publisher:
    """Publishes on one bus. Threads: any.

    In a script:

        with glasshub.Publisher.from_config() as publisher:
            publisher.publish("org.example.thing.done", {"thing": 1})
    """

    def __init__(self, sender: Sender | None) -> None:
        """Take what publishes; None has everything refused, with advice. Scripts use `from_config`."""
        self._sender = sender
        self._numbers = itertools.count(1)

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        fedora_messaging: str | os.PathLike[str] | None = None,
    ) -> Publisher:
        """A publisher for the bus of a glasshub.toml; on fedora-messaging it connects with the first message.

        Args:
            path: The file; None for /etc/glasshub/glasshub.toml, or for defaults where that is not there.
            fedora_messaging: fedora-messaging's configuration: the bus is the one that it names, whatever the other
                file says. Empty: where fedora-messaging looks for it.

        Raises:
            ConfigError: The configuration is not usable.
            PublishError: An endpoint to publish at is taken: each can be bound by one process, such as a hub.
        """
        # Here, so that a consumer that publishes nothing needs no library of any bus.
        from .sending import configured_sender

        sender = configured_sender(path, fedora_messaging)
        if sender is not None:
            sender.open()
        return cls(sender)

    @property
    def confirms(self) -> bool:
        """Whether what has been published is there, as on fedora-messaging; on zeromq nobody knows."""
        return self._sender is not None and self._sender.confirms

    def publish(
        self,
        topic: str,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str | int | bool] | None = None,
        severity: int | None = None,
        schema: str = "",
    ) -> str:
        """See `glasshub.publish`."""
        if self._sender is None:
            raise PublishError(f"cannot publish {topic!r}: {_NOWHERE}", topic=topic)
        said = dict(headers or {})
        if severity is not None:
            said["fedora_messaging_severity"] = _known_severity(topic, severity)
        if schema:
            said["fedora_messaging_schema"] = schema
        document = self._document(topic, body, said)
        self._sender.publish(*_encoded(topic, document))
        return str(document["msg_id"])

    def close(self) -> None:
        """Publish no more. Who still waits for a message to be confirmed gets a `PublishError`."""
        if self in _installed:
            _installed.remove(self)
        if self._sender is not None:
            self._sender.close()

    def __enter__(self) -> Publisher:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _document(self, topic: str, body: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
        """fedmsg's form, without a signature: all that is on the way to either bus knows it."""
        now = time.time()
        return {
            "topic": topic,
            "msg": dict(body),
            "msg_id": f"{datetime.fromtimestamp(now, timezone.utc).year}-{uuid.uuid4()}",
            "timestamp": int(now),
            "i": next(self._numbers),
            **({"headers": headers} if headers else {}),
        }


def publish(
    topic: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str | int | bool] | None = None,
    severity: int | None = None,
    schema: str = "",
) -> str:
    """Publish a message on the bus of the hub that this code runs in; for consumers and producers.

    On fedora-messaging it blocks until the broker has confirmed the message, for up to 30 seconds: what was published
    is there. On zeromq it does not block, and nobody knows who gets it; the message is not signed.

    Threads: any.

    Args:
        topic: The whole topic; on fedora-messaging the `topic_prefix` of its configuration is put before it.
        body: What JSON can say.
        headers: Of the message, on fedora-messaging; on zeromq a part of the document.
        severity: 10 debug, 20 info, 30 warning, 40 error; None is info.
        schema: Name of the message schema; empty for none in particular.

    Returns:
        The id by which consumers know the message.

    Raises:
        PublishError: It could not be published, or nobody knows; or there is no hub around.
    """
    if not _installed:
        raise PublishError(
            f"cannot publish {topic!r}: there is no hub around. In a script, publish with "
            f"glasshub.Publisher.from_config()",
            topic=topic,
        )
    return _installed[-1].publish(topic, body, headers=headers, severity=severity, schema=schema)


def install(publisher: Publisher) -> None:
    """Have `publish` publish with that, until it is closed."""
    _installed.append(publisher)


def _known_severity(topic: str, severity: int) -> int:
    if severity not in SEVERITIES:
        raise PublishError(
            f"cannot publish {topic!r}: severity {severity!r} is none of {', '.join(map(str, SEVERITIES))}",
            reason="invalid",
            topic=topic,
        )
    return severity


def _encoded(topic: str, document: Mapping[str, Any]) -> tuple[bytes, bytes]:
    try:
        return topic.encode("utf-8"), json.dumps(document, allow_nan=False).encode("ascii")
    except UnicodeEncodeError:
        reason = "its topic cannot be written in UTF-8"
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"JSON cannot say what is in its body: {error}"
    raise PublishError(f"cannot publish {topic!r}: {reason}", reason="invalid", topic=topic)
