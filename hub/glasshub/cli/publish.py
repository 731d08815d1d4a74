# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub publish`: one message."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..paths import DEFAULT_FILE
from ..publishing import SEVERITIES, Publisher
from .broker import NAMED_BROKER, add_broker


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("publish", help="publish a message on the bus")
    parser.add_argument("topic", metavar="TOPIC", help="the whole topic")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="the body, a JSON object (default: -, standard input)"
    )
    parser.add_argument("--config", metavar="FILE", help=f"configuration (default: {DEFAULT_FILE}, if it is there)")
    add_broker(parser, f"publish on {NAMED_BROKER}")
    parser.add_argument(
        "--severity", type=int, choices=SEVERITIES, help="fedora-messaging: debug, info, warning, error (default: 20)"
    )
    parser.add_argument("--schema", metavar="NAME", default="", help="fedora-messaging: name of the message schema")
    parser.add_argument(
        "--header",
        metavar="NAME=TEXT",
        action="append",
        default=[],
        help="fedora-messaging: a header of the message; may be repeated",
    )
    parser.add_argument(
        "--settle",
        metavar="SECONDS",
        type=float,
        default=1.0,
        help="zeromq: how long subscribers may take to connect before the message is published (default: 1)",
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Publish it, and print its id."""
    body = _body(options.file)
    headers = dict(_header(text) for text in options.header)
    with closing(Publisher.from_config(options.config, fedora_messaging=options.fedora_messaging)) as publisher:
        if not publisher.confirms:
            time.sleep(max(options.settle, 0.0))
        print(publisher.publish(options.topic, body, headers=headers, severity=options.severity, schema=options.schema))
    return 0


def _body(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        body = json.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read the body: {error.strerror}", origin=file) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the body is not JSON in UTF-8: {error}", origin=file) from None
    if not isinstance(body, dict):
        raise ConfigError('the body must be a JSON object, such as {"thing": 1}', origin=file)
    return body


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise ConfigError(f"{text!r} is no NAME=TEXT", origin="--header")
    return name, value
