# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub spool`: what waits on disk, for whom, and what consumers gave up.

What only looks works beside a running hub. What changes something takes the writer's lock, which a running hub has:
the hub counts in memory what waits, and would not notice.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator

from ..errors import SpoolError
from ..spool import ConsumerState, Log, Parked, SpoolDirectory, Stored, View, refuse_missing
from .listing import escaped, local_time, print_content, print_indented, print_table
from .terminal import complain

_STOPPED = " (the hub must be stopped)"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("spool", help="show and manage the durable backlog", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", _list, "every consumer, and what waits for it")
    show = _add(actions, "show", _show, "one message, with its body")
    show.add_argument("seq", type=int, metavar="SEQ", help="its number")
    _add(actions, "parked", _show_parked, "messages that consumers gave up, and why")
    for name, action, help_text in (
        ("retry", _retry, "give parked messages to their consumers again" + _STOPPED),
        ("discard", _discard, "forget parked messages" + _STOPPED),
    ):
        command = _add(actions, name, action, help_text)
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("seqs", nargs="*", type=int, default=[], metavar="SEQ", help="numbers of parked messages")
        which.add_argument("--all", action="store_true", help="all that are parked")
        command.add_argument("--consumer", metavar="NAME", help="only those of this consumer")
    drop = _add(actions, "drop-consumer", _drop_consumer, "forget a consumer and what waits for it" + _STOPPED)
    drop.add_argument("consumer", metavar="NAME", help="its name")
    _add(actions, "compact", _compact, "give free space back to the file system" + _STOPPED)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    parser.add_argument("directory", metavar="DIRECTORY", help="where the spool is")
    parser.set_defaults(func=run)
    return parser


def _list(options: argparse.Namespace) -> int:
    with View(options.directory) as view:
        states, used = view.consumers(), view.used_bytes()
    rows = [("CONSUMER", "CURSOR", "DEPTH", "OLDEST", "PARKED"), *map(_columns, states)]
    print_table(rows)
    print(f"{used / 1e6:.1f} MB in use in {options.directory}")
    return 0


def _columns(state: ConsumerState) -> tuple[str, ...]:
    oldest = _time(state.oldest_ns) if state.oldest_ns else "-"
    return escaped(state.name), str(state.cursor), str(state.depth), oldest, str(state.parked)


def _show(options: argparse.Namespace) -> int:
    with View(options.directory) as view:
        stored = view.message(options.seq)
        parked = list(view.parked(seq=options.seq))
    if stored is None and not parked:
        raise SpoolError(f"there is no message {options.seq} in {options.directory}: it is finished, or never was")
    if stored is not None:
        _print_stored(stored)
    else:
        _print_body(parked[0])
    for one in parked:
        print(f"\nparked by {escaped(one.consumer)}, {_time(one.parked_ns)}, {one.attempts} attempts: {_reason(one)}")
        print_indented(one.traceback)
    return 0


def _print_stored(stored: Stored) -> None:
    _print_body(stored)
    print(f"\nwaiting for: {escaped(', '.join(stored.waiting)) or 'nobody'}")
    if not stored.is_intact:
        print("DAMAGED: this is not what was accepted")


def _print_body(message: Stored | Parked) -> None:
    print(f"message {message.seq}, received {_time(message.received_ns)}, {len(message.body)} bytes")
    print_content(message.topic.decode(errors="backslashreplace"), message.body)


def _show_parked(options: argparse.Namespace) -> int:
    with View(options.directory) as view:
        rows = [
            (str(one.seq), escaped(one.consumer), _time(one.parked_ns), str(one.attempts), _topic(one), _reason(one))
            for one in view.parked()
        ]
    print_table([("SEQ", "CONSUMER", "PARKED", "ATTEMPTS", "TOPIC", "ERROR"), *rows])
    return 0


def _retry(options: argparse.Namespace) -> int:
    with _writing(options.directory) as log:
        for consumer, seq in _chosen(options):
            print(f"{escaped(consumer)}: message {seq} waits again, as {log.retry(consumer, seq)}")
    return 0


def _discard(options: argparse.Namespace) -> int:
    with _writing(options.directory) as log:
        for consumer, seq in _chosen(options):
            log.discard(consumer, seq)
            print(f"{escaped(consumer)}: message {seq} is forgotten")
    return 0


def _chosen(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Consumer and number of the parked messages that the command line names, each of which has to be there."""
    with View(options.directory) as view:
        parked = [(one.consumer, one.seq) for one in view.parked(consumer=options.consumer)]
    if options.all:
        return parked
    of_whom = f" of {options.consumer}" if options.consumer else ""
    for seq in set(options.seqs) - {seq for _, seq in parked}:
        raise SpoolError(f"no message {seq}{of_whom} is parked: see `glasshub spool parked {options.directory}`")
    return [one for one in parked if one[1] in options.seqs]


def _drop_consumer(options: argparse.Namespace) -> int:
    with _writing(options.directory) as log:
        waiting = log.leftovers.get(options.consumer, 0)
        log.drop_consumer(options.consumer)
        print(f"{escaped(options.consumer)} is forgotten, and {waiting} messages that waited for it")
    return 0


def _compact(options: argparse.Namespace) -> int:
    log_file = SpoolDirectory(options.directory).log
    with _writing(options.directory) as log:
        before = log_file.stat().st_size
        log.compact()
        print(f"{before / 1e6:.1f} MB before, {log_file.stat().st_size / 1e6:.1f} MB now")
    return 0


@contextlib.contextmanager
def _writing(directory: str) -> Iterator[Log]:
    """The log, for somebody who is not the hub, and must not make one by mistake."""
    refuse_missing(SpoolDirectory(directory).log)
    with Log(directory) as log:
        if log.recovery:
            complain(log.recovery)
        yield log


def _time(nanoseconds: int) -> str:
    return local_time(nanoseconds / 1e9)


def _topic(message: Parked) -> str:
    return escaped(message.topic.decode(errors="backslashreplace"))


def _reason(message: Parked) -> str:
    return escaped(message.error)
