# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message of the bus as callbacks of fedora-messaging see it.

Where fedora-messaging is installed its own code makes it, with the schemas that are installed, and refuses what it
would refuse. A message of fedmsg's bus is made into what fedora-messaging would have published of it.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..amqp.wire import BASE_SCHEMA, INFO, SCHEMA, SEVERITIES, SEVERITY, headers_of
from ..errors import MessageError, UnusableError
from ..failure import one_line
from ..message import Frame, decode

logger = logging.getLogger(__name__)

#: Names of schemas that are remembered: more than there are, but publishers may say anything.
_MOST_SCHEMAS = 1000


@dataclass
class Properties:
    """What a callback finds as `_properties`, as pika has them, where fedora-messaging is not installed."""

    headers: dict[str, Any]
    message_id: str | None
    priority: int | None = None
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    delivery_mode: int = 2


@dataclass(eq=False)
class BareMessage:
    """A message where fedora-messaging is not installed: what its `Message` has for readers, without a schema."""

    topic: str
    body: dict[str, Any]
    severity: int
    queue: str | None
    _properties: Properties
    url: str | None = None
    app_name: str | None = None
    app_icon: str | None = None
    agent_name: str | None = None
    agent_avatar: str | None = None
    usernames: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    flatpaks: list[str] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        """The message id."""
        return self._properties.message_id

    @property
    def priority(self) -> int:
        """The priority; 0 for none."""
        return self._properties.priority or 0

    @property
    def summary(self) -> str:
        """One line on it: its topic, since there is no schema that knows more."""
        return self.topic

    @property
    def _headers(self) -> dict[str, Any]:
        return self._properties.headers

    def __str__(self) -> str:
        """All of it, for people."""
        headers, body = (json.dumps(part, sort_keys=True, indent=4) for part in (self._headers, self.body))
        return f"Id: {self.id}\nTopic: {self.topic}\nHeaders: {headers}\nBody: {body}"


def message_reader() -> Callable[[Frame], Any]:
    """What makes a message of a frame, and raises MessageError for one that is invalid.

    Raises:
        UnusableError: fedora-messaging is installed, and does not work.
    """
    try:
        from fedora_messaging import config, exceptions, message
    except ImportError as error:
        if error.name != "fedora_messaging":
            raise UnusableError(f"fedora-messaging is installed and cannot be loaded: {one_line(error)}") from None
        logger.info("fedora-messaging is not installed: callbacks get messages without schemas")
        return bare_message
    try:
        # Or whoever publishes listens there, for itself and in each worker process; the hub answers for all of them.
        if config.conf.get("monitoring"):
            config.conf["monitoring"] = {}
    except exceptions.ConfigurationException as error:
        raise UnusableError(f"fedora-messaging refuses its configuration: {error.message}") from None
    try:
        message.get_class(BASE_SCHEMA)  # loads the schemas of all installed packages
    except Exception as error:
        raise UnusableError(
            f"a package with schemas for fedora-messaging cannot be loaded: {one_line(error)}: repair or uninstall it"
        ) from None
    return _FullMessages(message, exceptions.ValidationError)


