# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's configuration for one test: the process keeps it in a global of fedora-messaging's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..needs import module

VARIABLE = "FEDORA_MESSAGING_CONF"


@contextmanager
def configuration(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[None]:
    """Have fedora-messaging read that file when it is next asked, if it is there, and forget it afterwards."""
    conf = module("fedora_messaging.config").conf
    monkeypatch.setenv(VARIABLE, str(path))
    _forget(conf)
    yield
    _forget(conf)


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have fedora-messaging not installed."""
    unload(monkeypatch)
    monkeypatch.setitem(sys.modules, "fedora_messaging", None)


def unload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have fedora-messaging imported anew by who wants it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "fedora_messaging"]:
        monkeypatch.delitem(sys.modules, name)


def _forget(conf: Any) -> None:
    conf.clear()
    conf.loaded = False
