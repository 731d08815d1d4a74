# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys as they are pressed, and a terminal that is left as it was found."""

from __future__ import annotations

import codecs
import os
import re
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ESCAPE = "\x1b"

#: What terminals send: ESC [ or ESC O, perhaps parameters, and a last character that says which.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")

_BY_LETTER = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_BY_NUMBER = {"1": "home", "4": "end", "5": "page up", "6": "page down", "7": "home", "8": "end"}
_BY_CHARACTER = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", _ESCAPE: "escape"}


class Decoder:
    """Makes keys of bytes, however they are cut into pieces."""

    def __init__(self) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def is_waiting(self) -> bool:
        """Whether there was an ESC, of which nobody knows yet whether it is a key or begins a sequence."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The keys: each a character, or the name of a key; a sequence that means nothing to us is none."""
        return self._keys(self._rest + self._characters.decode(data), is_all=False)

    def flush(self) -> list[str]:
        """The keys of what has come, when nothing else does."""
        return self._keys(self._rest, is_all=True)

    def _keys(self, text: str, *, is_all: bool) -> list[str]:
        keys = []
        self._rest = ""
        while text:
            sequence = _SEQUENCE.match(text)
            if sequence is None and not is_all and _BEGUN.match(text):
                self._rest = text
                break
            token = sequence.group() if sequence is not None else text[0]
            text = text[len(token) :]
            keys.append(_named(token))
        return [key for key in keys if key]


def _named(token: str) -> str:
    """The key of a character or a sequence; nothing if it is none of ours."""
    if len(token) == 1:
        return _BY_CHARACTER.get(token, token if token.isprintable() else "")
    if token.endswith("~"):
        return _BY_NUMBER.get(token[2:-1], "")
    return _BY_LETTER.get(token[-1], "") if len(token) == 3 else ""


@contextmanager
def unbuffered(terminal: int) -> Iterator[None]:
    """A terminal that gives each key at once and shows none, for as long as the context lasts.

    Ctrl-C and the like go on being signals.
    """
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSANOW)
    try:
        yield
    finally:
        with suppress(OSError, termios.error):  # it may be gone
            # In the background it belongs to somebody else, the shell for example, who has set it up anew.
            if os.tcgetpgrp(terminal) == os.getpgrp():
                termios.tcsetattr(terminal, termios.TCSANOW, before)
