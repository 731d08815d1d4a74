# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stops a hub, or keeps it from starting. Every message says what to do about it."""


class HubError(Exception):
    """Root of all errors that Glasshub raises on purpose."""


class ConfigError(HubError):
    """The configuration, or the command line, asks for something that is not there or makes no sense.

    Attributes:
        origin: Where it was found: a file, an option, an environment variable.
    """

    def __init__(self, reason: str, *, origin: str = "") -> None:
        super().__init__(f"{origin}: {reason}" if origin else reason)
        self.origin = origin


class HubRunningError(HubError):
    """Another hub of the same name runs on this host."""


class MissingLibraryError(HubError):
    """Something is not installed, or not in a version that works; the message says what to install."""


class StatsDirectoryError(HubError):
    """The segment or its socket cannot be made where the configuration wants them."""


class StatsPortError(HubError):
    """The port for health checks cannot be opened where the configuration wants it."""


class SourceError(HubError):
    """The source of messages cannot be opened."""


class BrokerError(HubError):
    """A broker cannot be reached, or does not let us do what a command is to do there."""


class PublishError(HubError):
    """What is to be published cannot be published, or not where the configuration wants it.

    Attributes:
        reason: A word for it: `invalid`, `forbidden`, `unroutable`, `refused`, `blocked`, `unreachable`, `timeout`,
            `closed`; `endpoint` where there is no place to publish at.
        topic: Of the message; empty where it is not about one.
        message_id: Likewise.
        may_be_there: Whether the message may have been published nevertheless: nobody knows.
    """

    def __init__(
        self,
        text: str,
        *,
        reason: str = "endpoint",
        topic: str = "",
        message_id: str = "",
        may_be_there: bool = False,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.topic = topic
        self.message_id = message_id
        self.may_be_there = may_be_there


class DisabledError(HubError):
    """A consumer or producer is left disabled by its own configuration."""


class UnusableError(HubError):
    """A consumer cannot run as it is, or as what it needs is; the message says why."""


class NoConsumerError(HubError):
    """There is no consumer to run: none was named, or none could be built."""


class MessageError(HubError):
    """A message's body is not what its consumer reads."""


class SpoolError(HubError):
    """The spool cannot be used as it is."""


class SpoolFullError(SpoolError):
    """The spool has no room for what was to be written; it goes on when there is some."""


class SpoolOversizeError(SpoolFullError):
    """The spool may not become as large as what was to be written needs it to be: there will never be room."""


class SpoolDamagedError(SpoolError):
    """What is in the spool is not what was written. The next start recovers what can be read."""
