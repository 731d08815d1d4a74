# SPDX-License-Identifier: LGPL-2.1-or-later
"""The documents say what is so: their commands, options, keys, names, tests and links are there."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import shlex
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.scenarios import SCENARIOS
from glasshub import cli
from glasshub.compat import fedmsg_config
from glasshub.compat.services import SERVICES
from tools import command_line, derived, documents
from tools.fedmsg_keys import KEYS, effect

ROOT = Path(documents.__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MOVING = ROOT / "docs" / "moving.md"
CLI = ROOT / "docs" / "cli.md"

#: A command of ours, in a code block or in a line of text.
_COMMAND = re.compile(r"(?:^ {4}(?:\$ |sudo -u \w+ |ExecStart=)?|`)(?:/usr/bin/)?glasshub( [^`\n>]+)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")

#: Commands that are shown with what is said of them because they are wrong.
_WRONG = {" check backlog -w many"}

#: Options of other programs that are named there.
_FOREIGN = {"--print-config", "--set"}

#: Of fedmsg's commands those whose place Glasshub takes, and what all have in common; the others remain what they are.
_REPLACED = {"__init__.py", "check.py", "gateway.py", "hub.py", "ircbot.py", "relay.py"}

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """That of `glasshub`, which takes no option for another one that begins like it."""
    made = cli.command_line()
    for one in commands(made):
        one.allow_abbrev = False
    return made


def options_of(command: str) -> set[str]:
    return set(_OPTION.findall(help_of(command)))


def help_of(command: str) -> str:
    (commands,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return str(commands.choices[command].format_help())


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser of each command, those of commands included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield one
                yield from commands(one)


def section(path: Path, title: str) -> str:
    """What stands below a heading."""
    return re.split(r"^#+ ", text(path).partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def rows(markdown: str) -> list[list[str]]:
    """The rows of its tables, head and rule left out."""
    lines = markdown.splitlines()
    found = [line for above, line in zip(lines, lines[1:]) if above.startswith("|") and line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in found if not line.startswith("| ---")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("path", [one for one in DOCUMENTS if one != CLI], ids=lambda path: str(path.name))
def test_every_command_can_be_given_as_it_is_written(path: Path) -> None:
    names = {f" {one.prog.partition(' ')[2]}" for one in commands(cli.command_line())}
    # A name alone is no command that somebody types.
    for arguments in set(_COMMAND.findall(text(path))) - names - _WRONG:
        typed, *_ = re.split(r" [>|#\[] ?", arguments)
        try:
            parser().parse_args(shlex.split(typed.replace(" CHECK", " age")))
        except SystemExit:
            pytest.fail(f"{path.name}: no such command: glasshub{arguments}")


def test_every_command_has_a_chapter_with_all_its_options() -> None:
    for command in commands(cli.command_line()):
        chapter = section(CLI, command.prog)

        assert chapter, command.prog
        assert set(_OPTION.findall(command.format_help())) - {"--help"} <= set(_OPTION.findall(chapter)), command.prog


def test_the_reference_of_a_command_is_the_same_whatever_argparse_calls_its_groups() -> None:
    made = argparse.ArgumentParser(prog="glasshub")
    shown = made.add_subparsers().add_parser("show", help="show * and <these>", epilog="That is all.")
    shown.add_argument("hub", nargs="?", metavar="HUB|PATH", help="which")
    shown.add_argument("-n", "--number", type=int, default=3, help="how many (default: %(default)s)")
    shown.add_argument("--secret", help=argparse.SUPPRESS)
    only = shown.add_argument_group("what is shown").add_mutually_exclusive_group(required=True)
    only.add_argument("--all", action="store_true", help="everything")
    only.add_argument("--kind", choices=["old", "new"], help="one kind")

    written = command_line.reference(made).partition("\n## ")[2]

    assert (
        written
        == r"""glasshub show

