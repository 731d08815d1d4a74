# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub config`: the effective configuration, as TOML, each value with where it came from."""

from __future__ import annotations

import argparse
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..amqp.settings import AmqpSettings
from ..compat.fedmsg_config import FedmsgConfigFiles
from ..config import DEFAULT, SECTIONS, Config, file_key, without_effect
from ..roster import Roster
from ..toml import as_key, as_toml
from . import broker
from .options import NO_BUS, Effective, add_options, effective_config

#: Names of what is nobody else's business, and passwords in URLs.
_SECRET = re.compile(r"passw|passphrase|pass$|secret|token|credential|key$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(://[^\s/:@]*):[^\s/@]*@")
_HIDDEN = "***"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("config", help="print the effective configuration and where it comes from")
    add_options(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    effective = effective_config(options)
    print("\n".join(_lines(effective.config)))
    for line in _comments(effective):
        print(f"# {line}" if line else "")
    return 0


def _lines(config: Config) -> Iterator[str]:
    for name in SECTIONS:
        yield f"[{name}]"
        yield from _values(config, name, config.section(name))
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


def _comments(effective: Effective) -> Iterator[str]:
    """What is no TOML."""
    if effective.broker is not None:
        yield from _brokers(effective.broker, effective.config)
    if effective.fedmsg is not None:
        yield from _fedmsgs(effective.fedmsg)
    if effective.consumers:
        yield f"Of all consumers only these run: {_on_one_line(', '.join(effective.consumers))}"
    if effective.producers is not None:
        yield f"Of all producers only these run: {_on_one_line(', '.join(effective.producers) or 'none')}"
    roster = Roster(
        effective.config,
        effective.fedmsg,
        only=effective.consumers,
        producers=effective.producers,
        callback=effective.broker.callback if effective.broker is not None else "",
    )
    yield "What will be built; its own configuration may leave it disabled:"
    wanted = list(roster.wanted())
    for name, section in wanted:
        yield _on_one_line(f"consumer {name} = {section.location}")
    for location in roster.producer_locations():
        yield _on_one_line(f"producer {location}")
    if effective.broker is not None:
        for line in broker.queues(effective.broker, effective.config, [name for name, _ in wanted]):
            yield _on_one_line(line)
    elif not effective.config.zmq.endpoints:
        yield f"Note: {NO_BUS}"
    for key, origin in without_effect(effective.config):
        yield _on_one_line(f"Note: {key} ({origin}) has no effect on this bus")


def _fedmsgs(files: FedmsgConfigFiles) -> Iterator[str]:
    yield "fedmsg's configuration, which consumers find as hub.config: what it does here, and where it comes from"
    for key in sorted(files.values, key=str):
        value, effect = _SHORT.repr(_without_secrets(key, files.values[key])), files.effect(key)
        yield _on_one_line(f"{f'{key} = {value}':<42} {effect:<28} # {files.origins[key]}")
    for warning in files.warnings:
        yield _on_one_line(f"Note: {warning}")
    yield ""


def _brokers(settings: AmqpSettings, config: Config) -> Iterator[str]:
    yield _on_one_line(broker.summary(settings, config))
    idle = broker.without_effect(settings, config)
    for key in sorted(settings.keys - {"amqp_url"}):
        value = "..." if key in idle else _SHORT.repr(_without_secrets(key, getattr(settings, key)))
        effect = f"no effect here: {idle[key]}" if key in idle else ""
        yield _on_one_line(f"{f'{key} = {value}':<42} {effect}".rstrip())
    yield ""


def _without_secrets(key: Any, value: Any) -> Any:
    if isinstance(key, str) and _SECRET.search(key) and value:
        return _HIDDEN
    if isinstance(value, Mapping):
        return {inner: _without_secrets(inner, item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(None, item) for item in value]
    return _PASSWORD_IN_URL.sub(rf"\1:{_HIDDEN}@", value) if isinstance(value, str) else value


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else as_toml(text)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
