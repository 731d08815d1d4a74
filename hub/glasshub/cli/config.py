# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub config`: the effective configuration, as TOML, each value with where it came from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..config import DEFAULT, SECTIONS, Config, file_key
from ..toml import as_key, as_toml
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
        print(f"\n# The command line names the consumers that run: {_on_one_line(', '.join(named))}")
    return 0


def _lines(config: Config) -> Iterator[str]:
    for name in SECTIONS:
        yield f"[{name}]"
        yield from _values(config, name, getattr(config, name))
        yield ""
    for name, section in config.consumers.items():
        yield f"[consumers.{as_key(name)}]"
        yield from _values(config, f"consumers.{name}", section)
        yield ""


def _values(config: Config, prefix: str, section: Any) -> Iterator[str]:
    for field in fields(section):
        key = file_key(field.name)
        setting = f"{key} = {as_toml(getattr(section, field.name))}"
        yield f"{setting:<44} # {_on_one_line(config.origins.get(f'{prefix}.{key}', DEFAULT))}"


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else as_toml(text)
