# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's IRC bot, which has never worked on Python 3: what it lacks there, and nothing else, is given to it.

Its client has a `nickname` that cannot be set, and Twisted sets it when the server welcomes the bot: it never joins.
And it hands Twisted bytes to say, where text is wanted: it never speaks. (Measured with fedmsg 1.1.7's own fedmsg-irc
and Twisted 26.10. On Python 2, whose classes of old did not care, both worked.)
"""

from __future__ import annotations

from typing import Any


class _Speaking:
    """What stands before the methods of fedmsg's client."""

    def msg(self, user: str, message: Any, *more: Any) -> None:
        super().msg(user, _text(message), *more)  # type: ignore[misc]  # Twisted's IRCClient

    def notice(self, user: str, message: Any) -> None:
        super().notice(user, _text(message))  # type: ignore[misc]  # Twisted's IRCClient


def make_bot_usable(cls: type) -> None:
    """Have the bot join and speak, if this class is fedmsg's bot and cannot; any other class is left alone.

    Threads: before the reactor runs.
    """
    if cls.__module__ != "fedmsg.consumers.ircbot":
        return
    from fedmsg.consumers import ircbot

    make_client = ircbot.Fedmsg2IRCFactory.protocol
    if make_client is not ircbot.make_irc_client:
        return  # a site has repaired it already, or we have

    def protocol(factory: Any) -> Any:
        client = make_client(factory)
        client.__class__ = type("IRCClient", (_Speaking, type(client)), {"nickname": factory.nickname})
        return client

    ircbot.Fedmsg2IRCFactory.protocol = protocol


def _text(message: Any) -> Any:
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else message