class _FullMessages:
    """Has fedora-messaging make messages, as it does of what a broker brings it.

    `get_message` compiles four schemas for each message, which takes ten times as long as all the rest. So it makes the
    first message of each schema, and all those that are not in order. The others are checked against the same schemas,
    which are compiled once, and made by the class that it chose.
    """

    def __init__(self, module: Any, invalid: type[Exception]) -> None:
        self._module = module
        self._invalid = invalid
        self._properties = module.Message()._properties  # pika's, and all of them but what a message has of its own
        self._known: dict[Any, _Schema | None] = {}  # by the name that publishers give it

    def __call__(self, frame: Frame) -> Any:
        parts = _parts_of(frame)
        properties = copy.copy(self._properties)
        properties.headers, properties.message_id, properties.priority = parts.headers, parts.id, parts.priority
        schema = self._known.get(parts.schema)
        if schema is not None and schema.admits(parts):
            message = schema.cls(
                body=parts.body, topic=parts.topic, properties=properties, severity=parts.headers[SEVERITY]
            )
        else:
            message = self._made(parts, properties)
        message.queue = parts.queue
        return message

    def _made(self, parts: _Parts, properties: Any) -> Any:
        try:
            message = self._module.get_message(parts.topic, properties, json.dumps(parts.body).encode("ascii"))
        except self._invalid as error:
            raise MessageError(f"{parts.topic} {parts.id}: {getattr(error, 'summary', error)}") from None
        if parts.schema is not None and len(self._known) < _MOST_SCHEMAS:
            self._known[parts.schema] = _Schema.of(type(message), self._module)
        return message


class _Schema:
    """A class of messages, and what its messages have to be."""

    @classmethod
    def of(cls, kind: Any, module: Any) -> _Schema | None:
        """What is known of a class; None for one that has to be asked about each message."""
        base = module.Message
        schemas = [kind.headers_schema, base.headers_schema, kind.body_schema, base.body_schema]
        is_plain = (
            kind.validate is base.validate and kind.__init__ is base.__init__ and not getattr(kind, "deprecated", False)
        )
        return cls(kind, *schemas) if is_plain and all(isinstance(schema, dict) for schema in schemas) else None

    def __init__(self, cls: Any, headers: Any, base_headers: Any, body: Any, base_body: Any) -> None:
        from jsonschema.validators import validator_for

        def admits(*schemas: Any) -> list[Callable[[Any], bool]]:
            distinct = {id(schema): schema for schema in schemas}.values()
            return [validator_for(schema)(schema).is_valid for schema in distinct]

        self.cls = cls
        self._headers = admits(headers, base_headers)
        self._body = admits(body, base_body)

    def admits(self, parts: _Parts) -> bool:
        """Whether nothing speaks against a message; else fedora-messaging has to say what does."""
        return (
            SEVERITY in parts.headers
            and all(is_valid(parts.headers) for is_valid in self._headers)
            and all(is_valid(parts.body) for is_valid in self._body)
        )


def bare_message(frame: Frame) -> BareMessage:
    """The message, made without fedora-messaging.

    Raises:
        MessageError: It is none that fedora-messaging would take, whatever its schema.
    """
    parts = _parts_of(frame)
    severity, body = parts.headers.get(SEVERITY, INFO), parts.body or {}
    if not isinstance(body, dict):
        raise MessageError(f"{parts.topic} {parts.id}: its body is no object: {body!r:.100}")
    if severity not in SEVERITIES:
        raise MessageError(f"{parts.topic} {parts.id}: {severity!r} is no severity")
    return BareMessage(parts.topic, body, severity, parts.queue, Properties(parts.headers, parts.id, parts.priority))


@dataclass(frozen=True)
class _Parts:
    """What a message is made of."""

    topic: str
    body: Any
    id: Any
    headers: dict[str, Any]
    queue: str | None

    @property
    def schema(self) -> str | None:
        """The name of its schema, if it says one."""
        schema = self.headers.get(SCHEMA)
        return schema if isinstance(schema, str) else None

    @property
    def priority(self) -> int | None:
        """fedora-messaging's publishers say it twice; what they say in the headers is what we have."""
        priority = self.headers.get("priority")
        return priority if isinstance(priority, int) else None


def _parts_of(frame: Frame) -> _Parts:
    message = decode(frame)
    document: dict[str, Any] = message.body if isinstance(message.body, dict) and "msg" in message.body else {}
    headers = document.get("headers")
    return _Parts(
        message.topic,
        document.get("msg", message.body),
        document.get("msg_id"),
        headers if isinstance(headers, dict) and "queue" in document else headers_of(document),
        document.get("queue"),
    )
