# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages, of the parser and of the configuration's sections: glasshub(1), one for each of its commands, and
glasshub.toml(5).

man(7) has the few macros that are used. argparse-manpage was tried: it has one page for everything, with the usage
message of argparse in it, and blank lines that double.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from glasshub import __version__
from glasshub.cli import command_line

from .command_line import commands, exclusive, groups, meaning, positional, sentence, synopsis, with_value
from .settings import sections

MAN = Path(__file__).parents[1] / "packaging" / "man"

#: Of this version: to be changed with it. (Of the day of writing it cannot be: pages are compared with what stands.)
_DATE = "2026-11-23"

_FILES = {
    "/etc/glasshub/glasshub.toml": "The configuration, see glasshub.toml(5).",
    "/etc/glasshub/NAME.toml": "That of glasshub@NAME.service.",
    "/run/glasshub/NAME.stats, NAME.sock": "What the hub of that name tells of itself: its segment, and a socket.",
    "/var/lib/glasshub/NAME/": "Its backlog on disk, if `directory` in `[spool]` is /var/lib/glasshub.",
}

_ENVIRONMENT = {
    "FEDMSG_CONFIG": "Where fedmsg's configuration is, if neither command line nor glasshub.toml(5) say so.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "Where, and how often, `glasshub run` tells the service manager how it is.",
    "XDG_RUNTIME_DIR": "Below it segments stand where /run/glasshub may not be written to.",
}

_ABOUT = """\
A message hub that one can see into: it takes the place of fedmsg-hub, gives each consumer a work queue and workers of
its own, and shows at any moment how far behind each consumer is and when it will have caught up.

Each command has a page of its own, such as glasshub-run(1), and prints what it takes with `--help`."""

_TOML = """\
`glasshub run` and `glasshub config` read this file: the one of `--config`, or else /etc/glasshub/glasshub.toml if it is
there. It is in TOML. What it says goes over fedmsg's own configuration, and the command line goes over it. A key or
section that is not in this page is an error; so is a file, or a directory on the way to it, that anybody may write to.

`glasshub config` prints what is in effect, and where each value comes from. A hub reads the file when it starts."""

#: In glasshub.toml(5).
EXAMPLE = """\
[zmq]
endpoints = ["tcp://hub.example.org:9940"]

[spool]
directory = "/var/lib/glasshub"

[stats]
group = "glasshub-stats"

[consumers.Mailer]
class = "mailer:Mailer"
workers = 4
retry = 3
max_processing = 60.0
settings = { server = "mail.example.org" }
"""

_SEE_ALSO = "glasshub.toml(5), collectd-python(5), systemd.service(5)"