Show \* and \<these>.

    glasshub show [OPTION...] [HUB|PATH]

| argument | meaning |
| --- | --- |
| `[HUB\|PATH]` | which |
| `-n NUMBER`, `--number NUMBER` | how many (default: 3) |

| what is shown | meaning |
| --- | --- |
| `--all` | everything |
| `--kind {old,new}` | one kind |

Exactly one of `--all`, `--kind`.

That is all.
"""
    )


def test_the_guide_has_commands_to_be_tested() -> None:
    assert len(_COMMAND.findall(text(MOVING))) > 10


def test_every_option_in_the_guide_is_one_of_ours() -> None:
    ours = options_of("run") | options_of("stats") | options_of("config")

    assert set(_OPTION.findall(text(MOVING))) - ours == _FOREIGN


def test_the_guide_has_every_option_of_fedmsg_hub() -> None:
    from fedmsg.commands.hub import HubCommand
    from fedmsg.config import build_parser

    theirs = set(_OPTION.findall(build_parser(HubCommand.extra_args, "").format_help())) - {"--help"}
    left = {option for row in rows(section(MOVING, "Command line")) for option in _OPTION.findall(row[0])}

    assert left == theirs


def test_the_guide_has_every_service_in_the_place_of_its_command() -> None:
    written = {tuple(names(" ".join(row))) for row in rows(section(MOVING, "Command line"))}
    wanted = {(service.name, f"glasshub run --service {name}") for name, service in SERVICES.items()}

    assert wanted <= written


def test_every_key_that_fedmsg_hub_reads_is_in_the_tables() -> None:
    import fedmsg.config

    documented = {*fedmsg.config.defaults, *fedmsg.config.FedmsgConfig._defaults}
    mapped = {*fedmsg_config.SAME, *fedmsg_config._OTHERS}

    assert (set(_keys_read()) | documented | mapped) - set(KEYS) == set()


def test_the_tables_have_each_key_once() -> None:
    keys = [name for row in rows(documents._keys()) for name in names(row[0])]

    assert sorted(keys) == sorted(KEYS)


def test_no_key_of_fedmsg_hub_or_moksha_passes_for_a_consumers_own() -> None:
    """But for the one that Moksha reads on behalf of consumers."""
    assert [key for key in KEYS if effect(key) == "for consumers"] == ["app_db"]


def test_every_name_that_takes_the_place_of_an_old_figure_is_there() -> None:
    metrics = text(ROOT / "docs" / "metrics.md")
    manual = text(ROOT / "docs" / "collectd.md")
    table = [row for row in rows(section(MOVING, "Monitoring")) if len(row) == 4]

    assert len(table) == 9
    for _, _, ours, collectd in table:
        assert [name for name in names(ours) if f"| `{name}` |" not in metrics] == []
        assert [name for name in names(collectd) if f"`{name}`" not in manual] == []


def test_a_document_without_a_place_for_its_tables_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "moving.md"
    file.write_text("# Moving\n", encoding="utf-8")
    monkeypatch.setattr(documents, "_MOVING", file)

    with pytest.raises(ValueError, match="unpack"):
        documents.moving()


def test_a_derived_file_that_is_stale_is_named_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(derived, "ROOT", tmp_path)
    (tmp_path / "good.md").write_text("good", encoding="utf-8")
    files = {tmp_path / "good.md": "good", tmp_path / "new" / "page.md": "new"}

    codes = [derived.main(lambda: files, None, arguments) for arguments in (["--check"], [], ["--check"])]

    assert codes == [1, 0, 0]
    assert (tmp_path / "new" / "page.md").read_text(encoding="utf-8") == "new"
    assert capsys.readouterr() == ("wrote new/page.md\n", "new/page.md is not what the code says: run make docs\n")


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for target, anchor in _LINK.findall(text(path)):
        if "://" in target:
            continue
        file = (path.parent / target) if target else path
        assert file.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{path.name}: {target}#{anchor}"


def test_every_page_is_in_one_list_of_the_index() -> None:
    """Of which the site makes its table of contents."""
    listed = re.findall(r"^\* \[[^\]]+\]\(([\w-]+\.md)\)", text(ROOT / "docs" / "index.md"), re.MULTILINE)

    assert sorted([*listed, "index.md"]) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("name", ["send.conf", "aggregate.conf", "aggregate-thresholds.conf"])
def test_files_for_several_machines_are_shown_as_they_are_shipped(name: str) -> None:
    shipped = (ROOT / "packaging" / "collectd" / name).read_text(encoding="utf-8")

    assert textwrap.indent(shipped, "    ") in (ROOT / "docs" / "several-machines.md").read_text(encoding="utf-8")


def test_every_exit_code_is_in_the_table() -> None:
    table = rows(section(ROOT / "docs" / "configuration.md", "Exit codes"))
    documented = [int(code) for row in table for code in re.findall(r"\d+", row[0])]
    modules = [importlib.import_module(f"glasshub.cli.{command}") for command in cli._COMMANDS]
    of_commands = {
        code for module in (cli, *modules) for name, code in vars(module).items() if name.startswith("EXIT_")
    }

    assert sorted(documented) == sorted({0, 128 + signal.SIGINT, 128 + signal.SIGTERM} | of_commands)


def test_every_figure_in_the_reasons_is_one_that_was_measured() -> None:
    """Whoever measures anew has to look whether what they prove is still so."""
    figures = re.findall(r"(?<![\w.])\d+\.\d+|\d+(?= [mµ]s\b)", text(ROOT / "docs" / "why.md"))
    measured = set(re.findall(r"(?<![\w.,])[\d.]+(?![\w,])", text(ROOT / "docs" / "performance.md")))

    assert len(figures) > 8
    assert set(figures) <= measured


def test_every_promise_names_a_test_that_there_is() -> None:
    promises = text(ROOT / "docs" / "delivery.md")
    file = dict(re.findall(r"`([A-Z]{2})`\s+is\s+`([\w/.]+)`", promises))
    proofs = re.findall(r"`([A-Z]{2}|tests/[\w/.]+)(?:::(?:\w+::)?(\w+))?`", promises)

    assert {"TR", "TD", "UF"} <= file.keys()
    assert len(proofs) > 100
    for where, test in proofs:
        assert f"def {test}(" in text(ROOT / file.get(where, where)) or not test, (where, test)


def test_every_promise_names_a_scenario_that_there_is() -> None:
    known = {scenario.name for scenario in SCENARIOS}
    proofs = re.findall(r"`make faults ARGS=([^`]+)`", text(ROOT / "docs" / "delivery.md"))

    assert len(proofs) > 20
    for arguments in proofs:
        assert set(" ".join(shlex.split(arguments)).split()) <= known, arguments


def anchors(path: Path) -> set[str]:
    """Those that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.*)$", text(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _keys_read() -> Iterator[str]:
    """What the code of fedmsg-hub, of its sister services and of Moksha looks up in a configuration."""
    for package in ("fedmsg", "moksha.hub"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        for directory in spec.submodule_search_locations or ():
            for file in Path(directory).rglob("*.py"):
                if "tests" not in file.parts and (file.parent.name != "commands" or file.name in _REPLACED):
                    yield from _looked_up(ast.parse(file.read_text(encoding="utf-8")))


def _looked_up(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        where, key = _lookup(node)
        name = where.attr if isinstance(where, ast.Attribute) else where.id if isinstance(where, ast.Name) else ""
        if name in ("config", "conf", "c") and isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _lookup(node: ast.AST) -> tuple[ast.AST | None, ast.AST | None]:
    """What is looked up where, if a node is `where[key]` or `where.get(key)`."""
    if isinstance(node, ast.Subscript):
        return node.value, node.slice
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        return node.func.value, node.args[0]
    return None, None
