# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages say everything, and in a form that manual readers take without a complaint."""

from __future__ import annotations

import argparse
import os
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from glasshub.cli import command_line
from glasshub.config import SECTIONS, ConfigBuilder, ConsumerSection, file_key
from tools import man_pages
from tools.command_line import commands
from tools.documents import configuration

from ..needs import program

PAGES = sorted(man_pages.MAN.iterdir())

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))


def rendered(page: Path) -> str:
    """As a reader sees it, in lines that are never broken."""
    return subprocess.run(
        ["man", "-E", "UTF-8", "-P", "cat", "-l", page],
        env={**os.environ, "MANWIDTH": "2000", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@each_page
def test_a_page_is_clean_for_mandoc(page: Path) -> None:
    done = subprocess.run([program("mandoc"), "-Tlint", page], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@each_page
def test_a_page_is_clean_for_groff(page: Path) -> None:
    command = [program("man"), "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", str(page)]

    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_pages_of_what_there_is_and_of_nothing_else() -> None:
    assert set(PAGES) == set(man_pages.pages(configuration()))


@pytest.mark.parametrize(
    ("name", "parser"), [(name, parser) for name, _, parser in commands(command_line(), "glasshub")]
)
def test_a_command_has_all_its_options_on_its_page(name: str, parser: argparse.ArgumentParser) -> None:
    program("man")

    page = rendered(man_pages.MAN / f"{'-'.join(name.split()[:2])}.1")

    assert f"    {name} " in page
    assert [
        option
        for action in parser._actions
        for option in action.option_strings
        if f" {option}" not in page and action.dest != "help"
    ] == []


def test_every_key_is_on_the_page_of_the_configuration() -> None:
    program("man")

    page = rendered(man_pages.MAN / "glasshub.toml.5")

    for name, section in {**SECTIONS, "consumers.NAME": ConsumerSection}.items():
        keys = page.partition(f"   [{name}]\n")[2].partition("\n   [")[0]
        assert [field.name for field in fields(section) if f"       {file_key(field.name)} = " not in keys] == []


def test_the_example_is_a_configuration_and_is_on_the_page_as_it_is(tmp_path: Path) -> None:
    program("man")
    file = tmp_path / "glasshub.toml"
    file.write_text(man_pages.EXAMPLE)
    builder = ConfigBuilder()
    builder.read_toml(file)

    page = rendered(man_pages.MAN / "glasshub.toml.5")

    assert builder.build().consumers["Mailer"].workers == 4
    assert all(f"\n       {line}\n" in page for line in man_pages.EXAMPLE.splitlines() if line)


def test_what_roff_takes_for_its_own_is_written_as_it_is(tmp_path: Path) -> None:
    program("man")
    parser = argparse.ArgumentParser("glasshub")
    text = r".like this, or 'that', at \n each ^~ `code` -1 100%% end"
    parser.add_subparsers().add_parser("odd", help=text, description=text)
    page = tmp_path / "odd.1"
    page.write_text(man_pages.pages("", parser)[man_pages.MAN / "glasshub-odd.1"])

    assert "\n       .like this, or 'that', at \\n each ^~ code -1 100%% end\n" in rendered(page)
