# SPDX-License-Identifier: LGPL-2.1-or-later
"""The text of `docs/cli.md`, of the parser itself: what argparse prints of it differs from Python to Python."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator

from glasshub.cli import command_line

from .markdown import table

_HEAD = """\
# Command line

    glasshub COMMAND [OPTION...] [ARGUMENT...]

Every command has `--help`, and says what is wrong in one line on standard error. The exit codes are in
[configuration.md](configuration.md#exit-codes).

"""


#: `--help` is the same for all commands, and commands have chapters of their own.
_UNTOLD = (argparse._HelpAction, argparse._SubParsersAction)


def reference(parser: argparse.ArgumentParser | None = None) -> str:
    """Markdown that says of each command what it takes.

    Args:
        parser: By default that of `glasshub`.
    """
    told = list(commands(parser or command_line(), "glasshub"))
    links = ((f"[`{name}`](#{name.replace(' ', '-')})", _escaped(summary)) for name, summary, _ in told)
    return _HEAD + table(("command", "what it does"), links) + "".join(_chapter(*command) for command in told)


def commands(parser: argparse.ArgumentParser, above: str) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, summary and parser of each command; one that has commands of its own is followed by them."""
    for subparsers in (one for one in parser._actions if isinstance(one, argparse._SubParsersAction)):
        for choice in subparsers._choices_actions:
            name, inner = f"{above} {choice.dest}", subparsers.choices[choice.dest]
            yield name, choice.help or "", inner
            yield from commands(inner, name)


def _chapter(name: str, summary: str, parser: argparse.ArgumentParser) -> str:
    text = f"\n{'#' * len(name.split())} {name}\n\n{_prose(parser.description or sentence(summary))}"
    text += f"    {synopsis(name, parser)}\n"
    for title, actions in groups(parser):
        if actions:
            text += "\n" + table((title, "meaning"), map(_row, actions))
    text += "".join(f"\n{line}\n" for line in exclusive(parser))
    return text + (f"\n{_prose(parser.epilog)[:-1]}" if parser.epilog else "")


def groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """What the command takes; argparse calls its own two groups differently in each version."""
    own = (parser._positionals, parser._optionals)
    yield "argument", [one for group in own for one in group._group_actions if _is_told(one)]
    for group in parser._action_groups:
        if group not in own:
            yield group.title or "", [one for one in group._group_actions if _is_told(one)]


def synopsis(name: str, parser: argparse.ArgumentParser) -> str:
    """How the command is given, in short."""
    told = [one for one in parser._actions if _is_told(one)]
    options = ["[OPTION...]"] if any(one.option_strings for one in told) else []
    actions = ["ACTION ..."] if parser._subparsers is not None else []
    return " ".join([name, *options, *(positional(one) for one in told if not one.option_strings), *actions])


def _row(action: argparse.Action) -> tuple[str, str]:
    names = ", ".join(f"`{with_value(option, action)}`" for option in action.option_strings)
    return names or f"`{positional(action)}`", _escaped(meaning(action))


def positional(action: argparse.Action) -> str:
    """An argument, or the value of an option, and how many of it there may be."""
    form = {"?": "[{}]", "*": "[{}...]", "+": "{}..."}.get(str(action.nargs), "{}")
    return form.format(_value(action))


def with_value(option: str, action: argparse.Action) -> str:
    """An option as it is given."""
    if action.nargs == 0:
        return option
    return f"{option} {positional(action)}"


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def meaning(action: argparse.Action) -> str:
    """What an option or argument means."""
    return (action.help or "") % {**vars(action), "prog": "glasshub"}


def exclusive(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Which arguments go only one at a time."""
    for group in parser._mutually_exclusive_groups:
        names = [f"`{(one.option_strings or [positional(one)])[-1]}`" for one in group._group_actions]
        yield f"{'Exactly' if group.required else 'At most'} one of {', '.join(names)}."


def _is_told(action: argparse.Action) -> bool:
    return action.help is not argparse.SUPPRESS and not isinstance(action, _UNTOLD)


def sentence(text: str) -> str:
    """A summary, as argparse wants it, as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _prose(text: str) -> str:
    """Paragraphs, each followed by an empty line."""
    paragraphs = map(_escaped, re.split(r"\n\s*\n", text))
    return "".join(
        f"{textwrap.fill(one, 120, break_long_words=False, break_on_hyphens=False)}\n\n" for one in paragraphs
    )


def _escaped(text: str) -> str:
    """In one line, with no character outside of code taken for a mark of Markdown."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [re.sub(r"[*<]", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)
