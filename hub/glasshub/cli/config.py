# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub config`: the effective configuration, as TOML, each value with where it came from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..config import DEFAULT, SECTIONS, Config, file_key
from .options import add_options, effective_config, named_consumers


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("config", help="print the effective configuration and where it comes from")
    add_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    config = effective_config(options)
    print("\n".join(_lines(config)))
    named = named_consumers(options)
    if named:
        print(f"\n# The command line names the consumers that run: {', '.join(named)}")
    return 0


def _lines(config: Config) -> Iterator[str]:
    for name in SECTIONS:
        yield f"[{name}]"
        yield from _values(config, name, getattr(config, name))
        yield ""
    for name, section in config.consumers.items():
        yield f"[consumers.{_key(name)}]"
        yield from _values(config, f"consumers.{name}", section)
        yield ""


def _values(config: Config, prefix: str, section: Any) -> Iterator[str]:
    for field in fields(section):
        key = file_key(field.name)
        setting = f"{key} = {as_toml(getattr(section, field.name))}"
        yield f"{setting:<44} # {config.origins.get(f'{prefix}.{key}', DEFAULT)}"


def as_toml(value: Any) -> str:
    """A value in TOML's notation, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, (str, bool)) else str(value)


def _key(key: str) -> str:
    is_bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if is_bare else json.dumps(key)
