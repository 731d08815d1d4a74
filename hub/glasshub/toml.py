# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writing values in the notation of TOML (https://toml.io/en/v1.0.0); Python can only read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def as_toml(value: Any) -> str:
    """A value on one line: a table is written as an inline table.

    Args:
        value: What a TOML file can hold: strings, numbers, booleans, dates, and sequences and mappings of them.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_key(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _string(value) if isinstance(value, str) else str(value)


def as_key(key: str) -> str:
    """A key or the name of a table, in quotes where it needs them."""
    is_bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if is_bare else _string(key)


def _string(text: str) -> str:
    """JSON's notation is TOML's but for DEL, and for how it escapes what is outside of the basic plane."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
