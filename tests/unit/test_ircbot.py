# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's bot gets what it lacks on Python 3; `tests/integration/test_services.py` has it join and speak."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg.consumers import ircbot
from fedmsg.consumers.dummy import DummyConsumer
from twisted.words.protocols.irc import ServerSupportedFeatures

from glasshub.compat.ircbot import make_bot_usable


@pytest.fixture(autouse=True)
def _original(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have fedmsg's own again, now and afterwards."""
    monkeypatch.setattr(ircbot.Fedmsg2IRCFactory, "protocol", ircbot.make_irc_client)


def client() -> Any:
    factory = ircbot.Fedmsg2IRCFactory("#c", "bot", {}, False, False, False, 0, None, None)
    return factory.protocol()


def test_fedmsgs_own_client_cannot_be_given_a_nickname() -> None:
    """Once it can, this module of ours can go."""
    with pytest.raises(AttributeError):
        client().nickname = "bot_"


def test_the_client_takes_the_nickname_that_the_server_gives_it() -> None:
    make_bot_usable(ircbot.IRCBotConsumer)
    one = client()
    names = [one.nickname]

    one.nickname = "bot_"

    assert [*names, one.nickname] == ["bot", "bot_"]


@pytest.mark.parametrize("method", ["msg", "notice"])
@pytest.mark.parametrize("text", ["zoë", "zoë".encode()])
def test_the_client_says_text_and_bytes(monkeypatch: pytest.MonkeyPatch, method: str, text: object) -> None:
    make_bot_usable(ircbot.IRCBotConsumer)
    one, lines = client(), list[str]()
    one.supported = ServerSupportedFeatures()  # type: ignore[no-untyped-call]  # as a connection has it
    monkeypatch.setattr(one, "sendLine", lines.append)

    getattr(one, method)("#c", text)

    assert [line.partition(" ")[2] for line in lines] == ["#c :zoë"]


def test_other_consumers_and_a_bot_that_was_repaired_already_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    make_bot_usable(DummyConsumer)
    untouched = ircbot.Fedmsg2IRCFactory.protocol
    monkeypatch.setattr(ircbot.Fedmsg2IRCFactory, "protocol", print)
    make_bot_usable(ircbot.IRCBotConsumer)

    assert untouched is ircbot.make_irc_client
    assert ircbot.Fedmsg2IRCFactory.protocol is print