def pages(configuration: str, parser: argparse.ArgumentParser | None = None) -> dict[Path, str]:
    """The text of each page, by its file.

    Args:
        configuration: docs/configuration.md, which has the exit codes.
        parser: By default that of `glasshub`.
    """
    parser = parser or command_line()
    exits = dict(re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", configuration, re.MULTILINE))
    below = list(commands(parser, "glasshub"))
    texts = {"glasshub.1": _overview(parser, below, exits), "glasshub.toml.5": _configuration()}
    for name, summary, command in below:
        if _depth(name) == 1:
            inner = [one for one in below if one[0].startswith(f"{name} ")]
            texts[f"{name.replace(' ', '-')}.1"] = _command(name, summary, command, inner)
    return {MAN / name: text for name, text in texts.items()}


_Command = tuple[str, str, argparse.ArgumentParser]


def _overview(parser: argparse.ArgumentParser, below: Iterable[_Command], exits: dict[str, str]) -> str:
    """glasshub(1)."""
    summaries = {name: sentence(summary) for name, summary, _ in below if _depth(name) == 1}
    return _page(
        "glasshub",
        1,
        "message hub that one can see into",
        SYNOPSIS=f"{_bold('glasshub')} COMMAND [OPTION...] [ARGUMENT...]\n",
        DESCRIPTION=_prose(_ABOUT),
        OPTIONS=_options(parser),
        COMMANDS=_tagged(summaries),
        EXIT_STATUS=_tagged({code: sentence(text) for code, text in exits.items()}),
        ENVIRONMENT=_tagged(_ENVIRONMENT),
        FILES=_tagged(_FILES),
        SEE_ALSO=_prose(", ".join([*(f"{name.replace(' ', '-')}(1)" for name in summaries), _SEE_ALSO])),
    )


def _command(name: str, summary: str, parser: argparse.ArgumentParser, inner: Iterable[_Command]) -> str:
    """The page of a command, and of those below it."""
    actions = "".join(_subsection(one) + _synopsis(one, p) + ".PP\n" + _taken(one, s, p) for one, s, p in inner)
    return _page(
        name.replace(" ", "-"),
        1,
        summary,
        SYNOPSIS=_synopsis(name, parser),
        DESCRIPTION=_prose(parser.description or sentence(summary)),
        OPTIONS=_options(parser),
        ACTIONS=actions,
        EXIT_STATUS=_prose("See glasshub(1), where nothing else is said here."),
        SEE_ALSO=_prose(f"glasshub(1), {_SEE_ALSO}"),
    )


def _configuration() -> str:
    """glasshub.toml(5)."""
    settings = "".join(
        _subsection(f"[{name}]")
        + _prose(purpose)
        + _tagged({f"{key} = {default}": effect for key, default, effect in keys})
        for name, purpose, keys in sections()
    )
    return _page(
        "glasshub.toml",
        5,
        "configuration of a Glasshub hub",
        SYNOPSIS=_prose("/etc/glasshub/glasshub.toml, /etc/glasshub/NAME.toml"),
        DESCRIPTION=_prose(_TOML),
        SECTIONS_AND_KEYS=settings,
        EXAMPLE=f".EX\n{_escaped(EXAMPLE)}.EE\n",
        SEE_ALSO=_prose("glasshub(1), glasshub-config(1), glasshub-run(1)"),
    )


def _page(name: str, section: int, summary: str, **chapters: str) -> str:
    head = rf""".\" SPDX-License-Identifier: LGPL-2.1-or-later
.\" Written by `make docs` from the code; do not edit.
.TH {_escaped(name.upper())} {section} {_DATE} "Glasshub {__version__}"
.SH NAME
{_escaped(name)} \- {_escaped(summary)}
"""
    return head + "".join(f".SH {title.replace('_', ' ')}\n{text}" for title, text in chapters.items() if text)


def _subsection(title: str) -> str:
    return f".SS {_escaped(title)}\n"


def _synopsis(name: str, parser: argparse.ArgumentParser) -> str:
    return f"{_bold(name)}{_escaped(synopsis(name, parser)[len(name) :])}\n"


def _taken(name: str, summary: str, parser: argparse.ArgumentParser) -> str:
    return _prose(parser.description or sentence(summary)) + _options(parser)


def _options(parser: argparse.ArgumentParser) -> str:
    text = ""
    for title, actions in groups(parser):
        heading = f".PP\n{_escaped(sentence(title))[:-1]}:\n" if title != "argument" and actions else ""
        text += heading + "".join(_tag(", ".join(_forms(one)), sentence(meaning(one))) for one in actions)
    return text + "".join(f".PP\n{_prose(line)}" for line in exclusive(parser))


def _forms(action: argparse.Action) -> Iterator[str]:
    """An option as it is given, each of its names."""
    if not action.option_strings:
        yield _italic(positional(action))
    for option in action.option_strings:
        value = with_value(option, action)[len(option) :]
        yield _bold(option) + (f" {_italic(value.strip())}" if value else "")


def _tagged(texts: dict[str, str]) -> str:
    return "".join(_tag(_bold(tag), text) for tag, text in texts.items())


def _tag(tag: str, text: str) -> str:
    return f".TP\n{tag}\n{_prose(text)}"


def _prose(text: str) -> str:
    """Paragraphs; what stands in backquotes is bold, and so are names of pages."""
    return ".PP\n".join(map(_paragraph, re.split(r"\n\s*\n", text.strip())))


def _paragraph(text: str) -> str:
    marked = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", _escaped(text))
    marked = re.sub(r"(?<!\S)([a-z][\w.\\-]*)\((\d)\)", r"\\fB\1\\fR(\2)", marked)
    lines = textwrap.wrap(marked, 78, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{_guarded(line)}\n" for line in lines)


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_escaped(text)}\\fR"


def _escaped(text: str) -> str:
    """With nothing in it that roff takes for its own, and every - one that can be copied."""
    for raw, escape in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("^", "\\(ha"), ("~", "\\(ti")):
        text = text.replace(raw, escape)
    return text


def _guarded(line: str) -> str:
    """Not to be taken for a request of roff."""
    return f"\\&{line}" if line.startswith(".") else line


def _depth(command: str) -> int:
    return command.count(" ")
