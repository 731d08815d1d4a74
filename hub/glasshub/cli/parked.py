# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub parked`: on fedora-messaging's bus, what consumers gave up, or the broker itself after too many tries.

It is in a queue beside that of each consumer, on the broker. All of this works while hubs run, on any machine; but two
who look at the same time do not see the same messages. What is parked in a spool is shown by `glasshub spool parked`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..amqp.library import require_pika
from ..config import DEFAULT, EACH
from ..errors import BrokerError, ConfigError
from ..roster import Roster
from .broker import NAMED_BROKER, add_broker
from .listing import escaped, local_time, print_content, print_indented, print_table
from .options import Effective, add_file, config_of_run

if TYPE_CHECKING:
    from ..amqp.parked import ParkedMessage, ParkedQueues


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("parked", help="show and manage what is parked on the broker", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", _list, "messages that are parked, and why")
    show = _add(actions, "show", _show, "one message, with its body")
    show.add_argument("id", metavar="ID", help="its message id")
    for name, action, help_text in (
        ("retry", _retry, "give parked messages to their consumers again"),
        ("discard", _discard, "forget parked messages"),
    ):
        command = _add(actions, name, action, help_text)
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", nargs="*", default=[], metavar="ID", help="message ids of parked messages")
        which.add_argument("--all", action="store_true", help="all that are parked")


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--consumer", metavar="NAME", help="only those of this consumer")
    where.add_argument("--queue", metavar="QUEUE", help="only those of this queue, by its name on the broker")
    add_file(parser)
    add_broker(parser, f"see {NAMED_BROKER}")
    parser.set_defaults(func=run)
    return parser


def _list(options: argparse.Namespace) -> int:
    with _opened(options) as queues:
        rows = [
            (_id(one), escaped(one.queue), _when(one), str(one.attempts or "-"), escaped(one.topic), escaped(one.error))
            for one in queues.messages()
        ]
    print_table([("ID", "QUEUE", "PARKED", "ATTEMPTS", "TOPIC", "ERROR"), *rows])
    return 0


def _show(options: argparse.Namespace) -> int:
    with _opened(options) as queues:
        for one in _chosen(queues, [options.id]):
            print(f"message {_id(one)}, {len(one.body)} bytes")
            print_content(one.topic, one.body)
            print(f"\nparked by {_who(one)}, {_when(one)}: {escaped(one.error)}")
            print_indented(one.traceback)
    return 0


def _retry(options: argparse.Namespace) -> int:
    with _opened(options) as queues:
        for one in _chosen(queues, options.ids):
            queues.retry(one)
            print(f"{escaped(one.queue)}: message {_id(one)} waits again")
    return 0


def _discard(options: argparse.Namespace) -> int:
    with _opened(options) as queues:
        for one in _chosen(queues, options.ids):
            queues.discard(one)
            print(f"{escaped(one.queue)}: message {_id(one)} is forgotten")
    return 0


def _opened(options: argparse.Namespace) -> ParkedQueues:
    """The queues that the command line means."""
    require_pika()
    # Here, for who asks for help needs none.
    from ..amqp.parked import ParkedQueues

    given = {name: getattr(options, name) for name in ("config", "allow_unsafe_config", "name", "fedora_messaging")}
    effective = config_of_run(**given)
    if effective.broker is None:
        raise ConfigError(
            "this hub is not on fedora-messaging's bus: set source in [hub], or name the broker with "
            "--fedora-messaging; what is in a spool is shown by `glasshub spool parked`",
            origin=effective.config.origins.get("hub.source", DEFAULT),
        )
    names, is_named = _names(options, effective)
    return ParkedQueues(effective.broker, names, must_exist=is_named)


def _names(options: argparse.Namespace, effective: Effective) -> tuple[list[str], bool]:
    """Names of the queues, and whether these are what somebody has typed."""
    from ..amqp.topology import PARKED, queue_name

    config = effective.config
    if options.queue:
        return [options.queue.removesuffix(PARKED)], True
    if config.fedora_messaging.queues != EACH:
        raise ConfigError(
            "consumers have no queues of their own, and only beside these messages are parked: name one with --queue",
            origin=config.origins["fedora-messaging.queues"],
        )
    if options.consumer:
        return [queue_name(config, options.consumer)], True
    roster = Roster(config, effective.fedmsg, only=effective.consumers, producers=effective.producers)
    return [queue_name(config, name) for name, _ in roster.wanted()], False


def _chosen(queues: ParkedQueues, ids: Sequence[str]) -> list[ParkedMessage]:
    """The messages that the command line names, each of which has to be there; without names, all."""
    messages = [one for one in queues.messages() if not ids or one.message_id in ids]
    for missing in set(ids) - {one.message_id for one in messages}:
        raise BrokerError(f"no message {missing} is parked: see `glasshub parked list`")
    return messages


def _id(message: ParkedMessage) -> str:
    return escaped(message.message_id) or "-"


def _who(message: ParkedMessage) -> str:
    if not message.consumer:
        return "the broker"
    return f"{escaped(message.consumer)} of hub {escaped(message.hub)} after {message.attempts} attempts"


def _when(message: ParkedMessage) -> str:
    try:
        return local_time(datetime.fromisoformat(message.failed_at).timestamp())
    except ValueError:
        return "-"
